//! A ledger and its events as bytes, for another process of the same version of the protocol.
//!
//! Every type says in one line which of its fields travel; what is only there to find something faster is made anew where the bytes
//! are read. Numbers are of variable length (LEB128), what has several forms begins with a byte that says which, and what there may be
//! several of begins with their number. There are no names in it: both sides must agree on [`PROTOCOL`].
//!
//! Bytes from elsewhere are read with suspicion: what does not add up is an error, and memory is taken as it is filled.

mod event;
mod foreign;
mod model;

use std::{
    collections::VecDeque,
    hash::Hash,
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hashbrown::{HashMap, HashSet};
use thiserror::Error;

use crate::filter::Dictionary;

/// The form that everything here has. It changes with every field of whatever travels.
pub const PROTOCOL: u32 = 2;

/// Items for which room is made before they are there.
const AHEAD: usize = 1024;

/// Why bytes are no ledger and no event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// There are too few.
    #[error("it ends too early")]
    Short,
    /// They contradict themselves.
    #[error("{0} does not add up")]
    Corrupt(&'static str),
    /// A filter that is not understood here.
    #[error("the agent's capture filter is not understood here: {0}")]
    Filter(String),
}

/// Bytes that are being read.
#[derive(Clone, Copy)]
pub struct WireReader<'a> {
    bytes: &'a [u8],
    /// Names that capture filters are made of.
    names: &'a Dictionary,
}

/// What has a form as bytes.
pub(crate) trait WireForm: Sized {
    /// Appends it.
    fn put(&self, to: &mut Vec<u8>);

    /// Reads it.
    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError>;
}

/// The fields of a struct that travel; those behind the semicolon are made anew.
macro_rules! wire_struct {
    ([$($generics:tt)*] $type:ty { $($field:ident),* $(; $($made:ident),*)? }) => {
        impl<$($generics)*> $crate::flow::wire::WireForm for $type {
            fn put(&self, to: &mut Vec<u8>) {
                $($crate::flow::wire::WireForm::put(&self.$field, to);)*
            }

            fn take(
                from: &mut $crate::flow::wire::WireReader<'_>,
            ) -> Result<Self, $crate::flow::wire::WireError> {
                Ok(Self {
                    $($field: $crate::flow::wire::WireForm::take(from)?,)*
                    $($($made: Default::default(),)*)?
                })
            }
        }
    };
    ($type:ty { $($all:tt)* }) => {
        $crate::flow::wire::wire_struct!([] $type { $($all)* });
    };
}

/// The variants of an enum, each with its number and its fields.
macro_rules! wire_enum {
    ($type:ty { $($number:literal => $variant:ident { $($field:tt : $name:ident),* }),* $(,)? }) => {
        impl $crate::flow::wire::WireForm for $type {
            fn put(&self, to: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field: $name),* } => {
                        to.push($number);
                        $($crate::flow::wire::WireForm::put($name, to);)*
                    })*
                }
            }

            fn take(
                from: &mut $crate::flow::wire::WireReader<'_>,
            ) -> Result<Self, $crate::flow::wire::WireError> {
                Ok(match <u8 as $crate::flow::wire::WireForm>::take(from)? {
                    $($number => Self::$variant { $($field: $crate::flow::wire::WireForm::take(from)?),* },)*
                    _ => return Err($crate::flow::wire::WireError::Corrupt(stringify!($type))),
                })
            }
        }
    };
}

pub(crate) use {wire_enum, wire_struct};

impl<'a> WireReader<'a> {
    /// From the beginning of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8], names: &'a Dictionary) -> Self {
        Self { bytes, names }
    }

    /// Whether there is nothing left.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    fn some(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (some, rest) = self.bytes.split_at_checked(length).ok_or(WireError::Short)?;
        self.bytes = rest;
        Ok(some)
    }

    /// The number of items that follow, of a byte each at least.
    fn length(&mut self) -> Result<usize, WireError> {
        let length = usize::take(self)?;
        if length > self.bytes.len() { Err(WireError::Short) } else { Ok(length) }
    }
}

/// An error unless all is well.
pub(crate) const fn check(is_well: bool, what: &'static str) -> Result<(), WireError> {
    if is_well { Ok(()) } else { Err(WireError::Corrupt(what)) }
}

impl WireForm for u64 {
    fn put(&self, to: &mut Vec<u8>) {
        let mut number = *self;
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                to.push(low);
                return;
            }
            to.push(low | 0x80);
        }
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let [byte] = *from.some(1)? else { return Err(WireError::Short) };
            let bits = Self::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError::Corrupt("a number"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
            check(shift < 64, "a number")?;
        }
    }
}

/// Shorter numbers travel as long ones.
macro_rules! as_u64 {
    ($($type:ty: $long:expr),*) => {
        $(impl WireForm for $type {
            fn put(&self, to: &mut Vec<u8>) {
                let long: fn($type) -> u64 = $long;
                long(*self).put(to);
            }

            fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
                u64::take(from)?.try_into().map_err(|_| WireError::Corrupt("a number"))
            }
        })*
    };
}

as_u64!(u16: u64::from, u32: u64::from, usize: |number| number as u64);

impl WireForm for i64 {
    fn put(&self, to: &mut Vec<u8>) {
        u64::from_le_bytes(self.to_le_bytes()).put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        u64::take(from).map(|number| Self::from_le_bytes(number.to_le_bytes()))
    }
}

impl WireForm for u8 {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(*self);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        from.some(1)?.first().copied().ok_or(WireError::Short)
    }
}

impl WireForm for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Corrupt("a yes or no")),
        }
    }
}

/// A string of bytes with its length before it.
pub(super) fn put_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    bytes.len().put(to);
    to.extend_from_slice(bytes);
}

pub(super) fn take_bytes<'a>(from: &mut WireReader<'a>) -> Result<&'a [u8], WireError> {
    let length = from.length()?;
    from.some(length)
}

impl WireForm for String {
    fn put(&self, to: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        Self::from_utf8(take_bytes(from)?.to_vec()).map_err(|_| WireError::Corrupt("a text"))
    }
}

impl WireForm for Duration {
    fn put(&self, to: &mut Vec<u8>) {
        self.as_secs().put(to);
        self.subsec_nanos().put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        let (seconds, nanos) = (u64::take(from)?, u32::take(from)?);
        // Times are added up; so much is past any clock's end.
        check(nanos < 1_000_000_000 && seconds < 1 << 40, "a time")?;
        Ok(Self::new(seconds, nanos))
    }
}

impl WireForm for SystemTime {
    fn put(&self, to: &mut Vec<u8>) {
        self.duration_since(Self::UNIX_EPOCH).unwrap_or_default().put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        Ok(Self::UNIX_EPOCH + Duration::take(from)?)
    }
}

impl<T: WireForm> WireForm for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(item) = self {
            item.put(to);
        }
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

/// What points to something travels as that.
macro_rules! as_pointed_to {
    ($($pointer:ident),*) => {
        $(impl<T: WireForm> WireForm for $pointer<T> {
            fn put(&self, to: &mut Vec<u8>) {
                self.deref().put(to);
            }

            fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
                T::take(from).map(Self::new)
            }
        })*
    };
}

as_pointed_to!(Arc, Box);

impl<T: WireForm + Copy + Default, const N: usize> WireForm for [T; N] {
    fn put(&self, to: &mut Vec<u8>) {
        for item in self {
            item.put(to);
        }
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        let mut items = [T::default(); N];
        for item in &mut items {
            *item = T::take(from)?;
        }
        Ok(items)
    }
}

fn put_all<'a, T: WireForm + 'a>(items: impl ExactSizeIterator<Item = &'a T>, to: &mut Vec<u8>) {
    items.len().put(to);
    items.for_each(|item| item.put(to));
}

impl<T: WireForm> WireForm for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        put_all(self.iter(), to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        let length = from.length()?;
        let mut items = Self::with_capacity(length.min(AHEAD));
        for _ in 0..length {
            items.push(T::take(from)?);
        }
        Ok(items)
    }
}

impl<T: WireForm> WireForm for VecDeque<T> {
    fn put(&self, to: &mut Vec<u8>) {
        put_all(self.iter(), to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        Vec::take(from).map(Self::from)
    }
}

impl<K: WireForm + Eq + Hash, V: WireForm> WireForm for HashMap<K, V> {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        (0..from.length()?).map(|_| Ok((K::take(from)?, V::take(from)?))).collect()
    }
}

impl<T: WireForm + Eq + Hash> WireForm for HashSet<T> {
    fn put(&self, to: &mut Vec<u8>) {
        put_all(self.iter(), to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        (0..from.length()?).map(|_| T::take(from)).collect()
    }
}

/// Several things one after the other.
macro_rules! tuples {
    ($(($($name:ident $place:tt),*)),*) => {
        $(impl<$($name: WireForm),*> WireForm for ($($name,)*) {
            fn put(&self, to: &mut Vec<u8>) {
                $(self.$place.put(to);)*
            }

            fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
                Ok(($($name::take(from)?,)*))
            }
        })*
    };
}

tuples!((A 0, B 1), (A 0, B 1, C 2));
