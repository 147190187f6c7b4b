//! A process that does as it is told: its arguments are steps, which it takes one after the other, and then it is gone.
//!
//! What it says on its standard output is a line for each: a word, its PID, its start in clock ticks, a protocol, the local and
//! the remote end, and its name.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeSet,
    error::Error,
    ffi::CString,
    fs,
    io::{self, Read, Write},
    mem,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, ExitCode, id},
    thread,
    time::Duration,
};

use harness::raw::RawSocket;
use nix::{
    sys::prctl::set_name,
    unistd::{Gid, Uid, setgid, setgroups, setuid},
};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, accept_with, ipproto, socket_with};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Nothing that a peer of the tests does takes as long.
const PATIENCE: Duration = Duration::from_mins(1);

/// What it has open.
enum Socket {
    None,
    Listener(TcpListener),
    Tcp(TcpStream),
    /// Anything that `sendto` serves: UDP, ping and raw sockets.
    Datagram(&'static str, UdpSocket),
    Packet(RawSocket),
}

struct Worker {
    socket: Socket,
    /// What listens goes on listening.
    listener: Option<TcpListener>,
    /// Where datagrams go.
    to: Option<SocketAddr>,
    /// The conversations it has had.
    flows: BTreeSet<(&'static str, SocketAddr, SocketAddr)>,
}

fn main() -> ExitCode {
    let mut worker = Worker { socket: Socket::None, listener: None, to: None, flows: BTreeSet::new() };
    let steps: Vec<String> = std::env::args().skip(1).collect();
    match worker.take(&steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be a socket that it was handed.
            println!("error: {error}, of {steps:?}");
            ExitCode::FAILURE
        }
    }
}

impl Worker {
    /// Takes the steps, and says at the end whom it has talked to.
    fn take(&mut self, steps: &[String]) -> Result<()> {
        for (at, step) in steps.iter().enumerate() {
            let rest = &steps[at + 1..];
            let (verb, value) = step.split_once('=').unwrap_or((step, ""));
            match verb {
                // The rest is another's.
                "exec" => {
                    self.tell()?;
                    return Err(self.other(rest)?.exec().into());
                }
                "hand" => {
                    let mut child = self.other(rest)?.spawn()?;
                    self.socket = Socket::None;
                    child.wait()?;
                    return self.tell();
                }
                "share" => {
                    let mut child = self.other(rest)?.spawn()?;
                    child.wait()?;
                    return self.tell();
                }
                "thread" => {
                    return thread::scope(|scope| {
                        let inside = || {
                            name(value.as_bytes()).map_err(|error| error.to_string())?;
                            self.take(rest).map_err(|error| error.to_string())
                        };
                        scope.spawn(inside).join().map_err(|_| "the thread has panicked")?.map_err(Into::into)
                    });
                }
                _ => self.step(verb, value).map_err(|error| format!("{step}: {error}"))?,
            }
        }
        self.tell()
    }

    fn step(&mut self, verb: &str, value: &str) -> Result<()> {
        match verb {
            "name" => name(value.as_bytes())?,
            "name-hex" => name(&bytes(value)?)?,
            "cgroup" => fs::write(format!("{value}/cgroup.procs"), "0")?,
            "uid" => {
                let id: u32 = value.parse()?;
                setgroups(&[])?;
                setgid(Gid::from_raw(id))?;
                setuid(Uid::from_raw(id))?;
            }
            "say" => self.say(value)?,
            "wait" => wait()?,
            "listen" => self.socket = Socket::Listener(TcpListener::bind(value)?),
            "accept" => {
                let listener = self.listening()?;
                let (stream, remote) = listener.accept()?;
                self.talk(stream, remote)?;
            }
            "accept-blind" => {
                let listener = self.listening()?;
                let stream = TcpStream::from(accept_with(listener, SocketFlags::CLOEXEC)?);
                let remote = stream.peer_addr()?;
                self.talk(stream, remote)?;
            }
            "connect" => {
                let remote = value.parse()?;
                self.talk(TcpStream::connect::<SocketAddr>(remote)?, remote)?;
            }
            "udp" => self.datagrams("udp", UdpSocket::bind(value)?)?,
            "connect-udp" => {
                let Socket::Datagram(protocol, socket) = &self.socket else { return Err("no socket".into()) };
                let remote: SocketAddr = value.parse()?;
                socket.connect(remote)?;
                self.flows.insert((protocol, socket.local_addr()?, remote));
                self.to = None;
            }
            "join" => {
                let Socket::Datagram(_, socket) = &self.socket else { return Err("no socket".into()) };
                let (group, own) = value.split_once('@').ok_or("no interface")?;
                socket.join_multicast_v4(&group.parse()?, &own.parse()?)?;
            }
            "ping" => {
                self.datagrams("icmp", internet(value, SocketType::DGRAM, ipproto::ICMP)?)?;
            }
            "raw" => {
                let (protocol, local) = value.split_once('@').ok_or("no address")?;
                let protocol = Protocol::from_raw(protocol.parse::<u32>()?.try_into()?);
                self.datagrams("raw", internet(local, SocketType::RAW, protocol)?)?;
            }
            "packet" => self.socket = Socket::Packet(RawSocket::on(value)),
            "adopt" => self.adopt(value)?,
            "to" => self.to = Some(value.parse()?),
            "send" => self.send(&vec![0; value.parse()?])?,
            "send-hex" => self.send(&bytes(value)?)?,
            "receive" => self.receive(value.parse()?)?,
            "close" => self.socket = Socket::None,
            _ => return Err("no such step".into()),
        }
        Ok(())
    }

    /// The listening socket.
    fn listening(&mut self) -> Result<&TcpListener> {
        if let Socket::Listener(_) = self.socket
            && let Socket::Listener(listener) = mem::replace(&mut self.socket, Socket::None)
        {
            self.listener = Some(listener);
        }
        Ok(self.listener.as_ref().ok_or("no listener")?)
    }

    fn talk(&mut self, stream: TcpStream, remote: SocketAddr) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        self.flows.insert(("tcp", stream.local_addr()?, remote));
        self.socket = Socket::Tcp(stream);
        Ok(())
    }

    fn datagrams(&mut self, protocol: &'static str, socket: UdpSocket) -> Result<()> {
        socket.set_read_timeout(Some(PATIENCE))?;
        self.socket = Socket::Datagram(protocol, socket);
        Ok(())
    }

    fn send(&mut self, payload: &[u8]) -> Result<()> {
        match (&mut self.socket, self.to) {
            (Socket::Tcp(stream), _) => stream.write_all(payload)?,
            (Socket::Datagram(protocol, socket), Some(to)) => {
                socket.send_to(payload, to)?;
                self.flows.insert((protocol, socket.local_addr()?, to));
            }
            (Socket::Datagram(_, socket), None) => {
                socket.send(payload)?;
            }
            (Socket::Packet(socket), _) => socket.send(payload),
            (Socket::None | Socket::Listener(_), _) => return Err("nothing to send with".into()),
        }
        Ok(())
    }

    /// Receives so many bytes of a stream, or a datagram that it answers from now on.
    fn receive(&mut self, length: usize) -> Result<()> {
        let mut buffer = vec![0; length];
        match &mut self.socket {
            Socket::Tcp(stream) => stream.read_exact(&mut buffer)?,
            Socket::Datagram(protocol, socket) => {
                let (_, from) = socket.recv_from(&mut buffer)?;
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                self.flows.insert((protocol, socket.local_addr()?, from));
                if socket.peer_addr().is_err() {
                    let mapped = socket.local_addr()?.is_ipv6().then(|| mapped(from));
                    self.to = Some(mapped.unwrap_or(from));
                }
            }
            Socket::None | Socket::Listener(_) | Socket::Packet(_) => {
                return Err("nothing to receive with".into());
            }
        }
        Ok(())
    }

    /// Takes over the socket that another worker has handed to it.
    fn adopt(&mut self, kind: &str) -> Result<()> {
        let socket = io::stderr().as_fd().try_clone_to_owned()?;
        match kind {
            "tcp" => {
                let stream = TcpStream::from(socket);
                let remote = stream.peer_addr()?;
                self.talk(stream, remote)
            }
            "listener" => {
                self.socket = Socket::Listener(socket.into());
                Ok(())
            }
            "udp" => self.datagrams("udp", socket.into()),
            _ => Err("no such kind of socket".into()),
        }
    }

    /// A worker that has the socket in place of its standard error, and the rest of the steps.
    fn other(&self, steps: &[String]) -> Result<Command> {
        let socket: OwnedFd = match &self.socket {
            Socket::Tcp(stream) => stream.as_fd().try_clone_to_owned()?,
            Socket::Listener(listener) => listener.as_fd().try_clone_to_owned()?,
            Socket::Datagram(_, socket) => socket.as_fd().try_clone_to_owned()?,
            Socket::None | Socket::Packet(_) => return Err("nothing to hand over".into()),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(steps).stderr(socket);
        Ok(command)
    }

    fn say(&self, word: &str) -> Result<()> {
        let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let (protocol, local) = match &self.socket {
            Socket::Listener(listener) => ("tcp", listener.local_addr()?),
            Socket::Tcp(stream) => ("tcp", stream.local_addr()?),
            Socket::Datagram(protocol, socket) => (*protocol, socket.local_addr()?),
            Socket::None | Socket::Packet(_) => ("-", unknown),
        };
        line(word, protocol, local, unknown)
    }

    fn tell(&self) -> Result<()> {
        for (protocol, local, remote) in &self.flows {
            line("flow", protocol, *local, *remote)?;
        }
        Ok(())
    }
}

fn name(value: &[u8]) -> Result<()> {
    Ok(set_name(&CString::new(value)?)?)
}

/// Waits until it is told to go on. When nobody can tell it any more, it ends.
fn wait() -> Result<()> {
    let mut byte = [0];
    // Not through a buffer: the next line may be for another process.
    let length = rustix::io::read(io::stdin(), &mut byte)?;
    if length == 0 { Err("nobody is there any more".into()) } else { Ok(()) }
}

fn internet(local: &str, kind: SocketType, protocol: Protocol) -> Result<UdpSocket> {
    let local: IpAddr = local.parse()?;
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    rustix::net::bind(&socket, &SocketAddr::new(local, 0))?;
    Ok(socket.into())
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let digits = |at| hex.get(at..at + 2).ok_or("half a byte");
    (0..hex.len()).step_by(2).map(|at| Ok(u8::from_str_radix(digits(at)?, 16)?)).collect()
}

fn line(word: &str, protocol: &str, local: SocketAddr, remote: SocketAddr) -> Result<()> {
    let stat = fs::read("/proc/self/stat")?;
    let stat = String::from_utf8_lossy(&stat);
    // Fields from the third one on stand behind the name (proc(5)).
    let started =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)).ok_or("no start")?;
    let name = fs::read("/proc/thread-self/comm")?;
    let name = String::from_utf8_lossy(&name);
    // One write, for several processes may write at the same time.
    let text = format!("{word} {} {started} {protocol} {local} {remote} {name}", id());
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
