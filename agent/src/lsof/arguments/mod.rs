//! lsof's command line. No input or output: whoever parses hands over what the system knows of users, hosts and services.

mod help;
mod internet;
mod options;
mod parse;
mod scan;
mod sets;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use help::{FIELD_HELP, long_usage, short_usage, version};
pub use internet::{InternetAddress, InternetFamily, Ports};
pub use options::{
    CommandPrefix, Directory, EndPoints, Exempt, FieldOutput, FlagForm, Ids, Json, LsofOptions, NameKind,
    NamedUser, Repeat, SizeOrOffset, States, Tasks, TcpInfo,
};
pub use parse::{Outcome, parse};
pub(in crate::lsof) use sets::text;
pub use sets::{FdItem, FdSet};

use crate::lsof::model::Transport;

/// What the system knows that a command line speaks of.
pub trait System {
    /// The number of a login name.
    fn uid(&self, login: &str) -> Option<u32>;
    /// The login name of a number.
    fn login(&self, uid: u32) -> Option<String>;
    /// All addresses of a host.
    fn host(&self, name: &str) -> Vec<IpAddr>;
    /// The port of a service.
    fn service(&self, name: &str, transport: Transport) -> Option<u16>;
    /// Whether `SELinux` is on.
    fn selinux(&self) -> bool;
}
