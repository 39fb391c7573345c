//! The simulated service as an HTTP server.
//!
//! Status, headers and bodies are those of `net/http/pprof` in Go 1.27 (`net/http/pprof/pprof.go`). Only the
//! goroutine profile exists; every other one is answered as Go answers for a profile it does not have. A
//! difference between two moments (`?seconds=`) is refused, as nothing could wait for the story's clock.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use futures_util::stream;
use url::form_urlencoded;

use super::protobuf::debug0;
use super::story::{Snapshot, Story};
use super::text::{Debug2, MAX_DEBUG2_BYTES, debug1};

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const PROTOBUF: &str = "application/octet-stream";

/// The service at the time `clock` tells, counted from the story's beginning.
pub fn router(clock: impl Fn() -> Duration + Clone + Send + Sync + 'static) -> Router {
    let (page_clock, index_clock) = (clock.clone(), clock.clone());
    Router::new()
        .route(
            "/",
            get(async move || answer(HTML, page(&Story::at(page_clock())))),
        )
        .route("/debug/pprof", get(async || moved()))
        .route(
            "/debug/pprof/",
            get(async move || answer(HTML, index(&Story::at(index_clock())))),
        )
        .route(
            "/debug/pprof/goroutine",
            get(async move |query: RawQuery| goroutine(&query, Story::at(clock()))),
        )
        .route("/debug/pprof/{profile}", get(async || unknown_profile()))
}

fn answer(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn refusal(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = answer(TEXT, why);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("X-Go-Pprof", HeaderValue::from_static("1"));
    response
}

fn unknown_profile() -> Response<Body> {
    refusal(StatusCode::NOT_FOUND, "Unknown profile\n")
}

/// Go's mux sends those who forgot the slash on.
fn moved() -> Response<Body> {
    let mut response = answer(HTML, "<a href=\"/debug/pprof/\">Moved Permanently</a>.\n\n");
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response
        .headers_mut()
        .insert(header::LOCATION, HeaderValue::from_static("/debug/pprof/"));
    response
}

fn goroutine(query: &RawQuery, snapshot: Snapshot) -> Response<Body> {
    let number = |wanted: &str| {
        let pairs = form_urlencoded::parse(query.0.as_deref().unwrap_or("").as_bytes());
        let value = pairs.into_iter().find(|(key, _)| key == wanted)?.1;
        value.parse::<i64>().ok()
    };
    if number("seconds").unwrap_or(0) != 0 {
        return refusal(
            StatusCode::BAD_REQUEST,
            "this simulation answers no delta profiles\n",
        );
    }
    match number("debug").unwrap_or(0) {
        ..=0 => match debug0(&snapshot) {
            Ok(body) => {
                let mut response = answer(PROTOBUF, body);
                let name = HeaderValue::from_static("attachment; filename=\"goroutine\"");
                response
                    .headers_mut()
                    .insert(header::CONTENT_DISPOSITION, name);
                response
            }
            Err(_) => refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the profile could not be written\n",
            ),
        },
        1 => answer(TEXT, debug1(&snapshot)),
        2.. => {
            let pieces = Debug2::new(snapshot, MAX_DEBUG2_BYTES);
            answer(
                TEXT,
                Body::from_stream(stream::iter(pieces.map(Ok::<_, std::convert::Infallible>))),
            )
        }
    }
}

fn index(snapshot: &Snapshot) -> String {
    format!(
        "<html>\n<head>\n<title>/debug/pprof/</title>\n</head>\n<body>\n/debug/pprof/\n<br>\n\
        <p>Set debug=1 as a query parameter to export in legacy text format</p>\n<br>\n\
        Types of profiles available:\n<table>\n<thead><td>Count</td><td>Profile</td></thead>\n\
        <tr><td>{}</td><td><a href='goroutine?debug=1'>goroutine</a></td></tr>\n</table>\n\
        <a href=\"goroutine?debug=2\">full goroutine stack dump</a>\n<br>\n</body>\n</html>\n",
        snapshot.total()
    )
}

/// The page for people. Nothing in it comes from the request.
fn page(snapshot: &Snapshot) -> String {
    let (total, largest) = (snapshot.total(), snapshot.largest());
    let seconds = snapshot.time.as_secs();
    let share = largest * 100 / total.max(1);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta http-equiv=\"refresh\" content=\"5\">\n<title>Simulated Go service</title>\n\
        <style>body {{ font: 16px/1.5 sans-serif; max-width: 42em; margin: 2em auto; padding: 0 1em }}</style>\n\
        </head>\n<body>\n<h1>This is a simulation</h1>\n\
        <p>There is no Go service here. This program plays one that leaks goroutines, so that there is something \
        to look at: a request path converts structs into maps by reflection while it holds a lock, requests \
        queue up behind it, somebody switches it off, and the queue drains. Then it begins again.</p>\n\
        <table>\n<tr><th align=\"left\">Story time</th><td>{:02}:{:02} of {:02}:00 ({})</td></tr>\n\
        <tr><th align=\"left\">Goroutines</th><td>{total}</td></tr>\n\
        <tr><th align=\"left\">In one place</th><td>{largest} ({share} %)</td></tr>\n</table>\n\
        <p>The profiles are real bytes in the three encodings of Go:</p>\n<ul>\n\
        <li><a href=\"/debug/pprof/\">/debug/pprof/</a>, the index</li>\n\
        <li><a href=\"/debug/pprof/goroutine\">/debug/pprof/goroutine</a>, protobuf, as the exporter reads it</li>\n\
        <li><a href=\"/debug/pprof/goroutine?debug=1\">/debug/pprof/goroutine?debug=1</a>, text with counts</li>\n\
        <li><a href=\"/debug/pprof/goroutine?debug=2\">/debug/pprof/goroutine?debug=2</a>, one block for each \
        goroutine</li>\n</ul>\n</body>\n</html>\n",
        seconds / 60,
        seconds % 60,
        super::story::CYCLE.as_secs() / 60,
        snapshot.phase.as_str(),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::super::story::{GROWTH, REST};
    use super::*;

    async fn get(path: &str, time: Duration) -> (StatusCode, axum::http::HeaderMap, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router(move || time)
            .oneshot(request)
            .await
            .expect("an answer");
        let (head, body) = response.into_parts();
        (
            head.status,
            head.headers,
            body.collect().await.expect("a body").to_bytes().to_vec(),
        )
    }

    async fn check(path: &str, status: u16, content_type: &str, start: &[u8]) {
        let (got, headers, body) = get(path, Duration::ZERO).await;
        assert_eq!(got.as_u16(), status, "{path}");
        assert_eq!(headers[header::CONTENT_TYPE], content_type, "{path}");
        assert!(
            body.starts_with(start),
            "{path}: {:?}",
            &body[..body.len().min(80)]
        );
    }

    #[tokio::test]
    async fn paths_answer_as_go_does() {
        let text = TEXT;
        check("/debug/pprof/goroutine", 200, PROTOBUF, b"\x1f\x8b").await;
        check("/debug/pprof/goroutine?debug=0", 200, PROTOBUF, b"\x1f\x8b").await;
        check("/debug/pprof/goroutine?debug=x", 200, PROTOBUF, b"\x1f\x8b").await;
        check(
            "/debug/pprof/goroutine?debug=1",
            200,
            text,
            b"goroutine profile: total 1296\n",
        )
        .await;
        check(
            "/debug/pprof/goroutine?debug=2",
            200,
            text,
            b"goroutine 4150000 [running]:\nruntime/pprof.write",
        )
        .await;
        check(
            "/debug/pprof/goroutine?gc=1&debug=3",
            200,
            text,
            b"goroutine 4150000 [running]:\n",
        )
        .await;
        check(
            "/debug/pprof/goroutine?seconds=1",
            400,
            text,
            b"this simulation answers no delta",
        )
        .await;
        check("/debug/pprof/heap", 404, text, b"Unknown profile\n").await;
        check(
            "/debug/pprof/goroutineleak?debug=1",
            404,
            text,
            b"Unknown profile\n",
        )
        .await;
        check("/debug/pprof", 301, HTML, b"<a href").await;
        check("/debug/pprof/", 200, HTML, b"<html>").await;
        check("/", 200, HTML, b"<!DOCTYPE html>").await;
    }

    #[tokio::test]
    async fn an_unknown_profile_says_that_pprof_is_here() {
        let (_, headers, _) = get("/debug/pprof/nosuch", Duration::ZERO).await;
        assert_eq!(headers["X-Go-Pprof"], "1");
        let (status, headers, _) = get("/elsewhere", Duration::ZERO).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(!headers.contains_key("X-Go-Pprof"));
    }

    #[tokio::test]
    async fn the_page_says_what_it_is_and_where_it_stands() {
        let (_, _, body) = get("/", REST + GROWTH).await;
        let text = String::from_utf8(body).expect("text");
        for wanted in [
            "This is a simulation",
            "35:00 of 50:00 (leaking)",
            "<td>47218</td>",
            "(95 %)",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }

    #[tokio::test]
    async fn the_height_of_the_incident_streams_whole() {
        let (_, _, body) = get("/debug/pprof/goroutine?debug=2", REST + GROWTH).await;
        let text = String::from_utf8(body).expect("text");
        assert_eq!(
            text.lines().filter(|l| l.starts_with("goroutine ")).count(),
            47_218
        );
    }
}
