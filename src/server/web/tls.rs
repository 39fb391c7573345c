//! TLS towards clients: certificate, versions, suites, curves, and what clients must show.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{Error, ServerConfig, SupportedCipherSuite};

use super::certificate::{self, Facts};
use super::clients::Clients;
use super::files::{MAX_PEM_BYTES, Reader};
use crate::config::{Curve, KeyPath, ServerTls};
use crate::fetch::{Pem, TlsVersion};
use crate::secret::Secret;

/// TLS, ready to be spoken.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    /// Of the exporter's own certificate.
    pub(super) certificate: Facts,
    /// Authorities of clients.
    pub(super) authorities: usize,
}

/// What cannot be used: a key of the file, and why.
pub(super) type Unusable = (KeyPath, String);

/// Loads what `spec` names.
///
/// # Errors
/// When a file cannot be read, or something in it not be used. No error shows what a file holds.
pub(super) fn load(spec: &ServerTls, http2: bool, reader: &mut Reader) -> Result<Tls, Unusable> {
    let block = KeyPath::root().key("tls_server_config");
    let provider = Arc::new(provider(spec));
    let cert_key = block.key(pem_name(&spec.cert, "cert", "cert_file"));
    let chain = certificates(&spec.cert, reader).map_err(|why| (cert_key.clone(), why))?;
    let facts = chain.first().and_then(|own| certificate::facts(own));
    let facts = facts.ok_or_else(|| (cert_key.clone(), "holds no X.509 certificate".to_owned()))?;
    let key_key = block.key(match &spec.key {
        Secret::Inline(_) => "key",
        Secret::File(_) => "key_file",
    });
    let key = private_key(&spec.key, reader).map_err(|why| (key_key.clone(), why))?;
    let client_ca = &spec.client.ca;
    let ca_key = match client_ca {
        Some(pem) => block.key(pem_name(pem, "client_ca", "client_ca_file")),
        None => block.key("client_auth_type"),
    };
    let authorities = match client_ca {
        Some(pem) => certificates(pem, reader).map_err(|why| (ca_key.clone(), why))?,
        None if spec.client.policy.verifies() => rustls_native_certs::load_native_certs().certs,
        None => Vec::new(),
    };
    let count = authorities.len();
    let clients = Clients::new(&spec.client, authorities, &provider);
    let clients = clients.map_err(|why| (ca_key, why))?;
    let versions = versions(spec);
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| (block, error.to_string()))?;
    let asks = clients.is_some();
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::new(clients)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let why = match error {
            Error::InconsistentKeys(_) => "is not the key of the certificate".to_owned(),
            // The library's words for keys it cannot read; it quotes none.
            other => format!("cannot be used with the certificate: {other}"),
        };
        (key_key, why)
    })?;
    config.ignore_client_order = spec.server_order;
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    if asks {
        // A session that is resumed would bring its certificate along, valid still or not.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Tls {
        config: Arc::new(config),
        certificate: facts,
        authorities: count,
    })
}

fn pem_name(pem: &Pem, inline: &'static str, file: &'static str) -> &'static str {
    match pem {
        Pem::Inline(_) => inline,
        Pem::File(_) => file,
    }
}

/// The suites and curves of `spec`, in its order. Those of TLS 1.3 are all there, as in Go.
fn provider(spec: &ServerTls) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(names) = &spec.suites {
        let (mut suites, older): (Vec<SupportedCipherSuite>, Vec<_>) = provider
            .cipher_suites
            .iter()
            .partition(|suite| suite.tls13().is_some());
        for name in names {
            let of_name = |suite: &&SupportedCipherSuite| suite.suite().as_str() == Some(*name);
            suites.extend(older.iter().find(of_name));
        }
        provider.cipher_suites = suites;
    }
    if let Some(curves) = &spec.curves {
        provider.kx_groups = curves.iter().map(|curve| group(*curve)).collect();
    }
    provider
}

fn group(curve: Curve) -> &'static dyn SupportedKxGroup {
    match curve {
        Curve::P256 => ring::kx_group::SECP256R1,
        Curve::P384 => ring::kx_group::SECP384R1,
        Curve::X25519 => ring::kx_group::X25519,
    }
}

/// The versions of `spec`, less TLS 1.2 where no suite is left for it.
fn versions(spec: &ServerTls) -> Vec<&'static rustls::SupportedProtocolVersion> {
    let no_suite = spec.suites.as_ref().is_some_and(Vec::is_empty);
    let lowest = if no_suite {
        TlsVersion::Tls13
    } else {
        spec.min_version
    };
    [
        (TlsVersion::Tls13, &rustls::version::TLS13),
        (TlsVersion::Tls12, &rustls::version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| (lowest..=spec.max_version).contains(version))
    .map(|(_, version)| version)
    .collect()
}

fn certificates(pem: &Pem, reader: &mut Reader) -> Result<Vec<CertificateDer<'static>>, String> {
    let (text, named) = match pem {
        Pem::Inline(text) => (text.clone().into_bytes(), String::new()),
        Pem::File(path) => read(path, reader)?,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|_| format!("{named}is no PEM"))?;
    if found.is_empty() {
        return Err(format!("{named}holds no certificate in PEM"));
    }
    Ok(found)
}

fn private_key(key: &Secret, reader: &mut Reader) -> Result<PrivateKeyDer<'static>, String> {
    let (text, named) = match key {
        Secret::Inline(text) => (text.clone().into_bytes(), String::new()),
        Secret::File(path) => read(path, reader)?,
    };
    // The library's text is not passed on: it might quote the key.
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| format!("{named}holds no unencrypted private key in PEM"))
}

/// What a file holds, and the file's name for whoever has to say what is wrong with that.
fn read(path: &Path, reader: &mut Reader) -> Result<(Vec<u8>, String), String> {
    let named = format!("{} ", path.display());
    let read = reader.read(path, MAX_PEM_BYTES);
    let bytes = read.map_err(|why| format!("{named}cannot be read: {why}"))?;
    Ok((bytes, named))
}
