//! Targets that do something wrong: each is one reason, in time, and nothing else suffers.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use goroutine_exporter::decode::messages::{Function, Line, Location, Profile, Sample, ValueType};
use prost::Message;

use crate::http::Metrics;
use crate::programs::{Exporter, probe_path, repository, until};
use crate::servers::{GOROUTINES, Server, answer, nobody, ok, profile, send, until_closed};

/// Small limits, so that passing them is quick; `hasty` gives up early.
const CONFIG: &str = "\
modules:
  default: { timeout: 20s, limits: { body_bytes: 1MiB, inflated_bytes: 4MiB } }
  hasty: { timeout: 300ms }
allow:
- { cidr: 127.0.0.0/8 }
- { host: \"*.invalid\" }
";

/// No bad target may take longer than this with the module `hasty`.
const IN_TIME: Duration = Duration::from_secs(5);

/// Probes a bad target and expects one failure of that reason, and that a healthy target is as well as before.
fn check(target: &str, module: &str, reason: &str) -> Metrics {
    let exporter = Exporter::start(CONFIG);
    let healthy = Server::healthy();
    let begun = Instant::now();
    let metrics = exporter.probe(target, module);
    let took = begun.elapsed();
    if module == "hasty" {
        assert!(took < IN_TIME, "{took:?}");
    }
    metrics.is("goroutine_probe_success", &[], 0.0);
    metrics.is(
        "goroutine_profile_success",
        &[("profile", "goroutine")],
        0.0,
    );
    let failures: Vec<_> = metrics.all("goroutine_probe_failure", &[]).collect();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].label("reason"), reason, "{}", metrics.text);
    metrics.is("goroutine_probe_failure", &[("reason", reason)], 1.0);

    let own = exporter.metrics();
    let labels = [("module", module), ("result", reason)];
    own.is("goroutine_exporter_probes_total", &labels, 1.0);
    own.is("goroutine_exporter_probes_in_flight", &[], 0.0);
    let well = exporter.probe(&healthy.target(), module);
    well.is("goroutine_probe_success", &[], 1.0);
    well.is("goroutine_goroutines", &[], GOROUTINES);
    assert_eq!(well.all("goroutine_probe_failure", &[]).count(), 0);
    metrics
}

/// A failure before anything could be counted.
fn counts_nothing(metrics: &Metrics) {
    for name in ["goroutine_goroutines", "goroutine_group_goroutines"] {
        assert_eq!(metrics.all(name, &[]).count(), 0, "{}", metrics.text);
    }
}

fn check_body(bytes: Vec<u8>, reason: &str) -> Metrics {
    let server = Server::answering(bytes);
    check(&server.target(), "default", reason)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_login_page_is_not_pprof() {
    let page = b"<!doctype html><html><head><title>Sign in</title></head><body><form></form></body></html>";
    let page = answer("200 OK", "Content-Type: text/html\r\n", page);
    counts_nothing(&check_body(page, "not_pprof"));
}

#[test]
fn not_found_is_a_status() {
    let metrics = check_body(
        answer("404 Not Found", "", b"404 page not found\n"),
        "http_status",
    );
    counts_nothing(&metrics);
    let supported = metrics.all("goroutine_profile_supported", &[]).count();
    assert_eq!(supported, 0, "whether it has the profile is not known");
}

#[test]
fn a_profile_that_go_does_not_know_is_unsupported() {
    let unknown = answer("404 Not Found", "X-Go-Pprof: 1\r\n", b"Unknown profile\n");
    let metrics = check_body(unknown, "http_status");
    metrics.is(
        "goroutine_profile_supported",
        &[("profile", "goroutine")],
        0.0,
    );
}

#[test]
fn a_server_error_is_a_status() {
    let error = answer("500 Internal Server Error", "", b"oops");
    counts_nothing(&check_body(error, "http_status"));
}

#[test]
fn a_redirect_is_a_status() {
    let there = Server::healthy();
    let location = format!("Location: http://{}/\r\n", there.address);
    let metrics = check_body(answer("302 Found", &location, b""), "http_status");
    counts_nothing(&metrics);
    assert_eq!(there.seen().asked.load(Ordering::SeqCst), 0);
}

#[test]
fn nobody_listening_is_connect() {
    counts_nothing(&check(&nobody().to_string(), "default", "connect"));
}

#[test]
fn a_connection_closed_before_the_head_is_connect() {
    let server = Server::asked(drop);
    counts_nothing(&check(&server.target(), "default", "connect"));
}

#[test]
fn plain_http_where_tls_is_expected_is_tls() {
    let server = Server::healthy();
    let target = format!("https://{}", server.address);
    counts_nothing(&check(&target, "default", "tls"));
}

#[test]
fn something_else_than_http_is_not_pprof() {
    const GREETING: &[u8] = b"220 mail.example ESMTP\r\n";
    let server = Server::answering(GREETING.to_vec());
    counts_nothing(&check(&server.target(), "default", "not_pprof"));
    // A mail server speaks first, so its greeting may come before the request is sent.
    let server = Server::raw(|stream| {
        send(&stream, GREETING);
        until_closed(&stream);
    });
    let exporter = Exporter::start(CONFIG);
    let seen = (0..100)
        .filter(|_| {
            let metrics = exporter.probe(&server.target(), "default");
            metrics.is("goroutine_probe_success", &[], 0.0);
            let reason = [("reason", "not_pprof")];
            metrics.value("goroutine_probe_failure", &reason).is_some()
        })
        .count();
    // About one in 600 comes while the HTTP library hands over the connection, and it then keeps the cause to itself.
    assert!(seen >= 97, "{seen} of 100");
}

#[test]
fn silence_before_the_head_is_a_timeout() {
    let server = Server::asked(|stream| until_closed(&stream));
    counts_nothing(&check(&server.target(), "hasty", "timeout"));
}

#[test]
fn silence_in_the_body_is_a_timeout() {
    let profile = profile();
    let server = Server::asked(move |mut stream| {
        let whole = ok(&profile);
        stream.write_all(&whole[..whole.len() / 2]).unwrap();
        until_closed(&stream);
    });
    counts_nothing(&check(&server.target(), "hasty", "timeout"));
}

#[test]
fn a_slow_drip_is_a_timeout() {
    let server = Server::asked(|mut stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"));
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        // One byte for each time that reading gave up; ends when the exporter has gone.
        for byte in profile().into_iter().take(1_000) {
            let mut end = [0];
            let gone = matches!(stream.read(&mut end), Ok(0));
            if gone || stream.write_all(&[byte]).is_err() {
                break;
            }
        }
    });
    counts_nothing(&check(&server.target(), "hasty", "timeout"));
}

#[test]
fn a_reset_in_the_body_is_connect() {
    let profile = profile();
    let server = Server::raw(move |mut stream| {
        // Closing with a part of the request unread makes the system send a reset.
        let mut start = [0; 16];
        stream.read_exact(&mut start).unwrap();
        let whole = ok(&profile);
        drop(stream.write_all(&whole[..whole.len() / 2]));
    });
    check(&server.target(), "default", "connect");
    // A reset may overtake what was sent before it, and then is one before the head.
    let exporter = Exporter::start(CONFIG);
    let path = probe_path(&server.target(), &[("debug", "true")]);
    until("a reset that came later than the head", || {
        let story = exporter.get(&path).text();
        assert!(story.contains("failed    connect: "), "{story}");
        story
            .contains("the connection was reset after")
            .then_some(())
    });
}

#[test]
fn a_body_shorter_than_promised_is_decode() {
    let profile = profile();
    let server = Server::asked(move |mut stream| {
        let whole = ok(&profile);
        drop(stream.write_all(&whole[..whole.len() / 2]));
        drop(stream.shutdown(Shutdown::Write));
        until_closed(&stream);
    });
    let metrics = check(&server.target(), "default", "decode");
    metrics.is(
        "goroutine_profile_truncated",
        &[("profile", "goroutine")],
        1.0,
    );
}

#[test]
fn a_body_longer_than_promised_is_decode() {
    // All the exporter sees is what was promised: a profile whose end is missing.
    let profile = profile();
    let mut bytes = ok(&profile[..profile.len() / 2]);
    bytes.extend_from_slice(&profile[profile.len() / 2..]);
    counts_nothing(&check_body(bytes, "decode"));
}

#[test]
fn a_text_cut_in_mid_line_is_decode_and_never_counts_more() {
    let text = std::fs::read(repository("tests/data/go1.27.3/goroutine.debug2.txt")).unwrap();
    let metrics = check_body(ok(&text[..text.len() / 2 + 7]), "decode");
    let total = metrics.value("goroutine_goroutines", &[]);
    assert!(total.is_none_or(|total| total < GOROUTINES), "{total:?}");
}

#[test]
fn a_bomb_is_too_large() {
    let bomb = gzip(&vec![0x0a; 64 << 20]);
    assert!(bomb.len() < 1 << 20, "{} bytes are no bomb", bomb.len());
    counts_nothing(&check_body(ok(&bomb), "too_large"));
}

#[test]
fn a_promise_of_too_much_is_too_large() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    counts_nothing(&check_body(head, "too_large"));
}

#[test]
fn a_body_without_end_is_too_large() {
    let server = Server::asked(|mut stream| {
        let chunk = b"goroutine 7 [chan receive]:\nmain.f()\n\t/a.go:1 +0x1\n\n".repeat(256);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
        // Far above the limit of 1 MiB; the exporter hangs up long before.
        for _ in 0..100_000 {
            if stream.write_all(&chunk).is_err() {
                break;
            }
        }
    });
    counts_nothing(&check(&server.target(), "default", "too_large"));
}

#[test]
fn an_empty_body_is_not_pprof() {
    counts_nothing(&check_body(ok(b""), "not_pprof"));
}

#[test]
fn garbage_is_decode() {
    // Not text, so it is taken for a protobuf, which it is not either.
    let garbage: Vec<u8> = (0..4096_u32)
        .map(|n| (n * 167 / 8).to_le_bytes()[0])
        .collect();
    counts_nothing(&check_body(ok(&garbage), "decode"));
    counts_nothing(&check_body(ok(&gzip(&garbage)), "decode"));
}

#[test]
fn another_profile_is_not_counted() {
    // A heap profile: four values a sample, none of them goroutines.
    let heap = profile_of(&["alloc_objects", "inuse_objects"], &[3, 4]);
    let metrics = check_body(ok(&heap), "not_pprof");
    counts_nothing(&metrics);
}

#[test]
fn a_difference_of_profiles_is_decode() {
    counts_nothing(&check_body(
        ok(&profile_of(&["goroutine"], &[-3])),
        "decode",
    ));
    // The same with a count that can be is a profile.
    let server = Server::answering(ok(&profile_of(&["goroutine"], &[3])));
    let metrics = Exporter::start(CONFIG).probe(&server.target(), "default");
    metrics.is("goroutine_probe_success", &[], 1.0);
    metrics.is("goroutine_goroutines", &[], 3.0);
}

/// A profile of one sample.
fn profile_of(kinds: &[&str], values: &[i64]) -> Vec<u8> {
    let mut strings = vec![Vec::new()];
    let mut text = |text: &str| {
        strings.push(text.as_bytes().to_vec());
        i64::try_from(strings.len() - 1).unwrap()
    };
    let sample_type = kinds
        .iter()
        .map(|kind| ValueType {
            r#type: text(kind),
            unit: text("count"),
        })
        .collect();
    let function = Function {
        id: 1,
        name: text("main.work"),
        ..Function::default()
    };
    let location = Location {
        id: 1,
        line: vec![Line {
            function_id: 1,
            ..Line::default()
        }],
        ..Location::default()
    };
    let sample = Sample {
        location_id: vec![1],
        value: values.to_vec(),
        label: Vec::new(),
    };
    Profile {
        sample_type,
        sample: vec![sample],
        location: vec![location],
        function: vec![function],
        string_table: strings,
        ..Profile::default()
    }
    .encode_to_vec()
}

#[test]
fn a_name_that_does_not_resolve_is_dns() {
    counts_nothing(&check("goroutines.invalid:6060", "default", "dns"));
}

#[test]
fn a_sentence_says_what_was_wrong() {
    let exporter = Exporter::start(CONFIG);
    let server = Server::answering(answer("503 Service Unavailable", "", b"secret page"));
    let story = exporter.get(&probe_path(&server.target(), &[("debug", "true")]));
    story.is(
        200,
        "failed    http_status: the target answered with status 503",
    );
    assert!(!story.text().contains("secret page"), "{}", story.text());
}
