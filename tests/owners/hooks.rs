//! Every hook knows the sockets.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
};

use harness::{
    Agent, NetPair, PATIENCE,
    frames::{FAR_V4, NEAR_V4},
};

use crate::{
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

        let listener = far.enter(|| TcpListener::bind((FAR_V4, 0)).unwrap());
        let to = listener.local_addr().unwrap();
        let mut asks = Worker::start(near, &format!("name=asks connect={to} say=ready send=100 receive=50"));
        let is_asker = asks.hear();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        stream.write_all(&[0; 50]).unwrap();
        asks.end();

        let steps = format!("name=answers listen={NEAR_V4}:0 say=ready accept-blind receive=100 send=50");
        let mut answers = Worker::start(near, &steps);
        let is_answerer = answers.hear();
        let mut stream = far.enter(|| TcpStream::connect(is_answerer.local).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[0; 100]).unwrap();
        stream.read_exact(&mut [0; 50]).unwrap();
        answers.end();

        let mut receives =
            Worker::start(near, &format!("name=receives udp={NEAR_V4}:0 say=ready receive=100"));
        let is_receiver = receives.hear();
        let socket = far.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
        socket.send_to(&[0; 100], is_receiver.local).unwrap();
        receives.end();

        let report = agent.report();
        let from = stream.local_addr().unwrap().port();
        for (said, row) in [
            (&is_asker, row(&report, "tcp", is_asker.local.port(), to.port())),
            (&is_answerer, row(&report, "tcp", is_answerer.local.port(), from)),
            (&is_receiver, row(&report, "udp", is_receiver.local.port(), 0)),
        ] {
            assert!(is_of(&row.owner, said), "{hook}: not {said:?}: {row:#?}");
        }
    }
}
