//! Every file that a command makes: complete, or as it was before.
//!
//! - What is at the path is found out before anything is measured, and so is what cannot be written: [`OutputTarget::prepare`].
//! - Nothing there: a file without a name (`O_TMPFILE`) is written, and gets its name when it is complete. So not even SIGKILL
//!   leaves a part of it. Where a file system has no such files, one with a temporary name is written and renamed.
//! - A regular file is replaced by a new one in the same way: until then it is as it was, to the byte. The new one has its owner,
//!   mode, ACL and extended attributes, not its inode number, its time of birth or what chattr(1) sets.
//! - A file that a new one cannot take the place of is written in place, from memory, when everything is known: one with several
//!   names (each is to lead to the new content), one that is a mount point, one in a folder in which this user may make no file, one
//!   whose owner or attributes this user may not give. Space is reserved first, and a write that fails is undone. A kill in the
//!   moment of writing is the one thing that harms it.
//! - A symbolic link is followed, and stays. Where everybody may make links, those of other users are not followed.
//! - All of this with the rights of the user who runs the program, whatever its own are.
//! - /dev/stdout, /dev/fd/N and their like are the descriptor that this process was given: what is there already stays, and what
//!   was opened to append is appended to. Devices, terminals and FIFOs are written to as they are.

mod in_place;
mod like;
mod place;
mod staged;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::{
    fd::{AsFd as _, OwnedFd},
    fs::{
        AtFlags, FileType, MemfdFlags, Mode, OFlags, StatxAttributes, StatxFlags, fcntl_getfl, fcntl_setfl,
        fstat, memfd_create, open, openat, statat, statx,
    },
    io::Errno,
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

use self::{place::OutputPlace, staged::Staged};
use super::rights::{self, AsUser};
use crate::{format::Safe, kernel::process};

/// The mode of a new file for whoever the umask lets.
pub const PUBLIC: Mode = Mode::from_raw_mode(0o666);
/// The mode of a new file for its owner alone.
pub const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// What becomes of a regular file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It stays, and that is an error; so is a symbolic link that leads nowhere.
    Keep,
}

/// Why a file cannot be made. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A path without a name.
    #[error("the output {} names no file", Safe::os(.0))]
    NoName(PathBuf),
    /// There is a file of this name.
    #[error("{} exists already, and is left as it is: choose another name", Safe::os(.0))]
    Exists(PathBuf),
    /// There is a folder of this name.
    #[error("the output {} is a folder: name a file in it", Safe::os(.0))]
    Folder(PathBuf),
    /// There is a socket of this name.
    #[error("the output {} is a socket, which cannot be opened: use a file, or a pipe to a program", Safe::os(.0))]
    Socket(PathBuf),
    /// A descriptor of the wrong kind.
    #[error("the output {} is descriptor {number}, which is not open for writing", Safe::os(.path))]
    NotForWriting {
        /// What was named.
        path: PathBuf,
        /// The descriptor.
        number: u32,
    },
    /// A descriptor that nobody handed to this program.
    #[error(
        "the output {} is descriptor {number}, which was not open when the program began: open it for writing \
         ({number}>FILE in a shell), or name a file",
        Safe::os(.path)
    )]
    NotOpen {
        /// What was named.
        path: PathBuf,
        /// The descriptor.
        number: u32,
    },
    /// Another user's link.
    #[error(
        "the output {} leads through another user's symbolic link in a folder where everybody may make files: name the file \
         itself",
        Safe::os(.0)
    )]
    Trap(PathBuf),
    /// A FIFO of this name, and nobody who reads.
    #[error("the output {} is a FIFO that nobody has opened for reading", Safe::os(.0))]
    NoReader(PathBuf),
    /// The system refused.
    #[error("{doing}: {error}{}", remedy(.error))]
    System {
        /// What was being done.
        doing: String,
        /// Its words.
        error: io::Error,
    },
}

impl OutputError {
    fn system(doing: impl fmt::Display) -> impl FnOnce(Errno) -> Self {
        move |error| Self::System { doing: doing.to_string(), error: error.into() }
    }
}

/// Where an output will go. It is certain, as far as it can be, that it may be written; nothing has been yet.
#[derive(Debug)]
pub struct OutputTarget {
    path: PathBuf,
    kind: OutputKind,
}

#[derive(Debug)]
enum OutputKind {
    /// What is written to as it is.
    Direct(File),
    /// A FIFO that nobody reads.
    NoReader { folder: OwnedFd, name: OsString },
    /// A new file, which takes the place of the former one if there is one.
    Beside(Beside),
    /// A file that keeps its place.
    InPlace(File),
}

#[derive(Debug)]
struct Beside {
    folder: OwnedFd,
    name: OsString,
    existing: Existing,
    mode: Mode,
    former: Option<File>,
    /// A file without a name, which costs nothing until it has one; `None` where the file system has none.
    nameless: Option<File>,
}

impl OutputTarget {
    /// Finds out what is at a path, and whether it can be written. A new file gets `mode`; one that replaces another, its mode.
    ///
    /// # Errors
    /// When it cannot.
    pub fn prepare(path: &Path, existing: Existing, mode: Mode) -> Result<Self, OutputError> {
        Self::prepare_with(path, existing, mode, true)
    }

    /// Standard output, wherever that goes.
    ///
    /// # Errors
    /// When the system is out of descriptors.
    pub fn standard_output() -> Result<Self, OutputError> {
        let path = PathBuf::from("standard output");
        let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let file =
            file.map_err(|error| OutputError::System { doing: "taking standard output".to_owned(), error })?;
        Ok(Self { path, kind: OutputKind::Direct(file) })
    }

    /// As [`prepare`](Self::prepare) does on a file system that knows no files without a name.
    #[cfg(test)]
    pub(crate) fn with_temporary_name(
        path: &Path,
        existing: Existing,
        mode: Mode,
    ) -> Result<Self, OutputError> {
        Self::prepare_with(path, existing, mode, false)
    }

    fn prepare_with(
        path: &Path,
        existing: Existing,
        mode: Mode,
        nameless: bool,
    ) -> Result<Self, OutputError> {
        let _as_user = as_user()?;
        let kind = match place::find(path)? {
            OutputPlace::Inherited(number) => OutputKind::Direct(inherited(path, number)?),
            OutputPlace::Kernel => {
                let file = open(path, WRITING, Mode::empty());
                opened(file.map_err(failed("opening", path))?.into(), path)?
            }
            OutputPlace::Named { folder, name, linked } => Self::named(
                path,
                Beside { folder, name, existing, mode, former: None, nameless: None },
                linked,
                nameless,
            )?,
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    fn named(
        path: &Path,
        mut beside: Beside,
        linked: bool,
        nameless: bool,
    ) -> Result<OutputKind, OutputError> {
        let Beside { folder, name, existing, .. } = &beside;
        let kind = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(failed("looking for", path)(error)),
        };
        match kind {
            None if linked && *existing == Existing::Keep => {
                return Err(OutputError::Exists(path.to_owned()));
            }
            None => {}
            Some(FileType::Directory) => return Err(OutputError::Folder(path.to_owned())),
            Some(FileType::Socket) => return Err(OutputError::Socket(path.to_owned())),
            Some(FileType::RegularFile) if *existing == Existing::Keep => {
                return Err(OutputError::Exists(path.to_owned()));
            }
            Some(kind) => {
                // With O_CREAT the kernel keeps to its rules for folders where everybody may make files (`fs.protected_regular`,
                // `fs.protected_fifos`), as for a shell's `>`.
                let flags = WRITING | OFlags::CREATE | OFlags::NOFOLLOW;
                let file = match openat(folder, name, flags, PRIVATE) {
                    Ok(file) => File::from(file),
                    Err(Errno::NXIO) if kind == FileType::Fifo => {
                        let Beside { folder, name, .. } = beside;
                        return Ok(OutputKind::NoReader { folder, name });
                    }
                    Err(error) => return Err(failed("opening", path)(error)),
                };
                match opened(file, path)? {
                    OutputKind::InPlace(file) => beside.former = Some(file),
                    direct => return Ok(direct),
                }
            }
        }
        beside.probe(path, nameless)
    }

    /// Whether it is written to as it is, from its beginning to its end, and can be no file of this program's own.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.kind, OutputKind::Direct(_) | OutputKind::NoReader { .. })
    }

    /// Whether it is a FIFO that nobody reads so far.
    #[must_use]
    pub const fn waits_for_reader(&self) -> bool {
        matches!(self.kind, OutputKind::NoReader { .. })
    }

    /// Looks again whether somebody reads the FIFO.
    ///
    /// # Errors
    /// When it cannot be opened for another reason.
    pub fn look_for_reader(&mut self) -> Result<(), OutputError> {
        let OutputKind::NoReader { folder, name } = &self.kind else { return Ok(()) };
        let _as_user = as_user()?;
        match openat(folder, name, WRITING | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(file) => self.kind = opened(file.into(), &self.path)?,
            Err(Errno::NXIO) => {}
            Err(error) => return Err(failed("opening", &self.path)(error)),
        }
        Ok(())
    }

    /// Makes what is written to.
    ///
    /// # Errors
    /// When the system refuses; [`OutputError::NoReader`] for a FIFO that nobody reads.
    pub fn begin(self) -> Result<Output, OutputError> {
        let _as_user = as_user()?;
        let Self { path, kind } = self;
        let writing = match kind {
            OutputKind::Direct(file) => Writing::Direct(file),
            OutputKind::NoReader { .. } => return Err(OutputError::NoReader(path)),
            OutputKind::InPlace(former) => {
                Writing::in_place(former).map_err(failed("taking memory for", &path))?
            }
            OutputKind::Beside(beside) => {
                let Beside { folder, name, existing, mode, former, nameless } = beside;
                let staged = match nameless {
                    Some(file) => Staged::nameless(file, folder),
                    None => Staged::temporary(folder, &name, if former.is_some() { PRIVATE } else { mode })
                        .map_err(failed("creating a file beside", &path))?,
                };
                match former.as_ref().map(|former| like::make(staged.file(), former)) {
                    None | Some(Ok(())) => Writing::Beside { staged, name, existing, former },
                    Some(Err(error)) => {
                        return Err(failed("giving owner and mode to the new", &path)(error));
                    }
                }
            }
        };
        Ok(Output { path, writing })
    }
}

impl Beside {
    /// Tries whether a new file can be made in the folder, and be like the former one.
    fn probe(mut self, path: &Path, nameless: bool) -> Result<OutputKind, OutputError> {
        if let Some(former) = self.former.take_if(|former| keeps_its_place(former)) {
            return Ok(OutputKind::InPlace(former));
        }
        let mode = if self.former.is_some() { PRIVATE } else { self.mode };
        let tried = if nameless { staged::without_name(&self.folder, mode) } else { Ok(None) };
        let tried = tried.and_then(|file| match file {
            Some(file) => Ok((Some(file), None)),
            // It is gone again when the value goes: while something is measured nothing lies around.
            None => {
                Staged::temporary(self.folder.try_clone().map_err(|error| errno(&error))?, &self.name, mode)
                    .map(|temporary| (None, Some(temporary)))
            }
        });
        match (tried, self.former.take()) {
            (Ok((file, temporary)), former) => {
                let new = file.as_ref().or(temporary.as_ref().map(Staged::file));
                if let (Some(new), Some(former)) = (new, &former)
                    && like::make(new, former).is_err()
                {
                    let former =
                        former.try_clone().map_err(|error| failed("opening", path)(errno(&error)))?;
                    return Ok(OutputKind::InPlace(former));
                }
                self.nameless = file;
                self.former = former;
                Ok(OutputKind::Beside(self))
            }
            (Err(Errno::ACCESS | Errno::PERM | Errno::ROFS), Some(former)) => Ok(OutputKind::InPlace(former)),
            (Err(error), _) => Err(failed("creating a file for", path)(error)),
        }
    }
}

/// How anything is opened: nothing is waited for, and no terminal becomes this process's own.
const WRITING: OFlags = OFlags::WRONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

fn failed(doing: &str, path: &Path) -> impl FnOnce(Errno) -> OutputError {
    OutputError::system(format!("{doing} {}", Safe::os(path)))
}

/// What helps against an error of the system.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "; choose another place",
        io::ErrorKind::FileTooLarge => "; the limit on the length of files (ulimit -f) is too low",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room, or choose another place",
        _ => "",
    }
}

fn as_user() -> Result<AsUser, OutputError> {
    let doing = || "lowering the rights of this program to its user's".to_owned();
    rights::as_user().map_err(|error| OutputError::System { doing: doing(), error })
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// What becomes of an opened file: a regular one keeps its place, unless its caller knows better.
fn opened(file: File, path: &Path) -> Result<OutputKind, OutputError> {
    let stat = fstat(&file).map_err(failed("asking for", path))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        return Ok(OutputKind::InPlace(file));
    }
    let flags = fcntl_getfl(&file).map_err(failed("opening", path))?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(failed("opening", path))?;
    Ok(OutputKind::Direct(file))
}

/// A descriptor of this process once more: the same open file, with its position and its flags.
fn inherited(path: &Path, number: u32) -> Result<File, OutputError> {
    // The program's own descriptors are no place for an output: /dev/fd/3 may be what it waits for events with.
    let not_open = || OutputError::NotOpen { path: path.to_owned(), number };
    let number_raw =
        i32::try_from(number).ok().filter(|_| process::was_inherited(number)).ok_or_else(not_open)?;
    let taking = |error| failed("taking the descriptor of", path)(error);
    let taken = match number {
        0 => io::stdin().as_fd().try_clone_to_owned().map_err(|error| errno(&error)),
        1 => io::stdout().as_fd().try_clone_to_owned().map_err(|error| errno(&error)),
        2 => io::stderr().as_fd().try_clone_to_owned().map_err(|error| errno(&error)),
        _ => pidfd_open(getpid(), PidfdFlags::empty())
            .and_then(|this| pidfd_getfd(this, number_raw, PidfdGetfdFlags::empty())),
    };
    let taken = taken.map_err(taking)?;
    let flags = fcntl_getfl(&taken).map_err(|error| failed("taking the descriptor of", path)(error))?;
    if flags & OFlags::RWMODE == OFlags::RDONLY {
        return Err(OutputError::NotForWriting { path: path.to_owned(), number });
    }
    Ok(File::from(taken))
}

/// Whether a file must not be replaced by another one: its other names would lead to the former content, and a mount point cannot be
/// renamed over.
fn keeps_its_place(file: &File) -> bool {
    let mounted = || {
        let about = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
        Ok::<_, Errno>(about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    };
    fstat(file).is_ok_and(|stat| stat.st_nlink > 1) || mounted().unwrap_or(false)
}

/// An output that is being written. Dropped unfinished, it leaves everything as it was.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    writing: Writing,
}

#[derive(Debug)]
enum Writing {
    Direct(File),
    Beside { staged: Staged, name: OsString, existing: Existing, former: Option<File> },
    InPlace { memory: File, former: File },
}

impl Writing {
    fn in_place(former: File) -> rustix::io::Result<Self> {
        let memory = memfd_create("flowtally-output", MemfdFlags::CLOEXEC)?;
        Ok(Self::InPlace { memory: memory.into(), former })
    }
}

impl Output {
    /// What is written to.
    #[must_use]
    pub const fn file(&self) -> &File {
        match &self.writing {
            Writing::Direct(file) | Writing::InPlace { memory: file, .. } => file,
            Writing::Beside { staged, .. } => staged.file(),
        }
    }

    /// What it is called.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can only be written from its beginning to its end: a pipe, a device, whatever descriptor was given.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.writing, Writing::Direct(_))
    }

    /// Waits until everything is on the disk, and gives it its place.
    ///
    /// # Errors
    /// When the system refuses. Then what was there before is there still.
    pub fn finish(self) -> Result<(), OutputError> {
        let _as_user = as_user()?;
        let Self { path, writing } = self;
        let result = match writing {
            Writing::Direct(file) => {
                // What goes to a file is on the disk before this ends well; a pipe has nothing to wait for.
                staged::sync(&file).and_then(|()| staged::flush(&file))
            }
            Writing::InPlace { memory, former } => in_place::write(&memory, &former),
            Writing::Beside { staged, name, existing, former } => {
                match (staged.place(&name, existing), former) {
                    // It could be replaced when it was looked at, but not now.
                    (
                        Err((Errno::BUSY | Errno::XDEV | Errno::PERM | Errno::ACCESS, staged)),
                        Some(former),
                    ) => in_place::write(staged.file(), &former),
                    (Err((Errno::EXIST, _)), _) => return Err(OutputError::Exists(path)),
                    (Err((error, _)), _) => Err(error),
                    (Ok(()), _) => Ok(()),
                }
            }
        };
        result.map_err(failed("writing", &path))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}
