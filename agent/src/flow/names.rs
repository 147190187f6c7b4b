//! Names to print instead of numbers, as far as they are known.

use std::{collections::HashMap, net::IpAddr};

use super::services::Services;
use crate::format::Name;

/// Names of addresses and services. Looking up has happened elsewhere; an address without an entry is printed as a
/// number.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Host names by address; empty where names are not wanted.
    pub hosts: HashMap<IpAddr, Name>,
    /// Service names by protocol and port.
    pub services: Services,
}

impl Names {
    /// The host's name, or its address as text.
    #[must_use]
    pub fn host(&self, address: IpAddr) -> Name {
        self.hosts.get(&address).cloned().unwrap_or_else(|| address.to_string().into())
    }
}
