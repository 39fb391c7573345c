//! What an exporter remembers of its targets, and how long it takes to know one.

use std::time::{Duration, Instant};

use goroutine_exporter::config::{DEFAULT_FORGET_AFTER, DEFAULT_PATH};
use goroutine_exporter::snapshots::Trigger;
use goroutine_exporter::tracker::{Evidence, Look, TrackKey, Tracker, TrackerLimits};

use crate::INTERVAL;
use crate::fleet::of_groups;

/// Of these targets, how many are forgotten from one probe to the next, with room for so many. They are probed in turn.
pub(crate) fn forgotten(addresses: &[&str], room: usize) -> usize {
    let tracker = Tracker::new(TrackerLimits {
        targets: room,
        forget_after: DEFAULT_FORGET_AFTER,
    });
    let begun = Instant::now();
    let mut unknown = 0;
    for round in 0..2 {
        let now = begun + INTERVAL * round;
        unknown = 0;
        for address in addresses {
            let key = TrackKey {
                target: (*address).to_owned(),
                path: DEFAULT_PATH.to_owned(),
            };
            let state = tracker.state(key, now);
            let mut state = state.lock().unwrap();
            if !state.ledger.is_missing() {
                unknown += 1;
                state.ledger.missing(now);
            }
        }
    }
    unknown
}

/// For how long an exporter does not notice that a target it does not know grows: the probes until tenfold growth is worth
/// a snapshot.
pub(crate) fn unwatched() -> Duration {
    let begun = Instant::now();
    let notices = |probes: u32| {
        let mut evidence = Evidence::default();
        let mut look = |number: u32, total: u64| {
            let mut tally = of_groups(Vec::new());
            tally.total = total;
            let look = Look {
                tally: &tally,
                at: begun + INTERVAL * number,
                baseline: false,
            };
            evidence.look(look).map(|decision| decision.trigger)
        };
        for number in 0..probes {
            look(number, 200);
        }
        look(probes, 2_000) == Some(Trigger::Growth)
    };
    let first = (0..100).find(|&probes| notices(probes));
    INTERVAL * first.expect("growth is never noticed")
}
