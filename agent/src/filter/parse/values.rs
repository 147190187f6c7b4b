//! What the values of an expression mean: addresses, networks, ports, protocols.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use super::{FilterParser, NO_NET_NAMES, NamedLayer, Qualifier, Result, ValueKind};
use crate::filter::{
    Expression, IpFamily, Network, PacketEnd, Test, error::FilterProblem, names, token::TokenKind,
};

/// Largest number in a length field: `EtherType`s begin above (IEEE 802.3, 3.2.6).
const LARGEST_LENGTH: u32 = 0x05ff;
/// `EtherType`s of IPv4, IPv6 and VLAN tags.
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TAGS: [u32; 2] = [0x8100, 0x88a8];

/// An unsigned number as the language has it: decimal, or hexadecimal after `0x`.
pub(super) fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')),
        // A leading zero makes it octal in libpcap, which nobody means.
        None if word.len() > 1 && word.starts_with('0') => None,
        None => word.parse().ok().filter(|_| !word.starts_with('+')),
    }
}

/// What is sent to groups of hosts.
pub(super) fn multicast(family: IpFamily) -> Expression {
    let network = match family {
        IpFamily::V4 => Network::v4(Ipv4Addr::new(224, 0, 0, 0), Ipv4Addr::new(240, 0, 0, 0)).0,
        IpFamily::V6 => Network::v6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8).0,
    };
    Test::Address(PacketEnd::Destination, network).into()
}

impl FilterParser<'_> {
    /// The value that comes next, of the kind that the words before it say.
    pub(super) fn value(&mut self, qualifier: Qualifier) -> Result<Expression> {
        let at = self.next;
        let word = self.word().unwrap_or_default();
        match qualifier.kind {
            ValueKind::Host => self.host(qualifier, word, at),
            ValueKind::Net => self.net(qualifier, word, at),
            ValueKind::Port => self.port(qualifier, word, at),
            ValueKind::PortRange => self.port_range(qualifier, word, at),
            ValueKind::Protocol => self.protocol(qualifier, word, at),
        }
    }

    fn host(&mut self, qualifier: Qualifier, word: &str, at: usize) -> Result<Expression> {
        if self.take(TokenKind::Slash) {
            let whole = format!("{word}/{}", self.word().unwrap_or_default());
            let hint = format!(": for a network write 'net {whole}'");
            return Err(self.wrong(at, &whole, "host", hint));
        }
        if number(word).is_some() {
            return Err(self.wrong(at, word, "address", format!(": for a port write 'port {word}'")));
        }
        let networks = match address(word) {
            Some(IpAddr::V4(_)) => vec![self.dotted(word, at)?.0],
            Some(address) => vec![Network::host(address)],
            // Some parts of an address are a network, as in libpcap.
            None if is_dotted(word) => vec![self.dotted(word, at)?.0],
            None if word.contains(':') => return Err(self.wrong(at, word, "IPv6 address", String::new())),
            None => self.names.host(word).iter().copied().map(Network::host).collect(),
        };
        let hint = ": a name server is not asked, write the address";
        let unknown =
            FilterProblem::Unknown { what: "host", name: word.to_owned(), table: "/etc/hosts", hint };
        if networks.is_empty() {
            return Err(self.error_at(at, unknown));
        }
        let wanted = |network: &Network| match qualifier.layer {
            Some(NamedLayer::Ip(family)) => network.family() == family,
            _ => true,
        };
        let tests =
            networks.into_iter().filter(wanted).map(|network| Test::Address(qualifier.end, network).into());
        Expression::any(tests).ok_or_else(|| self.wrong_family(at, word, qualifier))
    }

    fn net(&mut self, qualifier: Qualifier, word: &str, at: usize) -> Result<Expression> {
        let network = if word.contains(':') {
            let address: Ipv6Addr =
                word.parse().map_err(|_| self.wrong(at, word, "IPv6 address", String::new()))?;
            let prefix = if self.take(TokenKind::Slash) { self.number("prefix length", 128)? } else { 128 };
            let (network, rest) = Network::v6(address, prefix);
            if !rest.is_unspecified() {
                return Err(self.error_at(at, FilterProblem::HostBits(format!("{word}/{prefix}"))));
            }
            network
        } else if is_dotted(word) {
            self.net4(word, at)?
        } else {
            return Err(self.unsupported_from(at, NO_NET_NAMES));
        };
        if matches!(qualifier.layer, Some(NamedLayer::Ip(family)) if family != network.family()) {
            return Err(self.wrong_family(at, word, qualifier));
        }
        Ok(Test::Address(qualifier.end, network).into())
    }

    /// `10.0.0.0`, `10.0`, `10.0.0.0/8`, `10/8`, `10.0.0.0 mask 255.0.0.0`.
    fn net4(&mut self, word: &str, at: usize) -> Result<Network> {
        let (implied, address) = self.dotted(word, at)?;
        let (mask, text) = if self.take(TokenKind::Slash) {
            let prefix = self.number("prefix length", 32)?;
            (Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - prefix).unwrap_or(0)), format!("{word}/{prefix}"))
        } else if self.peek().is_some_and(|token| token.kind == TokenKind::Word && token.text == "mask") {
            self.next += 1;
            let mask_at = self.next;
            let text = self.word().unwrap_or_default();
            let mask = text.parse().map_err(|_| self.wrong(mask_at, text, "mask", String::new()))?;
            (mask, format!("{word} mask {text}"))
        } else {
            return Ok(implied);
        };
        let (network, rest) = Network::v4(address, mask);
        if rest.is_unspecified() {
            Ok(network)
        } else {
            Err(self.error_at(at, FilterProblem::HostBits(text)))
        }
    }

    /// One to four numbers with dots between them: the network of as many bytes, and its address.
    fn dotted(&self, word: &str, at: usize) -> Result<(Network, Ipv4Addr)> {
        let mut octets = [0; 4];
        let mut mask = [0; 4];
        let mut parts = word.split('.');
        for (octet, bits) in octets.iter_mut().zip(&mut mask) {
            let Some(part) = parts.next() else { break };
            *octet = part.parse().map_err(|_| self.wrong(at, word, "IPv4 address", String::new()))?;
            *bits = u8::MAX;
        }
        if parts.next().is_some() {
            return Err(self.wrong(at, word, "IPv4 address", String::new()));
        }
        let address = Ipv4Addr::from_octets(octets);
        Ok((Network::v4(address, Ipv4Addr::from_octets(mask)).0, address))
    }

    fn port(&self, qualifier: Qualifier, word: &str, at: usize) -> Result<Expression> {
        if let Some(port) = self.port_number(word, at)? {
            return Ok(port_test(qualifier, None, port..=port));
        }
        let known = self.names.service(word);
        if known.is_empty() {
            let hint = if word.contains('-') { ": a range is written 'portrange 80-90'" } else { "" };
            let unknown = FilterProblem::Unknown {
                what: "service",
                name: word.to_owned(),
                table: "/etc/services",
                hint,
            };
            return Err(self.error_at(at, unknown));
        }
        let ports = |protocol| known.iter().filter(move |known| known.0 == protocol).map(|known| known.1);
        let tests: Vec<_> = if let Some(NamedLayer::Transport(protocol)) = qualifier.layer {
            ports(protocol).map(|port| port_test(qualifier, None, port..=port)).collect()
        } else {
            // A service of both TCP and UDP is one of every protocol, as in libpcap.
            let [tcp, udp] = ["tcp", "udp"].map(|word| names::protocol(word).unwrap_or_default());
            let everywhere = |port| ports(tcp).any(|one| one == port) && ports(udp).any(|one| one == port);
            let mut tests: Vec<Expression> = Vec::new();
            for (protocol, port) in known.iter().copied() {
                let protocol = (!everywhere(port)).then_some(protocol);
                let test = port_test(qualifier, protocol, port..=port);
                if !tests.contains(&test) {
                    tests.push(test);
                }
            }
            tests
        };
        Expression::any(tests).ok_or_else(|| {
            let protocol = match qualifier.layer {
                Some(NamedLayer::Transport(protocol)) => names::protocol_word(protocol).unwrap_or_default(),
                _ => "",
            };
            self.error_at(at, FilterProblem::OtherProtocol { name: word.to_owned(), protocol })
        })
    }

    fn port_range(&self, qualifier: Qualifier, word: &str, at: usize) -> Result<Expression> {
        let one = |text: &str| {
            number(text).and_then(|port| u16::try_from(port).ok()).or_else(|| {
                let mut services = self.names.service(text).iter();
                services
                    .find(|(protocol, _)| match qualifier.layer {
                        Some(NamedLayer::Transport(wanted)) => *protocol == wanted,
                        _ => true,
                    })
                    .map(|(_, port)| *port)
            })
        };
        // Names may have a '-' of their own: any of them may be the one between the two.
        let split = |(dash, _)| Some((one(&word[..dash])?, one(&word[dash + 1..])?));
        let range = word.match_indices('-').find_map(split).or_else(|| one(word).map(|port| (port, port)));
        match range {
            Some((a, b)) => Ok(port_test(qualifier, None, a.min(b)..=a.max(b))),
            None => Err(self.wrong(at, word, "range of ports", " such as 80-90".to_owned())),
        }
    }

    /// A port in digits; `None` if it is a name.
    fn port_number(&self, word: &str, at: usize) -> Result<Option<u16>> {
        if !word.starts_with(|c: char| c.is_ascii_digit()) || !self.names.service(word).is_empty() {
            return Ok(None);
        }
        match number(word) {
            Some(number) => match u16::try_from(number) {
                Ok(port) => Ok(Some(port)),
                Err(_) => Err(self.wrong(at, word, "port", " (0 to 65535)".to_owned())),
            },
            None if word.contains('-') => Ok(None),
            None => Err(self.wrong(at, word, "port", String::new())),
        }
    }

    fn protocol(&self, qualifier: Qualifier, word: &str, at: usize) -> Result<Expression> {
        if qualifier.layer == Some(NamedLayer::Link) {
            return self.ether_type(word, at);
        }
        let protocol = if let Some(number) = number(word) {
            u8::try_from(number).map_err(|_| self.wrong(at, word, "protocol", " (0 to 255)".to_owned()))?
        } else {
            let known = match word {
                "icmp" => Some(1),
                "igmp" => Some(2),
                "icmp6" | "icmpv6" => Some(58),
                _ => names::protocol(word).or_else(|| self.names.protocol(word)),
            };
            let hint = ": write its number";
            let name = word.to_owned();
            let unknown = FilterProblem::Unknown { what: "protocol", name, table: "/etc/protocols", hint };
            known.ok_or_else(|| self.error_at(at, unknown))?
        };
        let test = Expression::from(Test::Protocol(protocol));
        Ok(match qualifier.layer {
            Some(NamedLayer::Ip(family)) => Expression::from(Test::Family(family)).and(test),
            _ => test,
        })
    }

    /// What `ether proto` asks for.
    fn ether_type(&self, word: &str, at: usize) -> Result<Expression> {
        let named = match word {
            "ip" => Some(Test::Family(IpFamily::V4)),
            "ip6" => Some(Test::Family(IpFamily::V6)),
            _ => names::ether_type(word)
                .map(Test::EtherType)
                .or_else(|| names::service_point(word).map(Test::ServicePoint)),
        };
        if let Some(test) = named {
            return Ok(test.into());
        }
        let wrong = |hint: &str| self.wrong(at, word, "EtherType", hint.to_owned());
        let test = match number(word) {
            Some(IPV4) => Test::Family(IpFamily::V4),
            Some(IPV6) => Test::Family(IpFamily::V6),
            Some(tag) if TAGS.contains(&tag) => {
                return Err(wrong(" that frames are kept under: write 'vlan'"));
            }
            Some(number @ ..=LARGEST_LENGTH) => {
                Test::ServicePoint(u8::try_from(number).map_err(|_| wrong(": those begin at 0x0600"))?)
            }
            Some(number) => Test::EtherType(u16::try_from(number).map_err(|_| wrong(" (0 to 0xffff)"))?),
            None => return Err(wrong(": write its number")),
        };
        Ok(test.into())
    }

    fn wrong(&self, at: usize, value: &str, what: &'static str, hint: String) -> crate::filter::FilterError {
        self.error_at(at, FilterProblem::Value { value: value.to_owned(), what, hint })
    }

    fn wrong_family(&self, at: usize, word: &str, qualifier: Qualifier) -> crate::filter::FilterError {
        let what = match qualifier.layer {
            Some(NamedLayer::Ip(IpFamily::V4)) => "IPv4 address",
            _ => "IPv6 address",
        };
        self.wrong(at, word, what, String::new())
    }
}

/// A test of ports, of one protocol if one is named before it or with it.
fn port_test(qualifier: Qualifier, protocol: Option<u8>, ports: RangeInclusive<u16>) -> Expression {
    let test = Expression::from(Test::Port(qualifier.end, ports));
    let named = match qualifier.layer {
        Some(NamedLayer::Transport(protocol)) => Some(protocol),
        _ => protocol,
    };
    match named {
        Some(protocol) => Expression::from(Test::Protocol(protocol)).and(test),
        None => test,
    }
}

fn address(word: &str) -> Option<IpAddr> {
    word.parse().ok()
}

/// Whether a word is meant as an IPv4 address or the beginning of one.
fn is_dotted(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
