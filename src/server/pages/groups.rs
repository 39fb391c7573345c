//! Groups as a table, and the stacks behind each.

use maud::{Markup, html};

use super::words::{self, plain};
use crate::classify::WaitReason;
use crate::numbers;
use crate::tally::{CountedStack, Group, GroupStacks, Tally};
use crate::tracker::LastLook;

/// Groups in a table, at most.
pub(super) const MAX_GROUPS: usize = 100;
/// Stacks shown of a group, and calls of a stack, at most.
const MAX_STACKS: usize = 8;
const MAX_CALLS: usize = 64;
/// Bytes of names in all stacks of a page, at most. Groups that come later have no stacks when it is used up.
const STACK_BYTES: usize = 256 << 10;
/// What a call takes on a page beside its names.
const CALL_BYTES: usize = 64;

/// Groups with what is known of them.
pub(super) struct Groups<'a> {
    pub(super) tally: &'a Tally,
    /// Those with series, best first: they come first.
    pub(super) shown: &'a [usize],
    /// What was counted before.
    pub(super) last_look: Option<&'a LastLook>,
    /// The stacks; without them none are shown.
    pub(super) stacks: Option<&'a mut GroupStacks>,
}

impl Groups<'_> {
    /// The table; what is not in it is said in its last row.
    pub(super) fn render(mut self) -> Markup {
        let tally = self.tally;
        let others = (0..tally.groups.len()).filter(|at| !self.shown.contains(at));
        let listed: Vec<&Group> = self
            .shown
            .iter()
            .copied()
            .chain(others)
            .take(MAX_GROUPS)
            .filter_map(|at| tally.groups.get(at))
            .collect();
        let counted: u64 = listed.iter().map(|group| group.goroutines).sum();
        let rest = tally.total.saturating_sub(counted);
        let more = tally.groups.len() - listed.len();
        let mut room = STACK_BYTES;
        let watched = listed.iter().any(|group| group.parked.is_some());
        html! {
            table.cards.groups {
                thead { tr {
                    th scope="col" { "Share" } th.number scope="col" { "Goroutines" }
                    @if self.last_look.is_some() { th.number scope="col" { "Change" } }
                    @if watched { th.number scope="col" { "Did not move" } }
                    th scope="col" { "Waits for" } th scope="col" { "Where" }
                } }
                tbody {
                    @for group in listed {
                        (self.row(group, watched, &mut room))
                    }
                    @if rest > 0 {
                        tr {
                            td data-label="Share" { (words::share(rest, tally.total)) }
                            td.number data-label="Goroutines" { (numbers::grouped(rest)) }
                            @if self.last_look.is_some() { td {} }
                            @if watched { td {} }
                            td {}
                            td { "in " (numbers::count_of(more, "more group")) }
                        }
                    }
                }
            }
        }
    }

    /// `watched`: a trace told of some groups who did not move.
    fn row(&mut self, group: &Group, watched: bool, room: &mut usize) -> Markup {
        html! {
            tr id={ "g-" (group.id) } {
                td.share data-label="Share" {
                    span { (words::share(group.goroutines, self.tally.total)) }
                    (words::bar(group.goroutines, self.tally.total))
                }
                td.number data-label="Goroutines" { (numbers::grouped(group.goroutines)) }
                @if let Some(last) = self.last_look {
                    td.number data-label="Change" {
                        @match last.goroutines(group.id) {
                            Some(0) => { "new" }
                            Some(before) => { (words::change(before, group.goroutines)) }
                            None => { "not known" }
                        }
                    }
                }
                @if watched {
                    td.number data-label="Did not move" {
                        @if let Some(parked) = group.parked {
                            (words::share(parked.goroutines, parked.of))
                        } @else if group.wait_reason == WaitReason::Running {
                            "runs"
                        } @else {
                            "not known"
                        }
                    }
                }
                td.word data-label="Waits for" {
                    (group.wait_reason.as_str())
                    @if let Some(longest) = group.longest_wait {
                        br; span.soft { "longest " (words::wait(longest)) }
                    }
                    @if group.leaked > 0 {
                        br; strong.bad { (numbers::grouped(group.leaked)) " proven leaked" }
                    }
                    @if group.is_stuck() {
                        br; strong.bad { "stuck" }
                    }
                }
                td.where data-label="Where" {
                    (place(group))
                    @if let Some(created_by) = group.created_by.as_deref().filter(|name| !name.is_empty()) {
                        div.soft { "started by " code { (plain(created_by)) } }
                    }
                    @if let Some(stacks) = self.stacks.as_deref_mut() {
                        (behind(stacks, group, room))
                    }
                    div.soft.id { "group " code { (group.id) } }
                }
            }
        }
    }
}

/// Where a group waits: the blocking function, and the application's line.
pub(super) fn place(group: &Group) -> Markup {
    let own = !group.app_frame.is_empty() && group.app_frame != group.blocking_frame;
    html! {
        div.place {
            div { code { (plain(&group.blocking_frame)) } }
            @if own {
                div { "for " code.app { (plain(&group.app_frame)) } }
            }
            @if !group.file.is_empty() {
                div { code.line { (plain(&group.file)) ":" (group.line) } }
            }
        }
    }
}

/// The function to name where there is room for one only.
pub(super) fn name(group: &Group) -> String {
    plain(if group.app_frame.is_empty() {
        &group.blocking_frame
    } else {
        &group.app_frame
    })
}

fn behind(stacks: &mut GroupStacks, group: &Group, room: &mut usize) -> Markup {
    let all = stacks.count(group.id);
    if all == 0 {
        return html! {};
    }
    let mut fits = Vec::new();
    for stack in stacks.of(group.id, MAX_STACKS, MAX_CALLS) {
        let bytes: usize = stack
            .calls
            .iter()
            .map(|call| CALL_BYTES + call.function.len() + call.file.len())
            .sum();
        let Some(left) = room.checked_sub(bytes) else {
            break;
        };
        *room = left;
        fits.push(stack);
    }
    let left_out = all - fits.len();
    html! {
        details {
            summary { (numbers::count_of(all, "distinct stack")) }
            @for stack in &fits {
                (one(stack, &group.app_frame))
            }
            @if left_out > 0 {
                p.soft { (numbers::count_of(left_out, "more stack")) ", not shown here" }
            }
        }
    }
}

fn one(stack: &CountedStack, app_frame: &str) -> Markup {
    let deeper = stack.depth.saturating_sub(stack.calls.len());
    html! {
        div.stack {
            div.soft { (numbers::count(stack.goroutines, "goroutine")) }
            ol {
                @for call in &stack.calls {
                    li.app[*call.function == *app_frame] {
                        code { (plain(&call.function)) }
                        @if !call.file.is_empty() {
                            " " code.line { (plain(&call.file)) ":" (call.line) }
                        }
                    }
                }
            }
            @if deeper > 0 {
                div.soft { "and " (numbers::count_of(deeper, "call")) " further out" }
            }
        }
    }
}

/// What goroutines wait for, as bars.
pub(super) fn wait_reasons(tally: &Tally) -> Markup {
    let mut counts: Vec<(WaitReason, u64)> = WaitReason::ALL
        .into_iter()
        .zip(tally.wait_reasons)
        .filter(|(_, count)| *count > 0)
        .collect();
    counts.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    html! {
        table.bars {
            thead { tr {
                th scope="col" { "Wait reason" } th.number scope="col" { "Goroutines" } th.number scope="col" { "Share" } th.wide scope="col" { span.unseen { "Bar" } }
            } }
            tbody {
                @for (reason, count) in counts {
                    tr {
                        th scope="row" {
                            (reason.as_str())
                            @if let Some(longest) = tally.longest_waits.get(reason.index()).copied().flatten() {
                                " " span.soft { "longest " (words::wait(longest)) }
                            }
                        }
                        td.number { (numbers::grouped(count)) }
                        td.number { (words::share(count, tally.total)) }
                        td.wide { (words::bar(count, tally.total)) }
                    }
                }
            }
        }
    }
}
