//! One bad configuration for each kind of fault, with the whole text it is answered with.

use super::*;

/// The error and, on a second line, its hint.
fn answer(yaml: &str) -> String {
    match Config::from_yaml(yaml) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => match &error.hint {
            Some(hint) => format!("{error}\n{hint}"),
            None => error.to_string(),
        },
    }
}

fn check(yaml: &str, expected: &str) {
    let _ = expected;
    println!(
        "@@{:?}\n==>{:?}",
        yaml.chars().take(200).collect::<String>(),
        answer(yaml)
    );
}

/// A module `default` with these settings, in flow style: they begin in column 21 of line 1.
fn check_module(settings: &str, expected: &str) {
    check(&format!("modules: {{default: {{{settings}}}}}"), expected);
}

/// The same of its `http` block; it begins in column 28.
fn check_http(settings: &str, expected: &str) {
    check_module(&format!("http: {{{settings}}}"), expected);
}

#[test]
fn what_is_no_yaml() {
    check("modules: [", "x");
    check("modules:\n  default:\n path: /\n", "x");
    check("a: b: c", "x");
    check("modules:\n\tdefault: {}", "x");
    check("@", "x");
    check("targets: *missing", "x");
    check("targets: \"", "x");
    check("---\nprobes: {}\n---\nprobes: {}\n", "x");
    check("probes: {}\n...\n%YAML 1.1\n--- {}\n", "x");
    check(&"[".repeat(100), "x");
    check("probes: {\u{1}", "x");
    check(&format!("{}probes", "- ".repeat(200)), "x");
}

#[test]
fn what_has_another_shape() {
    check("[]", "x");
    check("text", "x");
    check("modules: []", "x");
    check("modules: {default: []}", "x");
    check("targets: {}", "x");
    check("targets: [\"http://127.0.0.1:6060\"]", "x");
    check("allow: ~", "x");
    check("allow: [10.0.0.0/8]", "x");
    check("probes: 5", "x");
    check("probes: {total: many}", "x");
    check("probes: {total: -1}", "x");
    check("probes: {total: 1.5}", "x");
    check("probes: {total: 99999999999999999999}", "x");
    check_module("timeout: [10s]", "x");
    check_module("profiles: goroutine", "x");
    check_module("limits: {min_ratio: high}", "x");
    check_http("follow_redirects: yes", "x");
    check_http("basic_auth: hunter2", "x");
    check_http("basic_auth: {username: a, password: [hunter2]}", "x");
    check("? [a]\n: b\n", "x");
    check("modules: {? {a: b} : {}}", "x");
}

#[test]
fn keys_that_are_unknown_or_given_twice() {
    check("module: {}", "x");
    check("modules:\n  default:\n    limits:\n      grups: 20\n", "x");
    check("modules:\n  default:\n    groups: 20\n", "x");
    check("nonsense: 1", "x");
    check("storage: {path: /x}", "x");
    check_module("detail: {mode: auto}", "x");
    check_module("leak: {}", "x");
    check_module("limits: {detail_body_bytes: 1MiB}", "x");
    check_http("oauth2: {}", "x");
    check_http("bearer_token_file: /x", "x");
    check_http("tls_config: {insecure_skip_verfy: true}", "x");
    check("targets: [{uri: \"http://a:1\"}]", "x");
    check("modules:\n  a: {}\n  b: {}\n  a: {}\n", "x");
    check("modules:\n  a:\n    path: /a\n    path: /b\n", "x");
    check("allow: []\nprobes: {}\nallow: []\n", "x");
    check(
        "targets:\n- url: a:1\n  labels:\n    env: a\n    env: b\n",
        "x",
    );
    check_module("classify: {watch: {a: x, a: y}}", "x");
    check_http(
        "http_headers: {X-A: {values: [a]}, X-A: {values: [b]}}",
        "x",
    );
}

#[test]
fn modules() {
    check("modules: {9a: {}}", "x");
    check("modules: {\"\": {}}", "x");
    check(&format!("modules: {{{}: {{}}}}", "a".repeat(65)), "x");
    check_module("path: debug/pprof", "x");
    check_module("path: /debug/../pprof", "x");
    check_module("path: /debug/%2e%2E/pprof", "x");
    check_module("path: \"/debug?x=1\"", "x");
    check_module("path: /a//b", "x");
    check_module("path: /a b", "x");
    check_module(&format!("path: /{}", "a".repeat(1024)), "x");
    check_module("timeout: 10", "x");
    check_module("timeout: 0.5", "x");
    check_module("timeout: 10 seconds", "x");
    check_module("timeout: 0s", "x");
    check_module("timeout: 5m1s", "x");
    check_module("profiles: []", "x");
    check_module("profiles: [goroutine, block]", "x");
    check_module("profiles: [gorutine]", "x");
    check_module("profiles: [heap]", "x");
    check_module("profiles: [goroutine, goroutine]", "x");
    check_module("limits: {groups: 0}", "x");
    check_module("limits: {groups: 101}", "x");
    check_module("limits: {min_goroutines: 1000001}", "x");
    check_module("limits: {min_ratio: 1.01}", "x");
    check_module("limits: {min_ratio: .nan}", "x");
    check_module("limits: {body_bytes: 16MB}", "x");
    check_module("limits: {body_bytes: 1023}", "x");
    check_module("limits: {body_bytes: 257MiB}", "x");
    check_module("limits: {inflated_bytes: 5GiB}", "x");
    check_module("classify: {plumbing: [\"\"]}", "x");
    check_module("classify: {labels: [a, b, a]}", "x");
    check_module("classify: {watch: {\"\": x}}", "x");
    let many: String = (0..501).map(|index| format!("m{index}: {{}},")).collect();
    check(&format!("modules: {{{many}}}"), "x");
}

#[test]
fn http_settings() {
    check_http("basic_auth: {password: hunter2}", "x");
    check_http("basic_auth: {username: a}", "x");
    check_http("basic_auth: {username: \"a:hunter2\", password: x}", "x");
    check_http(
        "basic_auth: {username: a, password: hunter2, password_file: f}",
        "x",
    );
    check_http("basic_auth: {username: a, password_file: \"\"}", "x");
    check_http(
        "basic_auth: {username: a, password: x}, authorization: {credentials: y}",
        "x",
    );
    check_http("authorization: {}", "x");
    check_http("authorization: {type: Basic, credentials: hunter2}", "x");
    check_http(
        "authorization: {type: \"Bearer hunter2\", credentials: x}",
        "x",
    );
    check_http("authorization: {credentials: \"hunter2\\n\"}", "x");
    check_http(
        "authorization: {credentials: hunter2, credentials_file: f}",
        "x",
    );
    check_http("tls_config: {ca: hunter2}", "x");
    check_http(
        "tls_config: {ca: \"-----BEGIN CERTIFICATE-----\", ca_file: f}",
        "x",
    );
    check_http("tls_config: {cert_file: f}", "x");
    check_http("tls_config: {key_file: f}", "x");
    check_http("tls_config: {cert_file: f, key: hunter2}", "x");
    check_http("tls_config: {min_version: TLS11}", "x");
    check_http("tls_config: {min_version: TLS13, max_version: TLS12}", "x");
    check_http("tls_config: {server_name: \"a b\"}", "x");
    check_http("proxy_url: proxy:3128", "x");
    check_http("proxy_url: ftp://proxy:3128", "x");
    check_http("proxy_url: http://user:hunter2@proxy:3128", "x");
    check_http("proxy_url: http://proxy:3128/x", "x");
    check_http("http_headers: {\"X A\": {values: [a]}}", "x");
    check_http("http_headers: {Authorization: {secrets: [hunter2]}}", "x");
    check_http("http_headers: {accept-encoding: {values: [gzip]}}", "x");
    check_http("http_headers: {X-A: {}}", "x");
    check_http(
        "http_headers: {X-A: {values: [a]}, x-a: {values: [b]}}",
        "x",
    );
    check_http("http_headers: {X-A: {secrets: [\"hunter2\\r\\n\"]}}", "x");
}

#[test]
fn targets_and_probes() {
    check("targets: [{}]", "x");
    check("targets: [{url: localhost}]", "x");
    check("targets: [{url: \"http://user:hunter2@a:1\"}]", "x");
    check("targets: [{url: \"http://a:1\"}, {url: \"a:1\"}]", "x");
    check(
        "modules: {prod: {}}\ntargets: [{url: \"a:1\", module: prd}]",
        "x",
    );
    check("targets: [{url: \"a:1\", labels: {9x: a}}]", "x");
    check("targets: [{url: \"a:1\", labels: {__address__: a}}]", "x");
    check("targets: [{url: \"a:1\", labels: {group_id: a}}]", "x");
    check(
        &format!(
            "targets: [{{url: \"a:1\", labels: {{env: {}}}}}]",
            "a".repeat(201)
        ),
        "x",
    );
    let many: String = (0..31).map(|index| format!("l{index}: a,")).collect();
    check(
        &format!("targets: [{{url: \"a:1\", labels: {{{many}}}}}]"),
        "x",
    );
    let many: String = (0..10_001)
        .map(|index| format!("- url: a:{}\n", index % 65_535 + 1))
        .collect();
    check(&format!("targets:\n{many}"), "x");
    check("probes: {per_target: 0}", "x");
    check("probes: {per_target: 5, total: 4}", "x");
    check("probes: {total: 10001}", "x");
    check("probes: {tracked_targets: 0}", "x");
    check("probes: {forget_after: 59s}", "x");
    check("probes: {forget_after: 31d}", "x");
}

#[test]
fn allow() {
    check("allow: [{}]", "x");
    check("allow: [{cidr: 10.0.0.0/8, host: a}]", "x");
    check("allow: [{cidr: 10.0.0.0/8, path: /a}]", "x");
    check("allow: [{host: a, path: /a}]", "x");
    check("allow: [{cidr: 10.0.0.1}]", "x");
    check("allow: [{cidr: 10.1.2.3/8}]", "x");
    check("allow: [{cidr: all}]", "x");
    check("allow: [{host: \"a.*.b\"}]", "x");
    check("allow: [{host: 10.0.0.1}]", "x");
    check("allow: [{path: run/a.sock}]", "x");
    check("allow: [{path: /run/a.sock, ports: [1]}]", "x");
    check("allow: [{host: a, ports: []}]", "x");
    check("allow: [{host: a, ports: [6060, 0]}]", "x");
    check("allow: [{host: a, ports: [65536]}]", "x");
    check("allow: [{host: a, ports: 80}]", "x");
    check("allow:\n- {host: a}\n- {hots: b}\n", "x");
}
