//! The kernel side: loading, attaching, flipping, draining, detaching. The only user of aya and the only place with
//! `unsafe`.

mod attach;
mod banks;
mod btf;
mod capacity;
mod cgroup;
mod error;
mod filter_program;
mod filters;
mod hooked;
mod kcmp;
mod loader;
mod mapped;
mod object;
mod owners;
mod pcap;
mod privileges;
pub mod process;
mod shared;
mod sys;
pub mod walk;

use std::{
    collections::HashMap,
    io::{self, Write as _},
    sync::Arc,
};

use aya::{
    Ebpf,
    programs::{SchedClassifier, Xdp},
};
use aya_log::EbpfLogger;
use flowtally_common::{Direction, settings::Layer};

use attach::Attachment;
pub use attach::{AttachTarget, Hook, Served};
pub use banks::{Drained, Fill, Retired};
pub use capacity::{Capacity, TableMemory};
pub use error::KernelError;
pub use filter_program::FilterProgram;
pub use hooked::{HookedProgram, has_iterators, has_type_information, program_name, tcx_programs};
pub use kcmp::{Resource, kcmp};
pub use owners::{NoteLookup, OwnerNotes, Unnoted};
pub use pcap::{CompileError, Libpcap, NoLibpcap};
pub use privileges::in_user_namespace;

use crate::{model::hook::HookChoice, translate::FrameJudge};
use banks::Banks;
use filters::Filters;
use process::Undisturbed;

/// The loaded programs and their tables. Dropping it detaches everything.
pub struct Kernel {
    // Dropped first: after that no program runs.
    attached: HashMap<u32, Attachment>,
    /// Interfaces that are gone, but may have counts in the open epoch.
    leaving: Vec<u32>,
    banks: Banks,
    filters: Filters,
    owners: Arc<OwnerNotes>,
    logger: Option<EbpfLogger<KernelLog>>,
    ebpf: Ebpf,
}

impl Kernel {
    /// Loads the kernel object with tables of the given capacity. `verbose` lets the programs log what is rare. From now on
    /// owners of sockets are noted, if the capacity has room for notes; interfaces are attached one by one.
    ///
    /// # Errors
    /// When rights, BPF support or memory are missing; the text says what to do.
    pub fn load(capacity: Capacity, verbose: bool) -> Result<Self, KernelError> {
        let _undisturbed = Undisturbed::begin();
        let cpus = possible_cpus()?;
        let count = u32::try_from(cpus)
            .map_err(|error| KernelError::explain("counting the CPUs", &io::Error::other(error)))?;
        let (mut ebpf, unnoted) = object::load(capacity, count, verbose)?;
        let owners = OwnerNotes::open(&mut ebpf, capacity.notes > 0, unnoted)?;
        let filters = Filters::open(&ebpf)?;
        let banks = Banks::open(&mut ebpf, capacity, cpus)?;
        let logger = if verbose {
            let logger = EbpfLogger::init_with_logger(&mut ebpf, KernelLog)
                .map_err(|error| KernelError::explain("opening the programs' log", &error))?;
            Some(logger)
        } else {
            None
        };
        Ok(Self { attached: HashMap::new(), leaving: Vec::new(), banks, filters, owners, logger, ebpf })
    }

    /// Loads what [`attach`](Self::attach) will need on these interfaces. What is refused now is refused again then, and told.
    pub fn prepare(&mut self, targets: &[AttachTarget], choice: HookChoice) {
        attach::prepare(&mut self.ebpf, &mut self.filters, targets, choice);
    }

    /// Counts only what a filter matches, from the next epoch on; from the first on where nothing is attached yet. What does not match
    /// is kept beside the flows ([`Health::filtered`](flowtally_common::Health::filtered)).
    ///
    /// # Errors
    /// When the kernel refuses the filter; the old one stays in force.
    pub fn set_filter(&mut self, judge: Option<Arc<FrameJudge>>) -> Result<(), KernelError> {
        let _undisturbed = Undisturbed::begin();
        if self.attached.is_empty() {
            self.filters.begin(judge);
            return Ok(());
        }
        if judge.is_none() && !self.filters.is_entered {
            return Ok(());
        }
        let mut places = Vec::new();
        for place in self.attached.values().flat_map(Attachment::places) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let judged = |place| Ok((place, attach::descriptor_of_judged(&mut self.ebpf, place)?));
        let places = places.into_iter().map(judged).collect::<Result<Vec<_>, KernelError>>()?;
        self.filters.replace(judge, self.banks.epoch(), &places)?;
        if !self.filters.is_entered {
            self.filters.is_entered = true;
            self.exchange()?;
        }
        Ok(())
    }

    /// Puts the programs on all hooks that are to be there now, with or without a filter, in the place of those that are.
    fn exchange(&mut self) -> Result<(), KernelError> {
        let Self { attached, ebpf, filters, .. } = self;
        attached.values_mut().try_for_each(|attachment| attachment.exchange(ebpf, filters.is_entered))
    }

    /// Puts the programs on an interface, both directions or none. `mark` identifies this process's clsact filters.
    ///
    /// # Errors
    /// When no hook that `choice` allows can be had.
    pub fn attach(
        &mut self,
        target: &AttachTarget,
        choice: HookChoice,
        mark: u32,
    ) -> Result<Served, KernelError> {
        self.release(target.index);
        self.banks.add_interface(target.index)?;
        let attachment = attach::attach(&mut self.ebpf, &mut self.filters, target, choice, mark)
            .inspect_err(|_| self.banks.remove_interface(target.index))?;
        let served = attachment.served();
        self.attached.insert(target.index, attachment);
        Ok(served)
    }

    /// Takes the programs off an interface; what they counted is in the next drain. Says whether a clsact qdisc was made
    /// for them.
    pub fn release(&mut self, ifindex: u32) -> bool {
        let Some(attachment) = self.attached.remove(&ifindex) else { return false };
        self.leaving.push(ifindex);
        attachment.made_qdisc()
    }

    /// The TC program for a direction and a link layer, attached or not, as a handle of its own: to be run on frames
    /// that no interface carries (`BPF_PROG_TEST_RUN`). What it counts is drained as all else is.
    ///
    /// # Errors
    /// When the kernel refuses the program.
    pub fn tc_program(&mut self, direction: Direction, layer: Layer) -> Result<SchedClassifier, KernelError> {
        attach::tc_handle(&mut self.ebpf, direction, layer, false)
    }

    /// The XDP program for a link layer, as [`tc_program`](Self::tc_program); borrowed, as aya gives out no second
    /// handle of an XDP program.
    ///
    /// # Errors
    /// When the kernel refuses the program.
    pub fn xdp_program(&mut self, layer: Layer) -> Result<&Xdp, KernelError> {
        attach::xdp(&mut self.ebpf, layer, false).map(|program| &*program)
    }

    /// What is attached in the place of [`tc_program`](Self::tc_program) where there is a filter: it calls the filter.
    ///
    /// # Errors
    /// When the kernel refuses the program.
    pub fn tc_entry(&mut self, direction: Direction, layer: Layer) -> Result<SchedClassifier, KernelError> {
        attach::tc_handle(&mut self.ebpf, direction, layer, true)
    }

    /// The same for XDP, as [`xdp_program`](Self::xdp_program).
    ///
    /// # Errors
    /// When the kernel refuses the program.
    pub fn xdp_entry(&mut self, layer: Layer) -> Result<&Xdp, KernelError> {
        attach::xdp(&mut self.ebpf, layer, true).map(|program| &*program)
    }

    /// The kernel's notes on who owns which socket; to be cloned by who reads them while this is borrowed.
    #[must_use]
    pub fn owner_notes(&self) -> &Arc<OwnerNotes> {
        &self.owners
    }

    /// Indices of the interfaces that the programs are on.
    pub fn attached(&self) -> impl Iterator<Item = u32> {
        self.attached.keys().copied()
    }

    /// Starts a new epoch. The retired one must be drained before the next flip.
    pub fn flip(&mut self) -> Retired {
        self.banks.flip()
    }

    /// Waits until no program counts in the retired epoch any more (a few to 20 milliseconds), then hands everything
    /// that was counted in it to `sink`. A flow may come in several parts. The result is how full the tables were.
    ///
    /// # Errors
    /// When the kernel refuses to read a table.
    pub fn drain(
        &mut self,
        retired: &Retired,
        mut sink: impl FnMut(Drained<'_>),
    ) -> Result<Fill, KernelError> {
        let interfaces = self.attached.keys().chain(&self.leaving).copied();
        let fill = self.banks.drain(retired, interfaces, &mut sink)?;
        for ifindex in self.leaving.drain(..) {
            if !self.attached.contains_key(&ifindex) {
                self.banks.remove_interface(ifindex);
            }
        }
        if self.filters.settle() {
            self.filters.is_entered = false;
            self.exchange()?;
            self.filters.leave();
        }
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        Ok(fill)
    }
}

/// CPUs that this machine could have (`/sys/devices/system/cpu/possible`): per-CPU tables are made for all of them.
///
/// # Errors
/// When /sys cannot be read.
pub fn possible_cpus() -> Result<usize, KernelError> {
    aya::util::nr_cpus().map_err(|(_, error)| KernelError::explain("counting the CPUs", &error))
}

/// Prints what the programs log to standard error.
#[derive(Clone, Copy, Debug)]
struct KernelLog;

impl log::Log for KernelLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // Standard error may be closed, and that is no reason to stop counting.
        drop(writeln!(io::stderr(), "flowtally: kernel: {}", record.args()));
    }

    fn flush(&self) {}
}
