//! Notes on sockets: who, and when.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    sync::Arc,
};

use flowtally::kernel::{Capacity, Kernel, Unnoted};
use flowtally_common::{Direction, Occasion, SocketHint, SocketNote, settings::MIN_SLOTS};
use harness::{
    Namespace, eventually,
    frames::{FAR_V4, NEAR_V4},
};
use rustix::net::{AddressFamily, SocketType, accept, listen, socket};

use crate::subject::{
    Subject, TCP, Wanted, cgroups, check_own, check_process, command, cookie, inode, load, netns,
};

#[test]
fn both_ends_of_a_connection() {
    let subject = Subject::new();
    let listener = subject.near(|| TcpListener::bind((NEAR_V4, 0)).unwrap());
    check_own(subject.note(&listener), Occasion::Bound);
    let address = listener.local_addr().unwrap();
    let client = subject.far(|| TcpStream::connect(address).unwrap());
    let note = check_own(subject.note(&client), Occasion::Connected);
    assert_eq!(note.netns, netns(&client));
    assert_ne!(netns(&client), netns(&listener));

    // A name is asked for with the connection.
    let (accepted, _) = listener.accept().unwrap();
    let note = check_own(subject.note(&accepted), Occasion::Accepted);
    assert_eq!(note.netns, netns(&accepted));
}

#[test]
fn accepted_without_an_address_it_is_the_listeners_until_it_is_closed() {
    for any in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
        let subject = Subject::new();
        let listener = subject.near(|| TcpListener::bind((any, 0)).unwrap());
        let address = SocketAddr::from((NEAR_V4, listener.local_addr().unwrap().port()));
        let _client = subject.far(|| TcpStream::connect(address).unwrap());
        let accepted = accept(&listener).unwrap();
        let cookie = cookie(&accepted);
        check_own(subject.note(&accepted), Occasion::Listened);
        drop(accepted);
        check_own(subject.notes.note(cookie), Occasion::Closed);
    }
}

#[test]
fn a_listener_that_was_never_bound() {
    let subject = Subject::new();
    let listener = subject.near(|| {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        listen(&socket, 8).unwrap();
        TcpListener::from(socket)
    });
    check_own(subject.note(&listener), Occasion::Created);
    let address = SocketAddr::from((NEAR_V4, listener.local_addr().unwrap().port()));
    let _client = subject.far(|| TcpStream::connect(address).unwrap());
    let accepted = accept(&listener).unwrap();
    check_own(subject.note(&accepted), Occasion::Listened);
}

#[test]
fn datagrams() {
    let subject = Subject::new();
    let (bound, connected, v6) = subject.near(|| {
        let connected = UdpSocket::bind("0.0.0.0:0").unwrap();
        connected.connect((FAR_V4, 9)).unwrap();
        (UdpSocket::bind("0.0.0.0:0").unwrap(), connected, UdpSocket::bind("[::1]:0").unwrap())
    });
    let note = check_own(subject.note(&bound), Occasion::Bound);
    assert_eq!(note.netns, netns(&bound));
    check_own(subject.note(&connected), Occasion::Connected);
    check_own(subject.note(&v6), Occasion::Bound);
    let cookie = cookie(&bound);
    drop(bound);
    // The process is the same as before: nothing better is known.
    check_own(subject.notes.note(cookie), Occasion::Bound);
}

#[test]
fn a_process_that_has_ended_keeps_its_name() {
    let mut subject = Subject::new();
    let listener = subject.far(|| TcpListener::bind((FAR_V4, 0)).unwrap());
    let to = format!("TCP:{}", listener.local_addr().unwrap());
    let mut child = socat(&subject.pair.near.namespace, &["-u", "STDIN", &to]);
    let (mut stream, peer) = listener.accept().unwrap();
    drop(child.stdin.take());
    stream.read_to_end(&mut Vec::new()).unwrap();
    child.wait().unwrap();
    let flow = Wanted::new(TCP, Direction::Egress).on_port(peer.port());
    let hint = subject.hint(&flow, SocketHint::is_exact);
    let note = subject.notes.note(hint.cookie()).expect("a note");
    assert_eq!((note.tgid, command(&note).as_str()), (child.id(), "socat"));
    assert_ne!(note.start_time, 0);
}

/// socat forks for each connection: its parent accepts, the child serves and closes last.
#[test]
fn a_child_that_serves_a_connection() {
    let mut subject = Subject::new();
    let listen = format!("TCP4-LISTEN:4000,bind={NEAR_V4},fork");
    let mut parent = socat(&subject.pair.near.namespace, &[&listen, "PIPE"]);
    let mut client = eventually("socat listens", || subject.far(|| TcpStream::connect((NEAR_V4, 4000)).ok()));
    client.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    client.read_exact(&mut back).unwrap();
    let flow = Wanted::new(TCP, Direction::Egress).on_port(4000).to_port(client.local_addr().unwrap().port());
    let hint = subject.hint(&flow, SocketHint::is_exact);
    let note = subject.notes.note(hint.cookie()).expect("a note");
    check_process(&note, parent.id());
    assert_eq!(Occasion::from_raw(note.occasion), Some(Occasion::Accepted));
    assert_eq!(command(&note), "socat");
    drop(client);
    let note = eventually("the child closes", || {
        subject.notes.note(hint.cookie()).filter(|note| note.occasion == Occasion::Closed as u8)
    });
    assert_ne!(note.tgid, parent.id(), "the child's");
    assert_eq!(command(&note), "socat");
    parent.kill().unwrap();
    parent.wait().unwrap();
}

#[test]
fn a_process_in_a_cgroup() {
    let mut subject = Subject::new();
    let group = Group::new();
    let mut child =
        socat(&subject.pair.near.namespace, &[&format!("TCP4-LISTEN:4001,bind={NEAR_V4}"), "PIPE"]);
    fs::write(group.0.join("cgroup.procs"), child.id().to_string()).expect("move a process");
    let client = eventually("socat listens", || subject.far(|| TcpStream::connect((NEAR_V4, 4001)).ok()));
    // Before that attempts were refused.
    let flow = Wanted::new(TCP, Direction::Egress).on_port(4001).to_port(client.local_addr().unwrap().port());
    let hint = subject.hint(&flow, SocketHint::is_exact);
    let note = eventually("socat accepts", || {
        subject.notes.note(hint.cookie()).filter(|note| note.occasion == Occasion::Accepted as u8)
    });
    check_process(&note, child.id());
    assert_eq!(note.cgroup, inode(&group.0));
    drop(client);
    child.wait().unwrap();
    let after = subject.notes.note(hint.cookie()).expect("a note of a process that has ended");
    assert_eq!((after.tgid, after.start_time, after.command), (note.tgid, note.start_time, note.command));
}

#[test]
fn nothing_is_noted_unless_asked_for_nor_afterwards() {
    Namespace::new().enter(|| {
        let capacity = Capacity { slots: MIN_SLOTS, flows: 1024, notes: 0 };
        let kernel = Kernel::load(capacity, false).unwrap();
        assert_eq!(kernel.owner_notes().unnoted(), [Unnoted::NotAsked]);
        assert!(kernel.owner_notes().hooks().is_empty());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(kernel.owner_notes().note(cookie(&socket)), None);
    });
    let kernel = load();
    let notes = Arc::clone(kernel.owner_notes());
    let before = UdpSocket::bind("127.0.0.1:0").unwrap();
    drop(kernel);
    let after = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(notes.note(cookie(&before)).is_some(), "notes outlive the programs");
    assert_eq!(notes.note(cookie(&after)), None::<SocketNote>, "a program is still there");
}

fn socat(namespace: &Namespace, arguments: &[&str]) -> Child {
    let mut command = Command::new("socat");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
    namespace.enter(|| command.spawn().expect("start socat"))
}

/// A cgroup, which goes with this value.
struct Group(PathBuf);

impl Group {
    fn new() -> Self {
        let path = cgroups().join(format!("flowtally-notes-{}", process::id()));
        fs::create_dir(&path).expect("make a cgroup");
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        eventually("the cgroup is empty", || fs::remove_dir(&self.0).ok());
    }
}

/// Many questions are answered from a copy of all notes, few from the notes themselves: with the same answers.
#[test]
fn a_copy_has_every_note() {
    /// More than the kernel hands out at once.
    const SOCKETS: usize = 6_000;
    // With notes of its own: others' would take the room of these.
    let kernel = load();
    let notes = kernel.owner_notes();
    let namespace = Namespace::new();
    let bind = || cookie(UdpSocket::bind("127.0.0.1:0").unwrap());
    let cookies: Vec<u64> = namespace.enter(|| (0..SOCKETS).map(|_| bind()).collect());
    let [copy, single] = [1 << 20, 1].map(|questions| notes.for_questions(questions));
    for cookie in cookies {
        let note = copy.note(cookie);
        assert!(note.is_some_and(|note| note.tgid == process::id()), "{note:?}");
        assert_eq!(note, single.note(cookie));
    }
    // What came later shows which is which.
    let later = namespace.enter(bind);
    assert_eq!(copy.note(later), None);
    assert!(single.note(later).is_some());
    assert!(notes.copy(SOCKETS).is_none(), "more notes than were wanted");
    // More notes than questions: they are asked for one by one.
    assert!(notes.for_questions(SOCKETS / 2).note(later).is_some());
}
