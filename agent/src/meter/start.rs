//! A measurement's start, and what becomes of one that is given up.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    time::{Instant, SystemTime},
};

use anyhow::Context as _;
use tokio::{task::spawn_blocking, time::MissedTickBehavior};

use super::{Books, Clocks, Meter, NextFilter, Plan, follow::target, selection::resolve, until_aligned};
use crate::{
    filter::Filter,
    flow::{event::Event, ledger::Ledger},
    host::{
        clsact::{self, ClsactMark},
        interfaces::{Interface, Netlink, Selection},
        owners::Owners,
        shutdown::Shutdown,
    },
    kernel::{self, Capacity, Fill, Kernel, KernelError},
};

impl Meter {
    /// Loads, attaches, and starts to count: everything that crosses an interface after this returned is counted.
    ///
    /// # Errors
    /// When an interface does not exist, or the kernel side cannot be had; the text says what to do. And when a request to stop
    /// comes meanwhile.
    pub async fn start(plan: Plan, shutdown: &mut Shutdown) -> anyhow::Result<Self> {
        // A tenth of a second, in which nothing is made that would outlive the process.
        let (mut meter, interfaces) = shutdown.unless_requested(Self::load(plan)).await??;
        match meter.begin(&interfaces, shutdown).await {
            Ok(()) => Ok(meter),
            Err(error) => {
                meter.abandon().await;
                Err(error)
            }
        }
    }

    /// Everything but attaching; returns the host's interfaces too. May be dropped while it waits, and the process may end.
    async fn load(plan: Plan) -> anyhow::Result<(Self, Vec<Interface>)> {
        let selection = Selection::parse(&plan.interfaces);
        let netlink = Netlink::open()?;
        let interfaces = netlink.interfaces().await?;
        let selection = resolve(selection, &interfaces, &netlink.default_routes().await?, plan.loopbacks)?;
        let fitting = Capacity::for_host(kernel::possible_cpus()?, memory());
        let capacity = Capacity {
            slots: plan.slots.unwrap_or(fitting.slots),
            flows: plan.max_flows.unwrap_or(fitting.flows),
            notes: if plan.owners { fitting.notes } else { 0 },
        };
        let chosen = interfaces.iter().filter(|interface| selection.contains(&interface.name));
        let targets: Vec<_> = chosen.map(target).collect();
        let judge = plan.terms.filter.as_ref().and_then(Filter::frame_judge).cloned();
        let kernel = spawn_blocking(move || {
            let mut kernel = Kernel::load(capacity, plan.verbose)?;
            kernel.set_filter(judge)?;
            kernel.prepare(&targets, plan.hook);
            Ok::<_, KernelError>(kernel)
        });
        let kernel = kernel.await.context("loading the kernel programs")??;
        let owners = plan.owners.then(|| find_owners(&kernel));
        let mark = ClsactMark::take().context("taking a name for this process's clsact filters")?;
        let tick = plan.terms.tick;
        let meter = Self {
            books: Some(Box::new(Books { kernel, ledger: Ledger::new(plan.terms), owners, recorder: None })),
            netlink,
            selection,
            hook: plan.hook,
            mark,
            names: HashMap::new(),
            broadcasts: HashSet::new(),
            started: Instant::now(),
            ended: Clocks::now(),
            ticks: tokio::time::interval(tick),
            aligned: plan.aligned,
            capacity,
            fill: Fill::default(),
            looking: false,
            links_changed: false,
            next_filter: NextFilter::Same,
        };
        Ok((meter, interfaces))
    }

    /// Attaches, and starts to count.
    async fn begin(&mut self, interfaces: &[Interface], shutdown: &mut Shutdown) -> anyhow::Result<()> {
        self.read_addresses().await?;
        for interface in interfaces {
            shutdown.check().await?;
            // Best effort where nothing will be counted; where it will, attaching tries again and says what is wrong.
            drop(clsact::remove_stale(&self.netlink, interface.index).await);
        }
        let mut attached = Vec::new();
        for interface in interfaces {
            if !self.selection.contains(&interface.name) {
                continue;
            }
            shutdown.check().await?;
            attached.push(self.hook_up(interface, true).await?);
        }
        // What came in while hooks were still being attached is not part of the measurement: the first epoch is dropped,
        // and the interfaces' own counters are read where the second begins.
        let retired = self.books()?.kernel.flip();
        (self.started, self.ended) = (Instant::now(), Clocks::now());
        let counters = self.netlink.interfaces().await?;
        self.drain(retired, |_, _| (), None).await?;
        shutdown.check().await?;
        for mut interface in attached {
            if let Some(now) = counters.iter().find(|now| now.index == interface.index) {
                interface.counters = now.counters;
            }
            self.tell(Event::Attach(Box::new(interface)))?;
        }
        self.read_links(&counters).await?;
        let tick = self.ticks.period();
        self.ticks = tokio::time::interval_at((self.started + tick).into(), tick);
        if self.aligned {
            self.ticks.reset_after(until_aligned(SystemTime::now(), tick));
        }
        self.ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(())
    }

    /// Detaches everything without a last look at it.
    pub async fn abandon(mut self) {
        let Ok(books) = self.books() else { return };
        let indices: Vec<_> = books.kernel.attached().collect();
        let made: Vec<_> = indices.into_iter().filter(|index| books.kernel.release(*index)).collect();
        for index in made {
            // An empty qdisc does nothing, and who abandons a measurement has something else to say.
            drop(clsact::remove_qdisc_if_empty(&self.netlink, index).await);
        }
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
#[must_use]
pub fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}
