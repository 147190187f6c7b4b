//! Frames that end too early or contradict themselves: counted all the same, in a row of their own.

use harness::{
    Flow, Way,
    frames::{
        DOT1Q, IPV4, IPV6, ethernet, extension, icmp, ipv4, ipv6, ports,
        protocol::{HOP_BY_HOP, ICMP, ICMPV6, SCTP, TCP, UDP},
        tagged, tcp, udp,
    },
};

cases! {
    ethernet_header_alone_v4: |way| ethernet(way, IPV4, &[]) => unparsed();
    ethernet_header_alone_v6: |way| ethernet(way, IPV6, &[]) => unparsed();
    half_a_header_v4: |way| ethernet(way, IPV4, &datagram4(way)[..10]) => unparsed();
    half_a_header_v6: |way| ethernet(way, IPV6, &datagram6(way)[..30]) => unparsed();
    half_a_header_in_a_vlan: |way| tagged(way, &[(DOT1Q, 7)], IPV4, &datagram4(way)[..10]) => unparsed();
    total_length_beyond_the_frame: |way| ethernet(way, IPV4, &datagram4(way)[..100]) => unparsed();
    one_byte_short_v4: |way| ethernet(way, IPV4, datagram4(way).split_last().unwrap().1) => unparsed();
    one_byte_short_v6: |way| ethernet(way, IPV6, datagram6(way).split_last().unwrap().1) => unparsed();
    payload_length_beyond_the_frame: |way| ethernet(way, IPV6, &datagram6(way)[..100]) => unparsed();

    version_5_as_v4: |way| ethernet(way, IPV4, &with(datagram4(way), 0, 0x55)) => unparsed();
    version_6_as_v4: |way| ethernet(way, IPV4, &datagram6(way)) => unparsed();
    version_4_as_v6: |way| ethernet(way, IPV6, &datagram4(way)) => unparsed();
    header_length_below_five_words: |way| ethernet(way, IPV4, &with(datagram4(way), 0, 0x44)) => unparsed();
    header_length_beyond_the_packet: |way| ethernet(way, IPV4, &with(ipv4(way, UDP, &[]), 0, 0x4f)) => unparsed();
    total_length_below_the_header: |way| ethernet(way, IPV4, &with(datagram4(way), 3, 19)) => unparsed();

    no_room_for_ports: |way| ethernet(way, IPV4, &ipv4(way, TCP, &tcp(way, 0)[..3])) => unparsed();
    no_room_for_ports_but_padding: |way| {
        let mut frame = ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 0)[..2]));
        frame.resize(60, 0);
        frame
    } => unparsed();
    no_room_for_ports_v6: |way| ethernet(way, IPV6, &ipv6(way, SCTP, &ports(way, 3))) => unparsed();
    no_room_for_the_code: |way| ethernet(way, IPV4, &ipv4(way, ICMP, &icmp(8, 0, 2)[..1])) => unparsed();
    no_room_for_the_code_v6: |way| ethernet(way, IPV6, &ipv6(way, ICMPV6, &icmp(128, 0, 2)[..1])) => unparsed();
    extension_beyond_the_packet: |way| {
        ethernet(way, IPV6, &ipv6(way, HOP_BY_HOP, &with(extension(UDP, 0, &udp(way, 10)), 1, 200)))
    } => unparsed();
    extension_cut_off: |way| ethernet(way, IPV6, &ipv6(way, HOP_BY_HOP, &[UDP, 0, 0])) => unparsed();
}

fn unparsed() -> Flow {
    Flow::frames("unparsed")
}

fn datagram4(way: Way) -> Vec<u8> {
    ipv4(way, UDP, &udp(way, 100))
}

fn datagram6(way: Way) -> Vec<u8> {
    ipv6(way, UDP, &udp(way, 100))
}

/// The same with one byte changed.
fn with(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    bytes[at] = byte;
    bytes
}
