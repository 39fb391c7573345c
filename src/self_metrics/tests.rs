use super::*;
use crate::decode::DecodeError;
use crate::expose::assert_valid;
use crate::expose::metrics::problem;
use crate::probe::{ProbeError, test_outcome};
use crate::reading::Reading;

fn failed(error: ProbeError, body_bytes: u64) -> ProbeOutcome {
    let mut outcome = test_outcome("http://a:1", Err(error));
    outcome.goroutine.body_bytes = Some(body_bytes);
    outcome
}

fn has(metrics: &SelfMetrics, line: &str) {
    let text = metrics.encode().unwrap();
    assert!(
        text.lines().any(|l| l == line),
        "no line {line:?} in:\n{text}"
    );
}

#[test]
fn names_follow_the_rules() {
    for metric in ALL {
        assert_eq!(problem(metric), None, "{}", metric.name);
        assert!(
            metric.name.starts_with("goroutine_exporter_"),
            "{}",
            metric.name
        );
    }
}

#[test]
fn every_metric_of_the_table_is_written_from_the_start() {
    let metrics = SelfMetrics::new(LogLines::new().unwrap()).unwrap();
    metrics.expect_modules(["default"]);
    metrics.expect_refusals(["not_allowed"]);
    metrics.expect_triggers(Trigger::ALL);
    metrics.expect_web_refusals(["rate"]);
    metrics.expect_discovery(true, false);
    metrics.set_discovered(Mechanism::File, 1);
    metrics.set_dropped(Mechanism::Dns, "refused", 1);
    let text = metrics.encode().unwrap();
    assert_valid(&text);
    for metric in ALL {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        assert!(
            text.contains(&format!("# TYPE {} {kind}\n", metric.name)),
            "{} in:\n{text}",
            metric.name
        );
    }
    if cfg!(target_os = "linux") {
        assert!(text.contains("process_open_fds "), "{text}");
    }
}

#[test]
fn a_finished_probe_is_counted_by_its_result() {
    let metrics = Arc::new(SelfMetrics::new(LogLines::new().unwrap()).unwrap());
    let running = metrics.probe_started("default");
    has(&metrics, "goroutine_exporter_probes_in_flight 1");
    running.finish(&failed(DecodeError::TooLarge { limit: 9 }.into(), 100));
    has(&metrics, "goroutine_exporter_probes_in_flight 0");
    has(
        &metrics,
        r#"goroutine_exporter_probes_total{module="default",result="too_large"} 1"#,
    );
    has(
        &metrics,
        r#"goroutine_exporter_probe_duration_seconds_count{module="default"} 1"#,
    );
    has(
        &metrics,
        r#"goroutine_exporter_fetched_bytes_total{profile="goroutine"} 100"#,
    );
    has(
        &metrics,
        r#"goroutine_exporter_decode_errors_total{profile="goroutine"} 1"#,
    );
    let canceled = r#"result="canceled"} "#;
    assert!(!metrics.encode().unwrap().contains(canceled));
}

#[test]
fn each_profile_is_counted_when_it_was_asked_for() {
    let metrics = Arc::new(SelfMetrics::new(LogLines::new().unwrap()).unwrap());
    let reading = |fresh, failure| Reading {
        body_bytes: Some(50),
        failure,
        fresh,
        ..Reading::default()
    };
    let mut outcome = failed(ProbeError::Panicked, 100);
    outcome.others = vec![
        (Profile::Detail, reading(false, Some(FailureReason::Decode))),
        (Profile::Block, reading(true, Some(FailureReason::Decode))),
        (Profile::Mutex, reading(true, Some(FailureReason::Timeout))),
    ];
    outcome.detail_skipped = Some(Skip::Interval);
    metrics.probe_started("default").finish(&outcome);
    metrics.probe_coalesced();
    let check = |profile: &str, bytes: u64, errors: u64| {
        has(
            &metrics,
            &format!("goroutine_exporter_fetched_bytes_total{{profile=\"{profile}\"}} {bytes}"),
        );
        has(
            &metrics,
            &format!("goroutine_exporter_decode_errors_total{{profile=\"{profile}\"}} {errors}"),
        );
    };
    check("goroutine", 100, 1);
    check("goroutine_detail", 0, 0);
    check("block", 50, 1);
    check("mutex", 50, 0);
    let skipped = "goroutine_exporter_detail_skipped_total";
    has(&metrics, &format!("{skipped}{{reason=\"interval\"}} 1"));
    has(&metrics, &format!("{skipped}{{reason=\"budget\"}} 0"));
    has(&metrics, "goroutine_exporter_probes_coalesced_total 1");
}

#[test]
fn a_dropped_probe_is_counted_as_canceled() {
    let metrics = Arc::new(SelfMetrics::new(LogLines::new().unwrap()).unwrap());
    drop(metrics.probe_started("default"));
    has(&metrics, "goroutine_exporter_probes_in_flight 0");
    has(
        &metrics,
        r#"goroutine_exporter_probes_total{module="default",result="canceled"} 1"#,
    );
}

#[test]
fn a_failed_reload_keeps_the_time_of_the_last_good_one() {
    let metrics = SelfMetrics::new(LogLines::new().unwrap()).unwrap();
    metrics.reload_succeeded(SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
    metrics.reload_failed();
    has(
        &metrics,
        "goroutine_exporter_config_last_reload_successful 0",
    );
    has(
        &metrics,
        "goroutine_exporter_config_last_reload_success_timestamp_seconds 1000",
    );
}

#[test]
fn refusals_and_unknown_modules() {
    let metrics = SelfMetrics::new(LogLines::new().unwrap()).unwrap();
    metrics.target_refused("not_allowed");
    metrics.unknown_module();
    metrics.probe_rejected("default");
    metrics.set_tracked_targets(3);
    metrics.set_tasks(7);
    has(
        &metrics,
        r#"goroutine_exporter_targets_refused_total{reason="not_allowed"} 1"#,
    );
    has(&metrics, "goroutine_exporter_unknown_module_total 1");
    has(
        &metrics,
        r#"goroutine_exporter_probes_total{module="default",result="busy"} 1"#,
    );
    has(&metrics, "goroutine_exporter_tracked_targets 3");
    has(&metrics, "goroutine_exporter_tasks 7");
}
