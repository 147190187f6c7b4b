//! Random hosts with random traffic: every frame counts once, whatever lies between two intervals.

use proptest::{prelude::*, sample::Index};

use super::*;

/// A host made at random: hardware, bonds of hardware, VLANs on either, bridges with some of these and pairs as ports. Each entry is a way
/// from the outside or a container to the IP stack: the interfaces from the outermost to the innermost, and the VLAN tag on each.
#[derive(Clone, Debug)]
struct RandomHost {
    links: Vec<Link>,
    ways: Vec<Vec<(u32, u16)>>,
    /// For each way, the bridge that it passes.
    bridges: Vec<Option<u32>>,
}

fn random_host() -> impl Strategy<Value = RandomHost> {
    let device = (any::<bool>(), any::<bool>(), prop::option::of(0_u32..2), any::<bool>());
    prop::collection::vec(device, 1..7).prop_map(|devices| {
        let (bridges, mut next) = ([1_u32, 2], 3);
        let mut links: Vec<Link> = bridges.iter().map(|bridge| link(*bridge, "bridge")).collect();
        let (mut ways, mut of) = (Vec::new(), Vec::new());
        for (is_hardware, is_bond, bridge, is_vlan) in devices {
            let mut way = vec![(next, 0)];
            let mut top = if is_hardware { link(next, "") } else { link(next, "veth") };
            next += 1;
            if is_hardware && is_bond {
                top.master = Some(next);
                links.push(std::mem::replace(&mut top, link(next, "bond")));
                way.push((next, 0));
                next += 1;
            }
            if is_vlan {
                let below = top.index;
                links.push(std::mem::replace(&mut top, upon(next, "vlan", below)));
                for (_, vlan) in &mut way {
                    *vlan = 7;
                }
                way.push((next, 0));
                next += 1;
            }
            let bridge = bridge.map(|number| bridges[number as usize]);
            if let Some(bridge) = bridge {
                top.master = Some(bridge);
                way.push((bridge, 0));
            }
            links.push(top);
            ways.push(way);
            of.push(bridge);
        }
        RandomHost { links, ways, bridges: of }
    })
}

/// What a conversation is: where it comes in or begins (`None`: here), where it goes (`None`: here).
fn way_of(host: &RandomHost, from: Option<usize>, to: Option<usize>) -> Vec<Step> {
    let up = |way: usize| host.ways[way].iter().map(|(index, vlan)| Step(Direction::Ingress, *index, *vlan));
    let down =
        |way: usize| host.ways[way].iter().rev().map(|(index, vlan)| Step(Direction::Egress, *index, *vlan));
    let (mut there, mut back): (Vec<_>, Vec<_>) =
        (from.into_iter().flat_map(up).collect(), to.into_iter().flat_map(down).collect());
    // From port to port of one bridge nothing comes up to the bridge itself.
    if let Some((from, to)) = from.zip(to)
        && let Some(bridge) = host.bridges[from].filter(|bridge| host.bridges[to] == Some(*bridge))
    {
        there.retain(|step| step.1 != bridge);
        back.retain(|step| step.1 != bridge);
    }
    there.into_iter().chain(back).collect()
}

/// Where packets come from and go, of which conversation, how many, and whether one of them is between the last two interfaces
/// when the interval ends.
fn sending() -> impl Strategy<Value = (Option<Index>, Option<Index>, u16, u64, bool)> {
    (any::<Option<Index>>(), any::<Option<Index>>(), 0_u16..4, 1_u64..50, any::<bool>())
}

proptest! {
    /// Every frame is put on its way, and some frames are between two interfaces when an interval ends: what is counted is each
    /// frame once, in rows, groups, windows and totals. Where some interfaces are not measured, no frame vanishes.
    #[test]
    fn every_frame_of_a_random_host_counts_once(
        host in random_host(),
        live: bool,
        hidden in prop_oneof![Just(0_u32), any::<u32>()],
        seconds in prop::collection::vec(
            prop::collection::vec(sending(), 0..5), 1..50),
    ) {
        let is_measured = |index: u32| hidden & 1 << index == 0;
        let measured: Vec<u32> =
            host.links.iter().map(|link| link.index).filter(|index| is_measured(*index)).collect();
        let mut ledger = books(&host.links, &measured, |terms| {
            terms.retention = if live { Retention::Live } else { Retention::Run };
        });
        let mut intervals = Count::default();
        let (mut packets, mut between, mut late) = (0, 0, Vec::<(Step, (End, End), u64)>::new());
        // A conversation keeps its way: its ends are in its addresses.
        let hosts = ["10.0.0.1", "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5", "10.0.1.6"];
        let mut second = 0;
        for sendings in seconds {
            second += 1;
            for (step, ends, packets) in std::mem::take(&mut late) {
                cross(&mut ledger, &[step], ends, 100 * packets, packets);
            }
            for (from, to, port, number, is_late) in sendings {
                let [from, to] = [from, to].map(|end| end.map(|end| end.index(host.ways.len())));
                let mut way = way_of(&host, from, to);
                way.retain(|step| is_measured(step.1));
                if way.is_empty() || from == to {
                    continue;
                }
                let address = |end: Option<usize>| hosts[end.map_or(0, |end| end + 1)];
                let ends = ((address(from), 1000 + port), (address(to), 443));
                packets += number;
                let (last, first) = way.split_last().unwrap();
                cross(&mut ledger, first, ends, 100 * number, number);
                let behind = u64::from(is_late && !first.is_empty());
                between += behind;
                if behind > 0 {
                    late.push((*last, ends, behind));
                }
                if number > behind {
                    cross(&mut ledger, &[*last], ends, 100 * (number - behind), number - behind);
                }
            }
            ledger.close(SECOND * second);
            intervals.add(intervals::add_up(&ledger));
            if !live {
                agree(&ledger);
            }
        }
        for (step, ends, packets) in late {
            cross(&mut ledger, &[step], ends, 100 * packets, packets);
        }
        for second in [second + 1, second + 2] {
            ledger.close(SECOND * second);
            intervals.add(intervals::add_up(&ledger));
        }
        let total = ledger.total();
        prop_assert_eq!(intervals, Count { bytes: total.bytes(), packets: total.packets() });
        if hidden != 0 {
            prop_assert!(total.packets() >= packets, "{} of {}", total.packets(), packets);
            return Ok(());
        }
        prop_assert_eq!(total.packets(), packets);
        let tags: u64 = total.bytes() - 100 * packets;
        prop_assert!(tags <= 4 * packets, "{} bytes more than one tag for each packet", tags);
        prop_assert!(ledger.snapshot().crossings.one_sided.packets <= between);
        if !live {
            agree(&ledger);
        }
        agree_on_windows(&ledger);
    }
}
