//! Turns what a probe found into the text a Prometheus server reads.
//!
//! Two layers: [`Exposition::tally`] writes what was counted, which `inspect` needs alone, and
//! [`Exposition::probe`] writes how the probe went around it. Pure functions of their arguments; the names are
//! in [`metrics`]. This module never fetches and never keeps anything from one probe to the next.
//!
//! Source of the format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

mod families;
pub mod godebug;
pub mod metrics;
mod traced;

pub use families::ExtraLabels;

use std::time::{Duration, SystemTime};

use crate::classify::WaitReason;
use crate::config::Profile;
use crate::probe::{Contended, ProbeOutcome};
use crate::reading::Reading;
use crate::tally::{Group, OTHER_PLACES, Selection, Tally, WAITED_MINUTES};
use families::Families;

/// The `Content-Type` of every exposition.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The exposition of one probe.
///
/// Cost: time and memory grow with the number of groups shown (40 + 2 N samples of some 300 bytes),
/// not with the number of goroutines.
#[must_use]
pub fn expose(outcome: &ProbeOutcome) -> String {
    let mut exposition = Exposition::default();
    exposition.probe(&[], outcome);
    exposition.render()
}

/// The exposition of a profile that no probe fetched. Cost as for [`expose`].
#[must_use]
pub fn expose_tally(tally: &Tally, selection: &Selection) -> String {
    let mut exposition = Exposition::default();
    exposition.tally(&[], tally, selection);
    exposition.render()
}

/// Samples of any number of targets, each family written once.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    families: Families,
}

impl Exposition {
    /// Adds one probe, and what it counted. `extra` labels go on every series; each target's must differ.
    pub fn probe(&mut self, extra: &ExtraLabels, outcome: &ProbeOutcome) {
        let failure = outcome.failure();
        self.add(extra, metrics::PROBE_SUCCESS, &[], flag(failure.is_none()));
        if let Some(reason) = failure {
            self.add(extra, metrics::PROBE_FAILURE, &[reason.as_str()], 1.0);
        }
        self.add(
            extra,
            metrics::PROBE_DURATION_SECONDS,
            &[],
            outcome.duration.as_secs_f64(),
        );
        for (phase, duration) in outcome.phases.named() {
            self.add_known(
                extra,
                metrics::PROBE_PHASE_DURATION_SECONDS,
                &[phase],
                duration.map(seconds),
            );
        }
        for (profile, reading) in outcome.readings() {
            self.reading(extra, profile, reading);
        }
        let restarted = outcome
            .restarted
            .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        self.add_known(
            extra,
            metrics::TARGET_RESTART_TIMESTAMP_SECONDS,
            &[],
            restarted.map(seconds),
        );
        if let Ok(report) = &outcome.result {
            self.tally(extra, &report.tally, &report.selection);
            let block = [metrics::BLOCK_SECONDS_TOTAL, metrics::BLOCK_EVENTS_TOTAL];
            let mutex = [metrics::MUTEX_SECONDS_TOTAL, metrics::MUTEX_EVENTS_TOTAL];
            for (metrics, contended) in [(block, &report.block), (mutex, &report.mutex)] {
                if let Some(contended) = contended {
                    self.contention(extra, metrics, contended);
                }
            }
            let threads = report.threads.map(number);
            self.add_known(extra, metrics::THREADS, &[], threads);
            if let Some(traced) = &report.traced {
                self.traced(extra, traced);
                let checked = report.tally.checked.map(number);
                self.add_known(extra, metrics::TRACE_CHECKED_GOROUTINES, &[], checked);
            }
        }
        if let Some(why) = outcome.trace_failure {
            self.add(extra, metrics::TRACE_FAILURE, &[why.as_str()], 1.0);
        }
    }

    /// Adds what was counted in one profile, however it was come by.
    pub fn tally(&mut self, extra: &ExtraLabels, tally: &Tally, selection: &Selection) {
        // A profile that lists leaked goroutines only says nothing about all the others.
        if !tally.summary.leaked_only {
            self.totals(extra, tally, selection);
        }
        self.waits(extra, tally);
        self.leaks(extra, tally);
        let groups = shown(tally, selection).count();
        self.families.expect(metrics::GROUP_INFO, groups);
        if !tally.summary.leaked_only {
            self.families.expect(metrics::GROUP_GOROUTINES, groups);
        }
        for group in shown(tally, selection) {
            self.group(extra, group, tally.summary.leaked_only);
        }
    }

    /// The text, families in the order of [`metrics::ALL`].
    #[must_use]
    pub fn render(self) -> String {
        self.families.render()
    }

    /// How a profile was fetched and read.
    fn reading(&mut self, extra: &ExtraLabels, profile: Profile, reading: &Reading) {
        let labels = [profile.as_str()];
        // Without the goroutine profile there is no probe, whether or not the target has it.
        let success = match profile {
            Profile::Goroutine => Some(reading.failure.is_none()),
            _ => reading.success(),
        };
        let read_at = reading
            .read_at
            .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        for (metric, value) in [
            (metrics::PROFILE_SUCCESS, success.map(flag)),
            (metrics::PROFILE_SUPPORTED, reading.supported.map(flag)),
            (metrics::PROFILE_BODY_BYTES, reading.body_bytes.map(number)),
            (
                metrics::PROFILE_FETCH_DURATION_SECONDS,
                reading.duration.map(seconds),
            ),
            (metrics::PROFILE_TRUNCATED, reading.truncated.map(flag)),
            (metrics::PROFILE_DAMAGED_RECORDS, reading.damage.map(number)),
            (metrics::PROFILE_TIMESTAMP_SECONDS, read_at.map(seconds)),
        ] {
            self.add_known(extra, metric, &labels, value);
        }
    }

    /// Counters of contention, passed through: what shows them most, and the rest under one name.
    fn contention(&mut self, extra: &ExtraLabels, metrics: [metrics::Metric; 2], of: &Contended) {
        let places = &of.contention.places;
        let shown = of.selection.shown.iter().filter_map(|&at| places.get(at));
        let rest = (
            [OTHER_PLACES; 2],
            of.selection.other_nanoseconds,
            of.selection.other_events,
        );
        let shown = shown.map(|place| {
            let labels = [&*place.blocking_frame, &*place.app_frame];
            (labels, place.nanoseconds, place.events)
        });
        let [in_seconds, events] = metrics;
        for (labels, nanoseconds, count) in shown.chain([rest]) {
            let duration = Duration::from_nanos(nanoseconds);
            self.add(extra, in_seconds, &labels, seconds(duration));
            self.add(extra, events, &labels, number(count));
        }
    }

    fn totals(&mut self, extra: &ExtraLabels, tally: &Tally, selection: &Selection) {
        self.add(extra, metrics::GOROUTINES, &[], number(tally.total));
        for (reason, &count) in WaitReason::ALL.iter().zip(&tally.wait_reasons) {
            self.add(
                extra,
                metrics::WAIT_REASON_GOROUTINES,
                &[reason.as_str()],
                number(count),
            );
        }
        self.add(extra, metrics::GROUPS, &[], count(tally.groups.len()));
        self.add(extra, metrics::GROUPS_FOLDED, &[], count(selection.folded));
        self.add(
            extra,
            metrics::OTHER_GOROUTINES,
            &[],
            number(selection.other),
        );
        // Groups come largest first. Of no goroutines at all the largest group is no share.
        let largest = tally.groups.first().map_or(0, |group| group.goroutines);
        let ratio = if tally.total == 0 {
            0.0
        } else {
            number(largest) / number(tally.total)
        };
        self.add(extra, metrics::LARGEST_GROUP_RATIO, &[], ratio);
        for (watch, goroutines) in &tally.watches {
            self.add(
                extra,
                metrics::WATCH_GOROUTINES,
                &[watch],
                number(*goroutines),
            );
        }
        for (key, value, goroutines) in &tally.labels {
            self.add(
                extra,
                metrics::LABEL_GOROUTINES,
                &[key, value],
                number(*goroutines),
            );
        }
        self.add_known(
            extra,
            metrics::HIGHEST_ID,
            &[],
            tally.highest_id.map(number),
        );
    }

    fn waits(&mut self, extra: &ExtraLabels, tally: &Tally) {
        for (reason, wait) in WaitReason::ALL.iter().zip(&tally.longest_waits) {
            self.add_known(
                extra,
                metrics::LONGEST_WAIT_SECONDS,
                &[reason.as_str()],
                wait.map(seconds),
            );
        }
        for (reason, waited) in WaitReason::ALL.iter().zip(&tally.waited) {
            for (minutes, &goroutines) in WAITED_MINUTES.iter().zip(waited) {
                if goroutines > 0 {
                    let seconds = (minutes * 60).to_string();
                    self.add(
                        extra,
                        metrics::WAITING_GOROUTINES,
                        &[reason.as_str(), &seconds],
                        number(goroutines),
                    );
                }
            }
        }
    }

    /// The total of leaks is known from a profile of nothing else, and where the runtime has marked some.
    fn leaks(&mut self, extra: &ExtraLabels, tally: &Tally) {
        let leaked = if tally.summary.leaked_only {
            Some(tally.total)
        } else {
            tally.leaked
        };
        self.add_known(extra, metrics::LEAKED_GOROUTINES, &[], leaked.map(number));
    }

    fn group(&mut self, extra: &ExtraLabels, group: &Group, leaked_only: bool) {
        let id = group.id.to_string();
        let labels = [
            &*id,
            group.wait_reason.as_str(),
            &*group.blocking_frame,
            &*group.app_frame,
        ];
        let leaked = if leaked_only {
            group.goroutines
        } else {
            group.leaked
        };
        if !leaked_only {
            self.add(
                extra,
                metrics::GROUP_GOROUTINES,
                &labels,
                number(group.goroutines),
            );
        }
        if leaked > 0 {
            self.add(
                extra,
                metrics::GROUP_LEAKED_GOROUTINES,
                &labels,
                number(leaked),
            );
        }
        self.add_known(
            extra,
            metrics::GROUP_LONGEST_WAIT_SECONDS,
            &labels,
            group.longest_wait.map(seconds),
        );
        if let Some(parked) = group.parked {
            self.add(
                extra,
                metrics::GROUP_PARKED_GOROUTINES,
                &labels,
                number(parked.goroutines),
            );
            self.add(extra, metrics::GROUP_PARKED_RATIO, &labels, parked.ratio());
        }
        let line = if group.line == 0 {
            String::new()
        } else {
            group.line.to_string()
        };
        let created_by = group.created_by.as_deref().unwrap_or_default();
        let info = [
            &*id,
            &*group.file,
            &*line,
            &*group.entry,
            created_by,
            group.origin.as_str(),
        ];
        self.add(extra, metrics::GROUP_INFO, &info, 1.0);
    }

    fn add(&mut self, extra: &ExtraLabels, metric: metrics::Metric, values: &[&str], value: f64) {
        self.families.add(extra, metric, values, value);
    }

    fn add_known(
        &mut self,
        extra: &ExtraLabels,
        metric: metrics::Metric,
        values: &[&str],
        value: Option<f64>,
    ) {
        if let Some(value) = value {
            self.add(extra, metric, values, value);
        }
    }
}

/// The groups chosen to have series.
fn shown<'a>(tally: &'a Tally, selection: &'a Selection) -> impl Iterator<Item = &'a Group> {
    selection
        .shown
        .iter()
        .filter_map(|&place| tally.groups.get(place))
}

fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn count(n: usize) -> f64 {
    u64::try_from(n).map_or(f64::INFINITY, number)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "samples are floating point numbers; above 2^53 the nearest one is meant"
)]
fn number(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::assert_valid;
