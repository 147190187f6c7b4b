//! How the interfaces lie upon each other.

use super::Meter;
use crate::{
    flow::{event::Event, topology::Link},
    host::interfaces::Interface,
};

impl Meter {
    /// Tells the ledger how the interfaces lie upon each other, if that may have changed.
    pub(super) async fn follow_links(&mut self) -> anyhow::Result<()> {
        // A change that came just before the interval ends counts in it, and may not have been looked at yet.
        if self.names.len() > 1 {
            for change in self.netlink.pending().await {
                self.follow(change).await?;
            }
        }
        if std::mem::take(&mut self.links_changed) {
            let interfaces = self.netlink.interfaces().await?;
            self.read_links(&interfaces).await?;
        }
        Ok(())
    }

    pub(super) async fn read_links(&mut self, interfaces: &[Interface]) -> anyhow::Result<()> {
        let uplinks = self.netlink.default_routes().await?;
        let link = |interface: &Interface| Link {
            index: interface.index,
            kind: interface.kind.clone(),
            master: interface.master,
            lower: interface.lower,
            loopback: interface.loopback,
            uplink: uplinks.contains(&interface.index),
        };
        let links = interfaces.iter().map(link).collect();
        self.tell(Event::Links(links))
    }
}
