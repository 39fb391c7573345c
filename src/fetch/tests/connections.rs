use tokio::net::TcpListener;

use super::servers::{Server, Then, ok, reply};
use super::*;
use crate::failure::FailureReason;
use crate::policy::SocketPattern;

#[tokio::test]
async fn nobody_listening_is_a_refused_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = fetch(&plain(), &loopback(), &address.to_string())
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Connect(ConnectFault::Refused)),
        "{error:?}"
    );
    assert_eq!(error.reason(), Some(FailureReason::Connect));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_dns() {
    // RFC 6761: no name under `invalid` ever resolves.
    let error = fetch(&plain(), &any(), "goroutine-exporter.invalid:6060")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Dns {
                party: Party::Target
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.reason(), Some(FailureReason::Dns));
}

#[tokio::test]
async fn no_answer_is_told_from_a_strange_one() {
    let check = async |bytes: &'static str, reset: bool, expected: fn(&FetchError) -> bool| {
        let script = move |_: &str| reply(bytes, Then::Close);
        let server = if reset {
            Server::resetting(script).await
        } else {
            Server::start(script).await
        };
        let error = fetch(&plain(), &loopback(), &server.address.to_string())
            .await
            .unwrap_err();
        assert!(expected(&error), "{bytes:?}, reset {reset}: {error:?}");
        assert_eq!(
            server.connections(),
            1,
            "a failed new connection is not tried again"
        );
    };
    check("", false, |error| {
        matches!(error, FetchError::Connect(ConnectFault::Closed))
    })
    .await;
    check("", true, |error| {
        matches!(error, FetchError::Connect(ConnectFault::Reset))
    })
    .await;
    check("HTTP/1.1 200", false, |error| {
        matches!(error, FetchError::Connect(ConnectFault::Closed))
    })
    .await;
    check("SSH-2.0-OpenSSH_9.6\r\n\r\n", false, |error| {
        matches!(error, FetchError::NotHttp)
    })
    .await;
    check("\x15\x03\x01\x00\x02\x02\x46", false, |error| {
        matches!(error, FetchError::NotHttp)
    })
    .await;
}

#[tokio::test]
async fn a_second_fetch_reuses_the_connection_and_has_fewer_phases() {
    let server = Server::start(|_| ok("x")).await;
    let fetcher = plain();
    let target = format!("localhost:{}", server.address.port());
    let first = fetch(&fetcher, &loopback(), &target).await.unwrap().0;
    assert!(first.new_connection);
    let Phases {
        resolve,
        connect,
        tls,
        first_byte,
        transfer,
    } = first.phases;
    assert_eq!(
        (
            resolve.is_some(),
            connect.is_some(),
            tls,
            first_byte.is_some(),
            transfer.is_some()
        ),
        (true, true, None, true, true)
    );
    let second = fetch(&fetcher, &loopback(), &target).await.unwrap().0;
    assert!(!second.new_connection);
    let Phases {
        connect,
        tls,
        first_byte,
        ..
    } = second.phases;
    assert_eq!((connect, tls, first_byte.is_some()), (None, None, true));
    assert_eq!(server.connections(), 1);
    let literal = fetch(&fetcher, &loopback(), &server.address.to_string())
        .await
        .unwrap()
        .0;
    assert_eq!(literal.phases.resolve, None, "an address needs no lookup");
}

#[tokio::test]
async fn a_connection_closed_just_as_it_is_reused_is_replaced_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let requests = AtomicUsize::new(0);
    // Every second request on the wire finds its connection closed.
    let server = Server::start(
        move |_| match requests.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => ok("x"),
            _ => reply("", Then::Close),
        },
    )
    .await;
    let fetcher = plain();
    let target = server.address.to_string();
    assert!(
        fetch(&fetcher, &loopback(), &target)
            .await
            .unwrap()
            .0
            .new_connection
    );
    assert!(
        fetch(&fetcher, &loopback(), &target)
            .await
            .unwrap()
            .0
            .new_connection
    );
    assert_eq!((server.heads().len(), server.connections()), (3, 2));
}

#[tokio::test]
async fn what_costs_the_target_is_not_sent_again() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let requests = AtomicUsize::new(0);
    // The answer to the second request is lost, as one is that took longer than the target's time to write it.
    let server = Server::start(move |_| match requests.fetch_add(1, Ordering::Relaxed) {
        1 => reply("", Then::Close),
        _ => ok("x"),
    })
    .await;
    let (fetcher, policy) = (plain(), loopback());
    let target = server.address.to_string();
    fetch(&fetcher, &policy, &target).await.unwrap();
    let target = target.parse().unwrap();
    let request = Request {
        target: &target,
        path: "/p",
        query: "debug=2",
        policy: &policy,
        body_limit: 9,
        deadline: Instant::now() + PATIENCE,
        again: false,
    };
    let error = fetcher.open(&request).await.unwrap_err();
    assert!(
        matches!(error, FetchError::Connect(ConnectFault::Closed)),
        "{error:?}"
    );
    assert_eq!((server.heads().len(), server.connections()), (2, 2));
}

#[tokio::test]
async fn what_costs_the_target_has_connections_of_its_own() {
    let server = Server::start(|_| ok("x")).await;
    let (fetcher, policy) = (plain(), loopback());
    let target = server.address.to_string();
    let parsed = target.parse().unwrap();
    let request = Request {
        target: &parsed,
        path: "/p",
        query: "debug=2",
        policy: &policy,
        body_limit: 9,
        deadline: Instant::now() + PATIENCE,
        again: false,
    };
    for (costly, connections) in [(false, 1), (true, 2), (false, 2), (true, 3), (false, 3)] {
        if costly {
            let mut answer = fetcher.open(&request).await.unwrap();
            while answer.chunk().await.unwrap().is_some() {}
        } else {
            fetch(&fetcher, &policy, &target).await.unwrap();
        }
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn a_dropped_fetch_closes_its_connection() {
    let (fetcher, policy) = (plain(), loopback());
    let mut silent = Server::start(|_| reply("", Then::Hang)).await;
    let target = silent.address.to_string();
    tokio::select! {
        done = fetch(&fetcher, &policy, &target) => panic!("{done:?}"),
        () = silent.asked() => {}
    }
    silent.other_side_gone().await;

    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let mut slow = Server::start(move |_| reply(head, Then::Hang)).await;
    let (target, deadline) = (
        slow.address.to_string().parse().unwrap(),
        Instant::now() + PATIENCE,
    );
    let request = Request {
        target: &target,
        path: "/p",
        query: "",
        policy: &policy,
        body_limit: 9,
        deadline,
        again: true,
    };
    let mut answer = fetcher.open(&request).await.unwrap();
    assert_eq!(
        answer.chunk().await.unwrap().as_deref(),
        Some(b"abc".as_slice())
    );
    drop(answer);
    slow.other_side_gone().await;
}

#[tokio::test]
async fn a_unix_socket_is_fetched_from_when_an_entry_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let server = Server::on_socket(&path, |_| ok("x"));
    let pattern: SocketPattern = path.to_str().unwrap().parse().unwrap();
    let policy = Policy::new(
        vec![AllowEntry {
            place: Place::Socket(pattern),
            ports: Vec::new(),
        }],
        &Defaults::default(),
    );
    let target = format!("unix://{}", path.display());
    let (done, body) = fetch(&plain(), &policy, &target).await.unwrap();
    assert_eq!(
        (body.as_slice(), done.remote, done.phases.resolve),
        (b"x".as_slice(), None, None)
    );
    assert_eq!(server.header("host").as_deref(), Some("localhost"));
    let error = fetch(&plain(), &any(), &target).await.unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Refused {
                party: Party::Target,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!((server.connections(), error.reason()), (1, None));
    std::fs::remove_file(&path).unwrap();
    let error = fetch(&plain(), &policy, &target).await.unwrap_err();
    assert!(
        matches!(error, FetchError::Connect(ConnectFault::NoSuchSocket)),
        "{error:?}"
    );
}
