use proptest::prelude::*;

use super::super::Config;
use super::*;

fn refused(yaml: &str) -> String {
    Config::from_yaml(yaml).unwrap_err().to_string()
}

#[test]
fn everything_has_a_default_but_where_to_look() {
    let yaml = "modules: {m: {}}\n\
        file_sd_configs: [{files: [a.yml]}, {files: [/b/*.json], refresh_interval: 1m, module: m}]\n\
        dns_sd_configs: [{names: [_a._tcp.b.]}, {names: [a, b], type: AAAA, port: 1, refresh_interval: 5s, scheme: https, module: m, labels: {k: v}}]";
    let config = Config::from_yaml_in(yaml, Path::new("/etc/ge")).unwrap();
    let [first, second] = config.file_sd() else {
        panic!("{config:?}");
    };
    assert_eq!(first.files[0].to_string(), "/etc/ge/a.yml");
    assert_eq!(first.refresh_interval, DEFAULT_FILE_REFRESH);
    assert_eq!(first.module, ModuleName::default());
    assert!(!first.files[0].is_glob() && second.files[0].is_glob());
    assert_eq!(second.files[0].parts(), Some((Path::new("/b"), "*.json")));
    assert_eq!(second.refresh_interval, Duration::from_mins(1));
    let [first, second] = config.dns_sd() else {
        panic!("{config:?}");
    };
    assert_eq!((first.record, first.port), (RecordType::Srv, 0));
    assert_eq!(first.refresh_interval, DEFAULT_DNS_REFRESH);
    assert!(!first.tls && second.tls);
    assert_eq!((second.record, second.port), (RecordType::Aaaa, 1));
    assert_eq!(second.labels["k"], "v");
    assert_eq!(Config::from_yaml(&config.render()), Ok(config));
}

#[test]
fn what_cannot_be_looked_at_is_refused() {
    let check = |yaml: &str, expected: &str| assert_eq!(refused(yaml), expected, "{yaml}");
    check(
        "file_sd_configs: [{}]",
        "line 1, column 19: file_sd_configs[0].files: required, but missing",
    );
    check(
        "file_sd_configs: [{files: [a.txt]}]",
        "line 1, column 28: file_sd_configs[0].files[0]: expected a path that ends in .json, .yml or .yaml, found \"a.txt\"",
    );
    check(
        "file_sd_configs: [{files: ['a*/b.yml']}]",
        "line 1, column 28: file_sd_configs[0].files[0]: expected a path with * in its last element only, found \"a*/b.yml\"",
    );
    check(
        "file_sd_configs: [{files: [a.yml], module: x}]",
        "line 1, column 44: file_sd_configs[0].module: there is no module \"x\"",
    );
    check(
        "file_sd_configs: [{files: [a.yml], refresh_interval: 999ms}]",
        "line 1, column 54: file_sd_configs[0].refresh_interval: 999ms is not between 1s and 1d",
    );
    check(
        "dns_sd_configs: [{names: []}]",
        "line 1, column 19: dns_sd_configs[0].names: required, but missing",
    );
    check(
        "dns_sd_configs: [{names: [a], type: MX}]",
        "line 1, column 37: dns_sd_configs[0].type: expected SRV, A or AAAA, found \"MX\"",
    );
    check(
        "dns_sd_configs: [{names: [a], type: A}]",
        "line 1, column 18: dns_sd_configs[0].port: required, but missing",
    );
    check(
        "dns_sd_configs: [{names: [a], port: 1}]",
        "line 1, column 37: dns_sd_configs[0].port: cannot be combined with type: SRV, whose records hold the port",
    );
    check(
        "dns_sd_configs: [{names: [a], type: A, port: 65536}]",
        "line 1, column 46: dns_sd_configs[0].port: 65536 is not between 1 and 65535",
    );
    check(
        "dns_sd_configs: [{names: [a], scheme: ftp}]",
        "line 1, column 39: dns_sd_configs[0].scheme: expected http or https, found \"ftp\"",
    );
    for name in [
        "a..b",
        ".",
        "a b",
        "\u{e4}.example",
        &"a".repeat(64),
        &["abcdefghi"; 26].join("."),
    ] {
        let error = refused(&format!("dns_sd_configs: [{{names: ['{name}']}}]"));
        assert!(error.contains("expected a name such as"), "{error}");
    }
    let many = "a,".repeat(101);
    let error = refused(&format!("dns_sd_configs: [{{names: [{many}]}}]"));
    assert!(
        error.ends_with("101 entries, at most 100 are allowed"),
        "{error}"
    );
    let many = "{names: [a]},".repeat(101);
    let error = refused(&format!("dns_sd_configs: [{many}]"));
    assert!(
        error.ends_with("101 entries, at most 100 are allowed"),
        "{error}"
    );
}

/// The same as said by its definition.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        [first, rest @ ..] => name
            .split_first()
            .is_some_and(|(byte, behind)| byte == first && matches(rest, behind)),
    }
}

#[test]
fn a_hidden_file_is_meant_only_by_a_pattern_with_a_dot() {
    let check = |pattern: &str, name: &str, expected: bool| {
        assert_eq!(
            FilePattern(pattern.into()).matches(name),
            expected,
            "{pattern} {name}"
        );
    };
    check("d/*.yml", ".a.yml", false);
    check("d/.*.yml", ".a.yml", true);
    check("d/*.yml", "a.yml", true);
    check("d/*.yml", "a.yml~", false);
    check("d/a.yml", "a.yml", true);
}

proptest! {
    #[test]
    fn patterns_match_as_they_are_defined(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
        let found = FilePattern(format!("d/{pattern}c").into()).matches(&format!("{name}c"));
        prop_assert_eq!(found, matches(format!("{pattern}c").as_bytes(), format!("{name}c").as_bytes()));
    }
}
