//! Commands and flags, and the types they parse to. No behaviour: what a flag does is for the commands.
//!
//! Flags are named as Prometheus' exporters name theirs. Each can be given in the environment too, as
//! `GOROUTINE_EXPORTER_` and its name in upper case with `_` for dots and dashes; a flag beats the environment.

mod generate;
mod godebug;
mod listen;
mod terminal;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use url::Url;

pub use generate::{CompletionsArgs, ManArgs, completions, man};
pub use godebug::GodebugArgs;
pub use listen::{ListenAddress, ListenAddressError};
pub use terminal::{
    Colour, DiffArgs, DiffFormat, DumpChoice, InspectArgs, InspectFormat, InspectProfile, ReadArgs,
};

use crate::units::parse_duration;

/// What `--version` prints behind the name.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let env = if cfg!(target_env = "musl") {
        ", static"
    } else {
        ""
    };
    format!(
        "{}\nplatform: {os}/{arch}{env}\nbuild: {build}",
        env!("CARGO_PKG_VERSION")
    )
});

const EXAMPLES: &str = "\
Examples:
  goroutine_exporter --target http://127.0.0.1:6060
      beside one service, without a configuration file; scrape
      http://HOST:16060/targets/metrics
  goroutine_exporter --config.file exporter.yml
      for many services; scrape http://HOST:16060/probe?target=HOST:PORT
  goroutine_exporter inspect http://127.0.0.1:6060
      one look, in the terminal
  goroutine_exporter diff before.pb.gz http://127.0.0.1:6060
      what grew since; with --fail-on-growth a gate for CI
  goroutine_exporter demo
      a simulated leak to watch

`goroutine_exporter completions SHELL` and `goroutine_exporter man` print
completions and the manual page.";

/// What the program is asked to do.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Run the exporter (the default: its flags work without the word)
    Serve(Box<ServeArgs>),
    /// Validate the configuration and say what each module would do
    Check(CheckArgs),
    /// Look at targets, files or standard input
    #[command(after_help = terminal::INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Compare two looks: which groups appeared, grew, shrank or are gone
    #[command(after_help = terminal::DIFF_HELP)]
    Diff(DiffArgs),
    /// Read what a program writes under GODEBUG, pass it on, and count
    #[command(after_help = godebug::EXAMPLES)]
    Godebug(GodebugArgs),
    /// Run a simulated target that leaks, with the exporter beside it
    Demo(DemoArgs),
    /// Print a script that completes commands and flags in a shell
    #[command(hide = true)]
    Completions(CompletionsArgs),
    /// Print the manual page, of the program or of a command, as roff
    #[command(hide = true)]
    Man(ManArgs),
}

/// Flags of `serve`.
#[derive(Args, Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each switch of the command line"
)]
pub struct ServeArgs {
    /// Configuration file; without one everything has its default
    #[arg(
        long = "config.file",
        value_name = "FILE",
        env = "GOROUTINE_EXPORTER_CONFIG_FILE"
    )]
    pub config_file: Option<PathBuf>,

    /// Validate the configuration as `check` does, and exit
    #[arg(long = "config.check", env = "GOROUTINE_EXPORTER_CONFIG_CHECK", value_parser = BoolishValueParser::new())]
    pub config_check: bool,

    /// Reload the configuration file when its content changes
    #[arg(
        long = "config.enable-auto-reload",
        env = "GOROUTINE_EXPORTER_CONFIG_ENABLE_AUTO_RELOAD",
        value_parser = BoolishValueParser::new()
    )]
    pub config_enable_auto_reload: bool,

    /// How often to look for changes
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "DURATION",
        default_value = "30s",
        env = "GOROUTINE_EXPORTER_CONFIG_AUTO_RELOAD_INTERVAL",
        value_parser = parse_interval
    )]
    pub config_auto_reload_interval: Duration,

    /// Static targets, as typed.
    #[arg(
        help = "Static target, served by /targets/metrics: host:port, http(s)://host:port/prefix \
            or unix:///socket; repeatable, or several with commas",
        long = "target",
        value_name = "URL",
        env = "GOROUTINE_EXPORTER_TARGET",
        value_delimiter = ','
    )]
    pub targets: Vec<String>,

    /// Address to listen on, :PORT for all, IPv4 and IPv6; repeatable, or several with commas
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = ":16060",
        env = "GOROUTINE_EXPORTER_WEB_LISTEN_ADDRESS",
        value_delimiter = ','
    )]
    pub web_listen_address: Vec<ListenAddress>,

    /// Listen on the sockets of systemd (socket activation) in place of addresses
    #[arg(
        long = "web.systemd-socket",
        env = "GOROUTINE_EXPORTER_WEB_SYSTEMD_SOCKET",
        value_parser = BoolishValueParser::new()
    )]
    pub web_systemd_socket: bool,

    /// File of who may ask: TLS, client certificates, passwords, headers, rate; the
    /// format is that of Prometheus' exporters, and it is read again when it changes
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        env = "GOROUTINE_EXPORTER_WEB_CONFIG_FILE"
    )]
    pub web_config_file: Option<PathBuf>,

    /// URL under which users reach the exporter, for links in its pages
    #[arg(
        long = "web.external-url",
        value_name = "URL",
        env = "GOROUTINE_EXPORTER_WEB_EXTERNAL_URL",
        value_parser = parse_external_url
    )]
    pub web_external_url: Option<Url>,

    /// Prefix of every path the exporter serves; the path of --web.external-url unless given,
    /// `/` behind a proxy that cuts it off
    #[arg(
        long = "web.route-prefix",
        value_name = "PATH",
        env = "GOROUTINE_EXPORTER_WEB_ROUTE_PREFIX",
        value_parser = parse_route_prefix
    )]
    pub web_route_prefix: Option<String>,

    /// Allow POST /-/reload, and taking, downloading and deleting snapshots
    #[arg(
        long = "web.enable-lifecycle",
        env = "GOROUTINE_EXPORTER_WEB_ENABLE_LIFECYCLE",
        value_parser = BoolishValueParser::new()
    )]
    pub web_enable_lifecycle: bool,

    /// Probe any address a request names, where the configuration has no `allow`, by modules that send no
    /// credentials; link-local, multicast and unspecified addresses stay closed
    #[arg(
        long = "web.allow-any-target",
        env = "GOROUTINE_EXPORTER_WEB_ALLOW_ANY_TARGET",
        value_parser = BoolishValueParser::new()
    )]
    pub web_allow_any_target: bool,

    /// Connections open at once, at most
    #[arg(
        long = "web.max-connections",
        value_name = "N",
        default_value_t = 512,
        env = "GOROUTINE_EXPORTER_WEB_MAX_CONNECTIONS",
        value_parser = value_parser!(u16).range(1..)
    )]
    pub web_max_connections: u16,

    /// Probes at once, at most; further ones are answered 503
    #[arg(
        long = "web.max-requests",
        value_name = "N",
        default_value_t = 64,
        env = "GOROUTINE_EXPORTER_WEB_MAX_REQUESTS",
        value_parser = value_parser!(u16).range(1..)
    )]
    pub web_max_requests: u16,

    /// Time to leave of the scrape timeout for the way back, in seconds or as a duration
    #[arg(
        long = "timeout-offset",
        value_name = "DURATION",
        default_value = "0.5s",
        env = "GOROUTINE_EXPORTER_TIMEOUT_OFFSET",
        value_parser = parse_offset
    )]
    pub timeout_offset: Duration,

    /// Recent probes to keep for the landing page
    #[arg(
        long = "history.limit",
        value_name = "N",
        default_value_t = 100,
        env = "GOROUTINE_EXPORTER_HISTORY_LIMIT",
        value_parser = value_parser!(u16).range(..=10_000)
    )]
    pub history_limit: u16,

    /// Folder to keep goroutine profiles in as evidence, whatever the configuration file says; without one
    /// nothing is kept
    #[arg(
        long = "storage.path",
        value_name = "FOLDER",
        env = "GOROUTINE_EXPORTER_STORAGE_PATH"
    )]
    pub storage_path: Option<PathBuf>,

    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a doc comment here would become the help text of the command"
    )]
    pub log: LogArgs,
}

/// What is logged, and how.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogArgs {
    /// Least important messages to log
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "info",
        env = "GOROUTINE_EXPORTER_LOG_LEVEL"
    )]
    pub level: LogLevel,

    /// Format of log lines
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        default_value = "logfmt",
        env = "GOROUTINE_EXPORTER_LOG_FORMAT"
    )]
    pub format: LogFormat,
}

/// Flags of `check`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CheckArgs {
    /// Configuration file; without one the defaults are told
    #[arg(
        long = "config.file",
        value_name = "FILE",
        env = "GOROUTINE_EXPORTER_CONFIG_FILE"
    )]
    pub config_file: Option<PathBuf>,

    /// File of who may ask, as the exporter takes it; its certificates are read too
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        env = "GOROUTINE_EXPORTER_WEB_CONFIG_FILE"
    )]
    pub web_config_file: Option<PathBuf>,
}

/// Flags of `demo`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct DemoArgs {
    /// Address the exporter listens on
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:16060",
        env = "GOROUTINE_EXPORTER_WEB_LISTEN_ADDRESS"
    )]
    pub web_listen_address: ListenAddress,

    /// Address the simulated target listens on, port 0 for any free one
    #[arg(
        long = "demo.target-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        env = "GOROUTINE_EXPORTER_DEMO_TARGET_ADDRESS"
    )]
    pub target_address: ListenAddress,

    /// Minutes of the story that pass in one minute
    #[arg(
        long = "speed",
        value_name = "N",
        default_value_t = 30,
        env = "GOROUTINE_EXPORTER_SPEED",
        value_parser = value_parser!(u16).range(1..=3600)
    )]
    pub speed: u16,

    /// Least important messages to log
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "warn",
        env = "GOROUTINE_EXPORTER_LOG_LEVEL"
    )]
    pub log_level: LogLevel,
}

/// The least important messages to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Each probe, too.
    Debug,
    /// The life of the exporter.
    Info,
    /// What works worse than it should.
    Warn,
    /// What somebody must see to.
    Error,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value`, as Prometheus logs.
    Logfmt,
    /// One JSON object for each line.
    Json,
}

/// The command line as clap sees it: a command, or the flags of `serve` without the word.
#[derive(Debug, Parser)]
#[command(
    name = "goroutine_exporter",
    about = "Prometheus exporter that finds goroutine leaks in unmodified Go services",
    version = env!("CARGO_PKG_VERSION"),
    long_version = VERSION.as_str(),
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Reads the arguments of the process. Prints help, version or what is wrong, and ends the process, when that
/// is what the arguments ask for.
#[must_use]
pub fn parse() -> Command {
    CommandLine::parse().into()
}

/// Reads the given arguments, the program's name first.
///
/// # Errors
/// When they cannot be used, or ask for help or the version.
pub fn try_parse_from<I, T>(arguments: I) -> Result<Command, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    CommandLine::try_parse_from(arguments).map(Command::from)
}

impl From<CommandLine> for Command {
    fn from(line: CommandLine) -> Self {
        line.command
            .unwrap_or_else(|| Self::Serve(Box::new(line.serve)))
    }
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).ok_or("expected a duration such as 30s or 5m")?;
    if !(Duration::from_secs(1)..=Duration::from_hours(24)).contains(&interval) {
        return Err("expected a duration from 1s to 1d".to_owned());
    }
    Ok(interval)
}

/// Seconds with or without `s`, fractions too, as `blackbox_exporter` takes them; or a duration.
fn parse_offset(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let decimal = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number
        .parse()
        .ok()
        .filter(|_| decimal)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let offset = seconds
        .or_else(|| parse_duration(text))
        .ok_or("expected seconds such as 0.5, or a duration")?;
    if offset > Duration::from_mins(1) {
        return Err("expected a duration of at most 1m".to_owned());
    }
    Ok(offset)
}

fn parse_external_url(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|_| "expected a URL such as https://monitoring.example/goroutines")?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain {
        return Err(
            "expected an http or https URL without user name, query and fragment".to_owned(),
        );
    }
    // Two slashes at the start of a link would lead to another host.
    if url.path().trim_end_matches('/').contains("//") {
        return Err("expected a URL without empty parts in its path".to_owned());
    }
    Ok(url)
}

/// A path with a slash at its start and none at its end; empty for `/`.
fn parse_route_prefix(text: &str) -> Result<String, String> {
    let inside = text.trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let good = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(plain);
    match inside {
        "" => Ok(String::new()),
        _ if inside.split('/').all(good) => Ok(format!("/{inside}")),
        _ => {
            Err("expected a path such as /goroutines, of letters, digits, -, ., _ and ~".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
