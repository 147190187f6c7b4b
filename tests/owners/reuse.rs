//! A PID that is used again is another process.

use std::{fs, net::UdpSocket};

use harness::{
    Agent, NetPair, PATIENCE, eventually,
    frames::{FAR_V4, NEAR_V4},
};

use crate::{
    told::{is_of, row},
    workers::{Said, Worker, words},
};

/// Where the kernel looks for a free PID next (`pid_namespaces(7)`).
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// Makes a worker that has the PID of another that is gone, which was started earlier; it waits before it takes its steps.
fn reborn(pair: &NetPair, old: &Said, steps: &str) -> Worker {
    let steps = format!("say=born wait {steps}");
    eventually("a process gets the PID once more", || {
        // On the thread that starts it: a thread takes a PID too.
        let mut worker = pair.near.namespace.enter(|| {
            fs::write(LAST_PID, (old.pid - 1).to_string()).unwrap();
            Worker::start_here(&words(&steps))
        });
        let born = worker.hear();
        if worker.pid() == old.pid && born.start != old.start {
            return Some(worker);
        }
        // Somebody else was quicker, or the clock too slow.
        worker.dismiss();
        None
    })
}

#[test]
fn a_reused_pid_is_another_owner() {
    let pair = NetPair::new();
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = far.local_addr().unwrap();

    let steps = format!("name=first udp={NEAR_V4}:0 to={to} say=ready send=500 receive=100");
    let agent = Agent::measure(&pair.near, "");
    let mut first = Worker::start(&pair.near.namespace, &steps);
    let is_first = first.hear();
    let answer = || {
        let (_, from) = far.recv_from(&mut [0; 2000]).unwrap();
        far.send_to(&[0; 100], from).unwrap();
    };
    answer();
    first.end();

    let steps = format!("name=second udp={NEAR_V4}:0 to={to} say=ready send=900 receive=100");
    let mut second = reborn(&pair, &is_first, &steps);
    second.go();
    let is_second = second.hear();
    answer();
    second.end();

    assert_eq!(is_first.pid, is_second.pid);
    let report = agent.report();
    for (said, sent) in [(&is_first, 500), (&is_second, 900)] {
        let row = row(&report, "udp", said.local.port(), to.port());
        // With the headers of Ethernet, IPv4 and UDP.
        assert_eq!(row.amounts.sent_bytes, sent + 42);
        assert!(is_of(&row.owner, said), "not {said:?}: {row:#?}");
    }
    let start = |said: &Said| row(&report, "udp", said.local.port(), to.port()).owner.start_time.clone();
    assert_ne!(
        start(&is_first),
        start(&is_second),
        "two processes that are told apart by nothing but their start"
    );
}
