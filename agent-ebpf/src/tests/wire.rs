//! Segments and headers, number by number.

use flowtally_common::Count;

use crate::{
    parse::Packet,
    segments::{Segmentation, headers, on_wire},
};

const ANY: [u32; 12] = [0, 1, 8, 53, 54, 55, 1448, 0xfffe, 0xffff, 0x1_0000, u32::MAX - 1, u32::MAX];

fn wire(length: u32, headers: Option<u32>, jumbo: u32, size: u32, segments: u32) -> (u64, u64) {
    let Count { bytes, packets } = on_wire(length, headers, jumbo, Segmentation { size, segments });
    (packets, bytes)
}

#[test]
fn no_super_packet() {
    assert_eq!(wire(1514, Some(54), 0, 0, 0), (1, 1514));
    // Without a size the number means nothing: GRO leaves one with packets it merged nothing into.
    assert_eq!(wire(1514, Some(54), 0, 0, 1), (1, 1514));
    assert_eq!(wire(1514, Some(54), 0, 0, 7), (1, 1514));
    assert_eq!(wire(70_082, Some(82), 8, 0, 0), (1, 70_082), "nobody takes the jumbo header out");
}

#[test]
fn the_number_given_is_taken() {
    assert_eq!(wire(54 + 3000, Some(54), 0, 1448, 3), (3, 3000 + 3 * 54));
    assert_eq!(wire(54 + 3000, Some(54), 0, 1448, 1), (1, 3054));
    // GRO may have merged packets that were shorter than the size.
    assert_eq!(wire(54 + 3000, Some(54), 0, 1448, 5), (5, 3000 + 5 * 54));
}

#[test]
fn the_number_not_given_is_computed() {
    assert_eq!(wire(54 + 2896, Some(54), 0, 1448, 0), (2, 2896 + 2 * 54), "an exact multiple");
    assert_eq!(wire(54 + 2897, Some(54), 0, 1448, 0), (3, 2897 + 3 * 54), "a last one of one byte");
    assert_eq!(wire(54 + 2895, Some(54), 0, 1448, 0), (2, 2895 + 2 * 54), "a last one with one byte less");
    assert_eq!(wire(54 + 1, Some(54), 0, 1448, 0), (1, 55));
    assert_eq!(wire(54, Some(54), 0, 1448, 0), (1, 54), "headers alone");
    assert_eq!(wire(42 + 4000, Some(42), 0, 1000, 0), (4, 4000 + 4 * 42), "UDP");
}

#[test]
fn the_jumbo_header_is_in_no_frame() {
    assert_eq!(wire(82 + 70_000, Some(82), 8, 1400, 50), (50, 70_000 + 50 * 74));
    assert_eq!(wire(82 + 70_000, Some(82), 8, 1400, 0), (50, 70_000 + 50 * 74));
    assert_eq!(wire(82 + 70_000, None, 8, 1400, 50), (50, 74 + 70_000));
}

#[test]
fn unknown_headers_are_not_repeated() {
    assert_eq!(wire(5000, None, 0, 1400, 4), (4, 5000));
    assert_eq!(wire(5000, None, 0, 1400, 0), (1, 5000));
    assert_eq!(wire(50, Some(74), 0, 1400, 3), (3, 50), "headers longer than the frame");
    assert_eq!(wire(50, Some(74), 0, 1400, 0), (1, 50), "headers longer than the frame");
}

#[test]
fn segments_kept_apart_have_no_size_to_compute_from() {
    assert_eq!(wire(140_000, Some(54), 0, 0xffff, 0), (1, 140_000));
    assert_eq!(wire(5000, None, 0, 0xffff, 4), (4, 5000));
}

#[test]
fn no_numbers_overflow() {
    for length in ANY {
        for size in ANY {
            for segments in ANY {
                for jumbo in [0, 8, u32::MAX] {
                    for headers in ANY.map(Some).into_iter().chain([None]) {
                        let (packets, bytes) = wire(length, headers, jumbo, size, segments);
                        assert!(packets >= 1 && bytes <= u64::from(length) * packets);
                    }
                }
            }
        }
    }
}

#[test]
fn headers_of_tcp() {
    let packet = |transport| Packet { protocol: 6, transport, ..Packet::default() };
    let mut frame = [0; 100];
    for (words, expected) in [(0, None), (4, None), (5, Some(54)), (8, Some(66)), (15, Some(94))] {
        // The lower half of the byte is flags.
        frame[34 + 12] = words << 4 | 0x0f;
        assert_eq!(headers(&frame.as_slice(), &packet(34)), expected, "{words} words");
    }
    frame[38 + 12] = 0x50;
    assert_eq!(headers(&frame.as_slice(), &packet(38)), Some(58), "behind a VLAN tag");
    assert_eq!(headers(&&frame[..46], &packet(34)), None, "the length is beyond the frame");
    assert_eq!(headers(&&frame[..47], &packet(34)), Some(94));
}

#[test]
fn headers_of_others() {
    let frame = [0; 100];
    let packet = |protocol, transport| Packet { protocol, transport, ..Packet::default() };
    assert_eq!(headers(&frame.as_slice(), &packet(17, 34)), Some(42));
    assert_eq!(headers(&frame.as_slice(), &packet(17, 58)), Some(66), "behind a VLAN tag, IPv6");
    assert_eq!(headers(&frame.as_slice(), &packet(17, 0)), None, "a later fragment");
    assert_eq!(headers(&frame.as_slice(), &packet(132, 0)), None, "SCTP");
}
