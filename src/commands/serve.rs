//! `serve`: the exporter, from its flags to the end of its last request.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{log, systemd};
use crate::cli::{ListenAddress, ServeArgs};
use crate::config::{ConfigHandle, Overrides};
use crate::self_metrics::LogLines;
use crate::server::listen::{DRAIN, Drained, ListenLimits, PATIENCE, serve};
use crate::server::web::Web;
use crate::server::{App, ServeOptions, discover, router};
use crate::target::Target;

/// How long work that was begun outside of requests, such as a snapshot being written, gets to finish at the end.
const FINISH: Duration = Duration::from_secs(5);

/// Runs the exporter until SIGTERM or SIGINT, and what is in flight then to its end; until a second one at the longest.
///
/// # Errors
/// When it cannot start: a configuration that is wrong, an address that is taken. When a second signal ended it.
pub fn run(arguments: &ServeArgs) -> anyhow::Result<()> {
    let log_lines = LogLines::new()?;
    let _log = log::start(arguments.log, log_lines.clone())?;
    raise_file_limit();
    let sockets = arguments.web_systemd_socket.then(systemd::sockets);
    let sockets = sockets.transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let (ended, finish) = runtime.block_on(async {
        let (mut signals, hangup) = match (Signals::new(), signal(SignalKind::hangup())) {
            (Ok(signals), Ok(hangup)) => (signals, hangup),
            (Err(error), _) | (_, Err(error)) => return (Err(error.into()), FINISH),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let twice = async {
            // Not inside the macro, which evaluates nothing for a line that is not wanted.
            let signal = signals.next().await;
            info!(signal, "stopping");
            drop(stop);
            signals.next().await
        };
        let stopped = async { drop(stopped.await) };
        tokio::select! {
            ended = serve_until(arguments, log_lines, sockets, hangup, stopped) => (ended, FINISH),
            signal = twice => {
                let error = anyhow!("a second signal, {signal}, ended it before every request was answered");
                (Err(error), Duration::ZERO)
            }
        }
    });
    // Dropping the runtime would wait for ever for a disk or a lookup that hangs.
    runtime.shutdown_timeout(finish);
    ended
}

/// Whether nobody from outside this machine can reach the listeners: only then is loopback open to whoever asks.
pub(super) fn all_loopback(listeners: &[TcpListener]) -> std::io::Result<bool> {
    let mut all = true;
    for listener in listeners {
        all &= listener.local_addr()?.ip().is_loopback();
    }
    Ok(all)
}

/// The signals that tell the process to end: SIGTERM and SIGINT.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one, and tells its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Listens, then answers until `stop` ends and the requests in flight are answered.
async fn serve_until(
    arguments: &ServeArgs,
    log_lines: LogLines,
    sockets: Option<Vec<std::net::TcpListener>>,
    hangup: Signal,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let listeners = match sockets {
        Some(sockets) => sockets
            .into_iter()
            .map(TcpListener::from_std)
            .collect::<Result<_, _>>()?,
        None => listen(&arguments.web_listen_address).await?,
    };
    let addresses: Vec<SocketAddr> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    let overrides = Overrides {
        targets: targets(&arguments.targets)?,
        storage_path: arguments.storage_path.clone(),
    };
    let handle = ConfigHandle::load(arguments.config_file.clone(), overrides)?;
    let options = options(arguments, all_loopback(&listeners)?);
    let prefix = options.prefix.clone();
    let web = Web::open(arguments.web_config_file.as_deref())?;
    let scheme = if web.is_tls() { "https" } else { "http" };
    let shared = Arc::clone(&web);
    let app = App::new(handle, options, shared, log_lines, SystemTime::now())?;
    info!(version = env!("CARGO_PKG_VERSION"), "starting");
    for address in addresses {
        info!(%address, url = %format_args!("{scheme}://{address}{prefix}"), "listening");
    }
    let every = arguments
        .config_enable_auto_reload
        .then_some(arguments.config_auto_reload_interval);
    let limits = ListenLimits {
        connections: arguments.web_max_connections.into(),
        patience: PATIENCE,
        drain: DRAIN,
    };
    systemd::ready(app.facts(true)).await;
    app.on_reload(systemd::reload_step);
    let stop = async {
        stop.await;
        app.stop();
        systemd::stopping().await;
    };
    let drained = tokio::select! {
        drained = serve(listeners, router(Arc::clone(&app)), Some(web), limits, stop) => drained,
        never = reload_on_demand(Arc::clone(&app), hangup, every) => match never {},
        never = discover(Arc::clone(&app)) => match never {},
        never = systemd::watchdog() => match never {},
    };
    if timeout(FINISH, app.settle()).await.is_err() {
        warn!("stopped before every snapshot was written");
    }
    match drained {
        Drained::All => info!("stopped"),
        Drained::TimeUp => warn!(
            seconds = DRAIN.as_secs(),
            "stopped before every request was answered"
        ),
    }
    Ok(())
}

/// Reloads on SIGHUP and, where asked to, whenever the file has changed. Failures are logged and counted where
/// the configuration is put in force, and change nothing.
async fn reload_on_demand(
    app: Arc<App>,
    mut hangup: Signal,
    every: Option<Duration>,
) -> std::convert::Infallible {
    let mut timer = every.map(tokio::time::interval);
    loop {
        let tick = async {
            match &mut timer {
                Some(timer) => drop(timer.tick().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hangup.recv() => drop(app.ask_reload().await),
            () = tick => {
                let app = Arc::clone(&app);
                // Reading files blocks; a reload that was begun is finished in any case.
                let reloading = spawn_blocking(move || app.reload_if_changed());
                if let Err(problem) = reloading.await {
                    warn!(%problem, "reloading the configuration failed inside the exporter");
                }
            }
        }
    }
}

fn options(arguments: &ServeArgs, listens_on_loopback: bool) -> ServeOptions {
    let external = arguments.web_external_url.as_ref();
    let path = external.map(|url| url.path().trim_end_matches('/').to_owned());
    let prefix = arguments.web_route_prefix.clone().or_else(|| path.clone());
    ServeOptions {
        enable_lifecycle: arguments.web_enable_lifecycle,
        allow_any_target: arguments.web_allow_any_target,
        listens_on_loopback,
        max_requests: arguments.web_max_requests.into(),
        timeout_offset: arguments.timeout_offset,
        history_limit: arguments.history_limit.into(),
        base: path.map_or_else(String::new, |path| format!("{path}/")),
        prefix: prefix.unwrap_or_default(),
        origin: external.map(|url| url.origin().ascii_serialization()),
    }
}

fn targets(texts: &[String]) -> anyhow::Result<Vec<Target>> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|error| anyhow!("--target {text}: {error}"))
    };
    texts.iter().map(parse).collect()
}

/// Binds every address, or none.
pub(super) async fn listen(addresses: &[ListenAddress]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = match address {
            ListenAddress::All { port } => vec![listen_everywhere(*port).await],
            ListenAddress::Address(address) => vec![TcpListener::bind(address).await],
            ListenAddress::Name { host, port } => {
                let found = tokio::net::lookup_host((host.as_str(), *port)).await;
                let found = found
                    .with_context(|| format!("--web.listen-address {address} does not resolve"))?;
                let mut bound = Vec::new();
                for address in found {
                    bound.push(TcpListener::bind(address).await);
                }
                bound
            }
        };
        for listener in bound {
            listeners.push(listener.with_context(|| format!("cannot listen on {address}"))?);
        }
    }
    Ok(listeners)
}

/// One socket for IPv6 and IPv4, or for IPv4 alone where the machine has no IPv6.
async fn listen_everywhere(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

/// Each target keeps a connection, so the limit of a shell, often 1,024 files, is too low for a fleet.
fn raise_file_limit() {
    if let Err(problem) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%problem, "the limit on open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::cli::{Command, try_parse_from};

    const SOON: Duration = Duration::from_secs(20);

    fn arguments(line: &str) -> ServeArgs {
        match try_parse_from(std::iter::once("goroutine_exporter").chain(line.split_whitespace())) {
            Ok(Command::Serve(arguments)) => *arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn every_address_is_listened_on() {
        let arguments = arguments(
            "--web.listen-address 127.0.0.1:0 --web.listen-address localhost:0 --web.listen-address :0",
        );
        let listeners = listen(&arguments.web_listen_address).await.unwrap();
        assert!(listeners.len() >= 3);
        for listener in &listeners {
            let port = listener.local_addr().unwrap().port();
            let ip = listener.local_addr().unwrap().ip();
            let ip = if ip.is_unspecified() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                ip
            };
            TcpStream::connect((ip, port)).await.unwrap();
        }
        let taken = format!(
            "--web.listen-address {}",
            listeners[0].local_addr().unwrap()
        );
        let error = listen(&self::arguments(&taken).web_listen_address)
            .await
            .unwrap_err();
        assert!(
            error.to_string().starts_with("cannot listen on 127.0.0.1:"),
            "{error}"
        );
    }

    #[test]
    fn flags_become_options() {
        let options = |line: &str| options(&arguments(line), true);
        assert_eq!(options("").base, "");
        assert_eq!(options("--web.external-url https://a.example").base, "/");
        assert_eq!(
            options("--web.external-url https://a.example/ge/").base,
            "/ge/"
        );
        let paths = |line: &str| {
            let options = options(line);
            (options.base, options.prefix)
        };
        let check = |line: &str, base: &str, prefix: &str| {
            assert_eq!(paths(line), (base.to_owned(), prefix.to_owned()), "{line}");
        };
        check("", "", "");
        check("--web.route-prefix /", "", "");
        check("--web.route-prefix ge", "", "/ge");
        check("--web.route-prefix /ge/x/", "", "/ge/x");
        check("--web.external-url https://a.example", "/", "");
        check("--web.external-url https://a.example/ge/", "/ge/", "/ge");
        check(
            "--web.external-url https://a.example/ge --web.route-prefix=/",
            "/ge/",
            "",
        );
        let origin = options("--web.external-url https://A.example:443/ge").origin;
        assert_eq!(origin.as_deref(), Some("https://a.example"));
        assert!(options("--web.enable-lifecycle").enable_lifecycle);
        let error = targets(&["a:1".to_owned(), "b".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--target b: the target has no port"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn it_serves_until_it_is_told_to_stop() {
        let probe = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let arguments = arguments(&format!(
            "--web.listen-address {address} --config.enable-auto-reload --target a:1"
        ));
        let hangup = signal(SignalKind::hangup()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            let log_lines = LogLines::new().unwrap();
            serve_until(&arguments, log_lines, None, hangup, async move {
                drop(stopped.await);
            })
            .await
        });
        let deadline = tokio::time::Instant::now() + SOON;
        let mut stream = loop {
            if let Ok(stream) = TcpStream::connect(address).await {
                break stream;
            }
            assert!(tokio::time::Instant::now() < deadline, "does not listen");
            tokio::task::yield_now().await;
        };
        let request = b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        timeout(SOON, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        drop(stop);
        timeout(SOON, served).await.unwrap().unwrap().unwrap();
    }
}
