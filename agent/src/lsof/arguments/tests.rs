//! The command line, whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

struct Host;

impl System for Host {
    fn uid(&self, login: &str) -> Option<u32> {
        [("root", 0), ("tony", 1000)].iter().find(|(name, _)| *name == login).map(|(_, uid)| *uid)
    }

    fn login(&self, _: u32) -> Option<String> {
        None
    }

    fn host(&self, name: &str) -> Vec<IpAddr> {
        match name {
            "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            _ => Vec::new(),
        }
    }

    fn service(&self, name: &str, transport: Transport) -> Option<u16> {
        match (name, transport) {
            ("ssh", Transport::Tcp) => Some(22),
            ("odd", Transport::Tcp) => Some(1),
            ("odd", Transport::Udp) => Some(2),
            _ => None,
        }
    }

    fn selinux(&self) -> bool {
        false
    }
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

fn options(line: &str) -> LsofOptions {
    match parse(words(line), &Host) {
        Outcome::Run(options, _) => *options,
        other => panic!("{line}: {other:?}"),
    }
}

/// The messages about a wrong line.
fn wrong(line: &str) -> Vec<String> {
    match parse(words(line), &Host) {
        Outcome::Wrong(messages) => messages,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_forms_of_daily_use() {
    let all = options("-i :22 -nP -c ssh -u tony,^root -p 1,^2, -d 0-2,cwd +D /tmp -x f -a name");
    assert_eq!(all.addresses[0].ports, [Ports { from: 22, to: 22 }]);
    assert!(all.numeric_hosts && all.numeric_ports && all.and && all.cross_mounts && !all.cross_links);
    assert_eq!(all.commands, [CommandPrefix { prefix: b"ssh".to_vec(), exclude: false }]);
    assert_eq!(all.users, [NamedUser { uid: 1000, login: Some("tony".to_owned()) }]);
    assert!(all.excluded_users.contains(&0));
    assert_eq!(all.pids, Ids { include: vec![1], exclude: vec![2] });
    let items = vec![FdItem::Numbers(0, 2), FdItem::Name(b"cwd".to_vec())];
    assert_eq!(all.fds, Some(FdSet { exclude: false, items }));
    assert_eq!(
        all.directories,
        [Directory {
            path: b"/tmp".to_vec(),
            deep: true,
            cross_mounts: false,
            cross_links: false,
            avoid_blocking: false
        }]
    );
    assert_eq!(all.names, [b"name".to_vec()]);
}

#[test]
fn a_letter_takes_what_follows_as_its_value() {
    let all = options("-cp 1234");
    assert_eq!(all.commands[0].prefix, b"p");
    assert_eq!(all.names, [b"1234".to_vec()]);
    assert!(all.pids.include.is_empty());
    assert_eq!(options("-i -F pn x").fields.unwrap().letters, b"pn");
    assert_eq!(options("-Fn -Fc0").fields, Some(FieldOutput { letters: b"pnc".to_vec(), nul: true }));
}

#[test]
fn repetition_has_a_time_a_count_and_a_marker() {
    let repeat = |line: &str| options(line).repeat;
    let every = |seconds| std::time::Duration::from_secs(seconds);
    let of = |seconds, until_none, marker: Option<&str>, cycles| {
        let marker = marker.map(|text| text.as_bytes().to_vec());
        Some(Repeat { every: every(seconds), until_none, marker, cycles })
    };
    assert_eq!(repeat("-r"), of(15, false, None, None));
    assert_eq!(repeat("+r2"), of(2, true, None, None));
    assert_eq!(repeat("-r1c2"), of(1, false, None, Some(2)));
    assert_eq!(repeat("-r1c2m=%H="), of(1, false, Some("=%H="), Some(2)));
    assert_eq!(repeat("-r5m=="), of(5, false, Some("=="), None));
    assert_eq!(repeat("-r0"), None);
}

#[test]
fn addresses() {
    let address = |line: &str| options(line).addresses.remove(0);
    let local = address("-i 4TCP@localhost:ssh,80-90");
    assert_eq!((local.family, local.transport), (InternetFamily::V4, Some(Transport::Tcp)));
    assert_eq!(local.hosts, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    assert_eq!(local.ports, [Ports { from: 22, to: 22 }, Ports { from: 80, to: 90 }]);
    assert_eq!(address("-i @[::1]:1").hosts, [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    assert_eq!(options("-i4").internet, Some(InternetFamily::V4));
    assert_eq!(options("-i4 -i6").internet, Some(InternetFamily::Any));
    assert_eq!(options("-i -i4").internet, Some(InternetFamily::V4));
}

/// What is printed of flags: the form is the last option's that is about them, and so is whether there are any.
#[test]
fn the_last_option_about_flags_counts() {
    let (names, hex) = (Some(FlagForm::Names), Some(FlagForm::Hex));
    for (line, form) in [
        ("-F", hex),
        ("-Fn", None),
        ("-FG", hex),
        ("+fg -F fG", hex),
        ("+fg -FG", hex),
        ("+fg -F", hex),
        ("-F fG +fg", names),
        ("-F +fg", names),
        ("-F +fG", hex),
        ("+fG -Fn", hex),
        ("-FG -fg", None),
        ("-fg -FG", hex),
        ("-J", names),
        ("-j -FG", hex),
        ("-FG -j", hex),
        ("-J -F", hex),
        ("-J +fG", hex),
        ("+fG -J", hex),
        ("-J -fG", hex),
        ("-J -FG +fg", names),
        ("-J -Fn", None),
    ] {
        assert_eq!(options(line).flags, form, "{line}");
    }
}

#[test]
fn fields_bring_what_their_options_do() {
    const ALL: &str = "DGKLMPRTacdfgiklmnopstu";
    let letters = |line: &str| {
        let mut letters = options(line).fields.unwrap().letters;
        letters.sort_unstable();
        String::from_utf8(letters).unwrap()
    };
    for (line, all) in [
        ("-F", ALL),
        ("-F0", ALL),
        ("-Fn -F", ALL),
        ("-Fn -Fc", "cnp"),
        ("-F0n", "np"),
        ("-J", ALL),
        ("-j -F", ALL),
        ("-J -Fp", ALL),
        ("-Fpm -j", ALL),
        ("-J -Fr", "pr"),
        ("-J -Fp0", "p"),
    ] {
        assert_eq!(letters(line), all, "{line}");
    }
    let info = |line: &str| {
        let info = options(line).tcp_info;
        (info.state, info.queues)
    };
    for (line, said) in [
        ("-F", (true, true)),
        ("-T -F", (true, true)),
        ("-F -T", (false, false)),
        ("-FnT -Tq", (false, true)),
        ("-Fn", (true, false)),
        ("-J", (true, true)),
        ("-J -T", (true, true)),
        ("-T -J", (true, true)),
        ("-J -FT -T", (false, false)),
    ] {
        assert_eq!(info(line), said, "{line}");
    }
    assert_eq!(options("-Fso").size_or_offset, SizeOrOffset::Offset);
    assert_eq!(options("-Fs").size_or_offset, SizeOrOffset::Either);
    assert_eq!(options("-F").size_or_offset, SizeOrOffset::Either);
    assert_eq!(options("+L2 -L").links_below, Some(0), "nothing has fewer");
}

#[test]
fn every_mistake_has_its_message() {
    for (line, message) in [
        ("-p 12x", "illegal process ID: 12x"),
        ("-p 1,^1", "PID 1 has been included and excluded."),
        ("-D /tmp", "unsupported option: -D"),
        ("-c x -c ^x", "-c^x and -cx conflict."),
        ("+c 16", "+c 16 > what system provides (15)"),
        ("-d 3-2", "-d FD range's low >= its high: 3-2"),
        ("-d 1,^2", "exclude in an include -d list: ^2"),
        ("-L5", "no number may follow -L"),
        ("-u nosuch", "can't get UID for nosuch"),
        ("-a", "no select options to AND via -a"),
        ("-o -s", "-o and -s are mutually exclusive"),
        ("-F -t", "-F and -t are mutually exclusive"),
        ("-J -j", "-J and -j are mutually exclusive"),
        ("+J", "+J is not supported"),
        ("+j", "+j is not supported"),
        ("-Fo -s", "-o and -s are mutually exclusive"),
        ("-s -J -Fo", "-o and -s are mutually exclusive"),
        ("-F -r1m%%%n", "%n illegal in -r m<fmt> when -F has been specified: \"%%%n\""),
        ("-J -r1m%n", "%n illegal in -r m<fmt> when -F has been specified: \"%n\""),
        ("-FY", "unknown field: Y"),
        ("-x", "-x must accompany +d or +D"),
        ("-X -i", "-i is useless when -X is specified."),
        ("-Z", "-Z limited to SELinux"),
        ("-i icmp", "unknown protocol name (icmp) in: -i icmp"),
        ("-i @x", "unknown host name (x) in: -i @x"),
        ("-i :x", "unknown service x in: -i :x"),
        ("-i tcp:", "unacceptable port specification in: -i tcp:"),
        ("-i 6@127.0.0.1", "IPv4 addresses are prohibited: -i 6@127.0.0.1"),
        ("-s TCP:NOPE", "unknown TCP state name: NOPE"),
        ("-s UDP:Idle", "no UDP state names available: UDP:Idle"),
        ("-q", "illegal option character: q"),
        ("-K x", "-K not followed by i (but by x)"),
    ] {
        assert_eq!(wrong(line), [message], "{line}");
    }
    assert_eq!(wrong("-p x -u nosuch -i icmp").len(), 3);
    assert_eq!(
        wrong("-J -t"),
        ["-F and -t are mutually exclusive", "-J/-j and -t are mutually exclusive"],
        "as of one that prints fields"
    );
    assert!(wrong("-i :odd")[0].starts_with("TCP=1 and UDP=2 odd ports conflict"));
}

#[test]
fn help_and_version_are_asked_for() {
    assert!(matches!(parse(words("-h"), &Host), Outcome::Help));
    assert!(matches!(parse(words("-?"), &Host), Outcome::Help));
    assert!(matches!(parse(words("-v"), &Host), Outcome::Version));
    assert!(matches!(parse(words("-F?"), &Host), Outcome::FieldHelp));
    let Outcome::Run(options, warnings) = parse(words("-S 1"), &Host) else { panic!() };
    assert_eq!(warnings, ["WARNING: -S time (1) changed to 2"]);
    assert_eq!(options.timeout.as_secs(), 2);
}

proptest! {
    #[test]
    fn any_line_is_read(line in prop::collection::vec(prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        "[-+][a-zA-Z?]{1,3}[0-9:,^@a-z]{0,6}".prop_map(String::into_bytes),
        "[0-9a-z:@^,/.\\[\\]-]{0,10}".prop_map(String::into_bytes),
    ], 0..6)) {
        let _ = parse(line, &Host);
    }
}
