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
        screen::{Candidate, Picker, ShownLines},
    },
};

/// Columns of what stands before a value.
const LABEL: usize = 10;
/// Columns of a value, where there is room, and the blank before it.
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
    let name = |candidate: &Candidate| Safe::new(&candidate.name).to_string();
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
    let title = Line::styled(scene.words.title(&detail.entry), Theme::STRONG);
    let mut lines = folded(vec![title], width);
    if scene.screen.has_owners() {
        lines.extend(owners(&detail.facts.owners, scene));
    }
    lines.extend(sparklines(detail, usize::from(width), scene));
    lines.extend(numbers(detail, usize::from(width), scene));
    lines.extend(folded(facts(detail, scene), width));
    lines
}

/// Lines of text that are too long, each in as many as it takes: an address is whole, if need be in a line of its own.
pub(super) fn folded(lines: Vec<Line<'static>>, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width);
    let fold_line = |line: Line<'static>| {
        let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        let style = line.style;
        fold(&text, width, LABEL).into_iter().map(move |text| Line::styled(text, style))
    };
    lines.into_iter().flat_map(fold_line).collect()
}

/// A text in lines of at most so many characters, broken at blanks where there are any, and all but the first indented where
/// that leaves room.
fn fold(text: &str, width: usize, indent: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut rest = text;
    while !rest.is_empty() {
        // Blanks belong to the word behind them: they separate columns.
        let blanks = rest.len() - rest.trim_start().len();
        let end = rest[blanks..].find(' ').map_or(rest.len(), |end| blanks + end);
        let (word, behind) = rest.split_at(end);
        let (length, used) = (word.chars().count(), line.chars().count());
        if used + length <= width {
            line.push_str(word);
            rest = behind;
            continue;
        }
        let word = word.trim_start();
        let length = word.chars().count();
        if !line.trim().is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        line = " ".repeat(if indent + length <= width { indent } else { 0 });
        if length <= width {
            line.push_str(word);
        } else {
            let chars: Vec<char> = word.chars().collect();
            let mut pieces = chars.chunks(width.max(1)).map(|piece| piece.iter().collect::<String>());
            let last = pieces.next_back().unwrap_or_default();
            lines.extend(pieces);
            line = last;
        }
        rest = behind;
    }
    lines.push(line);
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
    // The intervals of a log are of any length.
    let finer = if scene.screen.replay { "intervals" } else { "last 40 s" };
    for (title, most, samples) in [(finer, SECONDS, seconds), ("last 10 m", KEPT, minutes)] {
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
fn numbers(detail: &Detail, width: usize, scene: &Scene<'_>) -> Vec<Line<'static>> {
    let Detail { entry, traffic, peak, .. } = detail;
    let value = (width.saturating_sub(LABEL) / 3).clamp(1, VALUE) - 1;
    let line = |title: &str, [sent, received, both]: [String; 3]| {
        Line::from(format!("{title:<LABEL$} {sent:>value$} {received:>value$} {both:>value$}"))
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
    let title = if scene.screen.replay { "peak" } else { "peak 1 s" };
    lines.push(line(title, peak.map(|rate| AmountText::rate(rate, 1.0, scene.unit()).to_string())));
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
            Some(name) => format!("{host} {name}"),
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
    let crossed = some(&facts.crossed, "interfaces", |id| Safe::new(words.interface(*id)).to_string());
    let inside = some(&facts.inside, "tunnels", |id| Safe::new(words.interface(*id)).to_string());
    let is_tunnel = |id: &InterfaceId| scene.live.crossings.tunnelled.iter().any(|(tunnel, _)| tunnel == id);
    let mut also = Vec::new();
    if !facts.crossed.is_empty() {
        also.push(("", format!("also crossed {crossed}, and is counted once (c: on each)")));
    }
    if facts.interfaces.iter().any(is_tunnel) {
        also.push(("", "inside another conversation, which has these bytes and more around them".to_owned()));
    }
    if !facts.inside.is_empty() {
        also.push(("", format!("carries what crosses {inside}, if it is that tunnel's other end")));
    }
    if let Some(rows) = scene.screen.rows_of {
        let text = format!("{interfaces}  (the log has rows of {rows}, not of flows: no ends)");
        return vec![Line::from(format!("{:<LABEL$}{text}", "interface"))];
    }
    let because = if scene.screen.replay { "the log has it so".to_owned() } else { rules.join("; ") };
    let lines = [
        ("local", format!("{}{}", hosts(&facts.local), ports(&facts.local_ports))),
        ("", format!("local because: {because}")),
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
    let lines = lines.into_iter().chain(also);
    lines.map(|(title, text)| Line::from(format!("{title:<LABEL$}{text}"))).collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_lines_go_on_below_their_values() {
        assert_eq!(fold("local     10.77.0.1  port 53", 40, 10), ["local     10.77.0.1  port 53"]);
        assert_eq!(
            fold("local     10.77.0.1  port 53", 27, 10),
            ["local     10.77.0.1  port", "          53"]
        );
        let address = "2001:db8:1111:2222:3333:4444:5555:6666";
        let line = format!("local     {address}  port 53");
        assert_eq!(fold(&line, 40, 10), ["local", address, "          port 53"]);
        assert_eq!(
            fold(&line, 20, 10),
            ["local", &address[..20], &address[20..], "          port 53"].map(str::to_owned)
        );
        assert_eq!(fold("", 20, 10), [""]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_lines_fit(text in "[a-z:]{0,20}( {1,3}[a-z0-9:.]{1,45}){0,8}", width in 1..80_usize) {
            let lines = fold(&text, width, LABEL);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= width), "{:?}", lines);
            prop_assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
            for word in text.split_whitespace().filter(|word| word.len() <= width) {
                prop_assert!(lines.iter().any(|line| line.contains(word)), "{} in {:?}", word, lines);
            }
        }
    }
}
