//! The text of one end of a pair: host and port.

use std::fmt;

use super::{
    options::IftopOptions,
    pair::{PairAddress, PairEnd},
};
use crate::{flow::names::Names, format::Name, model::protocol::Kind};

/// What stands for a hidden host.
const HIDDEN: &str = " * ";

/// One end of a pair as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    host: Name,
    /// With its colon; empty if no port is shown.
    port: Name,
    /// Whether the host is an address, or anything else that must not be cut; a name may be.
    exact: bool,
}

impl Label {
    /// The label of an end of a pair of this kind (`None`: kinds are not told apart, so no port is shown).
    #[must_use]
    pub fn new(end: &PairEnd, kind: Option<Kind>, options: &IftopOptions, names: &Names) -> Self {
        let host = host(end.address, options, names);
        let exact = !is_named(end.address, options, names);
        let Some(kind) = kind.filter(|_| end.port != 0) else {
            return Self { host, port: Name::default(), exact };
        };
        let host = if end.address.is_ipv6() { [b"[", host.as_bytes(), b"]"].concat().into() } else { host };
        let service = names.services.name(kind, end.port).filter(|_| options.port_resolution);
        let port = match service {
            Some(service) => [b":", service.as_bytes()].concat().into(),
            None => format!(":{}", end.port).into(),
        };
        Self { host, port, exact }
    }

    /// The label of something that is no end of a pair, and must not be cut.
    #[must_use]
    pub fn plain(text: impl Into<Name>) -> Self {
        Self { host: text.into(), port: Name::default(), exact: true }
    }

    /// The label of something that has a name, which may be cut.
    #[must_use]
    pub fn name(text: impl Into<Name>) -> Self {
        Self { host: text.into(), port: Name::default(), exact: false }
    }

    /// What it says, to the byte.
    #[must_use]
    pub fn title(&self) -> Name {
        // The blanks are for the eye.
        let host = if self.host == HIDDEN { b"* " } else { self.host.as_bytes() };
        let host = if self.port.is_empty() && self.host == HIDDEN { b"*" } else { host };
        [host, self.port.as_bytes()].concat().into()
    }

    /// Whether it must not be cut.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// Columns of all of it.
    #[must_use]
    pub fn columns(&self) -> usize {
        columns(&self.host) + self.port_len()
    }

    /// Columns of the port with its colon.
    #[must_use]
    pub fn port_len(&self) -> usize {
        columns(&self.port)
    }

    /// The label in exactly `width` columns. A host that is too long loses its middle, for which `mark` stands; the port
    /// stays whole.
    #[must_use]
    pub fn shorten(&self, width: usize, mark: &str) -> String {
        let (host, port) = (self.host.to_string(), self.port.to_string());
        let length = host.chars().count();
        let room = width.saturating_sub(port.chars().count());
        if length <= room {
            return self.fit(width);
        }
        let kept = room.saturating_sub(mark.chars().count());
        let start = host.chars().take(kept.div_ceil(2));
        let end = host.chars().skip(length - kept / 2);
        let text: String = start.chain(mark.chars()).chain(end).chain(port.chars()).collect();
        // Where there is not even room for the mark.
        text.chars().skip(text.chars().count().saturating_sub(width)).collect()
    }

    /// All of the label in lines of at most `width` columns, the last of at most `last`: broken before the port if that is enough,
    /// else wherever a line ends. The last may be empty.
    #[must_use]
    pub fn pieces(&self, width: usize, last: usize) -> Vec<String> {
        let (host, port) = (columns(&self.host), self.port_len());
        if host + port > last && host + port > width && host <= width && port <= last {
            return vec![self.host.to_string(), self.port.to_string()];
        }
        let text: Vec<char> = self.to_string().chars().collect();
        if text.len() <= last {
            return vec![text.into_iter().collect()];
        }
        let mut pieces: Vec<String> = text.chunks(width.max(1)).map(|piece| piece.iter().collect()).collect();
        if pieces.last().is_none_or(|piece| piece.chars().count() > last) {
            pieces.push(String::new());
        }
        pieces
    }

    /// The label in exactly `width` columns. A host that is too long loses its end (for IPv6 the closing bracket
    /// too), so that the port stays whole.
    #[must_use]
    pub fn fit(&self, width: usize) -> String {
        self.cut(width, self.port_len())
    }

    /// The same as iftop's text mode has it: without a port the last column stays blank.
    #[must_use]
    pub fn fit_for_text(&self, width: usize) -> String {
        self.cut(width, self.port_len().max(1))
    }

    /// The columns that the whole label takes in text mode.
    #[must_use]
    pub fn whole_for_text(&self) -> usize {
        columns(&self.host) + self.port_len().max(1)
    }

    /// The label with so many columns kept free of the host.
    fn cut(&self, width: usize, kept: usize) -> String {
        let room = width.saturating_sub(kept);
        let (host, port) = (self.host.to_string(), self.port.to_string());
        let text: String = host.chars().take(room).chain(port.chars()).take(width).collect();
        format!("{text:<width$}")
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.port)
    }
}

/// A host: its name if names are wanted and it is known, else its address.
#[must_use]
pub fn host(address: PairAddress, options: &IftopOptions, names: &Names) -> Name {
    match address {
        PairAddress::HiddenV4 | PairAddress::HiddenV6 => HIDDEN.into(),
        PairAddress::Shown(address) if options.dns => names.host(address),
        PairAddress::Shown(address) => address.to_string().into(),
    }
}

/// Whether a name stands for an address.
#[must_use]
pub fn is_named(address: PairAddress, options: &IftopOptions, names: &Names) -> bool {
    matches!(address, PairAddress::Shown(address) if options.dns && names.hosts.contains_key(&address))
}

/// Columns of a name as it is shown.
fn columns(name: &Name) -> usize {
    name.safe().text().chars().count()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::flow::services::Services;

    fn names() -> Names {
        let hosts = [
            ("10.77.0.1", "me.example.com"),
            ("10.77.0.2", "a-very-long-host-name-indeed.with-a-long-domain.example.com"),
            ("fd77::1", "me6.example.com"),
            ("10.77.0.66", "evil\x1b[2J\u{202e}"),
        ];
        Names {
            hosts: hosts.map(|(address, name)| (address.parse().unwrap(), name.into())).into(),
            services: Services::parse("domain 53/tcp\ndomain 53/udp\nssh 22/tcp\n"),
        }
    }

    fn label(address: PairAddress, port: u16, kind: Option<Kind>, options: &IftopOptions) -> Label {
        Label::new(&PairEnd { address, port }, kind, options, &names())
    }

    fn shown(address: &str) -> PairAddress {
        PairAddress::Shown(address.parse::<IpAddr>().unwrap())
    }

    /// With numbers and with names.
    fn check(address: PairAddress, port: u16, kind: Option<Kind>, numbers: &str, named: &str) {
        let options = IftopOptions { dns: false, port_resolution: false, ..IftopOptions::default() };
        assert_eq!(label(address, port, kind, &options).fit_for_text(40), format!("{numbers:<40}"));
        assert_eq!(
            label(address, port, kind, &IftopOptions::default()).fit_for_text(40),
            format!("{named:<40}")
        );
    }

    #[test]
    fn hosts_and_ports() {
        check(shown("10.77.0.1"), 40001, Some(Kind::UDP), "10.77.0.1:40001", "me.example.com:40001");
        check(shown("10.77.0.20"), 53, Some(Kind::UDP), "10.77.0.20:53", "10.77.0.20:domain");
        check(shown("fd77::1"), 22, Some(Kind::TCP), "[fd77::1]:22", "[me6.example.com]:ssh");
        check(shown("fd77::2"), 22, Some(Kind::UDP), "[fd77::2]:22", "[fd77::2]:22");
        check(PairAddress::HiddenV4, 40001, Some(Kind::UDP), " * :40001", " * :40001");
        check(PairAddress::HiddenV6, 53, Some(Kind::TCP), "[ * ]:53", "[ * ]:domain");
    }

    #[test]
    fn no_port_no_brackets() {
        check(shown("10.77.0.1"), 0, Some(Kind::UDP), "10.77.0.1", "me.example.com");
        check(shown("fd77::1"), 0, None, "fd77::1", "me6.example.com");
        check(PairAddress::HiddenV6, 0, None, " * ", " * ");
    }

    #[test]
    fn a_long_host_loses_its_end_to_the_port() {
        let long = shown("10.77.0.2");
        check(long, 5001, Some(Kind::UDP), "10.77.0.2:5001", "a-very-long-host-name-indeed.with-a:5001");
        check(long, 0, Some(Kind::UDP), "10.77.0.2", "a-very-long-host-name-indeed.with-a-lon");
        let full = "2001:db8:1111:2222:aaaa:bbbb:cccc:dddd";
        let cut = "[2001:db8:1111:2222:aaaa:bbbb:cccc:40004";
        check(shown(full), 40004, Some(Kind::UDP), cut, cut);
        check(shown(full), 0, None, full, full);
    }

    #[test]
    fn without_a_port_the_screen_uses_every_column() {
        let label = Label::plain("2001:db8::1".to_owned());
        assert_eq!((label.fit(6).as_str(), label.fit_for_text(6).as_str()), ("2001:d", "2001: "));
    }

    #[test]
    fn names_do_not_command_the_terminal() {
        check(shown("10.77.0.66"), 0, None, "10.77.0.66", "evil\\x1b[2J\\u{202e}");
        let label = label(shown("10.77.0.66"), 53, Some(Kind::UDP), &IftopOptions::default());
        assert_eq!(label.title(), "evil\x1b[2J\u{202e}:domain");
    }

    proptest! {
        #[test]
        fn labels_fit(host in "\\PC{0,60}", port in "(:[a-z]{1,20})?", width in 0_usize..80) {
            let label = Label { host: host.into(), port: port.as_str().into(), exact: true };
            for text in [label.fit(width), label.fit_for_text(width)] {
                prop_assert_eq!(text.chars().count(), width);
                if port.len() <= width {
                    prop_assert!(text.contains(&port));
                }
            }
        }

        #[test]
        fn a_shortened_label_keeps_its_port(host in "\\PC{0,60}", port in "(:[a-z]{1,20})?", width in 0_usize..80) {
            let label = Label { host: host.into(), port: port.as_str().into(), exact: false };
            let text = label.shorten(width, "…");
            prop_assert_eq!(text.chars().count(), width);
            if label.columns() <= width {
                prop_assert_eq!(text, format!("{:<width$}", label.to_string()));
            } else if port.len() < width {
                prop_assert!(text.ends_with(&port) && text.contains('…'), "{}", text);
            }
        }

        #[test]
        fn pieces_are_the_whole_label(host in "[0-9a-f:\\[\\]]{0,60}", port in "(:[a-z0-9]{1,20})?", width in 0_usize..80, less in 0_usize..30) {
            let label = Label { host: host.into(), port: port.into(), exact: true };
            let last = width.saturating_sub(less);
            let pieces = label.pieces(width, last);
            prop_assert_eq!(pieces.concat(), label.to_string());
            let (end, before) = pieces.split_last().unwrap();
            prop_assert!(end.len() <= last);
            prop_assert!(before.iter().all(|piece| piece.len() <= width.max(1)), "{:?}", before);
            if label.columns() <= last {
                prop_assert_eq!(pieces.len(), 1);
            }
        }
    }
}
