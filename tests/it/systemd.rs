//! The exporter as a service of systemd: sockets it is handed, and what it tells. The other side is `systemd-socket-activate`
//! and a socket of the test's own, as `sd_listen_fds(3)` and `sd_notify(3)` describe them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::http::{ask, get, try_ask};
use crate::programs::{EXPORTER, Program, SOON, command, probe_path, repository, skip, until};
use crate::servers::Server;

const ACTIVATE: &str = "systemd-socket-activate";

/// Free addresses: of a port nobody has, which another program could take meanwhile.
fn free(ip: &str) -> SocketAddr {
    let listener = TcpListener::bind(format!("{ip}:0")).unwrap();
    listener.local_addr().unwrap()
}

/// The exporter, started by the first connection to one of these addresses.
fn activated(addresses: &[SocketAddr], flags: &[&str]) -> Option<Program> {
    if Command::new(ACTIVATE).arg("--version").output().is_err() {
        skip("systemd-socket-activate is not installed: tests/tools/install.sh does it");
        return None;
    }
    let mut activate = Command::new(ACTIVATE);
    activate.env_clear();
    for address in addresses {
        activate.arg("--listen").arg(address.to_string());
    }
    activate
        .args(["--", EXPORTER, "--web.systemd-socket"])
        .args(flags);
    let program = Program::start(&mut activate);
    // It listens itself, for its program: for the whole line is written after all sockets are there.
    for address in addresses {
        program.line("the socket", |line| {
            (line.contains("Listening on") && line.contains(&address.to_string())).then_some(())
        });
    }
    Some(program)
}

#[test]
fn it_serves_on_the_sockets_it_is_handed() {
    let addresses = [free("127.0.0.1"), free("[::1]")];
    let healthy = Server::healthy();
    let Some(mut program) = activated(&addresses, &[]) else {
        return;
    };
    for address in addresses {
        get(address, "/-/ready").is(200, "ready");
        // All of them are loopback, so whoever asks may ask for loopback.
        get(address, &probe_path(&healthy.target(), &[])).is(200, "goroutine_probe_success 1");
    }
    for address in addresses {
        program.line("the address", |line| {
            line.contains(&format!("address={address}")).then_some(())
        });
    }
    assert!(!program.log().contains("16060"), "{}", program.log());
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
}

#[test]
fn a_socket_for_everybody_does_not_open_loopback() {
    let open = free("0.0.0.0");
    let healthy = Server::healthy();
    let Some(program) = activated(&[free("127.0.0.1"), open], &[]) else {
        return;
    };
    let address = SocketAddr::from(([127, 0, 0, 1], open.port()));
    get(address, &probe_path(&healthy.target(), &[])).is(403, "not allowed");
    drop(program);
}

#[test]
fn without_a_socket_it_says_so() {
    let check = |program: &mut Program, words: &str| {
        assert_eq!(program.wait().code(), Some(1), "{}", program.log());
        assert!(program.log().contains(words), "{}", program.log());
    };
    let mut alone = Program::start(command().arg("--web.systemd-socket"));
    check(&mut alone, "no socket was passed");
    let mut other = Program::start(
        command()
            .arg("--web.systemd-socket")
            .env("LISTEN_FDS", "1")
            .env("LISTEN_PID", "1"),
    );
    check(&mut other, "no socket was passed");
    // Descriptor 3 is not open, or is none of ours.
    let mut wrong = Program::start(command().arg("--web.systemd-socket").env("LISTEN_FDS", "1"));
    check(&mut wrong, "--web.systemd-socket: socket 1");
}

#[test]
fn a_connection_or_a_unix_socket_in_place_of_a_listener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    if Command::new(ACTIVATE).arg("--version").output().is_err() {
        skip("systemd-socket-activate is not installed: tests/tools/install.sh does it");
        return;
    }
    let mut program = Program::start(
        Command::new(ACTIVATE)
            .env_clear()
            .arg("--listen")
            .arg(&path)
            .args(["--", EXPORTER, "--web.systemd-socket"]),
    );
    until("the socket", || {
        std::os::unix::net::UnixStream::connect(&path).ok()
    });
    assert_eq!(program.wait().code(), Some(1), "{}", program.log());
    assert!(
        program.log().contains("not a valid tcp socket"),
        "{}",
        program.log()
    );
}

/// What a service tells systemd.
struct Told {
    socket: UnixDatagram,
}

impl Told {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket }
    }

    /// The next message that has this assignment, as its assignments; others before it are read over.
    fn next(&self, wanted: &str) -> BTreeMap<String, String> {
        let mut seen = Vec::new();
        for _ in 0..1000 {
            let mut bytes = [0; 4096];
            let length = self
                .socket
                .recv(&mut bytes)
                .unwrap_or_else(|error| panic!("no {wanted}: {error}, after {seen:?}"));
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if text.lines().any(|line| line == wanted) {
                let pairs = text.lines().filter_map(|line| line.split_once('='));
                return pairs
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
            }
            seen.push(text);
        }
        panic!("no {wanted} in {seen:?}")
    }
}

#[test]
fn systemd_is_told_how_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let told = Told::at(&folder.path().join("notify"));
    let file = folder.path().join("exporter.yml");
    std::fs::write(&file, "targets: [{ url: \"127.0.0.1:1\" }]\n").unwrap();
    let mut program = Program::start(
        command()
            .args([
                "--web.listen-address",
                "127.0.0.1:0",
                "--web.enable-lifecycle",
            ])
            .arg("--config.file")
            .arg(&file)
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("WATCHDOG_USEC", "400000"),
    );
    let ready = told.next("READY=1");
    assert_eq!(ready["STATUS"], "Serving 1 static target, 1 module");
    // Ready means that requests are answered already.
    let address: SocketAddr = program.line("address", |line| {
        let (_, rest) = line.split_once("address=")?;
        rest.split(' ').next()?.parse().ok()
    });
    get(address, "/-/ready").is(200, "ready");
    for _ in 0..3 {
        told.next("WATCHDOG=1");
    }
    let reloads = |status: &str| -> u64 {
        let reloading = told.next("RELOADING=1");
        assert!(told.next("READY=1")["STATUS"].starts_with(status));
        reloading["MONOTONIC_USEC"].parse().unwrap()
    };
    let begun = Instant::now();
    program.signal("HUP");
    let first = reloads("Serving 1 static target, 1 module");
    std::fs::write(&file, "targets: []\nmodules: { a: {}, b: {} }\n").unwrap();
    ask(address, "POST", "/-/reload", &[]).is(200, "reloaded");
    let second = reloads("Serving 0 static targets, 3 modules");
    // systemd takes a reload for done only when it began after it was asked for, by this clock.
    let apart = u128::from(second.checked_sub(first).unwrap());
    assert!(
        (1..=begun.elapsed().as_micros()).contains(&apart),
        "{apart}"
    );
    std::fs::write(&file, "targets: 7\n").unwrap();
    ask(address, "POST", "/-/reload", &[]).is(500, "targets");
    reloads("Serving 0 static targets, 3 modules; the configuration could not be reloaded");
    program.signal("TERM");
    told.next("STOPPING=1");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    until("the end", || {
        try_ask(address, "GET", "/", &[]).is_err().then_some(())
    });
}

#[test]
fn a_notify_socket_that_nobody_reads_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let told = UnixDatagram::bind(&path).unwrap();
    // Filled to the brim: whoever sends now waits.
    let filler = UnixDatagram::unbound().unwrap();
    filler.connect(&path).unwrap();
    filler.set_nonblocking(true).unwrap();
    let sent = (0..100_000)
        .take_while(|_| filler.send(b"x").is_ok())
        .count();
    assert!(sent < 100_000, "it takes everything");
    let mut program = Program::start(
        command()
            .args(["--web.listen-address", "127.0.0.1:0"])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "100000"),
    );
    let address: SocketAddr = program.line("address", |line| {
        let (_, rest) = line.split_once("address=")?;
        rest.split(' ').next()?.parse().ok()
    });
    get(address, "/-/ready").is(200, "ready");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    drop(told);
}

#[test]
fn the_units_of_the_examples_are_good() {
    let analyze = Command::new("systemd-analyze").arg("--version").output();
    if analyze.is_err() {
        skip("systemd-analyze is not installed: tests/tools/install.sh does it");
        return;
    }
    // It looks for the program that a unit names.
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for name in ["goroutine_exporter.service", "goroutine_exporter.socket"] {
        let text = std::fs::read_to_string(repository("examples/systemd").join(name)).unwrap();
        let text = text.replace("/usr/local/bin/goroutine_exporter", EXPORTER);
        let unit = folder.path().join(name);
        std::fs::write(&unit, &text).unwrap();
        units.push(unit);
        let Some(line) = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
        else {
            continue;
        };
        // Its flags exist, and the example configuration in place of the operator's is one that it takes.
        let flags = line.split(' ').skip(1);
        let config = repository("examples/config/reference.yml");
        let flags = flags.map(|flag| match flag {
            "/etc/goroutine_exporter/exporter.yml" => config.to_str().unwrap(),
            flag => flag,
        });
        let output = command()
            .args(flags)
            .arg("--config.check")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&units)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // A key it does not know is but a line of it.
    let about = said
        .lines()
        .find(|line| line.contains("goroutine_exporter"));
    assert_eq!(about, None, "{said}");
}
