//! Names of hosts, from /etc/hosts and from a name server of the test's own.

use std::{fs, net::UdpSocket, process::Command, sync::Arc, thread};

use harness::{
    Agent, NetPair, Way,
    agent::program,
    frames::{IPV4, IPV6, ethernet, ipv4, ipv6, protocol::UDP, udp},
};
use tempfile::TempDir;

/// Starts the program with other files in place of those in /etc, each a name and a text.
fn start(pair: &NetPair, files: &[(&str, &str)], arguments: &str) -> (Agent, TempDir) {
    let folder = TempDir::with_prefix("flowtally-test-").unwrap();
    let mut script = vec!["set -e".to_owned()];
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        script.push(format!("mount --bind {} /etc/{name}", path.display()));
    }
    script.push(format!("exec {} {arguments}", program().display()));
    let mut command = Command::new("unshare");
    // Nobody else sees the mounts, and they end with the program.
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script.join("\n")]);
    let mut agent = Agent::start_command(&pair.near.namespace, command);
    if arguments.starts_with("report") {
        agent.wait_for("flowtally: measuring on ");
    } else {
        agent.wait_for_text_mode();
    }
    (agent, folder)
}

fn finish(agent: Agent) -> String {
    let ended = agent.wait();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn the_hosts_file_names_hosts() {
    let hosts = "10.77.0.1 near.example near\n10.77.0.2 first\n10.77.0.2 second\nfd77::2 six\n";
    for (option, expected) in [
        ("", ["near.example:40001", "first:5001", "[six]:5001"]),
        ("-n", ["10.77.0.1:40001", "10.77.0.2:5001", "[fd77::2]:5001"]),
    ] {
        let pair = NetPair::new();
        // Nobody listens there.
        let files =
            [("hosts", hosts), ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")];
        let (agent, _folder) = start(&pair, &files, &format!("-t -i near -N -P -B -s 2 {option}"));
        pair.near.send(&[
            ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 72))),
            ethernet(Way::Sent, IPV6, &ipv6(Way::Sent, UDP, &udp(Way::Sent, 52))),
        ]);
        let text = finish(agent);
        for name in expected {
            assert!(text.contains(name), "no {name} in {text}");
        }
    }
}

/// A report may ask when it is done; the questions are traffic like any other, and come too late to be in it.
#[test]
fn a_name_server_names_hosts() {
    let pair = NetPair::new();
    let server = pair.near.namespace.enter(|| UdpSocket::bind(("127.0.0.1", 53)).unwrap());
    let server = Arc::new(server);
    let socket = Arc::clone(&server);
    // It ends with the process that runs the tests.
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(&answer(&buffer[..length]), from));
        }
    });
    let files = [("hosts", "10.77.0.1 near.example\n"), ("resolv.conf", "nameserver 127.0.0.1\n")];
    let (agent, _folder) =
        start(&pair, &files, "report -i near --seconds 2 --resolve --by remote --format csv");
    pair.near.send(&[ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 72)))]);
    let text = finish(agent);
    assert!(text.contains("everybody.example"), "{text}");
}

/// Says that every address is everybody's (RFC 1035, 4.1).
fn answer(query: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    let question = HEADER + query[HEADER..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut answer = query[..2].to_vec();
    // A response without an error: one question, one answer.
    answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(&query[HEADER..question]);
    // The question's name; PTR, IN, 300 seconds.
    answer.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 1, 44]);
    let name = b"\x09everybody\x07example\0";
    answer.extend([0, u8::try_from(name.len()).unwrap()]);
    answer.extend(name);
    answer
}
