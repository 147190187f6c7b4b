//! A tun device: an interface without a link layer.

use std::{
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
};

use crate::{Host, eventually};

/// Name of the device.
pub const TUN: &str = "tun7";

/// A tun device of a host, and what is at its other end: this value.
///
/// socat makes the device and passes packets on, one a datagram, so that no test has to make system calls of its own.
#[derive(Debug)]
pub struct Tun {
    socat: Child,
    wire: UnixDatagram,
}

impl Tun {
    /// Makes the device in a host's namespace, up, without addresses.
    #[must_use]
    pub fn new(host: &Host) -> Self {
        host.namespace.set("ipv6/conf/default/disable_ipv6", "1");
        let (wire, theirs) = UnixDatagram::pair().expect("make a pair of sockets");
        let input = OwnedFd::from(theirs.try_clone().expect("clone a socket"));
        let socat = host
            .namespace
            .enter(|| {
                Command::new("socat")
                    .args(["-b65536", "STDIO", &format!("TUN,tun-name={TUN},tun-type=tun,iff-no-pi,iff-up")])
                    .stdin(Stdio::from(input))
                    .stdout(Stdio::from(OwnedFd::from(theirs)))
                    .spawn()
            })
            .expect("start socat");
        let tun = Self { socat, wire };
        eventually("the tun device is there", || {
            host.namespace
                .ip("-o link show")
                .contains(&format!("{TUN}: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP>"))
                .then_some(())
        });
        tun
    }

    /// Lets the host receive packets, and returns when its kernel has seen the last one.
    pub fn receive(&self, host: &Host, packets: &[Vec<u8>]) {
        let all = host.counters_of(TUN).received_packets + packets.len() as u64;
        for packet in packets {
            self.wire.send(packet).expect("pass a packet to the tun device");
        }
        eventually("every packet arrives", || (host.counters_of(TUN).received_packets >= all).then_some(()));
        crate::network::settle();
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.socat.kill());
        drop(self.socat.wait());
    }
}
