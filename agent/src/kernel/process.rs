//! What this process was started with, and signals(7), where std and its kin have no safe form.

use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Signals that speak of this thread's own fault. Whoever blocks them is killed without a word.
const FAULTS: [Signal; 7] = [
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGTRAP,
];

/// A bit for each of the first three descriptors that was closed when the process began.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Called before `main`, and before std's own start, which opens /dev/null where one of the three is closed.
#[used]
// SAFETY: the C library calls what is in this section, each with no argument that it has to take.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for stream in 0..3 {
        // SAFETY: the call takes integers. It fails for what is not open alone.
        if unsafe { libc::fcntl(stream, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << stream, Ordering::Relaxed);
        }
    }
}

/// Whether one of the three standard streams was closed when the process began. What is written to it now goes nowhere.
#[must_use]
pub fn was_closed(stream: usize) -> bool {
    stream < 3 && CLOSED.load(Ordering::Relaxed) >> stream & 1 == 1
}

/// Whether a descriptor is open because whoever started the process left it open. Every other one is this program's own, and is closed
/// where another program is started (`FD_CLOEXEC`).
#[must_use]
pub fn was_inherited(descriptor: u32) -> bool {
    let Ok(raw) = i32::try_from(descriptor) else { return false };
    // SAFETY: the call takes integers. It fails for what is not open alone.
    let flags = unsafe { libc::fcntl(raw, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0 && !usize::try_from(descriptor).is_ok_and(was_closed)
}

/// From now on a file that grows beyond the limit (`ulimit -f`) is an error of write(2), in words, and not the end of the process.
pub fn survive_file_limit() {
    // SAFETY: no handler of ours comes into play.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Lets threads share two heaps: with one for each, as glibc has it, what many short-lived threads have freed is never given back
/// (mallopt(3)). Without effect where the C library is another.
pub fn share_heaps() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes two integers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// From now on these signals end the process, also where whoever started it ignored them: a shell does so with SIGINT for what it
/// runs in the background.
pub fn obey(signals: &[i32]) {
    for signal in signals {
        // SAFETY: no handler of ours comes into play.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
    }
}

/// Ends the process by a signal, at once and as that signal does: who waits for it is told so.
pub fn end_by(signal: i32) -> ! {
    obey(&[signal]);
    // SAFETY: the call takes an integer.
    unsafe { libc::raise(signal) };
    // The first process of a PID namespace survives it.
    std::process::exit(128_i32.saturating_add(signal))
}

/// While this lives, signals go to other threads: this one is not interrupted.
///
/// The kernel gives up verifying a program when the thread that loads it has a signal to take (`EAGAIN`), be it a change of the
/// window's size.
pub(super) struct Undisturbed(Option<SigSet>);

impl Undisturbed {
    pub(super) fn begin() -> Self {
        let mut others = SigSet::all();
        for fault in FAULTS {
            others.remove(fault);
        }
        // Where it is refused the thread can be interrupted, and no more.
        Self(others.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = before.thread_set_mask();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn what_this_program_opened_was_not_inherited() {
        let own = File::open("/dev/null").unwrap();
        assert!(!was_inherited(own.as_raw_fd().try_into().unwrap()));
        assert!(!was_inherited(0x7fff_ffff) && !was_inherited(u32::MAX));
        assert!(was_inherited(2));
    }

    #[test]
    fn only_faults_disturb() {
        let mask = || SigSet::thread_get_mask().unwrap();
        let before = mask();
        let undisturbed = Undisturbed::begin();
        for signal in Signal::iterator() {
            // These cannot be blocked.
            let always = matches!(signal, Signal::SIGKILL | Signal::SIGSTOP);
            assert_eq!(!mask().contains(signal), always || FAULTS.contains(&signal), "{signal}");
        }
        drop(undisturbed);
        assert_eq!(mask(), before);
    }
}
