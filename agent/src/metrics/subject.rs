//! What a series is of, as the values of its labels. Two that have the same values are the same series: Prometheus refuses a page on
//! which one is there twice.

use std::{fmt, net::IpAddr};

use super::settings::MetricsBy;
use crate::{
    format::Safe,
    model::{
        owner::{Attribution, Owner},
        protocol::Kind,
    },
};

/// What stands in place of a reason, an address or a protocol where the series is of all others.
pub(super) const OTHER: &str = "other";

/// What a series is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum MetricSubject {
    /// A process's name and number, or why there is none.
    Process(Box<str>, Option<u32>, &'static str),
    /// An address; `None` for frames that are not IP.
    Remote(Option<IpAddr>),
    /// A service's port; `None` where the protocol has none.
    Port(Kind, Option<u16>),
    /// A container or a unit, empty for a process in none, or why there is no owner.
    Container(Box<str>, &'static str),
    /// A user's name or number, or why there is no owner.
    User(Box<str>, &'static str),
}

impl MetricSubject {
    /// Whose the traffic is; nothing for what is not by owner. The first of several owners stands for all of them.
    pub(super) fn of_owner(by: MetricsBy, of: &Attribution) -> Option<Self> {
        let owner = of.owners.first();
        let reason = if owner.is_none() { of.reason.code() } else { "" };
        let text = |text: &dyn Fn(&Owner) -> Option<String>| -> Box<str> {
            owner.and_then(text).unwrap_or_default().into()
        };
        Some(match by {
            MetricsBy::Process => {
                let command = text(&|owner| Some(owner.command.to_string()));
                Self::Process(command, owner.map(|owner| owner.id.pid), reason)
            }
            MetricsBy::Container => {
                Self::Container(text(&|owner| Some(owner.container.as_ref()?.to_string())), reason)
            }
            MetricsBy::User => {
                let name = text(&|owner| match (&owner.user, owner.uid) {
                    (Some(user), _) => Some(user.to_string()),
                    (None, uid) => Some(uid?.to_string()),
                });
                Self::User(name, reason)
            }
            MetricsBy::Remote | MetricsBy::Port => return None,
        })
    }

    /// Its labels beside interface and direction. An empty value is as good as none.
    pub(super) fn labels(&self) -> Vec<(&'static str, String)> {
        fn text(of: Option<impl fmt::Display>) -> String {
            of.map(|of| of.to_string()).unwrap_or_default()
        }
        let labels = match self {
            Self::Process(command, pid, reason) => {
                vec![("command", command.to_string()), ("pid", text(*pid)), ("reason", (*reason).to_owned())]
            }
            Self::Remote(address) => vec![("address", text(*address))],
            Self::Port(kind, port) => vec![("protocol", kind.to_string()), ("port", text(*port))],
            Self::Container(container, reason) => {
                vec![("container", container.to_string()), ("reason", (*reason).to_owned())]
            }
            Self::User(user, reason) => vec![("user", user.to_string()), ("reason", (*reason).to_owned())],
        };
        labels.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The label that says that a series is of all others.
pub(super) const fn other(by: MetricsBy) -> (&'static str, &'static str) {
    match by {
        MetricsBy::Process | MetricsBy::Container | MetricsBy::User => ("reason", OTHER),
        MetricsBy::Remote => ("address", OTHER),
        MetricsBy::Port => ("protocol", OTHER),
    }
}

/// An interface's name as the value of a label.
pub(super) fn interface_label(name: &str) -> String {
    Safe::new(name).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        log::fixtures::{nobody, owned},
        model::owner::Reason,
    };

    #[test]
    fn no_two_protocols_have_one_name() {
        let kinds = (0..=u8::MAX).flat_map(|number| [Kind::Ip(number), Kind::Llc(number)]);
        let kinds = kinds.chain((0..=u16::MAX).map(Kind::Frame));
        let mut names = HashSet::from([OTHER.to_owned()]);
        assert!(kinds.map(|kind| kind.to_string()).all(|name| names.insert(name)));
    }

    #[test]
    fn labels_say_whose_it_is_and_nothing_that_a_terminal_obeys() {
        let of = |by, of: &Attribution| MetricSubject::of_owner(by, of).unwrap().labels();
        let pid5 = owned(5, Reason::Open);
        let process = of(MetricsBy::Process, &pid5);
        assert_eq!(process, [("command", "od\\xffd, \"name\"".to_owned()), ("pid", "5".to_owned())]);
        assert_eq!(of(MetricsBy::User, &pid5), [("user", "user2".to_owned())]);
        assert_eq!(of(MetricsBy::User, &owned(3, Reason::Open)), [("user", "0".to_owned())]);
        assert_eq!(of(MetricsBy::Container, &pid5), []);
        assert_eq!(
            of(MetricsBy::Container, &owned(6, Reason::Open)),
            [("container", "docker:c2".to_owned())]
        );
        let forwarded = nobody(Reason::Forwarded);
        for by in [MetricsBy::Process, MetricsBy::Container, MetricsBy::User] {
            assert_eq!(of(by, &forwarded), [("reason", "forwarded".to_owned())]);
        }
        assert!(MetricSubject::of_owner(MetricsBy::Remote, &forwarded).is_none());
    }
}
