//! `--web.config.file` with TLS, from outside: as OpenSSL, curl and a real Prometheus see it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use crate::certificates::{Authority, connect, write_self_signed};
use crate::http::{Answer, Metrics, exchange};
use crate::programs::until;
use crate::prometheus::{Prometheus, have};
use crate::servers::Server;
use crate::web_config::{Guarded, user};

const PAIR: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

/// An exporter with a certificate for 127.0.0.1, and `more` behind its `tls_server_config`.
fn secured(authority: &Authority, more: &str) -> Guarded {
    Guarded::start(&format!("{PAIR}{more}"), &[], |folder| {
        authority.write(folder, "127.0.0.1");
    })
}

fn get(guarded: &Guarded, authority: &Authority, path: &str, headers: &[&str]) -> Answer {
    let stream = connect(guarded.exporter.address, authority);
    exchange(stream, "GET", path, headers).unwrap()
}

/// What `openssl s_client` says of a connection, and whether there was one.
fn openssl(guarded: &Guarded, more: &[&str]) -> (bool, String) {
    let address = guarded.exporter.address.to_string();
    let mut command = Command::new("openssl");
    command
        .current_dir(guarded.folder.path())
        .args(["s_client", "-connect", &address, "-CAfile", "ca.pem"])
        .args(["-verify_return_error", "-ign_eof"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // In TLS 1.3 a client learns only behind the handshake that it is not let in.
    let request = b"GET /-/healthy HTTP/1.0\r\nHost: a\r\n\r\n";
    let mut stdin = child.stdin.take().unwrap();
    drop(std::io::Write::write_all(&mut stdin, request));
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (said.contains("is healthy"), said)
}

fn curl(guarded: &Guarded, more: &[&str]) -> String {
    let url = format!("https://{}/-/healthy", guarded.exporter.address);
    let output = Command::new("curl")
        .current_dir(guarded.folder.path())
        .args(["-sS", "--cacert", "ca.pem", "-o", "/dev/null"])
        .args(["-w", "%{http_code} HTTP/%{http_version} "])
        .args(more)
        .arg(url)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn tls_is_spoken_and_plain_http_is_told_so() {
    let authority = Authority::new("of servers");
    let guarded = secured(&authority, "");
    get(&guarded, &authority, "/-/healthy", &[]).is(200, "healthy");
    // Not at all confused by it, again and again.
    for _ in 0..3 {
        let answer = crate::http::get(guarded.exporter.address, "/-/healthy");
        answer.is(400, "this port speaks TLS: write https://");
    }
    get(&guarded, &authority, "/-/healthy", &[]).is(200, "healthy");
    let url = format!("url=https://{}", guarded.exporter.address);
    assert!(guarded.exporter.program.log().contains(&url));
}

#[test]
fn versions_suites_and_curves_are_those_of_the_file() {
    if !have("openssl") {
        return;
    }
    let authority = Authority::new("of servers");
    let weak = ["-cipher", "ALL:@SECLEVEL=0"];
    let connects = |guarded: &Guarded, more: &[&str], words: &str| {
        let (connected, said) = openssl(guarded, more);
        assert!(connected && said.contains(words), "{more:?}: {said}");
    };
    let fails = |guarded: &Guarded, more: &[&str], words: &str| {
        let (connected, said) = openssl(guarded, more);
        assert!(!connected && said.contains(words), "{more:?}: {said}");
    };

    let guarded = secured(&authority, "");
    connects(&guarded, &["-tls1_3"], "New, TLSv1.3, Cipher is TLS_");
    connects(
        &guarded,
        &["-tls1_2"],
        "New, TLSv1.2, Cipher is ECDHE-ECDSA-",
    );
    for old in ["-tls1_1", "-tls1"] {
        // As rustls says it, in other words than OpenSSL's own.
        fails(&guarded, &[&[old][..], &weak].concat(), "alert");
    }
    for bad in [
        "ECDHE-ECDSA-AES128-SHA",
        "AES128-GCM-SHA256",
        "AECDH-NULL-SHA",
    ] {
        let more = ["-tls1_2", "-cipher", &format!("{bad}:@SECLEVEL=0")];
        fails(&guarded, &more, "handshake failure");
    }
    // What renegotiates does not, and what compresses does not.
    connects(&guarded, &["-tls1_2"], "Compression: NONE");
    connects(&guarded, &["-curves", "X25519"], "Server Temp Key: X25519");
    connects(
        &guarded,
        &["-curves", "P-384"],
        "Server Temp Key: ECDH, secp384r1",
    );
    fails(&guarded, &["-curves", "P-521"], "handshake failure");

    let newest = secured(
        &authority,
        "  min_version: TLS13\n  curve_preferences: [CurveP384]\n",
    );
    connects(&newest, &["-tls1_3"], "secp384r1");
    fails(&newest, &["-tls1_2"], "alert protocol version");
    fails(&newest, &["-curves", "X25519"], "handshake failure");

    let older = "  max_version: TLS12\n  cipher_suites:\n  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n";
    let client = [
        "-cipher",
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
    ];
    let ordered = secured(&authority, older);
    connects(&ordered, &client, "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384");
    fails(&ordered, &["-tls1_3"], "alert protocol version");
    let chacha = ["-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"];
    fails(&ordered, &chacha, "handshake failure");
    let yielding = secured(
        &authority,
        &format!("{older}  prefer_server_cipher_suites: false\n"),
    );
    connects(
        &yielding,
        &client,
        "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256",
    );
}

#[test]
fn http2_is_spoken_unless_it_is_off() {
    if !(have("curl") && have("openssl")) {
        return;
    }
    let authority = Authority::new("of servers");
    let on = secured(&authority, "");
    assert_eq!(curl(&on, &["--http2"]), "200 HTTP/2 ");
    assert_eq!(curl(&on, &["--http1.1"]), "200 HTTP/1.1 ");
    assert_eq!(curl(&on, &["--no-alpn"]), "200 HTTP/1.1 ");
    // Heads and bodies are bounded there, too.
    let long = format!("x: {}", "a".repeat(20_000));
    let said = curl(&on, &["--http2", "-H", &long]);
    assert!(said.starts_with("431 HTTP/2 "), "{said}");
    let said = curl(&on, &["--http2", "-d", &"a".repeat(9000)]);
    assert!(said.starts_with("413 HTTP/2 "), "{said}");
    let off = secured(&authority, "http_server_config: { http2: false }\n");
    assert_eq!(curl(&off, &["--http2"]), "200 HTTP/1.1 ");
    let (_, said) = openssl(&off, &["-alpn", "h2,http/1.1"]);
    assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
    let (connected, said) = openssl(&off, &["-alpn", "h2"]);
    assert!(
        !connected && said.contains("no application protocol"),
        "{said}"
    );
}

/// Certificates of clients: a good one, one of another authority, one that nobody signed, one for servers.
fn write_clients(folder: &Path, clients: &Authority) {
    let write = |authority: &Authority, name: &str, names, purpose| {
        authority.write_client(folder, name, names, purpose);
    };
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    write(clients, "good", Vec::new(), client.clone());
    write(
        &Authority::new("of others"),
        "other",
        Vec::new(),
        client.clone(),
    );
    write(
        clients,
        "server-only",
        Vec::new(),
        ExtendedKeyUsagePurpose::ServerAuth,
    );
    write_self_signed(folder, "self");
    let text = |text: &str| text.try_into().unwrap();
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    let names = [
        ("dns", SanType::DnsName(text("client.example"))),
        ("ip", SanType::IpAddress(address)),
        ("email", SanType::Rfc822Name(text("ops@client.example"))),
        ("uri", SanType::URI(text("spiffe://client.example/scraper"))),
    ];
    for (name, san) in names {
        write(clients, name, vec![san], client.clone());
    }
}

#[test]
fn client_certificates_are_judged_as_the_file_says() {
    if !have("openssl") {
        return;
    }
    let (servers, clients) = (Authority::new("of servers"), Authority::new("of clients"));
    let start = |more: &str| {
        Guarded::start(&format!("{PAIR}{more}"), &[], |folder| {
            clients.write(folder, "unused.example");
            std::fs::rename(folder.join("ca.pem"), folder.join("clients.pem")).unwrap();
            servers.write(folder, "127.0.0.1");
            write_clients(folder, &clients);
            let pinned = folder.join("self.pem");
            std::fs::copy(pinned, folder.join("pinned.pem")).unwrap();
        })
    };
    let check = |more: &str, allowed: &[&str], wanted: bool| {
        let guarded = start(more);
        for version in ["-tls1_2", "-tls1_3"] {
            for who in [
                "",
                "good",
                "other",
                "self",
                "server-only",
                "dns",
                "ip",
                "email",
                "uri",
            ] {
                let (cert, key) = (format!("{who}.pem"), format!("{who}.key"));
                let shown = ["-cert", &cert, "-key", &key];
                let shown = if who.is_empty() { &[][..] } else { &shown };
                let (connected, said) = openssl(&guarded, &[&[version][..], shown].concat());
                let expected = allowed.contains(&who);
                assert_eq!(connected, expected, "{version} {who} with {more}: {said}");
                assert!(connected || said.contains("alert"), "{who}: {said}");
                let asked = said.contains("Requested Signature Algorithms");
                assert_eq!(
                    connected && asked,
                    expected && wanted,
                    "{who} with {more}: {said}"
                );
            }
        }
    };
    let names = ["dns", "ip", "email", "uri"];
    let everybody = [
        "",
        "good",
        "other",
        "self",
        "server-only",
        "dns",
        "ip",
        "email",
        "uri",
    ];
    let signed = ["good", "dns", "ip", "email", "uri"];
    let by = "  client_ca_file: clients.pem\n  client_auth_type:";
    check("", &everybody, false);
    check(&format!("{by} RequestClientCert\n"), &everybody, true);
    check(
        &format!("{by} RequireAnyClientCert\n"),
        &everybody[1..],
        true,
    );
    let verified = [&[""][..], &signed].concat();
    check(&format!("{by} VerifyClientCertIfGiven\n"), &verified, true);
    let required = format!("{by} RequireAndVerifyClientCert\n");
    check(&required, &signed, true);
    // One that nobody signed but itself can be pinned, and vouches for no other.
    let pinned = required.replace("clients.pem", "pinned.pem");
    check(&pinned, &["self"], true);

    let sans = |names: &str| format!("{required}  client_allowed_sans: {names}\n");
    let all = "[a.example, client.example, 10.0.0.7, ops@client.example, \"spiffe://client.example/scraper\"]";
    check(&sans(all), &names, true);
    check(&sans("[10.0.0.7]"), &["ip"], true);
    check(
        &sans("[\"*.example\", example, CLIENT.example, 10.0.0.70]"),
        &[],
        true,
    );
    let given = format!("{by} VerifyClientCertIfGiven\n  client_allowed_sans: [client.example]\n");
    check(&given, &["dns"], true);
}

#[test]
fn a_certificate_that_is_renewed_is_shown_without_a_restart() {
    if !have("openssl") {
        return;
    }
    let (old, new) = (Authority::new("of old"), Authority::new("of new"));
    let guarded = secured(&old, "");
    get(&guarded, &old, "/-/healthy", &[]).is(200, "");
    // A connection that is open stays as it is.
    let open = connect(guarded.exporter.address, &old);
    new.write(guarded.folder.path(), "127.0.0.1");
    until("the new certificate", || {
        openssl(&guarded, &[]).0.then_some(())
    });
    get(&guarded, &new, "/-/healthy", &[]).is(200, "");
    drop(open);
    let good = "goroutine_exporter_web_config_last_reload_successful";
    let metrics = || Metrics::parse(&get(&guarded, &new, "/metrics", &[]).text());
    metrics().is(good, &[], 1.0);
    // Half of the next renewal.
    let key = guarded.folder.path().join("server.key");
    let before = std::fs::read(&key).unwrap();
    std::fs::write(&key, "").unwrap();
    until("word of it", || {
        (metrics().value(good, &[]) == Some(0.0)).then_some(())
    });
    std::fs::write(&key, before).unwrap();
    until("word of its end", || {
        (metrics().value(good, &[]) == Some(1.0)).then_some(())
    });
}

#[test]
fn check_tells_who_may_ask() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("of servers");
    authority.write(folder.path(), "exporter.example");
    let file = folder.path().join("web.yml");
    let text = format!(
        "{PAIR}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [prometheus.example]\nbasic_auth_users:\n  alice: $2y$14$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze\nrate_limit: {{ interval: 100ms, burst: 20 }}\nhttp_server_config: {{ headers: {{ Content-Security-Policy: \"\" }} }}\n"
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["check", "--web.config.file", file.to_str().unwrap()];
    let output = crate::programs::run(&arguments, b"");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    let said = said.replace(&format!("{}/", folder.path().display()), "");
    let (_, said) = said.split_once("web.yml is valid\n").unwrap();
    // The certificate of the test is valid for two thousand years, so that only the number of days changes.
    let days = said.split(", for ").nth(1).unwrap();
    let days = days.split(' ').next().unwrap();
    let expected = format!(
        "
who may ask
  speaks HTTP/2 and HTTP/1.1 over TLS 1.2 and 1.3
  shows a certificate for exporter.example, which is valid until 4096-01-01, for {days} days; key from server.key
  requires a client certificate, verified by 1 authorities in ca.pem
  requires one with a name of prometheus.example
  asks for the password of alice
  answers one request in 100ms, up to 20 at once
  sends no header Content-Security-Policy

warnings
  basic_auth_users.alice: at cost 14 each new password, right or wrong, takes about 1.1 s of a processor
  http_server_config.headers.Content-Security-Policy: takes away a protection of the exporter's pages
"
    );
    assert_eq!(said, expected);
}

#[test]
fn a_real_prometheus_scrapes_with_certificate_and_password() {
    let (servers, clients) = (Authority::new("of servers"), Authority::new("of clients"));
    let web = format!(
        "{PAIR}  client_ca_file: clients.pem\n  client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n{}",
        user("prometheus", "wonder")
    );
    let guarded = Guarded::start(&web, &["--web.allow-any-target"], |folder| {
        clients.write(folder, "unused.example");
        std::fs::rename(folder.join("ca.pem"), folder.join("clients.pem")).unwrap();
        servers.write(folder, "127.0.0.1");
        write_clients(folder, &clients);
    });
    let target = Server::healthy();
    let address: SocketAddr = guarded.exporter.address;
    let folder = guarded.folder.path().display();
    let job = |name: &str, password: &str, certificate: &str| {
        format!(
            "- job_name: {name}
  scheme: https
  metrics_path: /probe
  params: {{ target: [\"{}\"] }}
  basic_auth: {{ username: prometheus, password: {password} }}
  tls_config: {{ ca_file: {folder}/ca.pem, cert_file: {folder}/{certificate}.pem, key_file: {folder}/{certificate}.key }}
  static_configs: [{{ targets: [\"{address}\"] }}]
",
            target.target()
        )
    };
    let jobs = job("good", "wonder", "good")
        + &job("wrong_password", "other", "good")
        + &job("wrong_certificate", "wonder", "other");
    let Some(prometheus) = Prometheus::start(&jobs) else {
        return;
    };
    prometheus.becomes("up{job=\"good\"}", 1.0);
    prometheus.becomes("goroutine_probe_success{job=\"good\"}", 1.0);
    prometheus.becomes("up{job=\"wrong_password\"}", 0.0);
    prometheus.becomes("up{job=\"wrong_certificate\"}", 0.0);
}
