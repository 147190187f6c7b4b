//! Screens that are attached to an agent: they show what it has counted, before and after, to the byte, and it waits for none of them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::Command,
    thread,
};

use flowtally::flow::wire::PROTOCOL;
use harness::{
    Terminal, Way,
    agent::program,
    eventually,
    frames::{IPV4, ethernet, ipv4, protocol::UDP, udp},
    screen::amount,
    viewer::Viewer,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::Service;

fn attach(service: &Service) -> Viewer {
    let terminal = Terminal::open(&service.pair.near.namespace, (120, 24));
    // The shell is not to take the terminal when the screen is stopped.
    terminal.enter("set +m");
    let viewer =
        Viewer::start(terminal, &format!("flowtally --attach --socket {} -n", service.socket().display()));
    viewer.wait_for("attached to the agent");
    viewer
}

fn wait_for_total(viewer: &Viewer, expected: [u64; 2]) {
    eventually("the total is what was sent", || {
        let total = viewer.total();
        assert!(total <= expected, "{total:?} is more than {expected:?}");
        (total == expected).then_some(())
    });
}

/// The program in it.
fn pid(viewer: &Viewer) -> Pid {
    let shell = viewer.shell();
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap())
}

fn frames(way: Way, count: usize) -> Vec<Vec<u8>> {
    vec![ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 500))); count]
}

fn bytes(frames: &[Vec<u8>]) -> u64 {
    frames.iter().map(|frame| frame.len() as u64).sum()
}

/// Sends and receives, and adds to what is expected.
fn exchange(service: &Service, count: usize, expected: &mut [u64; 2]) {
    let (sent, received) = (frames(Way::Sent, count), frames(Way::Received, 2 * count));
    service.pair.near.send(&sent);
    service.pair.far.send(&received);
    expected[0] += bytes(&sent);
    expected[1] += bytes(&received);
}

fn counted(status: &Value) -> u64 {
    status["interfaces"][0]["counted_bytes"].as_u64().unwrap()
}

#[test]
fn what_was_counted_before_and_what_comes_after_is_on_every_screen() {
    let service = Service::new();
    let agent = service.start("-i near --interval 1s");
    let mut expected = [0; 2];
    exchange(&service, 30, &mut expected);
    service.status_when("all of it is counted", |status| counted(status) == expected[0] + expected[1]);
    let first = attach(&service);
    assert_eq!(first.total(), expected, "all at once");
    let peak = |viewer: &Viewer| viewer.screen().totals().unwrap().peak[2].clone();
    assert!(amount(&peak(&first)) > 0.0, "{}", first.screen());
    assert_eq!(service.status()["attached"], 1);
    exchange(&service, 5, &mut expected);
    wait_for_total(&first, expected);
    let second = attach(&service);
    assert_eq!(second.total(), expected);
    // The agent has looked for owners all along.
    second.press("O");
    let owner = |viewer: &Viewer| viewer.exported()["rows"][0]["owner"].as_str().map(str::to_owned);
    // Why there is none depends on what the host lets see; that it was looked for does not.
    eventually("owners are looked for", || owner(&second).filter(|owner| owner != "not looked up yet"));
    // Neither begins again for the other.
    first.press("r");
    assert!(first.total() < expected);
    assert_eq!(second.total(), expected);
    assert_eq!(peak(&second), peak(&attach(&service)));
    exchange(&service, 7, &mut expected);
    wait_for_total(&second, expected);
    second.press("f");
    second.press("port 53");
    second.key("Enter");
    second.wait_for("The capture filter is the agent's");
    first.press("q");
    service.status_when("one screen has gone", |status| status["attached"] == 1);
    drop(service.stop(agent));
}

#[test]
fn the_end_of_the_agent_is_said_and_what_it_counted_stays() {
    let service = Service::new();
    let mut expected = [0; 2];
    let agent = service.start("-i near --interval 1s");
    let viewer = attach(&service);
    exchange(&service, 9, &mut expected);
    // The last interval is not over.
    drop(service.stop(agent));
    viewer.wait_for("AGENT GONE");
    assert_eq!(viewer.total(), expected);
    viewer.press("q");
    viewer.wait("a prompt", |screen| screen.text().ends_with('>').then_some(()));

    let agent = service.start("-i near --interval 1s");
    let viewer = attach(&service);
    agent.signal(Signal::SIGKILL);
    drop(agent.wait());
    viewer.wait_for("AGENT GONE");
    viewer.wait("the reason", |screen| screen.message().filter(|said| said.contains("sends no more")));
}

#[test]
fn a_screen_that_is_stopped_holds_nothing_up_and_misses_nothing() {
    let service = Service::new();
    let agent = service.start("-i near --interval 1s");
    let viewer = attach(&service);
    let mut expected = [0; 2];
    kill(pid(&viewer), Signal::SIGSTOP).unwrap();
    // A tick that waited for the screen would be the last one.
    for _ in 0..3 {
        exchange(&service, 11, &mut expected);
        let ticks = service.status()["ticks"].as_u64().unwrap();
        service.status_when("the next interval", |status| status["ticks"].as_u64() > Some(ticks));
    }
    assert_eq!(service.status()["attached"], 1);
    kill(pid(&viewer), Signal::SIGCONT).unwrap();
    wait_for_total(&viewer, expected);
    drop(service.stop(agent));
}

#[test]
fn there_are_a_few_screens_at_most() {
    let service = Service::new();
    let agent = service.start("-i near --interval 1s");
    let attached = |_| {
        let mut stream = BufReader::new(UnixStream::connect(service.socket()).unwrap());
        stream.get_mut().write_all(format!("attach {PROTOCOL}\n").as_bytes()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        (stream, serde_json::from_str::<Value>(&line).unwrap())
    };
    let four: Vec<_> = (0..4).map(attached).collect();
    assert!(four.iter().all(|(_, header)| header["error"].is_null()), "{four:?}");
    let (_, fifth) = attached(4);
    assert!(fifth["error"].as_str().unwrap().contains("4 screens"), "{fifth}");
    drop(four);
    service.status_when("they have gone", |status| status["attached"] == 0);
    assert!(attached(5).1["error"].is_null());
    drop(service.stop(agent));
}

/// What a screen that cannot be attached says.
fn refused(socket: &Path, more: &str) -> String {
    let terminal = Terminal::open(&harness::Namespace::new(), (200, 24));
    terminal.enter(&format!("flowtally --attach --socket {} {more}; echo status $?", socket.display()));
    terminal.wait("the end", |screen| screen.text().contains("\nstatus ").then(|| screen.text()))
}

#[test]
fn why_a_screen_is_not_attached_is_said_in_words() {
    let service = Service::new();
    let said = refused(&service.socket(), "");
    assert!(said.contains("no agent answers at") && said.contains("status 1"), "{said}");
    let said = refused(&service.socket(), "-i eth0 -f tcp");
    assert!(said.contains("-i, -f and --attach do not go together") && said.contains("status 2"), "{said}");
    let agent = service.start("-i near --interval 1s");
    let mut stream = UnixStream::connect(service.socket()).unwrap();
    stream.write_all(b"attach 999\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let header: Value = serde_json::from_str(&answer).unwrap();
    assert!(header["error"].as_str().unwrap().contains(&format!("version {PROTOCOL}")), "{answer}");
    drop(service.stop(agent));

    // An agent of another version.
    let socket = service.path("other.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answering = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let mut question = String::new();
        stream.read_line(&mut question).unwrap();
        let header = r#"{"schema":"flowtally.attach/1","version":"7.5.0","protocol":999}"#;
        writeln!(stream.get_mut(), "{header}").unwrap();
        question
    });
    let said = refused(&socket, "");
    assert!(said.contains("the agent is flowtally 7.5.0") && said.contains("version 999"), "{said}");
    assert_eq!(answering.join().unwrap(), format!("attach {PROTOCOL}\n"));
    let output = Command::new(program()).args(["--socket", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "--socket is nothing without --attach");
}
