//! Every kind of thing that a path may lead to, written and left alone.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fd::{AsFd, AsRawFd as _},
    fs::{CWD, OFlags, XattrFlags, fgetxattr, fsetxattr, mkfifoat, open},
    io::{FdFlags, fcntl_setfd},
};
use tempfile::TempDir;

use super::*;

const FORMER: &str = "the former content, which is longer than the new one";
const NEW: &str = "the new content";

fn prepare(path: &Path, named: bool) -> Result<OutputTarget, OutputError> {
    if named {
        OutputTarget::with_temporary_name(path, Existing::Replace, PUBLIC)
    } else {
        OutputTarget::prepare(path, Existing::Replace, PUBLIC)
    }
}

fn write(path: &Path, text: &str) -> Result<(), OutputError> {
    let mut output = OutputTarget::prepare(path, Existing::Replace, PUBLIC)?.begin()?;
    output.write_all(text.as_bytes()).unwrap();
    output.finish()
}

/// Everything below a folder, with the content of files.
fn all(folder: &Path) -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read_to_string(&path).unwrap_or_default())).collect()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn former(&self, name: &str) -> PathBuf {
        fs::write(self.path(name), FORMER).unwrap();
        self.path(name)
    }
}

#[test]
fn a_new_file_is_there_when_it_is_complete() {
    for named in [false, true] {
        let folder = Folder::new();
        let path = folder.path("new");
        let target = prepare(&path, named).unwrap();
        assert_eq!(all(folder.0.path()).len(), 0, "nothing lies around while something is measured");
        let mut output = target.begin().unwrap();
        output.write_all(NEW.as_bytes()).unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        assert_eq!(all(folder.0.path()), BTreeMap::from([(path.clone(), NEW.to_owned())]));
        let like = folder.path("as the shell makes it");
        File::create(&like).unwrap();
        assert_eq!(path.metadata().unwrap().mode(), like.metadata().unwrap().mode());
    }
}

#[test]
fn a_former_file_stays_until_the_new_one_is_complete() {
    for named in [false, true] {
        let folder = Folder::new();
        let path = folder.former("file");
        let before = all(folder.0.path());
        drop(prepare(&path, named).unwrap());
        assert_eq!(all(folder.0.path()), before);
        let mut output = prepare(&path, named).unwrap().begin().unwrap();
        output.write_all(b"half").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), FORMER);
        drop(output);
        assert_eq!(all(folder.0.path()), before);
        let mut output = prepare(&path, named).unwrap().begin().unwrap();
        output.write_all(NEW.as_bytes()).unwrap();
        output.finish().unwrap();
        assert_eq!(all(folder.0.path()), BTreeMap::from([(path, NEW.to_owned())]));
    }
}

#[test]
fn the_new_file_is_like_the_former_one() {
    let folder = Folder::new();
    let path = folder.former("file");
    for mode in [0o600, 0o644, 0o640, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let file = File::open(&path).unwrap();
        // Not every file system of a temporary folder has them.
        let kept = fsetxattr(&file, "user.flowtally", b"kept", XattrFlags::empty());
        let before = file.metadata().unwrap();
        write(&path, NEW).unwrap();
        let new = File::open(&path).unwrap();
        let after = new.metadata().unwrap();
        assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino(), "it is a new file");
        let mut value = [0; 4];
        if kept.is_ok() {
            assert_eq!(fgetxattr(&new, "user.flowtally", value.as_mut_slice()), Ok(4));
            assert_eq!(&value, b"kept");
        }
    }
}

#[test]
fn a_symbolic_link_is_followed_and_stays() {
    let folder = Folder::new();
    fs::create_dir(folder.path("sub")).unwrap();
    let file = folder.former("sub/file");
    symlink("sub/file", folder.path("one")).unwrap();
    symlink(folder.path("one"), folder.path("two")).unwrap();
    write(&folder.path("two"), NEW).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), NEW);
    assert!(folder.path("one").is_symlink() && folder.path("two").is_symlink());
    assert_eq!(all(&folder.path("sub")).len(), 1);
    // One that leads nowhere yet.
    symlink("sub/to come", folder.path("three")).unwrap();
    write(&folder.path("three"), NEW).unwrap();
    assert_eq!(fs::read_to_string(folder.path("sub/to come")).unwrap(), NEW);
    assert!(folder.path("three").is_symlink());
    symlink("loop", folder.path("loop")).unwrap();
    let error = prepare(&folder.path("loop"), false).unwrap_err().to_string();
    assert!(error.contains("Too many levels of symbolic links"), "{error}");
}

#[test]
fn every_name_of_a_file_leads_to_the_new_content() {
    for text in [NEW, &FORMER.repeat(2)] {
        let folder = Folder::new();
        let (one, two) = (folder.former("one"), folder.path("two"));
        fs::hard_link(&one, &two).unwrap();
        let mut output = prepare(&one, false).unwrap().begin().unwrap();
        output.write_all(text.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&two).unwrap(), FORMER);
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(&one).unwrap(), text);
        assert_eq!(fs::read_to_string(&two).unwrap(), text);
        assert_eq!(all(folder.0.path()).len(), 2);
    }
}

#[test]
fn what_is_no_file_is_written_to_as_it_is() {
    let folder = Folder::new();
    for device in ["/dev/null", "/dev/full"] {
        let mut output = prepare(Path::new(device), false).unwrap().begin().unwrap();
        let written = output.write_all(NEW.as_bytes());
        assert_eq!(written.is_ok(), device == "/dev/null");
        drop(output);
        assert!(fs::metadata(device).unwrap().file_type().is_char_device());
    }
    let _listener = UnixListener::bind(folder.path("socket")).unwrap();
    for (path, message) in [
        (folder.path("socket"), "is a socket"),
        (folder.path(""), "names no file"),
        (folder.path("missing/file"), "missing/file: No such file or directory"),
        (folder.0.path().to_owned(), "is a folder"),
    ] {
        let error = prepare(&path, false).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_fifo_waits_for_its_reader() {
    let folder = Folder::new();
    let path = folder.path("fifo");
    mkfifoat(CWD, &path, PRIVATE).unwrap();
    let mut target = prepare(&path, false).unwrap();
    assert!(target.waits_for_reader());
    target.look_for_reader().unwrap();
    assert!(target.waits_for_reader());
    let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    target.look_for_reader().unwrap();
    assert!(!target.waits_for_reader());
    let mut output = target.begin().unwrap();
    output.write_all(NEW.as_bytes()).unwrap();
    output.finish().unwrap();
    let mut read = String::new();
    File::from(reader).read_to_string(&mut read).unwrap();
    assert_eq!(read, NEW);
    assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
}

/// Makes a descriptor look like one that this program was started with.
fn inherit(file: &impl AsFd) {
    fcntl_setfd(file, FdFlags::empty()).unwrap();
}

#[test]
fn a_descriptor_is_written_to_where_it_stands() {
    let folder = Folder::new();
    let path = folder.former("file");
    for (append, expected) in [(true, [FORMER, "first", NEW].concat()), (false, ["first", NEW].concat())] {
        let mut file = File::options().append(append).write(true).truncate(!append).open(&path).unwrap();
        file.write_all(b"first").unwrap();
        inherit(&file);
        for folder in ["/proc/self/fd", "/dev/fd", "/proc/thread-self/fd"] {
            assert!(
                matches!(place::find(&Path::new(folder).join("7")), Ok(OutputPlace::Inherited(7))),
                "{folder}"
            );
        }
        write(Path::new(&format!("/dev/fd/{}", file.as_raw_fd())), NEW).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        fs::write(&path, FORMER).unwrap();
    }
    let reading = File::open(&path).unwrap();
    inherit(&reading);
    let error = write(Path::new(&format!("/proc/self/fd/{}", reading.as_raw_fd())), NEW).unwrap_err();
    assert!(error.to_string().contains("not open for writing"), "{error}");
    let error = write(Path::new("/proc/self/fd/999999"), NEW).unwrap_err();
    assert!(error.to_string().contains("not open when the program began"), "{error}");
    let (mut reader, writer) = io::pipe().unwrap();
    let own = write(Path::new(&format!("/dev/fd/{}", writer.as_raw_fd())), NEW).unwrap_err();
    assert!(own.to_string().contains("not open when the program began"), "{own}");
    inherit(&writer);
    write(Path::new(&format!("/dev/fd/{}", writer.as_raw_fd())), NEW).unwrap();
    drop(writer);
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, NEW);
}

#[test]
fn what_is_to_be_kept_is_kept() {
    let folder = Folder::new();
    let path = folder.former("file");
    symlink("nowhere", folder.path("dangling")).unwrap();
    symlink("file", folder.path("link")).unwrap();
    for name in ["file", "link", "dangling"] {
        let kept = OutputTarget::prepare(&folder.path(name), Existing::Keep, PUBLIC);
        assert!(matches!(kept, Err(OutputError::Exists(_))), "{name}: {kept:?}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), FORMER);
    assert!(!folder.path("nowhere").exists());
}
