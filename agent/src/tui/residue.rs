//! When what an interface counts and what flowtally counted drift apart.
//!
//! An interface's counters are read a moment after the programs' tables were turned, so on a busy link they are always a
//! little ahead. What is said here is only what lasts: three readings on the same side, and more than such a moment.

use std::collections::{HashMap, VecDeque};

use crate::flow::{
    row::InterfaceId,
    snapshot::{InterfaceView, Reconciliation},
};

/// Readings that must agree.
const READINGS: usize = 3;
/// The moment between turning and reading that is allowed for, in parts of a second.
const MOMENTS_PER_SECOND: u64 = 10;
/// What two ways of counting may differ by, in parts of the whole.
const TOLERANCE: u64 = 1000;

/// The last readings of each interface's two directions.
#[derive(Clone, Debug, Default)]
pub(super) struct Residue {
    readings: HashMap<(InterfaceId, usize), VecDeque<i64>>,
}

impl Residue {
    /// Takes a reading; `per_second` is what went over all interfaces in the last seconds, in bytes.
    pub(super) fn read(&mut self, interfaces: &[InterfaceView], per_second: u64) {
        for interface in interfaces {
            for (way, side) in [&interface.ingress, &interface.egress].into_iter().enumerate() {
                let Reconciliation { kernel, residue_bytes, .. } = side;
                let allowed = (per_second / MOMENTS_PER_SECOND).max(kernel.bytes / TOLERANCE);
                let lasting = if residue_bytes.unsigned_abs() > allowed { *residue_bytes } else { 0 };
                let readings = self.readings.entry((interface.id, way)).or_default();
                readings.push_back(lasting);
                if readings.len() > READINGS {
                    readings.pop_front();
                }
            }
        }
    }

    /// The bytes by which the kernel's count is ahead (or behind, if negative) on an interface, both directions together.
    pub(super) fn of(&self, interface: InterfaceId) -> i64 {
        let lasting = |way| {
            let readings =
                self.readings.get(&(interface, way)).filter(|readings| readings.len() == READINGS)?;
            let same_side =
                readings.iter().all(|reading| *reading > 0) || readings.iter().all(|reading| *reading < 0);
            readings.iter().copied().min_by_key(|reading| reading.unsigned_abs()).filter(|_| same_side)
        };
        (0..2).filter_map(lasting).sum()
    }
}

#[cfg(test)]
mod tests {
    use flowtally_common::Count;

    use super::*;

    fn residue(readings: &[(i64, u64)]) -> i64 {
        let mut residue = Residue::default();
        for (bytes, per_second) in readings {
            let side = Reconciliation {
                kernel: Count { bytes: 1_000_000, packets: 1000 },
                residue_bytes: *bytes,
                ..Reconciliation::default()
            };
            let view = InterfaceView {
                id: InterfaceId(0),
                name: "eth0".to_owned(),
                index: 2,
                hook: "tcx".to_owned(),
                degraded: Vec::new(),
                ingress: side,
                egress: Reconciliation::default(),
            };
            residue.read(&[view], *per_second);
        }
        residue.of(InterfaceId(0))
    }

    #[test]
    fn only_what_lasts_is_told() {
        assert_eq!(residue(&[(5000, 0), (6000, 0)]), 0);
        assert_eq!(residue(&[(5000, 0), (6000, 0), (7000, 0)]), 5000);
        assert_eq!(residue(&[(9000, 0), (5000, 0), (6000, 0), (7000, 0)]), 5000);
        assert_eq!(residue(&[(-5000, 0), (-6000, 0), (-7000, 0)]), -5000);
        assert_eq!(residue(&[(5000, 0), (-6000, 0), (7000, 0)]), 0);
        assert_eq!(residue(&[(5000, 0), (0, 0), (7000, 0)]), 0);
    }

    #[test]
    fn a_moment_of_traffic_and_a_thousandth_are_no_residue() {
        assert_eq!(residue(&[(900, 0); 3]), 0);
        assert_eq!(residue(&[(90_000, 1_000_000); 3]), 0);
        assert_eq!(residue(&[(110_000, 1_000_000); 3]), 110_000);
    }
}
