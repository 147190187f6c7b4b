//! What a user is shown who runs this program with more rights than his own (see [`rights`]), as the host's administrator says.

use std::path::Path;

use anyhow::Context as _;

use super::settings::HOST_CONFIG;
use crate::{
    config::{self, Others},
    host::{
        rights::{self, AsUser},
        users,
    },
};

/// Whether this user may see what other users' processes have open, with rights that the program lends him.
fn sees_others() -> bool {
    let rule = rights::read_roots(Path::new(HOST_CONFIG))
        .ok()
        .and_then(|text| String::from_utf8(text).ok())
        .and_then(|text| config::parse(&text, HOST_CONFIG).0.show_other_users)
        .map(|(others, _)| others);
    match rule {
        Some(Others::Everybody) => true,
        Some(Others::Group(name)) => users::group(&name).is_some_and(rights::is_in_group),
        Some(Others::Nobody) | None => false,
    }
}

/// For a command that shows what processes have open, and nothing else: from now on it may what its user may, unless the administrator
/// lends him more for this.
pub(super) fn confine() -> anyhow::Result<()> {
    if rights::credentials().are_lent() && !sees_others() {
        rights::give_up().context("giving up the rights of the program's file")?;
    }
    Ok(())
}

/// For a part of a command that shows what processes have open: the same on this thread, until the value goes.
pub(super) fn confined() -> std::io::Result<Option<AsUser>> {
    if rights::credentials().are_lent() && !sees_others() { rights::as_user().map(Some) } else { Ok(None) }
}

/// What is said beside a refusal that lent rights would not have met.
pub(super) fn hint() -> Option<String> {
    let confined = rights::credentials().are_lent() && !sees_others();
    confined.then(|| {
        format!(
            "the capabilities of flowtally's file are not used for what other users have open, unless {HOST_CONFIG} says so \
             (show-other-users)"
        )
    })
}
