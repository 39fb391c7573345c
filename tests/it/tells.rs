//! What the exporter says of targets that fail: never what they answered, what it was given to show them, or an address
//! that the asker did not write.

use std::io::Write;
use std::net::TcpStream;

use crate::http::{ask, get};
use crate::programs::{Exporter, probe_path};
use crate::servers::{Server, answer, nobody, send};

/// Stands in everything that a target sends and that is not to be repeated.
const PLANTED: &str = "planted";

/// Every secret of the configuration, as written and as sent.
const SECRETS: [&str; 6] = [
    "hunter2",
    "hunter3",
    "hunter4",
    "hunter5",
    // Of "scraper:hunter3", at each offset that base64 can have.
    "c2NyYXBlcjpodW50ZXIz",
    "aHVudGVy",
];

/// Addresses that only targets know of.
const ELSEWHERE: [&str; 2] = ["10.20.30.40", "169.254.169.254"];

/// Targets that fail in as many ways as there are reasons to say something.
fn failing() -> Vec<Server> {
    let status = |line: &str| answer(&format!("{line} {PLANTED}-reason"), &headers(""), &page());
    let to = |location: &str| {
        answer(
            "302 Found",
            &headers(&format!("Location: {location}\r\n")),
            &page(),
        )
    };
    let with = |kind: &str, body: &[u8]| {
        answer(
            "200 OK",
            &headers(&format!("Content-Type: {kind}\r\n")),
            body,
        )
    };
    let whole = with("text/html", &page());
    let mut cut = whole.clone();
    cut.truncate(whole.len() - 3);
    let profile = crate::servers::profile();
    let mut damaged = profile.clone();
    damaged.truncate(profile.len() / 2);
    damaged.extend(page());
    let answers = [
        status("500"),
        status("401"),
        status("404"),
        status("400"),
        to("http://10.20.30.40:7071/planted-path?planted-query"),
        to("https://planted-host.invalid/"),
        to("//user:planted-password@10.20.30.40:7071/"),
        to("planted-scheme://10.20.30.40:7071/"),
        to("http://169.254.169.254:7071/planted-path"),
        whole,
        cut,
        with("text/planted-type; planted=parameter", &page()),
        with("planted planted", &page()),
        with("text/plain", b"goroutine profile: total planted\n"),
        with("text/plain", b"goroutine profile: total 2\n1 @ 0xplanted\n"),
        with("text/plain", b"goroutine 1 [planted]:\nplanted"),
        with("application/octet-stream", &damaged),
        with("application/octet-stream", b"\x1f\x8bplanted"),
        format!(
            "HTTP/1.1 200 OK\r\nX-P: {PLANTED}\r\nContent-Length: 99999999999\r\n\r\n{PLANTED}"
        )
        .into_bytes(),
        format!("220 mail.{PLANTED} ESMTP\r\n").into_bytes(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {PLANTED}\r\n\r\n").into_bytes(),
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: {PLANTED}\r\n\r\n{PLANTED}").into_bytes(),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{PLANTED}\r\n").into_bytes(),
        Vec::new(),
    ];
    let mut servers: Vec<Server> = answers.into_iter().map(Server::answering).collect();
    // Speaks before it is asked.
    servers.push(Server::raw(|mut stream: TcpStream| {
        drop(stream.write_all(format!("SSH-2.0-{PLANTED}\r\n").as_bytes()));
    }));
    servers
}

fn page() -> Vec<u8> {
    format!("<title>{PLANTED}</title> 10.20.30.40 hunter2").into_bytes()
}

fn headers(more: &str) -> String {
    format!(
        "{more}Server: {PLANTED}\r\nWWW-Authenticate: Basic realm={PLANTED}\r\nSet-Cookie: {PLANTED}=1\r\n"
    )
}

#[test]
fn nothing_that_is_said_of_a_failure_was_somebody_elses() {
    let servers = failing();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "hunter5\n").unwrap();
    let proxy = Server::asked_for(|_, stream| {
        send(stream, &answer("502 planted-reason", &headers(""), &page()));
    });
    let gone = nobody();
    let own = "credentials_over_http: true, follow_redirects: true";
    let modules = [
        "plain: {}".to_owned(),
        "following: { http: { follow_redirects: true } }".to_owned(),
        format!("bearer: {{ http: {{ {own}, authorization: {{ credentials: hunter2 }} }} }}"),
        format!(
            "basic: {{ http: {{ {own}, basic_auth: {{ username: scraper, password: hunter3 }} }} }}"
        ),
        format!(
            "headers: {{ http: {{ {own}, http_headers: {{ X-Key: {{ secrets: [hunter4] }} }} }} }}"
        ),
        format!(
            "file: {{ http: {{ {own}, authorization: {{ credentials_file: {} }} }} }}",
            folder.path().join("token").display()
        ),
        format!(
            "declined: {{ http: {{ proxy_url: 'http://{}' }}, allow: [{{ cidr: 127.0.0.0/8 }}] }}",
            proxy.target()
        ),
        format!("lost: {{ http: {{ proxy_url: 'socks5://{gone}' }} }}"),
    ];
    let targets: String = servers
        .iter()
        .map(|server| {
            format!(
                "- {{ url: 'http://{}', module: following }}\n",
                server.target()
            )
        })
        .collect();
    let config = format!(
        "modules:\n  {}\nallow: [{{ cidr: 127.0.0.1/32 }}, {{ path: {}/ }}]\ntargets:\n{targets}",
        modules.join("\n  "),
        folder.path().display()
    );
    let storage = folder.path().join("kept");
    let exporter = Exporter::with(
        &config,
        &[
            "--web.enable-lifecycle",
            "--storage.path",
            storage.to_str().unwrap(),
        ],
    );
    let names: Vec<&str> = modules
        .iter()
        .filter_map(|module| module.split(':').next())
        .collect();
    let mut said: Vec<(String, String)> = Vec::new();
    let mut asked: Vec<String> = servers.iter().map(Server::target).collect();
    asked.push(format!("https://{}", servers[0].target()));
    asked.push(format!("unix://{}/nobody.sock", folder.path().display()));
    asked.push(nobody().to_string());
    asked.push("10.1.1.1:1".to_owned());
    for target in &asked {
        for module in &names {
            let probe = probe_path(target, &[("module", module)]);
            let page = probe.replacen("/probe", "/target", 1);
            let snapshot = probe.replacen("/probe", "/snapshots", 1);
            let debug = probe_path(target, &[("module", module), ("debug", "true")]);
            for path in [probe, debug, page] {
                let text = get(exporter.address, &path).text();
                said.push((path, text));
            }
            let text = ask(exporter.address, "POST", &snapshot, &[]).text();
            said.push((snapshot, text));
        }
    }
    for path in [
        "/",
        "/targets/metrics",
        "/metrics",
        "/snapshots?format=json",
        "/config",
    ] {
        said.push((path.to_owned(), exporter.get(path).text()));
    }
    let page = ask(
        exporter.address,
        "GET",
        "/snapshots",
        &["Accept: text/html"],
    );
    said.push(("/snapshots".to_owned(), page.text()));
    let log = exporter.program.log();
    said.push(("the log".to_owned(), log));

    // It did say something of each of them, and of each reason that a target can give.
    assert!(said.len() > 4 * names.len() * servers.len());
    let everything: String = said.iter().map(|(_, text)| text.as_str()).collect();
    for reason in [
        "connect",
        "tls",
        "http_status",
        "not_pprof",
        "too_large",
        "decode",
    ] {
        assert!(
            everything.contains(&format!("reason=\"{reason}\"}} 1")),
            "{reason}"
        );
    }
    for (path, text) in &said {
        for secret in SECRETS.iter().chain(&ELSEWHERE).chain(&[PLANTED]) {
            assert!(!text.contains(secret), "{path} says {secret}:\n{text}");
        }
        // The configuration is for who may see it, and names its proxies.
        let proxies = [proxy.target(), gone.to_string()];
        for proxy in proxies.iter().filter(|_| path != "/config") {
            assert!(!text.contains(proxy), "{path} says {proxy}:\n{text}");
        }
    }
}
