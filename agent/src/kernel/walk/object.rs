//! The embedded object with the programs that walk, and loading them.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        linux::fs::MetadataExt as _,
    },
    sync::OnceLock,
};

use aya_obj::{EbpfSectionKind, Object};
use flowtally_common::walk::{LAYOUT, SELECTION, WANT, WalkLayout, WalkSelection, WalkSet};

use super::{calls, reason::NoWalk};
use crate::kernel::{
    btf::{FieldNames, TypeInformation},
    error::is_older,
    process::Undisturbed,
    sys,
};

/// Built by `cargo xtask ebpf`, see ARCHITECTURE.md.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("FLOWTALLY_ITERATORS_PATH"));

/// A program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Files,
    Mappings,
    Tasks,
}

/// Their names, and the kernel's functions that they stand for.
const PROGRAMS: [(&str, &str); 3] = [
    ("flowtally_files", "bpf_iter_task_file"),
    ("flowtally_mappings", "bpf_iter_task_vma"),
    ("flowtally_tasks", "bpf_iter_task"),
];

/// What the verifier may say of a program that it refuses.
const LOG: usize = 256 * 1024;

/// Where the kernel has its fields, and the programs that were loaded by now.
#[derive(Debug)]
pub(super) struct Programs {
    layout: &'static FoundLayout,
    loaded: Vec<Loaded>,
}

/// A program, loaded for what is wanted, with maps of its own.
#[derive(Debug)]
struct Loaded {
    program: (Program, u32),
    fd: OwnedFd,
    selection: OwnedFd,
    set: Option<OwnedFd>,
    /// Others that it refers to.
    _maps: Vec<OwnedFd>,
}

impl Programs {
    /// Finds out where the kernel has its fields.
    pub(super) fn open() -> Result<Self, NoWalk> {
        let layout = layout()?;
        sys::unlimit_locked_memory();
        Ok(Self { layout, loaded: Vec::new() })
    }

    /// Begins a walk: what is to be read. The program is loaded with what is wanted, if it is not yet.
    pub(super) fn start(
        &mut self,
        program: (Program, u32),
        selection: &WalkSelection,
        set: Option<&WalkSet>,
    ) -> Result<OwnedFd, NoWalk> {
        let at = self.loaded.iter().position(|loaded| loaded.program == program);
        let at = if let Some(at) = at {
            at
        } else {
            let loaded = self.load(program)?;
            self.loaded.push(loaded);
            self.loaded.len() - 1
        };
        let refused =
            |error: io::Error| NoWalk::Refused { doing: "beginning the walk", reason: error.to_string() };
        let missing = || refused(io::ErrorKind::NotFound.into());
        let loaded = self.loaded.get(at).ok_or_else(missing)?;
        let [first, last] = selection.descriptors;
        // What the programs note is zero at first.
        let mut words = [0; size_of::<WalkSelection>()];
        let wanted = [first, last, selection.process, selection.device].map(u32::to_ne_bytes);
        for (to, from) in words.iter_mut().zip(wanted.as_flattened()) {
            *to = *from;
        }
        // SAFETY: the element is a `WalkSelection`, which begins with these four words, and these bytes are as long.
        unsafe { sys::write_element(loaded.selection.as_fd(), 0, &words) }.map_err(refused)?;
        if let Some((map, WalkSet(words))) = loaded.set.as_ref().zip(set) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            // SAFETY: the element is a `WalkSet`, which these are the words of.
            unsafe { sys::write_element(map.as_fd(), 0, &bytes) }.map_err(refused)?;
        }
        let process = (selection.process != 0).then_some(selection.process);
        let process = process.filter(|pid| program.0 != Program::Files || walks_threads_right(*pid));
        // Kernels that cannot walk one process alone (before 6.1) refuse to hear of it; the program compares numbers in any case.
        let link = calls::link(loaded.fd.as_fd(), process)
            .or_else(
                |error| if process.is_some() { calls::link(loaded.fd.as_fd(), None) } else { Err(error) },
            )
            .map_err(refused)?;
        calls::iterate(&link).map_err(refused)
    }

    /// Parses the object, fills in where the kernel's fields are and what is wanted, makes the maps, and loads one program.
    fn load(&self, program: (Program, u32)) -> Result<Loaded, NoWalk> {
        let refused = |reason: String| NoWalk::Refused { doing: "opening the object", reason };
        let mut object = Object::parse(OBJECT).map_err(|error| refused(error.to_string()))?;
        let ((layout, _), want) = (self.layout, program.1.to_ne_bytes());
        let values = [(LAYOUT, (layout.as_slice(), true)), (WANT, (want.as_slice(), true))];
        object.patch_map_data(values.into_iter().collect()).map_err(|error| refused(error.to_string()))?;
        let mut maps = Vec::new();
        for (name, map) in &object.maps {
            let read_only = map.section_kind() == EbpfSectionKind::Rodata;
            let created = || -> io::Result<OwnedFd> {
                let fd = sys::create_array(map.value_size(), read_only)?;
                if read_only {
                    // SAFETY: the element was made as long as the data.
                    unsafe { sys::write_element(fd.as_fd(), 0, map.data()) }?;
                    calls::freeze(fd.as_fd())?;
                }
                Ok(fd)
            };
            let fd = created().map_err(|error| NoWalk::Refused {
                doing: "making a table for the walk",
                reason: error.to_string(),
            })?;
            maps.push((name.clone(), fd));
        }
        let known: Vec<_> = maps
            .iter()
            .filter_map(|(name, fd)| Some((name.as_str(), fd.as_raw_fd(), object.maps.get(name)?.clone())))
            .collect();
        let text = object.functions.keys().map(|(section, _)| *section).collect();
        object
            .relocate_maps(known.iter().map(|(name, fd, map)| (*name, *fd, map)), &text)
            .map_err(|error| refused(error.to_string()))?;
        object.relocate_calls(&text).map_err(|error| refused(error.to_string()))?;
        let fd = self.load_one(program.0, &object)?;
        let mut take = |wanted: &str| {
            let at = maps.iter().position(|(name, _)| name == wanted)?;
            Some(maps.swap_remove(at).1)
        };
        let selection = take(SELECTION).ok_or_else(|| refused("it lacks a map".to_owned()))?;
        let set = take("SET");
        Ok(Loaded { program, fd, selection, set, _maps: maps.into_iter().map(|(_, fd)| fd).collect() })
    }

    fn load_one(&self, program: Program, object: &Object) -> Result<OwnedFd, NoWalk> {
        let refused = |reason: String| NoWalk::Refused { doing: "loading a program", reason };
        let missing = |what: &str| refused(format!("it lacks {what}"));
        let (name, function) = PROGRAMS.get(program as usize).ok_or_else(|| missing("a name"))?;
        let Some(number) = self.layout.1.get(program as usize).copied().flatten() else {
            return Err(NoWalk::NotFound { what: format!("{function}()") });
        };
        let program = object.programs.get(*name).ok_or_else(|| missing(name))?;
        let code = object.functions.get(&program.function_key()).ok_or_else(|| missing("instructions"))?;
        let _undisturbed = Undisturbed::begin();
        let load = |log: &mut [u8]| calls::load(name, number, &code.instructions, &program.license, log);
        let loaded = load(&mut []).or_else(|error| match error.raw_os_error() {
            // Stopped meanwhile: once more.
            Some(libc::EAGAIN) => load(&mut []),
            _ => Err(error),
        });
        loaded.map_err(|error| {
            let mut log = vec![0; LOG];
            let _ = load(&mut log);
            refused(explained(&error, &log))
        })
    }
}

/// Whether a walk of one process meets the tables of all its threads. Before Linux 6.7 it skips one that has a table of its own behind one
/// that has not (`task_group_seq_get_next`, fixed by "fix the `skip_if_dup_files` check"): then everything is walked and compared.
fn walks_threads_right(pid: u32) -> bool {
    /// Links of a directory with one directory in it.
    const ONE_THREAD: u64 = 3;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    !is_older(&release, (6, 7))
        || fs::metadata(format!("/proc/{pid}/task")).is_ok_and(|task| task.st_nlink() == ONE_THREAD)
}

/// What the kernel answered, and what the verifier said last about the program.
fn explained(error: &io::Error, log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
    let said = text.lines().rev().find(|line| !line.trim().is_empty() && !line.starts_with("processed "));
    said.map_or_else(|| error.to_string(), |said| format!("{error}: {}", said.trim()))
}

/// Where the running kernel has its fields, as the load-time value's bytes, and the numbers of the functions.
type FoundLayout = (Vec<u8>, [Option<u32>; PROGRAMS.len()]);

/// The layout of the running kernel, which is looked up once.
fn layout() -> Result<&'static FoundLayout, NoWalk> {
    static FOUND: OnceLock<Result<FoundLayout, NoWalk>> = OnceLock::new();
    FOUND.get_or_init(look_up).as_ref().map_err(Clone::clone)
}

fn look_up() -> Result<FoundLayout, NoWalk> {
    let types = TypeInformation::open().ok_or(NoWalk::NoTypeInformation)?;
    let fields: Vec<FieldNames<'_>> =
        WalkLayout::FIELDS.iter().map(|(structure, names, _)| (*structure, *names)).collect();
    let functions = PROGRAMS.map(|(_, function)| function);
    let found = types.look_up(&fields, &functions);
    let found = found
        .ok_or_else(|| NoWalk::NotFound { what: "type information (/sys/kernel/btf/vmlinux)".to_owned() })?;
    for ((structure, names, needed), offset) in WalkLayout::FIELDS.iter().zip(&found.fields) {
        if *needed && offset.is_none() {
            let name = names.first().unwrap_or(&"");
            return Err(NoWalk::NotFound { what: format!("field {name} of {structure}") });
        }
    }
    let words = found.fields.into_iter().map(|offset| offset.unwrap_or(flowtally_common::walk::UNKNOWN));
    let layout = words.flat_map(u32::to_ne_bytes).collect();
    Ok((layout, found.functions.try_into().unwrap_or_default()))
}
