//! Packets built by an independent library must be found to be what they were built as.

use std::{vec, vec::Vec};

use etherparse::{
    EtherType, Ethernet2Header, IpAuthHeader, IpFragOffset, IpNumber, Ipv4Header, Ipv6Extensions,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, SingleVlanHeader, TcpHeader,
    UdpHeader, VlanId, VlanPcp,
};
use flowtally_common::{flow::ICMP_LATER_FRAGMENT, settings::Layer};
use proptest::{
    arbitrary::any,
    collection::vec as many,
    option,
    prelude::{Just, Strategy, prop_oneof},
    prop_assert_eq, proptest,
};

use crate::{
    parse::{self, Outside},
    properties::length_of,
    segments,
};

/// What the builder is told.
#[derive(Clone, Debug)]
struct Model {
    layer: Layer,
    offloaded_tag: Option<u16>,
    /// Type, priority, drop eligible, id.
    tags: Vec<(u16, u8, bool, u16)>,
    ip: Ip,
    /// Offset in units of 8 bytes, and whether more follow.
    fragment: Option<(u16, bool)>,
    transport: Transport,
    payload: Vec<u8>,
    padding: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Ip {
    V4 { src: [u8; 4], dst: [u8; 4], options: Vec<u8>, dont_fragment: bool },
    V6 { src: [u8; 16], dst: [u8; 16], extensions: Extensions },
}

/// Bytes of each header beyond those that it must have.
#[derive(Clone, Debug)]
struct Extensions {
    hop_by_hop: Option<usize>,
    destination: Option<usize>,
    /// The routing header, and the destination options behind it.
    routing: Option<(usize, Option<usize>)>,
    authentication: Option<usize>,
}

#[derive(Clone, Debug)]
enum Transport {
    Tcp {
        src: u16,
        dst: u16,
        options: usize,
    },
    Udp {
        src: u16,
        dst: u16,
    },
    /// UDP-Lite, SCTP and DCCP have their ports where UDP has them.
    Ports {
        protocol: u8,
        src: u16,
        dst: u16,
    },
    Icmp {
        protocol: u8,
        kind: u8,
        code: u8,
    },
    Other {
        protocol: u8,
    },
}

impl Transport {
    fn protocol(&self) -> u8 {
        match *self {
            Self::Tcp { .. } => 6,
            Self::Udp { .. } => 17,
            Self::Ports { protocol, .. } | Self::Icmp { protocol, .. } | Self::Other { protocol } => protocol,
        }
    }

    fn ports(&self) -> [u16; 2] {
        match *self {
            Self::Tcp { src, dst, .. } | Self::Udp { src, dst } | Self::Ports { src, dst, .. } => [src, dst],
            Self::Icmp { kind, code, .. } => [kind.into(), code.into()],
            Self::Other { .. } => [0, 0],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match *self {
            Self::Tcp { src, dst, options } => {
                let mut header = TcpHeader::new(src, dst, 1, 1000);
                header.set_options_raw(&vec![1; options * 4]).unwrap();
                header.to_bytes().to_vec()
            }
            Self::Udp { src, dst } | Self::Ports { src, dst, .. } => {
                UdpHeader { source_port: src, destination_port: dst, length: 8, checksum: 0 }
                    .to_bytes()
                    .to_vec()
            }
            Self::Icmp { kind, code, .. } => vec![kind, code, 0, 0, 0, 0, 0, 0],
            Self::Other { .. } => vec![],
        }
    }
}

impl Extensions {
    fn build(&self, fragment: Option<(u16, bool)>) -> Ipv6Extensions {
        // An extension header is 8 bytes, two of which are its own, and any number of 8 bytes more.
        let raw = |units: usize| Ipv6RawExtHeader::new_raw(IpNumber(0), &vec![0x35; 6 + units * 8]).unwrap();
        Ipv6Extensions {
            hop_by_hop_options: self.hop_by_hop.map(raw),
            destination_options: self.destination.map(raw),
            routing: self.routing.map(|(routing, options)| Ipv6RoutingExtensions {
                routing: raw(routing),
                final_destination_options: options.map(raw),
            }),
            fragment: fragment.map(|(offset, more)| {
                Ipv6FragmentHeader::new(IpNumber(0), IpFragOffset::try_new(offset).unwrap(), more, 7)
            }),
            auth: self
                .authentication
                .map(|words| IpAuthHeader::new(IpNumber(0), 1, 2, &vec![0x35; words * 4]).unwrap()),
        }
    }
}

impl Model {
    fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        if self.layer == Layer::Ethernet {
            let network = EtherType(if matches!(self.ip, Ip::V4 { .. }) { 0x0800 } else { 0x86dd });
            let kinds: Vec<_> = self.tags.iter().map(|tag| EtherType(tag.0)).chain([network]).collect();
            Ethernet2Header { source: [1; 6], destination: [2; 6], ether_type: kinds[0] }
                .write(&mut frame)
                .unwrap();
            for ((_, priority, drop_eligible_indicator, id), kind) in self.tags.iter().zip(&kinds[1..]) {
                let tag = SingleVlanHeader {
                    pcp: VlanPcp::try_new(*priority).unwrap(),
                    drop_eligible_indicator: *drop_eligible_indicator,
                    vlan_id: VlanId::try_new(*id).unwrap(),
                    ether_type: *kind,
                };
                frame.extend(tag.to_bytes());
            }
        }
        let body = [self.transport.bytes(), self.payload.clone()].concat();
        let protocol = IpNumber(self.transport.protocol());
        match &self.ip {
            Ip::V4 { src, dst, options, dont_fragment } => {
                let mut header =
                    Ipv4Header::new(u16::try_from(body.len()).unwrap(), 64, protocol, *src, *dst).unwrap();
                header.options = options.as_slice().try_into().unwrap();
                header.set_payload_len(body.len()).unwrap();
                header.dont_fragment = *dont_fragment;
                if let Some((offset, more)) = self.fragment {
                    header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
                    header.more_fragments = more;
                }
                header.write(&mut frame).unwrap();
            }
            Ip::V6 { src, dst, extensions } => {
                let mut extensions = extensions.build(self.fragment);
                let next_header = extensions.set_next_headers(protocol);
                let header = Ipv6Header {
                    payload_length: u16::try_from(extensions.header_len() + body.len()).unwrap(),
                    next_header,
                    hop_limit: 64,
                    source: *src,
                    destination: *dst,
                    ..Ipv6Header::default()
                };
                header.write(&mut frame).unwrap();
                extensions.write(&mut frame, next_header).unwrap();
            }
        }
        [frame, body, self.padding.clone()].concat()
    }

    /// The last header of a chain is what the packet is; a later fragment shows only what the header behind the
    /// Fragment header was in the first one.
    fn protocol(&self) -> u8 {
        match &self.ip {
            Ip::V6 { extensions, .. } if self.is_later_fragment() => {
                let in_fragment = [
                    extensions.authentication.map(|_| 51),
                    extensions.routing.and_then(|(_, options)| options).map(|_| 60),
                ];
                in_fragment.into_iter().flatten().next().unwrap_or(self.transport.protocol())
            }
            _ => self.transport.protocol(),
        }
    }

    fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|(offset, _)| offset != 0)
    }

    fn vlan(&self) -> u16 {
        let offloaded = self.offloaded_tag.map(|control| control & 0x0fff);
        let tags = offloaded.into_iter().chain(self.tags.iter().map(|tag| tag.3));
        u16::try_from(tags.clone().count()).unwrap() << 12 | tags.last().unwrap_or(0)
    }
}

fn transport() -> impl Strategy<Value = Transport> {
    let numbers = any::<(u16, u16)>();
    prop_oneof![
        (numbers, 0_usize..=10).prop_map(|((src, dst), options)| Transport::Tcp { src, dst, options }),
        numbers.prop_map(|(src, dst)| Transport::Udp { src, dst }),
        (numbers, prop_oneof![Just(136), Just(132), Just(33)])
            .prop_map(|((src, dst), protocol)| Transport::Ports { protocol, src, dst }),
        (any::<(u8, u8)>(), prop_oneof![Just(1), Just(58)])
            .prop_map(|((kind, code), protocol)| Transport::Icmp { protocol, kind, code }),
        // Neither ports nor an extension header: IGMP, IPv4, IPv6, GRE, ESP, no next header, OSPF, and numbers
        // that mean nothing.
        prop_oneof![Just(2), Just(4), Just(41), Just(47), Just(50), Just(59), Just(89), 140_u8..]
            .prop_map(|protocol| Transport::Other { protocol }),
    ]
}

fn ip() -> impl Strategy<Value = Ip> {
    let units = || option::of(0_usize..8);
    let extensions = (units(), units(), option::of((0_usize..8, units())), units()).prop_map(
        |(hop_by_hop, destination, routing, authentication)| Extensions {
            hop_by_hop,
            destination,
            routing,
            // Of whole words, and IPv6 wants the header's length in units of 8 bytes.
            authentication: authentication.map(|units| 1 + 2 * units),
        },
    );
    let options = (0_usize..=10).prop_map(|words| vec![1; words * 4]);
    prop_oneof![
        (any::<([u8; 4], [u8; 4], bool)>(), options)
            .prop_map(|((src, dst, dont_fragment), options)| Ip::V4 { src, dst, options, dont_fragment }),
        (any::<([u8; 16], [u8; 16])>(), extensions).prop_map(|((src, dst), extensions)| Ip::V6 {
            src,
            dst,
            extensions
        }),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let kind = prop_oneof![Just(0x8100), Just(0x88a8), Just(0x9100)];
    let tags = many((kind, 0_u8..8, any::<bool>(), 0_u16..0x1000), 0..=4);
    let fragment = option::weighted(0.3, (prop_oneof![Just(0), 0_u16..0x2000], any::<bool>()));
    let link = prop_oneof![Just(Layer::Ethernet), Just(Layer::Ip)];
    let bytes = |up_to| many(any::<u8>(), 0..up_to);
    (link, option::of(any::<u16>()), tags, ip(), fragment, transport(), bytes(1500), bytes(50)).prop_map(
        |(layer, offloaded_tag, tags, ip, fragment, transport, payload, padding)| {
            let tags = if layer == Layer::Ethernet { tags } else { vec![] };
            Model { layer, offloaded_tag, tags, ip, fragment, transport, payload, padding }
        },
    )
}

fn address(words: [u64; 2]) -> Vec<u8> {
    words.map(u64::to_ne_bytes).concat()
}

fn mapped(address: [u8; 4]) -> Vec<u8> {
    std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets().to_vec()
}

proptest! {
    #[test]
    fn built_packets_are_what_they_were_built_as(model in model()) {
        let frame = model.frame();
        let outside = Outside {
            layer: model.layer,
            length: length_of(&frame),
            offloaded_tag: model.offloaded_tag,
        };
        let packet = parse::full(&frame.as_slice(), &outside);
        let (src, dst) = match &model.ip {
            Ip::V4 { src, dst, .. } => (mapped(*src), mapped(*dst)),
            Ip::V6 { src, dst, .. } => (src.to_vec(), dst.to_vec()),
        };
        prop_assert_eq!(address(packet.src), src);
        prop_assert_eq!(address(packet.dst), dst);
        prop_assert_eq!(packet.protocol, model.protocol());
        let ports = match (model.is_later_fragment(), packet.protocol) {
            (true, 1 | 58) => [0, ICMP_LATER_FRAGMENT],
            (true, _) => [0, 0],
            (false, _) => model.transport.ports(),
        };
        prop_assert_eq!(packet.ports.to_ne_bytes().to_vec(), ports.map(u16::to_be_bytes).concat());
        prop_assert_eq!(packet.vlan, model.vlan());

        // From the back: what is behind the headers is known.
        let behind = model.transport.bytes().len() + model.payload.len() + model.padding.len();
        let segmentable = matches!(model.transport, Transport::Tcp { .. } | Transport::Udp { .. });
        let transport = if segmentable && !model.is_later_fragment() { frame.len() - behind } else { 0 };
        prop_assert_eq!(packet.transport as usize, transport);
        prop_assert_eq!(packet.jumbo, 0);
        if transport != 0 {
            let headers = segments::headers(&frame.as_slice(), &packet);
            let expected = frame.len() - model.payload.len() - model.padding.len();
            prop_assert_eq!(headers, Some(length_of(&frame[..expected])));
        }
    }

    /// What is behind the headers is somebody's payload: any other bytes there make the same flow.
    #[test]
    fn payload_is_never_looked_at(model in model(), byte in any::<u8>()) {
        let frame = model.frame();
        let mut other = frame.clone();
        // A later fragment's transport header is payload too.
        let header = if model.is_later_fragment() { 0 } else { model.transport.bytes().len() };
        let behind = model.transport.bytes().len() + model.payload.len() + model.padding.len();
        let from = frame.len() - behind + header;
        other[from..].fill(byte);
        let outside = Outside {
            layer: model.layer,
            length: length_of(&frame),
            offloaded_tag: model.offloaded_tag,
        };
        let packet = parse::full(&frame.as_slice(), &outside);
        prop_assert_eq!(packet, parse::full(&other.as_slice(), &outside));
    }
}
