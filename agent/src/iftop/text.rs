//! Text mode: reports of 92 columns; of more where an end takes more, unless it is cut as iftop does.

use std::fmt::Write;

use super::{
    label::Label,
    number::{AmountText, Unit},
    options::IftopOptions,
    pair::{ListedPair, PairAmounts},
    view::{Surroundings, totals},
};
use crate::flow::snapshot::Snapshot;

/// Columns of a report.
const WIDTH: usize = 92;
/// Columns of a host with its port.
const HOST: usize = 40;
/// Columns of what stands left of the numbers.
const LEFT: usize = 48;

/// The first line of the output, before any report.
#[must_use]
pub fn listening_on(interface: &str) -> String {
    format!("Listening on {interface}\n")
}

/// A report, with the empty line that ends it. Of the pairs only the first `num_lines` are listed.
#[must_use]
pub fn report(
    snapshot: &Snapshot,
    pairs: &[ListedPair],
    options: &IftopOptions,
    around: &Surroundings<'_>,
) -> String {
    let listed = &pairs[..pairs.len().min(options.num_lines)];
    let mut report = TextReport {
        text: String::new(),
        seconds: snapshot.window_seconds,
        unit: options.rate_unit(),
        wider: wider(listed, options, around),
    };
    report
        .line("   # Host name (port/service if enabled)", &["last 2s", "last 10s", "last 40s", "cumulative"]);
    report.rule('-');
    for (number, pair) in (1..).zip(listed) {
        report.pair(number, pair, options, around);
    }
    report.rule('-');
    report.totals(snapshot);
    report.rule('=');
    report.text.push('\n');
    report.text
}

/// Columns by which the longest end is longer than iftop has room for.
fn wider(pairs: &[ListedPair], options: &IftopOptions, around: &Surroundings<'_>) -> usize {
    if options.cut_ends {
        return 0;
    }
    let ends =
        pairs.iter().flat_map(|pair| [&pair.key.left, &pair.key.right].map(|end| (end, pair.key.kind)));
    let widths = ends.map(|(end, kind)| Label::new(end, kind, options, around.names).whole_for_text());
    widths.max().unwrap_or(0).saturating_sub(HOST)
}

struct TextReport {
    text: String,
    seconds: [f64; 3],
    unit: Unit,
    /// Columns that are more than iftop's.
    wider: usize,
}

impl TextReport {
    fn line(&mut self, left: &str, columns: &[&str]) {
        let width = LEFT + self.wider;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{left:<width$}");
        for column in columns {
            let _ = write!(self.text, " {column:>10}");
        }
        self.text.push('\n');
    }

    fn rule(&mut self, of: char) {
        self.text.extend(std::iter::repeat_n(of, WIDTH + self.wider));
        self.text.push('\n');
    }

    fn amounts(&mut self, left: &str, amounts: &[AmountText]) {
        let columns: Vec<String> = amounts.iter().map(ToString::to_string).collect();
        self.line(left, &columns.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn rates(&self, amounts: PairAmounts) -> [AmountText; 3] {
        std::array::from_fn(|window| {
            AmountText::rate(amounts.recent[window], self.seconds[window], self.unit)
        })
    }

    fn pair(&mut self, number: usize, pair: &ListedPair, options: &IftopOptions, around: &Surroundings<'_>) {
        let host = HOST + self.wider;
        let label = |end| Label::new(end, pair.key.kind, options, around.names).fit_for_text(host);
        for (left, amounts) in [
            (format!("{number:>4} {} =>", label(&pair.key.left)), pair.sent),
            (format!("     {} <=", label(&pair.key.right)), pair.received),
        ] {
            let [two, ten, forty] = self.rates(amounts);
            self.amounts(&left, &[two, ten, forty, AmountText::total(amounts.bytes)]);
        }
    }

    fn totals(&mut self, snapshot: &Snapshot) {
        let totals = totals(snapshot);
        let both = totals.sent.plus(totals.received);
        let directions = [
            ("Total send rate:", totals.sent),
            ("Total receive rate:", totals.received),
            ("Total send and receive rate:", both),
        ];
        for (left, amounts) in directions {
            self.amounts(left, &self.rates(amounts));
        }
        self.rule('-');
        let peak = [totals.peak.sent, totals.peak.received, totals.peak.total];
        self.amounts(
            "Peak rate (sent/received/total):",
            &peak.map(|rate| AmountText::rate(rate, 1.0, self.unit)),
        );
        let cumulative = [totals.sent.bytes, totals.received.bytes, both.bytes];
        self.amounts("Cumulative (sent/received/total):", &cumulative.map(AmountText::total));
    }
}

#[cfg(test)]
mod tests;
