//! How many lines about targets the log gets: whoever may name targets could fill a disk with them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines at once, at most: a fleet that goes down is worth as many.
const BURST: u32 = 200;

/// Then one in this time.
const INTERVAL: Duration = Duration::from_millis(500);

/// Lines that may be written.
#[derive(Debug)]
pub(super) struct Quiet {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    left: u32,
    /// Up to when what has come in since is counted.
    since: Instant,
    left_out: u64,
}

impl Quiet {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            inner: Mutex::new(Inner {
                left: BURST,
                since: now,
                left_out: 0,
            }),
        }
    }

    /// Takes a line, if there is one: how many were left out since the last one that was written.
    pub(super) fn line(&self, now: Instant) -> Option<u64> {
        // Numbers have no half-done state that a panic could leave.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(inner.since).as_millis() / INTERVAL.as_millis();
        let new = u32::try_from(passed).unwrap_or(u32::MAX);
        if inner.left.saturating_add(new) >= BURST {
            (inner.left, inner.since) = (BURST, now);
        } else {
            inner.left += new;
            inner.since += INTERVAL * new;
        }
        if inner.left == 0 {
            inner.left_out = inner.left_out.saturating_add(1);
            return None;
        }
        inner.left -= 1;
        Some(std::mem::take(&mut inner.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_two_a_second() {
        let begun = Instant::now();
        let quiet = Quiet::new(begun);
        let written = |millis: u64, times: usize| {
            let now = begun + Duration::from_millis(millis);
            (0..times)
                .filter_map(|_| quiet.line(now))
                .collect::<Vec<_>>()
        };
        assert_eq!(written(0, 1000), [0; 200]);
        assert_eq!(written(499, 9), [0_u64; 0]);
        assert_eq!(written(500, 9), [809]);
        assert_eq!(written(1900, 9), [8, 0]);
        assert_eq!(written(2000, 9), [7]);
        assert_eq!(written(3_600_000, 300).len(), 200);
        // A clock that seems to go back is no gift.
        assert_eq!(written(0, 9), [0_u64; 0]);
    }
}
