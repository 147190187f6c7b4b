//! Amounts as people read them: three digits and a prefix.

use std::fmt;

use clap::ValueEnum;

/// The unit of rates in text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Units {
    /// Bits per second, prefixes of 1000
    #[default]
    Bits,
    /// Bytes per second, prefixes of 1024
    Bytes,
}

/// Bits in a byte.
const BITS: f64 = 8.0;

/// A system of prefixes.
struct Prefixes {
    base: f64,
    names: [&'static str; 7],
}

const SI: Prefixes = Prefixes { base: 1000.0, names: ["", "k", "M", "G", "T", "P", "E"] };
const BINARY: Prefixes = Prefixes { base: 1024.0, names: ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] };

impl Prefixes {
    /// The amount in the largest prefix that leaves at least one digit, with three digits in all (four below a
    /// prefix's 1024), as numerals and prefix.
    fn scale(&self, amount: f64) -> (impl fmt::Display + use<>, &'static str) {
        let mut scaled = amount;
        let mut at = 0;
        // What would be rounded up to the next prefix's 1 is written in that prefix.
        while scaled >= self.base - 0.5 && at + 1 < self.names.len() {
            scaled /= self.base;
            at += 1;
        }
        let decimals = match scaled {
            _ if at == 0 => 0,
            ..9.995 => 2,
            ..99.95 => 1,
            _ => 0,
        };
        (fmt::from_fn(move |f| write!(f, "{scaled:.decimals$}")), self.names[at])
    }
}

/// A rate, in bytes per second, to print in units of which the column's title names the unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub f64, pub Units);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (numerals, prefix) = match self.1 {
            Units::Bits => SI.scale(self.0 * BITS),
            Units::Bytes => BINARY.scale(self.0),
        };
        write!(f, "{numerals}{prefix}")
    }
}

/// The unit of a [`Rate`].
pub(crate) const fn rate_unit(units: Units) -> &'static str {
    match units {
        Units::Bits => "bit/s",
        Units::Bytes => "B/s",
    }
}

/// Bytes, with the unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (numerals, prefix) = BINARY.scale(self.0 as f64);
        write!(f, "{numerals} {prefix}B")
    }
}

/// A number of things: to the last digit while that takes no more room than the prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 100_000 {
            return self.0.fmt(f);
        }
        let (numerals, prefix) = SI.scale(self.0 as f64);
        write!(f, "{numerals}{prefix}")
    }
}

/// A number to the last digit, in groups of three.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExactNumber(pub i64);

impl fmt::Display for ExactNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.unsigned_abs().to_string();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A part of a whole, in percent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percentage {
    /// The part, in the whole's unit.
    pub part: u64,
    /// The whole.
    pub whole: u64,
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of nothing, nothing is 0 %.
        let percent = self.part as f64 * 100.0 / self.whole.max(1) as f64;
        write!(f, "{percent:.1}%")
    }
}

/// `1 row`, `2 rows`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Many(pub u64, pub &'static str);

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", Number(self.0), self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits() {
        let bits = |bytes| Rate(bytes, Units::Bits).to_string();
        assert_eq!(bits(0.0), "0");
        assert_eq!(bits(0.04), "0");
        assert_eq!(bits(124.9), "999");
        assert_eq!(bits(124.95), "1.00k");
        assert_eq!(bits(1_249_300.0), "9.99M");
        assert_eq!(bits(1_249_400.0), "10.0M");
        assert_eq!(bits(154_300_000.0), "1.23G");
        assert_eq!(bits(f64::from(u32::MAX) * f64::from(u32::MAX)), "148E");
        assert_eq!(Rate(1536.0, Units::Bytes).to_string(), "1.50Ki");
    }

    #[test]
    fn sizes_are_exact_below_a_kibibyte() {
        assert_eq!(Size(0).to_string(), "0 B");
        assert_eq!(Size(1023).to_string(), "1023 B");
        assert_eq!(Size(1024).to_string(), "1.00 KiB");
        assert_eq!(Size(1024 * 1024 - 1).to_string(), "1.00 MiB");
        assert_eq!(Size(u64::MAX).to_string(), "16.0 EiB");
    }

    #[test]
    fn numbers_keep_their_digits_while_they_fit() {
        assert_eq!(Number(99_999).to_string(), "99999");
        assert_eq!(Number(100_000).to_string(), "100k");
        assert_eq!(ExactNumber(-1_234_567).to_string(), "-1,234,567");
        assert_eq!(ExactNumber(123).to_string(), "123");
        assert_eq!(ExactNumber(i64::MIN).to_string(), "-9,223,372,036,854,775,808");
        assert_eq!(Many(1, "row").to_string(), "1 row");
        assert_eq!(Many(0, "row").to_string(), "0 rows");
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(Percentage { part: 0, whole: 0 }.to_string(), "0.0%");
        assert_eq!(Percentage { part: 1, whole: 3 }.to_string(), "33.3%");
    }
}
