//! What is wrong with the answer before anybody looks at its body.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::bodies::{gzip, small};
use super::{Outcome, Stage};
use crate::servers::{Server, answer, ok, profile, send, until_closed};

/// Pieces sent of what has no end: far more than is ever read of it.
const ENDLESS: usize = 100_000;

/// Sends a beginning, and then a piece over and over while somebody listens.
fn endless(beginning: &'static [u8], piece: &'static [u8]) -> Server {
    let many = piece.repeat(1 + 16_384 / piece.len());
    Server::asked(move |mut stream| {
        drop(stream.write_all(beginning));
        for _ in 0..ENDLESS {
            if stream.write_all(&many).is_err() {
                break;
            }
        }
    })
}

/// Sends a byte each time that waiting for the other side to leave was in vain.
fn dripping(beginning: &'static [u8], piece: &'static [u8]) -> Server {
    Server::asked(move |mut stream| {
        drop(stream.write_all(beginning));
        let pause = Some(Duration::from_millis(20));
        stream.set_read_timeout(pause).unwrap();
        for byte in piece.iter().cycle().take(1_000) {
            let gone = matches!(stream.read(&mut [0]), Ok(0));
            if gone || stream.write_all(&[*byte]).is_err() {
                break;
            }
        }
    })
}

fn sending(bytes: &[u8]) -> Server {
    Server::answering(bytes.to_vec())
}

/// A head with these lines, and the small profile behind it.
fn with_head(lines: &str) -> Vec<u8> {
    [format!("HTTP/1.1 {lines}\r\n\r\n").as_bytes(), &small()].concat()
}

#[test]
fn heads() {
    use Outcome::{Fails, Reads};
    let mut stage = Stage::new();
    let slow = [
        ("silence", Server::asked(|stream| until_closed(&stream))),
        (
            "a head that drips",
            dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        ),
        ("a status line that drips", dripping(b"", b"HTTP/1.1 200 ")),
        (
            "a body that drips",
            dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"\n"),
        ),
        (
            "chunks that drip",
            dripping(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1\r\n\n\r\n",
            ),
        ),
        (
            "informational answers that drip",
            dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ),
        (
            "informational answers without end",
            endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        ),
        (
            "chunks of one byte without end",
            endless(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1\r\n\n\r\n",
            ),
        ),
    ];
    for (name, server) in &slow {
        stage.server(name, "hasty", server, Fails("timeout"));
    }
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let loud = [
        (
            "headers without end",
            endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
            Fails("not_pprof"),
        ),
        (
            "a header without end",
            endless(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
            Fails("not_pprof"),
        ),
        (
            "a status line without end",
            endless(b"HTTP/1.1 200 ", b"OK"),
            Fails("not_pprof"),
        ),
        (
            "an HTTP/0.9 answer",
            sending(&profile()),
            Fails("not_pprof"),
        ),
        (
            "an HTTP/0.9 answer in text",
            sending(b"goroutine 1 [running]:\n"),
            Fails("not_pprof"),
        ),
        (
            "a preface of HTTP/2",
            sending(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            Fails("not_pprof"),
        ),
        (
            "settings of HTTP/2",
            sending(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"),
            Fails("not_pprof"),
        ),
        (
            "a version nobody knows",
            sending(b"HTTP/9.9 200 OK\r\n\r\n"),
            Fails("not_pprof"),
        ),
        (
            "bytes in a status line",
            sending(b"HTTP/1.1 2\xff0 \0\r\n\r\n"),
            Fails("not_pprof"),
        ),
        (
            "a header with NUL",
            sending(&with_head("200 OK\r\nX: a\0b")),
            Fails("not_pprof"),
        ),
        (
            "a header without a name",
            sending(&with_head("200 OK\r\n: b")),
            Fails("not_pprof"),
        ),
        (
            "a folded header",
            sending(&with_head("200 OK\r\nX: a\r\n b: c")),
            Fails("not_pprof"),
        ),
        (
            "two lengths",
            sending(&with_head(
                "200 OK\r\nContent-Length: 3\r\nContent-Length: 4",
            )),
            Fails("not_pprof"),
        ),
        (
            "a negative length",
            sending(&with_head("200 OK\r\nContent-Length: -1")),
            Fails("not_pprof"),
        ),
        (
            "a length beyond 64 bits",
            sending(&with_head("200 OK\r\nContent-Length: 99999999999999999999")),
            Fails("not_pprof"),
        ),
        (
            "a length of 2^64-1",
            sending(&with_head("200 OK\r\nContent-Length: 18446744073709551615")),
            Fails("not_pprof"),
        ),
        (
            "chunked twice, and a length",
            sending(&with_head(
                "200 OK\r\nTransfer-Encoding: chunked, chunked\r\nContent-Length: 9",
            )),
            Fails("decode"),
        ),
        (
            "an unknown transfer coding",
            sending(&with_head("200 OK\r\nTransfer-Encoding: gzip")),
            Reads(5),
        ),
        (
            "a chunk's size beyond 64 bits",
            sending(&[chunked, &b"fffffffffffffffff\r\n"[..]].concat()),
            Fails("decode"),
        ),
        (
            "a chunk's size that is none",
            sending(&[chunked, &b"zz\r\n"[..]].concat()),
            Fails("decode"),
        ),
        (
            "a chunk's extension without end",
            endless(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
                b"a=b;",
            ),
            Fails("decode"),
        ),
        (
            "trailers without end",
            endless(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n",
                b"X: y\r\n",
            ),
            Fails("decode"),
        ),
        (
            "a body without end",
            endless(
                b"HTTP/1.1 200 OK\r\n\r\n",
                b"goroutine 7 [select]:\nmain.f()\n\t/a.go:1\n\n",
            ),
            Fails("too_large"),
        ),
        (
            "a status nobody knows",
            sending(&answer("799 What", "", b"")),
            Fails("http_status"),
        ),
        (
            "no content",
            sending(&answer("204 No Content", "", b"")),
            Fails("http_status"),
        ),
        (
            "a part of the content",
            sending(&answer("206 Partial Content", "", &small())),
            Fails("http_status"),
        ),
        (
            "another protocol",
            sending(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            ),
            Fails("http_status"),
        ),
        (
            "a page's type on a profile",
            sending(&answer(
                "200 OK",
                "Content-Type: text/html; charset=\x22<script>\x22\r\n",
                &small(),
            )),
            Reads(5),
        ),
        (
            "a coding that it does not have",
            sending(&answer("200 OK", "Content-Encoding: br\r\n", &small())),
            Reads(5),
        ),
        (
            "a second answer behind the first",
            sending(&[ok(&small()), ok(&profile())].concat()),
            Reads(5),
        ),
        (
            "gzip cut by its length",
            sending(&answer("200 OK", "", &gzip(&small())[..20])),
            Fails("decode"),
        ),
    ];
    for (name, server, expected) in &loud {
        stage.server(name, "default", server, *expected);
    }
    // The length and the chunks contradict each other: the chunks count (RFC 9112, 6.3), and the connection ends.
    let mut both = with_head("200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked");
    let body = small();
    both.truncate(both.len() - body.len());
    both.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
    both.extend_from_slice(&[&body[..], b"\r\n0\r\n\r\n"].concat());
    stage.server("a length and chunks", "default", &sending(&both), Reads(5));
}

#[test]
fn redirects_and_handshakes() {
    use Outcome::Fails;
    let mut stage = Stage::new();
    let to_itself = Server::asked(|stream: TcpStream| {
        let address = stream.local_addr().unwrap();
        let location = format!("Location: http://{address}/debug/pprof/goroutine?again\r\n");
        send(&stream, &answer("302 Found", &location, b""));
    });
    stage.server(
        "redirects to itself",
        "following",
        &to_itself,
        Fails("http_status"),
    );
    let there = [
        "//169.254.169.254/latest",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
        "\u{1}",
        "http://[::ffff:169.254.169.254]/",
    ];
    for place in there {
        let location = format!("Location: {place}\r\n");
        let server = sending(&answer("307 Temporary Redirect", &location, b""));
        let name = format!("a redirect to {place:?}");
        let (metrics, ..) = stage.probe(&name, "following", &server.target());
        metrics.is("goroutine_probe_success", &[], 0.0);
    }
    let slow = [
        (
            "a handshake that never begins",
            Server::raw(|stream| until_closed(&stream)),
        ),
        (
            "a handshake that drips",
            Server::raw(|mut stream| {
                // The start of a handshake record of 16 KiB.
                for byte in [0x16, 3, 3, 0x40, 0]
                    .into_iter()
                    .chain(std::iter::repeat_n(2, 1_000))
                {
                    stream
                        .set_read_timeout(Some(Duration::from_millis(20)))
                        .unwrap();
                    let gone = matches!(stream.read(&mut [0; 512]), Ok(0));
                    if gone || stream.write_all(&[byte]).is_err() {
                        break;
                    }
                }
            }),
        ),
    ];
    for (name, server) in &slow {
        let target = format!("https://{}", server.address);
        stage.target(name, "hasty", &target, Fails("timeout"));
    }
    let wrong: [(&str, &'static [u8]); 3] = [
        ("an answer in plain HTTP", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("a record of nothing", b"\x16\x03\x03\0\0"),
        ("an alert", b"\x15\x03\x03\0\x02\x02\x28"),
    ];
    for (name, bytes) in wrong {
        let server = Server::raw(move |stream| {
            send(&stream, bytes);
            until_closed(&stream);
        });
        let target = format!("https://{}", server.address);
        stage.target(name, "default", &target, Fails("tls"));
    }
}
