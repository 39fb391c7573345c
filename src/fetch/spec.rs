//! What a module says about reaching its targets: the compiled form of the `http:` block, whose keys are those
//! of Prometheus' `http_client_config`.

use std::path::PathBuf;

use url::Url;

use crate::secret::Secret;

/// How requests of one module are made. The default is plain: no credentials, system roots, no proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchSpec {
    /// Credentials; at most one form.
    pub auth: Option<Auth>,
    /// Extra headers, in order. Values are secret, as Prometheus cannot know which of them are.
    pub headers: Vec<(String, Secret)>,
    /// TLS towards the target.
    pub tls: TlsSpec,
    /// The proxy, if any. Environment variables are never read for it.
    pub proxy: Option<Url>,
    /// Whether redirects are followed; each hop takes the same check as the target.
    pub follow_redirects: bool,
    /// Whether HTTP/2 may be spoken over TLS.
    pub http2: bool,
    /// Whether credentials may be sent over plain HTTP. It is the policy that refuses it
    /// ([`ModuleRules`](crate::policy::ModuleRules)).
    pub credentials_over_http: bool,
}

impl FetchSpec {
    /// Whether a target learns from a request what opens other doors: credentials, a header (nobody but its author
    /// knows which of them are secret), a client certificate.
    #[must_use]
    pub fn sends_credentials(&self) -> bool {
        self.auth.is_some() || !self.headers.is_empty() || self.tls.identity.is_some()
    }
}

/// Credentials sent with each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `basic_auth`.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// `authorization`: `type` and `credentials`.
    Scheme {
        /// `Bearer` unless configured.
        scheme: String,
        /// What follows it.
        credentials: Secret,
    },
}

/// `tls_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSpec {
    /// PEM certificates to trust in place of the system's.
    pub ca: Option<Pem>,
    /// The client's certificate chain and key.
    pub identity: Option<Identity>,
    /// The name to verify in place of the URL's host.
    pub server_name: Option<String>,
    /// Whether the certificate goes unverified.
    pub insecure_skip_verify: bool,
    /// The lowest protocol version spoken.
    pub min_version: Option<TlsVersion>,
    /// The highest protocol version spoken.
    pub max_version: Option<TlsVersion>,
}

/// PEM text, inline or in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// Written in the configuration.
    Inline(String),
    /// In a file.
    File(PathBuf),
}

/// A client's certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The chain, leaf first.
    pub cert: Pem,
    /// The private key in PEM.
    pub key: Secret,
}

/// TLS versions that rustls speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}
