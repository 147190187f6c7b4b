//! What was asked, as typed options say it.

use std::{collections::BTreeSet, time::Duration};

use super::{
    internet::{InternetAddress, InternetFamily},
    sets::FdSet,
};
use crate::lsof::select::pattern::Pattern;

/// Everything that was asked.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct LsofOptions {
    /// `-a`: a file must meet all classes.
    pub and: bool,
    /// `-c NAME`.
    pub commands: Vec<CommandPrefix>,
    /// `-c /RE/`.
    pub patterns: Vec<Pattern>,
    /// `-p`.
    pub pids: Ids,
    /// `-g`.
    pub groups: Ids,
    /// `-u`, included.
    pub users: Vec<NamedUser>,
    /// `-u ^`.
    pub excluded_users: BTreeSet<u32>,
    /// `-d`.
    pub fds: Option<FdSet>,
    /// `-i` without an address.
    pub internet: Option<InternetFamily>,
    /// `-i ADDRESS`.
    pub addresses: Vec<InternetAddress>,
    /// `-U`.
    pub unix: bool,
    /// `-N`.
    pub nfs: bool,
    /// `+LN`.
    pub links_below: Option<u64>,
    /// `-K`.
    pub tasks: Tasks,
    /// `-s TCP:`.
    pub states: States,
    /// `-X`.
    pub no_tcp_udp: bool,
    /// `-Z`, with the contexts asked for.
    pub contexts: Option<Vec<String>>,
    /// Names of files, in the order given.
    pub names: Vec<Vec<u8>>,
    /// `-f --`, `+f --`.
    pub name_kind: NameKind,
    /// `+d` and `+D`.
    pub directories: Vec<Directory>,
    /// `-x f`.
    pub cross_mounts: bool,
    /// `-x l`.
    pub cross_links: bool,
    /// `+c`: characters of COMMAND; `None` for all.
    pub command_width: Option<usize>,
    /// `-n`.
    pub numeric_hosts: bool,
    /// `-P`.
    pub numeric_ports: bool,
    /// `-l`.
    pub numeric_users: bool,
    /// `-R`.
    pub parents: bool,
    /// `-g`.
    pub show_groups: bool,
    /// `+L`.
    pub links: bool,
    /// `-o`, `-s`.
    pub size_or_offset: SizeOrOffset,
    /// `-o N`: digits of a decimal offset; 0 for any number.
    pub offset_digits: usize,
    /// `+fg`, `+fG`.
    pub flags: Option<FlagForm>,
    /// `-T`.
    pub tcp_info: TcpInfo,
    /// `-F`; with `-J` and `-j` always some.
    pub fields: Option<FieldOutput>,
    /// `-J`, `-j`.
    pub json: Option<Json>,
    /// `-t`.
    pub terse: bool,
    /// `-H`.
    pub human: bool,
    /// `-E`, `+E`.
    pub endpoints: EndPoints,
    /// `-b`.
    pub avoid_blocking: bool,
    /// `-S`.
    pub timeout: Duration,
    /// Not `-w`.
    pub warnings: bool,
    /// `-e`, `+e`.
    pub exempt: Vec<Exempt>,
    /// `-r`, `+r`.
    pub repeat: Option<Repeat>,
    /// `-V`.
    pub verbose: bool,
    /// `-Q`.
    pub quiet: bool,
    /// `+m`: print the mounts.
    pub print_mounts: bool,
    /// `+m FILE`: know the devices of mounts from a file.
    pub mount_supplement: Option<Vec<u8>>,
}

impl Default for LsofOptions {
    fn default() -> Self {
        Self {
            and: false,
            commands: Vec::new(),
            patterns: Vec::new(),
            pids: Ids::default(),
            groups: Ids::default(),
            users: Vec::new(),
            excluded_users: BTreeSet::new(),
            fds: None,
            internet: None,
            addresses: Vec::new(),
            unix: false,
            nfs: false,
            links_below: None,
            tasks: Tasks::default(),
            states: States::default(),
            no_tcp_udp: false,
            contexts: None,
            names: Vec::new(),
            name_kind: NameKind::default(),
            directories: Vec::new(),
            cross_mounts: false,
            cross_links: false,
            command_width: Some(9),
            numeric_hosts: false,
            numeric_ports: false,
            numeric_users: false,
            parents: false,
            show_groups: false,
            links: false,
            size_or_offset: SizeOrOffset::default(),
            offset_digits: 8,
            flags: None,
            tcp_info: TcpInfo { state: true, queues: false, flags: false },
            fields: None,
            json: None,
            terse: false,
            human: false,
            endpoints: EndPoints::default(),
            avoid_blocking: false,
            timeout: Duration::from_secs(15),
            warnings: true,
            exempt: Vec::new(),
            repeat: None,
            verbose: false,
            quiet: false,
            print_mounts: false,
            mount_supplement: None,
        }
    }
}

/// A beginning of command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandPrefix {
    /// What names begin with.
    pub prefix: Vec<u8>,
    /// Whether such processes are left out.
    pub exclude: bool,
}

/// Numbers to list and numbers to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Those to list, in the order given.
    pub include: Vec<u32>,
    /// Those to leave out.
    pub exclude: Vec<u32>,
}

/// A user to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUser {
    /// Its number.
    pub uid: u32,
    /// The login name, if that was given.
    pub login: Option<String>,
}

/// What is done about threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tasks {
    /// They are listed when everything is.
    #[default]
    Default,
    /// `-K`: they are a class.
    Select,
    /// `-K i`: never.
    Ignore,
}

/// States of TCP to list or to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// Those to list, by the kernel's number.
    pub include: Vec<u8>,
    /// Those to leave out.
    pub exclude: Vec<u8>,
}

/// What a name may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameKind {
    /// A mount point is its file system.
    #[default]
    Either,
    /// `-f --`: always a file.
    File,
    /// `+f --`: always a file system.
    FileSystem,
}

/// A directory to search.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that stood before it")]
pub struct Directory {
    /// Its path.
    pub path: Vec<u8>,
    /// `+D`: with all below it.
    pub deep: bool,
    /// `-x f` stood before it: on to other file systems.
    pub cross_mounts: bool,
    /// `-x l` stood before it: through symbolic links.
    pub cross_links: bool,
    /// `-b` stood before it: it must not be examined.
    pub avoid_blocking: bool,
}

/// What stands under SIZE/OFF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeOrOffset {
    /// The size if there is one.
    #[default]
    Either,
    /// `-s`.
    Size,
    /// `-o`.
    Offset,
}

/// How open flags are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagForm {
    /// `+fg`: `R,W,AP`.
    Names,
    /// `+fG`: hexadecimal.
    Hex,
}

/// What is said of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Its state.
    pub state: bool,
    /// Its queues.
    pub queues: bool,
    /// Its flags.
    pub flags: bool,
}

/// Output for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldOutput {
    /// The letters that were named; all but `r` if none was.
    pub letters: Vec<u8>,
    /// Fields end with NUL.
    pub nul: bool,
}

impl FieldOutput {
    /// Whether a field is printed.
    #[must_use]
    pub fn has(&self, letter: u8) -> bool {
        self.letters.contains(&letter)
    }

    /// Whether there is more than what is always selected: the PID and the marker between listings.
    #[must_use]
    pub(super) fn names_any(&self) -> bool {
        self.nul || self.letters.iter().any(|letter| !matches!(letter, b'p' | b'm'))
    }
}

/// Output as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Json {
    /// `-J`: one object.
    Object,
    /// `-j`: an object a line.
    Lines,
}

/// What is said of the other ends of pipes and sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndPoints {
    /// Nothing.
    #[default]
    None,
    /// `-E`: who holds them.
    Named,
    /// `+E`: they are listed too.
    Listed,
}

/// A file system that must not be touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exempt {
    /// As given.
    pub given: Vec<u8>,
    /// Where it is mounted.
    pub path: Vec<u8>,
    /// The device that `+m FILE` has for it.
    pub device: Option<u64>,
    /// `-e`: symbolic links on the way to it may be read (`+e`: not even those).
    pub readlink: bool,
    /// Whether `-b` was given before it.
    pub avoid_blocking: bool,
    /// How many directories were given before it.
    pub after: usize,
}

/// Repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Between two listings.
    pub every: Duration,
    /// `+r`: until nothing is listed.
    pub until_none: bool,
    /// The strftime(3) format of the line between listings.
    pub marker: Option<Vec<u8>>,
    /// How many listings.
    pub cycles: Option<u64>,
}
