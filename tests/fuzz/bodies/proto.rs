//! Any protobuf that prost can read, as each kind of profile: no panic, and the totals that prost reads. A population:
//! what was written.

use std::collections::BTreeSet;

use goroutine_exporter::decode::messages::Profile;
use prost::Message as _;

use super::super::books::{as_expected, check_books, check_contention, contention, threads, whole};
use super::super::population::Population;
use super::split;

/// As each kind of profile.
pub(crate) fn any(bytes: &[u8]) {
    let (made_up, bytes) = split(bytes);
    if made_up {
        written_by_us(bytes);
    } else if let Ok(profile) = Profile::decode(bytes) {
        read_by_both(&profile);
        contention_by_both(&profile);
        threads_by_both(&profile);
    }
}

fn written_by_us(bytes: &[u8]) {
    let population = Population::from_bytes(bytes);
    let tally = whole(&population.protobuf()).expect("what Go writes is read");
    check_books(&tally);
    assert_eq!(as_expected(&tally), population.expected(0));
}

fn read_by_both(profile: &Profile) {
    let body = profile.encode_to_vec();
    let Ok(tally) = whole(&body) else { return };
    if tally.summary.encoding.as_str() != "protobuf" {
        return;
    }
    check_books(&tally);
    let column = column(profile, &["goroutine"])
        .or_else(|| column(profile, &["goroutineleak"]))
        .expect("only profiles of goroutines are read");
    // Counts that no process can have are damage, as is what refers to nothing.
    let counts = profile.sample.iter().map(|sample| {
        let count = sample.value.get(column).copied().unwrap_or(-1);
        u32::try_from(count).ok().map(u64::from)
    });
    let total: u64 = counts.clone().flatten().sum();
    assert_eq!(tally.total, total);
    let locations: BTreeSet<u64> = profile
        .location
        .iter()
        .map(|location| location.id)
        .collect();
    let unclear = counts.filter(Option::is_none).count()
        + profile
            .sample
            .iter()
            .flat_map(|sample| &sample.location_id)
            .filter(|id| !locations.contains(id))
            .count()
        + profile
            .location
            .iter()
            .map(|location| location.line.len())
            .sum::<usize>();
    assert!(tally.summary.damage <= u64::try_from(unclear).expect("it is in memory"));
}

fn string(profile: &Profile, at: i64) -> Option<&[u8]> {
    let at = usize::try_from(at).ok()?;
    profile.string_table.get(at).map(Vec::as_slice)
}

/// The first column of this name, and of this unit if one is given.
fn column(profile: &Profile, name: &[&str]) -> Option<usize> {
    profile.sample_type.iter().take(16).position(|kind| {
        let found = [kind.r#type, kind.unit].map(|at| string(profile, at));
        name.iter()
            .zip(found)
            .all(|(name, found)| found == Some(name.as_bytes()))
    })
}

/// The numbers of a column where all `columns` are there, saturated.
fn sums(profile: &Profile, columns: &[usize], most: u64) -> Vec<u64> {
    let mut sums = vec![0_u64; columns.len()];
    for sample in &profile.sample {
        let values: Option<Vec<u64>> = columns
            .iter()
            .map(|&column| {
                let value = u64::try_from(*sample.value.get(column)?).ok()?;
                Some(value).filter(|&value| value <= most)
            })
            .collect();
        for (sum, value) in sums.iter_mut().zip(values.unwrap_or_default()) {
            *sum = sum.saturating_add(value);
        }
    }
    sums
}

fn contention_by_both(profile: &Profile) {
    let Ok((_, found)) = contention(&profile.encode_to_vec()) else {
        return;
    };
    check_contention(&found);
    let columns = [
        column(profile, &["contentions"]).expect("events are counted"),
        column(profile, &["delay", "nanoseconds"]).expect("and how long they took"),
    ];
    let expected = sums(profile, &columns, u64::MAX);
    assert_eq!(vec![found.events, found.nanoseconds], expected);
}

fn threads_by_both(profile: &Profile) {
    let Ok((_, found)) = threads(&profile.encode_to_vec()) else {
        return;
    };
    let column = column(profile, &["threadcreate"]).expect("threads are counted");
    assert_eq!(vec![found], sums(profile, &[column], 0xffff_ffff));
}
