//! A population as text, `debug=2` and `debug=1`: what is read is what was written, in pieces, with other line ends, and
//! cut.

#![no_main]

mod shim;

use libfuzzer_sys::fuzz_target;
use shim::books::{as_expected, check_books, read, whole};
use shim::population::Population;

fuzz_target!(|bytes: &[u8]| {
    let population = Population::from_bytes(bytes);
    if population.groups.is_empty() {
        return;
    }
    let size = usize::from(bytes[0]) + 1;
    for encoding in [1, 2] {
        let body = population.written(encoding);
        let tally = whole(&body).expect("what Go writes is read");
        check_books(&tally);
        assert_eq!(as_expected(&tally), population.expected(encoding));
        assert_eq!((tally.summary.truncated, tally.summary.damage), (false, 0));
        assert_eq!(read(&body, &[size]).as_ref(), Ok(&tally));
        let windows = String::from_utf8(body.clone())
            .expect("names are UTF-8")
            .replace('\n', "\r\n");
        assert_eq!(whole(windows.as_bytes()).as_ref(), Ok(&tally));
        let cut = body.len() * usize::from(*bytes.last().unwrap_or(&0)) / 256;
        if let Ok(part) = whole(&body[..cut]) {
            check_books(&part);
            assert!(part.total <= tally.total);
        }
    }
});
