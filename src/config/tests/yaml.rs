//! Text that is no configuration: no YAML, another shape, other keys.

use super::*;

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
        "line 1, column 1: a: unknown key\nknown here: modules, targets, file_sd_configs, dns_sd_configs, godebug, allow, probes, storage",
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
        "line 1, column 1: expected a map with modules, targets, file_sd_configs, dns_sd_configs, godebug, allow, probes or storage, found a list",
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
        "line 1, column 1: expected a map with modules, targets, file_sd_configs, dns_sd_configs, godebug, allow, probes or storage, found a list",
    );
    check(
        "text",
        "line 1, column 1: expected a map with modules, targets, file_sd_configs, dns_sd_configs, godebug, allow, probes or storage, found text",
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
        "line 1, column 1: nonsense: unknown key\nknown here: modules, targets, file_sd_configs, dns_sd_configs, godebug, allow, probes, storage",
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
