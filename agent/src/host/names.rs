//! Names of hosts: /etc/hosts, then reverse DNS, looked up only when asked for.
//!
//! Nothing here waits unless its name says so: [`Resolver::update`] takes up the answers that have come, asks for what is
//! wanted and unknown, and returns. At most [`CONCURRENT`] look-ups run at a time and [`QUEUE`] wait; an address that finds
//! no place is asked for by a later update, for as long as it is wanted. What an answer says is kept as long as it allows
//! (within bounds), failures too, and of at most [`REMEMBERED`] addresses. The look-ups' own packets are traffic like any other.

mod cache;
mod hosts;

use std::{
    collections::{HashSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::ResolveHosts,
    net::{DnsError, NetError},
    proto::rr::{RData, domain},
};
use tokio::{task::JoinSet, time::timeout};

use self::{
    cache::{Cache, NameAnswer},
    hosts::HostsFile,
};
use crate::{flow::names::Names, format::Name};

/// Look-ups at the same time.
const CONCURRENT: usize = 32;
/// Addresses that wait for one.
const QUEUE: usize = 1024;
/// Addresses whose names, or lack of one, are remembered.
const REMEMBERED: usize = 65_536;
/// How long a look-up may take, with all its attempts.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks names up as the system is configured to (/etc/hosts, /etc/resolv.conf).
pub struct Resolver {
    hosts: HostsFile,
    dns: Result<TokioResolver, String>,
    cache: Cache,
    waiting: VecDeque<IpAddr>,
    /// Those that wait, and those that are being looked up.
    pending: HashSet<IpAddr>,
    running: JoinSet<(IpAddr, NameAnswer)>,
    /// Answers that nobody has taken up.
    arrived: Vec<(IpAddr, NameAnswer)>,
}

impl Resolver {
    /// Reads the system's configuration. Where there is no name server to ask, /etc/hosts alone serves, and
    /// [`unavailable`](Self::unavailable) says why.
    #[must_use]
    pub fn from_system() -> Self {
        let dns = TokioResolver::builder_tokio().and_then(|mut builder| {
            // It takes the last name of an address from /etc/hosts, where everybody else takes the first.
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder.options_mut().cache_size = 0;
            builder.build()
        });
        Self::new(HostsFile::system(), dns.map_err(|error| format!("/etc/resolv.conf: {error}")))
    }

    fn new(hosts: HostsFile, dns: Result<TokioResolver, String>) -> Self {
        Self {
            hosts,
            dns,
            cache: Cache::new(REMEMBERED),
            waiting: VecDeque::new(),
            pending: HashSet::new(),
            running: JoinSet::new(),
            arrived: Vec::new(),
        }
    }

    /// Why no name server is asked.
    #[must_use]
    pub fn unavailable(&self) -> Option<&str> {
        self.dns.as_ref().err().map(String::as_str)
    }

    /// Takes up what has been found out, and asks for the names of `wanted` that are not known. Returns whether a name has
    /// changed. Must be called inside the runtime.
    pub fn update(&mut self, names: &mut Names, wanted: impl IntoIterator<Item = IpAddr>) -> bool {
        let now = Instant::now();
        let mut changed = false;
        while let Some(answer) = self.running.try_join_next() {
            self.arrived.extend(answer);
        }
        for (address, answer) in std::mem::take(&mut self.arrived) {
            self.pending.remove(&address);
            changed |= set(names, address, answer.name.as_ref());
            for forgotten in self.cache.put(address, answer, now) {
                changed |= set(names, forgotten, None);
            }
        }
        if self.hosts.refresh(now) {
            for address in names.hosts.keys().copied().collect::<Vec<_>>() {
                let name = self.hosts.name(address).or_else(|| self.cache.name(address));
                changed |= set(names, address, name);
            }
        }
        for address in wanted {
            if let Some(name) = self.hosts.name(address) {
                changed |= set(names, address, Some(name));
                continue;
            }
            let Some(remembered) = self.cache.get(address, now) else {
                self.ask(address);
                continue;
            };
            changed |= set(names, address, remembered.name);
            if remembered.is_old {
                self.ask(address);
            }
        }
        self.start();
        changed
    }

    /// Waits until there is an answer for [`update`](Self::update) to take up: for ever, if nothing is being looked up. May be
    /// dropped while it waits; nothing is lost.
    pub async fn answered(&mut self) {
        match self.running.join_next().await {
            Some(answer) => self.arrived.extend(answer),
            None => std::future::pending().await,
        }
    }

    /// Updates until everything that is wanted is known, or could not be found out, or `limit` is over.
    pub async fn complete(
        &mut self,
        names: &mut Names,
        wanted: impl IntoIterator<Item = IpAddr>,
        limit: Duration,
    ) {
        let mut wanted = wanted.into_iter();
        let all = async {
            loop {
                let batch: Vec<IpAddr> = wanted.by_ref().take(QUEUE - self.waiting.len()).collect();
                let was_last = batch.is_empty();
                self.update(names, batch);
                match (self.pending.is_empty(), was_last) {
                    (true, true) => break,
                    (true, false) => {}
                    (false, _) => self.answered().await,
                }
            }
        };
        // What is not known by then stays a number.
        let _ = timeout(limit, all).await;
    }

    /// Puts an address in the queue, if there is room: who wants it still asks again.
    fn ask(&mut self, address: IpAddr) {
        if self.dns.is_ok()
            && is_looked_up(address)
            && self.waiting.len() < QUEUE
            && self.pending.insert(address)
        {
            self.waiting.push_back(address);
        }
    }

    fn start(&mut self) {
        let Ok(dns) = &self.dns else { return };
        while self.running.len() < CONCURRENT {
            let Some(address) = self.waiting.pop_front() else { break };
            let dns = dns.clone();
            self.running.spawn(async move { (address, look_up(&dns, address).await) });
        }
    }
}

async fn look_up(dns: &TokioResolver, address: IpAddr) -> NameAnswer {
    match timeout(PATIENCE, dns.reverse_lookup(address)).await {
        Ok(Ok(lookup)) => lookup
            .answers()
            .iter()
            .find_map(|record| match &record.data {
                RData::PTR(name) => Some(NameAnswer::name(title(name), seconds(record.ttl))),
                _ => None,
            })
            .unwrap_or(NameAnswer::nameless(None)),
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
            NameAnswer::nameless(none.negative_ttl.map(seconds))
        }
        Ok(Err(_)) | Err(_) => NameAnswer::failure(),
    }
}

/// A domain name as people know it: international names in their own letters, any other as its bytes are.
fn title(name: &domain::Name) -> Name {
    let label = |label: &[u8]| match domain::Label::from_raw_bytes(label) {
        Ok(known) if label.starts_with(b"xn--") => known.to_utf8().into_bytes(),
        _ => label.to_vec(),
    };
    name.iter().map(label).collect::<Vec<_>>().join(&b'.').into()
}

const fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl as u64)
}

/// Whether a name server can know the name: of addresses that mean something on one link only it cannot.
fn is_looked_up(address: IpAddr) -> bool {
    /// The first ten bits of site-local addresses (RFC 3879), which iftop leaves out too.
    const SITE_LOCAL: u16 = 0xfec0;
    match address {
        IpAddr::V4(address) => !address.is_unspecified() && !address.is_link_local(),
        IpAddr::V6(address) => {
            !address.is_unspecified()
                && !address.is_unicast_link_local()
                && address.segments()[0] & 0xffc0 != SITE_LOCAL
        }
    }
}

/// Gives an address a name, or takes it away; whether that changed anything.
fn set(names: &mut Names, address: IpAddr, name: Option<&Name>) -> bool {
    let known = names.hosts.get(&address);
    if known == name {
        return false;
    }
    match name {
        Some(name) => names.hosts.insert(address, name.clone()),
        None => names.hosts.remove(&address),
    };
    true
}

#[cfg(test)]
mod tests;
