//! The configuration file, `~/.iftoprc`.

use thiserror::Error;

use super::directive::{Directive, Directives};
use crate::format::Safe;

/// A line that has no effect, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}: warning: {problem} directive \"{name}\"", name = Safe::new(.name))]
pub struct Warning {
    /// The file's name as it was given.
    pub file: String,
    /// Number of the line that the directive begins on, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: IftoprcProblem,
    /// The directive's name as it was written.
    pub name: String,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IftoprcProblem {
    /// No directive has this name.
    #[error("unknown")]
    Unknown,
    /// The file has given it a value before, which stays.
    #[error("repeated")]
    Repeated,
}

/// Reads the text of a configuration file, whose name is for the warnings only.
///
/// Directives that an option has set do not warn: iftop calls them repeated, and blames the file for it.
#[must_use]
pub fn parse(text: &str, file: &str) -> (Directives, Vec<Warning>) {
    let mut directives = Directives::default();
    let mut warnings = Vec::new();
    for (line, content) in logical_lines(text) {
        let content = content.split('#').next().unwrap_or_default();
        let Some((name, value)) = content.split_once(':') else { continue };
        let name = name.trim();
        if name.is_empty() {
            continue;
        }
        let problem = match Directive::named(name) {
            None => IftoprcProblem::Unknown,
            Some(directive) if directives.get(directive).is_some() => IftoprcProblem::Repeated,
            Some(directive) => {
                directives.set(directive, value.trim());
                continue;
            }
        };
        warnings.push(Warning { file: file.to_owned(), line, problem, name: name.to_owned() });
    }
    (directives, warnings)
}

/// Lines joined where one ends in a backslash, each with the number of its first. They are joined before comments
/// are removed: a comment that ends in a backslash goes on in the next line.
///
/// iftop counts joined lines as one, so that the numbers of all later warnings are too low.
fn logical_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut lines = (1..).zip(text.lines());
    std::iter::from_fn(move || {
        let (number, mut line) = lines.next()?;
        let mut joined = String::new();
        while let Some(beginning) = line.strip_suffix('\\') {
            joined.push_str(beginning);
            line = lines.next().map_or("", |(_, next)| next);
        }
        joined.push_str(line);
        Some((number, joined))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values in the order of the file's directives, and warnings as they are printed.
    fn check(text: &str, values: &[(Directive, &str)], warnings: &[&str]) {
        let (directives, found) = parse(text, "rc");
        let mut expected = Directives::default();
        for (directive, value) in values {
            expected.set(*directive, *value);
        }
        assert_eq!(directives, expected);
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), warnings);
    }

    #[test]
    fn every_directive_is_known() {
        let text = Directive::ALL.map(|directive| directive.name().to_owned() + ": x").join(
            "
",
        );
        check(&text, &Directive::ALL.map(|directive| (directive, "x")), &[]);
    }

    #[test]
    fn blanks_and_comments_are_dropped() {
        check(
            "# interface: eth9\n\n  interface :\teth0  # the first\nfilter-code: port 80 and (tcp or udp)\r\n\
             use-bytes:#\n",
            &[
                (Directive::Interface, "eth0"),
                (Directive::FilterCode, "port 80 and (tcp or udp)"),
                (Directive::UseBytes, ""),
            ],
            &[],
        );
    }

    #[test]
    fn a_value_may_hold_colons() {
        check("net-filter6: fd77::/64", &[(Directive::NetFilter6, "fd77::/64")], &[]);
    }

    #[test]
    fn lines_without_a_name_or_a_colon_are_ignored() {
        check("show-bars yes\n: x\n\\\n", &[], &[]);
    }

    #[test]
    fn a_backslash_joins_lines_even_in_a_comment() {
        check(
            "sort: \\\n  2s\n# c \\\nfoo: 1\ninter\\\nface: a\\b\\\n\nuse-bytes: yes\\",
            &[(Directive::Sort, "2s"), (Directive::Interface, "a\\b"), (Directive::UseBytes, "yes")],
            &[],
        );
    }

    #[test]
    fn the_first_value_wins_and_warnings_name_the_line() {
        check(
            "sort: 2s\nfoo: 1\nSort: 2s\nsort: \\\n 40s\nsort: 10s\nbad\\\nname: 1\n",
            &[(Directive::Sort, "2s")],
            &[
                "rc:2: warning: unknown directive \"foo\"",
                "rc:3: warning: unknown directive \"Sort\"",
                "rc:4: warning: repeated directive \"sort\"",
                "rc:6: warning: repeated directive \"sort\"",
                "rc:7: warning: unknown directive \"badname\"",
            ],
        );
    }

    #[test]
    fn a_long_line_is_read_to_its_end() {
        let value = "x".repeat(5000);
        check(&format!("filter-code: {value}"), &[(Directive::FilterCode, &value)], &[]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([a-z:#\\\\ \n]|sort: 2s\n){0,60}") {
            let lines = text.lines().count();
            let (_, warnings) = parse(&text, "rc");
            prop_assert!(warnings.iter().all(|warning| (1..=lines).contains(&warning.line)));
            prop_assert!(warnings.is_sorted_by_key(|warning| warning.line));
        }
    }
}
