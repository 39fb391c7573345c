//! The comparison as JSON, for scripts. Fields are added, never renamed.

use std::io::{self, Write};

use serde::Serialize;

use super::compare::{Change, Comparison};
use super::side::Side;
use crate::tally::CountedStack;

#[derive(Serialize)]
struct Report<'a> {
    before: SideReport<'a>,
    after: SideReport<'a>,
    /// Growth and loss over all groups; their difference is that of the totals.
    grown: u64,
    lost: u64,
    changes: Vec<ChangeReport<'a>>,
    /// Groups that `--min` hides.
    hidden: usize,
    unchanged: usize,
    gate: Option<Gate>,
}

#[derive(Serialize)]
struct SideReport<'a> {
    source: &'a str,
    encoding: &'a str,
    total: u64,
    truncated: bool,
    damage: u64,
}

#[derive(Serialize)]
struct Gate {
    failed: bool,
    fail_on_growth: Option<u64>,
    fail_on_new: Option<u64>,
}

#[derive(Serialize)]
struct ChangeReport<'a> {
    change: &'a str,
    group_id: Option<String>,
    wait_reason: &'a str,
    blocking_frame: &'a str,
    app_frame: &'a str,
    before: u64,
    after: u64,
    leaked: u64,
    file: &'a str,
    line: u32,
    created_by: Option<&'a str>,
    fails: bool,
    /// Why it fails no gate: it is of the `look` itself, or `known`.
    allowed: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stacks: Vec<StackReport<'a>>,
}

#[derive(Serialize)]
struct StackReport<'a> {
    goroutines: u64,
    calls: Vec<CallReport<'a>>,
}

#[derive(Serialize)]
struct CallReport<'a> {
    function: &'a str,
    file: &'a str,
    line: u32,
}

/// Writes one object.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(
    found: &Comparison,
    min: u64,
    stacks: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    let (shown, hidden) = found.shown(min);
    let (grown, lost) = found.moved();
    let changes = shown.iter().enumerate();
    let changes = changes.map(|(at, change)| report(change, found, at < stacks));
    let report = Report {
        before: side(&found.before),
        after: side(&found.after),
        grown,
        lost,
        changes: changes.collect(),
        hidden,
        unchanged: found.unchanged,
        gate: found.gates.any().then(|| Gate {
            failed: found.failed(),
            fail_on_growth: found.gates.growth,
            fail_on_new: found.gates.new,
        }),
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn side(side: &Side) -> SideReport<'_> {
    SideReport {
        source: &side.name,
        encoding: &side.encoding,
        total: side.total,
        truncated: side.truncated,
        damage: side.damage,
    }
}

fn report<'a>(change: &'a Change, found: &'a Comparison, stacks: bool) -> ChangeReport<'a> {
    let side = if change.after > 0 {
        &found.after
    } else {
        &found.before
    };
    let of = change.id.filter(|_| stacks).map(|id| side.stacks.of(id));
    ChangeReport {
        change: change.kind.as_str(),
        group_id: change.id.map(|id| id.to_string()),
        wait_reason: &change.group.wait_reason,
        blocking_frame: &change.group.blocking_frame,
        app_frame: &change.group.app_frame,
        before: change.before,
        after: change.after,
        leaked: change.group.leaked,
        file: &change.group.file,
        line: change.group.line,
        created_by: change.group.created_by.as_deref(),
        fails: change.fails,
        allowed: change.excuse.map(super::compare::Excuse::as_str),
        stacks: of.unwrap_or_default().iter().map(stack).collect(),
    }
}

fn stack(stack: &CountedStack) -> StackReport<'_> {
    let calls = stack.calls.iter().map(|call| CallReport {
        function: &call.function,
        file: &call.file,
        line: call.line,
    });
    StackReport {
        goroutines: stack.goroutines,
        calls: calls.collect(),
    }
}
