//! IPv4 (RFC 791).

use flowtally_common::flow::{ICMP_LATER_FRAGMENT, Unparsed};

use super::{Case, MACS, NO_PORTS, TCP, TCP_PORTS, UDP, UDP_PORTS, V4, Vec, unparsed, v4};

pub(super) fn cases() -> Vec<Case> {
    [plain(), options(), protocols(), fragments()].concat()
}

fn plain() -> Vec<Case> {
    Vec::from([
        // Version and length, service, total length, id, flags and offset, hops, protocol, checksum.
        Case::ethernet(
            "IPv4 TCP, don't fragment",
            v4(6, TCP_PORTS, 34),
            &[MACS, "0800", "45 00 0028 0001 4000 40 06 0000", V4, TCP],
        ),
        Case::ethernet(
            "IPv4 UDP",
            v4(17, UDP_PORTS, 34),
            &[MACS, "0800", "45 00 001c 0001 0000 40 11 0000", V4, UDP],
        ),
        Case::ip(
            "IPv4 TCP without a link layer",
            v4(6, TCP_PORTS, 20),
            &["45 00 0028 0001 4000 40 06 0000", V4, TCP],
        ),
        Case::ip(
            "IPv4 UDP without a link layer",
            v4(17, UDP_PORTS, 20),
            &["45 00 001c 0001 0000 40 11 0000", V4, UDP],
        ),
        Case::ethernet(
            "IPv4 UDP with payload",
            v4(17, UDP_PORTS, 34),
            &[MACS, "0800", "45 00 0400 0001 0000 40 11 0000", V4, "3039 0035 03ec 0000"],
        )
        .payload(1024 - 28),
        Case::ethernet(
            "IPv4 UDP, padded to the shortest frame",
            v4(17, UDP_PORTS, 34),
            &[
                MACS,
                "0800",
                "45 00 001c 0001 0000 40 11 0000",
                V4,
                UDP,
                "ffff ffff ffff ffff ffff ffff ffff ffff ffff",
            ],
        )
        .needs(42),
        // RFC 3514 uses the reserved bit; whoever sets it has not fragmented anything.
        Case::ethernet(
            "IPv4 UDP, reserved flag",
            v4(17, UDP_PORTS, 34),
            &[MACS, "0800", "45 00 001c 0001 8000 40 11 0000", V4, UDP],
        ),
        Case::ethernet(
            "IPv4 TCP, service, hops and id of all ones",
            v4(6, TCP_PORTS, 34),
            &[MACS, "0800", "45 ff 0028 ffff 4000 ff 06 ffff", V4, TCP],
        ),
        // Only the ports are read of a header that is cut by the IP length.
        Case::ethernet(
            "IPv4 UDP of four bytes",
            v4(17, UDP_PORTS, 34),
            &[MACS, "0800", "45 00 0018 0001 0000 40 11 0000", V4, "3039 0035"],
        ),
    ])
}

fn options() -> Vec<Case> {
    Vec::from([
        // Router alert (RFC 2113).
        Case::ethernet(
            "IPv4 UDP behind an option",
            v4(17, UDP_PORTS, 38),
            &[MACS, "0800", "46 00 0020 0001 0000 40 11 0000", V4, "94 04 0000", UDP],
        ),
        // No-operations that look like ports.
        Case::ethernet(
            "IPv4 TCP behind 40 bytes of options",
            v4(6, TCP_PORTS, 74),
            &[
                MACS,
                "0800",
                "4f 00 0050 0001 4000 40 06 0000",
                V4,
                "01010101 01010101 01010101 01010101 01010101 01010101 01010101 01010101 01010101 01010100",
                TCP,
            ],
        ),
        Case::ip(
            "IPv4 TCP behind an option, without a link layer",
            v4(6, TCP_PORTS, 24),
            &["46 00 002c 0001 4000 40 06 0000", V4, "01010100", TCP],
        ),
        Case::ethernet(
            "IPv4 options and nothing behind",
            v4(253, NO_PORTS, 0),
            &[MACS, "0800", "46 00 0018 0001 0000 40 fd 0000", V4, "01010100"],
        ),
    ])
}

fn protocols() -> Vec<Case> {
    /// `body` as the given protocol, 20 bytes or more behind the header.
    fn carried(name: &'static str, protocol: u8, ports: [u16; 2], header: &str, body: &str) -> Case {
        Case::ethernet(name, v4(protocol, ports, 0), &[MACS, "0800", header, V4, body])
    }
    Vec::from([
        // RFC 3828: the length field is the checksum's coverage.
        carried("IPv4 UDP-Lite", 136, UDP_PORTS, "45 00 001c 0001 0000 40 88 0000", UDP),
        // RFC 9260: ports, tag, checksum.
        carried(
            "IPv4 SCTP",
            132,
            [5000, 3868],
            "45 00 0020 0001 0000 40 84 0000",
            "1388 0f1c 00000001 00000000",
        ),
        // RFC 4340.
        carried(
            "IPv4 DCCP",
            33,
            [5001, 5002],
            "45 00 0024 0001 0000 40 21 0000",
            "1389 138a 03 00 0000 01 000000 00000001",
        ),
        // RFC 792: type, code, checksum, id, sequence number.
        carried("ICMP echo request", 1, [8, 0], "45 00 001c 0001 0000 40 01 0000", "08 00 0000 3039 0001"),
        carried(
            "ICMP port unreachable, the packet it is about not being looked at",
            1,
            [3, 3],
            "45 00 0038 0001 0000 40 01 0000",
            "03 03 0000 00000000  45 00 001c 0001 0000 40 11 0000 c6336402 c0000201 0035 3039 0008 0000",
        ),
        carried("ICMP of two bytes", 1, [11, 1], "45 00 0016 0001 0000 40 01 0000", "0b 01"),
        // RFC 2236, version 2 report.
        carried("IGMP", 2, NO_PORTS, "45 00 001c 0001 0000 01 02 0000", "16 00 0000 e00000fb"),
        // RFC 2784: no flags, IPv4 inside.
        carried(
            "GRE",
            47,
            NO_PORTS,
            "45 00 0034 0001 0000 40 2f 0000",
            "0000 0800 45 00 001c 0001 0000 40 11 0000 0a000001 0a000002 3039 0035 0008 0000",
        ),
        carried(
            "IPv4 in IPv4",
            4,
            NO_PORTS,
            "45 00 0030 0001 0000 40 04 0000",
            "45 00 001c 0001 0000 40 11 0000 0a000001 0a000002 3039 0035 0008 0000",
        ),
        // RFC 4303: security parameters index, sequence number.
        carried("IPv4 ESP", 50, NO_PORTS, "45 00 001c 0001 0000 40 32 0000", "11223344 00000001"),
        // RFC 4302: next header TCP, 12 bytes of value; in IPv4 it is a protocol like any other.
        carried(
            "IPv4 AH is a protocol",
            51,
            NO_PORTS,
            "45 00 0040 0001 0000 40 33 0000",
            "06 04 0000 11223344 00000001 000000000000000000000000  3039 01bb 00000001 00000002 50 10 ffff 0000 0000",
        ),
        carried("IPv4 protocol 200", 200, NO_PORTS, "45 00 0018 0001 0000 40 c8 0000", "3039 01bb"),
        // Neither an EtherType nor a reason in the ports, so neither a frame that is not IP nor an unparsed one.
        carried("IPv4 protocol 255", 255, NO_PORTS, "45 00 0018 0001 0000 40 ff 0000", "0000 0001"),
        // Numbers that are extension headers in IPv6 only.
        carried("IPv4 protocol 0", 0, NO_PORTS, "45 00 001c 0001 0000 40 00 0000", "06 00 0000 00000000"),
        carried("IPv4 protocol 43", 43, NO_PORTS, "45 00 001c 0001 0000 40 2b 0000", "06 00 0000 00000000"),
        carried("IPv4 protocol 44", 44, NO_PORTS, "45 00 001c 0001 0000 40 2c 0000", "06 00 0000 00000000"),
        carried("IPv4 protocol 60", 60, NO_PORTS, "45 00 001c 0001 0000 40 3c 0000", "06 00 0000 00000000"),
        carried("IPv4 ESP of no bytes", 50, NO_PORTS, "45 00 0014 0001 0000 40 32 0000", ""),
    ])
}

fn fragments() -> Vec<Case> {
    Vec::from([
        // More fragments, offset 0.
        Case::ethernet(
            "IPv4 UDP, first fragment",
            v4(17, UDP_PORTS, 34),
            &[MACS, "0800", "45 00 0024 0001 2000 40 11 0000", V4, "3039 0035 0020 0000", "1111111111111111"],
        ),
        Case::ethernet(
            "IPv4 TCP, first fragment of eight bytes",
            v4(6, TCP_PORTS, 34),
            &[MACS, "0800", "45 00 001c 0001 2000 40 06 0000", V4, "3039 01bb 00000001"],
        ),
        // More fragments, offset 16: what follows is payload.
        Case::ethernet(
            "IPv4 UDP, middle fragment",
            v4(17, NO_PORTS, 0),
            &[MACS, "0800", "45 00 001c 0001 2002 40 11 0000", V4, "3039 0035 0020 0000"],
        ),
        // RFC 1858: offset 8, still in the TCP header.
        Case::ethernet(
            "IPv4 TCP, fragment in the header",
            v4(6, NO_PORTS, 0),
            &[MACS, "0800", "45 00 0028 0001 0001 40 06 0000", V4, TCP],
        ),
        Case::ethernet(
            "IPv4 UDP, last fragment, highest offset",
            v4(17, NO_PORTS, 0),
            &[MACS, "0800", "45 00 0018 0001 1fff 40 11 0000", V4, "3039 0035"],
        ),
        Case::ethernet(
            "ICMP, later fragment",
            v4(1, [0, ICMP_LATER_FRAGMENT], 0),
            &[MACS, "0800", "45 00 001c 0001 0001 40 01 0000", V4, "08 00 0000 3039 0001"],
        ),
        Case::ethernet(
            "IPv4 UDP, later fragment of one byte, padded",
            v4(17, NO_PORTS, 0),
            &[
                MACS,
                "0800",
                "45 00 0015 0001 0002 40 11 0000",
                V4,
                "30",
                "3535353535353535353535353535353535353535353535353535",
            ],
        )
        .needs(35),
        Case::ip(
            "IPv4 UDP behind an option, first fragment, without a link layer",
            v4(17, UDP_PORTS, 24),
            &["46 00 0020 0001 2000 40 11 0000", V4, "94 04 0000", UDP],
        ),
        Case::ip(
            "IPv4 UDP, later fragment, without a link layer",
            v4(17, NO_PORTS, 0),
            &["45 00 001c 0001 00b9 40 11 0000", V4, UDP],
        ),
        // RFC 791 fragments in units of eight bytes: nobody's stack makes these.
        Case::ethernet(
            "IPv4 UDP, first fragment without all of the ports",
            unparsed(Unparsed::Truncated),
            &[
                MACS,
                "0800",
                "45 00 0017 0001 2000 40 11 0000",
                V4,
                "3039 00",
                "3535353535353535353535353535353535353535353535",
            ],
        ),
    ])
}
