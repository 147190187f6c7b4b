//! The script: who talks to whom, when, and how much.
//!
//! All addresses are for documentation (RFC 5737, RFC 3849). What both ends do with it is in
//! [`traffic`](super::traffic).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::End;

/// Two addresses, and what passes between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    pub(super) opener: End,
    pub(super) from: IpAddr,
    pub(super) to: SocketAddr,
    pub(super) what: What,
    /// The host's program that takes part in it.
    pub(super) program: &'static str,
    /// When it begins, after the traffic did.
    pub(super) begins: Duration,
    /// For how long, and how long it takes until it begins again; `None`: until all ends.
    pub(super) visits: Option<Visits>,
    /// In which time its rate goes up and down once; `None`: it is always the same.
    pub(super) tide: Option<Duration>,
}

/// How long something lasts, and the time until it begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visits {
    pub(super) last: Duration,
    pub(super) rest: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A TCP connection, with bytes a second from the opener and to it.
    Stream { asks: u32, answers: u32 },
    /// UDP datagrams of so many bytes, each answered by another, so many times a second; as a resolver does from a
    /// port of its own each time, or all from one port.
    Queries { per_second: u32, asks: usize, answers: usize, own_ports: bool },
    /// ICMP echo requests.
    Echoes { per_second: u32 },
}

/// Everything: a web server with a database behind it, its backup, and its clients. In all it stays below 100 Mbit/s each
/// way, a step of the screen's scale.
pub(super) fn talks() -> Vec<Talk> {
    use End::{Far, Near};
    let web4 = v4(192, 0, 2, 10);
    let web6 = v6(0x10, 0x10);
    let gateway = v4(192, 0, 2, 1);
    let stream = |asks, answers| What::Stream { asks, answers };
    let queries = |per_second, asks, answers| What::Queries { per_second, asks, answers, own_ports: false };
    let lookups = |per_second| What::Queries { per_second, asks: 45, answers: 141, own_ports: true };

    let mut talks = vec![
        // Downloads, one of them over QUIC, and an upload.
        talk("nginx", Far, v4(198, 51, 100, 23), (web4, 443), stream(90_000, 4_600_000)).with_tide(9_000),
        talk("nginx", Far, v6(0x51, 0xa7), (web6, 443), stream(38_000, 1_800_000)).visits(1500, 6500, 3000),
        talk("nginx", Far, v4(198, 51, 100, 77), (web4, 443), queries(560, 90, 1230)),
        talk("nginx", Far, v6(0x77, 0x4c), (web6, 8080), stream(840_000, 21_000)).with_tide(14_000),
        // The database, the backup, an administrator, a tunnel.
        talk("php-fpm", Near, web4, (v4(192, 0, 2, 20), 5432), stream(310_000, 2_300_000)).with_tide(23_000),
        talk("restic", Near, web6, (v6(0x99, 0x22), 22), stream(1_900_000, 30_000)).visits(0, 4500, 9000),
        talk("sshd", Far, v4(198, 51, 100, 140), (web4, 22), stream(3_000, 14_000)),
        talk("openvpn", Near, web4, (v4(198, 51, 100, 201), 1194), queries(130, 160, 1180)),
        // Names, time, numbers, and whether the gateway is there.
        talk("systemd-resolve", Near, web4, (v4(192, 0, 2, 53), 53), lookups(180)),
        talk("systemd-resolve", Near, web6, (v6(0x53, 0x53), 53), lookups(70)),
        talk("chronyd", Near, web4, (gateway, 123), queries(1, 48, 48)),
        talk("node_exporter", Far, v4(192, 0, 2, 30), (web4, 9100), stream(400, 60_000))
            .visits(800, 1000, 4000),
        talk("ping", Near, web4, (gateway, 0), What::Echoes { per_second: 20 }),
    ];
    // Browsers, each later than the one before and slower.
    talks.extend((1..=24_u8).map(|n| {
        let order = u32::from(n);
        let (from, to) = if n % 3 == 0 {
            (v6(0x51, n.into()), (web6, 443))
        } else {
            (v4(198, 51, 100, 29 + 3 * n), (web4, 443))
        };
        let visit = stream(9_000 / order, 260_000 / order);
        talk("nginx", Far, from, to, visit).visits(u64::from(n) * 150, 2500, 5000)
    }));
    talks
}

/// The names of the host's programs.
pub(super) fn programs() -> BTreeSet<&'static str> {
    talks().into_iter().map(|talk| talk.program).collect()
}

fn talk(program: &'static str, opener: End, from: IpAddr, to: (IpAddr, u16), what: What) -> Talk {
    Talk { opener, from, to: to.into(), what, program, begins: Duration::ZERO, visits: None, tide: None }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// A host in one of the subnets of `2001:db8::/32`.
fn v6(subnet: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, subnet, 0, 0, 0, 0, host))
}

impl Talk {
    /// The same, with a beginning, an end and a rest before it begins again, in milliseconds.
    fn visits(self, begin: u64, last: u64, rest: u64) -> Self {
        let [begins, last, rest] = [begin, last, rest].map(Duration::from_millis);
        Self { begins, visits: Some(Visits { last, rest }), ..self }
    }

    /// The same at a rate that goes up and down, in so many milliseconds.
    fn with_tide(self, milliseconds: u64) -> Self {
        Self { tide: Some(Duration::from_millis(milliseconds)), ..self }
    }

    /// The address that one end of the cable has in this.
    pub(super) fn address_at(&self, end: End) -> IpAddr {
        if self.opener == end { self.from } else { self.to.ip() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_for_documentation_and_at_one_end_only() {
        let all = talks();
        let at = |end| all.iter().map(|talk| talk.address_at(end)).collect::<BTreeSet<_>>();
        assert!(at(End::Near).is_disjoint(&at(End::Far)));
        for address in at(End::Near).union(&at(End::Far)) {
            assert!(
                match address {
                    IpAddr::V4(v4) => v4.is_documentation(),
                    IpAddr::V6(v6) => v6.segments()[..2] == [0x2001, 0xdb8],
                },
                "{address}"
            );
        }
    }

    #[test]
    fn who_is_asked_can_tell_what_to_answer() {
        let mut seen = BTreeSet::new();
        for talk in talks() {
            let protocol = match talk.what {
                What::Stream { .. } => 6,
                What::Queries { .. } => 17,
                What::Echoes { .. } => 1,
            };
            assert!(seen.insert((protocol, talk.from, talk.to)), "{talk:?} twice");
            assert_eq!(talk.from.is_ipv4(), talk.to.is_ipv4(), "{talk:?}");
        }
    }

    #[test]
    fn one_program_answers_on_a_port() {
        for talk in talks() {
            let others =
                talks().into_iter().filter(|other| other.to == talk.to && other.opener == talk.opener);
            for other in others.filter(|_| talk.opener == End::Far) {
                assert_eq!(other.program, talk.program, "{talk:?}");
            }
        }
    }

    #[test]
    fn names_fit_into_what_the_kernel_keeps() {
        const LONGEST: usize = 15;
        assert!(programs().len() > 5);
        for name in programs() {
            assert!(name.len() <= LONGEST, "{name}");
        }
    }

    #[test]
    fn there_is_a_bound_to_all_of_it() {
        let per_second = |talk: &Talk| match talk.what {
            What::Stream { asks, answers } => u64::from(asks) + u64::from(answers),
            What::Queries { per_second, asks, answers, .. } => {
                u64::from(per_second) * (asks + answers) as u64
            }
            What::Echoes { per_second } => u64::from(per_second) * 128,
        };
        let bits: u64 = talks().iter().map(|talk| per_second(talk) * 8).sum();
        assert!((50_000_000..150_000_000).contains(&bits), "{bits}");
    }
}
