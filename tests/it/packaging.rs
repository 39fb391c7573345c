//! What the exporter is shipped in: images, the stack of containers, the workflow that makes a release, Debian packages.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::programs::{repository, run, skip};

/// Reads a document on standard input, and tells where it is not what the schema says.
const VALIDATE: &str = "
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
kind = jsonschema.validators.validator_for(schema)
kind.check_schema(schema)
errors = list(kind(schema).iter_errors(json.load(sys.stdin)))
for error in errors:
    print('/'.join(map(str, error.absolute_path)), error.message[:300])
sys.exit(bool(errors))
";

const DOCKERFILES: [&str; 2] = [
    "examples/docker/Dockerfile",
    "examples/docker/leaky.Dockerfile",
];
const COMPOSE: &str = "examples/docker/compose.yml";
const RELEASE: &str = ".github/workflows/release.yml";

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// Something that `tests/tools/install.sh` brings.
fn brought(path: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("GOROUTINE_EXPORTER_CACHE");
    let cache = cache.map_or_else(|| repository(".cache"), PathBuf::from);
    let path = cache.join(path);
    if !path.exists() {
        skip(&format!(
            "{} is missing (tests/tools/install.sh)",
            path.display()
        ));
        return None;
    }
    Some(path)
}

/// What a schema has against a document.
fn faults(schemas: &Path, schema: &str, document: &Value) -> String {
    let mut child = Command::new("python3")
        .args(["-c", VALIDATE])
        .arg(schemas.join(schema))
        .env("PYTHONPATH", schemas)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(document.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

#[test]
fn dockerfiles_pass_the_linter() {
    let Some(hadolint) = brought("bin/hadolint") else {
        return;
    };
    let lint = |dockerfile: &str| {
        let mut child = Command::new(&hadolint)
            .args(["--no-color", "--failure-threshold", "style", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(dockerfile.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    for file in DOCKERFILES {
        assert_eq!(lint(&text(file)), (true, String::new()), "{file}");
    }
    let (passed, said) = lint("FROM alpine:latest\nRUN cd /tmp && wget http://a | sh\n");
    assert!(!passed && said.contains("DL3007"), "{said}");
}

#[test]
fn images_hold_one_program_of_nobody() {
    for file in DOCKERFILES {
        let text = text(file);
        let (_, last) = text.split_once("\nFROM scratch\n").unwrap();
        assert!(
            !last.contains("FROM ") && !last.contains("\nRUN "),
            "{file}"
        );
        assert!(last.contains("\nUSER 65532:65532\n"), "{file}");
        for image in text.lines().filter_map(|line| line.strip_prefix("FROM ")) {
            assert!(image == "scratch" || is_pinned(image), "{image} in {file}");
        }
    }
    // What is copied from the sources is sent along, and nothing else.
    let sent: BTreeSet<String> = text("examples/docker/Dockerfile.dockerignore")
        .lines()
        .filter_map(|line| line.strip_prefix('!').map(str::to_owned))
        .collect();
    let dockerfile = text(DOCKERFILES[0]);
    let copied: BTreeSet<String> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            words[..words.len() - 1]
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(sent, copied);
    assert!(
        sent.iter().all(|name| repository(name).exists()),
        "{sent:?}"
    );
    // One version of Rust, that of the manifest.
    let manifest = text("Cargo.toml");
    let rust = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "));
    let rust = rust.unwrap().trim_matches('"');
    assert!(dockerfile.contains(&format!("FROM rust:{rust}.")), "{rust}");
    assert!(
        text(RELEASE).contains(&format!("rustup default {rust}.")),
        "{rust}"
    );
}

/// Whether an image is named with a tag that has a number in it.
fn is_pinned(image: &str) -> bool {
    let name = image.split(" AS ").next().unwrap();
    name.rsplit_once(':')
        .is_some_and(|(_, tag)| tag.contains(|c: char| c.is_ascii_digit()) && tag.contains('.'))
}

#[test]
fn the_stack_is_what_compose_reads() {
    let compose = yaml(&text(COMPOSE));
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.len(), 5, "{:?}", services.keys());
    let folder = repository(COMPOSE).parent().unwrap().to_owned();
    let mut mounts = 0;
    for (name, service) in services {
        if let Some(image) = service["image"].as_str() {
            assert!(is_pinned(image), "{image}");
            assert!(service["healthcheck"]["test"].is_array(), "{name}");
        } else {
            let context = folder.join(service["build"]["context"].as_str().unwrap());
            let dockerfile = context.join(service["build"]["dockerfile"].as_str().unwrap());
            assert!(dockerfile.is_file(), "{}", dockerfile.display());
            assert_eq!(service["read_only"], true, "{name}");
        }
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let mount: Vec<&str> = mount.as_str().unwrap().split(':').collect();
            if mount[0].starts_with('.') {
                assert!(folder.join(mount[0]).exists(), "{mount:?}");
                assert_eq!(mount.last(), Some(&"ro"), "{mount:?}");
            } else {
                assert!(compose["volumes"].get(mount[0]).is_some(), "{mount:?}");
            }
            mounts += 1;
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().unwrap().starts_with("127.0.0.1:"),
                "{name}: {port}"
            );
        }
    }
    assert!(mounts >= 10, "{mounts}");
    let Some(schemas) = brought("schemas") else {
        return;
    };
    assert_eq!(faults(&schemas, "compose-spec.json", &compose), "");
    let mut wrong = compose;
    wrong["services"]["leaky"]["portz"] = "1".into();
    let said = faults(&schemas, "compose-spec.json", &wrong);
    assert!(
        said.contains("services/leaky") && said.contains("portz"),
        "{said}"
    );
}

#[test]
fn configurations_of_the_stack_can_be_used() {
    let file = repository("examples/docker/exporter.yml");
    let output = run(&["check", "--config.file", file.to_str().unwrap()], b"");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && !said.contains("warnings"),
        "{said}"
    );
    // Every flag of the exporter in the stack is one.
    let compose = yaml(&text(COMPOSE));
    let flags = compose["services"]["goroutine_exporter"]["command"]
        .as_array()
        .unwrap();
    let flags = flags.iter().map(|flag| flag.as_str().unwrap());
    let flags = flags.map(|flag| {
        flag.replace(
            "/etc/goroutine_exporter/exporter.yml",
            file.to_str().unwrap(),
        )
    });
    let mut arguments = vec!["--config.check".to_owned()];
    arguments.extend(flags);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run(&arguments, b"");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // As the containers see it: the rules beside it.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(
        repository("examples/docker/prometheus.yml"),
        folder.path().join("prometheus.yml"),
    )
    .unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    let rules = "rules/goroutine_exporter.rules.yml";
    fs::copy(
        repository("examples/prometheus").join(rules),
        folder.path().join(rules),
    )
    .unwrap();
    let mut promtool = Command::new("promtool");
    promtool
        .args(["check", "config"])
        .arg(folder.path().join("prometheus.yml"));
    match promtool.output() {
        Ok(output) => assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => skip(&format!("needs promtool (tests/tools/install.sh): {error}")),
    }
}

/// Every action that a workflow uses, line by line.
fn actions(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("- "));
    lines
        .filter_map(|line| line.strip_prefix("uses: "))
        .collect()
}

#[test]
fn a_release_is_made_with_no_more_rights_than_it_needs() {
    let workflow = text(RELEASE);
    let used = actions(&workflow);
    assert!(used.len() >= 4, "{used:?}");
    for action in used {
        let (action, tag) = action
            .split_once(" # ")
            .unwrap_or_else(|| panic!("{action} has no tag"));
        let (_, commit) = action.split_once('@').unwrap();
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_commit && tag.starts_with('v'), "{action} # {tag}");
    }
    let read = yaml(&workflow);
    assert_eq!(
        read["permissions"],
        serde_json::json!({ "contents": "read" })
    );
    for (name, job) in read["jobs"].as_object().unwrap() {
        assert!(job["timeout-minutes"].is_u64(), "{name}");
        let builds = job["steps"].to_string().contains("cargo ");
        let may_write = job["permissions"].to_string().contains("write");
        assert!(
            !(builds && may_write),
            "{name} runs what it builds with a token that writes"
        );
    }
    // What is written by who makes a tag is no part of a script.
    assert!(!workflow.contains("${{ github.ref_name"), "{workflow}");
    assert!(workflow.matches("--locked").count() >= 3);
    let Some(schemas) = brought("schemas") else {
        return;
    };
    for file in [RELEASE, "examples/ci/leak-gate.yml"] {
        assert_eq!(
            faults(&schemas, "github-workflows.json", &yaml(&text(file))),
            "",
            "{file}"
        );
    }
    let mut wrong = read;
    wrong["jobs"]["build"]["runs_on"] = "x".into();
    let said = faults(&schemas, "github-workflows.json", &wrong);
    assert!(said.contains("jobs/build"), "{said}");
}

/// The lines of a list in `[package.metadata.deb]`.
fn deb_list<'t>(manifest: &'t str, key: &str) -> Vec<&'t str> {
    let (_, section) = manifest.split_once("[package.metadata.deb]").unwrap();
    let (_, rest) = section.split_once(&format!("\n{key} = [")).unwrap();
    let list = rest.split("\n]").next().unwrap();
    let list = if list.starts_with('\n') {
        list
    } else {
        list.split(']').next().unwrap()
    };
    list.split('"').skip(1).step_by(2).collect()
}

#[test]
fn a_package_holds_what_is_there() {
    let manifest = text("Cargo.toml");
    let assets = deb_list(&manifest, "assets");
    let assets: Vec<&[&str]> = assets.chunks(3).collect();
    assert!(assets.len() >= 10, "{assets:?}");
    let script = text(".ci/package");
    for asset in &assets {
        let [from, to, mode] = asset else {
            panic!("{asset:?}");
        };
        assert!(
            ["644", "755"].contains(mode) && !to.starts_with('/') && !to.contains("local"),
            "{asset:?}"
        );
        if let Some(made) = from.strip_prefix("target/package/") {
            // The script makes it by its name, or by that of its folder.
            let (folder, name) = made
                .split_once('/')
                .unwrap_or(("goroutine_exporter.", made));
            let known = script.contains(&format!("$made/{folder}"));
            let named = name.contains('*') || script.contains(name.rsplit('.').next().unwrap());
            assert!(known && named, "{from}");
        } else if !from.starts_with("target/release/") {
            let (folder, name) = from.rsplit_once('/').unwrap_or(("", from));
            let there = if name.starts_with('*') {
                repository(folder)
            } else {
                repository(from)
            };
            assert!(there.exists(), "{from}");
        }
    }
    // What is under /etc is the administrator's: no upgrade writes over it.
    let under_etc = assets
        .iter()
        .map(|asset| asset[1])
        .filter(|to| to.starts_with("etc/"));
    let under_etc: Vec<String> = under_etc.map(|to| format!("/{to}")).collect();
    assert_eq!(under_etc, deb_list(&manifest, "conf-files"));
    assert!(!manifest.contains("maintainer-scripts") && !manifest.contains("systemd-units"));
    // The unit finds its program and configuration where the package puts them, but for the folder that is rewritten.
    let unit = text("examples/systemd/goroutine_exporter.service");
    assert!(
        unit.contains("/usr/local/bin/goroutine_exporter ")
            && script.contains("s|/usr/local/bin/|/usr/bin/|")
    );
    assert!(unit.contains(&under_etc[0]), "{unit}");
}
