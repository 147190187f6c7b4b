//! What holds for any instructions and any frame: the fuzzer and the property tests check the same.

use super::{
    machine::{Machine, MachineMaps},
    reference::{Beside, Verdict, interpret},
};
use crate::translate::{
    ClassicInstruction, ClassicProgram, FilterEntry, FilterHook, FilterStage, MachineInstruction, MapNumbers,
    PacketAccess,
};

const WAYS: [(FilterHook, PacketAccess); 6] = [
    (FilterHook::Received, PacketAccess::Direct),
    (FilterHook::Received, PacketAccess::Asking),
    (FilterHook::Sent, PacketAccess::Direct),
    (FilterHook::Xdp, PacketAccess::Direct),
    (FilterHook::Xdp, PacketAccess::InOnePiece),
    (FilterHook::Xdp, PacketAccess::Asking),
];

/// Most instructions that the kernel looks at (`BPF_COMPLEXITY_LIMIT_INSNS`).
const LONGEST: usize = 1_000_000;
/// Descriptors that no map has.
const MAPS: MapNumbers =
    MapNumbers { control: 1001, judged: 1002, programs: 1003, next: 7, health: 1004, direction: 1 };
/// The last epoch of a filter that everything matches.
const BEFORE: u32 = 3;

/// `BPF_FUNC_map_lookup_elem`, `_get_smp_processor_id`, `_tail_call`, `_skb_load_bytes`, `_xdp_load_bytes`.
const AROUND: [i32; 3] = [1, 8, 12];
const SKB_LOAD: i32 = 26;
const XDP_LOAD: i32 = 189;

/// Runs a program in every way on a frame of which `linear` bytes can be read directly, and looks at what it became.
pub(crate) fn agrees(instructions: &[ClassicInstruction], frame: &[u8], linear: usize) {
    let Ok(program) = ClassicProgram::check(instructions) else { return };
    for (hook, access) in WAYS {
        let entry = FilterEntry { hook, access, judgement: Some(&program), before: None };
        let Ok(code) = entry.alone() else { continue };
        if let Err(fault) = well_formed(&code, hook, &[]) {
            panic!("{fault}, {hook:?} {access:?} {instructions:?}");
        }
        let before = Some(FilterStage { epoch: BEFORE, judgement: None });
        let whole = (FilterEntry { before, ..entry }).assemble(MAPS).ok();
        if let Some(Err(fault)) = whole.as_ref().map(|whole| well_formed(whole, hook, &AROUND)) {
            panic!("{fault}, {hook:?} {access:?} {instructions:?}");
        }
        // What XDP programs see is what can be read directly.
        let linear = if hook == FilterHook::Xdp { frame.len() } else { linear.min(frame.len()) };
        let beside = Beside {
            packet_type: match hook {
                FilterHook::Sent => 4,
                FilterHook::Received => 3,
                FilterHook::Xdp => 0,
            },
            vlan: (hook != FilterHook::Xdp).then_some(0x2007),
            interface: 7,
            protocol: 0x0800,
        };
        let expected = interpret(instructions, frame, &beside, ClassicProgram::ROUNDS);
        if expected == Verdict::Endless {
            continue;
        }
        let found = Machine::new(frame, linear, hook, &beside).run(&code);
        let matches = expected == Verdict::Accept;
        assert_eq!(found, matches, "{hook:?} {access:?} {instructions:?}");
        for (epoch, matches) in [(BEFORE, true), (BEFORE + 1, matches)] {
            let Some(whole) = &whole else { continue };
            let mut maps = MachineMaps::new([MAPS.control, MAPS.judged, MAPS.health], epoch);
            Machine::new(frame, linear, hook, &beside).with(&mut maps).run(whole);
            // The epoch and the verdict are noted, and as nobody is there who counts, the frame is added to what could not be counted.
            let judged = [epoch.to_le_bytes(), u32::from(matches).to_le_bytes()].concat();
            let uncounted = [(frame.len() as u64).to_le_bytes(), 1_u64.to_le_bytes()].concat();
            let key = [beside.interface.to_le_bytes(), [MAPS.direction, (epoch & 1) as u8, 0, 0]].concat();
            assert_eq!(maps.values[1][..8], judged, "{hook:?} {access:?} {instructions:?}");
            assert_eq!((maps.calls, maps.key.as_slice()), (1, key.as_slice()));
            assert_eq!(maps.values[2][..16], uncounted);
        }
    }
}

/// Whether machine code does nothing but read the context, the frame, its stack and what `AROUND` looks up, compute, and jump forwards
/// within itself to an end; and writes nothing but its stack, and what it looked up. `calls` are allowed beside the one that reads the frame.
///
/// That the frame's bytes are there is for the verifier to say, and for [`Machine`] in a run.
fn well_formed(code: &[MachineInstruction], hook: FilterHook, calls: &[i32]) -> Result<(), String> {
    const FRAME: u8 = 10;
    const LOOKED_UP: u8 = 0;
    if code.is_empty() || code.len() > LONGEST {
        return Err(format!("{} instructions", code.len()));
    }
    let mut second_half = vec![false; code.len()];
    for (at, one) in code.iter().enumerate() {
        if one.code == 0x18 {
            *second_half.get_mut(at + 1).ok_or_else(|| format!("{at} is half an instruction"))? = true;
        }
    }
    let exits = code.last().is_some_and(|last| last.code == 0x95);
    if !exits {
        return Err("it runs out of itself".to_owned());
    }
    for (at, one) in code.iter().enumerate() {
        let fault = |what: &str| Err(format!("{at}: {what}: {one:?}"));
        let MachineInstruction { code: operation, to, from, offset, constant } = *one;
        if to > FRAME || from > FRAME {
            return fault("no register");
        }
        if second_half[at] {
            if *one != MachineInstruction::default() {
                return fault("no second half");
            }
            continue;
        }
        let stack = |offset: i16| (-512..0).contains(&offset);
        match operation & 7 {
            // Loads of maps alone.
            0 if operation == 0x18 => {
                if from != 1
                    || ![MAPS.control, MAPS.judged, MAPS.programs, MAPS.health].contains(&constant)
                    || calls.is_empty()
                {
                    return fault("no map");
                }
            }
            // Not into the stack's pointer.
            1 if operation & 0xe0 == 0x60 && to != FRAME && (from != FRAME || stack(offset)) => {}
            2 | 3 if operation & 0xe0 == 0x60 => {
                let looked_up = to == LOOKED_UP && !calls.is_empty() && (0..=8).contains(&offset);
                if !(to == FRAME && stack(offset) || looked_up) {
                    return fault("writes where it may not");
                }
            }
            4 | 7 if to != FRAME => {
                let divides = matches!(operation & 0xf0, 0x30 | 0x90);
                if divides && operation & 8 == 0 && constant == 0 {
                    return fault("divides by 0");
                }
            }
            5 if operation == 0x95 => {}
            5 if operation == 0x85 => {
                let loads = if hook == FilterHook::Xdp { XDP_LOAD } else { SKB_LOAD };
                if from != 0 || constant != loads && !calls.contains(&constant) {
                    return fault("calls what it may not");
                }
            }
            5 | 6 => {
                let target = (at + 1).checked_add_signed(offset.into());
                if offset < 0 || !target.is_some_and(|target| target < code.len() && !second_half[target]) {
                    return fault("jumps where it may not");
                }
            }
            _ => return fault("is none that filters have"),
        }
    }
    Ok(())
}
