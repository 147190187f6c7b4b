//! The embedded kernel object: sizes, loading, and what a refusal means.

use std::io;

use aya::{Ebpf, EbpfError, EbpfLoader};
use flowtally_common::{flow, settings};
use thiserror::Error;

use super::{
    owners::{self, Unnoted},
    privileges::Privileges,
    sys,
};

/// Built by `cargo xtask ebpf`, see ARCHITECTURE.md.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("FLOWTALLY_OBJECT_PATH"));

/// Memory that the first level may take, in bytes, over all possible CPUs and both banks.
const SLOT_MEMORY: u64 = 64 << 20;
/// Host memory for each flow that the second level may hold, in bytes. Both banks take 128 bytes of it, a 128th of the
/// memory; the third level takes as much again for each bank, but only when it is needed.
const MEMORY_PER_FLOW: u64 = 16 << 10;
/// Slots in a bucket of the second level.
const BUCKET: u32 = 4;
const _: () = assert!(BUCKET as usize == flow::BUCKET);
/// Fewest flows of the second level by default.
const MIN_DEFAULT_SPILL: u32 = 16_384;

/// Host memory for each socket whose owner is noted, in bytes: the notes take a thousandth of it.
const MEMORY_PER_NOTE: u64 = 128 << 10;

/// Sizes of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// First-level slots per CPU and bank, a power of two; not 0.
    pub slots: u32,
    /// Flows in each bank of the second level, and in each of the third, which takes what the second has no place for; not
    /// 0.
    pub flows: u32,
    /// Sockets whose owners are noted in the kernel, as it happens; with 0 none are, and nothing is attached for it.
    pub notes: u32,
}

impl Capacity {
    /// What fits a host with this many possible CPUs and this much memory in bytes.
    #[must_use]
    pub fn for_host(cpus: usize, memory: u64) -> Self {
        let slot = size_of::<flowtally_common::Slot>() as u64;
        let per_cpu = SLOT_MEMORY / (2 * slot * cpus.max(1) as u64);
        let slots =
            u32::try_from(per_cpu).unwrap_or(u32::MAX).clamp(settings::MIN_SLOTS, settings::DEFAULT_SLOTS);
        let flows = u32::try_from(memory / MEMORY_PER_FLOW).unwrap_or(u32::MAX);
        let notes = u32::try_from(memory / MEMORY_PER_NOTE).unwrap_or(u32::MAX);
        Self {
            slots: if slots.is_power_of_two() { slots } else { slots.next_power_of_two() / 2 },
            flows: flows.clamp(MIN_DEFAULT_SPILL, settings::DEFAULT_SPILL),
            notes: notes.clamp(settings::MIN_NOTES, settings::MAX_NOTES),
        }
    }

    /// Binary logarithm of the pairs per CPU and bank.
    pub(super) const fn pair_bits(self) -> u32 {
        (self.slots / 2).ilog2()
    }

    /// Binary logarithm of the second level's buckets per bank: as many slots as `flows`, rounded down, but a whole word
    /// of the bitmap at least.
    pub(super) const fn bucket_bits(self) -> u32 {
        let bits = ((self.flows / 4) | 1).ilog2();
        if bits < 6 { 6 } else { bits }
    }
}

/// Why the kernel programs could not be loaded or attached. The text says what to do.
#[derive(Debug, Error)]
pub enum KernelError {
    /// Rights are missing.
    #[error(
        "loading the kernel programs needs {missing}: run as root (sudo flowtally ...), or grant it once with\n  \
         sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep {program}"
    )]
    NotPermitted {
        /// The missing capabilities.
        missing: String,
        /// This program's file.
        program: String,
    },
    /// Rights are there, but something else refuses.
    #[error(
        "the kernel refuses BPF programs although this process has the rights (EPERM while {doing}): a lockdown mode \
         (/sys/kernel/security/lockdown), a security module or a container's seccomp profile forbids bpf(2), or, before \
         Linux 5.11, the limit on locked memory is too low (ulimit -l)"
    )]
    Forbidden {
        /// What was being done.
        doing: &'static str,
    },
    /// No bpf(2).
    #[error(
        "this kernel has no BPF ({source} while {doing}): flowtally needs Linux 5.15 or newer built with \
         CONFIG_BPF_SYSCALL; this is {release}"
    )]
    NoBpf {
        /// What was being done.
        doing: &'static str,
        /// The running kernel.
        release: String,
        /// What it answered.
        source: io::Error,
    },
    /// The memory for the maps.
    #[error(
        "no memory for the flow tables ({source} while {doing}): ask for less with --slots and --max-flows, or raise the \
         limit on locked memory (ulimit -l) or the cgroup's memory limit"
    )]
    Memory {
        /// What was being done.
        doing: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A kernel without what the programs use.
    #[error("flowtally needs Linux 5.15 or newer, and this is {release}: {doing} failed ({reason})")]
    TooOld {
        /// What was being done.
        doing: &'static str,
        /// The running kernel.
        release: String,
        /// The chain of causes.
        reason: String,
    },
    /// Anything else.
    #[error("{doing} failed on kernel {release}: {reason}")]
    Other {
        /// What was being done.
        doing: &'static str,
        /// The running kernel.
        release: String,
        /// The chain of causes.
        reason: String,
    },
}

impl KernelError {
    /// Sorts a failure by what can be done about it.
    pub(super) fn explain(doing: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = Some(error);
        let mut code = None;
        let mut reason = error.to_string();
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                code = io.raw_os_error().or(code);
            }
            cause = error.source();
            if let Some(cause) = cause {
                let cause = cause.to_string();
                if !reason.contains(&cause) {
                    reason = format!("{reason}: {cause}");
                }
            }
        }
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        match code {
            // EACCES is the verifier's, and speaks of the program.
            Some(libc::EPERM) => match Privileges::of_this_process().missing_to_load() {
                Some(missing) => Self::NotPermitted { missing, program: program() },
                None => Self::Forbidden { doing },
            },
            Some(code @ libc::ENOSYS) => {
                Self::NoBpf { doing, release, source: io::Error::from_raw_os_error(code) }
            }
            Some(code @ (libc::ENOMEM | libc::E2BIG)) => {
                Self::Memory { doing, source: io::Error::from_raw_os_error(code) }
            }
            _ if is_older(&release, OLDEST_KERNEL) => Self::TooOld { doing, release, reason },
            _ => Self::Other { doing, release, reason },
        }
    }
}

/// Major and minor number of the oldest kernel that has all that the programs use.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// Whether a kernel release such as `6.1.0-44-cloud-amd64` is older than a version. One that cannot be read is not.
fn is_older(release: &str, than: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < than,
        _ => false,
    }
}

fn program() -> String {
    std::env::current_exe().map_or_else(|_| "flowtally".to_owned(), |path| path.display().to_string())
}

/// Loads the object's maps. Programs are loaded when they are first attached.
///
/// Returns too why owners will be noted less well than they could be.
pub(super) fn load(
    capacity: Capacity,
    cpus: u32,
    verbose: bool,
) -> Result<(Ebpf, Vec<Unnoted>), KernelError> {
    if let Some(missing) = Privileges::of_this_process().missing_to_load() {
        return Err(KernelError::NotPermitted { missing, program: program() });
    }
    sys::unlimit_locked_memory();
    let pairs = cpus * 2 * (capacity.slots / 2);
    let (pair_bits, bucket_bits) = (capacity.pair_bits(), capacity.bucket_bits());
    let seed = seed()?;
    // aya-log compares levels from 1; 0 turns every one off, and the verifier then removes the code.
    let log_level = if verbose { u8::MAX } else { 0 };
    let noting = capacity.notes > 0;
    let (task, unnoted) = if noting { owners::task_layout() } else { Default::default() };
    // Without a cookie sockets are not looked for by their port.
    let netns = if noting { sys::netns_cookie().unwrap_or(0) } else { 0 };
    let bound = if noting { settings::MAX_BOUND } else { 1 };
    let ebpf = EbpfLoader::new()
        .map_max_entries(settings::SLOTS, pairs)
        .map_max_entries(settings::USED, pairs / 64)
        .map_max_entries(settings::SHARED, 2 << capacity.bucket_bits())
        .map_max_entries(settings::SHARED_USED, (2 << capacity.bucket_bits()) / 64)
        .map_max_entries(settings::HINTS, pairs * 2)
        .map_max_entries(settings::SHARED_HINTS, (2 << capacity.bucket_bits()) * BUCKET)
        .map_max_entries(settings::NOTES, capacity.notes.max(1))
        .map_max_entries(settings::BOUND, bound)
        .map_max_entries(settings::BINDINGS, bound)
        .map_max_entries(settings::SPILL[0], capacity.flows)
        .map_max_entries(settings::SPILL[1], capacity.flows)
        .override_global(settings::PAIR_BITS, &pair_bits, true)
        .override_global(settings::BUCKET_BITS, &bucket_bits, true)
        .override_global(settings::HASH_SEED, &seed, true)
        .override_global(settings::TASK, &task, true)
        .override_global(settings::NETNS, &netns, true)
        .override_global("AYA_LOG_LEVEL", &log_level, true)
        .load(OBJECT)
        .map_err(|error: EbpfError| KernelError::explain("creating the flow tables", &error))?;
    Ok((ebpf, unnoted.into_iter().collect()))
}

/// Random odd multipliers, so that nobody outside can tell which flows share a pair.
fn seed() -> Result<[u64; 4], KernelError> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| KernelError::explain("getting random numbers", &io::Error::from(error)))?;
    let mut seed = [0; 4];
    for (word, bytes) in seed.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.iter().fold(1, |word, byte| word << 8 | u64::from(*byte)) | 1;
    }
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::{Capacity, OLDEST_KERNEL, is_older};

    #[test]
    fn old_kernels_are_recognised() {
        for (release, older) in [
            ("4.19.0-25-amd64", true),
            ("5.14.21", true),
            ("5.15.0", false),
            ("6.1.0-44-cloud-amd64", false),
            ("10.0", false),
            ("custom", false),
        ] {
            assert_eq!(is_older(release, OLDEST_KERNEL), older, "{release}");
        }
    }

    #[test]
    fn capacity_follows_cpus_and_memory() {
        let gib = 1 << 30;
        assert_eq!(
            Capacity::for_host(2, 24 * gib),
            Capacity { slots: 16_384, flows: 1 << 20, notes: 196_608 }
        );
        assert_eq!(
            Capacity::for_host(32, 8 * gib),
            Capacity { slots: 16_384, flows: 1 << 19, notes: 65_536 }
        );
        assert_eq!(Capacity::for_host(48, 8 * gib).slots, 8192);
        assert_eq!(Capacity::for_host(4096, gib), Capacity { slots: 1024, flows: 1 << 16, notes: 65_536 });
        assert_eq!(Capacity::for_host(0, 0), Capacity { slots: 16_384, flows: 16_384, notes: 65_536 });
    }
}
