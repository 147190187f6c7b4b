//! What the host reports: owners, protocols, names.

use super::{WireError, WireForm, WireReader, put_bytes, take_bytes, wire_enum, wire_struct};
use crate::{
    filter::Filter,
    format::Name,
    model::{
        owner::{Attribution, Container, Netns, Owner, ProcessId, Reason, Runtime},
        protocol::Kind,
    },
};

impl WireForm for Name {
    fn put(&self, to: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        take_bytes(from).map(Self::from)
    }
}

/// As it was written: what it means is found out anew.
impl WireForm for Filter {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_by_packets().put(to);
        put_bytes(self.text().as_bytes(), to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        let by_packets = bool::take(from)?;
        let text = String::take(from)?;
        if by_packets {
            return Ok(Self::by_packets(&text, None));
        }
        let filter = Self::parse(&text, from.names).map_err(|error| WireError::Filter(error.to_string()))?;
        filter.ok_or(WireError::Corrupt("a filter"))
    }
}

wire_enum!(Kind {
    0 => Ip { 0: protocol },
    1 => Frame { 0: ether_type },
    2 => Llc { 0: point },
    3 => Unparsed { 0: reason },
});
wire_struct!(ProcessId { pid, start });
wire_struct!(Netns { inode, name });
wire_struct!(Container { runtime, name });
wire_struct!(Owner { id, start_time, command, executable, uid, user, container, netns });
wire_struct!(Attribution { owners, reason });
wire_enum!(Runtime {
    0 => Docker {},
    1 => Podman {},
    2 => Containerd {},
    3 => CriO {},
    4 => Kubernetes {},
    5 => Machine {},
    6 => Lxc {},
    7 => Systemd {},
    8 => Cgroup {},
});
wire_enum!(Reason {
    0 => Created {},
    1 => Bound {},
    2 => Connected {},
    3 => Accepted {},
    4 => Closed {},
    5 => Open {},
    6 => Listener {},
    7 => Kernel {},
    8 => KernelStack {},
    9 => Forwarded {},
    10 => NoSocket {},
    11 => Gone {},
    12 => NotPermitted {},
    13 => NotLooked {},
});
