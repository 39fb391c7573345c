//! What one exporter may cost: the goals that `capacity` judges each of its runs by (`../capacity/report.rs`). No run on an
//! idle machine is written down yet; where one is better than its goals, these sizes are too large.

use crate::sizing::Cost;

/// The goals, as `../capacity/report.rs` has them; [`are_the_goals`] tells when they are no more.
const GOALS: [&str; 4] = [
    "const GOAL_TARGETS: usize = 2_000;",
    "const GOAL_INTERVAL: Duration = Duration::from_secs(15);",
    "const GOAL_SHARE: f64 = 0.12;",
    "const GOAL_RESIDENT: f64 = 100.0 * MIB;",
];

/// What an exporter that just meets its goals costs.
pub(crate) fn allowed() -> Cost {
    let targets = 2_000.0;
    Cost {
        targets,
        cores_per_target: 0.12 / targets,
        mib_per_target: 100.0 / targets,
    }
}

/// Whether the figures here are those goals.
pub(crate) fn are_the_goals() -> bool {
    let source = include_str!("../capacity/report.rs");
    GOALS.iter().all(|goal| source.contains(goal))
}
