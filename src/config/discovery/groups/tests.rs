use proptest::prelude::*;

use super::super::super::{Config, MAX_BYTES};
use super::*;

fn config() -> Config {
    Config::from_yaml(
        "modules: { m: {}, secret: { http: { authorization: { credentials: hunter2 } } }, own: { allow: [{ host: a }] } }",
    )
    .unwrap()
}

fn read(name: &str, text: impl AsRef<[u8]>) -> Result<Vec<StaticTarget>, ConfigError> {
    let module = ModuleName::default();
    read_groups(Path::new(name), text.as_ref(), &module, config().modules())
}

fn shown(targets: &[StaticTarget]) -> Vec<String> {
    let show =
        |found: &StaticTarget| format!("{} {} {:?}", found.target, found.module, found.labels);
    targets.iter().map(show).collect()
}

#[test]
fn groups_are_those_of_prometheus() {
    let expected = [
        "http://a:1 default {\"env\": \"prod\"}",
        "https://b:2/x default {\"env\": \"prod\"}",
        "https://c:3 m {}",
        "http://d:4 m {}",
        "unix:///run/e.sock m {}",
    ];
    let yaml = "- targets: ['a:1', 'https://b:2/x']\n  labels: {env: prod, __meta_x: y, __address__: z}\n\
        - {targets: ['c:3', 'http://d:4', 'unix:///run/e.sock'], labels: {__param_module: m, __scheme__: https}}\n- targets: []\n- {}\n";
    assert_eq!(shown(&read("a.yml", yaml).unwrap()), expected);
    let json = "[\n\t{\"targets\": [\"a:1\", \"https://b:2/x\"], \"labels\": {\"env\": \"prod\", \"__meta_x\": \"y\"}},\n\t{\"targets\": [\"c:3\", \"http://d:4\", \"unix:///run/e.sock\"], \"labels\": {\"__param_module\": \"m\", \"__scheme__\": \"https\"}}]\n";
    assert_eq!(shown(&read("a.json", json).unwrap()), expected);
    assert_eq!(shown(&read("a.JSON", json).unwrap()), expected);
    for nothing in ["", "# nothing\n", "[]", "---\n"] {
        assert_eq!(read("a.yml", nothing).unwrap(), [], "{nothing:?}");
    }
    assert_eq!(read("a.json", "[]").unwrap(), []);
}

#[test]
fn a_file_is_taken_whole_or_not_at_all() {
    let check = |name: &str, text: &str, expected: &str| {
        let error = read(name, text).unwrap_err();
        let hint = error.hint.iter().map(|hint| format!("\n{hint}"));
        let said = format!("{error}{}", hint.collect::<String>());
        assert_eq!(said, expected, "{text}");
    };
    check(
        "a.yml",
        "targets: [a:1]",
        "a.yml:1:1: expected a list, found a map\nwrite [ITEM, ITEM], or one line `- ITEM` for each",
    );
    check(
        "a.yml",
        "- a:1",
        "a.yml:1:3: [0]: expected a map with targets, and where wanted labels, found text",
    );
    check(
        "a.yml",
        "- {targets: [a:1], module: m}",
        "a.yml:1:20: [0].module: unknown key\nwrite labels: { __param_module: NAME }",
    );
    check(
        "a.yml",
        "- {targets: [a:1, nonsense]}",
        "a.yml:1:19: [0].targets[1]: the target has no port: write host:port, for example localhost:6060",
    );
    check(
        "a.yml",
        "- {targets: ['http://u:hunter2@a:1']}",
        "a.yml:1:14: [0].targets[0]: a target must not hold a user name or password: configure basic_auth or authorization in the module",
    );
    check(
        "a.yml",
        "- {targets: [a:1]}\n- {targets: ['http://A:1/']}",
        "a.yml:2:14: [1].targets[0]: http://a:1 is given twice, first in [0].targets[0]",
    );
    check(
        "a.yml",
        "- {targets: [a:1], labels: {__param_module: x}}",
        "a.yml:1:45: [0].labels.__param_module: there is no module \"x\"\ndid you mean m?",
    );
    check(
        "a.yml",
        "- {targets: [a:1], labels: {__scheme__: gopher}}",
        "a.yml:1:41: [0].labels.__scheme__: expected http or https, found \"gopher\"",
    );
    check(
        "a.yml",
        "- {targets: [a:1], labels: {group_id: x}}",
        "a.yml:1:39: [0].labels.group_id: expected another label name than those the exporter sets, found \"group_id\"",
    );
    check(
        "a.yml",
        "- {targets: [a:1], labels: {port: [1]}}",
        "a.yml:1:35: [0].labels.port: expected text, found a list",
    );
    check(
        "a.yml",
        "- {targets: [a:1], labels: {e: x, e: y}}",
        "a.yml:1:35: [0].labels.e: this key is given twice",
    );
    check(
        "a.yml",
        "- {targets: [a:1], labels: {__param_module: secret}}",
        "a.yml:1:14: [0].targets[0]: module secret sends credentials, and target a:1 would get them over plain HTTP; write https://, or configure modules.secret.http.credentials_over_http: true",
    );
    check(
        "a.yml",
        "- {targets: [b:1], labels: {__param_module: own}}",
        "a.yml:1:14: [0].targets[0]: target b:1 is not allowed for module own; to permit it, configure modules.own.allow: [{host: \"b\", ports: [1]}]",
    );
    check(
        "a.json",
        "[{\"targets\": [\"a:1\"],}]",
        "a.json:1:22: not valid JSON: trailing comma",
    );
    check(
        "a.json",
        "[{\"targets\": [1]}]",
        "a.json:1:15: [0].targets[0]: expected text, found a whole number",
    );
    check(
        "a.json",
        "[] []",
        "a.json:1:4: not valid JSON: trailing characters",
    );
    check(
        "a.json",
        "[{\"tagets\": []}]",
        "a.json:1:10: [0].tagets: unknown key\ndid you mean targets?",
    );
    check(
        "a.json",
        "",
        "a.json:1:0: not valid JSON: EOF while parsing a value",
    );
}

#[test]
fn a_file_is_bounded() {
    let fault = |name: &str, text: &str| *read(name, text).unwrap_err().fault;
    let limit = usize::try_from(MAX_BYTES).unwrap();
    for name in ["a.yml", "a.json"] {
        assert_eq!(
            read(name, format!("[]{}", " ".repeat(limit - 2))).unwrap(),
            []
        );
        let too_long = format!("[]{}", " ".repeat(limit - 1));
        assert_eq!(fault(name, &too_long), Fault::TooLong { limit: MAX_BYTES });
        let many = |count: usize| {
            let targets: Vec<String> = (0..count)
                .map(|number| format!("\"h{number}:1\""))
                .collect();
            format!("[{{\"targets\":[{}]}}]", targets.join(","))
        };
        assert_eq!(read(name, many(MAX_TARGETS)).unwrap().len(), MAX_TARGETS);
        let too_many = |limit| Fault::TooMany {
            count: limit + 1,
            limit,
        };
        assert_eq!(fault(name, &many(MAX_TARGETS + 1)), too_many(MAX_TARGETS));
        let groups = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(read(name, groups(MAX_GROUPS)).unwrap(), []);
        assert_eq!(fault(name, &groups(MAX_GROUPS + 1)), too_many(MAX_GROUPS));
        // What is nested as deep as the file is long ends at once, and not in an overflow of the stack.
        let deep = "[".repeat(limit);
        assert!(
            matches!(
                fault(name, &deep),
                Fault::TooDeep { .. } | Fault::WrongKind { .. }
            ),
            "{name}"
        );
        assert_eq!(fault_of_bytes(name, b"[\xff]"), Fault::NotUtf8);
    }
    let laughs: String = (1..30).fold("- &a0 {targets: ['a:1']}\n".to_owned(), |text, number| {
        let last = number - 1;
        format!("{text}- &a{number} [*a{last}, *a{last}, *a{last}, *a{last}, *a{last}]\n")
    });
    read("a.yml", laughs).unwrap_err();
}

fn fault_of_bytes(name: &str, bytes: &[u8]) -> Fault {
    *read(name, bytes).unwrap_err().fault
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in "[-\\[\\]{}:, \"'\n&*!|a-c1targelsb_]{0,80}") {
        for name in ["a.yml", "a.json"] {
            match read(name, &text) {
                Ok(targets) => prop_assert!(targets.len() <= text.len()),
                Err(error) => prop_assert!(error.to_string().starts_with(name), "{}", error),
            }
        }
    }

    #[test]
    fn a_cut_file_is_never_another(cut in 0usize..110, flip in 0usize..110, to in any::<u8>()) {
        let whole = "[{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"env\": \"prod\"}}, {\"targets\": [\"c:3\"]}]";
        let cut = cut.min(whole.len() - 1);
        read("a.json", &whole.as_bytes()[..cut]).unwrap_err();
        let mut bytes = whole.as_bytes().to_vec();
        bytes[flip.min(whole.len() - 1)] = to;
        if let Ok(targets) = read("a.json", &bytes) {
            prop_assert!(targets.len() <= 3);
        }
    }

    #[test]
    fn both_forms_say_the_same(
        groups in proptest::collection::vec((0usize..4, proptest::collection::btree_map("[a-f]{1,6}", "[ -~\u{e4}]{0,20}", 0..3)), 0..4),
    ) {
        let mut next = 0;
        let groups: Vec<serde_json::Value> = groups
            .into_iter()
            .map(|(count, labels)| {
                let targets: Vec<String> = (next..next + count).map(|number| format!("h{number}:1")).collect();
                next += count;
                serde_json::json!({ "targets": targets, "labels": labels })
            })
            .collect();
        let json = serde_json::to_string(&groups).unwrap();
        let yaml = raw::print(&groups).unwrap();
        prop_assert_eq!(read("a.json", &json).unwrap(), read("a.yml", &yaml).unwrap());
        prop_assert_eq!(read("a.yml", &json).unwrap().len(), next);
    }
}
