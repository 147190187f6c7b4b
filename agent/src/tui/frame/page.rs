//! Pages in the place of the list: a text, everything about one entry, the interfaces to choose from.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{Canvas, Layout, Scene, Theme, wrap};
use crate::{
    flow::row::InterfaceId,
    format::{Safe, moment::rfc3339},
    iftop::number::AmountText,
    model::{
        owner::{Attribution, Owner},
        protocol::Kind,
    },
    tui::{
        detail::{Detail, SECONDS, rates},
        minutes::KEPT,
        screen::{Lines, Picker},
        words::printable,
    },
};

/// Columns of what stands before a value.
const LABEL: usize = 10;
/// Columns of a value.
const VALUE: usize = 16;
/// Values of one kind that are named one by one.
const NAMED: usize = 3;

/// A text, as much of it as there is room for.
pub(super) fn text(canvas: &mut Canvas<'_>, layout: &Layout, text: &[Line<'_>], lines: ShownLines) {
    for (place, line) in layout.rows.clone().zip(text.iter().skip(lines.first)) {
        canvas.line(0, place, line);
    }
    let hidden = text.len().saturating_sub(lines.first + layout.rows.len());
    if let Some(last) = layout.rows.clone().last().filter(|_| hidden > 0) {
        canvas.clear(last);
        canvas.text(0, last, &format!("{} more lines: Down", hidden + 1), u16::MAX, Theme::FAINT);
    }
}

/// The interfaces. Where there is more to say of the one that keys act on than has room in its line, it is below them.
pub(super) fn interfaces(canvas: &mut Canvas<'_>, layout: &Layout, picker: &Picker, scene: &Scene<'_>) {
    let width = canvas.size.width;
    let title = "Interfaces to show: Space chooses, Enter shows, Esc goes back";
    canvas.text(0, layout.rows.start, title, width, Theme::STRONG);
    let names = picker.candidates.iter().map(|candidate| name(candidate).chars().count()).max().unwrap_or(0);
    let lines = layout.rows.clone().skip(1);
    for (place, (line, candidate)) in lines.zip(picker.candidates.iter().skip(picker.first)).enumerate() {
        let mark = if candidate.chosen { 'x' } else { ' ' };
        let text = format!(" [{mark}] {:<names$}  {}", name(candidate), candidate.about);
        canvas.text(0, line, &text, width, Style::new());
        if picker.first + place == picker.cursor {
            canvas.style(line, u16::MAX, Theme::bar(scene.theme.sent()));
        }
    }
    let Some(candidate) = picker.candidates.get(picker.cursor) else { return };
    if names + candidate.about.chars().count() + 7 <= usize::from(width) {
        return;
    }
    let used = picker.candidates.len().saturating_sub(picker.first) + 2;
    let free = layout.rows.clone().skip(used);
    for (line, text) in free.zip(wrap(&candidate.about, usize::from(width).saturating_sub(2))) {
        canvas.text(1, line, &text, width, Style::new());
    }
}

/// Everything about one entry.
pub(super) fn detail(detail: &Detail, width: u16, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled(scene.words.title(&detail.entry), Theme::STRONG)];
    lines.extend(owners(&detail.facts.owners, scene));
    lines.extend(sparklines(detail, usize::from(width), scene));
    lines.extend(numbers(detail, scene));
    lines.extend(facts(detail, scene));
    lines
}

/// What it did in the last seconds and minutes.
fn sparklines(detail: &Detail, width: usize, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let seconds: Vec<_> = detail
        .seconds
        .iter()
        .map(|interval| Some(rates(interval)).map(|[sent, received, _]| [sent, received]))
        .collect();
    let minutes: Vec<_> = scene
        .minutes
        .of(&detail.entry.key)
        .into_iter()
        .map(|sample| sample.map(|bytes| bytes.map(|bytes| bytes / 10)))
        .collect();
    let mut lines = Vec::new();
    for (title, most, samples) in [("last 40 s", SECONDS, seconds), ("last 10 m", KEPT, minutes)] {
        let room = width.saturating_sub(2 * LABEL + 12).min(most);
        let newest = &samples[samples.len().saturating_sub(room)..];
        let highest = newest.iter().flatten().flatten().copied().max().unwrap_or(0);
        for (way, (name, style)) in
            [("sent", scene.theme.sent()), ("received", scene.theme.received())].into_iter().enumerate()
        {
            let marks: String = newest
                .iter()
                .map(|sample| scene.theme.spark(sample.map_or(0, |sample| eighths(sample[way], highest))))
                .collect();
            let title = if way == 0 { title } else { "" };
            let own = newest.iter().flatten().map(|sample| sample[way]).max().unwrap_or(0);
            let most_of_it = format!(" max{}", AmountText::rate(own, 1.0, scene.unit()).column());
            lines.push(Line::from(vec![
                Span::raw(format!("{title:<LABEL$}{name:<LABEL$}")),
                Span::styled(format!("{marks:>room$}"), style),
                Span::raw(most_of_it),
            ]));
        }
    }
    lines
}

/// How high a small bar is. What is not nothing can be seen.
fn eighths(value: u64, highest: u64) -> usize {
    let eighths = (u128::from(value) * 8).div_ceil(u128::from(highest.max(1)));
    usize::try_from(eighths).unwrap_or(usize::MAX)
}

/// Rates, peak and totals each way.
fn numbers(detail: &Detail, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let Detail { entry, traffic, peak, .. } = detail;
    let line = |title: &str, [sent, received, both]: [String; 3]| {
        Line::from(format!("{title:<LABEL$}{sent:>VALUE$}{received:>VALUE$}{both:>VALUE$}"))
    };
    let sums = |of: fn(&crate::flow::row::Lane) -> u64| {
        let (sent, received) = (of(&traffic.sent), of(&traffic.received));
        [sent, received, sent.saturating_add(received)]
    };
    let (bytes, packets) = (sums(|lane| lane.bytes), sums(|lane| lane.packets));
    let mut lines = vec![line("", ["sent", "received", "both"].map(str::to_owned))];
    for (window, title) in ["2 s", "10 s", "40 s"].into_iter().enumerate() {
        let (sent, received) = (entry.sent.recent[window], entry.received.recent[window]);
        let rates = [sent, received, sent.saturating_add(received)];
        lines.push(line(title, rates.map(|bytes| scene.rate(bytes, window).trim().to_owned())));
    }
    lines.push(line("peak 1 s", peak.map(|rate| Amount::rate(rate, 1.0, scene.unit()).to_string())));
    lines.push(line("bytes", bytes.map(grouped)));
    lines.push(line("packets", packets.map(grouped)));
    let mean = |way: usize| match packets[way] {
        0 => "-".to_owned(),
        packets => format!("{} B", (bytes[way] + packets / 2) / packets),
    };
    lines.push(line("mean size", [mean(0), mean(1), mean(2)]));
    lines
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Who its ends are.
fn facts(detail: &Detail, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let facts = &detail.facts;
    let words = &scene.words;
    let hosts = |hosts: &BTreeSet<IpAddr>| {
        some(hosts, "hosts", |host| match words.names.hosts.get(host).filter(|_| words.options.dns) {
            Some(name) => format!("{host} {}", name.replace(char::is_control, "?")),
            None => host.to_string(),
        })
    };
    let ports = |ports: &BTreeSet<(Kind, u16)>| {
        if ports.is_empty() {
            return String::new();
        }
        let list =
            some(ports, "ports", |(kind, port)| match (*port, words.names.services.name(*kind, *port)) {
                (0, _) => "unknown".to_owned(),
                (port, Some(service)) => format!("{port} {service}"),
                (port, None) => port.to_string(),
            });
        if ports.len() == 1 { format!("  port {list}") } else { format!("  ports {list}") }
    };
    let rules: Vec<String> = facts.rules.iter().map(ToString::to_string).collect();
    let interfaces = some(&facts.interfaces, "interfaces", |id| {
        let hook = words
            .interfaces
            .iter()
            .find(|interface| interface.id == *id)
            .map_or("none", |interface| &interface.hook);
        format!("{} ({hook})", Safe::new(words.interface(*id)))
    });
    let vlans =
        some(&facts.vlans, "VLANs", |vlan| if *vlan == 0 { "none".to_owned() } else { vlan.to_string() });
    let lines = [
        ("local", format!("{}{}", hosts(&facts.local), ports(&facts.local_ports))),
        ("", format!("local because: {}", rules.join("; "))),
        ("remote", format!("{}{}", hosts(&facts.remote), ports(&facts.remote_ports))),
        (
            "protocol",
            format!(
                "{}  interface {interfaces}  VLAN {vlans}  flows {}",
                some(&facts.kinds, "protocols", ToString::to_string),
                detail.flows
            ),
        ),
    ];
    lines.into_iter().map(|(title, text)| Line::from(format!("{title:<LABEL$}{text}"))).collect()
}

/// Whose it is: of a few owners everything, of more their names.
fn owners(attributions: &BTreeSet<Arc<Attribution>>, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut known: Vec<&Owner> = Vec::new();
    for Attribution { owners, reason } in attributions.iter().map(|attribution| &**attribution) {
        if let Some(nobody) = reason.nobody().filter(|_| owners.is_empty()) {
            blocks.push(vec![format!("{nobody}: {}", reason.because())]);
        }
        for owner in owners {
            if known.iter().any(|before| before.id == owner.id) {
                continue;
            }
            known.push(owner);
            let shared = match owners.len() - 1 {
                0 => String::new(),
                1 => ", with 1 other".to_owned(),
                others => format!(", with {others} others"),
            };
            blocks.push(about(owner, &format!("{}{shared}", reason.because())));
        }
    }
    if blocks.len() > NAMED {
        for block in &mut blocks {
            block.truncate(1);
        }
    }
    let lines = blocks.into_iter().flatten().chain(scene.owners_degraded.iter().cloned());
    let titles = std::iter::once("owner").chain(std::iter::repeat(""));
    titles.zip(lines).map(|(title, text)| Line::from(format!("{title:<LABEL$}{text}"))).collect()
}

/// Everything of an owner.
fn about(owner: &Owner, because: &str) -> Vec<String> {
    let Owner { id, start_time, command, executable, uid, user, container, netns } = owner;
    let since = start_time.map_or_else(String::new, |moment| format!("  since {}", rfc3339(moment)));
    let user = match (user, uid) {
        (Some(user), Some(uid)) => format!("{user} ({uid})"),
        (None, Some(uid)) => uid.to_string(),
        (Some(user), None) => user.to_string(),
        (None, None) => "-".to_owned(),
    };
    let or = |text: Option<String>, without: &str| text.unwrap_or_else(|| without.to_owned());
    vec![
        format!("{command}  pid {}  user {user}{since}", id.pid),
        format!("runs {}  because {because}", or(executable.as_ref().map(ToString::to_string), "-")),
        format!(
            "container {}  netns {}",
            or(container.as_ref().map(ToString::to_string), "none"),
            or(netns.as_ref().map(ToString::to_string), "-"),
        ),
    ]
}

/// The files that owners have open.
pub(super) fn files(lines: &[String]) -> Vec<Line<'static>> {
    lines.iter().map(|line| Line::from(line.clone())).collect()
}

/// A few values one by one, more of them as a number.
fn some<T>(values: &BTreeSet<T>, what: &str, text: impl Fn(&T) -> String) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    if values.len() <= NAMED {
        return values.iter().map(text).collect::<Vec<_>>().join(", ");
    }
    format!("{} {what}", values.len())
}
