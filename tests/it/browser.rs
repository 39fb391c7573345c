//! Chromium, driven over `WebDriver`, which is plain HTTP and JSON: real clicks on real pages, and what the console said.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::programs::{Program, skip, until};

/// A page has so long to load, and a command to be answered: far more than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(120);
/// What `WebDriver` calls an element (section 12 of its specification by the W3C).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser at a time: drivers that look for a port at once find the same one, and a second browser on a machine of
/// two processors makes both slow.
static TURN: Mutex<()> = Mutex::new(());

/// A browser with one window.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: SocketAddr,
    session: String,
    // After the session, so that it is ended before the driver.
    _program: Program,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A driver, and its port. It takes the port that the system gave it for IPv6 on IPv4 too, where somebody may have it:
/// then it ends, and the next one has another.
fn driver() -> (Program, u16) {
    for _ in 0..20 {
        let mut program = Program::start(Command::new("chromedriver").arg("--port=0"));
        let port = until("chromedriver's port, or its end", || {
            let log = program.log();
            let port = log
                .split_once("started successfully on port ")
                .and_then(|(_, rest)| rest.split_once('.')?.0.parse().ok());
            match port {
                Some(port) => Some(Some(port)),
                None => program.ended().then_some(None),
            }
        });
        if let Some(port) = port {
            return (program, port);
        }
    }
    panic!("chromedriver finds no port that is free for IPv4 and IPv6");
}

impl Browser {
    /// Starts it; says aloud when there is none on this machine.
    pub(crate) fn start(javascript: bool) -> Option<Self> {
        for program in ["chromedriver", "chromium"] {
            let there = Command::new(program).arg("--version").output();
            if !there.is_ok_and(|output| output.status.success()) {
                skip(&format!(
                    "{program} is not installed; tests/tools/install.sh brings it"
                ));
                return None;
            }
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = tempfile::tempdir().unwrap();
        let (program, port) = driver();
        let driver = SocketAddr::from(([127, 0, 0, 1], port));
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
        ]
        .map(str::to_owned)
        .into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let scripts = if javascript { 1 } else { 2 };
        let options = json!({
            "binary": "/usr/bin/chromium",
            "args": arguments,
            "prefs": {"profile.managed_default_content_settings.javascript": scripts},
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let created = send(driver, "POST", "/session", &wanted);
        let session = created["sessionId"].as_str().unwrap().to_owned();
        Some(Self {
            driver,
            session,
            _program: program,
            _profile: profile,
            _turn: turn,
        })
    }

    fn ask(&self, method: &str, command: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        send(self.driver, method, &path, body)
    }

    /// Loads a page.
    pub(crate) fn open(&self, url: &str) {
        self.ask("POST", "url", &json!({"url": url}));
    }

    /// The address of the page.
    pub(crate) fn url(&self) -> String {
        let url = self.ask("GET", "url", &Value::Null);
        url.as_str().unwrap().to_owned()
    }

    /// What a script comes to in the page; the driver runs it past the page's policy.
    pub(crate) fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.ask("POST", "execute/sync", &body)
    }

    /// The text a person sees in the first element that a CSS selector finds.
    pub(crate) fn text(&self, selector: &str) -> String {
        let element = self.find(selector);
        let text = self.ask("GET", &format!("element/{element}/text"), &Value::Null);
        text.as_str().unwrap().to_owned()
    }

    /// Clicks on the first element that a CSS selector finds.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.ask("POST", &format!("element/{element}/click"), &json!({}));
    }

    /// Types into it.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        let body = json!({"text": text});
        self.ask("POST", &format!("element/{element}/value"), &body);
    }

    /// Waits until the page's address holds these words.
    pub(crate) fn until_at(&self, part: &str) {
        until(part, || self.url().contains(part).then_some(()));
    }

    fn find(&self, selector: &str) -> String {
        let body = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "element", &body);
        let id = found[ELEMENT].as_str();
        id.unwrap_or_else(|| panic!("no {selector} at {}: {found}", self.url()))
            .to_owned()
    }

    /// Fails when the console holds anything: errors, and what a policy stopped.
    pub(crate) fn console_is_empty(&self) {
        let entries = self.ask("POST", "se/log", &json!({"type": "browser"}));
        assert_eq!(entries, json!([]), "console at {}", self.url());
    }

    /// Shows pages as on a screen of this width, in light or dark.
    pub(crate) fn look_like(&self, width: u32, theme: &str) {
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// The whole page as a PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let shot = self.devtools(
            "Page.captureScreenshot",
            &json!({"format": "png", "captureBeyondViewport": true}),
        );
        STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.ask("POST", "goog/cdp/execute", &body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without this Chromium would outlive its driver. A failure here must not hide that of the test.
        let path = format!("/session/{}", self.session);
        drop(try_send(self.driver, "DELETE", &path, &Value::Null));
    }
}

/// Sends a command, and expects it to succeed.
fn send(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let (status, mut answer) = try_send(driver, method, path, body)
        .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    assert_eq!(status, 200, "{method} {path} {body}: {answer}");
    answer["value"].take()
}

fn try_send(
    driver: SocketAddr,
    method: &str,
    path: &str,
    body: &Value,
) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect_timeout(&driver, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = if method == "POST" {
        body.to_string()
    } else {
        String::new()
    };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    let mut piece = [0; 1 << 13];
    let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    // The driver keeps connections open whatever it is asked for, so its answer ends where it says.
    let (head, body) = loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| {
                let length = line.strip_prefix("content-length:")?;
                length.trim().parse::<usize>().ok()
            });
            let body = &answer[end + 4..];
            if body.len() >= length.ok_or_else(cut)? {
                break (head, String::from_utf8_lossy(body).into_owned());
            }
        }
        match stream.read(&mut piece)? {
            0 => return Err(cut()),
            read => answer.extend_from_slice(&piece[..read]),
        }
    };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.ok_or_else(cut)?, serde_json::from_str(&body)?))
}
