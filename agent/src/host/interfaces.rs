//! Interfaces, their addresses and counters, and how they change: rtnetlink(7).

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr},
};

use flowtally_common::{Count, settings::Layer};
use futures_util::{FutureExt as _, StreamExt, TryStreamExt, stream::FusedStream};
use globset::{Glob, GlobMatcher};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressAttribute,
    link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    route::{RouteAttribute, RouteHeader, RouteMessage},
};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder, packet_core::NetlinkPayload};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::links;
use crate::format::Safe;

/// ARPHRD numbers (`linux/if_arp.h`) of devices whose frames start with an Ethernet header; the frames of all others start
/// with the IP header: tun and `WireGuard` (none), PPP, tunnels.
const WITH_ETHERNET_HEADER: [u16; 3] = [1, 772, 801];

/// The index of the loopback device, which is the first in every network namespace.
const LOOPBACK: u32 = 1;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it is a loopback device.
    pub loopback: bool,
    /// What its frames start with.
    pub layer: Layer,
    /// Its hardware address, if it has one.
    pub hardware_address: Vec<u8>,
    /// What kind of virtual device it is, such as `bridge`; `tap` for a tun device with an Ethernet header, `None` for hardware.
    pub kind: Option<String>,
    /// The index of the bridge, bond or other device that it is a part of.
    pub master: Option<u32>,
    /// The index of the device below it, or of its peer, if that is in this network namespace.
    pub lower: Option<u32>,
    /// Its own counters, received and sent ([`flowtally_common::Direction`]).
    pub counters: [Count; 2],
}

/// An address of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The interface's index.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Its subnet's broadcast address, IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
}

/// What changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// An interface appeared or changed.
    Link(Interface),
    /// An interface is gone; its last counters.
    Gone(Interface),
    /// Addresses changed.
    Addresses,
    /// Changes came faster than they were read: everything may have changed.
    Unknown,
}

/// Asking the kernel failed.
#[derive(Debug, Error)]
#[error("asking the kernel for {what} over rtnetlink failed: {reason}")]
pub struct NetlinkError {
    what: &'static str,
    reason: String,
}

impl NetlinkError {
    fn new(what: &'static str, error: &impl ToString) -> Self {
        Self { what, reason: error.to_string() }
    }
}

type NetlinkMessages = std::pin::Pin<
    Box<dyn FusedStream<Item = rtnetlink::packet_core::NetlinkMessage<RouteNetlinkMessage>> + Send>,
>;

/// A connection to rtnetlink that hears of changes.
pub struct Netlink {
    handle: Handle,
    messages: NetlinkMessages,
}

impl Netlink {
    /// Connects. Must be called in a tokio runtime, which then serves the connection.
    ///
    /// # Errors
    /// When the socket is refused.
    pub fn open() -> Result<Self, NetlinkError> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&groups)
            .map_err(|error: io::Error| NetlinkError::new("a connection", &error))?;
        tokio::spawn(connection);
        Ok(Self { handle, messages: Box::pin(messages.map(|(message, _)| message).fuse()) })
    }

    /// The connection's handle, for requests of other modules.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Every interface, by index.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn interfaces(&self) -> Result<Vec<Interface>, NetlinkError> {
        let links = spawn_blocking(links::list)
            .await
            .map_err(|error| NetlinkError::new("interfaces", &error))?
            .map_err(|error| NetlinkError::new("interfaces", &error))?;
        let mut interfaces: Vec<_> = links.iter().map(interface).collect();
        interfaces.sort_by_key(|interface| interface.index);
        Ok(interfaces)
    }

    /// Every address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn addresses(&self) -> Result<Vec<HostAddress>, NetlinkError> {
        let messages: Vec<_> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|error| NetlinkError::new("addresses", &error))?;
        Ok(messages
            .iter()
            .filter_map(|message| {
                let (mut local, mut address, mut broadcast) = (None, None, None);
                for attribute in &message.attributes {
                    match attribute {
                        AddressAttribute::Local(value) => local = Some(*value),
                        AddressAttribute::Address(value) => address = Some(*value),
                        AddressAttribute::Broadcast(value) => broadcast = Some(*value),
                        _ => {}
                    }
                }
                // On point-to-point links `HostAddress` is the peer's (`linux/if_addr.h`).
                Some(HostAddress { index: message.header.index, address: local.or(address)?, broadcast })
            })
            .collect())
    }

    /// Indices of the interfaces that carry a default route of the main table, IPv4 or IPv6.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn default_routes(&self) -> Result<HashSet<u32>, NetlinkError> {
        let mut indices = HashSet::new();
        for query in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        ] {
            let routes: Vec<RouteMessage> = self
                .handle
                .route()
                .get(query)
                .execute()
                .try_collect()
                .await
                .map_err(|error| NetlinkError::new("routes", &error))?;
            for route in routes {
                if route.header.destination_prefix_length == 0
                    && route.header.table == RouteHeader::RT_TABLE_MAIN
                {
                    indices.extend(route_interfaces(&route));
                }
            }
        }
        Ok(indices)
    }

    /// Every change that the kernel has told of so far, without waiting for one.
    pub async fn pending(&mut self) -> Vec<Change> {
        // The answer to any question stands behind them in the same queue, so that they are all here when it is. What it says
        // does not matter.
        let answer: Result<Vec<LinkMessage>, _> =
            self.handle.link().get().match_index(LOOPBACK).execute().try_collect().await;
        drop(answer);
        std::iter::from_fn(|| self.change().now_or_never()).collect()
    }

    /// Waits for the next change. Never ends before the connection does; then it waits for ever.
    pub async fn change(&mut self) -> Change {
        while let Some(message) = self.messages.next().await {
            match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    return Change::Link(interface(&link));
                }
                // Leaving a bridge is told as a deletion too, in the bridge's address family.
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
                    if link.header.interface_family == AddressFamily::Unspec =>
                {
                    return Change::Gone(interface(&link));
                }
                NetlinkPayload::InnerMessage(
                    RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_),
                ) => return Change::Addresses,
                NetlinkPayload::Overrun(_) => return Change::Unknown,
                _ => {}
            }
        }
        std::future::pending().await
    }
}

fn interface(link: &LinkMessage) -> Interface {
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        up: link.header.flags.contains(LinkFlags::Up),
        loopback: link.header.flags.contains(LinkFlags::Loopback),
        layer: if WITH_ETHERNET_HEADER.contains(&u16::from(link.header.link_layer_type)) {
            Layer::Ethernet
        } else {
            Layer::Ip
        },
        hardware_address: Vec::new(),
        kind: None,
        master: None,
        lower: None,
        counters: [Count::default(); 2],
    };
    let mut is_elsewhere = false;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Address(address) => interface.hardware_address.clone_from(address),
            LinkAttribute::Controller(master) => {
                interface.master = Some(*master).filter(|master| *master != 0);
            }
            LinkAttribute::Link(lower) => interface.lower = Some(*lower).filter(|lower| *lower != 0),
            LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                interface.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            LinkAttribute::Stats64(stats) => {
                interface.counters = [
                    Count { bytes: stats.rx_bytes, packets: stats.rx_packets },
                    Count { bytes: stats.tx_bytes, packets: stats.tx_packets },
                ];
            }
            _ => {}
        }
    }
    if is_elsewhere {
        interface.lower = None;
    }
    if interface.layer == Layer::Ethernet && interface.kind.as_deref() == Some("tun") {
        interface.kind = Some("tap".to_owned());
    }
    interface
}

fn route_interfaces(route: &RouteMessage) -> Vec<u32> {
    let mut indices = Vec::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => indices.push(*index),
            RouteAttribute::MultiPath(hops) => indices.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    indices
}

/// Which interfaces to count on, as asked for.
#[derive(Clone, Debug)]
pub struct Selection {
    wanted: Vec<SelectedWord>,
}

/// A word that was asked for: an interface's name, or a pattern of names.
#[derive(Clone, Debug)]
struct SelectedWord {
    word: String,
    /// The word as a pattern, or why it is none.
    glob: Result<GlobMatcher, String>,
}

impl SelectedWord {
    fn new(word: String) -> Self {
        let glob = Glob::new(if word == "any" { "*" } else { &word });
        let glob = glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string());
        Self { word, glob }
    }

    /// A name may have characters that mean something in a pattern: the interface of this very name is always meant.
    fn matches(&self, name: &str) -> bool {
        self.word == name || self.glob.as_ref().is_ok_and(|glob| glob.is_match(name))
    }
}

/// The interfaces asked for do not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectionError {
    /// No interface has this name, or matches this pattern.
    #[error("no interface is called '{pattern}'; there are: {present}", pattern = Safe::new(.pattern))]
    Unknown {
        /// What was asked for.
        pattern: String,
        /// Names of the interfaces there are.
        present: String,
    },
    /// A pattern that is none.
    #[error("'{pattern}' is no pattern of interface names: {reason}", pattern = Safe::new(.pattern))]
    Pattern {
        /// What was asked for.
        pattern: String,
        /// Why it is none.
        reason: String,
    },
    /// Nothing was asked for, and no interface will do.
    #[error("no interface carries a default route or is up, except loopback: name one with -i ({present})")]
    NoDefault {
        /// Names of the interfaces there are.
        present: String,
    },
}

impl Selection {
    /// From the names and patterns (`eth*`) asked for; `any` is all interfaces.
    #[must_use]
    pub fn parse(words: &[String]) -> Self {
        Self { wanted: words.iter().cloned().map(SelectedWord::new).collect() }
    }

    /// Fills in what to count on when nothing was asked for: the interfaces with a default route, else the first that
    /// is up and not loopback. Every name asked for must exist now; what a pattern matches may come later, if there is
    /// something to count on now.
    ///
    /// # Errors
    /// When there is nothing to count on, or a word is neither a name nor a pattern.
    pub fn resolve(
        self,
        interfaces: &[Interface],
        default_routes: &HashSet<u32>,
    ) -> Result<Self, SelectionError> {
        let present = || {
            interfaces
                .iter()
                .map(|interface| Safe::new(&interface.name).to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        if self.wanted.is_empty() {
            let mut chosen: Vec<_> = interfaces
                .iter()
                .filter(|interface| default_routes.contains(&interface.index))
                .map(|interface| interface.name.clone())
                .collect();
            if chosen.is_empty() {
                chosen.extend(
                    interfaces
                        .iter()
                        .find(|interface| interface.up && !interface.loopback)
                        .map(|interface| interface.name.clone()),
                );
            }
            if chosen.is_empty() {
                return Err(SelectionError::NoDefault { present: present() });
            }
            let escaped: Vec<_> = chosen.iter().map(|name| globset::escape(name)).collect();
            return Ok(Self::parse(&escaped));
        }
        let matches =
            |wanted: &SelectedWord| interfaces.iter().any(|interface| wanted.matches(&interface.name));
        let nothing_yet = !self.wanted.iter().any(matches);
        for wanted in self.wanted.iter().filter(|wanted| !matches(wanted)) {
            let pattern = wanted.word.clone();
            if let Err(reason) = &wanted.glob {
                return Err(SelectionError::Pattern { pattern, reason: reason.clone() });
            }
            if nothing_yet || !pattern.contains(['*', '?', '[', '{']) {
                return Err(SelectionError::Unknown { pattern, present: present() });
            }
        }
        Ok(self)
    }

    /// Asks for one more interface, by its name.
    pub fn add(&mut self, name: &str) {
        // A name with every special character escaped is a pattern of itself alone.
        self.wanted.push(SelectedWord { word: name.to_owned(), ..SelectedWord::new(globset::escape(name)) });
    }

    /// Whether to count on the interface of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted.matches(name))
    }

    /// Whether the name itself was asked for, not by a pattern: then that it cannot be attached is a failure.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted.word == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, up: bool, loopback: bool) -> Interface {
        Interface {
            index,
            name: name.to_owned(),
            up,
            loopback,
            layer: Layer::Ethernet,
            hardware_address: Vec::new(),
            kind: None,
            master: None,
            lower: None,
            counters: [Count::default(); 2],
        }
    }

    #[test]
    fn chooses_default_routes_then_the_first_that_is_up() {
        let links = [
            link(1, "lo", true, true),
            link(2, "a", false, false),
            link(3, "b", true, false),
            link(4, "c", true, false),
        ];
        let resolve = |links: &[Interface], routes: &[u32]| {
            Selection::parse(&[]).resolve(links, &routes.iter().copied().collect())
        };
        let chosen = resolve(&links, &[4]).unwrap();
        assert!(chosen.contains("c") && !chosen.contains("b"));
        let chosen = resolve(&links, &[]).unwrap();
        assert!(chosen.contains("b") && !chosen.contains("lo") && !chosen.contains("c"));
        let error = resolve(&links[..2], &[]).unwrap_err();
        assert_eq!(error, SelectionError::NoDefault { present: "lo, a".to_owned() });
    }

    #[test]
    fn names_patterns_and_any() {
        let links = [link(1, "lo", true, true), link(2, "eth0", true, false), link(3, "eth1", true, false)];
        let select = |patterns: &[&str]| {
            let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            Selection::parse(&patterns).resolve(&links, &HashSet::new())
        };
        let chosen = select(&["eth*"]).unwrap();
        assert!(
            chosen.contains("eth1")
                && chosen.contains("eth7")
                && !chosen.contains("lo")
                && !chosen.names("eth1")
        );
        let chosen = select(&["any"]).unwrap();
        assert!(chosen.contains("lo") && chosen.contains("eth0"));
        assert!(select(&["eth0", "lo"]).unwrap().names("lo"));
        assert!(select(&["lo", "ppp*"]).unwrap().contains("ppp0"));
        assert!(matches!(select(&["ppp*"]), Err(SelectionError::Unknown { .. })));
        assert!(matches!(select(&["lo", "ppp0"]), Err(SelectionError::Unknown { .. })));
        assert_eq!(
            select(&["nosuch"]).unwrap_err().to_string(),
            "no interface is called 'nosuch'; there are: lo, eth0, eth1"
        );
        assert!(matches!(select(&["eth["]), Err(SelectionError::Pattern { .. })));
    }

    /// The kernel forbids a slash, a colon and blanks.
    #[test]
    fn an_interface_is_chosen_by_its_name_whatever_is_in_it() {
        let names = [
            "x[1]", "x1", "eth[", "{a", "a,b", "[!x]", "\\", "**", "\x1b[31m", "-", "x?", "\u{202e}",
            "a{b,c}",
        ];
        let links: Vec<_> = (1..).zip(names).map(|(index, name)| link(index, name, true, false)).collect();
        for name in names {
            let chosen = Selection::parse(&[name.to_owned()]).resolve(&links, &HashSet::new()).unwrap();
            assert!(chosen.contains(name) && chosen.names(name), "{name}");
            let mut added = Selection::parse(&["x1".to_owned()]);
            added.add(name);
            assert!(
                names.iter().all(|other| added.contains(other) == (other == &name || *other == "x1")),
                "{name}"
            );
        }
        let by_default = Selection::parse(&[]).resolve(&links[..1], &HashSet::new()).unwrap();
        assert!(by_default.contains("x[1]") && !by_default.contains("x1"));
    }
}
