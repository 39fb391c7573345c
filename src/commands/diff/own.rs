//! The goroutines of a look itself: they are there whenever somebody looks, and leak nothing.
//!
//! Exactly these: goroutines that run in `runtime/pprof` or `net/http/pprof`, writing the profile; for each of them one
//! that belongs to its connection, in `net/http.(*connReader).backgroundRead`, or not yet started on its way there; and
//! one in `net/http.(*conn).close`, which ends the connection of the look before. Handlers that wait in those packages
//! are not meant (they could be a leak), nor further connections.

use std::collections::BTreeMap;

use super::side::{Known, Side};
use crate::classify::NOT_STARTED;
use crate::tally::GroupId;

const WRITERS: [&str; 2] = ["runtime/pprof.", "net/http/pprof."];
const OF_CONNECTION: &str = "net/http.(*connReader).backgroundRead";
const ENDS: &str = "net/http.(*conn).close";

/// How many goroutines of which group are of the look.
pub(super) fn own(side: &Side) -> BTreeMap<GroupId, u64> {
    let mut own = BTreeMap::new();
    let mut looks: u64 = 0;
    for (id, group) in &side.groups {
        if writes(group) {
            looks = looks.saturating_add(group.goroutines);
            own.insert(*id, group.goroutines);
        }
    }
    for functions in [&[OF_CONNECTION, NOT_STARTED][..], &[ENDS]] {
        let mut left = looks;
        for function in functions {
            let groups = side.groups.iter();
            for (id, group) in groups.filter(|(_, group)| group.blocking_frame == *function) {
                let taken = group.goroutines.min(left);
                if taken > 0 {
                    own.insert(*id, taken);
                }
                left -= taken;
            }
        }
    }
    own
}

fn writes(group: &Known) -> bool {
    let mut writers = WRITERS.iter();
    group.wait_reason == "running" && writers.any(|writer| group.blocking_frame.starts_with(writer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_look_and_its_connection_are_its_own() {
        let check = |groups: &[(&str, &str, u64, u64)]| {
            let mut side = Side::default();
            for (number, (wait_reason, blocking_frame, goroutines, _)) in groups.iter().enumerate()
            {
                let known = Known {
                    goroutines: *goroutines,
                    wait_reason: (*wait_reason).to_owned(),
                    blocking_frame: (*blocking_frame).to_owned(),
                    ..Known::default()
                };
                side.groups
                    .insert(GroupId(u64::try_from(number).unwrap()), known);
            }
            let own = own(&side);
            for (number, (.., expected)) in groups.iter().enumerate() {
                let id = GroupId(u64::try_from(number).unwrap());
                assert_eq!(own.get(&id).copied().unwrap_or(0), *expected, "{groups:?}");
            }
        };
        let reader = OF_CONNECTION;
        check(&[
            ("running", "runtime/pprof.writeRuntimeProfile", 1, 1),
            ("IO wait", reader, 40, 1),
            ("syscall", ENDS, 2, 1),
        ]);
        // The reader of the connection has just been made.
        check(&[
            ("running", "runtime/pprof.writeGoroutineStacks", 2, 2),
            ("IO wait", reader, 1, 1),
            ("running", NOT_STARTED, 5, 1),
        ]);
        // Nobody looks: requests that hang are nobody's own.
        check(&[
            ("IO wait", reader, 3, 0),
            ("select", "net/http/pprof.sleep", 9, 0),
            ("running", NOT_STARTED, 5, 0),
        ]);
    }
}
