//! What must hold, without `--bench`.

use std::collections::BTreeSet;

use crate::fleet::{Fleet, address, series};
use crate::hashing::{hash, moved, spread};
use crate::report::{Report, SIZES, sizes};
use crate::{REPLICAS, TARGETS, capacity};

/// Everything; panics where something does not hold.
pub(crate) fn all() {
    hashes_are_those_of_prometheus();
    balance_is_that_of_a_fair_hash();
    small_run();
    documents();
}

/// Values of Prometheus' own test (`model/relabel/relabel_test.go`).
fn hashes_are_those_of_prometheus() {
    assert_eq!(hash(&["baz"], ";") % 1000, 976);
    assert_eq!(hash(&["foo\nbar"], ";") % 1000, 734);
    // printf 'a;b' | md5sum | cut -c17-32
    assert_eq!(
        format!("{:016x}", hash(&["a", "b"], ";")),
        "21960bf46f2ebd0a"
    );
}

/// Counts are within five standard deviations of the mean, and as many move as must by chance.
fn balance_is_that_of_a_fair_hash() {
    let addresses = (0..TARGETS).map(|number| address(number, 0));
    let hashes: Vec<u64> = addresses.map(|address| hash(&[&address], ";")).collect();
    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), TARGETS);
    for replicas in REPLICAS {
        let counts = spread(&hashes, replicas);
        assert_eq!((counts.len(), counts.iter().sum()), (replicas, TARGETS));
        let share = 1.0 / replicas as f64;
        let mean = TARGETS as f64 * share;
        let deviation = (mean * (1.0 - share)).sqrt();
        for count in counts {
            assert!(
                (count as f64 - mean).abs() <= 5.0 * deviation,
                "{count} of {mean}"
            );
            assert!((count as f64) < 1.1 * mean, "{count} of {mean}");
        }
        // One in N + 1 stays: where the remainders by both are the same.
        let stay = TARGETS as f64 / (replicas + 1) as f64;
        let stayed = (TARGETS - moved(&hashes, replicas)) as f64;
        assert!(
            (stayed - stay).abs() <= 5.0 * stay.sqrt(),
            "{stayed}, not {stay}"
        );
    }
}

/// A run with few targets is whole, and says what the mechanisms say.
fn small_run() {
    let fleet = Fleet::new(5_000);
    let report = Report::of(&fleet, 20);
    let (least, most) = (series(0, false), series(20, true));
    assert_eq!((least, most), (40, 214));
    assert!(
        report
            .series()
            .iter()
            .all(|series| (least..=most).contains(series))
    );
    // The tail is cut by the limit, and most targets are far from it.
    assert_eq!(report.series().last(), Some(&most));
    assert!(report.series()[2_500] < most - 20);
    for (row, replicas) in report.rows().iter().zip(REPLICAS) {
        let [one, two, service, services] = row.asked;
        assert!((one.fetches - 1.0).abs() < f64::EPSILON, "{one:?}");
        assert!((1.8..=2.0).contains(&two.fetches), "{two:?}");
        // Once in ten minutes whoever asks, or for each of the exporters.
        assert!(one.details <= 1.0 && two.details <= 1.0, "{one:?} {two:?}");
        if replicas > 1 {
            assert!(service.details > 2.0 * one.details, "{service:?}");
            assert!(services.details > service.details, "{services:?}");
            assert!(services.details <= replicas as f64);
        } else {
            assert_eq!(
                (one, two.details <= 1.0),
                (service, services.details <= 1.0)
            );
        }
        // All or nothing: probed in turn, each is forgotten just before it is needed.
        let beyond: usize = row.spread.iter().filter(|count| **count > 1_000).sum();
        assert_eq!(row.forgotten, [beyond, 0]);
    }
    let text = report.to_string();
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let widths: BTreeSet<usize> = table
            .lines()
            .map(|line| line.matches('|').count())
            .collect();
        assert_eq!(widths.len(), 1, "{table}");
    }
    println!("{text}");
}

/// `examples/kubernetes/README.md` has the sizes that the formulas give for what was measured.
fn documents() {
    assert!(capacity::are_the_goals(), "capacity has other goals");
    let readme = include_str!("../../../examples/kubernetes/README.md");
    assert!(readme.contains(SIZES), "no head\n{SIZES}");
    for size in sizes(&capacity::allowed()) {
        let row = size.to_string();
        assert!(
            readme.contains(&row),
            "examples/kubernetes/README.md lacks\n{row}"
        );
    }
}
