//! The same URL of the same Go service, asked for through the exporter and through `blackbox_exporter` in turn.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::ask::{Answer, Asker};
use crate::exporter::Exporter;
use crate::gobuild;
use crate::http;
use crate::programs::{Program, skip, until};
use crate::watch::Watched;

const BLACKBOX: &str = "prometheus-blackbox-exporter";
/// What the service parks.
const GOROUTINES: f64 = 200.0;
/// Go's own, and those of open connections: far fewer than that.
const MORE: f64 = 40.0;
/// Probes before the first round: what is read once is read then, and both have their connections and heaps.
const WARM_UP: usize = 20;

/// What one round of probes cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// CPU time of whoever probed, for 1,000 probes.
    pub(crate) cpu: Duration,
    /// CPU time of the service, for 1,000 probes.
    pub(crate) service: Duration,
    /// How long one answer took, in the mean.
    pub(crate) answer: Duration,
}

/// Rounds in turn, of both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    pub(crate) probes: usize,
    pub(crate) ours: Vec<Round>,
    pub(crate) blackbox: Vec<Round>,
    /// What `blackbox_exporter` says of its version.
    pub(crate) version: String,
    pub(crate) go: String,
    pub(crate) faults: Vec<String>,
}

/// Asks in turn. `None` on a machine that lacks Go or `blackbox_exporter`.
pub(crate) async fn compare(rounds: usize, probes: usize, folder: &Path) -> Option<Peers> {
    let built = gobuild::build("capacity/service")?;
    let version = blackbox_version()?;
    let service = Service::start(&built);
    let (ours, blackbox) = (Exporter::start(), Blackbox::start(folder));
    let mut peers = Peers {
        probes,
        version,
        go: gobuild::version(&built),
        ..Peers::default()
    };
    let (asks_ours, asks_blackbox) = (Asker::new(ours.address), Asker::new(blackbox.address));
    let profile = format!("{}/debug/pprof/goroutine", service.target);
    // Both on: what is to be measured is that they do the same.
    let ask_ours = async || asks_ours.probe(&service.target, &[]).await;
    let ask_blackbox = async || asks_blackbox.probe(&profile, &[("module", "http")]).await;
    let right = |answer: &Answer| answer.fault(|n| (GOROUTINES..GOROUTINES + MORE).contains(&n));
    let answered = |answer: &Answer| {
        let well = answer.value("probe_success") == Some(1.0);
        (!well).then(|| format!("blackbox_exporter: no success:\n{}", answer.text))
    };
    let faults = &mut peers.faults;
    let (watch_ours, watch_blackbox) = (ours.watched(), Watched(blackbox.program.id()));
    round(&service, watch_ours, WARM_UP, &ask_ours, right).await;
    round(&service, watch_blackbox, WARM_UP, &ask_blackbox, answered).await;
    for _ in 0..rounds {
        let (round_of_ours, fault) = round(&service, watch_ours, probes, &ask_ours, right).await;
        peers.ours.push(round_of_ours);
        faults.extend(fault);
        let (round_of_blackbox, fault) =
            round(&service, watch_blackbox, probes, &ask_blackbox, answered).await;
        peers.blackbox.push(round_of_blackbox);
        faults.extend(fault);
    }
    Some(peers)
}

/// One round, and what was wrong with it: an answer, or a request that the service never saw.
async fn round(
    service: &Service,
    watched: Watched,
    probes: usize,
    ask: impl AsyncFn() -> Answer,
    judge: impl Fn(&Answer) -> Option<String>,
) -> (Round, Option<String>) {
    let (cpu, of_service, served) = (watched.cpu(), service.watched().cpu(), service.served());
    let begun = Instant::now();
    let mut fault = None;
    for _ in 0..probes {
        let answer = ask().await;
        fault = fault.or(judge(&answer));
    }
    let took = begun.elapsed();
    let (cpu, of_service) = (watched.cpu() - cpu, service.watched().cpu() - of_service);
    let served = service.served() - served;
    if served != probes {
        fault = fault.or(Some(format!("{probes} probes, {served} profiles served")));
    }
    let for_1000 = |cpu: Duration| cpu.mul_f64(1000.0 / probes as f64);
    let round = Round {
        cpu: for_1000(cpu),
        service: for_1000(of_service),
        answer: took.div_f64(probes as f64),
    };
    eprintln!("{watched:?}: {round:?}");
    (round, fault)
}

/// The Go service.
#[derive(Debug)]
struct Service {
    program: Program,
    /// `http://127.0.0.1:41923`.
    target: String,
    address: SocketAddr,
}

impl Service {
    fn start(built: &Path) -> Self {
        // Without an environment: GOMAXPROCS, GOGC and GODEBUG are Go's own choice.
        let program = Program::start(Command::new(built).env_clear());
        let target = program.line("target", |line| {
            Some(line.strip_prefix("ready ")?.to_owned())
        });
        let (_, address) = target.split_once("://").unwrap();
        Self {
            program,
            address: address.parse().unwrap(),
            target,
        }
    }

    fn watched(&self) -> Watched {
        Watched(self.program.id())
    }

    /// Profiles that it was asked for so far.
    fn served(&self) -> usize {
        let text = http::get(self.address, "/served").text();
        text.trim().parse().unwrap()
    }
}

/// `blackbox_exporter` as its package configures it: HTTP, and 2xx is a success.
#[derive(Debug)]
struct Blackbox {
    program: Program,
    address: SocketAddr,
}

impl Blackbox {
    fn start(folder: &Path) -> Self {
        let config = folder.join("blackbox.yml");
        std::fs::write(&config, "modules: { http: { prober: http } }\n").unwrap();
        // It does not tell which port it got, so it is given one that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut program = Program::start(
            Command::new(BLACKBOX)
                .env_clear()
                .args(["--config.file", config.to_str().unwrap()])
                .args(["--web.listen-address", &address.to_string()]),
        );
        until("blackbox_exporter to be healthy", || {
            assert!(!program.ended(), "{}", program.log());
            let answer = http::try_ask(address, "GET", "/-/healthy", &[]).ok()?;
            (answer.status == 200).then_some(())
        });
        Self { program, address }
    }
}

/// What it calls itself; nothing when it is not there.
fn blackbox_version() -> Option<String> {
    let Ok(output) = Command::new(BLACKBOX).arg("--version").output() else {
        skip("no prometheus-blackbox-exporter; run tests/tools/install.sh");
        return None;
    };
    // Versions differ in which stream they take.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let (_, rest) = text.split_once("version ").unwrap();
    Some(rest.split_whitespace().next().unwrap().to_owned())
}
