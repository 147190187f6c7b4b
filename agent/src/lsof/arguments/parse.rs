//! From words to [`LsofOptions`].

use std::time::Duration;

use super::{
    CommandPrefix, Directory, EndPoints, Exempt, FieldOutput, FlagForm, Json, LsofOptions, NameKind, Repeat,
    SizeOrOffset, System, Tasks, TcpInfo,
    internet::{self, AddressKind},
    scan::{Letter, Scanner},
    sets::{self, text},
};
use crate::lsof::{model::TCP_STATES, select::pattern::Pattern};

/// Longest name of a command that the kernel keeps (`TASK_COMM_LEN` without its NUL).
const COMMAND_LENGTH: usize = 15;

/// How often a listing is repeated if nothing else is said, in seconds.
const REPEAT: u64 = 15;

/// Fields of `-F` when none is named: all but the raw device number.
const STANDARD_FIELDS: &[u8] = b"acdDfgGikKlLmMnopPRstTu";

/// Fields that may be named.
const FIELDS: &[u8] = b"acCdDfFgGikKlLmMnNopPrRsStTuzZ";

/// What a command line comes to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// List files. The messages are warnings.
    Run(Box<LsofOptions>, Vec<String>),
    /// `-h`, `-?`: print the long usage.
    Help,
    /// `-v`: print the version.
    Version,
    /// `-F?`: print the fields.
    FieldHelp,
    /// Print these messages and the short usage.
    Wrong(Vec<String>),
}

/// Reads the words after the program's name.
#[must_use]
pub fn parse(words: Vec<Vec<u8>>, system: &dyn System) -> Outcome {
    let mut parser = ArgumentParser {
        scanner: Scanner::new(words),
        system,
        options: LsofOptions::default(),
        messages: Vec::new(),
        failed: false,
        help: false,
        version: false,
        field_help: false,
        cross: false,
        conflict: false,
        flag_form: FlagForm::Names,
        both_json: false,
    };
    while let Some(letter) = parser.scanner.letter() {
        parser.option(letter);
        if parser.field_help {
            return Outcome::FieldHelp;
        }
    }
    parser.finish()
}

#[expect(clippy::struct_excessive_bools, reason = "each is an option that was met")]
struct ArgumentParser<'a> {
    scanner: Scanner,
    system: &'a dyn System,
    options: LsofOptions,
    /// What goes to standard error, in the order of the options.
    messages: Vec<String>,
    /// Whether any of them says that something is wrong.
    failed: bool,
    help: bool,
    version: bool,
    field_help: bool,
    /// `-x` was given.
    cross: bool,
    /// `-o` and `-s` were both given.
    conflict: bool,
    /// How flags are printed, if they are: the last option about them says it, whether it asks for them or not.
    flag_form: FlagForm,
    /// `-J` and `-j` were both given.
    both_json: bool,
}

impl ArgumentParser<'_> {
    fn wrong(&mut self, message: impl Into<String>) {
        self.messages.push(message.into());
        self.failed = true;
    }

    fn option(&mut self, Letter { plus, letter }: Letter) {
        let options = &mut self.options;
        match letter {
            b'?' | b'h' => self.help = true,
            b'v' => self.version = true,
            b'a' => options.and = true,
            b'b' => options.avoid_blocking = true,
            b'H' => options.human = true,
            b'J' | b'j' if plus => self.wrong(format!("+{} is not supported", char::from(letter))),
            b'J' => self.json(Json::Object),
            b'j' => self.json(Json::Lines),
            b'l' => options.numeric_users = true,
            b'n' => options.numeric_hosts = !plus,
            b'P' => options.numeric_ports = !plus,
            b'N' => options.nfs = true,
            b'O' | b'M' => {}
            b'Q' => options.quiet = true,
            b'R' => options.parents = true,
            b't' => options.terse = true,
            b'U' => options.unix = true,
            b'V' => options.verbose = true,
            b'w' => options.warnings = plus,
            b'X' => options.no_tcp_udp = true,
            b'E' => options.endpoints = if plus { EndPoints::Listed } else { EndPoints::Named },
            b'c' if plus => self.command_width(),
            b'c' => self.command(),
            b'd' if plus => self.directory(false),
            b'd' => self.fds(),
            b'D' if plus => self.directory(true),
            b'D' => {
                drop(self.scanner.optional());
                self.wrong("unsupported option: -D");
            }
            b'e' => self.exempt(plus),
            b'f' => self.file_or_flags(plus),
            b'F' => self.fields(),
            b'g' => self.groups(),
            b'i' => self.internet(),
            b'K' => self.tasks(),
            b'L' => self.links(plus),
            b'm' => self.mounts(plus),
            b'o' => self.offset(),
            b'p' => self.pids(),
            b'r' => self.repeat(plus),
            b's' => self.size_or_states(),
            b'S' => self.timeout(),
            b'T' => self.tcp_info(plus),
            b'u' => self.users(),
            b'x' => self.cross_over(),
            b'Z' => self.contexts(),
            _ => self.wrong(format!("illegal option character: {}", text(&[letter]))),
        }
    }

    fn json(&mut self, json: Json) {
        self.both_json |= self.options.json.is_some_and(|before| before != json);
        self.options.json = Some(json);
    }

    /// A value that must be there and must not look like an option.
    fn name(&mut self) -> Option<Vec<u8>> {
        self.scanner.optional()
    }

    fn command_width(&mut self) {
        let number = self.scanner.digits();
        match number.and_then(|number| usize::try_from(number).ok()) {
            None => self.wrong("+c not followed by width number"),
            Some(width) if width > COMMAND_LENGTH => {
                self.wrong(format!("+c {width} > what system provides ({COMMAND_LENGTH})"));
            }
            Some(0) => self.options.command_width = None,
            // The title's own width.
            Some(width) => self.options.command_width = Some(width.max(7)),
        }
    }

    fn command(&mut self) {
        let Some(value) = self.name() else {
            return self.wrong("missing -c option value");
        };
        if value.first() == Some(&b'/') {
            match Pattern::parse(&value) {
                Ok(pattern) => self.options.patterns.push(pattern),
                Err(error) => self.wrong(error),
            }
            return;
        }
        let (exclude, prefix) = match value.strip_prefix(b"^") {
            Some(rest) => (true, rest.to_vec()),
            None => (false, value.clone()),
        };
        if prefix.len() > COMMAND_LENGTH {
            let length = prefix.len();
            return self.wrong(format!(
                "\"-c {}\" length ({length}) > what system provides ({COMMAND_LENGTH})",
                text(&prefix)
            ));
        }
        let commands = &mut self.options.commands;
        if commands.iter().any(|other| other.prefix == prefix && other.exclude != exclude) {
            let name = text(&prefix);
            return self.wrong(format!("-c^{name} and -c{name} conflict."));
        }
        let command = CommandPrefix { prefix, exclude };
        if !commands.contains(&command) {
            commands.push(command);
        }
    }

    fn directory(&mut self, deep: bool) {
        match self.name().filter(|path| !path.is_empty()) {
            Some(path) => {
                let (cross_mounts, cross_links) = (self.options.cross_mounts, self.options.cross_links);
                let avoid_blocking = self.options.avoid_blocking;
                let directory = Directory { path, deep, cross_mounts, cross_links, avoid_blocking };
                self.options.directories.push(directory);
            }
            None => self.wrong("+d not followed by a directory path"),
        }
    }

    fn fds(&mut self) {
        let result = match self.scanner.value() {
            Some(set) => sets::fds(&set, &mut self.options.fds),
            None => Err("no file descriptor specified".to_owned()),
        };
        if let Err(error) = result {
            self.wrong(error);
        }
    }

    fn exempt(&mut self, plus: bool) {
        match self.name() {
            Some(path) if path.first() == Some(&b'/') => {
                let LsofOptions { avoid_blocking, ref directories, .. } = self.options;
                let after = directories.len();
                let (given, readlink) = (path.clone(), !plus);
                let exempt = Exempt { given, path, device: None, readlink, avoid_blocking, after };
                self.options.exempt.push(exempt);
            }
            other => {
                let path = other.map_or_else(|| "(null)".to_owned(), |path| text(&path));
                self.wrong(format!("-e not followed by a file system path: \"{path}\""));
            }
        }
    }

    fn file_or_flags(&mut self, plus: bool) {
        let Some(letters) = self.scanner.optional() else {
            self.options.name_kind = if plus { NameKind::FileSystem } else { NameKind::File };
            return;
        };
        for letter in letters {
            match letter {
                b'g' | b'G' => {
                    self.flag_form = if letter == b'g' { FlagForm::Names } else { FlagForm::Hex };
                    self.options.flags = plus.then_some(self.flag_form);
                }
                _ => self.wrong(format!("unknown file struct option: {}", text(&[letter]))),
            }
        }
    }

    fn fields(&mut self) {
        let value = self.scanner.optional();
        let fields = self.options.fields.get_or_insert_default();
        match value.as_deref() {
            Some(b"?") => self.field_help = true,
            None | Some(b"0") => {
                fields.nul |= value.is_some();
                self.flag_form = FlagForm::Hex;
                self.standard_fields();
            }
            Some(letters) => {
                fields.nul |= letters.contains(&b'0');
                self.select_field(b'p');
                for letter in letters.iter().copied().filter(|letter| *letter != b'0') {
                    match letter {
                        b'G' => self.flag_form = FlagForm::Hex,
                        b'o' => self.choose(SizeOrOffset::Offset),
                        _ => {}
                    }
                    if FIELDS.contains(&letter) {
                        self.select_field(letter);
                    } else {
                        self.wrong(format!("unknown field: {}", text(&[letter])));
                    }
                }
            }
        }
    }

    fn standard_fields(&mut self) {
        for letter in STANDARD_FIELDS {
            self.select_field(*letter);
        }
        if self.system.selinux() {
            self.select_field(b'Z');
        }
    }

    /// Adds a field to those of earlier `-F`s. It brings with it what its option does; one that follows may take that back.
    fn select_field(&mut self, letter: u8) {
        let options = &mut self.options;
        match letter {
            b'G' => options.flags = Some(self.flag_form),
            b'T' => options.tcp_info = TcpInfo { state: true, queues: true, flags: true },
            b'Z' if self.system.selinux() => drop(options.contexts.get_or_insert_default()),
            _ => {}
        }
        let letters = &mut options.fields.get_or_insert_default().letters;
        if !letters.contains(&letter) {
            letters.push(letter);
        }
    }

    fn groups(&mut self) {
        self.options.show_groups = true;
        if let Some(set) = self.scanner.optional()
            && let Err(error) = sets::ids(&set, "PGID", "process group", &mut self.options.groups)
        {
            self.wrong(error);
        }
    }

    fn internet(&mut self) {
        let large = |family, options: &mut LsofOptions| {
            options.internet = Some(options.internet.map_or(family, |before| before.and(family)));
        };
        match self.scanner.optional() {
            None => large(internet::InternetFamily::Any, &mut self.options),
            Some(value) => match internet::item(&value, self.system) {
                Ok(AddressKind::Large(family)) => large(family, &mut self.options),
                Ok(AddressKind::Address(address)) => self.options.addresses.push(address),
                Err(error) => self.wrong(error),
            },
        }
    }

    fn tasks(&mut self) {
        match self.scanner.optional() {
            None => self.options.tasks = Tasks::Select,
            Some(value) if value == b"i" => self.options.tasks = Tasks::Ignore,
            Some(value) => self.wrong(format!("-K not followed by i (but by {})", text(&value))),
        }
    }

    fn links(&mut self, plus: bool) {
        let number = self.scanner.digits();
        self.options.links = plus;
        match number {
            // The class stays, and nothing meets it.
            None => self.options.links_below = self.options.links_below.map(|_| 0),
            Some(_) if !plus => self.wrong("no number may follow -L"),
            Some(number) => self.options.links_below = Some(number),
        }
    }

    fn mounts(&mut self, plus: bool) {
        let file = self.scanner.optional();
        if !plus {
            return self.wrong("-m not supported");
        }
        match file {
            Some(file) => self.options.mount_supplement = Some(file),
            None => self.options.print_mounts = true,
        }
    }

    fn offset(&mut self) {
        match self.scanner.digits() {
            Some(digits) => self.options.offset_digits = usize::try_from(digits).unwrap_or(usize::MAX),
            None => self.choose(SizeOrOffset::Offset),
        }
    }

    fn choose(&mut self, what: SizeOrOffset) {
        let before = self.options.size_or_offset;
        if before != SizeOrOffset::Either && before != what {
            self.conflict = true;
        }
        self.options.size_or_offset = what;
    }

    fn pids(&mut self) {
        let result = match self.scanner.value() {
            Some(set) => sets::ids(&set, "PID", "process", &mut self.options.pids),
            None => Err("no process ID specified".to_owned()),
        };
        if let Err(error) = result {
            self.wrong(error);
        }
    }

    fn repeat(&mut self, plus: bool) {
        let seconds = self.scanner.digits();
        let mut cycles = None;
        let mut marker = None;
        // A count follows the time; a word of its own that begins with c would be another option's.
        if let Some(rest) = self.scanner.rest_if(b'c') {
            let end = rest.iter().position(|byte| *byte == b'm').unwrap_or(rest.len());
            let count = rest.get(1..end).unwrap_or_default();
            cycles = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok()).filter(|n| *n > 0);
            if cycles.is_none() {
                self.wrong(format!("-r: no number of cycles after c: {}", text(&rest)));
            }
            marker = rest.get(end + 1..).map(<[u8]>::to_vec);
        } else if let Some(rest) = self.scanner.rest_if(b'm') {
            marker = Some(rest[1..].to_vec());
        }
        if marker.as_ref().is_some_and(Vec::is_empty) {
            self.wrong("illegal <fmt>: \"\"");
        }
        let seconds = seconds.unwrap_or(REPEAT);
        self.options.repeat = (seconds > 0).then(|| Repeat {
            every: Duration::from_secs(seconds),
            until_none: plus,
            marker,
            cycles,
        });
    }

    fn size_or_states(&mut self) {
        let Some(value) = self.scanner.optional() else {
            return self.choose(SizeOrOffset::Size);
        };
        let whole = text(&value);
        let (protocol, list) = match whole.split_once(':') {
            Some((protocol, list)) if protocol.eq_ignore_ascii_case("tcp") => ("TCP", list),
            Some((protocol, list)) if protocol.eq_ignore_ascii_case("udp") => ("UDP", list),
            _ => return self.wrong(format!("unknown -s protocol: \"{whole}\"")),
        };
        if protocol == "UDP" {
            return self.wrong(format!("no UDP state names available: {whole}"));
        }
        if list.is_empty() {
            return self.wrong(format!("no TCP state names in: {whole}"));
        }
        for name in list.split(',').filter(|name| !name.is_empty()) {
            let (exclude, bare) = match name.strip_prefix('^') {
                Some(rest) => (true, rest),
                None => (false, name),
            };
            let known = TCP_STATES.iter().find(|(_, state)| state.eq_ignore_ascii_case(bare));
            let Some((number, state)) = known else {
                self.wrong(format!("unknown TCP state name: {bare}"));
                continue;
            };
            let states = &mut self.options.states;
            let (to, other) = if exclude {
                (&mut states.exclude, &states.include)
            } else {
                (&mut states.include, &states.exclude)
            };
            if other.contains(number) {
                self.wrong(format!("can't include and exclude TCP state: {state}"));
            } else if !to.contains(number) {
                to.push(*number);
            }
        }
    }

    fn timeout(&mut self) {
        let Some(seconds) = self.scanner.digits() else {
            self.options.timeout = Duration::from_secs(15);
            return;
        };
        if seconds < 2 {
            self.messages.push(format!("WARNING: -S time ({seconds}) changed to 2"));
        }
        self.options.timeout = Duration::from_secs(seconds.max(2));
    }

    fn tcp_info(&mut self, plus: bool) {
        let Some(letters) = self.scanner.optional() else {
            self.options.tcp_info = TcpInfo { state: plus, queues: false, flags: false };
            return;
        };
        let mut info = TcpInfo { state: false, queues: false, flags: false };
        for letter in letters {
            match letter {
                b's' => info.state = true,
                b'q' => info.queues = true,
                b'f' => info.flags = true,
                _ => self.wrong(format!("unsupported TCP/TPI info selection: {}", text(&[letter]))),
            }
        }
        self.options.tcp_info = info;
    }

    fn users(&mut self) {
        let Some(set) = self.scanner.value() else {
            return self.wrong("no UIDs specified");
        };
        let (messages, failed) = (&mut self.messages, &mut self.failed);
        let LsofOptions { users, excluded_users, .. } = &mut self.options;
        sets::users(&set, self.system, users, excluded_users, &mut |error| {
            messages.push(error);
            *failed = true;
        });
    }

    fn cross_over(&mut self) {
        self.cross = true;
        let Some(letters) = self.scanner.optional() else {
            (self.options.cross_mounts, self.options.cross_links) = (true, true);
            return;
        };
        for letter in letters {
            match letter {
                b'f' => self.options.cross_mounts = true,
                b'l' => self.options.cross_links = true,
                _ => self.wrong(format!("unknown cross-over option: {}", text(&[letter]))),
            }
        }
    }

    fn contexts(&mut self) {
        let context = self.scanner.optional();
        if !self.system.selinux() {
            return self.wrong("-Z limited to SELinux");
        }
        self.options.contexts.get_or_insert_default().extend(context.map(|context| text(&context)));
    }

    fn finish(mut self) -> Outcome {
        let options = &self.options;
        let mut late = Vec::new();
        if self.conflict {
            late.push("-o and -s are mutually exclusive".to_owned());
        }
        let formatted = options.fields.is_some() || options.json.is_some();
        if formatted && options.terse {
            late.push("-F and -t are mutually exclusive".to_owned());
        }
        let marker = options.repeat.as_ref().and_then(|repeat| repeat.marker.as_deref()).unwrap_or_default();
        if formatted && breaks_line(marker) {
            let marker = text(marker);
            late.push(format!("%n illegal in -r m<fmt> when -F has been specified: \"{marker}\""));
        }
        if self.cross && options.directories.is_empty() {
            late.push("-x must accompany +d or +D".to_owned());
        }
        if self.both_json {
            late.push("-J and -j are mutually exclusive".to_owned());
        }
        if options.json.is_some() && options.terse {
            late.push("-J/-j and -t are mutually exclusive".to_owned());
        }
        if options.no_tcp_udp && (options.internet.is_some() || !options.addresses.is_empty()) {
            late.push("-i is useless when -X is specified.".to_owned());
        }
        for error in late {
            self.wrong(error);
        }
        self.options.names = std::mem::take(&mut self.scanner).names();
        if !self.failed && !self.help && !self.version {
            let classes = crate::lsof::select::SelectionClasses::requested(&self.options);
            if self.options.and && classes.is_empty() {
                self.wrong("no select options to AND via -a");
            }
        }
        if self.failed {
            return Outcome::Wrong(self.messages);
        }
        if self.help {
            return Outcome::Help;
        }
        if self.version {
            return Outcome::Version;
        }
        // A list of numbers has no room for rows about what failed.
        if self.options.terse {
            self.options.warnings = false;
        }
        // JSON has all fields unless some are named, whatever order that is said in.
        if self.options.json.is_some() && !self.options.fields.as_ref().is_some_and(FieldOutput::names_any) {
            self.standard_fields();
        }
        Outcome::Run(Box::new(self.options), self.messages)
    }
}

/// Whether a format of strftime(3) begins a new line.
fn breaks_line(format: &[u8]) -> bool {
    let mut bytes = format.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' && bytes.next() == Some(&b'n') {
            return true;
        }
    }
    false
}
