//! A table of groups, fitted to a width: short columns, then where the goroutines are.
//!
//! From wide to narrow: everything in one row; without the id; the creator below the place; and at last the place
//! below the row. Names are broken over lines, never cut: the line that is to be found is in them.

use std::io::{self, Write};

use anstyle::Style;

use super::place::Place;
use super::wrap::{Segment, width, wrap, write_line};
use super::{DIM, PLAIN, Screen, clean, width_of};

/// The columns between two columns.
const GAP: usize = 2;
/// What a place needs beside the row; with less it goes below.
const LEAST_PLACE: usize = 38;
/// From which width on the creator has a column of its own, though it does not fit whole.
const LEAST_CREATOR: usize = 28;
/// Digits of an id.
const ID: usize = 16;
/// How far what stands below its row, or goes on in the next line, is moved in.
const INDENT: usize = 6;
const CONTINUED: usize = 2;

/// A short column.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Column {
    pub(in crate::commands) title: &'static str,
    pub(in crate::commands) right: bool,
    /// Whether it is left out where the row does not fit.
    pub(in crate::commands) spare: bool,
}

impl Column {
    pub(in crate::commands) const fn left(title: &'static str) -> Self {
        Self {
            title,
            right: false,
            spare: false,
        }
    }

    pub(in crate::commands) const fn right(title: &'static str) -> Self {
        Self {
            right: true,
            ..Self::left(title)
        }
    }
}

/// What stands in a short column.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Cell {
    pub(in crate::commands) text: String,
    pub(in crate::commands) style: Style,
}

impl Cell {
    pub(in crate::commands) fn new(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }

    pub(in crate::commands) fn plain(text: impl Into<String>) -> Self {
        Self::new(text, PLAIN)
    }
}

/// A row: as many cells as there are columns, and the rest.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Entry {
    pub(in crate::commands) cells: Vec<Cell>,
    pub(in crate::commands) place: Place,
    /// `None` where it is not known, or nothing created it.
    pub(in crate::commands) created_by: Option<String>,
    pub(in crate::commands) id: String,
}

/// The table.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Listing {
    pub(in crate::commands) columns: Vec<Column>,
    /// What stands above the places; empty where there are none.
    pub(in crate::commands) places: &'static str,
    pub(in crate::commands) entries: Vec<Entry>,
}

/// How the part behind the short columns is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Place, creator (0 columns where no entry has one), and perhaps the id, in columns.
    Columns {
        place: usize,
        creator: usize,
        id: bool,
    },
    /// The creator below the place.
    CreatorBelow { place: usize },
    /// Both below the row.
    Below,
}

impl Listing {
    /// Writes it. Nothing where it has no entries.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub(in crate::commands) fn write(
        mut self,
        screen: Screen,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.leave_out_empty();
        let mut widths = self.widths();
        let mut layout = self.layout(&widths, screen.width);
        if !matches!(layout, Layout::Columns { .. }) || taken(&widths) > screen.width + GAP {
            // Where what can be spared makes room for a row in one line, or for the row at all, it goes.
            let mut fewer = self.clone();
            fewer.keep(|column, _| !column.spare);
            let narrower = fewer.widths();
            let other = fewer.layout(&narrower, screen.width);
            let better = matches!(other, Layout::Columns { .. })
                || (layout == Layout::Below && other != Layout::Below);
            if better || taken(&widths) > screen.width {
                (self, widths, layout) = (fewer, narrower, other);
            }
        }
        writeln!(out, "{}", screen.paint(DIM, &self.header(&widths, layout)))?;
        for entry in &self.entries {
            self.entry(entry, &widths, layout, screen, out)?;
        }
        Ok(())
    }

    /// A column in which nothing stands tells nothing.
    fn leave_out_empty(&mut self) {
        let filled: Vec<bool> = (0..self.columns.len())
            .map(|at| {
                let mut cells = self.entries.iter().filter_map(|entry| entry.cells.get(at));
                cells.any(|cell| !cell.text.is_empty())
            })
            .collect();
        self.keep(|_, at| filled.get(at).copied().unwrap_or(false));
    }

    fn keep(&mut self, keep: impl Fn(&Column, usize) -> bool) {
        let kept: Vec<bool> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| keep(column, at))
            .collect();
        let kept_at = |at: usize| kept.get(at).copied().unwrap_or(false);
        let mut at = 0..;
        self.columns.retain(|_| at.next().is_some_and(kept_at));
        for entry in &mut self.entries {
            let mut at = 0..;
            entry.cells.retain(|_| at.next().is_some_and(kept_at));
        }
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(at, column): (usize, &Column)| {
            let cells = self.entries.iter().filter_map(|entry| entry.cells.get(at));
            let widest = cells.map(|cell| width_of(&cell.text)).max().unwrap_or(0);
            widest.max(width_of(column.title))
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    fn layout(&self, widths: &[usize], screen: usize) -> Layout {
        let places = self.entries.iter().flat_map(|entry| entry.place.lines());
        let place = places.map(|line| width(&line)).max().unwrap_or(0);
        let creators = self
            .entries
            .iter()
            .filter_map(|entry| entry.created_by.as_ref());
        let creator = creators.map(|name| width_of(name)).max().unwrap_or(0);
        let creator = if creator > 0 {
            creator.max("created by".len())
        } else {
            0
        };
        let room = screen.saturating_sub(taken(widths));
        let gap = if creator > 0 { GAP } else { 0 };
        let ids = self.entries.iter().any(|entry| !entry.id.is_empty());
        if ids && room >= place + gap + creator + GAP + ID {
            return Layout::Columns {
                place,
                creator,
                id: true,
            };
        }
        if room >= place + gap + creator {
            return Layout::Columns {
                place,
                creator,
                id: false,
            };
        }
        let rest = room.saturating_sub(2 * GAP + ID);
        let narrow = creator.min((rest / 3).max(LEAST_CREATOR));
        if ids && creator > 0 && rest >= narrow + 2 * LEAST_PLACE {
            return Layout::Columns {
                place: rest - narrow,
                creator: narrow,
                id: true,
            };
        }
        if room >= place.min(LEAST_PLACE) {
            return Layout::CreatorBelow { place: room };
        }
        Layout::Below
    }

    fn header(&self, widths: &[usize], layout: Layout) -> String {
        let mut line = String::new();
        for (column, width) in self.columns.iter().zip(widths) {
            line.push_str(&padded(column.title, *width, column.right));
            line.push_str(&" ".repeat(GAP));
        }
        match layout {
            Layout::Columns { place, creator, id } => {
                line.push_str(&padded(self.places, place, false));
                if creator > 0 {
                    line.push_str("  ");
                    line.push_str(&padded("created by", creator, false));
                }
                if id {
                    line.push_str("  group");
                }
            }
            Layout::CreatorBelow { .. } => line.push_str(self.places),
            Layout::Below => {}
        }
        line.trim_end().to_owned()
    }

    fn entry(
        &self,
        entry: &Entry,
        widths: &[usize],
        layout: Layout,
        screen: Screen,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut first = Vec::new();
        for ((column, width), cell) in self.columns.iter().zip(widths).zip(&entry.cells) {
            let text = padded(&cell.text, *width, column.right);
            let gap = " ".repeat(GAP);
            // Blanks have no style, so that nothing is underlined or painted but words.
            let blanks = text.len() - text.trim_start().len();
            let (before, text) = text.split_at(blanks);
            let inked = text.trim_end();
            let after = " ".repeat(width_of(text) - width_of(inked)) + &gap;
            first.push(Segment::new(before, PLAIN));
            first.push(Segment::new(inked, cell.style));
            first.push(Segment::new(after, PLAIN));
        }
        let mut place = entry.place.lines();
        let creator = entry
            .created_by
            .as_deref()
            .map(|name| clean(name).into_owned());
        let by = |creator: &String| vec![Segment::new(format!("created by {creator}"), DIM)];
        match layout {
            Layout::Below => {
                place.extend(creator.iter().map(by));
                write_line(&first, screen, out)?;
                let indent = " ".repeat(INDENT);
                for text in place {
                    for part in wrap(&text, screen.width.saturating_sub(INDENT), CONTINUED) {
                        let part = [vec![Segment::new(indent.as_str(), PLAIN)], part].concat();
                        write_line(&part, screen, out)?;
                    }
                }
            }
            Layout::CreatorBelow { place: room } => {
                place.extend(creator.iter().map(by));
                let lines = place.iter().flat_map(|text| wrap(text, room, CONTINUED));
                side_by_side(&first, lines.collect(), taken(widths), screen, out)?;
            }
            Layout::Columns {
                place: room,
                creator: creator_room,
                id,
            } => {
                let place: Vec<_> = place
                    .iter()
                    .flat_map(|text| wrap(text, room, CONTINUED))
                    .collect();
                let name = creator.unwrap_or_default();
                let mut creators =
                    wrap(&[Segment::new(name, DIM)], creator_room, CONTINUED).into_iter();
                let mut rows = place.len();
                if creator_room > 0 {
                    rows = rows.max(creators.len());
                }
                let mut place = place.into_iter();
                let mut lines = Vec::new();
                for row in 0..rows {
                    let mut text = place.next().unwrap_or_default();
                    if creator_room > 0 {
                        fill(&mut text, room + GAP);
                        text.extend(creators.next().unwrap_or_default());
                        fill(&mut text, room + GAP + creator_room);
                    } else {
                        fill(&mut text, room);
                    }
                    if id && row == 0 {
                        text.push(Segment::new("  ", PLAIN));
                        text.push(Segment::new(entry.id.as_str(), DIM));
                    }
                    lines.push(text);
                }
                side_by_side(&first, lines, taken(widths), screen, out)?;
            }
        }
        Ok(())
    }
}

/// The columns of all short columns, with the gaps behind them.
fn taken(widths: &[usize]) -> usize {
    widths.iter().map(|width| width + GAP).sum()
}

fn padded(text: &str, width: usize, right: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(width_of(text)));
    if right {
        blanks + text
    } else {
        text.to_owned() + &blanks
    }
}

fn fill(line: &mut Vec<Segment>, to: usize) {
    let blanks = to.saturating_sub(width(line));
    line.push(Segment::new(" ".repeat(blanks), PLAIN));
}

fn side_by_side(
    first: &[Segment],
    lines: Vec<Vec<Segment>>,
    at: usize,
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    let blank = [Segment::new(" ".repeat(at), PLAIN)];
    for (row, text) in lines.into_iter().enumerate() {
        let before = if row == 0 { first } else { &blank };
        write_line(&[before, &text].concat(), screen, out)?;
    }
    Ok(())
}
