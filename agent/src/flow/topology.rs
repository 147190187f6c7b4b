//! How interfaces lie upon each other, and which crossings of one frame follow from which.
//!
//! A frame that crosses several interfaces of a host is counted on each of them. Which of them repeat others is derived from
//! the host's own topology: a stacked device (bond, VLAN, macvlan) repeats what crosses the devices below it; a bridge repeats
//! at its exits what came in at its entries; a veth pair repeats at one end what went in at the other; and so does the IP
//! stack, which sends on what it received.

use hashbrown::{HashMap, HashSet};

use super::{
    row::RowKey,
    wire::{WireError, WireForm, WireReader, check, wire_struct},
};
use crate::model::protocol::Kind;

/// A link of the host, measured or not, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// What kind of virtual device it is (`bridge`, `vlan`, ...); `None` for hardware and loopback.
    pub kind: Option<String>,
    /// The index of the device that it is a port or a slave of.
    pub master: Option<u32>,
    /// The index of the device that it lies upon, or whose peer it is, if that is in the same network namespace.
    pub lower: Option<u32>,
    /// Whether it is a loopback device.
    pub loopback: bool,
    /// Whether a default route goes there.
    pub uplink: bool,
}

/// Kinds whose master hands frames from port to port.
const SWITCHES: [&str; 2] = ["bridge", "openvswitch"];
/// Kinds that lie upon the device of their `lower`, and whose frames cross it as they are, but for a tag.
const STACKED: [&str; 5] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];
/// Kinds whose ends are each other's `lower`.
const PAIRS: [&str; 2] = ["veth", "netkit"];
/// Kinds whose frames travel inside the packets of another conversation.
const TUNNELS: [&str; 20] = [
    "tun",
    "wireguard",
    "ipip",
    "sit",
    "gre",
    "ip6gre",
    "ip6tnl",
    "gretap",
    "ip6gretap",
    "erspan",
    "ip6erspan",
    "vti",
    "vti6",
    "xfrm",
    "vxlan",
    "geneve",
    "gtp",
    "bareudp",
    "amt",
    "macsec",
];
/// Devices upon each other: more is a loop.
const DEEPEST: usize = 16;

/// Where an interface stands among those that could carry the count of a frame: the lowest does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CountRank {
    /// Measured devices below it.
    depth: u16,
    /// Hardware comes before what is only in this host.
    is_virtual: bool,
    /// Of the two sides of a router the one towards the others' networks: so a conversation that passes is one row.
    is_not_uplink: bool,
    index: u32,
}

/// An interface that is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InterfacePlace {
    pub(crate) rank: CountRank,
    /// The measured devices that it lies upon, or those in place of ones that are not measured.
    pub(crate) lowers: Vec<u16>,
    /// The switches that it is a port of.
    pub(crate) ports: Vec<u16>,
    /// Others that are the same port: the slaves of a bond that is not measured.
    pub(crate) mates: Vec<u16>,
    /// The switch that it is the host's own end of.
    pub(crate) switch: Option<u16>,
    /// The other end of the pair.
    pub(crate) peer: Option<u16>,
    /// Whether the IP stack receives and sends there, and not only on a measured device above it.
    pub(crate) is_routed: bool,
    /// What kind of tunnel it is, where its frames travel inside another conversation.
    pub(crate) tunnel: Option<&'static str>,
    /// Whether another measured device is above, below or beside it.
    pub(crate) is_related: bool,
}

/// The interfaces that are measured, by the number that the ledger has for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) places: Vec<InterfacePlace>,
    /// For each switch, whether all its ports and its own end are measured.
    pub(crate) switches: Vec<bool>,
    /// Whether frames may cross more than one of them.
    pub(crate) has_several: bool,
}

impl Topology {
    /// From all links of the host, and the numbers of those that are measured: indices by number, `None` for one that is away.
    pub(crate) fn new(links: &[Link], measured: &[Option<u32>]) -> Self {
        let host = HostLinks::new(links, measured);
        let mut topology =
            Self { places: vec![InterfacePlace::default(); measured.len()], ..Self::default() };
        for link in links.iter().filter(|link| link.is_switch()) {
            topology.add_switch(&host, link);
        }
        for (number, link) in host.measured() {
            let place = &mut topology.places[usize::from(number)];
            place.tunnel = TUNNELS.into_iter().find(|kind| link.kind.as_deref() == Some(*kind));
            place.is_routed = !link.loopback && !host.is_under_measured(link);
            if link.is(&PAIRS) {
                place.peer = link.lower.and_then(|peer| host.numbers.get(&peer).copied());
            }
            if !link.is_switch() {
                let lowers = host.lowers(link).flat_map(|lower| host.nearest(lower, DEEPEST));
                let lowers: HashSet<u16> = lowers.filter(|lower| *lower != number).collect();
                place.lowers = lowers.into_iter().collect();
                place.lowers.sort_unstable();
            }
            place.rank = CountRank {
                depth: host.depth(link, DEEPEST),
                is_virtual: link.kind.is_some(),
                is_not_uplink: !link.uplink,
                index: link.index,
            };
        }
        topology.relate();
        let routed = topology.places.iter().filter(|place| place.is_routed).count();
        topology.has_several = routed > 1 || topology.places.iter().any(|place| place.is_related);
        topology
    }

    fn add_switch(&mut self, host: &HostLinks<'_>, switch: &Link) {
        let Ok(number) = u16::try_from(self.switches.len()) else { return };
        let own = host.numbers.get(&switch.index).copied();
        let mut is_complete = own.is_some();
        let mut ends = usize::from(own.is_some());
        let mut ports = Vec::new();
        for link in host.slaves(switch.index) {
            is_complete &= host.numbers.contains_key(&link.index);
            let places = host.nearest(link, DEEPEST);
            ends += usize::from(!places.is_empty());
            ports.push(places);
        }
        if ends < 2 {
            return;
        }
        for places in ports {
            for place in &places {
                let at = &mut self.places[usize::from(*place)];
                at.ports.push(number);
                at.mates.extend(places.iter().filter(|mate| *mate != place));
            }
        }
        if let Some(own) = own {
            self.places[usize::from(own)].switch = Some(number);
        }
        self.switches.push(is_complete);
    }

    /// Marks what belongs together.
    fn relate(&mut self) {
        let mut related = HashSet::new();
        for (number, place) in (0..).zip(&self.places) {
            if !place.lowers.is_empty() {
                related.extend(place.lowers.iter().copied().chain([number]));
            }
            if let Some(peer) = place.peer {
                related.extend([peer, number]);
            }
            if !place.ports.is_empty() || place.switch.is_some() {
                related.insert(number);
            }
        }
        for number in related {
            self.places[usize::from(number)].is_related = true;
        }
    }

    /// How many interfaces the IP stack may receive on or send to.
    pub(crate) fn routed(&self) -> usize {
        self.places.iter().filter(|place| place.is_routed).count()
    }
}

impl InterfacePlace {
    /// Whether a conversation may be one that carries what crosses this tunnel, by its protocol and the port that is usual.
    pub(crate) fn may_be_inside(&self, row: &RowKey) -> bool {
        let udp = |ports: &[u16]| {
            row.kind == Kind::UDP && (ports.contains(&row.local_port) || ports.contains(&row.remote_port))
        };
        let is = |protocols: &[u8]| matches!(row.kind, Kind::Ip(protocol) if protocols.contains(&protocol));
        match self.tunnel {
            Some("ipip" | "ip6tnl" | "sit") => is(&[4, 41]),
            Some("gre" | "ip6gre" | "gretap" | "ip6gretap" | "erspan" | "ip6erspan") => is(&[47]),
            Some("vti" | "vti6" | "xfrm") => is(&[50]) || udp(&[4500]),
            Some("vxlan") => udp(&[4789, 8472]),
            Some("geneve") => udp(&[6081]),
            Some("wireguard") => udp(&[51_820]),
            Some("gtp") => udp(&[2152]),
            _ => false,
        }
    }
}

impl Link {
    fn is(&self, kinds: &[&str]) -> bool {
        self.kind.as_deref().is_some_and(|kind| kinds.contains(&kind))
    }

    fn is_switch(&self) -> bool {
        self.is(&SWITCHES)
    }
}

/// The links, and which are measured.
struct HostLinks<'a> {
    links: HashMap<u32, &'a Link>,
    slaves: HashMap<u32, Vec<&'a Link>>,
    numbers: HashMap<u32, u16>,
}

impl<'a> HostLinks<'a> {
    fn new(links: &'a [Link], measured: &[Option<u32>]) -> Self {
        let mut slaves: HashMap<u32, Vec<&Link>> = HashMap::new();
        for link in links {
            if let Some(master) = link.master {
                slaves.entry(master).or_default().push(link);
            }
        }
        let numbers = (0..).zip(measured).filter_map(|(number, index)| Some(((*index)?, number)));
        Self {
            links: links.iter().map(|link| (link.index, link)).collect(),
            slaves,
            numbers: numbers.collect(),
        }
    }

    fn measured(&self) -> impl Iterator<Item = (u16, &'a Link)> {
        self.numbers.iter().filter_map(|(index, number)| Some((*number, *self.links.get(index)?)))
    }

    fn slaves(&self, master: u32) -> impl Iterator<Item = &'a Link> {
        self.slaves.get(&master).into_iter().flatten().copied()
    }

    /// The devices that a device lies upon.
    fn lowers(&self, link: &Link) -> impl Iterator<Item = &'a Link> {
        let below =
            link.lower.filter(|_| link.is(&STACKED)).and_then(|lower| self.links.get(&lower).copied());
        self.slaves(link.index).chain(below)
    }

    /// The measured interfaces that see a device's frames: itself, or those that it lies upon.
    fn nearest(&self, link: &Link, deepest: usize) -> Vec<u16> {
        match self.numbers.get(&link.index) {
            Some(number) => vec![*number],
            None if deepest == 0 => Vec::new(),
            None => self.lowers(link).flat_map(|lower| self.nearest(lower, deepest - 1)).collect(),
        }
    }

    /// How many measured devices are below, on the longest way.
    fn depth(&self, link: &Link, deepest: usize) -> u16 {
        if deepest == 0 {
            return 0;
        }
        let depths = self.lowers(link).filter_map(|lower| {
            let below = self.depth(lower, deepest - 1);
            let is_measured = self.numbers.contains_key(&lower.index);
            (is_measured || below > 0).then_some(below + u16::from(is_measured))
        });
        depths.max().unwrap_or(0)
    }

    /// Whether the frames of a device go on to a measured one that it is a port or a slave of.
    fn is_under_measured(&self, link: &Link) -> bool {
        let mut link = link;
        for _ in 0..DEEPEST {
            let Some(master) = link.master.and_then(|master| self.links.get(&master).copied()) else {
                return false;
            };
            // A VRF is where its slaves' packets are routed; they do not come in on it.
            if master.is(&["vrf"]) {
                return false;
            }
            if self.numbers.contains_key(&master.index) {
                return true;
            }
            link = master;
        }
        false
    }
}

impl Topology {
    /// Whether what was read from elsewhere can be gone on with.
    pub(crate) fn check(&self) -> Result<(), WireError> {
        let Self { places, switches, .. } = self;
        let is_place = |place: &u16| usize::from(*place) < places.len();
        let is_switch = |switch: &u16| usize::from(*switch) < switches.len();
        let is_well = places.iter().all(|place| {
            place.lowers.iter().chain(&place.mates).chain(&place.peer).all(is_place)
                && place.ports.iter().chain(&place.switch).all(is_switch)
        });
        check(is_well, "how interfaces lie upon each other")
    }
}

impl WireForm for InterfacePlace {
    fn put(&self, to: &mut Vec<u8>) {
        let Self { rank, lowers, ports, mates, switch, peer, is_routed, tunnel, is_related } = self;
        (*rank).put(to);
        lowers.put(to);
        ports.put(to);
        mates.put(to);
        switch.put(to);
        peer.put(to);
        is_routed.put(to);
        tunnel.and_then(|kind| TUNNELS.iter().position(|known| *known == kind)).put(to);
        is_related.put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        let mut place = Self {
            rank: WireForm::take(from)?,
            lowers: WireForm::take(from)?,
            ports: WireForm::take(from)?,
            mates: WireForm::take(from)?,
            switch: WireForm::take(from)?,
            peer: WireForm::take(from)?,
            is_routed: WireForm::take(from)?,
            ..Self::default()
        };
        if let Some(tunnel) = <Option<usize> as WireForm>::take(from)? {
            place.tunnel = Some(*TUNNELS.get(tunnel).ok_or(WireError::Corrupt("a tunnel"))?);
        }
        place.is_related = WireForm::take(from)?;
        Ok(place)
    }
}

wire_struct!(CountRank { depth, is_virtual, is_not_uplink, index });
wire_struct!(Topology { places, switches, has_several });
