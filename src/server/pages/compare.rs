//! What has changed between two profiles, group by group.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use maud::{Markup, html};

use super::groups::{MAX_GROUPS, place};
use super::words;
use crate::numbers;
use crate::tally::{Group, GroupId, Tally};

/// How a group has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Appeared,
    Grew,
    Shrank,
    Gone,
}

/// A group that is not what it was.
#[derive(Clone, Copy, Debug)]
struct Change<'a> {
    group: &'a Group,
    before: u64,
    after: u64,
}

impl Change<'_> {
    fn kind(&self) -> Kind {
        match (self.before, self.after) {
            (0, _) => Kind::Appeared,
            (_, 0) => Kind::Gone,
            (before, after) if after > before => Kind::Grew,
            _ => Kind::Shrank,
        }
    }
}

/// The groups that have changed, the largest change first.
fn changes<'a>(before: &'a Tally, after: &'a Tally) -> Vec<Change<'a>> {
    let mut groups: BTreeMap<GroupId, Change<'a>> = BTreeMap::new();
    for group in &before.groups {
        let change = Change {
            group,
            before: group.goroutines,
            after: 0,
        };
        groups.insert(group.id, change);
    }
    for group in &after.groups {
        let change = groups.entry(group.id).or_insert(Change {
            group,
            before: 0,
            after: 0,
        });
        change.group = group;
        change.after = group.goroutines;
    }
    let mut changes: Vec<Change<'_>> = groups
        .into_values()
        .filter(|change| change.before != change.after)
        .collect();
    changes.sort_by_key(|change| {
        (
            Reverse(change.before.abs_diff(change.after)),
            change.group.id,
        )
    });
    changes
}

/// The changes from `before` to `after` as a table.
pub(super) fn render(before: &Tally, after: &Tally) -> Markup {
    let changes = changes(before, after);
    let of = |kind: Kind| {
        changes
            .iter()
            .filter(|change| change.kind() == kind)
            .count()
    };
    html! {
        p {
            "From " strong { (numbers::grouped(before.total)) } " to " strong { (numbers::count(after.total, "goroutine")) }
            " (" (words::change(before.total, after.total)) "): "
            (numbers::count_of(of(Kind::Appeared), "group")) " appeared, " (of(Kind::Grew)) " grew, " (of(Kind::Shrank)) " shrank, " (of(Kind::Gone)) " gone."
        }
        @if !changes.is_empty() {
            table.cards.changes {
                thead { tr {
                    th scope="col" { "" } th.number scope="col" { "Before" } th.number scope="col" { "After" } th.number scope="col" { "Change" }
                    th scope="col" { "Waits for" } th scope="col" { "Where" }
                } }
                tbody {
                    @for change in changes.iter().take(MAX_GROUPS) {
                        tr {
                            td.word data-label="What" { (change.kind().as_str()) }
                            td.number data-label="Before" { (numbers::grouped(change.before)) }
                            td.number data-label="After" { (numbers::grouped(change.after)) }
                            td.number data-label="Change" { strong { (words::change(change.before, change.after)) } }
                            td.word data-label="Waits for" { (change.group.wait_reason.as_str()) }
                            td.where data-label="Where" { (place(change.group)) }
                        }
                    }
                }
            }
        }
        @if changes.len() > MAX_GROUPS {
            p.soft { (numbers::count_of(changes.len() - MAX_GROUPS, "smaller change")) " not shown." }
        }
    }
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Grew => "grew",
            Self::Shrank => "shrank",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::test_report;

    #[test]
    fn every_way_to_change() {
        let before = test_report().tally;
        let mut after = test_report().tally;
        after.groups[0].goroutines = 90;
        after.groups[1].goroutines = 2;
        let gone = after.groups.remove(2);
        let mut new = gone.clone();
        new.id = GroupId(9);
        new.goroutines = 40;
        after.groups.push(new);
        let found: Vec<_> = changes(&before, &after)
            .iter()
            .map(|change| (change.kind(), change.before, change.after))
            .collect();
        assert_eq!(
            found,
            [
                (Kind::Appeared, 0, 40),
                (Kind::Shrank, 15, 2),
                (Kind::Grew, 80, 90),
                (Kind::Gone, 3, 0)
            ]
        );
        assert!(changes(&before, &before).is_empty());
    }
}
