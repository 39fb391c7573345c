//! Shell completions and the manual page, both made from the definitions of the arguments.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::CommandLine;

/// What the program is called where it is installed.
const NAME: &str = "goroutine_exporter";

/// Flags of `completions`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CompletionsArgs {
    /// Shell to complete in
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Flags of `man`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ManArgs {
    /// Command to describe; without one, the program
    #[arg(value_name = "COMMAND", value_parser = ["serve", "check", "inspect", "diff", "godebug", "demo"])]
    pub command: Option<String>,
}

/// Writes the script.
///
/// # Errors
/// When `out` cannot be written.
pub fn completions(arguments: &CompletionsArgs, out: &mut impl Write) -> io::Result<()> {
    let mut script = Vec::new();
    let mut command = CommandLine::command();
    clap_complete::generate(arguments.shell, &mut command, NAME, &mut script);
    out.write_all(&script)?;
    out.flush()
}

/// Writes the page.
///
/// # Errors
/// When `out` cannot be written.
pub fn man(arguments: &ManArgs, out: &mut impl Write) -> io::Result<()> {
    let mut program = CommandLine::command();
    program.build();
    let wanted = arguments.command.as_deref().unwrap_or_default();
    // Building names it `goroutine_exporter-inspect`, as git's pages are named.
    let page = program.find_subcommand(wanted).unwrap_or(&program);
    Man::new(page.clone().disable_help_subcommand(true)).render(out)?;
    out.flush()
}
