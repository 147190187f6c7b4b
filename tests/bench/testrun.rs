//! What a frame costs with everything in the cache: the programs run on one frame, millions of times.

use flowtally_common::settings::DEFAULT_SLOTS;
use harness::{
    NetPair,
    frames::{IPV4, IPV6, Way, ethernet, ipv4, ipv6, protocol::TCP, tcp},
};

use crate::{
    programs::{Baseline, Baselines, flowtally, test_run},
    table::{Table, median, verdict},
};

/// Payload bytes of the frames; nobody looks at them.
const PAYLOAD: usize = 64;

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let (rounds, repeat) = if quick { (3, 1_000_000) } else { (15, 4_000_000) };
    let pair = NetPair::new();
    pair.near.namespace.enter(|| {
        let mut baselines = Baselines::load();
        let (_kernel, default) = flowtally(&pair.near, DEFAULT_SLOTS);
        let mut table = Table::new([
            "frame",
            "empty",
            "flowtally",
            "plain",
            "LRU",
            "flowtally - empty",
            "target",
            "/ (plain - empty)",
            "target",
        ]);
        for (name, frame, target) in [
            ("IPv4 TCP", ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, TCP, &tcp(Way::Sent, PAYLOAD))), 20.0),
            ("IPv6 TCP", ethernet(Way::Sent, IPV6, &ipv6(Way::Sent, TCP, &tcp(Way::Sent, PAYLOAD))), 25.0),
        ] {
            // Empty, flowtally, plain, LRU: all in every round, so that a busy neighbour meets each of them.
            let mut costs: [Vec<f64>; 4] = Default::default();
            for _ in 0..rounds {
                costs[0].push(test_run(baselines.program(Baseline::Empty), &frame, repeat));
                costs[1].push(test_run(&default, &frame, repeat));
                costs[2].push(test_run(baselines.program(Baseline::Plain), &frame, repeat));
                costs[3].push(test_run(baselines.program(Baseline::Lru), &frame, repeat));
            }
            let medians = costs.map(|costs| median(&costs));
            let [empty, ours, plain, _] = medians;
            let ratio = (ours - empty) / (plain - empty);
            table.row([name.to_owned()].into_iter().chain(medians.map(|cost| format!("{cost:.1}"))).chain([
                format!("{:.1}", ours - empty),
                verdict(ours - empty, target, ""),
                format!("{ratio:.2}"),
                verdict(ratio, 0.4, ""),
            ]));
        }
        table.print("Test run: ns a frame, one flow, everything in the cache");
    });
}
