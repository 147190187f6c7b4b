//! What of a search was met, over all threads that read: it decides the exit status, and `-V` reports it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::lsof::{
    arguments::{LsofOptions, NamedUser, Tasks},
    model::tcp_state,
    print::escape::{self, Charset},
};

/// An item of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchItem {
    /// A `-c NAME`, by its place among the options.
    Command(usize),
    /// A `-c /RE/`.
    Pattern(usize),
    /// A `-p`.
    Pid(usize),
    /// A `-g`.
    Group(usize),
    /// A `-u`.
    User(usize),
    /// A `-i ADDRESS`.
    Address(usize),
    /// `-i`.
    Internet,
    /// `-N`.
    Nfs,
    /// `-K`.
    Tasks,
    /// A state of `-s`.
    State(usize),
    /// A file or file system that was searched.
    Name(usize),
    /// A `-Z CONTEXT`.
    Context(usize),
}

/// What was met.
#[derive(Debug, Default)]
pub struct FoundItems {
    commands: Vec<AtomicBool>,
    patterns: Vec<AtomicBool>,
    pids: Vec<AtomicBool>,
    groups: Vec<AtomicBool>,
    users: Vec<AtomicBool>,
    addresses: Vec<AtomicBool>,
    states: Vec<AtomicBool>,
    names: Vec<AtomicBool>,
    contexts: Vec<AtomicBool>,
    internet: AtomicBool,
    nfs: AtomicBool,
    tasks: AtomicBool,
}

fn none<T>(items: &[T]) -> Vec<AtomicBool> {
    items.iter().map(|_| AtomicBool::new(false)).collect()
}

impl FoundItems {
    /// Nothing yet, of a search for so many names.
    #[must_use]
    pub fn new(options: &LsofOptions, names: usize) -> Self {
        Self {
            commands: none(&options.commands),
            patterns: none(&options.patterns),
            pids: none(&options.pids.include),
            groups: none(&options.groups.include),
            users: none(&options.users),
            addresses: none(&options.addresses),
            states: none(&options.states.include),
            names: (0..names).map(|_| AtomicBool::new(false)).collect(),
            contexts: none(options.contexts.as_deref().unwrap_or_default()),
            ..Self::default()
        }
    }

    fn flag(&self, item: SearchItem) -> Option<&AtomicBool> {
        match item {
            SearchItem::Command(at) => self.commands.get(at),
            SearchItem::Pattern(at) => self.patterns.get(at),
            SearchItem::Pid(at) => self.pids.get(at),
            SearchItem::Group(at) => self.groups.get(at),
            SearchItem::User(at) => self.users.get(at),
            SearchItem::Address(at) => self.addresses.get(at),
            SearchItem::State(at) => self.states.get(at),
            SearchItem::Name(at) => self.names.get(at),
            SearchItem::Context(at) => self.contexts.get(at),
            SearchItem::Internet => Some(&self.internet),
            SearchItem::Nfs => Some(&self.nfs),
            SearchItem::Tasks => Some(&self.tasks),
        }
    }

    /// Notes that an item was met.
    pub fn note(&self, item: SearchItem) {
        if let Some(flag) = self.flag(item)
            && !flag.load(Relaxed)
        {
            flag.store(true, Relaxed);
        }
    }

    /// Whether an item was met.
    #[must_use]
    pub fn has(&self, item: SearchItem) -> bool {
        self.flag(item).is_some_and(|flag| flag.load(Relaxed))
    }

    /// A line for every item that was not met, in lsof's order. `names` are those of the files searched.
    #[must_use]
    pub fn missing(&self, options: &LsofOptions, names: &[(Vec<u8>, bool)], charset: Charset) -> Vec<String> {
        let mut lines = Vec::new();
        let shown = |bytes: &[u8]| escape::text(bytes, charset);
        // What lsof keeps in lists it goes through from the end.
        let missing = |flags: &[AtomicBool]| -> Vec<usize> {
            (0..flags.len()).rev().filter(|at| !flags[*at].load(Relaxed)).collect()
        };
        for at in missing(&self.commands) {
            // One that is left out counts as one that was not met, in lsof 4.95 too.
            lines.push(format!("command not located: {}", shown(&options.commands[at].prefix)));
        }
        let mut patterns = missing(&self.patterns);
        patterns.reverse();
        for at in patterns {
            lines.push(format!("no command found for regex: {}", options.patterns[at].source));
        }
        for at in missing(&self.names) {
            if let Some((name, file_system)) = names.get(at) {
                let what = if *file_system { " system" } else { "" };
                lines.push(format!("no file{what} use located: {}", shown(name)));
            }
        }
        for at in missing(&self.addresses) {
            lines.push(format!("Internet address not located: {}", options.addresses[at].text));
        }
        if options.internet.is_some() && !self.internet.load(Relaxed) {
            lines.push("no Internet files located".to_owned());
        }
        for (at, state) in options.states.include.iter().enumerate() {
            if !self.has(SearchItem::State(at)) {
                lines.push(format!("TCP state not located: {}", tcp_state(*state).unwrap_or_default()));
            }
        }
        if options.nfs && !self.nfs.load(Relaxed) {
            lines.push("no NFS files located".to_owned());
        }
        for (at, pid) in options.pids.include.iter().enumerate() {
            if !self.has(SearchItem::Pid(at)) {
                lines.push(format!("process ID not located: {pid}"));
            }
        }
        if options.tasks == Tasks::Select && !self.tasks.load(Relaxed) {
            lines.push("no tasks located".to_owned());
        }
        for (at, group) in options.groups.include.iter().enumerate() {
            if !self.has(SearchItem::Group(at)) {
                lines.push(format!("process group ID not located: {group}"));
            }
        }
        for (at, NamedUser { uid, login }) in options.users.iter().enumerate() {
            if !self.has(SearchItem::User(at)) {
                lines.push(match login {
                    Some(login) => format!("login name (UID {uid}) not located: {login}"),
                    None => format!("user ID not located: {uid}"),
                });
            }
        }
        for (at, context) in options.contexts.iter().flatten().enumerate() {
            if !self.has(SearchItem::Context(at)) {
                lines.push(format!("context not located: {context}"));
            }
        }
        lines
    }
}
