//! What the kernel notes of sockets' owners: attaching the programs that note, and reading the notes.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData},
    programs::{CgroupAttachMode, CgroupSock, CgroupSockAddr, ProgramError, SockOps},
};
use flowtally_common::{SocketNote, settings};

use super::{
    KernelError,
    cgroup::{self, CgroupMount},
};

/// What a note is as aya passes it.
type Words = [u64; 8];

/// The kernel's notes on who owns which socket.
pub struct OwnerNotes {
    notes: Option<HashMap<MapData, u64, Words>>,
    degraded: Vec<String>,
}

impl OwnerNotes {
    /// None are taken, and that is how it should be.
    pub(super) const fn off() -> Self {
        Self { notes: None, degraded: Vec::new() }
    }

    /// Attaches the programs to the root of cgroup v2, for as long as `ebpf` lives. What cannot be had is said in
    /// [`degraded`](Self::degraded), and is no failure: owners are then found in /proc alone.
    pub(super) fn attach(ebpf: &mut Ebpf) -> Self {
        match try_attach(ebpf) {
            Ok((notes, degraded)) => Self { notes: Some(notes), degraded },
            Err(reason) => Self {
                notes: None,
                degraded: vec![format!(
                    "owners are looked for in /proc alone, short-lived ones are missed: {reason}"
                )],
            },
        }
    }

    /// Whether notes are taken.
    #[must_use]
    pub const fn are_taken(&self) -> bool {
        self.notes.is_some()
    }

    /// What is missing, and why, in words for people.
    #[must_use]
    pub fn degraded(&self) -> &[String] {
        &self.degraded
    }

    /// Who owns the socket with this cookie, as far as it was noted.
    #[must_use]
    pub fn note(&self, cookie: u64) -> Option<SocketNote> {
        let words = self.notes.as_ref()?.get(&cookie, 0).ok()?;
        Some(unpack(words))
    }
}

/// The layout of [`SocketNote`], which is made of whole words.
fn unpack(words: Words) -> SocketNote {
    let [start_time, noted, cgroup, netns, ids, command_low, command_high, rest] = words;
    let mut command = [0; 16];
    command[..8].copy_from_slice(&command_low.to_le_bytes());
    command[8..].copy_from_slice(&command_high.to_le_bytes());
    let [occasion, padding @ ..] = rest.to_le_bytes();
    #[expect(clippy::cast_possible_truncation, reason = "the lower half and the upper half")]
    let (tgid, uid) = (ids as u32, (ids >> 32) as u32);
    SocketNote { start_time, noted, cgroup, netns, tgid, uid, command, occasion, padding }
}

fn try_attach(ebpf: &mut Ebpf) -> Result<(HashMap<MapData, u64, Words>, Vec<String>), String> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| format!("reading /proc/self/mountinfo failed: {error}"))?;
    let CgroupMount { path, whole } =
        cgroup::mount(&mountinfo).ok_or("cgroup v2 is not mounted (mount -t cgroup2 none /sys/fs/cgroup)")?;
    let root = File::open(&path).map_err(|error| format!("opening {} failed: {error}", path.display()))?;
    let mut degraded = Vec::new();
    if !whole {
        degraded.push(format!(
            "owners are noted of the processes below {} alone: only a part of cgroup v2 is mounted",
            path.display()
        ));
    }
    for name in settings::SOCK_PROGRAMS {
        // Without these two there is nothing to note, or nothing to put right.
        attach_sock(ebpf, name, &root).map_err(|error| refused(name, &path, &error))?;
    }
    let mut optional = |name: &'static str, loses: &str, attached: Result<(), ProgramError>| {
        if let Err(error) = attached {
            degraded.push(format!("{loses}: {}", refused(name, &path, &error)));
        }
    };
    for name in settings::ADDRESS_PROGRAMS {
        let attached = attach_address(ebpf, name, &root);
        optional(name, "a socket that one process makes and another uses is the first one's", attached);
    }
    let name = settings::SOCK_OPS_PROGRAM;
    let attached = attach_sock_ops(ebpf, &root);
    optional(name, "a connection that nobody accepted yet has no owner", attached);
    match ebpf.take_map(settings::NOTES) {
        Some(map @ Map::LruHashMap(_)) => HashMap::try_from(map)
            .map(|notes| (notes, degraded))
            .map_err(|error| format!("opening the map {} failed: {error}", settings::NOTES)),
        _ => Err(format!("the kernel object has no map {}", settings::NOTES)),
    }
}

fn refused(name: &str, cgroup: &Path, error: &ProgramError) -> String {
    // Its chain has the kernel's answer, and what to do about it where that is known.
    let doing = "attaching the programs that note owners";
    let reason = KernelError::explain(doing, error).to_string();
    let reason = reason.lines().next().unwrap_or_default();
    format!("{name} at {}: {reason}", cgroup.display())
}

fn missing() -> ProgramError {
    ProgramError::IOError(io::Error::other("the kernel object does not have it"))
}

/// With a link, the kernel runs the programs of all who attach, whatever the mode: flags are refused there.
const BESIDE_OTHERS: CgroupAttachMode = CgroupAttachMode::Single;

fn attach_sock(ebpf: &mut Ebpf, name: &str, cgroup: &File) -> Result<(), ProgramError> {
    let program: &mut CgroupSock = ebpf.program_mut(name).ok_or_else(missing)?.try_into()?;
    program.load()?;
    program.attach(cgroup, BESIDE_OTHERS).map(drop)
}

fn attach_address(ebpf: &mut Ebpf, name: &str, cgroup: &File) -> Result<(), ProgramError> {
    let program: &mut CgroupSockAddr = ebpf.program_mut(name).ok_or_else(missing)?.try_into()?;
    program.load()?;
    program.attach(cgroup, BESIDE_OTHERS).map(drop)
}

fn attach_sock_ops(ebpf: &mut Ebpf, cgroup: &File) -> Result<(), ProgramError> {
    let program: &mut SockOps =
        ebpf.program_mut(settings::SOCK_OPS_PROGRAM).ok_or_else(missing)?.try_into()?;
    program.load()?;
    program.attach(cgroup, BESIDE_OTHERS).map(drop)
}

#[cfg(test)]
mod tests {
    use flowtally_common::Occasion;

    use super::*;

    #[test]
    fn a_note_is_whole_words() {
        let note = SocketNote {
            start_time: 1,
            noted: 2,
            cgroup: 3,
            netns: 4,
            tgid: 0x0102_0304,
            uid: 0x0a0b_0c0d,
            command: *b"sixteen bytes 16",
            occasion: Occasion::Accepted as u8,
            padding: [0; 7],
        };
        let command = |at: usize| u64::from_le_bytes(note.command[at..at + 8].try_into().unwrap());
        let words = [1, 2, 3, 4, 0x0a0b_0c0d_0102_0304, command(0), command(8), 4];
        assert_eq!(unpack(words), note);
    }
}
