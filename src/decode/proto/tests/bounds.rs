//! What costs its writer a few bytes, and a reader much: refused where no profile of Go's could have it.

use super::*;
use crate::classify::Rules;
use crate::decode::{DecodeError, decode};
use crate::tally::Collector;

const LIMITS: Limits = Limits {
    inflated_bytes: 16 << 20,
};

/// Goroutines counted, or what is wrong.
fn counted(bytes: &[u8]) -> Result<u64, String> {
    let mut counts = Collector::new(&Rules::default());
    match decode(bytes, &LIMITS, &mut counts) {
        Ok(summary) => Ok(counts.finish(summary).total),
        Err(DecodeError::Damaged { problem, .. }) => Err(problem.to_owned()),
        Err(other) => panic!("{other}"),
    }
}

fn called(times: usize) -> Vec<Line> {
    let line = |line| Line {
        function_id: 1,
        line,
        column: 0,
    };
    (1..).take(times).map(line).collect()
}

#[test]
fn a_long_name_is_read_and_one_that_thousands_of_calls_have_is_not() {
    let of = |calls| {
        counted(&with(|profile| {
            profile.string_table[3] = vec![b'x'; 1 << 20];
            profile.location[0].line = called(calls);
            profile.sample = vec![sample(&[1], &[3])];
        }))
    };
    assert_eq!(of(500), Ok(3));
    let refused = of(520).unwrap_err();
    assert!(refused.contains("longer names"), "{refused}");
}

/// Locations of as many inlined calls as told, and stacks of two of them.
fn inlined(calls: usize, stacks: u64) -> Result<u64, String> {
    counted(&with(|profile| {
        let location = Location {
            line: called(calls),
            ..Location::default()
        };
        let numbered = (1..=200).map(|id| Location {
            id,
            ..location.clone()
        });
        profile.location = numbered.collect();
        let stacks = (0..stacks).map(|number| [1 + number % 200, 1 + number / 200]);
        profile.sample = stacks.map(|ids| sample(&ids, &[1])).collect();
    }))
}

#[test]
fn calls_are_inlined_a_few_at_a_time_or_the_stacks_are_made_up() {
    assert_eq!(inlined(5, 30_000), Ok(30_000));
    assert_eq!(inlined(500, 2_000), Ok(2_000), "few of them are harmless");
    let refused = inlined(500, 30_000).unwrap_err();
    assert!(refused.contains("more calls in its stacks"), "{refused}");
}

#[test]
fn ids_need_not_be_dense_and_not_all_may_be_made_up() {
    let of = |functions: u64| {
        counted(&with(|profile| {
            let ids = (0..functions).map(|number| (1 << 63) + 97 * number);
            profile.function.extend(ids.map(|id| Function {
                id,
                ..Function::default()
            }));
            profile.sample = vec![sample(&[1], &[1])];
        }))
    };
    assert_eq!(of(200_000), Ok(1));
    let refused = of(270_000).unwrap_err();
    assert!(
        refused.contains("more strings, functions or calls"),
        "{refused}"
    );
}
