//! Any bytes as a log: no panic, balanced books, the same in pieces; and a population within lines of Docker is what was
//! written.

use std::sync::LazyLock;

use goroutine_exporter::classify::Rules;
use goroutine_exporter::decode::logs::{Choice, Reader, Report};
use goroutine_exporter::decode::{DecodeError, Limits};
use goroutine_exporter::tally::{Collector, Tally};

use super::super::books::{as_expected, check_books};
use super::super::population::Population;
use super::{choice, split};

static RULES: LazyLock<Rules> = LazyLock::new(Rules::default);

fn read(body: &[u8], size: usize, choice: Choice) -> Result<(Tally, Report), DecodeError> {
    let limits = Limits {
        inflated_bytes: 16 << 20,
    };
    let mut reader = Reader::new(&limits, choice, || Collector::new(&RULES));
    for piece in body.chunks(size) {
        reader.push(piece)?;
    }
    let outcome = reader.finish()?;
    Ok((outcome.sink.finish(outcome.summary), outcome.report))
}

/// Whichever dump is asked for.
pub(crate) fn any(bytes: &[u8]) {
    match split(bytes) {
        (true, bytes) => population(bytes),
        (false, text) => log(text),
    }
}

fn log(bytes: &[u8]) {
    let size = choice(bytes) + 1;
    let found = read(bytes, usize::MAX, Choice::Best);
    if let Ok((tally, report)) = &found {
        check_books(tally);
        assert!(report.examples.len() <= 2 && report.dumps > 0);
    }
    assert_eq!(read(bytes, size, Choice::Best), found, "pieces of {size}");
    if let Ok((all, _)) = read(bytes, size, Choice::All) {
        check_books(&all);
    }
}

/// Within lines of Docker's it is what was written.
fn population(bytes: &[u8]) {
    let size = choice(bytes) + 1;
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
        let (tally, _) =
            read(wrapped.as_bytes(), size, Choice::All).expect("what Go writes is read");
        let mut expected = population.expected(encoding);
        expected.labels.clear();
        assert_eq!(as_expected(&tally), expected);
    }
}
