//! What is in the log is what was sent.

use std::{fs, process::Command};

use harness::{
    LoggedRecords, Way,
    agent::program,
    frames::{
        IPV4, IPV6, ethernet, ipv4, ipv6,
        protocol::{TCP, UDP},
        tcp, udp,
    },
    logged::{LoggedSum, add, amounts},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::Service;

/// Frames of two flows.
fn frames(way: Way, count: usize) -> Vec<Vec<u8>> {
    let v4 = ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 100)));
    let v6 = ethernet(way, IPV6, &ipv6(way, TCP, &tcp(way, 1000)));
    [vec![v4; count], vec![v6; count]].concat()
}

fn sum(frames: &[Vec<u8>]) -> LoggedSum {
    let bytes: usize = frames.iter().map(Vec::len).sum();
    [i64::try_from(bytes).unwrap(), i64::try_from(frames.len()).unwrap()]
}

#[test]
fn every_byte_is_in_the_log_and_the_last_interval_too() {
    let service = Service::new();
    let agent = service.start(
        "-i near --interval 1s --rows flow,process,remote,port,container,user,interface --compress none",
    );
    let mut expected = LoggedSum::default();
    for round in 1..=3 {
        let (sent, received) = (frames(Way::Sent, round), frames(Way::Received, 2 * round));
        service.pair.near.send(&sent);
        service.pair.far.send(&received);
        add(&mut expected, sum(&sent));
        add(&mut expected, sum(&received));
        let written = |status: &Value| status["exporters"][0]["intervals"].as_u64().unwrap();
        let before = written(&service.status());
        service.status_when("two more intervals are written", |status| written(status) >= before + 2);
    }
    // Nothing waits for an interval to be over.
    let last = frames(Way::Sent, 5);
    service.pair.near.send(&last);
    add(&mut expected, sum(&last));
    let log = service.stop(agent);
    assert_eq!(log.add_up("near"), expected);
    let end = log.of("end").last().unwrap();
    assert_eq!((end["reason"].as_str(), log.of("start").count()), (Some("stopped"), 1));
    let remote: LoggedSum = log.of("remote").fold(LoggedSum::default(), |mut sum, row| {
        add(&mut sum, amounts(row, "sent_"));
        add(&mut sum, amounts(row, "received_"));
        sum
    });
    assert_eq!(remote, expected);
}

#[test]
fn the_smaller_rows_are_one_and_the_sum_is_the_same() {
    let service = Service::new();
    let agent = service.start("-i near --interval 1s --rows flow,process --top 1");
    let sent = frames(Way::Sent, 40);
    service.pair.near.send(&sent);
    let log = service.stop(agent);
    assert_eq!(log.add_up("near"), sum(&sent));
    let flows = log.of("flow").count();
    assert_eq!(
        log.of("other").filter(|other| other["of"] == "flow").count(),
        flows,
        "one of two flows an interval"
    );
}

#[test]
fn a_filter_leaves_out_and_the_sum_is_the_same() {
    let service = Service::new();
    let mut command = service.command("-i near --interval 1s --rows flow");
    command.args(["-f", "udp"]);
    let mut agent = harness::Agent::start_command(&service.pair.near.namespace, command);
    agent.wait_for("flowtally: measuring on ");
    let sent = frames(Way::Sent, 3);
    service.pair.near.send(&sent);
    let log = service.stop(agent);
    assert_eq!(log.add_up("near"), sum(&sent));
    let left_out: i64 = log
        .of("interval")
        .map(|interval| interval["interfaces"][0]["left_out_packets"].as_i64().unwrap())
        .sum();
    assert_eq!(left_out, 3, "those of TCP");
    assert!(log.of("flow").all(|flow| flow["protocol"] == "udp"));
    assert_eq!(log.of("start").next().unwrap()["filter"], "udp");
}

/// What matched, what was filtered, what was untracked and unparsed are what the interface itself counted, to the byte, before and after
/// another filter; `history` says so from either kind of log, and names the filters.
#[test]
fn what_is_filtered_adds_up_to_the_interface_in_the_log_and_in_history() {
    for format in ["jsonl", "csv"] {
        let service = Service::new();
        let file = service.path("config.toml");
        let write = |filter: &str| {
            let text = format!(
                "[capture]\ninterfaces = \"near\"\nfilter-code = \"{filter}\"\n\
                 [agent]\ninterval = \"1s\"\nrows = \"flow,interface\"\nlog-format = \"{format}\"\n"
            );
            fs::write(&file, text).unwrap();
        };
        write("udp");
        let mut command = service.command("");
        command.arg("--config").arg(&file);
        let mut agent = harness::Agent::start_command(&service.pair.near.namespace, command);
        agent.wait_for("flowtally: measuring on near");
        let intervals = |status: &Value| status["exporters"][0]["intervals"].as_u64().unwrap();
        let two_more = || {
            let before = intervals(&service.status());
            service.status_when("two more intervals are written", |status| intervals(status) >= before + 2);
        };
        let (sent, received) = (frames(Way::Sent, 3), frames(Way::Received, 2));
        let exchange = || {
            service.pair.near.send(&sent);
            service.pair.far.send(&received);
        };
        exchange();
        two_more();
        write("tcp");
        agent.signal(Signal::SIGHUP);
        agent.wait_for("the configuration was read again");
        two_more();
        exchange();
        two_more();
        agent.signal(Signal::SIGTERM);
        let harness::Ended { status, stderr, .. } = agent.wait();
        assert!(status.success(), "{status}: {stderr}");

        // Of each way, half is of UDP and half of TCP, each filtered once.
        let mut all = sum(&sent);
        add(&mut all, sum(&received));
        let all = all.map(|amount| 2 * amount);
        if format == "jsonl" {
            assert_eq!(LoggedRecords::read(&service.log()).add_up("near"), all);
        }
        let history = |arguments: &[&str]| {
            let output =
                Command::new(program()).arg("history").arg(service.log()).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let history: Value =
            serde_json::from_str(&history(&["--by", "interface", "--format", "json"])).unwrap();
        let interface = &history["interfaces"][0];
        let mut rows = amounts(&history["total"], "sent_");
        add(&mut rows, amounts(&history["total"], "received_"));
        assert_eq!(amounts(interface, "filtered_ingress_"), sum(&received), "{interface}");
        assert_eq!(amounts(interface, "filtered_egress_"), sum(&sent), "{interface}");
        let mut parts = rows;
        for part in ["filtered_", "untracked_", "unparsed_"] {
            add(&mut parts, amounts(interface, part));
        }
        assert_eq!((parts, amounts(interface, "kernel_")), (all, all), "{interface}");
        assert_eq!(amounts(interface, "residue_"), [0, 0], "{interface}");
        let notes = history["notes"].to_string();
        assert!(notes.contains("changed in this time. It counted what matches 'tcp' in "), "{notes}");
    }
}

/// An interface that comes later is counted from its first frame on, and one that goes keeps what it had.
#[test]
fn interfaces_that_come_and_go_are_followed() {
    let service = Service::new();
    service.pair.unplug();
    let agent = service.start("-i lo -i ne?r --interval 1s --rows flow");
    service.pair.plug();
    service.status_when("the interface is counted on", |status| {
        let interfaces = status["interfaces"].as_array().unwrap();
        interfaces.iter().any(|interface| interface["name"] == "near" && interface["hook"] != "none")
    });
    let sent = frames(Way::Sent, 4);
    service.pair.near.send(&sent);
    service.pair.unplug();
    service.status_when("the interface is gone", |status| {
        let interfaces = status["interfaces"].as_array().unwrap();
        interfaces.iter().any(|interface| interface["name"] == "near" && interface["hook"] == "none")
    });
    let log = service.stop(agent);
    let counted = log.add_up("near");
    assert!(counted[1] >= sum(&sent)[1], "{counted:?}: what the kernel itself sends comes in addition");
    let udp: i64 =
        log.of("flow").filter(|flow| flow["protocol"] == "udp").map(|flow| amounts(flow, "sent_")[1]).sum();
    assert_eq!(udp, 4);
}
