//! What holds for any bytes, whatever frame they are: the fuzzer and the property tests check the same.

use flowtally_common::{
    flow::{PROTOCOL_NOT_IP, Unparsed, VLAN_ID_MASK, VLAN_TAGS_SHIFT},
    settings::Layer,
};
use std::vec::Vec;

use crate::{
    parse::{self, MAX_TAGS, Outside, Packet},
    segments::{self, Segmentation},
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What fuzzer input starts with: flags, an unused byte, a tag, and three words.
const INPUT_HEADER: usize = 16;

/// A frame and what the kernel knows of it, from bytes that a fuzzer makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// What is known of the frame. Its length is that of `bytes` or larger: socket buffers end in pages that a
    /// parser may not be able to read.
    pub outside: Outside,
    /// What the socket buffer says of segments.
    pub segmentation: Segmentation,
    /// The frame's readable part.
    pub bytes: &'a [u8],
}

impl<'a> Input<'a> {
    const FLAG_IP: u8 = 1;
    const FLAG_TAG: u8 = 2;

    /// Takes fuzzer input apart; `None` if it is too short.
    #[must_use]
    pub fn decode(input: &'a [u8]) -> Option<Self> {
        let (header, bytes) = input.split_first_chunk::<INPUT_HEADER>()?;
        let [flags, _, tag_low, tag_high, words @ ..] = header;
        let (words, _) = words.as_chunks::<4>();
        let [beyond, size, segments] = [0, 1, 2].map(|at| u32::from_le_bytes(words[at]));
        let layer = if flags & Self::FLAG_IP == 0 { Layer::Ethernet } else { Layer::Ip };
        let tag = u16::from_le_bytes([*tag_low, *tag_high]);
        let length = length_of(bytes).saturating_add(beyond);
        let outside = Outside { layer, length, offloaded_tag: (flags & Self::FLAG_TAG != 0).then_some(tag) };
        Some(Self { outside, segmentation: Segmentation { size, segments }, bytes })
    }

    /// Fuzzer input that [`decode`](Self::decode) takes apart to this.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let ip = if self.outside.layer == Layer::Ip { Self::FLAG_IP } else { 0 };
        let tag = if self.outside.offloaded_tag.is_some() { Self::FLAG_TAG } else { 0 };
        let beyond = self.outside.length.saturating_sub(length_of(self.bytes));
        let mut input = Vec::from([ip | tag, 0]);
        input.extend(self.outside.offloaded_tag.unwrap_or(0).to_le_bytes());
        for word in [beyond, self.segmentation.size, self.segmentation.segments] {
            input.extend(word.to_le_bytes());
        }
        input.extend(self.bytes);
        input
    }

    /// What the frame is.
    ///
    /// # Panics
    /// If anything that holds for every frame does not hold for this one.
    #[expect(clippy::must_use_candidate, reason = "it is called to see whether it panics")]
    pub fn check(&self) -> Packet {
        let packet = parse::full(&self.bytes, &self.outside);
        self.fast_agrees();
        self.is_consistent(&packet);
        self.cut_shorter(&packet);
        self.padded(&packet);
        self.on_wire(&packet);
        packet
    }

    /// Where `fast` answers, `full` answers the same. The programs ask `fast` only about frames without an
    /// offloaded tag.
    fn fast_agrees(&self) {
        let Outside { layer, length, .. } = self.outside;
        if let Some(fast) = parse::fast(&self.bytes, layer, length) {
            let full = parse::full(&self.bytes, &Outside { offloaded_tag: None, ..self.outside });
            assert_eq!(fast, full, "fast and full differ");
        }
    }

    /// The fields of `packet` fit to one another, and to the frame.
    fn is_consistent(&self, packet: &Packet) {
        if let Some(reason) = unparsed(packet) {
            let reasons = [Unparsed::Truncated, Unparsed::Malformed, Unparsed::TooDeep];
            assert!(reasons.iter().any(|known| *known as u16 == reason), "no reason: {reason}");
            let bare = Packet { ports: packet.ports, protocol: PROTOCOL_NOT_IP, ..Packet::default() };
            assert_eq!(*packet, bare, "an unparsed frame with the fields of another");
            return;
        }
        let offloaded = u16::from(self.outside.offloaded_tag.is_some());
        let tags = packet.vlan >> VLAN_TAGS_SHIFT;
        assert!(u32::from(tags - offloaded) <= MAX_TAGS, "{tags} tags");
        assert!(tags != 0 || packet.vlan & VLAN_ID_MASK == 0, "a VLAN without a tag");
        if packet.transport != 0 {
            assert!(
                packet.protocol == TCP || packet.protocol == UDP,
                "a TCP or UDP header of something else"
            );
            assert!(packet.transport + 4 <= self.outside.length, "ports beyond the frame");
            let at = packet.transport as usize;
            let ports = self.bytes.get(at..at + 4).map(|ports| ports.try_into().expect("four bytes"));
            assert_eq!(ports.map(u32::from_ne_bytes), Some(packet.ports), "other ports than the header's");
        }
        assert!(packet.jumbo == 0 || packet.jumbo == 8, "no header has {} bytes", packet.jumbo);
    }

    /// A frame that ends earlier is the same flow (when it lost padding, or is not IP), or cannot be parsed.
    fn cut_shorter(&self, packet: &Packet) {
        if unparsed(packet).is_some() {
            return;
        }
        let length = self.bytes.len();
        for cut in [1, 4, 8, 20, length / 2] {
            let Some(bytes) = self.bytes.get(..length.saturating_sub(cut.max(1))) else { continue };
            let short = parse::full(&bytes, &Outside { length: length_of(bytes), ..self.outside });
            assert!(short == *packet || unparsed(&short).is_some(), "{cut} bytes less: {short:?}");
        }
    }

    /// What is behind the IP packet does not matter.
    fn padded(&self, packet: &Packet) {
        // Without a length of its own, an IP packet is what the frame holds.
        let padded_length = length_of(self.bytes) + 32;
        if unparsed(packet).is_some() || padded_length > u32::from(u16::MAX) {
            return;
        }
        for padding in [0x00, 0xff] {
            let mut bytes = self.bytes.to_vec();
            bytes.resize(padded_length as usize, padding);
            let outside = Outside { length: padded_length, ..self.outside };
            if self.outside.length <= padded_length {
                assert_eq!(parse::full(&bytes.as_slice(), &outside), *packet, "padding matters");
            }
        }
    }

    /// A super-packet is at least one frame and no fewer bytes, less what is not sent; no frame is longer than it.
    fn on_wire(&self, packet: &Packet) {
        let length = self.outside.length;
        let headers = segments::headers(&self.bytes, packet);
        let wire = segments::on_wire(length, headers, packet.jumbo, self.segmentation);
        assert!(wire.packets >= 1 && wire.bytes >= u64::from(length.saturating_sub(packet.jumbo)));
        assert!(u128::from(wire.bytes) <= u128::from(length) * u128::from(wire.packets));
        if self.segmentation.size == 0 {
            assert_eq!((wire.bytes, wire.packets), (u64::from(length), 1), "no super-packet");
        }
    }
}

/// The length of a frame, as the kernel has it.
pub(crate) fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a frame is shorter than 4 GiB")
}

/// The reason if `packet` could not be parsed.
fn unparsed(packet: &Packet) -> Option<u16> {
    let [a, b, c, d] = packet.ports.to_ne_bytes();
    let reason = u16::from_be_bytes([c, d]);
    (packet.protocol == PROTOCOL_NOT_IP && [a, b] == [0, 0] && reason != 0).then_some(reason)
}
