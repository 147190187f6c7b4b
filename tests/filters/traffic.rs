//! Frames that filters are asked about: literal ones, such as nobody would write down, and what is left of both when bytes change
//! or are cut off.

use flowtally_common::settings::Layer;
use flowtally_ebpf::frames;

/// Frames that are built of parts.
const BUILT: usize = 4000;

/// The same numbers in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap() % below
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.next(of.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next(256).try_into().unwrap()
    }
}

pub(crate) fn all() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut whole: Vec<_> = frames::all()
        .into_iter()
        .filter(|case| case.layer == Layer::Ethernet && case.bytes.len() >= 14)
        .map(|case| case.bytes)
        .collect();
    whole.extend((0..BUILT).map(|_| built(&mut numbers)));
    let mut all = whole.clone();
    for frame in &whole {
        if numbers.next(4) == 0 {
            let mut changed = frame.clone();
            for _ in 0..=numbers.next(3) {
                let at = numbers.next(changed.len().min(80));
                changed[at] = numbers.byte();
            }
            all.push(changed);
        }
        if numbers.next(8) == 0 {
            all.push(frame[..14 + numbers.next(frame.len() - 13)].to_vec());
        }
    }
    all
}

/// A frame of random parts.
fn built(numbers: &mut Numbers) -> Vec<u8> {
    let is_v4 = numbers.next(2) == 0;
    let mut frame = Vec::new();
    let end: [u8; 6] =
        numbers.one(&[[2, 0, 0, 0, 0, 1], [0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]]);
    frame.extend(end);
    frame.extend([2, 0, 0, 0, 0, numbers.one(&[1, 2])]);
    for _ in 0..numbers.one(&[0, 0, 0, 0, 1, 2]) {
        frame.extend([0x81, 0, 0, numbers.one(&[5, 6, 7])]);
    }
    if numbers.next(16) == 0 {
        frame.extend(address_resolution(numbers));
        return frame;
    }
    let protocol = numbers.one(&[1, 2, 6, 6, 6, 17, 17, 33, 47, 50, 51, 58, 103, 112, 132, 136]);
    let ports = [443_u16, 53, 80, 12_345, 2, 3, 0];
    let mut payload: Vec<u8> =
        [numbers.one(&ports), numbers.one(&ports)].iter().flat_map(|port| port.to_be_bytes()).collect();
    if protocol == 51 {
        // TCP behind an authentication header of 12 bytes.
        payload = vec![6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        payload.extend([0x01, 0xbb, 0x30, 0x39]);
    }
    payload.resize(payload.len() + 30, 0xa5);
    if protocol == 6 || protocol == 51 {
        let at = payload.len() - 34 + 12;
        payload[at] = 0x50;
    }
    frame.extend(if is_v4 {
        version_4(numbers, protocol, &payload)
    } else {
        version_6(numbers, protocol, payload)
    });
    if numbers.next(4) == 0 {
        // Padding.
        frame.resize(frame.len() + 6, 0);
    }
    frame
}

fn version_4(numbers: &mut Numbers, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let hosts: [[u8; 4]; 9] = [
        [192, 0, 2, 1],
        [192, 0, 2, 2],
        [198, 51, 100, 2],
        [10, 0, 0, 1],
        [10, 1, 0, 7],
        [224, 0, 0, 1],
        [240, 0, 0, 1],
        [255; 4],
        [0; 4],
    ];
    let options = numbers.one(&[0, 0, 0, 4]);
    let mut packet = vec![8, 0, 0x45 + options / 4, 0];
    packet.extend(u16::try_from(20 + usize::from(options) + payload.len()).unwrap().to_be_bytes());
    // Whole, the first fragment, a later one, the last one.
    let fragment: u16 = numbers.one(&[0, 0, 0, 0x4000, 0x2000, 0x2010, 0x0010]);
    packet.extend([0, 0]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(numbers.one(&hosts));
    packet.extend(numbers.one(&hosts));
    packet.resize(packet.len() + usize::from(options), 1);
    packet.extend(payload);
    packet
}

fn version_6(numbers: &mut Numbers, protocol: u8, payload: Vec<u8>) -> Vec<u8> {
    let hosts = ["2001:db8::1", "2001:db8::2", "fe80::1", "ff02::1", "fd77::1", "::"];
    // Hop-by-hop options, destination options, a routing header, a first and a later fragment.
    let extension: Option<(u8, [u8; 8])> = numbers.one(&[
        None,
        None,
        None,
        Some((0, [protocol, 0, 1, 4, 0, 0, 0, 0])),
        Some((60, [protocol, 0, 1, 4, 0, 0, 0, 0])),
        Some((43, [protocol, 0, 4, 0, 0, 0, 0, 0])),
        Some((44, [protocol, 0, 0, 1, 0, 0, 0, 7])),
        Some((44, [protocol, 0, 0, 0x41, 0, 0, 0, 7])),
    ]);
    let (next, between) = extension.map_or((protocol, Vec::new()), |(next, header)| (next, header.to_vec()));
    let mut packet = vec![0x86, 0xdd, 0x60, 0, 0, 0];
    packet.extend(u16::try_from(between.len() + payload.len()).unwrap().to_be_bytes());
    packet.extend([next, 64]);
    for _ in 0..2 {
        packet.extend(numbers.one(&hosts).parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    packet.extend(between);
    packet.extend(payload);
    packet
}

/// ARP and RARP.
fn address_resolution(numbers: &mut Numbers) -> Vec<u8> {
    let mut packet = numbers.one(&[[8_u8, 6], [0x80, 0x35]]).to_vec();
    packet.extend([0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1]);
    packet.extend(numbers.one(&[[192, 0, 2, 1], [10, 0, 0, 1]]));
    packet.extend([0; 6]);
    packet.extend(numbers.one(&[[192, 0, 2, 2], [198, 51, 100, 2]]));
    packet
}
