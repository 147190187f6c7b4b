//! Books that are kept without the kernel, of one interface of this host: for what is made of intervals.

use std::time::{Duration, SystemTime};

use flowtally::{
    flow::{
        attached::Attached,
        ledger::{Ledger, Measure, Retention, Terms},
        orient::Orientation,
        row::Counting,
        services::Services,
    },
    log::LogTick,
};
use flowtally_common::settings::Layer;

use crate::frames::NEAR_V4;

/// How long an interval of these books is.
pub const SECOND: Duration = Duration::from_secs(1);

/// Books of an interface of this name and index: frames, as long as they are seen, in intervals that can be read. `change` makes
/// others of them.
pub fn ledger(name: &str, index: u32, change: impl FnOnce(&mut Terms)) -> Ledger {
    let mut orientation = Orientation::default();
    orientation.set_addresses([NEAR_V4.into()], []);
    let mut terms = Terms {
        measure: Measure::Frames,
        counting: Counting::Once,
        retention: Retention::Live,
        groups: Vec::new(),
        intervals: true,
        max_rows: 4 << 20,
        orientation,
        filter: None,
        services: Services::default(),
        tick: SECOND,
    };
    change(&mut terms);
    let mut ledger = Ledger::new(terms);
    ledger.attach(Attached {
        name: name.to_owned(),
        index,
        layer: Layer::Ethernet,
        loopback: false,
        hook: "tcx".to_owned(),
        degraded: Vec::new(),
        counters: Default::default(),
    });
    ledger
}

/// So many seconds after a moment, on a host that neither sleeps nor sets its clock.
#[must_use]
pub fn tick(began: SystemTime, second: u32) -> LogTick {
    let since = SECOND * second;
    LogTick { wall: began + since, mono: since, boot: since }
}
