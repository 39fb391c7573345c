//! `goroutine_exporter inspect`: one look at targets, files or standard input, or one every few seconds.
//!
//! The same decoder, rules and counts as a probe; only the way in and the way out differ. Nothing is remembered.

mod report;
pub(super) mod source;
mod table;
mod trace;
mod watch;

use std::io::{self, Write};

use anyhow::anyhow;

use super::look::{Look, Looker, Progress, merged};
use super::terminal::{Screen, clean};
use crate::cli::{InspectArgs, InspectFormat};
use crate::config::Module;
use crate::expose::expose_tally;
use crate::tally::{Memory, Selection, Stacks, Tally, select};

/// Groups in the table where `--top` does not say.
const TABLE_GROUPS: usize = 25;

/// Reads every source and writes what was asked for to `out`. Of several, those that cannot be read are told on
/// standard error, and the others are shown.
///
/// # Errors
/// When the configuration, an expression or a source cannot be used, or `out` cannot be written.
pub fn run(arguments: &InspectArgs, out: &mut impl Write) -> anyhow::Result<()> {
    if arguments.trace {
        return trace::run(arguments, out);
    }
    let looker = Looker::new(&arguments.read, arguments.stacks.is_some())?;
    let several = arguments.sources.len() > 1;
    if several && arguments.format == InspectFormat::Prometheus {
        return Err(anyhow!(
            "--format prometheus takes one source: the series of several would be the same"
        ));
    }
    if arguments.watch.is_some() {
        return watch::run(arguments, &looker, out);
    }
    let what = match arguments.sources.as_slice() {
        [source] => source.clone(),
        sources => format!("{} sources", sources.len()),
    };
    let progress = Progress::of(&clean(&what));
    if arguments.format == InspectFormat::Folded {
        for name in &arguments.sources {
            let stacks = looker.folded(name, &progress)?;
            folded(&stacks, arguments.top, out)?;
        }
        out.flush()?;
        return Ok(());
    }
    let looks = looker.look_at_all(&arguments.sources, &progress);
    drop(progress);
    let (looks, failed) = parted(looks, several)?;
    match arguments.format {
        InspectFormat::Json => report::json(&looks, several, arguments.top, out)?,
        InspectFormat::Prometheus => {
            for Look { tally, .. } in &looks {
                let selection = selection(tally, &looker.module, arguments.top);
                out.write_all(expose_tally(tally, &selection).as_bytes())?;
            }
        }
        InspectFormat::Table | InspectFormat::Folded => {
            let screen = Screen::of_stdout(arguments.read.colour);
            let mut picture = Vec::new();
            if let Some(all) = merged(&looks) {
                table::Picture::new(&looks, &all, arguments, &looker)
                    .write(screen, &mut picture)?;
            }
            out.write_all(&picture)?;
        }
    }
    out.flush()?;
    if failed > 0 {
        return Err(anyhow!(
            "{failed} of {} sources could not be read and are not counted",
            arguments.sources.len()
        ));
    }
    Ok(())
}

/// The looks that worked, and how many did not: an error where that is all there is.
fn parted(looks: Vec<anyhow::Result<Look>>, several: bool) -> anyhow::Result<(Vec<Look>, usize)> {
    let mut worked = Vec::new();
    let mut failed = 0;
    for look in looks {
        match look {
            Ok(look) => worked.push(look),
            Err(error) if !several => return Err(error),
            Err(error) => {
                failed += 1;
                // Nothing is left to tell it to when standard error is gone.
                drop(writeln!(io::stderr(), "goroutine_exporter: {error:#}"));
            }
        }
    }
    if worked.is_empty() {
        return Err(anyhow!("none of {failed} sources could be read"));
    }
    Ok((worked, failed))
}

/// Whether writing failed because nobody reads any more, as when piped to `head`.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(pipe))
}

/// The series a first probe would show, or the largest `top`.
fn selection(tally: &Tally, module: &Module, top: Option<u32>) -> Selection {
    let mut limits = module.series;
    if let Some(top) = top.and_then(|top| usize::try_from(top).ok()) {
        limits.groups = top;
    }
    select(tally, &limits, &mut Memory::default())
}

fn folded(stacks: &Stacks, top: Option<u32>, out: &mut impl Write) -> io::Result<()> {
    let lines = stacks.folded();
    let top = top
        .and_then(|top| usize::try_from(top).ok())
        .unwrap_or(lines.len());
    for (stack, goroutines) in lines.iter().take(top) {
        writeln!(out, "{stack} {goroutines}")?;
    }
    let rest = stacks.left_out()
        + lines
            .iter()
            .skip(top)
            .map(|(_, goroutines)| goroutines)
            .sum::<u64>();
    if rest > 0 {
        writeln!(out, "(other stacks) {rest}")?;
    }
    Ok(())
}
