//! Every hook knows the sockets.

use std::net::UdpSocket;

use harness::{
    Agent, NetPair,
    frames::{FAR_V4, NEAR_V4},
};

use crate::{
    partners::{client, server},
    told::{is_of, row},
    workers::Worker,
};

/// One that asks, one that answers, and one that only receives; all of them are gone when the measurement ends.
#[test]
fn short_lives_have_names() {
    for hook in ["tcx", "clsact", "xdp"] {
        let pair = NetPair::new();
        let (near, far) = (&pair.near.namespace, &pair.far.namespace);
        let agent = Agent::measure(&pair.near, &format!("--hook {hook}"));

        let (is_asker, to) = client(&pair, "name=asks");
        let (is_answerer, from) = server(&pair, "answers", "say=ready accept-blind");

        let mut receives =
            Worker::start(near, &format!("name=receives udp={NEAR_V4}:0 say=ready receive=100"));
        let is_receiver = receives.hear();
        let socket = far.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
        socket.send_to(&[0; 100], is_receiver.local).unwrap();
        receives.end();

        let report = agent.report();
        for (said, row) in [
            (&is_asker, row(&report, "tcp", is_asker.local.port(), to)),
            (&is_answerer, row(&report, "tcp", is_answerer.local.port(), from)),
            (&is_receiver, row(&report, "udp", is_receiver.local.port(), 0)),
        ] {
            assert!(is_of(&row.owner, said), "{hook}: not {said:?}: {row:#?}");
        }
    }
}
