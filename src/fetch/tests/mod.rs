mod bodies;
mod connections;
mod credentials;
mod handshakes;
mod identities;
mod policies;
mod proxies;
mod redirects;
mod renewals;
mod servers;

use std::time::Duration;

use super::*;
use crate::policy::{AllowEntry, Defaults, Place};

/// Far more than anything on loopback takes, so that only a hang fails a test.
const PATIENCE: Duration = Duration::from_secs(10);

fn loopback() -> Policy {
    Policy::new(
        Vec::new(),
        &Defaults {
            listens_on_loopback: true,
            ..Defaults::default()
        },
    )
}

fn any() -> Policy {
    Policy::new(
        Vec::new(),
        &Defaults {
            any_target: true,
            ..Defaults::default()
        },
    )
}

fn allow_host(pattern: &str) -> AllowEntry {
    AllowEntry {
        place: Place::Host(pattern.parse().unwrap()),
        ports: Vec::new(),
    }
}

fn plain() -> Fetcher {
    Fetcher::new(&FetchSpec::default()).unwrap()
}

fn following() -> Fetcher {
    Fetcher::new(&FetchSpec {
        follow_redirects: true,
        ..FetchSpec::default()
    })
    .unwrap()
}

/// Fetches `/p?debug=1` from a target, with a limit of 1 MiB.
async fn fetch(
    fetcher: &Fetcher,
    policy: &Policy,
    target: &str,
) -> Result<(Fetched, Vec<u8>), FetchError> {
    fetch_within(fetcher, policy, target, 1024 * 1024, PATIENCE).await
}

async fn fetch_within(
    fetcher: &Fetcher,
    policy: &Policy,
    target: &str,
    body_limit: u64,
    patience: Duration,
) -> Result<(Fetched, Vec<u8>), FetchError> {
    let target: Target = target.parse().unwrap();
    let deadline = Instant::now() + patience;
    let request = Request {
        target: &target,
        path: "/p",
        query: "debug=1",
        policy,
        body_limit,
        deadline,
        again: true,
    };
    let mut body = Vec::new();
    let mut keep = |chunk: &[u8]| {
        body.extend_from_slice(chunk);
        ControlFlow::Continue(())
    };
    let done = fetcher.get(&request, &mut keep).await?;
    Ok((done, body))
}
