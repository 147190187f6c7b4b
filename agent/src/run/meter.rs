//! Kernel, ledger and interfaces tied together: what every command that measures runs on.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use flowtally_common::{Count, SocketHint};
use tokio::{
    task::spawn_blocking,
    time::{Interval, MissedTickBehavior},
};

use super::shutdown::Shutdown;
use crate::{
    flow::{
        ledger::{Attached, Ledger, Terms},
        row::InterfaceId,
        snapshot::Snapshot,
    },
    host::{
        clsact::{self, Mark},
        interfaces::{Change, Interface, Netlink, Selection},
        owners::{Look, Owners},
    },
    kernel::{self, Capacity, Drained, HookChoice, Kernel, Retired, Target},
};

/// What to measure, and how.
#[derive(Clone, Debug)]
pub(super) struct Plan {
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
    /// What the ledger is made for.
    pub terms: Terms,
}

/// Most owners that are asked for at once, unless it is for the last time: closing an interval must not take long.
const ASKED: usize = 1 << 16;
/// Intervals after which all owners are asked for again while somebody looks: sockets are handed on.
const AGAIN: u64 = 10;

/// Kernel, ledger and owners go together to the thread that drains, and back.
struct Books {
    kernel: Kernel,
    ledger: Ledger,
    /// What finds owners, where they are wanted at all.
    owners: Option<Owners>,
}

impl Books {
    /// Asks for the owners of rows.
    fn ask(&mut self, look: Look) {
        let Self { ledger, owners: Some(owners), kernel } = self else { return };
        let most = if look == Look::Final { usize::MAX } else { ASKED };
        let (asked, mut questions) = ledger.questions(most, look != Look::No);
        let notes = kernel.owner_notes();
        for (row, question) in asked.iter().zip(&mut questions) {
            let has_note = |socket: &SocketHint| notes.note(socket.cookie()).is_some();
            if ledger.rivals(*row).is_empty() || has_note(&question.socket) {
                continue;
            }
            let socket = ledger.rivals(*row).iter().rev().copied().find(has_note);
            if let Some(socket) = socket {
                question.socket = socket;
                ledger.choose(*row, socket);
            }
        }
        let answers = owners.answer(&questions, &mut |cookie| notes.note(cookie), look, Instant::now());
        for (row, answer) in asked.into_iter().zip(answers) {
            if let Some(attribution) = answer {
                ledger.attribute(row, &attribution);
            }
        }
    }
}

/// A measurement under way.
pub(super) struct Meter {
    books: Option<Box<Books>>,
    netlink: Netlink,
    selection: Selection,
    hook: HookChoice,
    mark: Mark,
    /// Names of the interfaces that are or were attached, by index.
    names: HashMap<u32, String>,
    /// Broadcast addresses of the networks that the host is in.
    broadcasts: HashSet<Ipv4Addr>,
    started: Instant,
    ticks: Interval,
    /// Whether somebody looks at owners.
    looking: bool,
}

impl Meter {
    /// Loads, attaches, and starts to count: everything that crosses an interface after this returned is counted.
    ///
    /// # Errors
    /// When an interface does not exist, or the kernel side cannot be had; the text says what to do.
    pub(super) async fn start(plan: Plan) -> anyhow::Result<Self> {
        let selection = Selection::parse(&plan.interfaces)?;
        let netlink = Netlink::open()?;
        let interfaces = netlink.interfaces().await?;
        let selection = selection.resolve(&interfaces, &netlink.default_routes().await?)?;
        let fitting = Capacity::for_host(kernel::possible_cpus()?, memory());
        let capacity = Capacity {
            slots: plan.slots.unwrap_or(fitting.slots),
            flows: plan.max_flows.unwrap_or(fitting.flows),
            notes: if plan.owners { fitting.notes } else { 0 },
        };
        let kernel = Kernel::load(capacity, plan.verbose)?;
        let owners = plan.owners.then(|| find_owners(&kernel));
        let mark = Mark::take().context("taking a name for this process's clsact filters")?;
        let tick = plan.terms.tick;
        let mut meter = Self {
            books: Some(Box::new(Books { kernel, ledger: Ledger::new(plan.terms), owners })),
            netlink,
            selection,
            hook: plan.hook,
            mark,
            names: HashMap::new(),
            broadcasts: HashSet::new(),
            started: Instant::now(),
            ticks: tokio::time::interval(tick),
            looking: false,
        };
        meter.read_addresses().await?;
        for interface in &interfaces {
            // Best effort where nothing will be counted; where it will, attaching tries again and says what is wrong.
            drop(clsact::remove_stale(&meter.netlink, interface.index).await);
        }
        let mut attached = Vec::new();
        for interface in &interfaces {
            if !meter.selection.contains(&interface.name) {
                continue;
            }
            attached.push(meter.hook_up(interface, true).await?);
        }
        // What came in while hooks were still being attached is not part of the measurement: the first epoch is dropped,
        // and the interfaces' own counters are read where the second begins.
        let retired = meter.books()?.kernel.flip();
        meter.started = Instant::now();
        let counters = meter.netlink.interfaces().await?;
        meter.drain(retired, |_, _| (), None).await?;
        for mut interface in attached {
            if let Some(now) = counters.iter().find(|now| now.index == interface.index) {
                interface.counters = now.counters;
            }
            meter.books()?.ledger.attach(interface);
        }
        meter.ticks = tokio::time::interval_at((meter.started + tick).into(), tick);
        meter.ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(meter)
    }

    /// Names of the interfaces that are counted on, in the order of their indices.
    #[must_use]
    pub(super) fn interfaces(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort();
        names.into_iter().map(|(_, name)| name.as_str()).collect()
    }

    /// The same as the host knows them, with their addresses.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub(super) async fn described(&self) -> anyhow::Result<Vec<(Interface, Vec<IpAddr>)>> {
        let addresses = self.netlink.addresses().await?;
        let mut interfaces = self.netlink.interfaces().await?;
        interfaces.retain(|interface| self.names.contains_key(&interface.index));
        let of =
            |index| addresses.iter().filter(move |own| own.index == index).map(|own| own.address).collect();
        Ok(interfaces.into_iter().map(|interface| (interface.clone(), of(interface.index))).collect())
    }

    /// Broadcast addresses of the networks that the host is in.
    pub(super) const fn broadcasts(&self) -> &HashSet<Ipv4Addr> {
        &self.broadcasts
    }

    /// The loopback interfaces among those that are counted on.
    ///
    /// # Errors
    /// After a failed drain.
    pub(super) fn loopbacks(&mut self) -> anyhow::Result<HashSet<InterfaceId>> {
        Ok(self.books()?.ledger.loopbacks())
    }

    /// When counting began.
    #[must_use]
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Follows the host's interfaces until the next interval is over, and closes it.
    ///
    /// May be dropped while it waits; nothing is lost.
    ///
    /// # Errors
    /// When the kernel refuses to be read.
    pub(super) async fn tick(&mut self) -> anyhow::Result<()> {
        loop {
            let change = tokio::select! {
                biased;
                _ = self.ticks.tick() => None,
                change = self.netlink.change() => Some(change),
            };
            match change {
                None => return Ok(()),
                Some(change) => self.follow(change).await?,
            }
        }
    }

    /// Closes the open interval: everything counted up to now is in the ledger afterwards. Must not be dropped half way.
    ///
    /// # Errors
    /// When the kernel refuses to be read.
    pub(super) async fn close(&mut self) -> anyhow::Result<()> {
        let retired = self.books()?.kernel.flip();
        let now = self.started.elapsed();
        self.drain(retired, record, Some(self.look_now())).await?;
        self.books()?.ledger.close(now);
        Ok(())
    }

    /// Counts for so long from when counting began, or until the user ends it; from then on a signal ends the process at once. `each`
    /// comes after each interval that is closed.
    ///
    /// # Errors
    /// When the kernel refuses to be read, and those of `each`.
    pub(super) async fn run_for(
        &mut self,
        length: Duration,
        mut shutdown: Shutdown,
        mut each: impl FnMut(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let end = tokio::time::sleep_until((self.started() + length).into());
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                () = &mut end => break,
                tick = self.tick() => tick?,
            }
            self.close().await?;
            each(self)?;
        }
        shutdown.next_is_final();
        Ok(())
    }

    /// Closes the last interval, reads the interfaces' own counters at the same moment, and detaches everything.
    ///
    /// # Errors
    /// When the kernel refuses to be read.
    pub(super) async fn finish(mut self) -> anyhow::Result<Snapshot> {
        let retired = self.books()?.kernel.flip();
        let now = self.started.elapsed();
        let interfaces = self.netlink.interfaces().await?;
        let indices: Vec<_> = self.books()?.kernel.attached().collect();
        for index in indices {
            let made_qdisc = self.books()?.kernel.release(index);
            if made_qdisc {
                clsact::remove_qdisc_if_empty(&self.netlink, index)
                    .await
                    .context("removing the clsact qdisc")?;
            }
            if let Some(interface) = interfaces.iter().find(|interface| interface.index == index) {
                self.books()?.ledger.read_counters(index, interface.counters);
            }
        }
        let look = self.looking.then_some(Look::Final);
        self.drain(retired, record, look).await?;
        self.books()?.ledger.close(now);
        self.snapshot()
    }

    /// Closes the open interval as [`close`](Self::close) does, and reads the interfaces' own counters where it ends.
    ///
    /// # Errors
    /// When the kernel refuses to be read.
    pub(super) async fn close_and_compare(&mut self) -> anyhow::Result<()> {
        let retired = self.books()?.kernel.flip();
        let now = self.started.elapsed();
        for interface in self.netlink.interfaces().await? {
            if self.names.contains_key(&interface.index) {
                self.books()?.ledger.read_counters(interface.index, interface.counters);
            }
        }
        self.drain(retired, record, Some(self.look_now())).await?;
        self.books()?.ledger.close(now);
        Ok(())
    }

    /// Every interface of the host.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub(super) async fn host_interfaces(&self) -> anyhow::Result<Vec<Interface>> {
        Ok(self.netlink.interfaces().await?)
    }

    /// Counts on one more interface from now on.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be counted on.
    pub(super) async fn add(&mut self, name: &str) -> anyhow::Result<()> {
        let interfaces = self.netlink.interfaces().await?;
        let interface = interfaces
            .into_iter()
            .find(|interface| interface.name == name)
            .with_context(|| format!("no interface is called '{name}'"))?;
        if self.names.contains_key(&interface.index) {
            return Ok(());
        }
        let before = self.selection.clone();
        self.selection.add(name);
        match self.hook_up(&interface, true).await {
            Ok(attached) => {
                self.books()?.ledger.attach(attached);
                Ok(())
            }
            Err(error) => {
                self.selection = before;
                Err(error)
            }
        }
    }

    /// The books, as they stood when the last interval was closed.
    ///
    /// # Errors
    /// After a failed drain.
    pub(super) fn ledger(&mut self) -> anyhow::Result<&mut Ledger> {
        Ok(&mut self.books()?.ledger)
    }

    /// Everything as it stood when the last interval was closed.
    ///
    /// # Errors
    /// After a failed drain.
    pub(super) fn snapshot(&mut self) -> anyhow::Result<Snapshot> {
        let owners_degraded = self.owners_degraded()?;
        Ok(Snapshot { owners_degraded, ..self.books()?.ledger.snapshot() })
    }

    /// Somebody begins or ceases to look at owners. Who begins has them at once, as far as they can be found.
    ///
    /// # Errors
    /// After a failed drain.
    pub(super) async fn look(&mut self, looking: bool) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.looking, looking) || !looking {
            return Ok(());
        }
        self.on_books(|books| {
            // What was found from notes alone is found better now.
            books.ledger.ask_again();
            books.ask(Look::Yes);
        })
        .await
    }

    /// Whether somebody looks at owners.
    pub(super) const fn looks(&self) -> bool {
        self.looking
    }

    /// Why less than all owners can be found, a sentence each.
    ///
    /// # Errors
    /// After a failed drain.
    pub(super) fn owners_degraded(&mut self) -> anyhow::Result<Vec<String>> {
        let Books { kernel, owners: Some(owners), .. } = self.books()? else { return Ok(Vec::new()) };
        let mut degraded: Vec<_> = kernel.owner_notes().unnoted().iter().map(ToString::to_string).collect();
        degraded.extend(owners.degraded());
        Ok(degraded)
    }

    const fn look_now(&self) -> Look {
        if self.looking { Look::Yes } else { Look::No }
    }

    /// Everything counted so far, both directions.
    ///
    /// # Errors
    /// After a failed drain.
    pub(super) fn total(&mut self) -> anyhow::Result<Count> {
        let total = self.books()?.ledger.total();
        Ok(Count { bytes: total.bytes(), packets: total.packets() })
    }

    fn books(&mut self) -> anyhow::Result<&mut Books> {
        self.books.as_deref_mut().context("the ledger was lost in an interrupted drain")
    }

    /// Drains, and asks for owners.
    async fn drain(
        &mut self,
        retired: Retired,
        into: fn(&mut Ledger, Drained<'_>),
        look: Option<Look>,
    ) -> anyhow::Result<()> {
        let drained = self.on_books(move |books| {
            let Books { kernel, ledger, .. } = &mut *books;
            kernel.drain(&retired, |drained| into(ledger, drained))?;
            if let Some(look) = look {
                if look == Look::Yes && ledger.closed() % AGAIN == AGAIN - 1 {
                    ledger.ask_again();
                }
                books.ask(look);
            }
            Ok(())
        });
        drained.await?
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

    async fn follow(&mut self, change: Change) -> anyhow::Result<()> {
        match change {
            Change::Link(interface) => self.appear(&interface).await,
            Change::Gone(interface) => {
                let books = self.books()?;
                books.ledger.read_counters(interface.index, interface.counters);
                books.ledger.detach(interface.index);
                books.kernel.release(interface.index);
                self.names.remove(&interface.index);
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
                self.books()?.ledger.rename(interface.index, &interface.name);
            }
            None if self.selection.contains(&interface.name) => {
                let mut attached = self.hook_up(interface, false).await?;
                if let Some(now) =
                    self.netlink.interfaces().await?.into_iter().find(|now| now.index == interface.index)
                {
                    attached.counters = now.counters;
                }
                self.books()?.ledger.attach(attached);
            }
            None => {}
        }
        Ok(())
    }

    /// Attaches to an interface. One that was asked for by name must work when `starting`; any other, and one that comes
    /// later, is shown with the reason.
    async fn hook_up(&mut self, interface: &Interface, starting: bool) -> anyhow::Result<Attached> {
        let target = Target {
            index: interface.index,
            name: interface.name.clone(),
            layer: interface.layer,
            loopback: interface.loopback,
        };
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
                return Err(error).with_context(|| format!("counting on {}", interface.name));
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

    async fn read_addresses(&mut self) -> anyhow::Result<()> {
        let addresses = self.netlink.addresses().await?;
        self.broadcasts = addresses.iter().filter_map(|address| address.broadcast).collect();
        let broadcasts = self.broadcasts.clone();
        self.books()?
            .ledger
            .orientation_mut()
            .set_addresses(addresses.iter().map(|address| address.address), broadcasts);
        Ok(())
    }
}

/// What finds owners, and names what the kernel notes.
fn find_owners(kernel: &Kernel) -> Owners {
    let mut owners = Owners::new();
    if let Some(Ok(root)) = kernel.owner_notes().cgroup().map(File::try_clone) {
        owners.set_cgroup(root.into());
    }
    owners
}

/// The host's memory, in bytes.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

#[expect(clippy::needless_pass_by_value, reason = "the type of what a drain feeds")]
fn record(ledger: &mut Ledger, drained: Drained<'_>) {
    match drained {
        Drained::Flow(key, count, hint) => ledger.record(key, count, hint),
        Drained::Health(key, health) => ledger.record_health(key, health),
    }
}
