//! Sockets that go from one process to another: several owners, or the one that is left.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
};

use harness::{
    Agent, NetPair, PATIENCE, eventually,
    frames::{FAR_V4, NEAR_V4},
};

use crate::{
    partners::{answer, far_udp},
    told::{is_of, is_process, row},
    workers::{Said, Worker},
};

/// Parent and child have the socket open: both are owners, and the row says so.
#[test]
fn several_owners_are_listed() {
    let pair = NetPair::new();
    let far = far_udp(&pair);
    let steps = format!(
        "name=parent udp={NEAR_V4}:0 say=parent share name=child adopt=udp say=child receive=100 send=50 say=done wait"
    );
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let parent = worker.hear();
    let child = worker.hear();
    assert_ne!(parent.pid, child.pid);
    let agent = Agent::measure(&pair.near, "");
    far.send_to(&[0; 100], parent.local).unwrap();
    far.recv(&mut [0; 100]).unwrap();
    worker.hear();
    let report = agent.report();
    let row = row(&report, "udp", parent.local.port(), far.local_addr().unwrap().port());
    assert!([&parent, &child].iter().any(|said| is_of(&row.owner, said)), "{row:#?}");
    let owners: Vec<_> = row.owners.iter().flatten().collect();
    assert_eq!(owners.len(), 2, "{row:#?}");
    for said in [&parent, &child] {
        assert!(owners.iter().any(|owner| is_of(owner, said)), "not {said:?}: {row:#?}");
    }
    worker.dismiss();
}

/// A server that lets a child serve each connection, as inetd and many others do.
#[test]
fn a_connection_that_is_handed_over_is_the_childs() {
    let pair = NetPair::new();
    let steps = format!(
        "name=inetd listen={NEAR_V4}:0 say=ready accept hand name=serves adopt=tcp say=child receive=100 send=50 say=done wait"
    );
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let parent = worker.hear();
    let agent = Agent::measure(&pair.near, "");
    let mut stream = pair.far.namespace.enter(|| TcpStream::connect(parent.local).unwrap());
    let child = worker.hear();
    stream.write_all(&[0; 100]).unwrap();
    stream.read_exact(&mut [0; 50]).unwrap();
    worker.hear();
    let report = agent.report();
    let row = row(&report, "tcp", parent.local.port(), stream.local_addr().unwrap().port());
    assert!(is_of(&row.owner, &child), "not {child:?}: {row:#?}");
    worker.dismiss();
}

/// The same without another program: the child is a copy of the server.
#[test]
fn a_forked_server() {
    const PORT: u16 = 5000;
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "");
    let mut command = Command::new("socat");
    command.args([&format!("TCP-LISTEN:{PORT},fork,reuseaddr"), "PIPE"]);
    let server = pair.near.namespace.enter(|| Worker::start_command(command));
    let mut stream =
        eventually("socat listens", || pair.far.namespace.enter(|| TcpStream::connect((NEAR_V4, PORT)).ok()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[0; 100]).unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    let report = agent.report();
    // Attempts from before it listened are rows too, and nobody's.
    let row = row(&report, "tcp", PORT, stream.local_addr().unwrap().port());
    assert_eq!(row.owner.command.as_deref(), Some("socat"), "{row:#?}");
    assert_ne!(row.owner.pid, Some(server.pid()), "the parent has closed it: {row:#?}");
}

/// The same process, by another name.
#[test]
fn a_process_that_executes_another_program() {
    let pair = NetPair::new();
    let far = far_udp(&pair);
    let agent = Agent::measure(&pair.near, "");
    let steps = format!(
        "name=before udp={NEAR_V4}:0 say=before exec name=after adopt=udp say=after receive=100 send=50 say=done wait"
    );
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let before = worker.hear();
    let after = worker.hear();
    assert_eq!((before.pid, before.start), (after.pid, after.start));
    far.send_to(&[0; 100], before.local).unwrap();
    far.recv(&mut [0; 100]).unwrap();
    worker.hear();
    let report = agent.report();
    let row = row(&report, "udp", before.local.port(), far.local_addr().unwrap().port());
    assert!(is_of(&row.owner, &after), "not {after:?}: {row:#?}");
    worker.dismiss();
}

/// Threads have names of their own. The owner is the process.
#[test]
fn a_thread() {
    let pair = NetPair::new();
    let listener = pair.far.namespace.enter(|| TcpListener::bind((FAR_V4, 0)).unwrap());
    let to = listener.local_addr().unwrap();
    let agent = Agent::measure(&pair.near, "");
    let steps = format!(
        "name=process say=process thread=helper connect={to} say=ready send=100 receive=50 say=done wait"
    );
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let process: Said = worker.hear();
    let ready = worker.hear();
    let _stream = answer(&listener);
    worker.hear();
    let report = agent.report();
    let row = row(&report, "tcp", ready.local.port(), to.port());
    assert!(is_process(&row.owner, &process), "not {process:?}: {row:#?}");
    assert_eq!(row.owner.command.as_deref(), Some("process"), "{row:#?}");
    worker.dismiss();
}
