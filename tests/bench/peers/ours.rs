//! Ours, measured as the peers are: in a process of its own that reads one file and says what that cost.

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use goroutine_exporter::classify::Rules;
use goroutine_exporter::decode::{self, Decoder, Limits};
use goroutine_exporter::profile::{
    Encoding, Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId, Summary,
};
use goroutine_exporter::tally::{Collector, Tally};

const LIMITS: Limits = Limits {
    inflated_bytes: 256 << 20,
};
/// As a socket delivers.
const PIECE_BYTES: usize = 64 << 10;

/// Decodes, classifies and counts, as a probe does.
pub(crate) fn read(body: &[u8]) -> Tally {
    let mut collector = Collector::new(&Rules::default());
    let summary = decode_into(body, &mut collector);
    collector.finish(summary)
}

/// Decodes as a probe does: a detail as it comes, other profiles whole.
fn decode_into<S: Sink>(body: &[u8], sink: &mut S) -> Summary {
    let summary = if body.starts_with(b"goroutine ") && !body.starts_with(b"goroutine profile:") {
        let mut decoder = Decoder::new(&LIMITS);
        for piece in body.chunks(PIECE_BYTES) {
            decoder.push(piece, sink).unwrap();
        }
        let summary = decoder.finish(sink).unwrap();
        assert_eq!(summary.encoding, Encoding::Debug2);
        summary
    } else {
        decode::decode(body, &LIMITS, sink).unwrap()
    };
    assert_eq!(summary.damage, 0);
    summary
}

/// Takes what a decoder says, and makes nothing of it.
#[derive(Debug, Default)]
pub(crate) struct Nothing {
    frames: u64,
    stacks: u32,
    pub(crate) goroutines: u64,
}

impl Sink for Nothing {
    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        black_box(frame);
        self.frames += 1;
        FrameId(self.frames)
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        black_box(stack.frames);
        self.stacks += 1;
        StackId(self.stacks)
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        black_box(stack);
        self.goroutines += facts.count;
    }

    fn reveal(&mut self, _: HiddenId, _: &[&str]) {}
}

/// Decodes, and no more.
pub(crate) fn decode(body: &[u8]) -> u64 {
    let mut sink = Nothing::default();
    decode_into(body, &mut sink);
    sink.goroutines
}

/// Reads the file so often, and prints what `readers/measure` prints.
pub(crate) fn measure(file: &str, repeats: &str, alone: bool) {
    let body = fs::read(file).unwrap();
    let repeats: u32 = repeats.parse().unwrap();
    // The most that was resident is forgotten: proc_pid_clear_refs(5).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = resident("VmRSS:");
    let start = cpu();
    let (mut counts, mut most) = ((0, 0), None);
    for _ in 0..repeats {
        counts = if alone {
            (decode(black_box(&body)), 0)
        } else {
            let tally = read(black_box(&body));
            (tally.total, tally.groups.len())
        };
        // Of one reading: what an allocator keeps for the next one is not what this one needs.
        most.get_or_insert_with(|| resident("VmHWM:"));
    }
    let spent = cpu().saturating_sub(start) / repeats;
    let peak = most.unwrap_or(before).saturating_sub(before);
    let (goroutines, groups) = counts;
    println!(
        "cpu_ns {}\npeak_bytes {peak}\ngoroutines {goroutines}\ngroups {groups}",
        spent.as_nanos()
    );
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}

/// A figure of `/proc/self/status`, in bytes.
fn resident(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}
