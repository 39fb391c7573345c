//! Who may import whom, read from the sources: the map in `src/lib.rs` must stay true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each module of the crate, the others that its code, tests aside, may name.
const MAY_IMPORT: [(&str, &[&str]); 30] = [
    ("profile", &[]),
    ("failure", &[]),
    ("budget", &[]),
    ("numbers", &[]),
    ("reading", &["failure"]),
    ("secret", &[]),
    ("snapshots", &[]),
    ("target", &[]),
    ("units", &[]),
    ("decode", &["profile"]),
    ("classify", &["profile"]),
    ("tally", &["classify", "profile"]),
    ("trace", &["classify", "profile", "tally"]),
    ("traced", &["classify", "tally", "trace"]),
    ("policy", &["target"]),
    ("fetch", &["failure", "policy", "secret", "target"]),
    (
        "config",
        &[
            "budget",
            "classify",
            "decode",
            "fetch",
            "policy",
            "secret",
            "snapshots",
            "tally",
            "target",
            "units",
        ],
    ),
    ("discovery", &["config", "target"]),
    ("godebug", &[]),
    ("follow", &["config", "godebug"]),
    (
        "tracker",
        &[
            "budget",
            "classify",
            "failure",
            "reading",
            "snapshots",
            "tally",
            "traced",
        ],
    ),
    (
        "probe",
        &[
            "budget", "classify", "config", "decode", "failure", "fetch", "policy", "profile",
            "reading", "tally", "target", "trace", "traced", "tracker",
        ],
    ),
    ("history", &["failure", "probe"]),
    (
        "expose",
        &[
            "classify", "config", "follow", "godebug", "probe", "reading", "tally", "trace",
            "traced",
        ],
    ),
    (
        "self_metrics",
        &[
            "budget",
            "config",
            "decode",
            "discovery",
            "expose",
            "failure",
            "probe",
            "snapshots",
        ],
    ),
    ("cli", &["units"]),
    ("demo", &["decode"]),
    (
        "server",
        &[
            "budget",
            "classify",
            "config",
            "decode",
            "discovery",
            "expose",
            "failure",
            "fetch",
            "follow",
            "history",
            "numbers",
            "policy",
            "probe",
            "profile",
            "reading",
            "secret",
            "self_metrics",
            "snapshots",
            "tally",
            "target",
            "tracker",
        ],
    ),
    (
        "commands",
        &[
            "budget",
            "classify",
            "cli",
            "config",
            "decode",
            "demo",
            "discovery",
            "expose",
            "failure",
            "fetch",
            "follow",
            "godebug",
            "numbers",
            "policy",
            "probe",
            "profile",
            "secret",
            "self_metrics",
            "server",
            "snapshots",
            "tally",
            "target",
            "trace",
            "traced",
            "units",
        ],
    ),
    ("main", &[]),
];

/// Where each of these crates is at home; nowhere else may its name stand.
const HOMES: [(&str, &[&str]); 22] = [
    ("prost", &["decode", "demo"]),
    ("flate2", &["decode", "demo", "server", "snapshots"]),
    ("serde_yaml", &["config"]),
    ("reqwest", &["fetch"]),
    ("prometheus", &["self_metrics"]),
    ("mimalloc", &["main"]),
    ("axum", &["commands", "demo", "server"]),
    ("anyhow", &["commands", "main"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["commands"]),
    ("simple_dns", &["discovery"]),
    ("libc", &["follow"]),
    ("listenfd", &["commands"]),
    ("sd_notify", &["commands"]),
    ("terminal_size", &["commands"]),
    ("maud", &["server"]),
    ("inferno", &["server"]),
    ("bcrypt", &["server"]),
    ("tokio_rustls", &["server"]),
    ("x509_parser", &["server"]),
];

/// Modules without I/O, clock, runtime and logs, and what would bring those in.
const CORE: [&str; 6] = ["profile", "decode", "classify", "tally", "godebug", "trace"];
const OUTSIDE_CORE: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "tokio",
    "tracing",
    "std::path",
];

/// A source file: the module of the crate it belongs to, its path, and its code without tests and comments.
struct Source {
    module: String,
    path: PathBuf,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let test = inside.components().any(|part| part.as_os_str() == "tests");
                if test || ["tests", "recorder", "sample", "lib"].contains(&stem.as_str()) {
                    continue;
                }
                let first = inside
                    .components()
                    .next()
                    .unwrap()
                    .as_os_str()
                    .to_str()
                    .unwrap();
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let code = code
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect::<Vec<_>>()
                    .join("\n");
                found.push(Source {
                    module: first.trim_end_matches(".rs").to_owned(),
                    path,
                    code,
                });
            }
        }
    }
    assert!(found.len() > 60, "only {} sources found", found.len());
    found
}

/// The modules named behind `crate::`, alone or in a group.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let mut depth = 0;
        let mut name = String::new();
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                'a'..='z' | '0'..='9' | '_' if depth <= 1 => name.push(c),
                ',' if depth == 1 => {
                    found.insert(std::mem::take(&mut name));
                }
                ':' if depth == 1 && !name.is_empty() => {
                    found.insert(std::mem::take(&mut name));
                    depth += 10;
                }
                _ if depth >= 10 && c == ',' => depth -= 10,
                c if c.is_whitespace() && depth > 0 => {}
                _ if depth >= 1 => {}
                _ => break,
            }
            if depth < 0 {
                break;
            }
        }
        found.insert(name);
    }
    found.retain(|name| MAY_IMPORT.iter().any(|(module, _)| module == name));
    found
}

#[test]
fn imports_are_seen_alone_and_in_groups() {
    let check = |code: &str, expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(imports(code), expected, "{code}");
    };
    check("use crate::tally::{Group, Tally};", &["tally"]);
    check(
        "use crate::{config, fetch::Fetcher, tally};",
        &["config", "fetch", "tally"],
    );
    check("let x = crate::probe::probe(1);", &["probe"]);
    check("use std::fs;", &[]);
}

#[test]
fn modules_import_only_what_lies_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(allowed) = allowed.get(source.module.as_str()) else {
            wrong.push(format!(
                "{}: module {} is not in the map",
                source.path.display(),
                source.module
            ));
            continue;
        };
        for import in imports(&source.code) {
            if import != source.module && !allowed.contains(&import.as_str()) {
                wrong.push(format!(
                    "{}: {} must not import {import}",
                    source.path.display(),
                    source.module
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn external_crates_have_one_home() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, homes) in HOMES {
            let named = source
                .code
                .match_indices(&format!("{name}::"))
                .any(|(at, _)| {
                    let before = source.code[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                });
            if named && !homes.contains(&source.module.as_str()) {
                wrong.push(format!(
                    "{}: {name} belongs to {homes:?}",
                    source.path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| CORE.contains(&source.module.as_str()))
    {
        for name in OUTSIDE_CORE {
            if source.code.contains(name) {
                wrong.push(format!("{}: {name}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_holds_nothing_but_what_belongs_there() {
    const ENTRIES: [&str; 8] = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "dashboards",
        "examples",
        "src",
        "tests",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // What cargo builds may lie there, too.
    let strays: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target")
        .filter(|name| !ENTRIES.contains(&name.as_str()))
        .collect();
    assert_eq!(strays, [""; 0], "in {}", root.display());
}

/// Cargo would otherwise refuse to fuzz what is locked, and nobody runs that every day.
#[test]
fn what_fuzzes_is_locked_to_the_same_crates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let manifest = read("Cargo.toml");
    let (_, direct) = manifest.split_once("\n[dependencies]\n").unwrap();
    let (direct, _) = direct.split_once("\n[").unwrap();
    let direct: BTreeSet<&str> = direct
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .filter(|(name, _)| !name.starts_with('#'))
        .map(|(name, rest)| {
            let renamed = rest.split_once("package = \"");
            renamed.map_or(name, |(_, package)| package.split('"').next().unwrap())
        })
        .collect();
    assert!(direct.len() > 30, "{direct:?}");
    let lock = read("tests/fuzz/Cargo.lock");
    let (_, ours) = lock.split_once("name = \"goroutine_exporter\"").unwrap();
    let (ours, _) = ours.split_once("]\n").unwrap();
    let locked: BTreeSet<&str> = ours
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split(['"', ' ']).next())
        .collect();
    let missing: Vec<_> = direct.difference(&locked).collect();
    assert_eq!(
        missing, [&""; 0],
        "`cargo metadata` in tests/fuzz adds them"
    );
}
