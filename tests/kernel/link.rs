//! What is around and instead of IP: VLAN tags, padding, other `EtherType`s, 802.2.

use harness::{
    Flow,
    frames::{DOT1AD, DOT1Q, IPV4, IPV6, ethernet, ipv4, ipv6, opaque, protocol::UDP, tagged, udp},
};

cases! {
    tag_802_1q_v4: |way| tagged(way, &[(DOT1Q, 7)], IPV4, &ipv4(way, UDP, &udp(way, 100)))
        => Flow::v4("udp").ports().vlan(7);
    tag_802_1q_v6: |way| tagged(way, &[(DOT1Q, 4094)], IPV6, &ipv6(way, UDP, &udp(way, 100)))
        => Flow::v6("udp").ports().vlan(4094);
    tag_802_1ad_v4: |way| tagged(way, &[(DOT1AD, 9)], IPV4, &ipv4(way, UDP, &udp(way, 100)))
        => Flow::v4("udp").ports().vlan(9);
    tag_802_1ad_v6: |way| tagged(way, &[(DOT1AD, 9)], IPV6, &ipv6(way, UDP, &udp(way, 100)))
        => Flow::v6("udp").ports().vlan(9);
    two_tags_v4: |way| tagged(way, &[(DOT1AD, 9), (DOT1Q, 7)], IPV4, &ipv4(way, UDP, &udp(way, 100)))
        => Flow::v4("udp").ports().vlan(7);
    two_tags_v6: |way| tagged(way, &[(DOT1AD, 9), (DOT1Q, 7)], IPV6, &ipv6(way, UDP, &udp(way, 100)))
        => Flow::v6("udp").ports().vlan(7);
    two_tags_of_the_same_type: |way| tagged(way, &[(DOT1Q, 9), (DOT1Q, 7)], IPV4, &ipv4(way, UDP, &udp(way, 100)))
        => Flow::v4("udp").ports().vlan(7);
    four_tags: |way| {
        let tags = [(DOT1AD, 1), (DOT1Q, 2), (DOT1Q, 3), (DOT1Q, 4)];
        tagged(way, &tags, IPV4, &ipv4(way, UDP, &udp(way, 100)))
    } => Flow::v4("udp").ports().vlan(4);
    // Both ways: one of the tags is taken off on receive.
    more_tags_than_are_followed: |way| tagged(way, &[(DOT1Q, 5); 6], IPV4, &ipv4(way, UDP, &udp(way, 100)))
        => Flow::frames("unparsed");
    priority_tag: |way| tagged(way, &[(DOT1Q, 0xe000)], IPV4, &ipv4(way, UDP, &udp(way, 100)))
        => Flow::v4("udp").ports();
    arp_in_a_vlan: |way| tagged(way, &[(DOT1Q, 7)], 0x0806, &opaque(28)) => Flow::frames("arp").vlan(7);

    padded_v4: |way| padded(ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 1)))) => Flow::v4("udp").ports();
    padded_without_transport_payload: |way| padded(ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 0))))
        => Flow::v4("udp").ports();
    padded_v6: |way| {
        let mut frame = ethernet(way, IPV6, &ipv6(way, UDP, &udp(way, 1)));
        frame.extend([0; 9]);
        frame
    } => Flow::v6("udp").ports();

    arp: |way| ethernet(way, 0x0806, &opaque(28)) => Flow::frames("arp");
    lldp: |way| ethernet(way, 0x88cc, &opaque(46)) => Flow::frames("lldp");
    // IEEE 802 local experimental.
    unknown_ethertype: |way| ethernet(way, 0x88b5, &opaque(46)) => Flow::frames("ethertype-0x88b5");
    spanning_tree: |way| ethernet(way, 38, &[&[0x42, 0x42, 3][..], &opaque(35)].concat()) => Flow::frames("stp");
    subnetwork_access: |way| ethernet(way, 46, &[&[0xaa, 0xaa, 3][..], &opaque(43)].concat()) => Flow::frames("snap");
    nothing_but_a_header: |way| ethernet(way, 0x88b5, &[]) => Flow::frames("ethertype-0x88b5");
}

/// Padded to the shortest frame that Ethernet allows (IEEE 802.3, 4.2.3.3), less its check sequence.
fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    const SHORTEST: usize = 60;
    assert!(frame.len() < SHORTEST, "nothing to pad");
    frame.resize(SHORTEST, 0);
    frame
}
