//! Capped inflation; the only file that may read gzip.

use std::io::Read;

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

/// Bytes handed out at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Inflates all members of `body` and hands out the content in pieces, `limit` bytes of it at most.
///
/// Cost: the time of inflating, and one piece of memory. Source: RFC 1952.
///
/// # Errors
/// When there is more than `limit`, or `take` fails.
pub(super) fn inflate(
    body: &[u8],
    limit: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), DecodeError>,
) -> Result<End, DecodeError> {
    #[expect(
        clippy::disallowed_types,
        reason = "this is the capped wrapper the ban points to"
    )]
    let mut reader = flate2::bufread::GzDecoder::new(body);
    let mut piece = vec![0; PIECE_BYTES];
    let mut total = 0_u64;
    loop {
        match reader.read(&mut piece) {
            Ok(0) => {
                let rest = reader.into_inner();
                if rest.is_empty() {
                    return Ok(End::Clean);
                }
                if !rest.starts_with(&[0x1f, 0x8b]) {
                    return Ok(End::Trailing);
                }
                #[expect(
                    clippy::disallowed_types,
                    reason = "the next member of the same body, under the same cap"
                )]
                {
                    reader = flate2::bufread::GzDecoder::new(rest);
                }
            }
            Ok(read) => {
                total = total.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
                if total > limit {
                    return Err(DecodeError::TooLarge { limit });
                }
                take(piece.get(..read).unwrap_or_default())?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(End::Cut),
        }
    }
}

/// The length of a body, for messages.
pub(super) fn len(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}
