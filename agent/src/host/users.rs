//! Names of users, as the system has them: /etc/passwd, LDAP or whatever else its name service knows.

use std::collections::HashMap;

use nix::unistd::{Group, Uid, User};

/// The number of a group that is named, or given by number.
#[must_use]
pub fn group(name: &str) -> Option<u32> {
    let named = || Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    name.parse().ok().or_else(named)
}

/// Login names that were asked for. A name is asked for once: a directory server may be far away.
#[derive(Debug, Default)]
pub struct Users {
    known: HashMap<u32, Option<String>>,
}

impl Users {
    /// The user's login name, if there is one.
    pub fn name(&mut self, uid: u32) -> Option<&str> {
        let look_up = || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        self.known.entry(uid).or_insert_with(look_up).as_deref()
    }
}
