//! Frames that cross several interfaces of a host: counted once in rows and totals, and on each in its own table.
//!
//! What must come out is told by somebody else: the counters of the host at the other end of the cable, all of whose frames cross
//! the host under test.

use harness::{
    Amounts,
    crossroads::{Crossroads, agree, all, conversation, on_the_cable, sum, transfer},
    report::Interface,
};

fn with_bridge() -> Crossroads {
    let lab = Crossroads::new(&[("ra", "10.1.0.2"), ("rb", "10.1.0.3")]);
    lab.host.ip("link add br0 type bridge mcast_snooping 0");
    for port in ["ra", "rb"] {
        lab.host.ip(&format!("link set {port} master br0"));
    }
    lab.host.ip("address add 10.1.0.1/24 dev br0");
    lab.host.ip("link set br0 up");
    lab
}

#[test]
fn what_goes_from_port_to_port_of_a_bridge_counts_once() {
    let lab = with_bridge();
    let [a, b] = &lab.others[..] else { unreachable!() };
    let (report, crossed) = lab.measure("", |_| transfer(&a.namespace, &b.namespace, b.v4));
    agree(&report);
    assert_eq!(all(report.total), on_the_cable(crossed));
    assert_eq!(conversation(&report), ("ra", vec!["rb"]));
    assert_eq!(report.one_sided_packets, 0);
}

#[test]
fn what_comes_up_to_a_bridge_counts_once_and_is_its_owners() {
    let lab = with_bridge();
    let a = &lab.others[0];
    for to_host in [true, false] {
        let (report, crossed) = lab.measure("", |lab| {
            if to_host {
                transfer(&a.namespace, &lab.host, "10.1.0.1".parse().unwrap());
            } else {
                transfer(&lab.host, &a.namespace, a.v4);
            }
        });
        agree(&report);
        assert_eq!(all(report.total), on_the_cable(crossed));
        assert_eq!(conversation(&report), ("ra", vec!["br0"]));
        let row = report.flows.iter().find(|row| row.flow.protocol == "tcp").unwrap();
        assert_eq!(row.owner.pid, Some(std::process::id()), "not forwarded: {:?}", row.owner);
        assert_eq!(row.flow.local_address, Some("10.1.0.1".parse().unwrap()));
    }
}

#[test]
fn per_interface_counts_each_crossing() {
    let lab = with_bridge();
    let a = &lab.others[0];
    let (report, crossed) = lab.measure("--per-interface", |lab| transfer(&lab.host, &a.namespace, a.v4));
    let counted: Vec<Amounts> = report.interfaces.iter().map(Interface::counted).collect();
    assert_eq!(all(report.total), sum(counted.iter()));
    assert!(report.crossings.is_empty() && report.flows.iter().all(|row| row.crossings.is_empty()));
    assert_eq!(report.flows.iter().filter(|row| row.flow.protocol == "tcp").count(), 2);
    assert!(report.total.sent_bytes >= 2 * crossed.received_bytes - 1000, "{:?} {crossed:?}", report.total);
}

#[test]
fn a_port_that_comes_while_it_is_measured_is_followed() {
    let lab = with_bridge();
    lab.host.ip("link set ra nomaster");
    let a = &lab.others[0];
    let (report, crossed) = lab.measure("--tick-ms 100", |lab| {
        lab.host.ip("link set ra master br0");
        transfer(&lab.host, &a.namespace, a.v4);
    });
    agree(&report);
    assert_eq!(all(report.total), on_the_cable(crossed));
    assert_eq!(conversation(&report), ("ra", vec!["br0"]));
}

/// Frames that are between two interfaces when an interval ends are counted once, and no row comes of it.
#[test]
fn many_intervals_change_nothing() {
    let lab = with_bridge();
    let [a, b] = &lab.others[..] else { unreachable!() };
    let (report, crossed) = lab.measure("--tick-ms 10", |_| {
        for _ in 0..8 {
            transfer(&a.namespace, &b.namespace, b.v4);
        }
    });
    agree(&report);
    assert_eq!(all(report.total), on_the_cable(crossed));
    let rows = report.flows.iter().filter(|row| row.flow.protocol == "tcp").count();
    assert!((8..=9).contains(&rows), "{rows} rows of 8 conversations: {:#?}", report.flows);
}

fn router() -> Crossroads {
    let lab = Crossroads::new(&[("ra", "10.1.0.2"), ("rb", "10.2.0.2")]);
    for (port, address, gateway) in [("ra", "10.1.0.1/24", "10.1.0.1"), ("rb", "10.2.0.1/24", "10.2.0.1")] {
        lab.host.ip(&format!("address add {address} dev {port}"));
        let other = &lab.others[usize::from(port == "rb")];
        other.namespace.ip(&format!("route add default via {gateway}"));
    }
    lab.host.set("ipv4/ip_forward", "1");
    lab
}

#[test]
fn what_is_forwarded_counts_once() {
    for uplink in ["ra", "rb"] {
        let lab = router();
        let [a, b] = &lab.others[..] else { unreachable!() };
        let gateway = if uplink == "ra" { a.v4 } else { b.v4 };
        lab.host.ip(&format!("route add default via {gateway}"));
        // Who asks whom is known before, so that a cable has the frames of the conversation alone.
        transfer(&a.namespace, &b.namespace, b.v4);
        let (report, crossed) = lab.measure("", |_| transfer(&a.namespace, &b.namespace, b.v4));
        agree(&report);
        let row = report.flows.iter().find(|row| row.flow.protocol == "tcp").unwrap();
        let arp = report.flows.iter().filter(|row| row.flow.protocol == "arp" && row.interface == "ra");
        let arp = sum(arp.map(|row| &row.amounts));
        let cable = on_the_cable(crossed);
        assert_eq!(all(row.amounts), [cable[0] - arp[0], cable[1] - arp[1]]);
        let other = if uplink == "ra" { "rb" } else { "ra" };
        assert_eq!(conversation(&report), (uplink, vec![other]));
        assert_eq!(report.one_sided_packets, 0);
    }
}

/// A pair with both ends in the host: one has the address, the other is a port of a bridge.
#[test]
fn a_pair_inside_the_host_counts_once() {
    let lab = with_bridge();
    lab.host.ip("address del 10.1.0.1/24 dev br0");
    lab.host.ip("link add v0 type veth peer name v1");
    lab.host.ip("link set v1 master br0");
    lab.host.ip("link set v0 up");
    lab.host.ip("link set v1 up");
    lab.host.ip("address add 10.1.0.1/24 dev v0");
    let a = &lab.others[0];
    let (report, crossed) = lab.measure("", |lab| transfer(&lab.host, &a.namespace, a.v4));
    agree(&report);
    assert_eq!(all(report.total), on_the_cable(crossed));
    assert_eq!(conversation(&report), ("ra", vec!["v0", "v1"]));
}

/// A container whose cable is a port of a bridge, to another host: in at the bridge's port, up, and out.
#[test]
fn what_a_container_sends_through_the_host_counts_once() {
    let lab = Crossroads::new(&[("out", "10.2.0.2"), ("c0", "10.1.0.2")]);
    lab.host.ip("link add docker0 type bridge mcast_snooping 0");
    lab.host.ip("link set c0 master docker0");
    lab.host.ip("link set docker0 up");
    lab.host.ip("address add 10.1.0.1/24 dev docker0");
    lab.host.ip("address add 10.2.0.1/24 dev out");
    lab.host.set("ipv4/ip_forward", "1");
    let [far, container] = &lab.others[..] else { unreachable!() };
    far.namespace.ip("route add default via 10.2.0.1");
    container.namespace.ip("route add default via 10.1.0.1");
    lab.host.ip("route add default via 10.2.0.2");
    let (report, _) = lab.measure("", |_| transfer(&container.namespace, &far.namespace, far.v4));
    agree(&report);
    assert_eq!(conversation(&report), ("out", vec!["c0", "docker0"]));
    assert_eq!(report.one_sided_packets, 0);
}

#[test]
fn a_macvlan_counts_once() {
    let lab = Crossroads::new(&[("ra", "10.1.0.2")]);
    lab.host.ip("link add link ra name mv0 type macvlan mode bridge");
    lab.check_stacked("mv0", "ra");
}

/// The inner and the outer conversation are two; that one is inside the other is said.
#[test]
fn a_tunnel_and_what_carries_it_are_two_conversations() {
    let lab = Crossroads::new(&[("ra", "10.1.0.2")]);
    lab.host.ip("address add 10.1.0.1/24 dev ra");
    let vxlan = |remote: &str, device: &str| {
        format!("vx0 type vxlan id 7 remote {remote} dstport 4789 dev {device} noudpcsum")
    };
    lab.host.ip(&format!("link add {}", vxlan("10.1.0.2", "ra")));
    let a = &lab.others[0];
    a.namespace.ip(&format!("link add {}", vxlan("10.1.0.1", "eth0")));
    for (namespace, address) in [(&lab.host, "10.8.0.1/24"), (&*a.namespace, "10.8.0.2/24")] {
        namespace.ip("link set vx0 up");
        namespace.ip(&format!("address add {address} dev vx0"));
        // Of a super-packet in a tunnel the inner headers are not known, and so not all bytes.
        namespace.run("ethtool", "-K vx0 tso off gso off gro off");
    }
    let (report, crossed) =
        lab.measure("", |lab| transfer(&lab.host, &a.namespace, "10.8.0.2".parse().unwrap()));
    agree(&report);
    assert!(report.crossings.is_empty(), "{:?}", report.crossings);
    assert_eq!(conversation(&report), ("vx0", vec![]));
    let inner = all(report.interface("vx0").counted());
    assert_eq!(all(report.interface("ra").counted())[1], on_the_cable(crossed)[1]);
    let [tunnel] = &report.tunnels[..] else { panic!("{:?}", report.tunnels) };
    assert_eq!((tunnel.interface.as_str(), [tunnel.bytes, tunnel.packets]), ("vx0", inner));
}
