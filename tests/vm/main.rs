//! Kernels other than this machine's: `cargo xtask vm` boots them and runs this there. The modules say which kernels their tests
//! are for; what is in none of those is for every kernel that the programs run on.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod crossings;
mod filtered;
mod too_old;
mod vrf;
mod with_tcx;
mod without_tcx;

use harness::{
    Agent, Flow, NetPair, Report, Way,
    check::{amounts, check_totals},
    frames::{
        IPV4, IPV6, ethernet, ipv4, ipv6,
        protocol::{TCP, UDP},
        tcp, udp,
    },
};

/// The report of two flows both ways, which must be exact. Nothing may stay behind.
fn measure(pair: &NetPair, arguments: &str) -> Report {
    let agent = Agent::measure(&pair.near, arguments);
    let (sent, received) = (traffic(Way::Sent, 3), traffic(Way::Received, 2));
    pair.near.send(&sent.concat());
    pair.far.send(&received.concat());
    let report = agent.report();
    let flows = [Flow::v4("udp").ports(), Flow::v6("tcp").ports()];
    let rows = flows.into_iter().zip(sent.iter().zip(&received).map(|(s, r)| amounts(s, r)));
    assert_eq!(report.rows("near"), rows.collect());
    check_totals(&report, "near", amounts(&sent.concat(), &received.concat()), arguments);
    report
}

/// Frames of two flows, `count` each.
fn traffic(way: Way, count: usize) -> [Vec<Vec<u8>>; 2] {
    let v4 = ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 100)));
    let v6 = ethernet(way, IPV6, &ipv6(way, TCP, &tcp(way, 1000)));
    [vec![v4; count], vec![v6; count]]
}
