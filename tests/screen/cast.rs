//! The traffic that most tests share: it begins with the first of them and never changes.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::LazyLock,
};

use harness::{
    NetPair, Sender, Stream, Way,
    frames::{
        FAR_V4, FAR_V6, IPV4, IPV6, NEAR_V4, NEAR_V6, ethernet, icmp, ipv4_between, ipv6_between, protocol,
    },
};

/// A flow at a constant rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) way: Way,
    pub(crate) protocol: u8,
    pub(crate) near: (IpAddr, u16),
    pub(crate) far: (IpAddr, u16),
    /// Bytes of the IP packet.
    pub(crate) length: usize,
    pub(crate) per_second: u32,
}

const TWO: IpAddr = IpAddr::V4(FAR_V4);
const TEN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10));
const TWENTY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 20));
const NEAR: IpAddr = IpAddr::V4(NEAR_V4);
const NEAR6: IpAddr = IpAddr::V6(NEAR_V6);
const TWO6: IpAddr = IpAddr::V6(FAR_V6);

/// In the order of their rates.
pub(crate) const PARTS: [Part; 8] = [
    part(Way::Sent, protocol::UDP, (NEAR, 40_001), (TWO, 5001), 1000, 100),
    part(Way::Sent, protocol::UDP, (NEAR, 40_002), (TWENTY, 5002), 500, 50),
    part(Way::Sent, protocol::UDP, (NEAR6, 40_003), (TWO6, 5003), 1000, 20),
    part(Way::Received, protocol::UDP, (NEAR, 6001), (TWO, 5004), 200, 50),
    part(Way::Sent, protocol::UDP, (NEAR, 40_006), (TEN, 5006), 100, 40),
    part(Way::Sent, protocol::TCP, (NEAR, 40_005), (TWO, 22), 100, 20),
    part(Way::Sent, protocol::UDP, (NEAR, 40_004), (TWO, 53), 50, 20),
    part(Way::Sent, protocol::ICMP, (NEAR, 0), (TWO, 0), 40, 10),
];

const fn part(
    way: Way,
    protocol: u8,
    near: (IpAddr, u16),
    far: (IpAddr, u16),
    length: usize,
    per_second: u32,
) -> Part {
    Part { way, protocol, near, far, length, per_second }
}

impl Part {
    /// Bytes a second, sent and received.
    pub(crate) fn rates(&self) -> [f64; 2] {
        let rate = f64::from(self.per_second) * self.length as f64;
        match self.way {
            Way::Sent => [rate, 0.0],
            Way::Received => [0.0, rate],
        }
    }

    /// Both ends with ports as numbers, as they are on the screen.
    pub(crate) fn labels(&self) -> [String; 2] {
        [self.near, self.far].map(|(address, port)| match address {
            address if port == 0 => address.to_string(),
            IpAddr::V4(address) => format!("{address}:{port}"),
            IpAddr::V6(address) => format!("[{address}]:{port}"),
        })
    }

    /// The frame that it consists of.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let (from, to) = self.way.ends(self.near, self.far);
        match (from.0, to.0) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let payload = self.payload(from.1, to.1, 20);
                ethernet(self.way, IPV4, &ipv4_between(source, destination, self.protocol, &[], 0, &payload))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let payload = self.payload(from.1, to.1, 40);
                ethernet(self.way, IPV6, &ipv6_between(source, destination, self.protocol, &payload))
            }
            _ => panic!("two families in {self:?}"),
        }
    }

    fn payload(&self, from: u16, to: u16, header: usize) -> Vec<u8> {
        const ECHO_REQUEST: u8 = 8;
        let length = self.length - header;
        if self.protocol == protocol::ICMP {
            return icmp(ECHO_REQUEST, 0, length);
        }
        let mut payload = [from.to_be_bytes(), to.to_be_bytes()].concat();
        payload.resize(length, 0);
        match self.protocol {
            protocol::UDP => payload[4..6].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes()),
            // The length of the header, and a flag.
            protocol::TCP => payload[12..14].copy_from_slice(&[5 << 4, 0x10]),
            _ => {}
        }
        payload
    }

    pub(crate) fn stream(&self) -> Stream {
        Stream { way: self.way, frame: self.frame(), per_second: self.per_second }
    }
}

/// Bytes a second of all, sent and received.
pub(crate) fn total() -> [f64; 2] {
    PARTS.iter().fold([0.0; 2], |[sent, received], part| {
        let [more_sent, more_received] = part.rates();
        [sent + more_sent, received + more_received]
    })
}

/// The two hosts of the shared traffic, which is under way.
pub(crate) fn pair() -> &'static NetPair {
    static STAGE: LazyLock<(NetPair, Sender)> = LazyLock::new(|| {
        let pair = NetPair::new();
        let sender = Sender::start(&pair, PARTS.iter().map(Part::stream).collect());
        (pair, sender)
    });
    &STAGE.0
}
