//! The `http:` block of a module: Prometheus' `http_client_config`, as far as it is read here.
//!
//! Rules and names are those of prometheus/common (`config/http_config.go`, `config/headers.go`), with three
//! differences: redirects are not followed unless asked for, what Prometheus would quietly send empty is refused, and
//! credentials do not go over plain HTTP without `credentials_over_http`, a key that Prometheus does not have. No error
//! shows a value that may be a secret.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::Url;

use super::compile::at_most;
use super::error::{ConfigError, Fault, KeyPath};
use super::raw::{
    RawAuthorization, RawBasicAuth, RawHeader, RawHttp, RawSecret, RawTls, UniqueMap,
};
use crate::fetch::{Auth, FetchSpec, Identity, Pem, TlsSpec, TlsVersion};
use crate::secret::Secret;

/// Extra headers, at most, counted by value.
const MAX_HEADERS: usize = 50;

/// Headers that belong to the connection or to other keys: those prometheus/common reserves, and those that
/// would change what is answered or how it is framed.
const RESERVED_HEADERS: [&str; 20] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
];

/// Where a block of keys stands: its own path, and the directory that file names in it start from.
pub(super) struct Block<'a> {
    pub(super) key: KeyPath,
    pub(super) directory: &'a Path,
}

/// Compiles the block.
pub(super) fn fetch_spec(
    key: &KeyPath,
    raw: RawHttp,
    directory: &Path,
) -> Result<FetchSpec, ConfigError> {
    let block = Block {
        key: key.clone(),
        directory,
    };
    let auth = match (raw.basic_auth, raw.authorization) {
        (Some(_), Some(_)) => {
            return Err(block.fault(
                "authorization",
                Fault::Conflict {
                    other: "basic_auth",
                },
            ));
        }
        (Some(raw), None) => Some(basic_auth(&block.under("basic_auth"), raw)?),
        (None, Some(raw)) => Some(authorization(&block.under("authorization"), raw)?),
        (None, None) => None,
    };
    let headers = raw
        .http_headers
        .map(|raw| headers(&block.under("http_headers"), raw))
        .transpose()?;
    let tls = raw
        .tls_config
        .map(|raw| tls(&block.under("tls_config"), raw))
        .transpose()?;
    Ok(FetchSpec {
        auth,
        headers: headers.unwrap_or_default(),
        tls: tls.unwrap_or_default(),
        proxy: raw.proxy_url.map(|text| proxy(&block, &text)).transpose()?,
        follow_redirects: raw.follow_redirects.unwrap_or(false),
        http2: raw.enable_http2.unwrap_or(true),
        credentials_over_http: raw.credentials_over_http.unwrap_or(false),
    })
}

fn basic_auth(block: &Block<'_>, raw: RawBasicAuth) -> Result<Auth, ConfigError> {
    let username = raw
        .username
        .ok_or_else(|| block.fault("username", Fault::Missing))?;
    // RFC 7617 section 2: a colon would end the name early; control characters are not allowed.
    if username.contains(':') || username.chars().any(char::is_control) {
        let expected = "a user name without colon and control characters";
        return Err(block.fault("username", Fault::InvalidSecret { expected }));
    }
    let password = block.secret(
        ("password", raw.password),
        ("password_file", raw.password_file),
    )?;
    let password = password.ok_or_else(|| {
        block
            .fault("password", Fault::Missing)
            .hint("write password, password_file, or password: \"\" for none")
    })?;
    Ok(Auth::Basic { username, password })
}

fn authorization(block: &Block<'_>, raw: RawAuthorization) -> Result<Auth, ConfigError> {
    let scheme = raw.scheme.unwrap_or_else(|| "Bearer".to_owned());
    if scheme.eq_ignore_ascii_case("basic") {
        let fault = Fault::invalid("another type than basic", scheme);
        return Err(block
            .fault("type", fault)
            .hint("write basic_auth: { username: ..., password: ... }"));
    }
    if !is_token(&scheme) {
        // People write the whole header here, so that this may well be the secret.
        let expected = "one word such as Bearer";
        return Err(block.fault("type", Fault::InvalidSecret { expected }));
    }
    let credentials = block
        .secret(
            ("credentials", raw.credentials),
            ("credentials_file", raw.credentials_file),
        )?
        .ok_or_else(|| {
            block
                .fault("credentials", Fault::Missing)
                .hint("write credentials or credentials_file")
        })?;
    if let Secret::Inline(text) = &credentials
        && (text.is_empty() || !is_header_value(text))
    {
        let expected = "visible ASCII characters";
        return Err(block.fault("credentials", Fault::InvalidSecret { expected }));
    }
    Ok(Auth::Scheme {
        scheme,
        credentials,
    })
}

fn headers(
    block: &Block<'_>,
    UniqueMap(raw): UniqueMap<RawHeader>,
) -> Result<Vec<(String, Secret)>, ConfigError> {
    let given = |raw: &RawHeader| raw.values.len() + raw.secrets.len() + raw.files.len();
    let count = raw.iter().map(|(_, raw)| given(raw).max(1)).sum();
    at_most(&block.key, count, MAX_HEADERS)?;
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for (name, raw) in raw {
        let key = block.key.key(&name);
        if !is_token(&name) {
            let expected = "the name of a header";
            return Err(ConfigError::new(key, Fault::invalid(expected, name)));
        }
        let lower = name.to_ascii_lowercase();
        if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("x-prometheus-") {
            let expected = "a header that the exporter does not set itself";
            let error = ConfigError::new(key, Fault::invalid(expected, name));
            return Err(if lower == "authorization" {
                error.hint("write basic_auth or authorization")
            } else {
                error
            });
        }
        if let Some((first, _)) = headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name))
        {
            let first = block.key.key(first);
            return Err(ConfigError::new(key, Fault::Repeated { what: name, first }));
        }
        let mut values = Vec::new();
        for (list, secrets) in [("values", raw.values), ("secrets", raw.secrets)] {
            for (index, RawSecret(text)) in secrets.into_iter().enumerate() {
                if !is_header_value(&text) {
                    let expected = "visible ASCII characters";
                    return Err(ConfigError::new(
                        key.key(list).index(index),
                        Fault::InvalidSecret { expected },
                    ));
                }
                values.push(Secret::Inline(text));
            }
        }
        for (index, file) in raw.files.into_iter().enumerate() {
            values.push(Secret::File(
                block.file(&key.key("files").index(index), &file)?,
            ));
        }
        if values.is_empty() {
            return Err(ConfigError::new(
                key,
                Fault::Needs {
                    other: "values, secrets or files",
                },
            ));
        }
        headers.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    Ok(headers)
}

fn tls(block: &Block<'_>, raw: RawTls) -> Result<TlsSpec, ConfigError> {
    let ca = block.pem(("ca", raw.ca), ("ca_file", raw.ca_file))?;
    let cert = block.pem(("cert", raw.cert), ("cert_file", raw.cert_file))?;
    let key = block.secret(("key", raw.key), ("key_file", raw.key_file))?;
    if let Some(Secret::Inline(text)) = &key
        && !(text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
    {
        return Err(block.fault(
            "key",
            Fault::InvalidSecret {
                expected: "a private key in PEM",
            },
        ));
    }
    let given =
        |inline: &'static str, file: &'static str, is_file| if is_file { file } else { inline };
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(Identity { cert, key }),
        (Some(cert), None) => {
            let name = given("cert", "cert_file", matches!(cert, Pem::File(_)));
            return Err(block.fault(
                name,
                Fault::Needs {
                    other: "key or key_file",
                },
            ));
        }
        (None, Some(key)) => {
            let name = given("key", "key_file", matches!(key, Secret::File(_)));
            return Err(block.fault(
                name,
                Fault::Needs {
                    other: "cert or cert_file",
                },
            ));
        }
        (None, None) => None,
    };
    if let Some(name) = &raw.server_name
        && !is_server_name(name)
    {
        let fault = Fault::invalid("a DNS name or an address", name.clone());
        return Err(block.fault("server_name", fault));
    }
    let min_version = raw
        .min_version
        .map(|text| tls_version(block, "min_version", text))
        .transpose()?;
    let max_version = raw
        .max_version
        .map(|text| tls_version(block, "max_version", text))
        .transpose()?;
    if (min_version, max_version) == (Some(TlsVersion::Tls13), Some(TlsVersion::Tls12)) {
        return Err(block.fault(
            "max_version",
            Fault::Conflict {
                other: "min_version: TLS13",
            },
        ));
    }
    Ok(TlsSpec {
        ca,
        identity,
        server_name: raw.server_name,
        insecure_skip_verify: raw.insecure_skip_verify.unwrap_or(false),
        min_version,
        max_version,
    })
}

fn tls_version(
    block: &Block<'_>,
    name: &'static str,
    text: String,
) -> Result<TlsVersion, ConfigError> {
    match text.as_str() {
        "TLS12" => Ok(TlsVersion::Tls12),
        "TLS13" => Ok(TlsVersion::Tls13),
        _ => Err(block.fault(name, Fault::invalid("TLS12 or TLS13", text))),
    }
}

fn proxy(block: &Block<'_>, text: &str) -> Result<Url, ConfigError> {
    // The URL is never shown: it may hold a password, even if that is refused.
    let refuse = |expected| block.fault("proxy_url", Fault::InvalidSecret { expected });
    let url: Url = text
        .parse()
        .map_err(|_| refuse("a URL such as http://proxy.example:3128"))?;
    if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") {
        return Err(refuse("a URL with http, https, socks5 or socks5h"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "a URL without user name and password, which are not supported for proxies",
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("a URL with a host"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a URL without path, query and fragment"));
    }
    if url.port() == Some(0) {
        return Err(refuse("a URL with a port from 1 to 65535"));
    }
    Ok(url)
}

impl Block<'_> {
    pub(super) fn under(&self, name: &str) -> Self {
        Self {
            key: self.key.key(name),
            directory: self.directory,
        }
    }

    pub(super) fn fault(&self, name: &str, fault: Fault) -> ConfigError {
        ConfigError::new(self.key.key(name), fault)
    }

    /// One secret from two keys, of which one at most is there.
    pub(super) fn secret(
        &self,
        (inline_name, inline): (&'static str, Option<RawSecret>),
        (file_name, file): (&'static str, Option<String>),
    ) -> Result<Option<Secret>, ConfigError> {
        match (inline, file) {
            (Some(_), Some(_)) => {
                Err(self.fault(file_name, Fault::Conflict { other: inline_name }))
            }
            (Some(RawSecret(text)), None) => Ok(Some(Secret::Inline(text))),
            (None, Some(file)) => Ok(Some(Secret::File(
                self.file(&self.key.key(file_name), &file)?,
            ))),
            (None, None) => Ok(None),
        }
    }

    /// The same of certificates, which are no secret.
    pub(super) fn pem(
        &self,
        (inline_name, inline): (&'static str, Option<String>),
        (file_name, file): (&'static str, Option<String>),
    ) -> Result<Option<Pem>, ConfigError> {
        match (inline, file) {
            (Some(_), Some(_)) => {
                Err(self.fault(file_name, Fault::Conflict { other: inline_name }))
            }
            // Shown nowhere: who mixes up `cert` and `key` has written a private key here.
            (Some(text), None)
                if !text.contains("-----BEGIN CERTIFICATE-----")
                    || text.contains("PRIVATE KEY") =>
            {
                Err(self.fault(
                    inline_name,
                    Fault::InvalidSecret {
                        expected: "certificates in PEM",
                    },
                ))
            }
            (Some(text), None) => Ok(Some(Pem::Inline(text))),
            (None, Some(file)) => Ok(Some(Pem::File(self.file(&self.key.key(file_name), &file)?))),
            (None, None) => Ok(None),
        }
    }

    /// The path of a file, relative to the directory of the configuration as Prometheus has it.
    fn file(&self, key: &KeyPath, name: &str) -> Result<PathBuf, ConfigError> {
        if name.is_empty() || name.contains('\0') {
            let fault = Fault::invalid("the name of a file", name.to_owned());
            return Err(ConfigError::new(key.clone(), fault));
        }
        Ok(self.directory.join(name))
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(allowed)
}

/// RFC 9110 section 5.5, less bytes beyond ASCII; blanks at the ends would be cut on the way.
pub(super) fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && text.trim_ascii() == text
        && text.len() <= 8192
}

fn is_server_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && text.split('.').all(label))
}
