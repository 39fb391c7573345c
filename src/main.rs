//! The program: reads its arguments, runs what they ask for, says what went wrong.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use goroutine_exporter::cli::{self, Command};
use goroutine_exporter::commands::{check, demo, diff, godebug, inspect, serve};
use mimalloc::MiMalloc;

/// A probe makes hundreds of small allocations, beside a few large ones that come and go, and keeps some for as long as its
/// target is tracked: this one does not scatter those. `cargo bench --bench capacity` shows the difference.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long the last words wait to be read.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let done = match cli::parse() {
        Command::Serve(arguments) if arguments.config_check => {
            let (file, web) = (&arguments.config_file, &arguments.web_config_file);
            return exit(check::run(file.as_deref(), web.as_deref(), &mut out));
        }
        Command::Serve(arguments) => {
            drop(out);
            serve::run(&arguments)
        }
        Command::Inspect(arguments) => inspect::run(&arguments, &mut out),
        Command::Check(arguments) => {
            let (file, web) = (&arguments.config_file, &arguments.web_config_file);
            return exit(check::run(file.as_deref(), web.as_deref(), &mut out));
        }
        Command::Diff(arguments) => {
            return exit_or(diff::run(&arguments, &mut out), diff::COULD_NOT_COMPARE);
        }
        Command::Godebug(arguments) => {
            drop(out);
            godebug::run(&arguments)
        }
        Command::Completions(arguments) => {
            cli::completions(&arguments, &mut out).map_err(Into::into)
        }
        Command::Man(arguments) => cli::man(&arguments, &mut out).map_err(Into::into),
        Command::Demo(arguments) => {
            drop(out);
            demo::run(&arguments, &mut io::stdout())
        }
    };
    exit(done.map(|()| 0))
}

/// The exit status of a command that ended: its own, or 1 and a line on standard error.
fn exit(done: Result<u8, impl Into<anyhow::Error>>) -> ExitCode {
    exit_or(done, 1)
}

/// The same, with another status for failure.
fn exit_or(done: Result<u8, impl Into<anyhow::Error>>, failure: u8) -> ExitCode {
    match done.map_err(Into::into) {
        Ok(status) => ExitCode::from(status),
        Err(error) if inspect::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("goroutine_exporter: {error:#}\n"));
            ExitCode::from(failure)
        }
    }
}

/// Says it on standard error. The end of the program waits for a while for who reads there, and not at all when it is gone.
fn say(line: String) {
    let (said, told) = mpsc::channel();
    let saying = move || {
        drop(io::stderr().write_all(line.as_bytes()));
        said.send(()).ok();
    };
    if thread::Builder::new().spawn(saying).is_ok() {
        told.recv_timeout(PATIENCE).ok();
    }
}
