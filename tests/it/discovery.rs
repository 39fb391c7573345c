//! Targets that come and go while the exporter runs: in files, and in DNS.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::http::Metrics;
use crate::lifecycle::keeping;
use crate::namespace::{Everywhere, INNER, NameServer, Named, begun, inside};
use crate::programs::{Exporter, until};
use crate::servers::{GOROUTINES, Server};

/// The targets that are scraped, with the value of a label.
fn scraped(metrics: &Metrics, label: &str) -> BTreeMap<String, String> {
    let success = metrics.all("goroutine_probe_success", &[]);
    success
        .map(|sample| {
            let value = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
            (value("target"), value(label))
        })
        .collect()
}

/// Waits until these targets are scraped, and no other.
fn until_scraped(exporter: &Exporter, expected: &[(&str, &str)]) -> Metrics {
    let own = |(target, value): &(&str, &str)| ((*target).to_owned(), (*value).to_owned());
    let expected: BTreeMap<String, String> = expected.iter().map(own).collect();
    let mut last = BTreeMap::new();
    until(&format!("{expected:?}"), || {
        let metrics = Metrics::parse(&exporter.get("/targets/metrics").text());
        last = scraped(&metrics, "app");
        (last == expected).then_some(metrics)
    })
}

/// Writes a file whole at once.
fn write(folder: &Path, name: &str, text: &str) {
    let new = folder.join("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join(name)).unwrap();
}

const CHEAP: &str = "modules: { default: { timeout: 1m, detail: { mode: off } }, other: { timeout: 1m, detail: { mode: off }, limits: { groups: 1 } } }\n";

#[test]
fn targets_come_and_go_with_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (steady, connections) = keeping();
    let steady_at = format!("http://{}", steady.target());
    let (others, fixed) = ([Server::healthy(), Server::healthy()], Server::healthy());
    let at = |server: &Server| format!("http://{}", server.target());
    let fixed_at = at(&fixed);
    let config = format!(
        "{CHEAP}targets: [{{ url: \"{fixed_at}\", labels: {{ app: fixed }} }}]\n\
         file_sd_configs: [{{ files: ['{}/*.yml', '{}/more.json'] }}]\n",
        folder.display(),
        folder.display()
    );
    let group = |app: &str, more: &str, server: &Server| {
        format!(
            "- {{ targets: ['{}'], labels: {{ app: {app}{more} }} }}\n",
            server.target()
        )
    };
    let steadily = group("steady", "", &steady);
    write(folder, "a.yml", &steadily);
    let exporter = Exporter::start(&config);
    // What is there at the start is there from the first scrape on.
    let first = Metrics::parse(&exporter.get("/targets/metrics").text());
    let expected = [(fixed_at.clone(), "fixed"), (steady_at.clone(), "steady")];
    let expected = expected.map(|(target, app)| (target, app.to_owned()));
    assert_eq!(scraped(&first, "app"), expected.into());
    first.is(
        "goroutine_goroutines",
        &[("target", &steady_at)],
        GOROUTINES,
    );

    let (one, two) = (at(&others[0]), at(&others[1]));
    write(
        folder,
        "a.yml",
        &(steadily.clone() + &group("one", "", &others[0])),
    );
    let base = [(fixed_at.as_str(), "fixed"), (steady_at.as_str(), "steady")];
    until_scraped(&exporter, &[&base[..], &[(&one, "one")]].concat());
    let json = format!(
        "[{{\"targets\": [\"{}\"], \"labels\": {{\"app\": \"two\", \"__param_module\": \"other\"}}}}]",
        others[1].target()
    );
    write(folder, "more.json", &json);
    let all = [&base[..], &[(&one, "one"), (&two, "two")]].concat();
    let metrics = until_scraped(&exporter, &all);
    // The module is the one that the file chose.
    let groups = |target: &str| {
        metrics
            .all("goroutine_group_goroutines", &[("target", target)])
            .count()
    };
    assert!(groups(&two) < groups(&one), "{}", metrics.text);
    assert_eq!(
        connections.load(Ordering::SeqCst),
        1,
        "a connection outlives targets that come"
    );
    let page = exporter.get("/").text();
    assert!(page.contains(&one) && page.contains(&two), "{page}");
    let answer = exporter.get(&format!("/targets/metrics?target={one}"));
    assert_eq!(
        Metrics::parse(&answer.text())
            .all("goroutine_probe_success", &[])
            .count(),
        1
    );

    // A file that cannot be used changes nothing, and says so.
    write(folder, "a.yml", "- { targets: [");
    let failure = [("mechanism", "file"), ("reason", "malformed")];
    let failures = || {
        let metrics = exporter.metrics();
        metrics.value("goroutine_exporter_discovery_failures_total", &failure)
    };
    until("a failure", || (failures() >= Some(1.0)).then_some(()));
    until_scraped(&exporter, &all);
    let stuck = "goroutine_exporter_discovery_last_success_timestamp_seconds";
    let before = exporter.metrics().value(stuck, &[("mechanism", "file")]);
    assert!(before > Some(1.0));
    let log = exporter.program.log();
    assert!(
        log.contains("discovery failed") && log.contains("a.yml:2:1: not valid YAML"),
        "{log}"
    );
    let metrics = exporter.metrics();
    metrics.is(
        "goroutine_exporter_discovery_targets",
        &[("mechanism", "file")],
        3.0,
    );
    metrics.is(
        "goroutine_exporter_discovery_targets",
        &[("mechanism", "static")],
        1.0,
    );

    // Nor does a reload meanwhile, which finds it as bad.
    exporter.program.signal("HUP");
    until("another failure", || {
        (failures() >= Some(2.0)).then_some(())
    });
    until_scraped(&exporter, &all);

    // Targets that are gone are gone, and a probe of one is refused again where nothing else permits it.
    write(folder, "a.yml", &steadily);
    fs::remove_file(folder.join("more.json")).unwrap();
    until_scraped(&exporter, &base);
    assert!(exporter.metrics().value(stuck, &[("mechanism", "file")]) > before);
    // What stayed is remembered all the while: nothing of it is new.
    let tracked = exporter
        .metrics()
        .value("goroutine_exporter_tracked_targets", &[]);
    assert!(tracked >= Some(4.0), "{tracked:?}");
    exporter
        .get(&format!("/targets/metrics?target={one}"))
        .is(400, "nor was one found");
}

#[test]
fn a_file_for_everybody_permits_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::healthy();
    let file = folder.path().join("a.yml");
    fs::write(&file, format!("- targets: ['{}']\n", server.target())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let config = format!(
        "{CHEAP}allow: []\nfile_sd_configs: [{{ files: ['{}'] }}]\n",
        file.display()
    );
    let exporter = Exporter::start(&config);
    until_scraped(&exporter, &[]);
    let refused = [("mechanism", "file"), ("reason", "refused")];
    exporter.metrics().is(
        "goroutine_exporter_discovery_dropped_targets",
        &refused,
        1.0,
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    until_scraped(&exporter, &[(&format!("http://{}", server.target()), "")]);
    assert_eq!(server.seen().asked.load(Ordering::SeqCst), 1);
}

#[test]
fn targets_come_and_go_with_records() {
    if !inside("discovery::targets_come_and_go_with_records") {
        return;
    }
    let everywhere = Everywhere::start();
    let port = everywhere.port;
    let at = |addresses: &'static [&'static str]| Named::At(vec![addresses]);
    let names = Arc::new(NameServer::start(BTreeMap::from([
        (
            "_pprof._tcp.shop.test",
            Named::Services(vec![
                ("one.shop.test", port),
                ("meta.shop.test", port),
                ("one.other.test", port),
            ]),
        ),
        ("one.shop.test", at(&["127.0.0.1"])),
        ("meta.shop.test", at(&["169.254.169.254"])),
        ("one.other.test", at(&["127.0.0.1"])),
        ("workers.shop.test", at(&[INNER[0], "169.254.169.254"])),
        ("workers.other.test", at(&[INNER[1]])),
    ])));
    let exporter = Exporter::start(&format!(
        "{CHEAP}dns_sd_configs:\n\
         - {{ names: [_pprof._tcp.shop.test], refresh_interval: 1s, labels: {{ app: shop }} }}\n\
         - {{ names: [workers.shop.test, workers.other.test], type: A, port: {port}, refresh_interval: 1s, labels: {{ app: workers }} }}\n\
         allow: [{{ host: '*.shop.test', ports: [{port}] }}]\n"
    ));
    let (one, meta) = (
        format!("http://one.shop.test:{port}"),
        format!("http://meta.shop.test:{port}"),
    );
    let worker = |address: &str| format!("http://{address}:{port}");
    let first = worker(INNER[0]);
    let shop = [(one.as_str(), "shop"), (meta.as_str(), "shop")];
    let metrics = until_scraped(&exporter, &[&shop[..], &[(&first, "workers")]].concat());
    metrics.is("goroutine_probe_success", &[("target", &one)], 1.0);
    metrics.is("goroutine_probe_success", &[("target", &first)], 1.0);
    // Its address is no better for the name: nothing was sent there.
    metrics.is("goroutine_probe_success", &[("target", &meta)], 0.0);
    let met = everywhere.met().connections;
    assert!(
        met.iter()
            .all(|at| ["127.0.0.1", INNER[0]].contains(&at.to_string().as_str())),
        "{met:?}"
    );
    let own = exporter.metrics();
    let dropped = "goroutine_exporter_discovery_dropped_targets";
    // one.other.test, and the addresses of cloud metadata and of workers.other.test.
    own.is(dropped, &[("mechanism", "dns"), ("reason", "refused")], 3.0);
    own.is(
        "goroutine_exporter_discovery_targets",
        &[("mechanism", "dns")],
        3.0,
    );
    assert!(
        own.value(
            "goroutine_exporter_discovery_last_success_timestamp_seconds",
            &[("mechanism", "dns")]
        ) > Some(1.0)
    );

    // Another address, and a service less.
    names.tell("workers.shop.test", at(&[INNER[1]]));
    names.tell(
        "_pprof._tcp.shop.test",
        Named::Services(vec![("one.shop.test", port)]),
    );
    let second = worker(INNER[1]);
    let two = [(one.as_str(), "shop"), (second.as_str(), "workers")];
    until_scraped(&exporter, &two);

    // A server that fails takes nothing away; a name that is nobody's does.
    names.tell("_pprof._tcp.shop.test", Named::Broken);
    let failure = [("mechanism", "dns"), ("reason", "refused")];
    until("a failure", || {
        let failures = exporter.metrics();
        let count = failures.value("goroutine_exporter_discovery_failures_total", &failure);
        (count >= Some(1.0)).then_some(())
    });
    until_scraped(&exporter, &two);
    names.forget("_pprof._tcp.shop.test");
    until_scraped(&exporter, &[(&second, "workers")]);
    names.forget("workers.shop.test");
    until_scraped(&exporter, &[]);
    // And what is gone may be asked for no more: the question itself is the one connection.
    let before = begun();
    let path = crate::programs::probe_path(&second, &[]);
    exporter.get(&path).is(403, "allow");
    assert_eq!(begun() - before, 1);
}
