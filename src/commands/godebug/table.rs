//! The totals for a person at a terminal.

use std::io::{self, Write};

use crate::godebug::Totals;
use crate::numbers::{count, grouped};

/// What to do when there is nothing to tell.
const HINT: &str = "no line of gctrace or schedtrace came; GODEBUG=gctrace=1,schedtrace=1000 makes a Go program write them";

/// Writes them, a line each, where their lines came.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(totals: &Totals, out: &mut impl Write) -> io::Result<()> {
    let malformed = totals
        .malformed_cycles
        .saturating_add(totals.malformed_samples);
    if totals.cycles == 0 && totals.samples == 0 && malformed == 0 {
        writeln!(out, "{}: {HINT}", count(totals.lines, "line"))?;
        return out.flush();
    }
    let mut row = |name: &str, value: String, rest: String| {
        let rest = if rest.is_empty() {
            rest
        } else {
            format!("   {rest}")
        };
        writeln!(out, "{name:<22}{value:>12}{rest}")
    };
    let (damaged, restarts) = (
        format!("{} damaged", grouped(malformed)),
        count(totals.restarts, "restart"),
    );
    row(
        "lines",
        grouped(totals.lines),
        format!("{damaged}, {restarts}"),
    )?;
    if totals.cycles > 0 {
        let [lost, forced, leaks] =
            [totals.lost_cycles, totals.forced_cycles, totals.leak_checks].map(grouped);
        row(
            "gc cycles",
            grouped(totals.cycles),
            format!("{lost} lost, {forced} forced, {leaks} for leaks"),
        )?;
        let paused = totals
            .sweep_termination_us
            .saturating_add(totals.mark_termination_us);
        row(
            "gc pauses",
            seconds(paused),
            format!(
                "{} sweep termination, {} mark termination",
                seconds(totals.sweep_termination_us),
                seconds(totals.mark_termination_us)
            ),
        )?;
        row(
            "gc marking",
            seconds(totals.mark_us),
            "beside the program".to_owned(),
        )?;
        let cpu = totals.cpu;
        let all = [cpu.assist_us, cpu.background_us, cpu.idle_us, cpu.pause_us];
        let [assist, background, idle, pause] = all.map(seconds);
        row(
            "gc cpu",
            seconds(all.into_iter().fold(0, u64::saturating_add)),
            format!("{assist} assist, {background} background, {idle} idle, {pause} pause"),
        )?;
    }
    if let Some(cycle) = totals.last_cycle {
        let [start, end, live, goal] = [
            cycle.heap_start,
            cycle.heap_end,
            cycle.heap_live,
            cycle.goal,
        ]
        .map(mebibytes);
        row(
            "last heap",
            format!("{live} live"),
            format!("{start} at the start, {end} at the end, goal {goal}"),
        )?;
    }
    if let Some(sample) = totals.last_sample {
        row("scheduler lines", grouped(totals.samples), String::new())?;
        let [idle, procs, threads] = [sample.idle_procs, sample.gomaxprocs, sample.threads];
        row(
            "last runnable",
            sample.runnable().map_or_else(|| "?".to_owned(), grouped),
            format!("{idle} of {procs} processors idle, {threads} threads"),
        )?;
        let joined = totals.joined;
        row(
            "with growing queues",
            grouped(joined.growing_cycles),
            format!(
                "of {} gc cycles between scheduler lines, {} of pauses",
                grouped(joined.cycles),
                seconds(joined.growing_pause_us)
            ),
        )?;
    }
    out.flush()
}

/// Microseconds as seconds.
fn seconds(microseconds: u64) -> String {
    let milliseconds = microseconds / 1000;
    format!(
        "{}.{:03} s",
        grouped(milliseconds / 1000),
        milliseconds % 1000
    )
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::godebug::Reader;

    fn written(text: &str) -> String {
        let mut reader = Reader::default();
        reader.feed(text.as_bytes());
        let mut out = Vec::new();
        write(reader.totals(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_came_is_told() {
        let text = written(
            "SCHED 0ms: gomaxprocs=2 idleprocs=1 threads=5 spinningthreads=0 idlethreads=2 runqueue=0 [0 0]\n\
             gc 7 @1.301s 7%: 34+1100+12 ms clock, 69+0.010/0.10/0.020+0.001 ms cpu, 22->23->2 MB, 34 MB goal, 1 MB stacks, 0 MB globals, 2 P (forced)\n\
             SCHED 9ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 idlethreads=2 runqueue=3 [0 4]\n\
             gc 9 @2.000s oops\n",
        );
        assert_eq!(
            text,
            "\
lines                            4   1 damaged, 0 restarts
gc cycles                        1   0 lost, 1 forced, 0 for leaks
gc pauses                  0.046 s   0.034 s sweep termination, 0.012 s mark termination
gc marking                 1.100 s   beside the program
gc cpu                     0.069 s   0.000 s assist, 0.000 s background, 0.000 s idle, 0.069 s pause
last heap               2 MiB live   22 MiB at the start, 23 MiB at the end, goal 34 MiB
scheduler lines                  2
last runnable                    7   0 of 2 processors idle, 5 threads
with growing queues              1   of 1 gc cycles between scheduler lines, 0.046 s of pauses
"
        );
    }

    #[test]
    fn nothing_is_explained() {
        let text = written("hello\n");
        assert!(text.starts_with("1 line: no line of gctrace"), "{text}");
        assert!(written("gc 9 @2.000s oops\n").starts_with("lines "));
    }
}
