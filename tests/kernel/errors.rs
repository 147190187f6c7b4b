//! What goes wrong is said with its remedy, at once, and in the exit status: 2 for wrong usage, 1 for a failed run.

use std::process::Command;

use harness::{Agent, Ended, NetPair};

/// Wrong usage.
const USAGE: i32 = 2;
/// A failed run.
const FAILED: i32 = 1;

#[test]
fn an_unknown_interface_names_those_there_are() {
    let pair = NetPair::new();
    let ended = Agent::start(&pair.near.namespace, "report -i nosuch --seconds 3600").wait();
    assert_fails(&ended, FAILED, &["nosuch", "near", "lo"]);
}

#[test]
fn without_privileges_the_capability_and_the_command_are_named() {
    let pair = NetPair::new();
    for arguments in ["report -i near --seconds 3600", "-t -i near -s 3600"] {
        let ended = Agent::run_unprivileged(&pair.near.namespace, arguments);
        assert_fails(&ended, FAILED, &["CAP_BPF", "CAP_NET_ADMIN", "setcap"]);
    }
}

#[test]
fn an_unwritable_output_is_found_before_measuring() {
    let pair = NetPair::new();
    let arguments = "report -i near --seconds 3600 --output /nonexistent/report.json";
    let ended = Agent::start(&pair.near.namespace, arguments).wait();
    assert_fails(&ended, FAILED, &["/nonexistent/report.json"]);
}

#[test]
fn an_invalid_net_is_wrong_usage() {
    let pair = NetPair::new();
    for (arguments, wrong) in [
        ("-F 10.0.0.0/33", "10.0.0.0/33"),
        ("-F 10.0.0/8", "10.0.0/8"),
        ("-F ten", "ten"),
        ("-F 10.0.0.0/255.0.255.0.0", "255.0.255.0.0"),
        ("-G fd00::/129", "fd00::/129"),
        ("-G 10.0.0.0/8", "10.0.0.0/8"),
    ] {
        let ended =
            Agent::start(&pair.near.namespace, &format!("report -i near --seconds 3600 {arguments}")).wait();
        assert_fails(&ended, USAGE, &[wrong]);
    }
}

#[test]
fn wrong_options_are_wrong_usage() {
    let pair = NetPair::new();
    for (arguments, wrong) in [
        ("report --no-such-option", "--no-such-option"),
        ("report --hook nosuch", "nosuch"),
        ("report --by nosuch", "nosuch"),
        ("report --format nosuch", "nosuch"),
        ("report --sort nosuch", "nosuch"),
        ("report --seconds 0", "0"),
        ("report --seconds ten", "ten"),
        ("nosuch", "nosuch"),
    ] {
        let ended = Agent::start(&pair.near.namespace, arguments).wait();
        assert_fails(&ended, USAGE, &[wrong]);
    }
}

#[test]
fn a_broken_pipe_is_success() {
    let pair = NetPair::new();
    for format in ["text", "json", "csv"] {
        // The reader of the report ends at once, long before there is one.
        let script = format!(
            "{{ {} report -i near --seconds 1 --format {format}; echo status $? >&2; }} | true",
            harness::agent::program().display()
        );
        let output = pair.near.namespace.enter(|| Command::new("sh").args(["-c", &script]).output().unwrap());
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(printed.contains("status 0"), "{format}: {printed}");
    }
}

fn assert_fails(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    assert!(!ended.stderr.contains("measuring on"), "found too late: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "no {word} in: {}", ended.stderr);
    }
}
