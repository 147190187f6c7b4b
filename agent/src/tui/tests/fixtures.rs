//! Books with known traffic, and a screen on them.

use std::{net::IpAddr, time::Duration};

use flowtally_common::{Count, Direction, FlowKey, SocketHint, settings::Layer};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use crate::{
    flow::{
        attached::Attached,
        boundary::Ipv4Boundary,
        ledger::{Ledger, Measure, Retention, Terms},
        names::Names,
        orient::Orientation,
        row::Counting,
        services::Services,
    },
    iftop::options::{IftopOptions, PortDisplay},
    tui::{Display, PressedKey, Theme, Wish},
};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
/// The index of the interface that all fixtures have.
pub(super) const VA: u32 = 2;
/// The index of the loopback interface.
pub(super) const LO: u32 = 1;

/// An end: address and port.
pub(super) type End<'a> = (&'a str, u16);

/// What goes from one end to another in a second, in bytes of IP packets.
pub(super) type Flow<'a> = (End<'a>, End<'a>, u8, u64);

/// A screen, the books behind it, and the time.
pub(super) struct Test {
    pub(super) display: Display,
    pub(super) ledger: Ledger,
    pub(super) second: u64,
}

pub(super) fn services() -> Services {
    Services::parse("domain 53/udp\nhttps 443/tcp\nssh 22/tcp\n")
}

pub(super) fn ledger(boundary: Option<Ipv4Boundary>) -> Ledger {
    let mut orientation = Orientation::with_boundary(boundary, None);
    let own: [IpAddr; 2] = ["10.77.0.1".parse().unwrap(), "fd77::1".parse().unwrap()];
    orientation.set_addresses(own, []);
    let mut ledger = Ledger::new(Terms {
        measure: Measure::IpPackets { link_local: false },
        counting: Counting::Once,
        retention: Retention::Live,
        groups: Vec::new(),
        intervals: false,
        max_rows: 100_000,
        orientation,
        filter: None,
        services: services(),
        tick: Duration::from_secs(1),
    });
    ledger.attach(interface("va", VA, false));
    ledger
}

pub(super) fn interface(name: &str, index: u32, loopback: bool) -> Attached {
    Attached {
        name: name.to_owned(),
        index,
        layer: Layer::Ip,
        loopback,
        hook: "tcx".to_owned(),
        degraded: Vec::new(),
        counters: Default::default(),
    }
}

/// The key of what `src` sends to `dst` as an interface sees it.
pub(super) fn key(interface: u32, (src, dst, protocol, _): Flow<'_>, direction: Direction) -> FlowKey {
    let octets = |address: &str| match address.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    FlowKey {
        src: octets(src.0),
        dst: octets(dst.0),
        src_port: src.1.to_be_bytes(),
        dst_port: dst.1.to_be_bytes(),
        ifindex: interface,
        protocol,
        direction: direction as u8,
        vlan: 0,
    }
}

/// What two hosts do all the time, as in the comparison with iftop.
pub(super) const TRAFFIC: [Flow<'_>; 5] = [
    (("10.77.0.1", 40_001), ("10.77.0.2", 5001), UDP, 100_000),
    (("10.77.0.1", 40_002), ("10.77.0.20", 5002), UDP, 25_000),
    (("fd77::1", 40_003), ("fd77::2", 5003), UDP, 20_000),
    (("10.77.0.1", 40_004), ("10.77.0.2", 53), UDP, 1_000),
    (("10.77.0.2", 50_001), ("10.77.0.1", 6001), UDP, 10_000),
];

impl Test {
    /// A screen without anything on it.
    pub(super) fn new(options: IftopOptions) -> Self {
        let names = Names { services: services(), ..Names::default() };
        let display = Display::new(options, Theme { colour: true, ascii: false }, names);
        Self { display, ledger: ledger(None), second: 0 }
    }

    /// The screen of numbers and ports that iftop is compared with, after so many seconds of [`TRAFFIC`].
    pub(super) fn usual(seconds: u64) -> Self {
        let mut test = Self::new(IftopOptions { port_display: PortDisplay::On, ..numbers() });
        test.run(seconds, &TRAFFIC);
        test
    }

    /// Lets seconds pass in which there is this traffic on the interface that all fixtures have.
    pub(super) fn run(&mut self, seconds: u64, flows: &[Flow<'_>]) {
        self.run_on(VA, seconds, flows);
    }

    /// The same on another interface.
    pub(super) fn run_on(&mut self, interface: u32, seconds: u64, flows: &[Flow<'_>]) {
        for _ in 0..seconds {
            self.record(interface, flows);
            self.close();
        }
    }

    /// Counts a second's traffic.
    pub(super) fn record(&mut self, interface: u32, flows: &[Flow<'_>]) {
        for flow in flows {
            let own = ["10.77.0.1", "fd77::1", "127.0.0.1"].contains(&flow.0.0);
            let direction = if own { Direction::Egress } else { Direction::Ingress };
            let count = Count { bytes: flow.3, packets: flow.3.div_ceil(1000) };
            self.ledger.record(&key(interface, *flow, direction), count, SocketHint::NONE);
        }
    }

    /// Lets the second end.
    pub(super) fn close(&mut self) {
        self.second += 1;
        self.ledger.close(self.now());
        self.display.tick(&self.ledger);
    }

    pub(super) fn now(&self) -> Duration {
        Duration::from_secs(self.second)
    }

    /// Presses a key.
    pub(super) fn press(&mut self, key: PressedKey) -> Wish {
        let now = self.now();
        self.display.press(key, &mut self.ledger, now)
    }

    /// Types text, a key for each character.
    pub(super) fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            let wish = self.press(if key == '\n' { PressedKey::Enter } else { PressedKey::Char(key) });
            assert_eq!(wish, Wish::Nothing, "{key}");
        }
    }

    pub(super) fn draw(&mut self, width: u16, height: u16) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        let now = self.now();
        self.display.draw(&mut buffer, now);
        buffer
    }

    /// What the screen looks like, without colours.
    pub(super) fn frame(&mut self, width: u16, height: u16) -> String {
        let lines = lines(&self.draw(width, height));
        lines.join("\n")
    }

    /// A line of a screen of 100 columns and 24 lines.
    pub(super) fn line(&mut self, number: usize) -> String {
        lines(&self.draw(100, 24)).swap_remove(number)
    }

    /// The lines of the list on such a screen.
    pub(super) fn list(&mut self) -> Vec<String> {
        let mut lines = lines(&self.draw(100, 24));
        lines.drain(..2);
        lines.truncate(18);
        lines.retain(|line| !line.is_empty());
        lines
    }

    /// The left and right ends of the list's entries, in two-line mode.
    pub(super) fn ends(&mut self) -> Vec<String> {
        let list = self.list();
        list.iter()
            .step_by(2)
            .map(|line| {
                let (left, right) = line.split_once(" => ").unwrap();
                format!("{} {}", left.trim(), right.split_whitespace().next().unwrap())
            })
            .collect()
    }

    /// How many columns of each line are in reverse video, from the first one on.
    pub(super) fn bars(&mut self, width: u16, height: u16) -> Vec<u16> {
        let buffer = self.draw(width, height);
        let reversed = |line, column| buffer[(column, line)].modifier.contains(Modifier::REVERSED);
        (0..height)
            .map(|line| {
                let columns = (0..width).filter(|column| reversed(line, *column));
                u16::try_from(columns.count()).unwrap()
            })
            .collect()
    }

    /// The style of a cell.
    pub(super) fn style(&mut self, column: u16, line: u16) -> Style {
        self.draw(100, 24)[(column, line)].style()
    }
}

/// Options without names.
pub(super) fn numbers() -> IftopOptions {
    IftopOptions { dns: false, ..IftopOptions::default() }
}

/// The lines of a buffer, without blanks at their ends.
pub(super) fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width.max(1));
    buffer
        .content
        .chunks(width)
        .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned())
        .collect()
}
