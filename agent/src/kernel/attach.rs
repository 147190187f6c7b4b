//! Putting the programs on an interface's hooks, and taking them off.

use std::{
    collections::HashSet,
    fmt, io,
    os::fd::{AsFd as _, AsRawFd as _},
    thread,
};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, Program, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
        xdp::XdpLink,
    },
};
use flowtally_common::{
    Direction, settings,
    settings::{Layer, MADE_QDISC},
};

use super::{
    error::KernelError,
    filters::{FilterPlace, Filters},
    process::Undisturbed,
};
use crate::{model::hook::HookChoice, translate::FilterHook};

/// Priorities tried for the clsact filter, first to run first. Another filter kind may hold one.
const PRIORITIES: std::ops::RangeInclusive<u16> = 1..=16;

/// The hook that serves one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Linux 6.6 and newer.
    Tcx,
    /// A filter at the clsact qdisc.
    Clsact,
    /// In the driver.
    XdpNative,
    /// In the stack, for drivers without XDP.
    XdpGeneric,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::XdpNative => "xdp-native",
            Self::XdpGeneric => "xdp-generic",
        })
    }
}

/// An interface to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachTarget {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What its frames start with.
    pub layer: Layer,
    /// Whether it is a loopback device: what it sends is what it receives, so only the sending side is counted.
    pub loopback: bool,
}

/// The programs on one interface. Dropping it takes them off.
pub(super) struct Attachment {
    layer: Layer,
    links: Vec<HeldLink>,
    hooks: Vec<Hook>,
    /// Why a better hook could not be had.
    degraded: Vec<String>,
    made_qdisc: bool,
}

enum HeldLink {
    Tc(SchedClassifierLink, Direction),
    Xdp(XdpLink),
}

/// How an interface is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The hooks in use, without repetition, such as `tcx` or `xdp-generic+tcx`.
    pub hook: String,
    /// Why a better hook could not be had, a sentence each.
    pub degraded: Vec<String>,
}

impl Attachment {
    /// How the interface is served.
    pub(super) fn served(&self) -> Served {
        let mut names: Vec<String> = Vec::new();
        for hook in &self.hooks {
            let name = hook.to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Served { hook: names.join("+"), degraded: self.degraded.clone() }
    }

    /// What filters stand in front of here.
    pub(super) fn places(&self) -> impl Iterator<Item = FilterPlace> {
        let layer = self.layer;
        self.links.iter().map(move |link| match link {
            HeldLink::Tc(_, direction) => FilterPlace { hook: hook_of(*direction), layer },
            HeldLink::Xdp(_) => FilterPlace { hook: FilterHook::Xdp, layer },
        })
    }

    /// Puts entries to filters in the place of what counts by itself, or the other way round. No frame is missed meanwhile. An interface that
    /// has gone is passed over.
    pub(super) fn exchange(&mut self, ebpf: &mut Ebpf, entered: bool) -> Result<(), KernelError> {
        const DOING: &str = "replacing the program at a hook";
        for link in std::mem::take(&mut self.links) {
            let exchanged = match link {
                HeldLink::Tc(link, direction) => {
                    let program = classifier(ebpf, tc_name(direction, self.layer, entered))?;
                    let link = program.attach_to_link(link).and_then(|id| program.take_link(id));
                    link.map(|link| HeldLink::Tc(link, direction))
                }
                HeldLink::Xdp(link) => {
                    let program = xdp_named(ebpf, xdp_name(self.layer, entered))?;
                    program.attach_to_link(link).and_then(|id| program.take_link(id)).map(HeldLink::Xdp)
                }
            };
            match exchanged {
                Ok(link) => self.links.push(link),
                // Its programs went with it, and it is released when that is told.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(KernelError::explain(DOING, &error)),
            }
        }
        Ok(())
    }

    /// Whether a clsact qdisc was made, which the caller removes when no filter is left in it.
    pub(super) const fn made_qdisc(&self) -> bool {
        self.made_qdisc
    }
}

/// Attaches to both directions of `target`, all or nothing. `mark` goes into a clsact filter's handle.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    filters: &mut Filters,
    target: &AttachTarget,
    choice: HookChoice,
    mark: u32,
) -> Result<Attachment, KernelError> {
    let mut attachment = Attachment {
        layer: target.layer,
        links: Vec::new(),
        hooks: Vec::new(),
        degraded: Vec::new(),
        made_qdisc: false,
    };
    for direction in directions(target) {
        serve(ebpf, filters, target, choice, *direction)?;
        let entered = filters.is_entered;
        if is_xdp(choice, *direction) {
            attach_xdp(ebpf, target, entered, &mut attachment)?;
        } else {
            attach_tc(ebpf, target, *direction, choice, mark, entered, &mut attachment)?;
        }
    }
    Ok(attachment)
}

/// Loads the programs that [`attach`] will ask for on these interfaces, all at the same time: the verifier takes 10 ms for each.
pub(super) fn prepare(ebpf: &mut Ebpf, filters: &mut Filters, targets: &[AttachTarget], choice: HookChoice) {
    let entered = filters.is_entered;
    let wanted: HashSet<_> = targets
        .iter()
        .flat_map(|target| {
            directions(target).iter().map(move |direction| {
                if is_xdp(choice, *direction) {
                    xdp_name(target.layer, entered)
                } else {
                    tc_name(*direction, target.layer, entered)
                }
            })
        })
        .collect();
    thread::scope(|scope| {
        for (_, program) in ebpf.programs_mut().filter(|(name, _)| wanted.contains(name)) {
            // What is refused is refused again when it is attached; a thread that there is not leaves it to that.
            let load = move || match program {
                Program::SchedClassifier(program) => drop(patiently(|| program.load())),
                Program::Xdp(program) => drop(patiently(|| program.load())),
                _ => {}
            };
            drop(thread::Builder::new().name("verify".to_owned()).spawn_scoped(scope, load));
        }
    });
    for target in targets {
        for direction in directions(target) {
            drop(serve(ebpf, filters, target, choice, *direction));
        }
    }
}

/// Sees to it that there is a filter where one is called.
fn serve(
    ebpf: &mut Ebpf,
    filters: &mut Filters,
    target: &AttachTarget,
    choice: HookChoice,
    direction: Direction,
) -> Result<(), KernelError> {
    if !filters.is_entered {
        return Ok(());
    }
    let hook = if is_xdp(choice, direction) { FilterHook::Xdp } else { hook_of(direction) };
    let judged = descriptor_of_judged(ebpf, FilterPlace { hook, layer: target.layer })?;
    filters.serve(FilterPlace { hook, layer: target.layer }, judged)
}

const fn hook_of(direction: Direction) -> FilterHook {
    match direction {
        Direction::Ingress => FilterHook::Received,
        Direction::Egress => FilterHook::Sent,
    }
}

/// What is attached, with or without a filter.
const fn tc_name(direction: Direction, layer: Layer, entered: bool) -> &'static str {
    let [entry, _] = settings::tc_filtered(direction, layer);
    if entered { entry } else { settings::tc_program(direction, layer) }
}

const fn xdp_name(layer: Layer, entered: bool) -> &'static str {
    let [entry, _] = settings::xdp_filtered(layer);
    if entered { entry } else { settings::xdp_program(layer) }
}

/// The number of the descriptor of what counts behind a filter, loaded into the kernel.
pub(super) fn descriptor_of_judged(
    ebpf: &mut Ebpf,
    FilterPlace { hook, layer }: FilterPlace,
) -> Result<i32, KernelError> {
    let number = match hook {
        FilterHook::Xdp => xdp_named(ebpf, settings::xdp_filtered(layer)[1])?.fd(),
        FilterHook::Received => classifier(ebpf, settings::tc_filtered(Direction::Ingress, layer)[1])?.fd(),
        FilterHook::Sent => classifier(ebpf, settings::tc_filtered(Direction::Egress, layer)[1])?.fd(),
    };
    let number = number.map(|descriptor| descriptor.as_fd().as_raw_fd());
    number.map_err(|error| KernelError::explain("opening what counts behind a filter", &error))
}

const fn directions(target: &AttachTarget) -> &'static [Direction] {
    if target.loopback { &[Direction::Egress] } else { &Direction::BOTH }
}

fn is_xdp(choice: HookChoice, direction: Direction) -> bool {
    choice == HookChoice::Xdp && direction == Direction::Ingress
}

fn attach_tc(
    ebpf: &mut Ebpf,
    target: &AttachTarget,
    direction: Direction,
    choice: HookChoice,
    mark: u32,
    entered: bool,
    attachment: &mut Attachment,
) -> Result<(), KernelError> {
    let program = classifier(ebpf, tc_name(direction, target.layer, entered))?;
    let attach_type = match direction {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    };
    if choice != HookChoice::Clsact {
        // First in the chain: a program before this one could end it, and its frames would go uncounted.
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        match program.attach_with_options(&target.name, attach_type, options) {
            Ok(id) => {
                attachment.links.push(HeldLink::Tc(owned(program.take_link(id))?, direction));
                attachment.hooks.push(Hook::Tcx);
                return Ok(());
            }
            Err(error) if choice == HookChoice::Tcx => {
                return Err(KernelError::explain("attaching to the TCX hook (Linux 6.6 and newer)", &error));
            }
            Err(error) => {
                let reason = format!("clsact in place of tcx: {}", chain(&error));
                if !attachment.degraded.contains(&reason) {
                    attachment.degraded.push(reason);
                }
            }
        }
    }
    match tc::qdisc_add_clsact(&target.name) {
        Ok(()) => attachment.made_qdisc = true,
        Err(TcError::AlreadyAttached) => {}
        Err(error) if chain(&error).contains("File exists") => {}
        Err(error) => return Err(KernelError::explain("making the clsact qdisc", &error)),
    }
    let handle = TcHandle::from(mark & !MADE_QDISC | u32::from(attachment.made_qdisc));
    let mut refusal = None;
    for priority in PRIORITIES {
        let options = TcAttachOptions::Netlink(NlOptions { priority, handle, classid: None });
        match program.attach_with_options(&target.name, attach_type, options) {
            Ok(id) => {
                attachment.links.push(HeldLink::Tc(owned(program.take_link(id))?, direction));
                attachment.hooks.push(Hook::Clsact);
                return Ok(());
            }
            Err(error) => refusal = Some(error),
        }
    }
    Err(match refusal {
        Some(error) => KernelError::explain("attaching to the clsact hook", &error),
        None => KernelError::explain("attaching to the clsact hook", &io::Error::other("no priority to try")),
    })
}

fn attach_xdp(
    ebpf: &mut Ebpf,
    target: &AttachTarget,
    entered: bool,
    attachment: &mut Attachment,
) -> Result<(), KernelError> {
    let program = xdp_named(ebpf, xdp_name(target.layer, entered))?;
    let native = program.attach_to_if_index(target.index, XdpMode::Driver);
    let (id, hook) = match native {
        Ok(id) => (id, Hook::XdpNative),
        Err(native) => {
            attachment.degraded.push(format!("generic XDP in place of native: {}", chain(&native)));
            let id = program
                .attach_to_if_index(target.index, XdpMode::Skb)
                .map_err(|error| KernelError::explain("attaching to the XDP hook", &error))?;
            (id, Hook::XdpGeneric)
        }
    };
    attachment.links.push(HeldLink::Xdp(owned(program.take_link(id))?));
    attachment.hooks.push(hook);
    Ok(())
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, KernelError> {
    let program: &mut SchedClassifier = loaded(ebpf, name)?;
    if program.fd().is_err() {
        patiently(|| program.load())
            .map_err(|error| KernelError::explain("loading the TC program", &error))?;
    }
    Ok(program)
}

/// The XDP program for a link layer, or the entry to a filter, loaded into the kernel.
pub(super) fn xdp(ebpf: &mut Ebpf, layer: Layer, entered: bool) -> Result<&mut Xdp, KernelError> {
    xdp_named(ebpf, xdp_name(layer, entered))
}

fn xdp_named<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, KernelError> {
    let program: &mut Xdp = loaded(ebpf, name)?;
    if program.fd().is_err() {
        patiently(|| program.load())
            .map_err(|error| KernelError::explain("loading the XDP program", &error))?;
    }
    Ok(program)
}

/// Loads a program, again and again when the kernel's verifier is interrupted (`EAGAIN`) by what no thread can block: being stopped,
/// frozen or traced.
pub(super) fn patiently(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    const ATTEMPTS: usize = 10;
    let interrupted = |result: &Result<(), ProgramError>| {
        matches!(result, Err(ProgramError::LoadError { io_error, .. })
            if io_error.kind() == io::ErrorKind::WouldBlock)
    };
    let _undisturbed = Undisturbed::begin();
    let mut result = load();
    for _ in 1..ATTEMPTS {
        if !interrupted(&result) {
            break;
        }
        result = load();
    }
    result
}

/// A second handle of a TC program, or of the entry to a filter, which is loaded if it is not.
pub(super) fn tc_handle(
    ebpf: &mut Ebpf,
    direction: Direction,
    layer: Layer,
    entered: bool,
) -> Result<SchedClassifier, KernelError> {
    let name = tc_name(direction, layer, entered);
    let program = classifier(ebpf, name)?;
    program
        .info()
        .and_then(|info| SchedClassifier::from_program_info(info, name.into()))
        .map_err(|error| KernelError::explain("opening the TC program again", &error))
}

fn loaded<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, KernelError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let missing = || io::Error::other(format!("it has no program {name}"));
    ebpf.program_mut(name)
        .ok_or_else(|| KernelError::explain("opening the kernel object", &missing()))?
        .try_into()
        .map_err(|error| KernelError::explain("opening the kernel object", &error))
}

fn owned<L>(link: Result<L, ProgramError>) -> Result<L, KernelError> {
    link.map_err(|error| KernelError::explain("taking hold of a link", &error))
}

/// Whether the kernel says that there is no such interface any more.
fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|error| {
        let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        matches!(code, Some(libc::ENOLINK | libc::ENODEV))
    })
}

/// The causes of an error, joined, each once.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
