//! Messages of DNS (RFC 1035): a question with one name, and what of its answer is a record that was asked for.
//!
//! Names are taken as they are written; whether one can be a target is judged where it becomes one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

use crate::config::RecordType;

/// Records that are taken of a name, at most. One message over TCP can hold some five thousand.
pub const MAX_RECORDS: usize = 1_000;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// SRV: a host and a port. Priority and weight choose one of many, and all are wanted.
    Service {
        /// The host, without a dot at its end.
        target: String,
        /// The port.
        port: u16,
    },
    /// A or AAAA.
    Address(IpAddr),
}

/// What a message that answers the question says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The records of the name, in no order; none when it has none, or is nobody's.
    Records(Vec<Record>),
    /// There are more than it could hold.
    Truncated,
    /// The server did not do what it was asked to.
    Refused,
}

/// A question with this number, for whoever resolves names on behalf of others. `None` for what is no name.
pub(super) fn question(id: u16, name: &str, record: RecordType) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        Name::new(name).ok()?,
        QTYPE::TYPE(kind(record)),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().ok()
}

/// Whether a message answers the question with this number: anybody can send one, and a late answer to an earlier
/// question is none to this one.
pub(super) fn reply(bytes: &[u8], id: u16, name: &str, record: RecordType) -> Option<Reply> {
    let packet = Packet::parse(bytes).ok()?;
    let asked = Name::new(name).ok()?.to_string();
    let [question] = packet.questions.as_slice() else {
        return None;
    };
    let same = packet.id() == id
        && packet.has_flags(PacketFlag::RESPONSE)
        && question.qname.to_string().eq_ignore_ascii_case(&asked)
        && question.qtype == QTYPE::TYPE(kind(record));
    if !same {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Reply::Truncated);
    }
    Some(match packet.rcode() {
        // Of a name that is nobody's there are no records; that is an answer.
        RCODE::NoError | RCODE::NameError => {
            let records = packet.answers.iter();
            Reply::Records(
                records
                    .filter_map(|answer| taken(&answer.rdata, record))
                    .collect(),
            )
        }
        _ => Reply::Refused,
    })
}

/// What a record says, where it is of the kind that was asked for; aliases on the way are not.
fn taken(data: &RData<'_>, record: RecordType) -> Option<Record> {
    match (record, data) {
        (RecordType::Srv, RData::SRV(service)) => Some(Record::Service {
            target: service.target.to_string(),
            port: service.port,
        })
        // A lone dot says that there is no such service (RFC 2782).
        .filter(|_| !service.target.get_labels().is_empty()),
        (RecordType::A, RData::A(found)) => {
            Some(Record::Address(Ipv4Addr::from(found.address).into()))
        }
        (RecordType::Aaaa, RData::AAAA(found)) => {
            Some(Record::Address(Ipv6Addr::from(found.address).into()))
        }
        _ => None,
    }
}

fn kind(record: RecordType) -> TYPE {
    match record {
        RecordType::Srv => TYPE::SRV,
        RecordType::A => TYPE::A,
        RecordType::Aaaa => TYPE::AAAA,
    }
}

#[cfg(test)]
mod tests;
