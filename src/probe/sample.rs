//! A report for tests of what is made from reports.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Phases, ProbeError, ProbeOutcome, ProbeReport};
use crate::classify::{Origin, WaitReason};
use crate::profile::{Encoding, Summary};
use crate::reading::Reading;
use crate::tally::{Group, GroupId, Selection, Tally, WAITED_MINUTES};

fn group(id: u64, goroutines: u64) -> Group {
    Group {
        id: GroupId(id),
        wait_reason: WaitReason::ChanReceive,
        blocking_frame: Arc::from("example.com/svc.(*Pool).get"),
        app_frame: Arc::from("example.com/svc.(*Pool).get"),
        goroutines,
        leaked: 0,
        longest_wait: None,
        parked: None,
        file: Arc::from("svc/pool.go"),
        line: 42,
        places: vec![],
        entry: Arc::from("example.com/svc.serve.func1"),
        created_by: None,
        origin: Origin::App,
    }
}

/// Two groups with series of their own, one folded.
pub(crate) fn test_report() -> ProbeReport {
    let mut wait_reasons = [0; WaitReason::ALL.len()];
    wait_reasons[WaitReason::ChanReceive.index()] = 100;
    let tally = Tally {
        summary: Summary {
            encoding: Encoding::Protobuf,
            leaked_only: false,
            declared_total: None,
            truncated: false,
            damage: 0,
            process: None,
        },
        total: 100,
        wait_reasons,
        longest_waits: [None; WaitReason::ALL.len()],
        waited: [[0; WAITED_MINUTES.len()]; WaitReason::ALL.len()],
        leaked: None,
        groups: vec![group(1, 80), group(2, 15), group(3, 3)],
        unlisted: 2,
        watches: vec![(Arc::from("maps"), 7)],
        labels: vec![
            (Arc::from("route"), Arc::from("/buy"), 4),
            (Arc::from("route"), Arc::from("other"), 1),
        ],
        highest_id: None,
        checked: None,
        frames: 0,
    };
    ProbeReport {
        tally,
        selection: Selection {
            shown: vec![0, 1],
            folded: 1,
            other: 5,
        },
        last_look: None,
        body: None,
        block: None,
        mutex: None,
        threads: None,
        traced: None,
    }
}

/// A probe of `target` that came to this.
pub(crate) fn test_outcome(target: &str, result: Result<ProbeReport, ProbeError>) -> ProbeOutcome {
    let mut goroutine = Reading {
        fresh: true,
        ..Reading::default()
    };
    if let Err(error) = &result {
        goroutine.fail(error.reason(), &error);
    }
    ProbeOutcome {
        target: target.to_owned(),
        module: "default".to_owned(),
        started: SystemTime::UNIX_EPOCH,
        duration: Duration::from_millis(250),
        phases: Phases::default(),
        goroutine,
        others: Vec::new(),
        detail_skipped: None,
        trace_skipped: None,
        trace_failure: None,
        again_bytes: 0,
        restarted: None,
        result,
    }
}
