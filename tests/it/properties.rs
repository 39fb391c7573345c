//! What holds for every population of goroutines and for every body, however damaged. Inputs are made up from a fixed
//! seed, so that a run today and one tomorrow try the same; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` try others.

mod contention;
mod targets;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use goroutine_exporter::classify::names::NAME_BYTES;
use goroutine_exporter::classify::{Origin, WaitReason};
use goroutine_exporter::decode::DecodeError;
use goroutine_exporter::profile::{Encoding, Summary};
use goroutine_exporter::tally::{
    Group, GroupId, Memory, SeriesLimits, Tally, WAITED_MINUTES, select,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::books::{as_expected, check_books, read, whole};
use crate::population::{Population, gzip};

fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(0x676f_726f);
    }
    config.failure_persistence = None;
    config
}

fn populations() -> impl Strategy<Value = Population> {
    vec(any::<u8>(), 0..300).prop_map(|bytes| Population::from_bytes(&bytes))
}

fn check_same(found: Result<Tally, DecodeError>, expected: &Tally) -> Result<(), TestCaseError> {
    match found {
        Ok(found) => prop_assert_eq!(&found, expected),
        Err(error) => prop_assert!(false, "{}", error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn what_go_writes_is_read_back(population in populations()) {
        for encoding in [0, 1, 2] {
            let body = population.written(encoding);
            for body in [gzip(&body), body] {
                if body.is_empty() {
                    prop_assert!(whole(&body).is_err(), "a dump of nothing is no dump");
                    continue;
                }
                let tally = match whole(&body) {
                    Ok(tally) => tally,
                    Err(DecodeError::NotPprof { .. }) if population.groups.is_empty() => continue,
                    Err(error) => panic!("debug={encoding}: {error}"),
                };
                prop_assert_eq!(as_expected(&tally), population.expected(encoding), "debug={}", encoding);
                prop_assert_eq!((tally.summary.truncated, tally.summary.damage), (false, 0));
                check_books(&tally);
            }
        }
    }

    #[test]
    fn pieces_line_ends_and_order_make_no_difference(
        (population, shuffled) in populations().prop_flat_map(|population| {
            let groups = Just(population.groups.clone()).prop_shuffle();
            (Just(population), groups)
        }),
        sizes in vec(1..400_usize, 1..6),
    ) {
        let other_order = Population { groups: shuffled, ..population.clone() };
        for encoding in [0, 1, 2] {
            let body = population.written(encoding);
            let Ok(tally) = whole(&body) else { continue };
            check_same(read(&body, &sizes), &tally)?;
            check_same(read(&gzip(&body), &sizes), &tally)?;
            if encoding > 0 {
                let windows = String::from_utf8(body.clone()).unwrap().replace('\n', "\r\n");
                check_same(whole(windows.as_bytes()), &tally)?;
                check_same(read(windows.as_bytes(), &sizes), &tally)?;
            }
            if encoding == 2 {
                // As logs keep it that drop blank lines.
                let dense = String::from_utf8(body.clone()).unwrap().replace("\n\n", "\n");
                check_same(whole(dense.as_bytes()), &tally)?;
            }
            let other = whole(&other_order.written(encoding)).unwrap();
            prop_assert_eq!(&other.groups, &tally.groups);
            prop_assert_eq!(
                (other.total, other.wait_reasons, other.waited, &other.labels, &other.watches),
                (tally.total, tally.wait_reasons, tally.waited, &tally.labels, &tally.watches)
            );
        }
    }

    #[test]
    fn a_body_that_is_cut_never_holds_more(population in populations(), cuts in vec(any::<prop::sample::Index>(), 5)) {
        for encoding in [0, 1, 2] {
            let text = population.written(encoding);
            let mut bodies = vec![gzip(&text), text.clone()];
            if encoding > 0 {
                bodies.push(String::from_utf8(text).unwrap().replace('\n', "\r\n").into_bytes());
            }
            for body in bodies.iter().filter(|body| !body.is_empty()) {
                let expected = population.expected(encoding);
                for cut in &cuts {
                    let part = &body[..cut.index(body.len())];
                    let Ok(tally) = whole(part) else { continue };
                    check_books(&tally);
                    prop_assert!(tally.total <= expected.total, "debug={} cut to {}", encoding, part.len());
                    prop_assert!(
                        tally.total == expected.total || tally.summary.truncated || encoding != 1,
                        "debug=1 says how many there are"
                    );
                    prop_assert_eq!(read(part, &[7]), Ok(tally));
                }
            }
        }
    }

    #[test]
    fn no_damage_ends_in_a_panic_or_in_wrong_books(
        population in populations(),
        harm in vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>(), 1..9_usize), 1..12),
    ) {
        for encoding in [0, 1, 2] {
            let text = population.written(encoding);
            for mut body in [gzip(&text), text] {
                for (at, kind, byte, len) in &harm {
                    let at = at.index(body.len() + 1);
                    match kind {
                        0 => if let Some(flipped) = body.get_mut(at) { *flipped ^= 1 << (byte % 8) },
                        1 => { body.splice(at..at, std::iter::repeat_n(*byte, *len)); }
                        2 => { body.drain(at..(at + len).min(body.len())); }
                        // A part of the body a second time, as buffers do that are sent twice.
                        _ => {
                            let part = body[at..(at + len * 40).min(body.len())].to_vec();
                            body.splice(at..at, part);
                        }
                    }
                }
                if let Ok(tally) = whole(&body) {
                    check_books(&tally);
                    prop_assert_eq!(read(&body, &[31, 1, 200]), Ok(tally));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn any_bytes_are_read_or_refused(
        head in prop::sample::select(vec![
            "", "goroutine 1 [", "goroutine profile: total 7\n", "goroutine profile: total 7\n3 @ 0x1\n", "\x0a\x04\x08\x01",
            "goroutine 1 [select]:\n", "goroutine 1 [select] {", "\u{feff}",
        ]),
        words in vec(prop::sample::select(vec![
            "\n", "\n\n", "\r\n", "\t", " ", ":", "goroutine 2 [select]:\n", "goroutine ", "[", "]", "]:\n", "main.a(", ")\n",
            "\t/a.go:1 +0x1\n", "created by ", "main.b in goroutine 1\n", "...additional frames elided...\n", "@", "0x", "ff",
            "#\t0x1\tmain.a+0x1\t/a.go:1\n", "# labels: {\"", "\":\"", "\"}\n", "\\x", "\\u", "1", "99999999999999999999", "{", "}:\n",
            "18446744073709551615 @ 0xffffffffffffffff\n", "é", "\0", "\x7f", "[originating from goroutine 1]:\n", "(leaked)", ", 5 minutes",
        ]), 0..60),
        tail in vec(any::<u8>(), 0..20),
    ) {
        let body = [head.as_bytes(), words.concat().as_bytes(), &tail].concat();
        let found = whole(&body);
        if let Ok(tally) = &found {
            check_books(tally);
        }
        prop_assert_eq!(read(&body, &[1]), found);
    }

    #[test]
    fn names_of_any_bytes_make_valid_labels(
        function in vec(any::<u8>(), 0..500),
        file in vec(any::<u8>(), 0..500),
        plain in any::<bool>(),
    ) {
        use goroutine_exporter::classify::names;
        // Mostly letters, or anything.
        let like_a_name = |bytes: &[u8]| -> Vec<u8> {
            const LETTERS: &[u8] = b"abz/.()*[]%2e@v1<>-:\xc3\xa9vendor/";
            bytes.iter().map(|byte| if plain { LETTERS[usize::from(*byte) % LETTERS.len()] } else { *byte }).collect()
        };
        let (function, file) = (like_a_name(&function), like_a_name(&file));
        let shown = names::display(&function);
        let place = names::relative_file(&function, &file);
        for text in [&shown, &place] {
            prop_assert!(text.len() <= NAME_BYTES && !text.contains(char::is_control), "{text:?}");
        }
        prop_assert!(!shown.is_empty());
        std::hint::black_box(names::origin(&function, &file));
        prop_assert!(function.starts_with(names::package(&function)));
        // Shortening is done once: what is short stays as it is.
        prop_assert_eq!(names::cut_middle(&*shown), &*shown);
    }
}

/// One group of one probe: its name, its size, and whether it is proven leaked or stuck.
type Seen = (usize, u64, bool, bool);

fn probes() -> impl Strategy<Value = Vec<(Vec<Seen>, SeriesLimits)>> {
    let size = prop_oneof![0..12_u64, 0..100_u64, 50..3_000_u64];
    let group = (0..30_usize, size, 0..20_u8);
    let limits = (0..12_usize, 0..20_u64, prop_oneof![Just(0.0), 0.0..0.2_f64]);
    // A base that most probes share, so that there is something to hold on to.
    (
        vec(group.clone(), 0..30),
        limits.clone(),
        vec((vec(group, 0..6), limits, 0..5_u8), 20),
    )
        .prop_map(|(base, base_limits, steps)| {
            let limits = |(groups, min_goroutines, min_ratio)| SeriesLimits {
                groups,
                min_goroutines,
                min_ratio,
            };
            let mut now: BTreeMap<usize, (u64, u8)> = base
                .into_iter()
                .map(|(name, size, mark)| (name, (size, mark)))
                .collect();
            let mut rules = limits(base_limits);
            steps
                .into_iter()
                .map(|(changes, other, change_rules)| {
                    now.extend(
                        changes
                            .into_iter()
                            .map(|(name, size, mark)| (name, (size, mark))),
                    );
                    if change_rules == 0 {
                        rules = limits(other);
                    }
                    let seen = now
                        .iter()
                        .filter(|(_, (size, _))| *size > 0)
                        .map(|(name, (size, mark))| (*name, *size, *mark == 0, *mark == 1))
                        .collect();
                    (seen, rules)
                })
                .collect()
        })
}

fn tally_of(seen: &[Seen], unlisted: u64) -> Tally {
    let mut groups: Vec<Group> = seen
        .iter()
        .map(|&(name, goroutines, leaked, stuck)| {
            let blocking_frame = format!("main.f{name}");
            let wait_reason = WaitReason::ChanSend;
            Group {
                id: GroupId::of(wait_reason, &blocking_frame, ""),
                wait_reason,
                blocking_frame: blocking_frame.into(),
                app_frame: "".into(),
                goroutines,
                leaked: u64::from(leaked),
                longest_wait: stuck.then_some(Duration::from_secs(600)),
                parked: None,
                file: "".into(),
                places: vec![],
                line: 0,
                entry: "".into(),
                created_by: None,
                origin: Origin::App,
            }
        })
        .collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.goroutines), group.id));
    Tally {
        summary: Summary {
            encoding: Encoding::Protobuf,
            leaked_only: false,
            declared_total: None,
            truncated: false,
            damage: 0,
            process: None,
        },
        total: groups.iter().map(|group| group.goroutines).sum::<u64>() + unlisted,
        wait_reasons: [0; WaitReason::ALL.len()],
        longest_waits: [None; WaitReason::ALL.len()],
        waited: [[0; WAITED_MINUTES.len()]; WaitReason::ALL.len()],
        leaked: None,
        groups,
        unlisted,
        watches: Vec::new(),
        labels: Vec::new(),
        highest_id: None,
        checked: None,
        frames: 0,
    }
}

/// 0 for proven leaks, 1 for stuck ones, 2 for the rest.
fn urgency(group: &Group) -> u8 {
    match (group.leaked > 0, group.longest_wait.is_some()) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

/// What may be shown, best first.
fn eligible<'t>(tally: &'t Tally, limits: &SeriesLimits) -> Vec<&'t Group> {
    let count = |count: u64| f64::from(u32::try_from(count).unwrap());
    let share = |group: &Group| count(group.goroutines) >= limits.min_ratio * count(tally.total);
    let mut groups: Vec<&Group> = tally
        .groups
        .iter()
        .filter(|group| {
            urgency(group) < 2 || (group.goroutines >= limits.min_goroutines && share(group))
        })
        .collect();
    groups.sort_by_key(|group| {
        (
            urgency(group),
            std::cmp::Reverse(group.goroutines),
            group.id,
        )
    });
    groups
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn the_choice_of_series_keeps_its_promises(probes in probes(), unlisted in 0..50_u64) {
        let mut memory = Memory::default();
        let mut before: Option<(Tally, Vec<GroupId>, SeriesLimits)> = None;
        let mut last_shown: HashMap<GroupId, usize> = HashMap::new();
        let mut largest_limit = 0;
        for (number, (seen, limits)) in probes.into_iter().enumerate() {
            largest_limit = largest_limit.max(limits.groups);
            let tally = tally_of(&seen, unlisted);
            let selection = select(&tally, &limits, &mut memory);
            let shown: Vec<&Group> = selection.shown.iter().map(|&place| &tally.groups[place]).collect();
            let ids: Vec<GroupId> = shown.iter().map(|group| group.id).collect();
            let candidates = eligible(&tally, &limits);

            // The books, and the bounds.
            let counted: u64 = shown.iter().map(|group| group.goroutines).sum();
            prop_assert_eq!(counted + selection.other, tally.total);
            prop_assert_eq!(shown.len() + selection.folded, tally.groups.len());
            prop_assert!(shown.len() <= limits.groups);
            let remembered = format!("{memory:?}").matches("GroupId").count();
            prop_assert!(remembered <= 5 * largest_limit, "{}", remembered);

            // Best first, each once, none below the floor.
            let ranks: Vec<_> = ids
                .iter()
                .map(|id| candidates.iter().position(|group| group.id == *id))
                .collect();
            prop_assert!(ranks.iter().all(Option::is_some), "below the floor");
            prop_assert!(ranks.is_sorted_by(|a, b| a < b));

            let top = &candidates[..candidates.len().min(limits.groups)];
            match &before {
                // At the first look nothing is a newcomer.
                None => prop_assert_eq!(&ids, &top.iter().map(|group| group.id).collect::<Vec<_>>()),
                Some((earlier, earlier_ids, earlier_limits)) => {
                    for group in &shown {
                        // Who was missing for two probes at most is still known.
                        let new = last_shown.get(&group.id).is_none_or(|last| number - last > 3);
                        if new && urgency(group) == 2 && group.goroutines < 50 {
                            let twice = eligible(earlier, earlier_limits).iter().any(|other| other.id == group.id);
                            prop_assert!(twice, "a small newcomer at its first look");
                        }
                    }
                    // Whoever is among the first and missing is a small newcomer, or waits for one that is held.
                    for group in top.iter().filter(|group| !ids.contains(&group.id)) {
                        let small = urgency(group) == 2 && group.goroutines < 50;
                        let full = shown.len() == limits.groups;
                        prop_assert!(small || full, "a place was free");
                        if full && !small {
                            // What is held in its stead is not clearly smaller, and not less urgent.
                            let last = shown[shown.len() - 1];
                            prop_assert!(urgency(last) <= urgency(group));
                            prop_assert!(last.goroutines * 2 > group.goroutines || urgency(last) < urgency(group));
                        }
                    }
                    if earlier_limits == &limits {
                        for id in earlier_ids.iter().filter(|id| !ids.contains(id)) {
                            let Some(rank) = candidates.iter().position(|group| group.id == *id) else { continue };
                            if rank >= limits.groups + 5 {
                                continue;
                            }
                            let lost = candidates[rank];
                            let better = shown.iter().any(|group| {
                                !earlier_ids.contains(&group.id)
                                    && (urgency(group) < urgency(lost) || group.goroutines >= 2 * lost.goroutines)
                            });
                            prop_assert!(better, "a place was lost to nobody");
                        }
                    }
                }
            }
            last_shown.extend(ids.iter().map(|id| (*id, number)));
            before = Some((tally, ids, limits));
        }
    }

    #[test]
    fn nothing_changes_while_nothing_changes(probes in probes(), jitter in vec(0..2_u64, 600)) {
        let (seen, limits) = probes.into_iter().next_back().unwrap();
        let mut memory = Memory::default();
        let tally = tally_of(&seen, 0);
        let first = select(&tally, &limits, &mut memory);
        for _ in 0..5 {
            prop_assert_eq!(&select(&tally, &limits, &mut memory), &first);
        }
        // Sizes that sway by one goroutine move nothing in or out, unless that crosses the floor.
        let names = |tally: &Tally, shown: &[usize]| {
            let mut names: Vec<GroupId> = shown.iter().map(|&place| tally.groups[place].id).collect();
            names.sort_unstable();
            names
        };
        let limits = SeriesLimits { min_goroutines: 0, min_ratio: 0.0, ..limits };
        let steady: Vec<Seen> = seen.iter().map(|&(name, size, leaked, stuck)| (name, size + 10, leaked, stuck)).collect();
        let mut memory = Memory::default();
        let tally = tally_of(&steady, 0);
        let held = names(&tally, &select(&tally, &limits, &mut memory).shown);
        let close = eligible(&tally, &limits).len() <= limits.groups + 5;
        for sway in jitter.chunks(30) {
            let swayed: Vec<Seen> = steady
                .iter()
                .zip(sway)
                .map(|(&(name, size, leaked, stuck), more)| (name, size + more, leaked, stuck))
                .collect();
            let tally = tally_of(&swayed, 0);
            let shown = names(&tally, &select(&tally, &limits, &mut memory).shown);
            if close {
                prop_assert_eq!(&shown, &held);
            }
        }
    }

    #[test]
    fn a_huge_newcomer_is_shown_at_once(probes in probes(), leaked in any::<bool>()) {
        let mut memory = Memory::default();
        for (seen, limits) in &probes {
            let tally = tally_of(seen, 0);
            std::hint::black_box(select(&tally, limits, &mut memory));
        }
        let (mut seen, mut limits) = probes.into_iter().next_back().unwrap();
        limits.groups = limits.groups.max(1);
        seen.push((99, 1_000_000, leaked, false));
        // Proven leaks and stuck groups may rightly take every place.
        let urgent = seen.iter().filter(|(_, _, leaked, stuck)| *leaked || *stuck).count();
        let tally = tally_of(&seen, 0);
        let selection = select(&tally, &limits, &mut memory);
        let found = selection.shown.iter().any(|&place| &*tally.groups[place].blocking_frame == "main.f99");
        prop_assert!(found || urgent >= limits.groups && !leaked);
    }
}
