//! Frames of numbered flows, and which flow comes next.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
};

use flowtally_common::{Direction, FlowKey};
use harness::{
    NetPair,
    frames::{FAR_PORT, IPV4, NEAR_V4, Way, ethernet, ipv4_between, protocol::UDP, udp},
    raw::RawSocket,
};

/// Payload bytes of a frame: with all headers it is as short as Ethernet allows.
const PAYLOAD: usize = 18;
/// Flows with the same remote address.
const FLOWS_PER_HOST: u32 = 16;
const FIRST_HOST: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 0);
const FIRST_PORT: u16 = 32_768;
/// Where in the frame the destination address and the source port are.
const DESTINATION_AT: usize = 14 + 16;
const SOURCE_PORT_AT: usize = 14 + 20;

/// A small UDP frame, to be made one of any flow.
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    /// A frame of flow 0.
    pub(crate) fn new() -> Self {
        let packet = ipv4_between(NEAR_V4, FIRST_HOST, UDP, &[], 0, &udp(Way::Sent, PAYLOAD));
        Self(ethernet(Way::Sent, IPV4, &packet))
    }

    /// The frame of a flow by its number.
    pub(crate) fn of(&mut self, flow: u32) -> &[u8] {
        let (host, port) = ends(flow);
        self.0[DESTINATION_AT..][..4].copy_from_slice(&host.octets());
        self.0[SOURCE_PORT_AT..][..2].copy_from_slice(&port.to_be_bytes());
        &self.0
    }
}

/// A flow's remote address and local port.
fn ends(flow: u32) -> (Ipv4Addr, u16) {
    let host = Ipv4Addr::from_bits(FIRST_HOST.to_bits() + flow / FLOWS_PER_HOST);
    let port = u32::from(FIRST_PORT) + flow % FLOWS_PER_HOST * 997;
    (host, u16::try_from(port).expect("a port"))
}

/// What the kernel program makes of a flow's frame.
pub(crate) fn key(flow: u32, ifindex: u32) -> FlowKey {
    let (host, port) = ends(flow);
    FlowKey {
        src: NEAR_V4.to_ipv6_mapped().octets(),
        dst: host.to_ipv6_mapped().octets(),
        src_port: port.to_be_bytes(),
        dst_port: FAR_PORT.to_be_bytes(),
        ifindex,
        protocol: UDP,
        direction: Direction::Egress as u8,
        vlan: 0,
    }
}

/// How frames are spread over flows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spread {
    /// Every flow as likely as any other.
    Uniform(u32),
    /// The n-th flow with a weight of `1 / n^exponent`, as real traffic is.
    Zipf(u32, f64),
}

impl Spread {
    /// What it is called.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Uniform(1) => "1 flow".to_owned(),
            Self::Uniform(flows) => format!("{flows} uniform"),
            Self::Zipf(flows, exponent) => format!("{flows} Zipf {exponent:.1}"),
        }
    }

    /// Flows, drawn; the sender goes through them again and again.
    pub(crate) fn draw(self) -> Vec<u32> {
        const DRAWS: usize = 1 << 20;
        let mut random = Random(0x5eed);
        match self {
            Self::Uniform(flows) => (0..DRAWS).map(|_| random.below(flows)).collect(),
            Self::Zipf(flows, exponent) => {
                let mut sum = 0.0;
                let sums: Vec<f64> = (1..=flows)
                    .map(|rank| {
                        sum += f64::from(rank).powf(-exponent);
                        sum
                    })
                    .collect();
                let draw = |_| {
                    let wanted = random.fraction() * sum;
                    let flow = sums.partition_point(|sum| *sum <= wanted);
                    u32::try_from(flow).expect("the number of a flow")
                };
                (0..DRAWS).map(draw).collect()
            }
        }
    }
}

/// Knuth's MMIX generator: the same numbers in every run.
struct Random(u64);

impl Random {
    /// A number of 32 bits; the generator's lower bits are not random.
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [.., a, b, c, d] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u32) -> u32 {
        let [.., a, b, c, d] = (u64::from(self.next()) * u64::from(bound)).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// A number of 0 to 1, 1 left out.
    fn fraction(&mut self) -> f64 {
        f64::from(self.next()) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Sends frames of the drawn flows from the near end, as fast as it can, until it is told to stop.
pub(crate) fn send(pair: &NetPair, flows: &[u32], stop: &AtomicBool) {
    /// Frames between two looks at `stop`.
    const BURST: usize = 64;
    let socket = RawSocket::open(&pair.near.namespace, pair.near.interface);
    let mut frame = Frame::new();
    let mut bursts = flows.chunks(BURST).cycle();
    while !stop.load(Ordering::Relaxed) {
        for flow in bursts.next().unwrap_or_default() {
            socket.send(frame.of(*flow));
        }
    }
}
