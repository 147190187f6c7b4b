//! Words: those of the language, and those of the tables in /etc.

use std::{collections::HashMap, net::IpAddr};

use crate::etc;

/// Protocols that have a word of their own, with their numbers (IANA, Assigned Internet Protocol Numbers). Those of one
/// version of IP only are not here.
const PROTOCOLS: &[(&str, u8)] = &[
    ("tcp", 6),
    ("udp", 17),
    ("sctp", 132),
    ("dccp", 33),
    ("udplite", 136),
    ("esp", 50),
    ("ah", 51),
    ("pim", 103),
];

/// Frames that are not IP and have a word of their own (IEEE `EtherType` registry).
const ETHER_TYPES: &[(&str, u16)] = &[
    ("arp", 0x0806),
    ("rarp", 0x8035),
    ("aarp", 0x80f3),
    ("atalk", 0x809b),
    ("decnet", 0x6003),
    ("lat", 0x6004),
    ("mopdl", 0x6001),
    ("moprc", 0x6002),
    ("sca", 0x6007),
];

/// IEEE 802.2 frames that have a word of their own (IEEE Std 802, LLC address assignments).
const SERVICE_POINTS: &[(&str, u8)] = &[("stp", 0x42), ("iso", 0xfe), ("netbeui", 0xf0)];

/// The protocol that a word stands for.
pub(super) fn protocol(word: &str) -> Option<u8> {
    find(PROTOCOLS, word)
}

/// The word of a protocol that has one.
pub(super) fn protocol_word(number: u8) -> Option<&'static str> {
    word(PROTOCOLS, number)
}

/// The `EtherType` that a word stands for.
pub(super) fn ether_type(word: &str) -> Option<u16> {
    find(ETHER_TYPES, word)
}

/// The word of an `EtherType` that has one.
pub(super) fn ether_type_word(number: u16) -> Option<&'static str> {
    word(ETHER_TYPES, number)
}

/// The service access point that a word stands for.
pub(super) fn service_point(word: &str) -> Option<u8> {
    find(SERVICE_POINTS, word)
}

fn find<N: Copy>(table: &[(&str, N)], word: &str) -> Option<N> {
    table.iter().find(|(known, _)| *known == word).map(|(_, number)| *number)
}

fn word<N: Copy + PartialEq>(table: &[(&'static str, N)], number: N) -> Option<&'static str> {
    table.iter().find(|(_, known)| *known == number).map(|(word, _)| *word)
}

/// A name that a filter can have: filters are text.
fn text(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok()
}

/// Names that a filter may use in place of numbers.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    hosts: HashMap<String, Vec<IpAddr>>,
    /// Protocol and port.
    services: HashMap<String, Vec<(u8, u16)>>,
    protocols: HashMap<String, u8>,
}

impl Dictionary {
    /// Takes the names from the texts of /etc/hosts, /etc/services and /etc/protocols. A name server is not asked: what a
    /// filter means must not depend on who answers.
    #[must_use]
    pub fn from_tables(hosts: &str, services: &str, protocols: &str) -> Self {
        let mut names = Self::default();
        for host in etc::hosts(hosts.as_bytes()) {
            for name in host.names.into_iter().filter_map(text) {
                // Names of hosts have no case.
                let addresses = names.hosts.entry(name.to_lowercase()).or_default();
                if !addresses.contains(&host.address) {
                    addresses.push(host.address);
                }
            }
        }
        for service in etc::services(services.as_bytes()) {
            let Some(protocol) = text(service.protocol).and_then(protocol) else { continue };
            for name in service.names.into_iter().filter_map(text) {
                names.services.entry(name.to_owned()).or_default().push((protocol, service.port));
            }
        }
        for protocol in etc::protocols(protocols.as_bytes()) {
            for name in protocol.names.into_iter().filter_map(text) {
                names.protocols.entry(name.to_owned()).or_insert(protocol.number);
            }
        }
        names
    }

    /// The addresses of a host; none if it is not known.
    pub(super) fn host(&self, name: &str) -> &[IpAddr] {
        self.hosts.get(&name.to_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// Protocols and ports of a service; none if it is not known.
    pub(super) fn service(&self, name: &str) -> &[(u8, u16)] {
        self.services.get(name).map_or(&[], Vec::as_slice)
    }

    /// The number of a protocol.
    pub(super) fn protocol(&self, name: &str) -> Option<u8> {
        self.protocols.get(name).copied()
    }
}
