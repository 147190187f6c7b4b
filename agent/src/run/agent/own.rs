//! What the agent takes itself.

use std::{fs, time::Duration};

use nix::unistd::{SysconfVar, sysconf};
use rustix::time::{ClockId, clock_gettime};

/// Memory of this process, in bytes (`proc_pid_statm(5)`); 0 where /proc does not say.
pub(super) fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| u64::try_from(size).ok());
    pages.unwrap_or(0) * page.unwrap_or(4096)
}

/// Processor time of all threads since the start.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
