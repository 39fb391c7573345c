//! The form of a snapshot's file: gzip as RFC 1952 has it, the profile as it came, with the facts in the extra field of
//! its header, where every reader of gzip passes over them. So a snapshot is one file, and cannot lose its facts.

use std::io::{self, Read, Write};
use std::time::{Duration, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entry::{Entry, LAST_SECOND, NewSnapshot, SnapshotId, Trigger};

/// What every member of gzip begins with, deflate as its method.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Flags of its header.
const HEADER_CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
/// Bytes up to the first part that a flag announces.
const FIXED_BYTES: usize = 10;
/// Bytes up to our facts: the fixed ones, the length of the extra field, name and length of the only part of it.
const HEAD_BYTES: usize = 16;
/// The name of that part.
const PART: [u8; 2] = *b"gE";
/// Bytes of a target or module in the facts, at most; targets are shorter anyhow.
const MAX_NAME_BYTES: usize = 4096;

/// What the header holds beside what gzip itself needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    id: String,
    target: String,
    module: String,
    taken_ms: u64,
    trigger: String,
    goroutines: u64,
    /// Length and checksum of all behind the header.
    bytes: u64,
    sha256: String,
}

/// The head of a file, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What it says.
    pub(super) entry: Entry,
    sha256: String,
    length: usize,
}

/// A snapshot in the form of its file, and what is known of it. `None` when the body is neither gzip nor can be made so.
pub(super) fn write(id: &SnapshotId, new: &NewSnapshot) -> Option<(Entry, Vec<u8>)> {
    let packed;
    let body: &[u8] = if new.body.starts_with(&MAGIC) {
        &new.body
    } else {
        packed = pack(&new.body).ok()?;
        &packed
    };
    let (fixed, rest) = behind_header(body)?;
    let since = new.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
    let facts = Facts {
        id: id.to_string(),
        target: short(&new.target),
        module: short(&new.module),
        taken_ms: u64::try_from(since.as_millis())
            .unwrap_or(u64::MAX)
            .min(LAST_SECOND * 1000),
        trigger: new.trigger.as_str().to_owned(),
        goroutines: new.goroutines,
        bytes: len(rest),
        sha256: hex(&Sha256::digest(rest)),
    };
    let json = serde_json::to_vec(&facts).ok()?;
    let part = u16::try_from(json.len()).ok()?;
    let extra = part.checked_add(4)?;
    let mut file = Vec::with_capacity(HEAD_BYTES + json.len() + rest.len());
    file.extend(MAGIC);
    file.push(EXTRA);
    file.extend(fixed.get(4..FIXED_BYTES)?);
    file.extend(extra.to_le_bytes());
    file.extend(PART);
    file.extend(part.to_le_bytes());
    file.extend(json);
    file.extend(rest);
    let entry = entry(&facts, len(&file))?;
    Some((entry, file))
}

/// Reads the head of a file of `length` bytes. `Ok(None)` when we did not write it, or not in this length.
pub(super) fn head(mut reader: impl Read, length: u64) -> io::Result<Option<Head>> {
    let mut fixed = [0; HEAD_BYTES];
    if !filled(&mut reader, &mut fixed)? {
        return Ok(None);
    }
    let ours = fixed.starts_with(&MAGIC) && fixed[3] == EXTRA && fixed[12..14] == PART;
    let extra = u16::from_le_bytes([fixed[10], fixed[11]]);
    let part = u16::from_le_bytes([fixed[14], fixed[15]]);
    if !ours || part.checked_add(4) != Some(extra) {
        return Ok(None);
    }
    let mut json = vec![0; part.into()];
    if !filled(&mut reader, &mut json)? {
        return Ok(None);
    }
    let Ok(facts) = serde_json::from_slice::<Facts>(&json) else {
        return Ok(None);
    };
    let head = HEAD_BYTES + json.len();
    let whole = facts
        .bytes
        .checked_add(u64::try_from(head).unwrap_or(u64::MAX))
        == Some(length);
    Ok(entry(&facts, length).filter(|_| whole).map(|entry| Head {
        entry,
        sha256: facts.sha256,
        length: head,
    }))
}

/// Whether a whole file is what was once written.
pub(super) fn is_whole(file: &[u8], expected: &Entry) -> bool {
    let Ok(Some(head)) = head(file, len(file)) else {
        return false;
    };
    let rest = file.get(head.length..).unwrap_or_default();
    head.entry == *expected && head.sha256 == hex(&Sha256::digest(rest))
}

fn entry(facts: &Facts, bytes: u64) -> Option<Entry> {
    let id = SnapshotId::parse(&facts.id)?;
    let fits = facts.target.len().max(facts.module.len()) <= MAX_NAME_BYTES;
    let entry = Entry {
        target: facts.target.clone(),
        module: facts.module.clone(),
        taken: UNIX_EPOCH.checked_add(Duration::from_millis(facts.taken_ms))?,
        trigger: Trigger::from_name(&facts.trigger)?,
        goroutines: facts.goroutines,
        bytes,
        id,
    };
    // The name of a moment beyond the year 9999 is that of its last second.
    let fits = fits && facts.taken_ms / 1000 <= LAST_SECOND;
    let named = SnapshotId::new(entry.taken, entry.trigger, entry.id.random());
    (fits && named == entry.id).then_some(entry)
}

/// The fixed part of a header, and what is behind all of it.
fn behind_header(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (fixed, mut rest) = body.split_at_checked(FIXED_BYTES)?;
    let flags = *fixed.get(3)?;
    if flags & EXTRA != 0 {
        let (length, behind) = rest.split_first_chunk()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            rest = rest.get(memchr::memchr(0, rest)?.checked_add(1)?..)?;
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        rest = rest.get(2..)?;
    }
    Some((fixed, rest))
}

fn pack(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Fills the buffer, or says that there is not enough.
fn filled(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A name in its facts; a list of very many modules is cut.
fn short(name: &str) -> String {
    let end = name.floor_char_boundary(MAX_NAME_BYTES);
    name.get(..end).unwrap_or_default().to_owned()
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The moment as it is kept: whole milliseconds, not before 1970 nor after 9999.
#[cfg(test)]
pub(super) fn rounded(taken: std::time::SystemTime) -> std::time::SystemTime {
    let since = taken.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap();
    UNIX_EPOCH + Duration::from_millis(millis.min(LAST_SECOND * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(body: Vec<u8>) -> NewSnapshot {
        NewSnapshot {
            target: "http://a:1/\"<x>".to_owned(),
            module: "default".to_owned(),
            taken: UNIX_EPOCH + Duration::from_millis(1_795_574_151_234),
            trigger: Trigger::Manual,
            goroutines: 7,
            body: body.into(),
        }
    }

    fn written(body: Vec<u8>) -> (Entry, Vec<u8>) {
        let new = new(body);
        let id = SnapshotId::new(new.taken, new.trigger, 5);
        write(&id, &new).unwrap()
    }

    fn inflated(file: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        #[expect(
            clippy::disallowed_types,
            reason = "a reader that stops after the first member must see all of it"
        )]
        let mut reader = flate2::read::GzDecoder::new(file);
        reader.read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn any_reader_of_gzip_sees_the_profile_and_ours_the_facts() {
        let check = |body: Vec<u8>| {
            let (entry, file) = written(body);
            assert_eq!(inflated(&file), b"the profile");
            assert_eq!(head(&file[..], len(&file)).unwrap().unwrap().entry, entry);
            assert!(is_whole(&file, &entry));
        };
        check(b"the profile".to_vec());
        let plain = pack(b"the profile").unwrap();
        check(plain.clone());
        // With everything a header can have: extra field, name, comment, checksum.
        let mut full = plain[..10].to_vec();
        full[3] = EXTRA | NAME | COMMENT | HEADER_CHECKSUM;
        full.extend(b"\x03\x00abcname\0comment\0\x12\x34");
        full.extend(&plain[10..]);
        check(full);
        // Kept once, kept again.
        check(written(plain).1);
    }

    #[test]
    fn a_header_cut_short_is_no_profile() {
        let mut body = pack(b"x").unwrap();
        body[3] = EXTRA | NAME;
        body[10..12].copy_from_slice(&[0xff, 0xff]);
        let new = new(body);
        assert_eq!(
            write(&SnapshotId::new(new.taken, new.trigger, 5), &new),
            None
        );
    }

    #[test]
    fn cut_at_any_byte_or_changed_in_any_it_is_not_ours_any_more() {
        let (entry, file) = written(pack(b"the profile").unwrap());
        for at in 0..file.len() {
            let cut = &file[..at];
            assert_eq!(head(cut, len(cut)).unwrap(), None, "cut at {at}");
            let mut changed = file.clone();
            changed[at] ^= 1;
            // Time and system of the original header are nobody's business.
            assert_eq!(
                is_whole(&changed, &entry),
                (4..FIXED_BYTES).contains(&at),
                "changed at {at}"
            );
        }
        let mut longer = file.clone();
        longer.push(0);
        assert_eq!(head(&longer[..], len(&longer)).unwrap(), None);
        let renamed = Entry {
            id: SnapshotId::new(entry.taken, entry.trigger, 6),
            ..entry
        };
        assert!(!is_whole(&file, &renamed));
    }
}
