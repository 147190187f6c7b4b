//! flowtally's own configuration file, in TOML: from its text to settings, and to what is wrong, each with its place. No input
//! or output.
//!
//! Keys that set what a directive of iftop's file sets have its name. `docs/config.toml` shows all of them.

use std::{collections::BTreeMap, fmt};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    agent::settings::{AgentKey, AgentWords},
    cli,
    iftop::{
        directive::{Directive, Directives},
        resolve::{resolve, words},
    },
    model::hook::HookChoice,
};

/// What a file says, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What iftop has a directive for.
    pub directives: Directives,
    /// Where those stand.
    places: BTreeMap<Directive, ConfigPlace>,
    /// Names and patterns of interfaces.
    pub interfaces: Option<Vec<String>>,
    /// Where in the kernel to count.
    pub hook: Option<HookChoice>,
    /// Slots of the first level, per CPU and bank.
    pub slots: Option<u32>,
    /// Flows of the second level.
    pub max_flows: Option<u32>,
    /// What the agent is told to do.
    pub agent: AgentWords,
    /// Where that stands.
    agent_places: BTreeMap<AgentKey, ConfigPlace>,
    /// The files that were read, by whoever reads them.
    pub files: Vec<String>,
    /// Who may see what other users have open, with the program's rights, and where that stands. It counts in the host's file alone.
    pub show_other_users: Option<(Others, ConfigPlace)>,
}

/// Who may see more of other users' processes than with rights of his own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody.
    Nobody,
    /// Whoever may run the program.
    Everybody,
    /// Who is in this group: a name or a number.
    Group(String),
}

/// A place in a file, and what stands there: `FILE:LINE:COLUMN: section.key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigPlace {
    file: String,
    line: usize,
    column: usize,
    key: String,
}

/// Something that has no effect, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigProblem {
    /// Where.
    pub place: ConfigPlace,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, key } = self;
        write!(f, "{file}:{line}:{column}")?;
        if key.is_empty() { Ok(()) } else { write!(f, ": {key}") }
    }
}

/// What a key sets.
#[derive(Clone, Copy)]
enum ConfigKey {
    Directive(Directive),
    Interfaces,
    Hook,
    Slots,
    MaxFlows,
    Agent(AgentKey),
    ShowOtherUsers,
}

/// The sections, each with its keys.
const SECTIONS: &[(&str, &[(&str, ConfigKey)])] = &[
    (
        "capture",
        &[
            ("interfaces", ConfigKey::Interfaces),
            ("filter-code", ConfigKey::Directive(Directive::FilterCode)),
            ("net-filter", ConfigKey::Directive(Directive::NetFilter)),
            ("net-filter6", ConfigKey::Directive(Directive::NetFilter6)),
            ("link-local", ConfigKey::Directive(Directive::LinkLocal)),
            ("promiscuous", ConfigKey::Directive(Directive::Promiscuous)),
            ("hook", ConfigKey::Hook),
            ("slots", ConfigKey::Slots),
            ("max-flows", ConfigKey::MaxFlows),
        ],
    ),
    (
        "screen",
        &[
            ("sort", ConfigKey::Directive(Directive::Sort)),
            ("line-display", ConfigKey::Directive(Directive::LineDisplay)),
            ("port-display", ConfigKey::Directive(Directive::PortDisplay)),
            ("port-resolution", ConfigKey::Directive(Directive::PortResolution)),
            ("dns-resolution", ConfigKey::Directive(Directive::DnsResolution)),
            ("hide-source", ConfigKey::Directive(Directive::HideSource)),
            ("hide-destination", ConfigKey::Directive(Directive::HideDestination)),
            ("use-bytes", ConfigKey::Directive(Directive::UseBytes)),
            ("show-bars", ConfigKey::Directive(Directive::ShowBars)),
            ("show-totals", ConfigKey::Directive(Directive::ShowTotals)),
            ("log-scale", ConfigKey::Directive(Directive::LogScale)),
            ("max-bandwidth", ConfigKey::Directive(Directive::MaxBandwidth)),
            ("screen-filter", ConfigKey::Directive(Directive::ScreenFilter)),
        ],
    ),
    (
        "text",
        &[
            ("no-curses", ConfigKey::Directive(Directive::NoCurses)),
            ("timed-output", ConfigKey::Directive(Directive::TimedOutput)),
            ("num-lines", ConfigKey::Directive(Directive::NumLines)),
        ],
    ),
    (
        "agent",
        &[
            ("log", ConfigKey::Agent(AgentKey::Log)),
            ("no-log", ConfigKey::Agent(AgentKey::NoLog)),
            ("interval", ConfigKey::Agent(AgentKey::Interval)),
            ("rows", ConfigKey::Agent(AgentKey::Rows)),
            ("top", ConfigKey::Agent(AgentKey::Top)),
            ("log-format", ConfigKey::Agent(AgentKey::LogFormat)),
            ("compress", ConfigKey::Agent(AgentKey::Compress)),
            ("rotate-size", ConfigKey::Agent(AgentKey::RotateSize)),
            ("rotate-time", ConfigKey::Agent(AgentKey::RotateTime)),
            ("keep-files", ConfigKey::Agent(AgentKey::KeepFiles)),
            ("keep-age", ConfigKey::Agent(AgentKey::KeepAge)),
            ("keep-size", ConfigKey::Agent(AgentKey::KeepSize)),
            ("file-mode", ConfigKey::Agent(AgentKey::FileMode)),
            ("file-group", ConfigKey::Agent(AgentKey::FileGroup)),
            ("sync", ConfigKey::Agent(AgentKey::Sync)),
            ("max-log-flows", ConfigKey::Agent(AgentKey::MaxLogFlows)),
            ("owners", ConfigKey::Agent(AgentKey::Owners)),
            ("sandbox", ConfigKey::Agent(AgentKey::Sandbox)),
            ("socket", ConfigKey::Agent(AgentKey::Socket)),
            ("metrics", ConfigKey::Agent(AgentKey::Metrics)),
            ("metrics-by", ConfigKey::Agent(AgentKey::MetricsBy)),
            ("metrics-top", ConfigKey::Agent(AgentKey::MetricsTop)),
            ("metrics-retention", ConfigKey::Agent(AgentKey::MetricsRetention)),
            ("metrics-token-file", ConfigKey::Agent(AgentKey::MetricsTokenFile)),
        ],
    ),
    ("security", &[("show-other-users", ConfigKey::ShowOtherUsers)]),
];

/// Reads a file's text, whose name is for the problems. What is wrong has no effect.
#[must_use]
pub fn parse(text: &str, file: &str) -> (Config, Vec<ConfigProblem>) {
    let mut reader = ConfigReader { text, file, config: Config::default(), problems: Vec::new() };
    match DeTable::parse(text) {
        Ok(document) => reader.document(document.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reader.complain(at, "", error.message().replace('\n', ", "));
        }
    }
    let ConfigReader { config, mut problems, .. } = reader;
    problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
    (config, problems)
}

impl Config {
    /// These settings, and those of `other` where there is none here.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (directive, place) in other.places {
            self.places.entry(directive).or_insert(place);
        }
        for (key, place) in other.agent_places {
            self.agent_places.entry(key).or_insert(place);
        }
        Self {
            directives: self.directives.or(other.directives),
            places: self.places,
            agent_places: self.agent_places,
            interfaces: self.interfaces.or(other.interfaces),
            hook: self.hook.or(other.hook),
            slots: self.slots.or(other.slots),
            max_flows: self.max_flows.or(other.max_flows),
            agent: self.agent.or(other.agent),
            files: self.files.into_iter().chain(other.files).collect(),
            show_other_users: self.show_other_users.or(other.show_other_users),
        }
    }

    /// Where a directive's value stands.
    #[must_use]
    pub fn place(&self, directive: Directive) -> Option<&ConfigPlace> {
        self.places.get(&directive)
    }

    /// Where a key of the agent stands.
    #[must_use]
    pub fn agent_place(&self, key: AgentKey) -> Option<&ConfigPlace> {
        self.agent_places.get(&key)
    }
}

struct ConfigReader<'a> {
    text: &'a str,
    file: &'a str,
    config: Config,
    problems: Vec<ConfigProblem>,
}

impl ConfigReader<'_> {
    fn document(&mut self, document: &DeTable<'_>) {
        for (name, value) in document {
            let (at, name) = (name.span().start, name.get_ref().as_ref());
            let Some((_, keys)) = SECTIONS.iter().find(|(section, _)| *section == name) else {
                let known: Vec<_> = SECTIONS.iter().map(|(section, _)| format!("[{section}]")).collect();
                let hint = belongs(name).unwrap_or_else(|| format!("there are {}", known.join(", ")));
                self.complain(at, name, format!("unknown; {hint}"));
                continue;
            };
            match value.get_ref() {
                DeValue::Table(table) => self.section(name, keys, table),
                other => {
                    self.complain(at, name, format!("is a section, [{name}], and not {}", described(other)));
                }
            }
        }
    }

    fn section(&mut self, section: &str, keys: &[(&str, ConfigKey)], table: &DeTable<'_>) {
        for (name, value) in table {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let full = format!("{section}.{name}");
            let Some((_, key)) = keys.iter().find(|(key, _)| *key == name) else {
                let known: Vec<_> = keys.iter().map(|(key, _)| *key).collect();
                let hint = belongs(name).unwrap_or_else(|| format!("[{section}] has {}", known.join(", ")));
                self.complain(at, &full, format!("unknown; {hint}"));
                continue;
            };
            if let Err(message) = self.set(*key, &full, value) {
                self.complain(value.span().start, &full, message);
            }
        }
    }

    fn set(&mut self, key: ConfigKey, full: &str, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        let (at, value) = (value.span().start, value.get_ref());
        match key {
            ConfigKey::Directive(directive) => {
                let text = text_of(directive, value)?;
                check(directive, &text)?;
                self.config.directives.set(directive, text);
                let place = self.place(at, full);
                self.config.places.insert(directive, place);
            }
            ConfigKey::Interfaces => self.config.interfaces = Some(names(value)?),
            ConfigKey::Hook => self.config.hook = Some(string(value)?.parse()?),
            ConfigKey::Slots => self.config.slots = Some(cli::slots(&integer(value)?)?),
            ConfigKey::MaxFlows => self.config.max_flows = Some(cli::max_flows(&integer(value)?)?),
            ConfigKey::Agent(key) => {
                self.config.agent.set(key, &plain(value)?)?;
                let place = self.place(at, full);
                self.config.agent_places.insert(key, place);
            }
            ConfigKey::ShowOtherUsers => {
                let others = others(value)?;
                self.config.show_other_users = Some((others, self.place(at, full)));
            }
        }
        Ok(())
    }

    fn complain(&mut self, at: usize, key: &str, message: String) {
        let place = self.place(at, key);
        self.problems.push(ConfigProblem { place, message });
    }

    fn place(&self, at: usize, key: &str) -> ConfigPlace {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigPlace {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key: key.to_owned(),
        }
    }
}

/// Where a key that stands in the wrong section belongs.
fn belongs(name: &str) -> Option<String> {
    let has = |keys: &[(&str, ConfigKey)]| keys.iter().any(|(key, _)| *key == name);
    SECTIONS.iter().find(|(_, keys)| has(keys)).map(|(section, _)| format!("it belongs to [{section}]"))
}

/// A directive's value as iftop's file has it.
fn text_of(directive: Directive, value: &DeValue<'_>) -> Result<String, String> {
    use Directive::{
        DnsResolution, FilterCode, HideDestination, HideSource, Interface, LineDisplay, LinkLocal, LogScale,
        MaxBandwidth, NetFilter, NetFilter6, NoCurses, NumLines, PortDisplay, PortResolution, Promiscuous,
        ScreenFilter, ShowBars, ShowTotals, Sort, TimedOutput, UseBytes,
    };
    match directive {
        DnsResolution | PortResolution | ShowBars | Promiscuous | LinkLocal | HideSource
        | HideDestination | UseBytes | ShowTotals | LogScale | NoCurses => match value {
            DeValue::Boolean(on) => Ok(if *on { "yes" } else { "no" }.to_owned()),
            other => Err(format!("should be true or false, and not {}", described(other))),
        },
        TimedOutput | NumLines => integer(value),
        MaxBandwidth if value.is_integer() => integer(value),
        Interface | FilterCode | PortDisplay | Sort | LineDisplay | MaxBandwidth | NetFilter | NetFilter6
        | ScreenFilter => string(value).map(str::to_owned),
    }
}

/// Whether a directive understands a value.
fn check(directive: Directive, text: &str) -> Result<(), String> {
    let mut alone = Directives::default();
    alone.set(directive, text);
    match resolve(&alone).1.first() {
        None => Ok(()),
        Some(_) if !words(directive).is_empty() => {
            Err(format!("{text:?} is none of {}", words(directive).join(", ")))
        }
        Some(error) => Err(error.to_string()),
    }
}

fn string<'a>(value: &'a DeValue<'_>) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("should be a text in quotes, and not {}", described(value)))
}

/// A number without a sign, in decimal digits.
fn integer(value: &DeValue<'_>) -> Result<String, String> {
    value
        .as_integer()
        .and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok())
        .map(|number| number.to_string())
        .ok_or_else(|| format!("should be a whole number from 0, and not {}", described(value)))
}

/// A text, a number, yes or no, or a list of texts, as it would be typed.
fn plain(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Integer(_) => integer(value),
        DeValue::Array(words) => {
            let words: Vec<_> = words.iter().map(|word| string(word.get_ref())).collect::<Result<_, _>>()?;
            Ok(words.join(","))
        }
        other => string(other).map(str::to_owned),
    }
}

/// One name, or several.
fn names(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let names = match value {
        DeValue::Array(names) => names
            .iter()
            .map(|name| string(name.get_ref()).map(str::to_owned))
            .collect::<Result<Vec<_>, _>>()?,
        other => vec![string(other)?.to_owned()],
    };
    if names.is_empty() {
        Err("names no interface: leave it out for the default".to_owned())
    } else {
        Ok(names)
    }
}

/// Yes, no, or a group.
fn others(value: &DeValue<'_>) -> Result<Others, String> {
    match value {
        DeValue::Boolean(true) => Ok(Others::Everybody),
        DeValue::Boolean(false) => Ok(Others::Nobody),
        DeValue::String(group) if !group.is_empty() => Ok(Others::Group(group.clone().into_owned())),
        other => Err(format!("should be true, false or the name of a group, and not {}", described(other))),
    }
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => format!("a {}", value.type_str()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::agent::settings::{AgentEnvironment, AgentSettings};
    use crate::iftop::options::{IftopOptions, PairOrder};

    const EXAMPLE: &str = include_str!("../../docs/config.toml");

    fn config(text: &str) -> Config {
        let (config, problems) = parse(text, "c.toml");
        assert_eq!(problems, [], "{text}");
        config
    }

    fn problems(text: &str) -> Vec<String> {
        parse(text, "c.toml").1.iter().map(ToString::to_string).collect()
    }

    fn options(config: &Config) -> IftopOptions {
        let (options, errors) = resolve(&config.directives);
        assert_eq!(errors, []);
        options
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        assert_eq!(config(""), Config::default());
        assert_eq!(config("# nothing\n[screen]\n"), Config::default());
    }

    #[test]
    fn the_example_has_the_defaults_and_every_key() {
        let as_it_is = config(EXAMPLE);
        assert_eq!(options(&as_it_is), IftopOptions::default());
        assert_eq!(as_it_is.hook, Some(HookChoice::default()));
        let host = AgentEnvironment::default();
        assert_eq!(as_it_is.agent.settings(&host).unwrap(), AgentSettings::default());
        // What has no default is there as a comment.
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.split_once(" = ").is_some_and(|(key, _)| belongs(key).is_some()) => key,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let all = config(&uncommented);
        for (section, keys) in SECTIONS {
            for (name, key) in *keys {
                let is_set = match key {
                    ConfigKey::Directive(directive) => all.directives.get(*directive).is_some(),
                    ConfigKey::Interfaces => all.interfaces.is_some(),
                    ConfigKey::Hook => all.hook.is_some(),
                    ConfigKey::Slots => all.slots.is_some(),
                    ConfigKey::MaxFlows => all.max_flows.is_some(),
                    ConfigKey::Agent(key) => all.agent.has(*key),
                    ConfigKey::ShowOtherUsers => all.show_other_users.is_some(),
                };
                assert!(is_set, "no {section}.{name} in docs/config.toml");
            }
        }
    }

    #[test]
    fn every_directive_but_one_has_a_key() {
        for directive in Directive::ALL {
            // `interfaces` has taken its place.
            let expected = directive != Directive::Interface;
            assert_eq!(belongs(directive.name()).is_some(), expected, "{}", directive.name());
        }
    }

    #[test]
    fn the_first_file_comes_first_key_by_key() {
        let user = config("[screen]\nsort = \"2s\"\n[capture]\ninterfaces = \"eth0\"\n");
        let host =
            config("[screen]\nsort = \"40s\"\nuse-bytes = true\n[capture]\nslots = 4096\nhook = 'tcx'\n");
        let both = user.or(host);
        let resolved = options(&both);
        assert_eq!((resolved.sort, resolved.use_bytes), (PairOrder::TwoSeconds, true));
        assert_eq!((both.interfaces, both.slots), (Some(vec!["eth0".to_owned()]), Some(4096)));
        assert_eq!(both.hook, Some(HookChoice::Tcx));
        assert_eq!(both.places[&Directive::Sort].to_string(), "c.toml:2:8: screen.sort");
        assert_eq!(both.places[&Directive::UseBytes].to_string(), "c.toml:3:13: screen.use-bytes");
    }

    #[test]
    fn who_sees_other_users_is_yes_no_or_a_group() {
        for (value, expected) in [
            ("true", Others::Everybody),
            ("false", Others::Nobody),
            ("'adm'", Others::Group("adm".to_owned())),
        ] {
            let (others, place) =
                config(&format!("[security]\nshow-other-users = {value}\n")).show_other_users.unwrap();
            assert_eq!(others, expected);
            assert_eq!(place.to_string(), "c.toml:2:20: security.show-other-users");
        }
        assert_eq!(
            problems("[security]\nshow-other-users = ''\n"),
            [
                "c.toml:2:20: security.show-other-users: should be true, false or the name of a group, and not the text \"\""
            ]
        );
    }

    #[test]
    fn several_interfaces_and_numbers_of_every_base() {
        let config = config(
            "[capture]\ninterfaces = ['eth*', \"wlan0\"]\nmax-flows = 1_000_000\n[screen]\nmax-bandwidth = '1G'\n[text]\n\
             num-lines = 0x10\n",
        );
        assert_eq!(config.interfaces, Some(vec!["eth*".to_owned(), "wlan0".to_owned()]));
        assert_eq!(config.max_flows, Some(1_000_000));
        let options = options(&config);
        assert_eq!((options.max_bandwidth, options.num_lines), (Some(1 << 30), 16));
    }

    #[test]
    fn unknown_keys_are_named_with_their_place() {
        assert_eq!(
            problems("sort = '2s'\n[screens]\n[screen]\n  sorts = '2s'\n  hook = 'tcx'\n"),
            [
                "c.toml:1:1: sort: unknown; it belongs to [screen]",
                "c.toml:2:2: screens: unknown; there are [capture], [screen], [text], [agent], [security]",
                "c.toml:4:3: screen.sorts: unknown; [screen] has sort, line-display, port-display, port-resolution, \
                 dns-resolution, hide-source, hide-destination, use-bytes, show-bars, show-totals, log-scale, \
                 max-bandwidth, screen-filter",
                "c.toml:5:3: screen.hook: unknown; it belongs to [capture]",
            ]
        );
    }

    #[test]
    fn wrong_values_are_named_with_their_place() {
        assert_eq!(
            problems(
                "screen = 1\n[capture]\nslots = 1000\nhook = 'nosuch'\nnet-filter = '10.0.0.0/33'\ninterfaces = []\n\
                 max-flows = -1\nlink-local = 'yes'\n[text]\nnum-lines = 'ten'\ntimed-output = 1.5\n"
            ),
            [
                "c.toml:1:1: screen: is a section, [screen], and not the number 1",
                "c.toml:3:9: capture.slots: use a power of two from 1024 to 1048576",
                "c.toml:4:8: capture.hook: no hook is called 'nosuch': use auto, tcx, clsact or xdp",
                "c.toml:5:14: capture.net-filter: Invalid netmask length: 33",
                "c.toml:6:14: capture.interfaces: names no interface: leave it out for the default",
                "c.toml:7:13: capture.max-flows: should be a whole number from 0, and not the number -1",
                "c.toml:8:14: capture.link-local: should be true or false, and not the text \"yes\"",
                "c.toml:10:13: text.num-lines: should be a whole number from 0, and not the text \"ten\"",
                "c.toml:11:16: text.timed-output: should be a whole number from 0, and not a float",
            ]
        );
        assert_eq!(
            problems("[screen]\nsort = '3s'\nmax-bandwidth = '1.5M'\n"),
            [
                "c.toml:2:8: screen.sort: \"3s\" is none of 2s, 10s, 40s, source, destination",
                "c.toml:3:17: screen.max-bandwidth: Invalid units in value: 1.5M",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_place() {
        let found = problems("[screen]\nsort = \n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("c.toml:2:"), "{found:?}");
        assert!(
            problems("[screen]\nsort = '2s'\nsort = '10s'\n")[0].starts_with("c.toml:3:1: duplicate key")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\[(screen|text|capture)\\]\n|[a-z-]{1,12} = (true|-?[0-9]{1,4}|'[a-z0-9]{0,4}'|\\[\\])\n|\\PC{0,6}){0,8}") {
            let (config, _) = parse(&text, "c.toml");
            prop_assert_eq!(resolve(&config.directives).1, vec![]);
        }
    }
}
