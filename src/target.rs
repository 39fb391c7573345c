//! Targets as people write them, in one canonical form.
//!
//! Shape: `host:port`, `http(s)://host:port[/prefix]` or `unix:///socket`. Nothing here resolves a name or decides
//! whether a target may be probed; that is `policy`. A target never holds credentials, a query or a fragment.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

/// Longer targets are refused. Long enough for any real URL, short enough to be kept for thousands of targets.
pub const MAX_TARGET_BYTES: usize = 2048;

/// The longest socket path Linux can connect to: `sun_path` less its closing zero byte (unix(7)).
const MAX_SOCKET_BYTES: usize = 107;

/// Where the profiles of one process are asked for.
///
/// Two spellings of one target (`LOCALHOST:6060/`, `http://localhost:6060`; `0x7f.1:80`, `http://127.0.0.1`) are
/// equal, print alike and hash alike.
#[derive(Clone, Debug)]
pub struct Target {
    canonical: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// The URL with its prefix and without a slash at its end; `rooted` when the name was typed with a closing dot.
    Tcp { base: Url, rooted: bool },
    /// The path, and the URL every request over a socket starts from.
    Unix { path: PathBuf, base: Url },
}

/// What a connection is opened to, as written: the name is not resolved yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// A host name, lower case, in ASCII, without a closing dot.
    Name {
        /// The name.
        name: &'a str,
        /// The TCP port.
        port: u16,
    },
    /// An address written as such.
    Address(SocketAddr),
    /// The absolute path of a unix socket.
    Socket(&'a Path),
}

/// Why a text is no target. Each message is a sentence for the person who typed it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Nothing was given.
    #[error(
        "the target is empty: write host:port, http://host:port/prefix or unix:///path/of/the.sock"
    )]
    Empty,
    /// Above [`MAX_TARGET_BYTES`].
    #[error("the target is {length} bytes long, and at most {MAX_TARGET_BYTES} are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A blank, a control character or a backslash.
    #[error("the target holds the character {character:?}, which is not allowed in a target")]
    Character {
        /// The first such character.
        character: char,
    },
    /// Another scheme than http, https and unix.
    #[error("the scheme of a target must be http, https or unix")]
    Scheme,
    /// A user name or password before the host.
    #[error(
        "a target must not hold a user name or password: configure basic_auth or authorization in the module"
    )]
    UserInfo,
    /// A `?`.
    #[error("a target must not hold a query ('?'): the module's path is put behind the target")]
    Query,
    /// A `#`.
    #[error("a target must not hold a fragment ('#')")]
    Fragment,
    /// A `.` or `..` segment, in any spelling.
    #[error("the path of a target must not hold '.' or '..' segments")]
    DotSegment,
    /// A path without a scheme.
    #[error("a target with a path needs its scheme: write http://host:port/prefix")]
    PathWithoutScheme,
    /// No port, and no scheme that would imply one.
    #[error("the target has no port: write host:port, for example localhost:6060")]
    NoPort,
    /// A port that is no number from 1 to 65535.
    #[error("the port of a target must be a number from 1 to 65535")]
    Port,
    /// No host, or one that is neither a name nor an address.
    #[error("the host of the target is neither a name nor an address")]
    Host,
    /// Colons outside of brackets.
    #[error("an IPv6 address in a target goes in brackets: write [::1]:6060")]
    Brackets,
    /// A socket path that is not absolute, or names a directory.
    #[error("a socket needs an absolute path: write unix:///path/of/the.sock")]
    SocketPath,
    /// A socket path the system could not connect to.
    #[error("the path of a socket has at most {MAX_SOCKET_BYTES} bytes")]
    SocketTooLong,
}

impl Target {
    /// The canonical form, the same for every spelling: scheme, host and port always written, no slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    /// What a connection is opened to.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint<'_> {
        match &self.place {
            // A base URL always has a host and a port; without them it would be no target.
            Place::Tcp { base, .. } => {
                Endpoint::of_url(base).unwrap_or(Endpoint::Name { name: "", port: 0 })
            }
            Place::Unix { path, .. } => Endpoint::Socket(path),
        }
    }

    /// Whether what is sent to the target passes a network unencrypted: `http://`, and no socket.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        matches!(&self.place, Place::Tcp { base, .. } if base.scheme() == "http")
    }

    /// Whether the name was written with a closing dot, which keeps the system's search domains out of its lookup.
    #[must_use]
    pub fn is_rooted(&self) -> bool {
        matches!(self.place, Place::Tcp { rooted: true, .. })
    }

    /// The URL of `path` (with its leading slash) and `query` (without `?`, may be empty) behind the target's prefix.
    /// For a unix socket the host is `localhost`.
    #[must_use]
    pub fn url(&self, path: &str, query: &str) -> Url {
        let (Place::Tcp { base, .. } | Place::Unix { base, .. }) = &self.place;
        let mut url = base.clone();
        let joined = format!(
            "{}/{}",
            url.path().trim_end_matches('/'),
            path.trim_start_matches('/')
        );
        url.set_path(&joined);
        url.set_query((!query.is_empty()).then_some(query));
        url
    }
}

impl<'a> Endpoint<'a> {
    /// The endpoint of an http or https URL; `None` when it has no host that could be connected to, or no port can be
    /// told. The URL standard takes more characters for a name than any name server or HTTP library does.
    #[must_use]
    pub fn of_url(url: &'a Url) -> Option<Self> {
        let port = url.port_or_known_default()?;
        Some(match url.host()? {
            Host::Domain(name) if is_name(name) => Self::Name {
                name: name.strip_suffix('.').unwrap_or(name),
                port,
            },
            Host::Domain(_) => return None,
            Host::Ipv4(address) => Self::Address(SocketAddr::new(IpAddr::V4(address), port)),
            Host::Ipv6(address) => Self::Address(SocketAddr::new(IpAddr::V6(address), port)),
        })
    }
}

impl Endpoint<'_> {
    /// The name or address, without its port; `None` for a socket.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        match self {
            Self::Name { name, .. } => Some((*name).to_owned()),
            Self::Address(address) => Some(address.ip().to_string()),
            Self::Socket(_) => None,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if text.len() > MAX_TARGET_BYTES {
            return Err(TargetError::TooLong { length: text.len() });
        }
        if let Some(character) = text
            .chars()
            .find(|c| c.is_whitespace() || c.is_control() || *c == '\\')
        {
            return Err(TargetError::Character { character });
        }
        if text.contains('?') {
            return Err(TargetError::Query);
        }
        if text.contains('#') {
            return Err(TargetError::Fragment);
        }
        match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("unix") => unix(rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => tcp("http", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => tcp("https", rest),
            Some(_) => Err(TargetError::Scheme),
            None if text.contains('/') => Err(TargetError::PathWithoutScheme),
            None if !has_port(text)? => Err(TargetError::NoPort),
            None => tcp("http", text),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Target {}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.canonical.cmp(&other.canonical)
    }
}

/// Whether an authority names a port. More than one colon outside of brackets is an IPv6 address that lacks them.
fn has_port(authority: &str) -> Result<bool, TargetError> {
    let (host, port) = match authority.rsplit_once(']') {
        Some((_, after)) => ("", after.strip_prefix(':')),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    match port {
        Some(port) if port.contains(':') && !host.contains('@') => Err(TargetError::Brackets),
        Some(port) => Ok(!port.is_empty()),
        None => Ok(false),
    }
}

fn tcp(scheme: &str, rest: &str) -> Result<Target, TargetError> {
    let (authority, path) = match rest
        .find('/')
        .and_then(|slash| rest.split_at_checked(slash))
    {
        Some(halves) => halves,
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err(TargetError::UserInfo);
    }
    // An empty one would make the parser take the path's first segment for the host.
    if authority.is_empty() {
        return Err(TargetError::Host);
    }
    has_port(authority)?;
    if path.split('/').any(is_dot_segment) {
        return Err(TargetError::DotSegment);
    }
    let path = path.trim_end_matches('/');
    let mut base =
        Url::parse(&format!("{scheme}://{authority}{path}")).map_err(|error| match error {
            url::ParseError::InvalidPort => TargetError::Port,
            _ => TargetError::Host,
        })?;
    let mut rooted = false;
    if let Some(Host::Domain(name)) = base.host() {
        if !is_name(name) {
            return Err(TargetError::Host);
        }
        let undotted = name.strip_suffix('.').unwrap_or(name).to_owned();
        rooted = undotted.len() < name.len();
        if rooted {
            base.set_host(Some(&undotted))
                .map_err(|_| TargetError::Host)?;
        }
    }
    let port = base
        .port_or_known_default()
        .filter(|port| *port > 0)
        .ok_or(TargetError::Port)?;
    let host = base
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or(TargetError::Host)?;
    let canonical = format!(
        "{scheme}://{host}:{port}{}",
        base.path().trim_end_matches('/')
    );
    // Three bytes stand for one that is escaped; pages and `/config` write this form, which must be read again.
    if canonical.len() > MAX_TARGET_BYTES {
        return Err(TargetError::TooLong {
            length: canonical.len(),
        });
    }
    Ok(Target {
        canonical,
        place: Place::Tcp { base, rooted },
    })
}

/// Whether it is a name of letters, digits, `-` and `_` between dots, as DNS and service discovery have them.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.split('.').all(|label| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(allowed)
    })
}

/// Whether a path segment is `.` or `..`, or becomes one for a server that decodes it (Go's `net/http` does, encoded
/// slashes included).
fn is_dot_segment(segment: &str) -> bool {
    let decoded = segment
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "/");
    decoded.split('/').any(|part| part == "." || part == "..")
}

fn unix(path: &str) -> Result<Target, TargetError> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(TargetError::SocketPath);
    }
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err(TargetError::DotSegment);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let path = format!("/{}", parts.join("/"));
    if path.len() > MAX_SOCKET_BYTES {
        return Err(TargetError::SocketTooLong);
    }
    let base = Url::parse("http://localhost/").map_err(|_| TargetError::Host)?;
    Ok(Target {
        canonical: format!("unix://{path}"),
        place: Place::Unix {
            path: PathBuf::from(path),
            base,
        },
    })
}

#[cfg(test)]
mod tests;
