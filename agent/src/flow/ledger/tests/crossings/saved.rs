//! A ledger that was written down in the middle and read again goes on as the one that was not.

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::flow::wire::{WireError, WireReader};

/// One of the things that happen to a host with a bridge over hardware and a container, a second uplink, and a tunnel.
#[derive(Clone, Debug)]
enum Happening {
    /// Frames of a conversation cross interfaces, with a socket.
    Frames {
        way: Index,
        ends: Index,
        back: bool,
        packets: u64,
        socket: u64,
    },
    /// Some of what is asked is answered with one of a few processes.
    Answers {
        pid: u32,
        again: bool,
    },
    Untracked {
        index: u32,
        packets: u64,
    },
    Counters {
        index: u32,
        bytes: u64,
    },
    Gone(u32),
    Back(u32),
    Renamed(u32, u8),
    Ports {
        of_bridge: bool,
    },
    Addresses {
        second: bool,
    },
    Filter(Option<bool>),
    Close {
        millis: u64,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let index = 1_u32..6;
    prop_oneof![
        12 => (any::<Index>(), any::<Index>(), any::<bool>(), 1_u64..2000, prop_oneof![Just(0_u64), 1_u64..6])
            .prop_map(|(way, ends, back, packets, socket)| Happening::Frames { way, ends, back, packets, socket }),
        4 => (1_u32..5, any::<bool>()).prop_map(|(pid, again)| Happening::Answers { pid, again }),
        1 => (index.clone(), 1_u64..9).prop_map(|(index, packets)| Happening::Untracked { index, packets }),
        1 => (index.clone(), any::<u32>())
            .prop_map(|(index, bytes)| Happening::Counters { index, bytes: bytes.into() }),
        1 => index.clone().prop_map(Happening::Gone),
        1 => index.clone().prop_map(Happening::Back),
        1 => (index, any::<u8>()).prop_map(|(index, name)| Happening::Renamed(index, name)),
        1 => any::<bool>().prop_map(|of_bridge| Happening::Ports { of_bridge }),
        1 => any::<bool>().prop_map(|second| Happening::Addresses { second }),
        1 => any::<Option<bool>>().prop_map(Happening::Filter),
        6 => prop_oneof![4 => 900_u64..1200, 1 => 1_u64..80_000].prop_map(|millis| Happening::Close { millis }),
    ]
}

fn links(of_bridge: bool) -> Vec<Link> {
    let veth = if of_bridge { port(3, "veth", 1) } else { link(3, "veth") };
    vec![link(1, "bridge"), port(2, "", 1), veth, uplink(link(4, "")), link(5, "wireguard")]
}

/// The events of something that happens; what is asked is asked of `ledger`.
fn events(happening: &Happening, ledger: &mut Ledger, end: &mut Duration) -> Vec<Event> {
    let ways: [&[Step]; 6] = [
        &[i(2), i(1)],
        &[o(1), o(2)],
        &[i(3), o(2)],
        &[i(4), o(1), o(3)],
        &[i(5), o(4)],
        &[i(2), tagged(o(4), 7)],
    ];
    let ends = [(OWN, FAR), (NEAR, FAR), (NEAR, GROUP), (("10.0.0.9", 5353), OWN)];
    let named = |index| attached(&format!("i{index}"), index, [0, 0]);
    match happening.clone() {
        Happening::Frames { way, ends: between, back, packets, socket } => {
            let (mut src, mut dst) = *between.get(&ends);
            if back {
                std::mem::swap(&mut src, &mut dst);
            }
            let record = |Step(direction, index, vlan): &Step| Event::Record {
                key: FlowKey { ifindex: *index, vlan: *vlan, ..key(*direction, src, dst) },
                count: count(packets * 100, packets),
                socket: SocketHint(if socket == 5 { SocketHint::BOUND | socket } else { socket }),
            };
            way.get(&ways).iter().map(record).collect()
        }
        Happening::Answers { pid, again } => {
            if again {
                ledger.ask_again();
            }
            let mut events = Vec::new();
            for (place, question) in ledger.questions(usize::MAX, again).iter().enumerate() {
                if let Some(socket) = ledger.choice(question, |socket| socket.cookie() % 2 == 0) {
                    events.push(Event::Socket { row: question.row, socket });
                }
                let attribution = match (u32::try_from(place).unwrap() + pid) % 4 {
                    0 => continue,
                    1 => Arc::new(Attribution { owners: Vec::new(), reason: Reason::Forwarded }),
                    2 => process(pid, "server", Reason::Listener),
                    _ => process(pid, "client", Reason::Connected),
                };
                events.push(Event::Answer { row: question.row, attribution });
            }
            events
        }
        Happening::Untracked { index, packets } => {
            let key = HealthKey { ifindex: index, direction: 1, ..HealthKey::default() };
            let health = Health { untracked: count(packets * 60, packets), ..Health::default() };
            vec![Event::Health { key, health }]
        }
        Happening::Counters { index, bytes } => {
            vec![Event::Counters { index, counters: [count(bytes, 1); 2] }]
        }
        Happening::Gone(index) => vec![Event::Detach { index }],
        Happening::Back(index) => vec![Event::Attach(Box::new(named(index)))],
        Happening::Renamed(index, name) => vec![Event::Rename { index, name: format!("n{name}") }],
        Happening::Ports { of_bridge } => vec![Event::Links(links(of_bridge))],
        Happening::Addresses { second } => {
            let second = second.then(|| NEAR.0.parse().unwrap());
            let own = [OWN.0.parse().unwrap()].into_iter().chain(second).collect();
            vec![Event::Addresses { own, broadcasts: vec!["10.0.0.255".parse().unwrap()] }]
        }
        Happening::Filter(which) => {
            let text = which.map_or("", |first| if first { "udp and not port 137" } else { "port 443" });
            vec![Event::Filter(Filter::parse(text, &Dictionary::default()).unwrap().map(Box::new))]
        }
        Happening::Close { millis } => {
            *end += Duration::from_millis(millis);
            vec![Event::Close { end: *end, is_last: false }]
        }
    }
}

/// Everything that a reader can get out of a ledger, in an order of its own.
fn seen(ledger: &Ledger) -> Vec<String> {
    let snapshot = ledger.snapshot();
    let mut seen = Vec::new();
    for counting in [Counting::Once, Counting::PerInterface] {
        let of = |what: &str, row: RowView<'_>| format!("{counting:?} {what} {row:?}");
        seen.extend(ledger.rows(counting).map(|row| of("row", row)));
        seen.extend(ledger.departed(counting).map(|row| of("departed", row)));
        seen.push(format!("{:?}", ledger.intervals(0..u64::MAX, counting, |_| Some(Part::Both))));
    }
    for row in ledger.rows(Counting::PerInterface) {
        let inside: Vec<_> = ledger.inside(row.key).collect();
        seen.push(format!("{:?} crossed {:?}, in {inside:?}", row.key, ledger.crossed_by(row.key)));
    }
    if let Some(interval) = ledger.interval() {
        seen.extend(
            interval.rows().map(|row| format!("brought {:?} {} {:?}", row.key, row.owner, row.counts)),
        );
        seen.push(format!("{} {:?} {:?}", interval.number(), interval.start(), interval.interfaces()));
    }
    for (by, groups) in snapshot.groups {
        seen.extend(groups.into_iter().map(|group| format!("{by:?} {group:?}")));
    }
    seen.extend(snapshot.in_common.iter().map(|common| format!("{common:?}")));
    let Crossings { by_interface, one_sided, tunnelled, by_row } = snapshot.crossings;
    seen.push(format!("{by_interface:?} {one_sided:?} {tunnelled:?} {}", by_row.len()));
    let Snapshot { elapsed, window_seconds, total, recent_peak, interfaces, filter, late_ticks, .. } =
        snapshot;
    seen.push(format!("{elapsed:?} {window_seconds:?} {total:?} {recent_peak:?} {late_ticks} {filter:?}"));
    seen.push(format!("{interfaces:?} {:?} {:?}", snapshot.outside_boundary, snapshot.filtered_out));
    seen.sort_unstable();
    seen
}

fn start(live: bool, room: usize) -> Ledger {
    books(&links(true), &[1, 2, 3, 4, 5], |terms| {
        terms.retention = if live { Retention::Live } else { Retention::Run };
        terms.max_rows = room;
        terms.groups =
            vec![GroupBy::Port, GroupBy::Service, GroupBy::Interface, GroupBy::Process, GroupBy::User];
    })
}

fn restored(ledger: &mut Ledger) -> Ledger {
    let mut bytes = Vec::new();
    ledger.save(&mut bytes);
    Ledger::restore(&bytes, Services::default(), &Dictionary::default()).unwrap()
}

/// What is heard of an event.
fn heard(event: &Event) -> Event {
    let mut bytes = Vec::new();
    event.write(&mut bytes);
    let names = Dictionary::default();
    let mut reader = WireReader::new(&bytes, &names);
    let event = Event::read(&mut reader).unwrap().unwrap();
    assert!(reader.is_at_end());
    event
}

proptest! {
    #[test]
    fn what_was_read_goes_on_as_what_was_written(
        live: bool,
        room in prop_oneof![3 => Just(1000_usize), 1 => 1_usize..6],
        before in prop::collection::vec(happening(), 0..60),
        after in prop::collection::vec(happening(), 1..60),
    ) {
        let (mut first, mut end) = (start(live, room), Duration::ZERO);
        for happening in before {
            for event in events(&happening, &mut first, &mut end) {
                first.apply(event);
            }
        }
        let mut second = restored(&mut first);
        prop_assert_eq!(seen(&second), seen(&first));
        let close = |millis| Happening::Close { millis };
        for happening in after.into_iter().chain([1000, 1000, 50_000, 1000].map(close)) {
            let is_close = matches!(happening, Happening::Close { .. });
            for event in events(&happening, &mut first, &mut end) {
                second.apply(heard(&event));
                first.apply(event);
            }
            if is_close {
                prop_assert_eq!(seen(&second), seen(&first));
            }
        }
        for ledger in [&mut first, &mut second] {
            ledger.forget_totals();
        }
        prop_assert_eq!(seen(&second), seen(&first));
    }

    /// Whatever is wrong with them, nothing ends the program.
    #[test]
    fn damaged_bytes_are_read_or_refused(
        before in prop::collection::vec(happening(), 0..40),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<Index>()),
    ) {
        let (mut ledger, mut end) = (start(true, 1000), Duration::ZERO);
        for happening in before {
            for event in events(&happening, &mut ledger, &mut end) {
                ledger.apply(event);
            }
        }
        let mut bytes = Vec::new();
        ledger.save(&mut bytes);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
            let read = Ledger::restore(&bytes, Services::default(), &Dictionary::default());
            prop_assert!(read.is_err(), "{} bytes are missing", bytes.len());
        }
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        drop(Ledger::restore(&bytes, Services::default(), &Dictionary::default()));
    }

    #[test]
    fn foreign_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let names = Dictionary::default();
        drop(Ledger::restore(&bytes, Services::default(), &names));
        let mut reader = WireReader::new(&bytes, &names);
        while let Ok(Some(_)) = Event::read(&mut reader) {}
    }
}

/// A number of items that says much and is followed by little takes no memory.
#[test]
fn a_length_is_not_believed() {
    let bytes = [7, 255, 255, 255, 255, 255, 255, 255, 255, 127];
    let read = Event::read(&mut WireReader::new(&bytes, &Dictionary::default()));
    assert_eq!(read.unwrap_err(), WireError::Short);
}
