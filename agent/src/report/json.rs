//! The report as one JSON document, as docs/report.schema.json has it. Written row by row: a million flows are never
//! held in memory a second time.

use std::io::{self, Write};

use flowtally_common::Count;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::{
    ReportContext,
    fields::{AMOUNTS, RowFields, Value},
    request::ReportRequest,
    table::{ReportTable, TableKey, TableRow, table},
};
use crate::flow::{
    group::{GroupBy, GroupKey},
    row::{Counting, Crossed, InterfaceId, Traffic},
    snapshot::{Follows, InterfaceView, Reconciliation, Snapshot},
};
use crate::format::json as name;

/// Which document this is, and the version of its fields: a field that goes or changes its meaning is a new version.
const SCHEMA: &str = "flowtally.report/1";

/// Writes the document and a line feed.
pub(super) fn write(
    out: &mut impl Write,
    snapshot: &Snapshot,
    request: &ReportRequest,
    context: &ReportContext<'_>,
) -> io::Result<()> {
    let report = ReportDocument { snapshot, request, context, fields: RowFields::new(snapshot, context) };
    name::to_writer(&mut *out, &report)?;
    writeln!(out)
}

/// The document.
struct ReportDocument<'a> {
    snapshot: &'a Snapshot,
    request: &'a ReportRequest,
    context: &'a ReportContext<'a>,
    fields: RowFields<'a>,
}

impl Serialize for ReportDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { snapshot, request, context, fields } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", SCHEMA)?;
        map.serialize_entry("started", &context.started())?;
        map.serialize_entry("seconds", &snapshot.elapsed.as_secs_f64())?;
        map.serialize_entry("interfaces", &Interfaces(&snapshot.interfaces))?;
        let per_interface = snapshot.counting == Counting::PerInterface;
        map.serialize_entry("counting", if per_interface { "per-interface" } else { "once" })?;
        map.serialize_entry("crossings", &self.crossings(&snapshot.crossings.by_interface))?;
        map.serialize_entry("one_sided_bytes", &snapshot.crossings.one_sided.bytes)?;
        map.serialize_entry("one_sided_packets", &snapshot.crossings.one_sided.packets)?;
        let tunnel = |(interface, count): &(InterfaceId, Count)| Tunnel {
            interface: fields.interface(*interface),
            bytes: count.bytes,
            packets: count.packets,
        };
        let tunnels: Vec<_> = snapshot.crossings.tunnelled.iter().map(tunnel).collect();
        map.serialize_entry("tunnels", &tunnels)?;
        map.serialize_entry("late_ticks", &snapshot.late_ticks)?;
        map.serialize_entry("outside_boundary_bytes", &snapshot.outside_boundary.bytes)?;
        map.serialize_entry("outside_boundary_packets", &snapshot.outside_boundary.packets)?;
        map.serialize_entry("filter", &snapshot.filter)?;
        let by = if snapshot.filter_by_packets { "packets" } else { "flows" };
        map.serialize_entry("filter_by", &snapshot.filter.as_ref().map(|_| by))?;
        map.serialize_entry("filtered_out_bytes", &snapshot.filtered_out.bytes)?;
        map.serialize_entry("filtered_out_packets", &snapshot.filtered_out.packets)?;
        map.serialize_entry("owners_degraded", &snapshot.owners_degraded)?;
        map.serialize_entry("total", &GrandTotal { fields, traffic: &snapshot.total })?;
        map.serialize_entry(
            "flows",
            &RowViews { fields, tables: &[table(snapshot, request, GroupBy::Flow)] },
        )?;

        // Two prefixes of `subnet` are two groupings of one name, and a name can be in the document only once: their
        // rows follow each other in one array, told apart by the prefix in each key.
        let mut groupings: Vec<_> = request.groupings().filter(|by| *by != GroupBy::Flow).collect();
        while let Some(first) = groupings.first().map(ToString::to_string) {
            let tables: Vec<_> = groupings
                .extract_if(.., |by| by.to_string() == first)
                .map(|by| table(snapshot, request, by))
                .collect();
            map.serialize_entry(&first, &RowViews { fields, tables: &tables })?;
        }
        map.end()
    }
}

impl<'a> ReportDocument<'a> {
    fn crossings(&self, crossed: &[Crossed]) -> Vec<CrossingView<'a>> {
        crossed.iter().map(|crossed| CrossingView::new(&self.fields, crossed)).collect()
    }
}

/// What crossed an interface and is counted on another one.
#[derive(Serialize)]
struct CrossingView<'a> {
    interface: &'a str,
    sent_bytes: u64,
    sent_packets: u64,
    received_bytes: u64,
    received_packets: u64,
}

impl<'a> CrossingView<'a> {
    fn new(fields: &RowFields<'a>, Crossed { interface, sent, received }: &Crossed) -> Self {
        Self {
            interface: fields.interface(*interface),
            sent_bytes: sent.bytes,
            sent_packets: sent.packets,
            received_bytes: received.bytes,
            received_packets: received.packets,
        }
    }
}

/// What is counted on an interface and travels inside other conversations.
#[derive(Serialize)]
struct Tunnel<'a> {
    interface: &'a str,
    bytes: u64,
    packets: u64,
}

/// The grand total.
struct GrandTotal<'a> {
    fields: &'a RowFields<'a>,
    traffic: &'a Traffic,
}

impl Serialize for GrandTotal<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(AMOUNTS.into_iter().zip(self.fields.amounts(self.traffic)))
    }
}

/// An array of rows.
struct RowViews<'a> {
    fields: &'a RowFields<'a>,
    tables: &'a [ReportTable<'a>],
}

impl Serialize for RowViews<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(None)?;
        for table in self.tables {
            for row in &table.rows {
                rows.serialize_element(&Record { fields: self.fields, by: table.by, row })?;
            }
        }
        rows.end()
    }
}

/// One row, flat.
struct Record<'a> {
    fields: &'a RowFields<'a>,
    by: GroupBy,
    row: &'a TableRow<'a>,
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let TableKey::Group(key) = self.row.key {
            name::entry(&mut map, "key", self.fields.key(key).title().as_bytes())?;
            if let GroupKey::Port(_, port) = key {
                map.serialize_entry("port", port)?;
            }
        }
        for (name, value) in self.fields.of(self.by, self.row) {
            value.entry(&mut map, name)?;
        }
        map.serialize_entry(
            "owners",
            &RowFields::owners(self.row).map(|owners| OwnerViews(owners.map(Iterator::collect).collect())),
        )?;
        if let TableKey::Flow(_) = self.row.key {
            let crossings = self.row.crossings.iter().map(|crossed| CrossingView::new(self.fields, crossed));
            map.serialize_entry("crossings", &crossings.collect::<Vec<_>>())?;
        }
        map.end()
    }
}

/// The owners of a socket that several have.
struct OwnerViews<'a>(Vec<Vec<(&'static str, Value<'a>)>>);

impl Serialize for OwnerViews<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut owners = serializer.serialize_seq(Some(self.0.len()))?;
        for owner in &self.0 {
            owners.serialize_element(&ReportedOwner(owner))?;
        }
        owners.end()
    }
}

/// One of them.
struct ReportedOwner<'a>(&'a [(&'static str, Value<'a>)]);

impl Serialize for ReportedOwner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.iter().try_for_each(|(name, value)| value.entry(&mut map, name))?;
        map.end()
    }
}

/// The interfaces.
struct Interfaces<'a>(&'a [InterfaceView]);

impl Serialize for Interfaces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ReportedInterface::from))
    }
}

/// One of them.
#[derive(Serialize)]
struct ReportedInterface<'a> {
    name: &'a str,
    index: u32,
    hook: &'a str,
    degraded: &'a [String],
    ingress: DirectionView,
    egress: DirectionView,
}

impl<'a> From<&'a InterfaceView> for ReportedInterface<'a> {
    fn from(view: &'a InterfaceView) -> Self {
        Self {
            name: &view.name,
            index: view.index,
            hook: &view.hook,
            degraded: &view.degraded,
            ingress: DirectionView::from(&view.ingress),
            egress: DirectionView::from(&view.egress),
        }
    }
}

/// One direction of an interface.
#[derive(Serialize)]
struct DirectionView {
    counted_bytes: u64,
    counted_packets: u64,
    kernel_bytes: u64,
    kernel_packets: u64,
    untracked_bytes: u64,
    untracked_packets: u64,
    unparsed_bytes: u64,
    unparsed_packets: u64,
    filtered_bytes: u64,
    filtered_packets: u64,
    gso_extra_bytes: u64,
    gso_extra_packets: u64,
    offloaded_tag_bytes: u64,
    offloaded_tag_packets: u64,
    residue_bytes: i64,
    residue_packets: i64,
    follows: &'static str,
}

impl From<&Reconciliation> for DirectionView {
    fn from(side: &Reconciliation) -> Self {
        Self {
            counted_bytes: side.counted.bytes,
            counted_packets: side.counted.packets,
            kernel_bytes: side.kernel.bytes,
            kernel_packets: side.kernel.packets,
            untracked_bytes: side.untracked.bytes,
            untracked_packets: side.untracked.packets,
            unparsed_bytes: side.unparsed.bytes,
            unparsed_packets: side.unparsed.packets,
            filtered_bytes: side.filtered.bytes,
            filtered_packets: side.filtered.packets,
            gso_extra_bytes: side.gso_extra.bytes,
            gso_extra_packets: side.gso_extra.packets,
            offloaded_tag_bytes: side.offloaded_tags.bytes,
            offloaded_tag_packets: side.offloaded_tags.packets,
            residue_bytes: side.residue_bytes,
            residue_packets: side.residue_packets,
            follows: match side.follows {
                Follows::Wire => "wire",
                Follows::SuperPackets => "super-packets",
                Follows::WithoutOffloadedTags => "wire-without-offloaded-tags",
                Follows::SuperPacketsWithoutOffloadedTags => "super-packets-without-offloaded-tags",
                Follows::WithoutHeader => "wire-without-header",
                Follows::SuperPacketsWithoutHeader => "super-packets-without-header",
            },
        }
    }
}
