//! A whole program around filters: it notes what they say of a frame, and hands it on to what counts.

use super::{
    ClassicProgram, MachineInstruction, Untranslatable,
    assembler::{
        A, AccessSize, Alu, Assembler, CONTEXT, Condition, FRAME, JumpLabel, R0, R1, R2, R3, Reg, With, X,
    },
    code,
    hook::{FilterHook, PacketAccess},
};

/// `BPF_FUNC_*`, `linux/bpf.h`.
const MAP_LOOKUP: i32 = 1;
const CPU: i32 = 8;
const TAIL_CALL: i32 = 12;
/// `TCX_NEXT` and `TC_ACT_UNSPEC`; `XDP_PASS`.
const NEXT: i32 = -1;
const PASS: i32 = 2;

/// The stack below what a helper loads: a map's key, the epoch, a longer key.
const KEY: i16 = -12;
const EPOCH: i16 = -24;
const LONG_KEY: i16 = -32;

/// A filter as it is translated: what decides on frames that begin with an Ethernet header, and on such as begin with an IP header. Where
/// the language has no meaning for one of them, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameJudge {
    /// By [`Layer`](flowtally_common::settings::Layer).
    pub by_layer: [Result<ClassicProgram, String>; 2],
}

/// What decides whether a frame matches; `None`: every frame does.
pub type Judgement<'a> = Option<&'a ClassicProgram>;

/// A filter that another takes the place of when an epoch is over.
#[derive(Clone, Copy, Debug)]
pub struct FilterStage<'a> {
    /// The last epoch that is the former filter's.
    pub epoch: u32,
    /// The former filter.
    pub judgement: Judgement<'a>,
}

/// Numbers of the descriptors of maps.
#[derive(Clone, Copy, Debug)]
pub struct MapNumbers {
    /// An array whose element 0 is the epoch, 32 bits.
    pub control: i32,
    /// An array with an element for each CPU: the epoch of the frame at hand, and whether it matches, 32 bits each.
    pub judged: i32,
    /// An array of programs.
    pub programs: i32,
    /// Which of them is called for every frame.
    pub next: u32,
    /// A map of amounts beside the flows: its keys are an interface, 32 bits, a direction and a bank, 8 bits each, and 16 zeros; its values
    /// begin with the bytes and the packets of what could not be counted, 64 bits each.
    pub health: i32,
    /// The direction there.
    pub direction: u8,
}

/// A program that stands in front of what counts.
#[derive(Clone, Copy, Debug)]
pub struct FilterEntry<'a> {
    /// Where it is attached.
    pub hook: FilterHook,
    /// How it reads frames.
    pub access: PacketAccess,
    /// The filter.
    pub judgement: Judgement<'a>,
    /// The one before, as long as its last epoch lasts.
    pub before: Option<FilterStage<'a>>,
}

impl FilterEntry<'_> {
    /// The program. Each frame is judged by the filter of the epoch that is current when it comes, and counted in that epoch.
    ///
    /// # Errors
    /// When a filter cannot be translated for this hook.
    pub fn assemble(&self, maps: MapNumbers) -> Result<Vec<MachineInstruction>, Untranslatable> {
        let mut assembler = Assembler::default();
        let out = &mut assembler;
        let (accept, reject, judged, give_up) = (out.label(), out.label(), out.label(), out.label());
        let pass = out.label();
        out.wide(Alu::Move, CONTEXT, With::Register(R1));
        out.store_constant(AccessSize::Word, FRAME, KEY, 0);
        look_up(out, maps.control, KEY, pass);
        out.load(AccessSize::Word, R0, R0, 0);
        out.store(AccessSize::Double, FRAME, EPOCH, R0);
        if let Some(before) = self.before {
            let now = out.label();
            let epoch = With::Constant(before.epoch.cast_signed());
            out.jump_if_narrow(Condition::NotEqual, R0, epoch, now);
            self.judge(out, before.judgement, accept, reject)?;
            out.place(now);
        }
        self.judge(out, self.judgement, accept, reject)?;
        // The verifier takes no code that nobody reaches.
        if out.is_used(reject) {
            out.place(reject);
            out.narrow(Alu::Move, A, With::Constant(0));
            if out.is_used(accept) {
                out.jump(judged);
            }
        }
        if out.is_used(accept) {
            out.place(accept);
            out.narrow(Alu::Move, A, With::Constant(1));
        }
        out.place(judged);
        out.call(CPU);
        out.store(AccessSize::Word, FRAME, KEY, R0);
        look_up(out, maps.judged, KEY, give_up);
        out.load(AccessSize::Double, R1, FRAME, EPOCH);
        out.store(AccessSize::Word, R0, 0, R1);
        out.store(AccessSize::Word, R0, 4, A);
        out.wide(Alu::Move, R1, With::Register(CONTEXT));
        out.load_map(R2, maps.programs);
        out.narrow(Alu::Move, R3, With::Constant(maps.next.cast_signed()));
        out.call(TAIL_CALL);
        out.place(give_up);
        self.add_uncounted(out, maps, pass);
        out.place(pass);
        let verdict = if self.hook == FilterHook::Xdp { PASS } else { NEXT };
        out.narrow(Alu::Move, R0, With::Constant(verdict));
        out.exit();
        assembler.finish()
    }

    /// A program that returns 1 where the filter matches and 0 where not, and does nothing else: for tests.
    ///
    /// # Errors
    /// When the filter cannot be translated for this hook.
    pub fn alone(&self) -> Result<Vec<MachineInstruction>, Untranslatable> {
        let mut assembler = Assembler::default();
        let out = &mut assembler;
        let (accept, reject) = (out.label(), out.label());
        out.wide(Alu::Move, CONTEXT, With::Register(R1));
        self.judge(out, self.judgement, accept, reject)?;
        for (label, verdict) in [(accept, 1), (reject, 0)] {
            if !out.is_used(label) {
                continue;
            }
            out.place(label);
            out.narrow(Alu::Move, R0, With::Constant(verdict));
            out.exit();
        }
        assembler.finish()
    }

    /// Adds a frame, as the hook sees it, to what could not be counted: it goes on behind a call that does not come back.
    fn add_uncounted(&self, out: &mut Assembler, maps: MapNumbers, missing: JumpLabel) {
        code::interface(out, self.hook, R1);
        out.store(AccessSize::Word, FRAME, LONG_KEY, R1);
        out.load(AccessSize::Word, R1, FRAME, EPOCH);
        out.narrow(Alu::And, R1, With::Constant(1));
        out.narrow(Alu::ShiftLeft, R1, With::Constant(8));
        out.narrow(Alu::Or, R1, With::Constant(maps.direction.into()));
        out.store(AccessSize::Word, FRAME, LONG_KEY + 4, R1);
        code::length(out, self.hook, X);
        look_up(out, maps.health, LONG_KEY, missing);
        for (offset, amount) in [(0, With::Register(X)), (8, With::Constant(1))] {
            out.load(AccessSize::Double, R1, R0, offset);
            out.wide(Alu::Add, R1, amount);
            out.store(AccessSize::Double, R0, offset, R1);
        }
    }

    fn judge(
        &self,
        out: &mut Assembler,
        judgement: Judgement<'_>,
        accept: JumpLabel,
        reject: JumpLabel,
    ) -> Result<(), Untranslatable> {
        let Some(program) = judgement else {
            out.jump(accept);
            return Ok(());
        };
        let Self { hook, access, .. } = *self;
        code::write(program, code::CodePlace { assembler: out, hook, access, accept, reject })
    }
}

/// Leaves the element whose key is at a place on the stack in R0, or goes where nothing is done.
fn look_up(out: &mut Assembler, map: i32, place: i16, missing: JumpLabel) {
    let key: Reg = R2;
    out.wide(Alu::Move, key, With::Register(FRAME));
    out.wide(Alu::Add, key, With::Constant(place.into()));
    out.load_map(R1, map);
    out.call(MAP_LOOKUP);
    out.jump_if_wide(Condition::Equal, R0, With::Constant(0), missing);
}
