//! Text mode: reports of 92 columns.

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
pub fn report(snapshot: &Snapshot, pairs: &[Pair], options: &Options, around: &Surroundings<'_>) -> String {
    let mut report =
        Report { text: String::new(), seconds: snapshot.window_seconds, unit: options.rate_unit() };
    report
        .line("   # Host name (port/service if enabled)", &["last 2s", "last 10s", "last 40s", "cumulative"]);
    report.rule('-');
    for (number, pair) in (1..).zip(pairs.iter().take(options.num_lines)) {
        report.pair(number, pair, options, around);
    }
    report.rule('-');
    report.totals(snapshot);
    report.rule('=');
    report.text.push('\n');
    report.text
}

struct Report {
    text: String,
    seconds: [f64; 3],
    unit: Unit,
}

impl TextReport {
    fn line(&mut self, left: &str, columns: &[&str]) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{left:<LEFT$}");
        for column in columns {
            let _ = write!(self.text, " {column:>10}");
        }
        self.text.push('\n');
    }

    fn rule(&mut self, of: char) {
        self.text.extend(std::iter::repeat_n(of, WIDTH));
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

    fn pair(&mut self, number: usize, pair: &Pair, options: &Options, around: &Surroundings<'_>) {
        let label = |end| Label::new(end, pair.key.kind, options, around.names).fit_for_text(HOST);
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
