//! `tls_server_config`.

use std::path::Path;

use super::raw::RawServerTls;
use super::{ClientAuth, ClientPolicy, Curve, ServerTls};
use crate::config::compile::at_most;
use crate::config::error::{ConfigError, Fault, KeyPath};
use crate::config::hint::did_you_mean;
use crate::config::http::Block;
use crate::fetch::{Pem, TlsVersion};
use crate::secret::Secret;

/// Names a client may have, at most: each handshake is held against all of them.
const MAX_SANS: usize = 1_000;

/// Suites of TLS 1.2 that can be chosen; what Go has besides is CBC, which the TLS library here leaves out on purpose.
const SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Suites of TLS 1.3, which may be listed; as in Go they are all on, listed or not.
const SUITES_13: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// RFC 9113 section 9.2.2: over TLS 1.2 one of these must be there.
const HTTP2_SUITES: [&str; 2] = [
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
];

/// Compiles the block.
pub(super) fn server_tls(
    key: &KeyPath,
    raw: RawServerTls,
    directory: &Path,
    http2: bool,
) -> Result<ServerTls, ConfigError> {
    let block = Block {
        key: key.clone(),
        directory,
    };
    let cert = block.pem(("cert", raw.cert), ("cert_file", raw.cert_file))?;
    let key = block.secret(("key", raw.key), ("key_file", raw.key_file))?;
    let cert = cert.ok_or_else(|| {
        block
            .fault("cert_file", Fault::Missing)
            .hint("write cert_file or cert")
    })?;
    let key = key.ok_or_else(|| {
        block
            .fault("key_file", Fault::Missing)
            .hint("write key_file or key")
    })?;
    if let Secret::Inline(text) = &key
        && !(text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
    {
        let expected = "a private key in PEM";
        return Err(block.fault("key", Fault::InvalidSecret { expected }));
    }
    let ca = block.pem(
        ("client_ca", raw.client_ca),
        ("client_ca_file", raw.client_ca_file),
    )?;
    let client = client_auth(
        &block,
        raw.client_auth_type.as_deref(),
        ca,
        raw.client_allowed_sans,
    )?;
    let min_version = version(
        &block,
        "min_version",
        raw.min_version.as_deref(),
        TlsVersion::Tls12,
    )?;
    let max_version = version(
        &block,
        "max_version",
        raw.max_version.as_deref(),
        TlsVersion::Tls13,
    )?;
    if min_version > max_version {
        let other = "min_version: TLS13";
        return Err(block.fault("max_version", Fault::Conflict { other }));
    }
    let suites = suites(&block, raw.cipher_suites.unwrap_or_default())?;
    if min_version == TlsVersion::Tls12
        && let Some(suites) = &suites
    {
        if suites.is_empty() && max_version == TlsVersion::Tls12 {
            let other = "a suite of TLS 1.2, since max_version is TLS12";
            return Err(block.fault("cipher_suites", Fault::Needs { other }));
        }
        let fit = suites.is_empty() || HTTP2_SUITES.iter().any(|name| suites.contains(name));
        if http2 && !fit {
            let other = "a suite that HTTP/2 requires";
            let hint = format!(
                "add {} or write http_server_config: {{ http2: false }}",
                HTTP2_SUITES.join(" or ")
            );
            return Err(block
                .fault("cipher_suites", Fault::Needs { other })
                .hint(hint));
        }
    }
    Ok(ServerTls {
        cert,
        key,
        client,
        min_version,
        max_version,
        suites,
        server_order: raw.prefer_server_cipher_suites.unwrap_or(true),
        curves: curves(&block, raw.curve_preferences.unwrap_or_default())?,
    })
}

fn client_auth(
    block: &Block<'_>,
    policy: Option<&str>,
    ca: Option<Pem>,
    sans: Option<Vec<String>>,
) -> Result<ClientAuth, ConfigError> {
    let policy = match policy {
        None | Some("" | "NoClientCert") => ClientPolicy::NoClientCert,
        Some("RequestClientCert") => ClientPolicy::RequestClientCert,
        // The second is what exporter-toolkit called it at first.
        Some("RequireAnyClientCert" | "RequireClientCert") => ClientPolicy::RequireAnyClientCert,
        Some("VerifyClientCertIfGiven") => ClientPolicy::VerifyClientCertIfGiven,
        Some("RequireAndVerifyClientCert") => ClientPolicy::RequireAndVerifyClientCert,
        Some(found) => {
            let expected = "NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert";
            let fault = Fault::invalid(expected, found);
            return Err(block.fault("client_auth_type", fault));
        }
    };
    let ca_name = match &ca {
        Some(Pem::File(_)) => "client_ca_file",
        _ => "client_ca",
    };
    match (policy, &ca) {
        (ClientPolicy::NoClientCert, Some(_)) => {
            let other = "a client_auth_type that asks for certificates";
            return Err(block
                .fault(ca_name, Fault::Needs { other })
                .hint("write client_auth_type: RequireAndVerifyClientCert"));
        }
        // Go would believe every authority of the system, who vouch for names of servers, not for who may ask.
        (ClientPolicy::RequireAndVerifyClientCert, None) => {
            let other = "client_ca or client_ca_file";
            return Err(block.fault("client_auth_type", Fault::Needs { other }));
        }
        _ => {}
    }
    if let Some(sans) = &sans {
        let key = block.key.key("client_allowed_sans");
        at_most(&key, sans.len(), MAX_SANS)?;
        if sans.is_empty() {
            let other = "a name, or nobody could connect";
            return Err(ConfigError::new(key, Fault::Needs { other }));
        }
        if policy == ClientPolicy::NoClientCert {
            let other = "a client_auth_type that asks for certificates";
            return Err(ConfigError::new(key, Fault::Needs { other })
                .hint("write client_auth_type: RequireAndVerifyClientCert"));
        }
        if let Some(index) = sans.iter().position(String::is_empty) {
            let fault = Fault::invalid("a DNS name, an address, an email address or a URI", "");
            return Err(ConfigError::new(key.index(index), fault));
        }
    }
    Ok(ClientAuth {
        policy,
        ca,
        allowed_sans: sans,
    })
}

fn version(
    block: &Block<'_>,
    name: &'static str,
    text: Option<&str>,
    default: TlsVersion,
) -> Result<TlsVersion, ConfigError> {
    match text {
        None => Ok(default),
        Some("TLS12") => Ok(TlsVersion::Tls12),
        Some("TLS13") => Ok(TlsVersion::Tls13),
        Some(found) => {
            let error = block.fault(name, Fault::invalid("TLS12 or TLS13", found));
            Err(match found {
                "TLS10" | "TLS11" => error.hint(
                    "TLS 1.0 and 1.1 are broken (RFC 8996), and the TLS library here does not have them",
                ),
                _ => error,
            })
        }
    }
}

/// The suites of TLS 1.2 in the list; `None` for an empty one.
fn suites(block: &Block<'_>, names: Vec<String>) -> Result<Option<Vec<&'static str>>, ConfigError> {
    let key = block.key.key("cipher_suites");
    at_most(&key, names.len(), 100)?;
    let mut chosen = Vec::new();
    let listed = !names.is_empty();
    for (index, name) in names.into_iter().enumerate() {
        if SUITES_13.contains(&name.as_str()) {
            continue;
        }
        if let Some(known) = SUITES.iter().find(|known| **known == name) {
            chosen.push(*known);
            continue;
        }
        let hint = if name.contains("_CBC_") || name.starts_with("TLS_RSA_") {
            Some("suites with CBC or without forward secrecy are not implemented here".to_owned())
        } else {
            let known = SUITES.into_iter().chain(SUITES_13);
            did_you_mean(&name, known)
                .or_else(|| Some(format!("known here: {}", SUITES.join(", "))))
        };
        let fault = Fault::invalid("a cipher suite with GCM or CHACHA20_POLY1305", name);
        return Err(ConfigError {
            hint,
            ..ConfigError::new(key.index(index), fault)
        });
    }
    Ok(listed.then_some(chosen))
}

fn curves(block: &Block<'_>, names: Vec<String>) -> Result<Option<Vec<Curve>>, ConfigError> {
    let key = block.key.key("curve_preferences");
    at_most(&key, names.len(), 100)?;
    let mut chosen = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let known = [Curve::P256, Curve::P384, Curve::X25519];
        let Some(curve) = known.into_iter().find(|curve| curve.as_str() == name) else {
            let hint = (name == "CurveP521")
                .then(|| "P-521 is not implemented here; CurveP384 is the next".to_owned());
            let fault = Fault::invalid("CurveP256, CurveP384 or X25519", name);
            return Err(ConfigError {
                hint,
                ..ConfigError::new(key.index(index), fault)
            });
        };
        if !chosen.contains(&curve) {
            chosen.push(curve);
        }
    }
    Ok((!chosen.is_empty()).then_some(chosen))
}
