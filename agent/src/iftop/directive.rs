//! Directives: the names of all settings, and values for some of them as they were written.
//!
//! Options of the command line are directives too, so that one place ([`resolve`](super::resolve)) says what a value
//! means and what is wrong with it, wherever it came from.

use std::collections::BTreeMap;

/// A setting's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is explained at the field of `Options` that it sets")]
pub enum Directive {
    Interface,
    DnsResolution,
    PortResolution,
    FilterCode,
    ShowBars,
    Promiscuous,
    PortDisplay,
    LinkLocal,
    HideSource,
    HideDestination,
    UseBytes,
    Sort,
    LineDisplay,
    ShowTotals,
    LogScale,
    MaxBandwidth,
    NetFilter,
    NetFilter6,
    ScreenFilter,
    NoCurses,
    TimedOutput,
    NumLines,
}

impl Directive {
    /// Every directive.
    pub const ALL: [Self; 22] = [
        Self::Interface,
        Self::DnsResolution,
        Self::PortResolution,
        Self::FilterCode,
        Self::ShowBars,
        Self::Promiscuous,
        Self::PortDisplay,
        Self::LinkLocal,
        Self::HideSource,
        Self::HideDestination,
        Self::UseBytes,
        Self::Sort,
        Self::LineDisplay,
        Self::ShowTotals,
        Self::LogScale,
        Self::MaxBandwidth,
        Self::NetFilter,
        Self::NetFilter6,
        Self::ScreenFilter,
        Self::NoCurses,
        Self::TimedOutput,
        Self::NumLines,
    ];

    /// Its name in a configuration file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::DnsResolution => "dns-resolution",
            Self::PortResolution => "port-resolution",
            Self::FilterCode => "filter-code",
            Self::ShowBars => "show-bars",
            Self::Promiscuous => "promiscuous",
            Self::PortDisplay => "port-display",
            Self::LinkLocal => "link-local",
            Self::HideSource => "hide-source",
            Self::HideDestination => "hide-destination",
            Self::UseBytes => "use-bytes",
            Self::Sort => "sort",
            Self::LineDisplay => "line-display",
            Self::ShowTotals => "show-totals",
            Self::LogScale => "log-scale",
            Self::MaxBandwidth => "max-bandwidth",
            Self::NetFilter => "net-filter",
            Self::NetFilter6 => "net-filter6",
            Self::ScreenFilter => "screen-filter",
            Self::NoCurses => "no-curses",
            Self::TimedOutput => "timed-output",
            Self::NumLines => "num-lines",
        }
    }

    /// The directive with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|directive| directive.name() == name)
    }
}

/// Values for some directives, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives(BTreeMap<Directive, String>);

impl Directives {
    /// Gives a directive a value, in place of one it may have: of equal options the last counts.
    pub fn set(&mut self, directive: Directive, value: impl Into<String>) {
        self.0.insert(directive, value.into());
    }

    /// The value of a directive that has one.
    #[must_use]
    pub fn get(&self, directive: Directive) -> Option<&str> {
        self.0.get(&directive).map(String::as_str)
    }

    /// These values, and those of `other` for directives that have none here: the command line is asked first, the
    /// configuration file second.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (directive, value) in other.0 {
            self.0.entry(directive).or_insert(value);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_is_found_by_its_name() {
        for directive in Directive::ALL {
            assert_eq!(Directive::named(directive.name()), Some(directive));
        }
        assert_eq!(Directive::named("Sort"), None);
    }

    #[test]
    fn the_command_line_comes_first() {
        let mut command_line = Directives::default();
        command_line.set(Directive::Sort, "2s");
        command_line.set(Directive::Sort, "40s");
        let mut file = Directives::default();
        file.set(Directive::Sort, "source");
        file.set(Directive::UseBytes, "yes");
        let both = command_line.or(file);
        assert_eq!(both.get(Directive::Sort), Some("40s"));
        assert_eq!(both.get(Directive::UseBytes), Some("yes"));
        assert_eq!(both.get(Directive::Interface), None);
    }
}
