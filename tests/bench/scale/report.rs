//! The tables.

use std::fmt;
use std::time::Duration;

use goroutine_exporter::config::DEFAULT_TRACKED_TARGETS;

use crate::asked::{Asked, Way, asked};
use crate::fleet::Fleet;
use crate::hashing::{moved, spread};
use crate::machine::thousands;
use crate::sizing::{Cost, Sizing};
use crate::{REPLICAS, capacity, remembered};

/// `probes.tracked_targets` of `examples/kubernetes/base/exporter.yml`.
const RECIPE_TRACKED: usize = 1_000;

/// Everything worked out in one run.
#[derive(Debug)]
pub(crate) struct Report {
    cost: Cost,
    rows: Vec<Row>,
    /// Series of a probe, fewest first.
    series: Vec<u64>,
    /// Series of the first tenth of the targets.
    replaced: u64,
    unwatched: Duration,
}

/// So many exporters.
#[derive(Debug)]
pub(crate) struct Row {
    replicas: usize,
    /// Targets of each.
    pub(crate) spread: Vec<usize>,
    /// How many have another exporter when there is one more.
    pub(crate) moved: usize,
    /// Of all targets, how many are forgotten before their next probe: with the room of the recipe, and the usual one.
    pub(crate) forgotten: [usize; 2],
    /// By the target with one and two servers, then by a Service.
    pub(crate) asked: [Asked; 4],
    /// Series of the exporter with most of them.
    series: u64,
}

impl Row {
    fn of(fleet: &Fleet, replicas: usize, sample: usize) -> Self {
        let hashes = fleet.hashes();
        let of = |number: usize| {
            let ours = move |hash: u64| hash % replicas as u64 == number as u64;
            fleet.targets.iter().filter(move |target| ours(target.hash))
        };
        let forgotten = |room| {
            let each = (0..replicas).map(|number| {
                let addresses: Vec<&str> = of(number).map(|target| &*target.address).collect();
                remembered::forgotten(&addresses, room)
            });
            each.sum()
        };
        let some = &fleet.targets[..sample.min(fleet.targets.len())];
        let ways = [
            (1, Way::Hashed),
            (2, Way::Hashed),
            (1, Way::Balanced),
            (2, Way::Balanced),
        ];
        let series = (0..replicas).map(|number| of(number).map(|target| target.series).sum());
        Self {
            replicas,
            spread: spread(&hashes, replicas),
            moved: moved(&hashes, replicas),
            forgotten: [
                forgotten(RECIPE_TRACKED),
                forgotten(DEFAULT_TRACKED_TARGETS),
            ],
            asked: ways.map(|(servers, way)| asked(some, replicas, servers, way)),
            series: series.max().unwrap_or_default(),
        }
    }

    pub(crate) fn fewest(&self) -> usize {
        self.spread.iter().copied().min().unwrap_or_default()
    }

    pub(crate) fn most(&self) -> usize {
        self.spread.iter().copied().max().unwrap_or_default()
    }

    /// Targets of an exporter, on average.
    fn mean(&self) -> f64 {
        self.spread.iter().sum::<usize>() as f64 / self.replicas as f64
    }

    pub(crate) fn most_over_mean(&self) -> f64 {
        self.most() as f64 / self.mean()
    }
}

impl Report {
    /// Of these targets; hours are played for so many of them.
    pub(crate) fn of(fleet: &Fleet, sample: usize) -> Self {
        let rows = REPLICAS.map(|replicas| {
            eprintln!("{replicas} replicas");
            Row::of(fleet, replicas, sample)
        });
        let mut series: Vec<u64> = fleet.targets.iter().map(|target| target.series).collect();
        let replaced = series[..series.len() / 10].iter().sum();
        series.sort_unstable();
        Self {
            cost: capacity::allowed(),
            rows: rows.into(),
            series,
            replaced,
            unwatched: remembered::unwatched(),
        }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn series(&self) -> &[u64] {
        &self.series
    }

    fn total(&self) -> u64 {
        self.series.iter().sum()
    }

    /// The number of series that so many in a thousand targets stay within.
    fn within(&self, thousandths: usize) -> u64 {
        self.series[(self.series.len() * thousandths / 1000).min(self.series.len() - 1)]
    }
}

/// The head of the table of sizes.
pub(crate) const SIZES: &str = "\
| targets | Prometheus servers | replicas | targets of the busiest | `tracked_targets` | CPU request | memory request | memory limit | series, at most |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// What the table of sizes is for.
pub(crate) fn sizes(cost: &Cost) -> Vec<Sizing> {
    let of = |(targets, servers)| Sizing::of(targets, servers, cost);
    [
        (1_000.0, 1.0),
        (10_000.0, 2.0),
        (100_000.0, 1.0),
        (100_000.0, 2.0),
    ]
    .map(of)
    .into()
}

/// Who has how many targets, and what that means when one dies or comes: what the hash alone decides.
pub(crate) fn balance(out: &mut impl fmt::Write, rows: &[Row]) -> fmt::Result {
    writeln!(
        out,
        "| replicas | targets: fewest | mean | most, without probes while that one is gone | most/mean | one replica more: targets that move |\n\
         |--:|--:|--:|--:|--:|--:|"
    )?;
    for row in rows {
        let all = row.spread.iter().sum::<usize>();
        writeln!(
            out,
            "| {} | {} | {:.0} | {} | {:.3} | {} ({:.0} %) |",
            row.replicas,
            thousands(row.fewest() as u64),
            row.mean(),
            thousands(row.most() as u64),
            row.most_over_mean(),
            thousands(row.moved as u64),
            row.moved as f64 / all as f64 * 100.0,
        )?;
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} targets.\n", thousands(self.series.len() as u64))?;
        balance(out, &self.rows)?;

        out.write_str(
            "\n| replicas | by the target: fetches in 15 s, 1 server | 2 servers | details in 10 min, 1 server | 2 servers \
             | by a Service: fetches, 1 server | 2 servers | details, 1 server | 2 servers |\n\
             |--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        )?;
        for row in &self.rows {
            write!(out, "| {} ", row.replicas)?;
            for pair in row.asked.chunks(2) {
                let [one, two] = pair else { continue };
                write!(
                    out,
                    "| {:.2} | {:.2} | {:.2} | {:.2} ",
                    one.fetches, two.fetches, one.details, two.details
                )?;
            }
            out.write_str("|\n")?;
        }

        out.write_str(
            "\n| replicas | busiest: processors, 1 server | 2 servers | MiB | its series | forgotten before their next probe, \
             `tracked_targets` 1,000 | 10,000 |\n\
             |--:|--:|--:|--:|--:|--:|--:|\n",
        )?;
        for row in &self.rows {
            let most = row.most() as f64;
            let cores = most * self.cost.cores_per_target;
            writeln!(
                out,
                "| {} | {:.2} | {:.2} | {:.0} | {} | {} | {} |",
                row.replicas,
                cores,
                2.0 * cores,
                most * self.cost.mib_per_target,
                thousands(row.series),
                thousands(row.forgotten[0] as u64),
                thousands(row.forgotten[1] as u64),
            )?;
        }

        writeln!(
            out,
            "\nSeries in all, and in each Prometheus server: {}; in each of N shards of one an N-th of them. For a target: median {}, \
             99 in 100 within {}, most {}.\n\
             A rollout that replaces a tenth of the targets: {} series end, as many begin.\n\
             A target new to an exporter is watched for growth after {}.\n\n{SIZES}",
            thousands(self.total()),
            self.within(500),
            self.within(990),
            self.within(1000),
            thousands(self.replaced),
            humantime::format_duration(self.unwatched),
        )?;
        for size in sizes(&self.cost) {
            writeln!(out, "{size}")?;
        }
        Ok(())
    }
}
