//! `goroutine_exporter inspect`: one look at a target, a file or standard input.
//!
//! The same decoder, rules and counts as a probe; only the way in and the way out differ. Nothing is remembered.

mod report;
mod source;
mod table;

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, anyhow};
use regex::bytes::Regex;

use crate::cli::{InspectArgs, InspectFormat};
use crate::config::{ConfigHandle, Module};
use crate::decode::logs::{Choice, Outcome};
use crate::expose::expose_tally;
use crate::profile::Sink;
use crate::tally::{Collector, Focused, Memory, Selection, Stacks, Tally, select};
use source::Source;

/// Groups in the table where `--top` does not say.
const TABLE_GROUPS: usize = 25;

/// Reads every source and writes what was asked for to `out`.
///
/// # Errors
/// When the configuration, an expression or a source cannot be used, or `out` cannot be written.
pub fn run(arguments: &InspectArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let config = ConfigHandle::load(arguments.config_file.clone(), Vec::new())?.current();
    let known = || {
        config
            .modules()
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let module = config.module(&arguments.module).ok_or_else(|| {
        anyhow!(
            "no module {:?} in the configuration; there are: {}",
            arguments.module,
            known()
        )
    })?;
    let expression = |flag: &str, text: &Option<String>| {
        let compile = |text: &String| Regex::new(text).with_context(|| format!("{flag} {text:?}"));
        text.as_ref().map(compile).transpose()
    };
    let focus = expression("--focus", &arguments.focus)?;
    let ignore = expression("--ignore", &arguments.ignore)?;
    for name in &arguments.sources {
        let source = Source::parse(name)?;
        if arguments.format == InspectFormat::Folded {
            let make = || Focused::new(Stacks::default(), focus.clone(), ignore.clone());
            let outcome = read(&source, name, module, make)?;
            folded(&outcome.sink.into_inner(), arguments.top, out)?;
            continue;
        }
        let make = || Focused::new(Collector::new(&module.rules), focus.clone(), ignore.clone());
        let outcome = read(&source, name, module, make)?;
        let tally = outcome.sink.into_inner().finish(outcome.summary);
        match arguments.format {
            InspectFormat::Json => report::json(name, &tally, arguments.top, out)?,
            InspectFormat::Prometheus => {
                let selection = selection(&tally, module, arguments.top);
                out.write_all(expose_tally(&tally, &selection)?.as_bytes())?;
            }
            InspectFormat::Table | InspectFormat::Folded => {
                let top = arguments
                    .top
                    .and_then(|top| usize::try_from(top).ok())
                    .unwrap_or(TABLE_GROUPS);
                table::write(name, &tally, top, table::Look::of_stdout(), out)?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// Whether writing failed because nobody reads any more, as when piped to `head`.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(pipe))
}

fn read<S: Sink + Send>(
    source: &Source,
    name: &str,
    module: &Module,
    make: impl FnMut() -> S,
) -> anyhow::Result<Outcome<S>> {
    if matches!(source, Source::Stdin) && io::stdin().is_terminal() {
        return Err(anyhow!(
            "standard input is a terminal; pipe a profile into it, or name a file or a target"
        ));
    }
    let outcome = source
        .read(module, Choice::default(), make)
        .with_context(|| name.to_owned())?;
    if outcome.report.says_something() {
        writeln!(io::stderr(), "{name}: {}", outcome.report)?;
    }
    Ok(outcome)
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
