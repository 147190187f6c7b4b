//! Connections that are older than the measurement, and that only a thread has: in a table of its own, or after the first thread
//! has ended. Nobody has noted them; the tables of threads are where they are.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use harness::{Agent, Alone, NetPair, PATIENCE, frames::NEAR_V4};
use nix::sys::signal::Signal;

use crate::told::row;

#[test]
fn connections_in_tables_of_threads_have_their_process() {
    let pair = NetPair::new();
    let fixtures = ["apart", "headless"].map(|kind| {
        pair.near.namespace.enter(|| Alone::start(Path::new(env!("CARGO_BIN_EXE_fixture")), kind))
    });
    let mut streams = fixtures.each_ref().map(|fixture| {
        let port = u16::try_from(fixture.number("port")).unwrap();
        let stream = pair.far.namespace.enter(|| TcpStream::connect((NEAR_V4, port)).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    });
    let mut echo = || {
        for stream in &mut streams {
            stream.write_all(&[7; 500]).unwrap();
            stream.read_exact(&mut [0; 500]).unwrap();
        }
    };
    // Accepted by now, and before anybody notes it.
    echo();
    let mut agent = Agent::start(
        &pair.near.namespace,
        "report -i near --seconds 3600 --by process --by flow --format json",
    );
    agent.wait_for("flowtally: measuring on ");
    echo();
    agent.signal(Signal::SIGINT);
    let report = agent.wait().report();
    for (fixture, kind) in fixtures.iter().zip(["apart", "headless"]) {
        let row = row(&report, "tcp", u16::try_from(fixture.number("port")).unwrap(), 0);
        assert_eq!(row.owner.pid, Some(fixture.number("pid")), "{kind}: {row:#?}");
        assert_eq!(row.owner.command.as_deref(), Some(format!("fx-{kind}").as_str()));
        assert_eq!(row.owner.owner_reason.as_deref(), Some("open"));
        assert_eq!(row.owner.executable.as_deref(), Some(env!("CARGO_BIN_EXE_fixture")));
    }
}
