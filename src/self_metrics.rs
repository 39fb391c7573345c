//! The exporter's own metrics: counted from its start to its end, in a registry of its own.
//!
//! Nothing here has a label whose values come from requests: no targets, no paths, no texts of errors. What a
//! target shows is not here but in `expose`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry,
};
use prometheus::{IntGaugeVec, TextEncoder};

use crate::budget::Skip;
use crate::config::Profile;
use crate::discovery::{Mechanism, Reason};
use crate::expose::metrics::{Kind, Metric};
use crate::failure::FailureReason;
use crate::probe::ProbeOutcome;
use crate::snapshots::Trigger;

/// From a target on the same machine to the longest a module may wait.
const DURATION_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The label value of a probe that succeeded.
const SUCCESS: &str = "success";

/// The label value of a probe whose scraper hung up.
const CANCELED: &str = "canceled";

/// The label value of a probe turned away since too many were running.
const BUSY: &str = "busy";

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $id: Metric = Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// Every metric of the exporter itself, those of the process aside.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "goroutine_exporter_build_info" ["version"]
        "Always 1, with the version of the exporter.";
    RELOAD_SUCCESSFUL = Gauge "goroutine_exporter_config_last_reload_successful" []
        "Whether the configuration was read without error the last time: 1 or 0.";
    RELOAD_TIMESTAMP = Gauge "goroutine_exporter_config_last_reload_success_timestamp_seconds" []
        "When the configuration was last read without error, in seconds since 1970.";
    PROBES = Counter "goroutine_exporter_probes_total" ["module", "result"]
        "Probes by module and result: success, the reason of the failure, canceled when the scraper hung up, or busy when it was turned away because too many were running. A probe of several modules counts for the first of them.";
    PROBE_DURATION = Histogram "goroutine_exporter_probe_duration_seconds" ["module"]
        "How long probes took that ran to their end, in seconds.";
    PROBES_IN_FLIGHT = Gauge "goroutine_exporter_probes_in_flight" []
        "Probes running now, those waiting for their turn included.";
    PROBES_COALESCED = Counter "goroutine_exporter_probes_coalesced_total" []
        "Requests answered by an identical probe that was already under way.";
    TARGETS_REFUSED = Counter "goroutine_exporter_targets_refused_total" ["reason"]
        "Targets that the configuration does not allow to probe, by the rule that refused them.";
    UNKNOWN_MODULE = Counter "goroutine_exporter_unknown_module_total" []
        "Requests for a module that is not configured.";
    FETCHED_BYTES = Counter "goroutine_exporter_fetched_bytes_total" ["profile"]
        "Bytes of profiles read from targets, as they sent them.";
    DECODE_ERRORS = Counter "goroutine_exporter_decode_errors_total" ["profile"]
        "Profiles that were fetched but could not be read whole.";
    DETAIL_SKIPPED = Counter "goroutine_exporter_detail_skipped_total" ["reason"]
        "Probes that did not ask for the detailed profile: over a budget of frames, time or requests at once, too soon after the last one, or switched off.";
    TRACE_SKIPPED = Counter "goroutine_exporter_trace_skipped_total" ["reason"]
        "Probes that asked for no execution trace where their module wants them: over a budget of goroutines, bytes, time or requests at once, or too soon after the last one.";
    TRACKED_TARGETS = Gauge "goroutine_exporter_tracked_targets" []
        "Targets of which something is remembered from one probe to the next.";
    TASKS = Gauge "goroutine_exporter_tasks" []
        "Asynchronous tasks alive: those of connections, probes and the like.";
    DISCOVERY_TARGETS = Gauge "goroutine_exporter_discovery_targets" ["mechanism"]
        "Targets of /targets/metrics by how they came to be known: static, file or dns.";
    DISCOVERY_DROPPED = Gauge "goroutine_exporter_discovery_dropped_targets" ["mechanism", "reason"]
        "Targets that were found and are left out now: known already (duplicate), more than may be (limit), not permitted by allow or by their module (refused), or no target (invalid).";
    DISCOVERY_FAILURES = Counter "goroutine_exporter_discovery_failures_total" ["mechanism", "reason"]
        "Files of targets that could not be used, and names that could not be looked up; what was found before stays.";
    DISCOVERY_SUCCESS = Gauge "goroutine_exporter_discovery_last_success_timestamp_seconds" ["mechanism"]
        "When every file, or every name, was last in order, in seconds since 1970; 0 before the first time.";
    SNAPSHOTS = Counter "goroutine_exporter_snapshots_total" ["trigger"]
        "Goroutine profiles kept as evidence, by what made the exporter keep them.";
    SNAPSHOT_ERRORS = Counter "goroutine_exporter_snapshot_errors_total" []
        "Goroutine profiles that could not be kept, since the disk is full, read-only or gone, or they are larger than all may be.";
    STORAGE_BYTES = Gauge "goroutine_exporter_storage_bytes" []
        "Bytes of all snapshots that are kept.";
    STORAGE_SKIPPED = Gauge "goroutine_exporter_storage_skipped_files" []
        "Files in the folder of snapshots that were not written by the exporter, or cut or replaced since, and are left alone.";
    LOG_DROPPED = Counter "goroutine_exporter_log_lines_dropped_total" []
        "Lines of the log that were left out, since nobody read those before them or they could not be written.";
    WEB_RELOAD_SUCCESSFUL = Gauge "goroutine_exporter_web_config_last_reload_successful" []
        "Whether the web configuration, and the certificates it names, were read without error the last time they changed: 1 or 0. 1 without one.";
    WEB_RELOAD_TIMESTAMP = Gauge "goroutine_exporter_web_config_last_reload_success_timestamp_seconds" []
        "When the web configuration was last read without error, in seconds since 1970.";
    WEB_REFUSED = Counter "goroutine_exporter_web_requests_refused_total" ["reason"]
        "Requests turned away by the web configuration: for want of credentials, or since too many passwords were being compared (busy) or more came than the rate allows (rate).";
}

/// Lines of the log that were left out: a counter, the same in each copy.
#[derive(Clone, Debug)]
pub struct LogLines(IntCounter);

impl LogLines {
    /// None so far.
    ///
    /// # Errors
    /// Only for a fault of the program's own.
    pub fn new() -> Result<Self, SelfMetricsError> {
        Ok(Self(IntCounter::with_opts(opts(LOG_DROPPED))?))
    }

    /// Counts one more.
    pub fn add(&self) {
        self.0.inc();
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.get()
    }
}

/// The metrics could not be set up or written; this is a fault of the program's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exporter's own metrics: {problem}")]
pub struct SelfMetricsError {
    /// What the metrics library says.
    problem: String,
}

/// The exporter's own metrics. One for the life of the process.
#[derive(Debug)]
pub struct SelfMetrics {
    registry: Registry,
    reload_successful: IntGauge,
    reload_timestamp: Gauge,
    probes: IntCounterVec,
    probe_duration: HistogramVec,
    probes_in_flight: IntGauge,
    targets_refused: IntCounterVec,
    unknown_module: IntCounter,
    probes_coalesced: IntCounter,
    fetched_bytes: IntCounterVec,
    decode_errors: IntCounterVec,
    detail_skipped: IntCounterVec,
    trace_skipped: IntCounterVec,
    tracked_targets: IntGauge,
    tasks: IntGauge,
    discovery_targets: IntGaugeVec,
    discovery_dropped: IntGaugeVec,
    discovery_failures: IntCounterVec,
    discovery_success: GaugeVec,
    snapshots: IntCounterVec,
    snapshot_errors: IntCounter,
    storage_bytes: IntGauge,
    storage_skipped: IntGauge,
    web_reload_successful: IntGauge,
    web_reload_timestamp: Gauge,
    web_refused: IntCounterVec,
}

/// A probe that is running. Dropping it before [`RunningProbe::finish`] counts the probe as canceled, which is
/// what happens when the scraper hangs up.
#[derive(Debug)]
pub struct RunningProbe {
    metrics: Arc<SelfMetrics>,
    module: String,
    finished: bool,
}

impl SelfMetrics {
    /// All metrics at zero, those without variable labels visible at once; `log_lines` is counted elsewhere and shown here.
    ///
    /// # Errors
    /// Only for a fault of the program's own.
    pub fn new(log_lines: LogLines) -> Result<Self, SelfMetricsError> {
        let registry = Registry::new();
        registry.register(Box::new(log_lines.0))?;
        let build_info = IntGaugeVec::new(opts(BUILD_INFO), BUILD_INFO.labels)?;
        build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        registry.register(Box::new(build_info))?;
        let duration = HistogramOpts::new(PROBE_DURATION.name, PROBE_DURATION.help)
            .buckets(DURATION_BUCKETS.into());
        let fetched_bytes = add(
            &registry,
            IntCounterVec::new(opts(FETCHED_BYTES), FETCHED_BYTES.labels),
        )?;
        let decode_errors = add(
            &registry,
            IntCounterVec::new(opts(DECODE_ERRORS), DECODE_ERRORS.labels),
        )?;
        for profile in Profile::ALL {
            fetched_bytes.with_label_values(&[profile.as_str()]);
            decode_errors.with_label_values(&[profile.as_str()]);
        }
        let detail_skipped = add(
            &registry,
            IntCounterVec::new(opts(DETAIL_SKIPPED), DETAIL_SKIPPED.labels),
        )?;
        for skip in Skip::ALL {
            detail_skipped.with_label_values(&[skip.as_str()]);
        }
        let trace_skipped = add(
            &registry,
            IntCounterVec::new(opts(TRACE_SKIPPED), TRACE_SKIPPED.labels),
        )?;
        for skip in [Skip::Budget, Skip::Interval] {
            trace_skipped.with_label_values(&[skip.as_str()]);
        }
        let discovery_failures = add(
            &registry,
            IntCounterVec::new(opts(DISCOVERY_FAILURES), DISCOVERY_FAILURES.labels),
        )?;
        for mechanism in Mechanism::ALL {
            for reason in Reason::all(mechanism) {
                discovery_failures.with_label_values(&[mechanism.as_str(), reason.as_str()]);
            }
        }
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(Self {
            reload_successful: add(&registry, IntGauge::with_opts(opts(RELOAD_SUCCESSFUL)))?,
            reload_timestamp: add(&registry, Gauge::with_opts(opts(RELOAD_TIMESTAMP)))?,
            probes: add(&registry, IntCounterVec::new(opts(PROBES), PROBES.labels))?,
            probe_duration: add(
                &registry,
                HistogramVec::new(duration, PROBE_DURATION.labels),
            )?,
            probes_in_flight: add(&registry, IntGauge::with_opts(opts(PROBES_IN_FLIGHT)))?,
            targets_refused: add(
                &registry,
                IntCounterVec::new(opts(TARGETS_REFUSED), TARGETS_REFUSED.labels),
            )?,
            unknown_module: add(&registry, IntCounter::with_opts(opts(UNKNOWN_MODULE)))?,
            probes_coalesced: add(&registry, IntCounter::with_opts(opts(PROBES_COALESCED)))?,
            fetched_bytes,
            decode_errors,
            detail_skipped,
            trace_skipped,
            tracked_targets: add(&registry, IntGauge::with_opts(opts(TRACKED_TARGETS)))?,
            tasks: add(&registry, IntGauge::with_opts(opts(TASKS)))?,
            discovery_targets: add(
                &registry,
                IntGaugeVec::new(opts(DISCOVERY_TARGETS), DISCOVERY_TARGETS.labels),
            )?,
            discovery_dropped: add(
                &registry,
                IntGaugeVec::new(opts(DISCOVERY_DROPPED), DISCOVERY_DROPPED.labels),
            )?,
            discovery_failures,
            discovery_success: add(
                &registry,
                GaugeVec::new(opts(DISCOVERY_SUCCESS), DISCOVERY_SUCCESS.labels),
            )?,
            snapshots: add(
                &registry,
                IntCounterVec::new(opts(SNAPSHOTS), SNAPSHOTS.labels),
            )?,
            snapshot_errors: add(&registry, IntCounter::with_opts(opts(SNAPSHOT_ERRORS)))?,
            storage_bytes: add(&registry, IntGauge::with_opts(opts(STORAGE_BYTES)))?,
            storage_skipped: add(&registry, IntGauge::with_opts(opts(STORAGE_SKIPPED)))?,
            web_reload_successful: add(
                &registry,
                IntGauge::with_opts(opts(WEB_RELOAD_SUCCESSFUL)),
            )?,
            web_reload_timestamp: add(&registry, Gauge::with_opts(opts(WEB_RELOAD_TIMESTAMP)))?,
            web_refused: add(
                &registry,
                IntCounterVec::new(opts(WEB_REFUSED), WEB_REFUSED.labels),
            )?,
            registry,
        })
    }

    /// Makes the series of these modules visible at zero, so that the first failure is a rise.
    pub fn expect_modules<'a>(&self, modules: impl IntoIterator<Item = &'a str>) {
        for module in modules {
            for result in results() {
                self.probes.with_label_values(&[module, result]);
            }
            self.duration_of(module);
        }
    }

    /// Drops the series of modules that are configured no more: each reload could bring names of its own.
    pub fn forget_modules<'a>(&self, modules: impl IntoIterator<Item = &'a str>) {
        for module in modules {
            // Both fail only for series that are not there.
            for result in results() {
                drop(self.probes.remove_label_values(&[module, result]));
            }
            drop(self.probe_duration.remove_label_values(&[module]));
        }
    }

    /// Makes the reasons for refusing a target visible at zero.
    pub fn expect_refusals<'a>(&self, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            self.targets_refused.with_label_values(&[reason]);
        }
    }

    /// Makes the reasons to keep a profile visible at zero.
    pub fn expect_triggers(&self, triggers: impl IntoIterator<Item = Trigger>) {
        for trigger in triggers {
            self.snapshots.with_label_values(&[trigger.as_str()]);
        }
    }

    /// Makes the reasons to turn a request away visible at zero.
    pub fn expect_web_refusals<'a>(&self, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            self.web_refused.with_label_values(&[reason]);
        }
    }

    /// Counts a request that was turned away.
    pub fn web_refused(&self, reason: &'static str) {
        self.web_refused.with_label_values(&[reason]).inc();
    }

    /// Notes how the last reading of the web configuration went, and when one last went well.
    pub fn set_web_reload(&self, successful: bool, succeeded_at: SystemTime) {
        self.web_reload_successful.set(i64::from(successful));
        self.web_reload_timestamp.set(since_epoch(succeeded_at));
    }

    /// Makes visible when files and names were last in order, where there are any to look for, and nowhere else.
    pub fn expect_discovery(&self, files: bool, names: bool) {
        for (mechanism, wanted) in [(Mechanism::File, files), (Mechanism::Dns, names)] {
            let labels = [mechanism.as_str()];
            if wanted {
                self.discovery_success.with_label_values(&labels);
            } else {
                // Fails only when it is not there.
                drop(self.discovery_success.remove_label_values(&labels));
            }
        }
    }

    /// Notes that everything that a mechanism looks at was in order.
    pub fn discovery_succeeded(&self, mechanism: Mechanism, at: SystemTime) {
        let labels = [mechanism.as_str()];
        let success = self.discovery_success.with_label_values(&labels);
        success.set(since_epoch(at));
    }

    /// Counts a file that cannot be used, or a name that could not be looked up.
    pub fn discovery_failed(&self, mechanism: Mechanism, reason: Reason) {
        let labels = [mechanism.as_str(), reason.as_str()];
        self.discovery_failures.with_label_values(&labels).inc();
    }

    /// Notes how many targets are known how.
    pub fn set_discovered(&self, mechanism: Mechanism, count: usize) {
        let number = i64::try_from(count).unwrap_or(i64::MAX);
        let labels = [mechanism.as_str()];
        self.discovery_targets
            .with_label_values(&labels)
            .set(number);
    }

    /// Notes how many that were found are left out, and why.
    pub fn set_dropped(&self, mechanism: Mechanism, reason: &'static str, count: usize) {
        let number = i64::try_from(count).unwrap_or(i64::MAX);
        let labels = [mechanism.as_str(), reason];
        self.discovery_dropped
            .with_label_values(&labels)
            .set(number);
    }

    /// Counts a profile that was kept.
    pub fn snapshot_kept(&self, trigger: Trigger) {
        self.snapshots.with_label_values(&[trigger.as_str()]).inc();
    }

    /// Counts a profile that could not be.
    pub fn snapshot_failed(&self) {
        self.snapshot_errors.inc();
    }

    /// Notes the bytes that are kept, and the files left alone.
    pub fn set_storage(&self, bytes: u64, skipped: u64) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.storage_bytes.set(number(bytes));
        self.storage_skipped.set(number(skipped));
    }

    /// Counts a probe as running. `module` is the first of its modules.
    #[must_use]
    pub fn probe_started(self: &Arc<Self>, module: &str) -> RunningProbe {
        self.probes_in_flight.inc();
        RunningProbe {
            metrics: Arc::clone(self),
            module: module.to_owned(),
            finished: false,
        }
    }

    /// Counts a target that may not be probed.
    pub fn target_refused(&self, reason: &'static str) {
        self.targets_refused.with_label_values(&[reason]).inc();
    }

    /// Counts a request for a module nobody configured.
    pub fn unknown_module(&self) {
        self.unknown_module.inc();
    }

    /// Counts a request that was answered by a probe under way.
    pub fn probe_coalesced(&self) {
        self.probes_coalesced.inc();
    }

    /// Counts a probe turned away since too many were running.
    pub fn probe_rejected(&self, module: &str) {
        self.probes.with_label_values(&[module, BUSY]).inc();
    }

    /// Notes that the configuration was read well.
    pub fn reload_succeeded(&self, at: SystemTime) {
        self.reload_successful.set(1);
        self.reload_timestamp.set(since_epoch(at));
    }

    /// Notes that the configuration could not be read; the old one stays.
    pub fn reload_failed(&self) {
        self.reload_successful.set(0);
    }

    /// Notes how many targets are remembered.
    pub fn set_tracked_targets(&self, count: usize) {
        self.tracked_targets
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes how many asynchronous tasks are alive.
    pub fn set_tasks(&self, count: usize) {
        self.tasks.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The exposition of all of it. Cost: reads `/proc/self`, which a busy machine can take milliseconds for.
    ///
    /// # Errors
    /// Only for a fault of the program's own.
    pub fn encode(&self) -> Result<String, SelfMetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    fn duration_of(&self, module: &str) -> Histogram {
        self.probe_duration.with_label_values(&[module])
    }
}

impl RunningProbe {
    /// Counts it as no probe at all, since the target may not be probed.
    pub fn refuse(mut self) {
        self.finished = true;
    }

    /// Counts the probe as what it came to.
    pub fn finish(mut self, outcome: &ProbeOutcome) {
        self.finished = true;
        let metrics = &self.metrics;
        let result = outcome.failure().map_or(SUCCESS, FailureReason::as_str);
        metrics
            .probes
            .with_label_values(&[&*self.module, result])
            .inc();
        metrics
            .duration_of(&self.module)
            .observe(outcome.duration.as_secs_f64());
        for (profile, reading) in outcome.readings().filter(|(_, reading)| reading.fresh) {
            let labels = [profile.as_str()];
            let Some(bytes) = reading.body_bytes else {
                continue;
            };
            metrics
                .fetched_bytes
                .with_label_values(&labels)
                .inc_by(bytes);
            let unread = [
                FailureReason::NotPprof,
                FailureReason::TooLarge,
                FailureReason::Decode,
                FailureReason::Internal,
            ];
            if reading.failure.is_some_and(|why| unread.contains(&why)) {
                metrics.decode_errors.with_label_values(&labels).inc();
            }
        }
        if let Some(skip) = outcome.detail_skipped {
            let labels = [skip.as_str()];
            metrics.detail_skipped.with_label_values(&labels).inc();
        }
        if let Some(skip) = outcome.trace_skipped {
            let labels = [skip.as_str()];
            metrics.trace_skipped.with_label_values(&labels).inc();
        }
        metrics
            .fetched_bytes
            .with_label_values(&[Profile::Goroutine.as_str()])
            .inc_by(outcome.again_bytes);
    }
}

impl Drop for RunningProbe {
    fn drop(&mut self) {
        self.metrics.probes_in_flight.dec();
        if !self.finished {
            self.metrics
                .probes
                .with_label_values(&[&*self.module, CANCELED])
                .inc();
        }
    }
}

impl From<prometheus::Error> for SelfMetricsError {
    fn from(error: prometheus::Error) -> Self {
        Self {
            problem: error.to_string(),
        }
    }
}

/// What a probe can come to.
fn results() -> impl Iterator<Item = &'static str> {
    let reasons = FailureReason::ALL.iter().map(|reason| reason.as_str());
    reasons.chain([SUCCESS, CANCELED, BUSY])
}

fn since_epoch(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
}

fn opts(metric: Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

/// Registers a collector and hands it on.
fn add<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: Result<C, prometheus::Error>,
) -> Result<C, SelfMetricsError> {
    let collector = made?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests;
