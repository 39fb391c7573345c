//! The peers: small Go programs around the libraries, built here, and what they say of themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::programs::{repository, skip};
use crate::work::Reader;

/// The newest Go: its runtime's speed is the peers', and it brings google/pprof along.
pub(crate) const GO: &str = "1.27.3";
/// Where Debian's golang-github-maruel-panicparse-dev puts it.
const PANICPARSE: &str = "/usr/share/gocode/src/github.com/maruel/panicparse/v2/stack";
const DEBIAN_PACKAGE: &str = "golang-github-maruel-panicparse-dev";

/// The readers there are on this machine.
#[derive(Debug)]
pub(crate) struct Readers {
    /// By reader: the program, and arguments after file and repeats.
    programs: BTreeMap<Reader, (PathBuf, &'static [&'static str])>,
    /// What they are, for the table.
    pub(crate) versions: Vec<String>,
}

/// What one process cost, for one reading of the dump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    /// The most that was resident beside the dump.
    pub(crate) peak_bytes: u64,
    pub(crate) goroutines: u64,
    pub(crate) groups: u64,
    /// Of peers alone.
    pub(crate) allocations: Option<u64>,
}

impl Readers {
    /// Builds them in this folder; nothing where this machine has no such Go. Of others that are not here is said so.
    pub(crate) fn build(folder: &Path, gostackparse: Option<&Path>) -> Option<Self> {
        let goroot = go(folder, &["env", "GOROOT"])?;
        let vendor = Path::new(goroot.trim()).join("src/cmd/vendor");
        copy_tree(&repository("tests/bench/peers/readers"), folder);
        let mut readers = Self {
            programs: BTreeMap::new(),
            versions: vec![format!("Go {GO}")],
        };
        let mut module = "module readers\n\ngo 1.27\n".to_owned();
        let mut offer = |path: &str, package: &str, from: &Path| {
            let name = path.rsplit_once('/').unwrap().1;
            let local = folder.join("libraries").join(name);
            copy_sources(from, &local.join(package));
            fs::write(local.join("go.mod"), format!("module {path}\n\ngo 1.21\n")).unwrap();
            let version = if path.ends_with("/v2") {
                "v2.0.0"
            } else {
                "v0.0.0"
            };
            module.push_str(&format!(
                "require {path} {version}\nreplace {path} => ./libraries/{name}\n"
            ));
        };
        let pprof = "github.com/google/pprof";
        offer(pprof, "profile", &vendor.join(pprof).join("profile"));
        let both = vec![
            (Reader::Pprof, &[][..]),
            (Reader::PprofAlone, &["alone"][..]),
        ];
        let mut built = vec![("pprof", both)];
        let modules = fs::read_to_string(vendor.join("modules.txt")).unwrap();
        let version = modules
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# {pprof} ")));
        readers
            .versions
            .push(format!("google/pprof {}", version.unwrap_or_default()));
        if let Some(checkout) = gostackparse {
            offer("github.com/DataDog/gostackparse", "", checkout);
            built.push(("gostackparse", vec![(Reader::Gostackparse, &[][..])]));
            readers.versions.push("gostackparse as given".to_owned());
        } else {
            eprintln!("SKIPPED: gostackparse: give a checkout with --gostackparse FOLDER");
        }
        if Path::new(PANICPARSE).is_dir() {
            offer(
                "github.com/maruel/panicparse/v2",
                "stack",
                Path::new(PANICPARSE),
            );
            let scan = &["scan"][..];
            let both = vec![
                (Reader::Panicparse, &[][..]),
                (Reader::PanicparseScan, scan),
            ];
            built.push(("panicparse", both));
            readers
                .versions
                .push(format!("panicparse {}", debian_version()));
        } else {
            eprintln!("SKIPPED: panicparse: Debian's {DEBIAN_PACKAGE} is not installed");
        }
        fs::write(folder.join("go.mod"), module).unwrap();
        for (name, modes) in built {
            let program = folder.join("bin").join(name);
            let output = program.to_str().unwrap();
            go(folder, &["build", "-o", output, &format!("./{name}")])?;
            for (reader, arguments) in modes {
                readers
                    .programs
                    .insert(reader, (program.clone(), arguments));
            }
        }
        Some(readers)
    }

    pub(crate) fn has(&self, reader: Reader) -> bool {
        reader.is_ours() || self.programs.contains_key(&reader)
    }

    /// Has a file read so often by a process of its own.
    pub(crate) fn run(&self, reader: Reader, file: &Path, repeats: u32) -> Cost {
        let mut command = if reader.is_ours() {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args((reader == Reader::OursAlone).then_some("--alone"));
            command.arg("--ours");
            command
        } else {
            Command::new(&self.programs[&reader].0)
        };
        command.arg(file).arg(repeats.to_string());
        if let Some((_, arguments)) = self.programs.get(&reader) {
            // GOGC, GOMAXPROCS and GODEBUG are Go's own choice.
            command.args(*arguments).env_clear();
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {error}");
        Cost::parse(&String::from_utf8(output.stdout).unwrap())
    }
}

impl Cost {
    /// From lines of a name and a number.
    fn parse(text: &str) -> Self {
        let figures: BTreeMap<&str, u64> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, figure)| (name, figure.parse().unwrap()))
            .collect();
        Self {
            cpu: Duration::from_nanos(figures["cpu_ns"]),
            peak_bytes: figures["peak_bytes"],
            goroutines: figures["goroutines"],
            groups: figures["groups"],
            allocations: figures.get("allocations").copied(),
        }
    }
}

/// What Go says; nothing, and that said aloud, where this machine has no such toolchain.
fn go(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(repository("tests/tools/go.sh"))
        .arg(GO)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    // What go.sh exits with then.
    if output.status.code() == Some(127) {
        skip(error.trim());
        return None;
    }
    assert!(output.status.success(), "Go {GO}: {arguments:?}: {error}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn debian_version() -> String {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${Version}", DEBIAN_PACKAGE])
        .output();
    output.map_or_else(
        |_| "of an unknown version".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// A folder of folders.
fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy_sources(&entry.path(), &to.join(entry.file_name()));
    }
}

/// The files of one package: neither its tests, which need more modules, nor folders below it.
fn copy_sources(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let wanted =
            (name.ends_with(".go") && !name.ends_with("_test.go")) || name.ends_with(".tpl");
        if wanted && entry.path().is_file() {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
