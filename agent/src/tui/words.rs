//! What stands in the two host columns: the text of both ends of whatever is listed.

use super::list::{EntryKey, ListEntry};
use crate::{
    flow::{group::GroupKey, names::Names, row::InterfaceId, snapshot::InterfaceView},
    format::Name,
    iftop::{
        label::{Label, host},
        options::Options,
        pair::Address,
    },
    model::protocol::Kind,
};

/// What is needed to put a list into words.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryWords<'a> {
    pub(super) options: &'a IftopOptions,
    pub(super) names: &'a Names,
    pub(super) interfaces: &'a [InterfaceView],
}

impl EntryWords<'_> {
    /// The left and the right end. Of a group, the end that it is no group by says how many conversations it is made of.
    pub(super) fn ends(&self, entry: &ListEntry) -> [Label; 2] {
        let Self { options, names, .. } = self;
        let flows = || {
            Label::plain(match entry.flows {
                1 => "1 flow".to_owned(),
                flows => format!("{flows} flows"),
            })
        };
        match &entry.key {
            EntryKey::Pair(pair) => {
                [&pair.left, &pair.right].map(|end| Label::new(end, pair.kind, options, names))
            }
            EntryKey::Left(group) => [Label::plain(self.group(group)), flows()],
            EntryKey::Right(group) => [flows(), Label::plain(self.group(group))],
        }
    }

    /// Whose an entry is, where that is shown.
    pub(super) fn owner(entry: &Entry) -> Option<String> {
        let owned = entry.owner.as_ref()?;
        let more = if owned.mixed { ", others" } else { "" };
        Some(printable(format!("{}{more}", owned.by)))
    }

    /// The text by which an entry stands in an order by host: the left (0) or right (1) end without its port.
    pub(super) fn host(&self, entry: &ListEntry, side: usize) -> String {
        match &entry.key {
            EntryKey::Pair(pair) => {
                host([pair.left, pair.right][side].address, self.options, self.names).to_string()
            }
            EntryKey::Left(_) | EntryKey::Right(_) => {
                let [left, right] = self.ends(entry);
                if side == 0 { left.to_string() } else { right.to_string() }
            }
        }
    }

    /// Both ends, one after the other, for messages and titles.
    pub(super) fn title(&self, entry: &ListEntry) -> String {
        let [left, right] = self.ends(entry).map(|label| label.to_string());
        format!("{left} <=> {right}")
    }

    /// What a group is called.
    fn group(&self, key: &GroupKey) -> Name {
        let Self { options, names, .. } = self;
        let address = |address| host(PairAddress::Shown(address), options, names);
        match key {
            GroupKey::Address(Some(of)) => address(*of),
            GroupKey::Pair(Some((local, remote))) => format!("{} {}", address(*local), address(*remote)),
            GroupKey::Address(None) | GroupKey::Pair(None) | GroupKey::Subnet(None) => "not IP".to_owned(),
            GroupKey::Port(kind, Some(port)) => format!("{}/{kind}", self.port(*kind, *port)),
            GroupKey::Service(name) => name.clone(),
            GroupKey::Protocol(kind) | GroupKey::Port(kind, None) => kind.to_string().into(),
            GroupKey::Interface(id) => self.interface(*id).into(),
            GroupKey::Subnet(Some((network, prefix))) => format!("{network}/{prefix}").into(),
            GroupKey::Owner(owner) => owner.title(),
        }
    }

    /// A port's service if it is named, else its number.
    pub(super) fn port(&self, kind: Kind, port: u16) -> Name {
        let service = self.names.services.name(kind, port).filter(|_| self.options.port_resolution);
        service.map_or_else(|| port.to_string(), str::to_owned)
    }

    /// An interface's name.
    pub(super) fn interface(&self, id: InterfaceId) -> &str {
        self.interfaces.iter().find(|interface| interface.id == id).map_or("?", |interface| &interface.name)
    }
}

/// A name that a process has given itself must not command the terminal.
pub(super) fn printable(name: String) -> String {
    if name.chars().any(char::is_control) { name.replace(char::is_control, "?") } else { name }
}
