//! The books: drained counts go in, snapshots come out.
//!
//! One owner feeds it with [events](Event), interval by interval: everything the kernel counted in the interval, then its
//! [`close`](Ledger::close).

mod asking;
mod interfaces;
mod intervals;
mod links;
mod logged;
mod saved;

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use flowtally_common::{
    Count, Direction, FlowKey, Health, HealthKey, SocketHint,
    flow::{ETHERNET_HEADER_LENGTH, VLAN_ID_MASK, VLAN_TAG_LENGTH, VLAN_TAGS_SHIFT},
    settings::Layer,
};

use super::{
    accounts::{Accounts, Way, rate},
    event::Event,
    group::GroupBy,
    orient::Orientation,
    row::{Counting, InterfaceId, Interval, Part, RowKey, RowView, Traffic, WINDOWS},
    rows::{RowAmount, Rows},
    services::Services,
    snapshot::{Crossings, RecentPeak, Snapshot},
    topology::Link,
    window::Timeline,
};
use crate::{filter::Filter, model::protocol::Kind};

use interfaces::LedgerInterface;

pub use intervals::IntervalView;

/// Which bytes of a packet count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Layer-2 frames of every kind, as interface counters have them.
    Frames,
    /// IP packets without their link-layer header, and nothing else, as iftop has them. In the totals, whatever crosses
    /// loopback without a net boundary was sent.
    IpPackets {
        /// Whether IPv6 packets from or to a link-local address count.
        link_local: bool,
    },
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Until they have been idle for the longest window: live views.
    Live,
    /// To the end: reports.
    Run,
}

/// What a ledger is made for.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Which bytes count.
    pub measure: Measure,
    /// Which interfaces count a frame that crosses several.
    pub counting: Counting,
    /// How long rows are kept.
    pub retention: Retention,
    /// Groupings to keep books of, beside the rows.
    pub groups: Vec<GroupBy>,
    /// Whether what each interval brought is kept until the next one is closed, for [`Ledger::interval`].
    pub intervals: bool,
    /// Most rows; what finds no room is untracked.
    pub max_rows: usize,
    /// What decides which end is local.
    pub orientation: Orientation,
    /// Which traffic becomes rows and totals; `None`: all of it.
    pub filter: Option<Filter>,
    /// Names of services, for the groupings.
    pub services: Services,
    /// How long an interval should be; 0 where that is not known, and then none is late.
    pub tick: Duration,
}

/// The books.
pub struct Ledger {
    terms: Terms,
    timeline: Timeline,
    rows: Rows<CountedAt>,
    /// Everything in account 0; the interfaces in the accounts after it, by [`InterfaceId`].
    total: Accounts,
    /// The recent intervals, for the recent peak.
    recent: VecDeque<Recent>,
    /// What the open interval has brought each interface, by [`InterfaceId`].
    interval: Vec<[Count; 2]>,
    interfaces: Vec<LedgerInterface>,
    by_index: hashbrown::HashMap<u32, InterfaceId>,
    outside_boundary: Count,
    filtered_out: Count,
    late_ticks: u64,
    /// The links of the host, and as they were when the open interval began where that is something else.
    links: Vec<Link>,
    links_before: Vec<Link>,
    links_changed: bool,
}

/// A closed interval.
struct Recent {
    start: Duration,
    end: Duration,
    /// What it brought each interface, by [`InterfaceId`].
    bytes: Vec<[u64; 2]>,
    /// What of this is the same frames again, modulo 2^64.
    repeated: [u64; 2],
}

/// Where an amount was counted.
struct CountedAt {
    interface: InterfaceId,
    direction: u8,
    /// As whole frames.
    frames: Count,
}

impl Ledger {
    /// Empty books; time starts now.
    #[must_use]
    pub fn new(mut terms: Terms) -> Self {
        let mut total = Accounts::default();
        total.open(None);
        Self {
            rows: Rows::new(
                terms.max_rows,
                std::mem::take(&mut terms.groups),
                std::mem::take(&mut terms.services),
            ),
            terms,
            timeline: Timeline::default(),
            total,
            recent: VecDeque::new(),
            interval: Vec::new(),
            interfaces: Vec::new(),
            by_index: hashbrown::HashMap::new(),
            outside_boundary: Count::default(),
            filtered_out: Count::default(),
            late_ticks: 0,
            links: Vec::new(),
            links_before: Vec::new(),
            links_changed: false,
        }
    }

    /// What decides which end is local.
    #[must_use]
    pub const fn orientation(&self) -> &Orientation {
        &self.terms.orientation
    }

    /// Takes what has happened next.
    #[inline]
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Record { key, count, socket } => self.record(&key, count, socket),
            Event::Health { key, health } => self.record_health(key, &health),
            Event::Attach(attached) => self.attach(*attached),
            Event::Rename { index, name } => self.rename(index, &name),
            Event::Detach { index } => self.detach(index),
            Event::Counters { index, counters } => self.read_counters(index, counters),
            Event::Addresses { own, broadcasts } => self.orientation_mut().set_addresses(own, broadcasts),
            Event::Links(links) => self.set_links(links),
            Event::Filter(filter) => self.set_filter(filter.map(|filter| *filter)),
            Event::Socket { row, socket } => self.choose(&row, socket),
            Event::Answer { row, attribution } => self.attribute(&row, &attribution),
            Event::Row { row, owner, counts } => self.take_row(&row, &owner, counts),
            Event::Logged { index, amounts } => self.take_logged(index, &amounts),
            Event::Late(ticks) => self.late_ticks += ticks,
            Event::Close { end, is_last } => self.close_interval(end, is_last),
        }
    }

    /// What decides which end is local; a change applies to what is recorded from now on.
    pub const fn orientation_mut(&mut self) -> &mut Orientation {
        self.links_changed = true;
        &mut self.terms.orientation
    }

    /// Puts another capture filter in place; it applies to what is recorded from now on, and what is there stays.
    pub fn set_filter(&mut self, filter: Option<Filter>) {
        self.terms.filter = filter;
    }

    /// Adds what the kernel counted of a flow in the open interval, and the socket that it was seen with.
    pub fn record(&mut self, key: &FlowKey, count: Count, socket: SocketHint) {
        let Some(&id) = self.by_index.get(&key.ifindex) else { return };
        let interface = &mut self.interfaces[usize::from(id.0)];
        let kind = Kind::of(key.protocol, u16::from_be_bytes(key.src_port), u16::from_be_bytes(key.dst_port));
        let one_way = &mut interface.directions[usize::from(key.direction & 1)];
        one_way.rows.add(count);
        let (layer, loopback) = (interface.attached.layer, interface.attached.loopback);
        let orientation = &self.terms.orientation;
        if let Some(filter) = &self.terms.filter
            && !filter.matches(key, kind, |address| orientation.is_broadcast(address))
        {
            one_way.left_out.add(count);
            one_way.filtered.add(count);
            self.filtered_out.add(count);
            return;
        }
        // What a filter left out is told as that alone, so that the parts add up.
        let one_way = &mut interface.directions[usize::from(key.direction & 1)];
        if matches!(kind, Kind::Unparsed(_)) {
            one_way.unparsed.add(count);
        }
        let Some(placed) = orientation.place(key, kind, loopback) else {
            one_way.left_out.add(count);
            self.outside_boundary.add(count);
            return;
        };
        let frames = count;
        let count = match self.terms.measure {
            Measure::Frames => frames,
            Measure::IpPackets { .. } if !kind.is_ip() => return,
            Measure::IpPackets { link_local } => {
                if !link_local
                    && (placed.local.is_unicast_link_local() || placed.remote.is_unicast_link_local())
                {
                    return;
                }
                let tags = u32::from(key.vlan) >> VLAN_TAGS_SHIFT;
                let header = match layer {
                    Layer::Ethernet => ETHERNET_HEADER_LENGTH + tags * VLAN_TAG_LENGTH,
                    Layer::Ip => 0,
                };
                Count { bytes: count.bytes.saturating_sub(count.packets * u64::from(header)), ..count }
            }
        };
        let all_is_sent = matches!(self.terms.measure, Measure::IpPackets { .. })
            && loopback
            && !orientation.has_boundary(placed.remote);
        // A frame's own socket is the sender's, also where it is received over a cable inside this host (veth); a bound one is
        // the receiver's. Of traffic that passes through, what comes in was sent by a container behind the interface.
        let is_ours = loopback || orientation.is_own(placed.local) || orientation.is_group(placed.remote);
        let of_local_end = if socket.is_exact() {
            placed.way == Way::Sent || !is_ours && key.direction == Direction::Ingress as u8
        } else {
            placed.way == Way::Received
        };
        self.add_total(id, if all_is_sent { Way::Sent } else { placed.way }, count);
        let row = RowKey {
            local: placed.local,
            remote: placed.remote,
            local_port: placed.local_port,
            remote_port: placed.remote_port,
            vlan: key.vlan & VLAN_ID_MASK,
            interface: id,
            kind,
        };
        let socket = if of_local_end { socket } else { SocketHint::NONE };
        let source = CountedAt { interface: id, direction: key.direction, frames };
        let Self { rows, interfaces, .. } = self;
        let is_ingress = key.direction == Direction::Ingress as u8;
        rows.add(RowAmount { row, way: placed.way, count, is_ingress, socket, source }, |amount| {
            refuse(interfaces, &amount);
        });
    }

    /// Adds what the kernel kept of an interface beside its flows in the open interval.
    pub fn record_health(&mut self, key: HealthKey, health: &Health) {
        let Some(&id) = self.by_index.get(&key.ifindex) else { return };
        let one_way = &mut self.interfaces[usize::from(id.0)].directions[usize::from(key.direction & 1)];
        one_way.health.add(health);
        one_way.left_out.add(health.filtered);
        one_way.filtered.add(health.filtered);
        self.filtered_out.add(health.filtered);
        let way = match Direction::from_raw(key.direction) {
            Direction::Egress => Way::Sent,
            Direction::Ingress => Way::Received,
        };
        // Whether it would have matched a filter on flows cannot be known; it is told beside the totals.
        let is_judged = self.terms.filter.as_ref().is_none_or(Filter::is_by_packets);
        if !health.untracked.is_zero() && is_judged {
            self.add_total(id, way, health.untracked);
        }
    }

    fn add_total(&mut self, interface: InterfaceId, way: Way, count: Count) {
        self.interval[usize::from(interface.0)][way as usize].add(count);
    }

    /// Closes the open interval, which ends `now` after the start.
    pub fn close(&mut self, now: Duration) {
        self.close_interval(now, false);
    }

    fn close_interval(&mut self, now: Duration, last: bool) {
        let start = self.timeline.end();
        let length = now.saturating_sub(start);
        self.late_ticks += u64::from(self.is_late(length));
        let closed = self.timeline.close(now);
        let evict = self.terms.retention == Retention::Live;
        let repeated = self.settle(last);
        self.rows.close(length, &closed, evict, self.terms.intervals);
        for (place, interface) in self.interfaces.iter_mut().enumerate() {
            let repeated = self.rows.crossings.by_place().get(place).copied().unwrap_or_default();
            interface.mark(repeated);
        }
        let mut all = [Count::default(); 2];
        let mut bytes = Vec::with_capacity(self.interval.len());
        for (interface, counts) in (0..).map(InterfaceId).zip(&mut self.interval) {
            let counts = std::mem::take(counts);
            all.iter_mut().zip(counts).for_each(|(sum, count)| sum.add(count));
            self.total.add_both(account(interface), counts);
            bytes.push(counts.map(|count| count.bytes));
        }
        self.total.add_difference(0, all);
        self.total.take_off(0, repeated);
        self.total.close(length, &closed, |_, _| ());
        self.recent.push_back(Recent { start, end: now, bytes, repeated: repeated.map(|count| count.bytes) });
        let longest = Duration::from_secs(WINDOWS[2]);
        while self.recent.front().is_some_and(|interval| interval.end + longest <= now) {
            self.recent.pop_front();
        }
    }

    /// Everything as it stands after the last closed interval.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let rows = || self.rows.iter(Counting::Once);
        let overview = self.overview(|_| true, Counting::Once);
        let by_row = self.rows.crossed(&self.terms.orientation).collect();
        Snapshot {
            rows: rows().map(|row| (*row.key, *row.traffic)).collect(),
            owners: rows().map(|row| Arc::clone(row.owner)).collect(),
            groups: self.rows.groups().collect(),
            in_common: self.rows.in_common(),
            crossings: Crossings { by_row, ..overview.crossings },
            ..overview
        }
    }

    /// A snapshot of some interfaces, without rows and groups: for those who read the [`rows`](Self::rows) in place. Of some
    /// interfaces each counts for itself. Unless frames count once or cross one interface only, the total has no
    /// [`peak`](Traffic::peak).
    #[must_use]
    pub fn overview(&self, of: impl Fn(InterfaceId) -> bool, counting: Counting) -> Snapshot {
        let ids = || (0..self.interfaces.len()).map(|id| InterfaceId(u16::try_from(id).unwrap_or(u16::MAX)));
        let all = ids().all(&of);
        let once = all && counting == Counting::Once;
        let crossings = self.crossings();
        let total = if once || all && crossings.by_interface.is_empty() {
            *self.total()
        } else {
            let mut total = Traffic::default();
            for id in ids().filter(|id| of(*id)) {
                total.merge(self.total.get(account(id)));
            }
            (total.sent.peak, total.received.peak, total.peak) = (0, 0, 0);
            total
        };
        Snapshot {
            elapsed: self.timeline.end(),
            window_seconds: self.timeline.window_seconds(),
            rows: Vec::new(),
            owners: Vec::new(),
            owners_degraded: Vec::new(),
            groups: Vec::new(),
            in_common: hashbrown::HashMap::new(),
            total,
            recent_peak: self.recent_peak(&of, once),
            counting: self.terms.counting,
            crossings,
            interfaces: ids()
                .filter(|id| of(*id))
                .map(|id| self.interfaces[usize::from(id.0)].view(id))
                .collect(),
            outside_boundary: self.outside_boundary,
            filter: self.terms.filter.as_ref().map(|filter| filter.text().to_owned()),
            filter_by_packets: self.terms.filter.as_ref().is_some_and(Filter::is_by_packets),
            filtered_out: self.filtered_out,
            late_ticks: self.late_ticks,
        }
    }

    /// Every row as it stands after the last closed interval, in no particular order.
    pub fn rows(&self, counting: Counting) -> impl Iterator<Item = RowView<'_>> {
        self.rows.iter(counting)
    }

    /// The rows that were forgotten when the last interval was closed, with all that they had come to. A row that comes back
    /// begins at 0.
    pub fn departed(&self, counting: Counting) -> impl Iterator<Item = RowView<'_>> {
        self.rows.departed(counting)
    }

    /// How many intervals have been closed: the sequence number of the open one.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.timeline.next()
    }

    /// What some rows got together in each of the intervals with these sequence numbers, oldest first, as far back as the
    /// longest window goes: of each row the part that is asked for.
    #[must_use]
    pub fn intervals(
        &self,
        intervals: Range<u64>,
        counting: Counting,
        part: impl Fn(RowView<'_>) -> Option<Part>,
    ) -> Vec<Interval> {
        let sums = self.rows.intervals(intervals, counting, part);
        sums.filter_map(|(interval, [sent, received])| {
            Some(Interval { length: self.timeline.length(interval)?, sent, received })
        })
        .collect()
    }

    /// Begins again with the totals and peaks of everything; the averages go on, and so does what is compared with the
    /// interfaces' own counters.
    pub fn forget_totals(&mut self) {
        self.rows.forget_totals();
        self.total.forget_totals();
        self.recent.clear();
    }

    /// Everything as it stands after the last closed interval: all rows, and without a filter what went to `untracked`.
    #[must_use]
    pub fn total(&self) -> &Traffic {
        self.total.get(0)
    }

    /// How many rows there were when the last interval was closed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest rates of the interfaces that are asked for.
    fn recent_peak(&self, of: impl Fn(InterfaceId) -> bool, once: bool) -> RecentPeak {
        let mut peak = RecentPeak::default();
        let mut slot: Option<(Duration, [u64; 2])> = None;
        for Recent { start, end, bytes, repeated } in &self.recent {
            let mut of_interval = [0; 2];
            for (_, [sent, received]) in (0..).map(InterfaceId).zip(bytes).filter(|(id, _)| of(*id)) {
                of_interval[0] += sent;
                of_interval[1] += received;
            }
            if once {
                of_interval.iter_mut().zip(repeated).for_each(|(sum, again)| *sum = sum.wrapping_sub(*again));
            }
            let bytes = of_interval;
            // What is as long as a slot is one alone: an interval of a log.
            let before = slot.take().filter(|_| end.saturating_sub(*start) < PEAK_SLOT);
            let (from, sums) = match before {
                Some((from, [sent, received])) => (from, [sent + bytes[0], received + bytes[1]]),
                None => (*start, bytes),
            };
            let seconds = end.saturating_sub(from).max(PEAK_SLOT).as_secs_f64();
            peak.sent = peak.sent.max(rate(sums[0], seconds));
            peak.received = peak.received.max(rate(sums[1], seconds));
            peak.total = peak.total.max(rate(sums[0] + sums[1], seconds));
            slot = Some((*start, bytes));
        }
        peak
    }
}

/// An interval is late when it took this many times as long as it should.
const LATE: f64 = 1.5;
/// What a recent peak is the rate of.
const PEAK_SLOT: Duration = Duration::from_secs(2);

/// The account of an interface's totals.
const fn account(interface: InterfaceId) -> u32 {
    1 + interface.0 as u32
}

/// What was counted in a row that found no room is untracked.
fn refuse(interfaces: &mut [LedgerInterface], amount: &RowAmount<CountedAt>) {
    let CountedAt { interface, direction, frames } = amount.source;
    interfaces[usize::from(interface.0)].directions[usize::from(direction & 1)]
        .drop_row(amount.row.kind, frames);
}

#[cfg(test)]
mod tests;
