//! The file as it is written: structs one to one with the YAML.

use serde::Deserialize;

use crate::config::raw::{RawSecret, UniqueMap};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with tls_server_config, http_server_config, basic_auth_users or rate_limit"
)]
pub(super) struct RawWeb {
    pub(super) tls_server_config: Option<RawServerTls>,
    pub(super) http_server_config: Option<RawHttpServer>,
    pub(super) basic_auth_users: Option<UniqueMap<RawSecret>>,
    pub(super) rate_limit: Option<RawRateLimit>,
}

/// `tls_server_config`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of TLS settings")]
pub(super) struct RawServerTls {
    pub(super) cert: Option<String>,
    pub(super) cert_file: Option<String>,
    pub(super) key: Option<RawSecret>,
    pub(super) key_file: Option<String>,
    pub(super) client_auth_type: Option<String>,
    pub(super) client_ca: Option<String>,
    pub(super) client_ca_file: Option<String>,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) min_version: Option<String>,
    pub(super) max_version: Option<String>,
    pub(super) cipher_suites: Option<Vec<String>>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
    pub(super) curve_preferences: Option<Vec<String>>,
}

/// `http_server_config`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with http2 and headers"
)]
pub(super) struct RawHttpServer {
    pub(super) http2: Option<bool>,
    pub(super) headers: Option<RawHeaders>,
}

/// `http_server_config.headers`: the set that can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of headers")]
pub(super) struct RawHeaders {
    #[serde(rename = "Content-Security-Policy")]
    pub(super) content_security_policy: Option<String>,
    #[serde(rename = "X-Frame-Options")]
    pub(super) x_frame_options: Option<String>,
    #[serde(rename = "X-Content-Type-Options")]
    pub(super) x_content_type_options: Option<String>,
    #[serde(rename = "X-XSS-Protection")]
    pub(super) x_xss_protection: Option<String>,
    #[serde(rename = "Strict-Transport-Security")]
    pub(super) strict_transport_security: Option<String>,
}

/// `rate_limit`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with interval and burst"
)]
pub(super) struct RawRateLimit {
    pub(super) interval: Option<String>,
    pub(super) burst: Option<u64>,
}
