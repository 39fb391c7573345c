//! Where probes may go: one decision for every spelling of an address, the one that the standard library's and ipnet's
//! reading of it comes to, and no way below the floor but an entry written for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use goroutine_exporter::policy::{AllowEntry, Defaults, Place, Policy};
use goroutine_exporter::target::{Endpoint, Target};
use ipnet::IpNet;

/// The name that entries by `host` and the input's targets have.
const NAME: &str = "app.example";

/// Addresses that matter: loopback, metadata of clouds, link-local, multicast, unspecified, broadcast, plain ones.
const NOTABLE: [&str; 20] = [
    "127.0.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "255.255.255.255",
    "10.1.2.3",
    "::1",
    "::",
    "fe80::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "2001:db8::1",
    "169.253.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2:1::1",
    "fd00:c1::a9fe:a9fe",
];

/// A policy, an address and a port, all of the input's bytes.
pub(crate) fn any(bytes: &[u8]) {
    let mut input = Input(bytes);
    let flags = input.byte();
    let address = input.address();
    let ports = [6060, 80, 1 + u16::from(input.byte())];
    let port = ports[usize::from(input.byte()) % 3];
    let case = Case {
        entries: (0..flags >> 6).map(|_| input.entry(&ports)).collect(),
        any_target: flags & 1 != 0,
        on_loopback: flags & 2 != 0,
        configured: (flags & 4 != 0).then_some((address, port)),
        named: flags & 8 != 0,
    };
    let asked = if flags & 16 != 0 {
        input.address()
    } else {
        address
    };
    case.check(asked, port);
}

struct Case {
    entries: Vec<AllowEntry>,
    any_target: bool,
    on_loopback: bool,
    configured: Option<(IpAddr, u16)>,
    named: bool,
}

impl Case {
    fn check(&self, address: IpAddr, port: u16) {
        let targets: Vec<Target> = self
            .configured
            .iter()
            .map(|(ip, port)| SocketAddr::new(*ip, *port).to_string().parse())
            .collect::<Result<_, _>>()
            .expect("an address and a port are a target");
        let defaults = Defaults {
            targets: &targets,
            listens_on_loopback: self.on_loopback,
            any_target: self.any_target,
        };
        let policy = Policy::new(self.entries.clone(), &defaults);
        let above = self.above_floor(address, port);
        let whole = SocketAddr::new(address, port);
        if self.named {
            let name = Endpoint::Name { name: NAME, port };
            let found = policy.check(&name, &[whole]).is_ok();
            assert_eq!(
                found,
                above && (self.by_address(address, port) || self.by_name(port))
            );
            assert!(!found || policy.check_before_lookup(NAME, port).is_ok());
        }
        let expected = above && self.by_address(address, port);
        for target in spellings(address, port) {
            let target: Target = target
                .parse()
                .unwrap_or_else(|error| panic!("{target}: {error}"));
            let endpoint = target.endpoint();
            let Endpoint::Address(read) = endpoint else {
                panic!("{target} is an address");
            };
            assert_eq!(
                (read.ip().to_canonical(), read.port()),
                (address.to_canonical(), port)
            );
            let found = policy.check(&endpoint, &[read]);
            assert_eq!(found.is_ok(), expected, "{target}: {found:?}");
            assert_eq!(policy.check_behind_proxy(&endpoint).is_ok(), expected);
            assert_eq!(policy.check_proxy(&endpoint, &[read]).is_ok(), above);
        }
    }

    /// Whether nothing, or an entry by `cidr` that lies within the range of the floor, speaks for the address.
    fn above_floor(&self, address: IpAddr, port: u16) -> bool {
        let canonical = address.to_canonical();
        carried(address).iter().all(|(inner, front)| {
            let Some(range) = floor(*inner) else {
                return true;
            };
            self.cidrs(port).any(|net| {
                let own = net.contains(inner) && net.prefix_len() >= range;
                own || (net.contains(&canonical) && net.prefix_len() >= front + range)
            })
        })
    }

    fn by_address(&self, address: IpAddr, port: u16) -> bool {
        let canonical = address.to_canonical();
        let configured = self
            .configured
            .is_some_and(|(ip, its)| (ip.to_canonical(), its) == (canonical, port));
        let loopback = self.on_loopback && self.entries.is_empty() && canonical.is_loopback();
        let listed = self.cidrs(port).any(|net| net.contains(&canonical));
        self.any_target || configured || loopback || listed
    }

    fn by_name(&self, port: u16) -> bool {
        let by_host =
            |entry: &AllowEntry| matches!(entry.place, Place::Host(_)) && speaks(entry, port);
        self.entries.iter().any(by_host)
    }

    /// Entries by `cidr` for the port, an IPv4-mapped one as IPv4.
    fn cidrs(&self, port: u16) -> impl Iterator<Item = IpNet> {
        let of_port = move |entry: &&AllowEntry| speaks(entry, port);
        self.entries
            .iter()
            .filter(of_port)
            .filter_map(|entry| match &entry.place {
                Place::Cidr(net) => Some(unmapped(*net)),
                _ => None,
            })
    }
}

fn speaks(entry: &AllowEntry, port: u16) -> bool {
    entry.ports.is_empty() || entry.ports.contains(&port)
}

fn unmapped(net: IpNet) -> IpNet {
    let IpAddr::V4(v4) = net.network().to_canonical() else {
        return net;
    };
    match net.prefix_len().checked_sub(96) {
        Some(prefix) if matches!(net, IpNet::V6(_)) => {
            IpNet::new(IpAddr::V4(v4), prefix).expect("32 at most")
        }
        _ => net,
    }
}

/// How long the prefix of the range is that keeps an address below the floor.
fn floor(address: IpAddr) -> Option<u8> {
    let metadata = [
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
        "fd00:c1::a9fe:a9fe/128",
        "fd00:100::100:200/128",
        "fd00:42::42/128",
        "fd00:a9fe:a9fe::1/128",
    ];
    let mut known = metadata.iter().map(|net| net.parse::<IpNet>());
    let found = known.find_map(|net| net.ok().filter(|net| net.contains(&address)));
    if let Some(net) = found {
        return Some(net.prefix_len());
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Some(32),
        IpAddr::V4(v4) if v4.is_link_local() => Some(16),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some(8),
        IpAddr::V4(v4) if v4.is_multicast() => Some(4),
        IpAddr::V6(v6) if v6.is_unspecified() => Some(128),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(10),
        IpAddr::V6(v6) if v6.is_multicast() => Some(8),
        _ => None,
    }
}

/// The address, and those of IPv4 that it carries, with the bits before them (RFC 4291, 3056, 4380, 5214, 6052).
fn carried(address: IpAddr) -> Vec<(IpAddr, u8)> {
    let mut all = vec![(address.to_canonical(), 0)];
    let IpAddr::V6(v6) = address else { return all };
    let octets = v6.octets();
    let v4 = |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
    // The form of RFC 6052 that skips the ninth byte.
    let skipping = |at: usize| {
        let mut bytes = octets[at..].iter().enumerate();
        let mut next = || {
            bytes
                .find(|(number, _)| at + number != 8)
                .map_or(0, |(_, byte)| *byte)
        };
        Ipv4Addr::new(next(), next(), next(), next())
    };
    let starts = |prefix: &str| {
        prefix
            .parse::<IpNet>()
            .is_ok_and(|net| net.contains(&address))
    };
    if starts("::/96") && !v6.is_loopback() || starts("::ffff:0:0:0/96") || starts("64:ff9b::/96") {
        all.push((v4(12).into(), 96));
    }
    if starts("64:ff9b:1::/48") {
        all.push((v4(12).into(), 96));
        let further = [6, 7, 8].map(|at: u8| (skipping(usize::from(at)), 8 * at));
        all.extend(
            further
                .into_iter()
                .filter(|(v4, _)| v4.octets()[0] != 0)
                .map(|(v4, front)| (v4.into(), front)),
        );
    }
    if starts("2002::/16") {
        all.push((v4(2).into(), 16));
    }
    if starts("2001::/32") {
        all.push((v4(4).into(), 32));
        all.push((Ipv4Addr::from_bits(!v4(12).to_bits()).into(), 96));
    }
    // RFC 5214, behind any prefix.
    if matches!(v6.segments()[4..6], [0 | 0x200, 0x5efe]) {
        all.push((v4(12).into(), 96));
    }
    all
}

/// Ways to write the same target.
fn spellings(address: IpAddr, port: u16) -> Vec<String> {
    let mut hosts = Vec::new();
    if let IpAddr::V4(v4) = address.to_canonical() {
        let [a, b, c, d] = v4.octets();
        let low = u32::from_be_bytes([0, b, c, d]);
        hosts.extend([
            v4.to_string(),
            v4.to_bits().to_string(),
            format!("{:#x}", v4.to_bits()),
            format!("0{a:o}.{b}.{c:#X}.0{d:o}"),
            format!("{a}.{low}"),
            format!("[::ffff:{v4}]"),
            format!(
                "[0:0::0:FFFF:{:X}:{:x}]",
                v4.to_bits() >> 16,
                v4.to_bits() & 0xffff
            ),
        ]);
    }
    if let IpAddr::V6(v6) = address {
        let segments = v6.segments();
        let full: Vec<String> = segments.iter().map(|part| format!("{part:04X}")).collect();
        hosts.extend([format!("[{v6}]"), format!("[{}]", full.join(":"))]);
    }
    let with = |host: &String| {
        [
            format!("{host}:{port}"),
            format!("HTTP://{host}:{port}/prefix/"),
        ]
    };
    hosts.iter().flat_map(with).collect()
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        byte
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    fn v4(&mut self) -> Ipv4Addr {
        match self.byte() % 4 {
            0 => Ipv4Addr::from(self.bytes::<4>()),
            _ => loop {
                // The first eight are of IPv4.
                let notable = NOTABLE[usize::from(self.byte() % 8)];
                if let Ok(v4) = notable.parse() {
                    break v4;
                }
            },
        }
    }

    fn address(&mut self) -> IpAddr {
        let mut octets: [u8; 16] = match self.byte() % 13 {
            0..4 => {
                return NOTABLE[usize::from(self.byte() % 20)]
                    .parse()
                    .expect("it is one");
            }
            4 => return self.v4().into(),
            5 => self.bytes(),
            6 => self.v4().to_ipv6_mapped().octets(),
            7 => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).octets(),
            8 => Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 1).octets(),
            9 => Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 1).octets(),
            10 => Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0).octets(),
            11 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0x200, 0x5efe, 0, 0).octets(),
            _ => [0; 16],
        };
        if octets[..10] != [0; 10] || octets[10] == 0 {
            let at = [2, 4, 6, 7, 9, 12][usize::from(self.byte()) % 6];
            octets[at..at + 4].copy_from_slice(&self.v4().octets());
        }
        Ipv6Addr::from(octets).into()
    }

    fn entry(&mut self, ports: &[u16]) -> AllowEntry {
        let kind = self.byte();
        let ports = ports[..usize::from(kind & 3)].to_vec();
        let place = match kind >> 5 {
            0 => Place::Host(NAME.parse().expect("a name")),
            1 => Place::Host("*.example".parse().expect("a pattern")),
            _ => {
                let address = self.address();
                let longest = if address.is_ipv4() { 32 } else { 128 };
                let prefix = match kind >> 2 & 7 {
                    0 => longest,
                    1 => 0,
                    2 => longest / 2,
                    3 => longest - longest / 8,
                    _ => self.byte() % (longest + 1),
                };
                Place::Cidr(IpNet::new(address, prefix).expect("not longer than it may be"))
            }
        };
        AllowEntry { place, ports }
    }
}
