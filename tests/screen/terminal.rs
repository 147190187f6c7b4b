//! Taking the terminal and giving it back, however the program ends.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use aya::programs::TcAttachType;
use harness::{
    NetPair, Terminal, agent, eventually,
    foreign::attached,
    terminal::{PROMPT, State},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    cast::{self, PARTS},
    session::{Program, Session, USUAL, both, each},
};

/// A terminal with nothing but a shell in it.
const SHELL: State = State { alternate: false, cursor: true, mouse: false };

/// What the terminal driver is set to.
fn settings(terminal: &Terminal) -> String {
    terminal.enter("clear; stty -a; echo all of it");
    terminal.wait("the settings", |screen| {
        let text = screen.text();
        let settings = text.strip_suffix(PROMPT.trim_end())?.trim_end().strip_suffix("all of it")?.to_owned();
        settings.contains("speed").then_some(settings)
    })
}

/// Checks that the terminal is as it was, and of use.
fn check_restored(terminal: &Terminal, before: &str) {
    terminal.wait("the terminal as it was, and a prompt", |screen| {
        (terminal.state() == SHELL && screen.text().ends_with(PROMPT.trim_end())).then_some(())
    });
    terminal.enter("echo alive $((40 + 2))");
    terminal.wait_for("alive 42");
    assert_eq!(settings(terminal), before);
}

/// I38: `q` and Ctrl-C end with success.
#[test]
fn q_and_ctrl_c_give_the_terminal_back() {
    both(|program| {
        each(&["q", "C-c"], |key| {
            let pair = NetPair::new();
            let terminal = Terminal::open(&pair.near.namespace, USUAL);
            let before = settings(&terminal);
            let session = Session::start_in(terminal, &pair, program, "-n; echo ended $?");
            assert!(session.state().alternate && !session.state().cursor, "{program:?}");
            session.key(key);
            session.wait_for("ended 0");
            check_restored(&session, &before);
            if program == Program::Flowtally {
                check_detached(&pair);
            }
        });
    });
}

/// Nothing is left in the kernel.
fn check_detached(pair: &NetPair) {
    eventually("no program on the interface", || {
        let none = |direction| attached(&pair.near, direction).is_empty();
        (none(TcAttachType::Ingress) && none(TcAttachType::Egress)).then_some(())
    });
}

/// The processes that a process has started.
fn children(of: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    list.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// A process that the shell of a terminal waits for, by its name.
fn child(terminal: &Terminal, name: &str) -> Pid {
    eventually(name, || {
        let named = |id: &i32| {
            fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|found| found.trim_end() == name)
        };
        children(terminal.shell()).into_iter().find(named).map(Pid::from_raw)
    })
}

#[test]
fn signals_give_the_terminal_back() {
    each(&[Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT], |signal| {
        let pair = NetPair::new();
        let terminal = Terminal::open(&pair.near.namespace, USUAL);
        let before = settings(&terminal);
        let session = Session::start_in(terminal, &pair, Program::Flowtally, "-n; echo ended $?");
        kill(child(&session, "flowtally"), *signal).unwrap();
        session.wait_for("ended");
        check_restored(&session, &before);
        check_detached(&pair);
    });
}

/// The window is closed.
#[test]
fn a_terminal_that_is_gone_ends_it() {
    let pair = NetPair::new();
    let session = Session::start(&pair, Program::Flowtally, "-n", USUAL);
    let program = child(&session, "flowtally");
    drop(session);
    eventually("the program ends", || kill(program, None).is_err().then_some(()));
    check_detached(&pair);
}

/// No signal says so, where it is not the session's terminal, and comes late, where the shell has to pass it on.
#[test]
fn a_terminal_that_goes_without_a_signal_ends_it() {
    const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = NetPair::new();
    // Not openpty(3): whatever another test starts meanwhile would hold it.
    let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&main).unwrap();
    unlockpt(&main).unwrap();
    tcsetwinsize(&main, SIZE).unwrap();
    let name = ptsname(&main, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    let ours = || Stdio::from(end.try_clone().unwrap());
    let mut program = pair.near.namespace.enter(|| {
        let mut command = Command::new("setsid");
        command.arg(agent::program()).args(["-n", "-i", "near"]).env("TERM", "xterm");
        command.stdin(ours()).stdout(ours()).stderr(ours()).spawn().unwrap()
    });
    drop(end);
    let (mut terminal, mut seen) = (File::from(main), Vec::new());
    while !String::from_utf8_lossy(&seen).contains("TOTAL") {
        let mut part = [0; 4096];
        let length = terminal.read(&mut part).unwrap();
        seen.extend_from_slice(&part[..length]);
    }
    drop(terminal);
    eventually("the program ends", || program.try_wait().unwrap());
    check_detached(&pair);
}

#[test]
fn it_stops_and_goes_on() {
    let pair = cast::pair();
    let terminal = Terminal::open(&pair.near.namespace, USUAL);
    let before = settings(&terminal);
    let session = Session::start_in(terminal, pair, Program::Flowtally, "-n -P");
    for _ in 0..2 {
        session.key("C-z");
        session.wait_for("Stopped");
        check_restored(&session, &before);
        session.enter("fg");
        session.wait_until_drawn();
        session.wait_for_rows("the list", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
        assert_eq!(session.state(), State { alternate: true, cursor: false, mouse: true });
    }
    // Keys mean what they did.
    session.press_and_hear("T", "Show cumulative totals");
    session.press("q");
    check_restored(&session, &before);
}

/// `^L` draws everything again, whatever has been written over it.
#[test]
fn control_l_draws_again() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -N -P", USUAL);
        session.wait_for_rows("the list", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
        let shell = session.shell();
        let tty = fs::read_link(format!("/proc/{shell}/fd/0")).unwrap();
        let mut tty = OpenOptions::new().write(true).open(tty).unwrap();
        // Over the corner, the arrow of the first row, and TOTAL.
        tty.write_all(b"\x1b[2;1Hnoise\x1b[3;38Hnoise\x1b[24;1Hnoise").unwrap();
        session.wait_for("noise");
        session.key("C-l");
        session.wait("no noise", |screen| {
            let is_whole =
                screen.is_rule(1) && screen.totals().is_some() && screen.rows().len() == 2 * PARTS.len();
            (is_whole && !screen.text().contains("noise")).then_some(())
        });
        session.press_and_hear("T", "Show cumulative totals");
    });
}

/// A start that fails says why, and leaves the terminal alone.
#[test]
fn a_start_that_fails_touches_nothing() {
    const CASES: [(&str, &[&str], u8); 5] = [
        ("flowtally -i nosuch", &["nosuch", "near"], 1),
        ("flowtally -i near -o nosuch", &["nosuch"], 2),
        ("TERM=dumb flowtally -i near", &["'dumb'", "flowtally -t"], 2),
        ("TERM=nonsense flowtally -i near", &["'nonsense'", "flowtally -t"], 2),
        ("TERM= flowtally -i near", &["TERM", "flowtally -t"], 2),
    ];
    let pair = cast::pair();
    each(&CASES, |(command, words, status)| {
        let terminal = Terminal::open(&pair.near.namespace, USUAL);
        let before = settings(&terminal);
        terminal.enter(&format!("clear; {command}; echo ended $?"));
        let ended = format!("ended {status}");
        let screen = terminal.wait(&ended, |screen| screen.text().contains(&ended).then(|| screen.clone()));
        // Long lines are broken anywhere.
        let text = screen.text().replace('\n', "");
        for word in *words {
            assert!(text.contains(word), "no {word} for {command}\n{screen}");
        }
        check_restored(&terminal, &before);
    });
}

/// Where standard output is no terminal there is no screen.
#[test]
fn without_a_terminal_text_is_offered() {
    let terminal = Terminal::open(&cast::pair().near.namespace, USUAL);
    terminal.enter("flowtally -i near 2>&1 >file | cat; echo ended; wc -c <file");
    terminal.wait_for("ended\n0");
    let text = terminal.screen().text();
    assert!(text.contains("flowtally -t") && text.contains("terminal"), "{text}");
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    const CASES: [(&str, bool); 3] =
        [("true", true), ("export NO_COLOR=1", false), ("export NO_COLOR=", true)];
    each(&CASES, |(setting, coloured)| {
        let pair = cast::pair();
        let terminal = Terminal::open(&pair.near.namespace, USUAL);
        terminal.enter(setting);
        let session = Session::start_in(terminal, pair, Program::Flowtally, "-n -P");
        session.wait(&format!("colours or none: {setting}"), |screen| {
            let is_there = screen.rows().len() == 2 * PARTS.len() && screen.bar(2) > 0;
            let mut cells = (0..screen.height()).flat_map(|line| screen.cells(line));
            (is_there && cells.any(|cell| cell.look.coloured) == *coloured).then_some(())
        });
    });
}

/// Called `iftop` it takes iftop's command line, with options that are written together.
#[test]
fn by_the_name_of_the_original_it_takes_its_options() {
    let pair = cast::pair();
    each(&["iftop -nNPinear -o2s", "flowtally top -nNP -i near"], |command| {
        let terminal = Terminal::open(&pair.near.namespace, USUAL);
        terminal.enter(command);
        terminal.wait("the list", |screen| (screen.rows().len() == 2 * PARTS.len()).then_some(()));
        terminal.press("q");
        eventually("the terminal as it was", || (terminal.state() == SHELL).then_some(()));
    });
}

/// Terminals of other names, and locales without line-drawing characters.
#[test]
fn old_terminals_and_locales_do() {
    const CASES: [(&str, bool); 4] = [
        ("export TERM=xterm-256color", true),
        ("export TERM=vt100", true),
        ("export TERM=linux", true),
        ("export LC_ALL=C", false),
    ];
    each(&CASES, |(setting, lines)| {
        let pair = cast::pair();
        let terminal = Terminal::open(&pair.near.namespace, USUAL);
        terminal.enter(setting);
        terminal.enter(&format!("flowtally -n -P -i {}", pair.near.interface));
        terminal.wait(&format!("the screen with {setting}"), |screen| {
            let is_there = screen.totals().is_some() && screen.text().contains("10.77.0.2:5001");
            (is_there && screen.text().contains('└') == *lines && screen.text().is_ascii() != *lines)
                .then_some(())
        });
        terminal.press("q");
        eventually("the terminal as it was", || (terminal.state() == SHELL).then_some(()));
    });
}
