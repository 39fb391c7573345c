//! What people see: HTML from the server that works without scripts and is better with one small script.
//!
//! Everything a target or a request said is hostile: it is escaped, characters that change how text runs are made
//! visible, and every list has an end. Nothing here fetches or reads anything.

pub(super) mod compare;
pub(super) mod flame;
pub(super) mod groups;
pub(super) mod landing;
pub(super) mod profile;
pub(super) mod snapshots;
pub(super) mod target;
#[cfg(test)]
mod tests;
pub(super) mod words;

use std::sync::LazyLock;
use std::time::Duration;

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

/// Three bars, the longest on top. Browsers ask for a file otherwise.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='%230969da'%3E%3Cpath d='M1 2h14v3H1zM1 7h8v3H1zM1 12h4v3H1z'/%3E%3C/svg%3E";

/// How long a page waits for a processor to be made on.
pub(super) const MAX_BLOCKING_WAIT: Duration = Duration::from_secs(10);

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// No frames, no resources but the pages' own style and script, which are named by their digests, and the icon, which is
/// in the page; forms go to this
/// exporter only.
pub(super) static CONTENT_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    // Base64 and the words around it are visible ASCII; without them the strictest policy holds.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Where the exporter's paths are, seen from a page.
#[derive(Clone, Debug)]
pub(super) struct Links {
    root: String,
}

impl Links {
    /// Seen from a page `depth` folders below the start page. `base` is the path under which users reach the exporter,
    /// with a slash at its end; empty when they reach it as it is, which may be behind a proxy that cuts a prefix.
    pub(super) fn new(base: &str, depth: usize) -> Self {
        let root = if base.is_empty() {
            "../".repeat(depth)
        } else {
            base.to_owned()
        };
        Self { root }
    }

    /// The start page.
    pub(super) fn home(&self) -> &str {
        if self.root.is_empty() {
            "./"
        } else {
            &self.root
        }
    }

    /// A path of the exporter, written without its first slash.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// The same with a query.
    pub(super) fn query(&self, path: &str, pairs: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        format!("{}{path}?{}", self.root, query.finish())
    }

    /// The page of a target.
    pub(super) fn target(&self, target: &str, module: &str) -> String {
        self.query("target", &[("target", target), ("module", module)])
    }

    /// The page of a snapshot.
    pub(super) fn snapshot(&self, id: &str) -> String {
        self.path(&format!("snapshots/{id}"))
    }
}

/// A page around its content.
pub(super) fn document(links: &Links, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href=(ICON);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    a.name href=(links.home()) { "goroutine_exporter" }
                    nav aria-label="Exporter" {
                        a href=(links.path("snapshots")) { "Snapshots" }
                        a href=(links.path("metrics")) { "Metrics" }
                        a href=(links.path("config")) { "Configuration" }
                    }
                }
                main #content tabindex="-1" { (body) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The page of something that is not there, or may not be.
pub(super) fn problem(links: &Links, title: &str, sentence: &str) -> Markup {
    document(
        links,
        title,
        &html! {
            h1 { (title) }
            p { (words::plain(sentence)) }
            p { a href=(links.home()) { "Start page" } }
        },
    )
}
