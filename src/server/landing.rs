//! The landing page and the page for unknown paths: HTML from the server, no scripts, everything escaped.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::history::Entry;

const STYLE: &str = include_str!("landing.css");

/// No scripts, no frames, no resources but the page's own style, which is named by its digest; forms go to this
/// exporter only.
pub(super) static CONTENT_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    // Base64 and the words around it are visible ASCII; without them the strictest policy holds.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What the landing page shows.
#[derive(Clone, Debug)]
pub(super) struct Landing<'a> {
    /// Put before the exporter's paths; empty when users reach it as it is.
    pub(super) base: &'a str,
    /// The names of the modules.
    pub(super) modules: Vec<&'a str>,
    /// The static targets.
    pub(super) targets: Vec<StaticRow<'a>>,
    /// Recent probes, newest first.
    pub(super) recent: Vec<Entry>,
    /// When the page is made.
    pub(super) now: SystemTime,
}

/// A static target with its last probe.
#[derive(Clone, Debug)]
pub(super) struct StaticRow<'a> {
    /// The target, as it prints.
    pub(super) target: &'a str,
    /// Its module.
    pub(super) module: &'a str,
    /// Its last probe, if it is remembered.
    pub(super) last: Option<Entry>,
}

impl Landing<'_> {
    /// The page.
    pub(super) fn render(&self) -> Markup {
        let base = self.base;
        document(
            "goroutine_exporter",
            &html! {
                header {
                    h1 { "goroutine_exporter" }
                    p.soft { "Version " (env!("CARGO_PKG_VERSION")) ". Finds goroutine leaks in Go services that serve net/http/pprof." }
                }
                main {
                    (self.form())
                    h2 { "Static targets" }
                    (self.static_targets())
                    h2 { "Recent probes" }
                    (self.recent())
                    h2 { "More" }
                    ul {
                        li { a href={ (base) "metrics" } { "Metrics of this exporter" } }
                        li { a href={ (base) "targets/metrics" } { "Metrics of the static targets" } ", fetched now" }
                        li { a href={ (base) "config" } { "Configuration in force" } ", secrets hidden" }
                        li { a href={ (base) "-/healthy" } { "Health" } " and " a href={ (base) "-/ready" } { "readiness" } }
                    }
                }
            },
        )
    }

    fn form(&self) -> Markup {
        html! {
            h2 { "Probe a target" }
            form action={ (self.base) "probe" } method="get" {
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
                button type="submit" { "Show metrics" }
                button type="submit" name="debug" value="true" { "Tell what happens" }
            }
        }
    }

    fn static_targets(&self) -> Markup {
        if self.targets.is_empty() {
            return html! {
                p.soft { "None are configured. Add them under " code { "targets" } " in the configuration, or start the exporter with " code { "--target" } "." }
            };
        }
        html! {
            div.table { table {
                thead { tr { th { "Target" } th { "Module" } th { "Last probe" } th.number { "Goroutines" } th.number { "When" } } }
                tbody {
                    @for row in &self.targets {
                        tr {
                            td { (self.target_link(row.target, row.module)) }
                            td { (row.module) }
                            @if let Some(entry) = &row.last {
                                td { (result(entry)) }
                                td.number { (goroutines(entry)) }
                                td.number { (self.when(entry)) }
                            } @else {
                                td.soft { "not probed yet" }
                                td {} td {}
                            }
                        }
                    }
                }
            } }
        }
    }

    fn recent(&self) -> Markup {
        if self.recent.is_empty() {
            return html! { p.soft { "None yet. Probes show up here once Prometheus, or the form above, has asked for one." } };
        }
        html! {
            p.soft { "Newest first; failures are kept longer than successes." }
            div.table { table {
                thead { tr {
                    th { "Target" } th { "Module" } th { "Result" } th.number { "Goroutines" } th.number { "Took" } th.number { "When" }
                } }
                tbody {
                    @for entry in &self.recent {
                        tr {
                            td { (self.target_link(&entry.target, &entry.module)) }
                            td { (entry.module) }
                            td { (result(entry)) }
                            td.number { (goroutines(entry)) }
                            td.number { (format!("{:.3}", entry.duration.as_secs_f64())) " s" }
                            td.number { (self.when(entry)) }
                        }
                    }
                }
            } }
        }
    }

    /// The target, with a link to its probe's story.
    fn target_link(&self, target: &str, module: &str) -> Markup {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("target", target)
            .append_pair("module", module)
            .append_pair("debug", "true");
        html! { a href={ (self.base) "probe?" (query.finish()) } { code { (target) } } }
    }

    fn when(&self, entry: &Entry) -> Markup {
        let at = humantime::format_rfc3339_seconds(entry.started).to_string();
        let ago = self
            .now
            .duration_since(entry.started)
            .unwrap_or(Duration::ZERO);
        html! { time datetime=(at) title=(at) { (age(ago)) " ago" } }
    }
}

/// The page for a path that does not exist.
pub(super) fn not_found(base: &str) -> Markup {
    let home = if base.is_empty() { "/" } else { base };
    document(
        "Not found",
        &html! {
            main {
                h1 { "There is nothing here" }
                p { "This exporter has no page at this address. Go to the " a href=(home) { "start page" } ", or probe a target with " code { "/probe?target=host:port" } "." }
            }
        },
    )
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

fn result(entry: &Entry) -> Markup {
    match entry.failure {
        None => html! { span.good { "success" } },
        Some(reason) => html! { span.bad { "failed: " (reason.as_str()) } },
    }
}

fn goroutines(entry: &Entry) -> String {
    entry
        .goroutines
        .map_or_else(String::new, |count| count.to_string())
}

/// An age in the largest unit that fits: people ask for now or long ago, not for the second.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
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

    fn landing() -> Landing<'static> {
        Landing {
            base: "",
            modules: vec!["default", "slow"],
            targets: vec![],
            recent: vec![],
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(90),
        }
    }

    #[test]
    fn an_empty_page_says_what_to_do() {
        let page = landing().render().into_string();
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
        assert!(page.contains(r#"action="probe""#), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn targets_and_probes_are_listed() {
        let mut landing = landing();
        landing.base = "/ge/";
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
        assert!(page.contains("1296"), "{page}");
        assert!(page.contains("not probed yet"), "{page}");
        assert!(page.contains("failed: timeout"), "{page}");
        assert!(
            page.contains(
                r#"href="/ge/probe?target=http%3A%2F%2Fa%3A1&amp;module=default&amp;debug=true""#
            ),
            "{page}"
        );
        assert!(
            page.contains("1 min ago") && page.contains("1970-01-01T00:00:00Z"),
            "{page}"
        );
    }

    #[test]
    fn what_others_wrote_is_escaped() {
        let mut landing = landing();
        landing.recent = vec![entry("http://a:1/<script>\"'&", None)];
        let page = landing.render().into_string();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;&quot;"), "{page}");
    }

    #[test]
    fn the_style_is_the_one_the_policy_names() {
        let page = landing().render().into_string();
        let (_, rest) = page.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let digest = STANDARD.encode(Sha256::digest(style));
        let policy = CONTENT_POLICY.to_str().unwrap();
        assert!(policy.contains(&format!("'sha256-{digest}'")), "{policy}");
        assert!(
            !page.contains("style=") && !page.contains(" onclick"),
            "{page}"
        );
    }

    #[test]
    fn ages() {
        let check =
            |seconds: u64, expected: &str| assert_eq!(age(Duration::from_secs(seconds)), expected);
        check(0, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(3599, "59 min");
        check(3600, "1 h");
        check(86_400 * 3, "3 d");
    }
}
