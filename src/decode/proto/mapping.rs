//! Which process wrote a profile, told from where its files are mapped.
//!
//! Source: `readMapping` and `parseProcSelfMaps` of runtime/pprof, Go 1.19 to 1.27: every executable mapping in the
//! order of addresses, so that the program's own comes first and the kernel's last.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;

use super::tables::Tables;
use super::tag;
use super::wire::{Field, Fields, Value};
use crate::decode::DecodeError;

/// The kernel's own code in every process of Linux. It lies where the kernel chose when the program was started.
const VDSO: &[u8] = b"[vdso]";

/// The most mappings looked at: what Linux lets a process have (`vm.max_map_count`).
const MAX_MAPPINGS: u32 = 1 << 16;

/// What is known of the process. Libraries may come and go in its life, so only two mappings count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process<'a> {
    program: Option<Mapping<'a>>,
    vdso: Option<u64>,
    seen: u32,
}

/// A mapped file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Mapping<'a> {
    start: u64,
    limit: u64,
    offset: u64,
    file: &'a [u8],
    build_id: &'a [u8],
}

impl<'a> Process<'a> {
    /// Takes the next mapping; one beyond [`MAX_MAPPINGS`] tells nothing.
    ///
    /// # Errors
    /// When it is malformed.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mapping: &[u8],
        tables: &Tables<'a>,
    ) -> Result<(), DecodeError> {
        if self.seen >= MAX_MAPPINGS {
            return Ok(());
        }
        self.seen += 1;
        let (mut found, mut file, mut build_id) = (Mapping::default(), 0, 0);
        for field in Fields::new(bytes, mapping) {
            let Field {
                tag,
                value: Value::Number(value),
            } = field?
            else {
                continue;
            };
            match tag {
                tag::mapping::START => found.start = value,
                tag::mapping::LIMIT => found.limit = value,
                tag::mapping::OFFSET => found.offset = value,
                tag::mapping::FILENAME => file = value,
                tag::mapping::BUILD_ID => build_id = value,
                _ => {}
            }
        }
        found.file = tables.string(file).unwrap_or_default();
        found.build_id = tables.string(build_id).unwrap_or_default();
        if found.file == VDSO {
            self.vdso.get_or_insert(found.start);
        }
        self.program.get_or_insert(found);
        Ok(())
    }

    /// A number that another process has not, or nothing where the profile does not say. Fixed within one build of
    /// the exporter only.
    pub(super) fn fingerprint(&self) -> Option<u64> {
        // Where Go cannot read the mappings it writes one without content, since pprof wants one.
        let program = self.program.filter(|found| *found != Mapping::default())?;
        Some(FixedState::default().hash_one((program, self.vdso)))
    }
}
