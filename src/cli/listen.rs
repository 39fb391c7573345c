//! Addresses to listen on.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `:PORT`: every address of the machine, IPv6 and IPv4.
    All {
        /// The port; 0 for any free one.
        port: u16,
    },
    /// `127.0.0.1:PORT` or `[::1]:PORT`.
    Address(SocketAddr),
    /// `name:PORT`: the addresses the name resolves to.
    Name {
        /// The name.
        host: String,
        /// The port; 0 for any free one.
        port: u16,
    },
}

/// A text that is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected :PORT, HOST:PORT or [IPV6]:PORT")]
pub struct ListenAddressError;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or(ListenAddressError)?;
        // An IPv4 address that did not parse above is none, and would only fail later as a name.
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        match host {
            "" => Ok(Self::All { port }),
            _ if host.bytes().all(name) && host.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
                Ok(Self::Name {
                    host: host.to_owned(),
                    port,
                })
            }
            _ => Err(ListenAddressError),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All { port } => write!(f, ":{port}"),
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        let check = |text: &str, expected: Result<ListenAddress, ListenAddressError>| {
            assert_eq!(text.parse(), expected, "{text}");
            if let Ok(address) = expected {
                assert_eq!(address.to_string(), text);
            }
        };
        let name = |host: &str, port| {
            Ok(ListenAddress::Name {
                host: host.to_owned(),
                port,
            })
        };
        let address = |text: &str| Ok(ListenAddress::Address(text.parse().unwrap()));
        check(":16060", Ok(ListenAddress::All { port: 16060 }));
        check(":0", Ok(ListenAddress::All { port: 0 }));
        check("127.0.0.1:80", address("127.0.0.1:80"));
        check("[::]:80", address("[::]:80"));
        check("localhost:80", name("localhost", 80));
        check("my-host.example:80", name("my-host.example", 80));
        for bad in [
            "",
            ":",
            "80",
            "localhost",
            "localhost:",
            ":65536",
            ":-1",
            ":+1",
            "::1:80",
            "1.2.3:80",
            "a b:1",
            "http://a:1",
        ] {
            check(bad, Err(ListenAddressError));
        }
    }
}
