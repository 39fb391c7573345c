//! What `check` prints, word for word.

use super::*;

/// Runs `check` on a file of this content; the file's directory is cut from what it prints.
fn check(yaml: &str) -> (u8, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("exporter.yml");
    std::fs::write(&file, yaml).unwrap();
    std::fs::write(directory.path().join("present"), "x").unwrap();
    let mut out = Vec::new();
    let code = run(Some(&file), None, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    (
        code,
        text.replace(&format!("{}/", directory.path().display()), ""),
    )
}

#[test]
fn an_error_has_its_place_and_a_hint() {
    let (code, text) = check("modules:\n  default:\n    limits:\n      grups: 20\n");
    assert_eq!(code, INVALID);
    let expected = "exporter.yml:4:7: modules.default.limits.grups: unknown key\n  hint: did you mean groups?\n";
    assert_eq!(text, expected);
    let (code, text) = check("probes: {total: 0}");
    assert_eq!(code, INVALID);
    assert_eq!(
        text,
        "exporter.yml:1:17: probes.total: 0 is not between 1 and 10000\n"
    );
    let mut out = Vec::new();
    assert_eq!(
        run(Some(Path::new("/nonexistent/a.yml")), None, &mut out).unwrap(),
        INVALID
    );
    assert!(out.starts_with(b"/nonexistent/a.yml: cannot be read: "));
}

#[test]
fn targets_in_files_are_found_and_held_to_the_same() {
    let check = |yaml: &str, targets: &str| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("exporter.yml");
        std::fs::write(&file, yaml).unwrap();
        std::fs::write(directory.path().join("a.yml"), targets).unwrap();
        let mut out = Vec::new();
        let code = run(Some(&file), None, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let text = text.replace(&format!("{}/", directory.path().display()), "");
        (code, text)
    };
    let yaml = "file_sd_configs: [{ files: ['*.yml', b.json] }]\n\
        dns_sd_configs: [{ names: [_a._tcp.b], labels: { k: v } }, { names: [c, d], type: A, port: 1, scheme: https }]";
    let own = yaml.replace("'*.yml'", "a.yml");
    let (code, text) = check(&own, "- { targets: [a:1], labels: { env: prod } }");
    assert_eq!(code, VALID, "{text}");
    let expected = "
targets in files: 1
  looks at a.yml, reads it again after 5m at the latest
  looks at b.json, reads it again after 5m at the latest
  http://a:1 by module default, env=\"prod\"

targets in DNS, not asked for here; only what allow permits is taken
  SRV records of _a._tcp.b, http at the ports they name, every 30s, by module default, k=\"v\"
  A records of c, https at port 1, every 30s, by module default
  A records of d, https at port 1, every 30s, by module default

probes may go to
  the targets in files that not everybody may write to
";
    assert!(text.contains(expected), "{text}");
    let (code, text) = check(&own, "- { targets: [a:1, b] }");
    assert_eq!(code, INVALID);
    let expected = "a.yml:1:20: [0].targets[1]: the target has no port: write host:port, for example localhost:6060\n";
    assert_eq!(text, expected);
    // The configuration is in the folder, too, and is no list of targets.
    let (code, text) = check(yaml, "[]");
    assert_eq!(code, INVALID);
    assert!(
        text.starts_with("exporter.yml:1:1: expected a list, found a map"),
        "{text}"
    );
}

#[test]
fn the_defaults_are_told() {
    let mut out = Vec::new();
    assert_eq!(run(None, None, &mut out).unwrap(), VALID);
    let expected = "\
no configuration file: these are the defaults

module default
  asks for TARGET/debug/pprof/goroutine
  waits at most 10s, reads at most 16MiB as sent and 128MiB inflated
  asks for the detailed form, debug=2, of targets with fewer than 10000 frames, once in 10m
  sends no credentials
  verifies certificates by the authorities of the system
  follows no redirects, speaks HTTP/2 over TLS where offered
  shows at most 20 groups, of 5 goroutines or more

probes may go to
  this machine's loopback, while the exporter listens on loopback only
  any address with --web.allow-any-target
never, unless a cidr entry is written for them: link-local (cloud metadata), multicast,
unspecified and broadcast addresses

snapshots
  none are kept, unless --storage.path says where
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn everything_configured_is_told_without_its_secrets() {
    let yaml = r#"
modules:
  default: {}
  internal:
    path: /-/pprof
    timeout: 5s
    profiles: [goroutineleak, block]
    detail: { mode: off }
    leak: { max_goroutines: 500, min_interval: 1h }
    trace: { mode: auto, window: 200ms, max_goroutines: 9000 }
    http:
      basic_auth: { username: scraper, password: hunter2 }
      tls_config:
        ca_file: missing.pem
        cert_file: present
        key_file: present
        server_name: app.internal
        insecure_skip_verify: false
        min_version: TLS13
      proxy_url: http://proxy.example:3128
      follow_redirects: true
      credentials_over_http: true
      http_headers: { X-Tenant: { values: [a], secrets: [hunter3] }, X-Token: { files: [missing] } }
      enable_http2: false
    classify:
      plumbing: [example.com/pool/...]
      app_packages: [example.com/app/...]
      labels: [endpoint]
      watch: { maps: ^runtime\.mapassign }
    limits: { groups: 50, min_goroutines: 10, min_ratio: 0.01, body_bytes: 32MiB, inflated_bytes: 256MiB }
targets:
- { url: "http://a:1", module: internal, labels: { env: prod } }
- { url: "https://b:2", module: internal }
- url: unix:///run/app.sock
allow:
- { cidr: 10.0.0.0/8, ports: [6060, 8080] }
- { cidr: 0.0.0.0/0, ports: [6060] }
- { cidr: 169.254.169.254/32 }
- { host: "*.svc.cluster.local" }
- { path: /run/apps/ }
- { path: /run/other.sock }
storage: { path: kept, per_target: 5, max_bytes: 1GiB }
"#;
    let (code, text) = check(yaml);
    assert_eq!(code, VALID);
    let (_, rest) = text.split_once("\nmodule internal").unwrap();
    let expected = "
  asks for TARGET/-/pprof/goroutine and goroutineleak and block
  waits at most 5s, reads at most 32MiB as sent and 256MiB inflated
  never asks for the detailed form
  asks for proof of leaks of targets with at most 500 goroutines, once in 1h
  asks for an execution trace of at most 200ms and 16MiB of targets with at most 9000 goroutines, once in 5m
  sends basic credentials of user \"scraper\", password from the configuration
  sends the headers X-Tenant, X-Token
  verifies certificates by the authorities in missing.pem, for the name app.internal
  shows a certificate of its own, key from present
  speaks TLS 1.3 only
  goes through the proxy http://proxy.example:3128/
  follows redirects to where probes may go, speaks HTTP/1.1 only
  gives its credentials to its static targets and to what entries of allow name, over TLS, unix sockets and plain HTTP
  shows at most 50 groups, of 10 goroutines or more and a share of 0.01 or more
  takes for plumbing, too: example.com/pool/...
  takes for the application: example.com/app/...
  counts goroutines by the pprof labels endpoint
  counts as maps goroutines with a function like ^runtime\\.mapassign

static targets: 3
  http://a:1 by module internal, env=\"prod\"
  https://b:2 by module internal
  unix:///run/app.sock by module default

probes may go to
  the static targets
  addresses in 10.0.0.0/8, ports 6060, 8080
  addresses in 0.0.0.0/0, port 6060
  addresses in 169.254.169.254/32, any port
  whatever *.svc.cluster.local resolves to, any port
  unix sockets below /run/apps/
  the unix socket /run/other.sock
never, unless a cidr entry is written for them: link-local (cloud metadata), multicast,
unspecified and broadcast addresses

snapshots
  are kept in kept, 5 of a target and 1GiB of all at most, for 30d

warnings
  modules.internal: the credentials are for whoever is at 10.0.0.0/8, 0.0.0.0/0, *.svc.cluster.local: name the targets they are for in an allow of this module
  modules.internal.http: credentials go unencrypted to http://a:1
  modules.internal.http.proxy_url: this proxy resolves names itself, so that for targets by name only entries by host hold
  modules.internal.http.http_headers.X-Token.files: missing cannot be read: No such file or directory (os error 2)
  modules.internal.http.tls_config.ca_file: missing.pem cannot be read: No such file or directory (os error 2)
  allow[1]: permits every IPv4 address, those of internal services included
  allow[2]: permits addresses that are otherwise never probed; clouds hand out credentials on such ones
";
    assert_eq!(rest, expected);
    assert!(!text.contains("hunter"));
}

#[test]
fn what_is_seldom_meant_is_warned_of() {
    let check = |yaml: &str, expected: &[&str]| {
        let (code, text) = check(yaml);
        let warnings: Vec<&str> = text
            .split_once("\nwarnings\n")
            .map_or(vec![], |(_, list)| list.lines().collect());
        assert_eq!((code, warnings.as_slice()), (VALID, expected), "{yaml}");
    };
    check("", &[]);
    check(
        "modules: {a: {http: {tls_config: {insecure_skip_verify: true}}}}",
        &[
            "  modules.a.http.tls_config.insecure_skip_verify: certificates are not verified: whoever answers is believed",
        ],
    );
    check(
        "modules: {a: {http: {authorization: {credentials: x}, tls_config: {insecure_skip_verify: true}}}}",
        &[
            "  modules.a.http.tls_config.insecure_skip_verify: certificates are not verified: whoever answers is \
           believed, and is sent the credentials",
        ],
    );
    let targets = "targets: [{url: h:1, module: a}, {url: h:2, module: a}, {url: h:3, module: a}, {url: h:4, module: a}]";
    check(
        &format!(
            "modules: {{a: {{http: {{credentials_over_http: true, http_headers: {{X-A: {{values: [b]}}}}}}}}}}\n{targets}"
        ),
        &[
            "  modules.a.http: credentials go unencrypted to http://h:1, http://h:2, http://h:3 and 1 more",
        ],
    );
    check(&format!("modules: {{a: {{}}}}\n{targets}"), &[]);
    let secret = "http: {authorization: {credentials: x}}";
    check(
        &format!(
            "modules: {{a: {{{secret}}}}}\nallow: [{{cidr: 10.0.0.0/24}}, {{host: a}}, {{path: /run/}}]"
        ),
        &[],
    );
    check(
        &format!(
            "modules: {{a: {{{secret}, allow: [{{host: a}}]}}}}\nallow: [{{cidr: 10.0.0.0/8}}]"
        ),
        &[],
    );
    check(
        &format!(
            "modules: {{a: {{{secret}}}}}\nallow: [{{cidr: 10.0.0.0/23}}, {{cidr: \"fd00::/63\"}}]"
        ),
        &[
            "  modules.a: the credentials are for whoever is at 10.0.0.0/23, fd00::/63: name the targets they are for in \
           an allow of this module",
        ],
    );
    check(
        "modules: {a: {http: {credentials_over_http: true, authorization: {credentials: x}}}}",
        &[
            "  modules.a.http.credentials_over_http: credentials may go over plain HTTP, where everybody on the way can \
           read them",
        ],
    );
    check("modules: {a: {http: {proxy_url: \"socks5://p:1\"}}}", &[]);
    check(
        "modules: {a: {http: {proxy_url: \"socks5h://p:1\"}}}",
        &[
            "  modules.a.http.proxy_url: this proxy resolves names itself, so that for targets by name only entries by \
           host hold; there are none in allow, so that only static targets can be given by name",
        ],
    );
    check(
        "modules: {a: {http: {basic_auth: {username: u, password_file: .}}}}",
        &["  modules.a.http.basic_auth.password_file: . is no file"],
    );
    check(
        "modules: {a: {http: {authorization: {credentials_file: present}}}}",
        &[],
    );
    check(
        "allow: [{cidr: \"::/0\"}]",
        &["  allow[0]: permits every IPv6 address, those of internal services included"],
    );
    check(
        "allow: [{cidr: fe80::/64, ports: [6060]}]",
        &[
            "  allow[0]: permits addresses that are otherwise never probed; clouds hand out credentials on such ones",
        ],
    );
    check("allow: []", &[]);
}

#[test]
fn many_targets_are_counted() {
    let list: Vec<String> = (1..=22).map(|port| format!("- url: h:{port}\n")).collect();
    let (_, text) = check(&format!("targets:\n{}allow: []\n", list.concat()));
    assert!(
        text.contains("static targets: 22\n  http://h:1 by module default\n"),
        "{text}"
    );
    assert!(
        text.contains("  http://h:20 by module default\n  and 2 more\n"),
        "{text}"
    );
    assert!(
        text.contains("probes may go to\n  the static targets\n  nothing else: allow is empty\n"),
        "{text}"
    );
}

#[test]
fn who_gets_credentials_is_told() {
    let check = |module: &str, expected: &str| {
        let (code, text) = check(&format!("modules: {{a: {{{module}}}}}\nallow: []"));
        assert_eq!(code, VALID, "{text}");
        let told: Vec<&str> = text
            .lines()
            .filter(|line| {
                line.contains("may be used") || line.starts_with("    ") || line.contains("gives")
            })
            .collect();
        assert_eq!(told.join("\n"), expected, "{module}");
    };
    let cert = "http: {tls_config: {cert_file: c, key_file: k}}";
    check("path: /x", "");
    check(
        "allow: [{host: app.example, ports: [8443]}, {path: /run/apps/}]",
        "  may be used, within allow, for nothing but\n    whatever app.example resolves to, port 8443\n    unix sockets below /run/apps/",
    );
    check("allow: []", "  may be used for nothing: its allow is empty");
    check(
        cert,
        "  gives its credentials to its static targets and to what entries of allow name, over TLS and unix sockets only",
    );
    check(
        &format!("{cert}, allow: [{{host: b}}]"),
        "  may be used, within allow, for nothing but\n    whatever b resolves to, any port\n  gives its credentials to these alone, over TLS and unix sockets only",
    );
}

#[test]
fn sources_of_godebug_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("exporter.yml");
    let yaml = "godebug: [{ name: shop, path: /var/log/shop, labels: { env: prod } }, { name: b, path: b }]";
    std::fs::write(&file, yaml).unwrap();
    let mut out = Vec::new();
    assert_eq!(run(Some(&file), None, &mut out).unwrap(), VALID);
    let expected = format!(
        "\nlines of GODEBUG are read from\n  /var/log/shop as shop, env=\"prod\"\n  {} as b\n\nsnapshots\n",
        directory.path().join("b").display()
    );
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(&expected), "{text}");
}
