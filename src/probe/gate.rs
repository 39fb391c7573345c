//! How many probes may run at once: in all, for one target, on the processors, and of those that cost a target. Whoever does not get in is told at once;
//! whoever waits for a target waits inside its own deadline.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Expensive requests at once, to different targets: each may stream tens of megabytes, and at the start of an exporter all
/// of its targets are due.
const COSTLY: usize = 4;

/// Entries of targets nobody probes any more are swept out when there are this many more than probes.
const SWEEP_MARGIN: usize = 64;

/// Bounds the number of probes.
#[derive(Debug)]
pub struct Gate {
    total: usize,
    per_target: usize,
    places: Arc<Semaphore>,
    targets: Mutex<HashMap<String, Weak<Semaphore>>>,
    benches: Arc<Semaphore>,
    costly: Arc<Semaphore>,
}

/// A place among the expensive requests, free again when dropped.
#[derive(Debug)]
pub struct Costly {
    _permit: OwnedSemaphorePermit,
}

/// A place among those that count, free again when dropped.
#[derive(Debug)]
pub struct Bench {
    _permit: OwnedSemaphorePermit,
}

/// A place among all probes, free again when dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A place among the probes of one target, free again when dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// Lets in `total` probes at once, `per_target` of one target. Both count at least as 1.
    #[must_use]
    pub fn new(total: usize, per_target: usize) -> Self {
        let clamp = |n: usize| n.clamp(1, Semaphore::MAX_PERMITS);
        let (total, per_target) = (clamp(total), clamp(per_target));
        // More counting at once than there are processors would not be faster, only larger: each may hold a
        // profile inflated.
        let benches = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            total,
            per_target,
            places: Arc::new(Semaphore::new(total)),
            targets: Mutex::default(),
            benches: Arc::new(Semaphore::new(clamp(benches))),
            costly: Arc::new(Semaphore::new(COSTLY)),
        }
    }

    /// A place, when one is free.
    #[must_use]
    pub fn enter(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { _permit: permit })
    }

    /// A place, once one is free: for work that is bounded already by how often it is asked for.
    pub async fn wait(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { _permit: permit })
    }

    /// The target's turn; waits for those before.
    pub async fn turn(&self, target: &str) -> Option<Turn> {
        let turns = self.turns(target);
        let permit = turns.acquire_owned().await.ok()?;
        Some(Turn { _permit: permit })
    }

    /// A processor to count on; waits for one.
    pub async fn bench(&self) -> Option<Bench> {
        let permit = Arc::clone(&self.benches).acquire_owned().await.ok()?;
        Some(Bench { _permit: permit })
    }

    /// A place for an expensive request, when one is free: such a request can wait for the next probe.
    #[must_use]
    pub fn costly(&self) -> Option<Costly> {
        let permit = Arc::clone(&self.costly).try_acquire_owned().ok()?;
        Some(Costly { _permit: permit })
    }

    fn turns(&self, target: &str) -> Arc<Semaphore> {
        // Maps have no half-done state that a panic could leave.
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = targets.get(target).and_then(Weak::upgrade) {
            return turns;
        }
        if targets.len() >= self.total.saturating_add(SWEEP_MARGIN) {
            targets.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Semaphore::new(self.per_target));
        targets.insert(target.to_owned(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn no_more_than_the_total() {
        let gate = Gate::new(2, 1);
        let first = gate.enter();
        let second = gate.enter();
        assert!(first.is_some() && second.is_some());
        assert!(gate.enter().is_none());
        assert!(gate.wait().now_or_never().is_none());
        drop(first);
        assert!(gate.enter().is_some());
    }

    #[test]
    fn each_target_has_its_own_turns() {
        let gate = Gate::new(9, 2);
        let turn = |target| gate.turn(target).now_or_never().flatten();
        let held = [turn("a"), turn("a"), turn("b")];
        assert!(held.iter().all(Option::is_some));
        assert!(turn("a").is_none());
        drop(held);
        assert!(turn("a").is_some());
    }

    #[test]
    fn nothing_is_kept_of_targets_that_nobody_probes() {
        let gate = Gate::new(1, 1);
        let held = gate.turn("held").now_or_never().flatten();
        for n in 0..10_000 {
            assert!(gate.turn(&n.to_string()).now_or_never().flatten().is_some());
        }
        assert!(gate.targets.lock().unwrap().len() <= 1 + SWEEP_MARGIN);
        assert!(
            gate.turn("held").now_or_never().flatten().is_none(),
            "a turn in use was swept out"
        );
        drop(held);
    }

    #[test]
    fn few_expensive_requests_at_once() {
        let gate = Gate::new(9, 9);
        let mut held: Vec<_> = (0..COSTLY).map(|_| gate.costly()).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(gate.costly().is_none());
        held.pop();
        assert!(gate.costly().is_some());
    }

    #[test]
    fn zero_counts_as_one() {
        let gate = Gate::new(0, 0);
        assert!(gate.enter().is_some());
        assert!(gate.turn("a").now_or_never().flatten().is_some());
    }
}
