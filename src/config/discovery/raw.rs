//! What is written about discovery, in the configuration and in the files it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::raw::UniqueMap;

/// `file_sd_configs[N]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with files, and where wanted module and refresh_interval"
)]
pub(in crate::config) struct RawFileSd {
    pub(super) files: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<String>,
}

/// `dns_sd_configs[N]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with names, and where wanted type, port, refresh_interval, scheme, module and labels"
)]
pub(in crate::config) struct RawDnsSd {
    pub(super) names: Option<Vec<String>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<UniqueMap<String>>,
}

/// `[N]` of a file of targets: a target group as Prometheus has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with targets, and where wanted labels"
)]
pub(super) struct RawGroup {
    pub(super) targets: Vec<String>,
    pub(super) labels: Option<UniqueMap<String>>,
}

/// Labels as they are written out.
pub(in crate::config) fn written_labels(labels: &BTreeMap<String, String>) -> UniqueMap<String> {
    let written = labels.iter();
    UniqueMap(written.map(|(n, v)| (n.clone(), v.clone())).collect())
}
