//! Any protobuf that prost can read: no panic, and the total that prost reads. A population: what was written.

#![no_main]

mod shim;

use std::collections::BTreeSet;

use goroutine_exporter::decode::messages::Profile;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use shim::books::{as_expected, check_books, whole};
use shim::population::Population;

fuzz_target!(|bytes: &[u8]| {
    written_by_us(bytes);
    if let Ok(profile) = Profile::decode(bytes) {
        read_by_both(&profile);
    }
});

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
    let named = |at: i64| {
        let at = usize::try_from(at).ok()?;
        profile.string_table.get(at).map(Vec::as_slice)
    };
    let column = profile
        .sample_type
        .iter()
        .position(|kind| matches!(named(kind.r#type), Some(b"goroutine" | b"goroutineleak")))
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
