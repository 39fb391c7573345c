//! The scrapers: a probe at each tick whatever became of the ones before, some of which hang up, and a reload each second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::fleet::{Fake, Fleet, Way};
use crate::http::{self, Metrics};
use crate::programs::probe_path;
use crate::watch::{Held, Watched};

/// One in so many scrapers hangs up.
const HANGS_UP: u64 = 20;
/// Longer than any probe may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Sentences about what went wrong that are kept; the number of all is kept in any case.
const MAX_SENTENCES: usize = 10;

/// Who asks, and what for.
#[derive(Debug)]
pub(crate) struct Load {
    rate: u32,
    fleet: Arc<Fleet>,
    watched: Arc<Watched>,
    client: reqwest::Client,
    /// Probes and reloads so far, over all parts.
    turns: Mutex<(u64, u64)>,
}

/// What happened in one part of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) took: Duration,
    /// Probes of targets that were well, and right.
    pub(crate) right: u64,
    /// Probes of targets that were ill, by the reason that the exporter gave.
    pub(crate) ill: BTreeMap<String, u64>,
    pub(crate) hung_up: u64,
    pub(crate) reloads: u64,
    pub(crate) reloads_refused: u64,
    /// What should not have happened.
    pub(crate) wrong: u64,
    pub(crate) sentences: Vec<String>,
    /// How long probes of targets that are always well took, sorted.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) held: Vec<Held>,
}

impl Part {
    fn wrong(&mut self, sentence: String) {
        self.wrong += 1;
        if self.sentences.len() < MAX_SENTENCES {
            self.sentences.push(sentence);
        }
    }
}

impl Load {
    pub(crate) fn new(rate: u32, fleet: Arc<Fleet>, watched: Arc<Watched>) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            rate,
            fleet,
            watched,
            client,
            turns: Mutex::new((0, 0)),
        }
    }

    /// Keeps the pace for so long, then waits for the answers.
    pub(crate) async fn part(&self, long: Duration, bar: &ProgressBar) -> Part {
        let started = Instant::now();
        let part = Arc::new(Mutex::new(Part::default()));
        let mut tick = interval(Duration::from_secs(1) / self.rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut second = interval(Duration::from_secs(1));
        let mut asking = JoinSet::new();
        while started.elapsed() < long {
            tokio::select! {
                _ = tick.tick() => self.probe(&mut asking, &part),
                _ = second.tick() => {
                    self.reload(&mut asking, &part);
                    bar.inc(1);
                }
                Some(done) = asking.join_next() => done.unwrap(),
            }
        }
        while let Some(done) = asking.join_next().await {
            done.unwrap();
        }
        let mut part = std::mem::take(&mut *part.lock().unwrap());
        part.took = started.elapsed();
        part.latencies.sort_unstable();
        part
    }

    fn probe(&self, asking: &mut JoinSet<()>, part: &Arc<Mutex<Part>>) {
        let turn = {
            let mut turns = self.turns.lock().unwrap();
            turns.0 += 1;
            turns.0
        };
        let (fleet, part, client) = (
            Arc::clone(&self.fleet),
            Arc::clone(part),
            self.client.clone(),
        );
        let fake = Arc::clone(&fleet.targets[turn as usize % fleet.targets.len()]);
        let module = if fake.ill { "ill" } else { "default" };
        let path = probe_path(&fake.address.to_string(), &[("module", module)]);
        let url = format!("http://{}{path}", self.watched.address);
        asking.spawn(async move {
            let (sent, way, begun) = (fake.sent(), fleet.way(&fake), Instant::now());
            let asked = async {
                let response = client.get(url).send().await?;
                Ok::<_, reqwest::Error>((response.status().as_u16(), response.text().await?))
            };
            // Times that hit every phase of a probe, and are the same in each run.
            let hangs_up = turn % HANGS_UP == 7;
            let patience = if hangs_up {
                Duration::from_micros(turn * 7919 % 5_000)
            } else {
                PATIENCE
            };
            let answered = timeout(patience, asked).await;
            let took = begun.elapsed();
            let mut part = part.lock().unwrap();
            let (status, text) = match answered {
                Err(_) if hangs_up => return part.hung_up += 1,
                Err(_) => return part.wrong(format!("{}: no answer", fake.address)),
                Ok(Err(error)) => return part.wrong(format!("{}: {error}", fake.address)),
                Ok(Ok(answer)) => answer,
            };
            let expected = [way, fleet.way(&fake)];
            match verdict(&fake, &expected, sent, status, &text) {
                Ok(None) => part.right += 1,
                Ok(Some(reason)) => *part.ill.entry(reason).or_default() += 1,
                Err(sentence) => part.wrong(format!("{} ({expected:?}): {sentence}", fake.address)),
            }
            if !fake.ill {
                part.latencies.push(took);
            }
        });
    }

    /// Reloads in turn by request, by signal, and by nothing but the change of the file, and looks at what is held.
    fn reload(&self, asking: &mut JoinSet<()>, part: &Arc<Mutex<Part>>) {
        let turn = {
            let mut turns = self.turns.lock().unwrap();
            turns.1 += 1;
            turns.1
        };
        let (watched, part) = (Arc::clone(&self.watched), Arc::clone(part));
        asking.spawn_blocking(move || {
            let good = watched.configure(turn);
            let mut refused = None;
            match turn % 3 {
                0 => {
                    let answer = http::ask(watched.address, "POST", "/-/reload", &[]);
                    refused = Some(answer.status);
                }
                1 => watched.hang_up(),
                _ => {}
            }
            let held = watched.held();
            let mut part = part.lock().unwrap();
            part.held.push(held);
            match refused {
                None => part.reloads += 1,
                Some(200) if good => part.reloads += 1,
                Some(500) if !good => part.reloads_refused += 1,
                Some(status) => part.wrong(format!("reload {turn}: {status}")),
            }
        });
    }
}

/// Holds an answer to what the target did and said: none for the right counts, the reason for the right failure,
/// otherwise what is wrong.
fn verdict(
    fake: &Fake,
    ways: &[Way],
    sent: u64,
    status: u16,
    text: &str,
) -> Result<Option<String>, String> {
    if status != 200 {
        return Err(format!("{status}: {text}"));
    }
    let metrics = Metrics::parse(text);
    if metrics.value("goroutine_probe_success", &[]) != Some(1.0) {
        let failure = metrics.all("goroutine_probe_failure", &[]).next();
        let reason = failure
            .map_or("", |sample| sample.label("reason"))
            .to_owned();
        let expected = ways.iter().any(|way| way.reason() == Some(&reason));
        return if expected {
            Ok(Some(reason))
        } else {
            Err(format!("failed: {reason}"))
        };
    }
    if !ways.contains(&Way::Well) {
        return Err("succeeded".to_owned());
    }
    let total = metrics
        .value("goroutine_goroutines", &[])
        .unwrap_or_default() as u64;
    let Some(profile) = total.checked_sub(fake.total(0)) else {
        return Err(format!("{total} goroutines are too few"));
    };
    // Another scraper's probe may have been joined, and more have been asked since.
    if !(sent..=fake.sent()).contains(&profile) {
        return Err(format!(
            "{total} goroutines, of profile {profile} while {sent} to {} were sent",
            fake.sent()
        ));
    }
    let mut left = total;
    for (function, goroutines) in fake.groups(profile) {
        let labels = [("app_frame", &*function), ("wait_reason", "chan receive")];
        let seen = metrics.value("goroutine_group_goroutines", &labels);
        if seen != Some(goroutines as f64) {
            return Err(format!("{function}: {seen:?} in place of {goroutines}"));
        }
        left -= goroutines;
    }
    let other = metrics.value("goroutine_other_goroutines", &[]);
    if left != 0 || other != Some(0.0) {
        return Err(format!("{other:?} goroutines in other"));
    }
    Ok(None)
}
