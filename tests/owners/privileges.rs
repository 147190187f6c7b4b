//! Processes that were root when they made their sockets, and no more when they use them.

use harness::{Agent, NetPair, frames::NEAR_V4};

use crate::{
    partners::{client, far_udp, server},
    told::{is_of, row},
    workers::Worker,
};

/// User `nobody`.
const NOBODY: u32 = 65_534;

#[test]
fn a_living_server_belongs_to_whom_it_has_become() {
    let pair = NetPair::new();
    let far = far_udp(&pair);
    // One that is older than the measurement, and one that is younger.
    let steps = |name| {
        format!("name={name} udp={NEAR_V4}:0 uid={NOBODY} say=ready receive=100 send=50 say=done wait")
    };
    let mut older = Worker::start(&pair.near.namespace, &steps("older"));
    let is_older = older.hear();
    let agent = Agent::measure(&pair.near, "");
    let mut younger = Worker::start(&pair.near.namespace, &steps("younger"));
    let is_younger = younger.hear();
    for (worker, said) in [(&mut older, &is_older), (&mut younger, &is_younger)] {
        far.send_to(&[0; 100], said.local).unwrap();
        far.recv(&mut [0; 100]).unwrap();
        worker.hear();
    }
    let report = agent.report();
    for said in [&is_older, &is_younger] {
        let row = row(&report, "udp", said.local.port(), far.local_addr().unwrap().port());
        assert!(is_of(&row.owner, said), "not {said:?}: {row:#?}");
        assert_eq!((row.owner.uid, row.owner.user.as_deref()), (Some(NOBODY), Some("nobody")), "{row:#?}");
    }
    older.dismiss();
    younger.dismiss();
}

/// Of one that is gone, the kernel has noted who it was when it connected, or accepted.
#[test]
fn a_short_life_belongs_to_whom_it_was_when_it_had_traffic() {
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "");
    let (is_client, to) = client(&pair, &format!("name=client uid={NOBODY}"));
    let (is_server, port) = server(&pair, "server", &format!("uid={NOBODY} say=ready accept"));
    let report = agent.report();
    for (said, row) in [
        (&is_client, row(&report, "tcp", is_client.local.port(), to)),
        (&is_server, row(&report, "tcp", is_server.local.port(), port)),
    ] {
        assert!(is_of(&row.owner, said), "not {said:?}: {row:#?}");
        assert_eq!(row.owner.uid, Some(NOBODY), "{row:#?}");
    }
}
