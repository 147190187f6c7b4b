//! The scale above the list, and how long a bar is.

use crate::iftop::{
    number::{AmountText, Base, Unit},
    options::IftopOptions,
};

/// Right ends of the automatic scale, in bits per second. The first seven are iftop's.
const STEPS: [f64; 11] = [64e3, 128e3, 256e3, 1e6, 10e6, 100e6, 1e9, 10e9, 100e9, 400e9, 1e12];
/// Sections of the linear scale.
const SECTIONS: u32 = 5;
/// The first label of the logarithmic scale, in bits per second.
const FIRST_DECADE: f64 = 10.0;
/// Above this maximum the logarithmic scale has a label for every other decade.
const MANY_DECADES: f64 = 100e6;

/// The automatic scale: the smallest step that fits all bars that were ever on the screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Automatic {
    maximum: f64,
}

impl Default for Automatic {
    fn default() -> Self {
        Self { maximum: STEPS[0] }
    }
}

impl Automatic {
    /// Takes note of the longest bar, in bits per second. The scale never shrinks.
    pub(super) fn fit(&mut self, rate: f64) {
        if rate > self.maximum {
            // Beyond the last step there is no link; a counter gone wrong must still end up on the screen.
            self.maximum = STEPS.into_iter().find(|step| *step >= rate).unwrap_or(rate);
        }
    }
}

/// What turns rates into columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// In bits per second.
    maximum: f64,
    logarithmic: bool,
    unit: Unit,
    columns: u16,
}

/// A tick of the scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// Its column; the last one may be just off the screen.
    pub column: u16,
    /// Its label, and the column where that starts.
    pub label: String,
    /// Where the label starts.
    pub label_column: u16,
}

impl Scale {
    /// The scale of a screen: the maximum that was asked for, or else the automatic one.
    #[must_use]
    pub(super) fn new(options: &IftopOptions, automatic: Automatic, columns: u16) -> Self {
        Self {
            maximum: options.max_bandwidth.map_or(automatic.maximum, |bits| bits as f64),
            logarithmic: options.log_scale,
            unit: options.rate_unit(),
            columns,
        }
    }

    /// The column of a rate in bits per second: with a fixed maximum it may be off the screen.
    fn column(&self, rate: f64) -> u16 {
        let share = if rate <= 0.0 {
            0.0
        } else if !self.logarithmic {
            rate / self.maximum
        } else if self.maximum > 1.0 {
            rate.ln() / self.maximum.ln()
        } else {
            0.0
        };
        // A saturating conversion, and nothing for what is no number.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded down on purpose, and clamped"
        )]
        let column = (share * f64::from(self.columns)).clamp(0.0, f64::from(u16::MAX)) as u16;
        column
    }

    /// How many columns a bar takes: one more than the rate's column, none in column 0, and never more than there are.
    #[must_use]
    pub(super) fn bar(&self, rate: f64) -> u16 {
        match self.column(rate) {
            0 => 0,
            column => column.saturating_add(1).min(self.columns),
        }
    }

    /// The ticks and their labels, from left to right.
    #[must_use]
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let rates: Vec<f64> = if self.logarithmic {
            let step = if self.maximum > MANY_DECADES { 100.0 } else { 10.0 };
            std::iter::successors(Some(FIRST_DECADE), |rate| Some(rate * step))
                .take_while(|rate| *rate <= self.maximum)
                .collect()
        } else {
            (1..=SECTIONS).map(|section| self.maximum * f64::from(section) / f64::from(SECTIONS)).collect()
        };
        let base = if self.logarithmic { Base::Decimal } else { Base::Binary };
        let per_bit = match self.unit {
            Unit::Bits => 1.0,
            Unit::Bytes => 1.0 / 8.0,
        };
        rates
            .into_iter()
            .map(|rate| {
                let column = self.column(rate);
                let label = AmountText::new(rate * per_bit, self.unit, base).to_string();
                let last = usize::from(self.columns).saturating_sub(label.len());
                let label_column = column.min(u16::try_from(last).unwrap_or(u16::MAX));
                Tick { column, label, label_column }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scale(maximum: u64, logarithmic: bool, columns: u16) -> Scale {
        let options =
            IftopOptions { max_bandwidth: Some(maximum), log_scale: logarithmic, ..IftopOptions::default() };
        Scale::new(&options, Automatic::default(), columns)
    }

    fn labels(scale: &Scale) -> String {
        let labels: Vec<String> = scale
            .ticks()
            .iter()
            .map(|tick| format!("{}@{}/{}", tick.label, tick.column, tick.label_column))
            .collect();
        labels.join(" ")
    }

    #[test]
    fn linear_labels_stand_at_fifths_and_stay_on_the_screen() {
        let at = |maximum| labels(&scale(maximum, false, 100));
        assert_eq!(at(100 << 20), "20.0Mb@20/20 40.0Mb@40/40 60.0Mb@60/60 80.0Mb@80/80 100Mb@100/95");
        assert_eq!(at(1 << 30), "205Mb@20/20 410Mb@40/40 614Mb@60/60 819Mb@80/80 1.00Gb@100/94");
        assert_eq!(at(10 << 10), "2.00Kb@20/20 4.00Kb@40/40 6.00Kb@60/60 8.00Kb@80/80 10.0Kb@100/94");
        assert_eq!(at(500), "100b@20/20 200b@40/40 300b@60/60 400b@80/80 500b@100/96");
    }

    #[test]
    fn logarithmic_labels_stand_at_decades() {
        assert_eq!(labels(&scale(10 << 10, true, 100)), "10b@24/24 100b@49/49 1.00Kb@74/74 10.0Kb@99/94");
        assert_eq!(labels(&scale(500, true, 100)), "10b@37/37 100b@74/74");
        assert_eq!(
            labels(&scale(1 << 30, true, 100)),
            "10b@11/11 1.00Kb@33/33 100Kb@55/55 10.0Mb@77/77 1.00Gb@99/94"
        );
    }

    #[test]
    fn labels_are_in_bytes_if_rates_are() {
        let options = IftopOptions { use_bytes: true, ..IftopOptions::default() };
        let scale = Scale::new(&options, Automatic::default(), 100);
        assert_eq!(labels(&scale), "1.56KB@20/20 3.12KB@40/40 4.69KB@60/60 6.25KB@80/80 7.81KB@100/94");
    }

    #[test]
    fn bars_have_one_cell_more_than_their_column() {
        let megabit = scale(1 << 20, false, 100);
        assert_eq!(megabit.bar(281.0 * 1024.0), 28);
        assert_eq!(megabit.bar(0.0), 0);
        assert_eq!(megabit.bar(10_000.0), 0);
        assert_eq!(megabit.bar(10_500.0), 2);
        assert_eq!(megabit.bar(1e18), 100);
        assert_eq!(scale(1 << 20, true, 100).bar(1.0), 0);
        assert_eq!(scale(1, true, 100).bar(5.0), 0);
    }

    #[test]
    fn the_automatic_scale_takes_the_smallest_step_that_fits_and_never_shrinks() {
        let mut automatic = Automatic::default();
        let mut after = |rate| {
            automatic.fit(rate);
            automatic.maximum
        };
        let expected = [64e3, 64e3, 128e3, 1e6, 1e6, 10e9, 100e9, 400e9, 1e12, 3e12, 3e12];
        let rates = [0.0, 64e3, 90e3, 480e3, 50e3, 9.9e9, 10.1e9, 200e9, 1e12, 3e12, 5.0];
        assert_eq!(
            rates.map(&mut after).map(|maximum| maximum.to_string()),
            expected.map(|maximum| maximum.to_string())
        );
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_screen(maximum in 1_u64.., rate in prop::num::f64::ANY, columns in 0_u16..500, logarithmic: bool) {
            let scale = scale(maximum, logarithmic, columns);
            prop_assert!(scale.bar(rate) <= columns);
            for tick in scale.ticks() {
                prop_assert!(tick.column <= columns);
                let end = usize::from(tick.label_column) + tick.label.len();
                prop_assert!(end <= usize::from(columns).max(tick.label.len()));
            }
        }
    }
}
