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
    port: String,
}

impl Label {
    /// The label of an end of a pair of this kind (`None`: kinds are not told apart, so no port is shown).
    #[must_use]
    pub fn new(end: &PairEnd, kind: Option<Kind>, options: &IftopOptions, names: &Names) -> Self {
        let host = host(end.address, options, names);
        let Some(kind) = kind.filter(|_| end.port != 0) else { return Self { host, port: String::new() } };
        let host = if end.address.is_ipv6() { format!("[{host}]") } else { host };
        let service = names.services.name(kind, end.port).filter(|_| options.port_resolution);
        let port = match service {
            Some(service) => format!(":{service}"),
            None => format!(":{}", end.port),
        };
        Self { host, port }
    }

    /// The label of something that is no end of a pair.
    #[must_use]
    pub const fn plain(text: String) -> Self {
        Self { host: text, port: String::new() }
    }

    /// The label in exactly `width` columns. A host that is too long loses its end (for IPv6 the closing bracket
    /// too), so that the port stays whole.
    #[must_use]
    pub fn fit(&self, width: usize) -> String {
        self.cut(width, self.port.chars().count())
    }

    /// The same as iftop's text mode has it: without a port the last column stays blank.
    #[must_use]
    pub fn fit_for_text(&self, width: usize) -> String {
        self.cut(width, self.port.chars().count().max(1))
    }

    /// The label with so many columns kept free of the host.
    fn cut(&self, width: usize, kept: usize) -> String {
        let room = width.saturating_sub(kept);
        let text: String = self.host.chars().take(room).chain(self.port.chars()).take(width).collect();
        format!("{text:<width$}")
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.port)
    }
}

/// The text of a host: its name if names are wanted and it is known, else its address.
#[must_use]
pub fn host(address: Address, options: &Options, names: &Names) -> String {
    match address {
        Address::HiddenV4 | Address::HiddenV6 => HIDDEN.to_owned(),
        Address::Shown(address) if options.dns => printable(names.host(address)),
        Address::Shown(address) => address.to_string(),
    }
}

/// A name is what a stranger's name server says: it must not command the terminal.
fn printable(name: String) -> String {
    if name.chars().any(char::is_control) { name.replace(char::is_control, "?") } else { name }
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
            ("10.77.0.66", "evil\x1b[2J"),
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
        check(shown("10.77.0.66"), 0, None, "10.77.0.66", "evil?[2J");
    }

    proptest! {
        #[test]
        fn labels_fit(host in "\\PC{0,60}", port in "(:[a-z]{1,20})?", width in 0_usize..80) {
            let label = Label { host, port: port.clone() };
            for text in [label.fit(width), label.fit_for_text(width)] {
                prop_assert_eq!(text.chars().count(), width);
                if port.len() <= width {
                    prop_assert!(text.contains(&port));
                }
            }
        }
    }
}
