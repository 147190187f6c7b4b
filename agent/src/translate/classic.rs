//! Classic BPF: the instructions, and what a checked program is made of.

use super::Untranslatable;

/// Most instructions of a program (`BPF_MAXINSNS`).
const MAX_LENGTH: usize = 4096;
/// Most steps once loops are written out.
const MAX_STEPS: usize = 16_384;
/// Words of scratch memory (`BPF_MEMWORDS`).
pub(super) const SCRATCH: u32 = 16;
/// Where loads begin that ask for something beside the frame (`SKF_AD_OFF`, `linux/filter.h`).
const METADATA: u32 = 0xffff_f000;

/// An instruction as libpcap (`struct bpf_insn`) and the kernel (`struct sock_filter`) have it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassicInstruction {
    /// What it does.
    pub code: u16,
    /// Instructions that are passed over where a test holds.
    pub on_true: u8,
    /// The same where it does not.
    pub on_false: u8,
    /// A constant, a place in the frame, or a word of scratch memory.
    pub operand: u32,
}

/// A program that is known to stay within itself, made simpler where that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicProgram {
    pub(super) steps: Vec<ClassicStep>,
}

/// What an instruction does; places in the program are from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClassicStep {
    /// A part of the frame, to A.
    Load {
        width: Width,
        at: u32,
    },
    /// The same, X bytes further on.
    LoadIndexed {
        width: Width,
        at: u32,
    },
    /// Four times the lower half of a byte, to X: the length of an IPv4 header.
    LoadHeaderLength {
        at: u32,
    },
    /// Something beside the frame, to A.
    LoadMetadata(Metadata),
    LoadLength(Register),
    LoadConstant(Register, u32),
    LoadScratch(Register, u8),
    Store(Register, u8),
    /// To A.
    Compute(Operation, Operand),
    Negate,
    /// X = A.
    ToIndex,
    /// A = X.
    ToAccumulator,
    Jump(usize),
    Branch {
        test: Comparison,
        operand: Operand,
        yes: usize,
        no: usize,
    },
    Accept,
    Reject,
    /// Unless A is 0.
    AcceptIfSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    A,
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Constant(u32),
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Byte = 1,
    Half = 2,
    Word = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    /// Some bit of the operand is set.
    AnySet,
}

impl Comparison {
    /// Whether the machine has the opposite test.
    pub(super) const fn has_opposite(self) -> bool {
        !matches!(self, Self::AnySet)
    }
}

/// What the kernel has beside the bytes of a frame (`SKF_AD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    Protocol,
    PacketType,
    Interface,
    VlanTag,
    VlanTagPresent,
}

impl ClassicProgram {
    /// How often a loop goes round (`protochain`: once a header) before the frame is rejected. libpcap's interpreter goes on to the end of
    /// the frame; the kernel's verifier wants an end that it can see.
    pub const ROUNDS: usize = 32;

    /// Checks a program.
    ///
    /// # Errors
    /// What is no program, or none that ends; loads of what is not known to any hook.
    pub fn check(instructions: &[ClassicInstruction]) -> Result<Self, Untranslatable> {
        let length = instructions.len();
        if length == 0 || length > MAX_LENGTH {
            return Err(Untranslatable::Length(length));
        }
        let decoded = instructions.iter().enumerate().map(|(at, one)| decode(*one, at, length));
        let steps = decoded.collect::<Result<Vec<_>, _>>()?;
        let ends = matches!(
            steps.last(),
            Some(
                ClassicStep::Accept
                    | ClassicStep::Reject
                    | ClassicStep::AcceptIfSet
                    | ClassicStep::Jump(_)
                    | ClassicStep::Branch { .. }
            )
        );
        if !ends {
            return Err(Untranslatable::Outside { at: length - 1, what: "program" });
        }
        let mut program = Self { steps };
        program.thread_jumps();
        program.unroll()?;
        Ok(program)
    }

    /// A program that rejects every frame.
    #[must_use]
    pub fn nothing() -> Self {
        Self { steps: vec![ClassicStep::Reject] }
    }

    /// Steps, unreachable ones too.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.steps.len()
    }

    /// Where a step goes on. None of an end.
    pub(super) fn next(&self, at: usize) -> [Option<usize>; 2] {
        match self.steps[at] {
            ClassicStep::Accept | ClassicStep::Reject | ClassicStep::AcceptIfSet => [None, None],
            ClassicStep::Jump(to) => [Some(to), None],
            ClassicStep::Branch { yes, no, .. } => [Some(yes), Some(no)],
            _ => [Some(at + 1), None],
        }
    }

    /// What a step runs into if it does not jump.
    fn falls_to(&self, at: usize) -> Option<usize> {
        let falls = match self.steps[at] {
            ClassicStep::Accept | ClassicStep::Reject | ClassicStep::AcceptIfSet | ClassicStep::Jump(_) => {
                false
            }
            ClassicStep::Branch { test, yes, no, .. } => no == at + 1 || yes == at + 1 && test.has_opposite(),
            _ => true,
        };
        falls.then_some(at + 1)
    }

    /// Steps that code is needed for, from some of them, those among them: an end that is only jumped to needs none.
    pub(super) fn reached(&self, from: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut reached = vec![false; self.steps.len()];
        let mut open: Vec<_> = from.into_iter().collect();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut reached[at], true) {
                let is_end = |to: usize| matches!(self.steps[to], ClassicStep::Accept | ClassicStep::Reject);
                let next = self.next(at).into_iter().flatten();
                open.extend(next.filter(|to| !is_end(*to) || self.falls_to(at) == Some(*to)));
            }
        }
        reached
    }

    /// Writes each loop out, so that all jumps go forwards: a jump backwards goes to the next copy of the loop, that of the last one
    /// rejects. The verifier would follow a loop with a counter through every way of every round.
    fn unroll(&mut self) -> Result<(), Untranslatable> {
        let loops = self.loops();
        if loops.is_empty() {
            return Ok(());
        }
        let length = self.steps.len();
        // Where the first copy of each step goes, and how many copies of it there are.
        let mut places = Vec::with_capacity(length);
        let mut next = 0;
        for at in 0..length {
            places.push(next);
            next += 1;
            if let Some((from, to)) = loops.iter().find(|(_, to)| *to == at) {
                next += (Self::ROUNDS - 1) * (to + 1 - from);
            }
        }
        if next + 1 > MAX_STEPS {
            return Err(Untranslatable::TooLong(next));
        }
        let end = next;
        let mut steps = Vec::with_capacity(next + 1);
        let mut at = 0;
        while at < length {
            let (from, to, rounds) = match loops.iter().find(|(from, _)| *from == at) {
                Some((from, to)) => (*from, *to, Self::ROUNDS),
                None => (at, at, 1),
            };
            let size = to + 1 - from;
            for round in 0..rounds {
                for inner in from..=to {
                    let target = |target: usize| {
                        let inside = (from..=to).contains(&target);
                        match (inside, target <= inner) {
                            (false, _) => places[target],
                            (true, false) => places[target] + round * size,
                            (true, true) if round + 1 < rounds => places[target] + (round + 1) * size,
                            (true, true) => end,
                        }
                    };
                    steps.push(match self.steps[inner] {
                        ClassicStep::Jump(to) => ClassicStep::Jump(target(to)),
                        ClassicStep::Branch { test, operand, yes, no } => {
                            ClassicStep::Branch { test, operand, yes: target(yes), no: target(no) }
                        }
                        // The next step is in the next copy only where this one jumps.
                        other => other,
                    });
                }
            }
            at = to + 1;
        }
        steps.push(ClassicStep::Reject);
        self.steps = steps;
        Ok(())
    }

    /// First and last step of each loop, in their order. Those that overlap are one.
    fn loops(&self) -> Vec<(usize, usize)> {
        let backwards = self.steps.iter().enumerate().filter_map(|(at, step)| match step {
            ClassicStep::Jump(to) if *to <= at => Some((*to, at)),
            _ => None,
        });
        let mut loops: Vec<_> = backwards.collect();
        loops.sort_unstable();
        loops.dedup_by(|(from, to), (_, before)| {
            let overlaps = *from <= *before;
            if overlaps {
                *before = (*before).max(*to);
            }
            overlaps
        });
        loops
    }

    /// Lets what goes to a forward jump go where that leads, and tests whose outcome does not matter be jumps.
    fn thread_jumps(&mut self) {
        for at in (0..self.steps.len()).rev() {
            // Steps behind this one lead to their last target already.
            let target = |to: usize| match self.steps[to] {
                ClassicStep::Jump(further) if to > at && further > to => further,
                _ => to,
            };
            self.steps[at] = match self.steps[at] {
                ClassicStep::Jump(to) => ClassicStep::Jump(target(to)),
                ClassicStep::Branch { test, operand, yes, no } => {
                    let (yes, no) = (target(yes), target(no));
                    if yes == no {
                        ClassicStep::Jump(yes)
                    } else {
                        ClassicStep::Branch { test, operand, yes, no }
                    }
                }
                other => other,
            };
        }
    }
}

fn decode(instruction: ClassicInstruction, at: usize, length: usize) -> Result<ClassicStep, Untranslatable> {
    use Register::{A, X};
    let ClassicInstruction { code, on_true, on_false, operand } = instruction;
    let inside = |to: usize| if to < length { Ok(to) } else { outside(at, "program") };
    let word = || match u8::try_from(operand) {
        Ok(word) if operand < SCRATCH => Ok(word),
        _ => outside(at, "scratch memory"),
    };
    Ok(match code {
        0x20 | 0x28 | 0x30 if operand >= METADATA => ClassicStep::LoadMetadata(metadata(operand - METADATA)?),
        0x20 => ClassicStep::Load { width: Width::Word, at: operand },
        0x28 => ClassicStep::Load { width: Width::Half, at: operand },
        0x30 => ClassicStep::Load { width: Width::Byte, at: operand },
        0x40 => ClassicStep::LoadIndexed { width: Width::Word, at: operand },
        0x48 => ClassicStep::LoadIndexed { width: Width::Half, at: operand },
        0x50 => ClassicStep::LoadIndexed { width: Width::Byte, at: operand },
        0xb1 => ClassicStep::LoadHeaderLength { at: operand },
        0x80 => ClassicStep::LoadLength(A),
        0x81 => ClassicStep::LoadLength(X),
        0x00 => ClassicStep::LoadConstant(A, operand),
        0x01 => ClassicStep::LoadConstant(X, operand),
        0x60 => ClassicStep::LoadScratch(A, word()?),
        0x61 => ClassicStep::LoadScratch(X, word()?),
        0x02 => ClassicStep::Store(A, word()?),
        0x03 => ClassicStep::Store(X, word()?),
        0x84 => ClassicStep::Negate,
        0x07 => ClassicStep::ToIndex,
        0x87 => ClassicStep::ToAccumulator,
        // libpcap's loops jump backwards: the offset has a sign.
        0x05 => match (at + 1).checked_add_signed(operand.cast_signed() as isize) {
            Some(to) => ClassicStep::Jump(inside(to)?),
            None => return outside(at, "program"),
        },
        0x06 if operand == 0 => ClassicStep::Reject,
        0x06 => ClassicStep::Accept,
        0x16 => ClassicStep::AcceptIfSet,
        _ => {
            let with = if code & 0x08 == 0 { Operand::Constant(operand) } else { Operand::Index };
            let unknown = || Untranslatable::Unknown { at, code };
            match code & !0xf8 {
                0x04 => {
                    let operation = operation(code & 0xf0).ok_or_else(unknown)?;
                    let divides = matches!(operation, Operation::Divide | Operation::Remainder);
                    if divides && with == Operand::Constant(0) {
                        return Err(Untranslatable::DivisionByZero { at });
                    }
                    ClassicStep::Compute(operation, with)
                }
                0x05 => ClassicStep::Branch {
                    test: comparison(code & 0xf0).ok_or_else(unknown)?,
                    operand: with,
                    yes: inside(at + 1 + usize::from(on_true))?,
                    no: inside(at + 1 + usize::from(on_false))?,
                },
                _ => return Err(unknown()),
            }
        }
    })
}

fn outside<T>(at: usize, what: &'static str) -> Result<T, Untranslatable> {
    Err(Untranslatable::Outside { at, what })
}

const fn operation(code: u16) -> Option<Operation> {
    Some(match code {
        0x00 => Operation::Add,
        0x10 => Operation::Subtract,
        0x20 => Operation::Multiply,
        0x30 => Operation::Divide,
        0x40 => Operation::Or,
        0x50 => Operation::And,
        0x60 => Operation::ShiftLeft,
        0x70 => Operation::ShiftRight,
        0x90 => Operation::Remainder,
        0xa0 => Operation::Xor,
        _ => return None,
    })
}

const fn comparison(code: u16) -> Option<Comparison> {
    Some(match code {
        0x10 => Comparison::Equal,
        0x20 => Comparison::Greater,
        0x30 => Comparison::GreaterOrEqual,
        0x40 => Comparison::AnySet,
        _ => return None,
    })
}

/// `SKF_AD_*`, `linux/filter.h`.
const fn metadata(number: u32) -> Result<Metadata, Untranslatable> {
    Ok(match number {
        0 => Metadata::Protocol,
        4 => Metadata::PacketType,
        8 => Metadata::Interface,
        44 => Metadata::VlanTag,
        48 => Metadata::VlanTagPresent,
        _ => {
            return Err(Untranslatable::Metadata(
                "something beside the frame that no word of the language means",
            ));
        }
    })
}
