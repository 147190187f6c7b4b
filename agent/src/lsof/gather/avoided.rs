//! `-b`: the mounts, none of which is examined, and what is said of that.

use super::{mounts::Mounts, supplement::Supplement};
use crate::lsof::{
    arguments::{Exempt, LsofOptions},
    model::device,
    print::escape::{self, Charset},
};

/// A mount of which something is known without examining it: its path, and its device, or one that nothing has.
pub(super) type AssumedMount = (Vec<u8>, u64);

/// No file is on such a device.
pub(super) const NO_DEVICE: u64 = u64::MAX;

/// Says that something is not done.
pub(super) fn avoiding(call: &str, path: &[u8], charset: Charset) -> String {
    format!("avoiding {call}({}): -b was specified.", escape::text(path, charset))
}

/// Whether no mount is examined: a directory that may be has had the mounts examined, too.
pub(super) fn examines_none(options: &LsofOptions) -> bool {
    options.avoid_blocking && options.directories.iter().all(|directory| directory.avoid_blocking)
}

/// The mounts that are known; with `-b` those that are exempt and those whose devices `+m FILE` has.
pub(super) fn mounts(
    options: &LsofOptions,
    mounts: &Mounts,
    charset: Charset,
    notes: &mut Vec<String>,
) -> Vec<AssumedMount> {
    let mut known: Vec<AssumedMount> = Vec::new();
    let mut supplement: Option<Supplement> = None;
    let avoids = examines_none(options);
    let warns = avoids && options.warnings;
    // Where no device is found for a mount, lsof has that of the one before.
    let mut last = 0;
    for mount in mounts.all() {
        let exempt = options.exempt.iter().rev().find(|exempt: &&Exempt| exempt.path == mount.path);
        let may_read = exempt.is_none_or(|exempt| exempt.readlink);
        if warns && may_read {
            notes.push(avoiding("readlink", &mount.path, charset));
        }
        // Of several at one place the first counts here.
        if avoids && known.iter().any(|(path, _)| *path == mount.path) {
            continue;
        }
        if exempt.is_none() && !avoids {
            last = device(mount.device.0, mount.device.1);
            known.push((mount.path.clone(), last));
            continue;
        }
        let path = escape::text(&mount.path, charset);
        if warns && exempt.is_none() {
            notes.push(avoiding("stat", &mount.path, charset));
            notes.push(format!(
                "WARNING: can't stat() {} file system {path}\n      Output information may be incomplete.",
                mount.kind
            ));
        }
        let mut is_known = exempt.is_some();
        if let Some(file) = &options.mount_supplement {
            let read = || {
                let (supplement, wrong) = Supplement::read(file, charset);
                notes.extend(wrong.into_iter().filter(|_| options.warnings));
                supplement
            };
            let device = supplement.get_or_insert_with(read).device(&mount.path);
            is_known |= device.is_some();
            last = device.unwrap_or(last);
            let digits = if last == 0 { "0".to_owned() } else { format!("{last:#x}") };
            // That is said without warnings too.
            let file = escape::text(file, charset);
            notes.push(format!("assuming dev={digits} for {path} from {file}"));
        }
        if !is_known && options.mount_supplement.is_none() {
            continue;
        }
        if warns && may_read && mount.source.first() == Some(&b'/') {
            notes.push(avoiding("readlink", &mount.source, charset));
            if exempt.is_none() {
                notes.push(avoiding("stat", &mount.source, charset));
            }
        }
        let device = options.mount_supplement.is_some().then_some(last);
        known.push((mount.path.clone(), device.filter(|_| is_known).unwrap_or(NO_DEVICE)));
    }
    known
}
