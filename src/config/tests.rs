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
    assert_eq!(
        answer(yaml),
        expected,
        "in answer to:
{yaml}"
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
    check(
        "modules: [",
        "line 1, column 10: modules: expected a map, found a list",
    );
    check(
        "modules:\n  default:\n path: /\n",
        "line 3, column 2: not valid YAML: did not find expected key, while parsing a block mapping",
    );
    check(
        "a: b: c",
        "line 1, column 1: a: unknown key\nknown here: modules, targets, allow, probes",
    );
    check(
        "modules:\n\tdefault: {}",
        "line 2, column 1: not valid YAML: found character that cannot start any token, while scanning for the next token\nYAML is indented with spaces, not with tabs",
    );
    check(
        "@",
        "line 1, column 1: not valid YAML: found character that cannot start any token, while scanning for the next token\ntext that begins with this character goes in quotes",
    );
    check(
        "targets: *missing",
        "line 1, column 10: not valid YAML: unknown anchor\ntext that begins with * goes in quotes",
    );
    check(
        "targets: \"",
        "line 1, column 11: not valid YAML: found unexpected end of stream, while scanning a quoted scalar at line 1 column 10",
    );
    check(
        "---\nprobes: {}\n---\nprobes: {}\n",
        "line 3, column 1: a second YAML document starts here, one is expected",
    );
    check(
        "probes: {}\n...\n%YAML 1.1\n--- {}\n",
        "line 4, column 1: a second YAML document starts here, one is expected",
    );
    check(
        &"[".repeat(100),
        "line 1, column 65: more than 64 brackets are open here",
    );
    check(
        "probes: {\u{1}",
        "line 1, column 10: control character U+0001 is not allowed",
    );
    check(
        &format!("{}probes", "- ".repeat(200)),
        "line 1, column 1: expected a map with modules, targets, allow or probes, found a list",
    );
    check(
        "allow: [{host: *.example}]",
        "line 1, column 17: not valid YAML: did not find expected alphabetic or numeric character, while scanning an alias at line 1 column 16\ntext that begins with * goes in quotes",
    );
    check(
        "targets: [{url: `a`}]",
        "line 1, column 17: not valid YAML: found character that cannot start any token, while scanning for the next token\ntext that begins with this character goes in quotes",
    );
    check(
        &format!("targets:\n- &a {{url: \"h:1\"}}\n{}", "- *a\n".repeat(2)),
        "line 2, column 12: targets[1].url: http://h:1 is given twice, first in targets[0]",
    );
}

#[test]
fn what_has_another_shape() {
    check(
        "[]",
        "line 1, column 1: expected a map with modules, targets, allow or probes, found a list",
    );
    check(
        "text",
        "line 1, column 1: expected a map with modules, targets, allow or probes, found text",
    );
    check(
        "modules: []",
        "line 1, column 10: modules: expected a map, found a list",
    );
    check(
        "modules: {default: []}",
        "line 1, column 20: modules.default: expected a map of a module's settings, found a list",
    );
    check(
        "targets: {}",
        "line 1, column 10: targets: expected a list, found a map\nwrite [ITEM, ITEM], or one line `- ITEM` for each",
    );
    check(
        "targets: [\"http://127.0.0.1:6060\"]",
        "line 1, column 11: targets[0]: expected a map with url, and where wanted module and labels, found text",
    );
    check(
        "allow: ~",
        "line 1, column 8: allow: expected a list, found nothing\nwrite [ITEM, ITEM], or one line `- ITEM` for each",
    );
    check(
        "allow: [10.0.0.0/8]",
        "line 1, column 9: allow[0]: expected a map with cidr, host or path, and where wanted ports, found text",
    );
    check(
        "probes: 5",
        "line 1, column 9: probes: expected a map of bounds on probes, found a whole number",
    );
    check(
        "probes: {total: many}",
        "line 1, column 17: probes.total: expected a whole number, found text",
    );
    check(
        "probes: {total: -1}",
        "line 1, column 17: probes.total: expected a whole number, found a negative number",
    );
    check(
        "probes: {total: 1.5}",
        "line 1, column 17: probes.total: expected a whole number, found a fraction",
    );
    check(
        "probes: {total: 99999999999999999999}",
        "line 1, column 17: probes.total: expected a whole number, found a number of too many digits",
    );
    check_module(
        "timeout: [10s]",
        "line 1, column 30: modules.default.timeout: expected text, found a list",
    );
    check_module(
        "profiles: goroutine",
        "line 1, column 31: modules.default.profiles: expected a list, found text\nwrite [ITEM, ITEM], or one line `- ITEM` for each",
    );
    check_module(
        "limits: {min_ratio: high}",
        "line 1, column 41: modules.default.limits.min_ratio: expected a number, found text",
    );
    check_http(
        "follow_redirects: yes",
        "line 1, column 46: modules.default.http.follow_redirects: expected true or false, found text\nYAML 1.2 knows only these two, without quotes",
    );
    check_http(
        "basic_auth: hunter2",
        "line 1, column 40: modules.default.http.basic_auth: expected a map with username and password, found text",
    );
    check_http(
        "basic_auth: {username: a, password: [hunter2]}",
        "line 1, column 64: modules.default.http.basic_auth.password: expected text, found a list",
    );
    check(
        "? [a]\n: b\n",
        "line 1, column 3: expected a key, found a list",
    );
    check(
        "modules: {? {a: b} : {}}",
        "line 1, column 13: modules: expected a key, found a map",
    );
}

#[test]
fn keys_that_are_unknown_or_given_twice() {
    check(
        "module: {}",
        "line 1, column 1: module: unknown key\ndid you mean modules?",
    );
    check(
        "modules:\n  default:\n    limits:\n      grups: 20\n",
        "line 4, column 7: modules.default.limits.grups: unknown key\ndid you mean groups?",
    );
    check(
        "modules:\n  default:\n    groups: 20\n",
        "line 3, column 5: modules.default.groups: unknown key\ngroups belongs under modules.NAME.limits",
    );
    check(
        "nonsense: 1",
        "line 1, column 1: nonsense: unknown key\nknown here: modules, targets, allow, probes",
    );
    check(
        "storage: {path: /x}",
        "line 1, column 1: storage: unknown key\nthis version does not know it yet",
    );
    check_module(
        "detail: {mode: auto}",
        "line 1, column 21: modules.default.detail: unknown key\nthis version does not know it yet",
    );
    check_module(
        "leak: {}",
        "line 1, column 21: modules.default.leak: unknown key\nthis version does not know it yet",
    );
    check_module(
        "limits: {detail_body_bytes: 1MiB}",
        "line 1, column 30: modules.default.limits.detail_body_bytes: unknown key\nthis version does not know it yet",
    );
    check_http(
        "oauth2: {}",
        "line 1, column 28: modules.default.http.oauth2: unknown key\nthis version does not know it yet",
    );
    check_http(
        "bearer_token_file: /x",
        "line 1, column 28: modules.default.http.bearer_token_file: unknown key\nwrite authorization: { credentials_file: ... }",
    );
    check_http(
        "tls_config: {insecure_skip_verfy: true}",
        "line 1, column 41: modules.default.http.tls_config.insecure_skip_verfy: unknown key\ndid you mean insecure_skip_verify?",
    );
    check(
        "targets: [{uri: \"http://a:1\"}]",
        "line 1, column 12: targets[0].uri: unknown key\ndid you mean url?",
    );
    check(
        "modules:\n  a: {}\n  b: {}\n  a: {}\n",
        "line 4, column 3: modules.a: this key is given twice",
    );
    check(
        "modules:\n  a:\n    path: /a\n    path: /b\n",
        "line 4, column 5: modules.a.path: this key is given twice",
    );
    check(
        "allow: []\nprobes: {}\nallow: []\n",
        "line 3, column 1: allow: this key is given twice",
    );
    check(
        "targets:\n- url: a:1\n  labels:\n    env: a\n    env: b\n",
        "line 5, column 5: targets[0].labels.env: this key is given twice",
    );
    check_module(
        "classify: {watch: {a: x, a: y}}",
        "line 1, column 46: modules.default.classify.watch.a: this key is given twice",
    );
    check_http(
        "http_headers: {X-A: {values: [a]}, X-A: {values: [b]}}",
        "line 1, column 63: modules.default.http.http_headers.X-A: this key is given twice",
    );
}

#[test]
fn modules() {
    check(
        "modules: {9a: {}}",
        "line 1, column 11: modules.9a: expected a name of at most 64 letters, digits, _, . and -, a letter or _ first, found \"9a\"",
    );
    check(
        "modules: {\"\": {}}",
        "line 1, column 11: modules.\"\": expected a name of at most 64 letters, digits, _, . and -, a letter or _ first, found \"\"",
    );
    check(
        &format!("modules: {{{}: {{}}}}", "a".repeat(65)),
        "line 1, column 11: modules.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: expected a name of at most 64 letters, digits, _, . and -, a letter or _ first, found \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
    );
    check_module(
        "path: debug/pprof",
        "line 1, column 27: modules.default.path: expected a path that begins with /, found \"debug/pprof\"",
    );
    check_module(
        "path: /debug/../pprof",
        "line 1, column 27: modules.default.path: expected a path without . and .. in it, found \"/debug/../pprof\"",
    );
    check_module(
        "path: /debug/%2e%2E/pprof",
        "line 1, column 27: modules.default.path: expected a path without . and .. in it, found \"/debug/%2e%2E/pprof\"",
    );
    check_module(
        "path: \"/debug?x=1\"",
        "line 1, column 27: modules.default.path: expected a path without query and fragment, found \"/debug?x=1\"",
    );
    check_module(
        "path: /a//b",
        "line 1, column 27: modules.default.path: expected a path without // in it, found \"/a//b\"",
    );
    check_module(
        "path: /a b",
        "line 1, column 27: modules.default.path: expected a path of URL characters, others written as %XX, found \"/a b\"",
    );
    check_module(
        &format!("path: /{}", "a".repeat(1024)),
        "line 1, column 27: modules.default.path: expected a path of at most 1024 bytes, found \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"...",
    );
    check_module(
        "timeout: 10",
        "line 1, column 30: modules.default.timeout: expected a duration such as 10s, 1m30s or 500ms, found \"10\"\nwrite 10s for seconds",
    );
    check_module(
        "timeout: 0.5",
        "line 1, column 30: modules.default.timeout: expected a duration such as 10s, 1m30s or 500ms, found \"0.5\"",
    );
    check_module(
        "timeout: 10 seconds",
        "line 1, column 30: modules.default.timeout: expected a duration such as 10s, 1m30s or 500ms, found \"10 seconds\"",
    );
    check_module(
        "timeout: 0s",
        "line 1, column 30: modules.default.timeout: 0s is not between 1ms and 5m",
    );
    check_module(
        "timeout: 5m1s",
        "line 1, column 30: modules.default.timeout: 5m1s is not between 1ms and 5m",
    );
    check_module(
        "profiles: []",
        "line 1, column 21: modules.default.profiles: needs goroutine",
    );
    check_module(
        "profiles: [goroutine, block]",
        "line 1, column 43: modules.default.profiles[1]: this version does not read the profile \"block\" yet\nthis version reads goroutine",
    );
    check_module(
        "profiles: [gorutine]",
        "line 1, column 32: modules.default.profiles[0]: expected the name of a profile, found \"gorutine\"\ndid you mean goroutine?",
    );
    check_module(
        "profiles: [heap]",
        "line 1, column 32: modules.default.profiles[0]: expected the name of a profile, found \"heap\"",
    );
    check_module(
        "profiles: [goroutine, goroutine]",
        "line 1, column 43: modules.default.profiles[1]: goroutine is given twice, first in modules.default.profiles[0]",
    );
    check_module(
        "limits: {groups: 0}",
        "line 1, column 38: modules.default.limits.groups: 0 is not between 1 and 100",
    );
    check_module(
        "limits: {groups: 101}",
        "line 1, column 38: modules.default.limits.groups: 101 is not between 1 and 100",
    );
    check_module(
        "limits: {min_goroutines: 1000001}",
        "line 1, column 46: modules.default.limits.min_goroutines: 1000001 is not between 0 and 1000000",
    );
    check_module(
        "limits: {min_ratio: 1.01}",
        "line 1, column 41: modules.default.limits.min_ratio: 1.01 is not between 0 and 1",
    );
    check_module(
        "limits: {min_ratio: .nan}",
        "line 1, column 41: modules.default.limits.min_ratio: NaN is not between 0 and 1",
    );
    check_module(
        "limits: {body_bytes: 16MB}",
        "line 1, column 42: modules.default.limits.body_bytes: expected a size such as 16MiB, 64KiB or 4096, found \"16MB\"",
    );
    check_module(
        "limits: {body_bytes: 1023}",
        "line 1, column 42: modules.default.limits.body_bytes: 1023 is not between 1KiB and 256MiB",
    );
    check_module(
        "limits: {body_bytes: 257MiB}",
        "line 1, column 42: modules.default.limits.body_bytes: 257MiB is not between 1KiB and 256MiB",
    );
    check_module(
        "limits: {inflated_bytes: 5GiB}",
        "line 1, column 46: modules.default.limits.inflated_bytes: 5GiB is not between 1KiB and 1GiB",
    );
    check_module(
        &format!("classify: {{labels: [{}]}}", "same, ".repeat(33)),
        "line 1, column 32: modules.default.classify.labels: 33 entries, at most 32 are allowed",
    );
    check_module(
        "classify: {plumbing: [\"\"]}",
        "line 1, column 43: modules.default.classify.plumbing[0]: expected a text of 1 to 200 bytes, found \"\"",
    );
    check_module(
        "classify: {labels: [a, b, a]}",
        "line 1, column 47: modules.default.classify.labels[2]: a is given twice, first in modules.default.classify.labels[0]",
    );
    check_module(
        "classify: {watch: {\"\": x}}",
        "line 1, column 44: modules.default.classify.watch.\"\": expected a text of 1 to 200 bytes, found \"\"",
    );
    check_module(
        "classify: {watch: {ok: x, bad: \"a[\"}}",
        "line 1, column 52: modules.default.classify.watch.bad: unclosed character class",
    );
    check_module(
        "classify: {watch: {big: \"(a{1000}){1000}\"}}",
        "line 1, column 45: modules.default.classify.watch.big: Compiled regex exceeds size limit of 10485760 bytes.",
    );
    check_module(
        &format!(
            "classify: {{labels: [{}]}}",
            (0..33)
                .map(|index| format!("l{index}, "))
                .collect::<String>()
        ),
        "line 1, column 32: modules.default.classify.labels: 33 entries, at most 32 are allowed",
    );
    let many: String = (0..501).map(|index| format!("m{index}: {{}},")).collect();
    check(
        &format!("modules: {{{many}}}"),
        "line 1, column 1: modules: 501 entries, at most 500 are allowed",
    );
}

#[test]
fn http_settings() {
    check_http(
        "basic_auth: {password: hunter2}",
        "line 1, column 40: modules.default.http.basic_auth.username: required, but missing",
    );
    check_http(
        "basic_auth: {username: a}",
        "line 1, column 40: modules.default.http.basic_auth.password: required, but missing\nwrite password, password_file, or password: \"\" for none",
    );
    check_http(
        "basic_auth: {username: \"a:hunter2\", password: x}",
        "line 1, column 51: modules.default.http.basic_auth.username: expected a user name without colon and control characters",
    );
    check_http(
        "basic_auth: {username: a, password: hunter2, password_file: f}",
        "line 1, column 88: modules.default.http.basic_auth.password_file: cannot be combined with password",
    );
    check_http(
        "basic_auth: {username: a, password_file: \"\"}",
        "line 1, column 69: modules.default.http.basic_auth.password_file: expected the name of a file, found \"\"",
    );
    check_http(
        "basic_auth: {username: a, password: x}, authorization: {credentials: y}",
        "line 1, column 68: modules.default.http.authorization: cannot be combined with basic_auth",
    );
    check_http(
        "authorization: {}",
        "line 1, column 43: modules.default.http.authorization.credentials: required, but missing\nwrite credentials or credentials_file",
    );
    check_http(
        "authorization: {type: Basic, credentials: hunter2}",
        "line 1, column 50: modules.default.http.authorization.type: expected another type than basic, found \"Basic\"\nwrite basic_auth: { username: ..., password: ... }",
    );
    check_http(
        "authorization: {type: \"Bearer hunter2\", credentials: x}",
        "line 1, column 50: modules.default.http.authorization.type: expected one word such as Bearer",
    );
    check_http(
        "authorization: {credentials: \"hunter2\\n\"}",
        "line 1, column 57: modules.default.http.authorization.credentials: expected visible ASCII characters",
    );
    check_http(
        "authorization: {credentials: hunter2, credentials_file: f}",
        "line 1, column 84: modules.default.http.authorization.credentials_file: cannot be combined with credentials",
    );
    check_http(
        "tls_config: {ca: hunter2}",
        "line 1, column 45: modules.default.http.tls_config.ca: expected certificates in PEM",
    );
    check_http(
        "tls_config: {ca: \"-----BEGIN CERTIFICATE-----\", ca_file: f}",
        "line 1, column 85: modules.default.http.tls_config.ca_file: cannot be combined with ca",
    );
    check_http(
        "tls_config: {cert_file: f}",
        "line 1, column 52: modules.default.http.tls_config.cert_file: needs key or key_file",
    );
    check_http(
        "tls_config: {key_file: f}",
        "line 1, column 51: modules.default.http.tls_config.key_file: needs cert or cert_file",
    );
    check_http(
        "tls_config: {cert_file: f, key: hunter2}",
        "line 1, column 60: modules.default.http.tls_config.key: expected a private key in PEM",
    );
    check_http(
        "tls_config: {min_version: TLS11}",
        "line 1, column 54: modules.default.http.tls_config.min_version: expected TLS12 or TLS13, found \"TLS11\"",
    );
    check_http(
        "tls_config: {min_version: TLS13, max_version: TLS12}",
        "line 1, column 74: modules.default.http.tls_config.max_version: cannot be combined with min_version: TLS13",
    );
    check_http(
        "tls_config: {server_name: \"a b\"}",
        "line 1, column 54: modules.default.http.tls_config.server_name: expected a DNS name or an address, found \"a b\"",
    );
    check_http(
        "proxy_url: proxy:3128",
        "line 1, column 39: modules.default.http.proxy_url: expected a URL with http, https, socks5 or socks5h",
    );
    check_http(
        "proxy_url: ftp://proxy:3128",
        "line 1, column 39: modules.default.http.proxy_url: expected a URL with http, https, socks5 or socks5h",
    );
    check_http(
        "proxy_url: http://user:hunter2@proxy:3128",
        "line 1, column 39: modules.default.http.proxy_url: expected a URL without user name and password, which are not supported for proxies",
    );
    check_http(
        "proxy_url: http://proxy:3128/x",
        "line 1, column 39: modules.default.http.proxy_url: expected a URL without path, query and fragment",
    );
    check_http(
        "http_headers: {\"X A\": {values: [a]}}",
        "line 1, column 43: modules.default.http.http_headers.\"X A\": expected the name of a header, found \"X A\"",
    );
    check_http(
        "http_headers: {Authorization: {secrets: [hunter2]}}",
        "line 1, column 43: modules.default.http.http_headers.Authorization: expected a header that the exporter does not set itself, found \"Authorization\"\nwrite basic_auth or authorization",
    );
    check_http(
        "http_headers: {accept-encoding: {values: [gzip]}}",
        "line 1, column 43: modules.default.http.http_headers.accept-encoding: expected a header that the exporter does not set itself, found \"accept-encoding\"",
    );
    check_http(
        "http_headers: {X-A: {}}",
        "line 1, column 43: modules.default.http.http_headers.X-A: needs values, secrets or files",
    );
    check_http(
        "http_headers: {X-A: {values: [a]}, x-a: {values: [b]}}",
        "line 1, column 63: modules.default.http.http_headers.x-a: x-a is given twice, first in modules.default.http.http_headers.X-A",
    );
    check_http(
        "http_headers: {X-A: {secrets: [\"hunter2\\r\\n\"]}}",
        "line 1, column 59: modules.default.http.http_headers.X-A.secrets[0]: expected visible ASCII characters",
    );
}

#[test]
fn headers_are_counted_by_value() {
    let values = |count: usize| {
        format!(
            "http_headers: {{X-A: {{values: [{}]}}, X-B: {{files: [f]}}}}",
            "a, ".repeat(count)
        )
    };
    check_http(&values(49), "accepted");
    let expected =
        "line 1, column 28: modules.default.http.http_headers: 51 entries, at most 50 are allowed";
    check_http(&values(50), expected);
}

#[test]
fn targets_and_probes() {
    check(
        "targets: [{}]",
        "line 1, column 11: targets[0].url: required, but missing",
    );
    check(
        "targets: [{url: localhost}]",
        "line 1, column 17: targets[0].url: the target has no port: write host:port, for example localhost:6060",
    );
    check(
        "targets: [{url: \"http://user:hunter2@a:1\"}]",
        "line 1, column 17: targets[0].url: a target must not hold a user name or password: configure basic_auth or authorization in the module",
    );
    check(
        "targets: [{url: \"http://a:1\"}, {url: \"a:1\"}]",
        "line 1, column 38: targets[1].url: http://a:1 is given twice, first in targets[0]",
    );
    check(
        "modules: {prod: {}}\ntargets: [{url: \"a:1\", module: prd}]",
        "line 2, column 32: targets[0].module: there is no module \"prd\"\ndid you mean prod?",
    );
    check(
        "targets: [{url: \"a:1\", labels: {9x: a}}]",
        "line 1, column 37: targets[0].labels.9x: expected a label name of letters, digits and _, no digit first, found \"9x\"",
    );
    check(
        "targets: [{url: \"a:1\", labels: {__address__: a}}]",
        "line 1, column 46: targets[0].labels.__address__: expected a label name without __ in front, which Prometheus keeps to itself, found \"__address__\"",
    );
    check(
        "targets: [{url: \"a:1\", labels: {group_id: a}}]",
        "line 1, column 43: targets[0].labels.group_id: expected another label name than those the exporter sets, found \"group_id\"",
    );
    check(
        &format!(
            "targets: [{{url: \"a:1\", labels: {{env: {}}}}}]",
            "a".repeat(201)
        ),
        "line 1, column 38: targets[0].labels.env: expected a label value of at most 200 bytes, found \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"...",
    );
    let many: String = (0..31).map(|index| format!("l{index}: a,")).collect();
    check(
        &format!("targets: [{{url: \"a:1\", labels: {{{many}}}}}]"),
        "line 1, column 24: targets[0].labels: 31 entries, at most 30 are allowed",
    );
    let many: String = (0..10_001)
        .map(|index| format!("- url: a:{}\n", index % 65_535 + 1))
        .collect();
    check(
        &format!("targets:\n{many}"),
        "line 1, column 1: targets: 10001 entries, at most 10000 are allowed",
    );
    check(
        "probes: {per_target: 0}",
        "line 1, column 22: probes.per_target: 0 is not between 1 and 100",
    );
    check(
        "probes: {per_target: 5, total: 4}",
        "line 1, column 22: probes.per_target: 5 is not between 1 and 4\nper_target is at most probes.total",
    );
    check(
        "probes: {total: 10001}",
        "line 1, column 17: probes.total: 10001 is not between 1 and 10000",
    );
    check(
        "probes: {tracked_targets: 0}",
        "line 1, column 27: probes.tracked_targets: 0 is not between 1 and 1000000",
    );
    check(
        "probes: {forget_after: 59s}",
        "line 1, column 24: probes.forget_after: 59s is not between 1m and 30d",
    );
    check(
        "probes: {forget_after: 31d}",
        "line 1, column 24: probes.forget_after: 31d is not between 1m and 30d",
    );
}

#[test]
fn allow() {
    check(
        "allow: [{}]",
        "line 1, column 9: allow[0]: needs cidr, host or path",
    );
    check(
        "allow: [{cidr: 10.0.0.0/8, host: a}]",
        "line 1, column 34: allow[0].host: cannot be combined with cidr",
    );
    check(
        "allow: [{cidr: 10.0.0.0/8, path: /a}]",
        "line 1, column 34: allow[0].path: cannot be combined with cidr",
    );
    check(
        "allow: [{host: a, path: /a}]",
        "line 1, column 25: allow[0].path: cannot be combined with host",
    );
    check(
        "allow: [{cidr: 10.0.0.1}]",
        "line 1, column 16: allow[0].cidr: expected a network such as 10.0.0.0/8 or fd00::/8, found \"10.0.0.1\"\nwrite 10.0.0.1/32",
    );
    check(
        "allow: [{cidr: 10.1.2.3/8}]",
        "line 1, column 16: allow[0].cidr: expected a network without host bits, found \"10.1.2.3/8\"\nwrite 10.0.0.0/8 or 10.1.2.3/32",
    );
    check(
        "allow: [{cidr: all}]",
        "line 1, column 16: allow[0].cidr: expected a network such as 10.0.0.0/8 or fd00::/8, found \"all\"",
    );
    check(
        "allow: [{host: \"a.*.b\"}]",
        "line 1, column 16: allow[0].host: a host must be a name such as app.example, or *.example for every name below it",
    );
    check(
        "allow: [{host: 10.0.0.1}]",
        "line 1, column 16: allow[0].host: an address is permitted by cidr: write {cidr: \"10.0.0.1/32\"}",
    );
    check(
        "allow: [{path: run/a.sock}]",
        "line 1, column 16: allow[0].path: a socket's path must be absolute and hold no '.' or '..' segments",
    );
    check(
        "allow: [{path: /run/a.sock, ports: [1]}]",
        "line 1, column 29: allow[0].ports: cannot be combined with path",
    );
    check(
        "allow: [{host: a, ports: []}]",
        "line 1, column 19: allow[0].ports: needs a port\nleave ports out to permit every port",
    );
    check(
        "allow: [{host: a, ports: [6060, 0]}]",
        "line 1, column 33: allow[0].ports[1]: 0 is not between 1 and 65535",
    );
    check(
        "allow: [{host: a, ports: [65536]}]",
        "line 1, column 27: allow[0].ports[0]: 65536 is not between 1 and 65535",
    );
    check(
        "allow: [{host: a, ports: 80}]",
        "line 1, column 26: allow[0].ports: expected a list, found a whole number\nwrite [ITEM, ITEM], or one line `- ITEM` for each",
    );
    check(
        "allow:\n- {host: a}\n- {hots: b}\n",
        "line 3, column 4: allow[1].hots: unknown key\ndid you mean host?",
    );
}

/// Every file of `examples/config`, by name.
fn examples() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/config");
    let files = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .map(|file| {
            (
                file.display().to_string(),
                std::fs::read_to_string(&file).unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_example_can_be_used() {
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    for (file, text) in examples {
        if let Err(error) = Config::from_yaml(&text) {
            panic!("{file}: {error}");
        }
    }
}

#[test]
fn the_reference_shows_the_defaults_and_every_key() {
    let examples = examples();
    let (_, text) = examples
        .iter()
        .find(|(file, _)| file.ends_with("/reference.yml"))
        .unwrap();
    assert_eq!(Config::from_yaml(text), Ok(Config::default()));
    // The same with its optional lines taken in: those behind `#: `.
    let whole = text.replace("#: ", "");
    let config = Config::from_yaml(&whole).unwrap_or_else(|error| panic!("{error} in\n{whole}"));
    assert_ne!(config, Config::default());
    for key in hint::known_keys() {
        assert!(
            whole.contains(&format!(" {key}:")) || whole.contains(&format!("\n{key}:")),
            "{key}"
        );
    }
}
