//! Containers: network namespaces and cgroups, with the same addresses and ports in each.

use std::{fs, net::UdpSocket};

use harness::{
    Agent, NetPair, Owner, PATIENCE,
    frames::{FAR_V4, NEAR_V4},
};

use crate::{
    cgroups::Cgroup,
    told::{is_of, nothing_is_unknown, row},
    workers::{Said, Worker},
};

/// Ids as container engines give them.
const IDS: [&str; 2] = [
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
];
const PORT: u16 = 5000;

/// A container, the other end of its cable, and what has traffic in it.
struct Container {
    pair: NetPair,
    name: String,
    agent: Agent,
    older: Worker,
    is_older: Said,
}

impl Container {
    fn start(cgroup: &str, number: usize) -> Self {
        let pair = NetPair::new();
        let steps = format!(
            "cgroup={cgroup} name=older{number} udp={NEAR_V4}:{PORT} say=ready receive=100 send=50 say=done wait"
        );
        let mut older = Worker::start(&pair.near.namespace, &steps);
        let is_older = older.hear();
        let agent = Agent::measure(&pair.near, "");
        Self { pair, name: format!("docker:{}", &IDS[number][..12]), agent, older, is_older }
    }

    /// What the kernel calls its network namespace.
    fn netns(&self) -> String {
        let link = self.pair.near.namespace.enter(|| fs::read_link("/proc/thread-self/ns/net").unwrap());
        link.to_str().unwrap().to_owned()
    }
}

/// Everything is the same in both but the processes: those that live, and those that are gone.
#[test]
fn two_with_the_same_addresses_and_ports() {
    let mut cgroup = Cgroup::new();
    let paths = IDS.map(|id| cgroup.make(&format!("system.slice/docker-{id}.scope")));
    let mut containers = [0, 1].map(|number| Container::start(&paths[number], number));
    for (number, container) in containers.iter_mut().enumerate() {
        let (near, far) = (&container.pair.near.namespace, &container.pair.far.namespace);
        let far = far.enter(|| UdpSocket::bind((FAR_V4, PORT)).unwrap());
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        far.send_to(&[0; 100], (NEAR_V4, PORT)).unwrap();
        far.recv(&mut [0; 100]).unwrap();
        container.older.hear();
        let steps = format!(
            "cgroup={} name=short{number} udp={NEAR_V4}:{} to={FAR_V4}:{PORT} send=100",
            paths[number],
            PORT + 1
        );
        Worker::start(near, &steps).end();
        far.recv(&mut [0; 100]).unwrap();
    }
    for (number, container) in containers.into_iter().enumerate() {
        let netns = container.netns();
        let Container { agent, name, is_older, older, pair: _pair } = container;
        let report = agent.report();
        nothing_is_unknown(&report);
        let runs_in = |owner: &Owner| {
            assert_eq!(owner.container.as_deref(), Some(name.as_str()), "{owner:#?}");
            assert_eq!(owner.netns.as_deref(), Some(netns.as_str()), "{owner:#?}");
        };
        let living = &row(&report, "udp", PORT, PORT).owner;
        assert!(is_of(living, &is_older), "not {is_older:?}: {living:#?}");
        runs_in(living);
        let gone = &row(&report, "udp", PORT + 1, PORT).owner;
        assert_eq!(gone.command, Some(format!("short{number}")), "{gone:#?}");
        runs_in(gone);
        older.dismiss();
    }
}

/// What other engines, Kubernetes and systemd call their cgroups.
#[test]
fn names_of_what_processes_run_in() {
    let [id, _] = IDS;
    let mut cgroup = Cgroup::new();
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "");
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, PORT)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let short = &id[..12];
    let cases = [
        (format!("machine.slice/libpod-{id}.scope"), format!("podman:{short}")),
        (
            format!("kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("containerd:{short}"),
        ),
        (format!("kubepods.slice/kubepods-pod1.slice/crio-{id}.scope"), format!("cri-o:{short}")),
        (format!("docker/{id}"), format!("docker:{short}")),
        ("system.slice/nginx.service".to_owned(), "nginx.service".to_owned()),
        ("user.slice/user-1000.slice/session-3.scope".to_owned(), "session-3.scope".to_owned()),
    ];
    for (number, (path, _)) in cases.iter().enumerate() {
        let path = cgroup.make(path);
        let steps = format!(
            "cgroup={path} name=w{number} udp={NEAR_V4}:{} to={FAR_V4}:{PORT} send=100",
            6000 + number
        );
        Worker::start(&pair.near.namespace, &steps).end();
        far.recv(&mut [0; 100]).unwrap();
    }
    let report = agent.report();
    for (number, (path, name)) in cases.iter().enumerate() {
        let owner = &row(&report, "udp", 6000 + u16::try_from(number).unwrap(), PORT).owner;
        assert_eq!(owner.container.as_ref(), Some(name), "{path}: {owner:#?}");
    }
}
