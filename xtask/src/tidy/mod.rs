//! `cargo xtask tidy`: the rules of the source tree that no compiler knows.
//!
//! - Modules of `agent` use what the code map of ARCHITECTURE.md says they may, and no two files need each other.
//! - Those that the map calls pure do no I/O and never ask for the time.
//! - A type's name is defined once in what is shipped.
//! - aya is used in `kernel/` alone.
//! - `unsafe` is written in `kernel/` and in the kernel programs alone.
//! - A file has at most 600 lines without its tests, and begins by saying what it is for.

mod circles;
mod map;
mod source;
mod types;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::{
    map::{CodeMap, DOCUMENT},
    source::Source,
    types::Types,
};
use crate::workspace::Workspace;

const MAX_LINES: usize = 600;

const AGENT: &str = "agent/src/";
const EDGE: &[&str] = &["agent/src/kernel/", "agent/src/kernel.rs"];
const UNSAFE: &[&str] = &["agent/src/kernel/", "agent/src/kernel.rs", "agent-ebpf/src/"];

/// Path segments that stand for sockets.
const SOCKETS: &[&str] =
    &["TcpListener", "TcpStream", "UdpSocket", "UnixDatagram", "UnixListener", "UnixStream"];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut files = Vec::new();
    list(workspace.root(), "", &mut files)?;
    files.sort();
    let read = |file: &str| {
        let path = workspace.path(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let map = CodeMap::parse(&read(DOCUMENT)?);
    let mut problems = map.problems();
    if !problems.is_empty() {
        // Nothing can be held to a map that is wrong.
        bail!("{}", problems.join("\n"));
    }
    let mut modules = Vec::new();
    let mut types = Types::default();
    for file in &files {
        let text = read(file)?;
        let source = Source::parse(&text);
        problems.extend(check(file, &text, &source, &map));
        if !is_own_tests(file) {
            types.add(file, &source);
        }
        if let Some(module) = map::module(file).filter(|_| !is_own_tests(file)) {
            modules.push((file.clone(), module, source));
        }
    }
    let arrows = map::arrows(&modules);
    problems.extend(map.check(&arrows, modules.iter().map(|(file, module, _)| (file, module))));
    problems.extend(circles::among_files(&arrows));
    problems.extend(types.problems());
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("tidy: {} files", files.len());
    Ok(())
}

fn list(root: &Path, relative: &str, files: &mut Vec<String>) -> Result<()> {
    let dir = root.join(relative);
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().with_context(|| format!("not UTF-8: {}", name.display()))?;
        let path = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.starts_with('.') {
                list(root, &path, files)?;
            }
        } else if Path::new(name).extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// What is wrong with one file, as `FILE:LINE: message`.
fn check(file: &str, text: &str, source: &Source, map: &CodeMap) -> Vec<String> {
    let mut problems = Vec::new();
    let mut report = |line: usize, message: String| problems.push(format!("{file}:{line}: {message}"));

    if !text.starts_with("//!") {
        report(1, "a module begins with `//!`: what it is for, and what it may not do".to_owned());
    }
    let own_tests = is_own_tests(file);
    if source.lines > MAX_LINES && !own_tests {
        report(
            MAX_LINES + 1,
            format!("{} lines without tests, more than {MAX_LINES}: split it", source.lines),
        );
    }
    if !own_tests && file.starts_with(AGENT) {
        for (line, path) in source.paths() {
            let segments: Vec<_> = path.split("::").collect();
            if let Some(why) = is_impure(&segments).filter(|_| map.is_pure(file)) {
                report(line, format!("`{path}` in a pure module: {why}"));
            } else if is_aya(&segments) && !starts_with_any(file, EDGE) {
                report(
                    line,
                    format!(
                        "`{path}` outside agent/src/kernel: nothing else knows how the kernel is reached"
                    ),
                );
            }
        }
    }
    if !starts_with_any(file, UNSAFE) {
        for line in source.lines_with_unsafe() {
            report(line, format!("`unsafe` outside {}", "agent/src/kernel and agent-ebpf"));
        }
    }
    problems
}

/// Whether a file is a test module, which has no other lines.
fn is_own_tests(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/src/") && file.contains("/tests/")
}

fn starts_with_any(file: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| file.starts_with(prefix))
}

fn is_aya(segments: &[&str]) -> bool {
    segments.first().is_some_and(|name| matches!(*name, "aya" | "aya_log" | "aya_obj"))
}

fn is_impure(segments: &[&str]) -> Option<&'static str> {
    if segments.first() == Some(&"tokio") || is_aya(segments) {
        return Some("it knows neither the runtime nor the kernel");
    }
    let outside = |name: &&str| SOCKETS.contains(name) || *name == "crossterm";
    if segments.starts_with(&["std", "fs"]) || segments.iter().any(outside) {
        return Some("it does no I/O, it is handed data");
    }
    let asks = |pair: &[&str]| matches!(pair, ["Instant" | "SystemTime", "now"]);
    segments.windows(2).any(asks).then_some("it never asks for the time, it is told")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
        | place | what it is | may use |\n\
        | --- | --- | --- |\n\
        | `agent/src/flow` | pure: rows | nothing |\n\
        | `agent/src/tui` | pure: the screen | `flow` |\n\
        | `agent/src/run.rs` | wiring | everything |\n";

    fn found(file: &str, text: &str) -> Vec<String> {
        check(file, text, &Source::parse(text), &CodeMap::parse(MAP))
    }

    #[test]
    fn pure_modules_reach_nothing_outside() {
        for (code, why) in [
            ("use tokio::sync::watch;", "neither the runtime"),
            ("use std::{collections::HashMap, fs::{self, File}};", "no I/O"),
            ("use std::fs as files;", "no I/O"),
            ("use std::net::{IpAddr, TcpStream};", "no I/O"),
            ("fn f() { let _ = std::net::UdpSocket::bind(\"[::]:0\"); }", "no I/O"),
            ("fn f() { let _ = std::time::Instant::now(); }", "never asks"),
            ("fn f() { let _ = SystemTime :: now(); }", "never asks"),
            ("use ::aya::Ebpf;", "neither the runtime"),
            ("use ratatui::crossterm::event;", "no I/O"),
        ] {
            let problems = found("agent/src/flow/row.rs", &format!("//! Rows.\n\n{code}\n"));
            assert!(!problems.is_empty(), "{code}");
            assert!(
                problems.iter().all(|p| p.starts_with("agent/src/flow/row.rs:3: ") && p.contains(why)),
                "{problems:?}"
            );
            assert!(!found("agent/src/tui/list.rs", &format!("//! Rows.\n{code}\n")).is_empty(), "{code}");
        }
    }

    #[test]
    fn pure_modules_may_name_addresses_times_and_what_only_tests_use() {
        let text = "//! Rows: no std::fs, no tokio::spawn.\n\
                    use std::net::{IpAddr, Ipv4Addr};\n\
                    use std::time::Instant;\n\
                    /// See `aya::Ebpf`. /* not unsafe */\n\
                    fn f(now: Instant) -> &'static str { \"std::fs::read unsafe { } Instant::now\" }\n\
                    #[cfg(test)]\n\
                    mod tests {\n    use std::fs;\n    fn g() { let brace = '{'; Instant::now(); }\n}\n";
        assert_eq!(found("agent/src/flow/row.rs", text), Vec::<String>::new());
    }

    #[test]
    fn aya_is_the_business_of_the_kernel_folder() {
        let text = "//! Runs.\nuse aya::Ebpf;\n";
        assert_eq!(found("agent/src/run.rs", text).len(), 1);
        assert!(found("agent/src/kernel/load.rs", text).is_empty());
        assert!(found("agent/src/run.rs", "//! Runs.\nfn f(aya: u8) -> u8 { aya }\n").is_empty());
    }

    #[test]
    fn unsafe_has_two_places() {
        let text = "//! Maps.\n#![forbid(unsafe_code)]\nfn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(
            found("agent/src/run.rs", text),
            ["agent/src/run.rs:4: `unsafe` outside agent/src/kernel and agent-ebpf"]
        );
        assert!(found("agent/src/kernel/map.rs", text).is_empty());
        assert!(found("agent-ebpf/src/tc.rs", text).is_empty());
    }

    #[test]
    fn a_test_may_not_hide_unsafe() {
        let text = "//! Maps.\n#[cfg(test)]\nmod tests {\n    fn f() { unsafe { g() } }\n}\n";
        assert_eq!(
            found("tests/lib.rs", text),
            ["tests/lib.rs:4: `unsafe` outside agent/src/kernel and agent-ebpf"]
        );
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        assert_eq!(found("agent/build.rs", "fn main() {}\n").len(), 1);
    }

    #[test]
    fn length_is_counted_without_tests() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // more\n".repeat(500));
        let at_limit = format!("//! Long.\n{}", "const A: u8 = 0;\n".repeat(MAX_LINES - 1));
        assert!(found("agent/src/run.rs", &format!("{at_limit}{tests}")).is_empty());
        assert_eq!(
            found("agent/src/run.rs", &format!("{at_limit}const B: u8 = 0;\n{tests}")),
            ["agent/src/run.rs:601: 601 lines without tests, more than 600: split it"]
        );
        assert!(found("agent/src/flow/tests.rs", &format!("{at_limit}{at_limit}")).is_empty());
    }
}
