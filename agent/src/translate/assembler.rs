//! Instructions of the kernel's machine (eBPF), and putting them together with labels for where they jump.

use super::Untranslatable;

/// An instruction of eBPF, `struct bpf_insn` of `linux/bpf.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineInstruction {
    /// What it does.
    pub code: u8,
    /// The register that it is done to.
    pub to: u8,
    /// The register that it is done with.
    pub from: u8,
    /// Of memory or of a jump.
    pub offset: i16,
    /// A constant.
    pub constant: i32,
}

impl MachineInstruction {
    /// As the kernel of a little-endian host reads it.
    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        let mut bytes = [self.code, self.from << 4 | self.to, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&self.offset.to_le_bytes());
        bytes[4..].copy_from_slice(&self.constant.to_le_bytes());
        bytes
    }
}

/// A place that is jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JumpLabel(usize);

/// A machine register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reg(pub(super) u8);

/// Where calls return, and what a program returns.
pub(super) const R0: Reg = Reg(0);
pub(super) const R1: Reg = Reg(1);
pub(super) const R2: Reg = Reg(2);
pub(super) const R3: Reg = Reg(3);
pub(super) const R4: Reg = Reg(4);
/// The end of the frame's bytes; calls destroy it.
pub(super) const END: Reg = Reg(5);
/// What the program was called with.
pub(super) const CONTEXT: Reg = Reg(6);
/// The classic machine's A, in 32 bits.
pub(super) const A: Reg = Reg(7);
/// The classic machine's X, in 32 bits.
pub(super) const X: Reg = Reg(8);
/// The beginning of the frame's bytes.
pub(super) const DATA: Reg = Reg(9);
/// The stack's upper end.
pub(super) const FRAME: Reg = Reg(10);

/// Classes, operations and modes (`linux/bpf.h`, `linux/bpf_common.h`).
const LOAD_WIDE: u8 = 0x18;
const JUMP: u8 = 0x05;
const JUMP_32: u8 = 0x06;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const TO_BIG_ENDIAN: u8 = 0xdc;
const WITH_REGISTER: u8 = 0x08;
const MAP_BY_NUMBER: u8 = 1;

/// Size bits of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessSize {
    Word = 0x00,
    Half = 0x08,
    Byte = 0x10,
    Double = 0x18,
}

/// Operation bits of arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alu {
    Add = 0x00,
    Subtract = 0x10,
    Multiply = 0x20,
    Divide = 0x30,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Negate = 0x80,
    Remainder = 0x90,
    Xor = 0xa0,
    Move = 0xb0,
}

/// Operation bits of a conditional jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Equal = 0x10,
    Greater = 0x20,
    GreaterOrEqual = 0x30,
    AnySet = 0x40,
    NotEqual = 0x50,
    Less = 0xa0,
    LessOrEqual = 0xb0,
}

/// What an operation is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum With {
    Constant(i32),
    Register(Reg),
}

/// A program that is being written.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    instructions: Vec<MachineInstruction>,
    /// By label, the place that it stands for.
    places: Vec<Option<usize>>,
    /// Jumps whose offset is to be filled in.
    jumps: Vec<(usize, JumpLabel)>,
}

impl Assembler {
    pub(super) fn label(&mut self) -> JumpLabel {
        self.places.push(None);
        JumpLabel(self.places.len() - 1)
    }

    /// The label stands for what comes next.
    pub(super) fn place(&mut self, label: JumpLabel) {
        self.places[label.0] = Some(self.instructions.len());
    }

    /// Whether something jumps there.
    pub(super) fn is_used(&self, label: JumpLabel) -> bool {
        self.jumps.iter().any(|(_, to)| *to == label)
    }

    fn push(&mut self, code: u8, to: Reg, from: Reg, offset: i16, constant: i32) {
        self.instructions.push(MachineInstruction { code, to: to.0, from: from.0, offset, constant });
    }

    pub(super) fn load(&mut self, size: AccessSize, to: Reg, from: Reg, offset: i16) {
        self.push(0x61 | size as u8, to, from, offset, 0);
    }

    pub(super) fn store(&mut self, size: AccessSize, to: Reg, offset: i16, from: Reg) {
        self.push(0x63 | size as u8, to, from, offset, 0);
    }

    pub(super) fn store_constant(&mut self, size: AccessSize, to: Reg, offset: i16, constant: i32) {
        self.push(0x62 | size as u8, to, R0, offset, constant);
    }

    fn arithmetic(&mut self, class: u8, operation: Alu, to: Reg, with: With) {
        match with {
            With::Constant(constant) => self.push(class | operation as u8, to, R0, 0, constant),
            With::Register(from) => self.push(class | operation as u8 | WITH_REGISTER, to, from, 0, 0),
        }
    }

    /// Of all 64 bits.
    pub(super) fn wide(&mut self, operation: Alu, to: Reg, with: With) {
        self.arithmetic(0x07, operation, to, with);
    }

    /// Of the lower 32 bits; the upper ones become 0.
    pub(super) fn narrow(&mut self, operation: Alu, to: Reg, with: With) {
        self.arithmetic(0x04, operation, to, with);
    }

    /// From network order, where it has more than one byte.
    pub(super) fn swap_network_order(&mut self, register: Reg, size: AccessSize) {
        match size {
            AccessSize::Byte | AccessSize::Double => {}
            AccessSize::Half => self.push(TO_BIG_ENDIAN, register, R0, 0, 16),
            AccessSize::Word => self.push(TO_BIG_ENDIAN, register, R0, 0, 32),
        }
    }

    pub(super) fn jump(&mut self, to: JumpLabel) {
        self.jumps.push((self.instructions.len(), to));
        self.push(JUMP, R0, R0, 0, 0);
    }

    fn jump_if(&mut self, class: u8, condition: Condition, left: Reg, with: With, to: JumpLabel) {
        self.jumps.push((self.instructions.len(), to));
        match with {
            With::Constant(constant) => self.push(class | condition as u8, left, R0, 0, constant),
            With::Register(right) => self.push(class | condition as u8 | WITH_REGISTER, left, right, 0, 0),
        }
    }

    /// Compares all 64 bits, without a sign.
    pub(super) fn jump_if_wide(&mut self, condition: Condition, left: Reg, with: With, to: JumpLabel) {
        self.jump_if(JUMP, condition, left, with, to);
    }

    /// Compares the lower 32 bits, without a sign.
    pub(super) fn jump_if_narrow(&mut self, condition: Condition, left: Reg, with: With, to: JumpLabel) {
        self.jump_if(JUMP_32, condition, left, with, to);
    }

    /// A map by the number of its descriptor.
    pub(super) fn load_map(&mut self, to: Reg, descriptor: i32) {
        self.push(LOAD_WIDE, to, Reg(MAP_BY_NUMBER), 0, descriptor);
        self.push(0, R0, R0, 0, 0);
    }

    pub(super) fn call(&mut self, helper: i32) {
        self.push(CALL, R0, R0, 0, helper);
    }

    pub(super) fn exit(&mut self) {
        self.push(EXIT, R0, R0, 0, 0);
    }

    /// The program, with all jumps filled in.
    pub(super) fn finish(mut self) -> Result<Vec<MachineInstruction>, Untranslatable> {
        let length = self.instructions.len();
        for (at, label) in self.jumps {
            let place = self.places[label.0].unwrap_or(length);
            let distance = isize::try_from(place).ok().and_then(|place| place.checked_sub_unsigned(at + 1));
            let offset = distance.and_then(|distance| i16::try_from(distance).ok());
            self.instructions[at].offset = offset.ok_or(Untranslatable::TooLong(length))?;
        }
        Ok(self.instructions)
    }
}
