//! What both ends do with the script: ask, and answer what they are asked.
//!
//! An opener stops when its visit is over, and who answers says no more than it is asked or than the talk is worth. All of it
//! ends with the process.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::End;
use super::pace::Pace;
use super::ping::Ping;
use super::script::{Talk, What};

/// The most that is written or read at a time.
const CHUNK: usize = 64 * 1024;
/// How long an answer is waited for. One that comes later is answered with an ICMP error.
const PATIENCE: Duration = Duration::from_secs(1);

/// Listens on everything this end is asked on in these talks, and answers from now on.
pub(super) fn answer(end: End, talks: &[Talk]) -> Result<()> {
    let asked: Vec<Talk> = talks.iter().filter(|talk| talk.opener != end).copied().collect();
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

/// Begins all that this end opens in these talks.
pub(super) fn begin(end: End, talks: &[Talk]) {
    for talk in talks.iter().filter(|talk| talk.opener == end).copied() {
        in_background(format!("{} to {}", talk.from, talk.to), move || {
            thread::sleep(talk.begins);
            loop {
                visit(&talk)?;
                let Some(visits) = talk.visits else { return Ok(()) };
                thread::sleep(visits.rest);
            }
        });
    }
}

fn visit(talk: &Talk) -> io::Result<()> {
    match talk.what {
        What::Stream { asks, .. } => exchange(open(talk.from, talk.to)?, asks, talk),
        What::Queries { per_second, asks, own_ports, .. } => {
            query(talk, pace(per_second, talk), asks, own_ports)
        }
        What::Echoes { per_second } => echo(talk, pace(per_second, talk)),
    }
}

fn pace(per_second: u32, talk: &Talk) -> Pace {
    Pace::new(per_second, talk.visits.map(|visits| visits.last), talk.tide)
}

/// Does something beside everything else, and says when it fails. Nobody waits for it: it is over when the process is.
fn in_background(name: String, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
    thread::spawn(move || match work() {
        // The other end is gone first, when all is over.
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
        let known = talks.iter().find(|talk| talk.from == peer.ip()).copied();
        if let Some(talk @ Talk { what: What::Stream { answers, .. }, .. }) = known {
            in_background(format!("to {peer}"), move || exchange(stream, answers, &talk));
        }
    }
}

/// Sends at a pace, and takes in whatever comes.
fn exchange(stream: TcpStream, per_second: u32, talk: &Talk) -> io::Result<()> {
    let mut incoming = stream.try_clone()?;
    let mut outgoing = stream;
    in_background("incoming".to_owned(), move || {
        let mut chunk = vec![0; CHUNK];
        while incoming.read(&mut chunk)? > 0 {}
        Ok(())
    });
    let chunk = vec![0; CHUNK];
    for mut due in pace(per_second, talk) {
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
                socket.set_read_timeout(Some(PATIENCE))?;
                match socket.recv(&mut [0]) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                    // Answered, or lost: the next question is another one.
                    _ => {}
                }
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
