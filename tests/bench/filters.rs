//! What a filter costs: in front of flowtally's counting, as a socket's own, and in iftop.

use std::{
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use flowtally::{
    kernel::{Drained, Kernel, Libpcap},
    translate::ClassicInstruction,
};
use flowtally_common::settings::{DEFAULT_SLOTS, Layer};
use harness::{
    NetPair, eventually,
    frames::{IPV4, IPV6, Way, ethernet, ipv4, ipv6, protocol::TCP, tcp},
    raw::{RawSocket, link_address},
};
use nix::{
    setsockopt_impl, sockopt_impl,
    sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, bind, setsockopt, socket},
};

use crate::{
    programs::{Baseline, Baselines, filtered, flowtally, processor_time, test_run},
    table::{Table, verdict},
};

sockopt_impl!(
    /// A classic filter in front of what a socket receives (socket(7)).
    ClassicFilter,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_ATTACH_FILTER,
    libc::sock_fprog
);

/// Payload bytes of the frames; nobody looks at them.
const PAYLOAD: usize = 64;
/// Ten terms, all of which a frame of the first network has to pass.
const FILTER: &str = "(tcp or udp) and net NETWORK and not (port 22 or port 53 or port 67 or port 123 or port 5353) \
                      and not host HOST and not ether multicast";
/// What a term of it may cost, all together, in nanoseconds.
const TARGET: f64 = 12.0;
/// Sockets that see a frame which is sent once: their filters are most of what it costs.
const SOCKETS: usize = 64;
/// Frames that are sent to iftop at once, and how long it has for them.
const BURST: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let (rounds, repeat, sends) = if quick { (3, 1_000_000, 2000) } else { (15, 4_000_000, 20_000) };
    let pair = NetPair::new();
    pair.near.namespace.enter(|| {
        let pcap = Libpcap::get().expect("libpcap is installed");
        let mut baselines = Baselines::load();
        let (_kernel, plain) = flowtally(&pair.near, DEFAULT_SLOTS);
        let mut table = Table::new([
            "frame",
            "empty",
            "no filter",
            "filter",
            "filter - none",
            "target",
            "as a socket's",
            "of it",
            "iftop with it",
        ]);
        for (name, frame, network, host) in [
            (
                "IPv4 TCP",
                ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, TCP, &tcp(Way::Sent, PAYLOAD))),
                "10.77.0.0/16",
                "10.77.0.9",
            ),
            (
                "IPv6 TCP",
                ethernet(Way::Sent, IPV6, &ipv6(Way::Sent, TCP, &tcp(Way::Sent, PAYLOAD))),
                "fd77::/64",
                "fd77::9",
            ),
        ] {
            let text = FILTER.replace("NETWORK", network).replace("HOST", host);
            let classic = pcap.compile(&text, Layer::Ethernet).expect("libpcap takes the filter");
            assert!(pcap.matches(&classic, &frame), "the filter is for this frame");
            let judge = pcap.judge(&text).expect("the filter can be translated").map(Arc::new);
            let (mut filtering, entry) = filtered(&pair.near, DEFAULT_SLOTS, judge);
            // A socket that takes nothing, else its queue would be measured: all tests are made, and the verdict is no.
            let reject = ClassicInstruction { code: RETURN, ..ClassicInstruction::default() };
            let tested: Vec<_> =
                classic.iter().map(|one| if one.code == RETURN { reject } else { *one }).collect();
            let mut least = [f64::INFINITY; 5];
            for _ in 0..rounds {
                let costs = [
                    test_run(baselines.program(Baseline::Empty), &frame, repeat),
                    test_run(&plain, &frame, repeat),
                    test_run(&entry, &frame, repeat),
                    sockets(pair.near.interface, &[reject], &frame, sends),
                    sockets(pair.near.interface, &tested, &frame, sends),
                ];
                for (least, cost) in least.iter_mut().zip(costs) {
                    *least = least.min(cost);
                }
            }
            // What is sent past the sockets passes the filter too.
            let seen = (u64::from(repeat) + 2 * u64::from(sends)) * rounds;
            assert_eq!(counted(&mut filtering), seen, "what is measured is a match");
            let [nothing, none, filter, empty, tested] = least;
            let (ours, theirs) = (filter - none, (tested - empty) / SOCKETS as f64);
            table.row([
                name.to_owned(),
                format!("{nothing:.1}"),
                format!("{none:.1}"),
                format!("{filter:.1}"),
                format!("{ours:.1}"),
                verdict(ours, TARGET, ""),
                format!("{theirs:.1}"),
                format!("{:.2}", ours / theirs),
                format!("{:.0}", iftop(pair.near.interface, &text, &frame, sends)),
            ]);
        }
        table.print("Filters of ten terms that match: ns a frame, the least of all rounds");
    });
}

/// Frames that matched.
fn counted(kernel: &mut Kernel) -> u64 {
    let retired = kernel.flip();
    let mut packets = 0;
    kernel
        .drain(&retired, |drained| match drained {
            Drained::Flow(_, count, _) => packets += count.packets,
            Drained::Health(..) => {}
        })
        .expect("drain the kernel's tables");
    packets
}

/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

/// What it costs to send a frame that many sockets see and take not, each by this filter.
fn sockets(interface: &str, filter: &[ClassicInstruction], frame: &[u8], sends: u32) -> f64 {
    let watching: Vec<OwnedFd> = (0..SOCKETS).map(|_| watch(interface, filter)).collect();
    let cost = send(interface, frame, sends, || {});
    drop(watching);
    cost
}

/// A socket that sees all frames of an interface and takes those of a filter.
fn watch(interface: &str, filter: &[ClassicInstruction]) -> OwnedFd {
    let mut code: Vec<_> = filter
        .iter()
        .map(|one| libc::sock_filter { code: one.code, jt: one.on_true, jf: one.on_false, k: one.operand })
        .collect();
    let watching = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .expect("open a packet socket");
    let length = code.len().try_into().expect("a short filter");
    setsockopt(&watching, ClassicFilter, &libc::sock_fprog { len: length, filter: code.as_mut_ptr() })
        .expect("put a filter in front of a socket");
    bind(watching.as_raw_fd(), &link_address(interface)).expect("bind a packet socket");
    watching
}

/// This thread's processor time for sending a frame, in nanoseconds. `between` is done after each burst.
fn send(interface: &str, frame: &[u8], sends: u32, between: impl Fn()) -> f64 {
    let sender = RawSocket::on(interface);
    let before = processor_time();
    for number in 1..=sends {
        sender.send(frame);
        if number % BURST == 0 {
            between();
        }
    }
    processor_time().saturating_sub(before).as_nanos() as f64 / f64::from(sends)
}

/// What iftop adds to a frame with this filter: to the sender, and its own processor time.
fn iftop(interface: &str, filter: &str, frame: &[u8], sends: u32) -> f64 {
    let pause = || thread::sleep(PAUSE);
    let alone = send(interface, frame, sends, pause);
    let mut iftop = Command::new("iftop")
        .args(["-t", "-n", "-N", "-s", "3600", "-i", interface, "-f", filter])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start iftop");
    eventually("iftop listens", || {
        let sockets = fs::read_to_string("/proc/thread-self/net/packet").expect("list packet sockets");
        (sockets.lines().count() > 1).then_some(())
    });
    let pid = iftop.id();
    let before = processor_time_of(pid);
    let watched = send(interface, frame, sends, pause);
    let own = processor_time_of(pid).saturating_sub(before).as_nanos() as f64 / f64::from(sends);
    iftop.kill().expect("end iftop");
    iftop.wait().expect("wait for iftop");
    watched - alone + own
}

/// What all threads of a process have used of a processor.
fn processor_time_of(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("list threads");
    let of = |thread: fs::DirEntry| -> u64 {
        let text = fs::read_to_string(thread.path().join("schedstat")).expect("read a thread's statistics");
        text.split_whitespace().next().and_then(|first| first.parse().ok()).expect("nanoseconds")
    };
    Duration::from_nanos(threads.map(|thread| of(thread.expect("a thread"))).sum())
}
