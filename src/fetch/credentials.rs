//! The headers a module adds to its requests: credentials, and whatever else is configured.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::error::{FetchBuildError, FetchError, SecretFault};
use super::secret_file::reveal;
use super::spec::{Auth, FetchSpec};
use crate::secret::Secret;

/// What to send, with its secrets still in their files.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    auth: Option<Auth>,
    headers: Vec<(HeaderName, Secret)>,
}

impl Credentials {
    pub(super) fn new(spec: &FetchSpec) -> Result<Self, FetchBuildError> {
        let mut headers = Vec::with_capacity(spec.headers.len());
        for (name, value) in &spec.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes());
            headers.push((
                parsed.map_err(|_| FetchBuildError::Header { name: name.clone() })?,
                value.clone(),
            ));
        }
        Ok(Self {
            auth: spec.auth.clone(),
            headers,
        })
    }

    /// The headers of one request. Files are read again each time, so that a rotated secret is used at once.
    pub(super) async fn headers(&self) -> Result<HeaderMap, FetchError> {
        if !self.in_files() {
            return Ok(self.reveal()?);
        }
        let secrets = self.clone();
        let revealed = tokio::task::spawn_blocking(move || secrets.reveal()).await;
        Ok(revealed.map_err(|_| FetchError::Internal {
            what: "reading a secret's file broke off",
        })??)
    }

    fn in_files(&self) -> bool {
        let auth = self.auth.as_ref().map(|auth| match auth {
            Auth::Basic { password, .. } => password,
            Auth::Scheme { credentials, .. } => credentials,
        });
        auth.into_iter()
            .chain(self.headers.iter().map(|(_, value)| value))
            .any(|secret| matches!(secret, Secret::File(_)))
    }

    fn reveal(&self) -> Result<HeaderMap, SecretFault> {
        let mut map = HeaderMap::with_capacity(self.headers.len().saturating_add(1));
        if let Some(auth) = &self.auth {
            let text = match auth {
                Auth::Basic { username, password } => {
                    format!(
                        "Basic {}",
                        STANDARD.encode(format!("{username}:{}", reveal(password)?))
                    )
                }
                Auth::Scheme {
                    scheme,
                    credentials,
                } => format!("{scheme} {}", reveal(credentials)?),
            };
            map.insert(AUTHORIZATION, sensitive(&text, "authorization")?);
        }
        for (name, value) in &self.headers {
            map.append(name.clone(), sensitive(&reveal(value)?, "header")?);
        }
        Ok(map)
    }
}

fn sensitive(text: &str, what: &'static str) -> Result<HeaderValue, SecretFault> {
    let mut value = HeaderValue::from_str(text)
        .or_else(|_| HeaderValue::from_bytes(text.as_bytes()))
        .map_err(|_| SecretFault::NotAHeader { what })?;
    value.set_sensitive(true);
    Ok(value)
}
