//! Looking again and again: the same picture, redrawn, with what changed.
//!
//! On a terminal it is drawn on the alternate screen and drawn anew when the size changes; at the end the last picture
//! is left on the normal one. In a pipe each look is a block of its own. SIGINT and SIGTERM end it, with exit status 0.

use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::parted;
use super::table::{Counts, Picture, Since};
use crate::cli::{InspectArgs, InspectFormat};
use crate::commands::look::{Look, Looker, Progress, merged};
use crate::commands::terminal::{DIM, Screen, Segment, WARNING, clean, write_wrapped};

/// Enters and leaves the alternate screen, hiding the cursor there.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Goes to the upper left corner; clears the rest of a line, of the screen. Drawn over, not cleared first: no flicker.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// What was seen last, and before.
#[derive(Debug, Default)]
struct Seen {
    looks: Vec<Look>,
    all: Option<Look>,
    first: Option<Counts>,
    last: Option<Counts>,
    number: u64,
    at: Option<SystemTime>,
    /// Why the look after that one failed.
    failed: Option<String>,
}

/// Looks until a signal comes.
///
/// # Errors
/// When the first look fails, or `out` cannot be written.
pub(super) fn run(
    arguments: &InspectArgs,
    looker: &Looker,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let Some(every) = arguments.watch else {
        return Ok(());
    };
    if arguments.format != InspectFormat::Table {
        return Err(anyhow!("--watch shows a table; leave out --format"));
    }
    if arguments.sources.iter().any(|source| source == "-") {
        return Err(anyhow!(
            "--watch looks again and again, and standard input can be read once; name a file or a target"
        ));
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    // Reading happens beside the loop: whoever presses Ctrl-C waits for no target.
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let (tell, told) = tokio::sync::mpsc::channel(1);
    let (reader, sources) = (looker.clone(), arguments.sources.clone());
    std::thread::spawn(move || {
        while asked.recv().is_ok() {
            let looks = reader.look_at_all(&sources, &Progress::silent());
            if tell.blocking_send(looks).is_err() {
                break;
            }
        }
    });
    let done = runtime.block_on(redraw(arguments, looker, every, ask, told, out));
    runtime.shutdown_background();
    done
}

async fn redraw(
    arguments: &InspectArgs,
    looker: &Looker,
    every: Duration,
    ask: std::sync::mpsc::Sender<()>,
    mut told: tokio::sync::mpsc::Receiver<Vec<anyhow::Result<Look>>>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut timer = interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::default();
    let mut drawn = false;
    let mut busy = false;
    let done = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
            _ = timer.tick() => {
                if !busy && ask.send(()).is_ok() {
                    busy = true;
                }
                continue;
            }
            looks = told.recv() => {
                let Some(looks) = looks else { break Ok(()) };
                busy = false;
                if let Err(error) = seen.take(looks, arguments.sources.len()) {
                    break Err(error);
                }
            }
            _ = resized.recv() => {
                if !drawn { continue }
            }
        }
        let screen = Screen::of_stdout(arguments.read.colour);
        let picture = seen.picture(arguments, looker, every, screen)?;
        let written = match screen.rows {
            Some(rows) => {
                let enter = if drawn { "" } else { ENTER };
                drawn = true;
                on_screen(enter, &picture, rows, out)
            }
            None => writeln!(out, "{picture}").and_then(|()| out.flush()),
        };
        if let Err(error) = written {
            break Err(error.into());
        }
    };
    if drawn {
        let screen = Screen::of_stdout(arguments.read.colour);
        let picture = seen.picture(arguments, looker, every, screen)?;
        write!(out, "{LEAVE}{picture}")?;
        out.flush()?;
    }
    done
}

/// Draws over what is there; what does not fit is left out at the bottom, where the small groups are.
fn on_screen(enter: &str, picture: &str, rows: usize, out: &mut impl Write) -> std::io::Result<()> {
    let mut text = format!("{enter}{HOME}");
    let lines: Vec<&str> = picture.lines().take(rows.max(1)).collect();
    let last = lines.len().saturating_sub(1);
    for (row, line) in lines.iter().enumerate() {
        text.push_str(line);
        text.push_str(CLEAR_LINE);
        if row < last {
            text.push_str("\r\n");
        }
    }
    text.push_str(CLEAR_BELOW);
    out.write_all(text.as_bytes())?;
    out.flush()
}

impl Seen {
    /// Takes a look in. One that failed, or a part of one, is told in the picture, and the earlier look stays.
    fn take(&mut self, looks: Vec<anyhow::Result<Look>>, sources: usize) -> anyhow::Result<()> {
        let mut failures = Vec::new();
        let mut worked = Vec::new();
        for look in looks {
            match look {
                Ok(look) => worked.push(look),
                Err(error) => failures.push(error),
            }
        }
        if self.number == 0 && !failures.is_empty() {
            let looks = failures
                .into_iter()
                .map(Err)
                .chain(worked.into_iter().map(Ok));
            // Told as without --watch; some sources may be down when one begins to watch.
            worked = parted(looks.collect(), sources > 1)?.0;
            self.failed = None;
        } else {
            self.failed = failures.first().map(|error| {
                let more = match failures.len() {
                    1 => String::new(),
                    all => format!(" (and {} more)", all - 1),
                };
                format!("{error:#}{more}")
            });
            if sources == 1 && worked.is_empty() {
                return Ok(());
            }
        }
        let Some(all) = merged(&worked) else {
            return Ok(());
        };
        self.last = self.all.as_ref().map(|look| Counts::of(&look.tally));
        if self.first.is_none() {
            self.first = Some(Counts::of(&all.tally));
        }
        self.number += 1;
        self.at = Some(SystemTime::now());
        self.looks = worked;
        self.all = Some(all);
        Ok(())
    }

    fn picture(
        &self,
        arguments: &InspectArgs,
        looker: &Looker,
        every: Duration,
        screen: Screen,
    ) -> anyhow::Result<String> {
        let mut text = Vec::new();
        let Some(all) = &self.all else {
            return Ok(String::new());
        };
        let mut picture = Picture::new(&self.looks, all, arguments, looker);
        if let Some((first, last)) = self.first.as_ref().zip(self.last.as_ref()) {
            picture = picture.since(Since { first, last });
        }
        let status = format!(
            "look {} at {}, every {}; Ctrl-C ends",
            self.number,
            self.at.map(clock).unwrap_or_default(),
            humantime::format_duration(every)
        );
        writeln!(text, "{}", screen.paint(DIM, &status))?;
        if let Some(failed) = &self.failed {
            let failed = Segment::new(format!("The last look failed: {}", clean(failed)), WARNING);
            write_wrapped(&[failed], screen, &mut text)?;
        }
        picture.write(screen, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The time of day, in UTC as the exporter's logs have it.
fn clock(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(at).to_string();
    let time = text.get(11..19).unwrap_or_default();
    format!("{time} UTC")
}
