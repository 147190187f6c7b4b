//! Where fields lie in the running kernel's structures, and which number a function has, from its BTF
//! (`Documentation/bpf/btf.rst`).
//!
//! aya parses BTF too, but has no way to ask for a field, and makes a value of each of 130,000 types. Here a few pages of memory
//! serve: one pass over the names, one over the types.

use std::{fs::File, os::unix::fs::FileExt as _};

use memmap2::{Mmap, MmapOptions};

/// The running kernel's type information.
pub(super) const BTF: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;
/// Anonymous structures inside one another that are followed.
const MAX_DEPTH: u32 = 4;
/// Bytes that are looked at together.
const WINDOW: usize = 64 * 1024;
/// As much as the kernel hands over at once.
const PAGE: usize = 4096;
/// The place of every so many types is remembered.
const LANDMARK: usize = 64;

/// A field: the structure's name, and the names that the field has had. An empty one is the structure's size; behind a dot is a field of
/// the field; of an enumeration it is the number that a name stands for.
pub(super) type FieldNames<'a> = (&'a str, &'a [&'a str]);

/// The running kernel's type information. Its size in memory is not this process's where the kernel lets it be mapped (Linux 6.16);
/// elsewhere it is read, a page at a time.
pub(super) struct TypeInformation {
    file: File,
    mapped: Option<Mmap>,
}

impl TypeInformation {
    /// Of the running kernel; `None` where it has none.
    pub(super) fn open() -> Option<Self> {
        let file = File::open(BTF).ok()?;
        // SAFETY: nobody writes to it, or makes it shorter. The kernel lets nobody share it.
        let mapped = unsafe { MmapOptions::new().map_copy_read_only(&file) }.ok();
        Some(Self { file, mapped })
    }

    /// As [`look_up`].
    pub(super) fn look_up(&self, fields: &[FieldNames<'_>], functions: &[&str]) -> Option<Found> {
        let read = |at: usize, buffer: &mut [u8]| match &self.mapped {
            Some(bytes) => {
                let rest = bytes.get(at..)?;
                let count = rest.len().min(buffer.len());
                buffer.get_mut(..count)?.copy_from_slice(rest.get(..count)?);
                Some(count)
            }
            None => self.file.read_at(buffer, u64::try_from(at).ok()?).ok(),
        };
        look_up(read, fields, functions)
    }
}

/// What was looked for, in that order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Offsets in bytes; `None` for what the kernel does not have.
    pub(super) fields: Vec<Option<u32>>,
    /// Numbers of functions.
    pub(super) functions: Vec<Option<u32>>,
}

/// Looks for fields and functions in type information. `read` fills a buffer from a place in it, as far as there is anything.
///
/// `None` when it is of a form that is not known, or can't be read.
fn look_up(
    read: impl FnMut(usize, &mut [u8]) -> Option<usize>,
    fields: &[FieldNames<'_>],
    functions: &[&str],
) -> Option<Found> {
    let mut bytes = Bytes { read, window: vec![0; WINDOW], at: 0, filled: 0 };
    if bytes.word(0)? & 0xffff != u32::from(MAGIC) {
        return None;
    }
    let [header, types_at, types_length, strings_at, strings_length] =
        [4, 8, 12, 16, 20].map(|at| bytes.word(at).map(|word| word as usize));
    let (types_at, strings_at) = (header? + types_at?, header? + strings_at?);
    let mut wanted: Vec<&str> = Vec::new();
    for (structure, names) in fields {
        wanted.push(structure);
        wanted.extend(names.iter().flat_map(|name| name.split('.')).filter(|name| !name.is_empty()));
    }
    wanted.extend(functions);
    wanted.sort_unstable();
    wanted.dedup();
    let names = find_names(&mut bytes, strings_at, strings_length?, &wanted)?;
    let mut types =
        Types { bytes, start: types_at, end: types_at.checked_add(types_length?)?, landmarks: Vec::new() };
    types.answer(&names, fields, functions)
}

/// A part of the bytes in memory.
struct Bytes<R> {
    read: R,
    window: Vec<u8>,
    /// Where the window begins.
    at: usize,
    filled: usize,
}

impl<R: FnMut(usize, &mut [u8]) -> Option<usize>> Bytes<R> {
    /// A number of four bytes.
    fn word(&mut self, at: usize) -> Option<u32> {
        self.from(at, 4)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    /// What there is from a place on, so much at least.
    #[inline]
    fn from(&mut self, at: usize, length: usize) -> Option<&[u8]> {
        let is_there = at >= self.at && at.checked_add(length)? <= self.at + self.filled;
        if !is_there {
            self.fill(at, length)?;
        }
        self.window.get(at - self.at..self.filled).filter(|rest| rest.len() >= length)
    }

    /// Reads no more than a page where no more is asked for: what is asked for next may lie far away.
    fn fill(&mut self, at: usize, length: usize) -> Option<()> {
        (self.at, self.filled) = (at, 0);
        let enough = length.max(PAGE).min(self.window.len());
        while self.filled < length {
            match (self.read)(at + self.filled, &mut self.window[self.filled..enough])? {
                0 => break,
                count => self.filled += count,
            }
        }
        Some(())
    }
}

/// The names that are looked for, and where they are among the kernel's.
#[derive(Default)]
struct Places<'a> {
    /// Sorted by the place.
    sorted: Vec<(u32, &'a str)>,
    /// A bit for each place, and for others that look like it.
    bits: Vec<u64>,
}

impl<'a> Places<'a> {
    /// Words of `bits`: hardly any place looks like one of a hundred.
    const WORDS: usize = 1 << 10;

    const fn bit(place: u32) -> (usize, u64) {
        ((place as usize / 64) % Self::WORDS, 1 << (place % 64))
    }

    fn new(sorted: Vec<(u32, &'a str)>) -> Self {
        let mut bits = vec![0; Self::WORDS];
        for (place, _) in &sorted {
            let (word, bit) = Self::bit(*place);
            bits[word] |= bit;
        }
        Self { sorted, bits }
    }

    /// Which of the names is at a place.
    #[inline]
    fn name(&self, place: u32) -> Option<&'a str> {
        let (word, bit) = Self::bit(place);
        if self.bits.get(word)? & bit == 0 {
            return None;
        }
        let index = self.sorted.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.sorted.get(index).map(|(_, name)| *name)
    }
}

/// Looks through all names once.
fn find_names<'a, R: FnMut(usize, &mut [u8]) -> Option<usize>>(
    bytes: &mut Bytes<R>,
    start: usize,
    length: usize,
    wanted: &[&'a str],
) -> Option<Places<'a>> {
    let longest = wanted.iter().map(|name| name.len()).max().unwrap_or(0);
    // Hardly any name has both the length and the first letter of one that is wanted.
    let mut likely = vec![[0_u64; 4]; longest + 1];
    for name in wanted {
        let first = usize::from(*name.as_bytes().first()?);
        likely[name.len()][first / 64] |= 1 << (first % 64);
    }
    let mut places = Vec::new();
    let mut at = 0;
    while at < length {
        // Always as much as fits, so that a name that was cut off is whole.
        let rest = bytes.from(start + at, WINDOW.min(length - at))?;
        let rest = rest.get(..length - at).unwrap_or(rest);
        let mut begin = 0;
        for end in memchr::memchr_iter(0, rest) {
            let name = &rest[begin..end];
            if let Some(first) = name.first().map(|first| usize::from(*first))
                && likely.get(name.len()).is_some_and(|bits| bits[first / 64] >> (first % 64) & 1 == 1)
                && let Ok(index) = wanted.binary_search_by(|wanted| wanted.as_bytes().cmp(name))
            {
                places.push((u32::try_from(at + begin).ok()?, wanted[index]));
            }
            begin = end + 1;
        }
        // A name that is cut off is looked at again, from its begin.
        if begin == 0 {
            return None;
        }
        at += begin;
    }
    Some(Places::new(places))
}

struct Types<R> {
    bytes: Bytes<R>,
    start: usize,
    end: usize,
    /// Where type 1, 1 + `LANDMARK`... are.
    landmarks: Vec<usize>,
}

/// A member of a structure, wherever in it, or a name of an enumeration.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a str,
    /// In bits; of an enumeration the number.
    offset: u32,
    /// The number of its type.
    kind: u32,
}

/// The first three words of a type.
#[derive(Clone, Copy)]
struct Head {
    place: usize,
    name: u32,
    info: u32,
    size: u32,
}

impl Head {
    const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    const fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Where the next type is; `None` for a kind that is not known.
    fn next(self) -> Option<usize> {
        let extra = match self.kind() {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
            KIND_ARRAY => 12,
            KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => self.count() * 12,
            KIND_ENUM | KIND_FUNC_PROTO => self.count() * 8,
            // Pointers, forward declarations, typedefs, qualifiers, functions, floats, type tags.
            2 | 7..=12 | 16 | 18 => 0,
            _ => return None,
        };
        Some(self.place + 12 + extra)
    }
}

impl<R: FnMut(usize, &mut [u8]) -> Option<usize>> Types<R> {
    #[inline]
    fn head(&mut self, place: usize) -> Option<Head> {
        if place + 12 > self.end {
            return None;
        }
        let bytes = self.bytes.from(place, 12)?;
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        Some(Head { place, name: word(0)?, info: word(4)?, size: word(8)? })
    }

    fn answer(&mut self, names: &Places<'_>, fields: &[FieldNames<'_>], functions: &[&str]) -> Option<Found> {
        let mut numbers = vec![None; functions.len()];
        let mut structures: Vec<(&str, Head)> = Vec::new();
        let (mut place, mut number) = (self.start, 1);
        while place < self.end {
            if (number - 1) % LANDMARK == 0 {
                self.landmarks.push(place);
            }
            let head = self.head(place)?;
            if let KIND_STRUCT | KIND_ENUM | KIND_FUNC = head.kind()
                && head.name != 0
                && let Some(name) = names.name(head.name)
            {
                if head.kind() != KIND_FUNC {
                    structures.push((name, head));
                } else if let Some(index) = functions.iter().position(|function| *function == name) {
                    numbers[index] = numbers[index].or(u32::try_from(number).ok());
                }
            }
            place = head.next()?;
            number += 1;
        }
        let mut found = vec![None; fields.len()];
        for (name, head) in structures {
            if !fields.iter().zip(&found).any(|((of, _), found)| *of == name && found.is_none()) {
                continue;
            }
            let members = self.members(head, names)?;
            for ((structure, field_names), found) in fields.iter().zip(&mut found) {
                if *structure == name && found.is_none() {
                    *found = field_names.iter().find_map(|name| self.field(head, &members, name, names));
                }
            }
        }
        Some(Found { fields: found, functions: numbers })
    }

    /// The first of a field's names that there is counts: fields get new names.
    fn field(&mut self, head: Head, members: &[Member<'_>], name: &str, names: &Places<'_>) -> Option<u32> {
        if name.is_empty() {
            return Some(head.size);
        }
        let mut parts = name.split('.');
        let first = parts.next()?;
        let mut member = *members.iter().find(|member| member.name == first)?;
        if head.kind() == KIND_ENUM {
            return Some(member.offset);
        }
        for part in parts {
            let inner = self.of(member.kind)?;
            let within = self.members(inner, names)?.into_iter().find(|within| within.name == part)?;
            member = Member { offset: member.offset + within.offset, ..within };
        }
        (member.offset % 8 == 0).then_some(member.offset / 8)
    }

    /// The members of a structure or an enumeration whose names are looked for.
    fn members<'a>(&mut self, head: Head, names: &Places<'a>) -> Option<Vec<Member<'a>>> {
        let mut members = Vec::new();
        if head.kind() == KIND_ENUM {
            for index in 0..head.count() {
                let at = head.place + 12 + index * 8;
                if let Some(name) = names.name(self.bytes.word(at)?) {
                    members.push(Member { name, offset: self.bytes.word(at + 4)?, kind: 0 });
                }
            }
        } else {
            self.collect(head, 0, names, MAX_DEPTH, &mut members)?;
        }
        Some(members)
    }

    /// Fields may be inside an anonymous structure, as all of `task_struct`'s are where the kernel's structures are put in random order.
    fn collect<'a>(
        &mut self,
        head: Head,
        base: u32,
        names: &Places<'a>,
        depth: u32,
        members: &mut Vec<Member<'a>>,
    ) -> Option<()> {
        if !matches!(head.kind(), KIND_STRUCT | KIND_UNION) {
            return Some(());
        }
        let bit_fields = head.info >> 31 == 1;
        for index in 0..head.count() {
            let at = head.place + 12 + index * 12;
            let (called, kind, offset) =
                (self.bytes.word(at)?, self.bytes.word(at + 4)?, self.bytes.word(at + 8)?);
            // What is a field of bits has no offset in bytes.
            let (offset, bits) = if bit_fields { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            let offset = base.checked_add(offset)?;
            if called == 0 && depth > 0 {
                let inner = self.of(kind)?;
                self.collect(inner, offset, names, depth - 1, members)?;
            } else if bits == 0
                && let Some(name) = names.name(called)
            {
                members.push(Member { name, offset, kind });
            }
        }
        Some(())
    }

    /// A type by its number.
    fn of(&mut self, number: u32) -> Option<Head> {
        let index = (number as usize).checked_sub(1)?;
        let mut place = *self.landmarks.get(index / LANDMARK)?;
        for _ in 0..index % LANDMARK {
            place = self.head(place)?.next()?;
        }
        self.head(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct outer { int a; struct { long b:?; } ; char c[4]; struct inner d; }` with a type of each odd length before it.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0c\0int\0call\0d\0";
        let (outer, a, b, c, int, call, d) = (1_u32, 7_u32, 9_u32, 11_u32, 13_u32, 17_u32, 22_u32);
        let info = |kind: u32, count: u32| kind << 24 | count;
        let mut types = Vec::new();
        // 1: int
        types.extend([int, info(1, 0), 4, 32]);
        // 2: int[4]
        types.extend([0, info(3, 0), 0, 1, 1, 4]);
        // 3: enum with two values
        types.extend([call, info(6, 2), 4, a, 3, b, 17]);
        // 4: a function's prototype with one parameter
        types.extend([0, info(13, 1), 1, a, 1]);
        // 5: pointer
        types.extend([0, info(2, 0), 1]);
        // 6: anonymous structure
        types.extend([0, info(4, 2) | 1 << 31, 8, b, 1, 32, a, 1, 0x28 | 3 << 24]);
        // 7: a union that has the structure's name
        types.extend([outer, info(5, 1), 8, c, 1, 0]);
        // 8: the structure
        types.extend([outer, info(4, 4), 28, a, 1, 0, 0, 6, 32, c, 2, 96, d, 6, 256]);
        // 9, 10: functions
        types.extend([int, info(12, 0), 4, call, info(12, 0), 4]);
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut data = 0xeb9f_u16.to_ne_bytes().to_vec();
        data.extend([1, 0]);
        let (types_length, strings_length) =
            (u32::try_from(types.len()).unwrap(), u32::try_from(strings.len()).unwrap());
        for word in [24, 0, types_length, types_length, strings_length] {
            data.extend(word.to_ne_bytes());
        }
        data.extend(types);
        data.extend(strings);
        data
    }

    /// Hands over a few bytes at a time.
    fn ask(data: &[u8], fields: &[FieldNames<'_>], functions: &[&str]) -> Option<Found> {
        let read = |at: usize, buffer: &mut [u8]| {
            let rest = data.get(at..).unwrap_or_default();
            let count = rest.len().min(buffer.len()).min(11);
            buffer[..count].copy_from_slice(&rest[..count]);
            Some(count)
        };
        look_up(read, fields, functions)
    }

    #[test]
    fn fields_are_found_wherever_they_are() {
        let fields: [FieldNames<'_>; 10] = [
            ("outer", &["a"]),
            ("outer", &["b"]),
            ("outer", &["gone", "c"]),
            ("outer", &["gone"]),
            ("oute", &["a"]),
            ("int", &["a"]),
            ("outer", &[""]),
            ("outer", &["d.b"]),
            // A field of bits.
            ("outer", &["d.a"]),
            ("call", &["b"]),
        ];
        let found = ask(&sample(), &fields, &["call", "gone", "int"]).unwrap();
        let expected =
            [Some(0), Some(8), Some(12), None, None, None, Some(28), Some(36), None, Some(17)].to_vec();
        assert_eq!(found.fields, expected);
        assert_eq!(found.functions, [Some(10), None, Some(9)]);
    }

    #[test]
    fn broken_data_is_refused() {
        let data = sample();
        let fields: [FieldNames<'_>; 2] = [("outer", &["b"]), ("outer", &["d.b"])];
        for length in 0..data.len() {
            let _ = ask(&data[..length], &fields, &["call"]);
        }
        for at in 0..data.len() {
            let mut data = data.clone();
            data[at] ^= 0xff;
            let _ = ask(&data, &fields, &["call"]);
        }
        assert_eq!(look_up(|_, _| None, &fields, &[]), None);
    }
}
