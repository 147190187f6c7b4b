//! What is below IP: frames that are not IP, and VLAN tags.

use flowtally_common::flow::Unparsed;

use super::{
    Case, MACS, NO_PORTS, Packet, TCP, TCP_PORTS, UDP, UDP_PORTS, V4, V6, Vec, in_vlan, not_ip, unparsed, v4,
    v6,
};

/// ICMP echo request over IPv4, 28 bytes.
const PING: [&str; 3] = ["45 00 001c 0001 0000 40 01 0000", V4, "08 00 0000 0001 0001"];
/// TCP over IPv4, 40 bytes.
const TCP_V4: [&str; 3] = ["45 00 0028 0001 4000 40 06 0000", V4, TCP];
/// UDP over IPv6, 48 bytes.
const UDP_V6: [&str; 3] = ["60 000000 0008 11 40", V6, UDP];

/// Addresses, the tags and the type in `between`, and a packet.
fn around<'a>(between: &'a str, packet: &[&'a str]) -> Vec<&'a str> {
    [&[MACS, between], packet].concat()
}

pub(super) fn cases() -> Vec<Case> {
    [not_ip_cases(), tag_cases(), offloaded_cases()].concat()
}

fn not_ip_cases() -> Vec<Case> {
    Vec::from([
        Case::ethernet(
            "ARP request, padded to the shortest frame",
            not_ip(0x0806, 0),
            &[
                MACS,
                "0806",
                // Ethernet, IPv4, lengths 6 and 4, request; sender; target.
                "0001 0800 06 04 0001  020000000001 c0000201  000000000000 c0000202",
                "0000 0000 0000 0000 0000 0000 0000 0000 0000",
            ],
        )
        .needs(14),
        // IEEE 802.1AB: to the nearest bridge; a chassis, a port, a time to live, the end.
        Case::ethernet(
            "LLDP",
            not_ip(0x88cc, 0),
            &["0180c200000e 020000000001 88cc", "02 07 04 020000000001  04 02 07 31  06 02 0078  00 00"],
        )
        .needs(14),
        // IEEE 802.1D: the type field is a length (38), an 802.2 header with service access points 0x42 follows.
        Case::ethernet(
            "spanning tree, a length for a type and an 802.2 header",
            not_ip(0x0004, 0x42),
            &["0180c2000000 020000000001 0026", "42 42 03", "0000 00 00 00 8000020000000001 00000000"],
        )
        .needs(15),
        Case::ethernet(
            "the highest length, 802.2",
            not_ip(0x0004, 0xaa),
            &[MACS, "05ff", "aa aa 03 000000 0800"],
        )
        .needs(15),
        Case::ethernet("the lowest type", not_ip(0x0600, 0), &[MACS, "0600", "aa"]).needs(14),
        Case::ethernet("the highest type", not_ip(0xffff, 0), &[MACS, "ffff"]).needs(14),
        // One label, bottom of the stack, and an IPv4 packet that is not looked at.
        Case::ethernet(
            "MPLS",
            not_ip(0x8847, 0),
            &[MACS, "8847", "00010 1 40", "45 00 0028 0001 4000 40 06 0000", V4, TCP],
        )
        .needs(14),
        // Version and type 1, session data, session 1, 42 bytes, PPP protocol IPv4.
        Case::ethernet(
            "PPPoE session",
            not_ip(0x8864, 0),
            &[MACS, "8864", "11 00 0001 002a 0021", "45 00 0028 0001 4000 40 06 0000", V4, TCP],
        )
        .needs(14),
        Case::ethernet("PPPoE discovery", not_ip(0x8863, 0), &[MACS, "8863", "11 09 0000 0004 0101 0000"])
            .needs(14),
        Case::ethernet("no payload at all", not_ip(0x88b5, 0), &[MACS, "88b5"]).needs(14),
    ])
}

fn tag_cases() -> Vec<Case> {
    let [ping, tcp, udp] = [v4(1, [8, 0], 0), v4(6, TCP_PORTS, 38), v6(17, UDP_PORTS, 58)];
    Vec::from([
        Case::ethernet("802.1Q, VLAN 5", in_vlan(tcp, 1, 5), &around("8100 0005 0800", &TCP_V4)),
        Case::ethernet(
            "802.1Q, the highest id, priority 7 and drop eligible",
            in_vlan(udp, 1, 0xfff),
            &around("8100 ffff 86dd", &UDP_V6),
        ),
        Case::ethernet("802.1ad alone", in_vlan(ping, 1, 100), &around("88a8 0064 0800", &PING)),
        Case::ethernet(
            "the tag type before 802.1ad",
            in_vlan(ping, 1, 100),
            &around("9100 0064 0800", &PING),
        ),
        Case::ethernet(
            "QinQ: 802.1ad with VLAN 100, in it 802.1Q with VLAN 5",
            in_vlan(Packet { transport: 42, ..tcp }, 2, 5),
            &around("88a8 0064 8100 0005 0800", &TCP_V4),
        ),
        Case::ethernet(
            "a priority tag: id 0, one tag",
            in_vlan(tcp, 1, 0),
            &around("8100 e000 0800", &TCP_V4),
        ),
        Case::ethernet(
            "a priority tag in VLAN 100: the innermost id is 0",
            in_vlan(ping, 2, 0),
            &around("88a8 0064 8100 e000 0800", &PING),
        ),
        Case::ethernet(
            "four tags",
            in_vlan(Packet { transport: 50, ..tcp }, 4, 4),
            &around("88a8 0001 88a8 0002 8100 0003 8100 0004 0800", &TCP_V4),
        ),
        Case::ethernet(
            "five tags",
            unparsed(Unparsed::TooDeep),
            &around("88a8 0001 88a8 0002 88a8 0003 8100 0004 8100 0005 0800", &TCP_V4),
        ),
        Case::ethernet(
            "ARP in VLAN 5",
            in_vlan(not_ip(0x0806, 0), 1, 5),
            &[MACS, "8100 0005 0806 0001 0800"],
        )
        .needs(18),
        Case::ethernet(
            "spanning tree in VLAN 5",
            in_vlan(not_ip(0x0004, 0x42), 1, 5),
            &[MACS, "8100 0005 0026 42 42 03"],
        )
        .needs(19),
        // An 802.1Q tag's type in what is already an 802.1Q tag's id is an id.
        Case::ethernet(
            "an id that looks like a type",
            in_vlan(ping, 1, 0x800),
            &around("8100 0800 0800", &PING),
        ),
    ])
}

fn offloaded_cases() -> Vec<Case> {
    let tcp = v4(6, TCP_PORTS, 34);
    Vec::from([
        Case::ethernet("an offloaded tag", in_vlan(tcp, 1, 7), &around("0800", &TCP_V4)).tagged(7),
        Case::ethernet("an offloaded priority tag", in_vlan(tcp, 1, 0), &around("0800", &TCP_V4))
            .tagged(0xe000),
        Case::ethernet(
            "an offloaded tag, all bits set",
            in_vlan(v6(17, UDP_PORTS, 54), 1, 0xfff),
            &around("86dd", &UDP_V6),
        )
        .tagged(0xffff),
        Case::ethernet(
            "an offloaded tag outside, VLAN 5 in band",
            in_vlan(Packet { transport: 38, ..tcp }, 2, 5),
            &around("8100 0005 0800", &TCP_V4),
        )
        .tagged(100),
        Case::ethernet(
            "an offloaded tag outside, four in band",
            in_vlan(Packet { transport: 50, ..tcp }, 5, 4),
            &around("88a8 0001 88a8 0002 8100 0003 8100 0004 0800", &TCP_V4),
        )
        .tagged(100),
        Case::ethernet("ARP with an offloaded tag", in_vlan(not_ip(0x0806, 0), 1, 7), &[MACS, "0806 0001"])
            .needs(14)
            .tagged(7),
        // Linux lets a VLAN device sit on a tun device, and hands the tag over beside the packet.
        Case::ip(
            "a packet without a link layer, with an offloaded tag",
            in_vlan(v4(6, TCP_PORTS, 20), 1, 7),
            &TCP_V4,
        )
        .tagged(7),
        Case::ip(
            "ports 0 over IPv4, without a link layer",
            v4(17, NO_PORTS, 20),
            &["45 00 001c 0001 0000 40 11 0000", V4, "0000 0000 0008 0000"],
        ),
    ])
}
