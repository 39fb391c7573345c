//! What a certificate says of itself, as far as the TLS library does not tell.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Names that are read, at most.
const MAX_NAMES: usize = 1_000;

/// Names, purpose and time of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// When it begins, in seconds since 1970.
    pub(crate) not_before: i64,
    /// When it ends.
    pub(crate) not_after: i64,
    /// Its alternative names: DNS, email and URI.
    pub(crate) names: Vec<String>,
    /// Its alternative names that are addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether it may stand for a client: what it is for is not said, or is among what is said.
    pub(crate) for_clients: bool,
}

/// Reads them; `None` when the bytes are no certificate, or end with something else.
///
/// Source: RFC 5280 sections 4.1.2.5, 4.2.1.6 and 4.2.1.12.
pub(super) fn facts(der: &[u8]) -> Option<Facts> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    // Twice the same extension is an error, and a certificate with one that cannot be read is none.
    if let Some(found) = certificate.subject_alternative_name().ok()? {
        for name in found.value.general_names.iter().take(MAX_NAMES) {
            match name {
                GeneralName::DNSName(text)
                | GeneralName::RFC822Name(text)
                | GeneralName::URI(text) => names.push((*text).to_owned()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
    }
    let purpose = certificate.extended_key_usage().ok()?;
    let validity = certificate.validity();
    Some(Facts {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
        names,
        addresses,
        for_clients: purpose.is_none_or(|found| found.value.any || found.value.client_auth),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    short
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
