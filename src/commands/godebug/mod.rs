//! `godebug`: reads what a program writes, passes it on as it comes, and shows what its lines of `GODEBUG` say.
//!
//! It is part of somebody's pipeline, so it ends when its input does: were it gone before, the program that writes would
//! be ended by its next line. For the same reason it reads on when nobody takes what it passes on any more.

mod table;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{log, serve};
use crate::cli::GodebugArgs;
use crate::follow::Stream;
use crate::self_metrics::LogLines;
use crate::server::listen::{ListenLimits, PATIENCE, serve as serve_router};
use crate::server::metrics_of;

/// Bytes read at once: what a pipe holds.
const PIECE: usize = 64 << 10;

/// Connections at once.
const CONNECTIONS: usize = 64;

/// Runs until standard input ends, SIGTERM or a second SIGINT; then writes the totals.
///
/// # Errors
/// When it cannot start, or standard input cannot be read.
pub fn run(arguments: &GodebugArgs) -> anyhow::Result<()> {
    let log = log::start(arguments.log, LogLines::new()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let stream = Arc::new(Stream::default());
    let ended = runtime.block_on(serve_until_end(arguments, Arc::clone(&stream)));
    // What reads may wait for ever.
    runtime.shutdown_background();
    ended?;
    // The table comes after the lines.
    drop(log);
    let totals = stream.snapshot().totals;
    if arguments.quiet {
        table::write(&totals, &mut io::stdout().lock())?;
    } else {
        table::write(&totals, &mut io::stderr().lock())?;
    }
    Ok(())
}

async fn serve_until_end(arguments: &GodebugArgs, stream: Arc<Stream>) -> anyhow::Result<()> {
    let mut signals = serve::Signals::new()?;
    let listeners = serve::listen(&arguments.web_listen_address).await?;
    for listener in &listeners {
        let address = listener.local_addr()?;
        info!(%address, url = %format_args!("http://{address}/metrics"), "listening");
    }
    let router = metrics_of(arguments.source.clone(), Arc::clone(&stream));
    let limits = ListenLimits {
        connections: CONNECTIONS,
        patience: PATIENCE,
        drain: Duration::ZERO,
    };
    let (told, read) = oneshot::channel();
    let quiet = arguments.quiet;
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let out = (!quiet).then(io::stdout);
            let ended = pass(&mut io::stdin().lock(), out, &stream);
            // Nobody listens once a signal has ended it.
            drop(told.send(ended));
        })
        .context("standard input cannot be read")?;
    let stopped = async {
        if signals.next().await == "SIGINT" {
            info!("reading what is still written, until a second signal");
            signals.next().await;
        }
    };
    tokio::select! {
        ended = read => ended?.context("standard input cannot be read"),
        () = stopped => Ok(()),
        _ = serve_router(listeners, router, None, limits, std::future::pending()) => Ok(()),
    }
}

/// Reads to the end, and passes everything on as it comes, while somebody takes it.
fn pass(input: &mut impl Read, mut out: Option<impl Write>, stream: &Stream) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    stream.opened(false);
    loop {
        let read = match input.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                stream.closed();
                return Err(error);
            }
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            stream.closed();
            return Ok(());
        }
        if let Some(taker) = &mut out
            && let Err(problem) = taker.write_all(bytes).and_then(|()| taker.flush())
        {
            warn!(%problem, "standard output takes nothing any more, reading goes on");
            out = None;
        }
        stream.feed(bytes, SystemTime::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "gc 1 @0.001s 7%: 0.005+0.26+0.003 ms clock, 0.011+0.093/0.018/0.080+0.007 ms cpu, 7->8->4 MB, 7 MB goal, 0 MB stacks, 0 MB globals, 2 P\n";

    /// Takes so many bytes, and no more.
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() >= self.1 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_is_passed_on_as_it_is() {
        let text = [LINE.as_bytes(), b"\xff\0\r\nno line end"].concat();
        let stream = Stream::default();
        let mut out = Vec::new();
        pass(&mut &text[..], Some(&mut out), &stream).unwrap();
        assert_eq!(out, text);
        let seen = stream.snapshot();
        assert_eq!((seen.totals.cycles, seen.totals.lines), (1, 3));
        assert!(!seen.open);
        let stream = Stream::default();
        pass(&mut &text[..], None::<Full>, &stream).unwrap();
        assert_eq!(stream.snapshot().totals, seen.totals);
    }

    #[test]
    fn it_reads_on_when_nobody_takes_it() {
        let text = LINE.repeat(3000);
        let stream = Stream::default();
        let mut out = Full(Vec::new(), 1);
        pass(&mut text.as_bytes(), Some(&mut out), &stream).unwrap();
        assert_eq!(stream.snapshot().totals.lines, 3000);
        assert!(!out.0.is_empty() && out.0.len() < text.len());
    }
}
