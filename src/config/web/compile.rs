//! From what is written to what is meant: users, headers, rate.

use std::path::Path;
use std::time::Duration;

use super::raw::{RawHeaders, RawRateLimit, RawServerTls, RawWeb};
use super::{PasswordHash, RateLimit, User, WebConfig, tls};
use crate::config::compile::{at_most, number};
use crate::config::error::{ConfigError, Fault, KeyPath};
use crate::config::http::is_header_value;
use crate::config::raw::{RawSecret, UniqueMap};

/// Users, at most: the file is for a few.
const MAX_USERS: usize = 1_000;

/// Bytes of a user's name, at most; a request's head has not more room for it.
const MAX_NAME_BYTES: usize = 256;

/// The lowest cost that bcrypt has.
const MIN_COST: u32 = 4;

/// The highest cost that is accepted: a password then takes some 20 s of a processor, right or wrong.
const MAX_COST: u32 = 18;

/// Requests at once, at most, where a rate is set.
const MAX_BURST: u64 = 1_000_000;

/// Gives the file its meaning; relative file names in it start from `directory`.
pub(super) fn compile(raw: RawWeb, directory: &Path) -> Result<WebConfig, ConfigError> {
    let root = KeyPath::root();
    let http = raw.http_server_config.unwrap_or_default();
    let http2 = http.http2.unwrap_or(true);
    // exporter-toolkit speaks plain HTTP when the block is there and says nothing.
    let tls = raw
        .tls_server_config
        .filter(|raw| *raw != RawServerTls::default());
    let tls = tls
        .map(|raw| tls::server_tls(&root.key("tls_server_config"), raw, directory, http2))
        .transpose()?;
    let headers = http.headers.unwrap_or_default();
    let users = raw.basic_auth_users;
    Ok(WebConfig {
        tls,
        http2,
        headers: compile_headers(&root.key("http_server_config").key("headers"), headers)?,
        users: users.map_or_else(
            || Ok(Vec::new()),
            |raw| compile_users(&root.key("basic_auth_users"), raw),
        )?,
        rate_limit: raw
            .rate_limit
            .map(|raw| rate_limit(&root.key("rate_limit"), &raw))
            .transpose()?
            .flatten(),
    })
}

fn compile_headers(
    key: &KeyPath,
    raw: RawHeaders,
) -> Result<Vec<(&'static str, String)>, ConfigError> {
    const NOSNIFF: &[&str] = &["", "nosniff"];
    const FRAMES: &[&str] = &["", "deny", "sameorigin"];
    let given = [
        ("Content-Security-Policy", raw.content_security_policy, None),
        (
            "X-Frame-Options",
            raw.x_frame_options,
            Some((FRAMES, "deny or sameorigin")),
        ),
        (
            "X-Content-Type-Options",
            raw.x_content_type_options,
            Some((NOSNIFF, "nosniff")),
        ),
        ("X-XSS-Protection", raw.x_xss_protection, None),
        (
            "Strict-Transport-Security",
            raw.strict_transport_security,
            None,
        ),
    ];
    let mut headers = Vec::new();
    for (name, value, allowed) in given {
        let Some(value) = value else { continue };
        if let Some((allowed, expected)) = allowed
            && !allowed.contains(&value.as_str())
        {
            let fault = Fault::invalid(expected, value);
            return Err(ConfigError::new(key.key(name), fault));
        }
        if !is_header_value(&value) {
            let fault = Fault::invalid("visible ASCII characters", value);
            return Err(ConfigError::new(key.key(name), fault));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

fn compile_users(
    key: &KeyPath,
    UniqueMap(raw): UniqueMap<RawSecret>,
) -> Result<Vec<User>, ConfigError> {
    at_most(key, raw.len(), MAX_USERS)?;
    let mut users = Vec::new();
    for (name, RawSecret(hash)) in raw {
        let key = key.key(&name);
        // RFC 7617 section 2: a colon would end the name early.
        let usable = !name.is_empty()
            && name.len() <= MAX_NAME_BYTES
            && !name.contains(':')
            && !name.chars().any(char::is_control);
        if !usable {
            let expected = "a user name of 1 to 256 bytes, without colon and control characters";
            return Err(ConfigError::new(key, Fault::invalid(expected, name)));
        }
        let hash = password_hash(hash).map_err(|expected| {
            ConfigError::new(key, Fault::InvalidSecret { expected })
                .hint("make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'")
        })?;
        users.push(User { name, hash });
    }
    Ok(users)
}

/// Reads `$2y$10$` and 53 characters of bcrypt's alphabet; says what was expected when it is something else.
fn password_hash(text: String) -> Result<PasswordHash, &'static str> {
    let parts = || {
        let rest = text.strip_prefix("$2")?;
        let rest = rest.strip_prefix(['a', 'b', 'y'])?.strip_prefix('$')?;
        let (cost, rest) = rest.split_once('$')?;
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
        let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        (digits && rest.len() == 53 && rest.bytes().all(letters)).then_some(cost)
    };
    let expected = "a bcrypt hash, which begins with $2y$ and has 60 characters";
    let cost: u32 = parts().and_then(|cost| cost.parse().ok()).ok_or(expected)?;
    if cost < MIN_COST {
        return Err("a bcrypt hash of cost 4 or more");
    }
    if cost > MAX_COST {
        return Err(
            "a bcrypt hash of cost 18 or less: each password, right or wrong, would take half a minute and more",
        );
    }
    Ok(PasswordHash { text, cost })
}

fn rate_limit(key: &KeyPath, raw: &RawRateLimit) -> Result<Option<RateLimit>, ConfigError> {
    let interval = match &raw.interval {
        None => Duration::ZERO,
        Some(text) => go_duration(text).ok_or_else(|| {
            let expected = "a duration such as 1s, 100ms or 1m30s, or 0 for no limit";
            let hint = text
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| format!("write {text}s for seconds"));
            ConfigError {
                hint,
                ..ConfigError::new(key.key("interval"), Fault::invalid(expected, text.clone()))
            }
        })?,
    };
    let burst_key = key.key("burst");
    if interval.is_zero() {
        if let Some(burst @ 1..) = raw.burst {
            number(&burst_key, burst, 0, MAX_BURST)?;
        }
        return Ok(None);
    }
    // With 0, its default in exporter-toolkit, every request would be refused.
    let burst = number(&burst_key, raw.burst.unwrap_or(0), 1, MAX_BURST).map_err(|error| {
        error.hint("burst is the number of requests that may come at once; with 0 none ever could")
    })?;
    Ok(Some(RateLimit {
        interval,
        burst: u32::try_from(burst).unwrap_or(u32::MAX),
    }))
}

/// A duration as Go writes and reads it (`time.ParseDuration`), without sign: `1.5h`, `1m30s`, `250us`, `0`.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("\u{3bc}s", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, next) = after.split_at_checked(end.unwrap_or(after.len()))?;
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total.checked_add(nanoseconds.checked_mul(whole)?)?;
        let mut place = *nanoseconds;
        for digit in fraction.chars() {
            place /= 10;
            total = total.checked_add(place.checked_mul(u64::from(digit.to_digit(10)?))?)?;
        }
        rest = next;
    }
    (!text.is_empty()).then(|| Duration::from_nanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let check = |text: &str, nanoseconds: Option<u64>| {
            let expected = nanoseconds.map(Duration::from_nanos);
            assert_eq!(go_duration(text), expected, "{text:?}");
        };
        check("0", Some(0));
        check("0s", Some(0));
        check("1s", Some(1_000_000_000));
        check("1m30s", Some(90_000_000_000));
        check("1.5h", Some(5_400_000_000_000));
        check(".5s", Some(500_000_000));
        check("1.s", Some(1_000_000_000));
        check("250us", Some(250_000));
        check("250\u{b5}s", Some(250_000));
        check("7ns", Some(7));
        check("0.0000000001s", Some(0));
        check("", None);
        check(".s", None);
        check("1", None);
        check("s", None);
        check("-1s", None);
        check("1d", None);
        check("1 s", None);
        check("1.2.3s", None);
        check("99999999999999h", None);
        check("1s2", None);
    }

    #[test]
    fn hashes_are_bcrypts() {
        let tail = "mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";
        let cost = |text: String| password_hash(text).map(|hash| hash.cost()).ok();
        for version in ["a", "b", "y"] {
            assert_eq!(cost(format!("$2{version}$10${tail}")), Some(10));
        }
        assert_eq!(cost(format!("$2y$04${tail}")), Some(4));
        assert_eq!(cost(format!("$2y$18${tail}")), Some(18));
        for wrong in [
            "doe".to_owned(),
            String::new(),
            format!("$2y$03${tail}"),
            format!("$2y$19${tail}"),
            format!("$2y$+9${tail}"),
            format!("$2y$9${tail}"),
            format!("$2x$10${tail}"),
            format!("$1$10${tail}"),
            format!("$2y$10${tail}."),
            format!("$2y$10${}", tail.trim_start_matches('m')),
            format!("$2y$10$!{}", tail.trim_start_matches('m')),
        ] {
            assert_eq!(cost(wrong.clone()), None, "{wrong}");
        }
    }
}
