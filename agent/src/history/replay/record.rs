//! A record of the log as what a ledger is told.

use std::{
    hash::{DefaultHasher, Hasher as _},
    net::Ipv6Addr,
    sync::Arc,
    time::Duration,
};

use flowtally_common::{Count, settings::Layer};
use hashbrown::HashMap;

use super::{
    super::{
        fold::{Both, add},
        key::{NOWHERE, attribution, is_nobody, kind, mapped, of_part, push_fields},
        line::{IntervalLine, LineError, LogField, LoggedInterface, ReadLine, RowCounts, RowLine},
    },
    index::{IndexedFile, IndexedRecord},
};
use crate::{
    flow::{
        attached::Attached,
        event::Event,
        group::OwnerPart,
        ledger::Ledger,
        logged::LoggedAmounts,
        row::{InterfaceId, RowKey},
    },
    format::Name,
    log::Granularity,
    model::{
        owner::{Attribution, Reason},
        protocol::Kind,
    },
};

/// Owners that are remembered from record to record; beyond it begins again with none.
const OWNERS: usize = 65_536;
/// The loopback device of every network namespace.
const LOOPBACK: &str = "lo";

/// The owners that rows have had so far: many rows have the same.
#[derive(Debug, Default)]
pub struct KnownOwners {
    by_fields: HashMap<Box<[u8]>, Arc<Attribution>>,
    key: Vec<u8>,
    nobody: Option<Arc<Attribution>>,
}

impl KnownOwners {
    /// Whose a row is, and what its owner is called in the log.
    fn of(&mut self, rows: Granularity, row: &RowLine<'_>) -> Arc<Attribution> {
        self.key.clear();
        push_fields(&mut self.key, row, &LogField::OWNER);
        if let Some(known) = self.by_fields.get(&self.key[..]) {
            return Arc::clone(known);
        }
        if self.by_fields.len() >= OWNERS {
            self.by_fields.clear();
        }
        let owner = Arc::new(read_owner(rows, row));
        self.by_fields.insert(self.key.as_slice().into(), Arc::clone(&owner));
        owner
    }

    /// Nobody, of whom nothing is said.
    fn nobody(&mut self) -> Arc<Attribution> {
        let nobody = || Arc::new(Attribution { owners: Vec::new(), reason: Reason::NotLooked });
        Arc::clone(self.nobody.get_or_insert_with(nobody))
    }
}

fn read_owner(rows: Granularity, row: &RowLine<'_>) -> Attribution {
    let field = |field| row.get(field).unwrap_or_default();
    let all = LogField::OWNER.map(field);
    match rows {
        Granularity::User if !is_nobody(row, rows) => {
            of_part(OwnerPart::User, [field(LogField::Uid), field(LogField::User), &[]], &[])
        }
        Granularity::Container if !is_nobody(row, rows) => {
            of_part(OwnerPart::Container, [field(LogField::Container), &[], &[]], &[])
        }
        _ => attribution(all),
    }
}

/// A row of a record. Its key has the place of its interface in the record.
#[derive(Clone, Debug, PartialEq)]
struct ReplayedRow {
    key: RowKey,
    owner: Arc<Attribution>,
    counts: Both,
}

/// A record, ready to be told to a ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayedRecord {
    line: Box<IntervalLine>,
    rows: Vec<ReplayedRow>,
    /// What is in no row of its own, by interface.
    rest: Vec<Both>,
    filter: Option<String>,
}

/// Reads a record, line by line.
#[derive(Debug)]
pub struct RecordReading<'a> {
    file: &'a IndexedFile,
    rows: Granularity,
    owners: &'a mut KnownOwners,
    line: Option<Box<IntervalLine>>,
    found: Vec<ReplayedRow>,
    rest: Vec<Both>,
    seen: RowCounts,
    /// The first line that could not be read.
    broken: Option<(u64, LineError)>,
    number: u64,
}

impl<'a> RecordReading<'a> {
    /// Begins a record of a file. Of the granularities that it has, `rows` are read.
    pub fn new(file: &'a IndexedFile, rows: Granularity, owners: &'a mut KnownOwners) -> Self {
        Self {
            file,
            rows,
            owners,
            line: None,
            found: Vec::new(),
            rest: Vec::new(),
            seen: RowCounts::default(),
            broken: None,
            number: 0,
        }
    }

    /// Takes lines of it. All but the last are whole.
    pub fn lines(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.number += 1;
            if let Err(error) = self.line(line) {
                self.broken.get_or_insert((self.number, error));
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), LineError> {
        let wanted = self.rows;
        match self.file.shape.read(line, |rows| rows == wanted)? {
            ReadLine::Interval(line) if self.line.is_none() => self.line = Some(line),
            ReadLine::Interface(interface) => {
                if let Some(line) = &mut self.line {
                    line.interfaces.push(*interface);
                }
            }
            ReadLine::Row(rows, row) if rows == wanted => {
                self.seen.rows[rows as usize] += 1;
                let counts = self.counts(&row)?;
                let interface = self.interface(&row)?;
                let owner = match rows {
                    Granularity::Flow | Granularity::Process | Granularity::User | Granularity::Container => {
                        self.owners.of(rows, &row)
                    }
                    Granularity::Interface | Granularity::Port | Granularity::Remote => self.owners.nobody(),
                };
                let key = RowKey { interface, ..key_of(rows, &row, &self.owners.key)? };
                self.found.push(ReplayedRow { key, owner, counts });
            }
            ReadLine::Row(rows, _) | ReadLine::Skipped(rows) => self.seen.rows[rows as usize] += 1,
            ReadLine::Other(of, row) => {
                self.seen.other += 1;
                if of == wanted {
                    let counts = self.counts(&row)?;
                    let InterfaceId(place) = self.interface(&row)?;
                    let place = usize::from(place);
                    self.rest.resize(self.rest.len().max(place + 1), Both::default());
                    add(&mut self.rest[place], counts);
                }
            }
            ReadLine::Start(_) | ReadLine::Interval(_) | ReadLine::End(_) | ReadLine::Unknown => {}
        }
        Ok(())
    }

    fn counts(&self, row: &RowLine<'_>) -> Result<Both, LineError> {
        let number = self.line.as_ref().map(|line| line.number);
        if number != Some(row.number(LogField::Interval, "interval")?) {
            return Err(LineError::Place("a row of another interval"));
        }
        row.counts()
    }

    /// The place of a row's interface in the record. One that is in no line of its own is added.
    fn interface(&mut self, row: &RowLine<'_>) -> Result<InterfaceId, LineError> {
        let name = row.get(LogField::Interface).ok_or(LineError::Field("interface"))?;
        let Some(line) = &mut self.line else { return Err(LineError::Place("a row before its interval")) };
        let known = line.interfaces.iter().position(|interface| interface.name.as_bytes() == name);
        let place = known.unwrap_or_else(|| {
            line.interfaces.push(LoggedInterface { name: Name::from(name), ..LoggedInterface::default() });
            line.interfaces.len() - 1
        });
        u16::try_from(place).map(InterfaceId).map_err(|_| LineError::Field("interface"))
    }

    /// Ends the record.
    ///
    /// # Errors
    /// In words, where it is not whole: then nothing of it counts.
    pub fn finish(self) -> Result<ReplayedRecord, String> {
        let Self { file, rows, line, found, mut rest, seen, broken, .. } = self;
        let Some(line) = line else { return Err("its first line cannot be read".to_owned()) };
        if let Some((number, error)) = broken {
            return Err(format!("line {number} of it: {error}"));
        }
        rest.resize(line.interfaces.len(), Both::default());
        let record = ReplayedRecord { line, rows: found, rest, filter: file.start.filter.clone() };
        if let Some(counts) = record.line.rows.filter(|_| !(file.is_recovered && record.adds_up())) {
            let (should, are) = (counts.rows[rows as usize], seen.rows[rows as usize]);
            if should != are {
                return Err(format!("{are} of {should} rows of {rows} are there"));
            }
            if counts.other != seen.other {
                return Err(format!("{} of {} rows 'other' are there", seen.other, counts.other));
            }
        }
        Ok(record)
    }
}

/// What a row is of, but for its interface: with its ends as far as the log has them. What has none, but an owner, is told apart by that.
fn key_of(rows: Granularity, row: &RowLine<'_>, owner: &[u8]) -> Result<RowKey, LineError> {
    let end = |field| row.address(field).map_or(Ipv6Addr::UNSPECIFIED, mapped);
    let port = |field| row.parse::<u16>(field).unwrap_or(0);
    Ok(match rows {
        Granularity::Flow => RowKey {
            local: end(LogField::LocalAddress),
            remote: end(LogField::RemoteAddress),
            local_port: port(LogField::LocalPort),
            remote_port: port(LogField::RemotePort),
            vlan: port(LogField::Vlan),
            kind: kind(row)?,
            ..NOWHERE
        },
        Granularity::Remote if row.get(LogField::RemoteAddress).is_some() => {
            RowKey { remote: end(LogField::RemoteAddress), ..NOWHERE }
        }
        Granularity::Port => {
            let port = port(LogField::Port);
            RowKey { local_port: port, remote_port: port, kind: kind(row)?, ..NOWHERE }
        }
        Granularity::Process | Granularity::User | Granularity::Container => {
            RowKey { local: number_of(owner), kind: Kind::Frame(0), ..NOWHERE }
        }
        // Whatever protocol a row without a remote address is of, it is not IP.
        Granularity::Remote | Granularity::Interface => RowKey { kind: Kind::Frame(0), ..NOWHERE },
    })
}

/// A number for a text, of so many bits that no two have the same.
fn number_of(text: &[u8]) -> Ipv6Addr {
    let [high, low] = [1_u64, 2].map(|seed| {
        // The same in every run.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(seed);
        hasher.write(text);
        u128::from(hasher.finish())
    });
    Ipv6Addr::from_bits(high << 64 | low)
}

impl ReplayedRecord {
    /// Whether rows and what is in none come to what the interfaces say.
    fn adds_up(&self) -> bool {
        let mut all: Vec<Both> = self.rest.clone();
        for ReplayedRow { key, counts, .. } in &self.rows {
            add(&mut all[usize::from(key.interface.0)], *counts);
        }
        self.line.interfaces.iter().zip(all).all(|(interface, sum)| interface.rows == Some(sum))
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.line.number
    }

    /// How many rows it has.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// What of it is in no row of its own, in bytes.
    #[must_use]
    pub fn beyond_rows(&self) -> u64 {
        self.rest.iter().flatten().fold(0, |sum, count| sum.saturating_add(count.bytes))
    }

    /// What it says is less than it could be, a sentence each.
    #[must_use]
    pub fn degraded(&self) -> &[String] {
        &self.line.degraded
    }

    /// The capture filter that was in place, as it was written.
    #[must_use]
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// Tells a ledger that stands at the end of the record before what this one brought; the open interval is still to be closed.
    pub fn apply(self, ledger: &mut Ledger) {
        let Self { line, rows, rest, .. } = self;
        let IntervalLine { interfaces, late_ticks, .. } = *line;
        let mut ids = Vec::with_capacity(interfaces.len());
        let mut sums = rest.clone();
        for ReplayedRow { key, counts, .. } in &rows {
            add(&mut sums[usize::from(key.interface.0)], *counts);
        }
        for ((interface, rest), sum) in interfaces.into_iter().zip(rest).zip(sums) {
            let (id, unparsed) = tell(interface, rest, sum, ledger);
            ids.push(id);
            if let Some(event) = unparsed {
                ledger.apply(event);
            }
        }
        for ReplayedRow { key, owner, counts } in rows {
            let Some(Some(interface)) = ids.get(usize::from(key.interface.0)) else { continue };
            ledger.apply(Event::Row { row: RowKey { interface: *interface, ..key }, owner, counts });
        }
        if late_ticks > 0 {
            ledger.apply(Event::Late(late_ticks));
        }
    }
}

/// Tells a ledger of an interface. The result is what the ledger calls it, and a row of what could not be parsed.
fn tell(
    interface: LoggedInterface,
    rest: Both,
    [_, received]: Both,
    ledger: &mut Ledger,
) -> (Option<InterfaceId>, Option<Event>) {
    let LoggedInterface { name, index, hook, degraded, counted, ingress, egress, .. } = interface;
    let name = name.to_string();
    let attached = Attached {
        loopback: name == LOOPBACK,
        name,
        index,
        layer: Layer::Ethernet,
        hook,
        degraded,
        counters: Default::default(),
    };
    let known = ledger.interface_of(&attached.name);
    let name = attached.name.clone();
    if known.is_none() || !ledger.is_attached_as(&attached) {
        ledger.apply(Event::Attach(Box::new(attached)));
    }
    let id = ledger.interface_of(&name);
    // Of what is in no row the log has the sum of both directions. What came in beside what was received is of it, where nothing is
    // forwarded.
    let came_in = less(ingress, received);
    let in_of = |all: Count, of: Count| Count {
        bytes: all.bytes.min(of.bytes),
        packets: all.packets.min(of.packets),
    };
    let unparsed_in = in_of(interface.unparsed, came_in);
    let untracked_in = in_of(interface.untracked, less(came_in, unparsed_in));
    let unparsed = [unparsed_in, less(interface.unparsed, unparsed_in)];
    let untracked = [untracked_in, less(interface.untracked, untracked_in)];
    let directions =
        if ingress.is_zero() && egress.is_zero() { [counted, Count::default()] } else { [ingress, egress] };
    let amounts = LoggedAmounts {
        counted: directions,
        untracked,
        unparsed,
        left_out: interface.left_out,
        filtered: interface.filtered,
        residue: interface.residue,
        rest,
    };
    ledger.apply(Event::Logged { index, amounts: Box::new(amounts) });
    let row = id.filter(|_| !interface.unparsed.is_zero()).map(|interface| Event::Row {
        row: RowKey { kind: Kind::Unparsed(0), interface, ..NOWHERE },
        owner: Arc::new(Attribution { owners: Vec::new(), reason: Reason::NotLooked }),
        counts: [unparsed[1], unparsed[0]],
    });
    (id, row)
}

/// `count` without `other`, as far as there is any.
const fn less(count: Count, other: Count) -> Count {
    Count {
        bytes: count.bytes.saturating_sub(other.bytes),
        packets: count.packets.saturating_sub(other.packets),
    }
}

/// Closes the interval of a record in a ledger that stands at the end of the one before; with it, where time is missing between the two, an
/// interval of that, in which nothing is known to have been counted. `tell` tells the ledger what the record brought.
pub fn step(
    ledger: &mut Ledger,
    record: &IndexedRecord,
    tell: impl FnOnce(&mut Ledger),
    mut closed: impl FnMut(&Ledger),
) {
    let end = Duration::from_millis(record.over);
    if record.gap > 0 {
        let begin = end.saturating_sub(record.length_of_time());
        ledger.apply(Event::Close { end: begin, is_last: false });
        closed(ledger);
    }
    tell(ledger);
    ledger.apply(Event::Close { end, is_last: false });
    closed(ledger);
}
