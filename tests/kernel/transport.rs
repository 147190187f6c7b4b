//! Every protocol above IP: with ports, with type and code, and by number.

use harness::{
    Flow, Way,
    frames::{
        IPV4, IPV6, ethernet, icmp, ipv4, ipv6, opaque, ports,
        protocol::{AH, DCCP, ESP, GRE, ICMP, ICMPV6, IGMP, NO_NEXT, SCTP, TCP, UDP, UDP_LITE},
        tcp, udp,
    },
};

cases! {
    udp_v4: |way| ip4(way, UDP, &udp(way, 100)) => Flow::v4("udp").ports();
    udp_v6: |way| ip6(way, UDP, &udp(way, 100)) => Flow::v6("udp").ports();
    tcp_v4: |way| ip4(way, TCP, &tcp(way, 1000)) => Flow::v4("tcp").ports();
    tcp_v6: |way| ip6(way, TCP, &tcp(way, 1000)) => Flow::v6("tcp").ports();
    udp_lite_v4: |way| ip4(way, UDP_LITE, &ports(way, 50)) => Flow::v4("udplite").ports();
    udp_lite_v6: |way| ip6(way, UDP_LITE, &ports(way, 50)) => Flow::v6("udplite").ports();
    sctp_v4: |way| ip4(way, SCTP, &ports(way, 60)) => Flow::v4("sctp").ports();
    sctp_v6: |way| ip6(way, SCTP, &ports(way, 60)) => Flow::v6("sctp").ports();
    dccp_v4: |way| ip4(way, DCCP, &ports(way, 70)) => Flow::v4("dccp").ports();
    dccp_v6: |way| ip6(way, DCCP, &ports(way, 70)) => Flow::v6("dccp").ports();

    icmp_echo: |way| ip4(way, ICMP, &icmp(way.ends(8, 0).0, 0, 64)) => Flow::v4("icmp").with_ports(8, 0);
    icmp_unreachable: |way| ip4(way, ICMP, &icmp(3, 13, 64)) => Flow::v4("icmp").with_ports(3, 13);
    icmpv6_echo: |way| ip6(way, ICMPV6, &icmp(way.ends(128, 129).0, 0, 64)) => Flow::v6("icmpv6").with_ports(128, 0);
    icmpv6_too_big: |way| ip6(way, ICMPV6, &icmp(2, 0, 64)) => Flow::v6("icmpv6").with_ports(2, 0);

    igmp: |way| ip4(way, IGMP, &opaque(8)) => Flow::v4("igmp");
    gre_v4: |way| ip4(way, GRE, &opaque(44)) => Flow::v4("gre");
    gre_v6: |way| ip6(way, GRE, &opaque(44)) => Flow::v6("gre");
    esp_v4: |way| ip4(way, ESP, &opaque(80)) => Flow::v4("esp");
    esp_v6: |way| ip6(way, ESP, &opaque(80)) => Flow::v6("esp");
    // In IPv4 it is a protocol like any other; in IPv6 an extension header.
    ah_v4: |way| ip4(way, AH, &opaque(80)) => Flow::v4("ah");
    no_next_header: |way| ip6(way, NO_NEXT, &[]) => Flow::v6("ipv6-nonxt");
    unknown_200_v4: |way| ip4(way, 200, &opaque(33)) => Flow::v4("200");
    unknown_200_v6: |way| ip6(way, 200, &opaque(33)) => Flow::v6("200");
    // The number that frames without IP have inside the program.
    reserved_255_v4: |way| ip4(way, 255, &opaque(33)) => Flow::v4("255");
    reserved_255_v6: |way| ip6(way, 255, &opaque(33)) => Flow::v6("255");
    without_payload_v4: |way| ip4(way, 200, &[]) => Flow::v4("200");
    without_payload_v6: |way| ip6(way, 200, &[]) => Flow::v6("200");
}

fn ip4(way: Way, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(way, IPV4, &ipv4(way, protocol, payload))
}

fn ip6(way: Way, next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(way, IPV6, &ipv6(way, next, payload))
}
