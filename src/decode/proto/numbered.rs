//! Values by ids that Go hands out from 1 on.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// The most values with other ids: as many as large programs have of everything, in a table of a dozen MiB.
const MAX_SPARSE: usize = 1 << 18;

/// A vector where the ids are dense, a map where somebody else wrote them.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    dense: Vec<Option<T>>,
    sparse: HashMap<u64, T, RandomState>,
    bound: usize,
}

impl<T: Copy> Default for Numbered<T> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<T: Copy> Numbered<T> {
    pub(super) fn with_capacity(entries: usize) -> Self {
        let bound = entries.saturating_mul(2).saturating_add(16);
        Self {
            dense: Vec::with_capacity(entries.saturating_add(1)),
            sparse: HashMap::default(),
            bound,
        }
    }

    /// Keeps a value; nothing when there are too many that are not numbered from 1 on.
    pub(super) fn insert(&mut self, id: u64, value: T) -> Option<()> {
        match usize::try_from(id).ok().filter(|&at| at < self.bound) {
            Some(at) => {
                if at >= self.dense.len() {
                    self.dense.resize(at + 1, None);
                }
                if let Some(slot) = self.dense.get_mut(at) {
                    *slot = Some(value);
                }
            }
            None if self.sparse.len() >= MAX_SPARSE => return None,
            None => {
                self.sparse.insert(id, value);
            }
        }
        Some(())
    }

    pub(super) fn get(&self, id: u64) -> Option<T> {
        match usize::try_from(id).ok().filter(|&at| at < self.bound) {
            Some(at) => self.dense.get(at).copied().flatten(),
            None => self.sparse.get(&id).copied(),
        }
    }
}
