//! Bodies of every kind of profile.

use super::bodies::{
    MIB, Proto, addresses, called_often, counts, deep, deep_proto, groups, groups_of_text, gzip,
    indices, inlined, labels, long_names, small,
};
use super::{Outcome, Stage};
use crate::budgets;
use crate::http::Metrics;
use crate::servers::{Server, ok, profile, send, unknown_profile, until_closed};

#[test]
fn goroutines() {
    use Outcome::{Damaged, Fails, Reads};
    let mut stage = Stage::new();
    let bomb = gzip(&vec![b'\n'; 64 * MIB]);
    assert!(
        bomb.len() * 900 < 64 * MIB,
        "{} bytes are no bomb",
        bomb.len()
    );
    let empty = gzip(b"");
    let zeros = gzip(&vec![0; 8 * MIB]);
    let rows: Vec<(&str, Vec<u8>, Outcome)> = vec![
        ("gzip in gzip", gzip(&gzip(&profile())), Fails("not_pprof")),
        (
            "gzip in gzip, a member each",
            [gzip(b""), gzip(&gzip(b"goroutine"))].concat(),
            Fails("not_pprof"),
        ),
        ("a bomb, 1000:1", bomb, Fails("too_large")),
        (
            "a bomb of a hundred members",
            zeros.repeat(100),
            Fails("too_large"),
        ),
        (
            "empty members without end",
            empty.repeat(4 * MIB / empty.len()),
            Fails("decode"),
        ),
        (
            "a profile between empty members",
            [empty.repeat(1_000), profile(), empty.repeat(1_000)].concat(),
            Reads(831),
        ),
        (
            "a profile and its start again",
            [&gzip(&small())[..], &gzip(&small())[..30]].concat(),
            Fails("decode"),
        ),
        (
            "a wrong checksum",
            {
                let mut body = profile();
                let at = body.len() - 5;
                body[at] ^= 1;
                body
            },
            Fails("decode"),
        ),
        ("counts of 2^63-1", counts(&[i64::MAX, 5]), Damaged),
        ("counts of 2^32", counts(&[1 << 32, 5]), Damaged),
        (
            "a count below zero",
            counts(&[5, i64::MIN]),
            Fails("decode"),
        ),
        (
            "a sum beyond 32 bits",
            counts(&[0x7fff_ffff, 0x7fff_ffff, 1]),
            Reads(u32::MAX),
        ),
        (
            "counts in text beyond 64 bits",
            b"goroutine profile: total 5\n99999999999999999999 @ 0x1\n\n5 @ 0x2\n\n".to_vec(),
            Damaged,
        ),
        (
            "a total beyond 64 bits",
            b"goroutine profile: total 99999999999999999999\n5 @ 0x2\n\n".to_vec(),
            Reads(5),
        ),
        ("indices to nowhere, ids of 2^64-1", indices(), Damaged),
        (
            "a name of 3 MiB, 50,000 calls of it",
            called_often(3 * MIB, 50_000),
            Fails("decode"),
        ),
        (
            "a name of 100 kB, 20 calls of it",
            called_often(100_000, 20),
            Reads(1),
        ),
        (
            "350,000 stacks of inlined calls",
            inlined(350_000),
            Fails("decode"),
        ),
        ("100,000 groups, protobuf", groups(100_000), Reads(100_000)),
        ("60,000 groups, text", groups_of_text(60_000), Reads(60_000)),
        ("names of 1 MiB", long_names(3), Reads(3)),
        ("a stack of 200,000 calls, text", deep(180_000), Damaged),
        (
            "a stack of 1,000,000 calls, protobuf",
            deep_proto(1_000_000),
            Reads(2),
        ),
        (
            "256 labels of 600 bytes, 2,000 times",
            labels(2_000),
            Reads(2_000),
        ),
        (
            "4,000 places behind hidden addresses",
            addresses(4_000),
            Reads(4_001),
        ),
        (
            "a protobuf of empty fields",
            [0x1a, 0].repeat(2 * MIB),
            Fails("not_pprof"),
        ),
        (
            "a protobuf of empty strings",
            [0x32, 0].repeat(2 * MIB),
            Fails("not_pprof"),
        ),
        (
            "headers and nothing else",
            b"goroutine 1 [x\n".repeat(200_000),
            Damaged,
        ),
        (
            "one line of 4 MB",
            b"goroutine 1 [".repeat(300_000),
            Fails("not_pprof"),
        ),
        ("blank lines", vec![b'\n'; 4 * MIB], Fails("not_pprof")),
        ("NULs", vec![0; 4 * MIB], Fails("decode")),
    ];
    for (name, body, expected) in rows {
        stage.body(name, "default", &body, expected);
    }
    stage.body(
        "1,000,000 groups",
        "large",
        &gzip(&groups_of_text(1_000_000)),
        Reads(1_000_000),
    );
}

/// A target whose goroutines are few, and whose other profiles are what is told.
fn target(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
    Server::by_path(move |path| match path.strip_prefix("/debug/pprof/") {
        Some("goroutine") => ok(&budgets::profile("goroutine", 30)),
        Some(name) => answer(name).map_or_else(unknown_profile, |body| ok(&body)),
        None => unknown_profile(),
    })
}

/// What is asked for, what the series call it, and the module that does.
const PROFILES: [(&str, &str, &str); 5] = [
    ("goroutine?debug=2", "goroutine_detail", "detail"),
    ("goroutineleak", "goroutineleak", "others"),
    ("block", "block", "others"),
    ("mutex", "mutex", "others"),
    ("threadcreate", "threadcreate", "others"),
];

fn failed(metrics: &Metrics, profile: &str) {
    metrics.is("goroutine_goroutines", &[], 30.0);
    let labels = [("profile", profile)];
    metrics.is("goroutine_profile_success", &labels, 0.0);
}

#[test]
fn every_other_profile_may_fail_and_the_goroutines_are_told() {
    let mut stage = Stage::new();
    let bodies: [(&str, Vec<u8>); 7] = [
        ("a bomb", gzip(&vec![b'\n'; 16 * MIB])),
        ("gzip in gzip", gzip(&gzip(&small()))),
        (
            "too much of it",
            b"goroutine 1 [select]:\nmain.f()\n\t/a.go:1\n\n".repeat(100_000),
        ),
        ("a page", b"<!doctype html><title>Sign in</title>".to_vec()),
        ("nothing", Vec::new()),
        ("NULs", vec![0; MIB / 2]),
        (
            "a protobuf of something else",
            Proto::of(&[("cpu", "nanoseconds")]).bytes(),
        ),
    ];
    for (asked, profile, module) in PROFILES {
        for (name, body) in &bodies {
            let body = body.clone();
            let server = target(move |name| (name == asked).then(|| body.clone()));
            let metrics = stage.server(
                &format!("{profile}: {name}"),
                module,
                &server,
                Outcome::Reads(30),
            );
            failed(&metrics, profile);
        }
        let silent =
            Server::asked_for(
                move |path, stream| match path.strip_prefix("/debug/pprof/") {
                    Some("goroutine") => send(stream, &ok(&budgets::profile("goroutine", 30))),
                    Some(name) if name == asked => until_closed(stream),
                    _ => send(stream, &unknown_profile()),
                },
            );
        let metrics = stage.server(
            &format!("{profile}: silence"),
            &format!("{module}_hasty"),
            &silent,
            Outcome::Reads(30),
        );
        failed(&metrics, profile);
    }
}

#[test]
fn counters_at_the_edge_of_their_types() {
    let mut stage = Stage::new();
    let contention = |values: &[[i64; 2]]| {
        let mut proto = Proto::of(&[("contentions", "count"), ("delay", "nanoseconds")]);
        proto.call(1, b"main.f").call(2, b"other");
        for value in values {
            proto.sample(&[1], value).sample(&[2], value);
        }
        proto.bytes()
    };
    let most = contention(&[[i64::MAX; 2]; 4]);
    let server = target(move |name| (name == "block").then(|| most.clone()));
    let metrics = stage.server(
        "block: sums beyond 64 bits",
        "others",
        &server,
        Outcome::Reads(30),
    );
    let sum: f64 = metrics
        .all("goroutine_block_events_total", &[])
        .map(|sample| sample.value)
        .sum();
    assert!(sum.is_finite() && sum >= 1.8e19, "{sum}");

    let negative = contention(&[[7, -1]]);
    let server = target(move |name| (name == "mutex").then(|| negative.clone()));
    let metrics = stage.server(
        "mutex: a delay below zero",
        "others",
        &server,
        Outcome::Reads(30),
    );
    failed(&metrics, "mutex");

    let mut threads = Proto::of(&[("threadcreate", "count")]);
    threads
        .call(1, b"main.f")
        .sample(&[1], &[i64::MAX])
        .sample(&[1], &[3]);
    let threads = threads.bytes();
    let server = target(move |name| (name == "threadcreate").then(|| threads.clone()));
    let metrics = stage.server(
        "threadcreate: a count of 2^63-1",
        "others",
        &server,
        Outcome::Reads(30),
    );
    failed(&metrics, "threadcreate");

    let dump = b"goroutine 18446744073709551615 [select, 18446744073709551615 minutes]:\nmain.f()\n\t/a.go:4294967295\n\n".to_vec();
    let server = target(move |name| (name == "goroutine?debug=2").then(|| dump.clone()));
    let metrics = stage.server(
        "goroutine_detail: an id and a wait of 2^64-1",
        "detail",
        &server,
        Outcome::Reads(30),
    );
    let longest = metrics.value(
        "goroutine_longest_wait_seconds",
        &[("wait_reason", "select")],
    );
    assert!(longest.is_some_and(f64::is_finite), "{longest:?}");

    let leaks = counts_of_leaks(1_000);
    let server = target(move |name| (name == "goroutineleak").then(|| leaks.clone()));
    let metrics = stage.server(
        "goroutineleak: more leaks than goroutines",
        "others",
        &server,
        Outcome::Reads(30),
    );
    metrics.is("goroutine_leaked_goroutines", &[], 30.0);
}

#[test]
fn a_detail_of_functions_that_are_all_new_keeps_to_its_memory() {
    let mut stage = Stage::new();
    for (name, length) in [("long", 85), ("longer", 150)] {
        let mut dump = String::new();
        for number in 0.. {
            let function = "f".repeat(length);
            let block = format!(
                "goroutine {number} [select]:\nmain.{function}{number}(0x1)\n\t/a.go:1 +0x1\n\n"
            );
            if dump.len() + block.len() > 64 * MIB {
                break;
            }
            dump.push_str(&block);
        }
        let server =
            target(move |path| (path == "goroutine?debug=2").then(|| dump.clone().into_bytes()));
        let metrics = stage.server(
            &format!("goroutine_detail: {name} names, all new"),
            "detail_large",
            &server,
            Outcome::Reads(30),
        );
        let labels = [("profile", "goroutine_detail")];
        metrics.is("goroutine_profile_success", &labels, 1.0);
    }
}

fn counts_of_leaks(count: i64) -> Vec<u8> {
    let mut proto = Proto::of(&[("goroutineleak", "count")]);
    proto.call(1, b"main.f").sample(&[1], &[count]);
    proto.bytes()
}
