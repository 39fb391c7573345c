//! What the last execution trace told, as samples.

use std::sync::Arc;
use std::time::Duration;

use super::metrics;
use super::{Exposition, ExtraLabels, number, seconds};
use crate::tally::OTHER_PLACES;
use crate::trace::{Blame, Cause, Sum};
use crate::traced::{Group, QUANTILES, Top, Traced};

impl Exposition {
    /// Adds a window. Cost: some 90 samples, and seven for each row of a list.
    pub(super) fn traced(&mut self, extra: &ExtraLabels, traced: &Traced) {
        for (metric, value) in [
            (metrics::TRACE_WINDOW_SECONDS, time(traced.nanoseconds)),
            (metrics::TRACE_EVENTS, number(traced.events)),
            (metrics::TRACE_DAMAGED_EVENTS, number(traced.damage)),
        ] {
            self.add(extra, metric, &[], value);
        }
        let processors = traced.processors.map(number);
        self.add_known(extra, metrics::TRACE_PROCESSORS, &[], processors);
        self.by_group(&traced.blocked, |own, labels, sum| {
            own.add(
                extra,
                metrics::TRACE_BLOCKED_SECONDS,
                labels,
                time(sum.nanoseconds),
            );
            own.add(
                extra,
                metrics::TRACE_BLOCKED_EVENTS,
                labels,
                number(sum.count),
            );
        });
        self.by_group(&traced.parked, |own, labels, sum| {
            own.add(
                extra,
                metrics::TRACE_PARKED_GOROUTINES,
                labels,
                number(sum.count),
            );
        });
        self.syscalls(extra, traced);
        self.sites(extra, traced);
        self.delays(extra, traced);
        self.collector(extra, traced);
        for (kind, sum, longest) in &traced.stops {
            for (metric, value) in [
                (metrics::TRACE_STOP_THE_WORLD_SECONDS, time(sum.nanoseconds)),
                (metrics::TRACE_STOP_THE_WORLD_PAUSES, number(sum.count)),
                (
                    metrics::TRACE_STOP_THE_WORLD_LONGEST_SECONDS,
                    time(*longest),
                ),
            ] {
                self.add(extra, metric, &[kind], value);
            }
        }
        for (blame, waited) in Blame::ALL.iter().zip(traced.waiting) {
            let cause = label(blame.as_str());
            self.add(
                extra,
                metrics::TRACE_WAITING_SECONDS,
                &[&cause],
                time(waited),
            );
        }
    }

    /// Hands over each row with its labels, and the rest as one of a group `other`.
    fn by_group(&mut self, top: &Top<Group, Sum>, add: impl Fn(&mut Self, &[&str], Sum)) {
        for (group, sum) in &top.rows {
            let id = group.id.to_string();
            let labels = [
                &*id,
                group.wait_reason.as_str(),
                &*group.blocking_frame,
                &*group.app_frame,
            ];
            add(self, &labels, *sum);
        }
        add(self, &[OTHER_PLACES; 4], top.rest);
    }

    fn syscalls(&mut self, extra: &ExtraLabels, traced: &Traced) {
        let rows = traced.syscalls.rows.iter();
        let rows = rows.map(|(group, sum)| ([&*group.blocking_frame, &*group.app_frame], *sum));
        for (labels, sum) in rows.chain([([OTHER_PLACES; 2], traced.syscalls.rest)]) {
            let spent = time(sum.nanoseconds);
            self.add(extra, metrics::TRACE_SYSCALL_SECONDS, &labels, spent);
            let events = number(sum.count);
            self.add(extra, metrics::TRACE_SYSCALL_EVENTS, &labels, events);
        }
    }

    fn sites(&mut self, extra: &ExtraLabels, traced: &Traced) {
        let rows = traced.sites.rows.iter().map(|(site, births)| {
            let labels = [&site.created_by, &site.app_frame, &site.entry];
            (labels.map(Arc::as_ref), *births)
        });
        for (labels, births) in rows.chain([([OTHER_PLACES; 3], traced.sites.rest)]) {
            for (metric, value) in [
                (metrics::TRACE_CREATED_GOROUTINES, births.created),
                (metrics::TRACE_ENDED_GOROUTINES, births.ended),
            ] {
                self.add(extra, metric, &labels, number(value));
            }
        }
    }

    fn delays(&mut self, extra: &ExtraLabels, traced: &Traced) {
        for (cause, delays) in Cause::ALL.iter().zip(&traced.delays) {
            let cause = label(cause.as_str());
            let cause = cause.as_str();
            self.add(
                extra,
                metrics::TRACE_SCHEDULING_EVENTS,
                &[cause],
                number(delays.count),
            );
            self.add(
                extra,
                metrics::TRACE_SCHEDULING_SECONDS,
                &[cause],
                time(delays.nanoseconds),
            );
            // Of no delays at all there is no longest.
            let quantiles = QUANTILES.iter().zip(delays.quantiles);
            for ((_, percentile), delay) in quantiles.filter(|_| delays.count > 0) {
                self.add(
                    extra,
                    metrics::TRACE_SCHEDULING_LATENCY_SECONDS,
                    &[cause, percentile],
                    time(delay),
                );
            }
        }
        let runnable = &traced.runnable;
        for (during, spent) in [
            (Blame::WorldStopped, runnable.world_stopped),
            (Blame::Marking, runnable.marking),
            (Blame::Other, runnable.other),
        ] {
            self.add(
                extra,
                metrics::TRACE_RUNNABLE_SECONDS,
                &[&label(during.as_str())],
                time(spent),
            );
        }
    }

    fn collector(&mut self, extra: &ExtraLabels, traced: &Traced) {
        let collector = &traced.collector;
        let (mark, assist) = (collector.mark.all(), collector.assist.all());
        for (metric, value) in [
            (metrics::TRACE_GC_CYCLES, number(mark.count)),
            (metrics::TRACE_GC_MARK_SECONDS, time(mark.nanoseconds)),
            (metrics::TRACE_GC_ASSIST_SECONDS, time(assist.nanoseconds)),
            (
                metrics::TRACE_GC_SWEEP_SECONDS,
                time(collector.sweep.nanoseconds),
            ),
            (
                metrics::TRACE_GC_WORKER_SECONDS,
                time(collector.workers.nanoseconds),
            ),
        ] {
            self.add(extra, metric, &[], value);
        }
    }
}

/// Words of the trace as a value of a label.
fn label(words: &str) -> String {
    words.replace(' ', "_")
}

fn time(nanoseconds: u64) -> f64 {
    seconds(Duration::from_nanos(nanoseconds))
}
