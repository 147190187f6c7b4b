//! The program in lsof's place: its command line, its outputs, its exit statuses.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write as _},
    net::IpAddr,
    os::unix::ffi::OsStringExt as _,
    path::Path,
    process::ExitCode,
    thread,
};

use super::{advised, security, stdout};
use crate::{
    format::{Guard, guarded},
    host::{name_service::NameService, proc, rights},
    lsof::{
        arguments::{self, Json, LsofOptions, Outcome, System},
        gather::{Search, Shared, gather, mounts, name_endpoints, resolve_exempt},
        model::{ListedSocket, Process, Transport},
        print::{self, Charset, EndNames, Logins, Style},
    },
};

/// Runs it; the exit code is 0, or 1 when anything went wrong or was not found.
pub(super) fn main(name: Option<&OsStr>, words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let program = name
        .map(Path::new)
        .and_then(Path::file_name)
        .map_or_else(|| "lsof".to_owned(), |name| guarded(&name.to_string_lossy()).into_owned());
    let words = words.into_iter().map(OsString::into_vec).collect();
    match arguments::parse(words, &ListedNames::default()) {
        Outcome::Help => {
            say_raw(&arguments::long_usage(&program));
            ExitCode::SUCCESS
        }
        Outcome::Version => {
            say_raw(&arguments::version(&program));
            ExitCode::SUCCESS
        }
        Outcome::FieldHelp => {
            say_raw(&format!("{program}:{}", arguments::FIELD_HELP));
            ExitCode::SUCCESS
        }
        Outcome::Wrong(messages) => {
            for message in messages {
                say!("{program}: {message}");
            }
            say_raw(&arguments::short_usage(&program));
            ExitCode::FAILURE
        }
        Outcome::Run(options, warnings) => {
            for warning in warnings {
                say!("{program}: {warning}");
            }
            match run(&program, &options) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                // The reader of our output went away: for a program in a pipe that is success.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
                Err(error) => {
                    say!("{program}: {}", advised(error.to_string()));
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// What processes have open, line by line, as `lsof -nP -p PID,...` prints it; its first line has the titles.
pub(super) fn of_processes(pids: &[u32]) -> io::Result<Vec<String>> {
    let names = ListedNames::default();
    let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let words = ["-n", "-P", "-p", &pids].map(|word| word.as_bytes().to_vec());
    let Outcome::Run(options, _) = arguments::parse(words.to_vec(), &names) else { return Ok(Vec::new()) };
    let (search, _) = Search::new(&options, charset());
    let shared = Shared::new(&options, &search);
    let mut processes = gather(&shared)?;
    name_endpoints(&mut processes, &options)?;
    let mut out = Vec::new();
    let style = Style { options: &options, names: &names, logins: &names, charset: charset() };
    print::listing(&processes, style, &mut out)?;
    let mut safe = Vec::new();
    Guard::like_lsof(&mut safe).write_all(&out)?;
    Ok(String::from_utf8_lossy(&safe).split_terminator('\n').map(str::to_owned).collect())
}

/// What the program says of itself, as it is. Standard error may be closed, and that is no reason to stop.
fn say_raw(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Lists, once or again and again; whether all went well and all was found.
fn run(program: &str, options: &LsofOptions) -> io::Result<bool> {
    stdout::check()?;
    security::confine().map_err(|error| io::Error::other(format!("{error:#}")))?;
    proc::check()?;
    if options.print_mounts {
        listing(options)?.write_all(mounts().as_bytes())?;
        return Ok(true);
    }
    // Names on the command line are the user's, also where he is lent rights for all else.
    let as_user = rights::as_user()?;
    let mut options = options.clone();
    resolve_exempt(&mut options);
    let options = &options;
    let (search, errors) = Search::new(options, charset());
    drop(as_user);
    let mut usage = false;
    let mut good = has_descriptors(program);
    for error in &errors {
        usage |= error.is_usage();
        let quiet = options.quiet && !error.is_usage() && !error.is_note();
        good &= quiet || error.is_note();
        let quiet = quiet || !options.warnings && error.is_warning();
        if !quiet {
            say!("{program}: {error}");
        }
    }
    if usage {
        say_raw(&arguments::short_usage(program));
        return Ok(false);
    }
    // Names of which none is a file are no search, whatever else is, unless -Q says that this is no failure.
    let unknown = errors.iter().filter(|error| error.is_name()).count();
    if !options.quiet && unknown > 0 && unknown == options.names.len() {
        return Ok(false);
    }
    let names = ListedNames {
        program: program.to_owned(),
        warnings: Cell::new(options.warnings),
        ..ListedNames::default()
    };
    let style = Style { options, names: &names, logins: &names, charset: charset() };
    let mut ever = false;
    let mut cycles = 0;
    loop {
        let shared = Shared::new(options, &search);
        let unreadable = |error| io::Error::other(format!("can't read /proc: {error}"));
        let mut processes = gather(&shared).map_err(unreadable)?;
        name_endpoints(&mut processes, options).map_err(unreadable)?;
        names.resolve(&processes, options);
        let any = processes.iter().any(|process| !process.files.is_empty());
        let mut out = listing(options)?;
        print::listing(&processes, style, &mut out)?;
        let missing = shared.found.missing(options, search.items(), style.charset);
        if options.verbose {
            for line in &missing {
                // No reader of JSON could do anything with it.
                if options.json.is_some() {
                    say!("{program}: {line}");
                } else {
                    writeln!(out, "{program}: {line}")?;
                }
            }
        }
        cycles += 1;
        ever |= any;
        let Some(repeat) = &options.repeat else {
            out.flush()?;
            // What a kernel gives back when a process ends need not be given back piece by piece.
            std::mem::forget(processes);
            return Ok(good && (missing.is_empty() || options.quiet));
        };
        let over = repeat.until_none && !any;
        // The empty line after a listing in lines of JSON is the listing's own end.
        if !over || options.json == Some(Json::Lines) {
            let formatted = repeat.marker.as_deref().map(now);
            print::marker(formatted.as_deref(), options, &mut out)?;
        }
        out.flush()?;
        if over {
            return Ok(ever);
        }
        drop(out);
        if repeat.cycles.is_some_and(|most| cycles >= most) {
            return Ok(good && (missing.is_empty() || options.quiet));
        }
        thread::sleep(repeat.every);
    }
}

/// Whether there are the descriptors that reading takes; says so where there are not. Files that cannot be looked at are left out, as
/// lsof leaves them out, and nobody would know that it was for this.
fn has_descriptors(program: &str) -> bool {
    const TAKEN: usize = 4;
    const TAKEN_BY_THREAD: usize = 6;
    const MOST_THREADS: usize = 16;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let free = File::open("/").and_then(|root| {
        let copies = 1..TAKEN + TAKEN_BY_THREAD * threads;
        copies.map(|_| root.try_clone()).collect::<io::Result<Vec<_>>>()
    });
    if let Err(error) = &free {
        say!("{program}: can't open all that is to be listed: {}", advised(error.to_string()));
    }
    free.is_ok()
}

/// Where listings go: into a file or a pipe as lsof writes them, and to a terminal without what that would obey.
fn listing(options: &LsofOptions) -> io::Result<Box<dyn io::Write>> {
    let is_shown = io::stdout().is_terminal() && options.json.is_none();
    let out = BufWriter::with_capacity(64 * 1024, stdout::open()?);
    Ok(if is_shown { Box::new(Guard::like_lsof(out)) } else { Box::new(out) })
}

/// The time here, in a format of strftime(3); the format itself if it is none.
fn now(format: &[u8]) -> Vec<u8> {
    // `TZ` may name a file.
    let _as_user = rights::as_user();
    let text = jiff::fmt::strtime::format(format, &jiff::ZonedDateTime::now());
    text.map_or_else(|_| format.to_vec(), String::into_bytes)
}

/// What the locale says can be printed.
fn charset() -> Charset {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    Charset { utf8: locale.contains("utf-8") || locale.contains("utf8") }
}

/// Names as a listing has them: the system's, as `-n` and `-P` want them.
#[derive(Default)]
struct ListedNames {
    system: NameService,
    numeric_ports: Cell<bool>,
    /// Users of whom it was said that they have no name.
    warned: RefCell<HashSet<u32>>,
    /// What messages begin with, and whether there are any.
    program: String,
    warnings: Cell<bool>,
}

impl ListedNames {
    /// Looks up the names of hosts that will be printed.
    fn resolve(&self, processes: &[Process], options: &LsofOptions) {
        self.numeric_ports.set(options.numeric_ports);
        if options.numeric_hosts || options.terse {
            return;
        }
        let ends = processes.iter().flat_map(|process| &process.files).filter_map(|file| {
            match file.socket.as_deref() {
                Some(ListedSocket::Internet { local, foreign, .. }) => Some([local.address, foreign.address]),
                _ => None,
            }
        });
        self.system.resolve(ends.flatten());
    }
}

impl System for ListedNames {
    fn uid(&self, login: &str) -> Option<u32> {
        self.system.uid(login)
    }

    fn login(&self, uid: u32) -> Option<String> {
        Logins::login(self, uid)
    }

    fn host(&self, name: &str) -> Vec<IpAddr> {
        self.system.addresses(name)
    }

    fn service(&self, name: &str, transport: Transport) -> Option<u16> {
        self.system.port(name, transport.services())
    }

    fn selinux(&self) -> bool {
        Path::new("/sys/fs/selinux/enforce").exists()
    }
}

impl Logins for ListedNames {
    fn login(&self, uid: u32) -> Option<String> {
        let name = self.system.login(uid);
        if name.is_none() && self.warnings.get() && self.warned.borrow_mut().insert(uid) {
            say!("{}: no pwd entry for UID {uid}", self.program);
        }
        name
    }
}

impl EndNames for ListedNames {
    fn host(&self, address: IpAddr) -> Option<String> {
        self.system.host(address)
    }

    fn port(&self, port: u16, transport: Transport) -> Option<String> {
        if self.numeric_ports.get() {
            return None;
        }
        self.system.service(port, transport.services())
    }
}
