//! Which classes an Internet socket meets.

use super::{FoundItems, SearchItem, SelectionClasses};
use crate::lsof::{
    arguments::{InternetAddress, LsofOptions, States},
    model::{ListedSocket, SocketEnd, Transport},
};

/// Whether `-s` lets a socket be listed. Once states are named, a socket without one is none of them.
#[must_use]
pub fn state_allows(states: &States, socket: &ListedSocket, found: &FoundItems) -> bool {
    let ListedSocket::Internet { transport, state, .. } = socket else { return true };
    if states.include.is_empty() && states.exclude.is_empty() {
        return true;
    }
    let tcp = *transport == Transport::Tcp;
    if tcp && states.exclude.contains(state) {
        return false;
    }
    if states.include.is_empty() {
        return true;
    }
    match states.include.iter().position(|included| tcp && included == state) {
        Some(at) => {
            found.note(SearchItem::State(at));
            true
        }
        None => false,
    }
}

/// The classes of `-i` that a socket would meet if anybody held it.
#[must_use]
pub fn may_meet(options: &LsofOptions, socket: &ListedSocket) -> SelectionClasses {
    internet(options, socket, &FoundItems::default())
}

/// The classes of `-i` that a socket meets.
#[must_use]
pub fn internet(options: &LsofOptions, socket: &ListedSocket, found: &FoundItems) -> SelectionClasses {
    let ListedSocket::Internet { transport, v6, local, foreign, .. } = socket else {
        return SelectionClasses::NONE;
    };
    let mut met = SelectionClasses::NONE;
    if options.internet.is_some_and(|family| family.has(*v6)) {
        found.note(SearchItem::Internet);
        met = met.with(SelectionClasses::INTERNET);
    }
    // To an address it is of the family of its addresses: an IPv4 connection of an IPv6 socket is IPv4.
    let v6 = local.address.is_ipv6();
    if options.internet.is_some_and(|family| !family.has(v6)) {
        return met;
    }
    for (at, address) in options.addresses.iter().enumerate() {
        if matches(address, *transport, v6, *local, *foreign) {
            found.note(SearchItem::Address(at));
            met = met.with(SelectionClasses::ADDRESS);
        }
    }
    met
}

fn matches(
    address: &InternetAddress,
    transport: Transport,
    v6: bool,
    local: SocketEnd,
    foreign: SocketEnd,
) -> bool {
    let end = |end: SocketEnd| {
        (address.hosts.is_empty() || address.hosts.contains(&end.address))
            && (address.ports.is_empty()
                || address.ports.iter().any(|ports| (ports.from..=ports.to).contains(&end.port)))
    };
    address.family.has(v6)
        && address.transport.is_none_or(|wanted| wanted == transport)
        && (end(local) || (foreign.is_set() && end(foreign)))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::lsof::arguments::InternetFamily;

    fn end(last: u8, port: u16) -> SocketEnd {
        SocketEnd { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port }
    }

    fn address(family: InternetFamily, hosts: Vec<IpAddr>, ports: &[(u16, u16)]) -> InternetAddress {
        let ports =
            ports.iter().map(|(from, to)| crate::lsof::arguments::Ports { from: *from, to: *to }).collect();
        InternetAddress { text: String::new(), family, transport: None, hosts, ports }
    }

    #[test]
    fn either_end_may_match() {
        let hosts = vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))];
        let of =
            |address: &InternetAddress, v6| matches(address, Transport::Tcp, v6, end(1, 40000), end(2, 22));
        assert!(of(&address(InternetFamily::Any, vec![], &[(22, 22)]), false));
        assert!(of(&address(InternetFamily::V6, hosts.clone(), &[(20, 23)]), true));
        assert!(!of(&address(InternetFamily::V4, hosts.clone(), &[]), true));
        assert!(!of(&address(InternetFamily::Any, hosts, &[(40000, 40000)]), false));
    }

    #[test]
    fn named_states_hide_what_has_none() {
        let socket = |transport, state| ListedSocket::Internet {
            transport,
            v6: false,
            local: end(1, 1),
            foreign: end(2, 2),
            state,
            send_queue: 0,
            receive_queue: 0,
        };
        let states = States { include: vec![10], exclude: vec![] };
        let options = LsofOptions { states: states.clone(), ..LsofOptions::default() };
        let found = FoundItems::new(&options, 0);
        assert!(!state_allows(&states, &socket(Transport::Udp, 7), &found));
        assert!(!state_allows(&states, &socket(Transport::Tcp, 1), &found));
        assert!(!found.has(SearchItem::State(0)));
        assert!(state_allows(&states, &socket(Transport::Tcp, 10), &found));
        assert!(found.has(SearchItem::State(0)));
        let states = States { include: vec![], exclude: vec![7] };
        assert!(state_allows(&states, &socket(Transport::Udp, 7), &found));
        assert!(!state_allows(&states, &socket(Transport::Tcp, 7), &found));
    }
}
