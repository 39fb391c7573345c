//! Profiles of contention and of threads.

use super::*;
use crate::decode::{Decoder, decode_as};

const LIMITS: Limits = Limits {
    inflated_bytes: 1 << 20,
};

/// A profile whose values count these, in these units.
fn counting(kinds: &[(&[u8], &[u8])], values: &[&[i64]]) -> Vec<u8> {
    with(|profile| {
        for (name, unit) in kinds {
            let at = i64::try_from(profile.string_table.len()).unwrap();
            profile.string_table.push(name.to_vec());
            profile.string_table.push(unit.to_vec());
            profile.sample_type.push(ValueType {
                r#type: at,
                unit: at + 1,
            });
        }
        profile.sample_type.remove(0);
        profile.sample = values.iter().map(|value| sample(&[1], value)).collect();
    })
}

const CONTENTION: &[(&[u8], &[u8])] = &[(b"contentions", b"count"), (b"delay", b"nanoseconds")];
const THREADS: &[(&[u8], &[u8])] = &[(b"threadcreate", b"count")];
const GOROUTINES: &[(&[u8], &[u8])] = &[(b"goroutine", b"count")];

fn read(wanted: Wanted, body: &[u8]) -> (Recorder, Result<Summary, DecodeError>) {
    let mut recorder = Recorder::default();
    let summary = decode_as(wanted, body, &LIMITS, &mut recorder);
    (recorder, summary)
}

#[track_caller]
fn lines(wanted: Wanted, body: &[u8], expected: &[&str], damage: u64) {
    let (recorder, summary) = read(wanted, body);
    let summary = summary.unwrap();
    assert_eq!(recorder.goroutines, expected);
    assert_eq!((summary.damage, summary.leaked_only), (damage, false));
}

#[test]
fn contention_has_events_and_a_delay() {
    let body = counting(CONTENTION, &[&[3, 4_000], &[1, 5]]);
    lines(
        Wanted::Contention,
        &body,
        &["3 4000ns | main.a@/a.go:1", "1 5ns | main.a@/a.go:1"],
        0,
    );
    let mut turned = CONTENTION.to_vec();
    turned.reverse();
    lines(
        Wanted::Contention,
        &counting(&turned, &[&[4_000, 3]]),
        &["3 4000ns | main.a@/a.go:1"],
        0,
    );
}

#[test]
fn counts_of_months_are_read_and_negative_ones_refused() {
    let most = i64::MAX;
    lines(
        Wanted::Contention,
        &counting(
            CONTENTION,
            &[&[most, most], &[1 << 40, 1], &[0, 7], &[0, 0]],
        ),
        &[
            &format!("{most} {most}ns | main.a@/a.go:1"),
            "1099511627776 1ns | main.a@/a.go:1",
            "0 7ns | main.a@/a.go:1",
        ],
        0,
    );
    for values in [[-1, 1], [1, -1], [i64::MIN, 1], [1, i64::MIN]] {
        let (_, summary) = read(Wanted::Contention, &counting(CONTENTION, &[&values]));
        assert!(
            matches!(summary, Err(DecodeError::Damaged { problem, .. }) if problem.contains("negative"))
        );
    }
    // A sample without its delay.
    lines(
        Wanted::Contention,
        &counting(CONTENTION, &[&[1], &[]]),
        &[],
        2,
    );
    // No process has so many threads.
    lines(Wanted::Threads, &counting(THREADS, &[&[1 << 40]]), &[], 1);
}

#[test]
fn threads_are_counted_with_or_without_a_stack() {
    let body = with(|profile| {
        profile.string_table[1] = b"threadcreate".to_vec();
        profile.sample = vec![sample(&[], &[8]), sample(&[1], &[1])];
    });
    lines(Wanted::Threads, &body, &["8 | ", "1 | main.a@/a.go:1"], 0);
}

#[test]
fn another_kind_is_told_by_what_it_is() {
    let check = |wanted, body: &[u8], words: &str| {
        for body in [body.to_vec(), crate::decode::tests::gzip(body)] {
            let (recorder, summary) = read(wanted, &body);
            match summary {
                Err(DecodeError::NotPprof { found }) => assert!(found.contains(words), "{found}"),
                other => panic!("{wanted:?}: {other:?}"),
            }
            assert_eq!(recorder.total, 0);
        }
    };
    let body = |kinds| counting(kinds, &[&[1, 1]]);
    let leaks = body(&[(b"goroutineleak", b"count")]);
    for wanted in [Wanted::Contention, Wanted::Threads] {
        check(wanted, &body(GOROUTINES), "of goroutines");
        check(wanted, &leaks, "of leaked goroutines");
        check(wanted, b"goroutine profile: total 0\n", "only the protobuf");
        check(
            wanted,
            b"--- contention:\ncycles/second=1\n1 1 @ 0x1\n",
            "only the protobuf",
        );
        check(
            wanted,
            b"threadcreate profile: total 9\n8 @ \n#\t0x0\n\n1 @ 0x1\n#\t0x0\tmain.a+0x1\t/a.go:1\n\n",
            "only the protobuf",
        );
        check(wanted, b"<html>hello</html>", "only the protobuf");
        check(wanted, b"", "an empty body");
    }
    check(Wanted::Contention, &body(THREADS), "of threads");
    check(Wanted::Threads, &body(CONTENTION), "of contention");
    check(Wanted::Goroutines, &body(CONTENTION), "of contention");
    check(Wanted::Goroutines, &body(THREADS), "of threads");
    // A delay in another unit is not what it would be counted as.
    let seconds = body(&[(b"contentions", b"count"), (b"delay", b"seconds")]);
    check(Wanted::Contention, &seconds, "of contention");
    check(
        Wanted::Threads,
        &body(&[(b"wishes", b"count")]),
        "counts no threads",
    );
}

#[test]
fn what_is_held_whole_is_known() {
    let contention = counting(CONTENTION, &[&[3, 4_000]]);
    let text = b"goroutine 1 [select]:\nmain.a()\n\t/a.go:1 +0x1\n\n".repeat(9);
    for (wanted, body, streams) in [
        (Wanted::Contention, contention.clone(), false),
        (
            Wanted::Contention,
            crate::decode::tests::gzip(&contention),
            false,
        ),
        (Wanted::Goroutines, text.clone(), true),
        (Wanted::Goroutines, crate::decode::tests::gzip(&text), false),
    ] {
        let mut decoder = Decoder::wanting(wanted, &LIMITS);
        assert_eq!(decoder.held(), 0);
        let mut recorder = Recorder::default();
        for (before, byte) in body.chunks(1).enumerate() {
            decoder.push(byte, &mut recorder).unwrap();
            let pushed = u64::try_from(before + 1).unwrap();
            // What is looked at to recognise text is held, too.
            let held = if streams && pushed >= 67 { 0 } else { pushed };
            assert_eq!(decoder.held(), held);
        }
        decoder.finish(&mut recorder).unwrap();
    }
}
