//! The traffic: who talks to whom, and how much.
//!
//! All addresses are for documentation (RFC 5737, RFC 3849), and all amounts and times have an end: an opener stops after
//! [`LASTS`], and who answers says no more than he is asked or than the talk is worth.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::End;
use super::pace::Pace;
use super::ping::Ping;

/// How long a talk may last: longer than the measurement, so that none ends before it unless it means to.
const LASTS: Duration = Duration::from_secs(8);
/// The most that is written or read at a time.
const CHUNK: usize = 64 * 1024;

/// Two addresses, and what passes between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    opener: End,
    from: IpAddr,
    to: SocketAddr,
    what: What,
    /// When it begins, after the measurement did.
    begins: Duration,
    lasts: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A TCP connection, with bytes a second from the opener and to it.
    Stream { asks: u32, answers: u32 },
    /// UDP datagrams of so many bytes, each answered by another, so many times a second; as a resolver does from a
    /// port of its own each time, or all from one port.
    Queries { per_second: u32, asks: usize, answers: usize, own_ports: bool },
    /// ICMP echo requests.
    Echoes { per_second: u32 },
}

/// The traffic of the picture: a web server with a database behind it, its backup, and its clients.
pub(super) fn talks() -> Vec<Talk> {
    use End::{Far, Near};
    let web4 = v4(192, 0, 2, 10);
    let web6 = v6(0x10, 0x10);
    let stream = |asks, answers| What::Stream { asks, answers };
    let queries = |per_second, asks, answers| What::Queries { per_second, asks, answers, own_ports: false };
    let lookups = |per_second| What::Queries { per_second, asks: 45, answers: 141, own_ports: true };

    let mut talks = vec![
        // Downloads, one of them over QUIC, and an upload.
        talk(Far, v4(198, 51, 100, 23), (web4, 443), stream(120_000, 7_400_000)),
        talk(Far, v6(0x51, 0xa7), (web6, 443), stream(48_000, 3_100_000)).between(1500, 8000),
        talk(Far, v4(198, 51, 100, 77), (web4, 443), queries(560, 90, 1230)),
        talk(Far, v6(0x77, 0x4c), (web6, 8080), stream(840_000, 21_000)),
        // The database, the backup, an administrator, a tunnel.
        talk(Near, web4, (v4(192, 0, 2, 20), 5432), stream(310_000, 2_300_000)),
        talk(Near, web6, (v6(0x99, 0x22), 22), stream(5_200_000, 30_000)).between(0, 4500),
        talk(Far, v4(198, 51, 100, 140), (web4, 22), stream(3_000, 14_000)),
        talk(Near, web4, (v4(198, 51, 100, 201), 1194), queries(130, 160, 1180)),
        // Names, time and whether the gateway is there.
        talk(Near, web4, (v4(192, 0, 2, 53), 53), lookups(180)),
        talk(Near, web6, (v6(0x53, 0x53), 53), lookups(70)),
        talk(Near, web4, (v4(192, 0, 2, 1), 123), queries(1, 48, 48)),
        talk(Near, web4, (v4(192, 0, 2, 1), 0), What::Echoes { per_second: 20 }),
    ];
    // Browsers, each later than the one before and slower.
    talks.extend((1..=24_u8).map(|n| {
        let (order, start) = (u32::from(n), u64::from(n) * 150);
        let (from, to) = if n % 3 == 0 {
            (v6(0x51, n.into()), (web6, 443))
        } else {
            (v4(198, 51, 100, 29 + 3 * n), (web4, 443))
        };
        talk(Far, from, to, stream(9_000 / order, 260_000 / order)).between(start, start + 2500)
    }));
    talks
}

fn talk(opener: End, from: IpAddr, to: (IpAddr, u16), what: What) -> Talk {
    Talk { opener, from, to: to.into(), what, begins: Duration::ZERO, lasts: LASTS }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// A host in one of the subnets of `2001:db8::/32`.
fn v6(subnet: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, subnet, 0, 0, 0, 0, host))
}

impl Talk {
    /// The same in this time, in milliseconds since the beginning.
    fn between(self, begin: u64, end: u64) -> Self {
        Self { begins: Duration::from_millis(begin), lasts: Duration::from_millis(end - begin), ..self }
    }

    /// The address that one end of the cable has in this.
    pub(super) fn address_at(&self, end: End) -> IpAddr {
        if self.opener == end { self.from } else { self.to.ip() }
    }
}

/// Listens on everything this end is asked on, and answers from now on.
pub(super) fn answer(end: End) -> Result<()> {
    let asked: Vec<Talk> = talks().into_iter().filter(|talk| talk.opener != end).collect();
    let sockets = |is_wanted: fn(What) -> bool| -> BTreeSet<SocketAddr> {
        asked.iter().filter(|talk| is_wanted(talk.what)).map(|talk| talk.to).collect()
    };
    for address in sockets(|what| matches!(what, What::Stream { .. })) {
        let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let talks = of(&asked, address);
        in_background(format!("connections to {address}"), move || accept(&listener, &talks));
    }
    for address in sockets(|what| matches!(what, What::Queries { .. })) {
        let socket = UdpSocket::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let talks = of(&asked, address);
        in_background(format!("queries to {address}"), move || reply(&socket, &talks));
    }
    Ok(())
}

fn of(talks: &[Talk], to: SocketAddr) -> Vec<Talk> {
    talks.iter().filter(|talk| talk.to == to).copied().collect()
}

/// Begins all that this end opens.
pub(super) fn begin(end: End) {
    for talk in talks().into_iter().filter(|talk| talk.opener == end) {
        in_background(format!("{} to {}", talk.from, talk.to), move || {
            thread::sleep(talk.begins);
            match talk.what {
                What::Stream { asks, .. } => exchange(open(talk.from, talk.to)?, asks, talk.lasts),
                What::Queries { per_second, asks, own_ports, .. } => {
                    query(&talk, Pace::new(per_second, talk.lasts), asks, own_ports)
                }
                What::Echoes { per_second } => echo(&talk, Pace::new(per_second, talk.lasts)),
            }
        });
    }
}

/// Does something beside everything else, and says when it fails. Nobody waits for it: it is over when the process is.
fn in_background(name: String, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
    thread::spawn(move || match work() {
        // The other end is gone first, when the measurement is over.
        Err(error) if !matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            eprintln!("{name}: {error}");
        }
        _ => {}
    });
}

/// A connection from an address of our choice, which the standard library leaves to the kernel.
fn open(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, &to)?;
    Ok(socket.into())
}

fn accept(listener: &TcpListener, talks: &[Talk]) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept()?;
        let known = talks.iter().find(|talk| talk.from == peer.ip());
        if let Some(&Talk { what: What::Stream { answers, .. }, lasts, .. }) = known {
            in_background(format!("to {peer}"), move || exchange(stream, answers, lasts));
        }
    }
}

/// Sends at a pace, and takes in whatever comes.
fn exchange(stream: TcpStream, per_second: u32, lasts: Duration) -> io::Result<()> {
    let mut incoming = stream.try_clone()?;
    let mut outgoing = stream;
    in_background("incoming".to_owned(), move || {
        let mut chunk = vec![0; CHUNK];
        while incoming.read(&mut chunk)? > 0 {}
        Ok(())
    });
    let chunk = vec![0; CHUNK];
    for mut due in Pace::new(per_second, lasts) {
        while due > 0 {
            due -= outgoing.write(&chunk[..due.min(CHUNK)])?;
        }
    }
    outgoing.shutdown(Shutdown::Write)
}

fn query(talk: &Talk, pace: Pace, asks: usize, own_ports: bool) -> io::Result<()> {
    let question = vec![0; asks];
    let mut socket = UdpSocket::bind((talk.from, 0))?;
    for due in pace {
        for _ in 0..due {
            if own_ports {
                socket = UdpSocket::bind((talk.from, 0))?;
            }
            socket.send_to(&question, talk.to)?;
            if own_ports {
                // An answer that nobody waits for is answered with an ICMP error.
                socket.set_read_timeout(Some(LASTS))?;
                socket.recv(&mut [0])?;
            }
        }
    }
    Ok(())
}

fn reply(socket: &UdpSocket, talks: &[Talk]) -> io::Result<()> {
    loop {
        // What is asked is of no interest; what does not fit is dropped.
        let (_, peer) = socket.recv_from(&mut [0])?;
        let known = talks.iter().find(|talk| talk.from == peer.ip());
        if let Some(&Talk { what: What::Queries { answers, .. }, .. }) = known {
            socket.send_to(&vec![0; answers], peer)?;
        }
    }
}

fn echo(talk: &Talk, pace: Pace) -> io::Result<()> {
    let ping = Ping::new(talk.from, talk.to.ip())?;
    for due in pace {
        for _ in 0..due {
            ping.send()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_for_documentation_and_at_one_end_only() {
        let all = talks();
        let at = |end| all.iter().map(|talk| talk.address_at(end)).collect::<BTreeSet<_>>();
        assert!(at(End::Near).is_disjoint(&at(End::Far)));
        for address in at(End::Near).union(&at(End::Far)) {
            assert!(
                match address {
                    IpAddr::V4(v4) => v4.is_documentation(),
                    IpAddr::V6(v6) => v6.segments()[..2] == [0x2001, 0xdb8],
                },
                "{address}"
            );
        }
    }

    #[test]
    fn who_is_asked_can_tell_what_to_answer() {
        let mut seen = BTreeSet::new();
        for talk in talks() {
            let protocol = match talk.what {
                What::Stream { .. } => 6,
                What::Queries { .. } => 17,
                What::Echoes { .. } => 1,
            };
            assert!(seen.insert((protocol, talk.from, talk.to)), "{talk:?} twice");
            assert_eq!(talk.from.is_ipv4(), talk.to.is_ipv4(), "{talk:?}");
        }
    }

    #[test]
    fn every_talk_ends() {
        for talk in talks() {
            assert!(talk.begins + talk.lasts <= LASTS, "{talk:?}");
        }
    }
}
