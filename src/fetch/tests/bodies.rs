use std::time::Duration;

use super::servers::{Server, Then, ok, reply, status};
use super::*;
use crate::failure::FailureReason;

const HEAD: &str = "HTTP/1.1 200 OK\r\n";

#[tokio::test]
async fn a_body_arrives_whole_with_what_is_known_of_it() {
    let server = Server::start(|_| ok("goroutine profile: total 3\n")).await;
    let (done, body) = fetch(
        &plain(),
        &loopback(),
        &format!("http://{}/prefix", server.address),
    )
    .await
    .unwrap();
    assert_eq!(body, b"goroutine profile: total 3\n");
    assert_eq!(done.body_bytes, 27);
    assert_eq!(done.content_type.as_deref(), Some("text/plain"));
    assert_eq!(done.remote, Some(server.address));
    assert!(
        server.heads()[0].starts_with("GET /prefix/p?debug=1 HTTP/1.1\r\n"),
        "{:?}",
        server.heads()
    );
    assert_eq!(
        server.header("user-agent").as_deref(),
        Some(concat!("goroutine_exporter/", env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(server.header("accept-encoding"), None);
    assert_eq!(server.header("referer"), None);
}

#[tokio::test]
async fn every_framing_of_a_body_is_read() {
    let check = async |rest: &'static str, then: Then, expected: &str| {
        let server = Server::start(move |_| reply(format!("{HEAD}{rest}"), then.clone())).await;
        let (_, body) = fetch(&plain(), &loopback(), &server.address.to_string())
            .await
            .unwrap();
        assert_eq!(body, expected.as_bytes(), "{rest}");
    };
    check(
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        Then::Keep,
        "abcde",
    )
    .await;
    check("Content-Length: 3\r\n\r\nabcMORE", Then::Keep, "abc").await;
    check("\r\nuntil the end", Then::Close, "until the end").await;
    check("Content-Length: 0\r\n\r\n", Then::Keep, "").await;
    // What is compressed on the way stays compressed: the decoder looks at the bytes itself.
    check(
        "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        Then::Keep,
        "abc",
    )
    .await;
}

#[tokio::test]
async fn a_body_that_ends_early_is_cut() {
    let check = async |rest: &'static str, received: u64| {
        for reset in [false, true] {
            let script = move |_: &str| reply(format!("{HEAD}{rest}"), Then::Close);
            let server = if reset {
                Server::resetting(script).await
            } else {
                Server::start(script).await
            };
            let error = fetch(&plain(), &loopback(), &server.address.to_string())
                .await
                .unwrap_err();
            let reason = if reset {
                FailureReason::Connect
            } else {
                FailureReason::Decode
            };
            assert_eq!(error.reason(), Some(reason), "{rest}: {error:?}");
            let FetchError::Cut {
                received: seen,
                reset: was_reset,
            } = error
            else {
                panic!("{rest}: {error:?}")
            };
            assert_eq!((seen, was_reset), (received, reset), "{rest}");
        }
    };
    check("Content-Length: 9\r\n\r\nabc", 3).await;
    check("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 3).await;
    check("Transfer-Encoding: chunked\r\n\r\n9\r\nabc", 3).await;
}

#[tokio::test]
async fn a_damaged_chunk_is_cut() {
    let server = Server::start(|_| {
        reply(
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"),
            Then::Hang,
        )
    })
    .await;
    let error = fetch(&plain(), &loopback(), &server.address.to_string())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Cut {
                received: 3,
                reset: false
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_limit_is_exact_in_every_framing() {
    let check = async |rest: String, then: Then, limit: u64, fits: bool| {
        let text = format!("{HEAD}{rest}");
        let server = Server::start(move |_| reply(text.clone(), then.clone())).await;
        let target = server.address.to_string();
        match fetch_within(&plain(), &loopback(), &target, limit, PATIENCE).await {
            Ok((done, _)) => {
                assert!(fits && done.body_bytes <= limit, "{limit}: {done:?}");
            }
            Err(FetchError::TooLarge { limit: told }) => assert!(!fits && told == limit, "{limit}"),
            Err(error) => panic!("{limit}: {error:?}"),
        }
    };
    for (limit, fits) in [(9, false), (10, true), (11, true)] {
        check(
            "Content-Length: 10\r\n\r\n0123456789".to_owned(),
            Then::Keep,
            limit,
            fits,
        )
        .await;
        check(
            "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n".to_owned(),
            Then::Keep,
            limit,
            fits,
        )
        .await;
        check("\r\n0123456789".to_owned(), Then::Close, limit, fits).await;
    }
}

#[tokio::test]
async fn an_endless_body_stops_at_the_limit() {
    let mut server =
        Server::start(|_| reply(format!("{HEAD}\r\n"), Then::Repeat(&[b'x'; 4096]))).await;
    let error = fetch(&plain(), &loopback(), &server.address.to_string())
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::TooLarge { limit: 1_048_576 }),
        "{error:?}"
    );
    assert_eq!(error.reason(), Some(FailureReason::TooLarge));
    server.other_side_gone().await;
}

#[tokio::test]
async fn a_promise_of_too_much_is_not_waited_for() {
    let mut server = Server::start(|_| {
        reply(
            format!("{HEAD}Content-Length: 1048577\r\n\r\nabc"),
            Then::Hang,
        )
    })
    .await;
    let error = fetch(&plain(), &loopback(), &server.address.to_string())
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error:?}");
    server.other_side_gone().await;
}

#[tokio::test]
async fn a_reader_that_has_enough_stops_the_transfer() {
    let mut server =
        Server::start(|_| reply(format!("{HEAD}\r\n"), Then::Repeat(&[b'x'; 4096]))).await;
    let (fetcher, policy, target) = (
        plain(),
        loopback(),
        server.address.to_string().parse().unwrap(),
    );
    let deadline = Instant::now() + PATIENCE;
    let request = Request {
        target: &target,
        path: "/p",
        query: "",
        policy: &policy,
        body_limit: u64::MAX,
        deadline,
        again: true,
    };
    let done = fetcher
        .get(&request, &mut |_| ControlFlow::Break(()))
        .await
        .unwrap();
    assert!(done.body_bytes > 0 && done.phases.transfer.is_some());
    server.other_side_gone().await;
}

#[tokio::test]
async fn the_deadline_ends_every_wait() {
    let check = async |text: &'static str, then: Then, phase: Phase| {
        let mut server = Server::start(move |_| reply(text, then.clone())).await;
        let (target, patience) = (server.address.to_string(), Duration::from_millis(400));
        let error = fetch_within(&plain(), &loopback(), &target, u64::MAX, patience)
            .await
            .unwrap_err();
        let FetchError::Timeout { phase: seen } = error else {
            panic!("{text}: {error:?}")
        };
        assert_eq!(seen, phase, "{text}");
        assert_eq!(error.reason(), Some(FailureReason::Timeout));
        server.other_side_gone().await;
    };
    tokio::join!(
        check("", Then::Hang, Phase::FirstByte),
        check("HTTP/1.1 200", Then::Hang, Phase::FirstByte),
        check(
            "HTTP/1.1 100 Continue\r\n\r\n",
            Then::Hang,
            Phase::FirstByte
        ),
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            Then::Hang,
            Phase::Transfer
        ),
        // Always ready, never done.
        check(
            "HTTP/1.1 200 OK\r\n\r\n",
            Then::Repeat(b"x"),
            Phase::Transfer
        ),
    );
}

#[tokio::test]
async fn another_status_than_200_is_told_with_its_hint() {
    let check = async |line: &'static str, headers: &'static str, hint: Option<StatusHint>| {
        let server = Server::start(move |_| status(line, headers)).await;
        let error = fetch(&plain(), &loopback(), &server.address.to_string())
            .await
            .unwrap_err();
        assert_eq!(error.reason(), Some(FailureReason::HttpStatus), "{line}");
        let FetchError::Status { code, hint: seen } = error else {
            panic!("{line}: {error:?}")
        };
        assert!(
            line.starts_with(&code.to_string()) && seen == hint,
            "{line}: {code}, {seen:?}"
        );
    };
    check("404 Not Found", "", None).await;
    check(
        "404 Not Found",
        "X-Go-Pprof: 1\r\n",
        Some(StatusHint::GoPprof),
    )
    .await;
    check("500 Internal Server Error", "", None).await;
    check("204 No Content", "", None).await;
    check("206 Partial Content", "", None).await;
    check("304 Not Modified", "", None).await;
    check("401 Unauthorized", "", None).await;
}

#[tokio::test]
async fn an_error_page_is_never_shown() {
    let body = "secret internal page";
    let server = Server::start(move |_| {
        reply(
            format!(
                "HTTP/1.1 500 Oops\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            Then::Keep,
        )
    })
    .await;
    let error = fetch(&plain(), &loopback(), &server.address.to_string())
        .await
        .unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("secret") && !shown.contains("Oops"),
        "{shown}"
    );
}
