//! Network namespaces: which there are, what they are called, and how one is entered.
//!
//! Nothing here keeps a socket of another namespace for longer than a reading takes: a socket keeps its namespace alive, and
//! with it the interfaces of a container that has ended.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    net::IpAddr,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
    thread,
};

use hashbrown::HashMap;
use nix::{getsockopt_impl, sockopt_impl, sys::socket::getsockopt};
use rustix::{
    fd::AsFd as _,
    fs::CWD,
    io::{Errno, Result},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{
    holders::{link_inode, sees_all},
    sockets::{Attributes, Connection, u32_at},
};
use crate::format::Name;

/// Where iproute2 and others keep namespaces under names.
const NAMED: &str = "/run/netns";

// By nix's own means, for nix has no such type: the cookie of a socket's namespace (Linux 5.14).
sockopt_impl!(
    /// `SO_NETNS_COOKIE`.
    NetnsCookie,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_NETNS_COOKIE,
    u64
);

/// The namespaces there are.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    /// By inode number, a file that leads into each.
    pub files: BTreeMap<u64, PathBuf>,
    /// By inode number, what each is called.
    pub names: HashMap<u64, Name>,
    /// This thread's own.
    pub own: Option<u64>,
}

impl Namespaces {
    /// Those that have processes, by one process of each ([`Holders::namespaces`](super::holders::Holders)), those that have names, and
    /// the own one.
    #[must_use]
    pub fn find(with_processes: &BTreeMap<u64, u32>) -> Self {
        let file = |pid: u32| PathBuf::from(format!("/proc/{pid}/ns/net"));
        let mut found = Self { own: own(), ..Self::default() };
        found.files.extend(with_processes.iter().map(|(inode, pid)| (*inode, file(*pid))));
        for entry in fs::read_dir(NAMED).into_iter().flatten().flatten() {
            // What is left of a namespace's name after a crash is an empty file, which leads nowhere.
            if let Ok(metadata) = entry.metadata()
                && is_namespace(&metadata)
            {
                found.names.insert(metadata.ino(), entry.file_name().as_os_str().into());
                found.files.entry(metadata.ino()).or_insert_with(|| entry.path());
            }
        }
        if let Some(host) = host() {
            found.names.insert(host, "host".into());
        }
        found
    }

    /// What a namespace is called; empty for one without a name.
    #[must_use]
    pub fn name(&self, inode: u64) -> Name {
        self.names.get(&inode).cloned().unwrap_or_default()
    }

    /// Does `work` in each of these namespaces, on a thread that ends afterwards. One that cannot be entered is handed to `work` with
    /// the reason, on the same thread, which is then in another one. What was begun before a panic is lost.
    pub fn inside<T: Send>(
        &self,
        namespaces: impl Iterator<Item = u64> + Send,
        mut work: impl FnMut(u64, Result<()>) -> T + Send,
    ) -> Vec<T> {
        let enter_each = || namespaces.map(|inode| work(inode, self.enter(inode))).collect();
        thread::scope(|scope| scope.spawn(enter_each).join().unwrap_or_default())
    }

    /// Moves this thread into a namespace.
    fn enter(&self, inode: u64) -> Result<()> {
        let file = self.open(inode)?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
    }

    /// Opens what leads into a namespace; the process that lived there may be gone, or its number used again.
    fn open(&self, inode: u64) -> Result<File> {
        let path = self.files.get(&inode).ok_or(Errno::NOENT)?;
        let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.ino() == inode { Ok(file) } else { Err(Errno::NOENT) }
    }

    /// Where the other ends of this namespace's interfaces are: by the index of each whose peer is in another namespace (veth, and
    /// what stands on an interface that was moved), that namespace.
    ///
    /// # Errors
    /// When rtnetlink refuses.
    pub fn peers(&self) -> Result<HashMap<u32, u64>> {
        let mut connection = Connection::open(None)?;
        let mut numbers = HashMap::new();
        connection.dump(RTM_GETLINK, &link_request(), &mut |message| numbers.extend(peer_number(message)))?;
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        let mut namespaces = HashMap::new();
        for inode in self.files.keys().copied().filter(|inode| Some(*inode) != self.own) {
            let Ok(file) = self.open(inode) else { continue };
            let request = number_request(file.as_raw_fd());
            // One that has no number here is nobody's peer.
            let _ = connection.get(RTM_GETNSID, &request, &mut |message| {
                namespaces.extend(namespace_number(message).map(|number| (number, inode)));
            });
        }
        let namespace = |(index, number)| Some((index, *namespaces.get(&number)?));
        Ok(numbers.into_iter().filter_map(namespace).collect())
    }
}

/// The routing domains (VRF) of this thread's namespace: by the index of each interface that is in one, or is one's device, the
/// device's index.
///
/// # Errors
/// When rtnetlink refuses.
pub fn domains() -> Result<HashMap<u32, u32>> {
    let mut domains = HashMap::new();
    let mut connection = Connection::open(None)?;
    connection.dump(RTM_GETLINK, &link_request(), &mut |message| domains.extend(domain(message)))?;
    Ok(domains)
}

/// The addresses of the namespace that this thread is in.
#[must_use]
pub fn addresses() -> HashSet<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let address = |of: nix::ifaddrs::InterfaceAddress| {
        let address = of.address?;
        let v4 = || address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4().or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    all.filter_map(address).collect()
}

/// The inode number of the namespace that this thread is in.
#[must_use]
pub fn own() -> Option<u64> {
    link_inode(CWD, c"/proc/thread-self/ns/net", "net").ok().flatten()
}

/// The inode number of the host's: of process 1, or where that may not be read, of the kernel's first thread. In another PID
/// namespace than the host's nobody can tell: there process 1 is another one.
fn host() -> Option<u64> {
    if !sees_all() {
        return None;
    }
    let of = |name| link_inode(CWD, name, "net").ok().flatten();
    let kernel = || {
        let is_kernels = fs::read("/proc/2/comm").is_ok_and(|name| name == b"kthreadd\n");
        is_kernels.then(|| of(c"/proc/2/ns/net")).flatten()
    };
    of(c"/proc/1/ns/net").or_else(kernel)
}

/// Whether a file is a namespace: those have inode numbers of their own, and are all on the same nameless device.
fn is_namespace(metadata: &fs::Metadata) -> bool {
    fs::metadata("/proc/self/ns/net").is_ok_and(|own| own.dev() == metadata.dev())
}

/// The cookie (`SO_NETNS_COOKIE`) of the namespace that a connection belongs to; `None` before Linux 5.14.
pub(crate) fn cookie(connection: &Connection) -> Option<u64> {
    getsockopt(connection.as_socket(), NetnsCookie).ok()
}

/// Messages of rtnetlink(7).
const RTM_GETLINK: u16 = 18;
const RTM_GETNSID: u16 = 90;
/// Length of `struct ifinfomsg`, and of `struct rtgenmsg` with its padding.
const LINK: usize = 16;
const GENERAL: usize = 4;
/// `linux/if_link.h`.
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
/// Leaves out the counters (`RTEXT_FILTER_SKIP_STATS`).
const SKIP_STATS: u32 = 8;
/// `linux/net_namespace.h`.
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// Every interface of the namespace.
fn link_request() -> Vec<u8> {
    let mut request = vec![0; LINK];
    attribute(&mut request, IFLA_EXT_MASK, SKIP_STATS);
    request
}

/// The number that the namespace of this file has here.
fn number_request(file: i32) -> Vec<u8> {
    let mut request = vec![0; GENERAL];
    attribute(&mut request, NETNSA_FD, file.cast_unsigned());
    request
}

fn attribute(request: &mut Vec<u8>, kind: u16, value: u32) {
    request.extend_from_slice(&8_u16.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&value.to_ne_bytes());
}

/// An interface's index, and the number of the namespace that its peer is in.
fn peer_number(message: &[u8]) -> Option<(u32, u32)> {
    let index = u32_at(message, 4)?;
    let mut attributes = Attributes(message.get(LINK..)?);
    let (_, number) = attributes.find(|(kind, _)| *kind == IFLA_LINK_NETNSID)?;
    Some((index, u32_at(number, 0)?))
}

/// An interface's index, and that of the VRF's device that it belongs to or is.
fn domain(message: &[u8]) -> Option<(u32, u32)> {
    const VRF: &[u8] = b"vrf\0";
    let index = u32_at(message, 4)?;
    let (mut master, mut is_in, mut is_device) = (None, false, false);
    for (kind, content) in Attributes(message.get(LINK..)?) {
        match kind {
            IFLA_MASTER => master = u32_at(content, 0),
            IFLA_LINKINFO => {
                for (kind, content) in Attributes(content) {
                    // As an attribute, a string may or may not have its end.
                    let is_vrf = content == VRF || VRF.strip_suffix(b"\0") == Some(content);
                    is_device |= kind == IFLA_INFO_KIND && is_vrf;
                    is_in |= kind == IFLA_INFO_SLAVE_KIND && is_vrf;
                }
            }
            _ => {}
        }
    }
    if is_device { Some((index, index)) } else { Some((index, master.filter(|_| is_in)?)) }
}

/// The number in an answer; -1 is none.
fn namespace_number(message: &[u8]) -> Option<u32> {
    let mut attributes = Attributes(message.get(GENERAL..)?);
    let (_, number) = attributes.find(|(kind, _)| *kind == NETNSA_NSID)?;
    u32_at(number, 0).filter(|number| *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_there_and_has_a_cookie() {
        let own_inode = own().unwrap();
        let namespaces = Namespaces::find(&BTreeMap::from([(own_inode, std::process::id())]));
        assert_eq!(namespaces.own, Some(own_inode));
        assert!(namespaces.files.contains_key(&own_inode));
        let connection = Connection::open(None).unwrap();
        assert!(cookie(&connection).is_some_and(|cookie| cookie > 0));
        namespaces.peers().unwrap();
        // A number that is used again leads into another namespace.
        let wrong = Namespaces::find(&BTreeMap::from([(own_inode + 1, std::process::id())]));
        assert_eq!(wrong.open(own_inode + 1).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn messages_are_read() {
        let mut link = vec![0; LINK];
        link[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        attribute(&mut link, 5, 2);
        assert_eq!(peer_number(&link), None);
        attribute(&mut link, IFLA_LINK_NETNSID, 3);
        assert_eq!(peer_number(&link), Some((7, 3)));
        assert_eq!(domain(&link), None);
        attribute(&mut link, IFLA_MASTER, 9);
        assert_eq!(domain(&link), None, "of a bridge");
        let of_kind = |kind: u16| {
            let mut link = link.clone();
            let string = [&8_u16.to_ne_bytes()[..], &kind.to_ne_bytes(), b"vrf\0"].concat();
            link.extend_from_slice(&12_u16.to_ne_bytes());
            link.extend_from_slice(&IFLA_LINKINFO.to_ne_bytes());
            link.extend_from_slice(&string);
            link
        };
        assert_eq!(domain(&of_kind(IFLA_INFO_SLAVE_KIND)), Some((7, 9)));
        assert_eq!(domain(&of_kind(IFLA_INFO_KIND)), Some((7, 7)));
        let mut answer = vec![0; GENERAL];
        attribute(&mut answer, NETNSA_NSID, 3);
        assert_eq!(namespace_number(&answer), Some(3));
        let mut none = vec![0; GENERAL];
        attribute(&mut none, NETNSA_NSID, u32::MAX);
        assert_eq!(namespace_number(&none), None);
        assert_eq!(namespace_number(&[]), None);
    }
}
