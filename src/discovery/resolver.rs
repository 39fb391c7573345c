//! Asks the name servers of the system, as resolv.conf(5) names them: over UDP, and over TCP for what does not fit there.
//!
//! The C library's own lookups know no SRV records, and do not tell a name that is nobody's from a server that is silent:
//! the first takes targets away, and the second must not. So all records are asked for here, as Prometheus does it; hosts(5)
//! is not looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Reason;
use super::message::{Record, Reply, question, reply};
use crate::config::RecordType;

/// Where the system says which servers to ask.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Bytes of it that are read, at most.
const MAX_CONF_BYTES: usize = 64 << 10;

/// Servers that are asked, and domains that names are searched in, at most: what resolv.conf(5) once allowed.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 6;

/// The longest a name may take, whatever resolv.conf says.
const PATIENCE: Duration = Duration::from_secs(30);

/// A message over UDP is not longer unless one asks for it (RFC 1035, section 2.3.4); some servers do not know that.
const MAX_DATAGRAM: usize = 4096;

/// Which servers to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// Names with fewer dots are searched for first.
    dots: usize,
    /// How long to wait for a server, and how many times to ask them all.
    patience: Duration,
    attempts: usize,
}

/// Why a name was not looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Nobody answered.
    #[error("no name server answered in time")]
    Timeout,
    /// The servers said that they cannot, or do not want to.
    #[error("the name servers refuse to answer, or failed themselves")]
    Refused,
    /// What came is no answer.
    #[error("what a name server sent is no answer")]
    Malformed,
}

impl LookupError {
    /// As which it is counted.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Timeout => Reason::Timeout,
            Self::Refused => Reason::Refused,
            Self::Malformed => Reason::Malformed,
        }
    }
}

impl Resolver {
    /// The one of this system, as it is now: it is read each time, since it changes when networks do.
    pub async fn system() -> Self {
        let read = tokio::fs::read(Path::new(RESOLV_CONF)).await;
        let mut bytes = read.unwrap_or_default();
        bytes.truncate(MAX_CONF_BYTES);
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads what resolv.conf(5) describes. Lines it does not know are none of its business.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self {
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
            patience: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if resolver.servers.len() < MAX_SERVERS => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver
                        .servers
                        .extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                // The last one of either counts.
                Some("search" | "domain") => {
                    let domains = words.map(|word| word.trim_matches('.').to_owned());
                    let domains = domains.filter(|domain| !domain.is_empty());
                    resolver.search = domains.take(MAX_SEARCH).collect();
                }
                Some("options") => words.for_each(|word| resolver.option(word)),
                _ => {}
            }
        }
        if resolver.servers.is_empty() {
            resolver
                .servers
                .push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        resolver
    }

    fn option(&mut self, word: &str) {
        let Some((name, number)) = word.split_once(':') else {
            return;
        };
        let Ok(number) = number.parse::<u8>() else {
            return;
        };
        match name {
            "ndots" => self.dots = number.min(15).into(),
            "timeout" => self.patience = Duration::from_secs(number.clamp(1, 30).into()),
            "attempts" => self.attempts = number.clamp(1, 5).into(),
            _ => {}
        }
    }

    /// The records of a name, with the domains it may stand in tried in turn; none when it is nobody's in any of them.
    ///
    /// # Errors
    /// When no server could tell.
    pub async fn look_up(
        &self,
        name: &str,
        record: RecordType,
    ) -> Result<Vec<Record>, LookupError> {
        let found = timeout(PATIENCE, self.search_for(name, record)).await;
        found.unwrap_or(Err(LookupError::Timeout))
    }

    async fn search_for(&self, name: &str, record: RecordType) -> Result<Vec<Record>, LookupError> {
        let mut failed = None;
        for candidate in self.candidates(name) {
            match self.ask_all(&candidate, record).await {
                Ok(records) if records.is_empty() => {}
                Ok(records) => return Ok(records),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or_else(|| Ok(Vec::new()), Err)
    }

    /// What a name may stand for, in the order in which it is tried.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut all: Vec<String> = self
            .search
            .iter()
            .map(|domain| format!("{name}.{domain}"))
            .collect();
        let first = name.matches('.').count() >= self.dots;
        all.insert(if first { 0 } else { all.len() }, name.to_owned());
        all
    }

    /// The first answer of any server.
    async fn ask_all(&self, name: &str, record: RecordType) -> Result<Vec<Record>, LookupError> {
        let mut failed = LookupError::Timeout;
        for _ in 0..self.attempts {
            for server in &self.servers {
                let asked = timeout(self.patience, ask(*server, name, record)).await;
                match asked.unwrap_or(Err(LookupError::Timeout)) {
                    Ok(records) => return Ok(records),
                    Err(error) => failed = error,
                }
            }
        }
        Err(failed)
    }
}

/// Asks one server.
async fn ask(
    server: SocketAddr,
    name: &str,
    record: RecordType,
) -> Result<Vec<Record>, LookupError> {
    let id = number().ok_or(LookupError::Malformed)?;
    let query = question(id, name, record).ok_or(LookupError::Malformed)?;
    let told = match by_datagram(server, &query, id, name, record).await? {
        Reply::Truncated => by_stream(server, &query, id, name, record).await?,
        told => told,
    };
    match told {
        Reply::Records(records) => Ok(records),
        Reply::Refused => Err(LookupError::Refused),
        Reply::Truncated => Err(LookupError::Malformed),
    }
}

/// A number that nobody can guess, so that nobody else can answer.
fn number() -> Option<u16> {
    let mut bytes = [0; 2];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut bytes).ok()?;
    Some(u16::from_be_bytes(bytes))
}

/// Waits for the answer; what is none may come before it, from whoever wants to be taken for the server.
async fn by_datagram(
    server: SocketAddr,
    query: &[u8],
    id: u16,
    name: &str,
    record: RecordType,
) -> Result<Reply, LookupError> {
    let unreachable = |_| LookupError::Timeout;
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.map_err(unreachable)?;
    socket.connect(server).await.map_err(unreachable)?;
    socket.send(query).await.map_err(unreachable)?;
    let mut bytes = vec![0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut bytes).await.map_err(unreachable)?;
        let told = bytes.get(..length).unwrap_or_default();
        if let Some(told) = reply(told, id, name, record) {
            return Ok(told);
        }
    }
}

/// The same over TCP (RFC 1035, section 4.2.2), where the server is who it was when the connection began.
async fn by_stream(
    server: SocketAddr,
    query: &[u8],
    id: u16,
    name: &str,
    record: RecordType,
) -> Result<Reply, LookupError> {
    let unreachable = |_| LookupError::Timeout;
    let mut stream = TcpStream::connect(server).await.map_err(unreachable)?;
    let length = u16::try_from(query.len()).map_err(|_| LookupError::Malformed)?;
    let message = [&length.to_be_bytes(), query].concat();
    stream.write_all(&message).await.map_err(unreachable)?;
    let length = stream.read_u16().await.map_err(unreachable)?;
    let mut told = vec![0; length.into()];
    stream.read_exact(&mut told).await.map_err(unreachable)?;
    reply(&told, id, name, record).ok_or(LookupError::Malformed)
}

#[cfg(test)]
mod tests;
