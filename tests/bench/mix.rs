//! A host whose traffic is logged: what the log is measured on. It is made up, frame by frame, of what is known of web servers, for no
//! capture that may be handed on has a million conversations. `docs/performance.md` says what it is.

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use flowtally::{
    export::{self, LogStatus, LogWriter, OpenDoor},
    flow::{ledger::Ledger, services::Services},
    log::{Compression, LogIntervals, LogSettings, LogTick},
    model::owner::{Attribution, Container, Netns, Owner, ProcessId, Reason, Runtime},
};
use flowtally_common::{Count, Direction, FlowKey, SocketHint};
use harness::{
    books::{self, SECOND},
    frames::NEAR_V4,
};

use crate::tick::timed;

/// 2026-11-29T14:00:00Z.
const BEGIN: Duration = Duration::from_hours(498_878);
pub(crate) const IFINDEX: u32 = 2;

/// Headers of a frame of TCP with timestamps: Ethernet, IPv4, TCP.
const HEADERS: u64 = 66;
/// What such a frame carries at most.
const SEGMENT: u64 = 1448;
/// Those of SYN and SYN-ACK, with their options.
const SYN: u64 = 74;
/// New conversations of a second, on average.
const VISITS: f64 = 35.0;
/// Who visits.
const CLIENTS: u32 = 20_000;

pub(crate) fn ledger() -> Ledger {
    books::ledger("eth0", IFINDEX, |_| ())
}

pub(crate) fn at(second: u32) -> LogTick {
    books::tick(SystemTime::UNIX_EPOCH + BEGIN, second)
}

/// Processes, as a host has them.
pub(crate) fn processes() -> Vec<Arc<Attribution>> {
    let names = [
        "nginx",
        "php-fpm",
        "postgres",
        "redis-server",
        "sshd",
        "node",
        "envoy",
        "prometheus",
        "chronyd",
        "systemd-resolve",
    ];
    let owner = |number: u32| {
        let name = names[number as usize % names.len()];
        let owner = Owner {
            id: ProcessId { pid: 900 + number * 37, start: Some(u64::from(number) * 1000) },
            start_time: Some(
                SystemTime::UNIX_EPOCH + BEGIN - Duration::from_secs(86_400 * 3 + u64::from(number) * 61),
            ),
            command: name.into(),
            executable: Some(format!("/usr/sbin/{name}").into()),
            uid: Some(33 + number % 6),
            user: Some(format!("svc-{}", number % 6).into()),
            container: Some(Container { runtime: Runtime::Systemd, name: format!("{name}.service").into() }),
            netns: Some(Netns { inode: Some(4_026_531_840), name: "host".into() }),
        };
        Arc::new(Attribution {
            owners: vec![owner],
            reason: if number.is_multiple_of(3) { Reason::Accepted } else { Reason::Connected },
        })
    };
    (0..40).map(owner).collect()
}

/// Gives every new row an owner: a service's own port is that of four workers, and what goes out is of those that ask such a service.
pub(crate) fn own(ledger: &mut Ledger, processes: &[Arc<Attribution>]) {
    for question in ledger.questions(usize::MAX, false) {
        let [local, remote] = [question.row.local_port, question.row.remote_port].map(usize::from);
        let number = match (local, remote) {
            (443, _) => remote % 4,
            (_, 53) => 4,
            _ => 5 + (remote % 5 * 7 + local % 7) % (processes.len() - 5),
        };
        ledger.attribute(&question.row, &processes[number]);
    }
}

/// A log of the mix.
pub(crate) struct Logged {
    pub(crate) status: LogStatus,
    /// Processor time of the thread that compresses, in milliseconds.
    pub(crate) compressing: f64,
}

/// Writes the mix's log to a folder, as the agent does, until there is enough of it.
pub(crate) fn write_log(
    folder: &Path,
    compress: Compression,
    rotate_size: Option<u64>,
    is_enough: impl Fn(&LogStatus) -> bool,
) -> Logged {
    let settings = LogSettings { folder: folder.to_owned(), compress, rotate_size, ..LogSettings::default() };
    let identity = export::identity(None).expect("this host's identity");
    let (writer, writing, looking_after) =
        LogWriter::new(settings, identity, Services::default(), |text: &str| println!("{text}"));
    let writing = thread::spawn(move || writing.run(&OpenDoor));
    let looking_after = thread::spawn(move || timed(|| looking_after.run(&OpenDoor)).0);
    let (mut ledger, processes, mut mix) = (ledger(), processes(), Mix::new());
    let mut intervals = LogIntervals::new(SECOND * 10, SECOND, 1 << 19);
    let mut second = 0;
    while !is_enough(&writer.status()) {
        second += 1;
        mix.second(&mut ledger);
        own(&mut ledger, &processes);
        ledger.close(SECOND * second);
        intervals.tick(&ledger.interval().expect("an interval"), at(second), &[], |fold| {
            let mut fold = Some(fold);
            // Here it waits: no row may be in a record of several intervals.
            while let Some(full) = fold.take().and_then(|fold| writer.try_send(fold).err()) {
                fold = Some(full);
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
    }
    // The last file may be large, and is compressed before it ends.
    let status = writer.stop(intervals.finish(), Duration::from_mins(10)).expect("it stops");
    writing.join().expect("it wrote");
    Logged { status, compressing: looking_after.join().expect("it compressed") }
}

/// Numbers that look as if they were drawn by lot, the same each time: xorshift64*.
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Pareto: at least so much, with a tail of this exponent.
    fn tail(&mut self, least: f64, exponent: f64) -> f64 {
        (least / (1.0 - self.unit()).powf(1.0 / exponent)).min(1e9)
    }

    /// Log-normal: this median, and this standard deviation of the logarithm.
    fn around(&mut self, median: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// How many of so many a second, which come when they like (Poisson).
    fn arrivals(&mut self, rate: f64) -> u32 {
        let (end, mut product, mut count) = ((-rate).exp(), self.unit(), 0);
        while product > end {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// A rank from 0, of so many, the r-th with a weight of nearly 1/r.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    fn rank(&mut self, ranks: u32) -> u32 {
        (f64::from(ranks).powf(self.unit()) as u32).min(ranks) - 1
    }
}

/// A number that belongs to another one.
fn hash(number: u64) -> u64 {
    let mut number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 17
}

/// What one way of a conversation brings in a second, in frames.
fn frames(bytes: u64, packets: u64) -> Count {
    Count { bytes, packets }
}

/// What was sent and received.
#[derive(Clone, Copy, Default)]
struct Exchange([Count; 2]);

impl Exchange {
    /// A message this way (0: sent, 1: received) in segments, and the other way an acknowledgement of every two.
    fn message(&mut self, way: usize, payload: u64, lot: &mut Lot) {
        let mut segments = payload.div_ceil(SEGMENT);
        let mut acknowledged = segments.div_ceil(2);
        if segments > 8 {
            // Now and then one is lost, and acknowledgements are not always of two.
            let dropped = u64::from(lot.arrivals((segments as f64 * 0.004).min(20.0)));
            self.0[way].add(frames(dropped * (SEGMENT + HEADERS), dropped));
            segments += dropped;
            acknowledged -= lot.below(1 + acknowledged / 4);
        }
        self.0[way].add(frames(payload + HEADERS * payload.div_ceil(SEGMENT), payload.div_ceil(SEGMENT)));
        self.0[1 - way].add(frames(acknowledged.min(segments) * HEADERS, acknowledged.min(segments)));
    }

    fn frame(&mut self, way: usize, bytes: u64) {
        self.0[way].add(frames(bytes, 1));
    }
}

/// Traffic as a web server has it.
pub(crate) struct Mix {
    lot: Lot,
    /// Sizes of what is on the server, the most wanted first.
    objects: Vec<u64>,
    live: Vec<Conversation>,
}

struct Conversation {
    key: FlowKey,
    kind: ConversationKind,
}

enum ConversationKind {
    /// Somebody who visits the web site.
    Visit {
        /// What his program's requests have in their headers.
        headers: u64,
        /// Whether he was here before, so that the certificate is not sent again.
        resumed: bool,
        begun: bool,
        pages: u32,
        /// Seconds until the next page, or until the server ends it.
        wait: u32,
    },
    /// A question to the name server.
    Name,
    /// What stays, and asks so many times a second.
    Lasting { service: u64, rate: f64 },
    /// A scrape of figures each 15 seconds.
    Scrape { size: u64, phase: u32 },
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "amounts of traffic")]
impl Mix {
    pub(crate) fn new() -> Self {
        let mut lot = Lot(0x1234_5678_9abc_def1);
        let objects = (0..4000)
            .map(|_| if lot.below(10) == 0 { lot.tail(30_000.0, 1.2) } else { lot.around(7000.0, 1.3) })
            .map(|size| size.min(40e6) as u64 + 40)
            .collect();
        let mut live = Vec::new();
        for number in 0..300_u32 {
            let service = u64::from(number % 5);
            let port = [5432, 6379, 9100, 9090, 8443][number as usize % 5];
            let peer = [10, 0, 1, (number % 20) as u8];
            let local = 33_000 + (number * 61 % 20_000) as u16;
            let kind = match service {
                2 | 3 => ConversationKind::Scrape {
                    size: 12_000 + hash(number.into()) % 30_000,
                    phase: number % 15,
                },
                // A pool: the first of it do nearly everything.
                _ => ConversationKind::Lasting { service, rate: 30.0 / f64::from(1 + number / 5) },
            };
            live.push(Conversation { key: key(peer, local, port, 6), kind });
        }
        Self { lot, objects, live }
    }

    /// What a conversation that is looked at once brings.
    pub(crate) fn count(&mut self) -> Count {
        let payload = if self.lot.below(3) == 0 { self.lot.around(900.0, 1.0) as u64 } else { self.object() };
        frames(payload + HEADERS * payload.div_ceil(SEGMENT), payload.div_ceil(SEGMENT))
    }

    /// The size of something that is wanted: four in ten are made for who asks, and have any size.
    fn object(&mut self) -> u64 {
        if self.lot.below(10) < 4 {
            return self.lot.around(3000.0, 1.2) as u64 + 40;
        }
        let rank = self.lot.rank(self.objects.len() as u32);
        self.objects[rank as usize]
    }

    /// A second of it.
    pub(crate) fn second(&mut self, ledger: &mut Ledger) {
        for _ in 0..self.lot.arrivals(VISITS) {
            let port = 32_768 + self.lot.below(28_000) as u16;
            if self.lot.below(10) == 0 {
                self.live.push(Conversation {
                    key: key([10, 0, 0, 2], port, 53, 17),
                    kind: ConversationKind::Name,
                });
                continue;
            }
            let rank = self.lot.rank(CLIENTS);
            let client = (0x5000_0000_u32.wrapping_add(rank.wrapping_mul(2_654_435_761) >> 4)).to_be_bytes();
            let kind = ConversationKind::Visit {
                headers: 380 + hash(u64::from(rank) % 40) % 260,
                resumed: self.lot.below(2) == 0,
                begun: false,
                pages: 1 + (self.lot.tail(1.0, 1.3) as u32).min(30),
                wait: 0,
            };
            // The server's end is the one with the port of the service.
            self.live.push(Conversation { key: key(client, 443, port, 6), kind });
        }
        let mut live = std::mem::take(&mut self.live);
        live.retain_mut(|conversation| {
            let (exchange, goes_on) = self.exchange(&mut conversation.kind);
            for (way, count) in exchange.0.into_iter().enumerate().filter(|(_, count)| !count.is_zero()) {
                let mut key = conversation.key;
                if way == 1 {
                    (key.src, key.dst) = (key.dst, key.src);
                    (key.src_port, key.dst_port) = (key.dst_port, key.src_port);
                    key.direction = Direction::Ingress as u8;
                }
                ledger.record(&key, count, SocketHint::NONE);
            }
            goes_on
        });
        self.live = live;
    }

    /// What a conversation brings in a second, and whether it goes on.
    fn exchange(&mut self, kind: &mut ConversationKind) -> (Exchange, bool) {
        let mut exchange = Exchange::default();
        match kind {
            ConversationKind::Name => {
                let name = u64::from(self.lot.rank(300));
                let question = 14 + 20 + 8 + 12 + 6 + 12 + hash(name) % 30;
                exchange.frame(0, question);
                exchange.frame(1, question + [16, 28, 64, 120][hash(name + 1) as usize % 4]);
                (exchange, false)
            }
            ConversationKind::Scrape { size, phase } => {
                *phase = (*phase + 1) % 15;
                if *phase == 0 {
                    exchange.message(0, 210, &mut self.lot);
                    let size = *size + self.lot.below(160);
                    exchange.message(1, size, &mut self.lot);
                }
                (exchange, true)
            }
            ConversationKind::Lasting { service, rate } => {
                for _ in 0..self.lot.arrivals(*rate) {
                    let statement = *service * 1000 + u64::from(self.lot.rank(60));
                    let own = hash(statement);
                    exchange.message(0, 40 + own % 300 + self.lot.below(6), &mut self.lot);
                    let answer = match own % 2 {
                        0 => 20 + own % 900,
                        _ => self.lot.around(60.0 + (own % 2000) as f64, 0.8) as u64,
                    };
                    exchange.message(1, answer, &mut self.lot);
                }
                (exchange, true)
            }
            ConversationKind::Visit { headers, resumed, begun, pages, wait } => {
                if *wait > 0 {
                    *wait -= 1;
                    return (exchange, true);
                }
                if *pages == 0 {
                    // Both say that they end.
                    for way in [0, 1] {
                        exchange.frame(way, HEADERS + 24);
                        exchange.frame(way, HEADERS);
                    }
                    return (exchange, false);
                }
                if !*begun {
                    *begun = true;
                    exchange.frame(1, SYN);
                    exchange.frame(0, SYN);
                    exchange.frame(1, HEADERS);
                    exchange.message(1, 517, &mut self.lot);
                    exchange.message(0, if *resumed { 236 } else { 3412 }, &mut self.lot);
                    exchange.message(1, 80, &mut self.lot);
                }
                for request in 0..=self.lot.tail(1.0, 1.2).min(40.0) as u64 {
                    let path = 12 + self.lot.below(40);
                    // Headers that were sent before are one byte each.
                    exchange.message(
                        1,
                        if request == 0 { *headers + path } else { 60 + path },
                        &mut self.lot,
                    );
                    let size = self.object();
                    // Headers, and those of a record of TLS for each 16 KB.
                    exchange.message(0, size + 190 + size.div_ceil(16_384) * 22, &mut self.lot);
                }
                *pages -= 1;
                *wait = if *pages == 0 { 15 } else { self.lot.tail(2.0, 1.4).min(60.0) as u32 };
                (exchange, true)
            }
        }
    }
}

/// What this host sends to a peer.
fn key(peer: [u8; 4], local_port: u16, remote_port: u16, protocol: u8) -> FlowKey {
    FlowKey {
        src: NEAR_V4.to_ipv6_mapped().octets(),
        dst: Ipv4Addr::from(peer).to_ipv6_mapped().octets(),
        src_port: local_port.to_be_bytes(),
        dst_port: remote_port.to_be_bytes(),
        ifindex: IFINDEX,
        protocol,
        direction: Direction::Egress as u8,
        vlan: 0,
    }
}
