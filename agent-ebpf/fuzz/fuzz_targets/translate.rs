//! Whatever classic BPF is asked for: it is refused, or what it becomes is well-formed, a filter and nothing else, and says what classic BPF
//! says by its definition. From agent-ebpf:
//!
//! ```text
//! cargo +nightly fuzz run translate
//! ```
#![no_main]

#[expect(dead_code, unused_imports, reason = "a part of the agent, of which the agent uses more")]
#[path = "../../../agent/src/translate/mod.rs"]
mod translate;

#[path = "../../../agent/src/translate/tests/agreement.rs"]
mod agreement;
#[path = "../../../agent/src/translate/tests/machine.rs"]
mod machine;
#[path = "../../../agent/src/translate/tests/reference.rs"]
mod reference;

use agreement::agrees;
use libfuzzer_sys::fuzz_target;
use translate::ClassicInstruction;

/// Operations that exist; anything else is one byte away.
const CODES: [u16; 49] = [
    0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0xb1, 0x80, 0x81, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x84, 0x07, 0x87,
    0x05, 0x15, 0x25, 0x35, 0x45, 0x1d, 0x2d, 0x3d, 0x4d, 0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0x94,
    0xa4, 0x0c, 0x1c, 0x2c, 0x3c, 0x4c, 0x5c, 0x6c, 0x7c, 0x9c, 0xac, 0x06, 0x16,
];
/// Ends that jumps over the last instruction find.
const ENDS: [u32; 6] = [0, 1, 0, 1, 1, 0];

/// How many bytes of a frame lie in its first piece, how many instructions there are, those, and the frame.
fn decode(bytes: &[u8]) -> Option<(Vec<ClassicInstruction>, &[u8], usize)> {
    let (&[linear, count], rest) = bytes.split_first_chunk()?;
    let (code, frame) = rest.split_at_checked(usize::from(count) * 5)?;
    let instruction = |five: &[u8]| {
        let &[code, on_true, on_false, kind, operand] = five else { return ClassicInstruction::default() };
        let other = u16::from(code) | u16::from(on_true & 0x80) << 1;
        ClassicInstruction {
            code: CODES.get(usize::from(code)).copied().unwrap_or(other),
            on_true: on_true & 0x7f,
            on_false,
            operand: match kind & 7 {
                0..4 => operand.into(),
                4 => u32::from(kind) << 8 | u32::from(operand),
                // Beside the frame.
                5 => 0xffff_f000 | u32::from(operand),
                // A jump backwards, or nearly all.
                6 => (-i32::from(operand)).cast_unsigned(),
                _ => u32::from(kind >> 3) << 27 | u32::from(operand),
            },
        }
    };
    let mut program: Vec<_> = code.chunks_exact(5).map(instruction).collect();
    program.extend(ENDS.map(|operand| ClassicInstruction { code: 0x06, on_true: 0, on_false: 0, operand }));
    Some((program, frame, linear.into()))
}

fuzz_target!(|bytes: &[u8]| {
    if let Some((program, frame, linear)) = decode(bytes) {
        agrees(&program, frame, linear);
    }
});
