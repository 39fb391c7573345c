//! The file of `--web.config.file`, which says who may ask and how: TLS, client certificates, passwords, headers, rate.
//!
//! Format and meaning are those of `prometheus/exporter-toolkit` (`docs/web-configuration.md` and `web/tls_config.go`,
//! read at commit 19a7c2d), so that one file serves all exporters of a machine. It differs where that is safer: keys that
//! would do nothing, or shut out or let in everybody by mistake, are refused, and so is what the TLS library here cannot
//! do. Nothing here opens a file but the one that is read; certificates are for the server to load.

mod compile;
mod raw;
mod tls;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::error::{ConfigError, Fault, KeyPath};
use super::handle::text;
use super::raw::{FileKind, locate, read};
use crate::fetch::{Pem, TlsVersion};
use crate::secret::{HIDDEN, Secret};

/// Who may ask, and how. By default everybody, without encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebConfig {
    /// Certificate and rules of TLS; without them the exporter speaks plain HTTP.
    pub tls: Option<ServerTls>,
    /// Whether HTTP/2 is spoken where the client wants it; over TLS only.
    pub http2: bool,
    /// Headers of every answer, in the order of the file, in place of the exporter's own. An empty value takes the
    /// exporter's own away.
    pub headers: Vec<(&'static str, String)>,
    /// Who may ask, by name; everybody when empty. No name is twice in it.
    pub users: Vec<User>,
    /// How often may be asked.
    pub rate_limit: Option<RateLimit>,
}

/// `tls_server_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, and those that lead from it to its authority.
    pub cert: Pem,
    /// Its key.
    pub key: Secret,
    /// What clients must show.
    pub client: ClientAuth,
    /// The lowest version spoken.
    pub min_version: TlsVersion,
    /// The highest, not below `min_version`.
    pub max_version: TlsVersion,
    /// Cipher suites of TLS 1.2 by their IANA names, best first; `None` for all. Those of TLS 1.3 are not chosen here.
    pub suites: Option<Vec<&'static str>>,
    /// Whether the order of the suites decides, not that of the client.
    pub server_order: bool,
    /// Curves of the key exchange, best first; `None` for all.
    pub curves: Option<Vec<Curve>>,
}

/// What clients must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Whether they need a certificate, and whether it is verified.
    pub policy: ClientPolicy,
    /// Who may have signed it; `None` for the authorities of the system.
    pub ca: Option<Pem>,
    /// Names of which the certificate must have one, to the letter; `None` for any.
    pub allowed_sans: Option<Vec<String>>,
}

/// `client_auth_type`, as in Go's `crypto/tls.ClientAuthType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPolicy {
    /// Nobody is asked for a certificate.
    NoClientCert,
    /// Clients may send one; nobody verifies it.
    RequestClientCert,
    /// They must send one; nobody verifies it.
    RequireAnyClientCert,
    /// They may send one, which is verified.
    VerifyClientCertIfGiven,
    /// They must send one, which is verified.
    RequireAndVerifyClientCert,
}

/// A group of the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `CurveP256`.
    P256,
    /// `CurveP384`.
    P384,
    /// `X25519`.
    X25519,
}

/// Somebody who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name; without colon.
    pub name: String,
    /// The password, hashed.
    pub hash: PasswordHash,
}

/// A password hashed by bcrypt, `$2y$COST$SALT-AND-HASH`. Never printed: it can be searched for the password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    cost: u32,
}

/// `rate_limit`: a bucket of `burst` tokens to which one is added in each `interval`; a request takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Above zero.
    pub interval: Duration,
    /// From 1.
    pub burst: u32,
}

impl WebConfig {
    /// Reads a text whose relative file names start from the working directory.
    ///
    /// # Errors
    /// When anything in it is not as it should be; the first such thing, with its place.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        Self::from_yaml_in(text, Path::new(""))
    }

    /// Reads the content of `file`, whose relative file names start from its folder.
    ///
    /// # Errors
    /// As [`WebConfig::from_yaml`]; the error names the file.
    pub fn from_bytes(bytes: &[u8], file: &Path) -> Result<Self, ConfigError> {
        let directory = file.parent().unwrap_or(Path::new(""));
        let read = text(bytes).and_then(|text| Self::from_yaml_in(text, directory));
        read.map_err(|error| ConfigError {
            file: Some(file.to_owned()),
            ..error
        })
    }

    /// The error of something that only shows when it is used, such as a certificate that has no key: `problem` at the
    /// value of `key`, found in the content of `file`.
    #[must_use]
    pub fn refused(bytes: &[u8], file: &Path, key: &KeyPath, problem: String) -> ConfigError {
        let position = text(bytes).ok().and_then(|text| locate(text, key));
        ConfigError {
            file: Some(file.to_owned()),
            ..ConfigError::new(key.clone(), Fault::Refused { problem }).at(position)
        }
    }

    fn from_yaml_in(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        compile::compile(read(FileKind::Web, text)?, directory).map_err(|error| {
            let position = locate(text, &error.key);
            error.at(position)
        })
    }

    /// Whether whoever asks has shown who he is: by a password, or by a certificate that was verified.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        !self.users.is_empty() || self.tls.as_ref().is_some_and(ServerTls::verifies_clients)
    }
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            tls: None,
            http2: true,
            headers: Vec::new(),
            users: Vec::new(),
            rate_limit: None,
        }
    }
}

impl ServerTls {
    /// Whether nobody gets in without a certificate that was verified.
    #[must_use]
    pub fn verifies_clients(&self) -> bool {
        let client = &self.client;
        match client.policy {
            ClientPolicy::RequireAndVerifyClientCert => true,
            // A list of names needs a certificate to have one of them.
            ClientPolicy::VerifyClientCertIfGiven => client.allowed_sans.is_some(),
            _ => false,
        }
    }
}

impl ClientPolicy {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoClientCert => "NoClientCert",
            Self::RequestClientCert => "RequestClientCert",
            Self::RequireAnyClientCert => "RequireAnyClientCert",
            Self::VerifyClientCertIfGiven => "VerifyClientCertIfGiven",
            Self::RequireAndVerifyClientCert => "RequireAndVerifyClientCert",
        }
    }

    /// Whether what clients send is verified.
    #[must_use]
    pub const fn verifies(self) -> bool {
        matches!(
            self,
            Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert
        )
    }
}

impl Curve {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "CurveP256",
            Self::P384 => "CurveP384",
            Self::X25519 => "X25519",
        }
    }
}

impl PasswordHash {
    /// The hash, for who compares passwords with it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// How often its rounds double: each step takes twice as long, 10 about 70 ms.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.cost
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests;
