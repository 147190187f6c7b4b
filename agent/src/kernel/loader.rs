//! A loader for kernel objects that need no type information of the kernel.

use std::{io, thread};

use aya::EbpfLoader;
use landlock::{AccessFs, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetError};

/// aya's loader, without what it begins with and our objects do not use: all of /sys/kernel/btf/vmlinux, 5 MB, made into a value for each of
/// 150,000 types. That was 35 ms of processor time and 20 MB of memory, a third of a start. There is no constructor without it; so the
/// constructor runs on a thread of its own, which may open no file. Where the kernel has no Landlock it costs what it did.
pub(super) fn loader() -> EbpfLoader<'static> {
    let made = thread::scope(|scope| -> io::Result<_> {
        let thread = thread::Builder::new().name("loader".to_owned()).spawn_scoped(scope, || {
            drop(open_nothing());
            EbpfLoader::new()
        })?;
        thread.join().map_err(|_| io::Error::other("the loader could not be made"))
    });
    made.unwrap_or_else(|_| EbpfLoader::new())
}

/// From now on this thread opens no file to read it.
fn open_nothing() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default().handle_access(AccessFs::ReadFile)?.create()?.restrict_self()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use landlock::RulesetStatus;

    use super::{loader, open_nothing};

    #[test]
    fn the_thread_that_makes_it_is_the_only_one_that_opens_nothing() {
        drop(loader());
        assert!(File::open("/proc/self/stat").is_ok(), "this thread reads files as before");
        let (status, opened) = std::thread::spawn(|| {
            let status = open_nothing();
            (status.map(|status| status.ruleset), File::open("/proc/self/stat").is_ok())
        })
        .join()
        .unwrap();
        let held = matches!(status, Ok(RulesetStatus::FullyEnforced));
        assert_eq!(opened, !held, "{status:?}");
    }
}
