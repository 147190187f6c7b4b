//! Classic BPF, as libpcap's compiler writes it, checked and translated to eBPF. Pure: instructions in, instructions out.
//!
//! What a program says of a frame is what libpcap's interpreter says (`pcap_offline_filter`, `bpf_filter.c`): a load beyond the
//! frame and a division by zero reject it. What the kernel has beside a frame's bytes (VLAN tag, direction, interface) is read as
//! the kernel's own classic filters read it, for that is what libpcap writes for a live capture.
//!
//! Whatever the instructions are, nothing can come out but code that reads the frame, computes, and goes to one of two ends.

mod assembler;
mod classic;
mod code;
mod hook;
mod program;

use thiserror::Error;

pub use assembler::MachineInstruction;
pub use classic::{ClassicInstruction, ClassicProgram};
pub use hook::{FilterHook, PacketAccess};
pub use program::{FilterEntry, FilterStage, FrameJudge, Judgement, MapNumbers};

/// Why a classic program is not taken, or cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Untranslatable {
    /// More instructions than classic BPF has, or none.
    #[error("it has {0} instructions, where 1 to 4096 are possible")]
    Length(usize),
    /// An instruction that classic BPF does not have, by its place.
    #[error("instruction {at} ({code:#06x}) is none of classic BPF")]
    Unknown {
        /// Its place, from 0.
        at: usize,
        /// Its operation code.
        code: u16,
    },
    /// An instruction that would leave the program, or its memory.
    #[error("instruction {at} leaves the {what}")]
    Outside {
        /// Its place, from 0.
        at: usize,
        /// What it leaves.
        what: &'static str,
    },
    /// A division by the constant 0.
    #[error("instruction {at} divides by 0")]
    DivisionByZero {
        /// Its place, from 0.
        at: usize,
    },
    /// It asks for something beside the frame that cannot be answered at this hook.
    #[error("it asks for {0}, which is not known here")]
    Metadata(&'static str),
    /// Too long for the jumps of the machine.
    #[error(
        "it is too long: {0} instructions once it is written out, and no jump reaches further than 32,767"
    )]
    TooLong(usize),
}

#[cfg(test)]
mod tests;
