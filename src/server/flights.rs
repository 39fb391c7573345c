//! One look for many askers: requests for a probe that is already under way wait for it in place of making their own.
//!
//! Nothing is kept of a probe that has ended: whoever asks after it gets a new one. A probe lives as long as anybody
//! waits for it, and its connection to the target is closed with the last who hangs up.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};

use crate::probe::ProbeOutcome;

/// A probe under way, owned by all who wait for it.
pub(super) type Flight = Shared<Probing>;

/// The work of a probe.
pub(super) type Probing = Pin<Box<dyn Future<Output = Arc<ProbeOutcome>> + Send>>;

/// What makes two probes the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    /// The target, as it prints.
    pub(super) target: String,
    /// The modules, joined by a comma.
    pub(super) modules: String,
    /// The configuration in force, by its number.
    pub(super) generation: u64,
    /// Whether the profile itself is wanted, too.
    pub(super) keep_body: bool,
}

/// How long somebody waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) until: Instant,
    pub(super) budget: Duration,
}

/// All probes under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    last_number: u64,
    flights: HashMap<FlightKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    until: Instant,
    flight: WeakShared<Probing>,
}

/// Takes a flight off the list when it has ended, or when nobody waits for it any more.
struct Landing {
    inner: Arc<Mutex<Inner>>,
    key: FlightKey,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut inner = lock(&self.inner);
        let flights = &mut inner.flights;
        // Another flight may have taken its place.
        if flights
            .get(&self.key)
            .is_some_and(|entry| entry.number == self.number)
        {
            flights.remove(&self.key);
        }
    }
}

impl Flights {
    /// The flight of this key that is under way, if its end suits: one that gives up much earlier would fail for want
    /// of time that this asker has, and one that gives up much later may not be back in time.
    pub(super) fn join(&self, key: &FlightKey, patience: Patience) -> Option<Flight> {
        let inner = lock(&self.inner);
        let entry = inner.flights.get(key)?;
        let (one, other) = (entry.until, patience.until);
        let apart = one.max(other).saturating_duration_since(one.min(other));
        if apart > patience.budget / 2 {
            return None;
        }
        entry.flight.upgrade()
    }

    /// Sends one off that others may join.
    pub(super) fn start<F>(&self, key: FlightKey, patience: Patience, probing: F) -> Flight
    where
        F: Future<Output = Arc<ProbeOutcome>> + Send + 'static,
    {
        let mut inner = lock(&self.inner);
        inner.last_number += 1;
        let number = inner.last_number;
        let landing = Landing {
            inner: Arc::clone(&self.inner),
            key: key.clone(),
            number,
        };
        let probing: Probing = Box::pin(async move {
            let outcome = probing.await;
            // Off the list before anybody learns the result, so that nobody gets one that is older than the question.
            drop(landing);
            outcome
        });
        let flight = probing.shared();
        if let Some(weak) = flight.downgrade() {
            let entry = Entry {
                number,
                until: patience.until,
                flight: weak,
            };
            inner.flights.insert(key, entry);
        }
        flight
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    // Maps have no half-done state that a panic could leave.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::probe::{ProbeError, test_outcome};

    const BUDGET: Duration = Duration::from_secs(10);

    fn key(target: &str) -> FlightKey {
        FlightKey {
            target: target.to_owned(),
            modules: "default".to_owned(),
            generation: 1,
            keep_body: false,
        }
    }

    fn patience(now: Instant, seconds: u64) -> Patience {
        Patience {
            until: now + Duration::from_secs(seconds),
            budget: BUDGET,
        }
    }

    /// A probe that ends when it is told to, and says when it is dropped.
    fn probing() -> (
        oneshot::Sender<()>,
        impl Future<Output = Arc<ProbeOutcome>> + Send,
    ) {
        let (end, ended) = oneshot::channel();
        let outcome = || Arc::new(test_outcome("a:1", Err(ProbeError::Panicked)));
        (end, async move {
            ended.await.ok();
            outcome()
        })
    }

    #[tokio::test]
    async fn who_asks_for_the_same_gets_the_same() {
        let (flights, now) = (Flights::default(), Instant::now());
        let (end, work) = probing();
        let first = flights.start(key("a"), patience(now, 10), work);
        let second = flights.join(&key("a"), patience(now, 10)).unwrap();
        assert!(flights.join(&key("b"), patience(now, 10)).is_none());
        let other = FlightKey {
            generation: 2,
            ..key("a")
        };
        assert!(flights.join(&other, patience(now, 10)).is_none());
        end.send(()).unwrap();
        let (one, two) = tokio::join!(first, second);
        assert!(Arc::ptr_eq(&one, &two));
        assert!(flights.join(&key("a"), patience(now, 10)).is_none());
        assert!(lock(&flights.inner).flights.is_empty());
    }

    #[tokio::test]
    async fn the_last_who_leaves_ends_it() {
        let (flights, now) = (Flights::default(), Instant::now());
        let (end, work) = probing();
        let first = flights.start(key("a"), patience(now, 10), work);
        let mut second = flights.join(&key("a"), patience(now, 10)).unwrap();
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(!end.is_closed(), "the second still waits");
        assert!((&mut second).now_or_never().is_none());
        drop(second);
        assert!(end.is_closed(), "nobody waits any more");
        assert!(lock(&flights.inner).flights.is_empty());
    }

    #[tokio::test]
    async fn one_that_gives_up_at_quite_another_time_is_not_joined() {
        let (flights, now) = (Flights::default(), Instant::now());
        let (_end, work) = probing();
        let _flight = flights.start(key("a"), patience(now, 20), work);
        let check = |seconds: u64, joins: bool| {
            let found = flights.join(&key("a"), patience(now, seconds));
            assert_eq!(found.is_some(), joins, "{seconds}");
        };
        check(14, false);
        check(15, true);
        check(20, true);
        check(25, true);
        check(26, false);
    }

    #[tokio::test]
    async fn an_old_flight_does_not_take_a_new_one_off_the_list() {
        let (flights, now) = (Flights::default(), Instant::now());
        let (_end, work) = probing();
        let old = flights.start(key("a"), patience(now, 1), work);
        let (_other_end, work) = probing();
        let new = flights.start(key("a"), patience(now, 20), work);
        drop(old);
        assert!(flights.join(&key("a"), patience(now, 20)).is_some());
        drop(new);
        assert!(flights.join(&key("a"), patience(now, 20)).is_none());
    }
}
