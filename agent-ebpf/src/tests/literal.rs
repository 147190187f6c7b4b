//! The literal frames, whole and cut.

use std::{collections::HashSet, vec::Vec};

use flowtally_common::flow::{PROTOCOL_NOT_IP, Unparsed};

use crate::{
    frames::{self, Case},
    parse::{self, Outside, Packet},
    properties::{Input, length_of},
    segments,
};

fn full(case: &Case, bytes: &[u8]) -> Packet {
    parse::full(&bytes, &Outside { length: length_of(bytes), ..case.outside() })
}

fn unparsed(reason: Unparsed) -> Packet {
    let [high, low] = (reason as u16).to_be_bytes();
    let ports = u32::from_ne_bytes([0, 0, high, low]);
    Packet { ports, protocol: PROTOCOL_NOT_IP, ..Packet::default() }
}

fn is_unparsed(packet: &Packet) -> bool {
    [Unparsed::Truncated, Unparsed::Malformed, Unparsed::TooDeep]
        .iter()
        .any(|&reason| *packet == unparsed(reason))
}

#[test]
fn names_are_unique() {
    let mut names = HashSet::new();
    for case in frames::all() {
        assert!(names.insert(case.name), "{} is there twice", case.name);
    }
}

#[test]
fn every_frame_is_what_it_is() {
    for case in frames::all() {
        assert_eq!(full(&case, &case.bytes), case.expected, "{}", case.name);
    }
}

#[test]
fn fast_answers_for_what_nearly_all_traffic_is() {
    let plain = [
        "IPv4 TCP, don't fragment",
        "IPv4 UDP",
        "IPv4 TCP without a link layer",
        "IPv4 UDP without a link layer",
        "IPv4 UDP with payload",
        "IPv4 UDP, padded to the shortest frame",
        "IPv4 of the highest length",
        "IPv6 TCP",
        "IPv6 UDP",
        "IPv6 TCP without a link layer",
        "IPv6 UDP without a link layer",
        "IPv6 UDP, padded",
        "IPv6 of the highest length",
    ];
    let cases = frames::all();
    for name in plain {
        let case = cases.iter().find(|case| case.name == name).expect(name);
        let fast = parse::fast(&case.bytes.as_slice(), case.layer, length_of(&case.bytes));
        assert_eq!(fast, Some(case.expected), "{name}");
    }
}

#[test]
fn fast_answers_as_full_or_not_at_all() {
    for case in frames::all().into_iter().filter(|case| case.offloaded_tag.is_none()) {
        for length in 0..=case.bytes.len().min(200) {
            let bytes = &case.bytes[..length];
            if let Some(fast) = parse::fast(&bytes, case.layer, length_of(bytes)) {
                assert_eq!(fast, case.expected, "{} cut to {length}", case.name);
            }
        }
        let fast = parse::fast(&case.bytes.as_slice(), case.layer, length_of(&case.bytes));
        assert!(fast.is_none_or(|fast| fast == case.expected), "{}", case.name);
    }
}

#[test]
fn a_cut_frame_is_the_same_flow_or_none() {
    for case in frames::all() {
        // Every length where headers are; a few of what is payload.
        let lengths = (0..case.bytes.len()).filter(|length| *length < 300 || length % 97 == 0);
        for length in lengths.chain([case.needed.saturating_sub(1), case.needed]) {
            let packet = full(&case, &case.bytes[..length]);
            if is_unparsed(&case.expected) {
                assert!(is_unparsed(&packet), "{} cut to {length}: {packet:?}", case.name);
            } else if length < case.needed {
                // Cut below 64 KiB, a packet without a length of its own has a wrong one.
                let no_length = case.bytes.len() > 70_000 && is_unparsed(&packet);
                let truncated = packet == unparsed(Unparsed::Truncated);
                assert!(truncated || no_length, "{} cut to {length}: {packet:?}", case.name);
            } else {
                assert_eq!(packet, case.expected, "{} cut to {length}", case.name);
            }
        }
    }
}

#[test]
fn padding_makes_no_difference() {
    for case in frames::all() {
        // A packet without a length of its own is as long as the frame; a packet that is too short for its
        // length gets as long as that.
        if is_unparsed(&case.expected) || case.bytes.len() > 60_000 {
            continue;
        }
        for byte in [0x00, 0x35, 0xff] {
            for count in [1, 18, 46] {
                let mut bytes = case.bytes.clone();
                bytes.truncate(case.needed);
                bytes.resize(case.needed + count, byte);
                assert_eq!(full(&case, &bytes), case.expected, "{} with {count} bytes more", case.name);
            }
        }
    }
}

/// In the kernel a frame is as long as its socket buffer says, whatever part of it can be read.
#[test]
fn a_frame_longer_than_its_readable_part() {
    for case in
        frames::all().iter().filter(|case| !is_unparsed(&case.expected) && case.expected.transport != 0)
    {
        let bytes = &case.bytes[..case.expected.transport as usize + 4];
        assert_eq!(parse::full(&bytes, &case.outside()), case.expected, "{}: the headers alone", case.name);
        let bytes = &case.bytes[..case.expected.transport as usize + 3];
        assert_eq!(parse::full(&bytes, &case.outside()), unparsed(Unparsed::Truncated), "{}", case.name);
    }
}

#[test]
fn real_protocol_255_is_neither_unparsed_nor_another_kind_of_frame() {
    let cases = frames::all();
    let real: Vec<_> = cases
        .iter()
        .filter(|case| case.expected.protocol == PROTOCOL_NOT_IP && case.expected.ports == 0)
        .collect();
    assert_eq!(real.len(), 2, "one over IPv4, one over IPv6");
    for case in
        cases.iter().filter(|case| case.expected.protocol == PROTOCOL_NOT_IP && case.expected.ports != 0)
    {
        assert_eq!((case.expected.src, case.expected.dst), ([0; 2], [0; 2]), "{}", case.name);
    }
}

#[test]
fn frames_and_bytes_on_the_wire() {
    for case in frames::all() {
        let packet = full(&case, &case.bytes);
        let headers = segments::headers(&case.bytes.as_slice(), &packet);
        let mut count = segments::on_wire(case.outside().length, headers, packet.jumbo, case.segmentation);
        if case.offloaded_tag.is_some() {
            count.bytes += 4 * count.packets;
        }
        assert_eq!(count, case.count, "{}", case.name);
    }
}

#[test]
fn every_frame_has_what_all_frames_have() {
    for case in frames::all() {
        let input = Input { outside: case.outside(), segmentation: case.segmentation, bytes: &case.bytes };
        assert_eq!(input.check(), case.expected, "{}", case.name);
        assert_eq!(Input::decode(&input.encode()), Some(input), "{}", case.name);
    }
}
