//! One sample for each goroutine, with labels that say what a header says (`debug=3` of CockroachDB's Go).

use goroutine_exporter::decode::messages::{Label, Profile, Sample};
use prost::Message as _;

use super::super::books::{as_expected, check_books, whole};
use super::super::population::{Population, WAITS};
use super::{split, text};

const KEYS: [&[u8]; 4] = [
    b"go::goroutine",
    b"go::goroutine_created_by",
    b"go::goroutine_wait_minutes",
    b"go::goroutine_state",
];

/// A population written so, or any protobuf whose labels become such.
pub(crate) fn any(bytes: &[u8]) {
    let (made_up, bytes) = split(bytes);
    if made_up {
        let population = Population::from_bytes(bytes);
        if !population.groups.is_empty() {
            written(&population);
        }
    } else if let Ok(mut profile) = Profile::decode(bytes) {
        let first = strings(&mut profile);
        let labels = profile
            .sample
            .iter_mut()
            .flat_map(|sample| &mut sample.label);
        for label in labels {
            label.key = first + label.key.rem_euclid(4);
        }
        text::any(&profile.encode_to_vec());
    }
}

/// Adds the keys to the strings; returns the place of the first.
fn strings(profile: &mut Profile) -> i64 {
    let first = place(profile.string_table.len());
    profile.string_table.extend(KEYS.map(<[u8]>::to_vec));
    first
}

fn place(at: usize) -> i64 {
    i64::try_from(at).expect("it is in memory")
}

fn written(population: &Population) {
    let body = population.protobuf();
    let mut profile = Profile::decode(&body[..]).expect("what Go writes is read");
    let keys = strings(&mut profile);
    let counted = std::mem::take(&mut profile.sample);
    let (mut id, mut longest) = (0, None);
    for (sample, group) in counted.into_iter().zip(&population.groups) {
        let reason = if group.calls.is_empty() {
            "runnable"
        } else {
            WAITS[group.wait].reason
        };
        let state = place(profile.string_table.len());
        profile.string_table.push(reason.as_bytes().to_vec());
        longest = longest.max(group.minutes);
        for _ in 0..group.count {
            id += 7;
            let number = |key: i64, num: i64| Label {
                key: keys + key,
                num,
                ..Label::default()
            };
            let mut label = sample.label.clone();
            label.push(number(0, id));
            label.push(number(1, 1));
            label.extend(group.minutes.map(|minutes| {
                let minutes = i64::try_from(minutes).expect("minutes are few");
                number(2, minutes)
            }));
            label.push(Label {
                key: keys + 3,
                str: state,
                ..Label::default()
            });
            profile.sample.push(Sample {
                value: vec![1],
                label,
                ..sample.clone()
            });
        }
    }
    let tally = whole(&profile.encode_to_vec()).expect("what Go writes is read");
    check_books(&tally);
    assert_eq!(as_expected(&tally), population.expected(0));
    assert_eq!(
        tally.highest_id,
        u64::try_from(id).ok().filter(|&id| id > 0)
    );
    let found = tally.longest_waits.iter().max().copied().flatten();
    assert_eq!(found.map(|wait| wait.as_secs() / 60), longest);
}
