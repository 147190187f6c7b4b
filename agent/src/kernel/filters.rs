//! Filters in front of what counts: programs for each hook and link layer in use, which the entries in the object call.
//!
//! An epoch belongs to one filter: where another takes its place, the programs of both are in one until the epoch is over, and each
//! frame is judged by the filter of the epoch that it is counted in. Nothing is detached for it.

use std::{
    collections::HashMap,
    io,
    mem::offset_of,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::Arc,
};

use aya::{Ebpf, maps::Map};
use flowtally_common::{
    Count, Direction, Health, HealthKey, settings,
    settings::{Layer, TC_PLACES, XDP_PLACES},
};

use super::{error::KernelError, filter_program::FilterProgram, sys};
use crate::translate::{
    ClassicProgram, FilterEntry, FilterHook, FilterStage, FrameJudge, MapNumbers, PacketAccess,
    Untranslatable,
};

// What `MapNumbers` says of these.
const _: () = assert!(offset_of!(Health, untracked) == 0 && offset_of!(Count, packets) == 8);
const _: () = assert!(offset_of!(HealthKey, direction) == 4 && offset_of!(HealthKey, bank) == 5);

/// A filter, or none: every frame matches.
type Choice = Option<Arc<FrameJudge>>;

/// A kind of program that a filter stands in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FilterPlace {
    pub(super) hook: FilterHook,
    pub(super) layer: Layer,
}

/// The filter that is in force, and its programs.
pub(super) struct Filters {
    now: Choice,
    /// What judges the frames of this epoch, and none of a later one.
    before: Option<(u32, Choice)>,
    /// Whether entries are attached, and not what counts by itself.
    pub(super) is_entered: bool,
    loaded: HashMap<FilterPlace, FilterProgram>,
    control: OwnedFd,
    judged: OwnedFd,
    health: OwnedFd,
    tc: OwnedFd,
    xdp: OwnedFd,
}

impl Filters {
    /// No filter yet.
    pub(super) fn open(ebpf: &Ebpf) -> Result<Self, KernelError> {
        Ok(Self {
            now: None,
            before: None,
            is_entered: false,
            loaded: HashMap::new(),
            control: descriptor(ebpf, settings::CONTROL)?,
            judged: descriptor(ebpf, settings::JUDGED)?,
            health: descriptor(ebpf, settings::HEALTH)?,
            tc: descriptor(ebpf, settings::FILTERED_TC)?,
            xdp: descriptor(ebpf, settings::FILTERED_XDP)?,
        })
    }

    /// Puts a filter in force before anything is attached.
    pub(super) fn begin(&mut self, judge: Choice) {
        self.is_entered = judge.is_some();
        (self.now, self.before) = (judge, None);
        self.loaded.clear();
    }

    /// Puts a filter in force from the epoch after `epoch` on, at these places, each with the descriptor of what counts there. When it
    /// fails, everything is as it was.
    pub(super) fn replace(
        &mut self,
        judge: Choice,
        epoch: u32,
        places: &[(FilterPlace, i32)],
    ) -> Result<(), KernelError> {
        let before = match &self.before {
            // The second change within an epoch: whose it is stays as it was.
            Some((of, former)) if *of == epoch => (epoch, former.clone()),
            _ => (epoch, self.now.clone()),
        };
        let mut programs = Vec::with_capacity(places.len());
        for (place, judged) in places {
            self.lead_on(*place, *judged)?;
            programs.push(self.load(*place, judge.as_ref(), Some(&before))?);
        }
        for ((place, _), program) in places.iter().zip(programs) {
            self.install(*place, program)?;
        }
        (self.now, self.before) = (judge, Some(before));
        Ok(())
    }

    /// Sees to it that an entry at a place has what it calls.
    pub(super) fn serve(&mut self, place: FilterPlace, judged: i32) -> Result<(), KernelError> {
        if self.loaded.contains_key(&place) {
            return Ok(());
        }
        self.lead_on(place, judged)?;
        let program = self.load(place, self.now.as_ref(), self.before.as_ref())?;
        self.install(place, program)
    }

    /// The epoch that a former filter judged is over. Says whether entries are attached that nothing is filtered by.
    pub(super) fn settle(&mut self) -> bool {
        self.before = None;
        self.is_entered && self.now.is_none()
    }

    /// No entry is attached any more.
    pub(super) fn leave(&mut self) {
        self.is_entered = false;
        self.loaded.clear();
    }

    fn load(
        &self,
        FilterPlace { hook, layer }: FilterPlace,
        now: Option<&Arc<FrameJudge>>,
        before: Option<&(u32, Choice)>,
    ) -> Result<FilterProgram, KernelError> {
        let nothing = ClassicProgram::nothing();
        // What the language has no word for at this kind of device does not match there.
        let program =
            |judge: &Arc<FrameJudge>| judge.by_layer[layer as usize].clone().unwrap_or(nothing.clone());
        let (now, former) =
            (now.map(program), before.map(|(epoch, judge)| (*epoch, judge.as_ref().map(program))));
        let before = former
            .as_ref()
            .map(|(epoch, judgement)| FilterStage { epoch: *epoch, judgement: judgement.as_ref() });
        let load = |access| {
            let entry = FilterEntry { hook, access, judgement: now.as_ref(), before };
            let failed = |error| match error {
                Untranslatable::TooLong(instructions) => KernelError::FilterTooComplex { instructions },
                other => KernelError::explain("translating the filter", &other),
            };
            FilterProgram::load(hook, &entry.assemble(self.maps(hook, layer)).map_err(failed)?)
        };
        match load(PacketAccess::Direct) {
            // Before Linux 5.18 XDP programs have no call for what lies elsewhere, and frames that lie nowhere else.
            Err(error)
                if hook == FilterHook::Xdp && !matches!(error, KernelError::FilterTooComplex { .. }) =>
            {
                load(PacketAccess::InOnePiece)
            }
            loaded => loaded,
        }
    }

    fn maps(&self, hook: FilterHook, layer: Layer) -> MapNumbers {
        let (array, place, places) = self.array(FilterPlace { hook, layer });
        let direction = match hook {
            FilterHook::Received | FilterHook::Xdp => Direction::Ingress,
            FilterHook::Sent => Direction::Egress,
        };
        MapNumbers {
            control: self.control.as_raw_fd(),
            judged: self.judged.as_raw_fd(),
            programs: array.as_raw_fd(),
            next: place + places,
            health: self.health.as_raw_fd(),
            direction: direction as u8,
        }
    }

    /// The array of a place, its number there, and how far behind it is what filters call.
    fn array(&self, FilterPlace { hook, layer }: FilterPlace) -> (&OwnedFd, u32, u32) {
        match hook {
            FilterHook::Received => (&self.tc, settings::tc_place(Direction::Ingress, layer), TC_PLACES),
            FilterHook::Sent => (&self.tc, settings::tc_place(Direction::Egress, layer), TC_PLACES),
            FilterHook::Xdp => (&self.xdp, settings::xdp_place(layer), XDP_PLACES),
        }
    }

    fn install(&mut self, place: FilterPlace, program: FilterProgram) -> Result<(), KernelError> {
        let (array, number, _) = self.array(place);
        // SAFETY: keys and values of an array of programs have four bytes each.
        unsafe { sys::set_element(array.as_fd(), number, program.number()) }
            .map_err(|error| KernelError::explain("putting the filter in its place", &error))?;
        self.loaded.insert(place, program);
        Ok(())
    }

    /// Lets filters of a place call what counts there.
    fn lead_on(&self, place: FilterPlace, judged: i32) -> Result<(), KernelError> {
        let (array, at, behind) = self.array(place);
        // SAFETY: as above.
        unsafe { sys::set_element(array.as_fd(), at + behind, judged) }
            .map_err(|error| KernelError::explain("putting what counts behind the filter", &error))
    }
}

/// A descriptor of a map, beside the one that the object has.
fn descriptor(ebpf: &Ebpf, name: &'static str) -> Result<OwnedFd, KernelError> {
    const DOING: &str = "opening the kernel object";
    let map = ebpf.map(name).and_then(|map| match map {
        Map::Array(data) | Map::ProgramArray(data) | Map::PerCpuHashMap(data) => Some(data),
        _ => None,
    });
    let missing = || KernelError::explain(DOING, &io::Error::other(format!("it has no map {name}")));
    let map = map.ok_or_else(missing)?;
    map.fd().as_fd().try_clone_to_owned().map_err(|error| KernelError::explain(DOING, &error))
}
