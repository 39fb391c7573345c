//! The exporter from its start over reloads to its end, while it is asked all the time.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Metrics, ask, get};
use crate::programs::{Exporter, Program, SOON, command, probe_path, until};
use crate::servers::{GOROUTINES, Gate, Server, head, profile, until_closed};

/// Patience for what is slow on purpose.
const PATIENT: &str = "modules: { default: { timeout: 1m, detail: { mode: off } } }\n";

/// A healthy target that keeps its connections open, and how many there were.
pub(crate) fn keeping() -> (Server, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let body = profile();
    let server = Server::raw(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let answer = [answer.as_bytes(), &body].concat();
        while head(&stream).is_some() && stream.write_all(&answer).is_ok() {}
    });
    (server, connections)
}

#[test]
fn reloads_by_every_way_fail_no_probe_and_close_no_connection() {
    const CLIENTS: usize = 8;
    const PROBES: usize = 60;
    const RELOADS: usize = 30;
    let (steady, connections) = keeping();
    let statics: Vec<Server> = (0..3).map(|_| Server::healthy()).collect();
    let config = |number: usize| {
        let targets: String = statics
            .iter()
            .map(|server| format!("- {{ url: \"{}\" }}\n", server.target()))
            .collect();
        format!(
            "modules:\n  default: {{ timeout: 1m, detail: {{ mode: off }}, limits: {{ groups: {} }} }}\n  \
             other: {{ timeout: 1m, detail: {{ mode: off }}, allow: [ {{ cidr: 127.0.0.0/8 }} ], http: {{ credentials_over_http: true, http_headers: {{ X-N: {{ values: [\"{number}\"] }} }} }} }}\n\
             targets:\n{targets}",
            number % 50 + 1
        )
    };
    let flags = [
        "--web.enable-lifecycle",
        "--config.enable-auto-reload",
        "--config.auto-reload-interval",
        "1s",
    ];
    let exporter = Exporter::with(&config(0), &flags);
    let address = exporter.address;
    let enough = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            // By default at the target whose connections are counted, by a module that changes at another, or at all.
            let (path, targets) = match client % 4 {
                0 | 1 => (probe_path(&steady.target(), &[]), 1),
                2 => (probe_path(&statics[0].target(), &[("module", "other")]), 1),
                _ => ("/targets/metrics".to_owned(), statics.len()),
            };
            let enough = Arc::clone(&enough);
            thread::spawn(move || {
                let mut asked = 0;
                // As long as there are reloads, and for a bounded time.
                while asked < PROBES || (asked < 100 * PROBES && !enough.load(Ordering::SeqCst)) {
                    let answer = get(address, &path);
                    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                    let metrics = Metrics::parse(&answer.text());
                    let good = |name: &str, value: f64| {
                        let all: Vec<_> = metrics.all(name, &[]).collect();
                        assert_eq!(all.len(), targets, "{name} in {}", metrics.text);
                        assert!(all.iter().all(|one| one.value == value), "{}", metrics.text);
                    };
                    good("goroutine_probe_success", 1.0);
                    good("goroutine_goroutines", GOROUTINES);
                    asked += 1;
                }
                asked * targets
            })
        })
        .collect();
    let mut good = 0;
    for number in 1..=RELOADS {
        let bad = number % 5 == 3;
        if bad {
            exporter.configure("modules: [\n");
        } else if number % 2 == 0 {
            exporter.configure(&config(number));
        }
        match number % 3 {
            0 => exporter.program.signal("HUP"),
            1 => {
                let answer = ask(address, "POST", "/-/reload", &[]);
                answer.is(if bad { 500 } else { 200 }, "");
                good += usize::from(!bad);
            }
            // The exporter looks by itself.
            _ => {}
        }
        thread::park_timeout(Duration::from_millis(50));
        if bad {
            exporter.configure(&config(number));
        }
    }
    enough.store(true, Ordering::SeqCst);
    let asked: usize = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .sum();
    assert!(good > 5, "{good}");
    let own = exporter.metrics();
    let sum = |name: &str, labels: &[(&str, &str)]| -> f64 {
        own.all(name, labels).map(|sample| sample.value).sum()
    };
    let joined = sum("goroutine_exporter_probes_coalesced_total", &[]);
    let all = sum("goroutine_exporter_probes_total", &[]);
    let success = sum("goroutine_exporter_probes_total", &[("result", "success")]);
    assert_eq!((all + joined, success), (asked as f64, all));
    own.is("goroutine_exporter_probes_in_flight", &[], 0.0);
    own.is("goroutine_exporter_tracked_targets", &[], 4.0);
    // One, and one more now and then when a probe begins just before the connection of the last one is back.
    let connections = connections.load(Ordering::SeqCst);
    assert!(connections <= 5, "{connections} connections");
}

/// Threads of a process.
fn threads(id: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task"));
    tasks.unwrap().count()
}

#[test]
fn a_flood_of_reloads_takes_one_thread_and_an_end_does_not_wait_for_it() {
    const FLOOD: usize = 60;
    let mut exporter = Exporter::with(PATIENT, &["--web.enable-lifecycle"]);
    let file = exporter.config_file();
    // A pipe: whoever reads it waits for somebody who writes.
    std::fs::remove_file(&file).unwrap();
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    let before = threads(exporter.program.id());
    let address = exporter.address;
    let flood = || -> Vec<_> {
        let post = move || ask(address, "POST", "/-/reload", &[]);
        (0..FLOOD).map(|_| thread::spawn(post)).collect()
    };
    let asked = flood();
    let connected = |count: usize| {
        until("every request", || {
            let sockets = std::fs::read_dir(format!("/proc/{}/fd", exporter.program.id())).unwrap();
            (sockets.count() >= count).then_some(())
        });
    };
    connected(FLOOD);
    get(address, "/-/healthy").is(200, "healthy");
    let during = threads(exporter.program.id());
    assert!(during <= before + 4, "{before} threads became {during}");
    // Every request is answered once what it waits for has been read: twice is enough. What is written reads the same when
    // two writings come to one reader.
    let mut times = 0;
    until("every answer", || {
        if let Some(mut pipe) = read_by_somebody(&file) {
            pipe.write_all(b"# by default\n").unwrap();
            times += 1;
        }
        asked
            .iter()
            .all(thread::JoinHandle::is_finished)
            .then_some(())
    });
    for answer in asked {
        answer.join().unwrap().is(200, "reloaded");
    }
    let log = exporter.program.log();
    let readings = log.matches("configuration reloaded").count();
    assert!(readings <= times && readings < FLOOD / 4, "{readings}");

    // A reading that never ends does not keep the exporter from its end.
    exporter.program.signal("HUP");
    let held = until("a reader", || read_by_somebody(&file));
    exporter.program.signal("TERM");
    let begun = Instant::now();
    let status = exporter.program.wait();
    assert_eq!(status.code(), Some(0), "{}", exporter.program.log());
    assert!(begun.elapsed() < Duration::from_secs(30), "{begun:?}");
    drop(held);
}

/// The writing end of a pipe, if somebody reads it or waits to.
fn read_by_somebody(pipe: &Path) -> Option<std::fs::File> {
    /// Of Linux; without it, opening waits for a reader.
    const O_NONBLOCK: i32 = 0o4000;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).custom_flags(O_NONBLOCK).open(pipe).ok()
}

/// Asks on a connection that would be kept open, and reads to its end.
fn keep_alive(address: SocketAddr, method: &str, path: &str) -> thread::JoinHandle<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    thread::spawn(move || {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn asked(server: &Server, times: usize) {
    until("a request at the target", || {
        (server.seen().asked.load(Ordering::SeqCst) >= times).then_some(())
    });
}

#[test]
fn the_end_lets_what_is_in_flight_finish_and_says_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().to_str().unwrap();
    let flags = ["--web.enable-lifecycle", "--storage.path", storage];
    let mut exporter = Exporter::with(PATIENT, &flags);
    let gate = Arc::new(Gate::default());
    let slow = Server::waiting(&gate);
    let other = Server::waiting(&gate);
    let address = exporter.address;
    let idle = TcpStream::connect(address).unwrap();
    idle.set_read_timeout(Some(SOON)).unwrap();
    let probe = keep_alive(address, "GET", &probe_path(&slow.target(), &[]));
    let path = format!("/snapshots?target={}", other.target());
    let kept = keep_alive(address, "POST", &path);
    asked(&slow, 1);
    asked(&other, 1);
    exporter.program.signal("TERM");
    until("the listener's end", || {
        TcpStream::connect(address).is_err().then_some(())
    });
    // A connection without a request is closed at once.
    let mut rest = Vec::new();
    drop((&idle).read_to_end(&mut rest));
    assert_eq!(rest, b"");
    assert!(!exporter.program.ended());
    gate.open();
    let answer = probe.join().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("\r\nconnection: close"),
        "{head}"
    );
    Metrics::parse(body).is("goroutine_goroutines", &[], GOROUTINES);
    let answer = kept.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(exporter.program.wait().code(), Some(0));
    let files = std::fs::read_dir(folder.path()).unwrap();
    let profiles = files
        .filter(|file| {
            let name = file.as_ref().unwrap().file_name();
            name.to_str().unwrap().ends_with(".pb.gz")
        })
        .count();
    // One by hand and, of the probe, a baseline.
    assert!(profiles >= 1, "{}", exporter.program.log());
}

#[test]
fn a_target_that_never_answers_holds_up_no_end() {
    let silent = Server::asked(|stream| until_closed(&stream));
    let path = probe_path(&silent.target(), &[]);
    // Within the module's patience the probe fails, and is answered.
    let mut exporter = Exporter::start("modules: { default: { timeout: 2s } }\n");
    let probe = keep_alive(exporter.address, "GET", &path);
    asked(&silent, 1);
    exporter.program.signal("INT");
    let answer = probe.join().unwrap();
    assert!(answer.contains("reason=\"timeout\"} 1"), "{answer}");
    assert_eq!(exporter.program.wait().code(), Some(0));

    // A second signal ends it at once.
    let mut exporter = Exporter::start(PATIENT);
    let probe = keep_alive(exporter.address, "GET", &path);
    asked(&silent, 2);
    exporter.program.signal("TERM");
    exporter
        .program
        .line("word of it", |line| line.contains("stopping").then_some(()));
    assert!(!exporter.program.ended());
    let begun = Instant::now();
    exporter.program.signal("TERM");
    assert_eq!(exporter.program.wait().code(), Some(1));
    // Far less than the 30 s requests get, and the minute the probe does.
    assert!(begun.elapsed() < Duration::from_secs(20), "{begun:?}");
    assert!(
        exporter.program.log().contains("a second signal, SIGTERM"),
        "{}",
        exporter.program.log()
    );
    assert_eq!(probe.join().unwrap(), "");
}

#[test]
fn without_a_log_it_starts_and_ends_just_the_same() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut quiet = Program::start(
        command()
            .args(["--web.listen-address", &address.to_string()])
            .args(["--log.level", "error"]),
    );
    let ready = || crate::http::try_ask(address, "GET", "/-/ready", &[]).ok();
    until("an answer", ready).is(200, "ready");
    assert!(!quiet.ended());
    quiet.signal("TERM");
    assert_eq!(quiet.wait().code(), Some(0));
    assert_eq!(quiet.log(), "");
}

/// All addresses a program says it listens on, of which there must be so many.
fn addresses(program: &Program, count: usize) -> Vec<SocketAddr> {
    until("all addresses", || {
        let log = program.log();
        let lines = log.lines().filter_map(|line| line.split_once("address="));
        let found: Vec<SocketAddr> = lines
            .filter_map(|(_, rest)| rest.split(' ').next()?.parse().ok())
            .collect();
        (found.len() >= count).then_some(found)
    })
}

#[test]
fn several_addresses_are_listened_on_or_none() {
    let Ok(taken) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        crate::programs::skip("this machine has no IPv6");
        return;
    };
    let serve = |second: &str| {
        Program::start(
            command()
                .args(["--web.listen-address", "127.0.0.1:0"])
                .args(["--web.listen-address", second]),
        )
    };
    let mut both = serve("[::1]:0");
    let found = addresses(&both, 2);
    assert!(found[0].is_ipv4() && found[1].is_ipv6(), "{found:?}");
    let healthy = Server::healthy();
    for &address in &found {
        get(address, "/-/ready").is(200, "ready");
        get(address, &probe_path(&healthy.target(), &[])).is(200, "goroutine_probe_success 1");
    }
    both.signal("TERM");
    assert_eq!(both.wait().code(), Some(0));

    let address = taken.local_addr().unwrap().to_string();
    let mut half = serve(&address);
    assert_eq!(half.wait().code(), Some(1));
    let log = half.log();
    assert!(
        log.contains(&format!("cannot listen on {address}")),
        "{log}"
    );
    assert!(
        log.contains("in use") && !log.contains("listening"),
        "{log}"
    );
}

#[test]
fn the_log_takes_so_many_lines_about_targets_and_no_line_of_theirs() {
    let program = Program::start(command().args(["--web.listen-address", "127.0.0.1:0"]));
    let address = addresses(&program, 1)[0];
    let closed = crate::servers::nobody();
    for number in 0..400 {
        let target = format!("http://{closed}/x{number}");
        get(address, &probe_path(&target, &[])).is(200, "goroutine_probe_success 0");
    }
    let lines = program.log().lines().count();
    assert!((200..330).contains(&lines), "{lines} lines");
    let evil = Server::answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; x=\"\xc2\x9b31m\xe2\x80\xae\"\r\nContent-Length: 2\r\n\r\nhi".to_vec(),
    );
    let fresh = Exporter::start("");
    fresh
        .get(&probe_path(&evil.target(), &[]))
        .is(200, "not_pprof");
    let log = fresh.program.log();
    let odd = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!log.contains(odd), "{log:?}");
}
