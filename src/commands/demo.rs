//! `demo`: a simulated target that leaks, the exporter beside it in the same process, and links to click.
//!
//! The exporter is the real one: it scrapes the simulation over HTTP, and what is printed is read from its
//! answers, as Prometheus would read them.

use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::info;

use super::{log, serve};
use crate::cli::{DemoArgs, LogArgs, LogFormat};
use crate::config::ConfigHandle;
use crate::demo::{self, story};
use crate::self_metrics::LogLines;
use crate::server::listen::{DRAIN, ListenLimits, PATIENCE, serve as serve_router};
use crate::server::web::Web;
use crate::server::{App, ServeOptions, router};
use crate::target::Target;

/// How often the demo scrapes and prints a line.
const EVERY: Duration = Duration::from_secs(2);
/// The longest answer read: far above what the series of one target take.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Connections at once, to each of the two servers.
const CONNECTIONS: usize = 64;
/// What `--history.limit` and `--web.max-requests` are where one person looks.
const HISTORY: usize = 100;

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// When it cannot start, most often since an address is taken.
pub fn run(arguments: &DemoArgs, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let log_lines = LogLines::new()?;
    let log = LogArgs {
        level: arguments.log_level,
        format: LogFormat::Logfmt,
    };
    let _log = log::start(log, log_lines.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime
        .context("the runtime cannot be started")?
        .block_on(async {
            let mut signals = serve::Signals::new()?;
            let stop = async {
                // Not inside the macro, which evaluates nothing for a line that is not wanted.
                let signal = signals.next().await;
                info!(signal, "stopping");
            };
            run_until(arguments, log_lines, stop, out).await
        })
}

async fn run_until(
    arguments: &DemoArgs,
    log_lines: LogLines,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let simulated = serve::listen(std::slice::from_ref(&arguments.target_address)).await?;
    let exporters = serve::listen(std::slice::from_ref(&arguments.web_listen_address))
        .await
        .with_context(|| "another --web.listen-address helps, such as 127.0.0.1:0")?;
    let url = |listeners: &[TcpListener]| -> anyhow::Result<String> {
        let address = listeners
            .first()
            .ok_or_else(|| anyhow!("no address to listen on"))?
            .local_addr()?;
        Ok(format!("http://{address}"))
    };
    let (simulated_url, exporter_url) = (url(&simulated)?, url(&exporters)?);
    let target: Target = simulated_url.parse()?;
    let options = ServeOptions {
        enable_lifecycle: false,
        allow_any_target: false,
        listens_on_loopback: serve::all_loopback(&exporters)?,
        max_requests: CONNECTIONS,
        timeout_offset: Duration::ZERO,
        history_limit: HISTORY,
        base: String::new(),
        prefix: String::new(),
        origin: None,
    };
    let app = App::new(
        ConfigHandle::load(None, vec![target])?,
        options,
        Web::open(None)?,
        log_lines,
        SystemTime::now(),
    )?;
    let exporter = router(app);

    let speed = u32::from(arguments.speed);
    let begun = Instant::now();
    let clock = move || begun.elapsed() * speed;
    info!(
        url = simulated_url,
        "a simulated Go service, not a real one, is listening"
    );
    introduce(&simulated_url, &exporter_url, speed, out)?;

    let limits = ListenLimits {
        connections: CONNECTIONS,
        patience: PATIENCE,
        drain: DRAIN,
    };
    let path = format!("/probe?target={simulated_url}");
    tokio::select! {
        () = stop => {}
        _ = serve_router(simulated, demo::router(clock), None, limits, std::future::pending()) => {}
        _ = serve_router(exporters, exporter.clone(), None, limits, std::future::pending()) => {}
        end = watch(&exporter, &path, clock, out) => end?,
    }
    Ok(())
}

fn introduce(
    simulated: &str,
    exporter: &str,
    speed: u32,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let minutes = story::CYCLE.as_secs() / 60;
    let seconds = story::CYCLE.as_secs() / u64::from(speed);
    writeln!(
        out,
        "\
A simulated Go service leaks goroutines for {} minutes, is fixed and recovers; goroutine_exporter watches.
The service is made up (no Go runs here), the exporter and the bytes between them are real.
{minutes} minutes of the story take {seconds} seconds, then it begins anew. Ctrl-C ends it.

  the exporter            {exporter}/
  a page on the service   {exporter}/target?target={simulated}
  series of the service   {exporter}/probe?target={simulated}
  the service             {simulated}/
  in another terminal     goroutine_exporter inspect {simulated}

 minute  goroutines  largest group",
        story::GROWTH.as_secs() / 60,
    )?;
    out.flush()
}

/// Scrapes the exporter and prints what it says, again and again.
async fn watch(
    exporter: &Router,
    path: &str,
    clock: impl Fn() -> Duration,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut timer = tokio::time::interval(EVERY);
    loop {
        timer.tick().await;
        let request = Request::get(path).body(Body::empty())?;
        let answer = exporter.clone().oneshot(request).await?;
        let text = to_bytes(answer.into_body(), MAX_ANSWER_BYTES).await?;
        let minute = clock().as_secs() % story::CYCLE.as_secs() / 60;
        writeln!(
            out,
            "{minute:>7}  {}",
            headline(&String::from_utf8_lossy(&text))
        )?;
        out.flush()?;
    }
}

/// Total, and share, place and line of the largest group, from the exposition.
fn headline(exposition: &str) -> String {
    let sample = |name: &str| {
        exposition
            .lines()
            .find_map(move |line| line.strip_prefix(name))
    };
    let Some(total) = sample("goroutine_goroutines ") else {
        return "the probe failed; its page says why".to_owned();
    };
    let largest = sample("goroutine_group_goroutines{").unwrap_or_default();
    let info = sample("goroutine_group_info{");
    let (wait, blocking, app) = (
        label(largest, "wait_reason"),
        label(largest, "blocking_frame"),
        label(largest, "app_frame"),
    );
    let place = if app.is_empty() { blocking } else { app };
    let at = info
        .map(|info| format!("{}:{}", label(info, "file"), label(info, "line")))
        .unwrap_or_default();
    let ratio =
        sample("goroutine_largest_group_ratio ").and_then(|ratio| ratio.parse::<f64>().ok());
    let share = ratio
        .map(|ratio| format!("{:.0}%", ratio * 100.0))
        .unwrap_or_default();
    format!("{total:>10}  {share:>4} {wait}, {place} ({at})")
}

fn label<'a>(sample: &'a str, name: &str) -> &'a str {
    let start = sample
        .find(&format!("{name}=\""))
        .map(|at| at + name.len() + 2);
    let rest = start
        .and_then(|start| sample.get(start..))
        .unwrap_or_default();
    rest.split_once('"').map_or("", |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::{Command, try_parse_from};

    /// Output that ends the demo when enough lines were written.
    #[derive(Debug)]
    struct Lines(Vec<u8>, Arc<tokio::sync::Notify>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            if self.0.contains(&b'%') {
                self.1.notify_one();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn it_prints_links_and_what_the_exporter_sees() {
        let line = [
            "goroutine_exporter",
            "demo",
            "--web.listen-address=127.0.0.1:0",
        ];
        let Ok(Command::Demo(arguments)) = try_parse_from(line) else {
            panic!("no demo")
        };
        let enough = Arc::new(tokio::sync::Notify::new());
        let mut out = Lines(Vec::new(), Arc::clone(&enough));
        let stop = async move { enough.notified().await };
        tokio::time::timeout(
            Duration::from_secs(30),
            run_until(&arguments, LogLines::new().unwrap(), stop, &mut out),
        )
        .await
        .unwrap()
        .unwrap();
        let text = String::from_utf8(out.0).unwrap();
        assert!(text.contains("/probe?target=http://127.0.0.1:"), "{text}");
        assert!(text.contains("      1296   "), "{text}");
    }

    #[test]
    fn a_failed_probe_is_said() {
        assert_eq!(
            headline("goroutine_probe_success 0\n"),
            "the probe failed; its page says why"
        );
    }
}
