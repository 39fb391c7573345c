//! The addresses no probe goes to unless a `cidr` entry was written for them, in every spelling.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What kind of address the floor refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FloorRange {
    /// 169.254.0.0/16 (RFC 3927) and `fe80::/10` (RFC 4291). Clouds serve credentials here.
    LinkLocal,
    /// Addresses outside of the link-local range where clouds serve credentials.
    Metadata,
    /// 224.0.0.0/4 (RFC 5771) and `ff00::/8` (RFC 4291).
    Multicast,
    /// 0.0.0.0/8 (RFC 1122: "this host") and `::`. Linux connects them to itself.
    Unspecified,
    /// 255.255.255.255.
    Broadcast,
}

impl fmt::Display for FloorRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata address",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "an unspecified address",
            Self::Broadcast => "the broadcast address",
        })
    }
}

/// Metadata services are listed as their clouds document them. What else the registries of IANA for special purposes
/// hold is left to `allow`: private (RFC 1918, RFC 4193) and shared space (RFC 6598) is where services are, networks use
/// 240.0.0.0/4 as if it were private, and nothing answers in the ranges for documentation and benchmarks. Nor has the API
/// of a cluster an address of its own.
const V4: [(Ipv4Net, FloorRange); 7] = [
    (
        Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
        FloorRange::LinkLocal,
    ),
    // Alibaba Cloud's metadata service, in the shared address space of RFC 6598.
    (
        Ipv4Net::new_assert(Ipv4Addr::new(100, 100, 100, 200), 32),
        FloorRange::Metadata,
    ),
    // Azure's WireServer, which hands virtual machines their configuration and certificates: a public address.
    (
        Ipv4Net::new_assert(Ipv4Addr::new(168, 63, 129, 16), 32),
        FloorRange::Metadata,
    ),
    // Oracle Cloud's in its older form, in the range of RFC 6890 for protocols.
    (
        Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 192), 32),
        FloorRange::Metadata,
    ),
    (
        Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
        FloorRange::Multicast,
    ),
    (
        Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8),
        FloorRange::Unspecified,
    ),
    (
        Ipv4Net::new_assert(Ipv4Addr::BROADCAST, 32),
        FloorRange::Broadcast,
    ),
];

const V6: [(Ipv6Net, FloorRange); 9] = [
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
        FloorRange::LinkLocal,
    ),
    // AWS keeps this block of unique local addresses for services of the instance: metadata at 254, the credentials of
    // EKS pods at 23.
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0), 32),
        FloorRange::Metadata,
    ),
    // Google Cloud.
    metadata(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
    // Oracle Cloud.
    metadata(Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // Alibaba Cloud.
    metadata(Ipv6Addr::new(0xfd00, 0x0100, 0, 0, 0, 0, 0x0100, 0x0200)),
    // Scaleway.
    metadata(Ipv6Addr::new(0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042)),
    // Akamai, formerly Linode.
    metadata(Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1)),
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
        FloorRange::Multicast,
    ),
    (
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
        FloorRange::Unspecified,
    ),
];

/// One address of a metadata service.
const fn metadata(address: Ipv6Addr) -> (Ipv6Net, FloorRange) {
    (Ipv6Net::new_assert(address, 128), FloorRange::Metadata)
}

/// The range of the floor an address lies in, taken as it is written.
pub(super) fn range_of(address: IpAddr) -> Option<(IpNet, FloorRange)> {
    match address {
        IpAddr::V4(v4) => V4
            .iter()
            .find(|(net, _)| net.contains(&v4))
            .map(|(net, range)| (IpNet::V4(*net), *range)),
        IpAddr::V6(v6) => V6
            .iter()
            .find(|(net, _)| net.contains(&v6))
            .map(|(net, range)| (IpNet::V6(*net), *range)),
    }
}

/// The address itself, then each IPv4 address that an IPv6 form carries in it, with the number of bits in front of
/// that IPv4 address (0 for the address itself).
///
/// The forms: IPv4-mapped and IPv4-compatible (RFC 4291), IPv4-translated (RFC 2765), NAT64 (RFC 6052, and RFC 8215 for the prefix of local use,
/// where the operator chooses the length), 6to4 (RFC 3056), Teredo (RFC 4380: server, and client with its bits
/// inverted), ISATAP (RFC 5214: behind any prefix). A NAT64 prefix of the network's own cannot be known here.
pub(super) fn embedded(address: IpAddr) -> impl Iterator<Item = (IpAddr, u8)> {
    let mut found = vec![(address.to_canonical(), 0)];
    if let IpAddr::V6(v6) = address {
        let bits = v6.to_bits();
        // RFC 6052 keeps the 8 bits from 64 on zero: the forms that reach over them are read without them.
        let squeezed = (bits >> 64 << 64) | (bits << 72 >> 64);
        let mut carries = |front: u8, v4: Ipv4Addr| found.push((IpAddr::V4(v4), front));
        match v6.segments() {
            // `::1` would read as 0.0.0.1: loopback is no IPv4-compatible address.
            [0, 0, 0, 0, 0, 0, ..] if v6 != Ipv6Addr::LOCALHOST => {
                carries(96, bits_after(bits, 96));
            }
            [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
                carries(96, bits_after(bits, 96));
            }
            [0x64, 0xff9b, 1, ..] => {
                carries(96, bits_after(bits, 96));
                // Where the prefix is longer than the form read here, zeros of the prefix look like 0.0.0.0/8.
                for front in [48, 56, 64] {
                    let v4 = bits_after(squeezed, front);
                    if v4.octets().first() != Some(&0) {
                        carries(front, v4);
                    }
                }
            }
            [0x2002, ..] => carries(16, bits_after(bits, 16)),
            [0x2001, 0, ..] => {
                carries(32, bits_after(bits, 32));
                carries(96, Ipv4Addr::from_bits(!bits_after(bits, 96).to_bits()));
            }
            _ => {}
        }
        // The bit that says whether the IPv4 address is unique in the world may be set or not.
        if matches!(v6.segments(), [.., 0 | 0x200, 0x5efe, _, _]) {
            carries(96, bits_after(bits, 96));
        }
    }
    found.into_iter()
}

/// The 32 bits behind the first `front` ones.
fn bits_after(bits: u128, front: u8) -> Ipv4Addr {
    let head = bits.checked_shl(u32::from(front)).unwrap_or(0) >> 96;
    Ipv4Addr::from_bits(u32::try_from(head).unwrap_or(0))
}
