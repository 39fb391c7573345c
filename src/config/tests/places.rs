//! Targets and entries of `allow` that cannot be used.

use super::*;

#[test]
fn targets() {
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
    check(
        "modules: {m: {http: {authorization: {credentials: hunter2}}}}\ntargets: [{url: \"https://a\", module: m}, {url: \"http://b:1\", module: m}]",
        "line 2, column 48: targets[1].url: module m sends credentials, and target b:1 would get them over plain HTTP; write https://, or configure modules.m.http.credentials_over_http: true",
    );
    check(
        "modules: {m: {allow: [{host: a}]}}\ntargets: [{url: \"b:1\", module: m}]",
        "line 2, column 17: targets[0].url: target b:1 is not allowed for module m; to permit it, configure modules.m.allow: [{host: \"b\", ports: [1]}]",
    );
    let many = pieces(31, |index| format!("l{index}: a,"));
    check(
        &format!("targets: [{{url: \"a:1\", labels: {{{many}}}}}]"),
        "line 1, column 24: targets[0].labels: 31 entries, at most 30 are allowed",
    );
    let many = pieces(10_001, |index| format!("- url: a:{}\n", index + 1));
    check(
        &format!("targets:\n{many}"),
        "line 1, column 1: targets: 10001 entries, at most 10000 are allowed",
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
        "modules: {m: {allow: [{host: a, ports: 80}]}}",
        "line 1, column 40: modules.m.allow[0].ports: expected a list, found a whole number\nwrite [ITEM, ITEM], or one line `- ITEM` for each",
    );
    check(
        "modules: {m: {allow: [{cidr: 10.0.0.1/8}]}}",
        "line 1, column 30: modules.m.allow[0].cidr: expected a network without host bits, found \"10.0.0.1/8\"\nwrite 10.0.0.0/8 or 10.0.0.1/32",
    );
    check(
        "allow:\n- {host: a}\n- {hots: b}\n",
        "line 3, column 4: allow[1].hots: unknown key\ndid you mean host?",
    );
}
