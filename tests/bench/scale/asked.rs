//! What targets are asked for, probe by probe, by one Prometheus server or two.

use std::time::{Duration, Instant};

use goroutine_exporter::budget::{Cost, Expensive, Ledger};
use goroutine_exporter::config::Module;

use crate::INTERVAL;
use crate::fleet::{Random, Target, moment};

/// How long a probe takes at the target and on the way: only probes that overlap are one fetch.
const FETCH: Duration = Duration::from_millis(100);

/// Hours that pass before anything is counted, and hours that are counted.
const HOURS: (u32, u32) = (1, 2);

/// Who decides which exporter is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The target, as in `replicas.yml` and in the overlay `sharded`.
    Hashed,
    /// A Service in front of all of them: any.
    Balanced,
}

/// What one target is asked for, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Asked {
    /// Cheap profiles, in an interval.
    pub(crate) fetches: f64,
    /// Details, in the time that the module lets pass from one to the next.
    pub(crate) details: f64,
}

/// Plays hours of these targets. Servers ask at times of their own: Prometheus spreads scrapes over the interval by a hash of
/// the target and of the server's name and external labels.
pub(crate) fn asked(targets: &[Target], replicas: usize, servers: usize, way: Way) -> Asked {
    let module = Module::default();
    let mut random = Random(replicas as u64);
    let begun = Instant::now();
    let turns =
        |hours: u32| Duration::from_hours(1).as_secs() * u64::from(hours) / INTERVAL.as_secs();
    let (warm, counted) = (turns(HOURS.0), turns(HOURS.1));
    let (mut fetches, mut details) = (0_u64, 0_u64);
    for target in targets {
        let mut offsets: Vec<Duration> = (0..servers)
            .map(|_| INTERVAL.mul_f64(random.share()))
            .collect();
        offsets.sort();
        let mut ledgers = vec![Ledger::default(); replicas];
        let mut under_way: Vec<Option<Instant>> = vec![None; replicas];
        for turn in 0..warm + counted {
            for offset in &offsets {
                let now = begun + INTERVAL.mul_f64(turn as f64) + *offset;
                let by = match way {
                    Way::Hashed => target.hash,
                    Way::Balanced => random.next(),
                };
                let replica = (by % replicas as u64) as usize;
                if under_way[replica].is_some_and(|until| now < until) {
                    continue;
                }
                under_way[replica] = Some(now + FETCH);
                let counts = u64::from(turn >= warm);
                fetches += counts;
                details += counts * u64::from(detail(&mut ledgers[replica], &module, target, now));
            }
        }
    }
    let in_all = targets.len() as f64 * counted as f64;
    let of_interval = INTERVAL.as_secs_f64() / module.detail.min_interval.as_secs_f64();
    Asked {
        fetches: fetches as f64 / in_all,
        details: details as f64 / in_all / of_interval,
    }
}

/// Asks for the detail where that is allowed; it costs no more than it should.
fn detail(ledger: &mut Ledger, module: &Module, target: &Target, now: Instant) -> bool {
    let mut moment = moment(module, target.frames);
    moment.now = now;
    if ledger.detail(&module.detail, &moment).is_err() {
        return false;
    }
    ledger.claim(Expensive::Detail, now);
    let cost = Cost {
        size: target.frames,
        duration: FETCH,
        bytes: target.frames * 85,
    };
    ledger.settle(Expensive::Detail, cost);
    ledger.release();
    true
}
