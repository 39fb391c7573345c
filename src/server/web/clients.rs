//! Client certificates: whether one is wanted, who must have signed it, which name it must have.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::certificate;
use crate::config::{ClientAuth, ClientPolicy};

/// Judges what clients show.
#[derive(Debug)]
pub(super) struct Clients {
    /// Whether a client without certificate is sent away.
    mandatory: bool,
    trust: Trust,
    names: Option<Names>,
    provider: Arc<CryptoProvider>,
}

/// Whose certificates are believed.
#[derive(Debug)]
enum Trust {
    /// Everybody's; that the client has the key is verified all the same.
    Anyone,
    These {
        authorities: Arc<dyn ClientCertVerifier>,
        /// The certificates of the authorities themselves: one that belongs to a client is believed as it stands, as Go
        /// has it, so that a self-signed certificate can be pinned.
        pinned: Vec<CertificateDer<'static>>,
    },
}

/// Names of which a certificate must have one.
#[derive(Debug)]
struct Names {
    texts: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Clients {
    /// The judge that `auth` describes; `None` when nobody is asked. `authorities` are those of `auth.ca`, or of the
    /// system.
    ///
    /// # Errors
    /// In words, when an authority cannot be used.
    pub(super) fn new(
        auth: &ClientAuth,
        authorities: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, String> {
        let mandatory = match auth.policy {
            ClientPolicy::NoClientCert => return Ok(None),
            ClientPolicy::RequireAnyClientCert | ClientPolicy::RequireAndVerifyClientCert => true,
            // Who shows no certificate shows no name either.
            ClientPolicy::RequestClientCert | ClientPolicy::VerifyClientCertIfGiven => {
                auth.allowed_sans.is_some()
            }
        };
        let trust = if auth.policy.verifies() {
            these(authorities, auth.ca.is_some(), provider)?
        } else {
            Trust::Anyone
        };
        Ok(Some(Self {
            mandatory,
            trust,
            names: auth.allowed_sans.as_ref().map(|texts| Names {
                texts: texts.clone(),
                addresses: texts.iter().filter_map(|text| text.parse().ok()).collect(),
            }),
            provider: Arc::clone(provider),
        }))
    }
}

/// Trust in these; those of the system may be of a kind that is not understood, as Go has it.
fn these(
    authorities: Vec<CertificateDer<'static>>,
    configured: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Trust, String> {
    let mut roots = RootCertStore::empty();
    if configured {
        for certificate in &authorities {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
        }
    } else {
        roots.add_parsable_certificates(authorities.iter().cloned());
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let authorities_verifier = builder
        .build()
        .map_err(|error| format!("cannot be used: {error}"))?;
    Ok(Trust::These {
        authorities: authorities_verifier,
        pinned: if configured { authorities } else { Vec::new() },
    })
}

impl Names {
    /// Whether a certificate has one of them, to the letter; of addresses the value counts, not how it is written.
    fn are_of(&self, certificate: &certificate::Facts) -> bool {
        let text = |name: &String| self.texts.contains(name);
        certificate.names.iter().any(text)
            || certificate
                .addresses
                .iter()
                .any(|address| self.addresses.contains(address))
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.trust {
            Trust::Anyone => &[],
            Trust::These { authorities, .. } => authorities.root_hint_subjects(),
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refuse = |why| Err(Error::InvalidCertificate(why));
        let facts = || {
            certificate::facts(end_entity)
                .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
        };
        match &self.trust {
            Trust::Anyone => {}
            Trust::These { pinned, .. } if pinned.iter().any(|known| known == end_entity) => {
                let facts = facts()?;
                let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
                if now < facts.not_before {
                    return refuse(CertificateError::NotValidYet);
                }
                if now > facts.not_after {
                    return refuse(CertificateError::Expired);
                }
                if !facts.for_clients {
                    return refuse(CertificateError::InvalidPurpose);
                }
            }
            Trust::These { authorities, .. } => {
                authorities.verify_client_cert(end_entity, intermediates, now)?;
            }
        }
        if let Some(names) = &self.names
            && !names.are_of(&facts()?)
        {
            return refuse(CertificateError::ApplicationVerificationFailure);
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
