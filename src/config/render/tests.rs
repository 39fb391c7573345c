//! What `/config` shows, that it reads back, and that it holds no secrets.

use proptest::prelude::*;

use super::super::raw;
use super::*;

/// The defaults, as documented.
const DEFAULTS: &str = "\
modules:
  default:
    path: /debug/pprof
    timeout: 10s
    profiles:
    - goroutine
    http:
      tls_config:
        insecure_skip_verify: false
      follow_redirects: false
      enable_http2: true
      credentials_over_http: false
    detail:
      mode: auto
      source: debug2
      max_frames: 10000
      min_interval: 10m
    leak:
      max_goroutines: 20000
      min_interval: 10m
    trace:
      mode: off
      min_interval: 5m
      window: 500ms
      max_bytes: 16MiB
      max_goroutines: 100000
    classify:
      plumbing: []
      app_packages: []
      labels: []
      watch: {}
    limits:
      groups: 20
      min_goroutines: 5
      min_ratio: 0.0
      body_bytes: 16MiB
      detail_body_bytes: 64MiB
      inflated_bytes: 128MiB
targets: []
file_sd_configs: []
dns_sd_configs: []
godebug: []
probes:
  per_target: 1
  total: 64
  tracked_targets: 10000
  forget_after: 1h
storage:
  path: ''
  max_bytes: 256MiB
  per_target: 20
  max_age: 30d
";

#[test]
fn the_defaults_are_written_out() {
    assert_eq!(Config::default().render(), DEFAULTS);
    assert_eq!(Config::from_yaml(DEFAULTS), Ok(Config::default()));
    for empty in [
        "",
        "# nothing\n",
        "---\n",
        "modules:\n",
        "modules: {default: }",
        "modules: {}",
        "targets: []",
    ] {
        assert_eq!(Config::from_yaml(empty), Ok(Config::default()), "{empty}");
    }
}

#[test]
fn what_is_configured_reads_back() {
    let check = |yaml: &str| {
        let config = Config::from_yaml(yaml).unwrap_or_else(|error| panic!("{error} in {yaml}"));
        let rendered = config.render();
        assert_eq!(
            Config::from_yaml(&rendered).as_ref(),
            Ok(&config),
            "{rendered}"
        );
        rendered
    };
    check("modules: {a: {path: /}, b: {path: /x/}}");
    check("modules: {a: &x {timeout: 1m30s}, b: *x}");
    check(
        "modules: {a: {profiles: [goroutine], limits: {groups: 1, min_goroutines: 0, min_ratio: 0.25}}}",
    );
    check(
        "modules: {a: {limits: {body_bytes: 4097, detail_body_bytes: 1MiB, inflated_bytes: 1GiB}}}",
    );
    check(
        "modules: {a: {detail: {mode: always, source: debug3, max_frames: 1, min_interval: 1h}}}",
    );
    check(
        "modules: {a: {profiles: [threadcreate, mutex, block, goroutineleak], detail: {mode: off}, leak: {max_goroutines: 7, min_interval: 1d}}}",
    );
    check(
        "modules: {a: {classify: {plumbing: [a/...], app_packages: [b], labels: [c d], watch: {y: \"^x\", n: \"[a-z]\"}}}}",
    );
    check("modules: {a: {http: {basic_auth: {username: u, password_file: /run/p}}}}");
    check("modules: {a: {http: {authorization: {type: Token, credentials_file: t}}}}");
    check(
        "modules: {a: {http: {tls_config: {ca_file: ca, cert_file: c, key_file: k, server_name: n, min_version: TLS12, max_version: TLS13}}}}",
    );
    check(
        "modules: {a: {http: {tls_config: {ca: \"-----BEGIN CERTIFICATE-----\\nQQ==\\n-----END CERTIFICATE-----\\n\"}}}}",
    );
    check(
        "modules: {a: {http: {proxy_url: \"socks5://p:1080\", follow_redirects: true, enable_http2: false}}}",
    );
    check("modules: {a: {http: {http_headers: {X-A: {files: [a, b]}, X-B: {files: [a]}}}}}");
    check("targets: [{url: h:1, labels: {env: \"yes\", n: \"010\", empty: \"\", l: \"a\\nb\"}}]");
    check("targets: [{url: \"unix:///run/a.sock\"}, {url: \"https://h/p/\"}, {url: \"[::1]:1\"}]");
    let none = check("allow: []");
    assert!(none.contains("allow: []"));
    check(
        "allow: [{cidr: 10.0.0.0/8, ports: [1, 65535]}, {cidr: fd00::/8}, {host: \"*.a.b\"}, {host: a, ports: [1]}, {path: /run/}]",
    );
    check("modules: {a: {allow: []}}");
    check(
        "modules: {a: {allow: [{cidr: 10.0.0.0/8, ports: [1]}, {host: \"*.a.b\"}, {path: /run/}], http: {credentials_over_http: true}}}",
    );
    check("probes: {per_target: 2, total: 2, tracked_targets: 1, forget_after: 1m}");
    check("storage: {path: /var/x, max_bytes: 1GiB, per_target: 1, max_age: 3650d}");
    check("storage: {path: \"a b\", max_bytes: 1025}");
}

#[test]
fn an_empty_allow_is_not_a_missing_one() {
    assert_eq!(Config::from_yaml("targets: []").unwrap().allow(), None);
    assert_eq!(
        Config::from_yaml("allow: []").unwrap().allow(),
        Some(&[][..])
    );
    // Whoever takes out the last entry has not opened everything else.
    assert_eq!(
        Config::from_yaml("allow:\n# - cidr: 10.0.0.0/8\n")
            .unwrap()
            .allow(),
        Some(&[][..])
    );
}

#[test]
fn secrets_are_hidden_and_their_files_are_not() {
    let yaml = "modules: {a: {http: {basic_auth: {username: u, password: hunter2}, http_headers: {X-A: {values: [hunter3], files: [f]}}}}}";
    let rendered = Config::from_yaml(yaml).unwrap().render();
    let expected = "
      basic_auth:
        username: u
        password: <secret>
      tls_config:
        insecure_skip_verify: false
      follow_redirects: false
      http_headers:
        X-A:
          secrets:
          - <secret>
          files:
          - f
      enable_http2: true
";
    assert!(rendered.contains(expected), "{rendered}");
}

/// Places where a secret may stand, right or wrong; `@` stands for it.
const PLACES: [&str; 40] = [
    "basic_auth: {username: u, password: @}",
    "basic_auth: {username: u, password: \"@\"}",
    "basic_auth: {username: u, password: [@]}",
    "basic_auth: {username: u, password: {a: @}}",
    "basic_auth: {username: u, password: {@}}",
    "basic_auth: {username: u, password: !!int @}",
    "basic_auth: {username: u, password: !!null @}",
    "basic_auth: {username: u, password: !!bool @}",
    "basic_auth: {username: u, password: !tag @}",
    "basic_auth: {username: u, password: *@}",
    "basic_auth: {username: u, password: &@ }",
    "basic_auth: {username: u, password: \"@}",
    "basic_auth: {username: u, password: @, password_file: f}",
    "basic_auth: {password: @}",
    "basic_auth: {username: \"u:@\", password: @}",
    "basic_auth: @",
    "basic_auth: [@]",
    "authorization: @",
    "authorization: Bearer @",
    "authorization: {credentials: @}",
    "authorization: {credentials: Bearer @}",
    "authorization: {type: Bearer @}",
    "authorization: {type: Bearer @, credentials: @}",
    "authorization: {credentials: \"@\\n\"}",
    "authorization: {type: basic, credentials: @}",
    "authorization: {credentials: @}, basic_auth: {username: u, password: @}",
    "tls_config: {cert_file: f, key: @}",
    "tls_config: {cert_file: f, key: \"-----BEGIN PRIVATE KEY-----@\"}",
    "tls_config: {key: \"-----BEGIN PRIVATE KEY-----@\"}",
    "tls_config: {cert: \"-----BEGIN PRIVATE KEY-----@\"}",
    "tls_config: {ca: \"-----BEGIN CERTIFICATE----- -----BEGIN PRIVATE KEY-----@\"}",
    "proxy_url: \"http://u:@@p:1\"",
    "proxy_url: \"u:@@p:1\"",
    "proxy_url: [@]",
    "http_headers: {X-A: @}",
    "http_headers: {X-A: {values: @}}",
    "http_headers: {X-A: {values: [@]}}",
    "http_headers: {X-A: {secrets: [@, \"@\\0\"]}}",
    "http_headers: {X-A: {secrets: [{a: @}]}}",
    "http_headers: {X-A: {values: [@]}, x-a: {values: [@]}}",
];

proptest! {
    #[test]
    fn secrets_never_show(secret in "(S3|77|0x|1e|-9|\\.5)[a-zA-Z0-9]{8,12}|[1-9][0-9]{10,24}") {
        let places = PLACES.iter().map(|place| {
            format!("modules: {{default: {{http: {{{}}}}}}}", place.replace("@@", "\u{1}").replace('@', &secret).replace('\u{1}', &format!("{secret}@")))
        });
        let url = format!("targets: [{{url: \"http://u:{secret}@h:1\"}}]");
        for yaml in places.chain([url]) {
            let shown = match Config::from_yaml(&yaml) {
                Ok(config) => format!("{config:?} {config:#?} {}", config.render()),
                Err(error) => format!("{error} {error:?} {error:#?}"),
            };
            prop_assert!(!shown.contains(&secret), "{yaml}\n{shown}");
        }
    }

    #[test]
    fn any_configuration_reads_back(
        name in "[A-Za-z_][A-Za-z0-9_.-]{0,63}",
        path in "(/[a-zA-Z0-9_~%!$&'()*+,;=:@-]{1,9}){0,3}/?",
        millis in 1_u64..=300_000,
        sizes in (1024_u64..=256 << 20, 1024_u64..=1 << 30, 1024_u64..=1 << 30),
        budget in (0_usize..3, 0_usize..2, 1_u64..=100_000_000, 60_000_u64..=86_400_000),
        series in (1_u64..=100, 0_u64..=1_000_000, 0.0_f64..=1.0),
        texts in proptest::collection::btree_set("\\PC{1,20}", 0..5),
        label in ("[a-z]{4}_[a-z0-9]{0,4}", any::<String>()),
        flags in any::<(bool, bool, bool, bool)>(),
        probes in (1_u64..=100, 100_u64..=10_000, 1_u64..=1_000_000, 60_000_u64..=2_592_000_000),
        files in proptest::collection::vec("[^\u{0}]{1,9}", 3),
        packages in proptest::collection::vec("[!-)+-.0-~]{1,8}(/[!-)+-.0-~]{1,8}){0,2}", 0..4),
    ) {
        // One of each: what is given twice is refused.
        let packages: std::collections::BTreeSet<String> = packages.into_iter().filter(|package| !package.contains("...")).collect();
        let packages: Vec<String> = packages.into_iter().collect();
        let texts: Vec<String> = texts.into_iter().collect();
        let text = |duration| DurationText(std::time::Duration::from_millis(duration)).to_string();
        let module = RawModule {
            path: Some(if path.is_empty() { "/".to_owned() } else { path }),
            timeout: Some(text(millis)),
            profiles: None,
            http: Some(RawHttp {
                basic_auth: flags.0.then(|| RawBasicAuth {
                    username: Some("\\u".to_owned()),
                    password: None,
                    password_file: files.first().cloned(),
                }),
                tls_config: Some(RawTls { ca_file: files.get(1).cloned(), insecure_skip_verify: Some(flags.1), ..RawTls::default() }),
                follow_redirects: Some(flags.2),
                enable_http2: Some(flags.3),
                credentials_over_http: Some(flags.0),
                ..RawHttp::default()
            }),
            detail: Some(RawDetail {
                mode: Some(["auto", "off", "always"][budget.0].to_owned()),
                source: Some(["debug2", "debug3"][budget.1].to_owned()),
                max_frames: Some(budget.2),
                min_interval: Some(text(budget.3)),
            }),
            leak: Some(RawLeak {
                max_goroutines: Some(budget.2),
                min_interval: Some(text(budget.3)),
            }),
            trace: Some(RawTrace {
                mode: Some(["auto", "off", "off"][budget.0].to_owned()),
                min_interval: Some(text(budget.3)),
                window: Some("20ms".to_owned()),
                max_bytes: Some("1MiB".to_owned()),
                max_goroutines: Some(budget.2),
            }),
            classify: Some(RawClassify {
                plumbing: Some(packages.clone()),
                app_packages: Some(packages),
                labels: Some(texts.clone()),
                watch: Some(UniqueMap(texts.iter().map(|name| (name.clone(), "^a|b$".to_owned())).collect())),
            }),
            limits: Some(RawLimits {
                groups: Some(series.0),
                min_goroutines: Some(series.1),
                min_ratio: Some(series.2),
                body_bytes: Some(SizeText(sizes.0).to_string()),
                detail_body_bytes: Some(sizes.2.to_string()),
                inflated_bytes: Some(sizes.1.to_string()),
            }),
            allow: flags.1.then(|| vec![RawAllow { host: Some("h".to_owned()), ..RawAllow::default() }]),
        };
        let value: String = label.1.chars().take(40).collect();
        let raw = RawConfig {
            modules: Some(UniqueMap(vec![(name.clone(), Some(module))])),
            targets: Some(vec![RawTarget {
                url: Some("h:1".to_owned()),
                module: Some(name),
                labels: Some(UniqueMap(vec![(label.0, value)])),
            }]),
            file_sd_configs: None,
            dns_sd_configs: None,
            godebug: None,
            allow: flags.0.then(Vec::new),
            probes: Some(RawProbes {
                per_target: Some(probes.0),
                total: Some(probes.1),
                tracked_targets: Some(probes.2),
                forget_after: Some(text(probes.3)),
            }),
            storage: Some(RawStorage {
                path: files.get(2).cloned(),
                max_bytes: Some(sizes.0.to_string()),
                per_target: Some(probes.0),
                max_age: Some(text(probes.3.max(3_600_000))),
            }),
        };
        let config = Config::from_yaml(&raw::print(&raw).unwrap());
        let config = config.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(Config::from_yaml(&config.render()), Ok(config));
    }
}
