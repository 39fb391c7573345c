//! `profile.proto`, what Go answers by default (`debug=0`), read where it lies.
//!
//! Two passes over the bytes: the first counts and collects the tables, whose strings come last, the second reads
//! the samples. Strings stay bytes, since Go lets labels of any bytes through. Nothing is copied but what the sink
//! keeps. Source: profile.proto of google/pprof; runtime/pprof/{proto,protobuf}.go of Go 1.19 to 1.27.

mod locations;
mod mapping;
mod numbered;
mod samples;
mod tables;
#[cfg(test)]
mod tests;
mod wire;

use std::ops::Range;

use super::{DecodeError, Wanted};
use crate::profile::{Encoding, Sink, Summary};
use locations::Locations;
use mapping::Process;
use samples::Samples;
use tables::Tables;
use wire::{Field, Fields, Value};

/// The most strings, and calls of all locations together. An entry may cost two bytes in the profile and sixteen in
/// memory, so the bytes alone do not bound them. A profile of a million goroutines with labels of their own has a few
/// million strings.
const MAX_STRINGS: usize = 1 << 22;
/// The most functions, and locations. Large programs have a hundred thousand.
const MAX_LOCATIONS: usize = 1 << 20;

/// What is wrong with a profile whose tables exceed that.
const TOO_MANY: &str = "more strings, functions or calls than a profile has";

/// Tags of the messages Profile, `ValueType`, Sample, Label, Mapping, Location, Line and Function.
mod tag {
    pub(super) mod profile {
        pub(in super::super) const SAMPLE_TYPE: u32 = 1;
        pub(in super::super) const SAMPLE: u32 = 2;
        pub(in super::super) const MAPPING: u32 = 3;
        pub(in super::super) const LOCATION: u32 = 4;
        pub(in super::super) const FUNCTION: u32 = 5;
        pub(in super::super) const STRING_TABLE: u32 = 6;
    }
    pub(super) mod value_type {
        pub(in super::super) const TYPE: u32 = 1;
        pub(in super::super) const UNIT: u32 = 2;
    }
    pub(super) mod sample {
        pub(in super::super) const LOCATION_ID: u32 = 1;
        pub(in super::super) const VALUE: u32 = 2;
        pub(in super::super) const LABEL: u32 = 3;
    }
    pub(super) mod label {
        pub(in super::super) const KEY: u32 = 1;
        pub(in super::super) const STR: u32 = 2;
        pub(in super::super) const NUM: u32 = 3;
    }
    pub(super) mod mapping {
        pub(in super::super) const START: u32 = 2;
        pub(in super::super) const LIMIT: u32 = 3;
        pub(in super::super) const OFFSET: u32 = 4;
        pub(in super::super) const FILENAME: u32 = 5;
        pub(in super::super) const BUILD_ID: u32 = 6;
    }
    pub(super) mod location {
        pub(in super::super) const ID: u32 = 1;
        pub(in super::super) const LINE: u32 = 4;
    }
    pub(super) mod line {
        pub(in super::super) const FUNCTION_ID: u32 = 1;
        pub(in super::super) const LINE: u32 = 2;
    }
    pub(super) mod function {
        pub(in super::super) const ID: u32 = 1;
        pub(in super::super) const NAME: u32 = 2;
        pub(in super::super) const FILENAME: u32 = 4;
    }
}

/// The length of what is held, for the caller's limit.
pub(super) fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Reads an inflated profile. Cost: about half the time of inflating it; memory besides the bytes is 16 bytes a
/// string, 20 a location, 12 a function, and up to 1 MiB of remembered stacks.
///
/// # Errors
/// When it counts something else than what is wanted, holds the difference of two profiles, or is damaged.
pub(super) fn decode<S: Sink>(
    wanted: Wanted,
    bytes: &[u8],
    sink: &mut S,
) -> Result<Summary, DecodeError> {
    let tables = Tables::read(bytes)?;
    let columns = tables.columns(wanted)?;
    let mut locations = Locations::new(&tables, sink);
    let mut process = Process::default();
    for field in Fields::new(bytes, part(bytes, &tables.places_at)) {
        match field? {
            Field {
                tag: tag::profile::LOCATION,
                value: Value::Bytes(location),
            } => locations.read(bytes, location, &tables, sink)?,
            Field {
                tag: tag::profile::MAPPING,
                value: Value::Bytes(mapping),
            } => process.read(bytes, mapping, &tables)?,
            _ => {}
        }
    }
    let mut samples = Samples::new(bytes, &tables, &locations, (wanted, columns), sink);
    for field in Fields::new(bytes, part(bytes, &tables.samples_at)) {
        if let Field {
            tag: tag::profile::SAMPLE,
            value: Value::Bytes(sample),
        } = field?
        {
            samples.read(sample, sink)?;
        }
    }
    Ok(Summary {
        encoding: Encoding::Protobuf,
        leaked_only: columns.leaked_only,
        declared_total: None,
        truncated: false,
        damage: samples.damage + locations.damage,
        process: process.fingerprint(),
    })
}

fn part<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    bytes.get(range.clone()).unwrap_or_default()
}
