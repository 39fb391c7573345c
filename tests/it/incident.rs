//! The incident of `examples/go/incident`, with a real service: goroutines that pile up under one function, what the
//! exporter makes of them, who is told, and the end of it. Once at a glance, with several versions of Go, and once as
//! the one command of that folder tells it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::go::{GoProgram, NEW, OLD, build};
use crate::http::{Metrics, ask, get, try_ask};
use crate::programs::{EXPORTER, Exporter, Program, repository, until, until_within};
use crate::prometheus::{have, value};

const FOLDER: &str = "examples/go/incident";

/// What the service has besides. Few, so that a small surge is nearly all there is.
const MAILBOXES: &str = "60";
/// As large as the surge must become: 95 % and more of all.
const SURGE: f64 = 2_000.0;
/// Goroutines that the service does not count: the main one, the one that accepts connections, and those of connections:
/// the probe's, the test's, and one for each client.
const NOT_COUNTED: f64 = 20.0;
/// Far longer than the story takes on a busy machine.
const TO_THE_END: Duration = Duration::from_secs(180);

const STUCK: &str = "main.(*Converter).StructToMap.func1";

/// The group that a kind of goroutine of `/truth` must be.
fn group(kind: &Value) -> [(&str, &str); 3] {
    ["wait_reason", "blocking_frame", "app_frame"]
        .map(|label| (label, kind[label].as_str().unwrap()))
}

/// A line of the conversion, by a location as it is written in an annotation.
fn line_of(location: &str) -> String {
    let (file, line) = location.rsplit_once(':').unwrap();
    assert!(file.ends_with("converter.go"), "{location}");
    let source = fs::read_to_string(repository(FOLDER).join("converter.go")).unwrap();
    let line = source.lines().nth(line.parse::<usize>().unwrap() - 1);
    line.unwrap().trim().to_owned()
}

fn check_surge(version: &str) {
    let flags = ["serve", "-mailboxes", MAILBOXES];
    let Some(service) = GoProgram::start(version, "incident", &flags) else {
        return;
    };
    let config = fs::read_to_string(repository(FOLDER).join("exporter.yml")).unwrap();
    let exporter = Exporter::start(&config);
    let truth = || get(service.address(), "/truth").json();
    let counted = |truth: &Value, of: &str| truth[of].as_f64().unwrap();
    let stuck = |truth: &Value| truth["goroutines"][0]["goroutines"].as_f64().unwrap();
    let watched = |metrics: &Metrics| {
        let watch = [("watch", "runtime.mapassign")];
        metrics.value("goroutine_watch_goroutines", &watch).unwrap()
    };
    assert_eq!(truth()["go"], format!("go{version}"));

    // Structs do no harm.
    for _ in 0..20 {
        ask(service.address(), "POST", "/events?kind=order", &[]).is(202, "");
    }
    let well = until("all orders in the journal", || {
        Some(truth()).filter(|truth| counted(truth, "recorded") == 20.0 && stuck(truth) == 0.0)
    });
    assert_eq!(
        (counted(&well, "taken"), counted(&well, "lost")),
        (20.0, 0.0)
    );
    let rest = exporter.probe(&service.target, "default");
    assert_eq!(watched(&rest), 0.0);
    let rest = rest.value("goroutine_goroutines", &[]).unwrap();

    // Pointers to structs do, and every look shows more of them than the one before.
    let load = Program::start(Command::new(build(version, "incident").unwrap()).args([
        "load",
        "-target",
        &service.target,
        "-rest",
        "0s",
        "-orders",
        "0",
        "-refunds",
        "60000",
    ]));
    let mut before = 0.0;
    for part in [0.5, 1.0] {
        let metrics = until("a surge", || {
            let metrics = exporter.probe(&service.target, "default");
            (watched(&metrics) >= part * SURGE).then_some(metrics)
        });
        assert!(watched(&metrics) > before, "{}", metrics.text);
        before = watched(&metrics);
    }
    drop(load);

    // Nothing comes any more, so two looks at the truth agree, and with them all that was seen between.
    let (metrics, said) = until("a look that agrees", || {
        let before = truth();
        let metrics = exporter.probe(&service.target, "default");
        (truth() == before).then_some((metrics, before))
    });
    for kind in said["goroutines"].as_array().unwrap() {
        let number = kind["goroutines"].as_f64().unwrap();
        metrics.is("goroutine_group_goroutines", &group(kind), number);
    }
    let kind = &said["goroutines"][0];
    let stuck_here = group(kind);
    let expected = ["sync.Mutex.Lock", STUCK, STUCK];
    assert_eq!(stuck_here.map(|(_, value)| value), expected);
    assert_eq!(kind["under"], "runtime.mapassign_faststr");
    assert_eq!(
        watched(&metrics),
        stuck(&said),
        "all of them, and nobody else"
    );
    assert_eq!(
        counted(&said, "lost"),
        1.0,
        "the first one died with the lock"
    );
    let total = metrics.value("goroutine_goroutines", &[]).unwrap();
    let ratio = metrics.value("goroutine_largest_group_ratio", &[]).unwrap();
    assert!(
        ratio >= 0.95 && (ratio - stuck(&said) / total).abs() < 1e-9,
        "{ratio} of {total}"
    );
    let besides: f64 = MAILBOXES.parse().unwrap();
    let not_counted = total - stuck(&said) - besides;
    assert!((1.0..=NOT_COUNTED).contains(&not_counted), "{not_counted}");
    let sample = metrics
        .all("goroutine_group_goroutines", &stuck_here)
        .next();
    let id = [("group_id", sample.unwrap().label("group_id"))];
    let info = metrics.all("goroutine_group_info", &id).next().unwrap();
    let location = format!("{}:{}", info.label("file"), info.label("line"));
    assert!(line_of(&location).starts_with("c.mu.Lock()"), "{location}");

    // The fix frees all of them, and what comes then is recorded.
    ask(service.address(), "POST", "/fix", &[]).is(200, "");
    let metrics = until("an end of it", || {
        let metrics = exporter.probe(&service.target, "default");
        let total = metrics.value("goroutine_goroutines", &[]).unwrap();
        (total <= rest + NOT_COUNTED).then_some(metrics)
    });
    assert_eq!(watched(&metrics), 0.0);
    ask(service.address(), "POST", "/events?kind=refund", &[]).is(202, "");
    let after = until("a refund in the journal", || {
        Some(truth()).filter(|truth| counted(truth, "recorded") == 21.0)
    });
    assert_eq!(after["fixed"], true);
    assert_eq!(counted(&after, "refused"), stuck(&said));
    assert_eq!(counted(&after, "lost"), 1.0);
    assert_eq!(stuck(&after), 0.0);
}

#[test]
fn the_surge_is_counted_as_the_service_counts_it() {
    for version in [OLD, NEW] {
        check_surge(version);
    }
}

#[test]
fn map_keys_of_a_struct_panics_and_starts_no_goroutine() {
    for version in [OLD, NEW] {
        let Some(program) = build(version, "incident") else {
            return;
        };
        let output = Command::new(program).arg("mapkeys").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "main.Refund: reflect: call of reflect.Value.MapKeys on struct Value; goroutines: 1 before, 1 after\n\
             *main.Refund: reflect: call of reflect.Value.MapKeys on ptr Value; goroutines: 1 before, 1 after\n",
            "Go {version}"
        );
    }
}

/// The script, running. It leaves nothing behind, however a test ends.
struct Told(Program);

impl Told {
    /// What `look` finds in a line, past or to come.
    fn line<T>(&mut self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        until_within(TO_THE_END, what, || {
            let ended = self.0.ended();
            let found = self.0.log().lines().find_map(&look);
            assert!(found.is_some() || !ended, "no {what} in:\n{}", self.0.log());
            found
        })
    }

    /// The address in the line that begins with that word.
    fn address(&mut self, name: &str) -> SocketAddr {
        self.line(name, |line| {
            let (_, url) = line.strip_prefix(name)?.split_once("http://")?;
            url.split('/').next()?.parse().ok()
        })
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.0.ended() {
            self.0.signal("TERM");
            self.0.wait();
        }
    }
}

/// A program by the name of Grafana that writes down how it was started.
fn stand_in(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("grafana-server");
    let script = "#!/bin/sh\nenv >\"$0.env\"\ncat \"$GF_PATHS_PROVISIONING\"/*/*.yml >\"$0.given\"\nexec sleep 600\n";
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn one_command_tells_the_incident() {
    if !have("prometheus") || !have("prometheus-alertmanager") {
        return;
    }
    let Some(program) = build(NEW, "incident") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (bin, work) = (folder.path().join("bin"), folder.path().join("work"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&work).unwrap();
    stand_in(&bin);
    let path = std::env::var_os("PATH").unwrap();
    let mut told = Told(Program::start(
        Command::new(repository(FOLDER).join("run"))
            .args([
                "--fast",
                "--rest",
                "1m",
                "--surge",
                "17m",
                "--any-port",
                "--stay",
            ])
            .arg("--program")
            .arg(program)
            .env("GOROUTINE_EXPORTER", EXPORTER)
            .env("PATH", format!("{}:{}", bin.display(), path.display()))
            .env("TMPDIR", &work),
    ));
    let service = told.address("service");
    let exporter = told.address("exporter");
    let alertmanager = told.address("Alertmanager");
    let prometheus = told.address("Prometheus");

    // What the alert says is asked of Alertmanager itself.
    for alert in ["GoroutineLeakSuspected", "GoroutineLeakRunaway"] {
        let fires = format!("{alert} fires");
        told.line(&fires, |line| line.contains(&fires).then_some(()));
        let alerts = get(alertmanager, "/api/v2/alerts").json();
        let mut alerts = alerts.as_array().unwrap().iter();
        let found = alerts.find(|found| found["labels"]["alertname"] == alert);
        let found = found.unwrap();
        assert_eq!(found["labels"]["blocking_frame"], STUCK);
        assert_eq!(found["labels"]["wait_reason"], "sync.Mutex.Lock");
        let location = found["annotations"]["location"].as_str().unwrap();
        assert!(line_of(location).starts_with("c.mu.Lock()"), "{location}");
    }

    // It stays when all is told, so that one can look, and judge for oneself.
    told.line("the end", |line| {
        line.contains("until Ctrl-C").then_some(())
    });
    let log = told.0.log();
    eprintln!("{log}");
    assert!(log.contains("all of it was seen"), "{log}");
    let all = "[10m]";
    let most = |name: &str| value(prometheus, &format!("max_over_time({name}{all})")).unwrap();
    let watch = "goroutine_watch_goroutines{watch=\"runtime.mapassign\"}";
    assert!(most("goroutine_largest_group_ratio") >= 0.95, "{log}");
    assert!(most(watch) >= 0.95 * most("goroutine_goroutines"), "{log}");
    let least = value(
        prometheus,
        &format!("min_over_time(goroutine_goroutines{all})"),
    )
    .unwrap();
    assert!(most("goroutine_goroutines") >= 20.0 * least, "{log}");
    let now = value(prometheus, "goroutine_goroutines").unwrap();
    assert!(now <= 1.1 * least, "{now} now, {least} at rest: {log}");
    assert_eq!(value(prometheus, watch), Some(0.0));
    let paged = "count(ALERTS{alertstate=\"firing\",severity=\"critical\"})";
    assert_eq!(value(prometheus, paged), None, "{log}");
    let truth = get(service, "/truth").json();
    assert_eq!(
        (&truth["fixed"], truth["lost"].as_u64()),
        (&Value::Bool(true), Some(1))
    );

    let said = fs::read_to_string(bin.join("grafana-server.env")).unwrap();
    assert!(
        said.contains(&format!("PROMETHEUS_URL=http://{prometheus}\n")),
        "{said}"
    );
    let given = fs::read_to_string(bin.join("grafana-server.given")).unwrap();
    let dashboards = given
        .lines()
        .find_map(|line| line.trim().strip_prefix("path: "));
    assert!(
        Path::new(dashboards.unwrap())
            .join("goroutine-target.json")
            .exists(),
        "{given}"
    );

    told.0.signal("INT");
    assert_eq!(told.0.wait().code(), Some(130));
    for address in [service, exporter, alertmanager, prometheus] {
        assert!(
            try_ask(address, "GET", "/", &[]).is_err(),
            "{address} is still there"
        );
    }
    assert_eq!(
        fs::read_dir(&work).unwrap().count(),
        0,
        "it left something behind"
    );
}
