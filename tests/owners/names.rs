//! Names of every kind, in every format.

use std::net::UdpSocket;

use harness::{
    Agent, NetPair, PATIENCE,
    frames::{FAR_V4, NEAR_V4},
};
use nix::sys::signal::Signal;

use crate::{told::row, workers::Worker};

/// Blanks, quotes, a comma, a backslash, letters of two and four bytes, an escape sequence, and 15 bytes that begin like 17.
const NAMES: [&str; 6] = ["a b  c", "q\"u,o'te\\", "größe", "𝄞 clef", "\x1b[31mred", "123456789012345"];

#[test]
fn every_format_has_them() {
    let pair = NetPair::new();
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = far.local_addr().unwrap();
    let agents = ["json", "csv", "text"].map(|format| {
        let mut agent = Agent::start(
            &pair.near.namespace,
            &format!("report -i near --seconds 3600 --format {format} --by process --by flow"),
        );
        agent.wait_for("flowtally: measuring on ");
        agent
    });
    for (number, name) in NAMES.iter().enumerate() {
        let (name, bind, to) =
            (format!("name={name}"), format!("udp={NEAR_V4}:{}", 6000 + number), format!("to={to}"));
        Worker::start_steps(&pair.near.namespace, &[&name, &bind, &to, "send=100"]).end();
        far.recv(&mut [0; 100]).unwrap();
    }
    // One byte that is no UTF-8.
    let steps = format!("name-hex=62ff61 udp={NEAR_V4}:5999 to={to} send=100");
    Worker::start(&pair.near.namespace, &steps).end();
    far.recv(&mut [0; 100]).unwrap();

    let [json, csv, text] = agents.map(|agent| {
        agent.signal(Signal::SIGINT);
        let ended = agent.wait();
        assert!(ended.status.success(), "{}", ended.stderr);
        ended
    });
    let report = json.report();
    for (number, name) in NAMES.iter().enumerate() {
        let owner = &row(&report, "udp", 6000 + u16::try_from(number).unwrap(), to.port()).owner;
        assert_eq!(owner.command.as_deref(), Some(*name), "{owner:?}");
    }
    let broken = row(&report, "udp", 5999, to.port()).owner.command.clone();
    assert_eq!(broken.as_deref(), Some("b\\xffa"));

    let csv = String::from_utf8(csv.stdout).unwrap();
    assert!(csv.contains("q\"\"u,o'te\\\\"), "quotes are doubled, and backslashes escaped: {csv}");
    for name in ["a b  c", "größe", "𝄞 clef"] {
        assert!(csv.contains(name), "{name}: {csv}");
    }
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(!text.contains('\x1b'), "what a terminal would obey: {text:?}");
    for name in ["größe", "123456789012345"] {
        assert!(text.contains(name), "{name}: {text}");
    }
}
