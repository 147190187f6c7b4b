//! Amounts as iftop prints them: three significant digits and a unit.

use std::fmt;

/// What an amount is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bits: `b`, `Kb`, `Mb`, `Gb`.
    Bits,
    /// Bytes: `B`, `KB`, `MB`, `GB`.
    Bytes,
}

impl Unit {
    /// From the smallest; amounts beyond the last get more digits.
    const fn symbols(self) -> [&'static str; 4] {
        match self {
            Self::Bits => ["b", "Kb", "Mb", "Gb"],
            Self::Bytes => ["B", "KB", "MB", "GB"],
        }
    }

    /// How many of this unit a byte is.
    const fn per_byte(self) -> f64 {
        match self {
            Self::Bits => 8.0,
            Self::Bytes => 1.0,
        }
    }
}

/// What `K`, `M` and `G` stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// 1024 and its powers: everything but what follows.
    Binary,
    /// 1000 and its powers: the labels of the logarithmic scale.
    Decimal,
}

/// An amount ready to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmountText {
    digits: String,
    symbol: &'static str,
}

impl AmountText {
    /// An amount in its own unit. It moves to the next unit at 1000, not at the divisor: 1000 bytes are `0.98KB`.
    #[must_use]
    pub fn new(mut value: f64, unit: Unit, base: Base) -> Self {
        let divisor = match base {
            Base::Binary => 1024.0,
            Base::Decimal => 1000.0,
        };
        let [first, larger @ ..] = unit.symbols();
        let mut symbol = first;
        let mut decimals = 0;
        for next in larger {
            if value < 1000.0 {
                break;
            }
            value /= divisor;
            symbol = next;
            decimals = match value {
                ..10.0 => 2,
                ..100.0 => 1,
                _ => 0,
            };
        }
        Self { digits: format!("{value:.decimals$}"), symbol }
    }

    /// The rate of `bytes` in `seconds`; 0 while no time has passed.
    #[must_use]
    pub fn rate(bytes: u64, seconds: f64, unit: Unit) -> Self {
        let per_second = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
        Self::new(per_second * unit.per_byte(), unit, Base::Binary)
    }

    /// A total: iftop gives totals in bytes even where rates are in bits.
    #[must_use]
    pub fn total(bytes: u64) -> Self {
        Self::new(bytes as f64, Unit::Bytes, Base::Binary)
    }

    /// The text of a screen's column: a blank, then the number right-aligned in four places, then the unit, so that
    /// numbers and not units stand below each other.
    #[must_use]
    pub fn column(&self) -> String {
        format!(" {:>4}{}", self.digits, self.symbol)
    }
}

impl fmt::Display for AmountText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{}", self.digits, self.symbol))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(value: f64, bits: &str, bytes: &str) {
        assert_eq!(AmountText::new(value, Unit::Bits, Base::Binary).to_string(), bits, "{value} bits");
        assert_eq!(AmountText::new(value, Unit::Bytes, Base::Binary).to_string(), bytes, "{value} bytes");
    }

    #[test]
    fn the_unit_changes_at_1000_and_decimals_at_10_and_100() {
        check(0.0, "0b", "0B");
        check(1.0, "1b", "1B");
        check(840.0, "840b", "840B");
        check(999.0, "999b", "999B");
        check(1000.0, "0.98Kb", "0.98KB");
        check(1023.0, "1.00Kb", "1.00KB");
        check(1024.0, "1.00Kb", "1.00KB");
        check(2000.0, "1.95Kb", "1.95KB");
        check(9999.0, "9.76Kb", "9.76KB");
        check(10_240.0, "10.0Kb", "10.0KB");
        check(100_000.0, "97.7Kb", "97.7KB");
        check(102_400.0, "100Kb", "100KB");
        check(145_408.0, "142Kb", "142KB");
        check(1_163_919.0, "1.11Mb", "1.11MB");
        check(1_073_741_824.0, "1.00Gb", "1.00GB");
    }

    #[test]
    fn rounding_may_widen_a_number() {
        check(10_239.0, "10.00Kb", "10.00KB");
        check(999.6, "1000b", "1000B");
    }

    #[test]
    fn the_last_unit_takes_any_size() {
        check(1e6 * 1_073_741_824.0, "1000000Gb", "1000000GB");
        assert_eq!(AmountText::total(u64::MAX).to_string(), "17179869184GB");
        assert_eq!(AmountText::rate(u64::MAX, 1.0, Unit::Bits).to_string(), "137438953472Gb");
    }

    #[test]
    fn scale_labels() {
        // Five labels of the 64000 bit scale, and of the same in bytes: a tie in the last digit goes to the even one.
        let labels = |top: f64, unit| {
            [1.0, 2.0, 3.0, 4.0, 5.0].map(|i| AmountText::new(top * i / 5.0, unit, Base::Binary).to_string())
        };
        assert_eq!(labels(64_000.0, Unit::Bits), ["12.5Kb", "25.0Kb", "37.5Kb", "50.0Kb", "62.5Kb"]);
        assert_eq!(labels(8_000.0, Unit::Bytes), ["1.56KB", "3.12KB", "4.69KB", "6.25KB", "7.81KB"]);
        assert_eq!(labels(104_857_600.0, Unit::Bits), ["20.0Mb", "40.0Mb", "60.0Mb", "80.0Mb", "100Mb"]);
        let decimal = |value| AmountText::new(value, Unit::Bits, Base::Decimal).to_string();
        assert_eq!(
            [10.0, 100.0, 1000.0, 1e4, 1e5, 1e6, 1e9].map(decimal),
            ["10b", "100b", "1.00Kb", "10.0Kb", "100Kb", "1.00Mb", "1.00Gb"]
        );
    }

    #[test]
    fn rates_are_in_the_wanted_unit_and_totals_in_bytes() {
        assert_eq!(AmountText::rate(200_000, 2.0, Unit::Bits).to_string(), "781Kb");
        assert_eq!(AmountText::rate(200_000, 2.0, Unit::Bytes).to_string(), "97.7KB");
        assert_eq!(AmountText::rate(200_000, 0.0, Unit::Bytes).to_string(), "0B");
        assert_eq!(AmountText::total(498_688).to_string(), "487KB");
    }

    #[test]
    fn columns_align_numbers() {
        let column = |value| AmountText::new(value, Unit::Bits, Base::Binary).column();
        assert_eq!(column(0.0), "    0b");
        assert_eq!(column(840.0), "  840b");
        assert_eq!(column(800_000.0), "  781Kb");
        assert_eq!(column(8_000.0), " 7.81Kb");
        assert_eq!(format!("{:>10}", AmountText::total(0)), "        0B");
    }

    proptest! {
        #[test]
        fn any_total_is_printed_within_its_last_digit(bytes: u64) {
            let text = AmountText::total(bytes).to_string();
            let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let (number, symbol) = text.split_at(at);
            let power = Unit::Bytes.symbols().iter().position(|known| *known == symbol).unwrap();
            let unit = 1024_f64.powi(i32::try_from(power).unwrap());
            let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            let step = 10_f64.powi(-i32::try_from(decimals).unwrap());
            let error = (number.parse::<f64>().unwrap() - bytes as f64 / unit).abs();
            prop_assert!(error <= step * 0.5001, "{bytes}: {text}");
            if symbol != "GB" {
                prop_assert!(number.len() <= 5, "{bytes}: {text}");
            }
        }

        #[test]
        fn bits_are_eight_times_bytes(bytes: u64) {
            let bits = AmountText::new(bytes as f64 * 8.0, Unit::Bits, Base::Binary);
            prop_assert_eq!(AmountText::rate(bytes, 1.0, Unit::Bits), bits);
        }
    }
}
