//! Which goroutine ids a dump has printed already.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The most runs of 64 ids remembered, 16 bytes each. A process gives ids out in order, so the living ones lie
/// close together; made-up ids beyond this are taken as new.
const MAX_RUNS: usize = 1 << 17;

/// A set of ids, as bit masks over runs of 64.
#[derive(Debug, Default)]
pub(super) struct Seen {
    runs: HashTable<(u64, u64)>,
    hasher: RandomState,
    /// The run of the last id, kept out of the table while ids fall into it.
    current: (u64, u64),
}

impl Seen {
    /// Notes an id; false when it was there before. Id 0, of which each thread has one, is always new.
    pub(super) fn is_new(&mut self, id: u64) -> bool {
        if id == 0 {
            return true;
        }
        let (run, bit) = (id >> 6, 1 << (id & 63));
        if self.current.0 != run {
            self.turn_to(run);
        }
        let new = self.current.1 & bit == 0;
        self.current.1 |= bit;
        new
    }

    fn turn_to(&mut self, run: u64) {
        let (old, mask) = self.current;
        let hash = self.hasher.hash_one(old);
        if let Some(known) = self.runs.find_mut(hash, |(known, _)| *known == old) {
            known.1 = mask;
        } else if self.runs.len() < MAX_RUNS && mask != 0 {
            let hasher = &self.hasher;
            self.runs
                .insert_unique(hash, (old, mask), |(run, _)| hasher.hash_one(run));
        }
        let known = self
            .runs
            .find(self.hasher.hash_one(run), |(known, _)| *known == run);
        self.current = (run, known.map_or(0, |(_, mask)| *mask));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_new_once() {
        let mut seen = Seen::default();
        let ids = [1, 2, 63, 64, 65, 1_000_000, u64::MAX, 3];
        for id in ids {
            assert!(seen.is_new(id), "{id}");
        }
        for id in ids {
            assert!(!seen.is_new(id), "{id}");
        }
        assert!(seen.is_new(0) && seen.is_new(0));
        for id in 1..5_000_u64 {
            assert!(seen.is_new(id * 1000 + 7), "{id}");
        }
        for id in (1..5_000_u64).rev() {
            assert!(!seen.is_new(id * 1000 + 7), "{id}");
        }
    }
}
