//! Listings, whole.

use super::*;
use crate::lsof::{
    arguments::{FieldOutput, FlagForm, Json},
    model::{Fd, ListedSocket, OpenFile, OpenFileKind, SocketEnd, Transport},
};

struct Root;

impl Logins for Root {
    fn login(&self, uid: u32) -> Option<String> {
        (uid == 0).then(|| "root".to_owned())
    }
}

fn processes() -> Vec<Process> {
    let mut cwd = OpenFile::new(Fd::Cwd, OpenFileKind::Directory);
    (cwd.device, cwd.inode, cwd.size, cwd.links) = (Some(0xfe00), Some(2), Some(4096), Some(20));
    cwd.name = b"/".as_slice().into();
    let mut file = OpenFile::new(Fd::Number(3), OpenFileKind::Regular);
    (file.device, file.inode, file.size, file.links) = (Some(0xfe00), Some(10_043_410), Some(72), Some(1));
    (file.access, file.lock, file.flags) = (b'r', b'W', Some(0o100_000));
    file.name = b"/tmp/a\nb".as_slice().into();
    let mut socket = OpenFile::new(Fd::Number(12_345), OpenFileKind::Ipv4);
    (socket.access, socket.inode, socket.offset) = (b'u', Some(154_435), Some(0));
    let local = SocketEnd { address: std::net::Ipv4Addr::LOCALHOST.into(), port: 22 };
    let foreign = SocketEnd { address: std::net::Ipv4Addr::UNSPECIFIED.into(), port: 0 };
    socket.socket = Some(Box::new(ListedSocket::Internet {
        transport: Transport::Tcp,
        v6: false,
        local,
        foreign,
        state: 10,
        send_queue: 0,
        receive_queue: 1,
    }));
    let process = Process {
        pid: 17_802,
        command: b"kfx long name!X".as_slice().into(),
        parent: 1,
        group: 17_802,
        files: vec![cwd, file, socket],
        ..Process::default()
    };
    vec![Process { pid: 1, ..Process::default() }, process]
}

fn shown(options: &LsofOptions) -> String {
    let style = Style { options, names: &Numeric, logins: &Root, charset: Charset { utf8: false } };
    let mut out = Vec::new();
    listing(&processes(), style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let expected = "\
COMMAND     PID USER   FD   TYPE DEVICE SIZE/OFF     NODE NAME
kfx\\x20lo 17802 root  cwd    DIR  254,0     4096        2 /
kfx\\x20lo 17802 root    3rW  REG  254,0       72 10043410 /tmp/a\\nb
kfx\\x20lo 17802 root *345u  IPv4 154435      0t0      TCP 127.0.0.1:22 (LISTEN)
";
    assert_eq!(shown(&LsofOptions::default()), expected);
}

/// Whether what is cut was cut within an escape does not show in the width.
#[test]
fn a_command_that_is_cut_has_all_its_room() {
    let mut processes = processes();
    processes[1].command = b"kfxlong !".as_slice().into();
    processes[1].files.truncate(1);
    let options = LsofOptions::default();
    let style = Style { options: &options, names: &Numeric, logins: &Root, charset: Charset { utf8: false } };
    let mut out = Vec::new();
    listing(&processes, style, &mut out).unwrap();
    let expected = "\
COMMAND     PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME
kfxlong   17802 root  cwd    DIR  254,0     4096    2 /
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn columns_that_are_asked_for() {
    let options = LsofOptions {
        parents: true,
        show_groups: true,
        links: true,
        numeric_users: true,
        human: true,
        ..LsofOptions::default()
    };
    let text = shown(&options);
    let expected = "\
COMMAND     PID PPID  PGID     USER   FD   TYPE DEVICE SIZE/OFF NLINK     NODE NAME
kfx\\x20lo 17802    1 17802        0  cwd    DIR  254,0     4.0K    20        2 /
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn fields_have_letters() {
    let letters = b"pcfalDdsoiknPT".to_vec();
    let fields = Some(FieldOutput { letters, nul: false });
    let mut options = LsofOptions { fields, ..LsofOptions::default() };
    options.tcp_info.queues = true;
    let expected = "p17802\nckfx long name!X\nfcwd\na \nl \nD0xfe00\ns4096\ni2\nk20\nn/\nf3\nar\nlW\nD0xfe00\ns72\ni10043410\nk1\n\
                    n/tmp/a\\nb\nf12345\nau\nl \nd154435\no0t0\nPTCP\nn127.0.0.1:22\nTST=LISTEN\nTQR=1\nTQS=0\n";
    assert_eq!(shown(&options), expected);
    let fields = Some(FieldOutput { letters: b"pf".to_vec(), nul: true });
    assert_eq!(
        shown(&LsofOptions { fields, ..LsofOptions::default() }),
        "p17802\0\nfcwd\0\nf3\0\nf12345\0\n"
    );
}

/// What the command line makes of `-J` or `-j`, with these fields.
fn json_options(json: Json, letters: &[u8]) -> LsofOptions {
    let mut options = LsofOptions {
        fields: Some(FieldOutput { letters: letters.to_vec(), nul: false }),
        flags: Some(FlagForm::Names),
        json: Some(json),
        ..LsofOptions::default()
    };
    options.tcp_info.queues = true;
    options
}

const ALL: &[u8] = b"acdDfgGikKlLmMnopPRstTu";

fn unix(path: &[u8]) -> OpenFile {
    let mut file = OpenFile::new(Fd::Number(8), OpenFileKind::Unix);
    (file.access, file.inode, file.offset) = (b'u', Some(50), Some(0));
    file.socket = Some(Box::new(ListedSocket::Unix {
        address: b"0x00000000f13f2b35".as_slice().into(),
        kind: 1,
        state: 1,
        listens: true,
        path: path.into(),
    }));
    file
}

fn datagrams(transport: Transport, state: u8) -> OpenFile {
    let mut file = OpenFile::new(Fd::Number(9), OpenFileKind::Ipv6);
    (file.access, file.inode, file.offset) = (b'u', Some(51), Some(0));
    let end = |port| SocketEnd { address: std::net::Ipv6Addr::LOCALHOST.into(), port };
    file.socket = Some(Box::new(ListedSocket::Internet {
        transport,
        v6: true,
        local: end(53),
        foreign: end(if state == 1 { 99 } else { 0 }),
        state,
        send_queue: 3,
        receive_queue: 832,
    }));
    file
}

/// Files of all kinds, each with the object that lsof 4.99.7 printed of one like it: keys, their order, types. What is better here
/// is a name of Internet sockets, a state of UNIX sockets, and the note.
fn kinds_of_files() -> Vec<(OpenFile, &'static str)> {
    let mut null = OpenFile::new(Fd::Number(0), OpenFileKind::Character);
    (null.access, null.flags) = (b'u', Some(0o100_002));
    (null.device, null.rdev, null.inode, null.links) = (Some(6), Some(0x103), Some(4), Some(1));
    (null.offset, null.name) = (Some(0), b"/dev/null".as_slice().into());
    let mut locked = OpenFile::new(Fd::Number(3), OpenFileKind::Regular);
    (locked.access, locked.lock, locked.flags) = (b'w', b'W', Some(0o2_102_001));
    (locked.device, locked.inode, locked.links) = (Some(0xfe00), Some(10_043_410), Some(1));
    (locked.size, locked.offset) = (Some(5 << 30), Some(4 << 30));
    locked.name = b"/tmp/a\n\x0b\\x0b\"".as_slice().into();
    let mut mapped = OpenFile::new(Fd::Deleted, OpenFileKind::Regular);
    (mapped.device, mapped.inode) = (Some(1), Some(1025));
    mapped.name = b"/memfd:\xffx".as_slice().into();
    let mut anonymous = OpenFile::new(Fd::Number(7), OpenFileKind::Anonymous);
    (anonymous.access, anonymous.flags) = (b'u', Some(2));
    (anonymous.device, anonymous.inode, anonymous.links) = (Some(0x10), Some(2060), Some(1));
    (anonymous.offset, anonymous.name) = (Some(0), b"[eventfd:1]".as_slice().into());
    anonymous.note = Some(b"53,child,40u".as_slice().into());
    let mut packet = OpenFile::new(Fd::Number(77), OpenFileKind::Packet);
    (packet.access, packet.inode, packet.offset) = (b'u', Some(52), Some(0));
    packet.socket = Some(Box::new(ListedSocket::Other {
        protocol: Some(b"ALL".as_slice().into()),
        inode_is_device: true,
        text: b"type=SOCK_RAW".as_slice().into(),
    }));
    let mut refused = OpenFile::new(Fd::Cwd, OpenFileKind::Unknown);
    refused.name = b"/proc/1/cwd".as_slice().into();
    refused.note = Some(b"(readlink: Permission denied)".as_slice().into());
    let mut unread = OpenFile::new(Fd::None, OpenFileKind::Blank);
    unread.name = b"/proc/1/fd".as_slice().into();
    vec![
        (
            null,
            r#"{"fd":"0","access":"u","type":"CHR","device_number":"0x6","offset":"0","inode":"4","nlink":1,"flags":"RW,LG","name":"/dev/null"}"#,
        ),
        (
            locked,
            r#"{"fd":"3","access":"w","lock":"W","type":"REG","device_number":"0xfe00","size":"5368709120","offset":"4294967296","inode":"10043410","nlink":1,"flags":"W,AP,LG,CX","name":"/tmp/a\n\u000b\\x0b\""}"#,
        ),
        (
            mapped,
            r#"{"fd":"DEL","type":"REG","device_number":"0x1","inode":"1025","name":"/memfd:\\xffx","name_hex":"2f6d656d66643aff78"}"#,
        ),
        (
            anonymous,
            r#"{"fd":"7","access":"u","type":"a_inode","device_number":"0x10","offset":"0","inode":"2060","nlink":1,"flags":"RW","name":"[eventfd:1]","note":"53,child,40u"}"#,
        ),
        (
            unix(b"/run/a b"),
            r#"{"fd":"8","access":"u","type":"unix","device":"0x00000000f13f2b35","offset":"0","inode":"50","name":"/run/a b type=STREAM","tcp_info":{"state":"LISTEN"}}"#,
        ),
        (
            datagrams(Transport::Udp, 7),
            r#"{"fd":"9","access":"u","type":"IPv6","device":"51","offset":"0","protocol":"UDP","name":"[::1]:53->[::1]:*","tcp_info":{"recv_queue":832,"send_queue":3}}"#,
        ),
        (
            datagrams(Transport::Udp, 1),
            r#"{"fd":"9","access":"u","type":"IPv6","device":"51","offset":"0","protocol":"UDP","name":"[::1]:53->[::1]:99","tcp_info":{"state":"ESTABLISHED","recv_queue":832,"send_queue":3}}"#,
        ),
        (
            datagrams(Transport::UdpLite, 1),
            r#"{"fd":"9","access":"u","type":"IPv6","device":"51","offset":"0","protocol":"UDPLITE","name":"[::1]:53->[::1]:99","tcp_info":{"recv_queue":832,"send_queue":3}}"#,
        ),
        (
            datagrams(Transport::Tcp, 99),
            r#"{"fd":"9","access":"u","type":"IPv6","device":"51","offset":"0","protocol":"TCP","name":"[::1]:53->[::1]:*","tcp_info":{"state":"UNKNOWN_TCP_STATE_99","recv_queue":832,"send_queue":3}}"#,
        ),
        (
            packet,
            r#"{"fd":"77","access":"u","type":"pack","device":"52","offset":"0","protocol":"ALL","name":"type=SOCK_RAW"}"#,
        ),
        (
            refused,
            r#"{"fd":"cwd","type":"unknown","name":"/proc/1/cwd","note":"(readlink: Permission denied)"}"#,
        ),
        (unread, r#"{"fd":"NOFD","name":"/proc/1/fd"}"#),
    ]
}

fn json_of(processes: &[Process], options: &LsofOptions) -> String {
    let style = Style { options, names: &Numeric, logins: &Root, charset: Charset { utf8: false } };
    let mut out = Vec::new();
    listing(processes, style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn json_is_that_of_lsof() {
    let (files, objects): (Vec<_>, Vec<_>) = kinds_of_files().into_iter().unzip();
    let thread = Process {
        pid: 6,
        tid: Some(60),
        task_command: b"t\x1b\xff".as_slice().into(),
        command: "é\u{202e}\"".as_bytes().into(),
        context: Some(b"kernel".as_slice().into()),
        parent: 1,
        group: 5,
        uid: 1,
        files: files.clone(),
    };
    let process =
        Process { tid: None, context: None, uid: 0, command: b"x".as_slice().into(), ..thread.clone() };
    let about = [
        r#""pid":6,"tid":60,"task_cmd":"t\\x1b\\xff","task_cmd_hex":"741bff","pgid":5,"ppid":1,"command":"é\u202e\"","uid":1"#,
        r#""pid":6,"pgid":5,"ppid":1,"command":"x","uid":0,"login":"root""#,
    ];
    let processes = [Process::default(), thread, process];
    let whole = json_of(&processes, &json_options(Json::Object, ALL));
    let files = objects.join(",");
    let all: Vec<_> = about.iter().map(|about| format!("{{{about},\"files\":[{files}]}}")).collect();
    assert_eq!(whole, format!("{{\"lsof_version\":\"4.99.7\",\"processes\":[{}]}}\n", all.join(",")));
    let lines = json_of(&processes, &json_options(Json::Lines, ALL));
    let all: Vec<_> = about
        .iter()
        .flat_map(|about| objects.iter().map(move |object| format!("{{{about},{}", &object[1..])))
        .collect();
    assert_eq!(lines.lines().collect::<Vec<_>>(), all);
    assert!(lines.ends_with("}\n"));
}

#[test]
fn json_has_the_fields_that_are_named() {
    let row = |letters: &[u8], change: fn(&mut LsofOptions)| {
        let mut options = json_options(Json::Lines, letters);
        change(&mut options);
        let (files, _): (Vec<_>, Vec<_>) = kinds_of_files().into_iter().unzip();
        let process = Process { pid: 6, context: Some(b"c".as_slice().into()), files, ..Process::default() };
        json_of(&[process], &options).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row(b"pf", |_| ())[0], r#"{"pid":6,"fd":"0"}"#);
    assert_eq!(row(b"pfrD", |_| ())[0], r#"{"pid":6,"fd":"0","device_number":"0x6","raw_device":"0x103"}"#);
    assert_eq!(row(b"pr", |_| ())[1], r#"{"pid":6}"#);
    assert_eq!(row(b"pZ", |_| ())[0], r#"{"pid":6,"security_context":"c"}"#);
    assert_eq!(
        row(b"pG", |options| options.flags = Some(FlagForm::Hex))[1],
        r#"{"pid":6,"flags":"0x88401;0x0"}"#
    );
    assert_eq!(row(b"pG", |options| options.flags = None)[1], r#"{"pid":6}"#);
    assert_eq!(row(b"ps", |options| options.human = true)[1], r#"{"pid":6,"size":"5368709120"}"#);
    assert_eq!(row(b"po", |options| options.offset_digits = 3)[1], r#"{"pid":6,"offset":"4294967296"}"#);
    assert_eq!(row(b"puL", |options| options.numeric_users = true)[0], r#"{"pid":6,"uid":0}"#);
    let nothing =
        |options: &mut LsofOptions| (options.tcp_info.state, options.tcp_info.queues) = (false, false);
    assert_eq!(row(b"pT", nothing)[4..7], [r#"{"pid":6,"tcp_info":{}}"#; 3]);
    assert_eq!(row(b"pT", nothing)[9], r#"{"pid":6}"#);
}

#[test]
fn json_of_nothing_is_a_document() {
    let envelope = "{\"lsof_version\":\"4.99.7\",\"processes\":[]}\n";
    let nobody = [Process { pid: 1, ..Process::default() }];
    assert_eq!(json_of(&nobody, &json_options(Json::Object, ALL)), envelope);
    assert_eq!(json_of(&nobody, &json_options(Json::Lines, ALL)), "");
}

/// Names of hosts and services come from whoever serves them.
#[test]
fn names_of_hosts_and_ports_are_escaped() {
    struct Deceiving;

    impl EndNames for Deceiving {
        fn host(&self, _: std::net::IpAddr) -> Option<String> {
            Some("h\x1b[2J\n".to_owned())
        }

        fn port(&self, _: u16, _: Transport) -> Option<String> {
            Some("p\x07".to_owned())
        }
    }

    let shown = |options: &LsofOptions| {
        let style = Style { options, names: &Deceiving, logins: &Root, charset: Charset { utf8: true } };
        let mut out = Vec::new();
        listing(&processes(), style, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(shown(&LsofOptions::default()).contains(" h^[[2J\\n:p^G (LISTEN)\n"));
    let fields = Some(FieldOutput { letters: b"n".to_vec(), nul: false });
    assert!(shown(&LsofOptions { fields, ..LsofOptions::default() }).contains("\nnh^[[2J\\n:p^G\n"));
    let json = shown(&json_options(Json::Lines, b"n"));
    assert!(json.ends_with("{\"name\":\"h\\u001b[2J\\n:p\\u0007\"}\n"), "{json}");
}

#[test]
fn terse_is_a_number_a_line() {
    assert_eq!(shown(&LsofOptions { terse: true, ..LsofOptions::default() }), "17802\n");
}

#[test]
fn markers_stand_between_listings() {
    let text = |formatted: Option<&[u8]>, options: &LsofOptions| {
        let mut out = Vec::new();
        marker(formatted, options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(text(None, &LsofOptions::default()), "=======\n");
    assert_eq!(text(Some(b"=12="), &LsofOptions::default()), "=12=\n");
    let fields = Some(FieldOutput { letters: b"p".to_vec(), nul: false });
    assert_eq!(text(None, &LsofOptions { fields, ..LsofOptions::default() }), "m\n");
    assert_eq!(text(Some(b"=="), &json_options(Json::Object, ALL)), "");
    assert_eq!(text(Some(b"=="), &json_options(Json::Lines, ALL)), "\n");
}
