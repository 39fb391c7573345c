//! What programs say of themselves under `GODEBUG`, as series: the table of their metrics, and how they are filled.
//!
//! A source has [`MAX_SERIES`] series at most; those of a kind of lines that never came are absent where they are gauges.
//! Times and sizes are as exact as the lines are, which is two digits and whole MiB.

use std::time::SystemTime;

use super::metrics::{Kind, Metric};
use super::{Exposition, ExtraLabels, flag, number};
use crate::follow::Snapshot;
use crate::godebug::{Cycle, Sample, Totals};

/// Series of a source, at most.
pub const MAX_SERIES: usize = 40;

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $id: Metric = Metric { name: $name, kind: Kind::$kind, labels: &["source" $(, $label)*], help: $help };)*

        /// Every metric of a source.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    UP = Gauge "goroutine_godebug_up" []
        "Whether the file or pipe is open: 1 or 0.";
    FAILURES = Counter "goroutine_godebug_failures_total" []
        "Attempts to open or read it that failed, a missing one aside.";
    SWITCHES = Counter "goroutine_godebug_switches_total" []
        "Times that reading went on in another file of that name, or from the start of the same one after it was cut.";
    LINES = Counter "goroutine_godebug_lines_total" []
        "Lines of any text.";
    LINES_MALFORMED = Counter "goroutine_godebug_lines_malformed_total" ["kind"]
        "Damaged lines of gctrace and of schedtrace, which are left out of everything else. Others writing to the same stream can damage them.";
    LINES_TOO_LONG = Counter "goroutine_godebug_lines_too_long_total" []
        "Lines longer than 64 KiB, which nobody looked into.";
    LAST_LINE = Gauge "goroutine_godebug_last_line_timestamp_seconds" ["kind"]
        "When a line of the kind last came, in seconds since 1970.";
    RESTARTS = Counter "goroutine_godebug_restarts_total" []
        "Times that the program was seen to have started anew: its cycles or its clock began again. The counters here go on.";
    CYCLES = Counter "goroutine_godebug_gc_cycles_total" []
        "Cycles of the garbage collector whose line was read.";
    CYCLES_LOST = Counter "goroutine_godebug_gc_cycles_lost_total" []
        "Cycles that are missing in the numbers of those lines.";
    CYCLES_FORCED = Counter "goroutine_godebug_gc_cycles_forced_total" []
        "Cycles that the program asked for: runtime.GC, debug.FreeOSMemory, a profile of leaks.";
    LEAK_CHECKS = Counter "goroutine_godebug_gc_leak_checks_total" []
        "Cycles that looked for leaked goroutines (Go 1.26 and later).";
    PAUSE_SECONDS = Counter "goroutine_godebug_gc_pause_seconds_total" ["phase"]
        "Seconds in which the garbage collector had stopped the world, to end sweeping and to end marking. The time until all goroutines stood still is not in it.";
    MARK_SECONDS = Counter "goroutine_godebug_gc_mark_seconds_total" []
        "Seconds of marking beside the program, by the clock.";
    CPU_SECONDS = Counter "goroutine_godebug_gc_cpu_seconds_total" ["class"]
        "CPU seconds of the garbage collector: assist (goroutines that allocate and must help), background (its own workers), idle (processors with nothing else to do), pause.";
    CPU_RATIO = Gauge "goroutine_godebug_gc_cpu_ratio" []
        "The share of CPU time that the garbage collector has taken since the program started, 0 to 1, in whole percent.";
    HEAP_BYTES = Gauge "goroutine_godebug_gc_heap_bytes" ["state"]
        "The heap in the last cycle: at its start, at its end, and live.";
    GOAL_BYTES = Gauge "goroutine_godebug_gc_heap_goal_bytes" []
        "The heap that the last cycle was to stay below.";
    STACK_BYTES = Gauge "goroutine_godebug_gc_stack_bytes" []
        "Stacks scanned in the last cycle.";
    GLOBALS_BYTES = Gauge "goroutine_godebug_gc_globals_bytes" []
        "Global variables scanned in the last cycle.";
    JOINED_CYCLES = Counter "goroutine_godebug_gc_joined_cycles_total" []
        "Cycles between two lines of schedtrace at most 10 seconds apart, by the order of lines.";
    GROWING_CYCLES = Counter "goroutine_godebug_gc_growing_queue_cycles_total" []
        "Those of the joined cycles with more runnable goroutines (all queues together) in the line behind them than in the one before.";
    GROWING_PAUSE_SECONDS = Counter "goroutine_godebug_gc_growing_queue_pause_seconds_total" []
        "Pauses of the cycles that coincide with growing queues.";
    SAMPLES = Counter "goroutine_godebug_sched_samples_total" []
        "Lines of schedtrace that were read.";
    TICKS = Counter "goroutine_godebug_sched_ticks_total" []
        "Rounds of the scheduler, all processors together (Go 1.25 and later).";
    GOMAXPROCS = Gauge "goroutine_godebug_gomaxprocs" []
        "Processors that Go code runs on at once.";
    IDLE_PROCS = Gauge "goroutine_godebug_sched_idle_procs" []
        "Those of them with nothing to do.";
    THREADS = Gauge "goroutine_godebug_sched_threads" []
        "Threads of the operating system.";
    IDLE_THREADS = Gauge "goroutine_godebug_sched_idle_threads" []
        "Those of them that sleep.";
    SPINNING_THREADS = Gauge "goroutine_godebug_sched_spinning_threads" []
        "Those of them that look for something to do.";
    RUNNABLE = Gauge "goroutine_godebug_sched_runnable_goroutines" ["queue"]
        "Goroutines that could run and wait for a processor: in the common queue, and in those of processors together.";
}

impl Exposition {
    /// Adds a source. `extra` labels go on every series.
    pub fn godebug(&mut self, extra: &ExtraLabels, source: &str, seen: &Snapshot) {
        let mut series = Series {
            exposition: self,
            extra,
            source,
        };
        let totals = &seen.totals;
        series.add(UP, &[], flag(seen.open));
        series.add(FAILURES, &[], number(seen.failures));
        series.add(SWITCHES, &[], number(seen.switches));
        let times = [("gctrace", seen.cycle_at), ("schedtrace", seen.sample_at)];
        for (kind, at) in times {
            let since = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            if let Some(since) = since {
                series.add(LAST_LINE, &[kind], since.as_secs_f64());
            }
        }
        series.counters(totals);
        if let Some(cycle) = &totals.last_cycle {
            series.cycle(cycle);
        }
        if let Some(sample) = &totals.last_sample {
            series.sample(sample);
        }
        let procs = totals.last_sample.map(|sample| sample.gomaxprocs);
        let procs = procs.or(totals.last_cycle.map(|cycle| cycle.gomaxprocs));
        if let Some(procs) = procs {
            series.add(GOMAXPROCS, &[], number(procs));
        }
    }
}

/// Series of one source.
struct Series<'a> {
    exposition: &'a mut Exposition,
    extra: &'a ExtraLabels,
    source: &'a str,
}

impl Series<'_> {
    fn add(&mut self, metric: Metric, values: &[&str], value: f64) {
        let values: Vec<&str> = std::iter::once(self.source)
            .chain(values.iter().copied())
            .collect();
        self.exposition
            .families
            .add(self.extra, metric, &values, value);
    }

    fn counters(&mut self, totals: &Totals) {
        let joined = &totals.joined;
        for (metric, total) in [
            (LINES, totals.lines),
            (LINES_TOO_LONG, totals.lines_too_long),
            (RESTARTS, totals.restarts),
            (CYCLES, totals.cycles),
            (CYCLES_LOST, totals.lost_cycles),
            (CYCLES_FORCED, totals.forced_cycles),
            (LEAK_CHECKS, totals.leak_checks),
            (JOINED_CYCLES, joined.cycles),
            (GROWING_CYCLES, joined.growing_cycles),
            (SAMPLES, totals.samples),
            (TICKS, totals.ticks),
        ] {
            self.add(metric, &[], number(total));
        }
        for (kind, total) in [
            ("gctrace", totals.malformed_cycles),
            ("schedtrace", totals.malformed_samples),
        ] {
            self.add(LINES_MALFORMED, &[kind], number(total));
        }
        for (phase, microseconds) in [
            ("sweep_termination", totals.sweep_termination_us),
            ("mark_termination", totals.mark_termination_us),
        ] {
            self.add(PAUSE_SECONDS, &[phase], seconds(microseconds));
        }
        self.add(MARK_SECONDS, &[], seconds(totals.mark_us));
        for (class, microseconds) in [
            ("assist", totals.cpu.assist_us),
            ("background", totals.cpu.background_us),
            ("idle", totals.cpu.idle_us),
            ("pause", totals.cpu.pause_us),
        ] {
            self.add(CPU_SECONDS, &[class], seconds(microseconds));
        }
        let paused = seconds(joined.growing_pause_us);
        self.add(GROWING_PAUSE_SECONDS, &[], paused);
    }

    fn cycle(&mut self, cycle: &Cycle) {
        self.add(CPU_RATIO, &[], number(cycle.cpu_percent) / 100.0);
        for (state, bytes) in [
            ("start", cycle.heap_start),
            ("end", cycle.heap_end),
            ("live", cycle.heap_live),
        ] {
            self.add(HEAP_BYTES, &[state], number(bytes));
        }
        self.add(GOAL_BYTES, &[], number(cycle.goal));
        self.add(STACK_BYTES, &[], number(cycle.stacks));
        self.add(GLOBALS_BYTES, &[], number(cycle.globals));
    }

    fn sample(&mut self, sample: &Sample) {
        self.add(IDLE_PROCS, &[], number(sample.idle_procs));
        self.add(THREADS, &[], number(sample.threads));
        self.add(IDLE_THREADS, &[], number(sample.idle_threads));
        self.add(SPINNING_THREADS, &[], number(sample.spinning_threads));
        self.add(RUNNABLE, &["global"], number(sample.global_queue));
        if let Some(local) = sample.local_queues {
            self.add(RUNNABLE, &["local"], number(local));
        }
    }
}

fn seconds(microseconds: u64) -> f64 {
    number(microseconds) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Stream;

    const LINES: &[u8] = b"\
SCHED 0ms: gomaxprocs=2 idleprocs=1 threads=5 spinningthreads=0 needspinning=0 idlethreads=2 runqueue=0 [ 0 0 ] schedticks=[ 1 2 ]
gc 7 @1.301s 7%: 0.034+1.1+0.002 ms clock, 0.069+0.010/0.10/0.020+0.001 ms cpu, 22->23->2 MB, 34 MB goal, 1 MB stacks, 0 MB globals, 2 P (forced)
SCHED 9ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=1 needspinning=1 idlethreads=2 runqueue=3 [ 0 4 ] schedticks=[ 11 12 ]
";

    #[test]
    fn a_source_has_its_series_and_no_more() {
        let stream = Stream::default();
        let shown = || {
            let extra = [("env".to_owned(), "prod".to_owned())];
            let mut exposition = Exposition::default();
            exposition.godebug(&extra, "shop", &stream.snapshot());
            exposition.render()
        };
        let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        let nothing = shown();
        assert!(
            !nothing.contains("bytes") && !nothing.contains("sched_threads"),
            "{nothing}"
        );
        stream.opened(false);
        stream.feed(LINES, SystemTime::UNIX_EPOCH);
        let text = shown();
        assert_eq!(samples(&text), MAX_SERIES);
        for metric in ALL {
            assert!(
                text.contains(&format!("# TYPE {} ", metric.name)),
                "{}",
                metric.name
            );
        }
        for line in [
            "up{env=\"prod\",source=\"shop\"} 1",
            "gc_cycles_total{env=\"prod\",source=\"shop\"} 1",
            "gc_cycles_forced_total{env=\"prod\",source=\"shop\"} 1",
            "gc_pause_seconds_total{env=\"prod\",source=\"shop\",phase=\"sweep_termination\"} 0.000034",
            "gc_pause_seconds_total{env=\"prod\",source=\"shop\",phase=\"mark_termination\"} 0.000002",
            "gc_mark_seconds_total{env=\"prod\",source=\"shop\"} 0.0011",
            "gc_cpu_seconds_total{env=\"prod\",source=\"shop\",class=\"pause\"} 0.00007",
            "gc_cpu_seconds_total{env=\"prod\",source=\"shop\",class=\"background\"} 0.0001",
            "gc_growing_queue_pause_seconds_total{env=\"prod\",source=\"shop\"} 0.000036",
            "gc_cpu_ratio{env=\"prod\",source=\"shop\"} 0.07",
            "gc_heap_bytes{env=\"prod\",source=\"shop\",state=\"end\"} 24117248",
            "gc_heap_goal_bytes{env=\"prod\",source=\"shop\"} 35651584",
            "sched_ticks_total{env=\"prod\",source=\"shop\"} 20",
            "sched_runnable_goroutines{env=\"prod\",source=\"shop\",queue=\"local\"} 4",
            "sched_runnable_goroutines{env=\"prod\",source=\"shop\",queue=\"global\"} 3",
            "last_line_timestamp_seconds{env=\"prod\",source=\"shop\",kind=\"gctrace\"} 0",
        ] {
            assert!(
                text.contains(&format!("\ngoroutine_godebug_{line}\n")),
                "{line} in {text}"
            );
        }
    }
}
