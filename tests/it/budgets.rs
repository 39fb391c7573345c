//! What is asked of a target, and when: over a simulated hour, with the real pipeline and a target that keeps a log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use goroutine_exporter::config::Config;
use goroutine_exporter::decode::messages::{Function, Line, Location, Profile, Sample, ValueType};
use goroutine_exporter::expose::expose;
use goroutine_exporter::fetch::Fetcher;
use goroutine_exporter::policy::{Defaults, Policy};
use goroutine_exporter::probe::{Gate, ProbeJob, probe};
use goroutine_exporter::target::Target;
use goroutine_exporter::tracker::{Tracker, TrackerLimits};
use prost::Message as _;

use crate::http::Metrics;
use crate::servers::{Server, ok, unknown_profile};

const DEPTH: u64 = 10;

/// What the target knows of the time, and remembers of who asked.
#[derive(Debug, Default)]
struct Diary {
    second: AtomicU64,
    goroutines: AtomicU64,
    entries: Mutex<Vec<(u64, u64, String)>>,
}

impl Diary {
    fn asked(&self, path: &str) {
        let entry = (
            self.second.load(Ordering::SeqCst),
            self.goroutines.load(Ordering::SeqCst),
            path.to_owned(),
        );
        self.entries.lock().unwrap().push(entry);
    }

    /// When this was asked, and how many goroutines there were.
    fn of(&self, path: &str) -> Vec<(u64, u64)> {
        let entries = self.entries.lock().unwrap();
        let of = entries.iter().filter(|(.., asked)| asked == path);
        of.map(|(second, goroutines, _)| (*second, *goroutines))
            .collect()
    }
}

/// A protobuf of goroutines that all wait in one place, ten calls deep.
pub(crate) fn profile(kind: &str, goroutines: u64) -> Vec<u8> {
    of_values(&[(kind, "count")], &[goroutines])
}

/// The same of a profile with these kinds of values, and their units.
pub(crate) fn of_values(kinds: &[(&str, &str)], values: &[u64]) -> Vec<u8> {
    let mut strings: Vec<Vec<u8>> = vec![Vec::new()];
    let mut text = |text: &str| {
        strings.push(text.as_bytes().to_vec());
        i64::try_from(strings.len() - 1).unwrap()
    };
    let sample_type = kinds
        .iter()
        .map(|(kind, unit)| ValueType {
            r#type: text(kind),
            unit: text(unit),
        })
        .collect();
    let files = [
        text("/usr/local/go/src/runtime/proc.go"),
        text("/src/app/main.go"),
    ];
    let names = [
        "runtime.gopark",
        "runtime.chanrecv",
        "runtime.chanrecv1",
        "main.worker",
    ];
    let outer: Vec<String> = (names.len() as u64..DEPTH)
        .map(|n| format!("main.caller{n}"))
        .collect();
    let names = names.into_iter().chain(outer.iter().map(String::as_str));
    let function: Vec<Function> = names
        .zip(1..)
        .map(|(name, id)| Function {
            id,
            name: text(name),
            filename: files[usize::from(name.starts_with("main."))],
            ..Function::default()
        })
        .collect();
    let location: Vec<Location> = function
        .iter()
        .map(|function| Location {
            id: function.id,
            line: vec![Line {
                function_id: function.id,
                line: 19,
                ..Line::default()
            }],
            ..Location::default()
        })
        .collect();
    let profile = Profile {
        sample_type,
        sample: vec![Sample {
            location_id: location.iter().map(|location| location.id).collect(),
            value: values
                .iter()
                .map(|value| i64::try_from(*value).unwrap())
                .collect(),
            label: Vec::new(),
        }],
        location,
        function,
        string_table: strings,
        ..Profile::default()
    };
    profile.encode_to_vec()
}

const DUMP: &str = "goroutine 7 [chan receive, 3 minutes]:\nmain.worker()\n\t/src/app/main.go:19 +0x1\ncreated by main.serve in goroutine 1\n\t/src/app/main.go:30 +0x1\n\n";

/// A target with as many goroutines as the diary says.
fn target(diary: &Arc<Diary>) -> Server {
    let diary = Arc::clone(diary);
    Server::by_path(move |path| {
        diary.asked(path);
        let goroutines = diary.goroutines.load(Ordering::SeqCst);
        match path {
            "/debug/pprof/goroutine" => ok(&profile("goroutine", goroutines)),
            "/debug/pprof/goroutine?debug=2" => ok(DUMP.repeat(3).as_bytes()),
            "/debug/pprof/goroutineleak" => ok(&profile("goroutineleak", 4)),
            _ => unknown_profile(),
        }
    })
}

/// An exporter's parts, with a clock of its own.
pub(crate) struct Clockwork {
    config: Config,
    fetcher: Fetcher,
    policy: Policy,
    gate: Gate,
    tracker: Tracker,
    target: Target,
    begun: Instant,
}

impl Clockwork {
    pub(crate) fn new(yaml: &str, target: &Server) -> Self {
        let config = Config::from_yaml(yaml).unwrap();
        let any = Defaults {
            targets: &[],
            listens_on_loopback: true,
            any_target: true,
        };
        Self {
            fetcher: Fetcher::new(&config.module("default").unwrap().fetch).unwrap(),
            config,
            policy: Policy::new(Vec::new(), &any),
            gate: Gate::new(9, 1),
            tracker: Tracker::new(TrackerLimits {
                targets: 9,
                forget_after: Duration::from_hours(1),
            }),
            target: target.target().parse().unwrap(),
            begun: Instant::now(),
        }
    }

    /// A probe at that second of the story.
    pub(crate) async fn probe(&self, second: u64) -> Metrics {
        self.within(Duration::from_secs(10), second).await
    }

    /// The same that may take so long.
    pub(crate) async fn within(&self, budget: Duration, second: u64) -> Metrics {
        let after = Duration::from_secs(second);
        let job = ProbeJob {
            target: &self.target,
            label: "default",
            module: self.config.module("default").unwrap(),
            fetcher: Some(&self.fetcher),
            policy: &self.policy,
            gate: &self.gate,
            place: None,
            tracker: &self.tracker,
            begun: self.begun + after,
            budget,
            started: SystemTime::UNIX_EPOCH + after,
            keep_body: false,
        };
        Metrics::parse(&expose(&probe(job).await))
    }
}

/// 500 goroutines for ten minutes, then 50,000 within twenty, there for ten, and back within five.
fn incident(second: u64) -> u64 {
    let minute = |minute: u64| minute * 60;
    match second {
        _ if second < minute(10) => 500,
        _ if second < minute(30) => 500 + (second - minute(10)) * 49_500 / minute(20),
        _ if second < minute(40) => 50_000,
        _ if second < minute(45) => 50_000 - (second - minute(40)) * 49_500 / minute(5),
        _ => 500,
    }
}

#[tokio::test]
async fn an_hour_of_scrapes_asks_for_what_costs_within_its_budget() {
    let diary = Arc::new(Diary::default());
    let server = target(&diary);
    let exporter = Clockwork::new(
        "modules: { default: { profiles: [goroutine, goroutineleak] } }",
        &server,
    );
    let detail = [("profile", "goroutine_detail")];
    let timestamp = "goroutine_profile_timestamp_seconds";
    for second in (0..3600).step_by(15) {
        let goroutines = incident(second);
        diary.second.store(second, Ordering::SeqCst);
        diary.goroutines.store(goroutines, Ordering::SeqCst);
        let metrics = exporter.probe(second).await;
        metrics.is("goroutine_probe_success", &[], 1.0);
        metrics.is("goroutine_goroutines", &[], goroutines as f64);
        let group = metrics.all("goroutine_group_info", &[]).next().unwrap();
        // At the peak nobody asks any more who created them, and yet it is told.
        assert_eq!(group.label("created_by"), "main.serve", "{second}");
        assert_eq!(group.label("line"), "19");
        let read = metrics.value(timestamp, &detail).map(f64::floor);
        let waited = metrics
            .all("goroutine_group_longest_wait_seconds", &[])
            .next();
        // Told for two intervals after it was read, with the time when it was.
        let told = match second {
            0..600 => Some(0.0),
            600..=1800 => Some(600.0),
            1801..2700 => None,
            2700..3300 => Some(2700.0),
            _ => Some(3300.0),
        };
        assert_eq!(read, told, "{second}");
        assert_eq!(waited.map(|sample| sample.value), told.map(|_| 180.0));
        let fresh = metrics.value("goroutine_highest_id", &[]);
        assert_eq!(fresh.is_some(), told.is_some_and(|at| at == second as f64));
        let leaked = metrics.value("goroutine_leaked_goroutines", &[]);
        let proven = matches!(second, 15..=1815 | 2595..);
        assert_eq!(leaked, proven.then_some(4.0), "{second}");
    }

    // The cheap profile every time, and nothing else but these two.
    let scrapes: Vec<u64> = diary
        .of("/debug/pprof/goroutine")
        .iter()
        .map(|(second, _)| *second)
        .collect();
    assert_eq!(scrapes, (0..3600).step_by(15).collect::<Vec<_>>());
    let details = diary.of("/debug/pprof/goroutine?debug=2");
    let leaks = diary.of("/debug/pprof/goroutineleak");
    let all = diary.entries.lock().unwrap().len();
    assert_eq!(all, scrapes.len() + details.len() + leaks.len());
    // Worked out by hand. Details: at once, after ten minutes (still 500 goroutines of ten frames), when fewer than 1,000
    // are left, and ten minutes later. Leaks: never in the same probe, below 20,000 goroutines.
    let seconds = |of: &[(u64, u64)]| of.iter().map(|(second, _)| *second).collect::<Vec<_>>();
    assert_eq!(seconds(&details), [0, 600, 2_700, 3_300]);
    assert_eq!(seconds(&leaks), [15, 615, 2_595, 3_195]);
    for (asked, limit) in [(&details, 10_000 / DEPTH - 1), (&leaks, 20_000)] {
        for (_, goroutines) in asked {
            assert!(*goroutines <= limit, "{asked:?}");
        }
        for pair in asked.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= 600, "{asked:?}");
        }
    }
    assert!(
        details
            .iter()
            .all(|(second, _)| leaks.iter().all(|(other, _)| other != second))
    );
}
