//! Many targets at an even pace, and one target with many groups.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::ask::Asker;
use crate::exporter::Exporter;
use crate::fleet::{Fake, fleet, target};
use crate::profile;
use crate::watch::Held;

/// Probes of one target with many groups; fewer where one takes long.
const PROBES_OF_GROUPS: usize = 300;
const LONG_ENOUGH: Duration = Duration::from_secs(10);
/// What the exporter answers when as many probes run as may.
const BUSY: u16 = 503;

/// So many targets in steady state.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) targets: usize,
    pub(crate) interval: Duration,
    /// How long the measured intervals took.
    pub(crate) took: Duration,
    pub(crate) probes: usize,
    /// Of all, the warming up included, those that the exporter had no time for: more than 64 at once.
    pub(crate) refused: usize,
    /// CPU time in the measured intervals.
    pub(crate) cpu: Duration,
    /// The same of the interval before them, in which every target is met, and asked for its detail.
    pub(crate) warm_up: Duration,
    pub(crate) details: u64,
    /// Of each probe: the time to the answer without what the target took for its part; sorted.
    pub(crate) added: Vec<Duration>,
    pub(crate) held: Held,
    pub(crate) faults: Vec<String>,
}

/// One probe.
#[derive(Debug)]
struct Probed {
    measured: bool,
    refused: bool,
    added: Duration,
    fault: Option<String>,
}

impl Row {
    /// The part of one core, details left out.
    pub(crate) fn share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.took.as_secs_f64()
    }

    /// The part of one core when what meeting a target costs, its detail above all, comes once in `every`.
    pub(crate) fn share_with_details(&self, every: Duration) -> f64 {
        let of_one = self.cpu.as_secs_f64() / self.probes as f64;
        let met = self.warm_up.as_secs_f64() - of_one * self.targets as f64;
        self.share() + met.max(0.0) / every.as_secs_f64()
    }

    pub(crate) fn cpu_of_probe(&self) -> Duration {
        self.cpu.div_f64(self.probes as f64)
    }

    /// What so many in a thousand probes stayed within.
    pub(crate) fn added(&self, thousandths: usize) -> Duration {
        let rank = (self.added.len() * thousandths).div_ceil(1000);
        let found = self.added.get(rank.saturating_sub(1));
        found.copied().unwrap_or_default()
    }
}

/// Probes every target once in an interval, evenly: one interval to warm up, then so many to measure.
pub(crate) async fn steady(targets: usize, interval: Duration, intervals: usize) -> Row {
    let fakes = fleet(targets).await;
    let exporter = Exporter::start();
    let watched = exporter.watched();
    let asker = Asker::new(exporter.address);
    let mut asking: JoinSet<Probed> = JoinSet::new();
    let begun = tokio::time::Instant::now();
    let (mut cpu, mut since) = (Vec::new(), Instant::now());
    for turn in 0..=targets * (intervals + 1) {
        let (round, place) = (turn / targets, turn % targets);
        sleep_until(begun + interval.mul_f64(turn as f64 / targets as f64)).await;
        if place == 0 {
            cpu.push(watched.cpu());
            if round == 1 {
                since = Instant::now();
            }
        }
        if round <= intervals {
            let (asker, fake) = (asker.clone(), Arc::clone(&fakes[place]));
            asking.spawn(async move { probe(&asker, &fake, round > 0).await });
        }
    }
    let took = since.elapsed();
    let held = watched.held();
    let (mut added, mut faults, mut refused) = (Vec::new(), Vec::new(), 0);
    while let Some(probed) = asking.join_next().await {
        let probed = probed.unwrap();
        faults.extend(probed.fault);
        if probed.refused {
            refused += 1;
        } else if probed.measured {
            added.push(probed.added);
        }
    }
    added.sort_unstable();
    let asked = (targets * (intervals + 1) - refused) as f64;
    let result = [("module", "default"), ("result", "success")];
    let counted = exporter.metric("goroutine_exporter_probes_total", &result);
    if counted != Some(asked) {
        faults.push(format!(
            "{asked} probes answered, {counted:?} counted by the exporter"
        ));
    }
    let shared = exporter.metric("goroutine_exporter_probes_coalesced_total", &[]);
    if shared != Some(0.0) {
        faults.push(format!("{shared:?} probes were shared"));
    }
    let details = fakes.iter().map(|fake| fake.done().details).sum();
    Row {
        targets,
        interval,
        took,
        probes: added.len(),
        refused,
        cpu: *cpu.last().unwrap() - cpu[1],
        warm_up: cpu[1] - cpu[0],
        details,
        added,
        held,
        faults,
    }
}

/// Probes one target; nobody else does at the same time.
async fn probe(asker: &Asker, fake: &Fake, measured: bool) -> Probed {
    let before = fake.done();
    let answer = asker.probe(&fake.address.to_string(), &[]).await;
    let after = fake.done();
    if answer.status == BUSY {
        return Probed {
            measured,
            refused: true,
            added: Duration::ZERO,
            fault: None,
        };
    }
    let said = fake.goroutines(before.profiles) as f64;
    let mut fault = answer.fault(|found| found == said);
    if after.profiles != before.profiles + 1 {
        let asked = after.profiles - before.profiles;
        fault = fault.or(Some(format!("one probe asked {asked} times")));
    }
    Probed {
        measured,
        refused: false,
        added: answer.took.saturating_sub(after.busy - before.busy),
        fault,
    }
}

/// One target with so many groups.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    pub(crate) groups: usize,
    pub(crate) goroutines: u64,
    pub(crate) probes: usize,
    pub(crate) cpu_of_probe: Duration,
    /// In the mean.
    pub(crate) answer: Duration,
    pub(crate) body_bytes: f64,
    pub(crate) answer_bytes: usize,
    pub(crate) answer_bytes_packed: usize,
    pub(crate) held: Held,
    pub(crate) faults: Vec<String>,
}

/// Probes one target with so many groups, one probe after the other, with an exporter of its own.
pub(crate) async fn of_groups(groups: usize) -> Groups {
    let stacks = profile::groups(groups);
    let goroutines = profile::total(&stacks);
    let fake = target(&stacks).await;
    let exporter = Exporter::start();
    let (watched, asker) = (exporter.watched(), Asker::new(exporter.address));
    let mut faults = Vec::new();
    // The first probe may read more than the others, the second is the first that has series of all groups that get one.
    for _ in 0..3 {
        faults.extend(probe(&asker, &fake, false).await.fault);
    }
    let (begun, cpu) = (Instant::now(), watched.cpu());
    let mut probes = 0;
    while probes < PROBES_OF_GROUPS && begun.elapsed() < LONG_ENOUGH {
        faults.extend(probe(&asker, &fake, true).await.fault);
        probes += 1;
    }
    let (took, cpu) = (begun.elapsed(), watched.cpu() - cpu);
    let held = watched.held();
    let last = asker.probe(&fake.address.to_string(), &[]).await;
    let seen = last.value("goroutine_groups");
    if seen != Some(groups as f64) {
        faults.push(format!("{seen:?} groups of {groups}"));
    }
    let body = "goroutine_profile_body_bytes{profile=\"goroutine\"}";
    Groups {
        groups,
        goroutines,
        probes,
        cpu_of_probe: cpu.div_f64(probes as f64),
        answer: took.div_f64(probes as f64),
        body_bytes: last.value(body).unwrap_or_default(),
        answer_bytes: last.text.len(),
        answer_bytes_packed: last.sent_bytes,
        held,
        faults,
    }
}
