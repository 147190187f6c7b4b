//! Copies of files that this process holds itself.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _, symlink},
            net::UnixStream,
        },
    },
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;

use super::{Copied, CopyProgress, RecoverError, RecoverSource};
use crate::{
    host::output::{Existing, OutputError, OutputTarget, PRIVATE},
    model::{handle::Handle, held::How},
};

const HOLE: u64 = 64 << 20;

/// A deleted file with a hole at its beginning, in its middle and at its end.
fn sparse(folder: &Path) -> File {
    let path = folder.join("sparse");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    for at in [HOLE, 2 * HOLE] {
        file.seek(SeekFrom::Start(at)).unwrap();
        // Not a whole number of blocks, and more than is read at a time.
        file.write_all(&(0..1_500_001_u32).flat_map(|n| n.to_le_bytes()[..1].to_vec()).collect::<Vec<_>>())
            .unwrap();
    }
    file.set_len(3 * HOLE + 5).unwrap();
    fs::remove_file(path).unwrap();
    file
}

fn source(file: &impl AsRawFd) -> Result<RecoverSource, RecoverError> {
    let number = u32::try_from(file.as_raw_fd()).unwrap();
    RecoverSource::find(std::process::id(), Handle::Descriptor(number))
}

/// A target for a copy, with a temporary name if it has to have one.
fn target(path: &Path, named: bool) -> Result<OutputTarget, OutputError> {
    if named {
        OutputTarget::with_temporary_name(path, Existing::Keep, PRIVATE)
    } else {
        RecoverSource::target(path)
    }
}

fn copy(source: &RecoverSource, output: &Path) -> Result<Copied, RecoverError> {
    source.copy_to(RecoverSource::target(output)?, &CopyProgress::default())
}

fn content(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_copy_equals_its_source_and_keeps_holes_mode_and_times() {
    let folder = TempDir::new().unwrap();
    let file = sparse(folder.path());
    file.set_permissions(Permissions::from_mode(0o640)).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789);
    file.set_modified(modified).unwrap();
    let source = source(&file).unwrap();
    assert!(source.is_deleted());
    let output = folder.path().join("copy");
    for named in [false, true] {
        let target = target(&output, named).unwrap();
        assert!(is_empty(folder.path()), "it has its name only when it is complete");
        let Copied { size, data, warnings, .. } = source.copy_to(target, &CopyProgress::default()).unwrap();
        assert_eq!(size, 3 * HOLE + 5);
        assert!((3_000_002..4_000_000).contains(&data), "{data}");
        assert_eq!(warnings, [""; 0]);
        let about = fs::metadata(&output).unwrap();
        assert_eq!(about.blocks(), file.metadata().unwrap().blocks());
        assert_eq!((about.mode() & 0o7777, about.modified().unwrap()), (0o640, modified));
        assert!(content(&File::open(&output).unwrap()) == content(&file), "the content differs");
        fs::remove_file(&output).unwrap();
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_stays_behind() {
    let folder = TempDir::new().unwrap();
    let file = sparse(folder.path());
    let source = source(&file).unwrap();
    let output = folder.path().join("copy");

    let stopped = CopyProgress::default();
    stopped.stop();
    for named in [false, true] {
        let result = source.copy_to(target(&output, named).unwrap(), &stopped);
        assert!(matches!(result, Err(RecoverError::Interrupted)), "{result:?}");
        assert!(is_empty(folder.path()));
    }

    // Made after the copy began: what is there stays, and the copy is what goes.
    for named in [false, true] {
        let late = target(&output, named).unwrap();
        fs::write(&output, "precious").unwrap();
        let result = source.copy_to(late, &CopyProgress::default());
        assert!(matches!(result, Err(RecoverError::Output(OutputError::Exists(_)))), "{result:?}");
        assert!(matches!(target(&output, named), Err(OutputError::Exists(_))));
        assert_eq!(fs::read_to_string(&output).unwrap(), "precious");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::remove_file(&output).unwrap();
    }

    // A link that leads nowhere is a name that is taken.
    let link = folder.path().join("link");
    symlink("nowhere", &link).unwrap();
    assert!(matches!(RecoverSource::target(&link), Err(OutputError::Exists(_))));
    assert!(!folder.path().join("nowhere").exists());

    for path in ["/", "/tmp/", "", "..", "/tmp"] {
        let result = RecoverSource::target(Path::new(path));
        assert!(matches!(result, Err(OutputError::NoName(_) | OutputError::Folder(_))), "{path}: {result:?}");
    }
    let result = RecoverSource::target(Path::new("/nonexistent/copy"));
    assert!(
        result.unwrap_err().to_string().contains("opening the folder of /nonexistent/copy: No such file")
    );
}

/// What is written to from its beginning to its end gets every byte, zeros for holes.
#[test]
fn a_pipe_gets_the_whole_content() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sparse");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(1 << 20)).unwrap();
    file.write_all(b"the end").unwrap();
    fs::remove_file(&path).unwrap();
    let source = source(&file).unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    // As one that this program was started with.
    fcntl_setfd(&writer, FdFlags::empty()).unwrap();
    let output = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let read = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let Copied { size, shared, .. } = copy(&source, Path::new(&output)).unwrap();
    drop(writer);
    assert_eq!((size, shared), ((1 << 20) + 7, false));
    assert!(read.join().unwrap() == content(&file), "the content differs");
}

#[test]
fn what_has_no_content_is_called_what_it_is() {
    let (pipe, _other) = io::pipe().unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    for (held, word) in [
        (OwnedFd::from(pipe), "a pipe"),
        (OwnedFd::from(socket), "a socket"),
        (OwnedFd::from(File::open("/dev/null").unwrap()), "a device"),
        (OwnedFd::from(File::open("/").unwrap()), "a directory"),
    ] {
        let message = source(&held).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let of = |pid, handle| RecoverSource::find(pid, handle).unwrap_err().to_string();
    let own = std::process::id();
    assert_eq!(of(u32::MAX, Handle::Executable), format!("there is no process {}", u32::MAX));
    assert!(of(own, Handle::Descriptor(1 << 20)).contains("does not have descriptor 1048576"));
    assert!(of(own, Handle::Mapped(Some(1))).contains("does not have what is mapped at 1"));
    assert!(of(own, Handle::Mapped(None)).contains("does not have the deleted file that is mapped"));
}

#[test]
fn a_file_that_was_only_opened_to_write_is_read_all_the_same() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"the last words").unwrap();
    fs::remove_file(&path).unwrap();
    let source = source(&file).unwrap();
    let number = u32::try_from(file.as_raw_fd()).unwrap();
    let writers: Vec<_> = source.writers().into_iter().map(|writer| (writer.pid, writer.how)).collect();
    assert_eq!(writers, [(std::process::id(), How::Descriptor(number))]);
    copy(&source, &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"the last words");
}

#[test]
fn what_grew_or_was_cut_after_it_was_taken_hold_of_is_said() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"0123456789").unwrap();
    let held = source(&file).unwrap();
    file.write_all(b"more").unwrap();
    let output = folder.path().join("copy");
    let Copied { warnings, shared, .. } = copy(&held, &output).unwrap();
    if !shared {
        assert_eq!(warnings, ["it grew by 4 B while it was copied; these are not in the copy"]);
        assert_eq!(fs::read(&output).unwrap(), b"0123456789");
    }
    fs::remove_file(&output).unwrap();
    file.set_len(3).unwrap();
    let Copied { warnings, size, .. } = copy(&held, &output).unwrap();
    assert_eq!(warnings, ["it was cut from 10 B to 3 B while it was copied, and so is the copy"]);
    assert_eq!(fs::read(&output).unwrap(), b"012");
    assert_eq!(size, 3);
}

#[test]
fn the_executable_is_copied() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("program");
    let source = RecoverSource::find(std::process::id(), Handle::Executable).unwrap();
    assert!(!source.is_deleted());
    copy(&source, &output).unwrap();
    let own = fs::read("/proc/self/exe").unwrap();
    assert!(own == fs::read(&output).unwrap(), "the content differs");
}
