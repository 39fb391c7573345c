//! Bodies as a target may answer, text above all.

use super::super::books::{as_expected, check_books, read, whole};
use super::super::population::Population;
use super::{choice, split};

/// Any bytes: no panic, balanced books, and the same in pieces of any size.
pub(crate) fn any(body: &[u8]) {
    let found = whole(body);
    if let Ok(tally) = &found {
        check_books(tally);
    }
    let size = choice(body) + 1;
    assert_eq!(read(body, &[size]), found, "pieces of {size}");
}

/// Any text that begins as `debug=1` does, or a population written so.
pub(crate) fn debug1(bytes: &[u8]) {
    match split(bytes) {
        (true, bytes) => population(bytes, 1),
        (false, text) => any(&[b"goroutine profile: total 7\n1 @ ", text].concat()),
    }
}

/// Any text that begins as `debug=2` does, or a population written so.
pub(crate) fn debug2(bytes: &[u8]) {
    match split(bytes) {
        (true, bytes) => population(bytes, 2),
        (false, text) => any(&[b"goroutine 7 [", text].concat()),
    }
}

/// What is read is what was written: whole, in pieces, with other line ends; and never more when cut.
fn population(bytes: &[u8], encoding: u8) {
    let population = Population::from_bytes(bytes);
    if population.groups.is_empty() {
        return;
    }
    let body = population.written(encoding);
    let tally = whole(&body).expect("what Go writes is read");
    check_books(&tally);
    assert_eq!(as_expected(&tally), population.expected(encoding));
    assert_eq!((tally.summary.truncated, tally.summary.damage), (false, 0));
    assert_eq!(read(&body, &[choice(bytes) + 1]).as_ref(), Ok(&tally));
    let windows = String::from_utf8(body.clone())
        .expect("names are UTF-8")
        .replace('\n', "\r\n");
    assert_eq!(whole(windows.as_bytes()).as_ref(), Ok(&tally));
    let cut = body.len() * choice(bytes) / 256;
    if let Ok(part) = whole(&body[..cut]) {
        check_books(&part);
        assert!(part.total <= tally.total);
    }
}
