//! When the rules that come with the exporter would tell of a leak: what real probes showed, continued for hours, and
//! judged by promtool.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use regex::Regex;
use serde_yaml::Value;

use super::{Group, Seen};
use crate::programs::repository;

/// Requests that leak, each minute: the pace of an incident, and one that takes a day to be noticed.
const FAST: f64 = 1_500.0;
const SLOW: f64 = 2.0;

/// Minutes that a target was watched before it leaks, and for how long it then does.
const FAST_BEFORE: usize = 30;
const FAST_DURING: usize = 15;
const SLOW_BEFORE: usize = 70;
const SLOW_DURING: usize = 70;

/// Minutes between two readings of what costs more than a count. The leak begins right after one, which is when it takes
/// longest.
const BETWEEN_READINGS: usize = 10;

/// What the rules tell: minutes from when the leak began to the alert, by what it rests on.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) growth_fast: Option<f64>,
    pub(super) growth_slow: Option<f64>,
    pub(super) wait: Option<f64>,
    pub(super) proof: Option<f64>,
    /// The ids of the groups that the alerts are about.
    pub(super) groups: BTreeSet<String>,
}

/// What the rules say of each, in that order.
pub(super) fn told(all: &[Seen]) -> Vec<Told> {
    let mut fast = Story::new("fast", FAST_BEFORE, FAST_DURING);
    let mut slow = Story::new("slow", SLOW_BEFORE, SLOW_DURING);
    for (at, seen) in all.iter().enumerate() {
        fast.grows(at, seen, FAST);
        slow.grows(at, seen, SLOW);
        slow.waits_and_proof(at, seen);
    }
    let mut told = vec![Told::default(); all.len()];
    for (story, fast) in [(fast, true), (slow, false)] {
        for fired in story.judged() {
            let of = &mut told[fired.job];
            let fixed = all[fired.job].fixed;
            let place = match (fired.alert.as_str(), fast) {
                ("GoroutineLeakSuspected", true) => &mut of.growth_fast,
                ("GoroutineLeakSuspected", false) => &mut of.growth_slow,
                ("GoroutineStuck", false) => &mut of.wait,
                ("GoroutineLeakConfirmed", false) => &mut of.proof,
                // What follows when growth has gone on.
                ("GoroutineLeakRunaway" | "GoroutineConcentration", true) if !fixed => continue,
                _ => panic!("{fired:?} of {}, too", all[fired.job].pattern.name),
            };
            let first = place.map_or(fired.after, |known: f64| known.min(fired.after));
            *place = Some(first);
            of.groups.insert(fired.group);
        }
    }
    told
}

/// The first time that an alert fires.
#[derive(Debug)]
struct Fired {
    job: usize,
    alert: String,
    group: String,
    /// Minutes from when the leak began.
    after: f64,
}

/// Series over time, a sample each minute. After `before` minutes the leak begins.
struct Story {
    name: &'static str,
    before: usize,
    during: usize,
    series: String,
}

impl Story {
    fn new(name: &'static str, before: usize, during: usize) -> Self {
        Self {
            name,
            before,
            during,
            series: String::new(),
        }
    }

    fn add(&mut self, name: &str, labels: &str, values: &str) {
        writeln!(
            self.series,
            "  - series: '{name}{{{labels}}}'\n    values: {values}"
        )
        .unwrap();
    }

    /// What grew goes on growing, at that pace, from nothing; everything else stays as it was.
    fn grows(&mut self, at: usize, seen: &Seen, requests: f64) {
        let (before, during) = (self.before, self.during);
        let grown: f64 = seen.grown().map(|group| group.goroutines[1]).sum();
        let others = seen.total - grown;
        let mut pace = 0.0;
        for group in seen.judged() {
            let values = if group.growth() > 1.0 {
                // As many for each request as there were.
                let each = group.growth() / super::REQUESTS as f64 * requests;
                pace += each;
                format!("_x{} {each}+{each}x{}", before + 1, during - 1)
            } else {
                format!("{}x{}", group.goroutines[1], before + during)
            };
            self.add("goroutine_group_goroutines", &labels(at, group), &values);
        }
        let values = format!("{others}x{before} {}+{pace}x{}", others + pace, during - 1);
        self.add("goroutine_goroutines", &job(at), &values);
        // The detailed profile is read, so no rule has to do without.
        let detail = format!("{},profile=\"goroutine_detail\"", job(at));
        let values = format!("0x{}", before + during);
        self.add("goroutine_profile_timestamp_seconds", &detail, &values);
    }

    /// What a reading every ten minutes tells: whole minutes that the oldest of a group has waited, and what is proven.
    /// What does not leak has waited since the start. Some wake in between and have waited less; none of these is at a
    /// lock or a send, and the rules ask for no other waits.
    fn waits_and_proof(&mut self, at: usize, seen: &Seen) {
        for group in seen.judged().filter(|group| group.wait_reason != "running") {
            // Right after a reading: the next is when the next ten minutes are over, and almost as many were waited.
            let (began, short) = if seen.suspects(group) {
                (self.before + BETWEEN_READINGS, 1)
            } else {
                (BETWEEN_READINGS, 0)
            };
            let mut waits = format!("_x{began}");
            let mut leaked = waits.clone();
            let readings = (self.before + self.during - began) / BETWEEN_READINGS;
            for reading in 1..=readings {
                let minutes = reading * BETWEEN_READINGS - short;
                write!(waits, " {}x{}", minutes * 60, BETWEEN_READINGS - 1).unwrap();
                write!(leaked, " {}x{}", group.leaked, BETWEEN_READINGS - 1).unwrap();
            }
            let labels = labels(at, group);
            self.add("goroutine_group_longest_wait_seconds", &labels, &waits);
            if group.proven() {
                self.add("goroutine_group_leaked_goroutines", &labels, &leaked);
            }
        }
    }

    /// Which alerts fire, and when first.
    fn judged(&self) -> Vec<Fired> {
        let end = self.before + self.during;
        // That nothing fires is a claim that fails, and what it says then is the answer.
        let test = format!(
            "rule_files: [rules.yml]\n\
             evaluation_interval: 1m\n\
             group_eval_order: [goroutine_leaks, goroutine_growth, goroutine_growth_over_days, goroutine_groups, goroutine_watching]\n\
             tests:\n\
             - interval: 1m\n  input_series:\n{}  promql_expr_test:\n  \
             - expr: min by (job, alertname, group_id) (min_over_time(timestamp(ALERTS{{alertstate=\"firing\"}})[1d:1m]) / 60)\n    \
             eval_time: {end}m\n    exp_samples: []\n",
            self.series,
        );
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rules.yml"), rules()).unwrap();
        let file = folder.path().join(format!("{}_test.yml", self.name));
        fs::write(&file, test).unwrap();
        let output = Command::new("promtool")
            .args(["test", "rules"])
            .arg(&file)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let (_, got) = said.split_once("got: ").unwrap_or_else(|| panic!("{said}"));
        let one = r#"\{alertname="(\w+)", group_id="(\w+)", job="(\d+)"\} ([0-9.E+]+)"#;
        let found: Vec<Fired> = Regex::new(one)
            .unwrap()
            .captures_iter(got)
            .map(|found| Fired {
                job: found[3].parse().unwrap(),
                alert: found[1].to_owned(),
                group: found[2].to_owned(),
                after: found[4].parse::<f64>().unwrap() - self.before as f64,
            })
            .collect();
        assert_eq!(found.len(), got.matches("alertname=").count(), "{got}");
        found
    }
}

/// The rules as they come with the exporter, without the texts of alerts: other tests read these, and most of the time
/// would go there.
fn rules() -> String {
    let file = repository("examples/prometheus/rules/goroutine_exporter.rules.yml");
    let mut rules: Value = serde_yaml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    for group in rules["groups"].as_sequence_mut().unwrap() {
        for rule in group["rules"].as_sequence_mut().unwrap() {
            rule.as_mapping_mut().unwrap().remove("annotations");
        }
    }
    serde_yaml::to_string(&rules).unwrap()
}

fn job(at: usize) -> String {
    format!("job=\"{at}\",instance=\"a\"")
}

fn labels(at: usize, group: &Group) -> String {
    format!(
        "{},group_id=\"{}\",wait_reason=\"{}\",blocking_frame=\"{}\",app_frame=\"{}\"",
        job(at),
        group.id,
        group.wait_reason,
        group.blocking_frame,
        group.app_frame
    )
}
