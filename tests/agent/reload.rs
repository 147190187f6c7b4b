//! SIGHUP: what can change changes, what can't is named, and no byte is lost meanwhile.

use std::fs;

use harness::{
    Agent, Way,
    frames::{
        DOT1Q, IPV4, ethernet, ipv4,
        protocol::{TCP, UDP},
        tagged, tcp, udp,
    },
};
use nix::sys::signal::Signal;

use super::Service;

fn frames(count: usize) -> Vec<Vec<u8>> {
    vec![ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 100))); count]
}

#[test]
fn the_configuration_is_read_again() {
    let service = Service::new();
    let file = service.path("config.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("[capture]\ninterfaces = \"near\"\n[agent]\ninterval = \"1s\"\nrows = \"flow\"\n");
    let mut command = service.command("");
    command.arg("--config").arg(&file);
    let mut agent = Agent::start_command(&service.pair.near.namespace, command);
    agent.wait_for("flowtally: measuring on near");

    service.pair.near.send(&frames(3));
    service.status_when("an interval is written", |status| status["exporters"][0]["rows"] != 0);
    write(
        "[capture]\ninterfaces = [\"near\", \"lo\"]\nfilter-code = \"udp\"\nslots = 1024\n\
         [agent]\ninterval = \"2s\"\nrows = \"flow,remote\"\nsandbox = false\n",
    );
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the configuration was read again; these take a restart: sandbox, slots");
    service.pair.near.send(&frames(4));
    let status = service.status();
    assert_eq!((status["filter"].as_str(), status["interfaces"].as_array().unwrap().len()), (Some("udp"), 2));

    write("[agent]\ninterval = \"0s\"\n");
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the configuration is left as it was: ");
    service.pair.near.send(&frames(5));

    let log = service.stop(agent);
    let frame = frames(1)[0].len();
    assert_eq!(log.add_up("near"), [12 * frame, 12].map(|amount| i64::try_from(amount).unwrap()));
    let starts: Vec<_> = log.of("start").map(|start| start["seconds"].as_u64().unwrap()).collect();
    assert_eq!(starts, [1, 2], "a file is of one setting");
    assert!(log.of("remote").count() > 0);
}

/// What is wrong is named, be it found when the file is read or by the kernel.
#[test]
fn a_filter_that_is_refused_leaves_the_old_one() {
    let service = Service::new();
    let file = service.path("config.toml");
    let write = |filter: &str| {
        let text = format!(
            "[capture]\ninterfaces = \"near\"\nfilter-code = \"{filter}\"\n[agent]\ninterval = \"1s\"\n"
        );
        fs::write(&file, text).unwrap();
    };
    write("udp");
    let mut command = service.command("");
    command.arg("--config").arg(&file);
    let mut agent = Agent::start_command(&service.pair.near.namespace, command);
    agent.wait_for("flowtally: measuring on near");
    let chains: Vec<_> = (1..=12).map(|number| format!("ip6 protochain {number}")).collect();
    for (filter, message) in [
        (
            chains.join(" or ").as_str(),
            "the capture filter is left as it was: the filter is too complex for the kernel (",
        ),
        ("udp and", "the configuration is left as it was: "),
        ("ip and arp", "filter-code: expression rejects all packets"),
    ] {
        write(filter);
        agent.signal(Signal::SIGHUP);
        agent.wait_for(message);
        assert_eq!(service.status()["filter"].as_str(), Some("udp"), "{filter}");
    }
    let tcp = ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, TCP, &tcp(Way::Sent, 100)));
    service.pair.near.send(&[frames(3), vec![tcp; 2]].concat());
    let status = service.status_when("all are counted", |status| {
        let near = &status["interfaces"][0];
        near["counted_packets"].as_u64() == Some(5)
    });
    assert_eq!(status["interfaces"][0]["filtered_packets"].as_u64(), Some(2), "{status}");
    drop(service.stop(agent));
}

/// In its sandbox the agent begins no capture, which libpcap compiles `vlan` for: what was compiled before stays, and what becomes of
/// anything else is said.
#[test]
fn a_filter_of_vlans_is_changed_as_far_as_the_sandbox_allows() {
    const KEPT: &str = "vlan 5 and ether host 02:00:00:00:00:12";
    let service = Service::new();
    let file = service.path("config.toml");
    let write = |filter: &str, interval: &str| {
        let text = format!(
            "[capture]\ninterfaces = \"near\"\nfilter-code = \"{filter}\"\n[agent]\ninterval = \"{interval}\"\n"
        );
        fs::write(&file, text).unwrap();
    };
    write(KEPT, "1s");
    let mut command = service.command("");
    command.arg("--config").arg(&file);
    let mut agent = Agent::start_command(&service.pair.near.namespace, command);
    agent.wait_for("flowtally: measuring on near");

    write(KEPT, "2s");
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the configuration was read again");
    let tagged = |id| tagged(Way::Sent, &[(DOT1Q, id)], IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 100)));
    service.pair.near.send(&[vec![tagged(5); 3], vec![tagged(7); 2]].concat());
    service.status_when("the other tag is filtered", |status| {
        status["interfaces"][0]["filtered_packets"].as_u64() == Some(2)
    });

    write("vlan 7", "2s");
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the capture filter 'vlan 7' is applied to flows, after counting, and not to packets: ");
    assert_eq!(service.status()["filter"].as_str(), Some("vlan 7"));
    assert!(!agent.said().contains("left as it was"), "{}", agent.said());

    write("vlan 7 and less 100", "2s");
    agent.signal(Signal::SIGHUP);
    agent.wait_for("capture.filter-code: 'vlan' is compiled for a live capture, and none can be begun: ");
    assert!(agent.said().contains("restart it, or start it with --no-sandbox"), "{}", agent.said());
    assert_eq!(service.status()["filter"].as_str(), Some("vlan 7"));
    drop(service.stop(agent));
}

/// logrotate renames a file and sends SIGHUP.
#[test]
fn a_file_that_was_renamed_is_left_alone() {
    let service = Service::new();
    let agent = service.start("-i near --interval 1s --rows flow --compress none");
    service.pair.near.send(&frames(3));
    service.status_when("an interval is written", |status| status["exporters"][0]["rows"] != 0);
    let status = service.status();
    let file = status["exporters"][0]["target"].as_str().unwrap().to_owned();
    fs::rename(&file, service.path("kept.jsonl")).unwrap();
    agent.signal(Signal::SIGHUP);
    service.status_when("there is another file", |status| {
        status["exporters"][0]["target"].as_str().is_some_and(|target| !target.is_empty() && target != file)
    });
    service.pair.near.send(&frames(4));
    let log = service.stop(agent);
    let packets: i64 = log.of("flow").map(|flow| flow["sent_packets"].as_i64().unwrap()).sum();
    let kept = fs::read_to_string(service.path("kept.jsonl")).unwrap();
    let before: i64 = kept
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|record| record["record"] == "flow")
        .map(|flow| flow["sent_packets"].as_i64().unwrap())
        .sum();
    assert_eq!((before, packets), (3, 4));
}
