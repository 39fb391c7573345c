//! A private certificate authority, what it signs, and a client that trusts it.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::programs::SOON;

/// An authority nobody knows but who was told.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    /// Writes `ca.pem`, and `server.pem` with `server.key` for a server of that name or address.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = [
            ("ca.pem", self.issuer.pem()),
            ("server.pem", certificate.pem()),
            ("server.key", key.serialize_pem()),
        ];
        for (file, text) in files {
            std::fs::write(folder.join(file), text).unwrap();
        }
    }
}

impl Authority {
    /// Writes `NAME.pem` and `NAME.key` for a client with these names, in a certificate for this purpose.
    pub(crate) fn write_client(
        &self,
        folder: &Path,
        name: &str,
        names: Vec<SanType>,
        purpose: ExtendedKeyUsagePurpose,
    ) {
        let key = KeyPair::generate().unwrap();
        let mut params = client(name, names);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        write(folder, name, &certificate.pem(), &key);
    }
}

/// Writes the same, signed by nobody but itself.
pub(crate) fn write_self_signed(folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = client(name, Vec::new());
    // As `openssl req -x509` makes them.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    write(folder, name, &certificate.pem(), &key);
}

fn client(name: &str, names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = names;
    params
}

fn write(folder: &Path, name: &str, certificate: &str, key: &KeyPair) {
    std::fs::write(folder.join(format!("{name}.pem")), certificate).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// A connection to a server that the authority vouches for.
pub(crate) fn connect(
    address: SocketAddr,
    authority: &Authority,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    StreamOwned::new(client, stream)
}
