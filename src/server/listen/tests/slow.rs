//! Clients that are slow, by accident or on purpose.

use super::*;

pub(super) const SHORT: Duration = Duration::from_millis(150);

pub(super) fn patient(patience: Patience, connections: usize) -> ListenLimits {
    ListenLimits {
        connections,
        patience,
        ..limits()
    }
}

/// Sends this again and again, a byte at a time, until the other side has closed the connection.
async fn drip(stream: TcpStream, text: &'static [u8]) {
    let (mut reading, mut writing) = stream.into_split();
    let dripping = async move {
        for byte in text.iter().cycle() {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut rest = Vec::new();
    let closed = async {
        // An error is an end, too: what was on its way when it closed resets it.
        drop(reading.read_to_end(&mut rest).await);
    };
    tokio::select! { () = dripping => {}, () = closed => {} }
}

async fn answered(stream: &mut TcpStream, path: &str, words: &str) -> String {
    send(stream, path).await;
    read_until(stream, words).await
}

async fn post_to(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = connect(address).await;
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream.write_all(body).await);
    let mut answer = Vec::new();
    // What was sent beyond what was read may reset the connection behind the answer.
    drop(
        timeout(SOON, stream.read_to_end(&mut answer))
            .await
            .unwrap(),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn those_that_drip_do_not_keep_a_good_client_out() {
    const CONNECTIONS: usize = 64;
    let patience = Patience {
        head: SHORT,
        ..limits().patience
    };
    let running = start(patient(patience, CONNECTIONS), 1).await;
    let address = running.addresses[0];
    let mut dripping = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut stream = connect(address).await;
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        dripping.spawn(drip(stream, b"x-drip: 1\r\n"));
    }
    // All places are taken.
    let mut good = connect(address).await;
    answered(&mut good, "/", "hello").await;
    let all = async { while dripping.join_next().await.is_some() {} };
    timeout(SOON, all).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_may_stay_but_what_begins_must_go_on() {
    let patience = Patience {
        head: SHORT,
        ..limits().patience
    };
    let running = start(patient(patience, 8), 1).await;
    let mut stream = connect(running.addresses[0]).await;
    answered(&mut stream, "/", "hello").await;
    let mut byte = [0];
    let idle = timeout(SHORT * 4, stream.read(&mut byte)).await;
    assert!(idle.is_err(), "was closed: {idle:?}");
    answered(&mut stream, "/", "hello").await;
    timeout(SOON, drip(stream, b"GET / HTTP/1.1\r\nx: y\r\nz: "))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let patience = Patience {
        idle: SHORT,
        ..limits().patience
    };
    let running = start(patient(patience, 8), 1).await;
    let mut stream = connect(running.addresses[0]).await;
    answered(&mut stream, "/", "hello").await;
    assert!(is_closed(stream).await);
    // While a request is being answered the connection is not idle, however long that takes.
    let mut stream = connect(running.addresses[0]).await;
    send(&mut stream, "/wait").await;
    timeout(SOON, running.waiting.notified()).await.unwrap();
    let mut byte = [0];
    let waiting = timeout(SHORT * 4, stream.read(&mut byte)).await;
    assert!(waiting.is_err(), "was closed: {waiting:?}");
    running.go.notify_one();
    read_until(&mut stream, "waited").await;
}

/// Who is not let in has no right to a place for long.
#[tokio::test]
async fn a_connection_whose_request_was_refused_is_closed_soon() {
    let patience = Patience {
        head: SHORT,
        ..limits().patience
    };
    let running = start(patient(patience, 8), 1).await;
    let mut stream = connect(running.addresses[0]).await;
    answered(&mut stream, "/refused", "\r\n\r\n").await;
    let begun = tokio::time::Instant::now();
    assert!(is_closed(stream).await && begun.elapsed() < SOON);
}

/// The beginning of the next request may come while the first is answered.
#[tokio::test]
async fn half_a_request_that_comes_early_is_not_waited_for_either() {
    let patience = Patience {
        head: SHORT,
        ..limits().patience
    };
    let running = start(patient(patience, 8), 1).await;
    let mut stream = connect(running.addresses[0]).await;
    send(&mut stream, "/wait").await;
    timeout(SOON, running.waiting.notified()).await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    // It comes in while the first is still open.
    let mut byte = [0];
    let waiting = timeout(SHORT, stream.read(&mut byte)).await;
    assert!(waiting.is_err(), "was closed: {waiting:?}");
    running.go.notify_one();
    read_until(&mut stream, "waited").await;
    assert!(is_closed(stream).await);
}

#[tokio::test]
async fn who_does_not_read_is_closed_and_who_reads_slowly_is_not() {
    let patience = Patience {
        stall: SHORT * 2,
        ..limits().patience
    };
    let running = start(patient(patience, 1), 1).await;
    let mut stuck = connect(running.addresses[0]).await;
    send(&mut stuck, "/large").await;
    // The only place is free again once the stuck one is closed.
    let mut other = connect(running.addresses[0]).await;
    answered(&mut other, "/", "hello").await;
    drop(other);
    let mut rest = Vec::new();
    drop(timeout(SOON, stuck.read_to_end(&mut rest)).await.unwrap());
    assert!(rest.len() < LARGE, "all of {} bytes came", rest.len());

    let mut slow = connect(running.addresses[0]).await;
    send(&mut slow, "/large").await;
    let begun = tokio::time::Instant::now();
    let mut piece = vec![0; LARGE / 64];
    let mut read = 0;
    while read < LARGE {
        let got = timeout(SOON, slow.read(&mut piece)).await.unwrap().unwrap();
        assert!(got > 0, "closed after {read} bytes");
        read += got;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert!(begun.elapsed() > patience.stall, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn bodies_are_small_and_come_at_once() {
    let patience = Patience {
        body: SHORT,
        ..limits().patience
    };
    let running = start(patient(patience, 8), 1).await;
    let address = running.addresses[0];
    let is = |answer: &str, status: &str, words: &str| {
        let start = format!("HTTP/1.1 {status} ");
        assert!(
            answer.starts_with(&start) && answer.contains(words),
            "{answer}"
        );
    };
    let full = vec![b'x'; 8192];
    is(
        &post_to(address, "Content-Length: 2", b"hi").await,
        "200",
        "hi",
    );
    is(
        &post_to(address, "Content-Length: 8192", &full).await,
        "200",
        "xxx",
    );
    let chunked = "Transfer-Encoding: chunked";
    is(
        &post_to(address, chunked, b"2\r\nhi\r\n0\r\n\r\n").await,
        "200",
        "hi",
    );
    is(
        &post_to(address, "Content-Length: 8193", &[&full[..], b"x"].concat()).await,
        "413",
        "longer than 8 KiB",
    );
    // What is far too long is not waited for.
    is(
        &post_to(address, "Content-Length: 65537", b"").await,
        "413",
        "longer than 8 KiB",
    );
    let long = [b"2001\r\n".as_slice(), &full, b"xx\r\n0\r\n\r\n"].concat();
    is(
        &post_to(address, chunked, &long).await,
        "413",
        "longer than 8 KiB",
    );
    is(
        &post_to(address, "Content-Length: 3", b"hi").await,
        "408",
        "did not come in time",
    );
    is(
        &post_to(address, chunked, b"2\r\nhi\r\n").await,
        "408",
        "did not come in time",
    );
}

#[tokio::test]
async fn heads_are_bounded() {
    let running = start(limits(), 1).await;
    let ask = async |head: String| {
        let mut stream = connect(running.addresses[0]).await;
        drop(stream.write_all(head.as_bytes()).await);
        read_until(&mut stream, "\r\n").await
    };
    let check = |answer: &str, status: &str| {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    };
    let path = |length: usize| {
        let path = "a".repeat(length - 2);
        format!("GET /?{path} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    check(&ask(path(8192)).await, "200");
    check(&ask(path(8193)).await, "414");
    check(&ask(path(40_000)).await, "431");
    let headers = |count: usize, value: &str| {
        let lines: String = (0..count).map(|n| format!("x{n}: {value}\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    };
    check(&ask(headers(63, "a")).await, "200");
    check(&ask(headers(64, "a")).await, "431");
    check(&ask(headers(4, &"a".repeat(5000))).await, "431");
    check(&ask("\u{16}\u{3}\u{1}\r\n\r\n".to_owned()).await, "400");
}
