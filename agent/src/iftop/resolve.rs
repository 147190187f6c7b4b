//! From the texts of directives to options.

use thiserror::Error;

use super::{
    directive::{Directive, Directives},
    options::{IftopOptions, LineDisplay, PairOrder, PortDisplay},
};
use crate::{
    flow::boundary::{BoundaryError, Ipv4Boundary, Ipv6Boundary},
    format::Safe,
};

/// A value that was not understood; the default stays.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Not one of the words that the directive knows.
    #[error("Invalid enumeration value \"{value}\" for directive \"{}\"", directive.name(), value = Safe::new(.value))]
    Enumeration {
        /// What was written.
        value: String,
        /// Where.
        directive: Directive,
    },
    /// Something else than k, m, g or b after the number of `max-bandwidth`.
    #[error("Invalid units in value: {name}", name = Safe::new(.0))]
    Units(String),
    /// `max-bandwidth` without a number.
    #[error("Error reading rate: {name}", name = Safe::new(.0))]
    Rate(String),
    /// `net-filter` or `net-filter6`.
    #[error(transparent)]
    Boundary(#[from] BoundaryError),
}

impl ValueError {
    /// Whose value it is.
    #[must_use]
    pub const fn directive(&self) -> Directive {
        match self {
            Self::Enumeration { directive, .. } => *directive,
            Self::Units(_) | Self::Rate(_) => Directive::MaxBandwidth,
            Self::Boundary(
                BoundaryError::Form(_)
                | BoundaryError::Address(_)
                | BoundaryError::Mask(_)
                | BoundaryError::Length(_),
            ) => Directive::NetFilter,
            Self::Boundary(
                BoundaryError::Form6(_)
                | BoundaryError::Address6(_)
                | BoundaryError::Mask6(_)
                | BoundaryError::Length6(_),
            ) => Directive::NetFilter6,
        }
    }
}

const SORTS: &[(&str, PairOrder)] = &[
    ("2s", PairOrder::TwoSeconds),
    ("10s", PairOrder::TenSeconds),
    ("40s", PairOrder::FortySeconds),
    ("source", PairOrder::Source),
    ("destination", PairOrder::Destination),
];

const LINE_DISPLAYS: &[(&str, LineDisplay)] = &[
    ("two-line", LineDisplay::TwoLine),
    ("one-line-both", LineDisplay::OneLineBoth),
    ("one-line-sent", LineDisplay::OneLineSent),
    ("one-line-received", LineDisplay::OneLineReceived),
];

const PORT_DISPLAYS: &[(&str, PortDisplay)] = &[
    ("off", PortDisplay::Off),
    ("source-only", PortDisplay::Source),
    ("destination-only", PortDisplay::Destination),
    ("on", PortDisplay::On),
];

/// The words that a directive knows; none if its values are not words.
#[must_use]
pub fn words(directive: Directive) -> Vec<&'static str> {
    fn of<T>(known: &[(&'static str, T)]) -> Vec<&'static str> {
        known.iter().map(|(word, _)| *word).collect()
    }
    match directive {
        Directive::Sort => of(SORTS),
        Directive::LineDisplay => of(LINE_DISPLAYS),
        Directive::PortDisplay => of(PORT_DISPLAYS),
        _ => Vec::new(),
    }
}

/// What the directives say, defaults for the rest and for what was not understood, and complaints about the latter
/// in the order in which iftop prints them.
#[must_use]
pub fn resolve(directives: &Directives) -> (IftopOptions, Vec<ValueError>) {
    let default = IftopOptions::default();
    let values = Values(directives);
    let mut errors = Vec::new();
    let options = IftopOptions {
        sort: keep(values.one_of(Directive::Sort, SORTS), &mut errors).unwrap_or_default(),
        line_display: keep(values.one_of(Directive::LineDisplay, LINE_DISPLAYS), &mut errors)
            .unwrap_or_default(),
        max_bandwidth: keep(values.parsed(Directive::MaxBandwidth, bandwidth), &mut errors).flatten(),
        port_display: keep(values.one_of(Directive::PortDisplay, PORT_DISPLAYS), &mut errors)
            .unwrap_or_default(),
        net_filter: keep(values.parsed(Directive::NetFilter, Ipv4Boundary::parse), &mut errors),
        net_filter6: keep(values.parsed(Directive::NetFilter6, Ipv6Boundary::parse), &mut errors),
        interface: values.text(Directive::Interface),
        dns: values.switch(Directive::DnsResolution, default.dns),
        port_resolution: values.switch(Directive::PortResolution, default.port_resolution),
        filter_code: values.text(Directive::FilterCode),
        show_bars: values.switch(Directive::ShowBars, default.show_bars),
        promiscuous: values.switch(Directive::Promiscuous, default.promiscuous),
        link_local: values.switch(Directive::LinkLocal, default.link_local),
        hide_source: values.switch(Directive::HideSource, default.hide_source),
        hide_destination: values.switch(Directive::HideDestination, default.hide_destination),
        use_bytes: values.switch(Directive::UseBytes, default.use_bytes),
        show_totals: values.switch(Directive::ShowTotals, default.show_totals),
        log_scale: values.switch(Directive::LogScale, default.log_scale),
        screen_filter: values.text(Directive::ScreenFilter),
        text_mode: values.switch(Directive::NoCurses, default.text_mode),
        timed_output: values.number(Directive::TimedOutput).filter(|seconds| *seconds > 0),
        num_lines: values
            .number(Directive::NumLines)
            .map_or(default.num_lines, |lines| usize::try_from(lines).unwrap_or(usize::MAX)),
        frozen: default.frozen,
        paused: default.paused,
        cut_ends: default.cut_ends,
    };
    (options, errors)
}

/// Puts an error aside.
fn keep<T, E: Into<ValueError>>(value: Result<Option<T>, E>, errors: &mut Vec<ValueError>) -> Option<T> {
    value.unwrap_or_else(|error| {
        errors.push(error.into());
        None
    })
}

/// The ways to read a directive's text.
struct Values<'a>(&'a Directives);

impl Values<'_> {
    /// Nothing written is the same as no value.
    fn text(&self, directive: Directive) -> Option<String> {
        self.0.get(directive).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// Anything but two words is a no, `on` and `1` too.
    fn switch(&self, directive: Directive, default: bool) -> bool {
        self.0.get(directive).map_or(default, |text| matches!(text, "yes" | "true"))
    }

    /// The digits a text begins with, else 0.
    fn number(&self, directive: Directive) -> Option<u64> {
        self.0.get(directive).map(|text| {
            let text = text.trim_start();
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            saturating(&text[..digits])
        })
    }

    fn one_of<T: Copy>(&self, directive: Directive, known: &[(&str, T)]) -> Result<Option<T>, ValueError> {
        self.parsed(directive, |text| {
            known
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value)
                .ok_or_else(|| ValueError::Enumeration { value: text.to_owned(), directive })
        })
    }

    fn parsed<T, E>(
        &self,
        directive: Directive,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        self.0.get(directive).map(parse).transpose()
    }
}

/// Bits per second from digits and an optional unit. 0 is no maximum, for no bar fits in it.
fn bandwidth(text: &str) -> Result<Option<u64>, ValueError> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - unit.len()];
    let factor: u64 = match unit {
        "" | "b" | "B" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return Err(ValueError::Units(text.to_owned())),
    };
    if digits.is_empty() {
        // iftop gives the reason of a call that did not fail: none.
        return Err(ValueError::Rate(String::new()));
    }
    let bits = saturating(digits).saturating_mul(factor);
    Ok((bits > 0).then_some(bits))
}

/// The number that digits stand for, 0 for none, or the largest there is.
fn saturating(digits: &str) -> u64 {
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iftop::config;

    fn options(text: &str) -> IftopOptions {
        let (options, errors) = resolve(&config::parse(text, "rc").0);
        assert_eq!(errors, [], "{text}");
        options
    }

    fn errors(text: &str) -> Vec<String> {
        let (options, errors) = resolve(&config::parse(text, "rc").0);
        assert_eq!(options, IftopOptions::default(), "{text}");
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_said_gives_the_defaults() {
        assert_eq!(options(""), IftopOptions::default());
    }

    #[test]
    fn every_directive_has_its_effect() {
        let text = "interface: eth1\ndns-resolution: no\nport-resolution: no\nfilter-code: port 80\nshow-bars: no\n\
                    promiscuous: yes\nport-display: destination-only\nlink-local: true\nhide-source: yes\n\
                    hide-destination: yes\nuse-bytes: yes\nsort: destination\nline-display: one-line-received\n\
                    show-totals: yes\nlog-scale: yes\nmax-bandwidth: 100M\nnet-filter: 10.0.0.0/8\n\
                    net-filter6: fd77::/64\nscreen-filter: ^a\nno-curses: yes\ntimed-output: 5\nnum-lines: 3\n";
        let expected = IftopOptions {
            interface: Some("eth1".to_owned()),
            dns: false,
            port_resolution: false,
            filter_code: Some("port 80".to_owned()),
            show_bars: false,
            promiscuous: true,
            port_display: PortDisplay::Destination,
            link_local: true,
            hide_source: true,
            hide_destination: true,
            use_bytes: true,
            sort: PairOrder::Destination,
            frozen: false,
            line_display: LineDisplay::OneLineReceived,
            show_totals: true,
            log_scale: true,
            max_bandwidth: Some(104_857_600),
            net_filter: Some(Ipv4Boundary::parse("10.0.0.0/8").unwrap()),
            net_filter6: Some(Ipv6Boundary::parse("fd77::/64").unwrap()),
            screen_filter: Some("^a".to_owned()),
            text_mode: true,
            timed_output: Some(5),
            num_lines: 3,
            paused: false,
            cut_ends: false,
        };
        assert_eq!(options(text), expected);
    }

    #[test]
    fn only_yes_and_true_are_true() {
        for (word, expected) in
            [("yes", true), ("true", true), ("YES", false), ("1", false), ("on", false), ("", false)]
        {
            assert_eq!(options(&format!("use-bytes: {word}")).use_bytes, expected, "{word}");
            assert_eq!(options(&format!("show-bars: {word}")).show_bars, expected, "{word}");
        }
    }

    #[test]
    fn every_error_names_its_directive() {
        for (directive, value) in [
            (Directive::Sort, "x"),
            (Directive::MaxBandwidth, "1.5M"),
            (Directive::MaxBandwidth, "k"),
            (Directive::NetFilter, "10.0.0.0/33"),
            (Directive::NetFilter6, "1"),
        ] {
            let mut directives = Directives::default();
            directives.set(directive, value);
            let (_, errors) = resolve(&directives);
            assert_eq!(errors.iter().map(ValueError::directive).collect::<Vec<_>>(), [directive], "{value}");
        }
        assert_eq!(words(Directive::Sort).first(), Some(&"2s"));
        assert_eq!(words(Directive::Interface), Vec::<&str>::new());
    }

    #[test]
    fn every_word_of_an_enumeration_is_known() {
        for (word, sort) in SORTS {
            assert_eq!(options(&format!("sort: {word}")).sort, *sort);
        }
        for (word, lines) in LINE_DISPLAYS {
            assert_eq!(options(&format!("line-display: {word}")).line_display, *lines);
        }
        for (word, ports) in PORT_DISPLAYS {
            assert_eq!(options(&format!("port-display: {word}")).port_display, *ports);
        }
    }

    #[test]
    fn bandwidths() {
        let bandwidth = |text: &str| options(&format!("max-bandwidth: {text}")).max_bandwidth;
        assert_eq!(bandwidth("500"), Some(500));
        assert_eq!(bandwidth("500b"), Some(500));
        assert_eq!(bandwidth("10k"), Some(10_240));
        assert_eq!(bandwidth("1G"), Some(1 << 30));
        assert_eq!(bandwidth("99999999999999999999G"), Some(u64::MAX));
        assert_eq!(bandwidth("0"), None);
    }

    #[test]
    fn numbers_are_the_leading_digits() {
        let lines = |text: &str| options(&format!("num-lines: {text}")).num_lines;
        assert_eq!([lines("3x"), lines("abc"), lines("0"), lines("-1")], [3, 0, 0, 0]);
        let seconds = |text: &str| options(&format!("timed-output: {text}")).timed_output;
        assert_eq!([seconds("5s"), seconds("abc"), seconds("0")], [Some(5), None, None]);
    }

    #[test]
    fn what_is_not_understood_keeps_the_default_and_is_told_in_iftops_order() {
        assert_eq!(
            errors(
                "port-display: zz\nsort: 2S\nline-display: xx\nmax-bandwidth: 1.5M\nnet-filter6: 1\n\
                 net-filter: 10.0.0.0/33"
            ),
            [
                "Invalid enumeration value \"2S\" for directive \"sort\"",
                "Invalid enumeration value \"xx\" for directive \"line-display\"",
                "Invalid units in value: 1.5M",
                "Invalid enumeration value \"zz\" for directive \"port-display\"",
                "Invalid netmask length: 33",
                "Could not parse IPv6 net/prefix: 1",
            ]
        );
        for text in ["10KB", "x", "-5", "10 M", "1M1"] {
            assert_eq!(
                errors(&format!("max-bandwidth: {text}")),
                [format!("Invalid units in value: {text}")]
            );
        }
        for text in ["k", ""] {
            assert_eq!(errors(&format!("max-bandwidth: {text}")), ["Error reading rate: "]);
        }
    }

    #[test]
    fn a_value_that_an_option_replaces_is_not_looked_at() {
        let mut command_line = Directives::default();
        command_line.set(Directive::Sort, "2s");
        let (file, warnings) = config::parse("sort: foo", "rc");
        let (options, errors) = resolve(&command_line.or(file));
        assert_eq!((options.sort, errors, warnings), (PairOrder::TwoSeconds, vec![], vec![]));
    }
}
