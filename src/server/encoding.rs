//! Compresses answers for scrapers that accept gzip. The only file beside the decoder that names flate2.

use std::cell::RefCell;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Below this many bytes an answer fits one packet either way, and compressing it only costs time.
const MIN_BYTES: usize = 1024;

/// Whether `headers` accept gzip and an answer of `length` bytes is worth it.
///
/// Source: RFC 9110, section 12.5.3. A weight of zero refuses; `*` stands for gzip unless gzip is named.
#[must_use]
pub(super) fn wants_gzip(headers: &HeaderMap, length: usize) -> bool {
    if length < MIN_BYTES {
        return false;
    }
    let values = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut any = false;
    for coding in values.flat_map(|value| value.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let accepted = !parameters.split(';').any(is_zero_weight);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return accepted,
            "*" => any = accepted,
            _ => {}
        }
    }
    any
}

/// As far back as deflate can look: 2^15 bytes.
const WINDOW_BITS: u8 = 15;

/// What a piece of the answer is given, at least; a shorter answer comes out in one piece.
const MIN_ROOM: usize = 1024;

thread_local! {
    /// Its tables take 300 KiB, and filling fresh ones costs as much as compressing an answer: each thread keeps a set. The
    /// fastest level: text of metrics shrinks to a fifth at any.
    static PACKER: RefCell<Compress> =
        RefCell::new(Compress::new_gzip(Compression::fast(), WINDOW_BITS));
}

/// The bytes, compressed. `None` never happens with a buffer in memory, yet the type allows it.
///
/// Cost: a few milliseconds for each megabyte.
#[must_use]
pub(super) fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| {
        packer.reset();
        let mut packed = Vec::with_capacity(bytes.len() / 4 + MIN_ROOM);
        let mut rest = bytes;
        loop {
            let before = packer.total_in();
            let status = packer.compress_vec(rest, &mut packed, FlushCompress::Finish);
            if status.ok()? == Status::StreamEnd {
                return Some(packed);
            }
            let taken = usize::try_from(packer.total_in() - before).ok()?;
            rest = rest.get(taken..)?;
            // The end may come without any more of the input being taken, but never without room for it.
            packed.reserve(rest.len() / 4 + MIN_ROOM);
        }
    })
}

fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, weight)) = parameter.split_once('=') else {
        return false;
    };
    name.trim().eq_ignore_ascii_case("q")
        && weight
            .trim()
            .parse::<f32>()
            .is_ok_and(|weight| weight <= 0.0)
}

/// What `gzip` packed, for tests of answers.
#[cfg(test)]
pub(super) fn gunzip(packed: &[u8]) -> String {
    use std::io::Write as _;

    let mut plain = Vec::new();
    let mut reader = flate2::write::GzDecoder::new(&mut plain);
    reader.write_all(packed).unwrap();
    reader.finish().unwrap();
    String::from_utf8(plain).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_where_it_is_accepted() {
        let check = |accept: &[&str], expected: bool| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(wants_gzip(&headers, MIN_BYTES), expected, "{accept:?}");
            assert!(!wants_gzip(&headers, MIN_BYTES - 1), "{accept:?}");
        };
        check(&[], false);
        check(&["gzip"], true);
        check(&["GZip"], true);
        check(&["deflate, gzip;q=0.8"], true);
        check(&["deflate", "gzip"], true);
        check(&["gzip;q=0"], false);
        check(&["gzip; Q = 0.000"], false);
        check(&["gzip;q=0, *"], false);
        check(&["*"], true);
        check(&["*;q=0"], false);
        check(&["zstd, *;q=0, gzip;q=0.1"], true);
        check(&["identity"], false);
        check(&["x-gzip-like"], false);
        check(&[""], false);
    }

    #[test]
    fn what_is_compressed_reads_back() {
        let text = "goroutine_goroutines 1\n".repeat(1000);
        let packed = gzip(text.as_bytes()).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(packed.get(..2), Some(&[0x1f, 0x8b][..]));
        assert_eq!(gunzip(&packed), text);
    }

    #[test]
    fn nothing_of_one_answer_is_in_the_next() {
        // What does not compress outgrows the room that is set aside for it.
        let mut state = 1_u32;
        let noise: String = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(u8::try_from(33 + (state >> 24) % 90).unwrap())
        })
        .take(100_000)
        .collect();
        let text = "goroutine_goroutines 1\n".repeat(100);
        let alone = std::thread::spawn({
            let text = text.clone();
            move || gzip(text.as_bytes()).unwrap()
        });
        let alone = alone.join().unwrap();
        for _ in 0..3 {
            assert_eq!(gunzip(&gzip(noise.as_bytes()).unwrap()), noise);
            assert_eq!(gzip(text.as_bytes()).unwrap(), alone);
        }
        assert_eq!(gunzip(&gzip(b"").unwrap()), "");
    }
}
