//! Names of services, from the text of /etc/services (services(5)).

use std::collections::HashMap;

use super::row::RowKey;
use crate::{etc, format::Name, model::protocol::Kind};

/// Local ports that the kernel gives to clients (`net.ipv4.ip_local_port_range`, default).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// Service names by protocol and port.
#[derive(Clone, Debug, Default)]
pub struct Services {
    names: HashMap<(Kind, u16), Name>,
}

impl Services {
    /// Reads the text of /etc/services; lines it does not understand are left out, as libc does. The first name
    /// of a port wins.
    #[must_use]
    pub fn parse(text: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        let mut names = HashMap::new();
        for service in etc::services(text.as_ref()) {
            let kind = match service.protocol {
                b"tcp" => Kind::TCP,
                b"udp" => Kind::UDP,
                b"sctp" => Kind::Ip(132),
                b"dccp" => Kind::Ip(33),
                b"udplite" => Kind::Ip(136),
                _ => continue,
            };
            if let Some(name) = service.names.first() {
                names.entry((kind, service.port)).or_insert_with(|| (*name).into());
            }
        }
        Self { names }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self, kind: Kind, port: u16) -> Option<&Name> {
        self.names.get(&(kind, port))
    }

    /// The port of a conversation that names its service: the one with a name if only one has, else the one that
    /// is not an ephemeral port if only one is, else the lower. `None` for protocols without ports, and for
    /// fragments, whose ports are not known.
    #[must_use]
    pub fn service_port(&self, row: &RowKey) -> Option<u16> {
        let ports = [row.local_port, row.remote_port];
        if !row.kind.has_ports() || ports == [0, 0] {
            return None;
        }
        let [local, remote] = ports;
        let only_one = |property: &dyn Fn(u16) -> bool| match (property(local), property(remote)) {
            (true, false) => Some(local),
            (false, true) => Some(remote),
            _ => None,
        };
        only_one(&|port| self.name(row.kind, port).is_some())
            .or_else(|| only_one(&|port| !EPHEMERAL.contains(&port)))
            .or(Some(local.min(remote)))
    }
}
