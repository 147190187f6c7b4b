//! The system's name service (nsswitch.conf(5)): users, hosts and services in every source that the host is configured to ask.
//!
//! Who asks here waits for the answer. That is what a command wants that prints its list and ends, and prints what
//! `getent(1)` would; a screen asks [`names`](super::names), where nobody waits.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    net::{IpAddr, ToSocketAddrs as _},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use nix::unistd::User;

use super::users::Users;
use crate::etc;

/// Look-ups of hosts at the same time: a name server that does not answer costs its time but once.
const LOOK_UPS: usize = 16;

/// Names that were asked for, each once.
#[derive(Debug, Default)]
pub struct NameService {
    services: OnceCell<Vec<u8>>,
    ports: OnceCell<HashMap<(u16, &'static str), String>>,
    hosts: RefCell<HashMap<IpAddr, Option<String>>>,
    users: RefCell<Users>,
}

impl NameService {
    /// The number of a login name.
    #[must_use]
    pub fn uid(&self, login: &str) -> Option<u32> {
        User::from_name(login).ok().flatten().map(|user| user.uid.as_raw())
    }

    /// The login name of a number.
    #[must_use]
    pub fn login(&self, uid: u32) -> Option<String> {
        self.users.borrow_mut().name(uid).map(str::to_owned)
    }

    /// All addresses of a host, in the order that the resolver has them in.
    #[must_use]
    pub fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let found = (host, 0).to_socket_addrs();
        let mut addresses: Vec<IpAddr> =
            found.map(|it| it.map(|address| address.ip()).collect()).unwrap_or_default();
        addresses.dedup();
        addresses
    }

    /// Looks up the names of addresses that were not asked for before, several at a time, and waits for all of them.
    pub fn resolve(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        let mut known = self.hosts.borrow_mut();
        let mut wanted: Vec<IpAddr> = addresses.into_iter().collect();
        wanted.retain(|address| !address.is_unspecified() && !known.contains_key(address));
        wanted.sort_unstable();
        wanted.dedup();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            while let Some(address) = wanted.get(next.fetch_add(1, Relaxed)) {
                // What has no name has its number for one.
                let name = dns_lookup::lookup_addr(address).ok();
                found.push((*address, name.filter(|name| name.parse::<IpAddr>().is_err())));
            }
            found
        };
        let found: Vec<_> = if wanted.len() <= 1 {
            work()
        } else {
            thread::scope(|scope| {
                let threads = wanted.len().min(LOOK_UPS);
                let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
            })
        };
        known.extend(found);
    }

    /// The name of an address that was looked up.
    #[must_use]
    pub fn host(&self, address: IpAddr) -> Option<String> {
        self.hosts.borrow().get(&address).cloned().flatten()
    }

    /// The port of a service, by any of its names. `protocol` is `tcp` or `udp`.
    #[must_use]
    pub fn port(&self, service: &str, protocol: &str) -> Option<u16> {
        etc::services(self.services())
            .find(|line| line.protocol == protocol.as_bytes() && line.names.contains(&service.as_bytes()))
            .map(|line| line.port)
    }

    /// The service at a port, by its first name. `protocol` is `tcp` or `udp`.
    #[must_use]
    pub fn service(&self, port: u16, protocol: &'static str) -> Option<String> {
        let ports = self.ports.get_or_init(|| {
            let mut ports = HashMap::new();
            for line in etc::services(self.services()) {
                for protocol in ["tcp", "udp"] {
                    if let Some(name) = line.names.first().filter(|_| line.protocol == protocol.as_bytes()) {
                        let name = || String::from_utf8_lossy(name).into_owned();
                        ports.entry((line.port, protocol)).or_insert_with(name);
                    }
                }
            }
            ports
        });
        ports.get(&(port, protocol)).cloned()
    }

    fn services(&self) -> &[u8] {
        self.services.get_or_init(|| std::fs::read("/etc/services").unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_known_by_name_and_number() {
        let names = NameService::default();
        assert_eq!(names.uid("root"), Some(0));
        assert_eq!(names.login(0).as_deref(), Some("root"));
        assert_eq!(names.uid("no-such-user-here"), None);
    }

    #[test]
    fn a_services_first_name_is_the_ports() {
        let names = NameService::default();
        names.services.set(b"domain 53/tcp nameserver\ndomain 53/udp\nother 53/udp\n".to_vec()).unwrap();
        assert_eq!(names.port("nameserver", "tcp"), Some(53));
        assert_eq!(names.port("nameserver", "udp"), None);
        assert_eq!(names.service(53, "udp").as_deref(), Some("domain"));
        assert_eq!(names.service(54, "udp"), None);
    }

    #[test]
    fn what_is_no_address_is_not_asked_for() {
        let names = NameService::default();
        let nobody: IpAddr = "0.0.0.0".parse().unwrap();
        names.resolve([nobody]);
        assert_eq!(names.host(nobody), None);
        assert!(names.hosts.borrow().is_empty());
    }
}
