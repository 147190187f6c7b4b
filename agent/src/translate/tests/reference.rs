//! Classic BPF run as its definition says, instruction by instruction.

use crate::translate::ClassicInstruction;

/// What a program says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Reject,
    /// Its loops went round more often than translated ones may.
    Endless,
}

/// What the kernel has beside a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside {
    pub(super) packet_type: u32,
    pub(super) vlan: Option<u16>,
    pub(super) interface: u32,
    pub(super) protocol: u16,
}

pub(super) fn interpret(
    program: &[ClassicInstruction],
    frame: &[u8],
    beside: &Beside,
    rounds: usize,
) -> Verdict {
    let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [0_u32; 16], 0_usize);
    let mut jumps = 0;
    let read = |from: u64, width: u64| {
        let bytes = frame.get(usize::try_from(from).ok()?..usize::try_from(from + width).ok()?)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    };
    loop {
        let ClassicInstruction { code, on_true, on_false, operand: k } = program[at];
        at += 1;
        let other = if code & 8 == 0 { k } else { x };
        let width = |code: u16| match code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            _ => 1,
        };
        match code {
            0x20 | 0x28 | 0x30 if k >= 0xffff_f000 => {
                a = match k - 0xffff_f000 {
                    0 => beside.protocol.into(),
                    4 => beside.packet_type,
                    8 => beside.interface,
                    44 => beside.vlan.unwrap_or_default().into(),
                    _ => beside.vlan.is_some().into(),
                }
            }
            0x20 | 0x28 | 0x30 => match read(k.into(), width(code)) {
                Some(value) => a = value,
                None => return Verdict::Reject,
            },
            0x40 | 0x48 | 0x50 => match read(u64::from(k) + u64::from(x), width(code)) {
                Some(value) => a = value,
                None => return Verdict::Reject,
            },
            0xb1 => match read(k.into(), 1) {
                Some(value) => x = (value & 15) * 4,
                None => return Verdict::Reject,
            },
            0x80 => a = u32::try_from(frame.len()).unwrap(),
            0x81 => x = u32::try_from(frame.len()).unwrap(),
            0x00 => a = k,
            0x01 => x = k,
            0x60 => a = memory[k as usize],
            0x61 => x = memory[k as usize],
            0x02 => memory[k as usize] = a,
            0x03 => memory[k as usize] = x,
            0x84 => a = a.wrapping_neg(),
            0x07 => x = a,
            0x87 => a = x,
            0x05 => {
                if k.cast_signed() < 0 {
                    jumps += 1;
                    if jumps >= rounds {
                        return Verdict::Endless;
                    }
                }
                at = at.checked_add_signed(k.cast_signed() as isize).unwrap();
            }
            0x06 => return if k == 0 { Verdict::Reject } else { Verdict::Accept },
            0x16 => return if a == 0 { Verdict::Reject } else { Verdict::Accept },
            _ if code & 7 == 5 => {
                let holds = match code & 0xf0 {
                    0x10 => a == other,
                    0x20 => a > other,
                    0x30 => a >= other,
                    _ => a & other != 0,
                };
                at += usize::from(if holds { on_true } else { on_false });
            }
            _ => {
                let shift = if code & 8 == 0 { Some(k & 31) } else { (x < 32).then_some(x) };
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(other),
                    0x10 => a.wrapping_sub(other),
                    0x20 => a.wrapping_mul(other),
                    0x30 | 0x90 if other == 0 => return Verdict::Reject,
                    0x30 => a / other,
                    0x90 => a % other,
                    0x40 => a | other,
                    0x50 => a & other,
                    0x60 => shift.map_or(0, |by| a << by),
                    0x70 => shift.map_or(0, |by| a >> by),
                    _ => a ^ other,
                };
            }
        }
    }
}
