use std::collections::HashSet;
use std::io::{Read as _, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::*;
use crate::classify::Rules;
use crate::decode::DecodeError;
use crate::failure::TraceFailure;
use crate::probe::{Phases, ProbeError, ProbeReport, test_outcome, test_report as report};
use crate::tally::{Contention, ContentionPlace, ContentionSelection, Parked};
use crate::trace::{Limits, Owner, Window, decode};
use crate::traced::Traced;

fn outcome(result: Result<ProbeReport, ProbeError>) -> ProbeOutcome {
    let failed = result.is_err();
    let told = test_outcome("http://10.0.0.1:6060", result);
    ProbeOutcome {
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
        phases: Phases {
            first_byte: Some(Duration::from_millis(125)),
            ..Phases::default()
        },
        goroutine: Reading {
            supported: Some(true),
            content_type: Some("application/octet-stream".to_owned()),
            body_bytes: Some(1234),
            duration: Some(Duration::from_millis(200)),
            truncated: Some(false),
            damage: Some(0),
            read_at: (!failed).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_500)),
            ..told.goroutine
        },
        ..told
    }
}

/// The sample lines, without HELP and TYPE.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

fn has(text: &str, line: &str) {
    assert!(
        samples(text).contains(&line),
        "no line {line:?} in:\n{text}"
    );
}

/// That no sample of `name` is there.
fn lacks(text: &str, name: &str) {
    assert!(
        !samples(text).iter().any(|line| line.starts_with(name)),
        "{name} in:\n{text}"
    );
}

/// What the format and Prometheus demand of every exposition.
#[expect(clippy::print_stderr, reason = "a check that is skipped must say so")]
pub(crate) fn assert_valid(text: &str) {
    let mut series = HashSet::new();
    let mut helps = HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(
                helps.insert(rest.split(' ').next().unwrap().to_owned()),
                "HELP twice: {line}"
            );
        } else if !line.starts_with("# TYPE ") {
            let (labelled, _) = line.rsplit_once(' ').unwrap();
            assert!(series.insert(labelled.to_owned()), "a series twice: {line}");
            let name = labelled.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let helped =
                helps.contains(name) || family.is_some_and(|family| helps.contains(family));
            assert!(helped, "no HELP before {line}");
        }
    }
    let linted = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut linted) = linted else {
        eprintln!("promtool is not installed: its check is skipped");
        return;
    };
    linted
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = linted.wait_with_output().unwrap();
    assert!(output.status.success(), "promtool: {output:?}\n{text}");
}

#[test]
fn a_probe_that_succeeded() {
    let text = expose(&outcome(Ok(report())));
    assert_valid(&text);
    has(&text, "goroutine_probe_success 1");
    lacks(&text, "goroutine_probe_failure");
    has(&text, "goroutine_probe_duration_seconds 0.25");
    has(
        &text,
        r#"goroutine_probe_phase_duration_seconds{phase="first_byte"} 0.125"#,
    );
    lacks(
        &text,
        r#"goroutine_probe_phase_duration_seconds{phase="tls"}"#,
    );
    has(&text, r#"goroutine_profile_success{profile="goroutine"} 1"#);
    has(
        &text,
        r#"goroutine_profile_supported{profile="goroutine"} 1"#,
    );
    has(
        &text,
        r#"goroutine_profile_body_bytes{profile="goroutine"} 1234"#,
    );
    has(
        &text,
        r#"goroutine_profile_fetch_duration_seconds{profile="goroutine"} 0.2"#,
    );
    has(
        &text,
        r#"goroutine_profile_truncated{profile="goroutine"} 0"#,
    );
    has(
        &text,
        r#"goroutine_profile_damaged_records{profile="goroutine"} 0"#,
    );
    has(
        &text,
        r#"goroutine_profile_timestamp_seconds{profile="goroutine"} 1000.5"#,
    );
    has(&text, "goroutine_goroutines 100");
    has(
        &text,
        r#"goroutine_wait_reason_goroutines{wait_reason="chan receive"} 100"#,
    );
    has(&text, "goroutine_groups 3");
    has(&text, "goroutine_groups_folded 1");
    has(&text, "goroutine_other_goroutines 5");
    has(&text, "goroutine_largest_group_ratio 0.8");
    has(&text, r#"goroutine_watch_goroutines{watch="maps"} 7"#);
    has(
        &text,
        r#"goroutine_label_goroutines{key="route",value="/buy"} 4"#,
    );
    let group = r#"goroutine_group_goroutines{group_id="0000000000000001",wait_reason="chan receive",blocking_frame="example.com/svc.(*Pool).get",app_frame="example.com/svc.(*Pool).get"} 80"#;
    has(&text, group);
    has(
        &text,
        r#"goroutine_group_info{group_id="0000000000000001",file="svc/pool.go",line="42",entry="example.com/svc.serve.func1",created_by="",origin="app"} 1"#,
    );
    lacks(
        &text,
        r#"goroutine_group_goroutines{group_id="0000000000000003""#,
    );
    lacks(&text, "goroutine_leaked_goroutines");
    lacks(&text, "goroutine_longest_wait_seconds");
    lacks(&text, "goroutine_highest_id");
}

#[test]
fn every_wait_reason_is_there_with_0() {
    let text = expose(&outcome(Ok(report())));
    let lines: Vec<_> = samples(&text)
        .into_iter()
        .filter(|line| line.starts_with("goroutine_wait_reason_goroutines"))
        .collect();
    assert_eq!(lines.len(), WaitReason::ALL.len());
    has(
        &text,
        r#"goroutine_wait_reason_goroutines{wait_reason="select (no cases)"} 0"#,
    );
}

#[test]
fn groups_and_the_rest_make_the_total() {
    let text = expose(&outcome(Ok(report())));
    let value = |line: &&str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    let of = |name: &str| {
        samples(&text)
            .into_iter()
            .filter(|l| l.starts_with(name))
            .map(|l| value(&l))
            .sum::<u64>()
    };
    let total = of("goroutine_goroutines ");
    assert_eq!(
        of("goroutine_group_goroutines{") + of("goroutine_other_goroutines "),
        total
    );
    assert_eq!(of("goroutine_wait_reason_goroutines{"), total);
}

#[test]
fn a_probe_that_failed_says_why_and_counts_nothing() {
    let check = |error: ProbeError, reason: &str| {
        let mut failed = outcome(Err(error));
        failed.goroutine.supported = None;
        let text = expose(&failed);
        assert_valid(&text);
        has(&text, "goroutine_probe_success 0");
        has(
            &text,
            &format!(r#"goroutine_probe_failure{{reason="{reason}"}} 1"#),
        );
        has(&text, r#"goroutine_profile_success{profile="goroutine"} 0"#);
        lacks(&text, "goroutine_profile_supported");
        lacks(&text, "goroutine_profile_timestamp_seconds");
        lacks(&text, "goroutine_goroutines");
        lacks(&text, "goroutine_group");
    };
    check(DecodeError::NotPprof { found: "html" }.into(), "not_pprof");
    check(DecodeError::TooLarge { limit: 1 }.into(), "too_large");
    check(
        DecodeError::Damaged {
            problem: "bad tag",
            offset: 9,
        }
        .into(),
        "decode",
    );
    check(ProbeError::Panicked, "internal");
}

#[test]
fn what_was_cut_short_is_no_success_but_shows_its_groups() {
    let check = |truncated: bool, damage: u64| {
        let mut cut = report();
        cut.tally.summary.truncated = truncated;
        cut.tally.summary.damage = damage;
        let mut outcome = outcome(Ok(cut));
        outcome.goroutine.truncated = Some(truncated);
        outcome.goroutine.damage = Some(damage);
        let error = ProbeError::Incomplete;
        outcome.goroutine.fail(error.reason(), &error);
        let text = expose(&outcome);
        assert_valid(&text);
        has(&text, "goroutine_probe_success 0");
        has(&text, r#"goroutine_profile_success{profile="goroutine"} 0"#);
        has(&text, r#"goroutine_probe_failure{reason="decode"} 1"#);
        let flag = u8::from(truncated);
        has(
            &text,
            &format!(r#"goroutine_profile_truncated{{profile="goroutine"}} {flag}"#),
        );
        has(
            &text,
            &format!(r#"goroutine_profile_damaged_records{{profile="goroutine"}} {damage}"#),
        );
        has(&text, "goroutine_goroutines 100");
    };
    check(true, 0);
    check(false, 3);
    check(true, 3);
}

#[test]
fn each_profile_says_how_it_was_read() {
    let mut told = outcome(Ok(report()));
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let mut cut = Reading {
        supported: Some(true),
        truncated: Some(true),
        read_at: at(400),
        ..Reading::default()
    };
    cut.fail(ProbeError::Incomplete.reason(), &ProbeError::Incomplete);
    let missing = Reading {
        supported: Some(false),
        ..Reading::default()
    };
    told.others = vec![(Profile::Detail, cut), (Profile::Leak, missing)];
    told.restarted = at(300);
    let text = expose(&told);
    assert_valid(&text);
    has(&text, "goroutine_probe_success 1");
    let detail = r#"{profile="goroutine_detail"}"#;
    has(&text, &format!("goroutine_profile_success{detail} 0"));
    has(&text, &format!("goroutine_profile_truncated{detail} 1"));
    has(
        &text,
        &format!("goroutine_profile_timestamp_seconds{detail} 400"),
    );
    let leak = r#"{profile="goroutineleak"}"#;
    has(&text, &format!("goroutine_profile_supported{leak} 0"));
    lacks(&text, &format!("goroutine_profile_success{leak}"));
    has(&text, "goroutine_target_restart_timestamp_seconds 300");
}

#[test]
fn contention_and_threads_are_passed_through() {
    let place = |name: &str, events, nanoseconds| ContentionPlace {
        blocking_frame: Arc::from(name),
        app_frame: Arc::from("main.work"),
        events,
        nanoseconds,
    };
    let contended = Contended {
        contention: Contention {
            events: 17,
            nanoseconds: 2_500_000_007,
            places: vec![
                place("main.a", 5, 2_000_000_000),
                place("main.b", 2, 500_000_000),
            ],
        },
        selection: ContentionSelection {
            shown: vec![0],
            other_events: 12,
            other_nanoseconds: 500_000_007,
        },
    };
    let mut told = report();
    told.block = Some(contended.clone());
    told.threads = Some(9);
    let text = expose(&outcome(Ok(told.clone())));
    assert_valid(&text);
    let of = |labels: &str, seconds: &str, events: &str| {
        has(
            &text,
            &format!("goroutine_block_seconds_total{{{labels}}} {seconds}"),
        );
        has(
            &text,
            &format!("goroutine_block_events_total{{{labels}}} {events}"),
        );
    };
    of(r#"blocking_frame="main.a",app_frame="main.work""#, "2", "5");
    of(
        r#"blocking_frame="other",app_frame="other""#,
        "0.500000007",
        "12",
    );
    lacks(&text, "goroutine_mutex");
    has(&text, "goroutine_threads 9");
    told.block = None;
    told.mutex = Some(contended);
    let text = expose(&outcome(Ok(told)));
    assert_valid(&text);
    lacks(&text, "goroutine_block");
    has(
        &text,
        r#"goroutine_mutex_events_total{blocking_frame="main.a",app_frame="main.work"} 5"#,
    );
}

#[test]
fn a_detailed_profile_tells_waits_leaks_and_creators() {
    let mut detailed = report();
    let tally = &mut detailed.tally;
    tally.longest_waits[WaitReason::ChanReceive.index()] = Some(Duration::from_mins(12));
    tally.waited[WaitReason::ChanReceive.index()] = [9, 2, 0, 0];
    tally.leaked = Some(4);
    tally.highest_id = Some(991);
    tally.groups[0].leaked = 4;
    tally.groups[0].longest_wait = Some(Duration::from_mins(12));
    tally.groups[0].created_by = Some(Arc::from("example.com/svc.serve"));
    tally.groups[0].line = 0;
    let text = expose_tally(&detailed.tally, &detailed.selection);
    assert_valid(&text);
    lacks(&text, "goroutine_probe");
    lacks(&text, "goroutine_profile");
    has(
        &text,
        r#"goroutine_longest_wait_seconds{wait_reason="chan receive"} 720"#,
    );
    lacks(
        &text,
        r#"goroutine_longest_wait_seconds{wait_reason="select"}"#,
    );
    has(
        &text,
        r#"goroutine_waiting_goroutines{wait_reason="chan receive",at_least_seconds="60"} 9"#,
    );
    has(
        &text,
        r#"goroutine_waiting_goroutines{wait_reason="chan receive",at_least_seconds="600"} 2"#,
    );
    lacks(
        &text,
        r#"goroutine_waiting_goroutines{wait_reason="chan receive",at_least_seconds="3600"}"#,
    );
    has(&text, "goroutine_leaked_goroutines 4");
    has(&text, "goroutine_highest_id 991");
    let labels = r#"group_id="0000000000000001",wait_reason="chan receive",blocking_frame="example.com/svc.(*Pool).get",app_frame="example.com/svc.(*Pool).get""#;
    has(
        &text,
        &format!("goroutine_group_leaked_goroutines{{{labels}}} 4"),
    );
    has(
        &text,
        &format!("goroutine_group_longest_wait_seconds{{{labels}}} 720"),
    );
    lacks(
        &text,
        r#"goroutine_group_leaked_goroutines{group_id="0000000000000002""#,
    );
    assert!(
        text.contains(
            r#"line="",entry="example.com/svc.serve.func1",created_by="example.com/svc.serve""#
        ),
        "{text}"
    );
}

#[test]
fn a_profile_of_leaks_alone_says_nothing_about_all_goroutines() {
    let mut leaks = report();
    leaks.tally.summary.leaked_only = true;
    let text = expose_tally(&leaks.tally, &leaks.selection);
    assert_valid(&text);
    has(&text, "goroutine_leaked_goroutines 100");
    assert!(
        text.contains("goroutine_group_leaked_goroutines{"),
        "{text}"
    );
    lacks(&text, "goroutine_goroutines");
    lacks(&text, "goroutine_group_goroutines");
    lacks(&text, "goroutine_wait_reason_goroutines");
}

#[test]
fn no_goroutines_at_all() {
    let mut none = report();
    none.tally.total = 0;
    none.tally.groups.clear();
    none.selection = Selection {
        shown: vec![],
        folded: 0,
        other: 0,
    };
    let text = expose(&outcome(Ok(none)));
    assert_valid(&text);
    has(&text, "goroutine_largest_group_ratio 0");
}

#[test]
fn several_targets_share_each_family() {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut exposition = Exposition::default();
    exposition.probe(
        &[label("target", "a:1"), label("env", "prod")],
        &outcome(Ok(report())),
    );
    exposition.probe(
        &[label("target", "b:1")],
        &outcome(Err(ProbeError::Panicked)),
    );
    let text = exposition.render();
    assert_valid(&text);
    has(
        &text,
        r#"goroutine_probe_success{target="a:1",env="prod"} 1"#,
    );
    has(&text, r#"goroutine_probe_success{target="b:1"} 0"#);
    has(
        &text,
        r#"goroutine_probe_failure{target="b:1",reason="internal"} 1"#,
    );
}

#[test]
fn a_configured_label_never_hides_one_of_ours() {
    let mut exposition = Exposition::default();
    exposition.probe(
        &[("wait_reason".to_owned(), "mine".to_owned())],
        &outcome(Ok(report())),
    );
    let text = exposition.render();
    assert_valid(&text);
    has(
        &text,
        r#"goroutine_wait_reason_goroutines{wait_reason="chan receive"} 100"#,
    );
}

#[test]
fn hostile_label_values_are_escaped() {
    let mut hostile = report();
    hostile.tally.groups[0].blocking_frame = Arc::from("a\"} 1\n# \\");
    let text = expose(&outcome(Ok(hostile)));
    assert_valid(&text);
    assert!(text.contains(r#"blocking_frame="a\"} 1\n# \\""#), "{text}");
}

/// The trace of `tests/data` that Go 1.27 wrote.
fn recorded_trace() -> Window {
    let packed = &include_bytes!("../../tests/data/go1.27.3-trace/trace-1s.out.gz")[..];
    let mut body = Vec::new();
    #[expect(clippy::disallowed_types, reason = "the capture is our own")]
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut body)
        .unwrap();
    decode(&body, &Limits::default(), &Rules::default()).unwrap()
}

#[test]
fn a_trace_is_told_without_losing_any_of_it() {
    let window = recorded_trace();
    for rows in [1, 3, 100] {
        let mut told = report();
        told.traced = Some(Traced::of(&window).first(rows));
        told.tally.checked = Some(90);
        told.tally.groups[0].parked = Some(Parked {
            goroutines: 60,
            of: 80,
        });
        let text = expose(&outcome(Ok(told)));
        assert_valid(&text);
        let of = |name: &str| -> Vec<f64> {
            let lines = samples(&text).into_iter();
            let lines = lines.filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            });
            lines
                .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
                .collect()
        };
        let is = |name: &str, nanoseconds: u64| {
            let sum: f64 = of(name).iter().sum();
            let expected = Duration::from_nanos(nanoseconds).as_secs_f64();
            assert!(
                (sum - expected).abs() < 1e-6,
                "{name}: {sum} for {expected}"
            );
        };
        let own = || {
            window
                .blocked
                .iter()
                .filter(|group| group.owner == Owner::Application)
        };
        let moved = own()
            .map(|group| group.spans.moved().nanoseconds)
            .sum::<u64>();
        assert!(moved > 0);
        is("goroutine_trace_blocked_seconds", moved);
        let parked = own().map(|group| group.spans.both.count).sum::<u64>();
        assert!(parked > 100, "{parked}");
        is("goroutine_trace_parked_goroutines", parked * 1_000_000_000);
        assert!(of("goroutine_trace_parked_goroutines").len() <= rows + 1);
        let runnable = window.runnable;
        let all = runnable.world_stopped + runnable.marking + runnable.other;
        is("goroutine_trace_runnable_seconds", all);
        let latency = window.latency.iter().map(|latency| latency.nanoseconds);
        is("goroutine_trace_scheduling_seconds", latency.sum());
        let waited = window.verdict.iter().map(|waited| waited.moved);
        is("goroutine_trace_waiting_seconds", waited.sum());
        let created = window
            .sites
            .iter()
            .filter(|site| site.owner == Owner::Application);
        let created = created.map(|site| site.births.created).sum::<u64>();
        is(
            "goroutine_trace_created_goroutines",
            created * 1_000_000_000,
        );
        lacks(
            &text,
            r#"goroutine_trace_stop_the_world_seconds{kind="start trace"}"#,
        );
        has(&text, "goroutine_trace_checked_goroutines 90");
        let labels = r#"{group_id="0000000000000001",wait_reason="chan receive",blocking_frame="example.com/svc.(*Pool).get",app_frame="example.com/svc.(*Pool).get"}"#;
        has(
            &text,
            &format!("goroutine_group_parked_goroutines{labels} 60"),
        );
        has(&text, &format!("goroutine_group_parked_ratio{labels} 0.75"));
        lacks(&text, "goroutine_trace_failure");
    }
    let mut failed = outcome(Ok(report()));
    failed.trace_failure = Some(TraceFailure::Busy);
    let text = expose(&failed);
    assert_valid(&text);
    has(&text, r#"goroutine_trace_failure{reason="busy"} 1"#);
    lacks(&text, "goroutine_trace_window_seconds");
}
