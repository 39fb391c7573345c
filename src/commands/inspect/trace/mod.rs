//! `inspect --trace`: what goroutines did in a window, from an execution trace.
//!
//! The decoder and the groups are those of a probe. A target is traced for as long as it is asked, and only then.

mod json;
mod read;
mod table;

use std::io::Write;

use anyhow::anyhow;

use crate::cli::{InspectArgs, InspectFormat};
use crate::commands::look::{Looker, Progress};
use crate::commands::terminal::{Screen, clean};
use crate::trace::Window;

/// What was read.
#[derive(Clone, Debug)]
struct Traced {
    window: Window,
    /// Whether the bytes ended before their end.
    cut: bool,
}

/// Reads the source and writes what was asked for to `out`.
///
/// # Errors
/// When the configuration or the source cannot be used, or `out` cannot be written.
pub(super) fn run(arguments: &InspectArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let [source] = arguments.sources.as_slice() else {
        return Err(anyhow!(
            "--trace takes one source: windows of several programs do not add up"
        ));
    };
    let table = match arguments.format {
        InspectFormat::Table => true,
        InspectFormat::Json => false,
        InspectFormat::Folded | InspectFormat::Prometheus => {
            return Err(anyhow!("--trace is shown as table or json"));
        }
    };
    let looker = Looker::new(&arguments.read, false)?;
    let progress = Progress::in_bytes(&clean(source));
    let traced = read::read(source, arguments.seconds, &looker.module, &progress)
        .map_err(|error| error.context(source.clone()))?;
    drop(progress);
    if table {
        let screen = Screen::of_stdout(arguments.read.colour);
        let mut picture = Vec::new();
        table::write(source, &traced, arguments.top, screen, &mut picture)?;
        out.write_all(&picture)?;
    } else {
        json::write(source, &traced, arguments.top, out)?;
    }
    out.flush()?;
    Ok(())
}
