//! The classic leaks of `examples/go/leaks`: which signal finds each, after how long, and which line is named; and that
//! nothing finds their cures. What comes out is the table of their README.

mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::go::{ALL_GROUPS, GoProgram, NEW, OLD, build};
use crate::http::{Metrics, ask, get};
use crate::programs::{Exporter, command, repository, until};
use crate::prometheus::have;

const FOLDER: &str = "examples/go/leaks";

/// How many requests are made before each look.
const REQUESTS: u64 = 60;

/// What ends the line in a pattern's file where its goroutines stay, or where the mistake is made if that is in no code
/// of the program.
const MARK: &str = " // LEAK";

/// What a file begins with that an old Go cannot build.
const OF_NEW_GO: &str = "//go:build go1.23\n";

/// Between these lines of the README is what the test makes.
const BEGIN: &str = "<!-- What follows is made by tests/it/leaks.rs: UPDATE_EXAMPLES=1 -->\n";
const END: &str = "<!-- the end of it -->\n";

/// A pattern as its file tells it.
#[derive(Clone, Debug)]
struct Pattern {
    name: String,
    /// `premature_return.go:23`, the marked line.
    line: String,
    needs_new_go: bool,
}

/// A group of goroutines as the exporter shows it.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    wait_reason: String,
    blocking_frame: String,
    app_frame: String,
    id: String,
    /// `premature_return.go:23`.
    line: String,
    /// At the first look and at the second, with as many requests before each.
    goroutines: [f64; 2],
    /// Of the second, those that the runtime proved leaked.
    leaked: f64,
}

impl Group {
    fn growth(&self) -> f64 {
        self.goroutines[1] - self.goroutines[0]
    }

    fn proven(&self) -> bool {
        self.leaked > 0.0
    }

    /// What it is whatever Go built the program: where no frame is of the program, the line is the library's.
    fn named(&self) -> (&str, &str, &str, &str) {
        let line = if self.app_frame.is_empty() {
            ""
        } else {
            &self.line
        };
        (
            &self.wait_reason,
            &self.blocking_frame,
            &self.app_frame,
            line,
        )
    }
}

/// What two looks at a program found.
#[derive(Clone, Debug)]
struct Seen {
    pattern: Pattern,
    fixed: bool,
    /// Goroutines that each request leaves behind, as the program says.
    each: u64,
    /// And all requests before the second look.
    leaked: u64,
    /// All goroutines, at the second look.
    total: f64,
    groups: Vec<Group>,
}

impl Seen {
    /// The groups that grew, but for one goroutine that serves a connection.
    fn grown(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.growth() > 1.0)
    }

    /// The groups that the program leaks into: those that grew, and what stays at the marked line.
    fn suspects(&self, group: &Group) -> bool {
        self.leaked > 0 && (group.growth() > 1.0 || group.line == self.pattern.line)
    }

    /// The groups to judge: of a cure all there are, of a leak those it is about. The others are the same in both.
    fn judged(&self) -> impl Iterator<Item = &Group> {
        let groups = self.groups.iter();
        groups.filter(|group| self.fixed || self.suspects(group))
    }

    /// The groups whose line is the marked one.
    fn marked(&self) -> impl Iterator<Item = &Group> {
        let line = &self.pattern.line;
        self.groups.iter().filter(move |group| group.line == *line)
    }
}

/// Every file with a marked line.
fn patterns() -> Vec<Pattern> {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository(FOLDER)).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().enumerate();
        let marked: Vec<usize> = lines
            .filter(|(_, line)| line.ends_with(MARK))
            .map(|(at, _)| at + 1)
            .collect();
        let [line] = marked[..] else {
            assert!(marked.is_empty(), "{}: {marked:?}", path.display());
            continue;
        };
        found.push(Pattern {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            line: format!("{}:{line}", path.file_name().unwrap().to_str().unwrap()),
            needs_new_go: text.starts_with(OF_NEW_GO),
        });
    }
    found
}

/// The patterns that a program knows, in its own order; nothing when this machine has no such Go.
fn known(version: &str) -> Option<Vec<Pattern>> {
    let output = Command::new(build(version, "leaks")?).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let (_, names) = error.split_once("must be one of ").unwrap();
    let names: Vec<&str> = names.trim().split(", ").collect();
    let mut there: BTreeMap<String, Pattern> = patterns()
        .into_iter()
        .filter(|pattern| version != OLD || !pattern.needs_new_go)
        .map(|pattern| (pattern.name.clone(), pattern))
        .collect();
    let of = |name: &&str| {
        there
            .remove(*name)
            .unwrap_or_else(|| panic!("no line of {name} is marked"))
    };
    let ordered = names.iter().map(of).collect();
    assert!(there.is_empty(), "go{version} has no {there:?}");
    Some(ordered)
}

/// A program, looked at from outside.
struct Looked<'e> {
    exporter: &'e Exporter,
    program: GoProgram,
}

impl Looked<'_> {
    /// Makes requests and waits until everything they started has ended or waits, as Go tells it. Returns the dump that
    /// told.
    fn work(&self) -> String {
        let path = format!("/work?n={REQUESTS}");
        ask(self.program.address(), "POST", &path, &[]).is(200, "");
        until("all to wait", || {
            let dump = get(self.program.address(), "/debug/pprof/goroutine?debug=2").text();
            let headers = dump.lines().filter(|line| line.starts_with("goroutine "));
            let active = ["[run", "[preempted", "[copystack", "[GC "];
            let active = headers.filter(|header| active.iter().any(|state| header.contains(state)));
            // The one that writes the dump.
            (active.count() == 1).then_some(dump)
        })
    }

    fn truth(&self) -> u64 {
        let truth = get(self.program.address(), "/truth").json();
        truth["leaked"].as_u64().unwrap()
    }

    fn probe(&self) -> Metrics {
        let metrics = self.exporter.probe(&self.program.target, "all");
        metrics.is("goroutine_probe_success", &[], 1.0);
        metrics
    }

    /// The gate between a profile and now: whether it fails, and the groups it names.
    fn gate(&self, before: &str) -> (bool, BTreeSet<String>) {
        let output = command()
            .args(["diff", "--format", "json", "--fail-on-growth", "1"])
            .args([before, &self.program.target])
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let changes = report["changes"].as_array().unwrap().iter();
        let fails = changes.filter(|change| change["fails"] == true);
        let ids = fails.map(|change| change["group_id"].as_str().unwrap().to_owned());
        let failed = output.status.code().unwrap();
        assert!(failed < 2, "{}", String::from_utf8_lossy(&output.stderr));
        (failed == 1, ids.collect())
    }
}

/// The groups of two probes.
fn groups(first: &Metrics, second: &Metrics) -> Vec<Group> {
    let one = |sample: &crate::http::Sample| {
        let label = |name: &str| sample.label(name).to_owned();
        let id = label("group_id");
        let of = [("group_id", id.as_str())];
        let info = second.all("goroutine_group_info", &of).next().unwrap();
        let (_, file) = info
            .label("file")
            .rsplit_once('/')
            .unwrap_or(("", info.label("file")));
        let value = |metrics: &Metrics, name: &str| metrics.value(name, &of).unwrap_or(0.0);
        Group {
            wait_reason: label("wait_reason"),
            blocking_frame: label("blocking_frame"),
            app_frame: label("app_frame"),
            line: format!("{file}:{}", info.label("line")),
            goroutines: [value(first, "goroutine_group_goroutines"), sample.value],
            leaked: value(second, "goroutine_group_leaked_goroutines"),
            id,
        }
    };
    second
        .all("goroutine_group_goroutines", &[])
        .map(one)
        .collect()
}

/// Runs one program and looks at it twice, with requests before each look.
fn look(exporter: &Exporter, version: &str, pattern: &Pattern, fixed: bool) -> Seen {
    let mut flags = vec!["-pattern", &pattern.name];
    if fixed {
        flags.push("-fixed");
    }
    let program = GoProgram::start(version, "leaks", &flags).unwrap();
    let looked = Looked { exporter, program };
    let what = format!("{} {flags:?}", looked.program.target);

    looked.work();
    let before = looked.truth();
    let first = looked.probe();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("before");
    let profile = get(looked.program.address(), "/debug/pprof/goroutine").body;
    fs::write(&file, profile).unwrap();
    let dump = looked.work();
    let leaked = looked.truth();
    let second = looked.probe();
    let (failed, named) = looked.gate(file.to_str().unwrap());

    let seen = Seen {
        pattern: pattern.clone(),
        fixed,
        each: before.div_ceil(REQUESTS),
        leaked,
        total: second.value("goroutine_goroutines", &[]).unwrap(),
        groups: groups(&first, &second),
    };
    // Growth is what the program says, to the goroutine, and the gate names the same groups.
    let grew: f64 = seen.grown().map(Group::growth).sum();
    assert_eq!(grew, (leaked - before) as f64, "{what}:\n{}", second.text);
    let grown: BTreeSet<String> = seen.grown().map(|group| group.id.clone()).collect();
    assert_eq!((failed, named), (!grown.is_empty(), grown), "{what}");
    // Go itself says how many are at the marked line, and the exporter counts as many.
    let at = format!("/leaks/{}", pattern.line);
    let places = dump
        .lines()
        .filter_map(|line| line.strip_prefix('\t')?.split(' ').next());
    let there = places.filter(|place| place.ends_with(&at)).count() as f64;
    let shown: f64 = seen.marked().map(|group| group.goroutines[1]).sum();
    assert_eq!(shown, there, "{what}:\n{dump}");
    if there > 0.0 {
        assert_eq!(there, leaked as f64, "{what}:\n{dump}");
    }
    // Proof is of all goroutines of a group or of none, and only of those that leak.
    let supported = if version == NEW { 1.0 } else { 0.0 };
    let leak = [("profile", "goroutineleak")];
    second.is("goroutine_profile_supported", &leak, supported);
    for group in seen.groups.iter().filter(|group| group.proven()) {
        assert_eq!(group.leaked, group.goroutines[1], "{what}: {group:?}");
        assert_eq!(group.leaked, leaked as f64, "{what}: {group:?}");
    }
    if fixed {
        assert_eq!(leaked, 0, "{what}");
        assert_eq!(
            second
                .value("goroutine_leaked_goroutines", &[])
                .unwrap_or(0.0),
            0.0
        );
    }
    seen
}

/// Looks at every pattern, leaking and fixed; nothing when this machine has no such Go.
fn look_at_all(version: &str) -> Option<Vec<Seen>> {
    let patterns = known(version)?;
    let exporter = Exporter::start(&format!(
        "modules: {{ all: {{ timeout: 1m, profiles: [goroutine, goroutineleak], {ALL_GROUPS} }} }}\n"
    ));
    let (exporter, patterns) = (&exporter, &patterns);
    let each = move |fixed| {
        move || -> Vec<Seen> {
            let looks = patterns.iter();
            looks
                .map(|pattern| look(exporter, version, pattern, fixed))
                .collect()
        }
    };
    let (mut leaking, fixed) = std::thread::scope(|scope| {
        let fixed = scope.spawn(each(true));
        (each(false)(), fixed.join().unwrap())
    });
    leaking.extend(fixed);
    Some(leaking)
}

/// What stands in one cell; a dash for nothing.
fn list(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = words.into_iter().collect();
    if words.is_empty() {
        "–".to_owned()
    } else {
        words.join(", ")
    }
}

/// A pattern's row of the table.
fn row(seen: &Seen, told: &story::Told) -> String {
    let groups = seen.groups.iter();
    let groups: Vec<&Group> = groups
        .filter(|group| told.groups.contains(&group.id))
        .collect();
    let mut reasons = BTreeSet::new();
    let (mut named, mut foreign) = (BTreeSet::new(), BTreeSet::new());
    for group in groups {
        reasons.insert(group.wait_reason.as_str());
        if group.app_frame.is_empty() {
            foreign.insert(format!("`{}`", group.blocking_frame));
        } else {
            assert_eq!(group.line, seen.pattern.line);
            let (file, line) = group.line.split_once(':').unwrap();
            named.insert(format!("[{}]({file}#L{line})", group.line));
        }
    }
    let reasons = list(reasons.into_iter().map(str::to_owned));
    let named = if foreign.is_empty() {
        list(named)
    } else {
        assert!(named.is_empty(), "{named:?}");
        format!("none of its own: {}", list(foreign))
    };
    let leaves = match seen.leaked {
        0 => "none".to_owned(),
        leaked if leaked < REQUESTS => format!("{leaked} in all"),
        _ => seen.each.to_string(),
    };
    let minutes = |after: Option<f64>| after.map_or("–".to_owned(), |m| format!("{m:.0} min"));
    let name = &seen.pattern.name;
    format!(
        "| [{name}]({name}.go) | {leaves} | {reasons} | {} | {} | {} | {} | {named} |\n",
        minutes(told.growth_fast),
        minutes(told.growth_slow),
        minutes(told.wait),
        minutes(told.proof),
    )
}

#[test]
fn the_table_of_the_leaks_is_what_is_found() {
    let (Some(old), Some(new)) = (look_at_all(OLD), look_at_all(NEW)) else {
        return;
    };
    // An old Go tells the same, but for the proof.
    for old in &old {
        let same = |new: &&Seen| new.pattern.name == old.pattern.name && new.fixed == old.fixed;
        let new = new.iter().find(same).unwrap();
        let groups = |seen: &Seen| -> BTreeSet<_> {
            let found = seen.grown().chain(seen.marked()).map(Group::named);
            found
                .map(|(a, b, c, d)| [a, b, c, d].map(str::to_owned))
                .collect()
        };
        assert_eq!(groups(old), groups(new), "{}", old.pattern.name);
    }
    if !have("promtool") {
        return;
    }
    let told = story::told(&new);
    let mut table = String::from(
        "| pattern | goroutines that a request leaves | wait reason | growth, fast | growth, slow | long wait | proof | line named |\n\
         |---|---|---|--:|--:|--:|--:|---|\n",
    );
    for (seen, told) in new.iter().zip(&told) {
        if seen.fixed {
            assert!(told.groups.is_empty(), "{}: {told:?}", seen.pattern.name);
        } else {
            // Whatever leaks is found, unless it is no goroutine.
            let suspects = seen.groups.iter().filter(|group| seen.suspects(group));
            let suspects: BTreeSet<String> = suspects.map(|group| group.id.clone()).collect();
            assert_eq!(told.groups, suspects, "{}: {told:?}", seen.pattern.name);
            write!(table, "{}", row(seen, told)).unwrap();
        }
    }
    let fixed = new.iter().filter(|seen| seen.fixed).count();
    write!(table, "\nFixed, none of the {fixed} is flagged.\n").unwrap();

    let file = repository(FOLDER).join("README.md");
    let there = fs::read_to_string(&file).unwrap();
    let (before, rest) = there.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}\n{table}\n{END}{after}");
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        fs::write(&file, made).unwrap();
        return;
    }
    assert!(
        made == there,
        "{} is not what is found: UPDATE_EXAMPLES=1\n{table}",
        file.display()
    );
}
