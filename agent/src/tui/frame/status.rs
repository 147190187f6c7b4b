//! The rule above the totals, and what it says: always where and how the numbers came about, and what is not as it should
//! be as soon as it is.

use ratatui::style::Style;

use super::{Canvas, Layout, Scene, Theme};
use crate::{
    flow::{group::GroupBy, row::Counting, snapshot::InterfaceView},
    format::Safe,
    iftop::{number::AmountText, options::PairOrder},
    tui::list::Grouping,
};

/// Interfaces that are named one by one.
const NAMED: usize = 3;
/// What stands where something was left out.
const MORE: &str = "...";

/// A part of the rule. Where there is not room for all, the one with the least weight is left out first.
struct RulePart {
    weight: u8,
    text: String,
    style: Style,
}

/// Draws the rule.
pub(super) fn rule(canvas: &mut Canvas<'_>, layout: &Layout, scene: &Scene<'_>) {
    let Some(line) = layout.rule else { return };
    canvas.fill(line, scene.theme.rule(), Style::new());
    let width = usize::from(canvas.size.width);
    let mut parts = parts(scene);
    let mut complete = true;
    // Between and around the parts there are a blank, a piece of the rule and a blank.
    let columns = |parts: &[RulePart], complete: bool| {
        let more = if complete { 0 } else { MORE.len() + 3 };
        1 + more + parts.iter().map(|part| part.text.chars().count() + 3).sum::<usize>()
    };
    while columns(&parts, complete) > width && parts.len() > 1 {
        let Some(least) = (0..parts.len()).min_by_key(|place| parts[*place].weight) else { break };
        parts.remove(least);
        complete = false;
    }
    if !complete {
        parts.push(RulePart { weight: 0, text: MORE.to_owned(), style: Style::new() });
    }
    let mut column = 1_u16;
    for RulePart { text, style, .. } in parts {
        let text = format!(" {text} ");
        canvas.text(column, line, &text, canvas.size.width.saturating_sub(column), style);
        column = column.saturating_add(u16::try_from(text.chars().count() + 1).unwrap_or(u16::MAX));
    }
}

/// What there is to say, from left to right.
fn parts(scene: &Scene<'_>) -> Vec<RulePart> {
    let (screen, theme) = (scene.screen, scene.theme);
    let options = &screen.options;
    let part = |weight, text: String, style| RulePart { weight, text, style };
    let plain = |weight, text| part(weight, text, Style::new());
    let mut parts = vec![plain(20, interfaces(&scene.live.interfaces))];
    for (before, (note, is_bad)) in (0_u8..).zip(scene.notes) {
        let weight = match (screen.replay, *is_bad) {
            // Of a log the first thing to know is which time of it this is.
            (true, _) => 40_u8.saturating_sub(before),
            (false, true) => 21,
            (false, false) => 18,
        };
        parts.push(part(weight, note.clone(), if *is_bad { theme.trouble() } else { Style::new() }));
    }
    if screen.grouping != Grouping(GroupBy::Flow) {
        let by = screen.grouping.name();
        parts.push(match screen.rows_of {
            Some(rows) => plain(30, format!("by {by} ({rows} rows)")),
            None => plain(if screen.replay { 30 } else { 8 }, format!("by {by}")),
        });
    }
    parts.push(plain(7, format!("sort {}", sort(options.sort))));
    let filter = options.filter_code.as_deref();
    parts.push(plain(
        if filter.is_some() { 9 } else { 6 },
        format!("filter {}", Safe::new(filter.unwrap_or("none"))),
    ));
    if let Some(filter) = options.screen_filter.as_deref().filter(|_| screen.filter.is_some()) {
        parts.push(plain(9, format!("only {}", Safe::new(filter))));
    }
    if screen.counting == Counting::PerInterface {
        parts.push(plain(10, "per interface".to_owned()));
    }
    for (is, text) in [(options.paused, "PAUSED"), (options.frozen, "FROZEN")] {
        if is {
            parts.push(part(19, text.to_owned(), Theme::STRONG));
        }
    }
    // The first of them is the worst.
    parts.extend(
        (10..19).rev().zip(troubles(scene)).map(|(weight, text)| part(weight, text, theme.trouble())),
    );
    parts
}

/// `eth0 (tcx)`, `eth0, lo (tcx)`, `eth0 (tcx), lo (clsact)`, `12 interfaces (tcx)`.
fn interfaces(interfaces: &[InterfaceView]) -> String {
    let hooks: Vec<&str> = interfaces.iter().map(|interface| interface.hook.as_str()).collect();
    let name = |interface: &InterfaceView| Safe::new(&interface.name).to_string();
    let same = hooks.windows(2).all(|pair| pair[0] == pair[1]);
    match interfaces {
        [] => "no interface".to_owned(),
        [first, ..] if same && interfaces.len() <= NAMED => {
            let names: Vec<String> = interfaces.iter().map(name).collect();
            format!("{} ({})", names.join(", "), first.hook)
        }
        [..] if interfaces.len() <= NAMED => {
            let each: Vec<String> = interfaces
                .iter()
                .map(|interface| format!("{} ({})", name(interface), interface.hook))
                .collect();
            each.join(", ")
        }
        [first, ..] => {
            let hook = if same { first.hook.as_str() } else { "several hooks" };
            format!("{} interfaces ({hook})", interfaces.len())
        }
    }
}

const fn sort(sort: PairOrder) -> &'static str {
    match sort {
        PairOrder::TwoSeconds => "2s",
        PairOrder::TenSeconds => "10s",
        PairOrder::FortySeconds => "40s",
        PairOrder::Source => "source",
        PairOrder::Destination => "destination",
    }
}

/// What is not as it should be. The details are on the page of the interfaces.
fn troubles(scene: &Scene<'_>) -> Vec<String> {
    let live = scene.live;
    let mut troubles = Vec::new();
    let sides = || live.interfaces.iter().flat_map(|interface| [&interface.ingress, &interface.egress]);
    let untracked: u64 = sides().map(|side| side.untracked.bytes).sum();
    if untracked > 0 {
        troubles.push(format!("untracked {}", AmountText::total(untracked)));
    }
    let unparsed: u64 = sides().map(|side| side.unparsed.packets).sum();
    if unparsed > 0 {
        troubles.push(format!("unparsed {unparsed} packets"));
    }
    let residue: i64 = live.interfaces.iter().map(|interface| scene.residue.of(interface.id)).sum();
    if residue != 0 {
        let sign = if residue < 0 { "-" } else { "" };
        troubles.push(format!("residue {sign}{}", AmountText::total(residue.unsigned_abs())));
    }
    if live.late_ticks > 0 {
        troubles.push(format!("late ticks {}", live.late_ticks));
    }
    let degraded: Vec<&str> = live
        .interfaces
        .iter()
        .filter(|interface| !interface.degraded.is_empty())
        .map(|interface| interface.name.as_str())
        .collect();
    if let Some(reason) = scene.owners_degraded.first().filter(|_| scene.screen.looks()) {
        // All of it is on a row's page.
        troubles.push(format!("owners: {}", short(reason)));
    }
    match degraded[..] {
        [] => {}
        [name] => troubles.push(format!("degraded {}", Safe::new(name))),
        [..] => troubles.push(format!("degraded {} interfaces", degraded.len())),
    }
    troubles
}

/// What a sentence says before it says why.
fn short(sentence: &str) -> &str {
    let sentence = sentence.trim_start_matches("owners: ").trim_start_matches("owners are ");
    sentence.split([':', ';', '.', ',', '(']).next().unwrap_or(sentence).trim_end()
}
