//! Owners on the screen.

use std::net::UdpSocket;

use harness::{
    NetPair, PATIENCE, Screen, Terminal,
    frames::{FAR_V4, NEAR_V4},
};

use crate::workers::{Said, Worker};

/// Groupings that `g` goes through, at most.
const GROUPINGS: usize = 15;

/// The rule above the totals.
fn status(screen: &Screen) -> String {
    screen.line(screen.height() - 4)
}

fn start(pair: &NetPair, arguments: &str) -> Terminal {
    let terminal = Terminal::open(&pair.near.namespace, (120, 40));
    terminal.enter(&format!("flowtally -i near -n -N -P {arguments}"));
    terminal
        .wait("the screen", |screen| (screen.totals().is_some() && terminal.state().alternate).then_some(()));
    terminal
}

/// Presses `g` until rows are grouped by what is wanted.
fn group_by(terminal: &Terminal, grouping: &str) {
    for _ in 0..GROUPINGS {
        let before = status(&terminal.screen());
        if before.contains(grouping) {
            return;
        }
        terminal.press("g");
        terminal.wait("another grouping", |screen| (status(screen) != before).then_some(()));
    }
    panic!("no grouping by {grouping}\n{}", terminal.screen());
}

/// A process that has had traffic and is alive.
fn talker(pair: &NetPair, name: &str) -> (Worker, Said) {
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = far.local_addr().unwrap();
    let steps = format!("name={name} udp={NEAR_V4}:0 to={to} say=ready send=1000 receive=500 say=done wait");
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let said = worker.hear();
    let (_, from) = far.recv_from(&mut [0; 1000]).unwrap();
    far.send_to(&[0; 500], from).unwrap();
    worker.hear();
    (worker, said)
}

#[test]
fn groups_of_processes_have_names_that_stay() {
    let pair = NetPair::new();
    let terminal = start(&pair, "");
    let (one, _) = talker(&pair, "talker-one");
    let (two, _) = talker(&pair, "talker-two");
    let named = |screen: &Screen| {
        let text = screen.text();
        (text.contains("talker-one") && text.contains("talker-two")).then_some(())
    };
    for grouping in ["process", "command"] {
        group_by(&terminal, grouping);
        terminal.wait("two names", named);
    }
    group_by(&terminal, "user");
    terminal.wait("a user", |screen| screen.text().contains("root").then_some(()));
    group_by(&terminal, "netns");
    terminal.wait("a namespace", |screen| screen.text().contains("net:[").then_some(()));
    one.dismiss();
    two.dismiss();
    group_by(&terminal, "process");
    terminal.wait("two names of those who are gone", named);
}

#[test]
fn the_page_of_a_row_has_its_owner_and_its_files() {
    let pair = NetPair::new();
    let terminal = start(&pair, "");
    let (worker, said) = talker(&pair, "talker");
    terminal.wait("a row", |screen| (!screen.rows().is_empty()).then_some(()));
    terminal.key("Down");
    terminal.key("Enter");
    terminal.wait("the owner", |screen| {
        let text = screen.text();
        ["talker", &said.pid.to_string(), "root", "worker"]
            .iter()
            .all(|word| text.contains(word))
            .then_some(())
    });
    terminal.key("Escape");
    terminal.wait("the list", |screen| (!screen.rows().is_empty()).then_some(()));
    terminal.press("F");
    // Its socket, its program, and where it was started.
    terminal.wait("its files", |screen| {
        let text = screen.text();
        [&said.pid.to_string(), "cwd", "txt", "UDP"].iter().all(|word| text.contains(word)).then_some(())
    });
    worker.dismiss();
}
