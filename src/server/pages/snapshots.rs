//! `/snapshots` and `/snapshots/{id}`: what is kept, and one of it.

use std::time::SystemTime;

use maud::{Markup, html};

use super::groups::{self, Groups};
use super::profile::Profile;
use super::target::finding;
use super::words::{self, ago, plain};
use super::{Links, compare, document, flame};
use crate::numbers;
use crate::snapshots::Entry;
use crate::tally::Tally;

/// Snapshots in a list, at most; the newest come first.
pub(in crate::server) const MAX_LISTED: usize = 200;

/// The list.
#[derive(Debug)]
pub(in crate::server) struct ListPage<'a> {
    pub(in crate::server) links: &'a Links,
    /// Whether anything can be kept.
    pub(in crate::server) storage: bool,
    /// Whether profiles may be downloaded.
    pub(in crate::server) downloads: bool,
    /// What is kept, newest first, of the target asked for.
    pub(in crate::server) entries: Vec<Entry>,
    /// The target asked for, empty for all.
    pub(in crate::server) target: &'a str,
    pub(in crate::server) now: SystemTime,
}

impl ListPage<'_> {
    /// The page.
    pub(in crate::server) fn render(&self) -> Markup {
        let body = html! {
            h1 { "Snapshots" }
            @if self.storage {
                form action=(self.links.path("snapshots")) method="get" {
                    label.target { "Of the target"
                        input name="target" value=(self.target) placeholder="http://host:6060, empty for all" autocomplete="off" autocapitalize="none" spellcheck="false";
                    }
                    button type="submit" { "Filter" }
                    @if !self.target.is_empty() { a.button href=(self.links.path("snapshots")) { "All targets" } }
                }
                (table(self.links, &self.entries, self.downloads, self.now))
                @if self.entries.len() > MAX_LISTED {
                    p.soft { (numbers::count_of(self.entries.len() - MAX_LISTED, "older snapshot")) " not listed; filter by target to see fewer." }
                }
            } @else {
                p { "Nothing is kept. Start the exporter with " code.flag { "--storage.path" } ", and it keeps the profiles that tell of an incident, and a few from before." }
            }
        };
        document(self.links, "Snapshots · goroutine_exporter", &body)
    }
}

/// The newest snapshots as a table, or what to do to have some.
pub(super) fn table(links: &Links, entries: &[Entry], downloads: bool, now: SystemTime) -> Markup {
    if entries.is_empty() {
        return html! { p.soft { "There are none yet. One is kept when a target's goroutines double, when one group becomes dominant, when leaks are proven, and when somebody asks for it on a target's page." } };
    }
    html! {
        table.cards {
            thead { tr {
                th scope="col" { "Taken" } th scope="col" { "Why" } th.number scope="col" { "Goroutines" } th scope="col" { "Target" } th.number scope="col" { "Size" }
                @if downloads { th scope="col" { span.unseen { "Download" } } }
            } }
            tbody {
                @for entry in entries.iter().take(MAX_LISTED) {
                    tr {
                        td data-label="Taken" { a href=(links.snapshot(entry.id.as_str())) { (ago(entry.taken, now)) } }
                        td data-label="Why" { (entry.trigger) }
                        td.number data-label="Goroutines" { (numbers::grouped(entry.goroutines)) }
                        td data-label="Target" { a href=(links.target(&entry.target, &entry.module)) { code { (plain(&entry.target)) } } }
                        td.number data-label="Size" { (words::bytes(entry.bytes)) }
                        @if downloads {
                            td data-label="Profile" { a href=(links.path(&format!("snapshots/{}?raw=1", entry.id))) download { "Download" } }
                        }
                    }
                }
            }
        }
    }
}

/// One snapshot.
pub(in crate::server) struct SnapshotPage<'a> {
    pub(in crate::server) links: &'a Links,
    pub(in crate::server) entry: &'a Entry,
    /// Its content, or why it cannot be read.
    pub(in crate::server) profile: Result<Profile, String>,
    /// Others of the same target, newest first.
    pub(in crate::server) others: Vec<Entry>,
    /// The one to compare with, or why that cannot be.
    pub(in crate::server) against: Option<Result<(Entry, Tally), String>>,
    pub(in crate::server) downloads: bool,
    /// Whether it may be deleted over HTTP.
    pub(in crate::server) deletes: bool,
    pub(in crate::server) now: SystemTime,
}

impl SnapshotPage<'_> {
    /// The page.
    pub(in crate::server) fn render(self) -> Markup {
        let (links, entry) = (self.links, self.entry);
        let target = plain(&entry.target);
        let id = entry.id.as_str();
        let body = html! {
            h1 { "Snapshot of " code { (target) } }
            p.soft {
                "Taken " (ago(entry.taken, self.now)) " (" (words::moment(entry.taken)) "), " (why(entry)) ", with module " code { (plain(&entry.module)) } "."
            }
            div.actions {
                a.button href=(links.target(&entry.target, &entry.module)) { "The target now" }
                a.button href=(links.query("target", &[("target", &entry.target), ("module", &entry.module), ("against", id)])) { "Compare with now" }
                a.button href=(links.query("snapshots", &[("target", &entry.target)])) { "All of this target" }
                @if self.downloads {
                    a.button href=(links.path(&format!("snapshots/{id}?raw=1"))) download { "Download the profile" }
                }
                @if self.deletes {
                    form action=(links.path(&format!("snapshots/{id}/delete"))) method="post" {
                        button type="submit" { "Delete for good" }
                    }
                }
            }
            @match self.profile {
                Err(problem) => p.warning { (plain(&problem)) },
                Ok(mut profile) => {
                    (finding(&profile.tally))
                    @if !self.others.is_empty() {
                        (compared(links, entry, &self.others, self.against.as_ref(), &profile.tally, self.now))
                    }
                    h2 { "What they wait for" }
                    (groups::wait_reasons(&profile.tally))
                    h2 { "Groups" }
                    (Groups { tally: &profile.tally, shown: &[], last_look: None, stacks: Some(&mut profile.stacks) }.render())
                    h2 { "Stacks as a picture" }
                    (flame::flame(&mut profile.stacks, profile.tally.total))
                }
            }
        };
        document(
            links,
            &format!("Snapshot of {target} · goroutine_exporter"),
            &body,
        )
    }
}

fn compared(
    links: &Links,
    entry: &Entry,
    others: &[Entry],
    against: Option<&Result<(Entry, Tally), String>>,
    tally: &Tally,
    now: SystemTime,
) -> Markup {
    let chosen = against.and_then(|against| against.as_ref().ok());
    html! {
        h2 #compare { "Compare" }
        form action={ (links.snapshot(entry.id.as_str())) "#compare" } method="get" {
            label { "With the snapshot"
                select name="against" {
                    @for other in others.iter().take(MAX_LISTED) {
                        option value=(other.id) selected[chosen.is_some_and(|(known, _)| known.id == other.id)] {
                            (words::moment(other.taken)) ", " (other.trigger) ", " (numbers::count(other.goroutines, "goroutine"))
                        }
                    }
                }
            }
            button type="submit" { "Compare" }
        }
        @match against {
            None => {}
            Some(Err(problem)) => p.warning { (plain(problem)) },
            Some(Ok((other, counted))) => {
                // The older one is "before", whichever page it is asked on.
                @let (before, after) = if other.taken <= entry.taken { (counted, tally) } else { (tally, counted) };
                p { "With the one taken " a href=(links.snapshot(other.id.as_str())) { (ago(other.taken, now)) } ", the older one first:" }
                (compare::render(before, after))
            }
        }
    }
}

fn why(entry: &Entry) -> &'static str {
    use crate::snapshots::Trigger;
    match entry.trigger {
        Trigger::Baseline => "to have a \u{201c}before\u{201d}",
        Trigger::Growth => "since the total had doubled",
        Trigger::Dominant => "since one group had become dominant",
        Trigger::Leak => "since leaks had been proven",
        Trigger::Manual => "since somebody asked for it",
    }
}
