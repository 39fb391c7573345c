//! How long goroutines that could run had to wait, as counts of durations alike.

/// Steps of each doubling: a duration is known to a sixteenth of itself.
const STEPS_BITS: u32 = 4;
const STEPS: usize = 1 << STEPS_BITS;
/// One for each step of each doubling of 64 bits, beside those below the first doubling.
const BUCKETS: usize = STEPS * (64 - 4 + 1);

/// Durations, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// All together.
    pub nanoseconds: u64,
    /// The longest.
    pub longest: u64,
    buckets: Box<[u64]>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            count: 0,
            nanoseconds: 0,
            longest: 0,
            buckets: vec![0; BUCKETS].into(),
        }
    }
}

impl Latency {
    /// Counts one.
    pub(super) fn add(&mut self, nanoseconds: u64) {
        self.count += 1;
        self.nanoseconds = self.nanoseconds.saturating_add(nanoseconds);
        self.longest = self.longest.max(nanoseconds);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(nanoseconds)) {
            *bucket += 1;
        }
    }

    /// The duration that this part of them, between 0 and 1, does not exceed: up to a sixteenth too long. Nothing where
    /// there are none. Cost: a look at a thousand numbers.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank: out of range it saturates, and counts of events are far below 2^53"
        )]
        let rank = ((part * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(longest_of(at).min(self.longest));
            }
        }
        Some(self.longest)
    }
}

fn bucket_of(nanoseconds: u64) -> usize {
    let doubling = nanoseconds.checked_ilog2().unwrap_or(0);
    let Some(above) = doubling.checked_sub(STEPS_BITS) else {
        return usize::try_from(nanoseconds).unwrap_or(usize::MAX);
    };
    let step = usize::try_from(nanoseconds >> above).unwrap_or(usize::MAX) % STEPS;
    (usize::try_from(above).unwrap_or(usize::MAX) + 1) * STEPS + step
}

/// The longest duration in a bucket.
fn longest_of(bucket: usize) -> u64 {
    let step = u64::try_from(bucket % STEPS).unwrap_or(0);
    let Some(above) = (bucket / STEPS).checked_sub(1) else {
        return step;
    };
    let above = u32::try_from(above).unwrap_or(u32::MAX);
    let next = (u128::from(step) + 1 + (1 << STEPS_BITS))
        .checked_shl(above)
        .unwrap_or(0);
    u64::try_from(next.saturating_sub(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_that_says_so() {
        for bits in 0..64 {
            for add in [0, 1, 2, 3] {
                let nanoseconds = (1_u64 << bits).saturating_add((1_u64 << bits) / 4 * add);
                for nanoseconds in [nanoseconds.saturating_sub(1), nanoseconds] {
                    let bucket = bucket_of(nanoseconds);
                    let longest = longest_of(bucket);
                    assert!(
                        nanoseconds <= longest,
                        "{nanoseconds} in {bucket}: {longest}"
                    );
                    assert!(
                        longest - nanoseconds <= nanoseconds / 16,
                        "{nanoseconds}: {longest}"
                    );
                    assert!(bucket == 0 || longest_of(bucket - 1) < nanoseconds);
                }
            }
        }
        assert_eq!(longest_of(bucket_of(u64::MAX)), u64::MAX);
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_durations() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.5), None);
        for nanoseconds in 1..=1000 {
            latency.add(nanoseconds * 1000);
        }
        let check = |part: f64, exact: u64| {
            let found = latency.quantile(part).unwrap();
            assert!(
                found >= exact && found <= exact + exact / 16,
                "{part}: {found}"
            );
        };
        check(0.0, 1_000);
        check(0.5, 500_000);
        check(0.99, 990_000);
        check(1.0, 1_000_000);
        assert_eq!(latency.quantile(1.0), Some(1_000_000));
        assert_eq!((latency.count, latency.nanoseconds), (1000, 500_500_000));
    }
}
