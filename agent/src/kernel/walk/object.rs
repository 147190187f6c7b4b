//! The embedded object with the programs that walk, and loading them.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        linux::fs::MetadataExt as _,
    },
};

use aya_obj::{EbpfSectionKind, Object};
use flowtally_common::walk::{LAYOUT, SELECTION, WalkLayout, WalkSelection, WalkSet};

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

/// Maps, and the programs that were loaded by now.
#[derive(Debug)]
pub(super) struct Programs {
    object: Object,
    functions: [Option<u32>; PROGRAMS.len()],
    loaded: [Option<OwnedFd>; PROGRAMS.len()],
    selection: OwnedFd,
    set: OwnedFd,
    /// Others that the programs refer to.
    _maps: Vec<OwnedFd>,
}

impl Programs {
    /// Parses the object, fills in where the kernel's fields are, and makes the maps.
    pub(super) fn open() -> Result<Self, NoWalk> {
        let (layout, functions) = layout()?;
        sys::unlimit_locked_memory();
        let refused = |reason: String| NoWalk::Refused { doing: "opening the object", reason };
        let mut object = Object::parse(OBJECT).map_err(|error| refused(error.to_string()))?;
        object
            .patch_map_data([(LAYOUT, (layout.as_slice(), true))].into_iter().collect())
            .map_err(|error| refused(error.to_string()))?;
        let (mut maps, mut selection, mut set) = (Vec::new(), None, None);
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
        let mut others = Vec::new();
        for (name, fd) in maps {
            match name.as_str() {
                SELECTION => selection = Some(fd),
                "SET" => set = Some(fd),
                _ => others.push(fd),
            }
        }
        let missing = || refused("it lacks a map".to_owned());
        Ok(Self {
            object,
            functions,
            loaded: [const { None }; PROGRAMS.len()],
            selection: selection.ok_or_else(missing)?,
            set: set.ok_or_else(missing)?,
            _maps: others,
        })
    }

    /// Begins a walk: what is to be read.
    pub(super) fn start(
        &mut self,
        program: Program,
        selection: &WalkSelection,
        set: Option<&WalkSet>,
    ) -> Result<OwnedFd, NoWalk> {
        self.load(program)?;
        let refused =
            |error: io::Error| NoWalk::Refused { doing: "beginning the walk", reason: error.to_string() };
        let Some(Some(loaded)) = self.loaded.get(program as usize) else {
            return Err(refused(io::ErrorKind::NotFound.into()));
        };
        let words: Vec<u8> = [
            selection.descriptors[0],
            selection.descriptors[1],
            selection.process,
            selection.device,
            selection.want,
            selection.level,
        ]
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
        const { assert!(size_of::<WalkSelection>() == 24) };
        // SAFETY: the element is a `WalkSelection`, which these are the six words of.
        unsafe { sys::write_element(self.selection.as_fd(), 0, &words) }.map_err(refused)?;
        if let Some(WalkSet(words)) = set {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            // SAFETY: the element is a `WalkSet`, which these are the words of.
            unsafe { sys::write_element(self.set.as_fd(), 0, &bytes) }.map_err(refused)?;
        }
        let process = (selection.process != 0).then_some(selection.process);
        let process = process.filter(|pid| program != Program::Files || walks_threads_right(*pid));
        // Kernels that cannot walk one process alone (before 6.1) refuse to hear of it; the program compares numbers in any case.
        let link = calls::link(loaded.as_fd(), process)
            .or_else(|error| if process.is_some() { calls::link(loaded.as_fd(), None) } else { Err(error) })
            .map_err(refused)?;
        calls::iterate(&link).map_err(refused)
    }

    fn load(&mut self, program: Program) -> Result<(), NoWalk> {
        let index = program as usize;
        let (Some(place), Some((name, function))) = (self.loaded.get_mut(index), PROGRAMS.get(index)) else {
            return Ok(());
        };
        if place.is_some() {
            return Ok(());
        }
        let Some(number) = self.functions.get(index).copied().flatten() else {
            return Err(NoWalk::NotFound { what: format!("{function}()") });
        };
        let refused = |reason: String| NoWalk::Refused { doing: "loading a program", reason };
        let program = self.object.programs.get(*name).ok_or_else(|| refused("it is not there".to_owned()))?;
        let code = self.object.functions.get(&program.function_key());
        let code = code.ok_or_else(|| refused("it has no instructions".to_owned()))?;
        let _undisturbed = Undisturbed::begin();
        let load = |log: &mut [u8]| calls::load(name, number, &code.instructions, &program.license, log);
        let loaded = load(&mut []).or_else(|error| match error.raw_os_error() {
            // Stopped meanwhile: once more.
            Some(libc::EAGAIN) => load(&mut []),
            _ => Err(error),
        });
        match loaded {
            Ok(fd) => *place = Some(fd),
            Err(error) => {
                let mut log = vec![0; LOG];
                let _ = load(&mut log);
                return Err(refused(explained(&error, &log)));
            }
        }
        Ok(())
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
fn layout() -> Result<(Vec<u8>, [Option<u32>; PROGRAMS.len()]), NoWalk> {
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
