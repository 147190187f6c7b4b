//! A tun device: an interface without a link layer.

use std::{
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
};

use crate::{Host, Namespace, PATIENCE, eventually, network::settle};

/// Name of the device.
pub const TUN: &str = "tun7";

/// A tun device of a host, and what is at its other end.
///
/// Packets go in and out by way of socat, so that no test has to make system calls of its own: one makes the device and
/// passes on what it is given, one a datagram; another puts packets onto the device from the host's side.
#[derive(Debug)]
pub struct Tun {
    wire: Pipe,
    host: Pipe,
}

impl Tun {
    /// Makes the device in a host's namespace, up, without addresses.
    #[must_use]
    pub fn new(host: &Host) -> Self {
        host.namespace.set("ipv6/conf/default/disable_ipv6", "1");
        let device = format!("TUN,tun-name={TUN},tun-type=tun,iff-no-pi,iff-up");
        let wire = Pipe::start(&host.namespace, "STDIO", &device);
        eventually("the tun device is up", || {
            let links = host.namespace.ip("-o link show");
            links.lines().any(|line| line.contains(TUN) && line.contains("LOWER_UP")).then_some(())
        });
        Self { wire, host: Pipe::start(&host.namespace, "STDIN", &format!("INTERFACE:{TUN}")) }
    }

    /// Lets the host send packets, and returns when they have arrived.
    pub fn send(&self, packets: &[Vec<u8>]) {
        self.host.write(packets);
        for packet in packets {
            let mut buffer = vec![0; packet.len() + 1];
            let length = self.wire.socket.recv(&mut buffer).expect("receive what the host has sent");
            assert_eq!(&buffer[..length], packet, "a packet arrives as it was sent");
        }
    }

    /// Lets the host receive packets, and returns when its kernel has seen the last one.
    pub fn receive(&self, host: &Host, packets: &[Vec<u8>]) {
        let all = host.counters_of(TUN).received_packets + packets.len() as u64;
        self.wire.write(packets);
        eventually("every packet arrives", || (host.counters_of(TUN).received_packets >= all).then_some(()));
        settle();
    }
}

/// A socat process between a socket and something else. Ended when the value goes.
#[derive(Debug)]
struct Pipe {
    socat: Child,
    socket: UnixDatagram,
}

impl Pipe {
    /// From the socket to `address`, and back as well if `input` is `STDIO`.
    fn start(namespace: &Namespace, input: &str, address: &str) -> Self {
        /// More than any packet of the tests.
        const BUFFER: &str = "-b65536";
        let (socket, theirs) = UnixDatagram::pair().expect("make a pair of sockets");
        socket.set_read_timeout(Some(PATIENCE)).expect("set a time limit");
        let output = theirs.try_clone().expect("clone a socket");
        let mut command = Command::new("socat");
        // What is read from the interface itself is the host's own packets again.
        command.args(if input == "STDIN" { &["-u", BUFFER][..] } else { &[BUFFER] }).args([input, address]);
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(OwnedFd::from(output)));
        let socat = namespace.enter(|| command.spawn()).expect("start socat");
        Self { socat, socket }
    }

    fn write(&self, packets: &[Vec<u8>]) {
        for packet in packets {
            self.socket.send(packet).expect("pass a packet to socat");
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.socat.kill());
        drop(self.socat.wait());
    }
}
