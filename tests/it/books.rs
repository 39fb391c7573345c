//! Reading a body as a probe does, and what must hold for every count, whatever it was made of. Property tests and
//! fuzz targets share this file.

use std::sync::LazyLock;

use goroutine_exporter::classify::names::NAME_BYTES;
use goroutine_exporter::classify::{ClassifySpec, Rules};
use goroutine_exporter::decode::{DecodeError, Decoder, Limits, Wanted, decode_as};
use goroutine_exporter::profile::Summary;
use goroutine_exporter::tally::{
    Collector, Contention, ContentionCollector, Group, Tally, Threads,
};
use sha2::{Digest as _, Sha256};

use super::population::{Expected, LABEL};

/// The most bytes that are read of a compressed body, and of a protobuf.
pub(crate) const INFLATED_BYTES: u64 = 16 << 20;

const LIMITS: Limits = Limits {
    inflated_bytes: INFLATED_BYTES,
};

/// Compiled once: a fuzzer reads thousands of bodies in a second.
static RULES: LazyLock<Rules> = LazyLock::new(|| {
    Rules::new(&ClassifySpec {
        labels: vec![LABEL.to_owned()],
        watch: vec![("func".to_owned(), "func[0-9]".to_owned())],
        ..ClassifySpec::default()
    })
    .unwrap()
});

/// Decodes and counts a body that comes in pieces of these sizes, over and over.
pub(crate) fn read(body: &[u8], sizes: &[usize]) -> Result<Tally, DecodeError> {
    let mut collector = Collector::new(&RULES);
    let mut decoder = Decoder::new(&LIMITS);
    let mut rest = body;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).clamp(1, rest.len()));
        decoder.push(piece, &mut collector)?;
        rest = after;
    }
    let summary = decoder.finish(&mut collector)?;
    Ok(collector.finish(summary))
}

/// The same in one piece.
pub(crate) fn whole(body: &[u8]) -> Result<Tally, DecodeError> {
    read(body, &[usize::MAX])
}

/// Decodes and counts a profile of contention.
pub(crate) fn contention(body: &[u8]) -> Result<(Summary, Contention), DecodeError> {
    let mut collector = ContentionCollector::new(&RULES);
    let summary = decode_as(Wanted::Contention, body, &LIMITS, &mut collector)?;
    Ok((summary, collector.finish()))
}

/// Decodes and counts a profile of threads.
pub(crate) fn threads(body: &[u8]) -> Result<(Summary, u64), DecodeError> {
    let mut threads = Threads::default();
    let summary = decode_as(Wanted::Threads, body, &LIMITS, &mut threads)?;
    Ok((summary, threads.total()))
}

/// A tally in the terms of what was written.
pub(crate) fn as_expected(tally: &Tally) -> Expected {
    let mut found = Expected {
        total: tally.total,
        leaked: tally.leaked.unwrap_or(0),
        ..Expected::default()
    };
    for group in &tally.groups {
        let key = (
            group.wait_reason.to_string(),
            group.blocking_frame.to_string(),
            group.app_frame.to_string(),
        );
        let twice = found.groups.insert(key, group.goroutines);
        assert_eq!(twice, None, "two groups of one key");
    }
    for (_, value, count) in &tally.labels {
        found.labels.insert(value.to_string(), *count);
    }
    found
}

/// What holds for all contention, of whatever it was made.
pub(crate) fn check_contention(contention: &Contention) {
    let mut listed = (0_u64, 0_u64);
    let mut names = std::collections::BTreeSet::new();
    for place in &contention.places {
        listed.0 = listed.0.saturating_add(place.events);
        listed.1 = listed.1.saturating_add(place.nanoseconds);
        for text in [&*place.blocking_frame, &*place.app_frame] {
            assert!(text.len() <= NAME_BYTES, "{} bytes: {text}", text.len());
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        assert!(!place.blocking_frame.is_empty());
        assert!(place.events > 0 || place.nanoseconds > 0);
        assert!(names.insert((&place.blocking_frame, &place.app_frame)));
    }
    // Far below the bounds every place is kept.
    assert_eq!(listed, (contention.events, contention.nanoseconds));
    assert!(contention.places.is_sorted_by(|a, b| {
        let order = (b.nanoseconds, b.events).cmp(&(a.nanoseconds, a.events));
        order
            .then_with(|| (&a.blocking_frame, &a.app_frame).cmp(&(&b.blocking_frame, &b.app_frame)))
            == std::cmp::Ordering::Less
    }));
}

/// What holds for every tally, of whatever it was made.
pub(crate) fn check_books(tally: &Tally) {
    let listed: u64 = tally.groups.iter().map(|group| group.goroutines).sum();
    assert_eq!(listed + tally.unlisted, tally.total);
    assert_eq!(tally.wait_reasons.iter().sum::<u64>(), tally.total);
    assert!(tally.leaked.unwrap_or(0) <= tally.total && tally.total <= tally.frames);
    for (reason, waited) in tally.wait_reasons.iter().zip(&tally.waited) {
        assert!(waited.first() <= Some(reason) && waited.is_sorted_by(|a, b| a >= b));
    }
    let order = |group: &Group| (std::cmp::Reverse(group.goroutines), group.id);
    assert!(tally.groups.is_sorted_by_key(order));
    for group in &tally.groups {
        assert!(group.goroutines > 0 && group.leaked <= group.goroutines);
        let creator = group.created_by.as_deref().unwrap_or_default();
        for text in [
            &*group.blocking_frame,
            &*group.app_frame,
            &*group.file,
            &*group.entry,
            creator,
        ] {
            assert!(text.len() <= NAME_BYTES, "{} bytes: {text}", text.len());
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        assert!(!group.blocking_frame.is_empty());
        // As the documentation says: printf '%s\n' REASON BLOCKING APP | sha256sum | cut -c1-16
        let line = format!(
            "{}\n{}\n{}\n",
            group.wait_reason, group.blocking_frame, group.app_frame
        );
        let digest = Sha256::digest(line.as_bytes());
        let expected: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(group.id.to_string(), expected);
    }
    for (key, value, count) in &tally.labels {
        assert!(key.len() <= NAME_BYTES && value.len() <= NAME_BYTES && *count <= tally.total);
    }
    assert!(tally.watches.iter().all(|(_, count)| *count <= tally.total));
}
