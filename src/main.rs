//! The program: reads its arguments, runs what they ask for, says what went wrong.

use std::io::{self, Write};
use std::process::ExitCode;

use goroutine_exporter::cli::{self, Command};
use goroutine_exporter::commands::{demo, inspect, serve};

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let done = match cli::parse() {
        Command::Serve(arguments) => {
            drop(out);
            serve::run(&arguments)
        }
        Command::Inspect(arguments) => inspect::run(&arguments, &mut out),
        Command::Check(_) => Ok(()),
        Command::Demo(arguments) => {
            drop(out);
            demo::run(&arguments, &mut io::stdout())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if inspect::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to when standard error is gone.
            drop(writeln!(io::stderr(), "goroutine_exporter: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
