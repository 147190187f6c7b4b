//! Types of other crates: the standard library's addresses, and what the kernel programs count.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flowtally_common::{Count, FlowKey, Health, HealthKey, SocketHint, settings::Layer};

use super::{WireError, WireForm, WireReader, wire_struct};

impl WireForm for Ipv4Addr {
    fn put(&self, to: &mut Vec<u8>) {
        self.octets().put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        <[u8; 4]>::take(from).map(Self::from)
    }
}

impl WireForm for Ipv6Addr {
    fn put(&self, to: &mut Vec<u8>) {
        self.octets().put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        <[u8; 16]>::take(from).map(Self::from)
    }
}

impl WireForm for IpAddr {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::V4(address) => {
                to.push(4);
                address.put(to);
            }
            Self::V6(address) => {
                to.push(6);
                address.put(to);
            }
        }
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        match u8::take(from)? {
            4 => Ipv4Addr::take(from).map(Self::V4),
            6 => Ipv6Addr::take(from).map(Self::V6),
            _ => Err(WireError::Corrupt("an address")),
        }
    }
}

impl WireForm for Layer {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(match self {
            Self::Ethernet => 0,
            Self::Ip => 1,
        });
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        match u8::take(from)? {
            0 => Ok(Self::Ethernet),
            1 => Ok(Self::Ip),
            _ => Err(WireError::Corrupt("a link layer")),
        }
    }
}

impl WireForm for SocketHint {
    fn put(&self, to: &mut Vec<u8>) {
        // What marks it is its highest bit, which would make every one of them a long number.
        self.0.rotate_left(1).put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        u64::take(from).map(|number| Self(number.rotate_right(1)))
    }
}

wire_struct!(Count { bytes, packets });
wire_struct!(Health { untracked, gso_extra, offloaded_tags, filtered });
wire_struct!(HealthKey { ifindex, direction, bank; padding });
wire_struct!(FlowKey { src, dst, src_port, dst_port, ifindex, protocol, direction, vlan });
