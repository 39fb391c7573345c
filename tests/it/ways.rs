//! The ways a real target is reached: another prefix, TLS, credentials, a socket. Counts stay the same, and secrets stay
//! where they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::certificates::{Authority, connect};
use crate::go::{ALL_GROUPS, GoProgram, NEW, agrees, truth};
use crate::http::{Answer, Metrics, exchange};
use crate::programs::{Exporter, probe_path};

/// A connection to a target of any kind, for `/truth`.
fn ask(target: &GoProgram, authority: &Authority) -> Answer {
    let connection: Box<dyn ReadWrite> = match target.target.split_once("://").unwrap() {
        ("unix", path) => Box::new(UnixStream::connect(path).unwrap()),
        ("https", _) => Box::new(connect(target.address(), authority)),
        _ => Box::new(TcpStream::connect(target.address()).unwrap()),
    };
    exchange(connection, "GET", "/truth", &[]).unwrap()
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Starts `waits` with `flags`, and holds what a probe with module `m` counts to what it says. `FOLDER` in flags and
/// configuration stands for a folder with certificates and secrets.
fn check_reached(
    flags: &[&str],
    module: &str,
    secrets: &[&str],
    also: impl Fn(&Exporter, &GoProgram),
) {
    let folder = tempfile::tempdir().unwrap();
    let place = |text: &str| text.replace("FOLDER", folder.path().to_str().unwrap());
    let authority = Authority::new("authority");
    authority.write(folder.path(), "127.0.0.1");
    std::fs::write(folder.path().join("password"), "hunter2-of-the-file\n").unwrap();
    std::fs::write(folder.path().join("wrong"), "hunter3-of-the-file\n").unwrap();
    let flags: Vec<String> = flags.iter().map(|flag| place(flag)).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let Some(waits) = GoProgram::start(NEW, "waits", &flags) else {
        return;
    };
    let module = place(module);
    let exporter = Exporter::start(&format!(
        "modules:\n  m: {{ {ALL_GROUPS}, {module} }}\n  plain: {{}}\n  wrong: {{ http: {{ basic_auth: {{ username: scraper, password_file: {} }}, credentials_over_http: true }}, allow: [{{ cidr: 127.0.0.1/32 }}] }}\ntargets: [{{ url: \"{}\", module: m }}]\n",
        place("FOLDER/wrong"),
        waits.target,
    ));
    let truth = truth(&ask(&waits, &authority));
    agrees(|| exporter.probe(&waits.target, "m"), &truth);
    also(&exporter, &waits);
    let mut everything = exporter.shows();
    for module in ["m", "plain", "wrong"] {
        let more = [("module", module), ("debug", "true")];
        everything += &exporter.get(&probe_path(&waits.target, &more)).text();
    }
    for secret in secrets {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}

fn fails_with(exporter: &Exporter, waits: &GoProgram, module: &str, reason: &str) {
    let metrics = exporter.probe(&waits.target, module);
    metrics.is("goroutine_probe_success", &[], 0.0);
    metrics.is("goroutine_probe_failure", &[("reason", reason)], 1.0);
}

#[test]
fn profiles_under_another_prefix() {
    let flags = ["-prefix", "/ops/internal/pprof"];
    check_reached(
        &flags,
        "path: /ops/internal/pprof",
        &[],
        |exporter, waits| {
            fails_with(exporter, waits, "plain", "http_status");
        },
    );
}

#[test]
fn profiles_behind_tls_of_a_private_authority() {
    let flags = [
        "-tls-cert",
        "FOLDER/server.pem",
        "-tls-key",
        "FOLDER/server.key",
    ];
    let module = "http: { tls_config: { ca_file: FOLDER/ca.pem } }";
    check_reached(&flags, module, &["PRIVATE KEY"], |exporter, waits| {
        let metrics = exporter.probe(&waits.target, "m");
        metrics.is("goroutine_probe_success", &[], 1.0);
        // Nobody else trusts that authority, and who asks without TLS is told so by a status.
        fails_with(exporter, waits, "plain", "tls");
        let metrics = exporter.probe(&waits.address().to_string(), "plain");
        metrics.is("goroutine_probe_failure", &[("reason", "http_status")], 1.0);
    });
}

#[test]
fn profiles_behind_basic_authentication() {
    let flags = ["-user", "scraper", "-password", "hunter2-of-the-file"];
    let module = "http: { basic_auth: { username: scraper, password_file: FOLDER/password }, credentials_over_http: true }";
    let secrets = [
        "hunter2-of-the-file",
        "hunter3-of-the-file",
        "c2NyYXBlcjpodW50ZXI",
    ];
    check_reached(&flags, module, &secrets, |exporter, waits| {
        fails_with(exporter, waits, "wrong", "http_status");
        fails_with(exporter, waits, "plain", "http_status");
    });
}

#[test]
fn profiles_behind_a_token() {
    let flags = ["-token", "token-in-the-configuration"];
    let module = "http: { authorization: { credentials: token-in-the-configuration }, credentials_over_http: true }";
    let secrets = ["token-in-the-configuration", "hunter3-of-the-file"];
    check_reached(&flags, module, &secrets, |exporter, waits| {
        fails_with(exporter, waits, "wrong", "http_status");
        fails_with(exporter, waits, "plain", "http_status");
    });
}

#[test]
fn profiles_on_a_unix_socket() {
    check_reached(
        &["-unix", "FOLDER/waits.sock"],
        "timeout: 9s",
        &[],
        |exporter, waits| {
            let metrics = Metrics::parse(&exporter.get("/targets/metrics").text());
            metrics.is("goroutine_probe_success", &[("target", &waits.target)], 1.0);
        },
    );
}
