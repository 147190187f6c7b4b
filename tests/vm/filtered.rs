//! A filter in front of what counts, at every hook that the kernel has.

use harness::{Agent, Flow, NetPair, Way, check::amounts};

use super::traffic;

#[test]
fn what_does_not_match_is_counted_beside_the_flows() {
    for hook in ["auto", "clsact", "xdp"] {
        let pair = NetPair::new();
        let (sent, received) = (traffic(Way::Sent, 3), traffic(Way::Received, 2));
        let agent = Agent::measure(&pair.near, &format!("--hook {hook} -f tcp"));
        pair.near.send(&sent.concat());
        pair.far.send(&received.concat());
        let report = agent.report();
        let matched = amounts(&sent[1], &received[1]);
        assert_eq!(report.rows("near"), [(Flow::v6("tcp").ports(), matched)].into(), "{hook}");
        assert_eq!((report.total, report.filtered_out_packets), (matched, 5), "{hook}");
        let near = report.interface("near");
        assert_eq!(near.counted(), amounts(&sent.concat(), &received.concat()), "{hook}: all is counted");
        assert_eq!(near.residue(), [0; 4], "{hook}");
    }
}
