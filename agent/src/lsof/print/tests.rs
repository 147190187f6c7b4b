//! Listings, whole.

use super::*;
use crate::lsof::{
    arguments::{Fields, Json},
    model::{End, Fd, File, Kind, Socket, Transport},
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
    assert_eq!(shown(&Options::default()), expected);
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
    let fields = Some(Fields { letters: b"pf".to_vec(), nul: true });
    assert_eq!(shown(&Options { fields, ..Options::default() }), "p17802\0\nfcwd\0\nf3\0\nf12345\0\n");
}

#[test]
fn json_names_the_fields() {
    let options = Options { json: Some(Json::Lines), ..Options::default() };
    let text = shown(&options);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines[1],
        r#"{"pid":17802,"pgid":17802,"ppid":1,"command":"kfx long name!X","uid":0,"login":"root","fd":"3","access":"r","lock":"W","type":"REG","device_number":"0xfe00","size":"72","inode":"10043410","nlink":1,"flags":"LG","name":"/tmp/a\\nb"}"#
    );
    let whole = shown(&Options { json: Some(Json::Object), ..Options::default() });
    let value: serde_json::Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(value["processes"][0]["files"][2]["name"], "127.0.0.1:22");
    assert_eq!(value["processes"][0]["files"][2]["tcp_info"]["state"], "LISTEN");
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
    assert_eq!(text(None, &Options::default()), "=======\n");
    assert_eq!(text(Some(b"=12="), &Options::default()), "=12=\n");
    let fields = Some(Fields { letters: b"p".to_vec(), nul: false });
    assert_eq!(text(None, &Options { fields, ..Options::default() }), "m\n");
}
