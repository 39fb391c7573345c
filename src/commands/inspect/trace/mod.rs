//! `inspect --trace`: what goroutines did in a window, from an execution trace.
//!
//! The decoder and the groups are those of a probe. A target is traced for as long as it is asked, and only then. Its
//! goroutine profile is read before and behind the trace: what is in both and did not move in between is parked.

mod json;
mod read;
mod table;

use std::io::Write;
use std::slice;

use anyhow::anyhow;

use crate::cli::{InspectArgs, InspectFormat};
use crate::commands::inspect::source::Source;
use crate::commands::inspect::table::Picture;
use crate::commands::look::{Look, Looker, Progress};
use crate::commands::terminal::{Screen, clean};
use crate::tally::ParkedGroups;
use crate::trace::Window;
use crate::traced::still;

/// What was read.
#[derive(Clone, Debug)]
struct Traced {
    window: Window,
    /// Whether the bytes ended before their end.
    cut: bool,
}

/// The profile before the trace, with what did not move until the one behind it; of targets only.
fn crossed(before: Option<Look>, window: &Window, source: &str, looker: &Looker) -> Option<Look> {
    let mut before = before?;
    let still = still(window)?;
    let after = looker.look(source, &Progress::silent()).ok()?;
    // Of a part, or of leaked ones alone, shares would be of something else.
    let compares = |look: &Look| look.tally.is_whole() && !look.tally.summary.leaked_only;
    if !compares(&before) || !compares(&after) {
        return None;
    }
    let parked = ParkedGroups::of(&before.tally, &still, &after.tally);
    before.tally.adopt_parked(&parked);
    Some(before)
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
    // What went wrong with a profile would go wrong with the trace, whose errors say more.
    let before = matches!(Source::of_trace(source)?, Source::Target(_))
        .then(|| looker.look(source, &Progress::silent()).ok())
        .flatten();
    let traced = read::read(source, arguments.seconds, &looker.module, &progress)
        .map_err(|error| error.context(source.clone()))?;
    let profile = crossed(before, &traced.window, source, &looker);
    drop(progress);
    if table {
        let screen = Screen::of_stdout(arguments.read.colour);
        let mut picture = Vec::new();
        table::write(source, &traced, arguments.top, screen, &mut picture)?;
        if let Some(look) = &profile {
            writeln!(picture)?;
            Picture::new(slice::from_ref(look), look, arguments, &looker)
                .write(screen, &mut picture)?;
        }
        out.write_all(&picture)?;
    } else {
        let profile = profile.as_ref().map(|look| &look.tally);
        json::write(source, &traced, profile, arguments.top, out)?;
    }
    out.flush()?;
    Ok(())
}
