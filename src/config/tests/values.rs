//! Settings of modules and bounds of probes that cannot be used.

use super::*;

#[test]
fn paths() {
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
}

#[test]
fn timeouts() {
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
}

#[test]
fn profiles() {
    check_module(
        "profiles: []",
        "line 1, column 21: modules.default.profiles: needs goroutine",
    );
    check_module(
        "profiles: [goroutine_detail]",
        "line 1, column 32: modules.default.profiles[0]: expected the name of a profile, found \"goroutine_detail\"",
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
}

#[test]
fn limits() {
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
}

#[test]
fn the_goroutine_profile_is_always_read() {
    let config = Config::from_yaml("modules: {a: {profiles: [mutex, goroutineleak]}}").unwrap();
    assert_eq!(
        config.module("a").unwrap().profiles,
        [Profile::Goroutine, Profile::Leak, Profile::Mutex]
    );
}

#[test]
fn budgets() {
    check_module(
        "detail: {mode: alwyas}",
        "line 1, column 36: modules.default.detail.mode: expected auto, off or always, found \"alwyas\"\ndid you mean always?",
    );
    check_module(
        "detail: {source: debug1}",
        "line 1, column 38: modules.default.detail.source: expected debug2 or debug3, found \"debug1\"\ndid you mean debug2?",
    );
    check_module(
        "detail: {max_frames: 0}",
        "line 1, column 42: modules.default.detail.max_frames: 0 is not between 1 and 100000000",
    );
    check_module(
        "detail: {min_interval: 59s}",
        "line 1, column 44: modules.default.detail.min_interval: 59s is not between 1m and 1d",
    );
    check_module(
        "leak: {max_goroutines: 100000001}",
        "line 1, column 44: modules.default.leak.max_goroutines: 100000001 is not between 1 and 100000000",
    );
    check_module(
        "trace: {mode: always}",
        "line 1, column 35: modules.default.trace.mode: expected off or auto, found \"always\"",
    );
    check_module(
        "trace: {window: 6s}",
        "line 1, column 37: modules.default.trace.window: 6s is not between 10ms and 5s",
    );
    check_module(
        "trace: {max_bytes: 65MiB}",
        "line 1, column 40: modules.default.trace.max_bytes: 65MiB is not between 1KiB and 64MiB",
    );
    check_module(
        "leak: {min_interval: 25h}",
        "line 1, column 42: modules.default.leak.min_interval: 25h is not between 1m and 1d",
    );
    check_module(
        "limits: {detail_body_bytes: 2GiB}",
        "line 1, column 49: modules.default.limits.detail_body_bytes: 2GiB is not between 1KiB and 1GiB",
    );
}

#[test]
fn classification() {
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
            "classify: {{watch: {{{}}}}}",
            pieces(33, |index| format!("w{index}: a, "))
        ),
        "line 1, column 32: modules.default.classify.watch: 33 entries, at most 32 are allowed",
    );
}

#[test]
fn module_names() {
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
    let many = pieces(501, |index| format!("m{index}: {{}},"));
    check(
        &format!("modules: {{{many}}}"),
        "line 1, column 1: modules: 501 entries, at most 500 are allowed",
    );
}

#[test]
fn storage() {
    check(
        "storage: {max_bytes: 1}",
        "line 1, column 22: storage.max_bytes: 1 is not between 1KiB and 1024GiB",
    );
    check(
        "storage: {max_bytes: 1GB}",
        "line 1, column 22: storage.max_bytes: expected a size such as 16MiB, 64KiB or 4096, found \"1GB\"",
    );
    check(
        "storage: {per_target: 0}",
        "line 1, column 23: storage.per_target: 0 is not between 1 and 10000",
    );
    check(
        "storage: {max_age: 59m}",
        "line 1, column 20: storage.max_age: 59m is not between 1h and 3650d",
    );
    check(
        "storage: {path: \"a\\0b\"}",
        "line 1, column 17: storage.path: expected the path of a folder, of at most 4096 bytes, found \"a\\0b\"",
    );
    check(
        "storage: {folder: /x}",
        "line 1, column 11: storage.folder: unknown key\nknown here: path, max_bytes, per_target, max_age",
    );
    check(
        "max_age: 1h",
        "line 1, column 1: max_age: unknown key\nmax_age belongs under storage",
    );
}

#[test]
fn probes() {
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
