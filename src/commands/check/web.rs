//! The web configuration in plain words: who may ask, and how.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::origin;
use crate::config::{ClientPolicy, KeyPath, ServerTls, WebConfig};
use crate::fetch::{Pem, TlsVersion};
use crate::server::web::{CertificateFacts, WebFacts};
use crate::units::DurationText;

/// Users that are named, at most; of more, the number is told.
const MAX_LISTED: usize = 20;

/// A cost from which a password takes half a second of a processor or more.
const SLOW_COST: u32 = 13;

/// How long a certificate should be good for at least.
const SOON_DAYS: i64 = 14;

const DAY_SECONDS: i64 = 24 * 3600;

/// Says what the configuration means, as of `now`.
pub(super) fn explain(facts: &WebFacts, now: SystemTime, out: &mut impl Write) -> io::Result<()> {
    let config = &facts.config;
    writeln!(out, "\nwho may ask")?;
    match (&config.tls, &facts.certificate) {
        (Some(tls), Some(certificate)) => {
            explain_tls(tls, config.http2, out)?;
            explain_certificate(certificate, &tls.key, now, out)?;
            explain_clients(tls, facts.authorities, out)?;
        }
        _ => writeln!(out, "  speaks plain HTTP/1.1")?,
    }
    let names: Vec<&str> = config.users.iter().map(|user| &*user.name).collect();
    match names.as_slice() {
        [] => writeln!(out, "  asks for no password")?,
        names => {
            let listed = names.get(..MAX_LISTED).unwrap_or(names).join(", ");
            match names.len().saturating_sub(MAX_LISTED) {
                0 => writeln!(out, "  asks for the password of {listed}")?,
                more => writeln!(out, "  asks for the password of {listed} or {more} more")?,
            }
        }
    }
    match config.rate_limit {
        None => writeln!(out, "  answers as often as it is asked")?,
        Some(limit) => writeln!(
            out,
            "  answers one request in {}, up to {} at once",
            interval(limit.interval),
            limit.burst
        )?,
    }
    for (name, value) in &config.headers {
        match value.as_str() {
            "" => writeln!(out, "  sends no header {name}")?,
            value => writeln!(out, "  sends the header {name}: {value}")?,
        }
    }
    Ok(())
}

fn explain_tls(tls: &ServerTls, http2: bool, out: &mut impl Write) -> io::Result<()> {
    let versions = match (tls.min_version, tls.max_version) {
        (TlsVersion::Tls13, _) => "TLS 1.3",
        (_, TlsVersion::Tls12) => "TLS 1.2",
        _ if tls.suites.as_ref().is_some_and(Vec::is_empty) => "TLS 1.3",
        _ => "TLS 1.2 and 1.3",
    };
    let http = if http2 {
        "HTTP/2 and HTTP/1.1"
    } else {
        "HTTP/1.1"
    };
    writeln!(out, "  speaks {http} over {versions}")?;
    if let Some(suites) = tls.suites.as_ref().filter(|suites| !suites.is_empty()) {
        let order = if tls.server_order {
            "in this order"
        } else {
            "in the client's order"
        };
        writeln!(out, "  over TLS 1.2 by {}, {order}", suites.join(", "))?;
    }
    if let Some(curves) = &tls.curves {
        let curves: Vec<&str> = curves.iter().map(|curve| curve.as_str()).collect();
        writeln!(out, "  by the curves {}", curves.join(", "))?;
    }
    Ok(())
}

fn explain_certificate(
    certificate: &CertificateFacts,
    key: &crate::secret::Secret,
    now: SystemTime,
    out: &mut impl Write,
) -> io::Result<()> {
    let names = match certificate.names.as_slice() {
        [] => "nobody".to_owned(),
        names => names.join(", "),
    };
    let until = match validity(certificate, now) {
        Validity::Early => format!("is not valid before {}", date(certificate.not_before)),
        Validity::Over => format!("expired on {}", date(certificate.not_after)),
        Validity::Days(days) => format!(
            "is valid until {}, for {days} days",
            date(certificate.not_after)
        ),
    };
    writeln!(
        out,
        "  shows a certificate for {names}, which {until}; key {}",
        origin(key)
    )
}

fn explain_clients(tls: &ServerTls, authorities: usize, out: &mut impl Write) -> io::Result<()> {
    let client = &tls.client;
    let by = match &client.ca {
        Some(Pem::File(path)) => format!("{authorities} authorities in {}", path.display()),
        Some(Pem::Inline(_)) => format!("{authorities} authorities in the configuration"),
        None => "the authorities of the system".to_owned(),
    };
    match client.policy {
        ClientPolicy::NoClientCert => writeln!(out, "  asks for no client certificate")?,
        ClientPolicy::RequestClientCert => {
            writeln!(
                out,
                "  asks for a client certificate and does not verify it"
            )?;
        }
        ClientPolicy::RequireAnyClientCert => {
            writeln!(
                out,
                "  requires a client certificate and does not verify it"
            )?;
        }
        ClientPolicy::VerifyClientCertIfGiven => {
            writeln!(
                out,
                "  verifies a client certificate, where there is one, by {by}"
            )?;
        }
        ClientPolicy::RequireAndVerifyClientCert => {
            writeln!(out, "  requires a client certificate, verified by {by}")?;
        }
    }
    match &client.allowed_sans {
        None => Ok(()),
        Some(names) => writeln!(out, "  requires one with a name of {}", names.join(", ")),
    }
}

/// What works, and yet is seldom meant; each with the key it is about.
pub(super) fn warnings(facts: &WebFacts, now: SystemTime) -> Vec<(KeyPath, String)> {
    let config = &facts.config;
    let mut found = Vec::new();
    let mut warn = |path: &[&str], text: String| {
        let key = path
            .iter()
            .fold(KeyPath::root(), |key, name| key.key(*name));
        found.push((key, text));
    };
    if let (Some(tls), Some(certificate)) = (&config.tls, &facts.certificate) {
        let name = match tls.cert {
            Pem::Inline(_) => "cert",
            Pem::File(_) => "cert_file",
        };
        let path = ["tls_server_config", name];
        match validity(certificate, now) {
            Validity::Early => warn(&path, "the certificate is not valid yet".to_owned()),
            Validity::Over => warn(&path, "the certificate has expired".to_owned()),
            Validity::Days(days) if days < SOON_DAYS => {
                warn(&path, format!("the certificate expires in {days} days"));
            }
            Validity::Days(_) => {}
        }
        let path = ["tls_server_config", "client_auth_type"];
        match tls.client.policy {
            ClientPolicy::RequestClientCert | ClientPolicy::RequireAnyClientCert => {
                let text = "client certificates are not verified: anybody can make one";
                warn(&path, text.to_owned());
            }
            ClientPolicy::VerifyClientCertIfGiven if !tls.verifies_clients() => {
                warn(&path, "clients without certificate are let in".to_owned());
            }
            _ => {}
        }
    }
    of_users(config, &mut warn);
    for (name, value) in &config.headers {
        let path = ["http_server_config", "headers", name];
        let own = !matches!(*name, "X-XSS-Protection" | "Strict-Transport-Security");
        if value.is_empty() && own {
            let text = "takes away a protection of the exporter's pages";
            warn(&path, text.to_owned());
        }
        if *name == "Strict-Transport-Security" && config.tls.is_none() {
            warn(&path, "does nothing without TLS".to_owned());
        }
    }
    found
}

fn of_users(config: &WebConfig, warn: &mut impl FnMut(&[&str], String)) {
    if !config.users.is_empty() && config.tls.is_none() {
        let text = "passwords come unencrypted: there is no tls_server_config";
        warn(&["basic_auth_users"], text.to_owned());
    }
    for user in &config.users {
        let cost = user.hash.cost();
        if cost >= SLOW_COST {
            let seconds = 0.07 * 2_f64.powi(i32::try_from(cost).unwrap_or(i32::MAX) - 10);
            let text = format!(
                "at cost {cost} each new password, right or wrong, takes about {seconds:.1} s of a processor"
            );
            warn(&["basic_auth_users", &user.name], text);
        }
    }
}

/// How a certificate stands in time.
enum Validity {
    Early,
    Over,
    Days(i64),
}

fn validity(certificate: &CertificateFacts, now: SystemTime) -> Validity {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < certificate.not_before {
        Validity::Early
    } else if now > certificate.not_after {
        Validity::Over
    } else {
        Validity::Days((certificate.not_after - now) / DAY_SECONDS)
    }
}

/// The day, in UTC.
fn date(seconds: i64) -> String {
    // humantime writes years up to 9999, which is as far as certificates go.
    const LAST: u64 = 253_402_300_799;
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST);
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
    text.to_string().chars().take(10).collect()
}

/// Below a millisecond, where [`DurationText`] stops, as Rust writes it.
fn interval(interval: Duration) -> String {
    if interval.subsec_nanos().is_multiple_of(1_000_000) {
        DurationText(interval).to_string()
    } else {
        format!("{interval:?}")
    }
}
