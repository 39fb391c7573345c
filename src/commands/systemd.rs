//! What systemd hands over and is told: listening sockets (`sd_listen_fds(3)`), and how the service does (`sd_notify(3)`).
//!
//! The environment says where: without it nothing is told, and there are no sockets. The exporter starts no programs, so
//! what the environment says reaches nobody else.

use std::convert::Infallible;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::numbers;
use crate::server::{Facts, ReloadStep};

/// The sockets systemd listens on for the service, ready for use. To be called before there are threads: it takes the
/// variables about them out of the environment.
///
/// # Errors
/// When there is none, or one that is not for TCP or not for listening.
pub(super) fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut given = ListenFd::from_env();
    ensure!(
        given.len() > 0,
        "--web.systemd-socket: no socket was passed; start the exporter through a .socket unit of systemd"
    );
    let mut sockets = Vec::new();
    for place in 0..given.len() {
        let socket = given.take_tcp_listener(place);
        let wrong = || format!("--web.systemd-socket: socket {}", place + 1);
        let socket = socket.with_context(wrong)?.with_context(wrong)?;
        sockets.push(listening(socket).with_context(wrong)?);
    }
    Ok(sockets)
}

/// The socket, which must be one that listens, without blocking.
fn listening(socket: TcpListener) -> anyhow::Result<TcpListener> {
    let stream = TcpStream::from(OwnedFd::from(socket));
    if stream.peer_addr().is_ok() {
        return Err(anyhow!("it is a connection: the unit needs Accept=no"));
    }
    let socket = TcpListener::from(OwnedFd::from(stream));
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Tells that the service listens and has a configuration.
pub(super) async fn ready(facts: Facts) {
    tell_soon(move || tell(&[NotifyState::Ready, NotifyState::Status(&status(facts))])).await;
}

/// Tells that the service ends.
pub(super) async fn stopping() {
    tell_soon(|| {
        let status = NotifyState::Status("Finishing what is in flight");
        tell(&[NotifyState::Stopping, status]);
    })
    .await;
}

/// Tells how a reload goes on. Blocks for a moment.
pub(super) fn reload_step(step: ReloadStep) {
    match step {
        ReloadStep::Begins => match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(problem) => warn!(%problem, "systemd is not told of the reload"),
        },
        ReloadStep::Ended(facts) => {
            tell(&[NotifyState::Ready, NotifyState::Status(&status(facts))]);
        }
    }
}

/// Shows systemd, twice in the time it allows, that requests would be answered; for ever, where it does not care.
pub(super) async fn watchdog() -> Infallible {
    let Some(allowed) = sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero()) else {
        return std::future::pending().await;
    };
    info!(
        seconds = allowed.as_secs_f64(),
        "systemd watches for a sign of life"
    );
    let mut timer = tokio::time::interval(allowed / 2);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        // Waited for, so that a reader that is slow costs one thread at most.
        drop(spawn_blocking(|| tell(&[NotifyState::Watchdog])).await);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(problem) = sd_notify::notify(states) {
        warn!(%problem, "systemd could not be told how the service does");
    }
}

/// Does not wait for a reader that does not read.
async fn tell_soon(tell: impl FnOnce() + Send + 'static) {
    const LONGEST: Duration = Duration::from_secs(1);
    drop(tokio::time::timeout(LONGEST, spawn_blocking(tell)).await);
}

fn status(facts: Facts) -> String {
    let (targets, modules) = (
        numbers::count_of(facts.targets, "static target"),
        numbers::count_of(facts.modules, "module"),
    );
    let old = if facts.current {
        ""
    } else {
        "; the configuration could not be reloaded, the old one is in force"
    };
    format!("Serving {targets}, {modules}{old}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_counts() {
        let facts = |targets, current| Facts {
            targets,
            modules: 2,
            current,
        };
        assert_eq!(status(facts(1, true)), "Serving 1 static target, 2 modules");
        assert!(status(facts(3, false)).contains("old one"));
    }

    #[test]
    fn a_connection_is_no_listening_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connection = TcpStream::connect(address).unwrap();
        let disguised = TcpListener::from(OwnedFd::from(connection));
        let error = listening(disguised).unwrap_err().to_string();
        assert!(error.contains("Accept=no"), "{error}");
        assert_eq!(listening(listener).unwrap().local_addr().unwrap(), address);
    }
}
