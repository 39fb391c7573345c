//! `http` blocks that cannot be used.

use super::*;

#[test]
fn credentials() {
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
}

#[test]
fn tls() {
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
}

#[test]
fn proxies() {
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
}

#[test]
fn headers() {
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
