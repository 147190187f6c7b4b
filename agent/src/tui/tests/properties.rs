//! Nothing breaks the screen: any traffic, any keys, any size.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use ratatui::{buffer::Buffer, layout::Rect};

use super::fixtures::{Flow, LO, TCP, Test, UDP, VA, interface};
use crate::{
    iftop::options::IftopOptions,
    tui::{Candidate, ExportFormat, Wish, press::tests::any_key},
};

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Key(crate::tui::PressedKey),
    Seconds(u64, Vec<(u8, u8, u16, u64)>),
    Draw(u16, u16),
    Names,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any_key().prop_map(Step::Key),
        2 => (1_u64..50, prop::collection::vec((0_u8..40, 0_u8..6, 0_u16..5, 0_u64..1 << 40), 0..12))
            .prop_map(|(seconds, flows)| Step::Seconds(seconds, flows)),
        3 => (0_u16..130, 0_u16..40).prop_map(|(width, height)| Step::Draw(width, height)),
        1 => Just(Step::Draw(300, 100)),
        1 => Just(Step::Names),
    ]
}

fn flow(host: u8, kind: u8, port: u16) -> (String, String, u8, u16) {
    let (mut here, there) = if host.is_multiple_of(2) {
        ("10.77.0.1".to_owned(), Ipv4Addr::new(10, 77, 1, host).to_string())
    } else {
        ("fd77::1".to_owned(), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, host.into()).to_string())
    };
    if kind == 5 {
        here = "224.0.0.251".to_owned();
    }
    let protocol = [TCP, UDP, 1, 58, 132, 17][usize::from(kind)];
    (here, there, protocol, port)
}

fn take(test: &mut Test, step: Step) {
    match step {
        Step::Key(key) => match test.press(key) {
            Wish::ListInterfaces => {
                let candidate = |name: &str| Candidate {
                    name: name.to_owned(),
                    about: String::new(),
                    chosen: name == "va",
                };
                test.display.choose(["lo", "va", "x"].map(candidate).to_vec());
            }
            Wish::Show(names) => {
                let known =
                    test.ledger.overview(|_| true, crate::flow::row::Counting::PerInterface).interfaces;
                let chosen =
                    known.iter().filter(|known| names.contains(&known.name)).map(|known| known.id).collect();
                test.display.show(Some(chosen), &test.ledger);
            }
            Wish::Export(_, format) => {
                test.display.write(&mut Vec::new(), format, std::time::SystemTime::UNIX_EPOCH).unwrap();
            }
            Wish::NetFilter(filter) => test.display.filter_installed(&filter, test.now()),
            Wish::Files => {
                let owners = test.display.owners();
                test.display.show_files(owners.iter().map(|owner| owner.command.to_string()).collect());
            }
            Wish::Time(_) => unreachable!("no log is replayed"),
            Wish::Nothing | Wish::Quit | Wish::Suspend | Wish::Repaint => {}
        },
        Step::Seconds(seconds, flows) => {
            let flows: Vec<_> =
                flows.into_iter().map(|(host, kind, port, bytes)| (flow(host, kind, port), bytes)).collect();
            let flows: Vec<Flow<'_>> = flows
                .iter()
                .map(|((here, there, protocol, port), bytes)| {
                    if bytes % 2 == 0 {
                        ((here.as_str(), *port), (there.as_str(), 443), *protocol, *bytes)
                    } else {
                        ((there.as_str(), 443), (here.as_str(), *port), *protocol, *bytes)
                    }
                })
                .collect();
            for second in 0..seconds {
                let interface = if second % 3 == 0 { LO } else { VA };
                test.record(interface, if second < 3 { &flows } else { &[] });
                test.close();
            }
            test.display.counters_read();
        }
        Step::Draw(width, height) => {
            let mut buffer = Buffer::empty(Rect::new(3, 5, width, height));
            let cursor = test.display.draw(&mut buffer, test.now());
            assert!(cursor.is_none_or(|cursor| buffer.area.contains(cursor)));
        }
        Step::Names => {
            let hosts = test.display.hosts();
            let name = |host: std::net::IpAddr| (host, format!("host-{host}.\u{1b}例え.example").into());
            test.display.names_mut().hosts.extend(hosts.into_iter().map(name));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks_it(steps in prop::collection::vec(any_step(), 0..60), maximum in prop::option::of(1_u64..), filter in prop::option::of("[a-z.(]{0,4}")) {
        let mut test = Test::new(IftopOptions { max_bandwidth: maximum, screen_filter: filter, ..IftopOptions::default() });
        test.ledger.attach(interface("lo", LO, true));
        for step in steps {
            take(&mut test, step);
        }
        for (width, height) in [(1, 1), (0, 0), (80, 24), (40, 8)] {
            take(&mut test, Step::Draw(width, height));
        }
        test.display.write(&mut Vec::new(), ExportFormat::Csv, std::time::SystemTime::UNIX_EPOCH).unwrap();
    }

    /// Whatever is on the screen is what a full sort would have put there.
    #[test]
    fn the_screen_shows_a_part_of_the_whole_order(
        sizes in prop::collection::vec(1_u64..50, 1..80),
        keys in prop::collection::vec(prop::sample::select(vec!['1', '2', '3', '<', '>', 't', 'j', 'k', 'g']), 0..12),
    ) {
        let mut test = Test::new(super::fixtures::numbers());
        let hosts: Vec<String> = (0..sizes.len()).map(|host| format!("10.77.{}.{}", host / 10, host % 10 + 2)).collect();
        let flows: Vec<Flow<'_>> = hosts.iter().zip(&sizes).map(|(host, size)| (("10.77.0.1", 9), (host.as_str(), 9), UDP, size * 1000)).collect();
        test.run(2, &flows);
        for key in keys {
            test.keys(&key.to_string());
            test.frame(100, 24);
        }
        let (mut shown, first, options) = (Vec::new(), test.display.screen.scroll.first, test.display.options().clone());
        shown.extend(test.display.list.shown(&test.display.screen.scroll).map(|entry| entry.key.clone()));
        let all: Vec<_> = test.display.list.all(&options).map(|entry| entry.key.clone()).collect();
        prop_assert_eq!(&all[first..first + shown.len()], &shown[..]);
    }
}
