//! Frames that cross several interfaces of a host, and what holds for every report of them.
//!
//! What must come out is told by somebody else: the counters of the host at the other end of the cable, all of whose frames cross
//! the host under test.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::{
    Agent, Amounts, Host, Namespace, Report, eventually,
    network::{Counters, settle},
    report::Interface,
};

/// What is sent.
const BYTES: usize = 2 << 20;
/// Where it is received.
const PORT: u16 = 9999;

/// A host, and others that are joined to it by a cable each: `ra` in the host is `eth0` of the first, `rb` of the second.
#[derive(Debug)]
pub struct Crossroads {
    /// The host under test.
    pub host: Namespace,
    /// Those at the other ends of its cables.
    pub others: Vec<Host>,
}

impl Crossroads {
    /// Makes the host, and another for each of these: the name of its cable in the host, and its address in a /24.
    #[must_use]
    pub fn new(others: &[(&'static str, &'static str)]) -> Self {
        let host = Namespace::new();
        quiet(&host);
        let mut joined = Self { host, others: Vec::new() };
        for (near, address) in others {
            let namespace = Namespace::new();
            quiet(&namespace);
            joined.host.ip(&format!("link add {near} type veth peer name eth0 netns {}", namespace.path()));
            joined.host.ip(&format!("link set {near} up"));
            joined.host.run("ethtool", &format!("-K {near} tso off gso off gro off"));
            namespace.ip("link set eth0 up");
            namespace.ip(&format!("address add {address}/24 dev eth0"));
            let address: IpAddr = address.parse().expect("an address");
            let other =
                Host { namespace: namespace.into(), interface: "eth0", mac: "", v4: address, v6: address };
            // So that the counters have every frame, as it is on the wire.
            other.offload("tso off gso off gro off");
            joined.others.push(other);
        }
        joined
    }

    /// Measures every interface while 2 MiB go from one host to the other; returns the report, and what crossed the cable of the
    /// first of the others.
    pub fn measure(&self, arguments: &str, send: impl FnOnce(&Self)) -> (Report, Counters) {
        let agent = Agent::measure_on(&self.host, "any", arguments);
        let before = self.others[0].counters();
        send(self);
        settle();
        let crossed = self.others[0].counters() - before;
        (agent.report(), crossed)
    }

    /// Checks what is sent through a device that is made of another: it is counted on the lower one, and seen on the upper.
    pub fn check_stacked(&self, upper: &str, lower: &str) {
        let a = &self.others[0];
        let own = a.v4.to_string().replace(".2", ".1");
        let own = if own.ends_with(".1") { own } else { panic!("{own}") };
        self.host.ip(&format!("link set {upper} up"));
        self.host.ip(&format!("address add {own}/24 dev {upper}"));
        eventually("the device works", || {
            self.host.ip(&format!("link show {upper}")).contains("LOWER_UP").then_some(())
        });
        let (report, crossed) = self.measure("", |joined| transfer(&joined.host, &a.namespace, a.v4));
        agree(&report);
        assert_eq!(all(report.total)[1], on_the_cable(crossed)[1]);
        assert_eq!(conversation(&report), (lower, vec![upper]));
    }
}

/// No frames but those of a test.
fn quiet(namespace: &Namespace) {
    namespace.set("ipv6/conf/all/disable_ipv6", "1");
    namespace.set("ipv6/conf/default/disable_ipv6", "1");
}

/// Sends 2 MiB over TCP, and returns when both ends have closed.
pub fn transfer(from: &Namespace, to: &Namespace, address: IpAddr) {
    let end = SocketAddr::new(address, PORT);
    let listener = to.enter(|| TcpListener::bind(end).expect("listen"));
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("receive");
        all.len()
    });
    from.enter(|| {
        let mut stream = TcpStream::connect(end).expect("connect");
        stream.write_all(&vec![7; BYTES]).expect("send");
        stream.shutdown(std::net::Shutdown::Write).expect("close");
        // The other end's last segment.
        stream.read_to_end(&mut Vec::new()).expect("wait for the other end");
    });
    assert_eq!(receiver.join().expect("the receiver"), BYTES);
    // The last acknowledgement.
    for namespace in [from, to] {
        eventually("the connection is over", || {
            let states = namespace
                .run("ss", "-Htan state established state fin-wait-1 state close-wait state last-ack");
            states.trim().is_empty().then_some(())
        });
    }
}

/// The bytes and packets of both directions.
#[must_use]
pub fn all(amounts: Amounts) -> [u64; 2] {
    [amounts.sent_bytes + amounts.received_bytes, amounts.sent_packets + amounts.received_packets]
}

/// The bytes and packets of both directions, as an interface counted them.
#[must_use]
pub fn on_the_cable(crossed: Counters) -> [u64; 2] {
    [crossed.sent_bytes + crossed.received_bytes, crossed.sent_packets + crossed.received_packets]
}

/// The bytes and packets of all of these.
#[must_use]
pub fn sum<'a>(amounts: impl Iterator<Item = &'a Amounts>) -> [u64; 2] {
    let mut sum = Amounts::default();
    amounts.for_each(|amounts| sum += *amounts);
    all(sum)
}

/// What holds for every report: its rows are its total, and what its interfaces counted is the total and what is counted
/// elsewhere; each interface's own table agrees with the kernel's.
pub fn agree(report: &Report) {
    assert_eq!(sum(report.flows.iter().map(|row| &row.amounts)), all(report.total));
    let counted: Vec<Amounts> = report.interfaces.iter().map(Interface::counted).collect();
    let elsewhere = report.crossings.iter().map(|crossing| &crossing.amounts);
    let total = [all(report.total), sum(elsewhere)];
    assert_eq!(sum(counted.iter()), [total[0][0] + total[1][0], total[0][1] + total[1][1]]);
    for interface in &report.interfaces {
        assert_eq!(interface.residue(), [0; 4], "{interface:?}");
    }
}

/// The one conversation over TCP, and where else it crossed.
#[must_use]
pub fn conversation(report: &Report) -> (&str, Vec<&str>) {
    let rows: Vec<_> = report.flows.iter().filter(|row| row.flow.protocol == "tcp").collect();
    let [row] = rows[..] else { panic!("one row for one conversation: {rows:#?}") };
    let amounts = row.amounts;
    for crossing in &row.crossings {
        assert_eq!(crossing.amounts.sent_packets, amounts.sent_packets, "{crossing:?}");
        assert_eq!(crossing.amounts.received_packets, amounts.received_packets, "{crossing:?}");
    }
    let mut others: Vec<_> = row.crossings.iter().map(|crossing| crossing.interface.as_str()).collect();
    others.sort_unstable();
    (&row.interface, others)
}
