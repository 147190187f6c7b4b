//! Which classes a process meets.

use super::{FoundItems, SearchItem, SelectionClasses, SelectionRule};
use crate::lsof::arguments::LsofOptions;

/// What the classes ask of a process.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its number.
    pub pid: u32,
    /// Its group.
    pub group: u32,
    /// Its owner; nobody if no class asks.
    pub uid: Option<u32>,
    /// Its name.
    pub command: &'a [u8],
}

/// The classes that a process meets, or none when nothing of it can be listed: an item excludes it, or no class of files could
/// make up for what it misses.
#[must_use]
pub fn process(
    options: &LsofOptions,
    rule: SelectionRule,
    about: About<'_>,
    found: &FoundItems,
) -> Option<SelectionClasses> {
    if let Some(uid) = about.uid
        && options.excluded_users.contains(&uid)
    {
        return None;
    }
    if options.groups.exclude.contains(&about.group) || options.pids.exclude.contains(&about.pid) {
        return None;
    }
    let mut met = SelectionClasses::NONE;
    if let Some(at) = options.pids.include.iter().position(|pid| *pid == about.pid) {
        found.note(SearchItem::Pid(at));
        met = met.with(SelectionClasses::PID);
    }
    if let Some(at) = options.groups.include.iter().position(|group| *group == about.group) {
        found.note(SearchItem::Group(at));
        met = met.with(SelectionClasses::GROUP);
    }
    let user = about.uid.and_then(|uid| options.users.iter().position(|user| user.uid == uid));
    if let Some(at) = user {
        found.note(SearchItem::User(at));
        met = met.with(SelectionClasses::USER);
    }
    // A name counts only of a process that its numbers let through.
    let numbers = SelectionClasses::PID.with(SelectionClasses::GROUP).with(SelectionClasses::USER);
    if !rule.may_select(met, rule.requested.without(numbers)) {
        return None;
    }
    let mut excluded = false;
    for (at, command) in options.commands.iter().enumerate() {
        if about.command.starts_with(&command.prefix) {
            if command.exclude {
                excluded = true;
            } else {
                found.note(SearchItem::Command(at));
                met = met.with(SelectionClasses::COMMAND);
            }
        }
    }
    for (at, pattern) in options.patterns.iter().enumerate() {
        if pattern.matches(about.command) {
            found.note(SearchItem::Pattern(at));
            met = met.with(SelectionClasses::COMMAND);
        }
    }
    if excluded {
        return None;
    }
    // What a thread or the files may add is open yet.
    let open = rule
        .requested
        .without(SelectionClasses::PROCESS)
        .with(SelectionClasses::TASK)
        .with(SelectionClasses::CONTEXT);
    rule.may_select(met, open.common(rule.requested)).then_some(met)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsof::arguments::{CommandPrefix, Ids, NamedUser};

    const ABOUT: About<'_> = About { pid: 7, group: 5, uid: Some(1000), command: b"bash" };

    fn met(options: &LsofOptions) -> Option<SelectionClasses> {
        process(options, SelectionRule::new(options), ABOUT, &FoundItems::new(options, 0))
    }

    #[test]
    fn a_process_meets_any_class_or_all() {
        let mut options =
            LsofOptions { pids: Ids { include: vec![7], exclude: vec![] }, ..LsofOptions::default() };
        assert_eq!(met(&options), Some(SelectionClasses::PID));
        options.users.push(NamedUser { uid: 1, login: None });
        assert_eq!(met(&options), Some(SelectionClasses::PID));
        options.and = true;
        assert_eq!(met(&options), None);
        options.users.push(NamedUser { uid: 1000, login: None });
        assert_eq!(met(&options), Some(SelectionClasses::PID.with(SelectionClasses::USER)));
        options.pids.include = vec![8];
        options.and = false;
        options.users.clear();
        assert_eq!(met(&options), None);
        options.unix = true;
        assert_eq!(met(&options), Some(SelectionClasses::NONE));
    }

    #[test]
    fn an_excluded_process_is_out_whatever_it_meets() {
        let mut options =
            LsofOptions { pids: Ids { include: vec![7], exclude: vec![] }, ..LsofOptions::default() };
        options.commands.push(CommandPrefix { prefix: b"ba".to_vec(), exclude: true });
        assert_eq!(met(&options), None);
        options.commands.clear();
        options.excluded_users.insert(1000);
        assert_eq!(met(&options), None);
        let alone = LsofOptions { pids: Ids { include: vec![], exclude: vec![8] }, ..LsofOptions::default() };
        assert_eq!(met(&alone), Some(SelectionClasses::NONE));
    }
}
