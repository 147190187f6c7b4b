//! The tables in /etc that give numbers names: hosts(5), services(5) and protocols(5), from their texts. No input or
//! output: whoever needs them reads the files.

use std::{net::IpAddr, str::FromStr};

/// A line of /etc/hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLine<'a> {
    /// The address.
    pub address: IpAddr,
    /// Its names, at least one; the first is the canonical one.
    pub names: Vec<&'a [u8]>,
}

/// A line of /etc/services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Its names, at least one; the first is the official one.
    pub names: Vec<&'a [u8]>,
    /// The port.
    pub port: u16,
    /// The protocol's name.
    pub protocol: &'a [u8],
}

/// A line of /etc/protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol<'a> {
    /// Its names, at least one; the first is the official one.
    pub names: Vec<&'a [u8]>,
    /// The number in the IP header.
    pub number: u8,
}

/// The lines of /etc/hosts, in their order. What is not understood is left out, as libc does.
pub fn hosts(text: &[u8]) -> impl Iterator<Item = HostLine<'_>> {
    lines(text).filter_map(|mut words| {
        let address = number(words.next()?)?;
        let names: Vec<_> = words.collect();
        (!names.is_empty()).then_some(HostLine { address, names })
    })
}

/// The lines of /etc/services, as [`hosts`].
pub fn services(text: &[u8]) -> impl Iterator<Item = Service<'_>> {
    lines(text).filter_map(|mut words| {
        let name = words.next()?;
        let word = words.next()?;
        let slash = word.iter().position(|byte| *byte == b'/')?;
        let (port, protocol) = (&word[..slash], &word[slash + 1..]);
        let names = std::iter::once(name).chain(words).collect();
        Some(Service { names, port: number(port)?, protocol })
    })
}

/// The lines of /etc/protocols, as [`hosts`].
pub fn protocols(text: &[u8]) -> impl Iterator<Item = Protocol<'_>> {
    lines(text).filter_map(|mut words| {
        let name = words.next()?;
        let number = number(words.next()?)?;
        Some(Protocol { names: std::iter::once(name).chain(words).collect(), number })
    })
}

/// The words of each line, without comments. Blanks are libc's: a name may hold any other, and any byte.
fn lines(text: &[u8]) -> impl Iterator<Item = impl Iterator<Item = &[u8]>> {
    text.split(|byte| *byte == b'\n').map(|line| {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
    })
}

fn number<T: FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_a_host_keep_their_order() {
        let text = "# local\n127.0.0.1 localhost\n127.0.0.1\trunner vm # two\n::1 localhost ip6-localhost\n\
                    10.0.0.1\nten.0.0.1 ten\nfe80::1%eth0 scoped\n";
        let found: Vec<_> =
            hosts(text.as_bytes()).map(|host| (host.address.to_string(), host.names.join(&b' '))).collect();
        let expected =
            [("127.0.0.1", "localhost"), ("127.0.0.1", "runner vm"), ("::1", "localhost ip6-localhost")];
        assert_eq!(found, expected.map(|(address, names)| (address.to_owned(), names.as_bytes().to_vec())));
    }

    #[test]
    fn services_have_aliases() {
        let text = "domain 53/tcp\nhttp 80/tcp www # web\nbroken 80\nbroken 80000/tcp\nbroken\n";
        let found: Vec<_> = services(text.as_bytes()).collect();
        let service = |names: &[&'static str], port| Service {
            names: names.iter().map(|name| name.as_bytes()).collect(),
            port,
            protocol: b"tcp",
        };
        assert_eq!(found, [service(&["domain"], 53), service(&["http", "www"], 80)]);
    }

    #[test]
    fn protocols_have_aliases() {
        let found: Vec<_> = protocols(b"ospf 89 OSPFIGP\nbroken 256\nbroken\n").collect();
        assert_eq!(found, [Protocol { names: vec![b"ospf", b"OSPFIGP"], number: 89 }]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in prop::collection::vec(any::<u8>(), 0..80)) {
            hosts(&text).for_each(drop);
            services(&text).for_each(drop);
            protocols(&text).for_each(drop);
        }
    }
}
