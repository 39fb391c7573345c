//! Any bytes as a log: no panic, balanced books, the same in pieces; and a population within lines of Docker is what was
//! written.

#![no_main]

mod shim;

use goroutine_exporter::classify::Rules;
use goroutine_exporter::decode::logs::{Choice, Reader, Report};
use goroutine_exporter::decode::{DecodeError, Limits};
use goroutine_exporter::tally::{Collector, Tally};
use libfuzzer_sys::fuzz_target;
use shim::books::{as_expected, check_books};
use shim::population::Population;

fn read(body: &[u8], size: usize, choice: Choice) -> Result<(Tally, Report), DecodeError> {
    let rules = Rules::default();
    let limits = Limits {
        inflated_bytes: 16 << 20,
    };
    let mut reader = Reader::new(&limits, choice, || Collector::new(&rules));
    for piece in body.chunks(size) {
        reader.push(piece)?;
    }
    let outcome = reader.finish()?;
    Ok((outcome.sink.finish(outcome.summary), outcome.report))
}

fuzz_target!(|bytes: &[u8]| {
    let size = usize::from(bytes.last().copied().unwrap_or(0)) + 1;
    let found = read(bytes, usize::MAX, Choice::Best);
    if let Ok((tally, report)) = &found {
        check_books(tally);
        assert!(report.examples.len() <= 2 && report.dumps > 0);
    }
    assert_eq!(read(bytes, size, Choice::Best), found, "pieces of {size}");
    if let Ok((all, _)) = read(bytes, size, Choice::All) {
        check_books(&all);
    }
    let population = Population::from_bytes(bytes);
    if population.groups.is_empty() {
        return;
    }
    for encoding in [1, 2] {
        let body = String::from_utf8(population.written(encoding)).expect("names are UTF-8");
        let lines = body.split_inclusive('\n').map(|line| {
            let line = line
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
                .replace('\t', "\\t");
            format!("{{\"log\":\"{line}\",\"stream\":\"stderr\"}}\n")
        });
        let wrapped: String = lines.collect();
        let (tally, _) = read(wrapped.as_bytes(), size, Choice::All).expect("what Go writes is read");
        let mut expected = population.expected(encoding);
        expected.labels.clear();
        assert_eq!(as_expected(&tally), expected);
    }
});
