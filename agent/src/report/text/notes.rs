//! What the tables do not say: how the counts stand beside the kernel's own, and what was lost, late or left out.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use flowtally_common::Count;

use super::{labels, paragraph};
use crate::{
    flow::{
        row::Crossed,
        snapshot::{Crossings, Follows, InterfaceView, Reconciliation, Snapshot},
    },
    format::{
        Safe,
        grid::{Align, Column, Fit, Grid},
        numbers::{ExactNumber, Many, Number, Size},
    },
    model::protocol::{Kind, unparsed_reason},
    report::fields,
};

/// Says what crosses several interfaces and how that is counted; nothing where nothing does.
pub(super) fn crossings(out: &mut impl Write, snapshot: &Snapshot, width: usize) -> io::Result<()> {
    let Crossings { by_interface, one_sided, tunnelled, .. } = &snapshot.crossings;
    let names = fields::interface_names(snapshot);
    let name = |id| Safe::new(fields::interface_name(&names, id));
    let mut notes = Vec::new();
    if !by_interface.is_empty() {
        let all = by_interface.iter().map(|Crossed { interface, sent, received }| {
            let mut count = *sent;
            count.add(*received);
            format!("{} {}", name(*interface), amount(count))
        });
        notes.push(format!(
            "Counted once: the same frames crossed more interfaces than the one that they are counted on: {}. These amounts are \
             in no total, row or share above, but in the counts of the interfaces below; --per-interface counts each crossing.",
            all.collect::<Vec<_>>().join(", ")
        ));
    }
    if !one_sided.is_zero() {
        notes.push(format!(
            "May be counted twice: {} passed this host and were seen on one side only. If their addresses are translated (NAT), \
             they are another conversation on the other side; else it was not measured, or they were dropped.",
            amount(*one_sided)
        ));
    }
    if !tunnelled.is_empty() {
        let all =
            tunnelled.iter().map(|(interface, count)| format!("{} {}", name(*interface), amount(*count)));
        notes.push(format!(
            "Inside others: what went through tunnels ({}) travels, with more around it, in conversations of the interfaces \
             below them, and counts there too if those are measured.",
            all.collect::<Vec<_>>().join(", ")
        ));
    }
    if notes.is_empty() {
        return Ok(());
    }
    notes.iter().try_for_each(|note| paragraph(out, width, note))?;
    writeln!(out)
}

/// Prints the reconciliation, a table and then sentences.
pub(super) fn reconciliation(out: &mut impl Write, snapshot: &Snapshot, width: usize) -> io::Result<()> {
    paragraph(out, width, "Counted beside the kernel's own counters")?;
    let sides: Vec<_> = sides(snapshot).filter(|side| !side.is_silent()).collect();
    if sides.is_empty() {
        paragraph(out, width, "Both counted nothing.")?;
    } else {
        table(&sides).write(out, width)?;
        follows(out, &sides, width)?;
    }
    if sides.iter().any(|side| side.amounts.residue_bytes != 0 || side.amounts.residue_packets != 0) {
        paragraph(
            out,
            width,
            "Residue: what the kernel counted that flowtally did not see, or with a minus sign the other way \
             round. Frames on their way while the programs were attached or let go are in one and not in the other.",
        )?;
    }
    let went = list(sides.iter().filter(|side| side.went_with_its_counters()), |_| None);
    if !went.is_empty() {
        paragraph(
            out,
            width,
            &format!(
                "Gone while it was measured: {went}. A virtual device does not tell what it received when its other end \
                 is gone, so that this residue is no loss."
            ),
        )?;
    }
    degraded(out, &snapshot.interfaces, width)
}

/// One direction of an interface.
struct DirectionNotes<'a> {
    interface: &'a InterfaceView,
    direction: &'static str,
    amounts: &'a Reconciliation,
}

impl DirectionNotes<'_> {
    /// The kernel's last word on a device that goes has not all that it had counted: a veth's received frames are counted by its peer,
    /// which it has no longer (`veth_get_stats64`).
    fn went_with_its_counters(&self) -> bool {
        self.interface.hook == "none" && self.amounts.residue_packets < 0
    }

    fn is_silent(&self) -> bool {
        let Reconciliation { counted, kernel, residue_bytes, residue_packets, .. } = self.amounts;
        counted.is_zero() && kernel.is_zero() && *residue_bytes == 0 && *residue_packets == 0
    }
}

fn sides(snapshot: &Snapshot) -> impl Iterator<Item = DirectionNotes<'_>> {
    snapshot.interfaces.iter().flat_map(|interface| {
        [("sent", &interface.egress), ("received", &interface.ingress)]
            .map(|(direction, amounts)| DirectionNotes { interface, direction, amounts })
    })
}

fn table(sides: &[DirectionNotes<'_>]) -> Grid {
    let mut grid = counters_grid(true);
    for DirectionNotes { interface, direction, amounts } in sides {
        grid.cell(Safe::new(&interface.name));
        grid.cell(labels::hook(interface));
        grid.cell(direction);
        let residue = [amounts.residue_bytes, amounts.residue_packets];
        counters_cells(&mut grid, amounts.counted, amounts.kernel, residue);
    }
    grid
}

/// A table of what interfaces counted beside the kernel's own counters, with a line for each direction or for both together.
pub(crate) fn counters_grid(by_direction: bool) -> Grid {
    let column = |title, fit| Column { title, align: Align::Right, fit };
    let name = |title, fit| Column { title, align: Align::Left, fit };
    let mut columns = vec![name("interface", Fit::Always), name("hook", Fit::Spare)];
    columns.extend(by_direction.then(|| name("", Fit::Always)));
    let names = columns.len();
    columns.extend(
        ["counted", "packets", "kernel", "packets", "residue B", "packets"]
            .map(|title| column(title, Fit::Always)),
    );
    Grid::new(columns).with_second_line(names + 2..names + 6)
}

/// The cells of such a line behind its names.
pub(crate) fn counters_cells(grid: &mut Grid, counted: Count, kernel: Count, residue: [i64; 2]) {
    for count in [counted, kernel] {
        grid.cell(Size(count.bytes));
        grid.cell(Number(count.packets));
    }
    for amount in residue {
        grid.cell(ExactNumber(amount));
    }
}

/// Says what the kernel's counters count, as far as it differs from the wire also why `counted` and `kernel` differ
/// without a residue.
fn follows(out: &mut impl Write, sides: &[DirectionNotes<'_>], width: usize) -> io::Result<()> {
    const ALL: [(Follows, &str); 6] = [
        (Follows::Wire, "frames as they are on the wire"),
        (Follows::SuperPackets, "super-packets, before they are cut into frames or after they are joined"),
        (Follows::WithoutOffloadedTags, "frames on the wire less the VLAN tags that are offloaded"),
        (
            Follows::SuperPacketsWithoutOffloadedTags,
            "super-packets, before they are cut into frames or after they are joined, less the VLAN tags that are \
             offloaded",
        ),
        (Follows::WithoutHeader, "frames without a link-layer header"),
        (Follows::SuperPacketsWithoutHeader, "super-packets without a link-layer header"),
    ];
    for (follows, words) in ALL {
        let compared = sides.iter().filter(|side| side.amounts.follows == follows);
        let names = list(compared.filter(|side| !side.went_with_its_counters()), |_| None);
        if !names.is_empty() {
            paragraph(out, width, &format!("The kernel's counters follow {words}: {names}."))?;
        }
    }
    Ok(())
}

/// `eth0 sent 1.00 KiB, eth0 received`
fn list<'a>(
    sides: impl Iterator<Item = &'a DirectionNotes<'a>>,
    amount: impl Fn(&Reconciliation) -> Option<Count>,
) -> String {
    let side = |side: &DirectionNotes<'_>| {
        let name = Safe::new(&side.interface.name);
        match amount(side.amounts) {
            Some(count) => format!("{name} {} {}", side.direction, Size(count.bytes)),
            None => format!("{name} {}", side.direction),
        }
    };
    sides.map(side).collect::<Vec<_>>().join(", ")
}

/// Each reason why something is less than it could be, once, with its interfaces.
fn degraded(out: &mut impl Write, interfaces: &[InterfaceView], width: usize) -> io::Result<()> {
    let mut reasons: Vec<(&str, Vec<&InterfaceView>)> = Vec::new();
    for interface in interfaces {
        for reason in &interface.degraded {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, affected)) => affected.push(interface),
                None => reasons.push((reason, vec![interface])),
            }
        }
    }
    for (reason, affected) in reasons {
        let names: Vec<_> = affected
            .into_iter()
            .map(|interface| format!("{} ({})", Safe::new(&interface.name), labels::hook(interface)))
            .collect();
        paragraph(out, width, &format!("Degraded on {}: {}", names.join(", "), reason))?;
    }
    Ok(())
}

/// Says in words what is not in the rows, or not as it should be; nothing where there is nothing to say.
pub(super) fn losses(out: &mut impl Write, snapshot: &Snapshot, width: usize) -> io::Result<()> {
    let mut notes = Vec::new();
    notes.extend(untracked(snapshot));
    notes.extend(unparsed(snapshot));
    let outside = snapshot.outside_boundary;
    if !outside.is_zero() {
        notes.push(format!(
            "Outside the boundary: {} did not cross the net filter (-F, -G) and are in no row and no total.",
            amount(outside)
        ));
    }
    if !snapshot.filtered_out.is_zero() {
        let by = if snapshot.filter_by_packets {
            "It was applied to packets, in the kernel (libpcap)."
        } else {
            "It was applied to flows, after counting (libpcap could not be had)."
        };
        notes.push(format!(
            "Filtered out: {} did not match the filter (-f) and are in no row and no total. {by}",
            amount(snapshot.filtered_out)
        ));
    }
    if snapshot.late_ticks > 0 {
        notes.push(format!(
            "Late: {} took more than half as long again as planned. No bytes are lost, and rates divide by the time \
             measured; peaks may be lower than they were. The machine was busy.",
            Many(snapshot.late_ticks, "interval")
        ));
    }
    let reasons = snapshot.owners_degraded.iter();
    notes.extend(
        reasons.map(|reason| format!("Owners: {}", reason.strip_prefix("owners: ").unwrap_or(reason))),
    );
    if !notes.is_empty() {
        writeln!(out)?;
    }
    notes.iter().try_for_each(|note| paragraph(out, width, note))
}

fn untracked(snapshot: &Snapshot) -> Option<String> {
    let sides: Vec<_> = sides(snapshot).filter(|side| !side.amounts.untracked.is_zero()).collect();
    let sum = sum(sides.iter().map(|side| side.amounts.untracked))?;
    let place = match snapshot.filter {
        None => "They are in the totals, but in no row.",
        Some(_) if snapshot.filter_by_packets => {
            "They match the filter (-f) and are in the totals, but in no row."
        }
        Some(_) => "They are in no row and, whether the filter (-f) means them or not, in no total.",
    };
    Some(format!(
        "Untracked: {} found no room in the flow table ({}). {place} Raise --max-flows to have them in rows.",
        amount(sum),
        list(sides.iter(), |amounts| Some(amounts.untracked)),
    ))
}

fn unparsed(snapshot: &Snapshot) -> Option<String> {
    let sides: Vec<_> = sides(snapshot).filter(|side| !side.amounts.unparsed.is_zero()).collect();
    let sum = sum(sides.iter().map(|side| side.amounts.unparsed))?;
    let mut reasons: BTreeMap<u8, u64> = BTreeMap::new();
    for (key, traffic) in &snapshot.rows {
        if let Kind::Unparsed(reason) = key.kind {
            let packets = traffic.sent.packets.saturating_add(traffic.received.packets);
            let known = reasons.entry(reason).or_default();
            *known = known.saturating_add(packets);
        }
    }
    let reasons = reasons
        .into_iter()
        .map(|(reason, packets)| format!("{} {}", Many(packets, "packet"), unparsed_reason(reason)))
        .collect::<Vec<_>>()
        .join(", ");
    Some(format!(
        "Unparsed: {} could not be told apart by flow: {reasons} ({}). They are in rows of \
         the protocol 'unparsed'.",
        amount(sum),
        list(sides.iter(), |amounts| Some(amounts.unparsed)),
    ))
}

/// The sum, if there is anything to add up.
fn sum(counts: impl Iterator<Item = Count>) -> Option<Count> {
    counts.reduce(|mut sum, count| {
        sum.add(count);
        sum
    })
}

/// `1.00 KiB in 3 packets`
fn amount(count: Count) -> String {
    format!("{} in {}", Size(count.bytes), Many(count.packets, "packet"))
}
