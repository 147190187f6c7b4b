//! What stands in the two host columns: the text of both ends of whatever is listed.

use super::list::{EntryKey, ListEntry};
use crate::{
    flow::{group::GroupKey, names::Names, row::InterfaceId, snapshot::InterfaceView},
    format::Name,
    iftop::{
        label::{Label, host, is_named},
        options::IftopOptions,
        pair::PairAddress,
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
                // A log may have rows of something else.
                0 => String::new(),
                1 => "1 flow".to_owned(),
                flows => format!("{flows} flows"),
            })
        };
        match &entry.key {
            EntryKey::Pair(pair) => {
                [&pair.left, &pair.right].map(|end| Label::new(end, pair.kind, options, names))
            }
            EntryKey::Left(group) => [self.of_group(group), flows()],
            EntryKey::Right(group) => [flows(), self.of_group(group)],
        }
    }

    /// A group's end. Addresses and ports must not be cut, what has a name may be.
    fn of_group(&self, key: &GroupKey) -> Label {
        let text = self.group(key);
        let named = match key {
            GroupKey::Address(Some(of)) => is_named(PairAddress::Shown(*of), self.options, self.names),
            GroupKey::Owner(_) | GroupKey::Interface(_) => true,
            _ => false,
        };
        if named { Label::name(text) } else { Label::plain(text) }
    }

    /// Whose an entry is, where that is shown.
    pub(super) fn owner(entry: &ListEntry) -> Option<Name> {
        let owned = entry.owner.as_ref()?;
        let more: &[u8] = if owned.mixed { b", others" } else { b"" };
        Some([owned.by.title().as_bytes(), more].concat().into())
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
            GroupKey::Pair(Some((local, remote))) => {
                [address(*local).as_bytes(), address(*remote).as_bytes()].join(&b' ').into()
            }
            GroupKey::Address(None) | GroupKey::Pair(None) | GroupKey::Subnet(None) => "not IP".into(),
            GroupKey::Port(kind, Some(port)) => {
                [self.port(*kind, *port).as_bytes(), format!("/{kind}").as_bytes()].concat().into()
            }
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
        service.cloned().unwrap_or_else(|| port.to_string().into())
    }

    /// An interface's name, which is not safe to show as it is.
    pub(super) fn interface(&self, id: InterfaceId) -> &str {
        self.interfaces.iter().find(|interface| interface.id == id).map_or("?", |interface| &interface.name)
    }
}
