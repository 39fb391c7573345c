//! Every query of the dashboards returns data from a real Prometheus that scrapes the exporter, which probes services in
//! every state that the dashboards show.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use goroutine_exporter::decode::messages::Profile;
use prost::Message as _;

use crate::dashboards::queries;
use crate::go::{GoProgram, NEW};
use crate::http::ask;
use crate::programs::{Exporter, repository, until};
use crate::prometheus::Prometheus;
use crate::servers::{Server, nobody, ok, unknown_profile};
use crate::traces;

const MODULES: &str = "modules:
  default:
    timeout: 5s
    profiles: [goroutine, goroutineleak, block, mutex, threadcreate]
    detail: { max_frames: 1000000 }
    trace: { mode: auto }
    classify: { watch: { any: main }, labels: [key with space] }
    limits: { groups: 100, min_goroutines: 1 }
";

/// A file of the recordings.
fn recorded(file: &str) -> Vec<u8> {
    std::fs::read(repository("tests/data").join(file)).unwrap()
}

/// A program that has everything there is: waits of more than a day, leaks, and contention that goes on.
fn everything() -> Server {
    let asked = AtomicU64::new(0);
    Server::by_path(move |path| match path.strip_prefix("/debug/pprof/") {
        Some("goroutine") => ok(&recorded("go1.27.3-2min/goroutine.debug0.pb.gz")),
        Some("goroutine?debug=2") => {
            let dump = recorded("go1.27.3-2min/goroutine.debug2.txt");
            let dump = String::from_utf8_lossy(&dump).replace(", 2 minutes", ", 1500 minutes");
            ok(dump.as_bytes())
        }
        Some("goroutineleak") => ok(&recorded("go1.27.3/goroutineleak.debug0.pb.gz")),
        Some("block") => ok(&larger("block", asked.fetch_add(1, Ordering::SeqCst))),
        Some("mutex") => ok(&larger("mutex", asked.load(Ordering::SeqCst))),
        Some(trace) if trace.starts_with("trace?") => {
            ok(&traces::recorded("go1.27.3-traced/trace-25ms.out.gz"))
        }
        Some("threadcreate") => ok(&recorded("go1.27.3-contention/threadcreate.pb.gz")),
        _ => unknown_profile(),
    })
}

/// The recorded profile of contention, so many times over.
fn larger(profile: &str, times: u64) -> Vec<u8> {
    let mut inflated = Vec::new();
    let body = recorded(&format!("go1.27.3-contention/{profile}.pb.gz"));
    MultiGzDecoder::new(body.as_slice())
        .read_to_end(&mut inflated)
        .unwrap();
    let mut profile = Profile::decode(inflated.as_slice()).unwrap();
    let times = i64::try_from(times).unwrap() * 30 + 1;
    for value in profile
        .sample
        .iter_mut()
        .flat_map(|sample| &mut sample.value)
    {
        *value *= times;
    }
    profile.encode_to_vec()
}

/// A program that another one takes the place of when the switch is turned.
fn replaceable(replaced: &Arc<AtomicBool>) -> Server {
    let replaced = Arc::clone(replaced);
    Server::by_path(move |path| {
        let program = ["go1.26.6", "go1.27.3"][usize::from(replaced.load(Ordering::SeqCst))];
        match path {
            "/debug/pprof/goroutine" => ok(&recorded(&format!("{program}/goroutine.debug0.pb.gz"))),
            _ => unknown_profile(),
        }
    })
}

#[test]
fn every_query_returns_data() {
    let Some(leaky) = GoProgram::start(NEW, "leaky", &[]) else {
        return;
    };
    let replaced = Arc::new(AtomicBool::new(false));
    let (everything, replaceable) = (everything(), replaceable(&replaced));
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    std::fs::write(&said, "").unwrap();
    let exporter = Exporter::start(&format!(
        "{MODULES}godebug: [{{ name: shop, path: '{}' }}]\n",
        said.display()
    ));
    until("the file", || {
        (exporter.metrics().value("goroutine_godebug_up", &[])? == 1.0).then_some(())
    });
    std::fs::write(&said, recorded("go1.27.3-gctrace/stderr.txt")).unwrap();
    let targets = [
        leaky.target.clone(),
        format!("http://{}", everything.target()),
        format!("http://{}", replaceable.target()),
        format!("http://{}", nobody()),
    ];
    let config = format!(
        "global: {{ scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s }}
rule_files: [always.yml]
scrape_configs:
- job_name: goroutines
  metrics_path: /probe
  params: {{ module: [default] }}
  static_configs:
  - targets: [\"{}\"]
  relabel_configs:
  - {{ source_labels: [__address__], target_label: __param_target }}
  - {{ source_labels: [__param_target], target_label: instance }}
  - {{ source_labels: [__param_module], target_label: module }}
  - {{ target_label: __address__, replacement: \"{exporter}\" }}
- job_name: goroutine_exporter
  static_configs:
  - targets: [\"{exporter}\"]
",
        targets.join("\", \""),
        exporter = exporter.address,
    );
    // What the dashboards mark is an alert of whatever rule has such a name.
    let rule = "groups: [{ name: always, rules: [{ alert: GoroutineProbeFailing, expr: goroutine_probe_success == 0 }] }]\n";
    std::fs::write(folder.path().join("always.yml"), rule).unwrap();
    if !crate::prometheus::have("prometheus") {
        return;
    }
    let prometheus = Prometheus::with(folder.path(), &config).unwrap();
    let group = "goroutine_group_goroutines{blocking_frame=\"main.(*Service).render\"}";
    until("the leak", || {
        ask(leaky.address(), "POST", "/leak?n=100", &[]).is(200, "");
        prometheus.value(&format!("{group} > 400"))
    });
    let seen = format!(
        "goroutine_goroutines{{instance=\"http://{}\"}}",
        replaceable.target()
    );
    until("the program that another takes the place of", || {
        prometheus.value(&seen)
    });
    replaced.store(true, Ordering::SeqCst);
    // A wrong request, for what counts those.
    exporter.get("/probe?target=192.0.2.1:1").is(403, "");
    exporter.get("/probe?target=a:1&module=nobody").is(400, "");

    let suspect = until("the suspect", || prometheus.label(group, "group_id"));
    let queries = queries(&[("suspect", &suspect)]);
    assert!(queries.len() > 100, "only {} queries", queries.len());
    for query in &queries {
        let what = format!(
            "data for {}, {}: {}",
            query.dashboard, query.place, query.expression
        );
        until(&what, || {
            (prometheus.count(&query.expression) > 0).then_some(())
        });
    }
}
