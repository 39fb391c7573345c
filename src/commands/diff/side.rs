//! One of the two that are compared: a look, or a report of an earlier one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::anyhow;
use serde::Deserialize;

use crate::classify::WaitReason;
use crate::commands::look::{Look, Looker, Progress, WholeStacks};
use crate::tally::GroupId;

/// The largest report that is read: 16,384 groups with the longest names are less.
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// What is compared of a look.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) encoding: String,
    pub(super) total: u64,
    pub(super) leaked_only: bool,
    pub(super) truncated: bool,
    pub(super) damage: u64,
    pub(super) groups: BTreeMap<GroupId, Known>,
    /// Goroutines of no group here.
    pub(super) other: u64,
    pub(super) stacks: WholeStacks,
}

/// A group, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) goroutines: u64,
    pub(super) leaked: u64,
    pub(super) wait_reason: String,
    pub(super) blocking_frame: String,
    pub(super) app_frame: String,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) created_by: Option<String>,
}

/// The keys of `inspect --format json` that are read.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    profile: String,
    encoding: String,
    total: u64,
    truncated: bool,
    damage: u64,
    pub(super) groups: Vec<GroupReport>,
}

#[derive(Debug, Deserialize)]
pub(super) struct GroupReport {
    wait_reason: String,
    blocking_frame: String,
    app_frame: String,
    pub(super) goroutines: u64,
    #[serde(default)]
    leaked: u64,
    #[serde(default)]
    file: String,
    #[serde(default)]
    line: u32,
    #[serde(default)]
    created_by: Option<String>,
}

impl GroupReport {
    /// Its id, from its labels, as everywhere.
    pub(super) fn id(&self) -> Option<GroupId> {
        let mut reasons = WaitReason::ALL.into_iter();
        let reason = reasons.find(|reason| reason.as_str() == self.wait_reason)?;
        Some(GroupId::of(reason, &self.blocking_frame, &self.app_frame))
    }
}

impl Report {
    /// The report in a file; nothing when that is something else.
    ///
    /// # Errors
    /// When it is a report and cannot be used.
    pub(super) fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        // Not a pipe: what is read here would be missing when it is read as a profile.
        if !std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            return Ok(None);
        }
        let Ok(file) = File::open(path) else {
            return Ok(None);
        };
        let mut file = file.take(MAX_REPORT_BYTES);
        let mut first = [0; 1];
        if file.read(&mut first)? == 0 || !matches!(first, [b'{' | b'[']) {
            return Ok(None);
        }
        let mut text = first.to_vec();
        file.read_to_end(&mut text)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Whatever is JSON, and has the keys of a report or an array of them, is one; logs in JSON are not.
    fn parse(text: &[u8], name: &str) -> anyhow::Result<Option<Self>> {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(text) else {
            return Ok(None);
        };
        if value.is_array() {
            return Err(anyhow!(
                "{name}: a report of several sources; inspect them one by one"
            ));
        }
        if value.get("groups").is_none() || value.get("wait_reasons").is_none() {
            return Ok(None);
        }
        serde_json::from_value(value).map(Some).map_err(|error| {
            anyhow!("{name}: not a whole report of `inspect --format json`: {error}")
        })
    }
}

impl Side {
    /// Reads a report, or looks.
    ///
    /// # Errors
    /// When neither is possible.
    pub(super) fn read(name: &str, looker: &Looker, progress: &Progress) -> anyhow::Result<Self> {
        if let Some(report) = Report::read(Path::new(name))? {
            if looker.filters() {
                return Err(anyhow!(
                    "{name}: a report has no stacks, so --focus and --ignore cannot be applied; \
                    give them to the `inspect` that writes it, or save the profile itself"
                ));
            }
            return Self::of_report(name, report);
        }
        Ok(Self::of_look(looker.look(name, progress)?))
    }

    pub(super) fn of_look(look: Look) -> Self {
        let Look {
            name,
            tally,
            stacks,
        } = look;
        let known = |group: crate::tally::Group| {
            let known = Known {
                goroutines: group.goroutines,
                leaked: group.leaked,
                wait_reason: group.wait_reason.to_string(),
                blocking_frame: group.blocking_frame.to_string(),
                app_frame: group.app_frame.to_string(),
                file: group.file.to_string(),
                line: group.line,
                created_by: group.created_by.map(|name| name.to_string()),
            };
            (group.id, known)
        };
        Self {
            name,
            encoding: tally.summary.encoding.to_string(),
            total: tally.total,
            leaked_only: tally.summary.leaked_only,
            truncated: tally.summary.truncated,
            damage: tally.summary.damage,
            groups: tally.groups.into_iter().map(known).collect(),
            other: tally.unlisted,
            stacks,
        }
    }

    fn of_report(name: &str, report: Report) -> anyhow::Result<Self> {
        let mut groups: BTreeMap<GroupId, Known> = BTreeMap::new();
        let mut counted: u64 = 0;
        for group in report.groups {
            let id = group
                .id()
                .ok_or_else(|| anyhow!("{name}: no wait reason {:?}", group.wait_reason))?;
            counted = counted.saturating_add(group.goroutines);
            groups.insert(
                id,
                Known {
                    goroutines: group.goroutines,
                    leaked: group.leaked,
                    wait_reason: group.wait_reason,
                    blocking_frame: group.blocking_frame,
                    app_frame: group.app_frame,
                    file: group.file,
                    line: group.line,
                    created_by: group.created_by,
                },
            );
        }
        let other = report
            .total
            .checked_sub(counted)
            .ok_or_else(|| anyhow!("{name}: its groups have more goroutines than its total"))?;
        Ok(Self {
            name: name.to_owned(),
            encoding: report.encoding,
            total: report.total,
            leaked_only: report.profile == "goroutineleak",
            truncated: report.truncated,
            damage: report.damage,
            groups,
            other,
            stacks: WholeStacks::default(),
        })
    }

    /// Why not every goroutine is in it.
    pub(super) fn incomplete(&self) -> Option<String> {
        if self.truncated {
            return Some("the profile was cut".to_owned());
        }
        (self.damage > 0).then(|| format!("{} records could not be read", self.damage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_told_from_logs() {
        let check = |text: &str, expected: Result<bool, &str>| match (
            Report::parse(text.as_bytes(), "x"),
            expected,
        ) {
            (Ok(found), Ok(report)) => assert_eq!(found.is_some(), report, "{text}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, _) => panic!("{text}: {found:?}"),
        };
        let report = r#"{"profile":"goroutine","encoding":"protobuf","total":1,"truncated":false,"damage":0,"wait_reasons":{},"groups":[]}"#;
        check(report, Ok(true));
        check(
            r#"{"log":"goroutine 1 [running]:\n","stream":"stderr"}"#,
            Ok(false),
        );
        check("{\"log\":\"a\"}\n{\"log\":\"b\"}\n", Ok(false));
        check("[]", Err("several sources"));
        check(
            r#"{"groups":[],"wait_reasons":{}}"#,
            Err("not a whole report"),
        );
        check("{", Ok(false));
    }
}
