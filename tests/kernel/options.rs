//! Command lines and configuration files: whose word counts, what is said of what is wrong, and how it ends. Called through a
//! link named iftop, all of that is iftop's.

use std::{fs, net::Ipv4Addr, os::unix::fs::symlink, path::Path, process::Command};

use harness::{
    Agent, Ended, Host, NetPair, Way,
    agent::program,
    frames::{
        IPV4, NEAR_V4, ethernet, icmp, ipv4, ipv4_between,
        protocol::{ICMP, TCP, UDP},
        tcp, udp,
    },
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A third host behind the far end.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 20);
/// One report, which the test asks for.
const ONCE: &[&str] = &["-t", "-i", "near", "-n", "-N", "-P", "-B", "-s", "3600"];

/// What a report says when it has begun to count.
const MEASURING: &str = "flowtally: measuring on ";

/// Files of a user, and a link named iftop.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let folder = TempDir::with_prefix("flowtally-test-").unwrap();
        symlink(program(), folder.path().join("iftop")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file, with the folders it is in.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", self.0.path());
        command
    }

    fn flowtally(&self, on: &Host, arguments: &[&str]) -> Agent {
        Agent::start_command(&on.namespace, self.command(program(), arguments))
    }

    fn iftop(&self, on: &Host, arguments: &[&str]) -> Agent {
        let link = self.0.path().join("iftop");
        Agent::start_command(&on.namespace, self.command(&link, arguments))
    }
}

/// Three UDP datagrams of 100 bytes, three TCP segments of 200 from another host, and a ping of 84.
fn traffic(pair: &NetPair) {
    let datagram = ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 72)));
    let segment = ipv4_between(OTHER, NEAR_V4, TCP, &[], 0, &tcp(Way::Received, 160));
    let ping = ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, ICMP, &icmp(8, 0, 64)));
    let to_other = ipv4_between(NEAR_V4, OTHER, UDP, &[], 0, &udp(Way::Sent, 22));
    pair.near.send(&[vec![datagram; 3], vec![ping], vec![ethernet(Way::Sent, IPV4, &to_other)]].concat());
    pair.far.send(&vec![ethernet(Way::Received, IPV4, &segment); 3]);
}

/// Waits until every program has begun to count.
fn counting<'a>(agents: impl IntoIterator<Item = &'a mut Agent>) {
    agents.into_iter().for_each(Agent::wait_for_text_mode);
}

/// Ends a measurement as Ctrl-C does, which still prints.
fn finish(agent: Agent) -> Ended {
    agent.signal(Signal::SIGINT);
    agent.wait()
}

fn text(ended: &Ended) -> String {
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    String::from_utf8(ended.stdout.clone()).unwrap()
}

/// Sent, received and both, as the report has them.
fn cumulative(text: &str) -> Vec<&str> {
    let line = text.lines().find_map(|line| line.strip_prefix("Cumulative (sent/received/total):"));
    line.unwrap_or_else(|| panic!("no totals in {text}")).split_whitespace().collect()
}

fn assert_ends(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "no {word} in: {}", ended.stderr);
    }
}

#[test]
fn the_capture_filter_decides_about_rows_and_totals() {
    let (pair, home) = (NetPair::new(), Home::new());
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("port 5001", &["10.77.0.2:5001", "10.77.0.20:5001"], &["350B", "600B", "950B"]),
        ("host 10.77.0.20 and udp", &["10.77.0.20:5001"], &["50B", "0B", "50B"]),
        ("icmp", &["10.77.0.2"], &["84B", "0B", "84B"]),
        ("tcp and inbound", &["10.77.0.20:5001"], &["0B", "600B", "600B"]),
        ("not (udp or tcp or icmp)", &[], &["0B", "0B", "0B"]),
    ];
    let arguments = |filter| [ONCE, &["-f", filter]].concat();
    let mut agents = cases.map(|(filter, ..)| {
        [home.flowtally(&pair.near, &arguments(filter)), home.iftop(&pair.near, &arguments(filter))]
    });
    let mut report = Agent::start_command(
        &pair.near.namespace,
        home.command(
            program(),
            &["report", "-i", "near", "--seconds", "3600", "--format", "json", "-f", "udp"],
        ),
    );
    counting(agents.as_flattened_mut());
    report.wait_for(MEASURING);
    traffic(&pair);
    for ((filter, remote, totals), agents) in cases.into_iter().zip(agents) {
        for agent in agents {
            let text = text(&finish(agent));
            assert_eq!(cumulative(&text), totals, "{filter}: {text}");
            let listed: Vec<_> = text.lines().filter(|line| line.contains("<=")).collect();
            assert!(
                remote.iter().all(|remote| listed.iter().any(|line| line.contains(&format!(" {remote} ")))),
                "{filter}: {text}"
            );
            assert!(remote.is_empty() == listed.is_empty(), "{filter}: {text}");
        }
    }
    let report = report.report();
    assert_eq!(report.filtered_out_packets, 4);
    assert_eq!(report.total.sent_packets, 4);
    assert_eq!(report.interface("near").residue(), [0; 4]);
}

#[test]
fn a_filter_that_is_not_understood_ends_the_program() {
    let (pair, home) = (NetPair::new(), Home::new());
    let error = "can't parse filter expression: syntax error";
    let with = |filter| [ONCE, &["-f", filter]].concat();
    let ended = home.iftop(&pair.near, &with("bad (")).wait();
    assert_ends(&ended, 1, &[&format!("set_filter_code: {error}")]);
    let ended = home.flowtally(&pair.near, &with("bad (")).wait();
    assert_ends(&ended, 2, &[&format!("flowtally: -f: {error}")]);
    let open = "tcp[tcpflags] & (tcp-syn|tcp-fin";
    let ended = home.flowtally(&pair.near, &["report", "-i", "near", "-f", open]).wait();
    let mark = format!("{}^", " ".repeat(open.len()));
    assert_ends(&ended, 2, &[error, &format!("\n  {open}\n  {mark}\n")]);
    let rc = home.file("rc", "filter-code: bad (\n");
    let ended = home.flowtally(&pair.near, &[ONCE, &["-c", &rc]].concat()).wait();
    assert_ends(&ended, 2, &[&format!("{rc}: filter-code: {error}")]);
    let toml = home.file("c.toml", "[capture]\nfilter-code = 'bad ('\n");
    let ended = home.flowtally(&pair.near, &[ONCE, &["--config", &toml]].concat()).wait();
    assert_ends(&ended, 2, &[&format!("{toml}:2:15: capture.filter-code: {error}")]);
}

#[test]
fn iftops_help_is_on_stdout() {
    let (pair, home) = (NetPair::new(), Home::new());
    let usage = text(&home.iftop(&pair.near, &["-n", "-h", "-z"]).wait());
    for option in "hnNpbBPltifFGmcosL".chars() {
        assert!(usage.contains(&format!("\n   -{option} ")), "no -{option} in {usage}");
    }
}

#[test]
fn iftops_command_line_ends_with_iftops_words() {
    let (pair, home) = (NetPair::new(), Home::new());
    let stray =
        "iftop: found arguments following options\n*** some options have changed names since v0.9 ***\n";
    for (arguments, message) in [
        (&["-z"][..], "iftop: unknown option -z\n"),
        (&["-nz"], "iftop: unknown option -z\n"),
        (&["-i"], "iftop: unknown option -i\n"),
        (&["--help"], "iftop: unknown option --\n"),
        (&["near"], stray),
        (&["-n", "near", "-h"], stray),
    ] {
        let ended = home.iftop(&pair.near, arguments).wait();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with(message), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("\n   -h "), "no usage: {}", ended.stderr);
        assert!(ended.stdout.is_empty());
    }
    let ended = home.iftop(&pair.near, &["-t", "-i", "nosuch"]).wait();
    assert_ends(&ended, 1, &["iftop: ", "nosuch", "near"]);
    // The same as flowtally has its own words and its own status.
    assert_ends(&home.flowtally(&pair.near, &["-z"]).wait(), 2, &["'-z'"]);
    assert_ends(&home.flowtally(&pair.near, &["-i", "near", "-s", "5"]).wait(), 2, &["add -t"]);
}

#[test]
fn iftops_wrong_values_are_told_and_it_goes_on() {
    let (pair, home) = (NetPair::new(), Home::new());
    let cases: &[(&[&str], &str)] = &[
        (&["-F", "10.77.0.0"], "Could not parse net/mask: 10.77.0.0\n"),
        (&["-F", "foo/24"], "Invalid network address: foo\n"),
        (&["-F", "10.77.0.0/33"], "Invalid netmask length: 33\n"),
        (&["-G", "fd77::"], "Could not parse IPv6 net/prefix: fd77::\n"),
        (&["-G", "fd77::/129"], "Invalid IPv6 prefix length: 129\n"),
        (&["-o", "foo"], "Invalid enumeration value \"foo\" for directive \"sort\"\n"),
        (&["-m", "1.5M"], "Invalid units in value: 1.5M\n"),
        (&["-L", "many"], ""),
        (&["-c", "/nonexistent/rc"], "/nonexistent/rc: No such file or directory\n"),
    ];
    let mut agents: Vec<_> =
        cases.iter().map(|(wrong, _)| home.iftop(&pair.near, &[ONCE, *wrong].concat())).collect();
    counting(&mut agents);
    traffic(&pair);
    for ((wrong, message), agent) in cases.iter().zip(agents) {
        let ended = finish(agent);
        let text = text(&ended);
        assert!(ended.stderr.starts_with(message), "{wrong:?}: {}", ended.stderr);
        assert!(!message.is_empty() || ended.stderr.starts_with("interface: near\n"), "{}", ended.stderr);
        assert_eq!(cumulative(&text), ["434B", "600B", "1.01KB"], "{wrong:?}: {text}");
        // The digits that a number begins with, here none.
        assert_eq!(text.contains("=>"), !wrong.contains(&"many"), "{wrong:?}: {text}");
    }
    // What was typed wrong ends flowtally.
    for wrong in [["-o", "foo"], ["-m", "1.5M"], ["-F", "10.77.0.0/33"], ["-L", "many"]] {
        let ended = home.flowtally(&pair.near, &[ONCE, &wrong].concat()).wait();
        assert_ends(&ended, 2, &[wrong[1]]);
    }
}

/// Every directive of iftop's file, most of them without an effect that text shows.
const EVERY_DIRECTIVE: &str = "\
# a comment
interface: near
dns-resolution: no
port-resolution: no
filter-code: udp
show-bars: no
promiscuous: yes
port-display: on
link-local: yes
hide-source: yes
hide-destination: no
use-bytes: yes
sort: source
sort: destination
line-display: one-line-both
show-totals: yes
log-scale: yes
max-bandwidth: 1M
net-filter: 10.77.0.0/28
net-filter6: fd77::/64
screen-filter: nothing
no-curses: yes
timed-output: 3600
num-lines: 5
no-such-directive: 1
";

#[test]
fn iftops_file_sets_every_directive() {
    let (pair, home) = (NetPair::new(), Home::new());
    let rc = home.file("rc", EVERY_DIRECTIVE);
    home.file(".iftoprc", &EVERY_DIRECTIVE.replace("hide-source: yes", "hide-source: no"));
    // By name, at its place, and as the lowest of all that flowtally reads.
    let mut agents = [
        home.iftop(&pair.near, &["-c", &rc]),
        home.iftop(&pair.near, &[]),
        home.flowtally(&pair.near, &["-c", &rc]),
        home.flowtally(&pair.near, &[]),
        // The command line comes first.
        home.iftop(&pair.near, &["-c", &rc, "-f", "icmp", "-L0"]),
    ];
    counting(&mut agents);
    traffic(&pair);
    let ended = agents.map(finish);
    for (index, (ended, hidden)) in ended.iter().zip([true, false, true, false, true]).enumerate() {
        let text = text(ended);
        assert!(ended.stderr.contains(":14: warning: repeated directive \"sort\""), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(":25: warning: unknown directive \"no-such-directive\""),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("screen-filter"), "{}", ended.stderr);
        if index == 4 {
            assert!(!text.contains("=>"), "{text}");
            continue;
        }
        // Of the UDP datagrams, those to 10.77.0.2 stay inside the net.
        assert_eq!(cumulative(&text), ["50B", "0B", "50B"], "{text}");
        let source = if hidden { " * :40001" } else { "10.77.0.1:40001" };
        assert!(text.contains(source) && text.contains("10.77.0.20:5001"), "{text}");
    }
}

#[test]
fn the_command_line_comes_before_the_own_file_and_that_before_iftops() {
    let (pair, home) = (NetPair::new(), Home::new());
    home.file(
        ".iftoprc",
        "use-bytes: yes\nnum-lines: 1\nfilter-code: icmp\nport-display: on\ndns-resolution: no\n",
    );
    home.file(
        ".config/flowtally/config.toml",
        "[text]\nnum-lines = 2\n[capture]\nfilter-code = 'udp'\ninterfaces = 'near'\n[screen]\nport-resolution = false\n",
    );
    home.file("other/flowtally/config.toml", "[capture]\nfilter-code = 'tcp'\ninterfaces = ['ne*']\n");
    let toml = home.file("named.toml", "[capture]\nfilter-code = ''\ninterfaces = ['near']\n");
    let elsewhere = |arguments: &[&str]| {
        let mut command = home.command(program(), arguments);
        command.env("XDG_CONFIG_HOME", home.path("other"));
        Agent::start_command(&pair.near.namespace, command)
    };
    let report: &[&str] = &["report", "--seconds", "3600", "--format", "json"];
    let mut agents = [
        home.flowtally(&pair.near, &["-t", "-s", "3600"]),
        home.flowtally(&pair.near, &["-t", "-s", "3600", "-L", "1", "-f", "tcp or udp"]),
        elsewhere(&["-t", "-s", "3600"]),
        home.flowtally(&pair.near, &["-t", "-s", "3600", "--config", &toml]),
        // iftop knows nothing of it.
        home.iftop(&pair.near, &["-t", "-s", "3600", "-i", "near"]),
    ];
    let mut reports =
        [home.flowtally(&pair.near, report), home.flowtally(&pair.near, &[report, &["-f", "icmp"]].concat())];
    counting(&mut agents);
    for report in &mut reports {
        report.wait_for(MEASURING);
    }
    traffic(&pair);
    let expected = [
        ("350B", 2, "10.77.0.2:5001"),
        ("950B", 1, "10.77.0.20:5001"),
        ("600B", 1, "10.77.0.20:5001"),
        ("1.01KB", 1, "10.77.0.20:5001"),
        ("84B", 1, "10.77.0.1 "),
    ];
    for (agent, (total, pairs, line)) in agents.into_iter().zip(expected) {
        let text = text(&finish(agent));
        assert_eq!(cumulative(&text).last(), Some(&total), "{text}");
        assert_eq!(text.matches("=>").count(), pairs, "{text}");
        assert!(text.contains(line), "{text}");
    }
    for (agent, packets) in reports.into_iter().zip([4, 1]) {
        assert_eq!(agent.report().total.sent_packets, packets);
    }
}

#[test]
fn what_the_own_file_has_wrong_is_named_with_its_place() {
    let (pair, home) = (NetPair::new(), Home::new());
    let path = home.file(
        ".config/flowtally/config.toml",
        "[screen]\nsorts = '2s'\nsort = '3s'\n[capture]\nslots = 1000\n",
    );
    for arguments in [ONCE, &["report", "--seconds", "1", "-i", "near"]] {
        let ended = home.flowtally(&pair.near, arguments).wait();
        let places = [
            "2:1: screen.sorts: unknown",
            "3:8: screen.sort: \"3s\" is none of",
            "5:9: capture.slots: use a",
        ];
        assert_ends(&ended, 2, &places.map(|place| format!("{path}:{place}")).each_ref().map(String::as_str));
    }
    let good = home.file("good.toml", "[text]\ntimed-output = 1\n");
    text(&home.flowtally(&pair.near, &["-t", "-i", "near", "--config", &good]).wait());
    let ended = home.flowtally(&pair.near, &["-t", "--config", "/nonexistent/c.toml"]).wait();
    assert_ends(&ended, 2, &["/nonexistent/c.toml", "No such file"]);
}

/// What the user's file lets alone is the host's to say.
#[test]
fn the_users_file_comes_before_the_hosts() {
    let (pair, home) = (NetPair::new(), Home::new());
    let host = home
        .file("host.toml", "[capture]\ninterfaces = 'near'\nfilter-code = 'udp'\n[text]\nnum-lines = 1\n");
    home.file(".config/flowtally/config.toml", "[text]\nnum-lines = 2\n");
    // Nobody else sees this /etc, and it ends with the program.
    let script = format!(
        "set -e\nmount -t tmpfs none /etc\nmkdir /etc/flowtally\ncp {host} /etc/flowtally/config.toml\nexec {} -t -n -N -P -B -s 3600",
        program().display()
    );
    let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
    let command = home.command(Path::new("unshare"), &unshare);
    let mut agent = Agent::start_command(&pair.near.namespace, command);
    counting([&mut agent]);
    traffic(&pair);
    let text = text(&finish(agent));
    assert_eq!(cumulative(&text), ["350B", "0B", "350B"], "{text}");
    assert_eq!(text.matches("=>").count(), 2, "{text}");
}
