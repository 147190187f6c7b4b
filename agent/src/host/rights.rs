//! The rights of the user who runs this program, where the program has more: by file capabilities (setcap(8)) or set-user-id.
//!
//! What that user names is opened with what he may do himself: files on the command line, in his home, and everything that is
//! written ([`as_user`]). So is what other users' processes have open, unless the host's administrator has said otherwise
//! ([`give_up`], for commands that show nothing else). What a capability is lent for stays: loading programs, counting, and whose a
//! conversation is.
//!
//! Capabilities that the user has with any program (the ambient set) are his own, and so is everything that root may.

use std::{
    fs::{self, DirEntry, File},
    io::{self, Read as _},
    marker::PhantomData,
    path::Path,
    sync::OnceLock,
};

use nix::unistd::{Gid, Uid, getgroups, setfsgid, setfsuid, setresgid, setresuid};
use rustix::{
    fs::{FileType, Stat, fstat},
    process::{DumpableBehavior, getegid, geteuid, getgid, getuid, set_dumpable_behavior},
    thread::{CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, set_capabilities},
};

/// `setfsuid(2)` takes this for "change nothing, and say what it is".
const ASK: u32 = u32::MAX;
/// The rights of a group, and of everybody, to write.
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;

/// Who runs this program, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real and effective user.
    pub users: [u32; 2],
    /// Real and effective group.
    pub groups: [u32; 2],
    /// Capabilities of this process.
    pub permitted: u64,
    /// Those that every program of this user has.
    pub ambient: u64,
}

impl Credentials {
    /// Of this process.
    fn read() -> Self {
        let users = [getuid().as_raw(), geteuid().as_raw()];
        let groups = [getgid().as_raw(), getegid().as_raw()];
        let permitted = capabilities(None).map_or(0, |sets| sets.permitted.bits());
        let is_ambient =
            |bit: &u64| capability_is_in_ambient_set(CapabilitySet::from_bits_retain(*bit)).unwrap_or(false);
        let ambient = if users[0] == 0 {
            0
        } else {
            (0..u64::BITS).map(|bit| 1 << bit).filter(|bit| permitted & bit != 0).filter(is_ambient).sum()
        };
        Self { users, groups, permitted, ambient }
    }

    /// Capabilities that are the user's own.
    const fn own(self) -> u64 {
        if self.users[0] == 0 { self.permitted } else { self.permitted & self.ambient }
    }

    /// Whether the program has rights that its user has not.
    #[must_use]
    pub const fn are_lent(self) -> bool {
        let [real, effective] = self.users;
        let same_group = self.groups[0] == self.groups[1];
        real != 0 && (effective != real || !same_group || self.permitted != self.own())
    }

    /// Why a configuration file is not believed.
    const fn distrust(self, file: Origin) -> Option<Distrust> {
        let [user, _] = self.users;
        if file.owner != 0 && file.owner != user {
            return Some(Distrust::Owner(file.owner));
        }
        if file.is_regular && file.mode & ALL_WRITE != 0 {
            return Some(Distrust::Everybody);
        }
        // Groups of one's own (umask 002) are common; that root's files are writable by any but root's group is not.
        let group = if file.owner == 0 { 0 } else { self.groups[0] };
        if file.is_regular && file.mode & GROUP_WRITES != 0 && file.group != group {
            return Some(Distrust::Group(file.group));
        }
        None
    }
}

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    owner: u32,
    group: u32,
    mode: u32,
    is_regular: bool,
}

impl From<Stat> for Origin {
    fn from(stat: Stat) -> Self {
        Self {
            owner: stat.st_uid,
            group: stat.st_gid,
            mode: stat.st_mode,
            is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        }
    }
}

/// Why a configuration file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It is somebody else's.
    #[error("it belongs to user {0}; only what is your own or root's is read: copy it, or change its owner")]
    Owner(u32),
    /// Anybody may have written it.
    #[error("everybody may write to it: chmod o-w")]
    Everybody,
    /// Others may have written it.
    #[error("group {0} may write to it: chmod g-w")]
    Group(u32),
}

/// The credentials that this process began with.
#[must_use]
pub fn credentials() -> Credentials {
    static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();
    *CREDENTIALS.get_or_init(Credentials::read)
}

/// This thread has the rights of its user alone, until the value goes. Threads that it starts meanwhile have them for good.
#[derive(Debug)]
#[must_use = "the rights are back when the value goes"]
pub struct AsUser {
    before: Option<Before>,
    /// The rights are a thread's.
    thread: PhantomData<*const ()>,
}

/// What a thread had.
#[derive(Clone, Copy, Debug)]
struct Before {
    capabilities: CapabilitySets,
    /// User and group for the file system.
    ids: (u32, u32),
}

/// Lowers this thread's rights to those of its user. It costs nothing where they are the same.
///
/// # Errors
/// When the kernel refuses; then they are as before.
pub fn as_user() -> io::Result<AsUser> {
    let all = credentials();
    if !all.are_lent() {
        return Ok(AsUser { before: None, thread: PhantomData });
    }
    let before = Before { capabilities: capabilities(None)?, ids: file_system_ids() };
    // Dropped on failure, it undoes the first step.
    let lowered = AsUser { before: Some(before), thread: PhantomData };
    set_file_system_ids((all.users[0], all.groups[0]))?;
    let own = CapabilitySet::from_bits_retain(all.own());
    // After the user for the file system, whose change gives and takes capabilities (capabilities(7)).
    let effective = before.capabilities.effective & own;
    set_capabilities(None, CapabilitySets { effective, ..before.capabilities })?;
    Ok(lowered)
}

impl Drop for AsUser {
    fn drop(&mut self) {
        let Some(Before { capabilities, ids }) = self.before else { return };
        // A thread that has less than it may is no danger: what it may not is said where it is refused.
        let _ = set_file_system_ids(ids);
        let _ = set_capabilities(None, capabilities);
    }
}

/// Whom the kernel takes this thread for where files are concerned: user and group.
fn file_system_ids() -> (u32, u32) {
    (setfsuid(Uid::from_raw(ASK)).as_raw(), setfsgid(Gid::from_raw(ASK)).as_raw())
}

fn set_file_system_ids((user, group): (u32, u32)) -> io::Result<()> {
    setfsgid(Gid::from_raw(group));
    setfsuid(Uid::from_raw(user));
    // The system calls report no failure, only what was before.
    if file_system_ids() == (user, group) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Gives up for good, on this thread, the capabilities that the user has not himself: for one that only waits for others.
///
/// # Errors
/// When the kernel refuses.
pub fn put_aside() -> io::Result<()> {
    let own = CapabilitySet::from_bits_retain(credentials().own());
    let inheritable = capabilities(None)?.inheritable & own;
    Ok(set_capabilities(None, CapabilitySets { effective: own, permitted: own, inheritable })?)
}

/// Gives up for good what the user has not himself, and lets him look at this process as at any of his. Before other threads are
/// started.
///
/// # Errors
/// When the kernel refuses.
pub fn give_up() -> io::Result<()> {
    let all = credentials();
    if !all.are_lent() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(all.users[0]), Gid::from_raw(all.groups[0]));
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    put_aside()?;
    // Its own files in /proc are root's until then. A thread that had more would be at the mercy of whoever may trace this one.
    if no_thread_has_more_than(all.own()) {
        set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    }
    Ok(())
}

/// Whether every thread of this process has these capabilities at most.
fn no_thread_has_more_than(own: u64) -> bool {
    let permitted = |task: io::Result<DirEntry>| {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let set = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
        Ok::<_, io::Error>(set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()))
    };
    fs::read_dir("/proc/self/task").is_ok_and(|mut tasks| {
        tasks.all(|task| matches!(permitted(task), Ok(Some(permitted)) if permitted & !own == 0))
    })
}

/// Reads a configuration file with the user's rights.
///
/// # Errors
/// When it cannot be read; `PermissionDenied` with [`Distrust`] when somebody else may have written it.
pub fn read_config(path: &Path) -> io::Result<Vec<u8>> {
    let _as_user = as_user()?;
    let mut file = File::open(path)?;
    if let Some(distrust) = credentials().distrust(fstat(&file)?.into()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, distrust));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

/// Reads a file that speaks for the administrator: root's, in a folder of root's, both writable by nobody else.
///
/// # Errors
/// When it cannot be read, or is not such a file.
pub fn read_roots(path: &Path) -> io::Result<Vec<u8>> {
    let roots = |file: &File| Ok::<_, io::Error>(is_roots(fstat(file)?.into()));
    let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let mut file = File::open(path)?;
    if !roots(&folder)? || !roots(&file)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

const fn is_roots(file: Origin) -> bool {
    file.owner == 0 && file.mode & (GROUP_WRITES | ALL_WRITE) == 0
}

/// Whether this process's user is in a group.
#[must_use]
pub fn is_in_group(group: u32) -> bool {
    credentials().groups[0] == group
        || getgroups().is_ok_and(|groups| groups.iter().any(|gid| gid.as_raw() == group))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTRACE: u64 = 1 << 19;
    const BPF: u64 = 1 << 39;

    const fn of(users: [u32; 2], groups: [u32; 2], permitted: u64, ambient: u64) -> Credentials {
        Credentials { users, groups, permitted, ambient }
    }

    #[test]
    fn rights_are_lent_where_the_program_has_more_than_its_user() {
        for (credentials, lent, own) in [
            (of([0, 0], [0, 0], u64::MAX, 0), false, u64::MAX),
            (of([1000, 1000], [1000, 1000], 0, 0), false, 0),
            // File capabilities.
            (of([1000, 1000], [1000, 1000], PTRACE | BPF, 0), true, 0),
            // Ambient ones are every program's.
            (of([1000, 1000], [1000, 1000], PTRACE, PTRACE), false, PTRACE),
            (of([1000, 1000], [1000, 1000], PTRACE | BPF, PTRACE), true, PTRACE),
            // Set-user-id, set-group-id.
            (of([1000, 0], [1000, 1000], u64::MAX, 0), true, 0),
            (of([1000, 1001], [1000, 1000], 0, 0), true, 0),
            (of([1000, 1000], [1000, 0], 0, 0), true, 0),
            // Root runs what is set-user-id of another.
            (of([0, 1000], [0, 0], PTRACE, 0), false, PTRACE),
        ] {
            assert_eq!((credentials.are_lent(), credentials.own()), (lent, own), "{credentials:?}");
        }
    }

    #[test]
    fn a_configuration_is_believed_that_only_its_user_or_root_may_write() {
        let user = of([1000, 1000], [1000, 1000], 0, 0);
        let root = of([0, 0], [0, 0], u64::MAX, 0);
        let file = |owner, group, mode| Origin { owner, group, mode, is_regular: true };
        for (who, file, distrust) in [
            (user, file(1000, 1000, 0o600), None),
            (user, file(1000, 1000, 0o664), None),
            (user, file(1000, 50, 0o664), Some(Distrust::Group(50))),
            (user, file(1000, 1000, 0o646), Some(Distrust::Everybody)),
            (user, file(0, 0, 0o664), None),
            (user, file(0, 1000, 0o664), Some(Distrust::Group(1000))),
            (user, file(1001, 1000, 0o600), Some(Distrust::Owner(1001))),
            (root, file(1000, 1000, 0o600), Some(Distrust::Owner(1000))),
            (root, file(0, 50, 0o664), Some(Distrust::Group(50))),
            // /dev/null says that there is none.
            (root, Origin { owner: 0, group: 0, mode: 0o666, is_regular: false }, None),
            (
                user,
                Origin { owner: 1001, group: 0, mode: 0o600, is_regular: false },
                Some(Distrust::Owner(1001)),
            ),
        ] {
            assert_eq!(who.distrust(file), distrust, "{file:?}");
        }
        assert!(is_roots(file(0, 50, 0o644)));
        for other in [file(1000, 0, 0o644), file(0, 0, 0o664), file(0, 0, 0o646)] {
            assert!(!is_roots(other), "{other:?}");
        }
    }

    #[test]
    fn lowering_costs_and_changes_nothing_where_nothing_is_lent() {
        let before = capabilities(None).unwrap();
        let lowered = as_user().unwrap();
        assert_eq!(capabilities(None).unwrap(), before);
        drop(lowered);
        assert_eq!(capabilities(None).unwrap(), before);
        give_up().unwrap();
        assert_eq!(capabilities(None).unwrap(), before);
    }
}
