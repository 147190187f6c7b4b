//! A table of topologies, and where a conversation in each of them counts.

use super::*;

/// A topology, and a conversation in it.
struct Case {
    name: &'static str,
    links: Vec<Link>,
    /// Who speaks to whom, and on which way; and the way of the answers.
    ends: (End, End),
    there: Vec<Step>,
    back: Vec<Step>,
    /// Where it is counted.
    on: Vec<u32>,
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn topologies() -> Vec<Case> {
    let hosts = (NEAR, FAR);
    let own = (OWN, FAR);
    vec![
        Case {
            name: "a bridge of two ports, from one to the other",
            links: vec![link(1, "bridge"), port(2, "veth", 1), port(3, "veth", 1)],
            ends: hosts,
            there: vec![i(2), o(3)],
            back: vec![i(3), o(2)],
            on: vec![2],
        },
        Case {
            name: "a bridge, from a port up to this host",
            links: vec![link(1, "bridge"), port(2, "veth", 1), port(3, "veth", 1)],
            ends: own,
            there: vec![o(1), o(3)],
            back: vec![i(3), i(1)],
            on: vec![3],
        },
        Case {
            name: "a bridge with a port in hardware",
            links: vec![link(1, "bridge"), port(2, "tap", 1), port(3, "", 1)],
            ends: hosts,
            there: vec![i(2), o(3)],
            back: vec![i(3), o(2)],
            on: vec![3],
        },
        Case {
            name: "a bridge that floods",
            links: vec![link(1, "bridge"), port(2, "veth", 1), port(3, "veth", 1), port(4, "veth", 1)],
            ends: (NEAR, GROUP),
            there: vec![i(3), i(1), o(2), o(4)],
            back: vec![],
            on: vec![2],
        },
        Case {
            name: "a bridge that floods what this host sends",
            links: vec![link(1, "bridge"), port(2, "veth", 1), port(3, "veth", 1)],
            ends: (OWN, GROUP),
            there: vec![o(1), o(2), o(3)],
            back: vec![],
            on: vec![2],
        },
        Case {
            name: "a VLAN",
            links: vec![link(1, ""), upon(2, "vlan", 1)],
            ends: own,
            there: vec![o(2), tagged(o(1), 5)],
            back: vec![tagged(i(1), 5), i(2)],
            on: vec![1],
        },
        Case {
            name: "a VLAN in a VLAN",
            links: vec![link(1, ""), upon(2, "vlan", 1), upon(3, "vlan", 2)],
            ends: own,
            there: vec![o(3), tagged(o(2), 7), tagged(o(1), 7)],
            back: vec![tagged(i(1), 7), tagged(i(2), 7), i(3)],
            on: vec![1],
        },
        Case {
            name: "from one VLAN of a device to another",
            links: vec![link(1, ""), upon(2, "vlan", 1), upon(3, "vlan", 1)],
            ends: hosts,
            there: vec![tagged(i(1), 5), i(2), o(3), tagged(o(1), 6)],
            back: vec![tagged(i(1), 6), i(3), o(2), tagged(o(1), 5)],
            on: vec![1],
        },
        Case {
            name: "a macvlan",
            links: vec![link(1, ""), upon(2, "macvlan", 1)],
            ends: own,
            there: vec![o(2), o(1)],
            back: vec![i(1), i(2)],
            on: vec![1],
        },
        Case {
            name: "two macvlans that speak to each other",
            links: vec![link(1, ""), upon(2, "macvlan", 1), upon(3, "macvlan", 1)],
            ends: own,
            there: vec![o(2)],
            back: vec![i(2)],
            on: vec![2],
        },
        Case {
            name: "a bond of which one slave serves",
            links: vec![link(1, "bond"), port(2, "", 1), port(3, "", 1)],
            ends: own,
            there: vec![o(1), o(3)],
            back: vec![i(3), i(1)],
            on: vec![3],
        },
        Case {
            name: "a bridge whose port is a VLAN on a bond",
            links: vec![
                link(1, "bridge"),
                Link { lower: Some(3), ..port(2, "vlan", 1) },
                link(3, "bond"),
                port(4, "", 3),
                port(5, "veth", 1),
            ],
            ends: hosts,
            there: vec![i(5), o(2), tagged(o(3), 9), tagged(o(4), 9)],
            back: vec![tagged(i(4), 9), tagged(i(3), 9), i(2), o(5)],
            on: vec![4],
        },
        Case {
            name: "a VRF",
            links: vec![link(1, "vrf"), port(2, "", 1)],
            ends: own,
            there: vec![o(1), o(2)],
            back: vec![i(2)],
            on: vec![2],
        },
        Case {
            name: "forwarded, the side of the default route",
            links: vec![link(1, ""), uplink(link(2, ""))],
            ends: hosts,
            there: vec![i(1), o(2)],
            back: vec![i(2), o(1)],
            on: vec![2],
        },
        Case {
            name: "forwarded, out where it came in",
            links: vec![link(1, ""), link(2, "")],
            ends: hosts,
            there: vec![i(1), o(1)],
            back: vec![i(1), o(1)],
            on: vec![1],
        },
        Case {
            name: "forwarded from a container behind a bridge",
            links: vec![uplink(link(1, "")), link(2, "bridge"), port(3, "veth", 2)],
            ends: hosts,
            there: vec![i(3), i(2), o(1)],
            back: vec![i(1), o(2), o(3)],
            on: vec![1],
        },
        Case {
            name: "forwarded into a tunnel",
            links: vec![link(1, ""), link(2, "wireguard")],
            ends: hosts,
            there: vec![i(1), o(2)],
            back: vec![i(2), o(1)],
            on: vec![1],
        },
        Case {
            name: "a pair with both ends here, one of them in a bridge",
            links: vec![
                link(1, "bridge"),
                port(2, "", 1),
                Link { lower: Some(4), ..port(3, "veth", 1) },
                upon(4, "veth", 3),
            ],
            ends: own,
            there: vec![o(4), i(3), o(2)],
            back: vec![i(2), o(3), i(4)],
            on: vec![2],
        },
        Case {
            name: "nothing to do with each other",
            links: vec![link(1, ""), link(2, "")],
            ends: own,
            there: vec![o(2)],
            back: vec![i(2)],
            on: vec![2],
        },
    ]
}

#[test]
fn a_conversation_counts_once_where_it_is_nearest_to_the_outside() {
    for Case { name, links, ends: (from, to), there, back, on } in topologies() {
        let measured: Vec<u32> = links.iter().map(|link| link.index).collect();
        let mut ledger = books(&links, &measured, |_| ());
        let mut bytes = 0;
        for second in 1..=3_u32 {
            cross(&mut ledger, &there, (from, to), 1000 * u64::from(second), u64::from(second));
            cross(&mut ledger, &back, (to, from), 7000, 5);
            bytes += 1000 * u64::from(second) + if back.is_empty() { 0 } else { 7000 };
            ledger.close(SECOND * second);
            agree(&ledger);
        }
        let counted: Vec<u32> = {
            let mut on: Vec<u32> = rows(&ledger, Counting::Once).iter().map(|(index, ..)| *index).collect();
            on.dedup();
            on
        };
        assert_eq!(counted, on, "{name}");
        let tag = there.iter().chain(&back).find(|step| step.1 == on[0]).map_or(0, |step| step.2);
        let packets = ledger.total().packets();
        assert_eq!(packets, if back.is_empty() { 6 } else { 6 + 15 }, "{name}");
        assert_eq!(ledger.total().bytes(), bytes + if tag > 0 { 4 * packets } else { 0 }, "{name}");
        let mut others: Vec<u32> = there.iter().chain(&back).map(|step| step.1).collect();
        others.retain(|index| !on.contains(index));
        others.sort_unstable();
        others.dedup();
        let snapshot = ledger.snapshot();
        let Crossings { by_row, one_sided, .. } = &snapshot.crossings;
        let told: Vec<u32> = by_row
            .values()
            .flatten()
            .map(|crossed| ledger.interfaces[usize::from(crossed.interface.0)].attached.index)
            .collect();
        assert_eq!(told, others, "{name}");
        assert!(one_sided.is_zero(), "{name}");
        if name != "a bridge that floods"
            && !name.contains("out where it came in")
            && !name.contains("VLAN of")
        {
            assert_eq!(snapshot.rows.len(), 1, "{name}: one row");
        }
    }
}
