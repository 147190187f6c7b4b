//! Interfaces that come, go and are renamed, and addresses that change.

use anyhow::Context as _;

use super::{Meter, selection::resolve};
use crate::{
    flow::{attached::Attached, event::Event},
    format::Safe,
    host::{
        clsact,
        interfaces::{Change, Interface, Selection},
    },
    kernel::AttachTarget,
};

impl Meter {
    /// Counts on one more interface from now on.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be counted on.
    pub async fn add(&mut self, name: &str) -> anyhow::Result<()> {
        let interfaces = self.netlink.interfaces().await?;
        let interface = interfaces
            .into_iter()
            .find(|interface| interface.name == name)
            .with_context(|| format!("no interface is called '{}'", Safe::new(name)))?;
        if self.names.contains_key(&interface.index) {
            return Ok(());
        }
        let before = self.selection.clone();
        self.selection.add(name);
        match self.hook_up(&interface, true).await {
            Ok(attached) => {
                self.links_changed = true;
                self.tell(Event::Attach(Box::new(attached)))
            }
            Err(error) => {
                self.selection = before;
                Err(error)
            }
        }
    }

    /// Counts on other interfaces from now on: those of these names and patterns, as they are typed. What has been counted stays.
    ///
    /// # Errors
    /// When none of them is there or can be counted on; then everything stays as it was.
    pub async fn select(&mut self, names: &[String]) -> anyhow::Result<()> {
        let interfaces = self.netlink.interfaces().await?;
        let uplinks = self.netlink.default_routes().await?;
        let selection = resolve(Selection::parse(names), &interfaces, &uplinks, false)?;
        let gone: Vec<_> =
            interfaces.iter().filter(|interface| !selection.contains(&interface.name)).collect();
        self.selection = selection;
        for Interface { index, counters, .. } in gone {
            if self.names.remove(index).is_some() {
                self.tell(Event::Counters { index: *index, counters: *counters })?;
                self.tell(Event::Detach { index: *index })?;
                self.let_go(*index).await?;
            }
        }
        for interface in &interfaces {
            self.appear(interface).await?;
        }
        self.links_changed = true;
        Ok(())
    }

    pub(super) async fn follow(&mut self, change: Change) -> anyhow::Result<()> {
        self.links_changed |= !matches!(change, Change::Addresses);
        match change {
            Change::Link(interface) => self.appear(&interface).await,
            Change::Gone(interface) => {
                let Interface { index, counters, .. } = interface;
                self.tell(Event::Counters { index, counters })?;
                self.tell(Event::Detach { index })?;
                self.books()?.kernel.release(index);
                self.names.remove(&index);
                Ok(())
            }
            Change::Addresses => self.read_addresses().await,
            Change::Unknown => {
                self.read_addresses().await?;
                for interface in self.netlink.interfaces().await? {
                    self.appear(&interface).await?;
                }
                Ok(())
            }
        }
    }

    /// Takes up an interface that is new, or takes note of a new name.
    async fn appear(&mut self, interface: &Interface) -> anyhow::Result<()> {
        match self.names.get_mut(&interface.index) {
            Some(name) if *name == interface.name => {}
            Some(name) => {
                name.clone_from(&interface.name);
                self.tell(Event::Rename { index: interface.index, name: interface.name.clone() })?;
            }
            None if self.selection.contains(&interface.name) => {
                let mut attached = self.hook_up(interface, false).await?;
                if let Some(now) =
                    self.netlink.interfaces().await?.into_iter().find(|now| now.index == interface.index)
                {
                    attached.counters = now.counters;
                }
                self.tell(Event::Attach(Box::new(attached)))?;
            }
            None => {}
        }
        Ok(())
    }

    /// Attaches to an interface. One that was asked for by name must work when `starting`; any other, and one that comes
    /// later, is shown with the reason.
    pub(super) async fn hook_up(
        &mut self,
        interface: &Interface,
        starting: bool,
    ) -> anyhow::Result<Attached> {
        let target = target(interface);
        let mut degraded = Vec::new();
        match clsact::remove_stale(&self.netlink, interface.index).await {
            Ok(_) => {}
            Err(error) => {
                degraded.push(format!("a filter that a killed flowtally left could not be removed: {error}"));
            }
        }
        let (hook, mark) = (self.hook, self.mark.handle());
        let hook = match self.books()?.kernel.attach(&target, hook, mark) {
            Ok(served) => {
                degraded.extend(served.degraded);
                served.hook
            }
            Err(error) if starting && self.selection.names(&interface.name) => {
                return Err(error).with_context(|| format!("counting on {}", Safe::new(&interface.name)));
            }
            Err(error) => {
                degraded.push(format!("not counted: {error}"));
                "none".to_owned()
            }
        };
        self.names.insert(interface.index, interface.name.clone());
        Ok(Attached {
            name: interface.name.clone(),
            index: interface.index,
            layer: interface.layer,
            loopback: interface.loopback,
            hook,
            degraded,
            counters: interface.counters,
        })
    }

    pub(super) async fn read_addresses(&mut self) -> anyhow::Result<()> {
        let addresses = self.netlink.addresses().await?;
        self.broadcasts = addresses.iter().filter_map(|address| address.broadcast).collect();
        let own = addresses.iter().map(|address| address.address).collect();
        let broadcasts = self.broadcasts.iter().copied().collect();
        self.tell(Event::Addresses { own, broadcasts })
    }
}

/// An interface as the kernel side knows it.
#[must_use]
pub fn target(interface: &Interface) -> AttachTarget {
    AttachTarget {
        index: interface.index,
        name: interface.name.clone(),
        layer: interface.layer,
        loopback: interface.loopback,
    }
}
