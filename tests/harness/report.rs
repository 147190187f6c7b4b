//! The JSON report, as far as the tests read it.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    ops::{Add, AddAssign},
};

use serde::Deserialize;

use crate::frames::{FAR_PORT, FAR_V4, FAR_V6, NEAR_PORT, NEAR_V4, NEAR_V6};

/// `"schema": "flowtally.report/1"`.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Name and version of the format.
    pub schema: String,
    /// Measured time.
    pub seconds: f64,
    /// Every interface that was attached.
    pub interfaces: Vec<Interface>,
    /// Everything.
    pub total: Amounts,
    /// Every conversation.
    pub flows: Vec<Row>,
    /// What is counted on another interface.
    pub crossings: Vec<Crossing>,
    /// What passed and was seen on one side only.
    pub one_sided_packets: u64,
    /// What travels inside other conversations.
    pub tunnels: Vec<Tunnel>,
    /// Packets that did not cross the boundary (`-F`, `-G`).
    #[serde(default)]
    pub outside_boundary_packets: u64,
    /// Packets that the capture filter (`-f`) left out.
    #[serde(default)]
    pub filtered_out_packets: u64,
}

/// One interface.
#[derive(Clone, Debug, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// The hooks that serve it.
    pub hook: String,
    /// What is less than it could be.
    pub degraded: Vec<String>,
    /// What it received.
    pub ingress: Side,
    /// What it sent.
    pub egress: Side,
}

/// One direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the report")]
pub struct Side {
    pub counted_bytes: u64,
    pub counted_packets: u64,
    pub kernel_bytes: u64,
    pub kernel_packets: u64,
    pub untracked_bytes: u64,
    pub untracked_packets: u64,
    pub unparsed_bytes: u64,
    pub unparsed_packets: u64,
    pub filtered_bytes: u64,
    pub filtered_packets: u64,
    pub gso_extra_bytes: u64,
    pub gso_extra_packets: u64,
    pub residue_bytes: i64,
    pub residue_packets: i64,
}

/// One conversation.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// Where it was seen.
    pub interface: String,
    /// Who with whom.
    #[serde(flatten)]
    pub flow: Flow,
    /// How much.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// Everyone whose it is, where there are several.
    #[serde(default)]
    pub owners: Option<Vec<Owner>>,
    /// Where else it crossed.
    pub crossings: Vec<Crossing>,
}

/// What crossed an interface and is counted on another one.
#[derive(Clone, Debug, Deserialize)]
pub struct Crossing {
    /// The interface that it is not counted on.
    pub interface: String,
    /// How much.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// What was counted on a tunnel.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the report")]
pub struct Tunnel {
    pub interface: String,
    pub bytes: u64,
    pub packets: u64,
}

/// Identity of a conversation on one interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Flow {
    /// By name or number.
    pub protocol: String,
    /// Innermost VLAN id.
    #[serde(default, deserialize_with = "none_is_zero")]
    pub vlan: u16,
    /// This end.
    pub local_address: Option<IpAddr>,
    /// Its port, or the ICMP type.
    #[serde(default, deserialize_with = "none_is_zero")]
    pub local_port: u16,
    /// The other end.
    pub remote_address: Option<IpAddr>,
    /// Its port, or the ICMP code.
    #[serde(default, deserialize_with = "none_is_zero")]
    pub remote_port: u16,
}

/// Whose a conversation is, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are those of the report")]
pub struct Owner {
    pub pid: Option<u32>,
    pub start_time: Option<String>,
    pub command: Option<String>,
    pub executable: Option<String>,
    pub user: Option<String>,
    pub uid: Option<u32>,
    pub container: Option<String>,
    pub netns: Option<String>,
    pub owner_reason: Option<String>,
}

/// Bytes and packets, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the report")]
pub struct Amounts {
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub received_bytes: u64,
    pub received_packets: u64,
}

fn none_is_zero<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(0))
}

impl Flow {
    /// A conversation of the two ends of a [`NetPair`](crate::NetPair) over IPv4, without ports.
    #[must_use]
    pub fn v4(protocol: &str) -> Self {
        Self::between(protocol, NEAR_V4, FAR_V4)
    }

    /// The same over IPv6.
    #[must_use]
    pub fn v6(protocol: &str) -> Self {
        Self::between(protocol, NEAR_V6, FAR_V6)
    }

    /// Frames that are not IP, or could not be parsed.
    #[must_use]
    pub fn frames(kind: &str) -> Self {
        Self {
            protocol: kind.to_owned(),
            vlan: 0,
            local_address: None,
            local_port: 0,
            remote_address: None,
            remote_port: 0,
        }
    }

    /// A conversation between any two addresses, without ports.
    #[must_use]
    pub fn between(protocol: &str, local: impl Into<IpAddr>, remote: impl Into<IpAddr>) -> Self {
        Self {
            local_address: Some(local.into()),
            remote_address: Some(remote.into()),
            ..Self::frames(protocol)
        }
    }

    /// The same with the ports of [`frames::ports`](crate::frames::ports).
    #[must_use]
    pub fn ports(self) -> Self {
        self.with_ports(NEAR_PORT, FAR_PORT)
    }

    /// The same with these ports, or this ICMP type and code.
    #[must_use]
    pub fn with_ports(self, local_port: u16, remote_port: u16) -> Self {
        Self { local_port, remote_port, ..self }
    }

    /// The same in a VLAN.
    #[must_use]
    pub fn vlan(self, vlan: u16) -> Self {
        Self { vlan, ..self }
    }

    /// The same seen from the other end.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            local_address: self.remote_address,
            local_port: self.remote_port,
            remote_address: self.local_address,
            remote_port: self.local_port,
            ..self
        }
    }
}

impl Amounts {
    /// Both ways together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sent_bytes + self.received_bytes
    }

    /// Both ways together.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.sent_packets + self.received_packets
    }
}

impl Add for Amounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sent_bytes: self.sent_bytes + other.sent_bytes,
            sent_packets: self.sent_packets + other.sent_packets,
            received_bytes: self.received_bytes + other.received_bytes,
            received_packets: self.received_packets + other.received_packets,
        }
    }
}

impl AddAssign for Amounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Report {
    /// Reads what `flowtally report --format json` printed.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let report: Self = serde_json::from_slice(text).unwrap_or_else(|error| {
            panic!("the report is no JSON as expected: {error}\n{}", String::from_utf8_lossy(text))
        });
        assert_eq!(report.schema, "flowtally.report/1");
        report
    }

    /// The conversations of one interface. Panics when two rows have the same identity, owner included, unless they are frames
    /// that could not be parsed for different reasons: those are added up, as are those of different owners.
    #[must_use]
    pub fn rows(&self, interface: &str) -> BTreeMap<Flow, Amounts> {
        let mut rows: BTreeMap<Flow, (Amounts, Vec<&Owner>)> = BTreeMap::new();
        for row in self.flows.iter().filter(|row| row.interface == interface) {
            let (amounts, owners) = rows.entry(row.flow.clone()).or_default();
            let is_new = !owners.contains(&&row.owner);
            assert!(is_new || row.flow.protocol == "unparsed", "two rows for {}: {:?}", row.flow, row.owner);
            owners.push(&row.owner);
            *amounts += row.amounts;
        }
        rows.into_iter().map(|(flow, (amounts, _))| (flow, amounts)).collect()
    }

    /// The interface of this name, of which there is exactly one.
    #[must_use]
    pub fn interface(&self, name: &str) -> &Interface {
        let mut named = self.interfaces.iter().filter(|interface| interface.name == name);
        let first = named.next().unwrap_or_else(|| panic!("no interface {name} in {:?}", self.interfaces));
        assert!(named.next().is_none(), "interface {name} is there twice: {:?}", self.interfaces);
        first
    }
}

impl Interface {
    /// What the programs counted, both ways.
    #[must_use]
    pub fn counted(&self) -> Amounts {
        Amounts {
            sent_bytes: self.egress.counted_bytes,
            sent_packets: self.egress.counted_packets,
            received_bytes: self.ingress.counted_bytes,
            received_packets: self.ingress.counted_packets,
        }
    }

    /// What found no room in the tables, both ways.
    #[must_use]
    pub fn untracked(&self) -> Amounts {
        Amounts {
            sent_bytes: self.egress.untracked_bytes,
            sent_packets: self.egress.untracked_packets,
            received_bytes: self.ingress.untracked_bytes,
            received_packets: self.ingress.untracked_packets,
        }
    }

    /// What could not be parsed, both ways.
    #[must_use]
    pub fn unparsed(&self) -> Amounts {
        Amounts {
            sent_bytes: self.egress.unparsed_bytes,
            sent_packets: self.egress.unparsed_packets,
            received_bytes: self.ingress.unparsed_bytes,
            received_packets: self.ingress.unparsed_packets,
        }
    }

    /// What the kernel's counters have more or less than was counted: nothing, when all is well.
    #[must_use]
    pub fn residue(&self) -> [i64; 4] {
        let Self { ingress, egress, .. } = self;
        [ingress.residue_bytes, ingress.residue_packets, egress.residue_bytes, egress.residue_packets]
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |address: Option<IpAddr>| address.map_or("-".to_owned(), |address| address.to_string());
        let (local, remote) = (address(self.local_address), address(self.remote_address));
        let Self { protocol, vlan, local_port, remote_port, .. } = self;
        write!(f, "{protocol} vlan {vlan} {local}:{local_port} - {remote}:{remote_port}")
    }
}
