//! Connections that end at every byte of a small answer: a reason each time, and never a wrong count.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Stage;
use super::bodies::small;
use crate::servers::{Server, ok, until_closed};

/// Answers with as many bytes as told, and ends as told.
fn cut(
    bytes: &[u8],
    length: &Arc<AtomicUsize>,
    end: impl Fn(TcpStream) + Send + Sync + 'static,
) -> Server {
    let (bytes, length) = (bytes.to_vec(), Arc::clone(length));
    Server::raw(move |mut stream| {
        // Closing with a part of the request unread makes the system send a reset.
        let mut start = [0; 16];
        if stream.read_exact(&mut start).is_ok() {
            drop(stream.write_all(&bytes[..length.load(Ordering::SeqCst)]));
            end(stream);
        }
    })
}

fn reasons(server: &Server, stage: &Stage, whole: usize, length: &AtomicUsize) -> Vec<String> {
    let target = server.target();
    (0..=whole)
        .map(|bytes| {
            length.store(bytes, Ordering::SeqCst);
            let metrics = stage.exporter.probe(&target, "default");
            super::adds_up("cut", &metrics);
            let total = metrics.value("goroutine_goroutines", &[]);
            let failures: Vec<_> = metrics.all("goroutine_probe_failure", &[]).collect();
            match failures[..] {
                [] => {
                    assert_eq!(total, Some(5.0), "{bytes} bytes");
                    "read".to_owned()
                }
                [failure] => {
                    assert!(
                        total.is_none_or(|total| total <= 5.0),
                        "{bytes} bytes: {total:?}"
                    );
                    failure.label("reason").to_owned()
                }
                _ => panic!("{failures:?}"),
            }
        })
        .collect()
}

#[test]
fn at_each_byte() {
    let mut stage = Stage::new();
    let answer = ok(&small());
    let head = answer.len() - small().len();
    let length = Arc::new(AtomicUsize::new(0));

    let closing = cut(&answer, &length, |stream| {
        drop(stream.shutdown(Shutdown::Write));
        until_closed(&stream);
    });
    let found = reasons(&closing, &stage, answer.len(), &length);
    for (bytes, reason) in found.iter().enumerate() {
        let expected = match bytes {
            _ if bytes == answer.len() => "read",
            _ if bytes < head => "connect",
            _ => "decode",
        };
        assert_eq!(reason, expected, "closed after {bytes} of {}", answer.len());
    }

    let resetting = cut(&answer, &length, drop);
    let found = reasons(&resetting, &stage, answer.len(), &length);
    for (bytes, reason) in found.iter().enumerate() {
        // A reset may overtake what was sent before it. What came and can be counted is, and is told to be cut.
        let expected: &[&str] = match bytes {
            _ if bytes == answer.len() => &["read", "connect"],
            _ if bytes > head => &["connect", "decode"],
            _ => &["connect"],
        };
        assert!(
            expected.contains(&reason.as_str()),
            "reset after {bytes}: {reason}"
        );
    }
    let well = stage.healthy.target();
    stage.target(
        "closed and reset at each byte, and then",
        "default",
        &well,
        super::Outcome::Reads(831),
    );
}
