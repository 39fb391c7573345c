//! Made-up targets: where they are, and what runs in them.

use std::cmp::Reverse;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

use goroutine_exporter::budget::{Ledger, Moment};
use goroutine_exporter::classify::{Origin, WaitReason};
use goroutine_exporter::config::Module;
use goroutine_exporter::profile::{Encoding, Summary};
use goroutine_exporter::tally::{Group, GroupId, Memory, Tally, WAITED_MINUTES, select};

use crate::hashing::hash;

/// The same targets in every run.
const SEED: u64 = 100_000;

/// Groups of a target and goroutines of a group are log-normal: the median, and how long the tail is (sigma). The medians
/// are those of the stand-ins of `capacity`: 15 groups, some 200 goroutines.
const GROUPS: (f64, f64) = (15.0, 0.7);
const GOROUTINES: (f64, f64) = (6.0, 1.3);

/// Frames of a stack.
const DEPTH: u64 = 12;

/// All targets.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) targets: Vec<Target>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Target {
    /// As Prometheus discovers it.
    pub(crate) address: String,
    pub(crate) hash: u64,
    /// Series of a probe, at most.
    pub(crate) series: u64,
    /// Frames on all stacks together, which bound what it may be asked for.
    pub(crate) frames: u64,
}

impl Fleet {
    /// So many, and what the default module makes of them.
    pub(crate) fn new(targets: usize) -> Self {
        let module = Module::default();
        let mut random = Random(SEED);
        let names: Vec<Arc<str>> = (0..1000).map(|n| format!("main.f{n}").into()).collect();
        let targets = (0..targets).map(|number| {
            let groups = (random.log_normal(GROUPS) as usize).clamp(2, names.len());
            let tally = tally(&names[..groups], &mut random);
            let shown = select(&tally, &module.series, &mut Memory::default())
                .shown
                .len() as u64;
            let detail = Ledger::default().detail(&module.detail, &moment(&module, tally.frames));
            let address = address(number, 0);
            Target {
                hash: hash(&[&address], ";"),
                series: series(shown, detail.is_ok()),
                frames: tally.frames,
                address,
            }
        });
        Self {
            targets: targets.collect(),
        }
    }

    pub(crate) fn hashes(&self) -> Vec<u64> {
        self.targets.iter().map(|target| target.hash).collect()
    }
}

/// What a probe yields at most, as README.md has it ("Series of a target"; `tests/it/docs.rs` holds that to the exposition):
/// of the goroutine profile, and of the detail where the target is small enough to be asked for it.
pub(crate) fn series(groups: u64, detail: bool) -> u64 {
    40 + 2 * groups + if detail { 94 + 2 * groups } else { 0 }
}

/// The address of a pod: 100 on a node. A pod in place of another has another number.
pub(crate) fn address(number: usize, generation: usize) -> String {
    let (node, pod) = (number / 100, number % 100 + 2 + 100 * generation);
    format!("10.{}.{}.{pod}:6060", node / 256, node % 256)
}

/// A probe that just counted so many frames and has nearly all of its time left.
pub(crate) fn moment(module: &Module, frames: u64) -> Moment {
    Moment {
        size: Some(frames),
        at_locks: 0,
        now: Instant::now(),
        left: module.timeout.saturating_sub(Duration::from_secs(1)),
        body_limit: module.detail_body_bytes,
    }
}

/// Goroutines in groups of these names.
fn tally(names: &[Arc<str>], random: &mut Random) -> Tally {
    let mut groups: Vec<Group> = names
        .iter()
        .map(|name| Group {
            id: GroupId(random.next()),
            wait_reason: WaitReason::ChanReceive,
            blocking_frame: Arc::clone(name),
            app_frame: Arc::clone(name),
            goroutines: (random.log_normal(GOROUTINES) as u64).max(1),
            leaked: 0,
            longest_wait: None,
            parked: None,
            file: Arc::clone(name),
            line: 1,
            places: Vec::new(),
            entry: Arc::clone(name),
            created_by: None,
            origin: Origin::App,
        })
        .collect();
    groups.sort_by_key(|group| (Reverse(group.goroutines), group.id));
    of_groups(groups)
}

/// The tally of a target with these groups.
pub(crate) fn of_groups(groups: Vec<Group>) -> Tally {
    let total = groups.iter().map(|group| group.goroutines).sum();
    Tally {
        summary: Summary {
            encoding: Encoding::Protobuf,
            leaked_only: false,
            declared_total: None,
            truncated: false,
            damage: 0,
            process: None,
        },
        total,
        wait_reasons: [0; WaitReason::ALL.len()],
        longest_waits: [None; WaitReason::ALL.len()],
        waited: [[0; WAITED_MINUTES.len()]; WaitReason::ALL.len()],
        leaked: None,
        groups,
        unlisted: 0,
        watches: Vec::new(),
        labels: Vec::new(),
        highest_id: None,
        checked: None,
        frames: total * DEPTH,
    }
}

/// Numbers without a pattern, the same ones for the same seed: `SplitMix64` (Steele, Lea, Flood, 2014).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// By Box and Muller.
    fn log_normal(&mut self, (median, sigma): (f64, f64)) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        median * (sigma * radius * (TAU * self.share()).cos()).exp()
    }
}
