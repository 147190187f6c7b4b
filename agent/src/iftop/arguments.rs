//! iftop's command line, for when the program is called through a link of that name: short options as getopt(3) has them,
//! with iftop's words about what is wrong.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use thiserror::Error;

use super::directive::{Directive, Directives};

/// What the options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Each option is a directive. What a value means, and what is wrong with it, is found out where those of the
    /// configuration file are.
    pub directives: Directives,
    /// Configuration file in place of ~/.iftoprc.
    pub config: Option<PathBuf>,
}

/// Why nothing is measured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stop {
    /// The usage was asked for.
    #[error("")]
    Help,
    /// No option has this letter, or it has, and its value is missing: iftop makes no difference.
    #[error("iftop: unknown option -{0}")]
    Unknown(char),
    /// There is something behind the options.
    #[error("iftop: found arguments following options\n*** some options have changed names since v0.9 ***")]
    Stray,
}

/// What an option does.
enum Meaning {
    /// Sets a directive to this value.
    Switch(Directive, &'static str),
    /// Sets a directive to the value that follows.
    Value(Directive),
    /// `-c`
    Config,
    /// `-h`
    Help,
}

/// The usage, with every option.
pub const USAGE: &str = "\
iftop: shows bandwidth usage on an interface by host (flowtally in iftop's place)

Usage: iftop -h | [-npblNBPt] [-i interface] [-f filter code] [-F net/mask]
             [-G net6/mask6] [-m limit] [-c config file] [-o sort order]
             [-s seconds] [-L lines]

   -h                  show this text
   -n                  no host names, addresses only
   -N                  no names of services, port numbers only
   -p                  promiscuous mode (frames that arrive count with and without)
   -P                  show ports
   -l                  count IPv6 traffic of link-local addresses too
   -b                  no bars
   -B                  rates in bytes, not in bits
   -i interface        interface to listen on
   -f filter code      count only packets that match, as in pcap-filter(7)
   -F net/mask         IPv4 network whose incoming and outgoing traffic counts
   -G net6/mask6       IPv6 network whose incoming and outgoing traffic counts
   -m limit            right end of the scale, in bits per second, such as 100M
   -c config file      configuration file in place of ~/.iftoprc
   -t                  text, no screen
   -o 2s|10s|40s       order by the first, second [default] or third column
   -o source           order by source host
   -o destination      order by destination host

With -t only:
   -s seconds          print one report after this time, then end
   -L lines            pairs of lines in a report [default: 10]
";

fn meaning(letter: char) -> Option<Meaning> {
    use Meaning::{Config, Help, Switch, Value};
    Some(match letter {
        'h' => Help,
        'n' => Switch(Directive::DnsResolution, "false"),
        'N' => Switch(Directive::PortResolution, "false"),
        'p' => Switch(Directive::Promiscuous, "true"),
        'P' => Switch(Directive::PortDisplay, "on"),
        'l' => Switch(Directive::LinkLocal, "true"),
        'b' => Switch(Directive::ShowBars, "false"),
        'B' => Switch(Directive::UseBytes, "true"),
        't' => Switch(Directive::NoCurses, "true"),
        'i' => Value(Directive::Interface),
        'f' => Value(Directive::FilterCode),
        'F' => Value(Directive::NetFilter),
        'G' => Value(Directive::NetFilter6),
        'm' => Value(Directive::MaxBandwidth),
        'o' => Value(Directive::Sort),
        's' => Value(Directive::TimedOutput),
        'L' => Value(Directive::NumLines),
        'c' => Config,
        _ => return None,
    })
}

/// Reads what stands behind the program's name. Options may be grouped, a value may be attached or the next word, and of
/// equal options the last counts.
///
/// # Errors
/// At the first thing that ends the program, from left to right, as iftop finds it.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, Stop> {
    let mut arguments = Arguments::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--" {
            return if words.next().is_some() { Err(Stop::Stray) } else { Ok(arguments) };
        }
        let Some(group) = text.strip_prefix('-').filter(|group| !group.is_empty()) else {
            return Err(Stop::Stray);
        };
        let mut letters = group.chars();
        while let Some(letter) = letters.next() {
            let meaning = meaning(letter).ok_or(Stop::Unknown(letter))?;
            let (directive, value) = match meaning {
                Meaning::Help => return Err(Stop::Help),
                Meaning::Switch(directive, value) => (Some(directive), OsString::from(value)),
                Meaning::Value(directive) => {
                    (Some(directive), attached(&mut letters, &mut words).ok_or(Stop::Unknown(letter))?)
                }
                Meaning::Config => (None, attached(&mut letters, &mut words).ok_or(Stop::Unknown(letter))?),
            };
            match directive {
                Some(directive) => arguments.directives.set(directive, lossy(&value)),
                None => arguments.config = Some(PathBuf::from(value)),
            }
        }
    }
    Ok(arguments)
}

/// An option's value: the rest of its word, or the next one.
fn attached(
    letters: &mut std::str::Chars<'_>,
    words: &mut impl Iterator<Item = OsString>,
) -> Option<OsString> {
    let rest = letters.as_str();
    if rest.is_empty() {
        return words.next();
    }
    let value = OsString::from(rest);
    *letters = "".chars();
    Some(value)
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect()
    }

    fn check(line: &str, expected: &[(Directive, &str)]) {
        let mut directives = Directives::default();
        for (directive, value) in expected {
            directives.set(*directive, *value);
        }
        assert_eq!(parse(words(line)), Ok(Arguments { directives, config: None }), "{line}");
    }

    fn stopped(line: &str) -> Stop {
        parse(words(line)).expect_err(line)
    }

    #[test]
    fn every_option_sets_its_directive() {
        use Directive::{
            DnsResolution, FilterCode, Interface, LinkLocal, MaxBandwidth, NetFilter, NetFilter6, NoCurses,
            NumLines, PortDisplay, PortResolution, Promiscuous, ShowBars, Sort, TimedOutput, UseBytes,
        };
        check("", &[]);
        check(
            "-n -N -p -P -l -b -B -t",
            &[
                (DnsResolution, "false"),
                (PortResolution, "false"),
                (Promiscuous, "true"),
                (PortDisplay, "on"),
                (LinkLocal, "true"),
                (ShowBars, "false"),
                (UseBytes, "true"),
                (NoCurses, "true"),
            ],
        );
        check(
            "-i eth0 -f tcp -F 10.0.0.0/8 -G fd00::/8 -m 10M -o 2s -s 5 -L 3",
            &[
                (Interface, "eth0"),
                (FilterCode, "tcp"),
                (NetFilter, "10.0.0.0/8"),
                (NetFilter6, "fd00::/8"),
                (MaxBandwidth, "10M"),
                (Sort, "2s"),
                (TimedOutput, "5"),
                (NumLines, "3"),
            ],
        );
        let config = parse(words("-c first -csecond")).unwrap().config;
        assert_eq!(config, Some(PathBuf::from("second")));
    }

    #[test]
    fn options_are_grouped_and_values_attached() {
        use Directive::{DnsResolution, Interface, NoCurses, TimedOutput};
        check("-nts5", &[(DnsResolution, "false"), (NoCurses, "true"), (TimedOutput, "5")]);
        check("-ti eth0 -s 1 -s2", &[(NoCurses, "true"), (Interface, "eth0"), (TimedOutput, "2")]);
        check("-i -n --", &[(Interface, "-n")]);
        check("-i --", &[(Interface, "--")]);
    }

    #[test]
    fn the_first_thing_that_is_wrong_is_told() {
        assert_eq!(stopped("-n -z -h"), Stop::Unknown('z'));
        assert_eq!(stopped("-nz"), Stop::Unknown('z'));
        assert_eq!(stopped("-i"), Stop::Unknown('i'));
        assert_eq!(stopped("-nti"), Stop::Unknown('i'));
        assert_eq!(stopped("--help"), Stop::Unknown('-'));
        assert_eq!(stopped("-h -z"), Stop::Help);
        assert_eq!(stopped("eth0 -h"), Stop::Stray);
        assert_eq!(stopped("-n -"), Stop::Stray);
        assert_eq!(stopped("-- -n"), Stop::Stray);
        assert_eq!(Stop::Unknown('z').to_string(), "iftop: unknown option -z");
    }

    #[test]
    fn the_usage_has_every_option() {
        for letter in ' '..='~' {
            assert_eq!(meaning(letter).is_some(), USAGE.contains(&format!("\n   -{letter} ")), "-{letter}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "(-?[a-zA-Z-]{0,4} ?){0,6}") {
            let _ = parse(words(&line));
        }

        #[test]
        fn a_value_is_the_same_attached_and_separate(value in "[a-z0-9][a-z0-9.-]{0,8}", letter in "[ifFGmosL]") {
            let attached = parse([OsString::from(format!("-n{letter}{value}"))]);
            let separate = parse([format!("-n{letter}"), value].map(OsString::from));
            prop_assert_eq!(attached, separate);
        }
    }
}
