//! `-i [46][protocol][@host][:ports]`.

use std::net::IpAddr;

use super::{System, sets::text};
use crate::lsof::model::Transport;

/// Which Internet sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternetFamily {
    /// All.
    Any,
    /// IPv4 sockets.
    V4,
    /// IPv6 sockets, whatever they carry.
    V6,
}

impl InternetFamily {
    /// After both were asked for: one of the two makes all of them one, and both are all.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, one) | (one, Self::Any) => one,
            (one, other) if one == other => one,
            _ => Self::Any,
        }
    }

    /// Whether a socket is of it.
    #[must_use]
    pub const fn has(self, v6: bool) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => !v6,
            Self::V6 => v6,
        }
    }
}

/// An item of `-i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetAddress {
    /// As it was given.
    pub text: String,
    /// Of which family the socket must be.
    pub family: InternetFamily,
    /// The protocol, if it matters.
    pub transport: Option<Transport>,
    /// One of these addresses, if any is here.
    pub hosts: Vec<IpAddr>,
    /// One of these ranges of ports, if any is here. With the protocol that a service name belongs to.
    pub ports: Vec<Ports>,
}

/// A range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

/// What an item is.
pub(super) enum AddressKind {
    /// A family, or all.
    Large(InternetFamily),
    /// An address.
    Address(InternetAddress),
}

/// Reads an item.
pub(super) fn item(item: &[u8], system: &dyn System) -> Result<AddressKind, String> {
    let whole = text(item);
    let incomplete = || format!("incomplete Internet address specification: -i {whole}");
    let mut rest = whole.as_str();
    if rest.is_empty() {
        return Err(incomplete());
    }
    let mut family = InternetFamily::Any;
    for (digit, this) in [("4", InternetFamily::V4), ("6", InternetFamily::V6)] {
        if let Some(after) = rest.strip_prefix(digit) {
            (family, rest) = (this, after);
            break;
        }
    }
    if rest.is_empty() {
        return Ok(AddressKind::Large(family));
    }
    let end = rest.find(['@', ':']).unwrap_or(rest.len());
    let (name, mut rest) = rest.split_at(end);
    let transport = match name.to_ascii_lowercase().as_str() {
        "" => None,
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        "udplite" => Some(Transport::UdpLite),
        _ => return Err(format!("unknown protocol name ({name}) in: -i {whole}")),
    };
    let mut hosts = Vec::new();
    if let Some(after) = rest.strip_prefix('@') {
        (hosts, rest) = host(after, family, &whole, system)?;
    }
    let mut list = Vec::new();
    if let Some(after) = rest.strip_prefix(':') {
        list = ports(after, transport, &whole, system)?;
    } else if !rest.is_empty() {
        return Err(unacceptable_ports(&whole));
    }
    Ok(AddressKind::Address(InternetAddress { text: whole.clone(), family, transport, hosts, ports: list }))
}

fn host<'a>(
    after: &'a str,
    family: InternetFamily,
    whole: &str,
    system: &dyn System,
) -> Result<(Vec<IpAddr>, &'a str), String> {
    let unacceptable = || format!("unacceptable Internet address in: -i {whole}");
    let prohibited = |v6: bool| {
        let version = if v6 { 6 } else { 4 };
        format!("IPv{version} addresses are prohibited: -i {whole}")
    };
    if let Some(inside) = after.strip_prefix('[') {
        let (address, rest) = inside.split_once(']').ok_or_else(unacceptable)?;
        let address: std::net::Ipv6Addr = address.parse().map_err(|_| unacceptable())?;
        if family == InternetFamily::V4 {
            return Err(prohibited(true));
        }
        if address.is_unspecified() {
            return Err(unacceptable());
        }
        let address = IpAddr::V6(address).to_canonical();
        if family == InternetFamily::V6 && address.is_ipv4() {
            return Err(prohibited(false));
        }
        return Ok((vec![address], rest));
    }
    let end = after.find(':').unwrap_or(after.len());
    let (name, rest) = after.split_at(end);
    if name.is_empty() {
        return Err(unacceptable());
    }
    if let Some(address) = ipv4(name) {
        // No address and nothing else is nothing.
        if address.is_unspecified() && rest.is_empty() && whole.starts_with(['@', '4', '6']) {
            return Err(format!("incomplete Internet address specification: -i {whole}"));
        }
        if family == InternetFamily::V6 {
            return Err(prohibited(false));
        }
        return Ok((vec![IpAddr::V4(address)], rest));
    }
    let mut hosts = system.host(name);
    hosts.retain(|address| family.has(address.is_ipv6()));
    if hosts.is_empty() {
        return Err(format!("unknown host name ({name}) in: -i {whole}"));
    }
    Ok((hosts, rest))
}

fn unacceptable_ports(whole: &str) -> String {
    format!("unacceptable port specification in: -i {whole}")
}

/// An IPv4 address of four numbers, with or without leading zeros. What has fewer is a name, which the resolver knows.
fn ipv4(name: &str) -> Option<std::net::Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = name.split('.');
    for octet in &mut octets {
        *octet = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

fn ports(
    list: &str,
    transport: Option<Transport>,
    whole: &str,
    system: &dyn System,
) -> Result<Vec<Ports>, String> {
    let unacceptable = || unacceptable_ports(whole);
    let mut ports = Vec::new();
    if list.is_empty() {
        return Err(unacceptable());
    }
    // A comma at the end means nothing.
    for item in list.strip_suffix(',').unwrap_or(list).split(',') {
        if item.is_empty() {
            return Err(format!("invalid service name: -i {whole}"));
        }
        let starts_with_digit = item.starts_with(|first: char| first.is_ascii_digit());
        let (from, to) = if starts_with_digit {
            if let Some((from, to)) = item.split_once('-') {
                let from = number(from).ok_or_else(unacceptable)?;
                let to = if to.starts_with(|first: char| first.is_ascii_digit()) {
                    number(to).ok_or_else(unacceptable)?
                } else if to.is_empty() {
                    return Err(unacceptable());
                } else {
                    service(to, transport, whole, system)?
                };
                (from, to)
            } else {
                let port = number(item).ok_or_else(unacceptable)?;
                (port, port)
            }
        } else {
            let port = service(item, transport, whole, system)?;
            (port, port)
        };
        if from > to {
            return Err(unacceptable());
        }
        // Ports beyond 16 bits are no one's: such an item is kept, and is never met.
        if let Ok(from) = u16::try_from(from) {
            ports.push(Ports { from, to: u16::try_from(to).unwrap_or(u16::MAX) });
        } else {
            ports.push(Ports { from: u16::MAX, to: 0 });
        }
    }
    Ok(ports)
}

fn number(digits: &str) -> Option<u32> {
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| digits.parse().unwrap_or(u32::MAX))
}

fn service(
    name: &str,
    transport: Option<Transport>,
    whole: &str,
    system: &dyn System,
) -> Result<u32, String> {
    let unknown = |of: &str| format!("unknown service {name}{of} in: -i {whole}");
    if let Some(transport) = transport {
        let port = system.service(name, transport).map(u32::from);
        return port.ok_or_else(|| unknown(&format!(" for {}", transport.name().to_ascii_lowercase())));
    }
    match (system.service(name, Transport::Tcp), system.service(name, Transport::Udp)) {
        (Some(tcp), Some(udp)) if tcp != udp => Err(format!(
            "TCP={tcp} and UDP={udp} {name} ports conflict;\n      specify \"tcp:{name}\" or \"udp:{name}\": -i {whole}"
        )),
        (Some(port), _) | (None, Some(port)) => Ok(u32::from(port)),
        (None, None) => Err(unknown("")),
    }
}
