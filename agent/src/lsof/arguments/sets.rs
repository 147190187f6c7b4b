//! Comma-separated sets: of numbers (`-p`, `-g`), of users (`-u`), of descriptors (`-d`).

use super::{Ids, NamedUser, System};

/// What `-d` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FdSet {
    /// Whether these are left out.
    pub exclude: bool,
    /// The items, in the order given.
    pub items: Vec<FdItem>,
}

/// An item of `-d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FdItem {
    /// Descriptors from the first to the last.
    Numbers(u32, u32),
    /// `cwd`, `txt` and so on.
    Name(Vec<u8>),
}

pub(in crate::lsof) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The items between commas; empty ones mean nothing.
fn items(set: &[u8]) -> impl Iterator<Item = &[u8]> {
    set.split(|byte| *byte == b',').filter(|item| !item.is_empty())
}

/// Adds the numbers of a set. `kind` and `long` are lsof's words for what they are.
pub(super) fn ids(set: &[u8], kind: &str, long: &str, ids: &mut Ids) -> Result<(), String> {
    // A comma at the end means nothing; between two of them is no number, which is 0.
    if set.is_empty() {
        return Ok(());
    }
    let set = set.strip_suffix(b",").unwrap_or(set);
    for item in set.split(|byte| *byte == b',').map(|item| if item.is_empty() { b"0" } else { item }) {
        let (exclude, digits) = match item.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, item),
        };
        let number = std::str::from_utf8(digits).ok().filter(|digits| is_number(digits.as_bytes()));
        let Some(number) = number else {
            return Err(format!("illegal {long} ID: {}", text(item)));
        };
        // What is beyond any number that the kernel knows is simply never met.
        let number = number.parse().unwrap_or(u32::MAX);
        let (to, other) =
            if exclude { (&mut ids.exclude, &ids.include) } else { (&mut ids.include, &ids.exclude) };
        if other.contains(&number) {
            return Err(format!("{kind} {number} has been included and excluded."));
        }
        if !to.contains(&number) {
            to.push(number);
        }
    }
    Ok(())
}

fn is_number(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// Longest login name.
const LOGIN_LENGTH: usize = 32;

/// Adds the users of a set; every name that means nobody is a message of its own.
pub(super) fn users(
    set: &[u8],
    system: &dyn System,
    include: &mut Vec<NamedUser>,
    exclude: &mut std::collections::BTreeSet<u32>,
    complain: &mut dyn FnMut(String),
) {
    for item in items(set) {
        let (out, name) = match item.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, item),
        };
        let (uid, login) = if is_number(name) {
            // Beyond what a user ID holds, the number is nobody's.
            (text(name).parse().unwrap_or(u32::MAX), None)
        } else {
            let name = text(name);
            if name.len() > LOGIN_LENGTH {
                complain(format!("-u login name > {LOGIN_LENGTH} characters: {name}"));
                continue;
            }
            let Some(uid) = system.uid(&name) else {
                complain(format!("can't get UID for {name}"));
                continue;
            };
            (uid, Some(name))
        };
        let conflict = if out { include.iter().any(|user| user.uid == uid) } else { exclude.contains(&uid) };
        if conflict {
            complain(format!("UID {uid} has been included and excluded."));
        } else if out {
            exclude.insert(uid);
        } else if !include.iter().any(|user| user.uid == uid) {
            include.push(NamedUser { uid, login });
        }
    }
}

/// Adds the descriptors of a set.
pub(super) fn fds(set: &[u8], fds: &mut Option<FdSet>) -> Result<(), String> {
    if set.is_empty() {
        return Err("no file descriptor specified".to_owned());
    }
    for item in items(set) {
        let (exclude, name) = match item.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, item),
        };
        let known = fds.get_or_insert_with(|| FdSet { exclude, items: Vec::new() });
        if known.exclude != exclude {
            let (this, list) = if exclude { ("exclude", "include") } else { ("include", "exclude") };
            // An item is shown as it was given, but a range always without its sign.
            return Err(format!("{this} in an {list} -d list: {}", text(item)));
        }
        for item in fd_items(name)? {
            if !known.items.contains(&item) {
                known.items.push(item);
            }
        }
    }
    Ok(())
}

fn fd_items(name: &[u8]) -> Result<Vec<FdItem>, String> {
    let shown = text(name);
    if let Some(dash) = name.iter().position(|byte| *byte == b'-') {
        let (low, high) = (&name[..dash], &name[dash + 1..]);
        if low.is_empty() {
            return Err(format!("illegal FD range for -d: {shown}"));
        }
        if low.iter().chain(high).any(|byte| !byte.is_ascii_digit()) {
            return Err(format!("non-digit in -d FD range: {shown}"));
        }
        // No digits are zero, as for atoi(3).
        let number =
            |digits: &[u8]| if digits.is_empty() { 0 } else { text(digits).parse().unwrap_or(u32::MAX) };
        let (low, high) = (number(low), number(high));
        if low >= high {
            return Err(format!("-d FD range's low >= its high: {shown}"));
        }
        return Ok(vec![FdItem::Numbers(low, high)]);
    }
    if is_number(name) {
        let number = shown.parse().unwrap_or(u32::MAX);
        return Ok(vec![FdItem::Numbers(number, number)]);
    }
    // All that have a number, as newer versions have it.
    if name == b"fd" {
        return Ok(vec![FdItem::Numbers(0, u32::MAX)]);
    }
    Ok(vec![FdItem::Name(name.to_vec())])
}
