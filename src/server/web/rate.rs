//! A token bucket: how often may be asked.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::config::RateLimit;

/// The bucket of all listeners. Full at first, and whenever the limit is another.
#[derive(Debug, Default)]
pub(super) struct Bucket(Mutex<Option<Level>>);

#[derive(Clone, Copy, Debug)]
struct Level {
    limit: RateLimit,
    /// Tokens, a part of one included.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Takes a token for a request; false when there is none.
    ///
    /// As `golang.org/x/time/rate.Limiter` of `rate.Every(interval)` and `burst`.
    pub(super) fn take(&self, limit: RateLimit, now: Instant) -> bool {
        let mut level = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = f64::from(limit.burst);
        let before = level.filter(|level| level.limit == limit);
        let mut tokens = before.map_or(full, |level| {
            let passed = now.saturating_duration_since(level.at);
            let gained = passed.as_secs_f64() / limit.interval.as_secs_f64();
            (level.tokens + gained).min(full)
        });
        let granted = tokens >= 1.0;
        if granted {
            tokens -= 1.0;
        }
        *level = Some(Level {
            limit,
            tokens,
            at: now,
        });
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_one_in_each_interval() {
        let limit = RateLimit {
            interval: Duration::from_secs(2),
            burst: 3,
        };
        let bucket = Bucket::default();
        let start = Instant::now();
        let take = |seconds: f64, limit: RateLimit| {
            bucket.take(limit, start + Duration::from_secs_f64(seconds))
        };
        let granted = |at: f64| (0..5).filter(|_| take(at, limit)).count();
        assert_eq!(granted(0.0), 3);
        assert_eq!(granted(1.0), 0);
        // What was refused costs nothing.
        assert_eq!(granted(2.0), 1);
        assert_eq!(granted(5.0), 1);
        assert_eq!(granted(6.0), 1);
        assert_eq!(granted(100.0), 3);
        let other = RateLimit { burst: 1, ..limit };
        assert!(take(100.0, other) && !take(100.0, other));
    }
}
