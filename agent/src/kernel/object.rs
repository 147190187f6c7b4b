//! The embedded kernel object, and loading it.

use std::io;

use aya::{Ebpf, EbpfError, VerifierLogLevel};
use flowtally_common::settings;

use super::{
    capacity::{BUCKET, Capacity},
    error::KernelError,
    loader::loader,
    owners::{self, Unnoted},
    sys,
};

/// Built by `cargo xtask ebpf`, see ARCHITECTURE.md.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("FLOWTALLY_OBJECT_PATH"));

/// Loads the object's maps. Programs are loaded when they are first attached.
///
/// Returns too why owners will be noted less well than they could be.
pub(super) fn load(
    capacity: Capacity,
    cpus: u32,
    verbose: bool,
) -> Result<(Ebpf, Vec<Unnoted>), KernelError> {
    if let Some(error) = KernelError::not_permitted() {
        return Err(error);
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
    let ebpf = loader()
        // A program that the kernel did not take is loaded again by aya, for the log. With each instruction in the log that takes
        // three times 1.6 s, also if nothing but a signal came in between; what is wrong is in this log too.
        .verifier_log_level(VerifierLogLevel::STATS)
        .map_max_entries(settings::SLOTS, pairs)
        .map_max_entries(settings::USED, pairs / 64)
        .map_max_entries(settings::SHARED, 2 << capacity.bucket_bits())
        .map_max_entries(settings::SHARED_USED, (2 << capacity.bucket_bits()) / 64)
        .map_max_entries(settings::HINTS, pairs * 2)
        .map_max_entries(settings::SHARED_HINTS, (2 << capacity.bucket_bits()) * BUCKET)
        .map_max_entries(settings::JUDGED, cpus)
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
