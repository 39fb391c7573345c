//! Web configurations: read, written anew from what was read, and read again.

use goroutine_exporter::config::{Curve, ServerTls, WebConfig};
use goroutine_exporter::fetch::{Pem, TlsVersion};
use goroutine_exporter::secret::Secret;
use serde_json::{Map, Value, json};

/// What is written out reads back as the same, errors can be told, and nothing that is printed holds a hash.
pub(crate) fn any(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let config = match WebConfig::from_yaml(&text) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    for user in &config.users {
        let printed = format!("{:?}", user.hash);
        assert!(!printed.contains(user.hash.reveal()), "{printed}");
    }
    // JSON is YAML.
    let written = written(&config).to_string();
    let again = WebConfig::from_yaml(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(sorted(again), sorted(config), "{written}");
}

/// With what has no order in the order of names, as JSON has it.
fn sorted(mut config: WebConfig) -> WebConfig {
    config.users.sort_by(|one, other| one.name.cmp(&other.name));
    config.headers.sort_unstable();
    config
}

fn written(config: &WebConfig) -> Value {
    let mut all = Map::new();
    if let Some(tls) = &config.tls {
        all.insert("tls_server_config".into(), tls_written(tls));
    }
    let headers: Map<String, Value> = config
        .headers
        .iter()
        .map(|(name, value)| ((*name).into(), value.as_str().into()))
        .collect();
    all.insert(
        "http_server_config".into(),
        json!({ "http2": config.http2, "headers": headers }),
    );
    let users: Map<String, Value> = config
        .users
        .iter()
        .map(|user| (user.name.clone(), user.hash.reveal().into()))
        .collect();
    all.insert("basic_auth_users".into(), users.into());
    if let Some(limit) = config.rate_limit {
        let interval = format!("{}ns", limit.interval.as_nanos());
        all.insert(
            "rate_limit".into(),
            json!({ "interval": interval, "burst": limit.burst }),
        );
    }
    all.into()
}

fn tls_written(tls: &ServerTls) -> Value {
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| drop(all.insert(key.into(), value));
    match &tls.cert {
        Pem::Inline(text) => put("cert", text.as_str().into()),
        Pem::File(path) => put("cert_file", path.to_string_lossy().into()),
    }
    match &tls.key {
        Secret::Inline(text) => put("key", text.as_str().into()),
        Secret::File(path) => put("key_file", path.to_string_lossy().into()),
    }
    match &tls.client.ca {
        Some(Pem::Inline(text)) => put("client_ca", text.as_str().into()),
        Some(Pem::File(path)) => put("client_ca_file", path.to_string_lossy().into()),
        None => {}
    }
    put("client_auth_type", tls.client.policy.as_str().into());
    if let Some(names) = &tls.client.allowed_sans {
        put("client_allowed_sans", names.clone().into());
    }
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls12 => Value::from("TLS12"),
        TlsVersion::Tls13 => Value::from("TLS13"),
    };
    put("min_version", version(tls.min_version));
    put("max_version", version(tls.max_version));
    if let Some(suites) = &tls.suites {
        // One of TLS 1.3 is none that is chosen, and not the absence of a choice.
        let named = std::iter::once("TLS_AES_128_GCM_SHA256").chain(suites.iter().copied());
        put("cipher_suites", named.collect::<Vec<_>>().into());
    }
    put("prefer_server_cipher_suites", tls.server_order.into());
    if let Some(curves) = &tls.curves {
        let names: Vec<&str> = curves.iter().copied().map(Curve::as_str).collect();
        put("curve_preferences", names.into());
    }
    all.into()
}
