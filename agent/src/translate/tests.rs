//! What is translated says the same as what it was translated from.

mod agreement;
mod machine;
mod reference;

use proptest::prelude::*;

use super::{ClassicInstruction, ClassicProgram, FilterEntry, FilterHook, PacketAccess, Untranslatable};
use agreement::agrees;
use machine::Machine;
use reference::Beside;

/// One instruction.
const fn op(code: u16, on_true: u8, on_false: u8, operand: u32) -> ClassicInstruction {
    ClassicInstruction { code, on_true, on_false, operand }
}

const ACCEPT: ClassicInstruction = op(0x06, 0, 0, 262_144);
const REJECT: ClassicInstruction = op(0x06, 0, 0, 0);

/// `tcp port 80 or 443` as libpcap 1.10 compiles it for Ethernet.
fn ports() -> Vec<ClassicInstruction> {
    vec![
        op(0x28, 0, 0, 12),
        op(0x15, 0, 7, 0x86dd),
        op(0x30, 0, 0, 20),
        op(0x15, 0, 18, 6),
        op(0x28, 0, 0, 54),
        op(0x15, 15, 0, 80),
        op(0x15, 14, 0, 443),
        op(0x28, 0, 0, 56),
        op(0x15, 12, 11, 80),
        op(0x15, 0, 12, 0x0800),
        op(0x30, 0, 0, 23),
        op(0x15, 0, 10, 6),
        op(0x28, 0, 0, 20),
        op(0x45, 8, 0, 0x1fff),
        op(0xb1, 0, 0, 14),
        op(0x48, 0, 0, 14),
        op(0x15, 4, 0, 80),
        op(0x15, 3, 0, 443),
        op(0x48, 0, 0, 16),
        op(0x15, 1, 0, 80),
        op(0x15, 0, 1, 443),
        ACCEPT,
        REJECT,
    ]
}

/// An IPv4 frame of TCP to a port.
fn tcp(port: u16) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[23] = 6;
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame
}

#[test]
fn a_filter_for_ports_finds_them_wherever_the_frame_lies() {
    for port in [80, 443, 81] {
        let frame = tcp(port);
        let program = ClassicProgram::check(&ports()).unwrap();
        let entry = FilterEntry {
            hook: FilterHook::Received,
            access: PacketAccess::Direct,
            judgement: Some(&program),
            before: None,
        };
        for linear in [0, 14, 24, 35, 60] {
            let code = entry.alone().unwrap();
            let found = Machine::new(&frame, linear, entry.hook, &Beside::default()).run(&code);
            assert_eq!(found, port != 81, "port {port}, {linear} bytes");
        }
        for length in 0..frame.len() {
            agrees(&ports(), &frame[..length], length);
        }
    }
}

#[test]
fn what_is_proven_is_not_compared_again() {
    let program = ClassicProgram::check(&[
        op(0x20, 0, 0, 30),
        op(0x15, 0, 3, 1),
        op(0x28, 0, 0, 12),
        op(0x15, 0, 1, 0x0800),
        ACCEPT,
        REJECT,
    ])
    .unwrap();
    let entry = FilterEntry {
        hook: FilterHook::Xdp,
        access: PacketAccess::InOnePiece,
        judgement: Some(&program),
        before: None,
    };
    let code = entry.alone().unwrap();
    let comparisons = code.iter().filter(|one| one.code == 0x2d).count();
    assert_eq!(comparisons, 1, "{code:?}");
}

#[test]
fn a_load_beyond_the_frame_and_a_division_by_zero_reject() {
    let frame = [1, 2, 3, 4, 5, 6];
    for program in [
        vec![op(0x20, 0, 0, 3), ACCEPT],
        vec![op(0x20, 0, 0, 2), ACCEPT],
        vec![op(0x30, 0, 0, 0xffff_0000), ACCEPT],
        vec![op(0x01, 0, 0, u32::MAX), op(0x50, 0, 0, 3), ACCEPT],
        vec![op(0x00, 0, 0, 8), op(0x3c, 0, 0, 0), ACCEPT],
        vec![op(0x00, 0, 0, 8), op(0x9c, 0, 0, 0), ACCEPT],
        vec![op(0x01, 0, 0, 70_000), op(0x50, 0, 0, 3), ACCEPT],
        vec![op(0x30, 0, 0, 70_000), ACCEPT],
    ] {
        agrees(&program, &frame, 6);
        agrees(&program, &frame, 3);
    }
}

#[test]
fn an_extension_header_is_passed_by_a_loop() {
    // X = 0; while byte[X] != 0 and the frame lasts: X += byte[X].
    let program = [
        op(0x01, 0, 0, 0),
        op(0x50, 0, 0, 0),
        op(0x15, 3, 0, 0),
        op(0x0c, 0, 0, 0),
        op(0x07, 0, 0, 0),
        op(0x05, 0, 0, (-5_i32).cast_unsigned()),
        ACCEPT,
    ];
    agrees(&program, &[3, 9, 9, 2, 9, 1, 0], 7);
    agrees(&program, &[3, 9, 9, 2, 9, 1, 1], 7);
    agrees(&program, &[1; 40], 20);
    let mut long = [1; 200];
    long[199] = 0;
    let program = ClassicProgram::check(&program).unwrap();
    let entry = FilterEntry {
        hook: FilterHook::Received,
        access: PacketAccess::Direct,
        judgement: Some(&program),
        before: None,
    };
    let code = entry.alone().unwrap();
    assert!(!Machine::new(&long, 200, entry.hook, &Beside::default()).run(&code), "a loop has its bound");
    assert!(Machine::new(&long[170..], 30, entry.hook, &Beside::default()).run(&code));
}

#[test]
fn what_is_no_program_is_refused_in_words() {
    let refused = |program: &[ClassicInstruction]| ClassicProgram::check(program).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            refused(&[]),
            refused(&[op(0x20, 0, 0, 0)]),
            refused(&[op(0x05, 0, 0, 1), ACCEPT]),
            refused(&[op(0x15, 0, 200, 1), ACCEPT]),
            refused(&[op(0x02, 0, 0, 16), ACCEPT]),
            refused(&[op(0x34, 0, 0, 0), ACCEPT]),
            refused(&[op(0xff, 0, 0, 0), ACCEPT]),
            refused(&[op(0x28, 0, 0, 0xffff_f018), ACCEPT]),
        ]
        .join("\n")
    );
    let endless = [op(0x05, 0, 0, u32::MAX)];
    assert_eq!(
        ClassicProgram::check(&endless).map(|program| program.length()),
        Ok(ClassicProgram::ROUNDS + 1)
    );
    let long: Vec<_> =
        (0..1000).map(|_| op(0x04, 0, 0, 1)).chain([op(0x05, 0, 0, (-1001_i32).cast_unsigned())]).collect();
    assert_eq!(ClassicProgram::check(&long), Err(Untranslatable::TooLong(1001 * ClassicProgram::ROUNDS)));
}

/// Instructions that are likely to be a program: codes that exist, places near the beginning.
fn likely() -> impl Strategy<Value = Vec<ClassicInstruction>> {
    let codes = [
        0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xb1, 0x80, 0x81, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x84, 0x07,
        0x87, 0x05, 0x15, 0x25, 0x35, 0x45, 0x1d, 0x2d, 0x3d, 0x4d, 0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64,
        0x74, 0x94, 0xa4, 0x0c, 0x1c, 0x2c, 0x3c, 0x4c, 0x5c, 0x6c, 0x7c, 0x9c, 0xac, 0x06, 0x16,
    ];
    let operand = prop_oneof![
        8 => 0_u32..20,
        4 => 0_u32..80,
        1 => any::<u32>(),
        1 => prop::sample::select(vec![0xffff_f004, 0xffff_f008, 0xffff_f02c, 0xffff_f030, 0xffff_f000, 65_530, 32_768]),
    ];
    let one = (prop::sample::select(codes.to_vec()), 0_u8..6, 0_u8..6, operand)
        .prop_map(|(code, on_true, on_false, operand)| op(code, on_true, on_false, operand));
    prop::collection::vec(one, 0..40).prop_map(|mut program| {
        // So that most tests have somewhere to go.
        program.extend([REJECT, ACCEPT, REJECT, ACCEPT, op(0x16, 0, 0, 0), ACCEPT, REJECT]);
        program
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn likely_programs_say_the_same(program in likely(), frame in prop::collection::vec(0_u8..24, 0..90), linear in 0..90_usize) {
        agrees(&program, &frame, linear.min(frame.len()));
    }

    #[test]
    fn anything_is_taken_or_refused(
        raw in prop::collection::vec((any::<u16>(), any::<u8>(), any::<u8>(), any::<u32>()), 0..30),
        frame in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let program: Vec<_> = raw.into_iter().map(|(code, on_true, on_false, operand)| op(code, on_true, on_false, operand)).collect();
        agrees(&program, &frame, frame.len());
    }
}
