//! The page for people.

use std::{
    fmt::{self, Display},
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use super::{
    BytesBothWays, InspectPage, SocketLine,
    matched::{Stray, sum},
    page,
};
use crate::{
    format::{
        Guard, Safe,
        grid::{Align, Column, Fit, Grid, UNLIMITED},
        moment::rfc3339,
        numbers::{Many, Number, Rate, Size, Units},
    },
    model::{
        owner::{Attribution, Owner, Reason},
        portrait::{OpenFiles, Portrait},
    },
};

/// Most processes on a page.
const OWNERS: usize = 8;
/// Most lines of one table.
const LINES: usize = 10;
/// Most peers of one socket, logs, and deleted files.
const FEW: usize = 5;
/// Most characters of a command line on a terminal.
const ARGUMENTS: usize = 400;

/// Columns before a block's values.
const MARGIN: &str = "  ";

pub(super) fn write(out: &mut impl Write, page: &InspectPage<'_>, width: usize) -> io::Result<()> {
    let out = &mut Guard::new(out);
    let target = page.target.to_string();
    match page.seconds {
        Some(seconds) => {
            let interfaces: Vec<_> = page.interfaces.iter().map(|name| Safe::new(name).to_string()).collect();
            writeln!(
                out,
                "{}: measured for {seconds:.1} s from {} on {}",
                Safe::new(&target),
                rfc3339(page.started),
                interfaces.join(", ")
            )?;
        }
        None => writeln!(out, "{}: not measured, {}", Safe::new(&target), rfc3339(page.started))?,
    }
    let matched = &page.matched;
    for (pid, lines) in matched.owned.iter().take(OWNERS) {
        writeln!(out)?;
        let portrait = page.portraits.get(pid);
        match portrait {
            Some(portrait) => owner(out, page, portrait, width)?,
            None => writeln!(out, "pid {pid}, which has ended")?,
        }
        sockets(out, page, lines, width)?;
        if let Some(portrait) = portrait {
            files(out, portrait)?;
        }
    }
    if let Some((_, rest)) = matched.owned.split_at_checked(OWNERS)
        && !rest.is_empty()
    {
        let mut amount = BytesBothWays::default();
        for (_, lines) in rest {
            amount.add(sum(lines));
        }
        let count: usize = rest.iter().map(|(_, lines)| lines.len()).sum();
        let pids: Vec<_> = rest.iter().take(LINES).map(|(pid, _)| pid.to_string()).collect();
        let dots = if rest.len() > LINES { "..." } else { "" };
        writeln!(
            out,
            "\n{} more {}, with {}{}: pid {}{dots}",
            Number(rest.len() as u64),
            if rest.len() == 1 { "process" } else { "processes" },
            Many(count as u64, "socket"),
            traffic(page, amount),
            pids.join(", ")
        )?;
    }
    if !matched.unowned.is_empty() {
        writeln!(out, "\nSockets that no process is known to have open")?;
        sockets(out, page, &matched.unowned, width)?;
    }
    if !matched.strays.is_empty() {
        writeln!(out, "\nTraffic without a socket now")?;
        strays(page, &matched.strays).write(out, width)?;
        more(out, matched.strays.len(), LINES)?;
    }
    if !page.notes.is_empty() {
        writeln!(out)?;
    }
    page.notes.iter().try_for_each(|note| writeln!(out, "{note}"))
}

/// Who it is.
fn owner(out: &mut impl Write, page: &InspectPage<'_>, portrait: &Portrait, width: usize) -> io::Result<()> {
    let Portrait { owner, arguments, parents, .. } = portrait;
    write!(out, "{}, pid {}", owner.command, owner.id.pid)?;
    match (&owner.user, owner.uid) {
        (Some(user), _) => write!(out, ", user {user}")?,
        (None, Some(uid)) => write!(out, ", user {uid}")?,
        (None, None) => {}
    }
    if let Some(container) = &owner.container {
        write!(out, ", in {container}")?;
    }
    if let Some(netns) = &owner.netns {
        write!(out, ", network namespace {netns}")?;
    }
    writeln!(out)?;
    match &owner.executable {
        Some(executable) => line(out, "runs", executable)?,
        None => line(out, "runs", "(may not be read)")?,
    }
    if !arguments.is_empty() {
        let text = arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let most = if width == UNLIMITED { usize::MAX } else { ARGUMENTS };
        let cut: String = text.chars().take(most).collect();
        let dots = if cut.len() < text.len() { "..." } else { "" };
        line(out, "as", format_args!("{cut}{dots}"))?;
    }
    if let Some(since) = owner.start_time {
        // A process that was started while this one ran began after the page did.
        let now = page.started + Duration::from_secs_f64(page.seconds.unwrap_or(0.0));
        let age = now.duration_since(since).unwrap_or_default();
        line(out, "since", format_args!("{}, {} ago", rfc3339(since), Age(age)))?;
    }
    if !parents.is_empty() {
        let names: Vec<_> =
            parents.iter().map(|parent| format!("{} ({})", parent.command, parent.pid)).collect();
        line(out, "parents", names.join(" < "))?;
    }
    Ok(())
}

fn line(out: &mut impl Write, title: &str, value: impl Display) -> io::Result<()> {
    writeln!(out, "{MARGIN}{title:<9}{value}")
}

/// `, sent 1.20 Mbit/s, received 34.0 kbit/s`; nothing where nothing was measured.
fn traffic(page: &InspectPage<'_>, amount: BytesBothWays) -> impl Display {
    let rates = page.seconds.map(|seconds| per_second(amount, seconds));
    fmt::from_fn(move |f| match rates {
        Some([sent, received]) => {
            let rate = |bytes| spaced(&Rate(bytes, Units::Bits).to_string());
            write!(f, "; sent {}bit/s, received {}bit/s", rate(sent), rate(received))
        }
        None => Ok(()),
    })
}

/// `1.20M` as `1.20 M`, for a unit to follow.
fn spaced(rate: &str) -> String {
    let digits = rate.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    format!("{digits} {}", &rate[digits.len()..])
}

pub(super) fn per_second(amount: BytesBothWays, seconds: f64) -> [f64; 2] {
    [amount.sent, amount.received].map(|bytes| if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 })
}

/// The sockets of one owner.
fn sockets(
    out: &mut impl Write,
    page: &InspectPage<'_>,
    lines: &[SocketLine],
    width: usize,
) -> io::Result<()> {
    if lines.is_empty() {
        return line(out, "sockets", "none of the Internet families");
    }
    let listening = lines.iter().filter(|line| line.socket.listens).count();
    let connected = lines.iter().filter(|line| line.socket.remote.is_some()).count();
    let rest = lines.len() - listening - connected;
    let mut counts = Vec::new();
    for (count, name) in [(listening, "listening"), (connected, "connected"), (rest, "without a peer")] {
        if count > 0 {
            counts.push(format!("{} {name}", Number(count as u64)));
        }
    }
    line(out, "sockets", format_args!("{}{}", counts.join(", "), traffic(page, sum(lines))))?;
    table(page, lines).write(&mut Indented { out, fresh: true }, width.saturating_sub(2 * MARGIN.len()))?;
    more(out, lines.len(), LINES)
}

fn more(out: &mut impl Write, all: usize, shown: usize) -> io::Result<()> {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        rest => writeln!(out, "{MARGIN}{MARGIN}and {} more (--format json has all)", Number(rest as u64)),
    }
}

const fn column(title: &'static str, align: Align, fit: Fit) -> Column {
    Column { title, align, fit }
}

fn rates(page: &InspectPage<'_>, grid: &mut Grid, amount: BytesBothWays) {
    if let Some(seconds) = page.seconds {
        for rate in per_second(amount, seconds) {
            grid.cell(Rate(rate, Units::Bits));
        }
    }
}

fn rate_columns(page: &InspectPage<'_>) -> Vec<Column> {
    let rates =
        [column("SENT bit/s", Align::Right, Fit::Always), column("RECEIVED", Align::Right, Fit::Always)];
    if page.seconds.is_some() { rates.to_vec() } else { Vec::new() }
}

fn table(page: &InspectPage<'_>, lines: &[SocketLine]) -> Grid {
    let shared = lines.iter().any(|line| line.others().next().is_some());
    let elsewhere = lines.iter().any(|line| !line.socket.is_here);
    let fd = lines.iter().any(|line| !line.socket.holders.is_empty());
    let unowned = lines.iter().any(|line| line.socket.holders.is_empty());
    let mut columns = rate_columns(page);
    columns.extend([
        column("PROTO", Align::Left, Fit::Always),
        column("STATE", Align::Left, Fit::Late),
        column("LOCAL", Align::Left, Fit::Always),
        column("REMOTE", Align::Left, Fit::Always),
    ]);
    let optional = [(elsewhere, "NAMESPACE"), (fd, "FD"), (shared, "ALSO OPEN IN"), (unowned, "OWNER")];
    for (_, title) in optional.into_iter().filter(|(shown, _)| *shown) {
        columns.push(column(title, Align::Left, Fit::Spare));
    }
    let mut grid = with_remote_below(columns);
    for line in lines.iter().take(LINES) {
        let socket = &line.socket;
        rates(page, &mut grid, line.amount);
        grid.cell(&socket.protocol);
        grid.cell(socket.state);
        grid.cell(EndText(socket.local));
        match socket.remote {
            Some(remote) => grid.cell(EndText(remote)),
            None => grid.cell("*"),
        }
        if elsewhere {
            grid.cell(&socket.netns);
        }
        if fd {
            let descriptor = |(fd, thread): (u32, Option<u32>)| match thread {
                Some(thread) => format!("{fd}@{thread}"),
                None => fd.to_string(),
            };
            grid.cell(list(line.descriptors().map(descriptor)));
        }
        if shared {
            grid.cell(list(line.others()));
        }
        if unowned {
            grid.cell(socket.nobody.nobody().filter(|_| socket.holders.is_empty()).unwrap_or("-"));
        }
        let blanks = 2 + [elsewhere, fd, shared, unowned].into_iter().filter(|shown| *shown).count();
        for peer in line.peers.iter().take(FEW) {
            rates(page, &mut grid, peer.amount);
            grid.cell("");
            grid.cell(if socket.listens { "came, went" } else { "peer" });
            grid.cell("");
            grid.cell(EndText(peer.end));
            (2..blanks).for_each(|_| grid.cell(""));
        }
        if line.peers.len() > FEW {
            rates_blank(page, &mut grid);
            grid.cell("");
            grid.cell("");
            grid.cell("");
            grid.cell(format_args!("{} more peers", line.peers.len() - FEW));
            (2..blanks).for_each(|_| grid.cell(""));
        }
    }
    grid
}

/// A grid in which the remote end, and what comes after it, is below the local one where there is no room beside it.
fn with_remote_below(columns: Vec<Column>) -> Grid {
    let all = columns.len();
    let remote = columns.iter().position(|column| column.title == "REMOTE").unwrap_or(all);
    Grid::new(columns).with_second_line(remote..all)
}

fn rates_blank(page: &InspectPage<'_>, grid: &mut Grid) {
    if page.seconds.is_some() {
        grid.cell("");
        grid.cell("");
    }
}

/// `4,9,+3`
fn list(numbers: impl Iterator<Item = impl Display>) -> String {
    let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
    match numbers.len().saturating_sub(FEW) {
        0 => numbers.join(","),
        more => format!("{},+{more}", numbers[..FEW].join(",")),
    }
}

/// An end; no address and no port as `*`.
struct EndText(SocketAddr);

impl Display for EndText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.0.port()) {
            (SocketAddr::V4(end), 0) => write!(f, "{}:*", end.ip()),
            (SocketAddr::V6(end), 0) => write!(f, "[{}]:*", end.ip()),
            (end, _) => end.fmt(f),
        }
    }
}

fn strays(page: &InspectPage<'_>, strays: &[Stray]) -> Grid {
    let mut columns = rate_columns(page);
    columns.extend([
        column("PROTO", Align::Left, Fit::Always),
        column("LOCAL", Align::Left, Fit::Always),
        column("REMOTE", Align::Left, Fit::Always),
        column("OWNER", Align::Left, Fit::Late),
    ]);
    let mut grid = with_remote_below(columns);
    for stray in strays.iter().take(LINES) {
        rates(page, &mut grid, stray.amount);
        grid.cell(stray.kind);
        grid.cell(EndText(stray.local));
        grid.cell(EndText(stray.remote));
        grid.cell(owners(stray.attribution.as_deref()));
    }
    grid
}

fn owners(attribution: Option<&Attribution>) -> String {
    let nobody = |reason: Reason| reason.nobody().unwrap_or("not known").to_owned();
    let Some(attribution) = attribution else { return nobody(Reason::NotLooked) };
    match attribution.owners.as_slice() {
        [] => nobody(attribution.reason),
        owners => {
            let name = |owner: &Owner| format!("{} ({})", owner.command, owner.id.pid);
            owners.iter().map(name).collect::<Vec<_>>().join(", ")
        }
    }
}

/// What it has open, in short.
fn files(out: &mut impl Write, portrait: &Portrait) -> io::Result<()> {
    let Some(files) = &portrait.files else {
        return line(out, "files", "may not be read: that takes root (CAP_SYS_PTRACE)");
    };
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let name = |(kind, count): &(&str, usize)| format!("{count} {kind}{}", plural(*count));
    let counts: Vec<_> = files.counts.iter().map(name).collect();
    let separator = if counts.is_empty() { "" } else { ": " };
    line(out, "files", format_args!("{} open{separator}{}", files.open(), counts.join(", ")))?;
    for log in files.logs.iter().take(FEW) {
        line(out, "log", format_args!("{} (fd {}, {})", Safe::new(&log.path), log.fd, Size(log.size)))?;
    }
    rest(out, files.logs.len(), "log")?;
    deleted(out, files, portrait.owner.id.pid)
}

fn deleted(out: &mut impl Write, files: &OpenFiles, pid: u32) -> io::Result<()> {
    let files = page::deleted(files);
    for file in files.iter().take(FEW) {
        let name = Safe::new(&file.path);
        let of = if file.in_memory { " of memory" } else { "" };
        match file.held {
            Some(held) => {
                line(out, "deleted", format_args!("{name} (fd {}, holds {}{of})", file.fd, Size(held)))?;
            }
            None => line(out, "deleted", format_args!("{name} (fd {})", file.fd))?,
        }
    }
    rest(out, files.len(), "deleted file")?;
    match files.iter().find(|file| !file.in_memory) {
        Some(file) => line(
            out,
            "",
            format_args!("to get it back: flowtally recover --pid {pid} --fd {} --output FILE", file.fd),
        ),
        None => Ok(()),
    }
}

fn rest(out: &mut impl Write, all: usize, name: &'static str) -> io::Result<()> {
    match all.saturating_sub(FEW) {
        0 => Ok(()),
        more => line(out, "", format_args!("and {} more", Many(more as u64, name))),
    }
}

/// How long ago, in its two largest units.
struct Age(Duration);

impl Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match seconds {
            ..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{minutes} min {} s", seconds % 60),
            3600..86_400 => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// Lines two margins to the right.
struct Indented<'a, W> {
    out: &'a mut W,
    fresh: bool,
}

impl<W: Write> Write for Indented<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.fresh {
                write!(self.out, "{MARGIN}{MARGIN}")?;
            }
            self.out.write_all(line)?;
            self.fresh = line.ends_with(b"\n");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
