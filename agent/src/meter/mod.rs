//! The measurement: kernel, ledger, interfaces and owners tied together. What every command that measures runs on.
//!
//! Who takes up intervals is a [`Reader`]; screens read the [`Meter::ledger`] in place.

mod ask;
mod follow;
mod links;
mod reader;
mod record;
mod selection;
mod start;

pub use follow::target;
pub use reader::{Clocks, Closed, Reader};
pub use record::Recorded;
pub use start::memory;

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use record::{EventRecorder, Told};
use tokio::{task::spawn_blocking, time::Interval};

use crate::{
    filter::Filter,
    flow::{
        event::Event,
        ledger::{Ledger, Terms},
        row::InterfaceId,
        snapshot::Snapshot,
    },
    host::{
        clsact::{self, ClsactMark},
        interfaces::{Change, Interface, Netlink, Selection},
        owners::{Look, Owners},
    },
    kernel::{Capacity, Drained, Fill, Kernel, KernelError, Retired},
    model::hook::HookChoice,
};

/// Rows that a ledger keeps; what finds no room is untracked. A row is about 250 bytes.
pub const MAX_ROWS: usize = 4 << 20;

/// What to measure, and how.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Plan {
    /// Names and patterns of interfaces; none for the default.
    pub interfaces: Vec<String>,
    /// Hooks to use.
    pub hook: HookChoice,
    /// First-level slots per CPU and bank; from the memory budget if not given.
    pub slots: Option<u32>,
    /// Flows in each bank of the second level; from the host's memory if not given.
    pub max_flows: Option<u32>,
    /// Whether the kernel programs log what is rare, to standard error.
    pub verbose: bool,
    /// Whether to find out whose traffic it is.
    pub owners: bool,
    /// Whether to count on the loopback interfaces too, where no interfaces are named.
    pub loopbacks: bool,
    /// Whether intervals end at multiples of their length on the wall clock.
    pub aligned: bool,
    /// What the ledger is made for.
    pub terms: Terms,
}

/// Kernel, ledger and owners go together to the thread that drains, and back.
struct Books {
    kernel: Kernel,
    ledger: Ledger,
    /// What finds owners, where they are wanted at all.
    owners: Option<Owners>,
    /// What keeps events, while somebody wants them.
    recorder: Option<EventRecorder>,
}

/// What a measurement waited for: the end of the interval, or a change of the interfaces.
#[derive(Debug)]
pub struct Happened(Option<Change>);

/// A measurement under way.
pub struct Meter {
    books: Option<Box<Books>>,
    netlink: Netlink,
    selection: Selection,
    hook: HookChoice,
    mark: ClsactMark,
    /// Names of the interfaces that are or were attached, by index.
    names: HashMap<u32, String>,
    /// Broadcast addresses of the networks that the host is in.
    broadcasts: HashSet<Ipv4Addr>,
    started: Instant,
    /// The clocks where the last closed interval ended, or the first one began.
    ended: Clocks,
    ticks: Interval,
    /// Whether ticks follow the wall clock.
    aligned: bool,
    capacity: Capacity,
    /// How full the kernel's tables were in the last interval.
    fill: Fill,
    /// Whether somebody looks at owners.
    looking: bool,
    /// Whether how the interfaces lie upon each other may have changed.
    links_changed: bool,
    next_filter: NextFilter,
}

/// The filter of the next interval.
#[derive(Debug, Default)]
enum NextFilter {
    /// That of this one.
    #[default]
    Same,
    /// Another one.
    Other(Filter),
    /// None any more.
    None,
}

impl Meter {
    /// Sizes of the kernel's tables, and how full they were in the last closed interval.
    #[must_use]
    pub const fn tables(&self) -> (Capacity, Fill) {
        (self.capacity, self.fill)
    }

    /// Names of the interfaces that are counted on, in the order of their indices.
    #[must_use]
    pub fn interfaces(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort();
        names.into_iter().map(|(_, name)| name.as_str()).collect()
    }

    /// The same as the host knows them, with their addresses.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub async fn described(&self) -> anyhow::Result<Vec<(Interface, Vec<IpAddr>)>> {
        let addresses = self.netlink.addresses().await?;
        let mut interfaces = self.netlink.interfaces().await?;
        interfaces.retain(|interface| self.names.contains_key(&interface.index));
        let of =
            |index| addresses.iter().filter(move |own| own.index == index).map(|own| own.address).collect();
        Ok(interfaces.into_iter().map(|interface| (interface.clone(), of(interface.index))).collect())
    }

    /// Broadcast addresses of the networks that the host is in.
    #[must_use]
    pub const fn broadcasts(&self) -> &HashSet<Ipv4Addr> {
        &self.broadcasts
    }

    /// The loopback interfaces among those that are counted on.
    ///
    /// # Errors
    /// After a failed drain.
    pub fn loopbacks(&mut self) -> anyhow::Result<HashSet<InterfaceId>> {
        Ok(self.books()?.ledger.loopbacks())
    }

    /// When counting began.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Waits for the end of the interval, or for a change of the host's interfaces. May be dropped while it waits; nothing is lost. What
    /// it returns must be handed to [`is_tick`](Self::is_tick), which must not be dropped half way.
    pub async fn wait(&mut self) -> Happened {
        tokio::select! {
            biased;
            _ = self.ticks.tick() => Happened(None),
            change = self.netlink.change() => Happened(Some(change)),
        }
    }

    /// Whether the interval is over, and is to be closed now. Else it was a change of the interfaces, which has been followed.
    ///
    /// # Errors
    /// When the kernel refuses to be asked about an interface; counting goes on.
    pub async fn is_tick(&mut self, happened: Happened) -> anyhow::Result<bool> {
        if let Some(change) = happened.0 {
            return self.follow(change).await.map(|()| false);
        }
        if self.aligned {
            // The wall clock may have been set, or is slewed.
            self.ticks.reset_after(until_aligned(SystemTime::now(), self.ticks.period()));
        }
        Ok(true)
    }

    /// Closes the open interval: everything counted up to now is in the ledger afterwards. With `compare` the interfaces' own counters
    /// are read where it ends. Must not be dropped half way.
    ///
    /// # Errors
    /// When the kernel refuses to be read.
    pub async fn close(&mut self, compare: bool) -> anyhow::Result<()> {
        self.follow_links().await?;
        let (retired, end) = self.flip()?;
        if compare {
            self.read_counters().await?;
        }
        self.drain(retired, record, Some(self.look_now())).await?;
        self.tell(Event::Close { end, is_last: false })?;
        match std::mem::take(&mut self.next_filter) {
            NextFilter::Same => Ok(()),
            NextFilter::Other(filter) => self.tell(Event::Filter(Some(Box::new(filter)))),
            NextFilter::None => self.tell(Event::Filter(None)),
        }
    }

    /// Ends the open interval: what is counted from here on is the next one's. The result says how long it is since counting began.
    fn flip(&mut self) -> anyhow::Result<(Retired, Duration)> {
        let retired = self.books()?.kernel.flip();
        let end = self.started.elapsed();
        // Not where it is handed on: to drain and to ask for owners takes time, which is not the interval's.
        self.ended = Clocks::now();
        Ok((retired, end))
    }

    /// Reads the interfaces' own counters.
    async fn read_counters(&mut self) -> anyhow::Result<()> {
        for Interface { index, counters, .. } in self.netlink.interfaces().await? {
            if self.names.contains_key(&index) {
                self.tell(Event::Counters { index, counters })?;
            }
        }
        Ok(())
    }

    /// Closes the last interval, reads the interfaces' own counters at the same moment, and detaches everything.
    ///
    /// # Errors
    /// When the kernel refuses to be read.
    pub async fn finish(mut self) -> anyhow::Result<Snapshot> {
        self.close_last().await?;
        self.snapshot()
    }

    async fn close_last(&mut self) -> anyhow::Result<()> {
        self.follow_links().await?;
        let (retired, end) = self.flip()?;
        let interfaces = self.netlink.interfaces().await?;
        let indices: Vec<_> = self.books()?.kernel.attached().collect();
        for index in indices {
            self.let_go(index).await?;
            if let Some(Interface { counters, .. }) =
                interfaces.iter().find(|interface| interface.index == index)
            {
                self.tell(Event::Counters { index, counters: *counters })?;
            }
        }
        let look = self.looking.then_some(Look::Final);
        self.drain(retired, record, look).await?;
        self.tell(Event::Close { end, is_last: true })
    }

    /// Takes the programs off an interface, and removes the qdisc that was made for them.
    async fn let_go(&mut self, index: u32) -> anyhow::Result<()> {
        let made_qdisc = self.books()?.kernel.release(index);
        if made_qdisc {
            clsact::remove_qdisc_if_empty(&self.netlink, index).await.context("removing the clsact qdisc")?;
        }
        Ok(())
    }

    /// Every interface of the host.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub async fn host_interfaces(&self) -> anyhow::Result<Vec<Interface>> {
        Ok(self.netlink.interfaces().await?)
    }

    /// The books, as they stood when the last interval was closed.
    ///
    /// # Errors
    /// After a failed drain.
    pub fn ledger(&mut self) -> anyhow::Result<&mut Ledger> {
        Ok(&mut self.books()?.ledger)
    }

    /// Everything as it stood when the last interval was closed.
    ///
    /// # Errors
    /// After a failed drain.
    pub fn snapshot(&mut self) -> anyhow::Result<Snapshot> {
        let owners_degraded = self.owners_degraded()?;
        Ok(Snapshot { owners_degraded, ..self.books()?.ledger.snapshot() })
    }

    /// Tells the ledger what happened.
    fn tell(&mut self, event: Event) -> anyhow::Result<()> {
        self.books()?.apply(event);
        Ok(())
    }

    /// Counts only what matches, from the next interval on: each interval has one filter.
    ///
    /// # Errors
    /// When the kernel refuses the filter: then the old one stays. After a failed drain.
    pub fn set_filter(&mut self, filter: Option<Filter>) -> anyhow::Result<()> {
        let judge = filter.as_ref().and_then(Filter::frame_judge).cloned();
        self.books()?.kernel.set_filter(judge)?;
        self.next_filter = filter.map_or(NextFilter::None, NextFilter::Other);
        Ok(())
    }

    fn books(&mut self) -> anyhow::Result<&mut Books> {
        self.books.as_deref_mut().context("the ledger was lost in an interrupted drain")
    }

    /// Drains, and asks for owners.
    async fn drain(
        &mut self,
        retired: Retired,
        into: fn(&mut Told<'_>, Drained<'_>),
        look: Option<Look>,
    ) -> anyhow::Result<()> {
        let drained = self.on_books(move |books| {
            let Books { kernel, ledger, recorder, .. } = &mut *books;
            let mut told = Told { ledger, recorder: recorder.as_mut() };
            let fill = kernel.drain(&retired, |drained| into(&mut told, drained))?;
            if let Some(look) = look {
                books.ask(look);
            }
            Ok::<_, KernelError>(fill)
        });
        self.fill = drained.await??;
        Ok(())
    }

    /// Does something on a thread that may wait; the books go along and come back.
    async fn on_books<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Books) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let mut books = self.books.take().context("the ledger was lost in an interrupted drain")?;
        let (books, result) = spawn_blocking(move || {
            let result = act(&mut books);
            (books, result)
        })
        .await
        .context("draining the kernel's tables")?;
        self.books = Some(books);
        Ok(result)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the type of what a drain feeds")]
fn record(told: &mut Told<'_>, drained: Drained<'_>) {
    match drained {
        Drained::Flow(key, count, socket) => told.apply_made(|| Event::Record { key: *key, count, socket }),
        Drained::Health(key, health) => told.apply_made(|| Event::Health { key, health: *health }),
    }
}

/// How long it is to the next multiple of `tick` on the wall clock, or to the one after it where that is less than half a tick away: timers
/// fire a little early or late, and nobody wants an interval of a few milliseconds.
fn until_aligned(wall: SystemTime, tick: Duration) -> Duration {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let tick_ns = tick.as_nanos().max(1);
    let rest = tick_ns - since.as_nanos() % tick_ns;
    let rest = if rest * 2 < tick_ns { rest + tick_ns } else { rest };
    Duration::from_nanos(u64::try_from(rest).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_come_at_multiples_of_their_length() {
        const SECOND: Duration = Duration::from_secs(1);
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let until = |millis, tick| until_aligned(at(millis), tick).as_millis();
        assert_eq!(until(10_000, SECOND), 1000);
        assert_eq!(until(10_200, SECOND), 800);
        assert_eq!(until(10_499, SECOND), 501);
        assert_eq!(until(10_600, SECOND), 1400, "400 ms are no interval");
        assert_eq!(until(9_999, SECOND), 1001, "a timer that fired early");
        assert_eq!(until(130, Duration::from_millis(50)), 70);
        assert_eq!(until_aligned(at(0) - SECOND, SECOND), SECOND, "a clock before the epoch");
    }
}
