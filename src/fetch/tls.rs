//! TLS towards targets: whom to trust, which name to verify, what to show of ourselves.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
};
use rustls::client::{Tls13ClientSessionValue, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme,
};

use super::error::{FetchBuildError, SecretFault};
use super::secret_file::{read_pem, reveal};
use super::spec::{Identity, Pem, TlsSpec, TlsVersion};
use super::trace::tls_begins;
use crate::secret::Secret;

/// Sessions kept for resumption by one module; beyond it the oldest go. One per target would be too many.
const SESSIONS: usize = 256;

/// The system's authorities, read when the first handshake needs them: it takes tens of milliseconds, and most
/// targets speak plain HTTP.
static SYSTEM: LazyLock<Result<Arc<WebPkiServerVerifier>, Error>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Certificates that cannot be read are skipped, as Go does; none at all is an error below.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::General(
            "the system has no certificates to trust: configure tls_config.ca_file".to_owned(),
        ));
    }
    verifier_for(roots, &provider()).map_err(|error| Error::General(error.to_string()))
});

/// The TLS settings of a module. With `http2`, HTTP/2 is offered to the other side.
pub(super) fn client_config(spec: &TlsSpec, http2: bool) -> Result<ClientConfig, FetchBuildError> {
    let provider = provider();
    let lowest = spec.min_version.unwrap_or(TlsVersion::Tls12);
    let highest = spec.max_version.unwrap_or(TlsVersion::Tls13);
    let versions: Vec<_> = [
        (TlsVersion::Tls13, &rustls::version::TLS13),
        (TlsVersion::Tls12, &rustls::version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| (lowest..=highest).contains(version))
    .map(|(_, supported)| supported)
    .collect();
    if versions.is_empty() {
        return Err(FetchBuildError::Versions);
    }
    let name = match &spec.server_name {
        Some(name) => {
            Some(ServerName::try_from(name.clone()).map_err(|_| FetchBuildError::ServerName)?)
        }
        None => None,
    };
    let trust = match &spec.ca {
        _ if spec.insecure_skip_verify => Trust::Anyone,
        Some(ca) => Trust::These(authorities(ca, &provider)?),
        None => Trust::System,
    };
    let verifier = Verifier {
        trust,
        name,
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| FetchBuildError::Material {
            what: "tls_config",
            detail: error.to_string(),
        })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &spec.identity {
        Some(identity) => {
            let (chain, key) = client_identity(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                FetchBuildError::Material {
                    what: "tls_config.key",
                    detail: error.to_string(),
                }
            })?
        }
        None => builder.with_no_client_auth(),
    };
    if http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    config.resumption =
        Resumption::store(Arc::new(Sessions(ClientSessionMemoryCache::new(SESSIONS))));
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn verifier_for(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::client::VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()
}

fn authorities(
    ca: &Pem,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, FetchBuildError> {
    let what = "tls_config.ca";
    let unusable = |detail: String| FetchBuildError::Material { what, detail };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&text(ca)?, what)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    verifier_for(roots, provider).map_err(|error| unusable(error.to_string()))
}

fn client_identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), FetchBuildError> {
    let chain = certificates(&text(&identity.cert)?, "tls_config.cert")?;
    let key = reveal(&identity.key)?;
    // The library's text is not passed on: it might quote the key.
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| FetchBuildError::Pem {
        what: "tls_config.key",
        wanted: "unencrypted private key",
    })?;
    Ok((chain, key))
}

fn text(pem: &Pem) -> Result<String, SecretFault> {
    match pem {
        Pem::Inline(text) => Ok(text.clone()),
        Pem::File(path) => read_pem(path),
    }
}

/// The same settings with the content of every file in its place: what they amount to now.
pub(super) fn read_files(spec: &TlsSpec) -> Result<TlsSpec, SecretFault> {
    let pem = |pem: &Pem| text(pem).map(Pem::Inline);
    // Whose certificate goes unverified needs no authorities, not even readable ones.
    let ca = spec.ca.as_ref().filter(|_| !spec.insecure_skip_verify);
    let identity = spec.identity.as_ref().map(|identity| {
        Ok(Identity {
            cert: pem(&identity.cert)?,
            key: Secret::Inline(reveal(&identity.key)?),
        })
    });
    Ok(TlsSpec {
        ca: ca.map(pem).transpose()?,
        identity: identity.transpose()?,
        ..spec.clone()
    })
}

fn certificates(
    pem: &str,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, FetchBuildError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or(FetchBuildError::Pem {
            what,
            wanted: "certificate",
        })
}

/// Whose certificates are believed.
#[derive(Debug)]
enum Trust {
    System,
    These(Arc<WebPkiServerVerifier>),
    Anyone,
}

/// Verifies a certificate against `trust`, for `name` in place of the URL's host when one is configured.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = match &self.trust {
            Trust::Anyone => return Ok(ServerCertVerified::assertion()),
            Trust::These(verifier) => verifier,
            Trust::System => SYSTEM.as_ref().map_err(Error::clone)?,
        };
        let name = self.name.as_ref().unwrap_or(host);
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Sessions to resume. rustls asks for a key exchange hint at the very start of a handshake, in the task of the
/// request: the one place from which its start can be timed.
#[derive(Debug)]
struct Sessions(ClientSessionMemoryCache);

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        tls_begins();
        self.0.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.0.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.0.insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(server_name)
    }
}
