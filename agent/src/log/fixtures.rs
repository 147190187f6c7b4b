//! For tests alone: traffic from a seed, and the sum of what a log says.

use std::{
    collections::BTreeMap,
    net::Ipv6Addr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use flowtally_common::Count;
use serde_json::Value;

use super::{LogFold, LogIdentity, LogIntervals, LogTick, intervals::Brought};
use crate::{
    flow::{
        interval::{Difference, InterfaceInterval, RowInterval},
        row::{InterfaceId, RowKey},
        snapshot::{InterfaceView, Reconciliation},
    },
    model::{
        owner::{Attribution, Container, Netns, Owner, ProcessId, Reason, Runtime},
        protocol::Kind,
    },
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// 2026-11-29T14:00:00Z.
pub(crate) const BEGIN: Duration = Duration::from_hours(498_878);

pub(crate) fn identity() -> LogIdentity {
    LogIdentity {
        host: "web-1".into(),
        boot: "0f9b6f6e-5d0c-4a55-9f0c-6a1d3a5f2b10".to_owned(),
        run: "00c0ffee00c0ffee".to_owned(),
        version: "0.1.0".to_owned(),
        filter: None,
    }
}

/// `SplitMix64`: the same numbers for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    fn count(&mut self) -> Count {
        let packets = self.below(50);
        Count { bytes: packets * (60 + self.below(1400)), packets }
    }
}

pub(crate) fn owned(pid: u32, reason: Reason) -> Arc<Attribution> {
    let owner = Owner {
        id: ProcessId { pid, start: Some(u64::from(pid) * 7) },
        start_time: Some(SystemTime::UNIX_EPOCH + BEGIN - SECOND * pid),
        command: if pid.is_multiple_of(5) {
            b"od\xffd, \"name\"".as_slice().into()
        } else {
            format!("worker{pid}").into()
        },
        executable: Some("/usr/bin/worker".into()),
        uid: Some(pid % 3),
        user: (!pid.is_multiple_of(3)).then(|| format!("user{}", pid % 3).into()),
        container: pid
            .is_multiple_of(2)
            .then(|| Container { runtime: Runtime::Docker, name: format!("c{}", pid % 4).into() }),
        netns: Some(Netns { inode: Some(4_026_531_840), name: "host".into() }),
    };
    Arc::new(Attribution { owners: vec![owner], reason })
}

pub(crate) fn nobody(reason: Reason) -> Arc<Attribution> {
    Arc::new(Attribution { owners: Vec::new(), reason })
}

pub(crate) fn row_key(interface: u16, flow: u64) -> RowKey {
    let address = |last: u64| Ipv6Addr::from_bits(0xffff_0a00_0000 | u128::from(last & 0xff_ffff));
    let v6 = |last: u64| Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(last));
    let kind = match flow % 11 {
        0 => Kind::UDP,
        1 => Kind::Ip(1),
        2 => Kind::Frame(0x0806),
        _ => Kind::TCP,
    };
    let is_ip = kind.is_ip();
    let ends = if flow % 7 == 3 { [v6(1), v6(flow % 50)] } else { [address(1), address(2 + flow % 90)] };
    let ports = if kind.is_icmp() {
        [8, 0]
    } else if is_ip {
        [u16::try_from(32_768 + flow % 20_000).unwrap(), 443]
    } else {
        [0, 0]
    };
    RowKey {
        local: if is_ip { ends[0] } else { Ipv6Addr::UNSPECIFIED },
        remote: if is_ip { ends[1] } else { Ipv6Addr::UNSPECIFIED },
        local_port: ports[0],
        remote_port: ports[1],
        vlan: u16::from(flow.is_multiple_of(13)) * 20,
        interface: InterfaceId(interface),
        kind,
    }
}

/// Traffic on some interfaces.
pub(crate) struct World {
    pub(crate) random: Seeded,
    pub(crate) flows: u64,
    interfaces: Vec<InterfaceInterval>,
    owners: Vec<Arc<Attribution>>,
    pub(crate) clock: LogTick,
    /// All that there has been, by interface: what every granularity has to come to.
    pub(crate) rows: BTreeMap<String, [Count; 2]>,
    pub(crate) counted: Count,
    /// What a filter left out, by interface and direction.
    pub(crate) filtered: BTreeMap<String, [Count; 2]>,
}

impl World {
    pub(crate) fn new(seed: u64, interfaces: u16, flows: u64) -> Self {
        let view = |id| InterfaceView {
            id: InterfaceId(id),
            name: format!("eth{id}"),
            index: u32::from(id) + 2,
            hook: "tcx".to_owned(),
            degraded: if id == 1 {
                vec!["no hardware, a \"sentence\", with commas".to_owned()]
            } else {
                Vec::new()
            },
            ingress: Reconciliation::default(),
            egress: Reconciliation::default(),
        };
        let interval = |id| InterfaceInterval {
            view: view(id),
            counted: Default::default(),
            kernel: Default::default(),
            untracked: Count::default(),
            repeated: Difference::default(),
            left_out: Count::default(),
            filtered: Default::default(),
        };
        let owners = (1..40)
            .map(|pid| owned(pid, Reason::Open))
            .chain([nobody(Reason::Forwarded), nobody(Reason::NotLooked)]);
        Self {
            random: Seeded(seed),
            flows,
            interfaces: (0..interfaces).map(interval).collect(),
            owners: owners.collect(),
            clock: LogTick { wall: SystemTime::UNIX_EPOCH + BEGIN, mono: SECOND * 100, boot: SECOND * 100 },
            rows: BTreeMap::new(),
            counted: Count::default(),
            filtered: BTreeMap::new(),
        }
    }

    /// A second goes by, and is added.
    pub(crate) fn tick(
        &mut self,
        intervals: &mut LogIntervals,
        send: &mut dyn FnMut(Box<LogFold>) -> Result<(), Box<LogFold>>,
    ) {
        self.clock.wall += SECOND;
        self.clock.mono += SECOND;
        self.clock.boot += SECOND;
        let Self { random, flows, interfaces, owners, filtered, .. } = self;
        for interface in &mut *interfaces {
            interface.counted = Default::default();
            interface.kernel = [random.count(), random.count()];
            interface.untracked = random.count();
            // A net boundary leaves out what a filter does not.
            let mut beside = Seeded(!random.0);
            interface.filtered = [beside.count(), beside.count()];
            interface.left_out = random.count();
            interface.filtered.iter().for_each(|count| interface.left_out.add(*count));
            let sums = filtered.entry(interface.view.name.clone()).or_default();
            sums.iter_mut().zip(interface.filtered).for_each(|(sum, count)| sum.add(count));
            interface.repeated = Difference {
                bytes: random.below(2000).cast_signed() - 1000,
                packets: random.below(20).cast_signed() - 10,
            };
            interface.view.ingress.residue_bytes += random.below(100).cast_signed() - 50;
        }
        let mut rows = Vec::new();
        for _ in 0..random.below(*flows * 2) {
            let interface = random.below(interfaces.len() as u64);
            let flow = random.below(*flows);
            let owner = Arc::clone(
                &owners[usize::try_from(if random.below(9) == 0 { random.next() } else { flow })
                    .unwrap_or(0)
                    % owners.len()],
            );
            let mut key = row_key(u16::try_from(interface).unwrap(), flow);
            if random.below(40) == 0 {
                key = RowKey { kind: Kind::Unparsed(1), ..row_key(key.interface.0, 2) };
            }
            rows.push((key, owner, [random.count(), random.count()]));
        }
        for (key, _, counts) in &rows {
            let interface = &mut interfaces[usize::from(key.interface.0)];
            let all = &mut interface.counted[1];
            for count in counts {
                all.add(*count);
            }
            if !matches!(key.kind, Kind::Unparsed(_)) {
                let sums = self.rows.entry(interface.view.name.clone()).or_default();
                sums.iter_mut().zip(counts).for_each(|(sum, count)| sum.add(*count));
            }
        }
        for interface in &mut *interfaces {
            // What the sum has to be, in two directions.
            let mut all = interface.counted[1];
            all.add(interface.untracked);
            all.add(interface.left_out);
            let part = |all: &mut u64, repeated: &mut i64| {
                *repeated = (*repeated).max(-(*all).cast_signed());
                *all = all.saturating_add_signed(*repeated);
                *all / 3
            };
            let Difference { bytes, packets } = &mut interface.repeated;
            let ingress =
                Count { bytes: part(&mut all.bytes, bytes), packets: part(&mut all.packets, packets) };
            let egress = Count { bytes: all.bytes - ingress.bytes, packets: all.packets - ingress.packets };
            interface.counted = [ingress, egress];
            interface.counted.iter().for_each(|count| self.counted.add(*count));
        }
        let views = rows.iter().map(|(key, owner, counts)| RowInterval { key, owner, counts: *counts });
        let brought = Brought {
            degraded: &[],
            length: SECOND,
            is_late: false,
            interfaces: interfaces.clone(),
            rows: views,
        };
        intervals.add(brought, self.clock, send);
    }
}

/// What a log comes to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sums {
    /// By granularity and interface, rests among them.
    pub(crate) by: BTreeMap<(String, String), [Count; 2]>,
    pub(crate) counted: Count,
    /// By interface and direction.
    pub(crate) filtered: BTreeMap<String, [Count; 2]>,
    pub(crate) intervals: u64,
    pub(crate) last_interval: u64,
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
}

fn counts(value: &Value) -> [Count; 2] {
    let of = |way: &str| Count {
        bytes: value[format!("{way}_bytes")].as_u64().unwrap(),
        packets: value[format!("{way}_packets")].as_u64().unwrap(),
    };
    [of("sent"), of("received")]
}

impl Sums {
    /// Adds a file, and holds it to all that a file has to be. `is_closed` says whether its last line is there.
    pub(crate) fn add_file(&mut self, text: &str, is_closed: bool) {
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert_eq!(lines.first().expect("a line")["record"], "start");
        let mut at = 1;
        while at < lines.len() && lines[at]["record"] == "interval" {
            let end = lines[at + 1..]
                .iter()
                .position(|line| matches!(line["record"].as_str(), Some("interval" | "end")));
            let end = end.map_or(lines.len(), |end| at + 1 + end);
            self.add_interval(&lines[at], &lines[at + 1..end]);
            at = end;
        }
        if is_closed {
            let end = &lines[at];
            assert_eq!(end["record"], "end", "{end}");
            assert_eq!(end["lines"].as_u64(), Some(lines.len() as u64 - 1));
            let before = &text[..=text.trim_end().rfind('\n').unwrap()];
            assert_eq!(end["crc32"], format!("{:08x}", crc32fast::hash(before.as_bytes())));
            let rows = lines
                .iter()
                .filter(|line| !matches!(line["record"].as_str(), Some("start" | "interval" | "end")));
            assert_eq!(end["rows"].as_u64(), Some(rows.count() as u64));
            at += 1;
        }
        assert_eq!(at, lines.len(), "nothing behind it");
    }

    /// Adds an interval, whose rows have to come to what its interfaces say.
    pub(crate) fn add_interval(&mut self, interval: &Value, rows: &[Value]) {
        let number = interval["interval"].as_u64().unwrap();
        let carried = interval["carried"].as_u64().unwrap_or(0);
        assert_eq!(number - carried, self.last_interval + 1, "no interval is missing");
        self.last_interval = number;
        self.intervals += carried + 1;
        self.seconds += interval["seconds"].as_f64().unwrap();
        self.rows += rows.len() as u64;
        let mut sums: BTreeMap<(String, String), [Count; 2]> = BTreeMap::new();
        for row in rows {
            assert_eq!(row["interval"], interval["interval"]);
            let by = if row["record"] == "other" { &row["of"] } else { &row["record"] };
            let key = (by.as_str().unwrap().to_owned(), row["interface"].as_str().unwrap().to_owned());
            let sum = sums.entry(key).or_default();
            sum.iter_mut().zip(counts(row)).for_each(|(sum, count)| sum.add(count));
        }
        let wanted: Vec<String> =
            interval["row_counts"].as_object().unwrap().keys().filter(|by| *by != "other").cloned().collect();
        for interface in interval["interfaces"].as_array().unwrap() {
            let name = interface["name"].as_str().unwrap().to_owned();
            for by in &wanted {
                let rows = sums.get(&(by.clone(), name.clone())).copied().unwrap_or_default();
                assert_eq!(rows, counts(interface), "{by} of {name}: {interval}");
            }
            for unit in ["bytes", "packets"] {
                let of = |what: &str| i128::from(interface[format!("{what}_{unit}")].as_i64().unwrap());
                let parts = ["sent", "received", "untracked", "unparsed", "repeated", "left_out"];
                assert_eq!(of("counted"), parts.into_iter().map(of).sum::<i128>(), "{interface}");
                assert_eq!(of("counted"), of("ingress") + of("egress"));
                assert_eq!(of("filtered"), of("filtered_ingress") + of("filtered_egress"));
                assert!(of("filtered") <= of("left_out"), "{interface}");
            }
            let of = |what: &str| interface[what].as_u64().unwrap();
            self.counted.add(Count { bytes: of("counted_bytes"), packets: of("counted_packets") });
            let sums = self.filtered.entry(name).or_default();
            for (sum, way) in sums.iter_mut().zip(["filtered_ingress", "filtered_egress"]) {
                sum.add(Count { bytes: of(&format!("{way}_bytes")), packets: of(&format!("{way}_packets")) });
            }
        }
        for (key, counts) in sums {
            self.by.entry(key).or_default().iter_mut().zip(counts).for_each(|(sum, count)| sum.add(count));
        }
    }

    /// Holds it to what was there.
    pub(crate) fn check(&self, world: &World) {
        assert_eq!(self.counted, world.counted);
        assert_eq!(self.filtered, world.filtered);
        for by in self.by.keys().map(|(by, _)| by) {
            let sums: BTreeMap<String, [Count; 2]> = self
                .by
                .iter()
                .filter(|((other, _), counts)| other == by && !counts.iter().all(Count::is_zero))
                .map(|((_, interface), counts)| (interface.clone(), *counts))
                .collect();
            assert_eq!(sums, world.rows, "{by}");
        }
    }
}
