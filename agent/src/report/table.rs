//! The step that all formats share: which rows there are, and in which order.

use std::cmp::Ordering;

use super::{
    rates,
    request::{ReportDirection, ReportRequest, ReportSort},
};
use crate::{
    flow::{
        group::{GroupBy, GroupKey},
        row::{Crossed, Lane, RowKey, Traffic},
        snapshot::Snapshot,
    },
    model::owner::Attribution,
};

/// The rows of one grouping: sorted, and cut where the request ends.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportTable<'a> {
    /// What the rows were folded by.
    pub by: GroupBy,
    /// The rows, highest first.
    pub rows: Vec<TableRow<'a>>,
    /// What the rows that were cut off amount to.
    pub rest: Rest,
    /// What is in no row of its own, because a log holds only the largest: of tables from a log.
    pub other: Option<OtherRows>,
}

/// What a log holds of rows together, and of none alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtherRows {
    /// How many, at least.
    pub rows: u64,
    /// What they amount to.
    pub traffic: Traffic,
}

/// Rows that are not in a table because it was cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// How many.
    pub rows: usize,
    /// Their frame bytes in the request's direction.
    pub bytes: u64,
}

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableRow<'a> {
    /// What it is.
    pub key: TableKey<'a>,
    /// What it sent and received.
    pub traffic: &'a Traffic,
    /// Whose a conversation is; `None` for groups, and where owners are no matter.
    pub owner: Option<&'a Attribution>,
    /// The other interfaces that a conversation crossed, where it is not counted.
    pub crossings: &'a [Crossed],
    /// The amount it is sorted by: kept beside the references because a million rows are compared twenty times
    /// each, and following two of them each time costs more than the sort.
    rank: u64,
}

/// What a row of a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableKey<'a> {
    /// A conversation.
    Flow(&'a RowKey),
    /// A group of conversations.
    Group(&'a GroupKey),
}

/// One table for each grouping asked, in that order, each only once.
#[must_use]
pub fn tables<'a>(snapshot: &'a Snapshot, request: &ReportRequest) -> Vec<ReportTable<'a>> {
    request.groupings().map(|by| table(snapshot, request, by)).collect()
}

/// The interfaces that no row is of: all that they counted is untracked, or was filtered.
pub(crate) fn silent_interfaces(snapshot: &Snapshot) -> Vec<GroupKey> {
    let rows = snapshot.groups.iter().find(|(by, _)| *by == GroupBy::Interface).map(|(_, rows)| rows);
    let has_row = |id| rows.is_some_and(|rows| rows.iter().any(|(key, _)| *key == GroupKey::Interface(id)));
    let silent = snapshot.interfaces.iter().map(|interface| interface.id).filter(|id| !has_row(*id));
    silent.map(GroupKey::Interface).collect()
}

impl<'a> TableRow<'a> {
    /// A row of an interface that sent and received `nothing`.
    pub(crate) const fn silent(key: &'a GroupKey, nothing: &'a Traffic) -> Self {
        Self { key: TableKey::Group(key), traffic: nothing, owner: None, crossings: &[], rank: 0 }
    }
}

/// The table of one grouping.
pub(super) fn table<'a>(snapshot: &'a Snapshot, request: &ReportRequest, by: GroupBy) -> ReportTable<'a> {
    if by == GroupBy::Flow {
        let owners = snapshot.owners.iter().map(|owner| Some(&**owner)).chain(std::iter::repeat(None));
        let crossings = &snapshot.crossings.by_row;
        let rows = snapshot.rows.iter().zip(owners).enumerate().map(|(place, ((key, traffic), owner))| {
            let crossings = crossings.get(&place).map(Vec::as_slice).unwrap_or_default();
            TableRow { key: TableKey::Flow(key), traffic, owner, crossings, rank: 0 }
        });
        return cut(by, request, rows);
    }
    let groups = snapshot.groups.iter().find(|(kept, _)| *kept == by).map(|(_, groups)| groups.as_slice());
    debug_assert!(groups.is_some(), "the ledger was not asked to group by {by:?}");
    let groups = groups.unwrap_or_default();
    let group = |(key, traffic)| TableRow {
        key: TableKey::Group(key),
        traffic,
        owner: None,
        crossings: &[][..],
        rank: 0,
    };
    cut(by, request, groups.iter().map(|(key, traffic)| group((key, traffic))))
}

/// Sorts rows and takes the first.
fn cut<'a>(by: GroupBy, request: &ReportRequest, all: impl Iterator<Item = TableRow<'a>>) -> ReportTable<'a> {
    let mut rows = Vec::with_capacity(all.size_hint().0);
    rows.extend(all.filter_map(|row| {
        let lane = rates::lane(row.traffic, request.direction);
        let silent = lane.bytes == 0 && lane.packets == 0;
        let counts = request.direction == ReportDirection::Both || !silent;
        counts.then(|| TableRow { rank: rank(&lane, request.sort), ..row })
    }));

    let mut rest = Rest::default();
    let limit = request.limit();
    if limit < rows.len() {
        // Finding the first N is linear; only they are sorted.
        rows.select_nth_unstable_by(limit, |a, b| order(a, b, request.direction));
        for row in rows.drain(limit..) {
            rest.rows += 1;
            rest.bytes = rest.bytes.saturating_add(rates::lane(row.traffic, request.direction).bytes);
        }
        rows.shrink_to_fit();
    }
    rows.sort_unstable_by(|a, b| order(a, b, request.direction));
    ReportTable { by, rows, rest, other: None }
}

/// The amount that `sort` stands for. All rows share the windows' lengths, so that bytes order as rates do.
fn rank(lane: &Lane, sort: ReportSort) -> u64 {
    match sort {
        ReportSort::Bytes => lane.bytes,
        ReportSort::Packets => lane.packets,
        ReportSort::Last2 => lane.recent[0],
        ReportSort::Last10 => lane.recent[1],
        ReportSort::Last40 => lane.recent[2],
        ReportSort::Peak => lane.peak,
    }
}

/// Highest first; equals by bytes (at `2s`, most rows have been silent), then by key, so that the same snapshot
/// gives the same report.
fn order(a: &TableRow<'_>, b: &TableRow<'_>, direction: ReportDirection) -> Ordering {
    let bytes = |row: &TableRow<'_>| rates::lane(row.traffic, direction).bytes;
    let order = b.rank.cmp(&a.rank).then_with(|| bytes(b).cmp(&bytes(a))).then_with(|| a.key.cmp(&b.key));
    order.then_with(|| a.owner.cmp(&b.owner))
}
