//! Whether a request that changes something was sent by a page of another site, through the browser of somebody who may
//! send it.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::answer;

/// The answer to a request that comes from a page of another site; `None` when it may go on. `own` is the origin by which
/// users reach the exporter, where it is known.
pub(super) fn refuse_cross_site(
    headers: &HeaderMap,
    uri: &Uri,
    own: Option<&str>,
) -> Option<Response> {
    is_cross_site(headers, uri, own).then(|| {
        let sentence = "this request was sent by a page of another site, and is refused";
        answer::text(StatusCode::FORBIDDEN, sentence)
    })
}

/// Browsers say where a request comes from: in `Sec-Fetch-Site`, which pages cannot set, or where they do not send it,
/// as over plain HTTP, in `Origin`. What is no browser says neither.
///
/// Source: W3C Fetch Metadata; Go's `net/http.CrossOriginProtection` decides alike.
fn is_cross_site(headers: &HeaderMap, uri: &Uri, own: Option<&str>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    let origin = origin.to_str().ok();
    if own.is_some_and(|own| origin.is_some_and(|origin| origin.eq_ignore_ascii_case(own))) {
        return false;
    }
    let origin = origin.and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin)), Some(host)) => !origin.eq_ignore_ascii_case(host),
        // "null" hides where it comes from.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_told_from_our_own() {
        let check = |headers: &[(&'static str, &str)], cross_site: bool| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            let uri = Uri::from_static("/-/reload");
            assert_eq!(is_cross_site(&map, &uri, None), cross_site, "{headers:?}");
        };
        check(&[], false);
        check(&[("host", "a:1")], false);
        check(
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
            false,
        );
        check(&[("sec-fetch-site", "none")], false);
        check(&[("sec-fetch-site", "same-site")], true);
        check(&[("sec-fetch-site", "cross-site")], true);
        check(
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://a:1"),
                ("host", "a:1"),
            ],
            true,
        );
        check(&[("origin", "http://a:1"), ("host", "a:1")], false);
        check(
            &[("origin", "https://A.example"), ("host", "a.example")],
            false,
        );
        check(&[("origin", "http://a:2"), ("host", "a:1")], true);
        check(&[("origin", "http://evil.example"), ("host", "a:1")], true);
        check(
            &[("origin", "http://a:1.evil.example"), ("host", "a:1")],
            true,
        );
        check(&[("origin", "null"), ("host", "a:1")], true);
        check(&[("origin", "http://a:1")], true);
        let absolute = Uri::from_static("http://a:1/-/reload");
        let mut map = HeaderMap::new();
        map.insert("origin", "http://a:1".parse().unwrap());
        assert!(!is_cross_site(&map, &absolute, None));
    }

    #[test]
    fn behind_a_proxy_the_name_users_know_is_ours_too() {
        let check = |origin: &str, cross_site: bool| {
            let mut map = HeaderMap::new();
            map.insert("origin", origin.parse().unwrap());
            map.insert("host", "10.0.0.1:16060".parse().unwrap());
            let own = Some("https://a.example");
            let uri = Uri::from_static("/-/reload");
            assert_eq!(is_cross_site(&map, &uri, own), cross_site, "{origin}");
            map.insert("sec-fetch-site", "cross-site".parse().unwrap());
            assert!(is_cross_site(&map, &uri, own), "{origin}");
        };
        check("https://a.example", false);
        check("https://A.example", false);
        check("http://10.0.0.1:16060", false);
        check("http://a.example", true);
        check("https://a.example:8443", true);
        check("https://a.example.evil", true);
        check("null", true);
    }
}
