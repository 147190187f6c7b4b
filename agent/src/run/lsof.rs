//! The program in lsof's place: its command line, its outputs, its exit statuses.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    env,
    ffi::{OsStr, OsString},
    io::{self, BufWriter, Write as _},
    net::{IpAddr, ToSocketAddrs as _},
    os::unix::ffi::OsStringExt as _,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use nix::unistd::{Uid, User};

use crate::{
    etc,
    lsof::{
        arguments::{self, Options, Outcome, System},
        gather::{Search, Shared, avoided, gather, mounts, name_endpoints},
        model::{Process, Socket, Transport},
        print::{self, Charset, Logins, Names, Style},
        select::Class,
    },
};

/// Runs it; the exit code is 0, or 1 when anything went wrong or was not found.
pub(super) fn main(name: Option<&OsStr>, words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let program = name
        .map(Path::new)
        .and_then(Path::file_name)
        .map_or_else(|| "lsof".to_owned(), |name| name.to_string_lossy().into_owned());
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
                    say!("{program}: {error}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// What processes have open, line by line, as `lsof -nP -p PID,...` prints it; its first line has the titles.
pub(super) fn of_processes(pids: &[u32]) -> io::Result<Vec<String>> {
    let host = Host::default();
    let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let words = ["-n", "-P", "-p", &pids].map(|word| word.as_bytes().to_vec());
    let Outcome::Run(options, _) = arguments::parse(words.to_vec(), &host) else { return Ok(Vec::new()) };
    let (search, _) = Search::new(&options, charset());
    let shared = Shared::new(&options, &search);
    let mut processes = gather(&shared)?;
    name_endpoints(&mut processes, &options)?;
    let mut out = Vec::new();
    let style = Style { options: &options, names: &host, logins: &host, charset: charset() };
    print::listing(&processes, style, &mut out)?;
    Ok(String::from_utf8_lossy(&out).lines().map(str::to_owned).collect())
}

/// Standard error may be closed, and that is no reason to stop.
fn say_raw(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Lists, once or again and again; whether all went well and all was found.
fn run(program: &str, options: &Options) -> io::Result<bool> {
    if options.print_mounts {
        io::stdout().lock().write_all(mounts().as_bytes())?;
        return Ok(true);
    }
    if options.avoid_blocking && options.warnings && Class::requested(options).needs_mounts() {
        let (before, after): (Vec<_>, Vec<_>) =
            options.directories.iter().partition(|directory| directory.avoid_blocking);
        let names: Vec<_> = before.iter().map(|it| &it.path).chain(&options.names).cloned().collect();
        // A directory that may be examined has mounts examined, too.
        for line in avoided(&names, after.is_empty()) {
            say!("{program}: {line}");
        }
    }
    let (search, errors) = Search::new(options, charset());
    let mut usage = false;
    let mut good = true;
    for error in &errors {
        usage |= error.is_usage();
        let quiet = options.quiet && !error.is_usage();
        good &= quiet;
        if !quiet {
            say!("{program}: {error}");
        }
    }
    if usage {
        say_raw(&arguments::short_usage(program));
        return Ok(false);
    }
    // Names of which none is a file are no search.
    if !options.names.is_empty() && options.directories.is_empty() && search.items().is_empty() {
        return Ok(good);
    }
    let host = Host { program: program.to_owned(), warnings: Cell::new(options.warnings), ..Host::default() };
    let style = Style { options, names: &host, logins: &host, charset: charset() };
    let mut ever = false;
    let mut cycles = 0;
    loop {
        let shared = Shared::new(options, &search);
        let unreadable = |error| io::Error::other(format!("can't read /proc: {error}"));
        let mut processes = gather(&shared).map_err(unreadable)?;
        name_endpoints(&mut processes, options).map_err(unreadable)?;
        host.resolve(&processes, options);
        let any = processes.iter().any(|process| !process.files.is_empty());
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        print::listing(&processes, style, &mut out)?;
        let missing = shared.found.missing(options, search.items(), style.charset);
        if options.verbose {
            for line in &missing {
                writeln!(out, "{program}: {line}")?;
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
        if repeat.until_none && !any {
            out.flush()?;
            return Ok(ever);
        }
        let formatted = repeat.marker.as_deref().map(now);
        print::marker(formatted.as_deref(), options, &mut out)?;
        out.flush()?;
        drop(out);
        if repeat.cycles.is_some_and(|most| cycles >= most) {
            return Ok(good && (missing.is_empty() || options.quiet));
        }
        thread::sleep(repeat.every);
    }
}

/// The time here, in a format of strftime(3); the format itself if it is none.
fn now(format: &[u8]) -> Vec<u8> {
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

/// What this host knows.
#[derive(Default)]
struct Host {
    services: OnceCell<String>,
    hosts: RefCell<HashMap<IpAddr, Option<String>>>,
    users: RefCell<HashMap<u32, Option<String>>>,
    ports: OnceCell<HashMap<(u16, &'static str), String>>,
    numeric_ports: Cell<bool>,
    /// What messages begin with, and whether there are any.
    program: String,
    warnings: Cell<bool>,
}

/// Look-ups of names at the same time: a name server that does not answer costs its time but once.
const LOOK_UPS: usize = 16;

impl Host {
    fn services(&self) -> &str {
        self.services.get_or_init(|| {
            let text = std::fs::read("/etc/services").unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        })
    }

    /// Looks up the names of hosts that will be printed.
    fn resolve(&self, processes: &[Process], options: &LsofOptions) {
        self.numeric_ports.set(options.numeric_ports);
        if options.numeric_hosts || options.terse {
            return;
        }
        let mut known = self.hosts.borrow_mut();
        let mut wanted: Vec<IpAddr> = Vec::new();
        for file in processes.iter().flat_map(|process| &process.files) {
            if let Some(Socket::Internet { local, foreign, .. }) = file.socket.as_deref() {
                wanted.extend([local.address, foreign.address]);
            }
        }
        wanted.retain(|address| !address.is_unspecified() && !known.contains_key(address));
        wanted.sort_unstable();
        wanted.dedup();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            while let Some(address) = wanted.get(next.fetch_add(1, Relaxed)) {
                // What has no name has its number for one.
                let name = dns_lookup::lookup_addr(address).ok();
                found.push((*address, name.filter(|name| name.parse::<IpAddr>().is_err())));
            }
            found
        };
        let found: Vec<_> = if wanted.len() <= 1 {
            work()
        } else {
            thread::scope(|scope| {
                let threads = wanted.len().min(LOOK_UPS);
                let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
            })
        };
        known.extend(found);
    }
}

impl System for ListedNames {
    fn uid(&self, login: &str) -> Option<u32> {
        User::from_name(login).ok().flatten().map(|user| user.uid.as_raw())
    }

    fn login(&self, uid: u32) -> Option<String> {
        Logins::login(self, uid)
    }

    fn host(&self, name: &str) -> Vec<IpAddr> {
        let found = (name, 0).to_socket_addrs();
        let mut addresses: Vec<IpAddr> =
            found.map(|it| it.map(|address| address.ip()).collect()).unwrap_or_default();
        addresses.dedup();
        addresses
    }

    fn service(&self, name: &str, transport: Transport) -> Option<u16> {
        etc::services(self.services())
            .find(|service| service.protocol == transport.services() && service.names.contains(&name))
            .map(|service| service.port)
    }

    fn selinux(&self) -> bool {
        Path::new("/sys/fs/selinux/enforce").exists()
    }
}

impl Logins for ListedNames {
    fn login(&self, uid: u32) -> Option<String> {
        let look = || {
            let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
            if name.is_none() && self.warnings.get() {
                say!("{}: no pwd entry for UID {uid}", self.program);
            }
            name
        };
        self.users.borrow_mut().entry(uid).or_insert_with(look).clone()
    }
}

/// Names of hosts and ports as `-n` and `-P` want them.
impl Names for Host {
    fn host(&self, address: IpAddr) -> Option<String> {
        self.hosts.borrow().get(&address).cloned().flatten()
    }

    fn port(&self, port: u16, transport: Transport) -> Option<String> {
        if self.numeric_ports.get() {
            return None;
        }
        let ports = self.ports.get_or_init(|| {
            let mut ports = HashMap::new();
            for service in etc::services(self.services()) {
                for transport in ["tcp", "udp"] {
                    if let Some(name) = service.names.first().filter(|_| service.protocol == transport) {
                        ports.entry((service.port, transport)).or_insert_with(|| (*name).to_owned());
                    }
                }
            }
            ports
        });
        ports.get(&(port, transport.services())).cloned()
    }
}
