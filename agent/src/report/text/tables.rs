//! The tables of rows.

use std::io::{self, Write};

use hashbrown::HashMap;

use super::{
    amounts::AmountColumns,
    labels::{self, Labels},
    paragraph,
};
use crate::{
    flow::{
        group::{GroupBy, GroupKey, OwnerKey, OwnerPart},
        row::{Crossed, RowKey},
        snapshot::Snapshot,
    },
    format::{
        Name, Safe,
        grid::{Align, Column, Fit, Grid},
        numbers::{Many, Number, Size},
    },
    model::owner::{Attribution, Common, Container, Reason},
    report::{
        ReportContext,
        fields::{NOT_IP, interface_name, interface_names},
        request::{ReportDirection, ReportRequest, ReportSort},
        table::{ReportTable, TableKey, TableRow},
    },
};

/// An end of a conversation, an address: what the reader came for is never cut.
const END: Fit = Fit::Always;
/// A port or a service, of which none is longer than the least; what stands there for want of a port may be.
const PORT: Fit = Fit::Cut { good: 24, least: 18 };
/// A protocol with its service.
const KIND: Fit = Fit::Cut { good: 12, least: 8 };
/// A container's runtime and id, or a unit.
const CONTAINER: Fit = Fit::Cut { good: 24, least: 12 };
/// Anything else in front.
const NAME: Fit = Fit::Cut { good: 16, least: 8 };

/// Places of the remote ends among the columns of [`name_columns`].
const REMOTE_OF_FLOW: usize = 2;
const REMOTE_OF_HOSTS: usize = 1;

/// What stands for what is in no row.
const OTHER: &str = "other";

/// Prints tables.
#[derive(Debug)]
pub(crate) struct TablePrinter<'a> {
    request: &'a ReportRequest,
    width: usize,
    labels: Labels<'a>,
    interfaces: Vec<&'a str>,
    amounts: AmountColumns<'a>,
    in_common: &'a HashMap<OwnerKey, Common>,
}

impl<'a> TablePrinter<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        request: &'a ReportRequest,
        context: &ReportContext<'a>,
    ) -> Self {
        Self {
            request,
            width: context.width,
            labels: Labels::new(context),
            interfaces: interface_names(snapshot),
            amounts: AmountColumns::of_rows(snapshot, request),
            in_common: &snapshot.in_common,
        }
    }

    /// Prints a table with its title, and what was cut off it.
    pub(crate) fn table(&self, out: &mut impl Write, table: &ReportTable<'_>) -> io::Result<()> {
        let mut title = Vec::new();
        self.title(&mut title, table)?;
        paragraph(out, self.width, String::from_utf8_lossy(&title).trim_end())?;
        if table.rows.is_empty() && table.other.is_none() {
            return Ok(());
        }
        let optional = Optional::of(table, &self.interfaces);
        let mut columns = name_columns(table.by, &optional);
        let names = columns.len();
        columns.extend(self.amounts.columns());
        // Of two lines each has an end, or the first what it is and the second how much.
        let below = match table.by {
            GroupBy::Flow => Some(REMOTE_OF_FLOW),
            GroupBy::Host => Some(REMOTE_OF_HOSTS),
            _ => None,
        };
        let second: Vec<_> = below.into_iter().chain(names..columns.len()).collect();
        let mut grid = Grid::new(columns).with_second_line(second);
        for row in &table.rows {
            match row.key {
                TableKey::Flow(key) => self.flow(&mut grid, key, row.owner, &optional),
                TableKey::Group(key) => self.group(&mut grid, key),
            }
            self.amounts.cells(&mut grid, row.traffic, self.request.direction);
            if !row.crossings.is_empty() {
                let name = |crossed: &Crossed| {
                    Safe::new(interface_name(&self.interfaces, crossed.interface)).to_string()
                };
                let names: Vec<_> = row.crossings.iter().map(name).collect();
                grid.note(format!("also crossed {}", names.join(", ")));
            }
        }
        if let Some(other) = &table.other {
            grid.cell(OTHER);
            (1..names).for_each(|_| grid.cell(""));
            self.amounts.cells(&mut grid, &other.traffic, self.request.direction);
            grid.note(format!("what the log holds together: {} at least", Many(other.rows, "row")));
        }
        grid.write(out, self.width)?;
        if table.rest.rows > 0 {
            let rest = format!("{}, {}", Many(table.rest.rows as u64, "more row"), Size(table.rest.bytes));
            paragraph(out, self.width, &rest)?;
        }
        Ok(())
    }

    /// `Remote addresses: 20 of 345, by bytes sent`
    fn title(&self, out: &mut impl Write, table: &ReportTable<'_>) -> io::Result<()> {
        match table.by {
            GroupBy::Flow => write!(out, "Flows")?,
            GroupBy::Local => write!(out, "Local addresses")?,
            GroupBy::Remote => write!(out, "Remote addresses")?,
            GroupBy::Host => write!(out, "Pairs of hosts")?,
            GroupBy::Port => write!(out, "Ports")?,
            GroupBy::Service => write!(out, "Services")?,
            GroupBy::Protocol => write!(out, "Protocols")?,
            GroupBy::Interface => write!(out, "Interfaces")?,
            GroupBy::Subnet { v4, v6 } => write!(out, "Remote networks (/{v4} and /{v6})")?,
            GroupBy::Process => write!(out, "Processes")?,
            GroupBy::Command => write!(out, "Commands")?,
            GroupBy::User => write!(out, "Users")?,
            GroupBy::Container => write!(out, "Containers and units")?,
            GroupBy::Netns => write!(out, "Network namespaces")?,
        }
        match table.rows.len() {
            0 if table.rest.rows == 0 => write!(out, ": none")?,
            shown if table.rest.rows == 0 => write!(out, ": {}", Number(shown as u64))?,
            shown => {
                let all = shown.saturating_add(table.rest.rows);
                write!(out, ": {} of {}", Number(shown as u64), Number(all as u64))?;
            }
        }
        let sort = match self.request.sort {
            ReportSort::Bytes => "bytes",
            ReportSort::Packets => "packets",
            ReportSort::Last2 => "2s rate",
            ReportSort::Last10 => "10s rate",
            ReportSort::Last40 => "40s rate",
            ReportSort::Peak => "peak",
        };
        let direction = match self.request.direction {
            ReportDirection::Both => "",
            ReportDirection::Sent => ", sent only",
            ReportDirection::Received => ", received only",
        };
        writeln!(out, ", by {sort}{direction}")
    }

    fn flow(&self, grid: &mut Grid, key: &RowKey, owner: Option<&Attribution>, optional: &Optional) {
        grid.cell(self.labels.flow_kind(key));
        for end in self.labels.ends(key) {
            grid.cell(end);
        }
        if optional.interface {
            grid.cell(Safe::new(interface_name(&self.interfaces, key.interface)));
        }
        if optional.vlan {
            match key.vlan {
                0 => grid.cell(""),
                vlan => grid.cell(vlan),
            }
        }
        if optional.owner {
            match owner {
                Some(owner) => grid.cell(owner),
                None => grid.cell(""),
            }
        }
    }

    fn group(&self, grid: &mut Grid, key: &GroupKey) {
        match key {
            GroupKey::Address(address) => grid.cell(self.labels.host(*address)),
            GroupKey::Pair(pair) => {
                grid.cell(self.labels.host(pair.map(|(local, _)| local)));
                grid.cell(self.labels.host(pair.map(|(_, remote)| remote)));
            }
            GroupKey::Port(kind, port) => {
                grid.cell(labels::port(*kind, *port));
                match self.labels.service(*kind, *port) {
                    Some(name) => grid.cell(name),
                    None => grid.cell(""),
                }
            }
            GroupKey::Service(name) => grid.cell(name),
            GroupKey::Protocol(kind) => grid.cell(labels::kind(*kind)),
            GroupKey::Interface(id) => grid.cell(Safe::new(interface_name(&self.interfaces, *id))),
            GroupKey::Subnet(Some((network, prefix))) => grid.cell(format_args!("{network}/{prefix}")),
            GroupKey::Subnet(None) => grid.cell(NOT_IP),
            GroupKey::Owner(key) => self.owner(grid, key),
        }
    }

    fn owner(&self, grid: &mut Grid, key: &OwnerKey) {
        let common = match self.in_common.get(key) {
            Some(common) => common,
            None => &key.example.common(),
        };
        if key.part != OwnerPart::Process {
            grid.cell(key);
        }
        let mut cell = |name: Option<Name>| grid.cell(name.unwrap_or_default());
        match key.part {
            OwnerPart::Process => {
                let pids: Vec<String> =
                    key.example.owners.iter().map(|owner| owner.id.pid.to_string()).collect();
                let nobody = key.nobody().and_then(Reason::nobody).map(Name::from);
                cell(Some(pids.join(",").into()));
                cell(common.command.clone().or(nobody));
                cell(common.user.clone().or(common.uid.map(|uid| uid.to_string().into())));
                cell(common.container.as_ref().map(Container::title));
            }
            OwnerPart::User => cell(common.uid.map(|uid| uid.to_string().into())),
            OwnerPart::Netns => {
                let inode = common.netns.as_ref().and_then(|netns| netns.inode);
                cell(inode.map(|inode| inode.to_string().into()));
            }
            OwnerPart::Command => cell(common.user.clone()),
            OwnerPart::Container => {}
        }
    }
}

/// Columns of flows that are there only if they tell flows apart.
#[derive(Debug)]
struct Optional {
    interface: bool,
    vlan: bool,
    owner: bool,
}

impl Optional {
    fn of(table: &ReportTable<'_>, interfaces: &[&str]) -> Self {
        let tagged = |key| matches!(key, TableKey::Flow(RowKey { vlan: 1.., .. }));
        let looked = |row: &TableRow<'_>| row.owner.is_some_and(|owner| owner.reason != Reason::NotLooked);
        Self {
            interface: interfaces.len() > 1,
            vlan: table.rows.iter().any(|row| tagged(row.key)),
            owner: table.rows.iter().any(looked),
        }
    }
}

/// The columns in front of the numbers.
fn name_columns(by: GroupBy, optional: &Optional) -> Vec<Column> {
    let name = |title, fit| Column { title, align: Align::Left, fit };
    match by {
        GroupBy::Flow => {
            let mut columns = vec![name("protocol", KIND), name("local", END), name("remote", END)];
            columns.extend(optional.interface.then_some(name("iface", NAME)));
            let vlan = Column { title: "vlan", align: Align::Right, fit: Fit::Always };
            columns.extend(optional.vlan.then_some(vlan));
            columns.extend(optional.owner.then_some(name("owner", NAME)));
            columns
        }
        GroupBy::Local => vec![name("local", END)],
        GroupBy::Remote => vec![name("remote", END)],
        GroupBy::Host => vec![name("local", END), name("remote", END)],
        GroupBy::Port => vec![name("port", PORT), name("service", NAME)],
        GroupBy::Service => vec![name("service", PORT)],
        GroupBy::Protocol => vec![name("protocol", NAME)],
        GroupBy::Interface => vec![name("interface", NAME)],
        GroupBy::Subnet { .. } => vec![name("network", END)],
        GroupBy::Process => vec![
            Column { title: "pid", align: Align::Right, fit: NAME },
            name("command", NAME),
            name("user", Fit::Late),
            name("container", NAME),
        ],
        GroupBy::Command => vec![name("command", NAME), name("user", Fit::Late)],
        GroupBy::User => {
            vec![name("user", NAME), Column { title: "uid", align: Align::Right, fit: Fit::Late }]
        }
        GroupBy::Container => vec![name("container", CONTAINER)],
        GroupBy::Netns => {
            vec![name("netns", NAME), Column { title: "inode", align: Align::Right, fit: Fit::Late }]
        }
    }
}
