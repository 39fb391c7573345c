//! Where `inspect` reads from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use url::Url;

use crate::config::{Module, Profile};
use crate::decode::Decoder;
use crate::decode::logs::{Choice, Outcome, Reader, Report};
use crate::fetch::{FetchError, Fetcher, Request};
use crate::policy::{Defaults, Policy};
use crate::profile::{Sink, Summary};
use crate::target::Target;

/// The largest text that Go sends for one goroutine a block; it streams through in bounded memory.
const GO_TEXT_BYTES: u64 = 64 << 20;
/// Bytes read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What a person named.
#[derive(Debug)]
pub(in crate::commands) enum Source {
    /// `-`.
    Stdin,
    /// A path.
    File(PathBuf),
    /// A target, whose module says where the profiles are.
    Target(Box<Target>),
    /// The URL of a profile, as one copies it from a browser: target, path and query.
    Profile(Box<Target>, String, String),
}

impl Source {
    /// Decides what a text names: standard input, a URL, a file that exists, or a target without a scheme.
    ///
    /// # Errors
    /// When it is none of them.
    pub(in crate::commands) fn parse(text: &str) -> anyhow::Result<Self> {
        Self::of(text, &["/goroutine", "/goroutineleak"])
    }

    /// The same, where the profile that a URL may name is an execution trace.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(super) fn of_trace(text: &str) -> anyhow::Result<Self> {
        Self::of(text, &["/trace"])
    }

    fn of(text: &str, profiles: &[&str]) -> anyhow::Result<Self> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(profile) = profile_url(text, profiles)? {
            return Ok(profile);
        }
        let path = PathBuf::from(text);
        let target = text.parse::<Target>();
        if !text.contains("://") && (path.exists() || target.is_err()) {
            return Ok(Self::File(path));
        }
        Ok(Self::Target(Box::new(target?)))
    }

    /// Reads it to its end into what `make` makes; a target is asked for `profile`. A file or standard input may be a log that holds dumps, of which
    /// `choice` names one; what a target answers is read as a probe reads it.
    ///
    /// # Errors
    /// When it cannot be opened, fetched or read, or holds no goroutine profile.
    pub(in crate::commands) fn read<S: Sink + Send>(
        &self,
        module: &Module,
        profile: Profile,
        choice: Choice,
        mut make: impl FnMut() -> S,
    ) -> anyhow::Result<Outcome<S>> {
        let (target, path, query) = match self {
            Self::Stdin => return decode(&mut io::stdin().lock(), module, choice, make),
            Self::File(path) => {
                return decode(&mut open(path)?, module, choice, make);
            }
            Self::Target(target) => {
                let path = format!("{}/{}", module.path, profile.endpoint());
                (target, path, "")
            }
            Self::Profile(target, path, query) => (target, path.clone(), query.as_str()),
        };
        let mut sink = make();
        let summary = fetch(target, &path, query, module, &mut sink)?;
        Ok(Outcome {
            sink,
            summary,
            report: Report::default(),
        })
    }
}

/// The URL of one of these profiles, with its parameters or without.
fn profile_url(text: &str, profiles: &[&str]) -> anyhow::Result<Option<Source>> {
    let Ok(url) = Url::parse(text) else {
        return Ok(None);
    };
    let path = url.path().to_owned();
    let named = profiles.iter().any(|profile| path.ends_with(profile));
    if !matches!(url.scheme(), "http" | "https") || !named {
        return Ok(None);
    }
    let mut origin = url.clone();
    let query = url.query().unwrap_or_default().to_owned();
    origin.set_path("");
    origin.set_query(None);
    let target = origin.as_str().trim_end_matches('/').parse::<Target>()?;
    Ok(Some(Source::Profile(Box::new(target), path, query)))
}

fn decode<S: Sink>(
    from: &mut impl Read,
    module: &Module,
    choice: Choice,
    make: impl FnMut() -> S,
) -> anyhow::Result<Outcome<S>> {
    let mut reader = Reader::new(&module.decode, choice, make);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(reader.finish()?),
            Ok(read) => reader.push(piece.get(..read).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot be read"),
        }
    }
}

/// Opens a file that a person named.
///
/// # Errors
/// When it cannot be opened: in the system's words, with how a target is written.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path)
        .map_err(|error| anyhow!("{error} (a target is written host:port or http://host:port)"))
}

/// Where a target may be fetched from. A person at a terminal may ask any address they name, so the target counts as
/// configured; what the module says of itself holds.
pub(super) fn policy(target: &Target, module: &Module) -> Policy {
    let targets = [target.clone()];
    Policy::new(
        Vec::new(),
        &Defaults {
            targets: &targets,
            any_target: true,
            ..Defaults::default()
        },
    )
    .for_module(&module.rules_for(&targets))
}

/// Fetches a profile as a probe does, within the module's time and size.
fn fetch<S: Sink + Send>(
    target: &Target,
    path: &str,
    query: &str,
    module: &Module,
    sink: &mut S,
) -> anyhow::Result<Summary> {
    let policy = policy(target, module);
    let fetcher = Fetcher::new(&module.fetch)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let deadline = tokio::time::Instant::now() + module.timeout;
        let request = Request {
            target,
            path,
            query,
            policy: &policy,
            body_limit: module.body_bytes.max(GO_TEXT_BYTES),
            deadline,
            again: true,
        };
        let mut answer = fetcher.open(&request).await?;
        let mut decoder = Decoder::new(&module.decode);
        let cut = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => decoder.push(&chunk, sink)?,
                Ok(None) => break None,
                Err(cut @ FetchError::Cut { .. }) => break Some(cut),
                Err(error) => return Err(error.into()),
            }
        };
        match (decoder.finish(sink), cut) {
            (Ok(mut summary), cut) => {
                summary.truncated |= cut.is_some();
                Ok(summary)
            }
            // What arrived could not be read; that it was cut is the better reason.
            (Err(_), Some(cut)) => Err(cut.into()),
            (Err(error), None) => Err(error.into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_names() {
        let check = |text: &str, expected: &str| {
            let found = match Source::parse(text) {
                Ok(Source::Stdin) => "stdin".to_owned(),
                Ok(Source::File(path)) => format!("file {}", path.display()),
                Ok(Source::Target(target)) => format!("target {target}"),
                Ok(Source::Profile(target, path, query)) => {
                    format!("profile {target} {path} {query}")
                }
                Err(_) => "error".to_owned(),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("-", "stdin");
        check("Cargo.toml", "file Cargo.toml");
        check("no/such/file", "file no/such/file");
        check("127.0.0.1:6060", "target http://127.0.0.1:6060");
        check("http://h:6060/x", "target http://h:6060/x");
        check(
            "https://h/debug/pprof/goroutine?debug=2",
            "profile https://h:443 /debug/pprof/goroutine debug=2",
        );
        check("ftp://h/x", "error");
        let trace = "http://h:6060/debug/pprof/trace?seconds=1";
        assert!(matches!(Source::of_trace(trace), Ok(Source::Profile(..))));
        let profile = "http://h:6060/debug/pprof/goroutine";
        assert!(matches!(Source::of_trace(profile), Ok(Source::Target(_))));
    }
}
