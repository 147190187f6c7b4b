//! As much of the kernel's machine as filters use.

use super::reference::Beside;
use crate::translate::{FilterHook, MachineInstruction};

/// Where the parts of memory begin.
const CONTEXT: u64 = 0x1_0000_0000;
const PACKET: u64 = 0x2_0000_0000;
const STACK: u64 = 0x3_0000_0000;
const STACK_SIZE: usize = 512;
/// Where values of maps begin, the first of each map.
const VALUES: u64 = 0x4_0000_0000;
/// How far they are from one another, and how long.
const VALUE_STEP: u64 = 0x100;
const VALUE_SIZE: usize = 64;

/// Maps with one value each, by the numbers of their descriptors: the epoch; the verdict for this machine's one CPU; the amounts beside the
/// flows, whose key is looked at.
pub(crate) struct MachineMaps {
    pub(crate) numbers: [i32; 3],
    pub(crate) values: [[u8; VALUE_SIZE]; 3],
    /// The last key that was longer than a number.
    pub(crate) key: [u8; 8],
    /// How often a program was called that there is not.
    pub(crate) calls: u32,
}

impl MachineMaps {
    pub(crate) fn new(numbers: [i32; 3], epoch: u32) -> Self {
        let mut values = [[0; VALUE_SIZE]; 3];
        values[0][..4].copy_from_slice(&epoch.to_le_bytes());
        Self { numbers, values, key: [0; 8], calls: 0 }
    }
}

pub(super) struct Machine<'a> {
    frame: &'a [u8],
    linear: usize,
    fields: Vec<(i64, u64)>,
    stack: [u8; STACK_SIZE],
    maps: Option<&'a mut MachineMaps>,
}

impl<'a> Machine<'a> {
    /// A machine with a frame of which `linear` bytes can be read directly.
    pub(super) fn new(frame: &'a [u8], linear: usize, hook: FilterHook, beside: &Beside) -> Self {
        let end = PACKET + linear as u64;
        let fields = match hook {
            FilterHook::Xdp => vec![(0, PACKET), (4, end), (12, beside.interface.into())],
            FilterHook::Received | FilterHook::Sent => vec![
                (0, frame.len() as u64),
                (4, beside.packet_type.into()),
                (16, u16::to_be(beside.protocol).into()),
                (20, beside.vlan.is_some().into()),
                (24, beside.vlan.unwrap_or_default().into()),
                (40, beside.interface.into()),
                (76, PACKET),
                (80, end),
            ],
        };
        Self { frame, linear, fields, stack: [0xaa; STACK_SIZE], maps: None }
    }

    /// The same machine with maps.
    pub(super) fn with(self, maps: &'a mut MachineMaps) -> Self {
        Self { maps: Some(maps), ..self }
    }

    fn load(&self, address: u64, width: usize) -> u64 {
        let within = |begin: u64| usize::try_from(address.checked_sub(begin)?).ok();
        let bytes = match address >> 32 {
            1 => {
                let offset = i64::try_from(address - CONTEXT).unwrap();
                return self.fields.iter().find(|(at, _)| *at == offset).expect("a field").1;
            }
            2 => &self.frame[..self.linear][within(PACKET).unwrap()..][..width],
            4 => {
                let (map, at) = place(address);
                &self.maps.as_ref().unwrap().values[map][at..][..width]
            }
            _ => &self.stack[within(STACK).unwrap()..][..width],
        };
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn store(&mut self, address: u64, width: usize, value: u64) {
        if address >= VALUES {
            let (map, at) = place(address);
            let maps = self.maps.as_mut().unwrap();
            maps.values[map][at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            return;
        }
        let at = usize::try_from(address - STACK).unwrap();
        self.stack[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }

    /// What a call returns.
    fn call(&mut self, helper: i32, r: &[u64; 11]) -> u64 {
        match helper {
            1 => {
                let (number, key) = (r[1], r[2]);
                let at = usize::try_from(key - STACK).unwrap();
                let maps = self.maps.as_mut().expect("maps");
                let map = maps.numbers.iter().position(|map| u64::from(map.cast_unsigned()) == number);
                let map = map.expect("a map");
                if map == 2 {
                    maps.key.copy_from_slice(&self.stack[at..at + 8]);
                } else {
                    assert_eq!(self.stack[at..at + 4], [0; 4]);
                }
                VALUES + map as u64 * VALUE_STEP
            }
            8 => 0,
            12 => {
                assert_eq!(r[1], CONTEXT);
                self.maps.as_mut().expect("maps").calls += 1;
                u64::MAX
            }
            26 | 189 => {
                let (from, into, length) = (r[2], r[3], usize::try_from(r[4]).unwrap());
                let found = usize::try_from(from).ok().and_then(|from| self.frame.get(from..)?.get(..length));
                let Some(bytes) = found.map(<[u8]>::to_vec) else { return u64::MAX };
                let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
                self.store(into, length, value);
                0
            }
            other => panic!("call {other}"),
        }
    }

    /// What the program returns.
    pub(super) fn run(mut self, code: &[MachineInstruction]) -> bool {
        let mut r = [0_u64; 11];
        (r[1], r[10]) = (CONTEXT, STACK + STACK_SIZE as u64);
        let mut at = 0_usize;
        loop {
            let MachineInstruction { code, to, from, offset, constant } = code[at];
            at += 1;
            let (to, from) = (usize::from(to), usize::from(from));
            let with = if code & 8 == 0 { i64::from(constant).cast_unsigned() } else { r[from] };
            let size = |code: u8| match code & 0x18 {
                0x00 => 4,
                0x08 => 2,
                0x10 => 1,
                _ => 8,
            };
            let address = |base: u64| base.wrapping_add_signed(offset.into());
            match code & 7 {
                0 if code == 0x18 => {
                    r[to] = u64::from(constant.cast_unsigned());
                    at += 1;
                }
                1 => r[to] = self.load(address(r[from]), size(code)),
                2 => self.store(address(r[to]), size(code), i64::from(constant).cast_unsigned()),
                3 => self.store(address(r[to]), size(code), r[from]),
                4 if code == 0xdc => {
                    r[to] = match constant {
                        16 => u64::from(u16::try_from(r[to] & 0xffff).unwrap().swap_bytes()),
                        _ => u64::from(low(r[to]).swap_bytes()),
                    }
                }
                4 => r[to] = u64::from(narrow(code, low(r[to]), low(with))),
                7 => {
                    r[to] = match code & 0xf0 {
                        0x00 => r[to].wrapping_add(with),
                        0x10 => r[to].wrapping_sub(with),
                        0xb0 => with,
                        other => panic!("{other:#x}"),
                    }
                }
                5 if code == 0x95 => return r[0] != 0,
                5 if code == 0x85 => {
                    r[0] = self.call(constant, &r);
                    // A call leaves nothing in them.
                    r[1..6].fill(0xdead);
                }
                5 | 6 => {
                    let (left, right) =
                        if code & 7 == 6 { (r[to] & 0xffff_ffff, with & 0xffff_ffff) } else { (r[to], with) };
                    let jumps = match code & 0xf0 {
                        0x00 => true,
                        0x10 => left == right,
                        0x20 => left > right,
                        0x30 => left >= right,
                        0x40 => left & right != 0,
                        0x50 => left != right,
                        0xa0 => left < right,
                        _ => left <= right,
                    };
                    if jumps {
                        at = at.checked_add_signed(offset.into()).unwrap();
                    }
                }
                other => panic!("class {other}"),
            }
        }
    }
}

/// Which map's value an address is in, and where in it.
fn place(address: u64) -> (usize, usize) {
    let offset = address - VALUES;
    (usize::try_from(offset / VALUE_STEP).unwrap(), usize::try_from(offset % VALUE_STEP).unwrap())
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap()
}

fn narrow(code: u8, left: u32, right: u32) -> u32 {
    match code & 0xf0 {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x20 => left.wrapping_mul(right),
        0x30 => left / right,
        0x40 => left | right,
        0x50 => left & right,
        0x60 => left << right,
        0x70 => left >> right,
        0x80 => left.wrapping_neg(),
        0x90 => left % right,
        0xa0 => left ^ right,
        _ => right,
    }
}
