//! Execution traces: whatever the bytes, a window whose sums fit together, and the same in pieces.

use goroutine_exporter::classify::Rules;
use goroutine_exporter::trace::{Blame, Cause, Decoder, Limits, Owner, Refusal, Window};

use super::choice;

const HEADERS: [&[u8]; 4] = [
    b"go 1.22 trace\0\0\0",
    b"go 1.23 trace\0\0\0",
    b"go 1.25 trace\0\0\0",
    b"go 1.26 trace\0\0\0",
];

/// Small, so that inputs meet them.
const LIMITS: Limits = Limits {
    generation_bytes: 1 << 16,
    goroutines: 64,
    groups: 8,
    parked: 4,
};

/// The input as a trace, or as what follows the header of one.
pub(crate) fn any(bytes: &[u8]) {
    let head: &[u8] = if bytes.starts_with(b"go 1.") {
        b""
    } else {
        HEADERS[choice(bytes) % HEADERS.len()]
    };
    let body = [head, bytes].concat();
    let whole = read(&body, body.len().max(1));
    assert_eq!(read(&body, choice(bytes) + 1).is_ok(), whole.is_ok());
    if let Ok(window) = whole {
        check(&window, &body);
    }
}

fn read(body: &[u8], size: usize) -> Result<Window, Refusal> {
    let mut decoder = Decoder::new(&LIMITS, &Rules::default());
    for piece in body.chunks(size) {
        decoder.push(piece)?;
    }
    decoder.finish()
}

fn check(window: &Window, body: &[u8]) {
    let bytes = u64::try_from(body.len()).expect("it is in memory");
    // An event has two bytes at least: its number and its time.
    assert!(window.generations > 0 && window.events * 2 <= bytes);
    assert!(window.blocked.len() + window.syscalls.len() <= LIMITS.groups);
    assert!(window.sites.len() <= LIMITS.groups);
    let goroutines = usize::try_from(window.goroutines).expect("they are few");
    assert!(goroutines <= LIMITS.goroutines);
    assert!(window.parked.len() <= LIMITS.parked);
    for (_, group) in &window.parked {
        assert!(window.blocked[*group].spans.both.count > 0);
    }
    let seen = window.runnable.spans.closed.count;
    let causes = Cause::ALL
        .iter()
        .filter(|cause| **cause != Cause::Collector);
    let told: u64 = causes
        .map(|cause| window.latency[cause.index()].count)
        .sum();
    assert!(told <= seen, "{told} of {seen}");
    let parked = window.verdict[Blame::Scheduler.index()].parked;
    assert_eq!(parked, 0, "what can run is not parked");
    for group in window.blocked.iter().chain(&window.syscalls) {
        let moved = group.spans.moved().nanoseconds;
        assert!(
            group.world_stopped.saturating_add(group.marking) <= moved,
            "{group:?}"
        );
        assert!(group.owner != Owner::Runtime || group.app_frame.is_empty());
    }
}
