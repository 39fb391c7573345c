//! Flags of the commands for people: `inspect` and `diff`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};

use super::parse_interval;

pub(super) const INSPECT_EXAMPLES: &str = "\
Examples:
  goroutine_exporter inspect http://127.0.0.1:6060
  goroutine_exporter inspect --watch 2s --focus mycompany/ 10.0.0.7:6060
  goroutine_exporter inspect pod-1:6060 pod-2:6060 pod-3:6060
  goroutine_exporter inspect --stacks --ignore '^net/http' goroutine.pb.gz
  goroutine_exporter inspect --top 5 --format json goroutine.pb.gz
  goroutine_exporter inspect --trace --seconds 0.5 http://127.0.0.1:6060
  kubectl logs my-pod --previous | goroutine_exporter inspect -";

pub(super) const DIFF_HELP: &str = "\
Exit status:
  0  compared; no gate failed
  1  --fail-on-growth or --fail-on-new failed
  2  could not compare: bad arguments, a source that cannot be read, or, with
     a gate, one that was cut or damaged

The goroutines of the look itself never fail a gate: those that run in
runtime/pprof or net/http/pprof, and for each of them one in
net/http.(*connReader).backgroundRead, or not started yet, and one in
net/http.(*conn).close, which ends the look before.

The file of --allow has one known group a line: a group id (16 hex digits), or
a regular expression that its blocking or application function matches; # begins
a comment. Known groups fail no gate. A report of `inspect --format json` is
taken too; it allows each of its groups as many goroutines as it lists.

Examples:
  goroutine_exporter inspect --format json http://127.0.0.1:6060 > before.json
  goroutine_exporter diff before.json http://127.0.0.1:6060
  goroutine_exporter diff --fail-on-growth 10 before.pb.gz after.pb.gz
  goroutine_exporter diff --format markdown --stacks before.json after.pb.gz";

/// What is read, and how it is classified.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReadArgs {
    /// Configuration file with the module
    #[arg(
        long = "config.file",
        value_name = "FILE",
        env = "GOROUTINE_EXPORTER_CONFIG_FILE"
    )]
    pub config_file: Option<PathBuf>,

    /// Module whose classification, limits and HTTP settings apply
    #[arg(long = "module", value_name = "NAME", default_value = "default")]
    pub module: String,

    /// Keep only goroutines with a function that matches, anywhere in the stack
    #[arg(long = "focus", value_name = "REGEX")]
    pub focus: Option<String>,

    /// Leave out goroutines with a function that matches, anywhere in the stack
    #[arg(long = "ignore", value_name = "REGEX")]
    pub ignore: Option<String>,

    /// Profile to ask a target for
    #[arg(long = "profile", value_name = "PROFILE", default_value = "goroutine")]
    pub profile: InspectProfile,

    /// Which dump of a log to read, by number, or all of them added up; without it the last whole one
    #[arg(long = "dump", value_name = "N|all", value_parser = dump_choice)]
    pub dump: Option<DumpChoice>,

    /// When to use colours
    #[arg(
        help = "When to use colours; auto: on a terminal, unless NO_COLOR is set",
        long = "color",
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub colour: Colour,
}

/// Which of the dumps of a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpChoice {
    /// The one with this number, from 1 on.
    Number(u32),
    /// All of them, added up.
    All,
}

fn dump_choice(text: &str) -> Result<DumpChoice, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(DumpChoice::Number(number)),
        _ if text == "all" => Ok(DumpChoice::All),
        _ => Err("a number from 1 on, or all".to_owned()),
    }
}

/// Flags of `inspect`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct InspectArgs {
    /// Target URL, file, or - for standard input: a profile in any form Go writes,
    /// gzip or not, a panic, or a log that holds one; several are shown together
    #[arg(value_name = "SOURCE", required = true)]
    pub sources: Vec<String>,

    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a doc comment here would become the help text of the command"
    )]
    pub read: ReadArgs,

    /// Show the N largest groups and fold the rest
    #[arg(long = "top", value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub top: Option<u32>,

    /// Show the stacks of the N largest groups, 3 without a number
    #[arg(
        long = "stacks",
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "3",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub stacks: Option<u32>,

    /// Read an execution trace (Go 1.22 or newer) in place of a profile: for how long goroutines
    /// waited, and for what. A target traces itself for that long, which slows it down
    #[arg(
        long = "trace",
        conflicts_with_all = ["watch", "stacks", "focus", "ignore", "profile", "dump"]
    )]
    pub trace: bool,

    /// Seconds of the trace that a target is asked for
    #[arg(
        help = "Seconds of the trace that a target is asked for [default: 0.2, or what the URL says]",
        long = "seconds",
        value_name = "SECONDS",
        requires = "trace",
        value_parser = trace_seconds
    )]
    pub seconds: Option<Duration>,

    /// Look again and again, and show what changed; Ctrl-C ends it
    #[arg(long = "watch", value_name = "INTERVAL", value_parser = parse_interval)]
    pub watch: Option<Duration>,

    /// Format of the answer
    #[arg(long = "format", value_name = "FORMAT", default_value = "table")]
    pub format: InspectFormat,
}

fn trace_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected seconds such as 0.2".to_owned())?;
    if !(0.01..=60.0).contains(&seconds) {
        return Err("expected from 0.01 to 60 seconds".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Flags of `diff`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct DiffArgs {
    /// The earlier look: a source as `inspect` takes it, or a report of its --format json
    #[arg(value_name = "BEFORE")]
    pub before: String,

    /// The later look
    #[arg(value_name = "AFTER")]
    pub after: String,

    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a doc comment here would become the help text of the command"
    )]
    pub read: ReadArgs,

    /// Exit 1 when a group grew by more than N goroutines
    #[arg(long = "fail-on-growth", value_name = "N")]
    pub fail_on_growth: Option<u64>,

    /// Exit 1 when a group appeared with N goroutines or more, 1 without a number
    #[arg(
        long = "fail-on-new",
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = value_parser!(u64).range(1..)
    )]
    pub fail_on_new: Option<u64>,

    /// File of known groups, which fail no gate
    #[arg(long = "allow", value_name = "FILE")]
    pub allow: Option<PathBuf>,

    /// Hide groups that changed by fewer than N goroutines; gates see them all the same
    #[arg(long = "min", value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..))]
    pub min: u64,

    /// Show the stacks of the N largest changes, 3 without a number
    #[arg(
        long = "stacks",
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "3",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub stacks: Option<u32>,

    /// Format of the answer; markdown is a summary for a pull request
    #[arg(long = "format", value_name = "FORMAT", default_value = "table")]
    pub format: DiffFormat,
}

/// The profile a target is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InspectProfile {
    /// All goroutines.
    Goroutine,
    /// Those proven leaked, from Go 1.27 on.
    Goroutineleak,
}

/// How `inspect` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    /// For people.
    Table,
    /// One object, an array of them for several sources, for scripts.
    Json,
    /// One line for each stack, for flame graph tools.
    Folded,
    /// What a probe would answer.
    Prometheus,
}

/// How `diff` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For people.
    Table,
    /// One object, for scripts.
    Json,
    /// For a pull request.
    Markdown,
}

/// When output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal that wants them.
    Auto,
    /// In pipes too.
    Always,
    /// Not at all.
    Never,
}
