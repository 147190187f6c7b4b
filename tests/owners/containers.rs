//! Containers: network namespaces and cgroups, with the same addresses and ports in each.

use std::{fs, net::UdpSocket};

use harness::{
    Agent, NetPair, Owner, PATIENCE,
    frames::{FAR_V4, NEAR_V4},
};

use crate::{
    cgroups::Cgroup,
    gateway::Gateway,
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

/// A host between containers, which are where it forwards to and from, and the rest of the world. It sees their traffic on its
/// own ends of their cables.
#[test]
fn two_behind_one_host() {
    let Gateway { cables, world } = Gateway::new(["c0", "c1"]);
    let host = &world.near.namespace;
    for interface in ["all", "c0", "c1"] {
        host.set(&format!("ipv4/conf/{interface}/rp_filter"), "0");
    }
    let far = world.far.namespace.enter(|| UdpSocket::bind(("10.99.0.2", PORT)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();

    let mut cgroup = Cgroup::new();
    let workers: Vec<_> = cables
        .iter()
        .enumerate()
        .map(|(number, cable)| {
            let path = cgroup.make(&format!("system.slice/docker-{}.scope", IDS[number]));
            let container = &cable.far.namespace;
            let steps = format!(
                "cgroup={path} name=inside{number} udp=10.77.0.1:{PORT} to=10.99.0.2:{PORT} say=ready wait send=100 say=done wait"
            );
            let mut worker = Worker::start(container, &steps);
            let said = worker.hear();
            (worker, said)
        })
        .collect();
    let agent = Agent::measure_on(host, "c0", "-i c1");
    let workers: Vec<_> = workers
        .into_iter()
        .map(|(mut worker, said)| {
            worker.go();
            assert_eq!(far.recv(&mut [0; 200]).unwrap(), 100);
            worker.hear();
            (worker, said)
        })
        .collect();
    let report = agent.report();
    nothing_is_unknown(&report);
    for (number, (worker, said)) in workers.into_iter().enumerate() {
        let on = format!("c{number}");
        let rows: Vec<_> = report.flows.iter().filter(|row| row.interface == on).collect();
        let [row] = rows[..] else { panic!("one conversation on {on}: {:#?}", report.flows) };
        assert!(is_of(&row.owner, &said), "not {said:?}: {row:#?}");
        assert_eq!(row.owner.container, Some(format!("docker:{}", &IDS[number][..12])), "{row:#?}");
        worker.dismiss();
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
