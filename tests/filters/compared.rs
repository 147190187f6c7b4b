//! The comparison.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

use flowtally::{
    filter::{Dictionary, Expression, Filter, Test},
    kernel::Libpcap,
    model::protocol::Kind,
    translate::ClassicInstruction,
};
use flowtally_common::{Direction, FlowKey, settings::Layer};
use flowtally_ebpf::parse::{self, Outside};

use crate::{
    differences::{ALLOWED, AllowedDifference, FrameFacts},
    expressions,
    traffic::{self, Numbers},
};

/// Expressions of random parts.
const RANDOM: usize = 600;

/// Beside those that the translation to eBPF is tested with: inherited words, binding, and what both read in their own ways.
const MORE: &[&str] = &[
    "port 2 or 3",
    "tcp port 2 or 3 and host 10.0.0.1",
    "not host 10.0.0.1 and 10.0.0.2",
    "tcp or udp and port 2",
    "tcp or (udp and port 2)",
    "src or dst port 2",
    "src and dst net 10",
    "host not 10.0.0.1",
    "host 10.0",
    "net 10.0.0.0 mask 255.0.0.0",
    "net 10.0.0.0 mask 255.0.255.0",
    "port (2 or not 3)",
    "!tcp&&!udp||icmp",
    "not not tcp",
    "udp portrange 4-2",
    "src 10.0.0.1 or 10.0.0.2 and tcp",
    "dst host fd77::1 or fd77::2",
    "ether proto \\ip and port 443",
    "ether proto 0x86dd and port 53",
    "port 0",
    "portrange 0-65535",
    "ip proto 136 and port 443",
    "ip proto 33 or ip proto 136",
    "not port 443",
    "not tcp",
    "inbound",
    "outbound",
    "inbound and tcp",
    "net 224.0.0.0/4",
    "dst net ff00::/8",
    "not ip multicast",
    "multicast and not broadcast",
    "vlan 5",
    "vlan 6",
    "not vlan and ip",
    "vlan and not tcp",
    "tcp and vlan",
    "tcp or vlan",
    "proto 51",
    "proto 50",
    "icmp6 and host fe80::1",
    "ip6 host 2001:db8::1",
    "proto 132 or proto 2",
];

fn key_of(frame: &[u8]) -> FlowKey {
    let outside =
        Outside { layer: Layer::Ethernet, length: frame.len().try_into().unwrap(), offloaded_tag: None };
    let packet = parse::full(&frame, &outside);
    let octets =
        |[first, second]: [u64; 2]| [first.to_ne_bytes(), second.to_ne_bytes()].concat().try_into().unwrap();
    let [source, source_low, destination, destination_low] = packet.ports.to_ne_bytes();
    FlowKey {
        src: octets(packet.src),
        dst: octets(packet.dst),
        src_port: [source, source_low],
        dst_port: [destination, destination_low],
        ifindex: 2,
        protocol: packet.protocol,
        direction: Direction::Ingress as u8,
        vlan: packet.vlan,
    }
}

fn facts(frame: &[u8]) -> FrameFacts<'_> {
    let key = key_of(frame);
    let kind = Kind::of(key.protocol, u16::from_be_bytes(key.src_port), u16::from_be_bytes(key.dst_port));
    let is_tag = |at: usize| matches!(frame.get(at..at + 2), Some([0x81 | 0x91, 0] | [0x88, 0xa8]));
    let tags = (0..frame.len()).take_while(|tag| is_tag(12 + 4 * tag)).count();
    FrameFacts { frame, key, kind, tags }
}

fn ours(filter: &Filter, facts: &FrameFacts<'_>) -> bool {
    filter.matches(&facts.key, facts.kind, |_| false)
}

/// The program without what the kernel has beside a frame: nothing is beside these. Type 0 is what came in for this host.
fn bare(program: Vec<ClassicInstruction>) -> Vec<ClassicInstruction> {
    // Of a word, of half of one, of a byte.
    const LOADS: [u16; 3] = [0x20, 0x28, 0x30];
    const BESIDE: u32 = 0xffff_f000;
    let constant = |one| match one {
        ClassicInstruction { code, operand: BESIDE.., .. } if LOADS.contains(&code) => {
            ClassicInstruction::default()
        }
        other => other,
    };
    program.into_iter().map(constant).collect()
}

fn leaves(expression: &Expression, all: &mut Vec<Test>) {
    match expression {
        Expression::Test(test) => all.push(test.clone()),
        Expression::Not(inner) => leaves(inner, all),
        Expression::All(several) | Expression::Any(several) => {
            for one in several {
                leaves(one, all);
            }
        }
    }
}

/// Expressions, those that one of the two does not take among them.
fn texts() -> Vec<String> {
    let mut texts = expressions::ethernet();
    texts.extend(MORE.iter().map(|text| (*text).to_owned()));
    let parts = texts.clone();
    let names = names();
    let plain: Vec<&String> = parts
        .iter()
        .filter(|text| text.len() < 40 && !text.contains("vlan") && Filter::parse(text, &names).is_ok())
        .collect();
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for _ in 0..RANDOM {
        let [one, two, three] = [0; 3].map(|_| plain[numbers.next(plain.len())]);
        texts.push(match numbers.next(5) {
            0 => format!("({one}) and not ({two})"),
            1 => format!("({one}) or ({two}) and ({three})"),
            2 => format!("not (({one}) or ({two}))"),
            3 => format!("({one}) and (({two}) or not ({three}))"),
            _ => format!("{one} or {two}"),
        });
    }
    texts.sort();
    texts.dedup();
    texts
}

fn names() -> Dictionary {
    let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
    Dictionary::from_tables(&read("/etc/hosts"), &read("/etc/services"), &read("/etc/protocols"))
}

/// A condition by itself: how it is read on flows, and libpcap's program of it.
struct Leaf {
    test: Test,
    filter: Filter,
    /// By itself, and behind `vlan` too where the expression has that.
    programs: Vec<Vec<ClassicInstruction>>,
}

#[test]
fn the_two_languages_differ_in_what_the_table_says_alone() {
    let pcap = Libpcap::get().expect("libpcap0.8 is installed");
    let names = names();
    let frames = traffic::all();
    let facts: Vec<_> = frames.iter().map(|frame| facts(frame)).collect();
    let compile = |text: &str| pcap.compile(text, Layer::Ethernet).ok().map(bare);
    let mut known: HashMap<(String, usize), Leaf> = HashMap::new();
    let (mut taken, mut judged) = (0, 0_u64);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unexplained: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for text in texts() {
        let Ok(Some(filter)) = Filter::parse(&text, &names) else { continue };
        let Some(program) = compile(&text) else { continue };
        taken += 1;
        let mut tests = Vec::new();
        leaves(filter.expression().unwrap(), &mut tests);
        // Behind `vlan` libpcap looks at another place.
        let places: &[&str] =
            if text.contains("vlan") { &["", "vlan and ", "vlan and vlan and "] } else { &[""] };
        let keys: Vec<(String, usize)> = tests
            .into_iter()
            .map(|test| {
                let text = Expression::Test(test.clone()).to_string();
                let key = (text.clone(), places.len());
                known.entry(key.clone()).or_insert_with(|| Leaf {
                    test,
                    filter: Filter::parse(&text, &names).unwrap().unwrap(),
                    programs: places
                        .iter()
                        .filter_map(|before| compile(&format!("{before}{text}")))
                        .collect(),
                });
                key
            })
            .collect();
        for facts in &facts {
            judged += 1;
            let (ours_say, theirs_say) = (ours(&filter, facts), pcap.matches(&program, facts.frame));
            if ours_say == theirs_say {
                continue;
            }
            let of_test = |row: &AllowedDifference| {
                keys.iter().any(|key| {
                    let Leaf { test, filter, programs } = &known[key];
                    let ours = || ours(filter, facts);
                    (row.of_test)(test, facts)
                        && programs.iter().any(|program| pcap.matches(program, facts.frame) != ours())
                })
            };
            let row = ALLOWED.iter().find(|row| (row.of_text)(&text, facts) || of_test(row));
            if let Some(row) = row {
                *seen.entry(row.row).or_default() += 1;
                continue;
            }
            let example = || {
                let says = format!("flows {ours_say}, packets {theirs_say}");
                (0, format!("{says}, {:?} {:02x?}", facts.kind, facts.frame))
            };
            unexplained.entry(text.clone()).or_insert_with(example).0 += 1;
        }
    }
    let mut shown: Vec<_> = unexplained.into_iter().collect();
    shown.sort_by_key(|(text, _)| text.len());
    let lines: Vec<String> =
        shown.iter().take(60).map(|(text, (count, one))| format!("{text}: {count}, {one}")).collect();
    assert!(
        lines.is_empty(),
        "{} expressions differ in what no row says:\n{}",
        shown.len(),
        lines.join("\n")
    );
    assert!(taken >= 800 && judged >= 4_000_000, "{taken} expressions, {judged} verdicts");
    let unseen: Vec<_> =
        ALLOWED.iter().filter(|row| !row.is_elsewhere && !seen.contains_key(row.row)).collect();
    assert!(
        unseen.is_empty(),
        "the two do not differ in these: {:?}",
        unseen.iter().map(|row| row.row).collect::<Vec<_>>()
    );
}

#[test]
fn what_can_match_nothing_is_refused_by_one_of_the_two() {
    let pcap = Libpcap::get().expect("libpcap0.8 is installed");
    for text in ["ip and arp", "tcp and udp", "ip6 and host 192.0.2.1"] {
        let refusal = pcap.compile(text, Layer::Ethernet).unwrap_err().to_string();
        assert!(refusal.contains("expression rejects all packets"), "{text}: {refusal}");
        assert!(Filter::parse(text, &names()).unwrap().is_some(), "{text}");
    }
}

/// What is typed from the documentation is taken by the language that serves there.
#[test]
fn the_examples_of_the_documentation_are_taken() {
    let pcap = Libpcap::get().expect("libpcap0.8 is installed");
    let mut count = [0; 2];
    for line in include_str!("../../docs/filters.md").lines().filter(|line| line.starts_with("flowtally ")) {
        let Some((_, expression)) = line.split_once("-f '") else { continue };
        let (expression, _) = expression.split_once('\'').unwrap();
        if line.starts_with("flowtally history") {
            assert!(Filter::parse(expression, &names()).unwrap().is_some(), "{line}");
            count[1] += 1;
        } else {
            pcap.compile(expression, Layer::Ethernet).unwrap_or_else(|error| panic!("{line}: {error}"));
            count[0] += 1;
        }
    }
    assert!(count[0] >= 20 && count[1] >= 2, "{count:?}");
}

/// What a reader is told is what the comparison allows, row by row.
#[test]
fn the_table_of_the_documentation_is_the_one_that_is_held_to() {
    let text = include_str!("../../docs/filters.md");
    let (_, table) =
        text.split_once("| expression | on packets (libpcap) | on flows |\n| --- | --- | --- |\n").unwrap();
    let rows = table.lines().map_while(|line| line.strip_prefix("| ")?.split_once(" | "));
    let rows: Vec<&str> = rows.map(|(first, _)| first).collect();
    let allowed: Vec<&str> = ALLOWED.iter().map(|row| row.row).collect();
    assert_eq!(rows, allowed);
}
