//! The forms an answer can take: a sentence, an exposition, a page.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::Markup;

use super::encoding::{gzip, wants_gzip};
use super::pages::CONTENT_POLICY;
use super::request::RequestError;
use crate::expose;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const EXPOSITION: HeaderValue = HeaderValue::from_static(expose::CONTENT_TYPE);

/// Plain text; a line end is put behind it.
pub(super) fn text(status: StatusCode, text: &str) -> Response {
    let text = format!("{}\n", text.trim_end());
    (status, [(CONTENT_TYPE, PLAIN)], text).into_response()
}

/// Metrics in the text format, compressed where the scraper accepts it.
pub(super) fn exposition(request: &HeaderMap, text: String) -> Response {
    let mut response = compressed(request, text);
    response.headers_mut().insert(CONTENT_TYPE, EXPOSITION);
    response
}

fn compressed(request: &HeaderMap, text: String) -> Response {
    let packed = wants_gzip(request, text.len())
        .then(|| gzip(text.as_bytes()))
        .flatten();
    let mut response = match packed {
        Some(packed) => {
            let encoding = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
            (encoding, Body::from(packed)).into_response()
        }
        None => Body::from(text).into_response(),
    };
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// A page.
pub(super) fn page(status: StatusCode, page: Markup) -> Response {
    (status, [(CONTENT_TYPE, HTML)], page.into_string()).into_response()
}

/// A page that may be large, compressed where the browser accepts it.
pub(super) fn large_page(request: &HeaderMap, page: Markup) -> Response {
    let text = page.into_string();
    let mut response = compressed(request, text);
    response.headers_mut().insert(CONTENT_TYPE, HTML);
    response
}

/// A page to go on to; the address may be relative to that of the request.
pub(super) fn see_other(location: &str) -> Response {
    let mut response = text(StatusCode::SEE_OTHER, "go on to the page in Location");
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The exporter has as much to do as it may have.
pub(super) fn busy() -> Response {
    unavailable("too many probes are running; --web.max-requests and probes.total bound them")
}

/// As many answers are in the making as may be.
pub(super) fn crowded() -> Response {
    unavailable("too many requests are being answered")
}

/// Static targets in answers are as many as may be.
pub(super) fn all_targets() -> Response {
    unavailable("too many static targets are being answered for")
}

fn unavailable(sentence: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, sentence);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A fault of the exporter's own; the log says more than the answer.
pub(super) fn internal(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "an answer could not be written");
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the answer could not be written; the exporter's log says why",
    )
}

/// Headers every answer of the router carries: nothing here is to be framed, sniffed, cached, or told to other sites.
pub(super) fn harden(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // With no-referrer, browsers would hide from the exporter itself that its own pages send its forms.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, CONTENT_POLICY.clone());
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        text(StatusCode::BAD_REQUEST, &self.to_string())
    }
}
