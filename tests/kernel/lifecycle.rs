//! Ends, early and late, and interfaces that come and go.

use std::{fs, time::Instant};

use aya::programs::TcAttachType;
use harness::{
    Agent, Amounts, Flow, NetPair, Report, Way,
    check::{amounts, check_totals},
    eventually,
    foreign::attached,
    frames::{IPV4, ethernet, ipv4, protocol::UDP, udp},
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

#[test]
fn a_signal_ends_early_with_the_last_interval_in_the_report() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let pair = NetPair::new();
        let agent = Agent::measure(&pair.near, "");
        let expected = exchange(&pair);
        // Within the first interval, of which nothing has been read yet.
        agent.signal(signal);
        let ended = agent.wait();
        assert_eq!(ended.status.code(), Some(0), "{signal}: {}", ended.stderr);
        let report = ended.report();
        assert_eq!(report.rows("near")[&flow()], expected, "{signal}");
        check_totals(&report, "near", expected, signal.as_str());
    }
}

#[test]
fn the_time_given_ends_it() {
    let pair = NetPair::new();
    let started = Instant::now();
    let mut agent = Agent::start(&pair.near.namespace, "report -i near --seconds 2 --format json");
    agent.wait_for("measuring on near");
    let expected = exchange(&pair);
    let report = agent.wait().report();
    assert!(started.elapsed().as_secs() >= 2);
    assert!((2.0..3.0).contains(&report.seconds), "measured for {} s", report.seconds);
    check_totals(&report, "near", expected, "after two seconds");
}

#[test]
fn many_intervals_make_one_report() {
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "--tick-ms 20");
    let expected = (0..50).fold(Amounts::default(), |sum, _| sum + exchange(&pair));
    let report = agent.report();
    assert_eq!(report.rows("near")[&flow()], expected);
    check_totals(&report, "near", expected, "50 exchanges");
}

#[test]
fn a_silent_link_gives_an_empty_report() {
    let pair = NetPair::new();
    let report = Agent::measure(&pair.near, "").report();
    assert!(report.flows.is_empty(), "{:?}", report.flows);
    check_totals(&report, "near", Amounts::default(), "silence");
}

#[test]
fn output_goes_to_the_file() {
    let pair = NetPair::new();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("report.json");
    // A longer one from before must not shine through.
    fs::write(&file, "x".repeat(1 << 20)).unwrap();
    let agent = Agent::measure(&pair.near, &format!("--output {}", file.display()));
    let expected = exchange(&pair);
    agent.signal(Signal::SIGINT);
    let ended = agent.wait();
    assert!(ended.status.success() && ended.stdout.is_empty(), "{ended:?}");
    check_totals(&Report::parse(&fs::read(&file).unwrap()), "near", expected, "from the file");
}

#[test]
fn what_counted_before_the_start_does_not_count() {
    let pair = NetPair::new();
    exchange(&pair);
    let agent = Agent::measure(&pair.near, "");
    let expected = exchange(&pair);
    check_totals(&agent.report(), "near", expected, "the second exchange");
}

#[test]
fn an_interface_that_comes_back_keeps_its_history() {
    for hook in ["tcx", "clsact", "xdp"] {
        let pair = NetPair::new();
        let agent = Agent::measure(&pair.near, &format!("--hook {hook} --tick-ms 50"));
        let before = exchange(&pair);
        pair.unplug();
        pair.plug();
        wait_for_programs(&pair, hook);
        let after = exchange(&pair);
        let report = agent.report();
        assert_eq!(
            report.rows("near").get(&flow()),
            Some(&(before + after)),
            "{hook}: {:?}",
            report.rows("near")
        );
        assert_eq!(report.interface("near").counted(), before + after, "{hook}");
    }
}

#[test]
fn an_interface_that_goes_keeps_its_history() {
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "--tick-ms 50");
    let before = exchange(&pair);
    pair.unplug();
    let report = agent.report();
    assert_eq!(report.rows("near").get(&flow()), Some(&before), "{:?}", report.flows);
}

#[test]
fn an_interface_that_appears_is_measured() {
    let pair = NetPair::new();
    pair.unplug();
    let agent = Agent::measure_on(&pair.near.namespace, "any", "--tick-ms 50");
    pair.plug();
    wait_for_programs(&pair, "tcx");
    let expected = exchange(&pair);
    assert_eq!(agent.report().rows("near").get(&flow()), Some(&expected));
}

#[test]
fn any_is_every_interface() {
    let pair = NetPair::new();
    let agent = Agent::measure_on(&pair.near.namespace, "any", "");
    let expected = exchange(&pair);
    let report = agent.report();
    assert_eq!(report.rows("near")[&flow()], expected);
    let mut names: Vec<_> = report.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["lo", "near"]);
}

/// Waits until the interface, new, has the programs of a hook on both directions.
fn wait_for_programs(pair: &NetPair, hook: &str) {
    let namespace = &pair.near.namespace;
    let filters = |direction: &str| {
        namespace.tc("qdisc show dev near").contains("clsact")
            && namespace.tc(&format!("filter show dev near {direction}")).contains("flowtally_")
    };
    eventually("programs on the new interface", || {
        let attached = |direction| !attached(&pair.near, direction).is_empty();
        let ready = match hook {
            "tcx" => attached(TcAttachType::Ingress) && attached(TcAttachType::Egress),
            "clsact" => filters("ingress") && filters("egress"),
            _ => attached(TcAttachType::Egress) && namespace.ip("link show near").contains("xdp"),
        };
        ready.then_some(())
    });
}

fn flow() -> Flow {
    Flow::v4("udp").ports()
}

/// Three frames out, two in.
fn exchange(pair: &NetPair) -> Amounts {
    let frame = |way| ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 100)));
    let (sent, received) = (vec![frame(Way::Sent); 3], vec![frame(Way::Received); 2]);
    pair.near.send(&sent);
    pair.far.send(&received);
    amounts(&sent, &received)
}
