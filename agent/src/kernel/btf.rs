//! Where the kernel keeps what it knows of a task: member offsets from its BTF (`Documentation/bpf/btf.rst`). Pure.

use flowtally_common::owner::TaskOffsets;

/// Length of `struct btf_header`.
const HEADER: usize = 24;
/// Length of `struct btf_type`.
const TYPE: usize = 12;
/// `BTF_KIND_STRUCT`
const STRUCT: u32 = 4;

/// The offsets that notes of owners need; `None` where this BTF does not have all of them.
pub(super) fn task_offsets(btf: &[u8]) -> Option<TaskOffsets> {
    let btf = Btf::parse(btf)?;
    let [group_leader, comm, cred] = btf.offsets("task_struct", ["group_leader", "comm", "cred"])?;
    let [start_boottime] = btf
        .offsets("task_struct", ["start_boottime"])
        // Before Linux 5.5.
        .or_else(|| btf.offsets("task_struct", ["real_start_time"]))?;
    let [euid] = btf.offsets("cred", ["euid"])?;
    Some(TaskOffsets { group_leader, start_boottime, comm, cred, euid })
}

struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    fn parse(data: &'a [u8]) -> Option<Self> {
        let magic = data.get(..2)?;
        if magic != 0xeb9f_u16.to_ne_bytes() {
            return None;
        }
        let length = word(data, 4)? as usize;
        let [type_at, type_length, string_at, string_length] =
            [word(data, 8)?, word(data, 12)?, word(data, 16)?, word(data, 20)?].map(|word| word as usize);
        if length < HEADER {
            return None;
        }
        let section = |at: usize, size: usize| {
            let start = length.checked_add(at)?;
            data.get(start..start.checked_add(size)?)
        };
        Some(Self { types: section(type_at, type_length)?, strings: section(string_at, string_length)? })
    }

    /// Byte offsets of members of the first structure of that name.
    fn offsets<const N: usize>(&self, name: &str, members: [&str; N]) -> Option<[u32; N]> {
        let mut at = 0;
        loop {
            let info = word(self.types, at + 4)?;
            let (kind, count) = (info >> 24 & 0x1f, info & 0xffff);
            if kind == STRUCT && count > 0 && self.is_named(word(self.types, at)?, name) {
                // With the flag the upper byte of an offset is a bit field's size.
                let mask = if info >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
                let mut offsets = [0; N];
                for (offset, wanted) in offsets.iter_mut().zip(members) {
                    let member =
                        (0..count as usize).map(|number| at + TYPE + number * TYPE).find(|member| {
                            word(self.types, *member).is_some_and(|of| self.is_named(of, wanted))
                        })?;
                    *offset = (word(self.types, member + 8)? & mask) / 8;
                }
                return Some(offsets);
            }
            at = at.checked_add(TYPE + trailer(kind, count as usize)?)?;
        }
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let Some(text) = self.strings.get(offset as usize..) else { return false };
        text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// What follows a type of this kind, in bytes; `None` for a kind that is not known.
const fn trailer(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array; structure, union, 64-bit enumeration.
        3 => 12,
        4 | 5 | 19 => 12 * count,
        // Enumeration, function prototype.
        6 | 13 => 8 * count,
        // Data section.
        15 => 12 * count,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A BTF of structures with members at bit offsets, with an integer and an enumeration before them.
    fn btf(structures: &[(&str, &[(&str, u32)])]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut name = |text: &str| {
            let at = u32::try_from(strings.len()).unwrap();
            strings.extend(text.bytes().chain([0]));
            at
        };
        let mut types = vec![name("int"), 1 << 24, 4, 32];
        types.extend([name("order"), 6 << 24 | 2, 4, name("LESS"), 0, name("MORE"), 1]);
        for (structure, members) in structures {
            types.extend([name(structure), STRUCT << 24 | u32::try_from(members.len()).unwrap(), 64]);
            for (member, offset) in *members {
                types.extend([name(member), 1, *offset]);
            }
        }
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut data = 0xeb9f_u16.to_ne_bytes().to_vec();
        data.extend([1, 0]);
        let lengths = [24, 0, types.len(), types.len(), strings.len()];
        data.extend(lengths.into_iter().flat_map(|word| u32::try_from(word).unwrap().to_ne_bytes()));
        data.extend(types);
        data.extend(strings);
        data
    }

    const TASK: &[(&str, u32)] =
        &[("group_leader", 64), ("comm", 128), ("cred", 256), ("start_boottime", 320)];

    #[test]
    fn offsets_are_found_by_name() {
        let data =
            btf(&[("other", &[("comm", 8)]), ("task_struct", TASK), ("cred", &[("uid", 0), ("euid", 160)])]);
        let offsets = task_offsets(&data).unwrap();
        assert_eq!(
            offsets,
            TaskOffsets { group_leader: 8, start_boottime: 40, comm: 16, cred: 32, euid: 20 }
        );
    }

    #[test]
    fn what_is_missing_is_missed() {
        assert_eq!(task_offsets(&btf(&[("task_struct", TASK)])), None);
        assert_eq!(task_offsets(&btf(&[("task_struct", &TASK[..3]), ("cred", &[("euid", 8)])])), None);
        assert_eq!(task_offsets(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(
            mut data in Just(btf(&[("task_struct", TASK), ("cred", &[("euid", 8)])])),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            for (at, byte) in changes {
                let at = at.index(data.len());
                data[at] = byte;
            }
            let _ = task_offsets(&data);
        }
    }
}
