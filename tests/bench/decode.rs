//! How fast profiles are read and counted: `cargo bench --bench decode`.
//!
//! Every figure is for decode, classify and count together, as a probe does them, on one core. `inflate_only` is the
//! floor for a compressed protobuf. Figures of one run compare; those of two runs on a shared machine do not.

#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a benchmark that cannot go on must say so"
)]

mod dumps;

use std::io::Read as _;

use divan::counter::BytesCount;
use dumps::{DEEP, DISTINCT, FEW, MANY, ORDINARY, PATHS, SHALLOW, Shape};
use goroutine_exporter::classify::Rules;
use goroutine_exporter::decode::logs::{Choice, Reader};
use goroutine_exporter::decode::{self, Decoder, Limits};
use goroutine_exporter::expose::expose_tally;
use goroutine_exporter::tally::{Collector, Memory, SeriesLimits, Tally, select};

const LIMITS: Limits = Limits {
    inflated_bytes: 256 << 20,
};
/// As a socket delivers.
const PIECE_BYTES: usize = 64 << 10;

/// Counts allocations and the most that is held at once, beside the time.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn stream(body: &[u8]) -> Tally {
    let mut collector = Collector::new(&Rules::default());
    let mut decoder = Decoder::new(&LIMITS);
    for piece in body.chunks(PIECE_BYTES) {
        decoder.push(piece, &mut collector).unwrap();
    }
    let summary = decoder.finish(&mut collector).unwrap();
    collector.finish(summary)
}

#[divan::bench(args = [("deep", DEEP), ("many", MANY), ("shallow", SHALLOW)], sample_count = 10)]
fn debug2(bencher: divan::Bencher<'_, '_>, (_, shape): (&str, Shape)) {
    let body = dumps::debug2(shape);
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let tally = stream(divan::black_box(&body));
        assert_eq!(
            (tally.total, tally.summary.damage),
            (shape.goroutines as u64, 0)
        );
        tally
    });
}

/// As `inspect` reads files: plain, in Docker's JSON, and behind a prefix.
#[divan::bench(args = ["plain", "docker", "prefix"], sample_count = 10)]
fn logs(bencher: divan::Bencher<'_, '_>, wrapper: &str) {
    let plain = dumps::debug2(DEEP);
    let body: Vec<u8> = match wrapper {
        "plain" => plain,
        "docker" => dumps::docker(&plain),
        _ => String::from_utf8(plain)
            .unwrap()
            .lines()
            .map(|line| format!("[pod/web-7d9f8-x2x1z/app] {line}\n"))
            .collect::<String>()
            .into_bytes(),
    };
    let rules = Rules::default();
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let mut reader = Reader::new(&LIMITS, Choice::Best, || Collector::new(&rules));
        for piece in divan::black_box(&body[..]).chunks(PIECE_BYTES) {
            reader.push(piece).unwrap();
        }
        let outcome = reader.finish().unwrap();
        let tally = outcome.sink.finish(outcome.summary);
        assert_eq!(
            (tally.total, tally.summary.damage),
            (DEEP.goroutines as u64, 0)
        );
        tally
    });
}

#[divan::bench(sample_count = 5)]
fn debug1_all_distinct(bencher: divan::Bencher<'_, '_>) {
    let body = dumps::debug1(DISTINCT);
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let tally = stream(divan::black_box(&body));
        assert_eq!(tally.total, 100_000);
        tally
    });
}

const PROTOBUFS: [(&str, Shape); 4] = [
    ("100k_distinct", DISTINCT),
    ("100k_over_200", PATHS),
    ("2k", FEW),
    ("50", ORDINARY),
];

#[divan::bench(args = PROTOBUFS, sample_count = 20)]
fn protobuf(bencher: divan::Bencher<'_, '_>, (_, shape): (&str, Shape)) {
    let raw = dumps::protobuf(shape);
    let body = dumps::gzip(&raw);
    bencher.counter(BytesCount::new(raw.len())).bench(|| {
        let mut collector = Collector::new(&Rules::default());
        let summary = decode::decode(divan::black_box(&body), &LIMITS, &mut collector).unwrap();
        let tally = collector.finish(summary);
        assert_eq!(tally.total, shape.goroutines as u64);
        tally
    });
}

/// What a probe of an ordinary service adds to the fetch: 200 goroutines in 60 stacks, to the text for Prometheus.
#[divan::bench(sample_count = 50)]
fn ordinary_probe(bencher: divan::Bencher<'_, '_>) {
    let shape = Shape {
        goroutines: 200,
        depth: 12,
        stacks: 60,
        labels: false,
    };
    let body = dumps::gzip(&dumps::protobuf(shape));
    let limits = SeriesLimits {
        groups: 20,
        min_goroutines: 5,
        min_ratio: 0.0,
    };
    bencher.bench(|| {
        let mut collector = Collector::new(&Rules::default());
        let summary = decode::decode(divan::black_box(&body), &LIMITS, &mut collector).unwrap();
        let tally = collector.finish(summary);
        let selection = select(&tally, &limits, &mut Memory::default());
        let text = expose_tally(&tally, &selection);
        assert!(text.contains("goroutine_goroutines 200\n"));
        text
    });
}

#[divan::bench(args = PROTOBUFS, sample_count = 20)]
fn inflate_only(bencher: divan::Bencher<'_, '_>, (_, shape): (&str, Shape)) {
    let raw = dumps::protobuf(shape);
    let body = dumps::gzip(&raw);
    bencher.counter(BytesCount::new(raw.len())).bench(|| {
        let mut inflated = Vec::new();
        #[expect(clippy::disallowed_types, reason = "the floor to compare with")]
        flate2::bufread::GzDecoder::new(divan::black_box(&body[..]))
            .read_to_end(&mut inflated)
            .unwrap();
        assert_eq!(inflated.len(), raw.len());
        inflated
    });
}
