//! What a request passes before it is answered: the rate, then the password.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::users::Verdict;
use crate::server::answer;
use crate::server::listen::Peer;
use crate::server::state::App;

/// RFC 7617 section 2.1: the realm must be there, and names are UTF-8.
const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"goroutine_exporter\", charset=\"UTF-8\"");

/// Why a request was turned away before it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No user name and password, or wrong ones.
    Credentials,
    /// Too many passwords are being compared.
    Busy,
    /// More requests than the rate allows.
    Rate,
}

impl Refused {
    pub(crate) const ALL: [Self; 3] = [Self::Credentials, Self::Busy, Self::Rate];

    /// As the value of the label `reason`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Busy => "busy",
            Self::Rate => "rate",
        }
    }
}

/// Lets a request pass, or answers it; either way the answer gets the headers of all. No path is excluded.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| who(peer.0));
    let mut response = match judge(&app, credentials(request.headers()), peer).await {
        None => next.run(request).await,
        Some(refused) => {
            app.metrics.web_refused(refused.as_str());
            refuse(refused)
        }
    };
    let headers = response.headers_mut();
    answer::harden(headers);
    set_headers(&app, headers);
    response
}

/// Sets the headers of the web configuration, in place of the exporter's own.
fn set_headers(app: &App, headers: &mut HeaderMap) {
    for (name, value) in &app.web.current.load().headers {
        match value {
            Some(value) => drop(headers.insert(name, value.clone())),
            None => drop(headers.remove(name)),
        }
    }
}

async fn judge(
    app: &App,
    credentials: Option<(String, Vec<u8>)>,
    peer: Option<IpAddr>,
) -> Option<Refused> {
    let web = &app.web;
    let current = web.fresh().await;
    if let Some(limit) = current.config.rate_limit
        && !web.bucket.take(limit, Instant::now())
    {
        return Some(Refused::Rate);
    }
    if current.users.is_empty() {
        return None;
    }
    let Some((name, password)) = credentials else {
        return Some(Refused::Credentials);
    };
    let verdict = web
        .doorkeeper
        .verify(&current.users, &name, &password, peer);
    match verdict.await {
        Verdict::Right => None,
        Verdict::Wrong => Some(Refused::Credentials),
        Verdict::Busy => Some(Refused::Busy),
    }
}

fn refuse(refused: Refused) -> Response {
    let (status, sentence) = match refused {
        Refused::Credentials => (
            StatusCode::UNAUTHORIZED,
            "a user name and a password that belong together are needed",
        ),
        Refused::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many passwords are being compared; come again",
        ),
        Refused::Rate => (
            StatusCode::TOO_MANY_REQUESTS,
            "more requests than rate_limit of the web configuration allows",
        ),
    };
    let mut response = answer::text(status, sentence);
    let headers = response.headers_mut();
    if refused == Refused::Credentials {
        headers.insert(WWW_AUTHENTICATE, CHALLENGE);
    } else {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// User name and password, where a request has them once and well.
///
/// Source: RFC 7617; Go's `net/http.Request.BasicAuth` decides alike, but takes the first of several headers.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let (name, password) = bytes.split_at_checked(colon)?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    Some((name, password.get(1..)?.to_vec()))
}

/// Who sends from an address: of IPv6 the network, since whoever has one address there has 2^64.
fn who(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_when_they_are_whole() {
        let check = |values: &[&str], expected: Option<(&str, &[u8])>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            let expected = expected.map(|(name, password)| (name.to_owned(), password.to_vec()));
            assert_eq!(credentials(&headers), expected, "{values:?}");
        };
        let basic = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes));
        check(&[&basic(b"alice:secret")], Some(("alice", b"secret")));
        check(&["bAsIc YTpi"], Some(("a", b"b")));
        check(&[&basic(b":")], Some(("", b"")));
        check(&[&basic(b"a:b:c")], Some(("a", b"b:c")));
        check(
            &[&basic("ä:ö\u{0}".as_bytes())],
            Some(("ä", "ö\u{0}".as_bytes())),
        );
        check(&[&basic(b"a:\xff")], Some(("a", b"\xff")));
        check(&[&basic(b"\xff:a")], None);
        check(&[&basic(b"alice")], None);
        check(&[], None);
        check(&["Basic"], None);
        check(&["Basic "], None);
        check(&["Basic YTpi YTpi"], None);
        check(&["Basic  YTpi"], None);
        check(&["Basic YTp"], None);
        check(&["Basic YTp_"], None);
        check(&["Bearer YTpi"], None);
        check(&["Basic YTpi", "Basic YTpi"], None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let check = |address: &str, expected: &str| {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(who(address).to_string(), expected);
        };
        check("10.0.0.7", "10.0.0.7");
        check("::ffff:10.0.0.7", "10.0.0.7");
        check("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::");
        check("::1", "::");
    }
}
