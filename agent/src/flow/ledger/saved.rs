//! All of a ledger as bytes, and back: whoever goes on with what was read has the same books from there on.

use super::{
    Ledger, LedgerInterface, Measure, Recent, Retention, Terms, account,
    interfaces::{Mark, OneWay},
};
use crate::{
    filter::Dictionary,
    flow::{
        rows::Rows,
        services::Services,
        wire::{WireError, WireForm, WireReader, check, wire_enum, wire_struct},
    },
};

impl Ledger {
    /// Appends all of it, as it is between two intervals. Names of services do not travel.
    pub fn save(&mut self, to: &mut Vec<u8>) {
        self.flush();
        let Self {
            terms,
            timeline,
            rows,
            total,
            recent,
            interval,
            interfaces,
            by_index,
            outside_boundary,
            filtered_out,
            late_ticks,
            links,
            links_before,
            links_changed,
        } = self;
        terms.put(to);
        timeline.put(to);
        rows.save(to);
        total.put(to);
        recent.put(to);
        interval.put(to);
        interfaces.put(to);
        by_index.put(to);
        outside_boundary.put(to);
        filtered_out.put(to);
        late_ticks.put(to);
        links.put(to);
        links_before.put(to);
        links_changed.put(to);
    }

    /// Reads what [`save`](Self::save) wrote, all there is. Names of services are the reader's own, and so are those that a
    /// capture filter is read with.
    ///
    /// # Errors
    /// When the bytes are no ledger.
    pub fn restore(bytes: &[u8], services: Services, names: &Dictionary) -> Result<Self, WireError> {
        let from = &mut WireReader::new(bytes, names);
        let terms = Terms::take(from)?;
        let timeline = crate::flow::window::Timeline::take(from)?;
        timeline.check()?;
        let ledger = Self {
            rows: Rows::restore(from, &timeline, services)?,
            terms,
            timeline,
            total: WireForm::take(from)?,
            recent: WireForm::take(from)?,
            interval: WireForm::take(from)?,
            interfaces: WireForm::take(from)?,
            by_index: WireForm::take(from)?,
            outside_boundary: WireForm::take(from)?,
            filtered_out: WireForm::take(from)?,
            late_ticks: WireForm::take(from)?,
            links: WireForm::take(from)?,
            links_before: WireForm::take(from)?,
            links_changed: WireForm::take(from)?,
        };
        check(from.is_at_end(), "the end")?;
        ledger.check()?;
        Ok(ledger)
    }

    fn check(&self) -> Result<(), WireError> {
        let Self { timeline, rows, total, interval, interfaces, by_index, .. } = self;
        total.check(timeline)?;
        let number = interfaces.len();
        check(total.len() == number + 1 && interval.len() == number, "interfaces")?;
        let is_interface = |id: crate::flow::row::InterfaceId| (account(id) as usize) <= number;
        check(by_index.values().all(|id| is_interface(*id)), "indices of interfaces")?;
        check(rows.keys().all(|key| is_interface(key.interface)), "interfaces of rows")
    }
}

wire_enum!(Measure { 0 => Frames {}, 1 => IpPackets { link_local: link_local } });
wire_enum!(Retention { 0 => Live {}, 1 => Run {} });
wire_struct!(Terms {
    measure, counting, retention, groups, intervals, max_rows, orientation, filter, tick;
    services
});
wire_struct!(Recent { start, end, bytes, repeated });
wire_struct!(LedgerInterface { attached, present, directions, before, closed });
wire_struct!(OneWay { rows, unparsed, health, left_out, filtered, kernel, reading });
wire_struct!(Mark { directions, repeated });
