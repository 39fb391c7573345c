//! Compressed bodies: whatever the members, what is counted is what the content counts.

use std::io::{Read as _, Write as _};

use goroutine_exporter::decode::DecodeError;
use goroutine_exporter::tally::Tally;

use super::super::books::{INFLATED_BYTES, check_books, read, whole};
use super::choice;

const MAGIC: &[u8] = &[0x1f, 0x8b];
/// Deflate, no flags, no time, an unknown system (RFC 1952).
const HEAD: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The input as what follows a member's first bytes, and as content that is compressed here.
pub(crate) fn any(bytes: &[u8]) {
    let head = if choice(bytes).is_multiple_of(2) {
        HEAD
    } else {
        MAGIC
    };
    inflated_by_both(&[head, bytes].concat());
    written(bytes);
}

/// As the library's own reader of several members inflates it.
fn inflated_by_both(body: &[u8]) {
    let found = whole(body);
    assert_eq!(read(body, &[choice(body) + 1]), found);
    let mut content = Vec::new();
    let end = flate2::bufread::MultiGzDecoder::new(body)
        .take(INFLATED_BYTES + 1)
        .read_to_end(&mut content);
    if u64::try_from(content.len()).expect("it is in memory") > INFLATED_BYTES {
        assert!(found.is_err(), "more than the limit");
        return;
    }
    let expected = whole(&content);
    match found {
        Ok(found) => {
            check_books(&found);
            let marks = (found.summary.truncated, found.summary.damage);
            let mut expected = expected.expect("content that is read alone is read compressed");
            let damage = marks.1.checked_sub(expected.summary.damage);
            assert!(damage.is_some_and(|more| more <= 1), "{damage:?}");
            if end.is_ok() {
                assert_eq!(marks, (expected.summary.truncated, expected.summary.damage));
            } else {
                assert!(marks.0 || damage == Some(1), "an end that is not told");
            }
            (expected.summary.truncated, expected.summary.damage) = marks;
            assert_eq!(found, expected);
        }
        Err(_) if end.is_ok() => assert!(expected.is_err() || content.starts_with(MAGIC)),
        Err(_) => {}
    }
}

/// Content in members that are cut where the input says; then with a tail, and with its end missing.
fn written(bytes: &[u8]) {
    let inner = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if inner.starts_with(MAGIC) {
        let refused = whole(&member(bytes, 1));
        assert!(matches!(refused, Err(DecodeError::NotPprof { .. })));
        return;
    }
    let (first, second) = bytes.split_at(bytes.len() * choice(bytes) / 256);
    let mut body = [member(first, 1), member(&[], 0), member(second, 9)].concat();
    let expected = whole(bytes);
    assert_eq!(whole(&body), expected);
    if let Ok(expected) = expected {
        let mut tail = whole(&[&body[..], b"\0"].concat()).expect("a tail is damage");
        tail.summary.damage -= 1;
        assert_eq!(tail, expected);
        body.truncate(body.len() - 1 - choice(bytes) % body.len());
        if let Ok(cut) = whole(&body) {
            check_cut(&cut, &expected);
        }
    }
}

fn check_cut(cut: &Tally, whole: &Tally) {
    check_books(cut);
    // What the rest of the content shows to be damaged is not so without it.
    assert!(cut.total <= whole.total || !whole.is_whole());
}

fn member(content: &[u8], level: u32) -> Vec<u8> {
    let level = flate2::Compression::new(level);
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
    writer.write_all(content).expect("memory takes it");
    writer.finish().expect("memory takes it")
}
