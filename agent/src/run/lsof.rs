//! The program in lsof's place: its command line, its outputs, its exit statuses.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, BufWriter, Write as _},
    net::{IpAddr, ToSocketAddrs as _},
    os::unix::ffi::OsStringExt as _,
    path::Path,
    process::ExitCode,
    thread,
};

use nix::unistd::{Uid, User};

use crate::{
    etc,
    lsof::{
        arguments::{self, Options, Outcome, System},
        gather::{Search, Shared, gather},
        model::Transport,
        print::{self, Charset, Logins, Names, Style},
    },
};

/// Runs it; the exit code is 0, or 1 when anything went wrong or was not found.
pub(super) fn main(name: Option<&OsStr>, words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let program = name.map(Path::new).and_then(Path::file_name).map_or_else(
        || "lsof".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let words = words.into_iter().map(OsString::into_vec).collect();
    match arguments::parse(words, &Host::default()) {
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

/// Standard error may be closed, and that is no reason to stop.
fn say_raw(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Lists, once or again and again; whether all went well and all was found.
fn run(program: &str, options: &Options) -> io::Result<bool> {
    let (search, errors) = Search::new(options);
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
    let files_asked = !options.names.is_empty() || !options.directories.is_empty();
    let only_names = crate::lsof::select::Class::requested(options) == crate::lsof::select::Class::NAME;
    if files_asked && only_names && search.items().is_empty() {
        return Ok(good);
    }
    let host = Host::default();
    let style = Style { options, names: &host, logins: &host, charset: charset() };
    let mut ever = false;
    let mut cycles = 0;
    loop {
        let shared = Shared::new(options, &search);
        let processes = gather(&shared).map_err(|error| io::Error::new(io::ErrorKind::Other, format!("can't read /proc: {error}")))?;
        let any = processes.iter().any(|process| !process.files.is_empty());
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        print::listing(&processes, style, &mut out)?;
        let missing = shared.found.missing(options, search.items());
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

/// The time, in a format of strftime(3).
fn now(format: &[u8]) -> Vec<u8> {
    format.to_vec()
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
    services: std::cell::OnceCell<String>,
    names: std::cell::RefCell<std::collections::HashMap<IpAddr, Option<String>>>,
    users: std::cell::RefCell<std::collections::HashMap<u32, Option<String>>>,
    ports: std::cell::OnceCell<std::collections::HashMap<(u16, &'static str), String>>,
}

impl Host {
    fn services(&self) -> &str {
        self.services.get_or_init(|| {
            let text = std::fs::read("/etc/services").unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        })
    }
}

impl System for Host {
    fn uid(&self, login: &str) -> Option<u32> {
        User::from_name(login).ok().flatten().map(|user| user.uid.as_raw())
    }

    fn login(&self, uid: u32) -> Option<String> {
        Logins::login(self, uid)
    }

    fn host(&self, name: &str) -> Vec<IpAddr> {
        let found = (name, 0).to_socket_addrs();
        let mut addresses: Vec<IpAddr> = found.map(|it| it.map(|address| address.ip()).collect()).unwrap_or_default();
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

impl Logins for Host {
    fn login(&self, uid: u32) -> Option<String> {
        let look = || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        self.users.borrow_mut().entry(uid).or_insert_with(look).clone()
    }
}

/// Names of hosts and ports as `-n` and `-P` want them.
impl Names for Host {
    fn host(&self, address: IpAddr) -> Option<String> {
        let _ = (&self.names, address);
        None
    }

    fn port(&self, port: u16, transport: Transport) -> Option<String> {
        let ports = self.ports.get_or_init(|| {
            let mut ports = std::collections::HashMap::new();
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
