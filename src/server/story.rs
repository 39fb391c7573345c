//! The story of a probe as text, for the person who asks why it came out as it did. Rendered from the outcome;
//! never shows a body or a credential.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::probe::ProbeOutcome;

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

    writeln!(story, "\nProfile goroutine")?;
    let fetch = &outcome.goroutine;
    if let Some(bytes) = fetch.body_bytes {
        let kind = fetch.content_type.as_deref().unwrap_or("no content type");
        writeln!(story, "  body      {bytes} bytes as sent, {kind}")?;
    } else {
        writeln!(story, "  body      none")?;
    }
    if let Ok(report) = &outcome.result {
        let tally = &report.tally;
        let summary = &tally.summary;
        writeln!(story, "  encoding  {}", summary.encoding)?;
        writeln!(
            story,
            "  cut short {}",
            if summary.truncated { "yes" } else { "no" }
        )?;
        writeln!(story, "  damaged   {} records left out", summary.damage)?;

        writeln!(story, "\nGroups")?;
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
    use crate::probe::{Phases, ProbeError, ProfileFetch, test_report};

    fn outcome() -> ProbeOutcome {
        ProbeOutcome {
            target: "http://a:1".to_owned(),
            module: "default".to_owned(),
            started: SystemTime::UNIX_EPOCH,
            duration: Duration::from_millis(250),
            phases: Phases {
                connect: Some(Duration::from_micros(180)),
                ..Phases::default()
            },
            goroutine: ProfileFetch {
                content_type: Some("text/html".to_owned()),
                body_bytes: Some(99),
                ..ProfileFetch::default()
            },
            result: Ok(test_report()),
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
                "  body      99 bytes as sent, text/html\n",
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
        let mut failed = outcome();
        failed.goroutine = ProfileFetch::default();
        failed.result = Err(ProbeError::Decode(DecodeError::TooLarge { limit: 7 }));
        check(
            &failed,
            &[
                "  failed    too_large: more than 7 bytes after inflation\n",
                "  body      none\n",
            ],
        );
        let mut cut = test_report();
        cut.tally.summary.truncated = true;
        check(
            &ProbeOutcome {
                result: Ok(cut),
                ..outcome()
            },
            &["  failed    decode: the profile was cut", "  cut short yes"],
        );
    }
}
