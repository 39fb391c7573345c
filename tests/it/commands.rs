//! The commands that answer at once: `inspect`, `check`, and what is wrong with arguments.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::http::{Metrics, get};
use crate::programs::{Program, command, repository, run, skip};
use crate::servers::{GOROUTINES, Server, nobody};

const PROFILE: &str = "tests/data/go1.27.3/goroutine.debug0.pb.gz";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Expects an exit code, and these words on standard error.
fn fails(output: &Output, code: i32, words: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(words), "no {words:?} in: {error}");
    assert!(!error.contains("panicked"), "{error}");
}

/// What a command that succeeds prints.
fn prints(arguments: &[&str], input: &[u8]) -> String {
    let output = run(arguments, input);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    text(&output.stdout)
}

fn json(arguments: &[&str], input: &[u8]) -> serde_json::Value {
    serde_json::from_str(&prints(arguments, input)).unwrap()
}

#[test]
fn inspect_reads_standard_input_files_and_targets_alike() {
    let file = repository(PROFILE);
    let bytes = std::fs::read(&file).unwrap();
    let server = Server::healthy();
    let inspect = |source: &str, input: &[u8]| {
        let mut report = json(&["inspect", "--format", "json", source], input);
        let own = report["source"].take();
        assert_eq!(own, source);
        report
    };
    let of_file = inspect(file.to_str().unwrap(), b"");
    assert_eq!(of_file["total"], 831);
    assert_eq!(of_file["encoding"], "protobuf");
    assert_eq!(of_file, inspect("-", &bytes));
    assert_eq!(of_file, inspect(&server.target(), b""));
    let url = format!("http://{}/debug/pprof/goroutine?debug=0", server.address);
    assert_eq!(of_file, inspect(&url, b""));
}

#[test]
fn a_reader_that_leaves_is_no_error_and_hides_no_gate() {
    let profile = repository(PROFILE);
    let profile = profile.to_str().unwrap();
    let earlier = repository("tests/data/go1.22.10/goroutine.debug0.pb.gz");
    let earlier = earlier.to_str().unwrap();
    let check = |arguments: &[&str], status: i32| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command().args(arguments).stdout(writer).output().unwrap();
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
    };
    for format in ["table", "json", "folded", "prometheus"] {
        check(&["inspect", "--format", format, profile], 0);
    }
    for format in ["table", "json", "markdown"] {
        check(&["diff", "--format", format, earlier, profile], 0);
        check(
            &[
                "diff",
                "--fail-on-new",
                "--format",
                format,
                earlier,
                profile,
            ],
            1,
        );
    }
}

#[test]
fn inspect_answers_in_each_format() {
    let file = repository(PROFILE);
    let file = file.to_str().unwrap();
    let table = prints(&["inspect", file], b"");
    assert!(table.contains("831 goroutines"), "{table}");
    assert!(!table.contains('\u{1b}'), "colours in a pipe");
    assert_eq!(table, prints(&["inspect", "--format", "table", file], b""));

    let report = json(&["inspect", "--format", "json", file], b"");
    let of_groups = |report: &serde_json::Value| -> u64 {
        let groups = report["groups"].as_array().unwrap();
        groups
            .iter()
            .map(|group| group["goroutines"].as_u64().unwrap())
            .sum()
    };
    assert_eq!(of_groups(&report), 831);
    let top = json(&["inspect", "--format", "json", "--top", "3", file], b"");
    assert_eq!(top["groups"].as_array().unwrap().len(), 3);
    assert_eq!(
        of_groups(&top) + top["other"]["goroutines"].as_u64().unwrap(),
        831
    );

    let folded = prints(&["inspect", "--format", "folded", file], b"");
    let counts = folded.lines().map(|line| {
        let (stack, count) = line.rsplit_once(' ').unwrap();
        assert!(!stack.is_empty());
        count.parse::<u64>().unwrap()
    });
    assert_eq!(counts.sum::<u64>(), 831);

    let metrics = prints(&["inspect", "--format", "prometheus", file], b"");
    let metrics = Metrics::parse(&metrics);
    metrics.is("goroutine_goroutines", &[], GOROUTINES);
    for group in metrics.all("goroutine_group_goroutines", &[]) {
        let known = report["groups"].as_array().unwrap().iter().any(|known| {
            known["group_id"] == group.label("group_id")
                && known["goroutines"].as_f64() == Some(group.value)
        });
        assert!(known, "{group:?}");
    }
    fails(&run(&["inspect", "--format", "xml", file], b""), 2, "xml");
}

#[test]
fn several_sources_are_one_and_each_of_them() {
    let paths = ["go1.27.3", "go1.21.13"]
        .map(|go| repository(&format!("tests/data/{go}/goroutine.debug0.pb.gz")));
    let [new, old] = paths.each_ref().map(|path| path.to_str().unwrap());
    let one = |source: &str| json(&["inspect", "--format", "json", source], b"");
    let several = json(&["inspect", "--format", "json", new, old], b"");
    assert_eq!(several, serde_json::json!([one(new), one(old)]));
    let total = one(new)["total"].as_u64().unwrap() + one(old)["total"].as_u64().unwrap();
    let digits = total.to_string();
    let (thousands, rest) = digits.split_at(digits.len() - 3);
    let table = prints(&["inspect", new, old], b"");
    let headline = format!("2 sources: {thousands},{rest} goroutines in ");
    assert!(table.starts_with(&headline), "{table}");
    assert!(table.contains(new) && table.contains(old), "{table}");
    // One that cannot be read does not hide the others, and is not forgotten.
    let output = run(&["inspect", new, "/no/such/file", old], b"");
    assert!(text(&output.stdout).starts_with(&headline), "{output:?}");
    fails(&output, 1, "/no/such/file: No such file");
    fails(&output, 1, "1 of 3 sources could not be read");
    let none = run(&["inspect", "/no/such/file", "/nor/this"], b"");
    fails(&none, 1, "none of 2 sources could be read");
    let metrics = run(&["inspect", "--format", "prometheus", new, old], b"");
    fails(&metrics, 1, "takes one source");
}

#[test]
fn the_leak_profile_is_asked_for_by_name() {
    let server = Server::recorded("go1.27.3");
    let inspect = ["inspect", "--profile", "goroutineleak", "--format", "json"];
    let found = json(&[&inspect[..], &[&server.target()]].concat(), b"");
    assert_eq!(found["profile"], "goroutineleak");
    let file = repository("tests/data/go1.27.3/goroutineleak.debug0.pb.gz");
    let of_file = json(
        &["inspect", "--format", "json", file.to_str().unwrap()],
        b"",
    );
    assert_eq!(found["total"], of_file["total"]);
    assert!(found["total"].as_u64().unwrap() > 0);
    let old = Server::recorded("go1.21.13");
    let output = run(&[&inspect[..], &[&old.target()]].concat(), b"");
    fails(&output, 1, "status 404");
    fails(&output, 1, "Go 1.27");
}

/// Both are made from the arguments; the tools they are for must take them.
#[test]
fn completions_and_the_manual_are_what_their_readers_take() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completions");
    let shells = ["bash", "zsh", "fish", "elvish", "powershell"];
    for shell in shells {
        let said = prints(&["completions", shell], b"");
        for word in ["inspect", "fail-on-growth", "web.listen-address"] {
            assert!(said.contains(word), "{shell}: no {word}");
        }
    }
    std::fs::write(&script, prints(&["completions", "bash"], b"")).unwrap();
    let line = format!(
        ". '{}'; COMP_WORDS=(goroutine_exporter diff --fail); COMP_CWORD=2; \
        _goroutine_exporter goroutine_exporter --fail diff; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let completed = Command::new("bash").arg("-c").arg(line).output().unwrap();
    assert_eq!(
        text(&completed.stdout).trim(),
        "--fail-on-growth --fail-on-new"
    );
    for (command, words) in [
        (&["man"][..], "goroutine_exporter - Prometheus exporter"),
        (&["man", "inspect"], "--watch <INTERVAL>"),
        (&["man", "diff"], "--fail-on-growth <N>"),
    ] {
        let page = prints(command, b"");
        assert!(page.contains("\n.TH goroutine_exporter"), "{page}");
        let mut groff = match Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-P-cbou"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Ok(groff) => groff,
            Err(error) => {
                skip(&format!("groff: {error}"));
                return;
            }
        };
        let mut stdin = groff.stdin.take().unwrap();
        stdin.write_all(page.as_bytes()).unwrap();
        drop(stdin);
        let output = groff.wait_with_output().unwrap();
        assert!(output.status.success());
        let shown = text(&output.stdout);
        let squeezed = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(words), "no {words:?} in {shown}");
    }
    fails(&run(&["man", "nothing"], b""), 2, "possible values: serve");
}

#[test]
fn inspect_says_what_is_wrong() {
    let check = |source: &str, input: &[u8], words: &str| {
        let output = run(&["inspect", source], input);
        fails(&output, 1, words);
        assert_eq!(text(&output.stdout), "");
        let error = text(&output.stderr);
        assert_eq!(error.lines().count(), 1, "one sentence: {error}");
        assert!(error.starts_with("goroutine_exporter: "), "{error}");
    };
    check("/no/such/file", b"", "/no/such/file: No such file");
    check("/", b"", "/: ");
    check("-", b"", "an empty body");
    check("-", b"<html>hello</html>", "not the profile expected");
    check(&nobody().to_string(), b"", "connection refused");
    let login = crate::servers::answer("401 Unauthorized", "", b"who are you?");
    let server = Server::answering(login);
    check(&server.target(), b"", "status 401");
    fails(&run(&["inspect"], b""), 2, "SOURCE");
    let unknown = ["inspect", "--module", "nobody", "-"];
    fails(&run(&unknown, b""), 1, "no module \"nobody\"");
}

#[test]
fn check_exits_by_what_the_configuration_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yml");
    let check = |yaml: &str, arguments: &[&str]| {
        std::fs::write(&file, yaml).unwrap();
        let mut arguments = arguments.to_vec();
        arguments.extend(["--config.file", file.to_str().unwrap()]);
        run(&arguments, b"")
    };
    for command in [
        &["check"][..],
        &["--config.check"],
        &["serve", "--config.check"],
    ] {
        let good = check("modules: { fast: { timeout: 2s } }\n", command);
        assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
        let said = text(&good.stdout);
        assert!(said.contains("module fast"), "{said}");
        let bad = check("modules:\n  fast:\n    timeout: 2 parsecs\n", command);
        assert_eq!(bad.status.code(), Some(1), "{command:?}");
        let said = text(&bad.stdout) + &text(&bad.stderr);
        assert!(said.contains("modules.fast.timeout"), "{said}");
        assert!(said.contains(":3:"), "no line in {said}");
        let secret =
            "modules: { a: { http: { basic_auth: { username: u, password: hunter2 } } } }\n";
        let said = check(secret, command);
        let said = text(&said.stdout) + &text(&said.stderr);
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn inspecting_keeps_credentials_where_the_module_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yml");
    let server = Server::healthy();
    let look = |module: &str| {
        let secret = "authorization: { credentials: hunter2 }";
        let module = module.replace("SECRET", secret);
        std::fs::write(&file, format!("modules: {{ a: {module} }}\n")).unwrap();
        let config = file.to_str().unwrap();
        let target = server.target();
        run(
            &["inspect", "--module", "a", "--config.file", config, &target],
            b"",
        )
    };
    fails(
        &look("{ http: { SECRET } }"),
        1,
        "modules.a.http.credentials_over_http: true",
    );
    fails(
        &look("{ http: { SECRET, credentials_over_http: true }, allow: [{ host: app.example }] }"),
        1,
        "configure modules.a.allow",
    );
    assert_eq!(
        server
            .seen()
            .asked
            .load(std::sync::atomic::Ordering::SeqCst),
        0
    );
    let done = look("{ http: { SECRET, credentials_over_http: true } }");
    assert!(done.status.success(), "{}", text(&done.stderr));
}

#[test]
fn serving_with_a_wrong_configuration_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yml");
    std::fs::write(&file, "modules: { a: { timeout: 5s, timeout: 6s } }\n").unwrap();
    let serve = ["--web.listen-address", "127.0.0.1:0", "--config.file"];
    let with = |file: &str| run(&[&serve[..], &[file]].concat(), b"");
    fails(&with(file.to_str().unwrap()), 1, "modules.a.timeout");
    fails(&with("/no/such/file.yml"), 1, "/no/such/file.yml");
    let missing = "modules: { a: { http: { tls_config: { ca_file: gone.pem } } } }\n";
    std::fs::write(&file, missing).unwrap();
    fails(&with(file.to_str().unwrap()), 1, "gone.pem");
    let server = Server::healthy();
    let taken = ["--web.listen-address", &server.target()];
    fails(&run(&taken, b""), 1, "cannot listen on 127.0.0.1:");
    fails(
        &run(&["--web.listen-adress", ":0"], b""),
        2,
        "--web.listen-address",
    );
}

#[test]
fn the_demo_serves_what_it_links_to() {
    let demo = Program::start(command().args(["demo", "--web.listen-address", "127.0.0.1:0"]));
    let link = |what: &str| -> String {
        demo.line(what, |line| {
            let rest = line.trim().strip_prefix(what)?;
            Some(rest.trim().strip_prefix("http://")?.to_owned())
        })
    };
    let series = link("series of the service");
    let (address, path) = series.split_once('/').unwrap();
    let address = address.parse().unwrap();
    let metrics = Metrics::parse(&get(address, &format!("/{path}")).text());
    metrics.is("goroutine_probe_success", &[], 1.0);
    let total = metrics.value("goroutine_goroutines", &[]).unwrap();
    assert!(total > 1_000.0, "{}", metrics.text);
    assert_eq!(get(address, "/").status, 200);
    let service = link("the service");
    let service = service.trim_end_matches('/');
    assert_eq!(get(service.parse().unwrap(), "/").status, 200);
    let report = json(&["inspect", "--format", "json", service], b"");
    assert!(report["total"].as_u64().unwrap() > 1_000, "{report}");
}

#[test]
fn the_version_is_told() {
    let said = prints(&["--version"], b"");
    assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
}
