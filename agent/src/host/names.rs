//! Names of hosts: reverse DNS and /etc/hosts, looked up only when asked for.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use anyhow::Context as _;
use futures_util::{StreamExt, stream};
use hickory_resolver::{TokioResolver, proto::rr::RData};
use tokio::time::{Instant, timeout_at};

/// Look-ups at the same time.
const CONCURRENT: usize = 32;

/// Looks names up as the system is configured to (/etc/resolv.conf, /etc/hosts).
pub struct Resolver {
    resolver: TokioResolver,
}

impl Resolver {
    /// Reads the system's configuration.
    ///
    /// # Errors
    /// When /etc/resolv.conf cannot be read.
    pub fn from_system() -> anyhow::Result<Self> {
        let builder = TokioResolver::builder_tokio().context("reading /etc/resolv.conf")?;
        Ok(Self { resolver: builder.build().context("setting up the resolver")? })
    }

    /// The names of the addresses that have one, as far as they are known within `limit`.
    pub async fn names(
        &self,
        addresses: impl IntoIterator<Item = IpAddr>,
        limit: Duration,
    ) -> HashMap<IpAddr, String> {
        let deadline = Instant::now() + limit;
        stream::iter(addresses)
            .map(|address| async move {
                let answer = timeout_at(deadline, self.resolver.reverse_lookup(address)).await.ok()?.ok()?;
                let name = answer.answers().iter().find_map(|record| match &record.data {
                    RData::PTR(name) => Some(name.to_utf8()),
                    _ => None,
                })?;
                Some((address, name.trim_end_matches('.').to_owned()))
            })
            .buffer_unordered(CONCURRENT)
            .filter_map(|found| async { found })
            .collect()
            .await
    }
}
