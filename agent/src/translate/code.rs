//! A classic program as machine code.
//!
//! It comes twice. The first copy reads the frame where it lies; one comparison says whether bytes up to some place are there,
//! and is left out where an earlier one on every way has said it. Where they are not, the second copy goes on from the very
//! instruction: it asks the kernel for every load, which knows bytes elsewhere in memory and where the frame ends.

use super::{
    ClassicProgram, Untranslatable,
    assembler::{
        A, AccessSize, Alu, Assembler, CONTEXT, Condition, DATA, END, FRAME, JumpLabel, R0, R1, R2, R3, R4,
        Reg, With, X,
    },
    classic::{ClassicStep, Comparison, Metadata, Operand, Operation, Register, Width},
    hook::{FilterHook, PacketAccess},
};

/// Last offset that the verifier lets a packet's pointer be moved by (`MAX_PACKET_OFF`), less the widest load.
const FURTHEST: u32 = 0xffff - 8;
/// Longest frame that a helper reads from.
const LONGEST: i32 = i32::MAX;
/// `BPF_FUNC_skb_load_bytes`, `BPF_FUNC_xdp_load_bytes`.
const SKB_LOAD_BYTES: i32 = 26;
const XDP_LOAD_BYTES: i32 = 189;

/// Where the fields of the contexts are (`struct __sk_buff`, `struct xdp_md`, `linux/bpf.h`).
mod field {
    pub(super) const SKB_LENGTH: i16 = 0;
    pub(super) const SKB_PACKET_TYPE: i16 = 4;
    pub(super) const SKB_PROTOCOL: i16 = 16;
    pub(super) const SKB_VLAN_PRESENT: i16 = 20;
    pub(super) const SKB_VLAN_TCI: i16 = 24;
    pub(super) const SKB_INTERFACE: i16 = 40;
    pub(super) const SKB_DATA: i16 = 76;
    pub(super) const SKB_END: i16 = 80;
    pub(super) const XDP_DATA: i16 = 0;
    pub(super) const XDP_END: i16 = 4;
    pub(super) const XDP_INTERFACE: i16 = 12;
}

/// `PACKET_OUTGOING`, `linux/if_packet.h`.
const OUTGOING: i32 = 4;
/// Every network namespace's loopback interface has it (`LOOPBACK_IFINDEX`, `net/flow.h`).
const LOOPBACK: i32 = 1;

/// The stack, from its upper end: what a helper loads, what [`super::program`] keeps, scratch memory.
const LOADED: i16 = -8;
const SCRATCH: i16 = -32;

/// Where a program's code is to be put, and where it is to go.
pub(super) struct CodePlace<'a> {
    pub(super) assembler: &'a mut Assembler,
    pub(super) hook: FilterHook,
    pub(super) access: PacketAccess,
    pub(super) accept: JumpLabel,
    pub(super) reject: JumpLabel,
}

/// The code of one program.
struct Code<'a, 'b> {
    program: &'b ClassicProgram,
    place: CodePlace<'a>,
    /// Of the steps, in the copy that reads directly.
    direct: Vec<JumpLabel>,
    /// The same in the copy that asks.
    asking: Vec<JumpLabel>,
    /// From which direct steps the other copy is entered.
    entered: Vec<usize>,
}

/// Writes the code of a program, which expects the context in its register and goes to one of the place's two labels. Both copies
/// leave nothing behind but what the stack has.
pub(super) fn write(program: &ClassicProgram, place: CodePlace<'_>) -> Result<(), Untranslatable> {
    let count = program.length();
    let labels = |assembler: &mut Assembler| (0..count).map(|_| assembler.label()).collect::<Vec<_>>();
    let (direct, asking) = (labels(place.assembler), labels(place.assembler));
    let mut code = Code { program, place, direct, asking, entered: Vec::new() };
    code.begin();
    let directly = code.place.access.is_direct();
    if directly {
        code.copy(&program.reached([0]), Some(&proven(program)))?;
    }
    let entries = if directly { std::mem::take(&mut code.entered) } else { vec![0] };
    if !entries.is_empty() {
        code.copy(&program.reached(entries), None)?;
    }
    Ok(())
}

/// How many bytes of the frame are known to be there when a step begins, whatever way led to it.
fn proven(program: &ClassicProgram) -> Vec<u32> {
    let count = program.length();
    let mut known: Vec<Option<u32>> = vec![None; count];
    known[0] = Some(0);
    for at in 0..count {
        let Some(before) = known[at] else { continue };
        let after = match reach(program.steps[at]) {
            Some(end) if end <= FURTHEST => before.max(end),
            _ => before,
        };
        // All jumps go forwards.
        for to in program.next(at).into_iter().flatten() {
            known[to] = Some(known[to].map_or(after, |other| other.min(after)));
        }
    }
    known.into_iter().map(Option::unwrap_or_default).collect()
}

/// Where the bytes end that a step reads at a fixed place.
fn reach(step: ClassicStep) -> Option<u32> {
    match step {
        ClassicStep::Load { width, at } => at.checked_add(width as u32),
        ClassicStep::LoadHeaderLength { at } => at.checked_add(1),
        _ => None,
    }
}

impl Code<'_, '_> {
    /// What both copies start from: A and X are 0, and so are scratch memory, as far as it is used.
    fn begin(&mut self) {
        self.load_bounds();
        self.constant(A, 0);
        self.constant(X, 0);
        let mut words = [false; 16];
        for step in &self.program.steps {
            if let ClassicStep::LoadScratch(_, word) | ClassicStep::Store(_, word) = step {
                words[usize::from(*word)] = true;
            }
        }
        for (word, _) in (0..).zip(words).filter(|(_, used)| *used) {
            self.place.assembler.store_constant(AccessSize::Double, FRAME, scratch(word), 0);
        }
    }

    fn load_bounds(&mut self) {
        if self.place.access.is_direct() {
            let (data, end) = match self.place.hook {
                FilterHook::Xdp => (field::XDP_DATA, field::XDP_END),
                FilterHook::Received | FilterHook::Sent => (field::SKB_DATA, field::SKB_END),
            };
            self.place.assembler.load(AccessSize::Word, DATA, CONTEXT, data);
            self.place.assembler.load(AccessSize::Word, END, CONTEXT, end);
        }
    }

    /// Writes the steps that are reached, in their order. `proven` says which copy it is: the direct one knows what is there.
    fn copy(&mut self, reached: &[bool], proven: Option<&[u32]>) -> Result<(), Untranslatable> {
        for at in (0..self.program.length()).filter(|at| reached[*at]) {
            let label = self.of(at, proven.is_some());
            self.place.assembler.place(label);
            self.step(at, proven.map(|proven| proven[at]))?;
        }
        Ok(())
    }

    fn of(&self, at: usize, direct: bool) -> JumpLabel {
        if direct { self.direct[at] } else { self.asking[at] }
    }

    /// Where going to a step leads: to one of the ends if it is one.
    fn target(&self, to: usize, direct: bool) -> JumpLabel {
        match self.program.steps[to] {
            ClassicStep::Accept => self.place.accept,
            ClassicStep::Reject => self.place.reject,
            _ => self.of(to, direct),
        }
    }

    /// The asking copy's label of a step that the direct copy cannot do.
    fn ask_instead(&mut self, at: usize) -> JumpLabel {
        if self.place.hook == FilterHook::Xdp && !self.place.access.has_helper() {
            return self.place.reject;
        }
        self.entered.push(at);
        self.asking[at]
    }

    /// `proven` bytes are known to be there in the direct copy; `None` in the other.
    fn step(&mut self, at: usize, proven: Option<u32>) -> Result<(), Untranslatable> {
        let direct = proven.is_some();
        match self.program.steps[at] {
            ClassicStep::Load { width, at: from } => self.load(at, A, width, from, proven),
            ClassicStep::LoadHeaderLength { at: from } => {
                self.load(at, X, Width::Byte, from, proven);
                self.place.assembler.narrow(Alu::And, X, With::Constant(0xf));
                self.place.assembler.narrow(Alu::ShiftLeft, X, With::Constant(2));
            }
            ClassicStep::LoadIndexed { width, at: from } => self.load_indexed(at, width, from, direct),
            ClassicStep::LoadMetadata(what) => self.metadata(what)?,
            ClassicStep::LoadLength(register) => {
                length(self.place.assembler, self.place.hook, machine(register));
            }
            ClassicStep::LoadConstant(register, value) => self.constant(machine(register), value),
            ClassicStep::LoadScratch(register, word) => {
                self.place.assembler.load(AccessSize::Double, machine(register), FRAME, scratch(word));
            }
            ClassicStep::Store(register, word) => {
                self.place.assembler.store(AccessSize::Double, FRAME, scratch(word), machine(register));
            }
            ClassicStep::Compute(operation, operand) => self.compute(operation, operand),
            ClassicStep::Negate => self.place.assembler.narrow(Alu::Negate, A, With::Constant(0)),
            ClassicStep::ToIndex => self.place.assembler.narrow(Alu::Move, X, With::Register(A)),
            ClassicStep::ToAccumulator => self.place.assembler.narrow(Alu::Move, A, With::Register(X)),
            ClassicStep::Jump(to) => self.jump(to, direct),
            ClassicStep::Branch { test, operand, yes, no } => {
                self.branch(at, test, operand, [yes, no], direct);
            }
            ClassicStep::Accept => self.place.assembler.jump(self.place.accept),
            ClassicStep::Reject => self.place.assembler.jump(self.place.reject),
            ClassicStep::AcceptIfSet => {
                let CodePlace { accept, reject, .. } = self.place;
                self.place.assembler.jump_if_narrow(Condition::NotEqual, A, With::Constant(0), accept);
                self.place.assembler.jump(reject);
            }
        }
        Ok(())
    }

    fn constant(&mut self, to: Reg, value: u32) {
        self.place.assembler.narrow(Alu::Move, to, With::Constant(value.cast_signed()));
    }

    /// A load at a fixed place.
    fn load(&mut self, at: usize, to: Reg, width: Width, from: u32, proven: Option<u32>) {
        let size = size(width);
        let end = from.checked_add(width as u32).filter(|end| *end <= LONGEST.cast_unsigned());
        let (Some(end), Some(proven)) = (end, proven) else {
            if end.is_none() {
                // Whatever follows is reached by nobody, but that the verifier sees when it runs through it.
                self.never();
            } else {
                self.constant(R2, from);
                self.ask(to, width);
            }
            return;
        };
        if end > FURTHEST {
            let elsewhere = self.ask_instead(at);
            self.unless_never(elsewhere);
            return;
        }
        let near = i16::try_from(from).ok();
        let assembler = |code: &mut Self| {
            let end = With::Constant(end.cast_signed());
            code.place.assembler.wide(Alu::Move, R0, With::Register(DATA));
            code.place.assembler.wide(Alu::Add, R0, end);
        };
        if proven < end || near.is_none() {
            let elsewhere = self.ask_instead(at);
            assembler(self);
            self.place.assembler.jump_if_wide(Condition::Greater, R0, With::Register(END), elsewhere);
        }
        match near {
            Some(near) => self.place.assembler.load(size, to, DATA, near),
            None => self.place.assembler.load(size, to, R0, -(width as i16)),
        }
        self.place.assembler.swap_network_order(to, size);
    }

    /// A jump that is always taken, written as one that might not be, so that what follows is reachable to the verifier.
    fn unless_never(&mut self, to: JumpLabel) {
        self.place.assembler.jump_if_wide(Condition::NotEqual, CONTEXT, With::Constant(0), to);
    }

    /// A load beyond any frame.
    fn never(&mut self) {
        self.unless_never(self.place.reject);
    }

    /// A load X bytes behind a fixed place.
    fn load_indexed(&mut self, at: usize, width: Width, from: u32, direct: bool) {
        if from > LONGEST.cast_unsigned() {
            return self.never();
        }
        if direct && from > FURTHEST {
            let elsewhere = self.ask_instead(at);
            return self.unless_never(elsewhere);
        }
        let place = if direct { R0 } else { R2 };
        let most = if direct { FURTHEST.cast_signed() } else { LONGEST };
        let elsewhere = if direct { self.ask_instead(at) } else { self.place.reject };
        self.place.assembler.narrow(Alu::Move, place, With::Register(X));
        if from != 0 {
            self.place.assembler.wide(Alu::Add, place, With::Constant(from.cast_signed()));
        }
        self.place.assembler.jump_if_wide(Condition::Greater, place, With::Constant(most), elsewhere);
        if direct {
            let size = size(width);
            self.place.assembler.wide(Alu::Add, R0, With::Register(DATA));
            self.place.assembler.wide(Alu::Move, R1, With::Register(R0));
            self.place.assembler.wide(Alu::Add, R1, With::Constant(width as i32));
            self.place.assembler.jump_if_wide(Condition::Greater, R1, With::Register(END), elsewhere);
            self.place.assembler.load(size, A, R0, 0);
            self.place.assembler.swap_network_order(A, size);
        } else {
            self.ask(A, width);
        }
    }

    /// Loads through the helper, from the place in R2.
    fn ask(&mut self, to: Reg, width: Width) {
        let size = size(width);
        let helper = match self.place.hook {
            FilterHook::Xdp if !self.place.access.has_helper() => return self.never(),
            FilterHook::Xdp => XDP_LOAD_BYTES,
            FilterHook::Received | FilterHook::Sent => SKB_LOAD_BYTES,
        };
        self.place.assembler.wide(Alu::Move, R1, With::Register(CONTEXT));
        self.place.assembler.wide(Alu::Move, R3, With::Register(FRAME));
        self.place.assembler.wide(Alu::Add, R3, With::Constant(LOADED.into()));
        self.constant(R4, width as u32);
        self.place.assembler.call(helper);
        self.place.assembler.jump_if_wide(Condition::NotEqual, R0, With::Constant(0), self.place.reject);
        self.place.assembler.load(size, to, FRAME, LOADED);
        self.place.assembler.swap_network_order(to, size);
    }

    /// As `bpf_convert_filter` (`net/core/filter.c`) reads it for a packet socket, which sees what is sent as outgoing.
    fn metadata(&mut self, what: Metadata) -> Result<(), Untranslatable> {
        let field = match (what, self.place.hook) {
            (Metadata::PacketType | Metadata::VlanTag | Metadata::VlanTagPresent, FilterHook::Xdp) => {
                self.constant(A, 0);
                return Ok(());
            }
            (Metadata::PacketType, FilterHook::Sent) => {
                let inner = self.place.assembler.label();
                self.place.assembler.load(AccessSize::Word, R0, CONTEXT, field::SKB_INTERFACE);
                // What loops back is received once it was sent, and is shown by libpcap only then.
                self.constant(A, 0);
                self.place.assembler.jump_if_wide(Condition::Equal, R0, With::Constant(LOOPBACK), inner);
                self.constant(A, OUTGOING.cast_unsigned());
                self.place.assembler.place(inner);
                return Ok(());
            }
            (Metadata::Interface, FilterHook::Xdp) => field::XDP_INTERFACE,
            (Metadata::Protocol, FilterHook::Xdp) => {
                return Err(Untranslatable::Metadata("the kernel's idea of the protocol"));
            }
            (Metadata::PacketType, _) => field::SKB_PACKET_TYPE,
            (Metadata::Protocol, _) => field::SKB_PROTOCOL,
            (Metadata::Interface, _) => field::SKB_INTERFACE,
            (Metadata::VlanTag, _) => field::SKB_VLAN_TCI,
            (Metadata::VlanTagPresent, _) => field::SKB_VLAN_PRESENT,
        };
        self.place.assembler.load(AccessSize::Word, A, CONTEXT, field);
        if what == Metadata::Protocol {
            self.place.assembler.swap_network_order(A, AccessSize::Half);
        }
        Ok(())
    }

    fn compute(&mut self, operation: Operation, operand: Operand) {
        let machine = match operation {
            Operation::Add => Alu::Add,
            Operation::Subtract => Alu::Subtract,
            Operation::Multiply => Alu::Multiply,
            Operation::Divide => Alu::Divide,
            Operation::Remainder => Alu::Remainder,
            Operation::And => Alu::And,
            Operation::Or => Alu::Or,
            Operation::Xor => Alu::Xor,
            Operation::ShiftLeft => Alu::ShiftLeft,
            Operation::ShiftRight => Alu::ShiftRight,
        };
        let shifts = matches!(operation, Operation::ShiftLeft | Operation::ShiftRight);
        match operand {
            // As the machines that libpcap's interpreter runs on take a shift by a constant.
            Operand::Constant(by) if shifts => {
                self.place.assembler.narrow(machine, A, With::Constant((by & 31).cast_signed()));
            }
            Operand::Constant(value) => {
                self.place.assembler.narrow(machine, A, With::Constant(value.cast_signed()));
            }
            Operand::Index if shifts => {
                let (none, done) = (self.place.assembler.label(), self.place.assembler.label());
                self.place.assembler.jump_if_narrow(Condition::Greater, X, With::Constant(31), none);
                self.place.assembler.narrow(machine, A, With::Register(X));
                self.place.assembler.jump(done);
                self.place.assembler.place(none);
                self.constant(A, 0);
                self.place.assembler.place(done);
            }
            Operand::Index => {
                if matches!(operation, Operation::Divide | Operation::Remainder) {
                    let reject = self.place.reject;
                    self.place.assembler.jump_if_narrow(Condition::Equal, X, With::Constant(0), reject);
                }
                self.place.assembler.narrow(machine, A, With::Register(X));
            }
        }
    }

    fn jump(&mut self, to: usize, direct: bool) {
        let target = self.target(to, direct);
        self.place.assembler.jump(target);
    }

    fn branch(&mut self, at: usize, test: Comparison, operand: Operand, [yes, no]: [usize; 2], direct: bool) {
        let with = match operand {
            Operand::Constant(value) => With::Constant(value.cast_signed()),
            Operand::Index => With::Register(X),
        };
        let (condition, opposite) = match test {
            Comparison::Equal => (Condition::Equal, Some(Condition::NotEqual)),
            Comparison::Greater => (Condition::Greater, Some(Condition::LessOrEqual)),
            Comparison::GreaterOrEqual => (Condition::GreaterOrEqual, Some(Condition::Less)),
            Comparison::AnySet => (Condition::AnySet, None),
        };
        let (on_true, on_false) = (self.target(yes, direct), self.target(no, direct));
        let is_next = |to: usize| to == at + 1;
        match opposite {
            Some(opposite) if is_next(yes) => {
                self.place.assembler.jump_if_narrow(opposite, A, with, on_false);
            }
            _ => {
                self.place.assembler.jump_if_narrow(condition, A, with, on_true);
                if !is_next(no) {
                    self.place.assembler.jump(on_false);
                }
            }
        }
    }
}

/// The frame's length, as the hook sees it.
pub(super) fn length(out: &mut Assembler, hook: FilterHook, to: Reg) {
    match hook {
        FilterHook::Received | FilterHook::Sent => {
            out.load(AccessSize::Word, to, CONTEXT, field::SKB_LENGTH);
        }
        FilterHook::Xdp => {
            out.load(AccessSize::Word, R0, CONTEXT, field::XDP_END);
            out.load(AccessSize::Word, R1, CONTEXT, field::XDP_DATA);
            out.wide(Alu::Subtract, R0, With::Register(R1));
            out.narrow(Alu::Move, to, With::Register(R0));
        }
    }
}

/// The interface that it is on, by its index.
pub(super) fn interface(out: &mut Assembler, hook: FilterHook, to: Reg) {
    let field = match hook {
        FilterHook::Received | FilterHook::Sent => field::SKB_INTERFACE,
        FilterHook::Xdp => field::XDP_INTERFACE,
    };
    out.load(AccessSize::Word, to, CONTEXT, field);
}

const fn machine(register: Register) -> Reg {
    match register {
        Register::A => A,
        Register::X => X,
    }
}

const fn size(width: Width) -> AccessSize {
    match width {
        Width::Byte => AccessSize::Byte,
        Width::Half => AccessSize::Half,
        Width::Word => AccessSize::Word,
    }
}

/// Where a word of scratch memory is on the stack.
fn scratch(word: u8) -> i16 {
    SCRATCH - 8 - 8 * i16::from(word)
}
