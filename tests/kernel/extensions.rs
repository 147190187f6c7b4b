//! Headers between the IP header and the ports: options, extension headers, fragments.

use harness::{
    Flow, Way,
    frames::{
        IPV4, IPV6, MORE_FRAGMENTS, authentication, ethernet, extension, fragment, icmp, ipv4_with, ipv6,
        opaque,
        protocol::{AH, DESTINATION, FRAGMENT, HOP_BY_HOP, ICMP, ROUTING, TCP, UDP},
        tcp, udp,
    },
};

/// Of the first fragment, in units of eight bytes.
const SECOND: u16 = 150;

cases! {
    options_of_one_word: |way| ip4(way, &[1; 4], 0, &udp(way, 100)) => Flow::v4("udp").ports();
    options_of_all_ten_words: |way| ip4(way, &[1; 40], 0, &udp(way, 100)) => Flow::v4("udp").ports();
    options_before_icmp: |way| ethernet(way, IPV4, &ipv4_with(way, ICMP, &[1; 8], 0, &icmp(3, 1, 64)))
        => Flow::v4("icmp").with_ports(3, 1);

    first_fragment_v4: |way| ip4(way, &[], MORE_FRAGMENTS, &udp(way, 1192)) => Flow::v4("udp").ports();
    later_fragment_v4: |way| ip4(way, &[], MORE_FRAGMENTS | SECOND, &opaque(800)) => Flow::v4("udp");
    last_fragment_v4: |way| ip4(way, &[], SECOND, &opaque(3)) => Flow::v4("udp");
    later_fragment_with_options: |way| ip4(way, &[1; 12], SECOND, &opaque(800)) => Flow::v4("udp");
    later_fragment_of_icmp: |way| ethernet(way, IPV4, &ipv4_with(way, ICMP, &[], SECOND, &opaque(100)))
        => Flow::v4("icmp");
    dont_fragment: |way| ip4(way, &[], 0x4000, &udp(way, 100)) => Flow::v4("udp").ports();

    hop_by_hop: |way| ip6(way, HOP_BY_HOP, &extension(UDP, 0, &udp(way, 100))) => Flow::v6("udp").ports();
    routing: |way| ip6(way, ROUTING, &extension(TCP, 2, &tcp(way, 100))) => Flow::v6("tcp").ports();
    destination_options: |way| ip6(way, DESTINATION, &extension(UDP, 1, &udp(way, 100))) => Flow::v6("udp").ports();
    authenticated: |way| ip6(way, AH, &authentication(TCP, &tcp(way, 100))) => Flow::v6("tcp").ports();
    unfragmented_v6: |way| ip6(way, FRAGMENT, &fragment(UDP, 0, false, &udp(way, 100))) => Flow::v6("udp").ports();
    first_fragment_v6: |way| ip6(way, FRAGMENT, &fragment(UDP, 0, true, &udp(way, 1192))) => Flow::v6("udp").ports();
    later_fragment_v6: |way| ip6(way, FRAGMENT, &fragment(UDP, SECOND, true, &opaque(800))) => Flow::v6("udp");
    last_fragment_v6: |way| ip6(way, FRAGMENT, &fragment(UDP, SECOND, false, &opaque(3))) => Flow::v6("udp");
    // What follows in a later fragment is data, whatever it looks like.
    later_fragment_of_an_extension: |way| ip6(way, FRAGMENT, &fragment(DESTINATION, SECOND, false, &udp(way, 100)))
        => Flow::v6("60");

    every_extension_at_once: |way| {
        let inner = extension(UDP, 0, &udp(way, 100));
        let authenticated = authentication(DESTINATION, &inner);
        let fragmented = fragment(AH, 0, true, &authenticated);
        let routed = extension(FRAGMENT, 2, &fragmented);
        let options = extension(ROUTING, 1, &routed);
        ip6(way, HOP_BY_HOP, &extension(DESTINATION, 0, &options))
    } => Flow::v6("udp").ports();
    long_extension: |way| ip6(way, HOP_BY_HOP, &extension(UDP, 100, &udp(way, 100))) => Flow::v6("udp").ports();
    eight_extensions: |way| ip6(way, DESTINATION, &chain(8, &udp(way, 100))) => Flow::v6("udp").ports();
    more_extensions_than_are_followed: |way| ip6(way, DESTINATION, &chain(9, &udp(way, 100)))
        => Flow::frames("unparsed");
}

fn ip4(way: Way, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(way, IPV4, &ipv4_with(way, UDP, options, fragment, payload))
}

fn ip6(way: Way, next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(way, IPV6, &ipv6(way, next, payload))
}

/// So many destination options headers, then UDP.
fn chain(count: usize, datagram: &[u8]) -> Vec<u8> {
    let last = extension(UDP, 0, datagram);
    (1..count).fold(last, |rest, _| extension(DESTINATION, 0, &rest))
}
