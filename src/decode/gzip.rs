//! Capped inflation; the only file that may read gzip.

use flate2::{FlushDecompress, Status};

use super::DecodeError;

/// How a compressed body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Clean,
    /// In the middle of a member, or its checksum is wrong; what came before was handed out.
    Cut,
    /// With bytes after the last member.
    Trailing,
}

/// Room for a piece, at most and at least: the end of a body may say that there is nothing in it.
const PIECE_BYTES: usize = 64 << 10;
const LEAST_PIECE_BYTES: usize = 4 << 10;

/// As far back as deflate can look: 2^15 bytes.
const WINDOW_BITS: u8 = 15;

/// The most members of one body: an empty one takes twenty bytes, and more time than a kilobyte of content. Go writes
/// one; tools that let readers start anywhere put one before every 64 KiB, which makes a gigabyte.
const MAX_MEMBERS: u32 = 1 << 14;

/// Inflates all members of `body` and hands out the content in pieces, `limit` bytes of it at most.
///
/// Cost: the time of inflating, one piece of memory and the 50 KiB of the inflater. Source: RFC 1952.
///
/// # Errors
/// When there is more than `limit`, there are more members than any body has, or `take` fails.
pub(super) fn inflate(
    body: &[u8],
    limit: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), DecodeError>,
) -> Result<End, DecodeError> {
    let mut inflater = inflater();
    let room = expected(body, limit).saturating_add(1);
    let mut piece = Vec::with_capacity(room.clamp(LEAST_PIECE_BYTES, PIECE_BYTES));
    let mut rest = body;
    let (mut total, mut members) = (0_u64, 1);
    loop {
        piece.clear();
        let before = inflater.total_in();
        // The inflater reads the end of a member itself, and copies nothing of the last piece for more to look back at.
        let status = inflater.decompress_vec(rest, &mut piece, FlushDecompress::Finish);
        let taken = usize::try_from(inflater.total_in() - before).unwrap_or(usize::MAX);
        rest = rest.get(taken..).unwrap_or_default();
        total = total.saturating_add(len(&piece));
        if total > limit {
            return Err(DecodeError::TooLarge { limit });
        }
        if !piece.is_empty() {
            take(&piece)?;
        }
        match status {
            Ok(Status::StreamEnd) if rest.is_empty() => return Ok(End::Clean),
            Ok(Status::StreamEnd) if !rest.starts_with(&[0x1f, 0x8b]) => return Ok(End::Trailing),
            Ok(Status::StreamEnd) => {
                members += 1;
                if members > MAX_MEMBERS {
                    return Err(DecodeError::Damaged {
                        problem: "more compressed members than a body has",
                        offset: len(body).saturating_sub(len(rest)),
                    });
                }
                inflater = self::inflater();
            }
            // The piece is full, or the body is cut, which the next turn shows.
            Ok(Status::Ok | Status::BufError) if taken > 0 || !piece.is_empty() => {}
            Ok(_) | Err(_) => return Ok(End::Cut),
        }
    }
}

/// What inflates one member.
#[expect(
    clippy::disallowed_types,
    reason = "this is the capped wrapper the ban points to"
)]
fn inflater() -> flate2::Decompress {
    flate2::Decompress::new_gzip(WINDOW_BITS)
}

/// How many bytes are in a body, by what its end says of the last member: never more than so many compressed ones can
/// hold, nor than the limit, so that a lie costs no more than the truth of another body would.
pub(super) fn expected(body: &[u8], limit: u64) -> usize {
    /// Deflate repeats at most 258 bytes for two bits (zlib's technical notes, "Maximum Expansion Factor").
    const MOST_FOR_A_BYTE: usize = 1032;
    let said = body.last_chunk().map_or(0, |end| u32::from_le_bytes(*end));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let most = body.len().saturating_mul(MOST_FOR_A_BYTE).min(limit);
    usize::try_from(said).unwrap_or(usize::MAX).min(most)
}

/// The length of a body, for messages.
pub(super) fn len(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    /// Bytes handed out, and how it ended.
    fn inflated(body: &[u8], limit: u64) -> (Vec<u8>, Result<End, DecodeError>) {
        let mut out = Vec::new();
        let end = inflate(body, limit, |piece| {
            out.extend_from_slice(piece);
            Ok(())
        });
        (out, end)
    }

    #[test]
    fn exactly_the_limit_is_allowed_and_one_byte_more_is_not() {
        for size in [1, 100, PIECE_BYTES, 3 * PIECE_BYTES + 1] {
            let content = b"goroutine ".repeat(size)[..size].to_vec();
            let limit = u64::try_from(size).unwrap();
            let body = gzip(&content);
            for limit in [limit, limit + 1] {
                assert_eq!(inflated(&body, limit), (content.clone(), Ok(End::Clean)));
            }
            let (out, end) = inflated(&body, limit - 1);
            assert_eq!(end, Err(DecodeError::TooLarge { limit: limit - 1 }));
            assert!(out.len() < size);
        }
    }

    #[test]
    fn all_members_count_towards_one_limit() {
        let body = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(inflated(&body, 7), (b"one two".to_vec(), Ok(End::Clean)));
        assert_eq!(
            inflated(&body, 6).1,
            Err(DecodeError::TooLarge { limit: 6 })
        );
    }

    #[test]
    fn members_are_many_but_not_without_end() {
        let (empty, most) = (gzip(b""), usize::try_from(MAX_MEMBERS).unwrap());
        let with = |members: usize| [gzip(b"one"), empty.repeat(members - 1)].concat();
        assert_eq!(inflated(&with(most), 3), (b"one".to_vec(), Ok(End::Clean)));
        let (_, end) = inflated(&with(most + 1), 3);
        assert!(matches!(end, Err(DecodeError::Damaged { .. })), "{end:?}");
    }

    #[test]
    fn how_bodies_end() {
        let check = |body: &[u8], content: &[u8], end: End, about: &str| {
            assert_eq!(inflated(body, 100), (content.to_vec(), Ok(end)), "{about}");
        };
        let whole = gzip(b"content");
        let with = |tail: &[u8]| [&whole[..], tail].concat();
        check(&whole, b"content", End::Clean, "whole");
        check(&with(b"\0"), b"content", End::Trailing, "a byte too many");
        check(
            &with(b"<html>"),
            b"content",
            End::Trailing,
            "a page behind it",
        );
        check(
            &with(&[0x1f]),
            b"content",
            End::Trailing,
            "half a magic number",
        );
        check(
            &with(&[0x1f, 0x8b]),
            b"content",
            End::Cut,
            "the start of a member",
        );
        check(
            &with(&gzip(b"more")[..10]),
            b"content",
            End::Cut,
            "a second member that is cut",
        );
        let mut wrong = whole.clone();
        let checksum = whole.len() - 8;
        wrong[checksum] ^= 1;
        check(&wrong, b"content", End::Cut, "a wrong checksum");
        for len in 2..whole.len() {
            let (content, end) = inflated(&whole[..len], 100);
            assert!(
                b"content".starts_with(&content[..]) && end == Ok(End::Cut),
                "{len}"
            );
        }
    }

    #[test]
    fn an_end_that_says_there_is_nothing_makes_no_small_pieces() {
        let content = vec![b'x'; 1 << 20];
        let body = [gzip(&content), gzip(b"")].concat();
        assert_eq!(expected(&body, 1 << 21), 0);
        let (mut out, mut pieces) = (0, 0);
        let end = inflate(&body, 1 << 21, |piece| {
            out += piece.len();
            pieces += 1;
            Ok(())
        });
        assert_eq!((out, end), (content.len(), Ok(End::Clean)));
        assert!(pieces <= out / LEAST_PIECE_BYTES + 1, "{pieces}");
    }

    #[test]
    fn what_a_header_may_hold_is_passed_over_and_what_it_may_not_is_cut() {
        let mut writer = flate2::GzBuilder::new()
            .extra("more")
            .filename("goroutine")
            .comment("of a program")
            .write(Vec::new(), flate2::Compression::fast());
        writer.write_all(b"content").unwrap();
        let body = writer.finish().unwrap();
        assert_eq!(body[3], 0b0001_1100, "extra field, name and comment");
        assert_eq!(inflated(&body, 7), (b"content".to_vec(), Ok(End::Clean)));
        let plain = gzip(b"content");
        // Another method than deflate, and a flag that RFC 1952 keeps for later.
        for (at, value) in [(2, 7), (3, 0x20)] {
            let mut odd = plain.clone();
            odd[at] = value;
            assert_eq!(inflated(&odd, 100), (Vec::new(), Ok(End::Cut)), "{at}");
        }
    }

    #[test]
    fn what_comes_before_damage_is_handed_out() {
        let mut seed = 1_u32;
        let random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + u8::try_from(seed >> 28).unwrap()
        };
        let content: Vec<u8> = std::iter::repeat_with(random)
            .take(4 * PIECE_BYTES)
            .collect();
        let body = gzip(&content);
        // The checksum, behind many pieces; then a length that is not the content's.
        for from_end in [8, 4] {
            let mut wrong = body.clone();
            let at = wrong.len() - from_end;
            wrong[at] ^= 1;
            assert_eq!(inflated(&wrong, 1 << 20), (content.clone(), Ok(End::Cut)));
        }
        // Whatever is made of bits that are others, it ends, and what came before them was right.
        for at in (body.len() / 2..body.len() / 2 + 200).step_by(7) {
            let mut wrong = body.clone();
            wrong[at] ^= 0x55;
            let (out, end) = inflated(&wrong, 1 << 20);
            assert_ne!(end, Ok(End::Clean), "{at}");
            assert_eq!(out[..PIECE_BYTES], content[..PIECE_BYTES], "{at}");
        }
    }

    #[test]
    fn the_taker_can_stop() {
        let refusal = DecodeError::NotPprof { found: "enough" };
        let end = inflate(&gzip(b"content"), 100, |_| Err(refusal.clone()));
        assert_eq!(end, Err(refusal));
    }

    #[test]
    fn a_bomb_costs_its_limit_and_no_more() {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..64 {
            writer.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let bomb = writer.finish().unwrap();
        let (mut out, mut largest) = (0, 0);
        let end = inflate(&bomb, 1 << 20, |piece| {
            out += piece.len();
            largest = largest.max(piece.len());
            Ok(())
        });
        assert_eq!(end, Err(DecodeError::TooLarge { limit: 1 << 20 }));
        assert!(out <= 1 << 20 && largest <= PIECE_BYTES, "{out} {largest}");
    }
}
