//! `--web.config.file` without TLS: passwords, rate, headers, and what a change of the file does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::{Answer, Metrics, ask};
use crate::programs::{Exporter, run, until};
use crate::prometheus::have;
use crate::servers::Server;

/// Low, for speed; what hashes of a higher cost do is for the tests of the library to show.
const COST: u32 = 4;

/// An exporter with a web configuration.
pub(crate) struct Guarded {
    pub(crate) exporter: Exporter,
    pub(crate) folder: tempfile::TempDir,
}

impl Guarded {
    /// Starts one; `fill` writes further files beside the web configuration first.
    pub(crate) fn start(web: &str, flags: &[&str], fill: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let file = folder.path().join("web.yml");
        std::fs::write(&file, web).unwrap();
        let file = file.to_str().unwrap();
        let flags = [&["--web.config.file", file], flags].concat();
        let exporter = Exporter::with("", &flags);
        Self { exporter, folder }
    }

    fn new(web: &str) -> Self {
        Self::start(web, &[], |_| {})
    }

    pub(crate) fn write(&self, web: &str) {
        std::fs::write(self.file(), web).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("web.yml")
    }

    /// Asks with a name and a password.
    fn get(&self, path: &str, credentials: &str) -> Answer {
        self.ask("GET", path, credentials)
    }

    fn ask(&self, method: &str, path: &str, credentials: &str) -> Answer {
        let header = basic(credentials);
        ask(self.exporter.address, method, path, &[&header])
    }

    fn metrics(&self, credentials: &str) -> Metrics {
        Metrics::parse(&self.get("/metrics", credentials).text())
    }
}

/// The header with `name:password`.
pub(crate) fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(credentials))
}

/// A line of `basic_auth_users`.
pub(crate) fn user(name: &str, password: &str) -> String {
    format!("  {name}: {}\n", bcrypt::hash(password, COST).unwrap())
}

fn users() -> String {
    format!(
        "basic_auth_users:\n{}{}",
        user("alice", "wonder"),
        user("bob", "builder")
    )
}

#[test]
fn every_path_asks_for_a_password() {
    let guarded = Guarded::new(&users());
    let paths = [
        "/",
        "/-/healthy",
        "/-/ready",
        "/metrics",
        "/config",
        "/probe?target=127.0.0.1:1",
        "/targets/metrics",
        "/snapshots",
        "/nowhere",
    ];
    for path in paths {
        let answer = guarded.exporter.get(path);
        answer.is(401, "a user name and a password");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        let answer = guarded.get(path, "alice:wonder");
        let expected = if path == "/nowhere" || path == "/snapshots" {
            404
        } else {
            200
        };
        assert_eq!(answer.status, expected, "{path}");
    }
    for path in ["/-/reload", "/snapshots"] {
        ask(guarded.exporter.address, "POST", path, &[]).is(401, "");
    }
    assert_eq!(guarded.get("/-/healthy", "bob:builder").status, 200);
    for wrong in [
        "alice:builder",
        "alice:",
        "alice",
        "Alice:wonder",
        "mallory:wonder",
        ":wonder",
        "",
    ] {
        guarded.get("/-/healthy", wrong).is(401, "");
    }
    for header in [
        "Authorization: Basic",
        "Authorization: Basic !!!",
        "Authorization: Bearer YWxpY2U6d29uZGVy",
        "Proxy-Authorization: Basic YWxpY2U6d29uZGVy",
    ] {
        ask(guarded.exporter.address, "GET", "/-/healthy", &[header]).is(401, "");
    }
    let refused = [("reason", "credentials")];
    let count = guarded.metrics("alice:wonder");
    let count = count.value("goroutine_exporter_web_requests_refused_total", &refused);
    assert_eq!(count, Some(9.0 + 2.0 + 7.0 + 4.0));
    let log = guarded.exporter.program.log();
    assert!(!log.contains("wonder") && !log.contains("$2"), "{log}");
}

#[test]
fn users_that_change_count_without_a_restart() {
    let guarded = Guarded::new(&users());
    assert_eq!(guarded.get("/-/healthy", "alice:wonder").status, 200);
    guarded.write(&format!(
        "basic_auth_users:\n{}",
        user("alice", "looking-glass")
    ));
    until("the new password", || {
        (guarded.get("/-/healthy", "alice:looking-glass").status == 200).then_some(())
    });
    guarded.get("/-/healthy", "alice:wonder").is(401, "");
    guarded.get("/-/healthy", "bob:builder").is(401, "");

    let good = "goroutine_exporter_web_config_last_reload_successful";
    guarded.metrics("alice:looking-glass").is(good, &[], 1.0);
    // A file that is bad, and one that is empty as any is that is being written, change nothing but the metric.
    for bad in ["basic_auth_users: { alice: x }", ""] {
        guarded.write(bad);
        until("word of the bad file", || {
            let value = guarded.metrics("alice:looking-glass").value(good, &[]);
            (value == Some(0.0)).then_some(())
        });
        guarded.exporter.get("/-/healthy").is(401, "");
        guarded.write(&format!(
            "basic_auth_users:\n{}",
            user("alice", "looking-glass")
        ));
        until("the good file", || {
            let value = guarded.metrics("alice:looking-glass").value(good, &[]);
            (value == Some(1.0)).then_some(())
        });
    }
    let log = guarded.exporter.program.log();
    let said = log.matches("web configuration not reloaded").count();
    assert_eq!(said, 2, "once for each change: {log}");
    assert!(
        log.contains("basic_auth_users: passwords stay required"),
        "{log}"
    );
}

#[test]
fn a_reload_that_is_asked_for_reads_it_too() {
    let guarded = Guarded::start(&users(), &["--web.enable-lifecycle"], |_| {});
    let reload = || guarded.ask("POST", "/-/reload", "bob:builder");
    reload().is(200, "configuration reloaded");
    guarded.write("basic_auth_users: { alice: x }");
    reload().is(
        500,
        "web.yml:1:28: basic_auth_users.alice: expected a bcrypt hash",
    );
    guarded.write(&users());
    reload().is(200, "configuration reloaded");
    let reloads = || {
        let log = guarded.exporter.program.log();
        log.matches("web configuration reloaded").count()
    };
    let before = reloads();
    guarded.exporter.program.signal("HUP");
    until("word of it", || (reloads() > before).then_some(()));
}

/// Ends a flood, also when a test fails in the midst of it.
struct Stop<'f>(&'f std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// One address floods it with passwords that all must be compared; who was let in before, and who comes from elsewhere,
/// does not notice.
#[test]
fn a_flood_of_bad_passwords_leaves_good_users_served() {
    if !have("curl") {
        return;
    }
    let slow = bcrypt::hash("wonder", 10).unwrap();
    let web = format!(
        "basic_auth_users:\n  alice: {slow}\n{}",
        user("bob", "builder")
    );
    let guarded = Guarded::new(&web);
    assert_eq!(guarded.get("/-/healthy", "alice:wonder").status, 200);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let busy = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        use std::sync::atomic::Ordering::SeqCst;
        for flood in 0..16 {
            let (guarded, stop, busy) = (&guarded, &stop, &busy);
            scope.spawn(move || {
                for n in 0..10_000 {
                    if stop.load(SeqCst) {
                        break;
                    }
                    let answer = guarded.get("/-/healthy", &format!("alice:{flood}-{n}"));
                    if answer.status == 503 {
                        assert_eq!(answer.header("retry-after"), Some("1"));
                        busy.fetch_add(1, SeqCst);
                    } else {
                        assert_eq!(answer.status, 401);
                    }
                }
            });
        }
        let stop = Stop(&stop);
        until("a full queue", || (busy.load(SeqCst) > 20).then_some(()));
        for _ in 0..10 {
            assert_eq!(guarded.get("/-/healthy", "alice:wonder").status, 200);
        }
        let url = format!("http://{}/-/healthy", guarded.exporter.address);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]);
        curl.args(["--interface", "127.0.0.2", "-u", "bob:builder", &url]);
        let output = curl.output().unwrap();
        drop(stop);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "200",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
    let refused = guarded.metrics("alice:wonder");
    let refused = refused.value(
        "goroutine_exporter_web_requests_refused_total",
        &[("reason", "busy")],
    );
    assert!(refused.unwrap() > 20.0);
}

#[test]
fn the_rate_is_limited() {
    let guarded = Guarded::new("rate_limit: { interval: 1h, burst: 3 }");
    for path in ["/-/healthy", "/metrics", "/nowhere"] {
        assert_ne!(guarded.exporter.get(path).status, 429);
    }
    for path in ["/-/healthy", "/metrics"] {
        let answer = guarded.exporter.get(path);
        answer.is(429, "rate_limit");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // Another limit counts from its start.
    guarded.write("rate_limit: { interval: 1h, burst: 1000 }");
    until("the new limit", || {
        (guarded.exporter.get("/metrics").status == 200).then_some(())
    });
    let refused = [("reason", "rate")];
    let metrics = guarded.exporter.metrics();
    let count = metrics.value("goroutine_exporter_web_requests_refused_total", &refused);
    assert!(count.unwrap() >= 2.0);
}

#[test]
fn headers_are_set_in_place_of_the_exporters_own() {
    let guarded = Guarded::new(
        "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n    Content-Security-Policy: \"\"\n    Strict-Transport-Security: max-age=60\n    X-XSS-Protection: 0\n",
    );
    for path in ["/", "/metrics", "/nowhere"] {
        let answer = guarded.exporter.get(path);
        assert_eq!(answer.header("x-frame-options"), Some("sameorigin"));
        assert_eq!(answer.header("content-security-policy"), None);
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=60")
        );
        assert_eq!(answer.header("x-xss-protection"), Some("0"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
    }
}

/// Who has shown who he is may have profiles as they came; to take and delete them is for another switch.
#[test]
fn profiles_can_be_downloaded_by_those_who_are_known() {
    let store = tempfile::tempdir().unwrap();
    let flags = [
        "--storage.path",
        store.path().to_str().unwrap(),
        "--web.allow-any-target",
    ];
    let guarded = Guarded::start(&users(), &flags, |_| {});
    let healthy = Server::healthy();
    let probe = crate::programs::probe_path(&healthy.target(), &[]);
    let kept = until("a snapshot", || {
        assert_eq!(guarded.get(&probe, "bob:builder").status, 200);
        let list = guarded.get("/snapshots?format=json", "bob:builder").json();
        list[0]["id"].as_str().map(str::to_owned)
    });
    let path = format!("/snapshots/{kept}?raw=1");
    let answer = guarded.get(&path, "bob:builder");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/octet-stream"))
    );
    guarded.exporter.get(&path).is(401, "");
    let delete = format!("/snapshots/{kept}");
    guarded
        .ask("DELETE", &delete, "bob:builder")
        .is(403, "--web.enable-lifecycle");
    let take = format!("/snapshots?target={}", healthy.target());
    guarded
        .ask("POST", &take, "bob:builder")
        .is(403, "--web.enable-lifecycle");
}

#[test]
fn a_bad_file_is_told_by_check_and_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "basic_auth_users:\n  john: doe\n").unwrap();
    let expected = format!(
        "{path}:2:9: basic_auth_users.john: expected a bcrypt hash, which begins with $2y$ and has 60 characters\n"
    );
    for arguments in [
        &["check", "--web.config.file", path][..],
        &["--config.check", "--web.config.file", path],
    ] {
        let output = run(arguments, b"");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("hint: make one with: htpasswd"), "{said}");
    }
    let output = run(
        &[
            "--web.listen-address",
            "127.0.0.1:0",
            "--web.config.file",
            path,
        ],
        b"",
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(expected.trim_end()), "{said}");
    std::fs::write(&file, users()).unwrap();
    let output = run(&["check", "--web.config.file", path], b"");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("asks for the password of alice, bob\n"),
        "{said}"
    );
    assert!(!said.contains("$2"), "{said}");
}

#[test]
fn an_empty_file_lets_everybody_in() {
    let guarded = Guarded::new("");
    assert_eq!(guarded.exporter.get("/-/healthy").status, 200);
    guarded.exporter.metrics().is(
        "goroutine_exporter_web_config_last_reload_successful",
        &[],
        1.0,
    );
}
