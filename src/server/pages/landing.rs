//! The start page and the page for unknown paths.

use std::time::SystemTime;

use maud::{Markup, html};

use super::words::{ago, plain};
use super::{Links, document, problem, snapshots};
use crate::history::Entry;
use crate::numbers::{self, grouped};
use crate::snapshots::Entry as Snapshot;

/// Snapshots on the page, the newest ones.
pub(in crate::server) const MAX_SNAPSHOTS: usize = 10;

/// Static targets on the page, the first ones.
pub(in crate::server) const MAX_STATIC: usize = 200;

/// What the landing page shows.
#[derive(Clone, Debug)]
pub(in crate::server) struct Landing<'a> {
    pub(in crate::server) links: &'a Links,
    /// The names of the modules.
    pub(in crate::server) modules: Vec<&'a str>,
    /// The static targets.
    pub(in crate::server) targets: Vec<StaticRow<'a>>,
    /// How many more there are.
    pub(in crate::server) more_targets: usize,
    /// Recent probes, newest first.
    pub(in crate::server) recent: Vec<Entry>,
    /// The newest snapshots; `None` when nothing is kept.
    pub(in crate::server) snapshots: Option<Vec<Snapshot>>,
    /// When the page is made.
    pub(in crate::server) now: SystemTime,
}

/// A static target with its last probe.
#[derive(Clone, Debug)]
pub(in crate::server) struct StaticRow<'a> {
    /// The target, as it prints.
    pub(in crate::server) target: &'a str,
    /// Its module.
    pub(in crate::server) module: &'a str,
    /// Its last probe, if it is remembered.
    pub(in crate::server) last: Option<Entry>,
}

impl Landing<'_> {
    /// The page.
    pub(in crate::server) fn render(&self) -> Markup {
        let links = self.links;
        document(
            links,
            "goroutine_exporter",
            &html! {
                h1 { "goroutine_exporter" }
                p.soft { "Version " (env!("CARGO_PKG_VERSION")) ". Finds goroutine leaks in Go services that serve net/http/pprof." }
                (self.form())
                h2 { "Static targets" }
                (self.static_targets())
                h2 { "Recent probes" }
                (self.recent())
                h2 { "Snapshots" }
                (self.snapshots())
                h2 { "More" }
                ul.plain {
                    li { a href=(links.path("metrics")) { "Metrics of this exporter" } }
                    li { a href=(links.path("targets/metrics")) { "Metrics of the static targets" } ", fetched now" }
                    li { a href=(links.path("config")) { "Configuration in force" } ", secrets hidden" }
                    li { a href=(links.path("-/healthy")) { "Health" } " and " a href=(links.path("-/ready")) { "readiness" } }
                    li { "Documentation: README.md beside the program, and " code { "goroutine_exporter help" } }
                }
            },
        )
    }

    fn form(&self) -> Markup {
        html! {
            h2 { "Look at a target" }
            form action=(self.links.path("target")) method="get" {
                label.target { "Target"
                    input name="target" required placeholder="host:6060" autocomplete="off" autocapitalize="none" spellcheck="false";
                }
                label { "Module"
                    select name="module" {
                        @for module in &self.modules {
                            option value=(module) selected[*module == crate::config::DEFAULT_MODULE] { (module) }
                        }
                    }
                }
                button.first type="submit" { "Look now" }
                button type="submit" formaction=(self.links.path("probe")) { "Metrics" }
                button type="submit" formaction=(self.links.path("probe")) name="debug" value="true" { "Tell what happens" }
            }
        }
    }

    fn snapshots(&self) -> Markup {
        match &self.snapshots {
            None => html! {
                p.soft { "Nothing is kept. Start the exporter with " code.flag { "--storage.path" } " to have evidence that outlives the target." }
            },
            Some(entries) => html! {
                (snapshots::table(self.links, entries, false, self.now))
                @if !entries.is_empty() { p { a href=(self.links.path("snapshots")) { "All snapshots" } } }
            },
        }
    }

    fn static_targets(&self) -> Markup {
        if self.targets.is_empty() {
            return html! {
                p.soft { "None are configured. Add them under " code { "targets" } " in the configuration, or start the exporter with " code.flag { "--target" } "." }
            };
        }
        html! {
            table.cards {
                thead { tr {
                    th scope="col" { "Target" } th scope="col" { "Module" } th scope="col" { "Last probe" } th.number scope="col" { "Goroutines" } th.number scope="col" { "When" }
                } }
                tbody {
                    @for row in &self.targets {
                        tr {
                            td data-label="Target" { (self.target_link(row.target, row.module)) }
                            td data-label="Module" { (row.module) }
                            @if let Some(entry) = &row.last {
                                td data-label="Result" { (result(entry)) }
                                td.number data-label="Goroutines" { (goroutines(entry)) }
                                td.number data-label="When" { (ago(entry.started, self.now)) }
                            } @else {
                                td.soft data-label="Result" { "not probed yet" }
                                td {} td {}
                            }
                        }
                    }
                }
            }
            @if self.more_targets > 0 {
                p.soft { (numbers::count_of(self.more_targets, "more target")) " not listed." }
            }
        }
    }

    fn recent(&self) -> Markup {
        if self.recent.is_empty() {
            return html! { p.soft { "None yet. Probes show up here once Prometheus, or the form above, has asked for one." } };
        }
        html! {
            p.soft { "Newest first; failures are kept longer than successes." }
            table.cards {
                thead { tr {
                    th scope="col" { "Target" } th scope="col" { "Module" } th scope="col" { "Result" } th.number scope="col" { "Goroutines" } th.number scope="col" { "Took" } th.number scope="col" { "When" }
                } }
                tbody {
                    @for entry in &self.recent {
                        tr {
                            td data-label="Target" { (self.target_link(&entry.target, &entry.module)) }
                            td data-label="Module" { (plain(&entry.module)) }
                            td data-label="Result" { (result(entry)) }
                            td.number data-label="Goroutines" { (goroutines(entry)) }
                            td.number data-label="Took" { (format!("{:.3}", entry.duration.as_secs_f64())) " s" }
                            td.number data-label="When" { (ago(entry.started, self.now)) }
                        }
                    }
                }
            }
        }
    }

    /// The target, with a link to its page.
    fn target_link(&self, target: &str, module: &str) -> Markup {
        html! { a href=(self.links.target(target, module)) { code { (plain(target)) } } }
    }
}

/// The page for a path that does not exist.
pub(in crate::server) fn not_found(links: &Links) -> Markup {
    problem(
        links,
        "There is nothing here",
        "This exporter has no page at this address. A target's page is at /target?target=host:port.",
    )
}

fn result(entry: &Entry) -> Markup {
    match entry.failure {
        None => html! { span.good { "success" } },
        Some(reason) => html! { span.bad { "failed: " (reason.as_str()) } },
    }
}

fn goroutines(entry: &Entry) -> String {
    entry.goroutines.map_or_else(String::new, grouped)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::FailureReason;

    fn entry(target: &str, failure: Option<FailureReason>) -> Entry {
        Entry {
            id: 1,
            target: target.to_owned(),
            module: "default".to_owned(),
            started: SystemTime::UNIX_EPOCH,
            duration: Duration::from_millis(12),
            failure,
            goroutines: failure.is_none().then_some(1296),
        }
    }

    fn landing(links: &Links) -> Landing<'_> {
        Landing {
            links,
            modules: vec!["default", "slow"],
            targets: vec![],
            more_targets: 0,
            recent: vec![],
            snapshots: None,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(90),
        }
    }

    #[test]
    fn an_empty_page_says_what_to_do() {
        let links = Links::new("", 0);
        let page = landing(&links).render().into_string();
        assert!(page.contains("None are configured."), "{page}");
        assert!(page.contains("None yet."), "{page}");
        assert!(
            page.contains(r#"<option value="default" selected>default</option>"#),
            "{page}"
        );
        assert!(
            page.contains(r#"<option value="slow">slow</option>"#),
            "{page}"
        );
        assert!(page.contains(r#"action="target""#), "{page}");
        assert!(page.contains("Nothing is kept."), "{page}");
    }

    #[test]
    fn targets_and_probes_are_listed() {
        let links = Links::new("/ge/", 0);
        let mut landing = landing(&links);
        landing.targets = vec![
            StaticRow {
                target: "http://a:1",
                module: "default",
                last: Some(entry("http://a:1", None)),
            },
            StaticRow {
                target: "http://b:1",
                module: "slow",
                last: None,
            },
        ];
        landing.recent = vec![entry("http://c:1", Some(FailureReason::Timeout))];
        let page = landing.render().into_string();
        assert!(page.contains("1,296"), "{page}");
        assert!(page.contains("not probed yet"), "{page}");
        assert!(page.contains("failed: timeout"), "{page}");
        assert!(
            page.contains(r#"href="/ge/target?target=http%3A%2F%2Fa%3A1&amp;module=default""#),
            "{page}"
        );
        assert!(
            page.contains("1 min ago") && page.contains("1970-01-01T00:00:00Z"),
            "{page}"
        );
    }

    #[test]
    fn what_others_wrote_is_escaped() {
        let links = Links::new("", 0);
        let mut landing = landing(&links);
        landing.recent = vec![entry("http://a:1/<script>\"'&", None)];
        let page = landing.render().into_string();
        assert!(!page.contains("1/<script"), "{page}");
        assert!(page.contains("&lt;script&gt;&quot;"), "{page}");
    }
}
