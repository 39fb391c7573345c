//! The recorded profiles of `tests/data`, and what they decode to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use goroutine_exporter::classify::Rules;
use goroutine_exporter::decode::{DecodeError, Decoder, Limits};
use goroutine_exporter::tally::{Collector, Tally};

/// Far above what any recorded profile needs.
pub(crate) const LIMITS: Limits = Limits {
    inflated_bytes: 128 << 20,
};

/// One recorded process whose goroutines were looked at.
#[derive(Debug)]
pub(crate) struct Capture {
    pub name: String,
    folder: PathBuf,
}

impl Capture {
    /// All of them, by name.
    pub(crate) fn all() -> Vec<Self> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let mut found: Vec<Self> = fs::read_dir(data)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|folder| folder.join("truth.json").exists())
            .filter(|folder| !folder.join("block.pb.gz").exists())
            .map(|folder| Self {
                name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
                folder,
            })
            .collect();
        found.sort_by(|left, right| left.name.cmp(&right.name));
        assert!(found.len() >= 16, "only {} recordings found", found.len());
        found
    }

    /// The bytes of a file, if this process has it.
    pub(crate) fn bytes(&self, file: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(file)).ok()
    }

    /// What the program believes of its goroutines.
    pub(crate) fn truth(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes("truth.json").unwrap()).unwrap()
    }

    /// A file decoded and counted with default rules.
    pub(crate) fn tally(&self, file: &str) -> Option<Tally> {
        let bytes = self.bytes(file)?;
        Some(
            tally(&bytes, bytes.len())
                .unwrap_or_else(|error| panic!("{}/{file}: {error}", self.name)),
        )
    }
}

/// Decodes and counts a body that arrives in pieces of `size` bytes.
pub(crate) fn tally(body: &[u8], size: usize) -> Result<Tally, DecodeError> {
    let mut collector = Collector::new(&Rules::default());
    let mut decoder = Decoder::new(&LIMITS);
    for piece in body.chunks(size.max(1)) {
        decoder.push(piece, &mut collector)?;
    }
    let summary = decoder.finish(&mut collector)?;
    Ok(collector.finish(summary))
}

/// Goroutines by wait reason, blocking frame and application frame.
pub(crate) fn groups(tally: &Tally) -> BTreeMap<(String, String, String), u64> {
    tally
        .groups
        .iter()
        .map(|group| {
            let key = (
                group.wait_reason.to_string(),
                group.blocking_frame.to_string(),
                group.app_frame.to_string(),
            );
            (key, group.goroutines)
        })
        .collect()
}
