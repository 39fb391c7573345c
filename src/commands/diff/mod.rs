//! `goroutine_exporter diff`: what changed between two looks, and whether that is a leak.
//!
//! A gate fails on growth that is not known and not of the looks themselves. The sum of all changes is the difference
//! of the totals, always; gates see every group, whatever is shown.

mod allow;
mod compare;
mod json;
mod markdown;
mod own;
mod side;
mod table;

use std::io::{self, Write};

use anyhow::anyhow;

use super::look::{Looker, Progress};
use super::terminal::{Screen, clean};
use crate::cli::{DiffArgs, DiffFormat};
use allow::Allowed;
use compare::{Comparison, Gates};
use side::Side;

/// The exit status when a gate failed.
const GATE_FAILED: u8 = 1;
/// The exit status when there is nothing to go by.
pub const COULD_NOT_COMPARE: u8 = 2;

/// Compares and writes what was asked for to `out`; returns the exit status.
///
/// # Errors
/// When the two cannot be compared, or `out` cannot be written.
pub fn run(arguments: &DiffArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    if arguments.before == "-" && arguments.after == "-" {
        return Err(anyhow!(
            "standard input can be one of the two; save the other to a file"
        ));
    }
    let looker = Looker::new(&arguments.read, arguments.stacks.is_some())?;
    let allowed = match &arguments.allow {
        Some(file) => Allowed::read(file)?,
        None => Allowed::default(),
    };
    let gates = Gates {
        growth: arguments.fail_on_growth,
        new: arguments.fail_on_new,
    };
    let read = |name: &String| {
        let progress = Progress::of(&clean(name));
        Side::read(name, &looker, &progress)
    };
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    if before.leaked_only != after.leaked_only {
        return Err(anyhow!(
            "one of the two lists all goroutines, the other only leaked ones: compare profiles of one kind"
        ));
    }
    if gates.any() {
        for side in [&before, &after] {
            if let Some(why) = side.incomplete() {
                return Err(anyhow!(
                    "{}: {why}; a gate needs whole profiles, so take it again",
                    clean(&side.name)
                ));
            }
        }
    }
    let comparison = Comparison::new(before, after, gates, &allowed);
    let stacks = arguments
        .stacks
        .and_then(|stacks| usize::try_from(stacks).ok())
        .unwrap_or(0);
    let written = match arguments.format {
        DiffFormat::Table => {
            let screen = Screen::of_stdout(arguments.read.colour);
            table::write(&comparison, arguments.min, stacks, screen, out)
        }
        DiffFormat::Json => json::write(&comparison, arguments.min, stacks, out),
        DiffFormat::Markdown => markdown::write(&comparison, arguments.min, stacks, out),
    };
    // A gate that failed has failed, though nobody reads on, as when piped to `head`.
    if let Err(error) = written.and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(error.into());
    }
    Ok(if comparison.failed() { GATE_FAILED } else { 0 })
}
