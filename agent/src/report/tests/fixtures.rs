//! Snapshots to print.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use flowtally_common::Count;

use crate::{
    flow::{
        group::{GroupBy, GroupKey, OwnerKey},
        names::Names,
        row::{Crossed, InterfaceId, Lane, RowKey, Traffic},
        services::Services,
        snapshot::{Crossings, Follows, InterfaceView, Reconciliation, Snapshot},
    },
    model::{
        owner::{Attribution, Common, Container, Netns, Owner, ProcessId, Reason, Runtime},
        protocol::Kind,
    },
    report::ReportContext,
};

/// Every grouping there is.
pub(super) const ALL: [GroupBy; 14] = [
    GroupBy::Flow,
    GroupBy::Local,
    GroupBy::Remote,
    GroupBy::Host,
    GroupBy::Port,
    GroupBy::Service,
    GroupBy::Protocol,
    GroupBy::Interface,
    GroupBy::Subnet { v4: 24, v6: 64 },
    GroupBy::Process,
    GroupBy::Command,
    GroupBy::User,
    GroupBy::Container,
    GroupBy::Netns,
];

/// 2026-03-01T03:00:00Z: somebody has been woken up.
const STARTED: Duration = Duration::from_hours(492_315);

pub(super) fn names() -> Names {
    let services = Services::parse("domain 53/udp\nhttps 443/tcp\nssh 22/tcp\nntp 123/udp\n");
    let hosts = HashMap::from([(address("192.0.2.10"), "cdn.example.net".into())]);
    Names { hosts, services }
}

pub(super) fn context(names: &Names) -> ReportContext<'_> {
    let started = SystemTime::UNIX_EPOCH + STARTED;
    ReportContext { started, names, resolve: false, width: 100 }
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mapped(text: &str) -> Ipv6Addr {
    match address(text) {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// A conversation between `local` and `remote`, each with its port.
pub(super) fn flow(kind: Kind, local: (&str, u16), remote: (&str, u16)) -> RowKey {
    RowKey {
        local: mapped(local.0),
        remote: mapped(remote.0),
        local_port: local.1,
        remote_port: remote.1,
        vlan: 0,
        interface: InterfaceId(0),
        kind,
    }
}

/// Frames without addresses.
pub(super) fn frames(kind: Kind) -> RowKey {
    flow(kind, ("::", 0), ("::", 0))
}

/// Traffic whose rate rises towards the end, both ways at the same time.
pub(super) fn traffic(sent: (u64, u64), received: (u64, u64)) -> Traffic {
    let lane =
        |(bytes, packets)| Lane { bytes, packets, recent: [bytes / 4, bytes / 2, bytes], peak: bytes / 8 };
    let (sent, received): (Lane, Lane) = (lane(sent), lane(received));
    Traffic { sent, received, peak: sent.peak + received.peak }
}

/// A snapshot of rows with every grouping, all on as many interfaces as the rows name.
pub(super) fn snapshot(rows: Vec<(RowKey, Traffic)>, services: &Services) -> Snapshot {
    owned(rows, &|_| nobody(Reason::NotLooked), services)
}

/// The same with owners.
pub(super) fn owned(
    rows: Vec<(RowKey, Traffic)>,
    owner: &dyn Fn(&RowKey) -> Arc<Attribution>,
    services: &Services,
) -> Snapshot {
    let mut total = Traffic::default();
    for (_, traffic) in &rows {
        total.merge(traffic);
    }
    let owners: Vec<_> = rows.iter().map(|(key, _)| owner(key)).collect();
    let mut in_common: hashbrown::HashMap<OwnerKey, Common> = hashbrown::HashMap::new();
    for (part, owner) in ALL
        .iter()
        .filter_map(|by| by.of_owner())
        .flat_map(|part| owners.iter().map(move |owner| (part, owner)))
    {
        let common = owner.common();
        in_common
            .entry(OwnerKey::new(part, owner))
            .and_modify(|known| known.meet(&common))
            .or_insert_with(|| common.clone());
    }
    let looked = owners.iter().any(|owner| owner.reason != Reason::NotLooked);
    let groups = ALL.into_iter().filter(|by| *by != GroupBy::Flow).map(|by| {
        let mut groups: HashMap<GroupKey, Traffic> = HashMap::new();
        for (key, traffic) in &rows {
            groups.entry(by.key_of(key, &owner(key), services).unwrap()).or_default().merge(traffic);
        }
        (by, groups.into_iter().collect())
    });
    Snapshot {
        elapsed: Duration::from_secs(20),
        window_seconds: [2.0, 10.0, 20.0],
        groups: groups.collect(),
        in_common,
        owners: if looked { owners } else { Vec::new() },
        total,
        interfaces: vec![interface(0, "eth0"), interface(1, "wg0")],
        rows,
        ..Snapshot::default()
    }
}

/// No owner.
pub(super) fn nobody(reason: Reason) -> Arc<Attribution> {
    Arc::new(Attribution { owners: Vec::new(), reason })
}

/// A process that alice started a second after the epoch and its PID.
pub(super) fn owner(pid: u32, command: &str) -> Owner {
    Owner {
        id: ProcessId { pid, start: Some(100) },
        start_time: Some(SystemTime::UNIX_EPOCH + STARTED + Duration::from_millis(1_000 + u64::from(pid))),
        command: command.into(),
        executable: Some(format!("/usr/bin/{command}").into()),
        uid: Some(1000),
        user: Some("alice".into()),
        container: Some(Container { runtime: Runtime::Docker, name: "0123456789ab".into() }),
        netns: Some(Netns { inode: Some(4_026_531_840), name: "host".into() }),
    }
}

/// As [`busy`], with an owner or a reason for each row.
pub(super) fn busy_with_owners() -> Snapshot {
    let of = |row: &RowKey| match (row.kind, row.remote_port) {
        (Kind::TCP, 443) => Attribution { owners: vec![owner(812, "curl")], reason: Reason::Connected },
        (Kind::TCP, _) => {
            let second = Owner { uid: Some(0), user: None, container: None, ..owner(814, "sshd") };
            Attribution { owners: vec![owner(813, "sshd"), second], reason: Reason::Open }
        }
        (Kind::UDP, 53) => Attribution { owners: vec![owner(815, "curl")], reason: Reason::Created },
        (Kind::UDP, _) => Attribution { owners: Vec::new(), reason: Reason::Gone },
        (Kind::Ip(47), _) => Attribution { owners: Vec::new(), reason: Reason::Forwarded },
        _ => Attribution { owners: Vec::new(), reason: Reason::KernelStack },
    };
    owned(busy().rows, &|row| Arc::new(of(row)), &names().services)
}

pub(super) fn interface(id: u16, name: &str) -> InterfaceView {
    InterfaceView {
        id: InterfaceId(id),
        name: name.to_owned(),
        index: u32::from(id) + 2,
        hook: "tcx".to_owned(),
        degraded: Vec::new(),
        ingress: Reconciliation::default(),
        egress: Reconciliation::default(),
    }
}

/// One of everything.
pub(super) fn busy() -> Snapshot {
    let udp = Kind::UDP;
    let tcp = Kind::TCP;
    let mut rows = vec![
        (
            flow(tcp, ("10.0.0.5", 51_234), ("192.0.2.10", 443)),
            traffic((52_428_800, 600_000), (1_610_612_736, 1_234_567)),
        ),
        (
            flow(
                tcp,
                ("2001:db8:1111:2222:3333:4444:5555:6666", 40_000),
                ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 22),
            ),
            traffic((734_003_200, 520_000), (12_582_912, 180_000)),
        ),
        (flow(udp, ("10.0.0.5", 40_001), ("198.51.100.53", 53)), traffic((64_000, 800), (160_000, 800))),
        (flow(udp, ("10.0.0.5", 0), ("198.51.100.53", 0)), traffic((0, 0), (48_000, 40))),
        (flow(Kind::Ip(1), ("10.0.0.5", 8), ("203.0.113.1", 0)), traffic((980, 10), (980, 10))),
        (flow(Kind::Ip(58), ("fe80::1", 135), ("ff02::1:ff00:2", 0)), traffic((86, 1), (0, 0))),
        (flow(Kind::Ip(47), ("10.0.0.5", 0), ("203.0.113.9", 0)), traffic((1_400, 1), (0, 0))),
        (frames(Kind::Frame(0x0806)), traffic((84, 2), (120, 2))),
        (frames(Kind::Unparsed(1)), traffic((0, 0), (180, 3))),
    ];
    rows[2].0.vlan = 42;
    rows[6].0.interface = InterfaceId(1);
    snapshot(rows, &names().services)
}

/// The same on a bridge with a port, a tunnel and a host whose address is translated.
pub(super) fn crossed() -> Snapshot {
    let mut snapshot = busy();
    let count = |bytes, packets| Count { bytes, packets };
    let sides = snapshot.rows.iter().take(2).map(|(_, Traffic { sent, received, .. })| {
        [sent, received].map(|lane| count(lane.bytes, lane.packets))
    });
    let [first, second]: [[Count; 2]; 2] = sides.collect::<Vec<_>>().try_into().unwrap();
    let crossed = |interface, [sent, received]: [Count; 2]| Crossed { interface, sent, received };
    let (bridge, port) = (InterfaceId(2), InterfaceId(3));
    snapshot.interfaces.extend([interface(2, "br0"), interface(3, "veth1")]);
    let both = [0, 1]
        .map(|way| count(first[way].bytes + second[way].bytes, first[way].packets + second[way].packets));
    snapshot.crossings = Crossings {
        by_interface: vec![crossed(bridge, both), crossed(port, second)],
        by_row: [
            (0, vec![crossed(bridge, first)]),
            (1, vec![crossed(bridge, second), crossed(port, second)]),
        ]
        .into_iter()
        .collect(),
        one_sided: count(64_000, 800),
        tunnelled: vec![(InterfaceId(1), count(1_400, 1))],
    };
    snapshot
}

/// The same with everything that can be wrong.
pub(super) fn troubled() -> Snapshot {
    let count = |bytes, packets| Count { bytes, packets };
    let mut snapshot = busy();
    let Snapshot { total, interfaces, .. } = &mut snapshot;
    let untracked = count(1_500_000, 2_000);
    total.received.bytes += untracked.bytes;
    total.received.packets += untracked.packets;
    let eth0 = &mut interfaces[0];
    eth0.hook = "clsact".to_owned();
    eth0.degraded = vec!["TCX needs Linux 6.6 and this is 6.1.".to_owned()];
    eth0.ingress = Reconciliation {
        counted: count(1_624_905_108, 1_417_422),
        kernel: count(1_624_906_622, 1_417_423),
        untracked,
        unparsed: count(180, 3),
        residue_bytes: 1_514,
        residue_packets: 1,
        ..Reconciliation::default()
    };
    eth0.egress = Reconciliation {
        counted: count(786_497_150, 1_120_813),
        kernel: count(740_000_000, 21_000),
        gso_extra: count(46_497_150, 1_099_813),
        follows: Follows::SuperPackets,
        ..Reconciliation::default()
    };
    interfaces[1].egress =
        Reconciliation { counted: count(1_400, 1), kernel: count(1_400, 1), ..Reconciliation::default() };
    snapshot.outside_boundary = count(4_096, 4);
    snapshot.filtered_out = count(600, 10);
    snapshot.late_ticks = 2;
    snapshot
}
