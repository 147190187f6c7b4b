//! The tables in /etc that give numbers names: hosts(5), services(5) and protocols(5), from their texts. No input or
//! output: whoever needs them reads the files.

use std::net::IpAddr;

/// A line of /etc/hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// The address.
    pub address: IpAddr,
    /// Its names, at least one; the first is the canonical one.
    pub names: Vec<&'a str>,
}

/// A line of /etc/services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Its names, at least one; the first is the official one.
    pub names: Vec<&'a str>,
    /// The port.
    pub port: u16,
    /// The protocol's name.
    pub protocol: &'a str,
}

/// A line of /etc/protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol<'a> {
    /// Its names, at least one; the first is the official one.
    pub names: Vec<&'a str>,
    /// The number in the IP header.
    pub number: u8,
}

/// The lines of /etc/hosts, in their order. What is not understood is left out, as libc does.
pub fn hosts(text: &str) -> impl Iterator<Item = Host<'_>> {
    lines(text).filter_map(|mut words| {
        let address = words.next()?.parse().ok()?;
        let names: Vec<_> = words.collect();
        (!names.is_empty()).then_some(Host { address, names })
    })
}

/// The lines of /etc/services, as [`hosts`].
pub fn services(text: &str) -> impl Iterator<Item = Service<'_>> {
    lines(text).filter_map(|mut words| {
        let name = words.next()?;
        let (port, protocol) = words.next()?.split_once('/')?;
        let names = std::iter::once(name).chain(words).collect();
        Some(Service { names, port: port.parse().ok()?, protocol })
    })
}

/// The lines of /etc/protocols, as [`hosts`].
pub fn protocols(text: &str) -> impl Iterator<Item = Protocol<'_>> {
    lines(text).filter_map(|mut words| {
        let name = words.next()?;
        let number = words.next()?.parse().ok()?;
        Some(Protocol { names: std::iter::once(name).chain(words).collect(), number })
    })
}

/// The words of each line, without comments.
fn lines(text: &str) -> impl Iterator<Item = std::str::SplitWhitespace<'_>> {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
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
            hosts(text).map(|host| (host.address.to_string(), host.names.join(" "))).collect();
        let expected =
            [("127.0.0.1", "localhost"), ("127.0.0.1", "runner vm"), ("::1", "localhost ip6-localhost")];
        assert_eq!(found, expected.map(|(address, names)| (address.to_owned(), names.to_owned())));
    }

    #[test]
    fn services_have_aliases() {
        let text = "domain 53/tcp\nhttp 80/tcp www # web\nbroken 80\nbroken 80000/tcp\nbroken\n";
        let found: Vec<_> = services(text).collect();
        let service = |names, port| Service { names, port, protocol: "tcp" };
        assert_eq!(found, [service(vec!["domain"], 53), service(vec!["http", "www"], 80)]);
    }

    #[test]
    fn protocols_have_aliases() {
        let found: Vec<_> = protocols("ospf 89 OSPFIGP\nbroken 256\nbroken\n").collect();
        assert_eq!(found, [Protocol { names: vec!["ospf", "OSPFIGP"], number: 89 }]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}") {
            hosts(&text).for_each(drop);
            services(&text).for_each(drop);
            protocols(&text).for_each(drop);
        }
    }
}
