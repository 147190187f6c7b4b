//! What expressions mean, which flows match, and what is refused in which words.

mod reference;

use flowtally_common::flow::{PROTOCOL_NOT_IP, VLAN_TAGS_SHIFT};
use flowtally_common::{Direction, FlowKey};
use proptest::prelude::*;

use super::*;
use crate::model::protocol::Kind;

fn names() -> Dictionary {
    Dictionary::from_tables(
        "127.0.0.1 localhost\n::1 localhost\n10.0.0.7 Printer lp\n192.0.2.1 mirror\n192.0.2.2 mirror\n",
        "ftp-data 20/tcp\nftp 21/tcp\nhttp 80/tcp www\ndomain 53/tcp\ndomain 53/udp\nntp 123/udp\n",
        "icmp 1 ICMP\nospf 89 OSPFIGP\n",
    )
}

fn parse(text: &str) -> Filter {
    Filter::parse(text, &names()).unwrap_or_else(|error| panic!("{text}: {error}")).expect("not blank")
}

fn refused(text: &str) -> String {
    Filter::parse(text, &names()).expect_err(text).to_string()
}

/// What a text means, in full.
fn check(text: &str, meaning: &str) {
    assert_eq!(parse(text).to_string(), meaning, "{text}");
}

#[test]
fn blank_is_no_filter() {
    assert_eq!(Filter::parse(" \t", &names()), Ok(None));
    assert_eq!(parse("  port 80 ").text(), "port 80");
}

#[test]
fn hosts_and_networks() {
    check("host 10.0.0.1", "host 10.0.0.1");
    check("src 10.0.0.1", "src host 10.0.0.1");
    check("dst host fd77::1", "dst host fd77::1");
    check("src or dst host 10.0.0.1", "host 10.0.0.1");
    check("dst or src net 10", "net 10.0.0.0/8");
    check("src and dst net 10.1", "src and dst net 10.1.0.0/16");
    check("net 10.1.2.0/24", "net 10.1.2.0/24");
    check("net 10/8", "net 10.0.0.0/8");
    check("net 10.1.2.3", "host 10.1.2.3");
    check("net 10.1.0.0 mask 255.255.0.0", "net 10.1.0.0/16");
    check("net 10.0.3.0 mask 255.0.255.0", "net 10.0.3.0 mask 255.0.255.0");
    check("net 0.0.0.0/0", "net 0.0.0.0/0");
    check("net ::/0", "net ::/0");
    check("ip6 net fd00::/8", "net fd00::/8");
    check("host 10.1", "net 10.1.0.0/16");
    check("host ::ffff:10.0.0.1", "host 10.0.0.1");
    check("host not 10.0.0.1", "not host 10.0.0.1");
}

#[test]
fn ports_and_protocols() {
    check("port 80", "port 80");
    check("tcp dst port 0x50", "tcp and dst port 80");
    check("src and dst port 123", "src and dst port 123");
    check("portrange 80-90", "portrange 80-90");
    check("udp src portrange 90-80", "udp and src portrange 80-90");
    check("portrange 80-80", "port 80");
    check("proto 6", "tcp");
    check("proto \\tcp", "tcp");
    check("proto tcp", "tcp");
    check("ip proto ospf", "ip and proto 89");
    check("ip6 proto 58", "ip6 and proto 58");
    check("icmp", "ip and proto 1");
    check("icmp6 or icmpv6", "(ip6 and proto 58) or (ip6 and proto 58)");
    check("sctp port 5", "sctp and port 5");
    check("arp or ether proto 0x88cc", "arp or ether proto 0x88cc");
    check("ether proto 0x0800 or ether proto \\ip6", "ip or ip6");
    check("stp", "ether proto 0x42");
    check("ether proto 0x42", "ether proto 0x42");
}

#[test]
fn names_come_from_the_tables() {
    check("host printer", "host 10.0.0.7");
    check("host localhost", "host 127.0.0.1 or host ::1");
    check("ip6 host localhost", "host ::1");
    check("not src mirror and udp", "not (src host 192.0.2.1 or src host 192.0.2.2) and udp");
    check("port domain", "port 53");
    check("port www", "tcp and port 80");
    check("udp port domain", "udp and port 53");
    check("portrange ftp-data-ftp", "portrange 20-21");
    check("portrange http-443", "portrange 80-443");
    check("port ftp-data", "tcp and port 20");
}

#[test]
fn and_and_or_bind_equally_from_left_to_right() {
    check("tcp or udp and port 53", "(tcp or udp) and port 53");
    check("tcp or (udp and port 53)", "tcp or (udp and port 53)");
    check("not tcp and udp", "not tcp and udp");
    check("not (tcp and udp)", "not (tcp and udp)");
    check("!!tcp&&!udp||arp", "(tcp and not udp) or arp");
}

#[test]
fn a_value_alone_is_of_the_kind_named_last() {
    check("port 80 or 443", "port 80 or port 443");
    check("not host 10.0.0.1 and 10.0.0.2", "not host 10.0.0.1 and host 10.0.0.2");
    check("tcp dst port 80 or http", "(tcp and dst port 80) or (tcp and dst port 80)");
    check("port (80 or not 443)", "port 80 or not port 443");
    check(
        "host 10.0.0.1 or (port 80 or 81) or 10.0.0.2",
        "host 10.0.0.1 or port 80 or port 81 or host 10.0.0.2",
    );
    check("src net 10 and (port 53 or 54)", "src net 10.0.0.0/8 and (port 53 or port 54)");
}

#[test]
fn words_that_stand_alone() {
    check("inbound or outbound", "inbound or outbound");
    check("vlan", "vlan");
    check("vlan 7 and port 80", "vlan 7 and port 80");
    check("vlan 5 or vlan 7", "vlan 5 or vlan 7");
    check("not vlan 5 and not vlan 7", "not vlan 5 and not vlan 7");
    check("ifindex 3", "ifindex 3");
    check("multicast", "dst net 224.0.0.0/4 or dst net ff00::/8");
    check("ip6 multicast", "dst net ff00::/8");
    check("broadcast or ip broadcast", "broadcast or broadcast");
}

#[test]
fn syntax_errors_say_what_is_missing_and_where() {
    let error = |text: &str, rest: &str| {
        assert_eq!(refused(text), format!("can't parse filter expression: syntax error: {rest}"), "{text}");
    };
    error("bad (", "'bad' stands alone: write 'host bad', 'net bad' or 'port bad' (column 1)");
    error(
        "10.0.0.1",
        "'10.0.0.1' stands alone: write 'host 10.0.0.1', 'net 10.0.0.1' or 'port 10.0.0.1' (column 1)",
    );
    error("port 80 (", "expected 'and', 'or' or the end, found '(' (column 9)");
    error("port", "expected a port, found the end (column 5)");
    error("tcp or", "expected a condition, found the end (column 7)");
    error("(tcp", "expected ')', found the end (column 5)");
    error("()", "expected a condition, found ')' (column 2)");
    error("tcp 80", "expected 'and', 'or', or a word such as 'host', 'net' or 'port', found '80' (column 5)");
    error("tcp udp", "expected 'and', 'or' or the end, found 'udp' (column 5)");
    error("tcp and 80", "'80' stands alone: write 'host 80', 'net 80' or 'port 80' (column 9)");
    error("(port 80) or 443", "'443' stands alone: write 'host 443', 'net 443' or 'port 443' (column 14)");
    error("src proto 6", "expected 'host', 'net', 'port', 'portrange' or a host, found 'proto' (column 5)");
    error("\u{2003}tcp ,", "expected 'and', 'or' or the end, found ',' (column 6)");
}

#[test]
fn values_that_are_none_are_named() {
    let error = |text: &str, rest: &str| {
        assert_eq!(refused(text), format!("can't parse filter expression: {rest}"), "{text}");
    };
    error("host 300.1.1.1", "'300.1.1.1' is no IPv4 address (column 6)");
    error("host 1.2.3.4.5", "'1.2.3.4.5' is no IPv4 address (column 6)");
    error("host fd::1::2", "'fd::1::2' is no IPv6 address (column 6)");
    error("src 80", "'80' is no address: for a port write 'port 80' (column 5)");
    error("ip host fd77::1", "'fd77::1' is no IPv4 address (column 9)");
    error("host 10.0.0.0/8", "'10.0.0.0/8' is no host: for a network write 'net 10.0.0.0/8' (column 6)");
    error("net 10.0.0.0/33", "'33' is no prefix length (0 to 32) (column 14)");
    error(
        "net 10.0.0.1/8",
        "'10.0.0.1/8' has bits outside its mask: write the network's own address (column 5)",
    );
    error(
        "net fd00::1/8",
        "'fd00::1/8' has bits outside its mask: write the network's own address (column 5)",
    );
    error("port 70000", "'70000' is no port (0 to 65535) (column 6)");
    error("port 080", "'080' is no port (column 6)");
    error("portrange 80-", "'80-' is no range of ports such as 80-90 (column 11)");
    error("proto 256", "'256' is no protocol (0 to 255) (column 7)");
    error("vlan 4096", "'4096' is no VLAN id (0 to 4095) (column 6)");
    error("udp port http", "service 'http' is of another protocol than udp (column 10)");
    error("port nosuch", "service 'nosuch' is not in /etc/services (column 6)");
    error(
        "port 80-90",
        "service '80-90' is not in /etc/services: a range is written 'portrange 80-90' (column 6)",
    );
    error(
        "host nosuch",
        "host 'nosuch' is not in /etc/hosts: a name server is not asked, write the address (column 6)",
    );
    error("proto nosuch", "protocol 'nosuch' is not in /etc/protocols: write its number (column 7)");
    error("ip port 80", "'ip' does not go with 'port': write 'ip and port ...' (column 1)");
    error("tcp host 10.0.0.1", "'tcp' does not go with 'host': write 'tcp and host ...' (column 1)");
    error("icmp multicast", "'icmp' does not go with 'multicast': write 'icmp and multicast ...' (column 1)");
}

#[test]
fn what_cannot_be_answered_is_named_with_the_reason() {
    let part = |text: &str, part: &str, reason: &str| {
        let error = refused(text);
        let expected = format!(
            "can't parse filter expression: '{part}' cannot be answered: {reason}. A filter can ask for host, "
        );
        assert!(error.starts_with(&expected), "{error}");
    };
    let link = "link-layer addresses are not kept";
    let payload = "lengths and contents of single packets are not kept";
    part("ether host 01:02:03:04:05:06", "ether host 01:02:03:04:05:06", link);
    part("tcp and ether src 1:2:3:4:5:6 or udp", "ether src 1:2:3:4:5:6", link);
    part("ether multicast", "ether multicast", link);
    part("gateway foo", "gateway foo", link);
    part("less 100", "less 100", payload);
    part("len > 100", "len > 100", payload);
    part("tcp[13] & 2 != 0", "tcp[13] & 2 != 0", payload);
    part("udp or tcp[tcpflags] = 2", "tcp[tcpflags] = 2", payload);
    part("tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", payload);
    part("(udp and ip[(2)] = 5) or tcp", "ip[(2)] = 5", payload);
    part("mpls 100", "mpls 100", "what a tunnel or a label carries is not looked into");
    part("arp host 10.0.0.1", "arp host 10.0.0.1", "addresses inside frames that are not IP are not kept");
    part("ip6 broadcast", "ip6 broadcast", "IPv6 has no broadcast, only multicast");
    part("net loopback", "loopback", "names of networks are not looked up, write its address");
    part("vlan 5 and vlan 7", "vlan 7", "of several VLAN tags only the innermost is kept");
    part("ip protochain 6", "protochain 6", "write 'proto': it is the protocol after all extension headers");
}

#[test]
fn there_is_a_bound() {
    assert!(refused(&"(".repeat(101)).contains("more than 100 levels"));
    assert!(refused(&"not ".repeat(500)).contains("more than 100 levels"));
    assert!(refused(&"tcp or ".repeat(600)).contains("more than 1024 words"));
}

/// A flow of TCP from 10.0.0.1:40000 to 10.0.0.2:80.
fn flow() -> FlowKey {
    between("10.0.0.1", 40_000, "10.0.0.2", 80)
}

fn between(source: &str, source_port: u16, destination: &str, destination_port: u16) -> FlowKey {
    let octets = |text: &str| match text.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    FlowKey {
        src: octets(source),
        dst: octets(destination),
        src_port: source_port.to_be_bytes(),
        dst_port: destination_port.to_be_bytes(),
        ifindex: 3,
        protocol: 6,
        direction: Direction::Egress as u8,
        vlan: 0,
    }
}

fn matches(filter: &Filter, key: &FlowKey) -> bool {
    let kind = Kind::of(key.protocol, u16::from_be_bytes(key.src_port), u16::from_be_bytes(key.dst_port));
    let broadcast = Ipv4Addr::new(10, 0, 0, 255).to_ipv6_mapped();
    filter.matches(key, kind, |address| address == broadcast)
}

fn check_match(key: &FlowKey, matching: &[&str], not_matching: &[&str]) {
    for text in matching {
        assert!(matches(&parse(text), key), "{text} should match {key:?}");
    }
    for text in not_matching {
        assert!(!matches(&parse(text), key), "{text} should not match {key:?}");
    }
}

#[test]
fn fields_are_compared() {
    check_match(
        &flow(),
        &[
            "tcp",
            "ip",
            "port 80",
            "src port 40000",
            "dst port 80",
            "portrange 70-90",
            "host 10.0.0.2",
            "src 10.0.0.1",
            "src and dst net 10.0.0.0/24",
            "outbound",
            "ifindex 3",
            "proto 6",
            "not udp",
            "net 0.0.0.0/0",
            "net 10.0.0.0 mask 255.0.0.254",
            "tcp port 80 and host 10.0.0.1",
        ],
        &[
            "udp",
            "ip6",
            "port 81",
            "src port 80",
            "src and dst port 80",
            "dst 10.0.0.1",
            "inbound",
            "ifindex 4",
            "src and dst host 10.0.0.1",
            "net ::/0",
            "vlan",
            "arp",
            "multicast",
            "broadcast",
            "ether proto 0x42",
        ],
    );
    check_match(
        &FlowKey { protocol: 17, ..between("fd77::1", 53, "ff02::fb", 5353) },
        &["ip6", "multicast", "ip6 multicast", "net ::/0", "udp port 53", "src net fd00::/8"],
        &["ip", "ip multicast", "net 0.0.0.0/0", "tcp port 53", "broadcast", "icmp6"],
    );
    check_match(&between("10.0.0.1", 1, "10.0.0.255", 2), &["broadcast"], &["multicast"]);
    check_match(&between("10.0.0.1", 1, "255.255.255.255", 2), &["ip broadcast"], &["multicast"]);
}

#[test]
fn type_and_code_of_icmp_are_no_ports_and_fragments_have_none() {
    check_match(
        &FlowKey { protocol: 1, ..between("10.0.0.1", 8, "10.0.0.2", 0) },
        &["icmp"],
        &["port 8", "port 0"],
    );
    check_match(
        &between("10.0.0.1", 0, "10.0.0.2", 0),
        &["tcp", "not port 80"],
        &["port 0", "portrange 0-65535"],
    );
}

#[test]
fn a_tag_hides_nothing() {
    let tagged = |tags: u16, id| FlowKey { vlan: tags << VLAN_TAGS_SHIFT | id, ..flow() };
    check_match(&tagged(1, 7), &["vlan", "vlan 7", "port 80", "vlan 7 and port 80"], &["vlan 8", "vlan 0"]);
    check_match(&tagged(2, 7), &["vlan 7"], &[]);
    check_match(&tagged(1, 0), &["vlan", "vlan 0"], &[]);
    check_match(&tagged(0, 0), &[], &["vlan", "vlan 0"]);
}

#[test]
fn frames_that_are_not_ip_have_no_addresses() {
    let frame = |source_port: u16, destination_port: u16| FlowKey {
        protocol: PROTOCOL_NOT_IP,
        ..between("::", source_port, "::", destination_port)
    };
    check_match(
        &frame(0x0806, 0),
        &["arp", "not ip", "ether proto 0x806"],
        &["ip", "ip6", "host ::", "net ::/0"],
    );
    check_match(&frame(4, 0x42), &["stp", "ether proto 0x42"], &["arp"]);
    check_match(&frame(0, 1), &["not ip and not ip6"], &["arp", "proto 255"]);
    check_match(&frame(0, 0), &["proto 255"], &[]);
}

fn any_end() -> impl Strategy<Value = PacketEnd> {
    prop::sample::select(vec![PacketEnd::Source, PacketEnd::Destination, PacketEnd::Either, PacketEnd::Both])
}

/// Networks of which addresses of [`any_key`] are in some.
fn any_network() -> impl Strategy<Value = Network> {
    let v4 = (any::<[u8; 4]>(), 0..=32_u32).prop_map(|([a, ..], prefix)| {
        let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - prefix).unwrap_or(0));
        Network::v4(Ipv4Addr::new(10, 0, 0, a % 4), mask).0
    });
    let holes =
        (any::<u32>(), any::<u32>()).prop_map(|(address, mask)| Network::v4(address.into(), mask.into()).0);
    let v6 = (0..4_u16, 0..=128_u32)
        .prop_map(|(last, prefix)| Network::v6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last), prefix).0);
    prop_oneof![v4, holes, v6]
}

fn any_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        prop::sample::select(vec![IpFamily::V4, IpFamily::V6]).prop_map(Test::Family),
        prop::sample::select(vec![1_u8, 6, 17, 58, 132, 200]).prop_map(Test::Protocol),
        (0x0600_u16..)
            .prop_filter("is another test", |number| !matches!(number, 0x0800 | 0x86dd | 0x8100 | 0x88a8))
            .prop_map(Test::EtherType),
        any::<u8>().prop_map(Test::ServicePoint),
        (any_end(), any_network()).prop_map(|(end, network)| Test::Address(end, network)),
        (any_end(), 0..4_u16, 0..4_u16).prop_map(|(end, from, more)| Test::Port(end, from..=from + more)),
        prop::option::of(0..=4095_u16).prop_map(Test::Vlan),
        prop::sample::select(Direction::BOTH.to_vec()).prop_map(Test::Direction),
        any::<u32>().prop_map(Test::Interface),
        Just(Test::Broadcast),
    ]
}

fn any_expression(test: impl Strategy<Value = Test> + 'static) -> impl Strategy<Value = Expression> {
    let joined =
        |left: Expression, right: Expression, all| if all { left.and(right) } else { left.or(right) };
    test.prop_map(Expression::from).prop_recursive(6, 40, 2, move |inner| {
        prop_oneof![
            inner.clone().prop_map(Expression::not),
            (inner.clone(), inner, any::<bool>())
                .prop_map(move |(left, right, all)| joined(left, right, all)),
        ]
    })
}

/// Whether a conjunction asks for several tags, which is refused.
fn has_several_tags(expression: &Expression) -> bool {
    let is_vlan = |one: &&Expression| matches!(one, Expression::Test(Test::Vlan(_)));
    match expression {
        Expression::Test(_) => false,
        Expression::Not(inner) => has_several_tags(inner),
        Expression::All(all) => all.iter().filter(is_vlan).count() > 1 || all.iter().any(has_several_tags),
        Expression::Any(any) => any.iter().any(has_several_tags),
    }
}

fn any_key() -> impl Strategy<Value = FlowKey> {
    let address = || prop::sample::select(vec!["10.0.0.1", "10.0.0.2", "224.0.0.1", "fd77::1", "fd77::2"]);
    let protocol = prop::sample::select(vec![1_u8, 6, 17, 58, 132]);
    (address(), 0..6_u16, address(), 0..6_u16, protocol, any::<bool>()).prop_map(
        |(source, source_port, destination, destination_port, protocol, ingress)| FlowKey {
            protocol,
            direction: u8::from(!ingress),
            ..between(source, source_port, destination, destination_port)
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_means_the_same(expression in any_expression(any_test())) {
        prop_assume!(!has_several_tags(&expression));
        let text = expression.to_string();
        let parsed = Filter::parse(&text, &Dictionary::default());
        prop_assert_eq!(parsed.map(|filter| filter.unwrap().expression().cloned()), Ok(Some(expression)), "{}", text);
    }

    #[test]
    fn parts_decide_about_the_whole(
        left in any_expression(any_test()), right in any_expression(any_test()), key in any_key()
    ) {
        let is = |expression: &Expression| {
            matches(&Filter { text: String::new(), judge: Judge::Flows(expression.clone()), because: None }, &key)
        };
        prop_assert_eq!(is(&left.clone().not()), !is(&left));
        prop_assert_eq!(is(&left.clone().and(right.clone())), is(&left) && is(&right));
        prop_assert_eq!(is(&left.clone().or(right.clone())), is(&left) || is(&right));
    }

    #[test]
    fn networks_contain_what_agrees_in_the_mask(network in any_network(), bits: u128, flip in 0..128_u32) {
        let inside = Ipv6Addr::from_bits(network.address().to_bits() | (bits & !network.mask().to_bits()));
        let same_family = inside.to_ipv4_mapped().is_some() == (network.family() == IpFamily::V4);
        prop_assert_eq!(network.contains(inside), same_family);
        let flipped = Ipv6Addr::from_bits(inside.to_bits() ^ (1 << flip));
        if network.mask().to_bits() & (1 << flip) != 0 {
            prop_assert!(!network.contains(flipped));
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(
        text in prop_oneof![
            "\\PC{0,40}",
            prop::collection::vec(
                prop::sample::select(vec![
                    "src", "dst", "host", "net", "port", "portrange", "proto", "tcp", "ip", "ip6", "ether", "and", "or",
                    "not", "(", ")", "!", "/", "80", "80-90", "10.0.0.0", "fd77::1", "mask", "255.0.0.0", "vlan", "http",
                    "localhost", "multicast", "broadcast", "[", "less", "arp", "\\tcp",
                ]),
                0..12,
            ).prop_map(|words| words.join(" ")),
        ]
    ) {
        if let Ok(Some(filter)) = Filter::parse(&text, &names()) {
            let again = Filter::parse(&filter.to_string(), &names());
            prop_assert_eq!(again.map(|again| again.unwrap().expression().cloned()), Ok(filter.expression().cloned()));
        }
    }
}
