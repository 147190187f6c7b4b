//! Where ends stand: an address or a port is never cut.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;

use super::fixtures::{Flow, TCP, TRAFFIC, Test, UDP, numbers};
use crate::{
    iftop::{
        options::{IftopOptions, LineDisplay, PortDisplay},
        pair::PairAddress,
    },
    tui::{PressedKey, list::EntryKey},
};

macro_rules! check {
    ($frame:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($frame);
        })
    };
}

const NEAR: &str = "2001:db8:1111:2222:3333:4444:5555:6666";
const FAR: &str = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
const LONG: Flow<'_> = ((NEAR, 40_123), (FAR, 50_443), TCP, 50_000);

fn ports() -> IftopOptions {
    IftopOptions { port_display: PortDisplay::On, ..numbers() }
}

/// A screen with short and long ends.
fn mixed(options: IftopOptions) -> Test {
    let mut test = Test::new(options);
    let longest = (("10.77.0.1", 40_006), ("198.51.100.234", 51_234), UDP, 30_000);
    test.run(45, &[TRAFFIC[0], LONG, longest, TRAFFIC[1]]);
    test
}

/// The list at several sizes.
fn lists(test: &mut Test, widths: &[u16]) -> String {
    let list = |width: u16| {
        let frame = test.frame(width, 20);
        let list = frame.lines().skip(2).take(14).filter(|line| !line.is_empty());
        format!("{width} columns\n{}", list.collect::<Vec<_>>().join("\n"))
    };
    widths.iter().copied().map(list).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn long_ends_in_two_lines() {
    check!(lists(&mut mixed(ports()), &[130, 100, 80, 74, 60, 50, 40, 20]));
}

#[test]
fn long_ends_in_one_line() {
    let mut test = mixed(IftopOptions { line_display: LineDisplay::OneLineBoth, ..ports() });
    check!(lists(&mut test, &[130, 110, 100, 60, 40]));
}

#[test]
fn long_ends_with_totals() {
    check!(lists(&mut mixed(IftopOptions { show_totals: true, ..ports() }), &[100, 80, 75]));
}

#[test]
fn long_ends_with_owners() {
    let mut test = mixed(ports());
    test.keys("O");
    let two = lists(&mut test, &[130, 100, 80, 60]);
    test.keys("t");
    check!(format!("{two}\n\n{}", lists(&mut test, &[100, 80])));
}

#[test]
fn long_remote_hosts() {
    let mut test = mixed(numbers());
    test.keys("g");
    check!(lists(&mut test, &[80, 60, 40]));
}

#[test]
fn a_row_page_is_folded() {
    let mut test = Test::new(ports());
    test.run(45, &[LONG]);
    test.frame(60, 30);
    test.press(PressedKey::Enter);
    check!(format!("{}\n\n{}", test.frame(60, 32), test.frame(40, 40)));
}

#[test]
fn under_iftops_name_ends_are_cut_as_iftop_does() {
    check!(lists(&mut mixed(IftopOptions { cut_ends: true, ..ports() }), &[100, 60, 40]));
}

#[test]
fn names_lose_their_middle_only_where_an_address_has_no_room_either() {
    let mut test = mixed(IftopOptions { dns: true, ..ports() });
    let name = |test: &mut Test, address: &str, name: &str| {
        test.display.names_mut().hosts.insert(address.parse().unwrap(), name.into());
    };
    name(&mut test, "10.77.0.2", "ec2-198-51-100-234.eu-central-1.compute.example.com");
    name(&mut test, FAR, "a-host-whose-name-is-longer-than-any-address-can-ever-be.in-a.long-domain.example");
    check!(lists(&mut test, &[130, 100, 80, 60]));
}

#[test]
fn other_rows_stay_where_they_are_when_a_long_one_comes() {
    let mut test = Test::new(ports());
    test.run(45, &[TRAFFIC[0], TRAFFIC[1]]);
    let before = test.list();
    let small = (LONG.0, LONG.1, TCP, 100);
    test.run(3, &[TRAFFIC[0], TRAFFIC[1], small]);
    assert_eq!(test.list()[..4], before[..]);
    assert_eq!(test.list().len(), 6);
}

#[test]
fn entries_of_one_line_take_two_until_something_else_is_shown() {
    let mut test = Test::new(IftopOptions { line_display: LineDisplay::OneLineBoth, ..ports() });
    let lines = |test: &mut Test| test.list().len();
    test.run(5, &[TRAFFIC[0], TRAFFIC[1]]);
    assert_eq!(lines(&mut test), 2);
    test.run(1, &[TRAFFIC[0], TRAFFIC[1], LONG]);
    assert_eq!(lines(&mut test), 6);
    test.run(45, &[TRAFFIC[0], TRAFFIC[1]]);
    assert_eq!(lines(&mut test), 4, "the long one is gone, and nothing has jumped");
    test.keys("r");
    assert_eq!(lines(&mut test), 2);
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|bytes| Ipv4Addr::from(bytes).into()),
        any::<[u8; 16]>().prop_map(|bytes| Ipv6Addr::from(bytes).to_canonical()),
        Just("fd77::1".parse().unwrap()),
        Just("10.77.0.1".parse().unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn addresses_and_ports_are_whole_on_every_screen(
        ends in prop::collection::vec((any_address(), 1_u16.., any_address(), 1_u16.., 1_u64..1 << 40), 1..6),
        width in 20_u16..=250,
        display in prop::sample::select(vec![LineDisplay::TwoLine, LineDisplay::OneLineBoth, LineDisplay::OneLineSent, LineDisplay::OneLineReceived]),
        port_display in prop::sample::select(vec![PortDisplay::On, PortDisplay::Off]),
        show_totals: bool,
        owners: bool,
    ) {
        let texts: Vec<_> = ends.iter().map(|(from, _, to, ..)| (from.to_string(), to.to_string())).collect();
        let flows: Vec<Flow<'_>> = ends.iter().zip(&texts)
            .filter(|((from, _, to, ..), _)| from.is_ipv4() == to.is_ipv4())
            .map(|((_, from_port, _, to_port, bytes), (from, to))| ((from.as_str(), *from_port), (to.as_str(), *to_port), TCP, *bytes))
            .collect();
        let mut test = Test::new(IftopOptions { port_resolution: false, line_display: display, port_display, show_totals, use_bytes: true, ..numbers() });
        test.run(2, &flows);
        if owners {
            test.keys("O");
        }
        let frame = test.frame(width, 100);
        let lines: Vec<&str> = frame.lines().skip(2).collect();
        let height = usize::from(test.display.screen.height.lines(display));
        let shown: Vec<EntryKey> = test.display.list.shown(&test.display.screen.scroll).map(|entry| entry.key.clone()).collect();
        for (place, key) in shown.iter().enumerate() {
            let EntryKey::Pair(pair) = key else { panic!("{key:?}") };
            // Pieces of an end that is longer than the screen is wide follow each other.
            let text: String = lines[place * height..][..height].iter().map(|line| line.trim_end()).collect();
            for end in [pair.left, pair.right] {
                let PairAddress::Shown(address) = end.address else { panic!("{end:?}") };
                let whole = if end.port == 0 { address.to_string() } else { SocketAddr::new(address, end.port).to_string() };
                prop_assert!(text.contains(&whole), "no {} in {:?} of\n{}", whole, text, frame);
            }
        }
        // Nothing that counts is missing: the average that stays is there where there is room for it at all.
        if width >= 28 {
            // No address ends like that.
            let has_rate = |line: &&&str| line.trim_end().ends_with('B');
            let rates = lines.iter().take(shown.len() * height).filter(has_rate).count();
            prop_assert_eq!(rates, shown.len() * if display == LineDisplay::TwoLine { 2 } else { 1 }, "{}", frame);
        }
    }
}
