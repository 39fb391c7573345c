//! Files of `--web.config.file`, good ones and those that are refused.

use super::*;

const HASH: &str = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";

/// Reads a file whose folder is `/etc/x`.
fn read(yaml: &str) -> Result<WebConfig, ConfigError> {
    WebConfig::from_bytes(yaml.as_bytes(), Path::new("/etc/x/web.yml"))
}

fn tls(more: &str) -> Result<ServerTls, ConfigError> {
    let yaml = format!("tls_server_config:\n  cert_file: s.crt\n  key_file: s.key\n{more}");
    read(&yaml).map(|config| config.tls.unwrap())
}

#[test]
fn without_keys_everybody_may_ask() {
    for yaml in [
        "",
        "---",
        "# nothing",
        "tls_server_config: {}",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
        "rate_limit: { interval: 0, burst: 0 }",
        "rate_limit: { burst: 20 }",
    ] {
        assert_eq!(read(yaml), Ok(WebConfig::default()), "{yaml}");
    }
    assert!(!WebConfig::default().is_authenticated());
}

/// The example of exporter-toolkit's documentation, with hashes of the passwords it has there.
#[test]
fn the_documented_example_reads_as_documented() {
    let yaml = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users:\n  alice: {HASH}\n  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m\nrate_limit:\n  interval: \"1s\"\n  burst: 20\n"
    );
    let config = read(&yaml).unwrap();
    let names: Vec<&str> = config.users.iter().map(|user| &*user.name).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(config.users[0].hash.reveal(), HASH);
    let limit = RateLimit {
        interval: Duration::from_secs(1),
        burst: 20,
    };
    assert_eq!(config.rate_limit, Some(limit));
    assert!(config.http2 && config.is_authenticated() && config.headers.is_empty());
    let expected = ServerTls {
        cert: Pem::File("/etc/x/server.crt".into()),
        key: Secret::File("/etc/x/server.key".into()),
        client: ClientAuth {
            policy: ClientPolicy::NoClientCert,
            ca: None,
            allowed_sans: None,
        },
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
        suites: None,
        server_order: true,
        curves: None,
    };
    assert_eq!(config.tls, Some(expected));
}

#[test]
fn tls_is_read_key_by_key() {
    let all = tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: /ca.pem\n  client_allowed_sans: [one, 10.0.0.1]\n  min_version: TLS12\n  max_version: TLS12\n  cipher_suites:\n  - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n  - TLS_AES_128_GCM_SHA256\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  prefer_server_cipher_suites: false\n  curve_preferences: [X25519, CurveP384, X25519]\n").unwrap();
    assert_eq!(
        all.client,
        ClientAuth {
            policy: ClientPolicy::RequireAndVerifyClientCert,
            ca: Some(Pem::File("/ca.pem".into())),
            allowed_sans: Some(vec!["one".to_owned(), "10.0.0.1".to_owned()]),
        }
    );
    assert_eq!(
        (all.min_version, all.max_version),
        (TlsVersion::Tls12, TlsVersion::Tls12)
    );
    let suites = [
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ];
    assert_eq!(all.suites.as_deref(), Some(&suites[..]));
    assert!(!all.server_order && all.verifies_clients());
    assert_eq!(all.curves, Some(vec![Curve::X25519, Curve::P384]));
    // Suites of TLS 1.3 are on whether listed or not; alone they leave nothing for TLS 1.2.
    let alone = tls("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n").unwrap();
    assert_eq!(alone.suites, Some(Vec::new()));
    let policy = |text: &str| {
        tls(&format!("  client_auth_type: {text}\n"))
            .unwrap()
            .client
            .policy
    };
    assert_eq!(policy("\"\""), ClientPolicy::NoClientCert);
    assert_eq!(
        policy("RequireClientCert"),
        ClientPolicy::RequireAnyClientCert
    );
    for known in [
        ClientPolicy::NoClientCert,
        ClientPolicy::RequestClientCert,
        ClientPolicy::RequireAnyClientCert,
        ClientPolicy::VerifyClientCertIfGiven,
    ] {
        assert_eq!(policy(known.as_str()), known);
    }
}

#[test]
fn only_what_is_verified_authenticates() {
    let check = |policy: &str, sans: bool, expected: bool| {
        let ca = if policy.starts_with("No") {
            ""
        } else {
            "  client_ca_file: ca.pem\n"
        };
        let sans = if sans {
            "  client_allowed_sans: [a]\n"
        } else {
            ""
        };
        let tls = tls(&format!("  client_auth_type: {policy}\n{ca}{sans}")).unwrap();
        assert_eq!(tls.verifies_clients(), expected, "{policy}");
    };
    check("NoClientCert", false, false);
    check("RequestClientCert", true, false);
    check("RequireAnyClientCert", true, false);
    check("VerifyClientCertIfGiven", false, false);
    check("VerifyClientCertIfGiven", true, true);
    check("RequireAndVerifyClientCert", false, true);
}

#[test]
fn headers_are_those_that_may_be_chosen() {
    // As exporter-toolkit's own test has it: 1 is no text in YAML, and yet a header's value.
    let config = read("http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    X-Content-Type-Options: nosniff\n    X-XSS-Protection: 1\n    Content-Security-Policy: \"\"\n").unwrap();
    let expected = [
        ("Content-Security-Policy", ""),
        ("X-Frame-Options", "deny"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-XSS-Protection", "1"),
        (
            "Strict-Transport-Security",
            "max-age=31536000; includeSubDomains",
        ),
    ];
    let expected = expected.map(|(name, value)| (name, value.to_owned()));
    assert_eq!(config.headers, expected);
}

/// The faults of exporter-toolkit's testdata, and those it lets pass; each names file, line and key.
#[test]
fn faults_have_a_place() {
    let check = |yaml: &str, expected: &str| {
        let error = read(yaml).unwrap_err();
        let text = error.to_string();
        let text = text.strip_prefix("/etc/x/web.yml").unwrap();
        let hint = error
            .hint
            .map(|hint| format!(" | {hint}"))
            .unwrap_or_default();
        assert_eq!(format!("{text}{hint}"), expected, "{yaml}");
    };
    check(
        "hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr",
        ":1:1: expected a map with tls_server_config, http_server_config, basic_auth_users or rate_limit, found text",
    );
    check(
        "tls_server_config:\n  cert_filse: a",
        ":2:3: tls_server_config.cert_filse: unknown key | did you mean cert_file?",
    );
    check(
        "tls_config: {}",
        ":1:1: tls_config: unknown key | write tls_server_config",
    );
    check(
        "cert_file: a",
        ":1:1: cert_file: unknown key | cert_file belongs under tls_server_config",
    );
    check(
        "basic_auth_users: {}\nbasic_auth_users: {}\n",
        ":2:1: basic_auth_users: this key is given twice",
    );
    check(
        &format!("basic_auth_users:\n  a: {HASH}\n  a: {HASH}\n"),
        ":3:3: basic_auth_users.a: this key is given twice",
    );
    check(
        "basic_auth_users:\n  john: doe",
        ":2:9: basic_auth_users.john: expected a bcrypt hash, which begins with $2y$ and has 60 characters | make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'",
    );
    check(
        &format!("basic_auth_users: {{ \"a:b\": {HASH} }}"),
        ":1:28: basic_auth_users.\"a:b\": expected a user name of 1 to 256 bytes, without colon and control characters, found \"a:b\"",
    );
    check(
        "http_server_config: { headers: { Content-Type: foo } }",
        ":1:34: http_server_config.headers.Content-Type: unknown key | known here: Content-Security-Policy, X-Frame-Options, X-Content-Type-Options, X-XSS-Protection, Strict-Transport-Security",
    );
    check(
        "http_server_config: { headers: { X-Frame-Options: foo } }",
        ":1:51: http_server_config.headers.X-Frame-Options: expected deny or sameorigin, found \"foo\"",
    );
    check(
        "http_server_config: { headers: { X-Content-Type-Options: sniff } }",
        ":1:58: http_server_config.headers.X-Content-Type-Options: expected nosniff, found \"sniff\"",
    );
    check(
        "http_server_config: { headers: { X-XSS-Protection: \"a\\nb\" } }",
        ":1:52: http_server_config.headers.X-XSS-Protection: expected visible ASCII characters, found \"a\\nb\"",
    );
    check(
        "rate_limit: { interval: 5 }",
        ":1:25: rate_limit.interval: expected a duration such as 1s, 100ms or 1m30s, or 0 for no limit, found \"5\" | write 5s for seconds",
    );
    check(
        "rate_limit:\n  interval: 1s\n",
        ":2:3: rate_limit.burst: 0 is not between 1 and 1000000 | burst is the number of requests that may come at once; with 0 none ever could",
    );
    check(
        "rate_limit: { interval: 1s, burst: -1 }",
        ":1:36: rate_limit.burst: expected a whole number, found a negative number",
    );
}

#[test]
fn faults_of_tls_have_a_place() {
    let check = |more: &str, expected: &str| {
        let error = tls(more).unwrap_err();
        let text = error.to_string();
        let text = text.strip_prefix("/etc/x/web.yml").unwrap();
        let hint = error
            .hint
            .map(|hint| format!(" | {hint}"))
            .unwrap_or_default();
        assert_eq!(format!("{text}{hint}"), expected, "{more}");
    };
    let bare = |yaml: &str, expected: &str| {
        let error = read(&format!("tls_server_config: {{ {yaml} }}"));
        let text = error.unwrap_err().to_string();
        assert_eq!(text.strip_prefix("/etc/x/web.yml"), Some(expected));
    };
    bare(
        "cert_file: \"\", key_file: k",
        ":1:33: tls_server_config.cert_file: expected the name of a file, found \"\"",
    );
    bare(
        "cert: \"\", key_file: k",
        ":1:28: tls_server_config.cert: expected certificates in PEM",
    );
    bare(
        "cert_file: c, key: \"\"",
        ":1:41: tls_server_config.key: expected a private key in PEM",
    );
    bare(
        "cert_file: c",
        ":1:20: tls_server_config.key_file: required, but missing",
    );
    bare(
        "key_file: k",
        ":1:20: tls_server_config.cert_file: required, but missing",
    );
    bare(
        "min_version: TLS13",
        ":1:20: tls_server_config.cert_file: required, but missing",
    );
    check(
        "  cert: x",
        ":2:14: tls_server_config.cert_file: cannot be combined with cert",
    );
    check(
        "  client_auth_type: x",
        ":4:21: tls_server_config.client_auth_type: expected NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert, found \"x\"",
    );
    check(
        "  client_ca_file: /dev/null",
        ":4:19: tls_server_config.client_ca_file: needs a client_auth_type that asks for certificates | write client_auth_type: RequireAndVerifyClientCert",
    );
    check(
        "  client_auth_type: RequireAndVerifyClientCert",
        ":4:21: tls_server_config.client_auth_type: needs client_ca or client_ca_file",
    );
    check(
        "  client_allowed_sans: [a]",
        ":4:3: tls_server_config.client_allowed_sans: needs a client_auth_type that asks for certificates | write client_auth_type: RequireAndVerifyClientCert",
    );
    check(
        "  client_auth_type: RequestClientCert\n  client_allowed_sans: []",
        ":5:3: tls_server_config.client_allowed_sans: needs a name, or nobody could connect",
    );
    check(
        "  min_version: TLS111",
        ":4:16: tls_server_config.min_version: expected TLS12 or TLS13, found \"TLS111\"",
    );
    check(
        "  min_version: TLS11",
        ":4:16: tls_server_config.min_version: expected TLS12 or TLS13, found \"TLS11\" | TLS 1.0 and 1.1 are broken (RFC 8996), and the TLS library here does not have them",
    );
    check(
        "  min_version: TLS13\n  max_version: TLS12",
        ":5:16: tls_server_config.max_version: cannot be combined with min_version: TLS13",
    );
    check(
        "  cipher_suites:\n  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048",
        ":5:5: tls_server_config.cipher_suites[0]: expected a cipher suite with GCM or CHACHA20_POLY1305, found \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048\" | did you mean TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256?",
    );
    check(
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]",
        ":4:58: tls_server_config.cipher_suites[1]: expected a cipher suite with GCM or CHACHA20_POLY1305, found \"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA\" | suites with CBC or without forward secrecy are not implemented here",
    );
    check(
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  max_version: TLS12",
        ":4:3: tls_server_config.cipher_suites: needs a suite that HTTP/2 requires | add TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 or write http_server_config: { http2: false }",
    );
    check(
        "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  max_version: TLS12",
        ":4:3: tls_server_config.cipher_suites: needs a suite of TLS 1.2, since max_version is TLS12",
    );
    check(
        "  curve_preferences: [CurveP257]",
        ":4:23: tls_server_config.curve_preferences[0]: expected CurveP256, CurveP384 or X25519, found \"CurveP257\"",
    );
    check(
        "  curve_preferences: [CurveP521]",
        ":4:23: tls_server_config.curve_preferences[0]: expected CurveP256, CurveP384 or X25519, found \"CurveP521\" | P-521 is not implemented here; CurveP384 is the next",
    );
    let good = "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  max_version: TLS12\nhttp_server_config: { http2: false }\n";
    assert!(tls(good).is_ok());
}

#[test]
fn secrets_do_not_print() {
    let yaml = format!(
        "tls_server_config:\n  cert_file: c\n  key: \"-----BEGIN PRIVATE KEY-----MIIsecret\"\nbasic_auth_users:\n  alice: {HASH}\n"
    );
    let shown = format!("{:?}", read(&yaml).unwrap());
    assert!(
        shown.contains("alice") && !shown.contains("$2y$") && !shown.contains("MIIsecret"),
        "{shown}"
    );
    for yaml in [
        "basic_auth_users: { a: hunter2 }",
        "basic_auth_users: { a: [hunter2] }",
        "basic_auth_users: { hunter2 }",
        "tls_server_config: { cert_file: c, key: hunter2 }",
        "tls_server_config: { cert: hunter2, key_file: k }",
        "basic_auth_users: hunter2",
    ] {
        let error = read(yaml).unwrap_err();
        let shown = format!("{error} {error:?}");
        let key = yaml == "basic_auth_users: { hunter2 }";
        assert!(key || !shown.contains("hunter2"), "{shown}");
    }
}
