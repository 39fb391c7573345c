//! `check`: validates the configuration and says in plain words what each module would do, where probes may go,
//! and what deserves a second look.
//!
//! Validation is that of `serve`. Secrets are never shown; files that hold them are opened to see whether they
//! can be read, and not looked into, but for the exporter's own certificate and key. Files of targets are read as `serve`
//! reads them. Nothing is sent anywhere.

mod discovery;
mod warnings;
mod web;

use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use crate::budget::{DetailMode, DetailSpec, TraceMode};
use crate::config::{Config, ConfigError, KeyPath, Module, Profile};
use crate::discovery::{Found, Look, look_once};
use crate::fetch::{Auth, FetchSpec, Pem, TlsVersion};
use crate::policy::{AllowEntry, Place};
use crate::secret::Secret;
use crate::server;
use crate::snapshots::StorageSpec;
use crate::units::{DurationText, SizeText};

/// Static targets that are listed, at most; of more, the number is told.
const MAX_LISTED: usize = 20;

/// The exit code for a configuration that can be used, warnings or not.
pub const VALID: u8 = 0;

/// The exit code for a configuration that cannot be used.
pub const INVALID: u8 = 1;

/// Checks the file, or the defaults where there is none, and the web configuration where there is one, and answers the
/// exit code: [`VALID`] or [`INVALID`].
///
/// # Errors
/// When `out` cannot be written to.
pub fn run(file: Option<&Path>, web_file: Option<&Path>, out: &mut impl Write) -> io::Result<u8> {
    let mut code = check(file, out)?;
    if let Some(file) = web_file {
        writeln!(out)?;
        code = code.max(check_web(file, out)?);
    }
    Ok(code)
}

fn check(file: Option<&Path>, out: &mut impl Write) -> io::Result<u8> {
    let config = match file {
        Some(file) => match Config::from_file(file) {
            Ok(config) => config,
            Err(error) => {
                refuse(&error, out)?;
                return Ok(INVALID);
            }
        },
        None => Config::default(),
    };
    let (look, found) = look_once(&config);
    if !look.failures.is_empty() {
        for failure in &look.failures {
            writeln!(out, "{}", failure.problem)?;
        }
        return Ok(INVALID);
    }
    match file {
        Some(file) => writeln!(out, "{} is valid", file.display())?,
        None => writeln!(out, "no configuration file: these are the defaults")?,
    }
    explain(&config, (&look, &found), out)?;
    Ok(VALID)
}

fn check_web(file: &Path, out: &mut impl Write) -> io::Result<u8> {
    let facts = match server::web::facts(file) {
        Ok(facts) => facts,
        Err(error) => {
            refuse(&error, out)?;
            return Ok(INVALID);
        }
    };
    let now = SystemTime::now();
    writeln!(out, "{} is valid", file.display())?;
    web::explain(&facts, now, out)?;
    warn(web::warnings(&facts, now), out)?;
    Ok(VALID)
}

/// Prints `FILE:LINE:COLUMN: key.path: what is wrong`, and below it what would help.
fn refuse(error: &ConfigError, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{error}")?;
    match &error.hint {
        Some(hint) => writeln!(out, "  hint: {hint}"),
        None => Ok(()),
    }
}

/// Says what the configuration means.
fn explain(
    config: &Config,
    (look, found): (&Look, &[Found]),
    out: &mut impl Write,
) -> io::Result<()> {
    for module in config.modules().values() {
        explain_module(module, out)?;
    }
    explain_targets(config, out)?;
    discovery::explain(config, look, found, out)?;
    explain_policy(config, out)?;
    explain_godebug(config, out)?;
    explain_storage(config.storage(), out)?;
    warn(warnings::warnings(config), out)
}

fn warn(warnings: Vec<(KeyPath, String)>, out: &mut impl Write) -> io::Result<()> {
    if !warnings.is_empty() {
        writeln!(out, "\nwarnings")?;
    }
    for (key, warning) in warnings {
        writeln!(out, "  {key}: {warning}")?;
    }
    Ok(())
}

fn explain_module(module: &Module, out: &mut impl Write) -> io::Result<()> {
    let profiles: Vec<&str> = module
        .profiles
        .iter()
        .copied()
        .map(Profile::endpoint)
        .collect();
    writeln!(out, "\nmodule {}", module.name)?;
    writeln!(
        out,
        "  asks for TARGET{}/{}",
        module.path,
        profiles.join(" and ")
    )?;
    writeln!(
        out,
        "  waits at most {}, reads at most {} as sent and {} inflated",
        DurationText(module.timeout),
        SizeText(module.body_bytes),
        SizeText(module.decode.inflated_bytes)
    )?;
    explain_budget(module, out)?;
    explain_http(&module.fetch, out)?;
    explain_scope(module, out)?;
    let series = module.series;
    write!(
        out,
        "  shows at most {} groups, of {} goroutines or more",
        series.groups, series.min_goroutines
    )?;
    if series.min_ratio > 0.0 {
        write!(out, " and a share of {} or more", series.min_ratio)?;
    }
    writeln!(out)?;
    let classify = &module.classify;
    let lists = [
        ("takes for plumbing, too: ", &classify.plumbing),
        ("takes for the application: ", &classify.app_packages),
        ("counts goroutines by the pprof labels ", &classify.labels),
    ];
    for (what, list) in lists {
        if !list.is_empty() {
            writeln!(out, "  {what}{}", list.join(", "))?;
        }
    }
    for (name, expression) in &classify.watch {
        writeln!(
            out,
            "  counts as {name} goroutines with a function like {expression}"
        )?;
    }
    Ok(())
}

/// What stops the world of a target, and when.
fn explain_budget(module: &Module, out: &mut impl Write) -> io::Result<()> {
    let DetailSpec {
        mode,
        source,
        max_frames,
        min_interval,
    } = module.detail;
    let often = match mode {
        DetailMode::Off => {
            writeln!(out, "  never asks for the detailed form")?;
            None
        }
        DetailMode::Auto => Some(format!("once in {}", DurationText(min_interval))),
        DetailMode::Always => Some("in every probe".to_owned()),
    };
    if let Some(often) = often {
        writeln!(
            out,
            "  asks for the detailed form, {}, of targets with fewer than {max_frames} frames, {often}",
            source.query()
        )?;
    }
    if module.profiles.contains(&Profile::Leak) {
        writeln!(
            out,
            "  asks for proof of leaks of targets with at most {} goroutines, once in {}",
            module.leak.max_goroutines,
            DurationText(module.leak.min_interval)
        )?;
    }
    if module.trace.mode == TraceMode::Auto {
        writeln!(
            out,
            "  asks for an execution trace of at most {} and {} of targets with at most {} goroutines, once in {}",
            DurationText(module.trace.window),
            SizeText(module.trace.max_bytes),
            module.trace.max_goroutines,
            DurationText(module.trace.min_interval)
        )?;
    }
    Ok(())
}

fn explain_http(spec: &FetchSpec, out: &mut impl Write) -> io::Result<()> {
    match &spec.auth {
        None => writeln!(out, "  sends no credentials")?,
        Some(Auth::Basic { username, password }) => {
            writeln!(
                out,
                "  sends basic credentials of user {username:?}, password {}",
                origin(password)
            )?;
        }
        Some(Auth::Scheme {
            scheme,
            credentials,
        }) => {
            writeln!(out, "  sends {scheme} credentials {}", origin(credentials))?;
        }
    }
    let mut names: Vec<&str> = spec.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    if !names.is_empty() {
        writeln!(out, "  sends the headers {}", names.join(", "))?;
    }
    let tls = &spec.tls;
    if tls.insecure_skip_verify {
        writeln!(out, "  verifies no certificates")?;
    } else {
        let authorities = match &tls.ca {
            None => "the authorities of the system".to_owned(),
            Some(Pem::Inline(_)) => "the authorities in the configuration".to_owned(),
            Some(Pem::File(path)) => format!("the authorities in {}", path.display()),
        };
        let name = tls
            .server_name
            .as_ref()
            .map(|name| format!(", for the name {name}"))
            .unwrap_or_default();
        writeln!(out, "  verifies certificates by {authorities}{name}")?;
    }
    if let Some(identity) = &tls.identity {
        writeln!(
            out,
            "  shows a certificate of its own, key {}",
            origin(&identity.key)
        )?;
    }
    if tls.min_version == Some(TlsVersion::Tls13) {
        writeln!(out, "  speaks TLS 1.3 only")?;
    } else if tls.max_version == Some(TlsVersion::Tls12) {
        writeln!(out, "  speaks TLS 1.2 only")?;
    }
    if let Some(proxy) = &spec.proxy {
        writeln!(out, "  goes through the proxy {proxy}")?;
    }
    let redirects = if spec.follow_redirects {
        "follows redirects to where probes may go"
    } else {
        "follows no redirects"
    };
    let http2 = if spec.http2 {
        "speaks HTTP/2 over TLS where offered"
    } else {
        "speaks HTTP/1.1 only"
    };
    writeln!(out, "  {redirects}, {http2}")
}

/// What the module may be used for, and who gets its credentials.
fn explain_scope(module: &Module, out: &mut impl Write) -> io::Result<()> {
    match module.allow.as_deref() {
        None => {}
        Some([]) => writeln!(out, "  may be used for nothing: its allow is empty")?,
        Some(entries) => {
            writeln!(out, "  may be used, within allow, for nothing but")?;
            for entry in entries {
                writeln!(out, "    {}", permitted(entry))?;
            }
        }
    }
    if !module.fetch.sends_credentials() {
        return Ok(());
    }
    let whom = match &module.allow {
        Some(_) => "these alone",
        None => "its static targets and to what entries of allow name",
    };
    let how = if module.fetch.credentials_over_http {
        "over TLS, unix sockets and plain HTTP"
    } else {
        "over TLS and unix sockets only"
    };
    writeln!(out, "  gives its credentials to {whom}, {how}")
}

fn explain_targets(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let targets = config.targets();
    if targets.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nstatic targets: {}", targets.len())?;
    for target in targets.iter().take(MAX_LISTED) {
        write!(out, "  {} by module {}", target.target, target.module)?;
        for (name, value) in &target.labels {
            write!(out, ", {name}={value:?}")?;
        }
        writeln!(out)?;
    }
    match targets.len().saturating_sub(MAX_LISTED) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

fn explain_policy(config: &Config, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nprobes may go to")?;
    if !config.targets().is_empty() {
        writeln!(out, "  the static targets")?;
    }
    if !config.file_sd().is_empty() {
        writeln!(
            out,
            "  the targets in files that not everybody may write to"
        )?;
    }
    match config.allow() {
        None => {
            writeln!(
                out,
                "  this machine's loopback, while the exporter listens on loopback only"
            )?;
            writeln!(out, "  any address with --web.allow-any-target")?;
        }
        Some([]) => writeln!(out, "  nothing else: allow is empty")?,
        Some(entries) => {
            for entry in entries {
                writeln!(out, "  {}", permitted(entry))?;
            }
        }
    }
    writeln!(
        out,
        "never, unless a cidr entry is written for them: link-local (cloud metadata), multicast,"
    )?;
    writeln!(out, "unspecified and broadcast addresses")
}

fn explain_godebug(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let sources = config.godebug();
    if sources.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nlines of GODEBUG are read from")?;
    for source in sources.iter().take(MAX_LISTED) {
        write!(out, "  {} as {}", source.path.display(), source.name)?;
        for (name, value) in &source.labels {
            write!(out, ", {name}={value:?}")?;
        }
        writeln!(out)?;
    }
    match sources.len().saturating_sub(MAX_LISTED) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

fn explain_storage(storage: &StorageSpec, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nsnapshots")?;
    if !storage.is_on() {
        return writeln!(out, "  none are kept, unless --storage.path says where");
    }
    let bounds = storage.bounds;
    writeln!(
        out,
        "  are kept in {}, {} of a target and {} of all at most, for {}",
        storage.path.display(),
        bounds.per_target,
        SizeText(bounds.max_bytes),
        DurationText(bounds.max_age)
    )
}

/// What an entry of `allow` permits.
fn permitted(entry: &AllowEntry) -> String {
    let ports: Vec<String> = entry.ports.iter().map(ToString::to_string).collect();
    let ports = match ports.as_slice() {
        [] => "any port".to_owned(),
        [port] => format!("port {port}"),
        ports => format!("ports {}", ports.join(", ")),
    };
    match &entry.place {
        Place::Cidr(net) => format!("addresses in {net}, {ports}"),
        Place::Host(host) => format!("whatever {host} resolves to, {ports}"),
        Place::Socket(path) if path.to_string().ends_with('/') => {
            format!("unix sockets below {path}")
        }
        Place::Socket(path) => format!("the unix socket {path}"),
    }
}

/// Where a secret comes from.
fn origin(secret: &Secret) -> String {
    match secret {
        Secret::Inline(_) => "from the configuration".to_owned(),
        Secret::File(path) => format!("from {}", path.display()),
    }
}

#[cfg(test)]
mod tests;
