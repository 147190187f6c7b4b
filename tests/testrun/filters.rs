//! Filters: what libpcap's own interpreter says of a frame, and what the translated program says that the kernel runs.

use flowtally::{
    kernel::{FilterProgram, Libpcap},
    translate::{ClassicInstruction, ClassicProgram, FilterEntry, FilterHook, PacketAccess},
};
use flowtally_common::settings::Layer;
use flowtally_ebpf::frames;

use crate::expressions;

/// Frames that a test run takes: it wants an Ethernet header, and room for its own.
const SHORTEST: usize = 14;
const LONGEST: usize = 3000;
/// Every so many frames go through each expression; another part for each.
const PART: usize = 12;
/// What XDP programs call for what lies elsewhere, in the words of a kernel that does not have it (before 5.18).
const NO_HELPER: &str = "invalid func";

const WAYS: [(FilterHook, PacketAccess); 4] = [
    (FilterHook::Received, PacketAccess::Direct),
    (FilterHook::Sent, PacketAccess::Asking),
    (FilterHook::Xdp, PacketAccess::Direct),
    (FilterHook::Xdp, PacketAccess::InOnePiece),
];

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap() % below
    }

    fn byte(&mut self) -> u8 {
        self.next(256).try_into().unwrap()
    }
}

/// Literal frames, the same with bytes changed and cut short, and such as nobody sends.
fn traffic(layer: Layer) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let literal: Vec<_> = frames::all()
        .into_iter()
        .filter(|case| case.layer == layer && !case.bytes.is_empty())
        .map(|case| case.bytes)
        .collect();
    let mut all = literal.clone();
    for frame in &literal {
        for _ in 0..20 {
            let mut changed = frame.clone();
            for _ in 0..=numbers.next(3) {
                let at = numbers.next(changed.len().min(80));
                changed[at] = numbers.byte();
            }
            all.push(changed);
        }
        for _ in 0..8 {
            all.push(frame[..=numbers.next(frame.len())].to_vec());
        }
    }
    all.extend((0..500).map(|_| (0..numbers.next(120)).map(|_| numbers.byte()).collect()));
    all.retain(|frame| (SHORTEST..=LONGEST).contains(&frame.len()));
    all
}

/// The program without what the kernel has beside a frame: nothing is beside a test run's.
fn bare(program: &[ClassicInstruction]) -> Vec<ClassicInstruction> {
    const LOAD_BYTE: u16 = 0x30;
    const BESIDE: u32 = 0xffff_f000;
    let constant = |one: &ClassicInstruction| match one {
        ClassicInstruction { code: LOAD_BYTE, operand: BESIDE.., .. } => ClassicInstruction::default(),
        other => *other,
    };
    program.iter().map(constant).collect()
}

/// Expressions that libpcap took, and frames that were judged: one of `part` for each expression.
pub(crate) fn compare(layer: Layer, texts: &[String], part: usize) -> (usize, u64) {
    let pcap = Libpcap::get().expect("libpcap0.8 is installed");
    let frames = traffic(layer);
    let (mut taken, mut judged) = (0, 0);
    for (number, text) in texts.iter().enumerate() {
        let Ok(classic) = pcap.compile(text, layer) else { continue };
        taken += 1;
        let program = ClassicProgram::check(&classic).unwrap_or_else(|error| panic!("{text}: {error}"));
        let frames: Vec<_> = frames.iter().skip(number % part).step_by(part).collect();
        let expected: Vec<_> = frames.iter().map(|frame| pcap.matches(&bare(&classic), frame)).collect();
        for (hook, access) in WAYS {
            let entry = FilterEntry { hook, access, judgement: Some(&program), before: None };
            let code = entry.alone().unwrap_or_else(|error| panic!("{text}: {error}"));
            let loaded = match FilterProgram::load(hook, &code) {
                Ok(loaded) => loaded,
                Err(error) if hook == FilterHook::Xdp && error.to_string().contains(NO_HELPER) => continue,
                Err(error) => panic!("{text}, {hook:?}, {access:?}: {error}"),
            };
            for (frame, expected) in frames.iter().zip(&expected) {
                // The kernel's test takes no IP frame without a whole IP header.
                let Ok((verdict, _)) = loaded.run(frame, 1) else { continue };
                judged += 1;
                assert_eq!(verdict != 0, *expected, "{text}, {hook:?}, {access:?}: {frame:02x?}");
            }
        }
    }
    (taken, judged)
}

#[test]
fn a_filter_says_of_every_frame_what_libpcap_says() {
    let mut texts = expressions::ethernet();
    // Which way a frame goes is beside it, and libpcap's interpreter has nothing there.
    texts.retain(|text| !text.contains("bound"));
    let (taken, judged) = compare(Layer::Ethernet, &texts, PART);
    assert!(taken >= 400 && judged >= 400_000, "{taken} expressions, {judged} verdicts");
}

#[test]
fn a_filter_says_of_every_packet_of_a_tunnel_what_libpcap_says() {
    let (taken, judged) = compare(Layer::Ip, &expressions::raw_ip(), PART);
    assert!(taken >= 300 && judged >= 50_000, "{taken} expressions, {judged} verdicts");
}

#[test]
fn directions_are_told_by_the_hook() {
    let pcap = Libpcap::get().expect("libpcap0.8 is installed");
    let frame = frames::all().into_iter().find(|case| case.bytes.len() >= 60).unwrap().bytes;
    for (text, received) in [("inbound", true), ("outbound", false)] {
        let classic = pcap.compile(text, Layer::Ethernet).unwrap();
        let program = ClassicProgram::check(&classic).unwrap();
        for hook in [FilterHook::Received, FilterHook::Xdp] {
            let entry =
                FilterEntry { hook, access: PacketAccess::Direct, judgement: Some(&program), before: None };
            let loaded = FilterProgram::load(hook, &entry.alone().unwrap()).unwrap();
            assert_eq!(loaded.run(&frame, 1).unwrap().0 != 0, received, "{text}, {hook:?}");
        }
    }
}

#[test]
fn a_filter_that_no_jump_spans_is_refused_in_words() {
    let pcap = Libpcap::get().expect("libpcap0.8 is installed");
    let hosts = |count: u32| {
        let hosts = (0..count).map(|number| format!("src host 10.{}.{}.1", number >> 8, number & 255));
        hosts.collect::<Vec<_>>().join(" or ")
    };
    let load = |text: &str| {
        let classic = pcap.compile(text, Layer::Ethernet).map_err(|error| error.to_string())?;
        let program = ClassicProgram::check(&classic).map_err(|error| error.to_string())?;
        let hook = FilterHook::Received;
        let entry =
            FilterEntry { hook, access: PacketAccess::Direct, judgement: Some(&program), before: None };
        let code = entry.alone().map_err(|error| error.to_string())?;
        FilterProgram::load(hook, &code).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(load(&hosts(200)), Ok(()));
    // Each is a loop of 30 instructions, written out.
    let chains: Vec<_> = (0..40).map(|number| format!("ip6 protochain {number}")).collect();
    let refusal = load(&chains.join(" or ")).unwrap_err();
    assert!(refusal.contains("too long"), "{refusal}");
}
