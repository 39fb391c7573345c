//! A network of the test's own: a Linux namespace with nothing but loopback in it, on which stand the addresses that no
//! probe may go to, and with a name server that the test tells what to answer.
//!
//! The test runs itself again in there. It needs `ip` (iproute2) and a kernel that lets this user make namespaces.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::programs::{SOON, skip};
use crate::servers::profile;

/// Set for the test that runs inside.
const INSIDE: &str = "GOROUTINE_EXPORTER_TEST_NAMESPACE";

/// Addresses that only an entry written for them permits, as anybody may have them on a network.
pub(crate) const FORBIDDEN: [&str; 14] = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::",
    "2001:db8::5efe:a9fe:a9fe",
    "::ffff:0:169.254.169.254",
];

/// Addresses inside, which nobody is to learn from an answer.
pub(crate) const INNER: [&str; 2] = ["10.77.66.55", "10.77.66.56"];

/// Loopback, its addresses, and a resolver that asks the test.
const SETUP: &str = r#"
folder=$1; shift
ip link set lo up
for address in $ADDRESSES; do
    case $address in
    *:*) ip -6 address add "$address/128" dev lo nodad ;;
    *) ip address add "$address/32" dev lo ;;
    esac
done
printf 'nameserver 127.0.0.1\noptions timeout:5 attempts:2\n' >"$folder/resolv.conf"
printf 'hosts: files dns\n' >"$folder/nsswitch.conf"
printf '127.0.0.1 localhost\n' >"$folder/hosts"
for file in resolv.conf nsswitch.conf hosts; do
    [ ! -e "/etc/$file" ] || mount --bind "$folder/$file" "/etc/$file"
done
exec "$@"
"#;

/// Whether this is the inside. Outside it runs the test of that name again inside, and fails when that fails; where no
/// namespace can be made it says so.
pub(crate) fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let works = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !works("ip", &["-V"]) {
        skip("needs ip, of iproute2 (tests/tools/install.sh)");
        return false;
    }
    if !works("unshare", &["-rnm", "ip", "link", "set", "lo", "up"]) {
        skip("this system lets this user make no network namespace (unshare -rnm)");
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let addresses = [&FORBIDDEN[..], &INNER[..]].concat().join(" ");
    let output = Command::new("unshare")
        .args(["-rnm", "sh", "-euc", SETUP, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .env("ADDRESSES", addresses)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "inside the namespace, {}:\n{said}",
        output.status
    );
    false
}

/// Connections that programs in here have begun so far, whether or not anybody answered: the kernel counts the first
/// segment of each (RFC 4022, `tcpActiveOpens`).
pub(crate) fn begun() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let names = rows.next().unwrap().split(' ');
    let values = rows.next().unwrap().split(' ');
    let found = names.zip(values).find(|(name, _)| *name == "ActiveOpens");
    found.unwrap().1.parse().unwrap()
}

/// A target on every address of the namespace, healthy, which keeps its connections.
#[derive(Debug)]
pub(crate) struct Everywhere {
    pub(crate) port: u16,
    met: Arc<Mutex<Met>>,
}

/// Where it was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    /// The address of each connection.
    pub(crate) connections: Vec<IpAddr>,
    /// That of each request.
    pub(crate) requests: Vec<IpAddr>,
}

impl Everywhere {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let met = Arc::new(Mutex::new(Met::default()));
        let seen = Arc::clone(&met);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let at = stream.local_addr().unwrap().ip().to_canonical();
                seen.lock().unwrap().connections.push(at);
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(stream, || seen.lock().unwrap().requests.push(at)));
            }
        });
        Self { port, met }
    }

    /// Where it was asked since the last look.
    pub(crate) fn met(&self) -> Met {
        std::mem::take(&mut self.met.lock().unwrap())
    }
}

fn serve(stream: TcpStream, note: impl Fn()) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream).lines();
    let body = profile();
    loop {
        let head: Vec<String> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        if head.is_empty() {
            return;
        }
        note();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if writer.write_all(answer.as_bytes()).is_err() || writer.write_all(&body).is_err() {
            return;
        }
    }
}

/// What a name is, at each time it is asked for; the last answer is that of all later times.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    At(Vec<&'static [&'static str]>),
    Alias(&'static str),
    /// Hosts and ports.
    Services(Vec<(&'static str, u16)>),
    /// The server fails itself.
    Broken,
}

/// A name server on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct NameServer {
    names: Arc<Mutex<BTreeMap<&'static str, Named>>>,
    asked: Arc<Mutex<BTreeMap<(String, u16), usize>>>,
}

const A: u16 = 1;
const CNAME: u16 = 5;
const SRV: u16 = 33;
const AAAA: u16 = 28;

impl NameServer {
    pub(crate) fn start(names: BTreeMap<&'static str, Named>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        let names = Arc::new(Mutex::new(names));
        let known = Arc::clone(&names);
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = Arc::clone(&asked);
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let Some((name, kind)) = question(&packet[..length]) else {
                    continue;
                };
                let times = {
                    let mut counted = counted.lock().unwrap();
                    let times = counted.entry((name.clone(), kind)).or_insert(0);
                    *times += 1;
                    *times
                };
                let reply = reply(
                    &packet[..length],
                    &known.lock().unwrap(),
                    &name,
                    kind,
                    times,
                );
                socket.send_to(&reply, from).unwrap();
            }
        });
        Self { names, asked }
    }

    /// From now on the name is this.
    pub(crate) fn tell(&self, name: &'static str, named: Named) {
        self.names.lock().unwrap().insert(name, named);
    }

    /// From now on the name is nobody's.
    pub(crate) fn forget(&self, name: &'static str) {
        self.names.lock().unwrap().remove(name);
    }

    /// How many times an address of this name was looked up.
    pub(crate) fn lookups(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.get(&(name.to_owned(), A)).copied().unwrap_or(0)
    }
}

/// The name and type that a query asks for (RFC 1035, section 4).
fn question(packet: &[u8]) -> Option<(String, u16)> {
    let mut labels = Vec::new();
    let mut rest = packet.get(12..)?;
    loop {
        let (&length, after) = rest.split_first()?;
        if length == 0 {
            rest = after;
            break;
        }
        let (label, after) = after.split_at_checked(usize::from(length))?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        rest = after;
    }
    let kind = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
    Some((labels.join("."), kind))
}

fn reply(
    query: &[u8],
    names: &BTreeMap<&'static str, Named>,
    name: &str,
    kind: u16,
    times: usize,
) -> Vec<u8> {
    let mut records = Vec::new();
    let mut owner = name;
    let mut known = names.get(name);
    while let Some(Named::Alias(other)) = known {
        records.push(record(owner, CNAME, &written(other)));
        owner = other;
        known = names.get(other);
    }
    if let Some(Named::At(answers)) = known {
        let answer = answers.get(times - 1).or(answers.last()).unwrap();
        for address in answer.iter().map(|text| text.parse().unwrap()) {
            match address {
                IpAddr::V4(v4) if kind == A => records.push(record(owner, A, &v4.octets())),
                IpAddr::V6(v6) if kind == AAAA => records.push(record(owner, AAAA, &v6.octets())),
                _ => {}
            }
        }
    }
    if let Some(Named::Services(services)) = known.filter(|_| kind == SRV) {
        for (host, port) in services {
            let data = [&[0, 0, 0, 0], &port.to_be_bytes()[..], &written(host)].concat();
            records.push(record(owner, SRV, &data));
        }
    }
    // An answer with recursion; name error where nobody knows the name.
    let code = match names.get(name) {
        Some(Named::Broken) => 0x82,
        Some(_) => 0x80,
        None => 0x83,
    };
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let end = 12 + written(name).len() + 4;
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, code, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    reply.extend(&query[12..end]);
    reply.extend(records.concat());
    reply
}

fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = written(owner);
    record.extend(kind.to_be_bytes());
    // Class IN, and nobody keeps it.
    record.extend([0, 1, 0, 0, 0, 0]);
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

fn written(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
