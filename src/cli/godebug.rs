//! Arguments of `godebug`.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{ListenAddress, LogArgs};

/// What `godebug --help` says below the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  GODEBUG=gctrace=1,schedtrace=1000 service 2>&1 | goroutine_exporter godebug
      its lines as they come, totals at the end
  GODEBUG=gctrace=1,schedtrace=1000 service 2>&1 >service.log |
      goroutine_exporter godebug --quiet --web.listen-address=:16060
      series for Prometheus, at /metrics

Totals go to standard error, with --quiet to standard output. After Ctrl-C it
reads what the program still writes; a second one ends it.";

/// Flags of `godebug`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct GodebugArgs {
    /// Read, and pass nothing on to standard output
    #[arg(long = "quiet", env = "GOROUTINE_EXPORTER_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,

    /// Address to serve /metrics on, :PORT for all; repeatable, or several with commas; without one nothing
    /// is served
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        env = "GOROUTINE_EXPORTER_WEB_LISTEN_ADDRESS",
        value_delimiter = ','
    )]
    pub web_listen_address: Vec<ListenAddress>,

    /// Value of the label `source`
    #[arg(
        long = "source",
        value_name = "NAME",
        default_value = "stdin",
        env = "GOROUTINE_EXPORTER_SOURCE"
    )]
    pub source: String,

    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a doc comment here would become the help text of the command"
    )]
    pub log: LogArgs,
}
