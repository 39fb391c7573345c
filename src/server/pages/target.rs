//! `/target`: one service, looked at now.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use super::groups::{self, Groups};
use super::profile::Profile;
use super::words::{self, ago, plain};
use super::{Links, compare, document, flame, snapshots};
use crate::classify::WaitReason;
use crate::config::Module;
use crate::numbers;
use crate::probe::{ProbeOutcome, ProbeReport};
use crate::snapshots::Entry;
use crate::tally::Tally;
use crate::target::{Endpoint, Target};

/// What the page shows.
pub(in crate::server) struct TargetPage<'a> {
    pub(in crate::server) links: &'a Links,
    pub(in crate::server) target: &'a Target,
    /// The modules, joined by a comma.
    pub(in crate::server) label: &'a str,
    pub(in crate::server) module: &'a Module,
    /// The look.
    pub(in crate::server) outcome: &'a ProbeOutcome,
    /// The same profile with its stacks, where no part of it is missing.
    pub(in crate::server) profile: Option<Profile>,
    /// What happened, as text.
    pub(in crate::server) story: &'a str,
    /// What is kept of this target, newest first.
    pub(in crate::server) snapshots: Vec<Entry>,
    /// The one to compare with, or why that cannot be.
    pub(in crate::server) against: Option<Result<(Entry, Tally), String>>,
    /// Whether profiles may be downloaded.
    pub(in crate::server) downloads: bool,
    /// Whether snapshots can be taken by hand.
    pub(in crate::server) keeps: bool,
    /// Whether anything can be kept.
    pub(in crate::server) storage: bool,
    pub(in crate::server) now: SystemTime,
}

impl TargetPage<'_> {
    /// The page.
    pub(in crate::server) fn render(mut self) -> Markup {
        let target = plain(self.target.as_str());
        let outcome = self.outcome;
        let body = html! {
            h1 { code { (target) } }
            p.soft {
                "Read " (ago(outcome.started, self.now)) " with module " code { (plain(self.label)) } ", in "
                (format!("{:.3}", outcome.duration.as_secs_f64())) " s. "
                a href=(self.links.target(self.target.as_str(), self.label)) { "Look again" }
            }
            @match &outcome.result {
                Ok(report) => { (self.found(report)) }
                Err(error) => {
                    h2 { "The profile could not be read" }
                    p.warning { strong.bad { (error.reason().as_str()) } ": " (plain(&error.to_string())) }
                }
            }
            (self.commands())
            h2 { "How it was read" }
            (self.readings())
            details { summary { "The story of this probe" } pre { (plain_lines(self.story)) } }
        };
        document(self.links, &format!("{target} · goroutine_exporter"), &body)
    }

    fn found(&mut self, report: &ProbeReport) -> Markup {
        let tally = &report.tally;
        let mut profile = self.profile.take();
        let no_stacks = profile.is_none();
        html! {
            @if !report.is_whole() {
                p.warning { strong.bad { "Only a part could be read: " } "the profile was cut short or damaged, so every number here is too low." }
            }
            (finding(tally))
            (self.numbers(report))
            @if !self.snapshots.is_empty() || self.against.is_some() {
                (self.compared(tally))
            }
            h2 { "What they wait for" }
            (groups::wait_reasons(tally))
            h2 { "Groups" }
            p.soft {
                "Goroutines with the same wait reason, blocking function and application function. "
                @if let Some(last) = &report.last_look {
                    "Changes are since the look before this one, by whoever, " (ago(last.at, self.now)) "."
                } @else {
                    "Changes show from the next look on."
                }
                @if let Some(traced) = &report.traced {
                    " An execution trace of " (format!("{:.3}", Duration::from_nanos(traced.nanoseconds).as_secs_f64()))
                    " s watched them; the share that was in both profiles around it and did not move is proven parked."
                }
            }
            (Groups {
                tally,
                shown: &report.selection.shown,
                last_look: report.last_look.as_ref(),
                stacks: profile.as_mut().map(|profile| &mut profile.stacks),
            }.render())
            h2 { "Stacks as a picture" }
            @if let Some(profile) = profile.as_mut() {
                (flame::flame(&mut profile.stacks, tally.total))
            }
            @if no_stacks {
                p.soft { "Stacks are shown of profiles that were read whole." }
            }
            (labels(tally))
        }
    }

    fn numbers(&self, report: &ProbeReport) -> Markup {
        let tally = &report.tally;
        let largest = tally.groups.first().map_or(0, |group| group.goroutines);
        let longest = tally.longest_waits.iter().flatten().max();
        html! {
            dl.numbers {
                div {
                    dt { "Goroutines" }
                    dd {
                        strong { (numbers::grouped(tally.total)) }
                        @if let Some(last) = &report.last_look {
                            br; span.soft { (words::change(last.total, tally.total)) " in " (words::age(self.outcome.started.duration_since(last.at).unwrap_or_default())) }
                        }
                    }
                }
                div { dt { "Largest share" } dd { strong { (words::share(largest, tally.total)) } } }
                div { dt { "Groups" } dd { strong { (tally.groups.len()) } } }
                @if let Some(leaked) = tally.leaked {
                    div { dt { "Proven leaked" } dd { strong.bad[leaked > 0] { (numbers::grouped(leaked)) } } }
                }
                @if let Some(&longest) = longest {
                    div { dt { "Longest wait" } dd { strong { (words::wait(longest)) } } }
                }
                @if let Some(threads) = report.threads {
                    div { dt { "Threads" } dd { strong { (numbers::grouped(threads)) } } }
                }
                @if let Some(restarted) = self.outcome.restarted {
                    div { dt { "Restart noticed" } dd { strong { (ago(restarted, self.now)) } } }
                }
            }
        }
    }

    fn compared(&self, tally: &Tally) -> Markup {
        let chosen = self
            .against
            .as_ref()
            .and_then(|against| against.as_ref().ok());
        html! {
            h2 #compare { "Compare" }
            form action={ (self.links.path("target")) "#compare" } method="get" {
                input type="hidden" name="target" value=(self.target.as_str());
                input type="hidden" name="module" value=(self.label);
                label { "With the snapshot"
                    select name="against" {
                        @for entry in self.snapshots.iter().take(snapshots::MAX_LISTED) {
                            option value=(entry.id) selected[chosen.is_some_and(|(known, _)| known.id == entry.id)] {
                                (words::moment(entry.taken)) ", " (entry.trigger) ", " (numbers::count(entry.goroutines, "goroutine"))
                            }
                        }
                    }
                }
                button type="submit" { "Compare" }
            }
            @match &self.against {
                None => {}
                Some(Err(problem)) => p.warning { (plain(problem)) },
                Some(Ok((entry, before))) => {
                    p { "Since " a href=(self.links.snapshot(entry.id.as_str())) { (ago(entry.taken, self.now)) } ":" }
                    (compare::render(before, tally))
                }
            }
        }
    }

    fn commands(&self) -> Markup {
        let path = format!("{}/goroutine", self.module.path);
        let url = self.target.url(&path, "");
        let fetched = match self.target.endpoint() {
            Endpoint::Socket(socket) => format!(
                "curl -s --unix-socket {} -o goroutine.pb.gz {} && go tool pprof goroutine.pb.gz",
                quoted(&socket.to_string_lossy()),
                quoted(url.as_str())
            ),
            _ => format!("go tool pprof {}", quoted(url.as_str())),
        };
        let inspected = match self.target.endpoint() {
            Endpoint::Socket(_) => self.target.as_str(),
            _ => url.as_str(),
        };
        let pairs = [("target", self.target.as_str()), ("module", self.label)];
        html! {
            h2 { "Look closer" }
            p.soft { "In a terminal that reaches the target. What the module sends to log in is not part of it." }
            ul.commands {
                li { code.command { (fetched) } }
                li { code.command { "goroutine_exporter inspect " (quoted(inspected)) } }
            }
            div.actions {
                a.button href=(self.links.query("probe", &pairs)) { "Metrics of this target" }
                @if self.downloads {
                    a.button href=(self.links.query("target/profile", &pairs)) download { "Download the profile" }
                }
                @if self.keeps {
                    form action=(self.links.query("snapshots", &pairs)) method="post" {
                        button type="submit" { "Keep a snapshot" }
                    }
                }
                @if self.storage {
                    a.button href=(self.links.query("snapshots", &[("target", self.target.as_str())])) { "Snapshots of this target" }
                }
            }
            @if !self.downloads {
                p.soft { "Profiles can hold personal data in pprof labels, so this exporter hands them out only when it asks for passwords or client certificates (" code.flag { "--web.config.file" } "), or was started with " code.flag { "--web.enable-lifecycle" } "." }
            }
        }
    }

    fn readings(&self) -> Markup {
        html! {
            table.cards {
                thead { tr {
                    th scope="col" { "Profile" } th scope="col" { "Result" } th.number scope="col" { "Size" } th.number scope="col" { "Took" } th.number scope="col" { "Read" }
                } }
                tbody {
                    @for (profile, reading) in self.outcome.readings() {
                        tr {
                            td.word data-label="Profile" { code { (profile.as_str()) } }
                            td data-label="Result" {
                                @match (reading.success(), reading.failure) {
                                    (None, _) => span.soft { "not served by this target" },
                                    (_, Some(reason)) => {
                                        span.bad { "failed: " (reason.as_str()) }
                                        @if let Some(problem) = &reading.problem { ", " (plain(problem)) }
                                    }
                                    (_, None) => span.good { "success" },
                                }
                            }
                            td.number data-label="Size" { @if let Some(bytes) = reading.body_bytes { (words::bytes(bytes)) } }
                            td.number data-label="Took" { @if let Some(took) = reading.duration { (format!("{:.3} s", took.as_secs_f64())) } }
                            td.number data-label="Read" { @if let Some(at) = reading.read_at { (ago(at, self.now)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The largest group in a sentence: what people come for.
pub(super) fn finding(tally: &Tally) -> Markup {
    let Some(group) = tally.groups.first() else {
        return html! { p.finding { "There are no goroutines in this profile." } };
    };
    html! {
        p.finding {
            strong { (words::share(group.goroutines, tally.total)) } " of " (numbers::count(tally.total, "goroutine")) ": "
            (numbers::grouped(group.goroutines)) " "
            @match group.wait_reason {
                WaitReason::Running => { "are " strong { "running" } }
                WaitReason::Unknown => { "wait" }
                reason => { "wait for " strong { (reason.as_str()) } }
            }
            " in "
            a href={ "#g-" (group.id) } { code { (groups::name(group)) } }
            @if !group.file.is_empty() { ", " code { (plain(&group.file)) ":" (group.line) } }
            "."
        }
    }
}

/// Counts of the pprof labels that the module lists, and of what it watches.
fn labels(tally: &Tally) -> Markup {
    html! {
        @if !tally.labels.is_empty() {
            h2 { "pprof labels" }
            table.bars {
                thead { tr { th scope="col" { "Key" } th scope="col" { "Value" } th.number scope="col" { "Goroutines" } } }
                tbody {
                    @for (key, value, goroutines) in &tally.labels {
                        tr { td { code { (plain(key)) } } td { code { (plain(value)) } } td.number { (numbers::grouped(*goroutines)) } }
                    }
                }
            }
        }
        @if !tally.watches.is_empty() {
            h2 { "Watched functions" }
            table.bars {
                thead { tr { th scope="col" { "Watch" } th.number scope="col" { "Goroutines" } } }
                tbody {
                    @for (name, goroutines) in &tally.watches {
                        tr { td { (plain(name)) } td.number { (numbers::grouped(*goroutines)) } }
                    }
                }
            }
        }
    }
}

/// A word for a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Text with its line ends, everything else visible.
fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("http://h:1/a"), "'http://h:1/a'");
        assert_eq!(quoted("a'; rm -rf /; '"), r"'a'\''; rm -rf /; '\'''");
    }
}
