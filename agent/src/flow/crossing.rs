//! How much of what one direction of a conversation brought several interfaces is the same frames again.
//!
//! Each crossing is an entry or an exit of a node: a stacked device, a switch, a pair, the IP stack. What leaves a node was there
//! when it came in, as far as its entries account for it; whatever they do not account for, because a device is not measured or
//! a route changed, is new. So frames that are seen anywhere are counted at least once, and the sum of all that is new is how
//! many there were. It is given to the crossings in the order of their [`Rank`](super::topology::Rank).

use flowtally_common::Count;

use super::{topology::Topology, wire::wire_struct};

/// What one direction of a conversation brought an interface in an interval, one way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crossing {
    /// The interface's number.
    pub(crate) place: u16,
    /// Whether the frames came in.
    pub(crate) is_ingress: bool,
    pub(crate) count: Count,
    /// What the interval before left open.
    pub(crate) before: FramesBetween,
    /// What is counted here and not elsewhere: the result.
    pub(crate) once: Count,
    /// What this interval leaves open: the result.
    pub(crate) open: FramesBetween,
}

/// Frames on their way between two interfaces in the moment between two intervals: they are one packet all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FramesBetween {
    /// Packets that have come in where those of this crossing come from, and have not been seen here.
    pub(crate) awaited: u64,
    /// What has been seen here and is counted where it is awaited, or else here after all.
    pub(crate) put_off: Count,
}

/// How frames of a conversation may go from interface to interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passing {
    /// Whether the IP stack may forward them.
    pub(crate) is_routed: bool,
    pub(crate) switched: Switched,
}

/// Whether a switch hands frames of a conversation on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switched {
    /// It does.
    Yes,
    /// It does, but under one key are frames of all hosts: what comes in at one end that is measured need not be what leaves at
    /// another while there are ends that are not.
    Blurred,
    /// Frames to the switch itself.
    No,
}

/// Where sums are made: one for all conversations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// Ingress and egress by place.
    crossed: Vec<[Count; 2]>,
    /// What devices above sent towards a place.
    pushed: Vec<Count>,
    /// What came into a switch.
    entered: Vec<Count>,
    /// What was awaited, by place, until the exit has been seen to.
    awaited: Vec<[Option<u64>; 2]>,
    order: Vec<usize>,
}

impl Sums {
    /// Room for the places and switches of a topology.
    pub(crate) fn fit(&mut self, topology: &Topology) {
        let places = topology.places.len();
        *self = Self {
            crossed: vec![Default::default(); places],
            pushed: vec![Count::default(); places],
            entered: vec![Count::default(); topology.switches.len()],
            awaited: vec![[None; 2]; places],
            order: Vec::new(),
        };
    }

    /// Fills in what of each crossing is counted, and what is left open: nothing if this is the `last` interval.
    pub(crate) fn count_once(
        &mut self,
        topology: &Topology,
        passing: Passing,
        crossings: &mut [Crossing],
        last: bool,
    ) {
        self.add_up(topology, passing, crossings);
        let repeated = self.repeats(topology, passing, crossings);
        self.share_out(topology, crossings, repeated);
        if !last {
            self.put_off(topology, passing, crossings);
        }
        self.clear(topology, crossings);
    }

    fn add_up(&mut self, topology: &Topology, passing: Passing, crossings: &[Crossing]) {
        for Crossing { place, is_ingress, count, before, .. } in crossings {
            self.crossed[usize::from(*place)][usize::from(!is_ingress)].add(*count);
            *self.awaited[usize::from(*place)][usize::from(!is_ingress)].get_or_insert(0) += before.awaited;
            let at = &topology.places[usize::from(*place)];
            if *is_ingress {
                for switch in at.ports.iter().filter(|switch| passing.goes_through(topology, **switch)) {
                    self.entered[usize::from(*switch)].add(*count);
                }
            } else {
                for lower in &at.lowers {
                    self.pushed[usize::from(*lower)].add(*count);
                }
                if let Some(switch) = at.switch.filter(|switch| passing.goes_through(topology, *switch)) {
                    self.entered[usize::from(switch)].add(*count);
                }
            }
        }
    }

    /// What leaves a node somewhere, and what of it came in.
    fn repeats(&mut self, topology: &Topology, passing: Passing, crossings: &mut [Crossing]) -> Count {
        let mut repeated = Count::default();
        let mut received = Count::default();
        // What came in is known before what was sent on.
        for is_ingress in [true, false] {
            for crossing in crossings.iter_mut().filter(|crossing| crossing.is_ingress == is_ingress) {
                let awaited = &mut self.awaited[usize::from(crossing.place)][usize::from(!is_ingress)];
                let Some(awaited) = awaited.take() else { continue };
                let count = self.crossed[usize::from(crossing.place)][usize::from(!is_ingress)];
                let source = if is_ingress {
                    self.source_of_ingress(topology, passing, crossing.place)
                } else {
                    self.source_of_egress(topology, passing, crossing.place, received)
                };
                let known = source.packets.saturating_add(awaited);
                let packets = count.packets.min(known);
                // Nothing is awaited for longer than an interval.
                crossing.open.awaited = (known - packets).min(source.packets);
                let again = Count { packets, bytes: bytes_of(count, packets, source) };
                repeated.add(again);
                if is_ingress {
                    received
                        .add(Count { bytes: count.bytes - again.bytes, packets: count.packets - packets });
                }
            }
        }
        repeated
    }

    /// What comes to an interface from below or beside.
    fn source_of_ingress(&self, topology: &Topology, passing: Passing, place: u16) -> Count {
        let at = &topology.places[usize::from(place)];
        let mut source = Count::default();
        for lower in &at.lowers {
            source.add(self.crossed[usize::from(*lower)][0]);
        }
        if let Some(peer) = at.peer {
            source.add(self.crossed[usize::from(peer)][1]);
        }
        if let Some(switch) = at.switch.filter(|switch| passing.goes_through(topology, *switch)) {
            source.add(less(self.entered[usize::from(switch)], self.crossed[usize::from(place)][1]));
        }
        source
    }

    /// What goes to an interface from above or beside, or is forwarded.
    fn source_of_egress(&self, topology: &Topology, passing: Passing, place: u16, received: Count) -> Count {
        let at = &topology.places[usize::from(place)];
        let mut source = self.pushed[usize::from(place)];
        for switch in at.ports.iter().filter(|switch| passing.goes_through(topology, **switch)) {
            // Nothing goes back to the port where it came from.
            let mut others = less(self.entered[usize::from(*switch)], self.crossed[usize::from(place)][0]);
            for mate in &at.mates {
                others = less(others, self.crossed[usize::from(*mate)][0]);
            }
            source.add(others);
        }
        if passing.is_routed && at.is_routed {
            source.add(received);
        }
        source
    }

    /// Gives the crossings what there is in the order of their ranks, each no more than it had.
    fn share_out(&mut self, topology: &Topology, crossings: &mut [Crossing], repeated: Count) {
        let (mut all, mut put_off, mut most) = (Count::default(), Count::default(), 0);
        for crossing in crossings.iter() {
            all.add(crossing.count);
            put_off.add(crossing.before.put_off);
            most = most.max(crossing.count.packets.saturating_sub(crossing.before.awaited));
        }
        let mut left = less(all, repeated);
        // Whatever the nodes are said to be: what one interface saw was there.
        left.packets = left.packets.max(most);
        left.add(put_off);
        self.order.clear();
        self.order.extend(0..crossings.len());
        // Stable: of one rank the row that came first, so that both directions stay in one.
        self.order.sort_by_key(|at| topology.places[usize::from(crossings[*at].place)].rank);
        for at in &self.order {
            let Crossing { count, before, once, .. } = &mut crossings[*at];
            let mut had = *count;
            had.add(before.put_off);
            let packets = had.packets.min(left.packets);
            *once = if packets == had.packets {
                had
            } else if packets == count.packets {
                *count
            } else if packets == 0 {
                Count::default()
            } else {
                Count { bytes: left.bytes.min(had.bytes), packets }
            };
            left = less(left, *once);
        }
    }

    /// What is counted at an interface though it may be on its way to one that comes before it in the order, and be seen there in
    /// the next interval, waits for that.
    fn put_off(&self, topology: &Topology, passing: Passing, crossings: &mut [Crossing]) {
        let (mut awaited, mut nearer) = (0_u64, None);
        for at in &self.order {
            let Crossing { place, is_ingress, once, open, .. } = &mut crossings[*at];
            let at = &topology.places[usize::from(*place)];
            let goes_on = at.peer.is_some()
                || if *is_ingress {
                    passing.is_routed || !at.ports.is_empty()
                } else {
                    !at.lowers.is_empty() || at.switch.is_some()
                };
            let packets = if goes_on && nearer != Some(at.rank) { once.packets.min(awaited) } else { 0 };
            if packets > 0 {
                let bytes = bytes_of(*once, packets, Count::default());
                open.put_off = Count { bytes, packets };
                *once = less(*once, open.put_off);
                awaited -= packets;
            }
            awaited = awaited.saturating_add(open.awaited);
            nearer = Some(at.rank);
        }
    }

    fn clear(&mut self, topology: &Topology, crossings: &[Crossing]) {
        for Crossing { place, .. } in crossings {
            let at = &topology.places[usize::from(*place)];
            self.crossed[usize::from(*place)] = Default::default();
            for lower in &at.lowers {
                self.pushed[usize::from(*lower)] = Count::default();
            }
            for switch in at.ports.iter().copied().chain(at.switch) {
                self.entered[usize::from(switch)] = Count::default();
            }
        }
    }
}

impl Passing {
    fn goes_through(self, topology: &Topology, switch: u16) -> bool {
        match self.switched {
            Switched::Yes => true,
            Switched::Blurred => topology.switches[usize::from(switch)],
            Switched::No => false,
        }
    }
}

fn less(count: Count, other: Count) -> Count {
    Count {
        bytes: count.bytes.saturating_sub(other.bytes),
        packets: count.packets.saturating_sub(other.packets),
    }
}

/// The bytes of so many packets of a count: all, or those of the source's packets where that is what they are, or else an
/// average.
fn bytes_of(count: Count, packets: u64, source: Count) -> u64 {
    if packets == count.packets {
        return count.bytes;
    }
    if packets == source.packets {
        return source.bytes.min(count.bytes);
    }
    let share = u128::from(count.bytes) * u128::from(packets) / u128::from(count.packets.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

wire_struct!(FramesBetween { awaited, put_off });
