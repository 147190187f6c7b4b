//! Where fields lie in the running kernel's structures, from its BTF (`Documentation/bpf/btf.rst`). Pure.
//!
//! aya parses BTF too, but has no way to ask for a field.

const MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;
/// Anonymous structures inside one another that are followed.
const MAX_DEPTH: u32 = 4;

/// Type information, of the kernel or of a module.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type starts in `types`; type 0 is "void" and has no place.
    places: Vec<u32>,
}

impl<'a> Btf<'a> {
    /// Of the content of /sys/kernel/btf/vmlinux; `None` when it is of a form that is not known.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        if u16::from_ne_bytes(data.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let [header, types_at, types_length, strings_at, strings_length] =
            [4, 8, 12, 16, 20].map(|at| word(data, at));
        let body = data.get(header? as usize..)?;
        let part = |at: u32, length: u32| body.get(at as usize..)?.get(..length as usize);
        let (types, strings) = (part(types_at?, types_length?)?, part(strings_at?, strings_length?)?);
        let mut places = vec![0];
        let mut at = 0;
        while at < types.len() {
            places.push(u32::try_from(at).ok()?);
            let info = word(types, at + 4)?;
            at += 12 + extra(info)?;
        }
        Some(Self { types, strings, places })
    }

    /// Offset of a field in a structure, in bytes. The first of the names that there is counts: fields get new names.
    pub(super) fn offset(&self, structure: &str, names: &[&str]) -> Option<u32> {
        let place = self.places.iter().skip(1).map(|place| *place as usize).find(|place| {
            self.kind(*place) == Some(KIND_STRUCT)
                && word(self.types, *place).is_some_and(|name| self.is_called(name, structure))
        })?;
        names
            .iter()
            .find_map(|name| self.field(place, name, MAX_DEPTH))
            .filter(|bits| bits % 8 == 0)?
            .checked_div(8)
    }

    /// Offset in bits. Fields may be inside an anonymous structure, as all of `task_struct`'s are where the kernel's
    /// structures are put in random order.
    fn field(&self, place: usize, name: &str, depth: u32) -> Option<u32> {
        let info = word(self.types, place + 4)?;
        let bit_fields = info >> 31 == 1;
        (0..(info & 0xffff) as usize).find_map(|index| {
            let member = place + 12 + index * 12;
            let called = word(self.types, member)?;
            let offset = word(self.types, member + 8)?;
            let offset = if bit_fields { offset & 0x00ff_ffff } else { offset };
            if called != 0 {
                return self.is_called(called, name).then_some(offset);
            }
            let inner = *self.places.get(word(self.types, member + 4)? as usize)? as usize;
            let is_compound = matches!(self.kind(inner), Some(KIND_STRUCT | KIND_UNION));
            if depth == 0 || !is_compound {
                return None;
            }
            Some(offset + self.field(inner, name, depth - 1)?)
        })
    }

    fn kind(&self, place: usize) -> Option<u32> {
        word(self.types, place + 4).map(kind)
    }

    fn is_called(&self, at: u32, name: &str) -> bool {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

const fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

/// Bytes that follow a type's first twelve; `None` for a kind that is not known.
fn extra(info: u32) -> Option<usize> {
    let count = (info & 0xffff) as usize;
    Some(match kind(info) {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => count * 12,
        KIND_ENUM | KIND_FUNC_PROTO => count * 8,
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::Btf;

    /// `struct outer { int a; struct { long b:?; } ; char c[4]; }` with a type of each odd length before it.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0c\0int\0";
        let (outer, a, b, c, int) = (1_u32, 7_u32, 9_u32, 11_u32, 13_u32);
        let info = |kind: u32, count: u32| kind << 24 | count;
        let mut types = Vec::new();
        // 1: int
        types.extend([int, info(1, 0), 4, 32]);
        // 2: int[4]
        types.extend([0, info(3, 0), 0, 1, 1, 4]);
        // 3: enum with two values
        types.extend([0, info(6, 2), 4, a, 0, b, 1]);
        // 4: a function's prototype with one parameter
        types.extend([0, info(13, 1), 1, a, 1]);
        // 5: pointer
        types.extend([0, info(2, 0), 1]);
        // 6: anonymous structure
        types.extend([0, info(4, 1) | 1 << 31, 8, b, 1, 32]);
        // 7: a union that has the structure's name
        types.extend([outer, info(5, 1), 8, c, 1, 0]);
        // 8: the structure
        types.extend([outer, info(4, 3), 28, a, 1, 0, 0, 6, 32, c, 2, 96]);
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

    #[test]
    fn fields_are_found_wherever_they_are() {
        let data = sample();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.offset("outer", &["a"]), Some(0));
        assert_eq!(btf.offset("outer", &["b"]), Some(8));
        assert_eq!(btf.offset("outer", &["gone", "c"]), Some(12));
        assert_eq!(btf.offset("outer", &["gone"]), None);
        assert_eq!(btf.offset("oute", &["a"]), None);
        assert_eq!(btf.offset("int", &["a"]), None);
    }

    #[test]
    fn broken_data_is_refused() {
        let data = sample();
        for length in 0..data.len() {
            if let Some(btf) = Btf::parse(&data[..length]) {
                let _ = btf.offset("outer", &["b"]);
            }
        }
        for at in 0..data.len() {
            let mut data = data.clone();
            data[at] ^= 0xff;
            if let Some(btf) = Btf::parse(&data) {
                let _ = btf.offset("outer", &["b"]);
            }
        }
    }
}
