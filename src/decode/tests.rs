use std::io::Write as _;

use super::recorder::Recorder;
use super::*;
use crate::profile::Encoding;

const DEBUG1: &str = "goroutine profile: total 2\n2 @ 0x10 0x20\n#\t0x1f\tmain.a+0x1\t/a.go:1\n\n";
const DEBUG2: &str = "goroutine 1 [select]:\nmain.a()\n\t/a.go:1 +0x1\n";

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

#[track_caller]
fn refused(body: &[u8], words: &str) {
    for body in [body.to_vec(), gzip(body)] {
        let (recorder, summary) = Recorder::read(&body);
        match summary {
            Err(DecodeError::NotPprof { found }) => assert!(found.contains(words), "{found}"),
            other => panic!("{:?}: {other:?}", String::from_utf8_lossy(&body)),
        }
        assert_eq!(recorder.total, 0);
    }
}

#[track_caller]
fn read(body: &[u8], encoding: Encoding, total: u64) {
    for body in [body.to_vec(), gzip(body)] {
        let (recorder, summary) = Recorder::read(&body);
        let summary = summary.unwrap();
        assert_eq!((summary.encoding, recorder.total), (encoding, total));
        assert_eq!((summary.truncated, summary.damage), (false, 0));
    }
}

#[test]
fn what_is_no_profile_is_told_by_what_it_is() {
    refused(b"", "an empty body");
    refused(b" ", "text without");
    refused(b"\n\n \t\r\n", "text without");
    refused(BYTE_ORDER_MARK, "an empty body");
    refused(
        b"<!DOCTYPE html>\n<html><body>Please log in, goroutine 1 [running]: ...</body></html>",
        "text without",
    );
    refused(b"{\"error\": \"unauthorized\"}\n", "text without");
    refused(b"404 page not found\n", "text without");
    refused(b"Unknown profile\n", "text without");
    refused(
        b"heap profile: 4: 1234 [9: 5678] @ heap/1048576\n1: 1024 [1: 1024] @ 0x1 0x2\n#\t0x0\tmain.a+0x1\t/a.go:1\n",
        "text without",
    );
    refused(
        b"threadcreate profile: total 9\n8 @ \n#\t0x0\n\n1 @ 0x1\n#\t0x0\tmain.a+0x1\t/a.go:1\n\n",
        "the text of another profile",
    );
    refused(
        b"--- contention:\ncycles/second=1\n1 1 @ 0x1\n",
        "text without",
    );
    refused(
        &[
            0x0a, 0x04, 0x08, 0x01, 0x10, 0x02, 0x32, 0x00, 0x32, 0x03, b'c', b'p', b'u',
        ],
        "a profile of the processor",
    );
}

#[test]
fn binary_junk_is_damaged_or_another_profile() {
    let mut seed = 1_u32;
    for length in 1..400 {
        let junk: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .take(length)
        .collect();
        let (recorder, summary) = Recorder::read(&junk);
        assert!(summary.is_err(), "{junk:?} {summary:?}");
        assert_eq!(recorder.total, 0);
    }
    // The start of a PNG, an ELF file, a zip, and UTF-16.
    for head in [
        &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..],
        b"\x7fELF\x02\x01\x01\0",
        b"PK\x03\x04\x14\0\x08\0",
        b"\xff\xfeg\0o\0r\0o\0",
        &[0; 100],
    ] {
        let (_, summary) = Recorder::read(head);
        assert!(
            matches!(summary, Err(DecodeError::Damaged { .. })),
            "{summary:?}"
        );
    }
}

/// However the pieces fall, the same bytes are looked at.
#[test]
fn what_a_body_is_does_not_depend_on_the_pieces_it_comes_in() {
    for body in [
        [BYTE_ORDER_MARK, &[b'x'; 62], b"\0", &[b'x'; 100]].concat(),
        [&[b'x'; 63][..], b"\0", &[b'x'; 100]].concat(),
        [&[b'x'; 64][..], b"\0", &[b'x'; 100]].concat(),
        [&[b'x'; 48][..], b" profile: total 7\n", &[b'x'; 100]].concat(),
        [&[b'x'; 49][..], b" profile: total 7\n", &[b'x'; 100]].concat(),
    ] {
        let limits = Limits {
            inflated_bytes: 1 << 20,
        };
        let whole = decode(&body, &limits, &mut Recorder::default());
        for size in 1..body.len() {
            let mut decoder = Decoder::new(&limits);
            let mut recorder = Recorder::default();
            for piece in body.chunks(size) {
                decoder.push(piece, &mut recorder).unwrap();
            }
            assert_eq!(decoder.finish(&mut recorder), whole, "pieces of {size}");
        }
    }
}

#[test]
fn each_encoding_is_recognised_compressed_or_not() {
    read(DEBUG1.as_bytes(), Encoding::Debug1, 2);
    read(DEBUG2.as_bytes(), Encoding::Debug2, 1);
    read(b"goroutine profile: total 0\n", Encoding::Debug1, 0);
    for text in [DEBUG1, DEBUG2] {
        let marked = [BYTE_ORDER_MARK, text.replace('\n', "\r\n").as_bytes()].concat();
        let encoding = if text == DEBUG1 {
            Encoding::Debug1
        } else {
            Encoding::Debug2
        };
        read(&marked, encoding, if text == DEBUG1 { 2 } else { 1 });
    }
}

#[test]
fn gzip_inside_gzip_is_refused_whatever_its_size() {
    let long = DEBUG2.repeat(50);
    for content in [&b"x"[..], DEBUG1.as_bytes(), long.as_bytes()] {
        let (_, summary) = Recorder::read(&gzip(&gzip(content)));
        assert_eq!(
            summary,
            Err(DecodeError::NotPprof {
                found: "gzip inside gzip"
            }),
            "{} bytes",
            content.len()
        );
    }
}

#[test]
fn a_compressed_body_that_is_cut_or_followed_by_something() {
    let whole = gzip(DEBUG2.repeat(200).replace("ne 1", "ne 0").as_bytes());
    let (recorder, summary) = Recorder::read(&whole[..whole.len() - 9]);
    assert!(summary.unwrap().truncated && recorder.total <= 200);
    let (recorder, summary) = Recorder::read(&[&whole[..], b"\r\n"].concat());
    let summary = summary.unwrap();
    assert_eq!(
        (recorder.total, summary.truncated, summary.damage),
        (200, false, 1)
    );
    // The tables of a protobuf come last: without its end there is nothing to count.
    let profile = include_bytes!("../../tests/data/go1.27.3/goroutine.debug0.pb.gz");
    let (_, summary) = Recorder::read(&profile[..profile.len() - 1]);
    assert!(
        matches!(summary, Err(DecodeError::Damaged { problem, .. }) if problem.contains("ends early"))
    );
}

#[test]
fn limits_hold_for_protobuf_and_gzip_but_not_for_text_that_streams() {
    let text = DEBUG2.repeat(50);
    let limits = |inflated_bytes| Limits { inflated_bytes };
    let length = u64::try_from(text.len()).unwrap();
    let decode = |body: &[u8], limit| decode(body, &limits(limit), &mut Recorder::default());
    assert!(decode(text.as_bytes(), 1).is_ok());
    assert!(decode(&gzip(text.as_bytes()), length).is_ok());
    assert_eq!(
        decode(&gzip(text.as_bytes()), length - 1),
        Err(DecodeError::TooLarge { limit: length - 1 })
    );
    let profile = [&[0x0a, 0, 0x32, 100][..], &[b'x'; 100]].concat();
    assert_eq!(
        decode(&profile, 103),
        Err(DecodeError::TooLarge { limit: 103 })
    );
    assert!(matches!(
        decode(&profile, 104),
        Err(DecodeError::NotPprof { .. })
    ));
}
