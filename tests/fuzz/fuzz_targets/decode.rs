//! Any bytes: no panic, balanced books, and the same result in pieces.

#![no_main]

mod shim;

use libfuzzer_sys::fuzz_target;
use shim::books::{check_books, read, whole};

fuzz_target!(|body: &[u8]| {
    let found = whole(body);
    if let Ok(tally) = &found {
        check_books(tally);
    }
    let size = usize::from(body.last().copied().unwrap_or(0)) + 1;
    assert_eq!(read(body, &[size]), found, "pieces of {size}");
});
