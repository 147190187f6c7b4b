//! A new file that is to be like the one whose place it takes.

use std::fs::File;

use rustix::{
    fs::{Mode, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat},
    io::{Errno, Result},
    process::{Gid, Uid},
};

/// Longest list of names, and longest value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MOST: usize = 65_536;
/// Attributes that stand for the former content: a write takes them away.
const OF_THE_CONTENT: [&[u8]; 3] = [b"security.capability", b"security.ima", b"security.evm"];
/// What a folder's default ACL gives to a new file.
const ACL: &[u8] = b"system.posix_acl_access";
/// All bits of a mode that chmod(2) takes.
const BITS: u32 = 0o7777;

/// Gives a new file the owner, the group, the mode, the ACL and the extended attributes of a former one.
///
/// # Errors
/// When one of them may not be given.
pub(super) fn make(new: &File, former: &File) -> Result<()> {
    let (now, wanted) = (fstat(new)?, fstat(former)?);
    if (now.st_uid, now.st_gid) != (wanted.st_uid, wanted.st_gid) {
        fchown(new, Some(Uid::from_raw(wanted.st_uid)), Some(Gid::from_raw(wanted.st_gid)))?;
    }
    let attributes = names(former);
    if !attributes.iter().any(|name| name == ACL) && names(new).iter().any(|name| name == ACL) {
        fremovexattr(new, ACL)?;
    }
    for name in attributes.iter().filter(|name| !OF_THE_CONTENT.contains(&name.as_slice())) {
        let value = value(former, name)?;
        if self::value(new, name).as_ref() != Ok(&value) {
            fsetxattr(new, name.as_slice(), &value, XattrFlags::empty())?;
        }
    }
    let bits = wanted.st_mode & BITS;
    fchmod(new, Mode::from_raw_mode(bits))?;
    // chmod(2) leaves out set-group-id in silence for who is not in the group.
    if fstat(new)?.st_mode & BITS == bits { Ok(()) } else { Err(Errno::PERM) }
}

/// Names of extended attributes; none on a file system that knows none.
fn names(file: &File) -> Vec<Vec<u8>> {
    let mut list = vec![0; MOST];
    let length = flistxattr(file, list.as_mut_slice()).unwrap_or(0);
    list.truncate(length);
    list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

fn value(file: &File, name: &[u8]) -> Result<Vec<u8>> {
    let mut value = vec![0; MOST];
    let length = fgetxattr(file, name, value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
}
