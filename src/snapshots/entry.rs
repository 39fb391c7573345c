//! What a snapshot is: its id, its facts, why it was taken.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// Bytes of an id, at most.
const MAX_ID_BYTES: usize = 64;

/// The last second that prints with four digits for the year.
pub(super) const LAST_SECOND: u64 = 253_402_300_799;

/// Where snapshots are kept, and what bounds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSpec {
    /// The folder; an empty path means that nothing is kept.
    pub path: PathBuf,
    /// The bounds.
    pub bounds: Bounds,
}

/// What bounds all that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all files together.
    pub max_bytes: u64,
    /// Snapshots of one target.
    pub per_target: usize,
    /// How old a snapshot gets, that of an incident when its last one is that old.
    pub max_age: Duration,
}

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trigger {
    /// Nothing happened: so that there is a "before".
    Baseline,
    /// The total doubled against its usual level.
    Growth,
    /// More than half of many goroutines came to be in one group.
    Dominant,
    /// The runtime proved leaks for the first time.
    Leak,
    /// Somebody asked for it.
    Manual,
}

/// The name of a snapshot: when it was taken, why, and a random number, as in `20261125T023551Z-growth-1f0c2d3e4f5a`.
/// Letters, digits and dashes only, so that it is safe in URLs and is the name of its file, without `.pb.gz`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(String);

/// What is known of a snapshot without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: SnapshotId,
    /// The target, as it prints.
    pub target: String,
    /// The modules, joined by a comma.
    pub module: String,
    /// When its probe began, in whole milliseconds; from 1970 to 9999.
    pub taken: SystemTime,
    /// Why it was taken.
    pub trigger: Trigger,
    /// Goroutines in it.
    pub goroutines: u64,
    /// Length of its file.
    pub bytes: u64,
}

/// A goroutine profile to be kept.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// The target, as it prints.
    pub target: String,
    /// The modules, joined by a comma.
    pub module: String,
    /// When the probe began.
    pub taken: SystemTime,
    /// Why it is kept.
    pub trigger: Trigger,
    /// Goroutines in it.
    pub goroutines: u64,
    /// The profile as it came: a protobuf, compressed or not.
    pub body: Bytes,
}

impl StorageSpec {
    /// Whether anything is kept at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }
}

impl Trigger {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Baseline,
        Self::Growth,
        Self::Dominant,
        Self::Leak,
        Self::Manual,
    ];

    /// The value of the label `trigger`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Growth => "growth",
            Self::Dominant => "dominant",
            Self::Leak => "leak",
            Self::Manual => "manual",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|trigger| trigger.as_str() == name)
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SnapshotId {
    /// The name of a snapshot taken then, for that reason; `random` tells it from others.
    pub(super) fn new(taken: SystemTime, trigger: Trigger, random: u64) -> Self {
        let seconds = taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = seconds.as_secs().min(LAST_SECOND);
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
        let time = time.to_string().replace(['-', ':'], "");
        let random = random & 0xffff_ffff_ffff;
        Self(format!("{time}-{trigger}-{random:012x}"))
    }

    /// The id that is written so, when it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_ID_BYTES {
            return None;
        }
        let mut parts = text.split('-');
        let (time, trigger, random) = (parts.next()?, parts.next()?, parts.next()?);
        let shape: Vec<u8> = time
            .bytes()
            .map(|byte| if byte.is_ascii_digit() { b'0' } else { byte })
            .collect();
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = parts.next().is_none()
            && shape == b"00000000T000000Z"
            && Trigger::from_name(trigger).is_some()
            && random.len() == 12
            && random.bytes().all(hex);
        is_id.then(|| Self(text.to_owned()))
    }

    /// The number that tells it from others of that second.
    pub(super) fn random(&self) -> u64 {
        let (_, random) = self.0.rsplit_once('-').unwrap_or_default();
        u64::from_str_radix(random, 16).unwrap_or_default()
    }

    /// It, as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written_and_are_never_paths() {
        let second = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let check = |taken, expected: &str| {
            let id = SnapshotId::new(taken, Trigger::Growth, 0xff00_0000_0000_002a);
            assert_eq!(id.as_str(), expected);
            assert_eq!(SnapshotId::parse(expected), Some(id));
        };
        check(
            second(1_795_574_151),
            "20261125T023551Z-growth-00000000002a",
        );
        check(
            second(u64::MAX >> 2),
            "99991231T235959Z-growth-00000000002a",
        );
        let before = UNIX_EPOCH - Duration::from_secs(9);
        check(before, "19700101T000000Z-growth-00000000002a");
        for text in [
            "",
            "..",
            "../20261125T023551Z-growth-00000000002a",
            "20261125T023551Z-growth-00000000002a/..",
            "20261125T023551Z-growth-00000000002A",
            "20261125T023551Z-growth-00000000002",
            "20261125T023551Z-growth-00000000002a-",
            "20261125T023551Z-other-00000000002a",
            "2026112ÿT02355Z-growth-00000000002a",
            "20261125T023551-growth-00000000002a\0",
        ] {
            assert_eq!(SnapshotId::parse(text), None, "{text:?}");
        }
    }
}
