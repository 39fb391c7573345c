//! The story of a probe as text, for the person who asks why it came out as it did. Rendered from the outcome;
//! never shows a body or a credential.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::budget::Skip;
use crate::config::Profile;
use crate::probe::ProbeOutcome;
use crate::reading::Reading;

/// Tells it: what happened when, what was decided, the metrics, and the module in force with its secrets hidden.
pub(super) fn tell(
    outcome: &ProbeOutcome,
    budget: Duration,
    metrics: &str,
    module: &str,
) -> String {
    let mut story = String::new();
    let written = write(&mut story, outcome, budget, metrics, module);
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    story
}

fn write(
    story: &mut String,
    outcome: &ProbeOutcome,
    budget: Duration,
    metrics: &str,
    module: &str,
) -> fmt::Result {
    writeln!(
        story,
        "Probe of {} with module {}",
        outcome.target, outcome.module
    )?;
    writeln!(
        story,
        "  started   {}",
        humantime::format_rfc3339_millis(outcome.started)
    )?;
    writeln!(
        story,
        "  took      {}, of {} at most",
        Seconds(outcome.duration),
        Seconds(budget)
    )?;
    match (&outcome.result, outcome.failure()) {
        (Err(error), Some(reason)) => writeln!(story, "  failed    {reason}: {error}")?,
        (_, Some(reason)) => writeln!(
            story,
            "  failed    {reason}: the profile was cut short or damaged"
        )?,
        (_, None) => writeln!(story, "  succeeded")?,
    }

    writeln!(story, "\nPhases")?;
    for (phase, duration) in outcome.phases.named() {
        match duration {
            Some(duration) => writeln!(story, "  {phase:<11}{}", Seconds(duration))?,
            None => writeln!(story, "  {phase:<11}did not happen")?,
        }
    }

    for (profile, reading) in outcome.readings() {
        write_reading(story, profile, reading)?;
    }
    if let Some(skip) = outcome.detail_skipped {
        writeln!(
            story,
            "\nProfile {} not asked for: {}",
            Profile::Detail.as_str(),
            why(skip)
        )?;
    }
    if let Some(skip) = outcome.trace_skipped {
        writeln!(
            story,
            "\nProfile {} not asked for: {}",
            Profile::Trace.as_str(),
            why_no_trace(skip)
        )?;
    }
    if let Some(failure) = outcome.trace_failure {
        writeln!(story, "\nThe last trace was not read whole: {failure}")?;
    }
    if let Some(restarted) = outcome.restarted {
        let at = humantime::format_rfc3339_millis(restarted);
        writeln!(story, "\nRestart of the target noticed {at}")?;
    }
    if let Ok(report) = &outcome.result {
        let tally = &report.tally;
        writeln!(story, "\nGroups")?;
        writeln!(story, "  encoding  {}", tally.summary.encoding)?;
        writeln!(
            story,
            "  {} goroutines in {} groups",
            tally.total,
            tally.groups.len()
        )?;
        let (shown, folded, other) = (
            report.selection.shown.len(),
            report.selection.folded,
            report.selection.other,
        );
        writeln!(
            story,
            "  {shown} have series of their own, {folded} are folded with {other} goroutines"
        )?;
        for group in report
            .selection
            .shown
            .iter()
            .filter_map(|&place| tally.groups.get(place))
        {
            writeln!(
                story,
                "  {:>8}  {}  {}  {}",
                group.goroutines, group.id, group.wait_reason, group.blocking_frame
            )?;
        }
    }
    writeln!(story, "\nMetrics\n{}", indent(metrics))?;
    writeln!(story, "\nModule, secrets hidden\n{}", indent(module))
}

/// How one profile was read.
fn write_reading(story: &mut String, profile: Profile, reading: &Reading) -> fmt::Result {
    let when = if reading.fresh { "" } else { ", earlier" };
    writeln!(story, "\nProfile {}{when}", profile.as_str())?;
    if let Some(bytes) = reading.body_bytes {
        let kind = reading.content_type.as_deref().unwrap_or("no content type");
        writeln!(story, "  body      {bytes} bytes as sent, {kind}")?;
    } else {
        writeln!(story, "  body      none")?;
    }
    if reading.supported == Some(false) {
        writeln!(story, "  the target does not have it")?;
    }
    if let Some(duration) = reading.duration {
        writeln!(story, "  took      {}", Seconds(duration))?;
    }
    if let Some(truncated) = reading.truncated {
        let answer = if truncated { "yes" } else { "no" };
        writeln!(story, "  cut short {answer}")?;
    }
    if let Some(damage) = reading.damage {
        writeln!(story, "  damaged   {damage} records left out")?;
    }
    if let Some(read_at) = reading.read_at {
        let at = humantime::format_rfc3339_millis(read_at);
        writeln!(story, "  read at   {at}")?;
    }
    if let (Some(reason), Some(problem)) = (reading.failure, &reading.problem) {
        writeln!(story, "  problem   {reason}: {problem}")?;
    }
    Ok(())
}

/// Why the detailed profile was not asked for, as a sentence's end.
fn why(skip: Skip) -> &'static str {
    match skip {
        Skip::Off => "detail.mode is off",
        Skip::Interval => {
            "the last one is more recent than detail.min_interval, or than what it was backed off to"
        }
        Skip::Budget => {
            "detail.max_frames, the time left, or another expensive request did not allow it"
        }
    }
}

/// The same of the trace.
fn why_no_trace(skip: Skip) -> &'static str {
    match skip {
        Skip::Off => "trace.mode is off",
        Skip::Interval => {
            "the last one is more recent than trace.min_interval, or than what it was backed off to, or the target has none that can be read"
        }
        Skip::Budget => {
            "trace.max_goroutines, trace.max_bytes, the time left, or another expensive request did not allow it"
        }
    }
}

/// Seconds with microseconds.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", self.0.as_secs_f64())
    }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::decode::DecodeError;
    use crate::probe::{Phases, ProbeError, test_outcome, test_report};

    fn outcome() -> ProbeOutcome {
        let told = test_outcome("http://a:1", Ok(test_report()));
        ProbeOutcome {
            phases: Phases {
                connect: Some(Duration::from_micros(180)),
                ..Phases::default()
            },
            goroutine: Reading {
                content_type: Some("text/html".to_owned()),
                body_bytes: Some(99),
                damage: Some(3),
                ..told.goroutine
            },
            others: vec![(
                Profile::Leak,
                Reading {
                    supported: Some(false),
                    ..Reading::default()
                },
            )],
            detail_skipped: Some(Skip::Budget),
            restarted: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1)),
            ..told
        }
    }

    fn check(outcome: &ProbeOutcome, parts: &[&str]) {
        let story = tell(
            outcome,
            Duration::from_secs(9),
            "metric 1\n",
            "path: /debug/pprof\n",
        );
        for part in parts {
            assert!(story.contains(part), "no {part:?} in:\n{story}");
        }
    }

    #[test]
    fn a_success_is_told() {
        check(
            &outcome(),
            &[
                "Probe of http://a:1 with module default\n",
                "  started   1970-01-01T00:00:00.000Z\n",
                "  took      0.250000 s, of 9.000000 s at most\n",
                "  succeeded\n",
                "  connect    0.000180 s\n",
                "  tls        did not happen\n",
                "\nProfile goroutine\n  body      99 bytes as sent, text/html\n",
                "  damaged   3 records left out\n",
                "\nProfile goroutineleak, earlier\n  body      none\n  the target does not have it\n",
                "\nProfile goroutine_detail not asked for: detail.max_frames",
                "\nRestart of the target noticed 1970-01-01T00:00:01.000Z\n",
                "  encoding  protobuf\n",
                "  100 goroutines in 3 groups\n",
                "  2 have series of their own, 1 are folded with 5 goroutines\n",
                "        80  0000000000000001  chan receive  example.com/svc.(*Pool).get\n",
                "\nMetrics\n  metric 1\n",
                "\nModule, secrets hidden\n  path: /debug/pprof\n",
            ],
        );
    }

    #[test]
    fn a_failure_is_told() {
        let error = ProbeError::Decode(DecodeError::TooLarge { limit: 7 });
        check(
            &test_outcome("http://a:1", Err(error)),
            &[
                "  failed    too_large: more than 7 bytes after inflation\n",
                "  body      none\n",
                "  problem   too_large: more than 7 bytes",
            ],
        );
        let mut cut = test_report();
        cut.tally.summary.truncated = true;
        check(
            &ProbeOutcome {
                result: Ok(cut),
                ..outcome()
            },
            &["  failed    decode: the profile was cut"],
        );
    }
}
