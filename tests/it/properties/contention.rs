//! What holds for all contention, and for the choice of its series.

use std::collections::BTreeMap;
use std::sync::Arc;

use goroutine_exporter::decode::messages::{Profile, ValueType};
use goroutine_exporter::tally::{Contention, ContentionMemory, ContentionPlace, select_contention};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::{config, populations};
use crate::books::{check_contention, contention, threads};
use crate::population::{Population, gzip};

/// Events and nanoseconds by blocking frame and application frame.
type Places = BTreeMap<(String, String), (u64, u64)>;

/// The same goroutines as a profile of contention: as many waits, and the later written the longer.
fn as_contention(population: &Population) -> (Vec<u8>, Places) {
    let mut profile = Profile::decode(population.protobuf().as_slice()).unwrap();
    let mut string = |text: &str| {
        profile.string_table.push(text.as_bytes().to_vec());
        i64::try_from(profile.string_table.len() - 1).unwrap()
    };
    profile.sample_type = [("contentions", "count"), ("delay", "nanoseconds")]
        .map(|(kind, unit)| ValueType {
            r#type: string(kind),
            unit: string(unit),
        })
        .to_vec();
    let mut expected = Places::new();
    for (number, (sample, group)) in (1..).zip(profile.sample.iter_mut().zip(&population.groups)) {
        let delay = group.count * 1_000 * number;
        sample.value.push(i64::try_from(delay).unwrap());
        let alone = Population {
            groups: vec![group.clone()],
            leak_profile: false,
        };
        let ((_, blocking, app), _) = alone.expected(0).groups.pop_first().unwrap();
        // Who waited has run.
        let known = expected
            .entry((blocking.replace("(not started)", "(no stack)"), app))
            .or_default();
        *known = (known.0 + group.count, known.1 + delay);
    }
    (profile.encode_to_vec(), expected)
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn contention_is_conserved(population in populations()) {
        let (body, expected) = as_contention(&population);
        for body in [gzip(&body), body] {
            let (summary, found) = contention(&body).unwrap();
            check_contention(&found);
            prop_assert_eq!((summary.truncated, summary.damage), (false, 0));
            let places = found.places.iter().map(|place| {
                let key = (place.blocking_frame.to_string(), place.app_frame.to_string());
                (key, (place.events, place.nanoseconds))
            });
            prop_assert_eq!(&places.collect::<Places>(), &expected);
        }
    }

    #[test]
    fn damaged_contention_has_its_books(
        population in populations(),
        harm in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (mut body, _) = as_contention(&population);
        for (at, byte) in harm {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok((_, found)) = contention(&body) {
            check_contention(&found);
        }
        std::hint::black_box(threads(&body).is_ok());
    }

    #[test]
    fn places_with_series_keep_them_and_the_rest_is_other(
        probes in vec(vec((0..20_usize, 0..1_000_000_u64), 0..8), 1..12),
        limit in 0..8_usize,
    ) {
        let mut memory = ContentionMemory::default();
        let mut seconds: BTreeMap<usize, u64> = BTreeMap::new();
        let mut before: Vec<Arc<str>> = Vec::new();
        for more in probes {
            // They only grow, as counters do.
            for (name, nanoseconds) in more {
                *seconds.entry(name).or_default() += nanoseconds + 1;
            }
            let mut places: Vec<ContentionPlace> = seconds
                .iter()
                .map(|(name, &nanoseconds)| ContentionPlace {
                    blocking_frame: format!("main.f{name}").into(),
                    app_frame: "".into(),
                    events: 1,
                    nanoseconds,
                })
                .collect();
            places.sort_by_key(|place| std::cmp::Reverse(place.nanoseconds));
            let contention = Contention {
                events: seconds.values().map(|_| 1).sum::<u64>() + 3,
                nanoseconds: seconds.values().sum::<u64>() + 5,
                places,
            };
            let selection = select_contention(&contention, limit, &mut memory);
            let shown: Vec<&ContentionPlace> =
                selection.shown.iter().map(|&place| &contention.places[place]).collect();
            let listed: u64 = shown.iter().map(|place| place.events).sum();
            prop_assert_eq!(listed + selection.other_events, contention.events);
            let listed: u64 = shown.iter().map(|place| place.nanoseconds).sum();
            prop_assert_eq!(listed + selection.other_nanoseconds, contention.nanoseconds);
            prop_assert!(selection.shown.is_sorted_by(|a, b| a < b));
            for (rank, place) in contention.places.iter().enumerate() {
                let first = rank < limit;
                let held = limit > 0 && rank < limit + 5 && before.contains(&place.blocking_frame);
                prop_assert_eq!(selection.shown.contains(&rank), first || held, "{}", rank);
            }
            before = shown.iter().map(|place| place.blocking_frame.clone()).collect();
            let remembered = format!("{memory:?}").matches("main.f").count();
            prop_assert!(remembered <= limit + 5);
        }
    }
}
