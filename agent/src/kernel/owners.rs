//! Who owns a socket, as the kernel notes it while it happens: the programs at the root of cgroup v2, and their notes.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, linux::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aya::{
    Ebpf,
    maps::MapData,
    programs::{CgroupAttachMode, Program, ProgramError, ProgramType},
    sys::{BpfHelper, is_helper_supported},
};
use flowtally_common::{
    SocketNote,
    settings::{self, OWNER_PROGRAMS},
};
use hashbrown::HashMap;
use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};
use thiserror::Error;

use super::{
    attach::{chain, patiently},
    btf::{FieldNames, TypeInformation},
    cgroup::{self, CgroupMount},
    error::KernelError,
    mapped::take,
    sys,
};

/// Inode number of the cgroup hierarchy's true root (`kernfs_create_root`).
const ROOT_INODE: u64 = 1;

/// Questions that are not worth a copy of the notes however few there are. With more, one is read where there are no more notes than
/// questions: to copy a note takes about half as long as to ask for it.
const FEW_QUESTIONS: usize = 1 << 10;

/// Why some or all sockets have no note. The text says what would help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unnoted {
    /// Nobody asked for notes.
    #[error("owners are not noted in the kernel, as this was not asked for")]
    NotAsked,
    /// Nowhere to attach.
    #[error(
        "owners are not noted in the kernel, for cgroup v2 is not mounted here: processes that end before they are looked \
         up have no name (mount -t cgroup2 none DIRECTORY)"
    )]
    NoCgroup2,
    /// Attached all the same, by a mount that nobody else sees.
    #[error(
        "cgroup v2 is not mounted where this process looks (`ip netns exec` hides it): owners are noted through a mount of \
         flowtally's own"
    )]
    OwnMount,
    /// The directory can't be opened.
    #[error("owners are not noted in the kernel: opening the cgroup {path}: {reason}")]
    Unreadable {
        /// Where cgroup v2 is mounted.
        path: PathBuf,
        /// What the system answered.
        reason: String,
    },
    /// What is mounted here is not the hierarchy's root, as in a container.
    #[error(
        "owners are noted for processes below the cgroup {path} alone: it is not the root of the host's cgroups"
    )]
    Part {
        /// Where it is mounted.
        path: PathBuf,
    },
    /// The kernel refuses a program, or another that wants to be alone is there.
    #[error("owners are noted less well in the kernel: the cgroup hook {hook} can't be used: {reason}")]
    Hook {
        /// The hook's name.
        hook: &'static str,
        /// What the kernel answered.
        reason: String,
    },
    /// No BTF, or it may not be used.
    #[error("owners are noted without their start time in the kernel: {reason}")]
    NoStartTime {
        /// What is missing.
        reason: &'static str,
    },
}

/// The kernel's notes on sockets. They stay readable as long as this value lives; what it reads changes all the time.
#[derive(Debug)]
pub struct OwnerNotes {
    notes: MapData,
    /// A number of questions for which there were too many notes to copy them.
    too_many: AtomicUsize,
    root: Option<File>,
    hooks: Vec<&'static str>,
    unnoted: Vec<Unnoted>,
}

/// Notes that are being looked up.
#[derive(Debug)]
pub struct NoteLookup<'a> {
    notes: &'a OwnerNotes,
    /// All of them, if there are questions enough.
    copy: Option<HashMap<u64, SocketNote>>,
}

impl NoteLookup<'_> {
    /// As [`OwnerNotes::note`]; of a copy, what it was when the look began.
    #[must_use]
    pub fn note(&self, cookie: u64) -> Option<SocketNote> {
        match &self.copy {
            Some(copy) => copy.get(&cookie).copied(),
            None => self.notes.note(cookie),
        }
    }
}

impl OwnerNotes {
    /// What is noted of a socket, by its cookie: one system call. `None` when nothing is, or not any more; that the kernel
    /// refuses to read the notes is no different.
    #[must_use]
    pub fn note(&self, cookie: u64) -> Option<SocketNote> {
        let mut note = SocketNote::default();
        sys::look_up_note(self.notes.fd().as_fd(), cookie, &mut note).ok()?.then_some(note)
    }

    /// Every note, by the socket's cookie: as a copy, in a system call for a few thousand of them. `None` when there are more than `most`,
    /// and when the kernel cannot be asked so.
    #[must_use]
    pub fn copy(&self, most: usize) -> Option<HashMap<u64, SocketNote>> {
        let mut copy = HashMap::new();
        let mut each = |cookie: &u64, note| {
            copy.insert(*cookie, note);
            copy.len() <= most
        };
        sys::read_notes(self.notes.fd().as_fd(), &mut each).ok()?;
        (copy.len() <= most).then_some(copy)
    }

    /// The notes, for so many questions at once.
    #[must_use]
    pub fn for_questions(&self, number: usize) -> NoteLookup<'_> {
        // There are never fewer notes than there were: what was too many for so many questions need not be tried again.
        let tried = number >= FEW_QUESTIONS && number > self.too_many.load(Ordering::Relaxed);
        let copy = if tried { self.copy(number) } else { None };
        if tried && copy.is_none() {
            self.too_many.fetch_max(number, Ordering::Relaxed);
        }
        NoteLookup { notes: self, copy }
    }

    /// The directory of the cgroup that is noted: the root of version 2, where that can be had.
    #[must_use]
    pub const fn cgroup(&self) -> Option<&File> {
        self.root.as_ref()
    }

    /// The cgroup hooks in use, such as `sock_create`; none when nothing is noted.
    #[must_use]
    pub fn hooks(&self) -> &[&'static str] {
        &self.hooks
    }

    /// Why some or all sockets have no note, or a lesser one; empty when all is well.
    #[must_use]
    pub fn unnoted(&self) -> &[Unnoted] {
        &self.unnoted
    }

    /// Attaches the programs of a loaded object, if `asked`. Whatever is refused is no reason to stop: it is in
    /// [`unnoted`](Self::unnoted).
    pub(super) fn open(
        ebpf: &mut Ebpf,
        asked: bool,
        mut unnoted: Vec<Unnoted>,
    ) -> Result<Arc<Self>, KernelError> {
        let notes = take(ebpf, settings::NOTES)?;
        let mut hooks = Vec::new();
        let mut directory_of_notes = None;
        if asked {
            match root() {
                Ok((directory, part)) => {
                    unnoted.extend(part);
                    for (hook, program) in OWNER_PROGRAMS {
                        match attach(ebpf, program, &directory) {
                            Ok(()) => hooks.push(hook),
                            Err(error) => unnoted.push(Unnoted::Hook { hook, reason: chain(&error) }),
                        }
                    }
                    directory_of_notes = Some(directory);
                }
                Err(reason) => unnoted.push(reason),
            }
        } else {
            unnoted.push(Unnoted::NotAsked);
        }
        Ok(Arc::new(Self { notes, too_many: AtomicUsize::new(0), root: directory_of_notes, hooks, unnoted }))
    }
}

/// The cgroup to attach to; and a word on it when it is not the whole.
fn root() -> Result<(File, Option<Unnoted>), Unnoted> {
    let mounts = fs::read("/proc/self/mountinfo").map(|text| cgroup::mounts(&text)).unwrap_or_default();
    let mut refusal = Unnoted::NoCgroup2;
    let mut part = None;
    for CgroupMount { path, whole } in mounts {
        match open(&path) {
            Ok((directory, inode)) if whole && inode == ROOT_INODE => return Ok((directory, None)),
            Ok((directory, _)) => {
                part.get_or_insert((directory, Some(Unnoted::Part { path })));
            }
            Err(error) => refusal = Unnoted::Unreadable { path, reason: error.to_string() },
        }
    }
    part.or_else(|| own_mount().ok().map(|directory| (directory, Some(Unnoted::OwnMount)))).ok_or(refusal)
}

/// Mounts version 2 for this process alone, nowhere in the file system: for a mount namespace in which it is hidden, or a host
/// on which nobody mounted it. Needs `CAP_SYS_ADMIN`.
fn own_mount() -> rustix::io::Result<File> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    // What mounting returns names a place, and cannot be read.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(&mount, ".", flags, Mode::empty()).map(File::from)
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let directory = File::open(path)?;
    let inode = directory.metadata()?.st_ino();
    Ok((directory, inode))
}

/// Loads and attaches one program beside those of others. The link stays with the loaded object, and goes with it.
fn attach(ebpf: &mut Ebpf, name: &'static str, directory: &File) -> Result<(), ProgramError> {
    // The kernel takes no flag here: what is attached by a link always lets others be attached beside it, and below it.
    const MODE: CgroupAttachMode = CgroupAttachMode::Single;
    match ebpf.program_mut(name) {
        Some(Program::CgroupSock(program)) => {
            patiently(|| program.load())?;
            program.attach(directory, MODE).map(drop)
        }
        Some(Program::CgroupSockAddr(program)) => {
            patiently(|| program.load())?;
            program.attach(directory, MODE).map(drop)
        }
        Some(Program::SockOps(program)) => {
            patiently(|| program.load())?;
            program.attach(directory, MODE).map(drop)
        }
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Where the owner programs find a task's fields: the load-time value `TASK`. All 0 when that can't be had, with the reason.
pub(super) fn task_layout() -> ([u32; 5], Option<Unnoted>) {
    let without = |reason| ([0; 5], Some(Unnoted::NoStartTime { reason }));
    let Some(types) = TypeInformation::open() else {
        return without("it has no type information (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF)");
    };
    let Some(layout) = layout(&types) else {
        return without("its type information (/sys/kernel/btf/vmlinux) is of a form that is not known");
    };
    match is_helper_supported(ProgramType::CgroupSock, BpfHelper::BPF_FUNC_probe_read_kernel) {
        Ok(false) => without("a lockdown mode (/sys/kernel/security/lockdown) forbids to read its memory"),
        _ => (layout, None),
    }
}

fn layout(types: &TypeInformation) -> Option<[u32; 5]> {
    const FIELDS: [FieldNames<'_>; 5] = [
        ("task_struct", &["group_leader"]),
        // The start time was called otherwise before Linux 5.5, and was the same.
        ("task_struct", &["start_boottime", "real_start_time"]),
        ("task_struct", &["comm"]),
        ("task_struct", &["cred"]),
        ("cred", &["euid"]),
    ];
    let [leader, start, comm, cred, euid] = types.look_up(&FIELDS, &[])?.fields.try_into().ok()?;
    let (cred, euid) = cred.zip(euid).unwrap_or_default();
    Some([leader?, start?, comm?, cred, euid])
}
