//! `flowtally inspect`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use rustix::io::Errno;

use super::{announce, security, settings::report_plan, stdout, tell_where_files_are_from, terminal_width};
use crate::{
    cli::InspectArgs,
    flow::{row::Counting, snapshot::Snapshot},
    format::{Safe, grid::UNLIMITED},
    host::{
        holders::{DescriptorHolder, Holders, sees_all},
        netns::{Namespaces, addresses},
        painter::Painter,
        proc::{self, ProcessDir, pids},
        shutdown::Shutdown,
        sockets::{InternetSocket as Listed, NamespaceSockets, SocketClass, State, Wanted, protocol},
    },
    inspect::{
        self, BytesBothWays, CountedFlow, InspectPage, InspectTarget, Matched, MatchedSocket,
        NamespaceAddresses, OpenDescriptor,
    },
    meter::Meter,
    model::{
        owner::{Netns, Reason},
        portrait::Portrait,
        protocol::Kind,
    },
};

/// Measures, then prints the page.
pub(super) async fn inspect(args: InspectArgs) -> anyhow::Result<()> {
    stdout::check()?;
    let target = &args.target;
    // Counting takes the program's rights; whose processes these are, and what they have open, is shown with the user's.
    let confined = security::confined()?;
    proc::check()?;
    let named = named(target)?;
    let before = ListedSockets::now()?;
    let mut painter = Painter::new(before.namespaces.clone());
    if let (InspectTarget::Pid(pid), true) = (target, named.is_empty()) {
        bail!("there is no process {pid}{}", port_instead(*pid, &before.sockets));
    }
    // Who ends while it is measured has its portrait already.
    let early = Matched::new(target, before.sockets.clone(), &[], &before.places, &named);
    let mut portraits = portray(&early, &mut painter);
    drop(confined);
    let mut page = InspectPage {
        target,
        started: SystemTime::now(),
        seconds: None,
        interfaces: Vec::new(),
        matched: early,
        portraits: HashMap::new(),
        notes: Vec::new(),
    };
    let mut look = before;
    let mut degraded = Vec::new();
    if args.seconds > 0 {
        let (started, interfaces, snapshot) = measure(&args).await?;
        page.started = started;
        page.interfaces = interfaces;
        page.seconds = Some(snapshot.elapsed.as_secs_f64());
        let _confined = security::confined()?;
        let after = ListedSockets::now()?;
        look = after.or(look);
        page.matched = Matched::new(target, look.sockets.clone(), &flows(&snapshot), &look.places, &named);
        portraits.extend(portray(&page.matched, &mut painter));
        degraded = snapshot.owners_degraded;
    }
    if page.matched.is_empty() {
        let traffic = page.seconds.map(|seconds| format!(", and no traffic in {seconds:.1} s"));
        bail!("nothing matches {}: no socket{}", Safe::new(&target.to_string()), traffic.unwrap_or_default());
    }
    page.portraits = portraits;
    page.notes = look.notes(&page);
    if !look.complete {
        page.notes.extend(security::hint().map(|hint| format!("Here {hint}.")));
    }
    // What is missing of owners matters where there is no socket to have one.
    if !page.matched.strays.is_empty() {
        page.notes.extend(degraded);
    }
    if args.capture.verbose {
        tell_where_files_are_from();
    }
    let width = terminal_width().unwrap_or(UNLIMITED);
    inspect::write(stdout::open()?, &page, args.format, width).context("writing the page")
}

/// The processes that are asked for by themselves.
fn named(target: &InspectTarget) -> anyhow::Result<BTreeSet<u32>> {
    match target {
        InspectTarget::Port(_) | InspectTarget::Address(..) => Ok(BTreeSet::new()),
        InspectTarget::Pid(pid) => {
            Ok(ProcessDir::open(*pid).map(|process| process.pid()).into_iter().collect())
        }
        InspectTarget::Command(name) => {
            let commands: Vec<_> = pids()
                .context("reading the processes in /proc")?
                .into_iter()
                .filter_map(|pid| Some((pid, ProcessDir::open(pid).ok()?.stat().ok()?.command)))
                .collect();
            let of = |is: &dyn Fn(&[u8]) -> bool| {
                commands
                    .iter()
                    .filter(|(_, command)| is(command))
                    .map(|(pid, _)| *pid)
                    .collect::<BTreeSet<_>>()
            };
            let mut named = of(&|command| target.is_called(command));
            if named.is_empty() {
                named = of(&|command| target.begins(command));
            }
            if named.is_empty() {
                bail!(
                    "no process is called '{}': use its name as `ps -o comm` shows it, a PID, :PORT or ADDRESS[:PORT]",
                    Safe::new(name)
                );
            }
            Ok(named)
        }
    }
}

/// What is said of a number that is no PID, and is a port.
fn port_instead(number: u32, sockets: &[MatchedSocket]) -> String {
    let port = u16::try_from(number).ok().filter(|port| *port > 0).map(InspectTarget::Port);
    let is_port =
        |target: &InspectTarget| sockets.iter().any(|socket| target.is_at(socket.local, socket.remote));
    match port.filter(is_port) {
        Some(port) => format!("; for sockets on port {number} use {port}"),
        None => String::new(),
    }
}

/// Sockets of every network namespace, with who has them open, at one moment.
struct ListedSockets {
    sockets: Vec<MatchedSocket>,
    namespaces: Namespaces,
    /// Their addresses.
    places: NamespaceAddresses,
    /// Namespaces that could not be read, and why.
    closed: Vec<String>,
    /// How many could not be entered, and were read from outside, and why.
    outside: Option<(usize, Errno)>,
    /// What `sock_diag` refused, so that /proc/net was read, and why.
    refused: BTreeMap<&'static str, Errno>,
    /// Whether this is the host's PID namespace, and every process could be read.
    sees_all: bool,
    complete: bool,
}

impl ListedSockets {
    fn now() -> anyhow::Result<Self> {
        let holders = Holders::walk().context("reading the processes in /proc")?;
        let namespaces = Namespaces::find(&holders.namespaces);
        let wanted = Wanted { packet: false, unix: false, ..Wanted::ALL };
        let all: BTreeSet<u64> = namespaces.files.keys().copied().chain(namespaces.own).collect();
        let read = |inode: u64, entered: Result<(), Errno>| {
            let sockets = match &entered {
                Ok(()) => NamespaceSockets::read(wanted),
                Err(_) if Some(inode) == namespaces.own => NamespaceSockets::read(wanted),
                Err(error) => match holders.namespaces.get(&inode) {
                    Some(pid) => NamespaceSockets::read_of_process(*pid, wanted),
                    None => return (inode, Err(*error)),
                },
            };
            let outside = entered.err().filter(|_| Some(inode) != namespaces.own);
            let addresses = if outside.is_none() { addresses() } else { HashSet::new() };
            (inode, Ok((sockets, addresses, outside)))
        };
        let lists = namespaces.inside(all.into_iter(), read);
        let mut look = Self {
            sockets: Vec::new(),
            places: NamespaceAddresses { own: namespaces.own, addresses: HashMap::new() },
            namespaces,
            closed: Vec::new(),
            outside: None,
            refused: BTreeMap::new(),
            sees_all: sees_all(),
            complete: holders.is_complete,
        };
        for (inode, list) in lists {
            let netns = Netns { inode: Some(inode), name: look.namespaces.name(inode) };
            match list {
                Ok((list, addresses, outside)) => {
                    look.refused.extend(list.refused.iter().copied());
                    if let Some(error) = outside {
                        look.outside = Some((look.outside.map_or(0, |(count, _)| count) + 1, error));
                    }
                    look.places.addresses.insert(inode, addresses);
                    let is_here = Some(inode) == look.namespaces.own;
                    let found = list.inet.iter().map(|listed| socket(listed, &netns, is_here, &holders));
                    look.sockets.extend(found);
                }
                Err(error) => look.closed.push(format!("network namespace {netns}: {error}")),
            }
        }
        Ok(look)
    }

    /// This look, and what was there in an earlier one and is gone: a connection that was just closed has its owner still.
    fn or(mut self, earlier: Self) -> Self {
        type Identity = (Kind, SocketAddr, Option<SocketAddr>, Option<u64>);
        let identity = |socket: &MatchedSocket| -> Identity {
            (socket.kind, socket.local, socket.remote, socket.netns.inode)
        };
        let mut known: HashMap<Identity, Vec<usize>> = HashMap::new();
        for (at, socket) in self.sockets.iter().enumerate() {
            known.entry(identity(socket)).or_default().push(at);
        }
        for mut socket in earlier.sockets {
            let Some(same) = known.get(&identity(&socket)) else {
                socket.state = "closed";
                self.sockets.push(socket);
                continue;
            };
            for at in same {
                if let Some(now) = self.sockets.get_mut(*at).filter(|now| now.holders.is_empty()) {
                    now.holders.clone_from(&socket.holders);
                }
            }
        }
        self
    }

    /// What could not be read, and what that means.
    fn notes(&self, page: &InspectPage<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.sees_all {
            notes.push(
                "Processes outside this PID namespace cannot be seen, so that owners may be missing: run flowtally in the host's \
                 PID namespace."
                    .to_owned(),
            );
        } else if !self.complete {
            notes.push(
                "Not every process could be read, so that owners may be missing: that takes root (CAP_SYS_PTRACE, \
                 CAP_DAC_READ_SEARCH)."
                    .to_owned(),
            );
        }
        if !self.closed.is_empty() {
            notes.push(format!("Sockets could not be read of {}.", self.closed.join("; ")));
        }
        for (name, error) in &self.refused {
            notes.push(format!(
                "sock_diag refuses to list {name} sockets ({error}): /proc/net was read instead."
            ));
        }
        if let Some((count, error)) = self.outside {
            let namespaces = if count == 1 { "namespace" } else { "namespaces" };
            notes.push(format!(
                "{count} network {namespaces} could not be entered ({error}): /proc/PID/net was read instead, and which addresses \
                 they have is not known."
            ));
        }
        let lines = page.matched.owned.iter().flat_map(|(_, lines)| lines).chain(&page.matched.unowned);
        if page.seconds.is_some() && lines.into_iter().any(|line| !line.socket.is_here) {
            notes.push(
                "Traffic of sockets in other network namespaces is seen where it crosses an interface that is measured: \
                 -i any takes all of this one."
                    .to_owned(),
            );
        }
        notes
    }
}

/// A socket as the page has it.
fn socket(listed: &Listed, netns: &Netns, is_here: bool, holders: &Holders) -> MatchedSocket {
    let kind = Kind::Ip(match (listed.class, listed.is_v6) {
        (SocketClass::Ping, true) => protocol::ICMPV6,
        (SocketClass::Ping, false) => protocol::ICMP,
        _ => listed.protocol,
    });
    let tcp = listed.class == SocketClass::Transport && listed.protocol == protocol::TCP;
    let open = holders.of(listed.inode);
    MatchedSocket {
        kind,
        protocol: match listed.class {
            SocketClass::Transport => kind.to_string(),
            SocketClass::Ping => format!("ping {kind}"),
            SocketClass::Raw => format!("raw {kind}"),
        },
        local: listed.local_end(),
        remote: (!listed.has_no_peer()).then(|| listed.remote_end()),
        state: if tcp { state(listed.state) } else { "" },
        listens: listed.state == State::Listen,
        netns: netns.clone(),
        is_here,
        holders: open
            .iter()
            .map(|&DescriptorHolder { pid, fd, thread }| OpenDescriptor { pid, fd, thread })
            .collect(),
        nobody: match listed.inode {
            // What the kernel keeps to itself: connections that wait to be accepted, or for their end.
            0 => Reason::KernelStack,
            _ if holders.is_complete => Reason::Kernel,
            _ => Reason::NotPermitted,
        },
    }
}

/// A state of TCP, as ss(8) and RFC 9293 call it.
const fn state(state: State) -> &'static str {
    match state {
        State::Established => "ESTABLISHED",
        State::SynSent => "SYN-SENT",
        State::SynReceived | State::NewSynReceived => "SYN-RECEIVED",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::TimeWait => "TIME-WAIT",
        State::Close => "CLOSED",
        State::CloseWait => "CLOSE-WAIT",
        State::LastAck => "LAST-ACK",
        State::Listen => "LISTEN",
        State::Closing => "CLOSING",
        State::Other => "",
    }
}

/// The processes of a page.
fn portray(matched: &Matched, painter: &mut Painter) -> HashMap<u32, Portrait> {
    let mut portray = |pid| Some((pid, painter.portray(&ProcessDir::open(pid).ok()?).ok()?));
    matched.owned.iter().filter_map(|(pid, _)| portray(*pid)).collect()
}

/// What is seen of the interfaces for as long as was asked for.
async fn measure(args: &InspectArgs) -> anyhow::Result<(SystemTime, Vec<String>, Snapshot)> {
    let mut plan = report_plan(&args.capture, Vec::new())?;
    plan.loopbacks = plan.interfaces.is_empty();
    // Sockets have no interfaces.
    plan.terms.counting = Counting::Once;
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    let started = Meter::start(plan, &mut shutdown).await;
    let mut meter = started.context("measuring (--seconds 0 shows sockets and files without it)")?;
    meter.look(true).await?;
    let started = SystemTime::now();
    announce(&meter);
    let interfaces = meter.interfaces().into_iter().map(str::to_owned).collect();
    meter.run_for(Duration::from_secs(args.seconds), shutdown, &mut []).await?;
    Ok((started, interfaces, meter.finish().await?))
}

/// The conversations of a measurement.
fn flows(snapshot: &Snapshot) -> Vec<CountedFlow> {
    let rows = snapshot.rows.iter().enumerate().filter_map(|(at, (row, traffic))| {
        let ports = if row.kind.has_ports() { [row.local_port, row.remote_port] } else { [0, 0] };
        Some(CountedFlow {
            kind: row.kind,
            local: SocketAddr::new(row.local_address()?, ports[0]),
            remote: SocketAddr::new(row.remote_address()?, ports[1]),
            amount: BytesBothWays { sent: traffic.sent.bytes, received: traffic.received.bytes },
            attribution: snapshot.owners.get(at).cloned(),
        })
    });
    rows.collect()
}
