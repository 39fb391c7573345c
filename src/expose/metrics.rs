//! The table of every metric a target's exposition can hold: name, type, labels, help. Dashboards, rules and
//! documentation are checked against it. This module holds no values.

/// How Prometheus is told to read a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows until a restart.
    Counter,
    /// Counts by upper bound, with a sum.
    Histogram,
}

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its full name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its own label names, in the order in which values are given. `/targets/metrics` puts `target` and the
    /// target's configured labels before them.
    pub labels: &'static [&'static str],
    /// One sentence or two for people.
    pub help: &'static str,
}

/// Declares the metrics and [`ALL`], so that none can be missing from the list.
macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $id: Metric = Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*

        /// Every metric of a target, in the order of the exposition.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    PROBE_SUCCESS = Gauge "goroutine_probe_success" []
        "Whether the goroutine profile of the target was read whole: 1 or 0.";
    PROBE_FAILURE = Gauge "goroutine_probe_failure" ["reason"]
        "Always 1, with the reason why the probe failed; absent when it succeeded.";
    PROBE_DURATION_SECONDS = Gauge "goroutine_probe_duration_seconds" []
        "How long the whole probe took, in seconds.";
    PROBE_PHASE_DURATION_SECONDS = Gauge "goroutine_probe_phase_duration_seconds" ["phase"]
        "How long each phase of the probe took, in seconds; a phase that did not happen, such as connecting when a connection was reused, is absent.";
    PROFILE_SUCCESS = Gauge "goroutine_profile_success" ["profile"]
        "Whether this profile was read whole: 1 or 0.";
    PROFILE_SUPPORTED = Gauge "goroutine_profile_supported" ["profile"]
        "Whether the target has this profile: 1 or 0; absent when it could not be found out.";
    PROFILE_BODY_BYTES = Gauge "goroutine_profile_body_bytes" ["profile"]
        "Size of the profile in bytes, as the target sent it.";
    PROFILE_FETCH_DURATION_SECONDS = Gauge "goroutine_profile_fetch_duration_seconds" ["profile"]
        "How long fetching the profile took, in seconds.";
    PROFILE_TRUNCATED = Gauge "goroutine_profile_truncated" ["profile"]
        "Whether the profile was cut short, so that its counts are too low: 1 or 0.";
    PROFILE_DAMAGED_RECORDS = Gauge "goroutine_profile_damaged_records" ["profile"]
        "Records of the profile that could not be read and were left out.";
    PROFILE_TIMESTAMP_SECONDS = Gauge "goroutine_profile_timestamp_seconds" ["profile"]
        "When the profile was read from the target, in seconds since 1970; older than the scrape means that it is repeated.";
    GOROUTINES = Gauge "goroutine_goroutines" []
        "All goroutines of the target, the two or three that serve the probe itself included.";
    WAIT_REASON_GOROUTINES = Gauge "goroutine_wait_reason_goroutines" ["wait_reason"]
        "Goroutines by what they wait for.";
    GROUP_GOROUTINES = Gauge "goroutine_group_goroutines" ["group_id", "wait_reason", "blocking_frame", "app_frame"]
        "Goroutines that wait for the same reason, in the same function, called from the same function of the application.";
    GROUP_INFO = Gauge "goroutine_group_info" ["group_id", "file", "line", "entry", "created_by", "origin"]
        "Always 1; where the goroutines of a group are in the source code. Join it on group_id.";
    GROUPS = Gauge "goroutine_groups" []
        "Distinct groups of goroutines in the profile.";
    GROUPS_FOLDED = Gauge "goroutine_groups_folded" []
        "Groups that have no series of their own.";
    OTHER_GOROUTINES = Gauge "goroutine_other_goroutines" []
        "Goroutines in groups that have no series of their own.";
    LARGEST_GROUP_RATIO = Gauge "goroutine_largest_group_ratio" []
        "Share of all goroutines that is in the largest group, 0 to 1.";
    LEAKED_GOROUTINES = Gauge "goroutine_leaked_goroutines" []
        "Goroutines that the Go runtime proved leaked. They are part of the total, do not add the two.";
    GROUP_LEAKED_GOROUTINES = Gauge "goroutine_group_leaked_goroutines" ["group_id", "wait_reason", "blocking_frame", "app_frame"]
        "Goroutines of a group that the Go runtime proved leaked.";
    GROUP_PARKED_GOROUTINES = Gauge "goroutine_group_parked_goroutines" ["group_id", "wait_reason", "blocking_frame", "app_frame"]
        "Goroutines of a group that were in the profiles before and after the last execution trace and did not move in between.";
    GROUP_PARKED_RATIO = Gauge "goroutine_group_parked_ratio" ["group_id", "wait_reason", "blocking_frame", "app_frame"]
        "Share of a group's goroutines in the profile before the last execution trace that did not move until the one after it, 0 to 1.";
    LONGEST_WAIT_SECONDS = Gauge "goroutine_longest_wait_seconds" ["wait_reason"]
        "Longest wait by what is waited for, in seconds; Go reports whole minutes. Absent when unknown.";
    GROUP_LONGEST_WAIT_SECONDS = Gauge "goroutine_group_longest_wait_seconds" ["group_id", "wait_reason", "blocking_frame", "app_frame"]
        "Longest wait in a group, in seconds; Go reports whole minutes. Absent when unknown.";
    WAITING_GOROUTINES = Gauge "goroutine_waiting_goroutines" ["wait_reason", "at_least_seconds"]
        "Goroutines that have waited at least so long; absent where there are none. Each counts at every shorter time too, so do not sum over at_least_seconds.";
    HIGHEST_ID = Gauge "goroutine_highest_id" []
        "Highest goroutine id in the detailed profile of this probe. Go hands ids out in batches: use delta(), not rate().";
    TARGET_RESTART_TIMESTAMP_SECONDS = Gauge "goroutine_target_restart_timestamp_seconds" []
        "When it was last noticed that another process answers for the target, in seconds since 1970; absent until then.";
    WATCH_GOROUTINES = Gauge "goroutine_watch_goroutines" ["watch"]
        "Goroutines with any frame that matches a configured expression.";
    LABEL_GOROUTINES = Gauge "goroutine_label_goroutines" ["key", "value"]
        "Goroutines by the pprof labels that the configuration allows.";
    BLOCK_SECONDS_TOTAL = Counter "goroutine_block_seconds_total" ["blocking_frame", "app_frame"]
        "Time goroutines were blocked, in seconds, as the target reports it since it set a block profile rate. The rest is in other, which falls when a place gets a series of its own.";
    BLOCK_EVENTS_TOTAL = Counter "goroutine_block_events_total" ["blocking_frame", "app_frame"]
        "How often goroutines were blocked, as the target reports it since it set a block profile rate.";
    MUTEX_SECONDS_TOTAL = Counter "goroutine_mutex_seconds_total" ["blocking_frame", "app_frame"]
        "Time goroutines waited for mutexes, in seconds, by where they were unlocked, as the target reports it since it set a mutex profile fraction. The rest is in other, which falls when a place gets a series of its own.";
    MUTEX_EVENTS_TOTAL = Counter "goroutine_mutex_events_total" ["blocking_frame", "app_frame"]
        "How often goroutines waited for mutexes, as the target reports it since it set a mutex profile fraction.";
    THREADS = Gauge "goroutine_threads" []
        "Operating system threads of the target that the threadcreate profile knows.";
    TRACE_FAILURE = Gauge "goroutine_trace_failure" ["reason"]
        "Always 1, with the reason why the last execution trace was not read whole; absent when it was. busy: somebody else was tracing the target.";
    TRACE_WINDOW_SECONDS = Gauge "goroutine_trace_window_seconds" []
        "Length of the last execution trace, in seconds. What else is told of it is of this window, which ended at the timestamp of the profile trace.";
    TRACE_EVENTS = Gauge "goroutine_trace_events" []
        "Events in the trace.";
    TRACE_DAMAGED_EVENTS = Gauge "goroutine_trace_damaged_events" []
        "Events and other parts of the trace that could not be read or do not fit together, and were left out.";
    TRACE_PROCESSORS = Gauge "goroutine_trace_processors" []
        "GOMAXPROCS of the target, as the trace tells it.";
    TRACE_CHECKED_GOROUTINES = Gauge "goroutine_trace_checked_goroutines" []
        "Goroutines that were in the profiles before and after the trace, as far as counts by group tell.";
    TRACE_BLOCKED_SECONDS = Gauge "goroutine_trace_blocked_seconds" ["group_id", "wait_reason", "blocking_frame", "app_frame"]
        "Time goroutines were blocked in the window, in seconds, of waits that began or ended in it.";
    TRACE_BLOCKED_EVENTS = Gauge "goroutine_trace_blocked_events" ["group_id", "wait_reason", "blocking_frame", "app_frame"]
        "Waits that began or ended in the window.";
    TRACE_PARKED_GOROUTINES = Gauge "goroutine_trace_parked_goroutines" ["group_id", "wait_reason", "blocking_frame", "app_frame"]
        "Goroutines that waited from the first moment of the window to the last.";
    TRACE_SYSCALL_SECONDS = Gauge "goroutine_trace_syscall_seconds" ["blocking_frame", "app_frame"]
        "Time goroutines spent in system calls and in C code in the window, in seconds.";
    TRACE_SYSCALL_EVENTS = Gauge "goroutine_trace_syscall_events" ["blocking_frame", "app_frame"]
        "System calls, and calls of C code, in the window.";
    TRACE_SCHEDULING_LATENCY_SECONDS = Gauge "goroutine_trace_scheduling_latency_seconds" ["cause", "percentile"]
        "How long goroutines that could run waited for a processor, in seconds, by what came before; so many percent of them waited no longer.";
    TRACE_SCHEDULING_SECONDS = Gauge "goroutine_trace_scheduling_seconds" ["cause"]
        "Time goroutines that could run waited for a processor in the window, all together, in seconds, by what came before.";
    TRACE_SCHEDULING_EVENTS = Gauge "goroutine_trace_scheduling_events" ["cause"]
        "How often a goroutine that could run got a processor in the window, by what came before.";
    TRACE_RUNNABLE_SECONDS = Gauge "goroutine_trace_runnable_seconds" ["during"]
        "Time goroutines could run and did not in the window, in seconds: while the world was stopped, while the garbage collector was marking, or for want of a processor (other).";
    TRACE_STOP_THE_WORLD_SECONDS = Gauge "goroutine_trace_stop_the_world_seconds" ["kind"]
        "Time the world was stopped in the window, in seconds, by what for; that for the trace itself is left out.";
    TRACE_STOP_THE_WORLD_PAUSES = Gauge "goroutine_trace_stop_the_world_pauses" ["kind"]
        "How often the world was stopped in the window, by what for.";
    TRACE_STOP_THE_WORLD_LONGEST_SECONDS = Gauge "goroutine_trace_stop_the_world_longest_seconds" ["kind"]
        "The longest time the world was stopped at once in the window, in seconds, by what for.";
    TRACE_GC_CYCLES = Gauge "goroutine_trace_gc_cycles" []
        "Garbage collections that were marking in the window.";
    TRACE_GC_MARK_SECONDS = Gauge "goroutine_trace_gc_mark_seconds" []
        "Time the garbage collector was marking in the window, in seconds.";
    TRACE_GC_ASSIST_SECONDS = Gauge "goroutine_trace_gc_assist_seconds" []
        "Time goroutines of the application had to help with marking in the window, in seconds.";
    TRACE_GC_SWEEP_SECONDS = Gauge "goroutine_trace_gc_sweep_seconds" []
        "Time goroutines spent in sweeping in the window, in seconds.";
    TRACE_GC_WORKER_SECONDS = Gauge "goroutine_trace_gc_worker_seconds" []
        "Time the workers of the garbage collector ran in the window, in seconds.";
    TRACE_CREATED_GOROUTINES = Gauge "goroutine_trace_created_goroutines" ["created_by", "app_frame", "entry"]
        "Goroutines that were made in the window, by the function with the go statement and the function they run.";
    TRACE_ENDED_GOROUTINES = Gauge "goroutine_trace_ended_goroutines" ["created_by", "app_frame", "entry"]
        "Of the goroutines made in the window those that ended in it.";
    TRACE_WAITING_SECONDS = Gauge "goroutine_trace_waiting_seconds" ["cause"]
        "What goroutines waited for in the window, all together, in seconds; those parked for all of it are left out. other: also what had begun before, of which the trace has no reason.";
}

/// What of a metric is against the naming rules of <https://prometheus.io/docs/practices/naming/> , as far as a program can
/// tell.
#[cfg(test)]
pub(crate) fn problem(metric: &Metric) -> Option<&'static str> {
    let word = |s: &str| {
        !s.is_empty()
            && s.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !s.starts_with(|c: char| c.is_ascii_digit() || c == '_')
            && !s.ends_with('_')
    };
    let reserved = ["_sum", "_bucket", "_created", "_timestamp"];
    if !word(metric.name) || !metric.name.starts_with("goroutine_") {
        return Some("name");
    }
    if metric.name.ends_with("_total") != (metric.kind == Kind::Counter) {
        return Some("only counters end in _total");
    }
    if reserved.iter().any(|end| metric.name.ends_with(end)) {
        return Some("reserved ending");
    }
    if ["milli", "minutes", "percent"]
        .iter()
        .any(|unit| metric.name.contains(unit))
    {
        return Some("no base unit");
    }
    if metric
        .labels
        .iter()
        .any(|l| !word(l) || ["le", "quantile", "job", "instance", "target"].contains(l))
    {
        return Some("label");
    }
    if metric
        .labels
        .iter()
        .collect::<std::collections::HashSet<_>>()
        .len()
        != metric.labels.len()
    {
        return Some("a label twice");
    }
    if !metric.help.ends_with('.') || metric.help.contains(['\n', '\\']) {
        return Some("help");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for metric in ALL {
            assert_eq!(problem(metric), None, "{}", metric.name);
        }
        let names: HashSet<_> = ALL.iter().map(|m| m.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is used twice");
        assert!(
            ALL.iter().all(|m| m.kind != Kind::Histogram),
            "families.rs writes none"
        );
    }

    #[test]
    fn the_rules_find_bad_names() {
        let good = GOROUTINES;
        let check = |metric: Metric| assert!(problem(&metric).is_some(), "{metric:?}");
        check(Metric {
            name: "goroutine_Goroutines",
            ..good
        });
        check(Metric {
            name: "threads",
            ..good
        });
        check(Metric {
            name: "goroutine_seen_total",
            ..good
        });
        check(Metric {
            name: "goroutine_seen",
            kind: Kind::Counter,
            ..good
        });
        check(Metric {
            name: "goroutine_wait_milliseconds",
            ..good
        });
        check(Metric {
            labels: &["target"],
            ..good
        });
        check(Metric {
            labels: &["__name"],
            ..good
        });
        check(Metric {
            labels: &["key", "key"],
            ..good
        });
        check(Metric { help: "", ..good });
    }
}
