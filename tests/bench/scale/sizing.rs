//! How many exporters, and how large: the formulas of `examples/kubernetes/README.md`, "Sizing".

use std::fmt;

use crate::fleet::series;
use crate::machine::thousands;

/// What one exporter costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    /// Targets it is meant for.
    pub(crate) targets: f64,
    /// Of a processor, details included.
    pub(crate) cores_per_target: f64,
    pub(crate) mib_per_target: f64,
}

/// Bytes of memory for a target that does its worst, and MiB beside them with the bounds of `base/exporter.yml`: the
/// formula of README.md, "What costs the target, and its budget", which `tests/it/examples/manifests.rs` holds.
const WORST_BYTES_PER_TARGET: f64 = 590_000.0;
const WORST_MIB: f64 = 800.0;

/// How far above the mean the busiest of many exporters is, in standard deviations of a fair hash.
const DEVIATIONS: f64 = 4.0;

/// Targets that are replaced within an hour, the time for which those that are gone are remembered, as a share of all.
const REPLACED: f64 = 0.1;

/// How many exporters, and what each of them needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sizing {
    pub(crate) targets: f64,
    pub(crate) servers: f64,
    pub(crate) replicas: f64,
    /// Targets of the busiest, at most.
    pub(crate) busiest: f64,
    /// `probes.tracked_targets`.
    pub(crate) tracked: f64,
    /// Millicores and MiB.
    pub(crate) cpu: f64,
    pub(crate) memory: f64,
    pub(crate) limit: f64,
    /// In all, at most, and with the usual number for each target.
    pub(crate) series: f64,
}

impl Sizing {
    /// For so many targets, asked for by so many servers.
    pub(crate) fn of(targets: f64, servers: f64, cost: &Cost) -> Self {
        let replicas = (targets / cost.targets).ceil();
        let mean = targets / replicas;
        let busiest = if replicas > 1.0 {
            (mean + DEVIATIONS * mean.sqrt()).ceil()
        } else {
            mean
        };
        let tracked = (busiest * (1.0 + REPLACED)).ceil();
        Self {
            targets,
            servers,
            replicas,
            busiest,
            tracked,
            cpu: (busiest * servers * cost.cores_per_target * 1000.0).ceil(),
            memory: (tracked * cost.mib_per_target).ceil(),
            limit: (WORST_MIB + tracked * WORST_BYTES_PER_TARGET / f64::from(1 << 20)).ceil(),
            series: targets * series(20, true) as f64,
        }
    }
}

/// A row of the table in `examples/kubernetes/README.md`.
impl fmt::Display for Sizing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = [
            self.targets,
            self.servers,
            self.replicas,
            self.busiest,
            self.tracked,
        ];
        for cell in cells {
            write!(out, "| {} ", thousands(cell as u64))?;
        }
        write!(
            out,
            "| {}m | {}Mi | {}Mi | {} |",
            self.cpu,
            self.memory,
            self.limit,
            thousands(self.series as u64)
        )
    }
}
