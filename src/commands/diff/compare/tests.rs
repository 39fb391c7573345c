//! Gates, and what holds for every pair of looks.

use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;

fn fails(before: u64, after: u64, own: [u64; 2], known: Option<u64>, gates: Gates) -> bool {
    let judged = Judged {
        before,
        after,
        own,
        known,
    };
    judged.change(gates).is_some_and(|change| change.fails)
}

const GROWTH: Gates = Gates {
    growth: Some(10),
    new: None,
};
const NEW: Gates = Gates {
    growth: None,
    new: Some(3),
};

#[test]
fn gates_fail_one_above_their_limit() {
    let check = |before, after, gates, expected| {
        assert_eq!(
            fails(before, after, [0, 0], Some(0), gates),
            expected,
            "{before} {after}"
        );
    };
    check(5, 15, GROWTH, false);
    check(5, 16, GROWTH, true);
    // What was not there grew from nothing.
    check(0, 11, GROWTH, true);
    check(0, 10, GROWTH, false);
    check(50, 0, GROWTH, false);
    check(0, 2, NEW, false);
    check(0, 3, NEW, true);
    check(1, 300, NEW, false);
    check(0, 300, Gates::default(), false);
    check(0, u64::MAX, GROWTH, true);
}

#[test]
fn looks_and_known_groups_fail_no_gate() {
    assert!(!fails(0, 3, [0, 1], Some(0), NEW));
    assert!(fails(0, 4, [0, 1], Some(0), NEW));
    // A group that was there as a look only, appears.
    assert!(fails(1, 4, [1, 1], Some(0), NEW));
    assert!(!fails(0, 9000, [0, 0], None, NEW));
    assert!(!fails(5, 9000, [0, 0], None, GROWTH));
    // A report allows as many as it lists.
    assert!(!fails(5, 110, [0, 0], Some(100), GROWTH));
    assert!(fails(5, 111, [0, 0], Some(100), GROWTH));
}

fn side(counts: &std::collections::BTreeMap<u64, u64>, other: u64) -> Side {
    let known = |(&id, &goroutines): (&u64, &u64)| {
        let known = Known {
            goroutines,
            ..Known::default()
        };
        (GroupId(id), known)
    };
    Side {
        total: counts.values().sum::<u64>() + other,
        groups: counts.iter().map(known).collect(),
        other,
        ..Side::default()
    }
}

proptest! {
    #[test]
    fn changes_sum_to_the_difference_of_the_totals(
        before in btree_map(0_u64..30, 1_u64..1_000_000, 0..25),
        after in btree_map(0_u64..30, 1_u64..1_000_000, 0..25),
        others in (0_u64..9, 0_u64..9),
        growth in proptest::option::of(0_u64..1_000_000),
        min in 1_u64..1000,
    ) {
        let gates = Gates { growth, new: None };
        let (before, after) = (side(&before, others.0), side(&after, others.1));
        let found = Comparison::new(before, after, gates, &Allowed::default());
        let (grown, lost) = found.moved();
        prop_assert_eq!(found.before.total + grown, found.after.total + lost);
        let (shown, hidden) = found.shown(min);
        prop_assert_eq!(shown.len() + hidden, found.changes.len());
        let worst = found.changes.iter().map(|change| change.after.saturating_sub(change.before));
        let worst = worst.max().unwrap_or(0);
        prop_assert_eq!(found.failed(), growth.is_some_and(|growth| worst > growth));
        let groups = found.before.groups.keys().chain(found.after.groups.keys());
        let groups: BTreeSet<_> = groups.collect();
        let changed = found.changes.iter().filter(|change| change.id.is_some()).count();
        prop_assert_eq!(changed + found.unchanged, groups.len());
    }
}
