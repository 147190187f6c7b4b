//! Frames that nobody meant: random bytes, the literal frames with bytes changed, and piles of headers.

use std::vec::Vec;

use flowtally_common::settings::Layer;
use proptest::{
    arbitrary::any,
    collection::vec as many,
    option,
    prelude::{Just, Strategy, prop_oneof},
    proptest,
    sample::{Index, select},
};

use crate::{
    frames::{self, Case},
    parse::Outside,
    properties::{Input, length_of},
    segments::Segmentation,
};

/// How many bytes longer than its readable part a frame is.
fn beyond() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => 0_u32..100, 1 => 60_000_u32..80_000, 1 => any::<u32>()]
}

fn segmentation() -> impl Strategy<Value = Segmentation> {
    let number = || prop_oneof![Just(0), 1_u32..3000, Just(0xffff), any::<u32>()];
    (number(), number()).prop_map(|(size, segments)| Segmentation { size, segments })
}

fn outside() -> impl Strategy<Value = (Layer, Option<u16>, u32, Segmentation)> {
    let layer = prop_oneof![Just(Layer::Ethernet), Just(Layer::Ip)];
    (layer, option::weighted(0.2, any::<u16>()), beyond(), segmentation())
}

fn check(
    bytes: &[u8],
    (layer, offloaded_tag, beyond, segmentation): (Layer, Option<u16>, u32, Segmentation),
) {
    let length = length_of(bytes).saturating_add(beyond);
    Input { outside: Outside { layer, length, offloaded_tag }, segmentation, bytes }.check();
}

/// The literal frames short enough to try many changes of.
fn case() -> impl Strategy<Value = Case> {
    select(frames::all().into_iter().filter(|case| case.bytes.len() < 300).collect::<Vec<_>>())
}

/// Bytes that send the parser on: the start of a header, with a next header that it follows.
fn header() -> impl Strategy<Value = Vec<u8>> {
    let next = || select(&[0_u8, 1, 6, 17, 33, 43, 44, 50, 51, 58, 59, 60, 132, 136, 255][..]);
    prop_oneof![
        // An extension header of any kind, fragment headers with an offset among them.
        (next(), 0_u8..4, any::<[u8; 6]>())
            .prop_map(|(next, length, [a, b, c, d, e, f])| Vec::from([next, length, a, b, c, d, e, f])),
        (next(), 0_u8..3).prop_map(|(next, offset)| Vec::from([next, 0, 0, offset, 0, 0, 0, 0])),
        many(any::<u8>(), 0..24),
    ]
}

/// An Ethernet frame, or an IP packet, of plausible headers.
fn pile() -> impl Strategy<Value = (Layer, Vec<u8>)> {
    let next = select(&[0_u8, 6, 17, 43, 44, 51, 60][..]);
    let tag = select(&["8100 0005", "88a8 0064", "9100 0fff"][..]);
    (any::<bool>(), many(tag, 0..6), any::<bool>(), next, 0_u16..200, many(header(), 0..12)).prop_map(
        |(ethernet, tags, v4, next, length, headers)| {
            let mut frame = Vec::new();
            if ethernet {
                frame.extend([2; 12]);
                for tag in tags {
                    let digits = tag.replace(' ', "");
                    frame.extend(u32::from_str_radix(&digits, 16).unwrap().to_be_bytes());
                }
                frame.extend(if v4 { [0x08, 0x00] } else { [0x86, 0xdd] });
            }
            let [high, low] = length.to_be_bytes();
            if v4 {
                frame.extend([0x45, 0, high, low, 0, 0, 0x40, 0, 64, next, 0, 0]);
                frame.extend([7; 8]);
            } else {
                frame.extend([0x60, 0, 0, 0, high, low, next, 64]);
                frame.extend([7; 32]);
            }
            frame.extend(headers.concat());
            (if ethernet { Layer::Ethernet } else { Layer::Ip }, frame)
        },
    )
}

proptest! {
    #[test]
    fn any_bytes(bytes in many(any::<u8>(), 0..300), outside in outside()) {
        check(&bytes, outside);
    }

    #[test]
    fn literal_frames_with_changes(
        case in case(),
        changes in many((any::<Index>(), any::<u8>()), 0..6),
        cut in option::weighted(0.3, any::<Index>()),
        (_, offloaded_tag, beyond, segmentation) in outside(),
    ) {
        let mut bytes = case.bytes;
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        check(&bytes, (case.layer, offloaded_tag, beyond, segmentation));
    }

    #[test]
    fn piles_of_headers((layer, bytes) in pile(), (_, offloaded_tag, beyond, segmentation) in outside()) {
        check(&bytes, (layer, offloaded_tag, beyond, segmentation));
    }

    /// Fuzzer input of any kind is taken apart and put together again.
    #[test]
    fn fuzzer_input(input in many(any::<u8>(), 0..200)) {
        if let Some(decoded) = Input::decode(&input) {
            assert_eq!(Input::decode(&decoded.encode()), Some(decoded.clone()));
            decoded.check();
        }
    }
}
