//! How long an owner is known.

use std::{net::UdpSocket, thread, time::Duration};

use harness::{
    Agent, NetPair, PATIENCE,
    frames::{FAR_V4, NEAR_V4},
};

use crate::{
    told::{is_of, row},
    workers::Worker,
};

/// A process is gone at once; a report some seconds later still names it.
#[test]
fn an_owner_outlives_its_process() {
    let pair = NetPair::new();
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = far.local_addr().unwrap();
    let mut agent = Agent::start(&pair.near.namespace, "report -i near --seconds 4 --format json");
    agent.wait_for("flowtally: measuring on ");
    let mut worker = Worker::start(
        &pair.near.namespace,
        &format!("name=early udp={NEAR_V4}:0 to={to} say=ready send=100"),
    );
    let said = worker.hear();
    worker.end();
    far.recv(&mut [0; 100]).unwrap();
    let report = agent.wait().report();
    let row = row(&report, "udp", said.local.port(), to.port());
    assert!(is_of(&row.owner, &said), "not {said:?}: {row:#?}");
}

/// The same of one whose socket is older than the measurement: it is known from when it had traffic.
#[test]
fn an_owner_that_was_seen_is_remembered() {
    // Each second there is a datagram, so that every tick of three has something to ask for.
    const SECONDS: usize = 3;
    let pair = NetPair::new();
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = far.local_addr().unwrap();
    let exchange = "send=100 receive=10 ".repeat(SECONDS);
    let steps = format!("name=seen udp={NEAR_V4}:0 to={to} say=ready {exchange}");
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let said = worker.hear();
    let mut agent = Agent::start(&pair.near.namespace, "report -i near --seconds 6 --format json");
    agent.wait_for("flowtally: measuring on ");
    for _ in 0..SECONDS {
        let (_, from) = far.recv_from(&mut [0; 100]).unwrap();
        // The process lives for three seconds, in which a report looks for whom it has seen.
        thread::sleep(Duration::from_secs(1));
        far.send_to(&[0; 10], from).unwrap();
    }
    worker.end();
    let report = agent.wait().report();
    let row = row(&report, "udp", said.local.port(), to.port());
    assert!(is_of(&row.owner, &said), "not {said:?}: {row:#?}");
}
