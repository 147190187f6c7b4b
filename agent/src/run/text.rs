//! `flowtally -t`: iftop's text mode.

use std::{
    collections::HashSet,
    io::{self, IsTerminal as _, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use super::{describe, interface_list, report::resolver, settings::services, stdout};
use crate::{
    flow::{names::Names, row::InterfaceId, snapshot::Snapshot},
    format::Guard,
    host::{names::Resolver, shutdown::Shutdown},
    iftop::{
        keys::{self, KeyEffect},
        options::IftopOptions,
        pair::{ListedPair, PairAddress, PairKey},
        text,
        view::{self, Surroundings},
    },
    meter::{Meter, Plan},
};

/// Time between two reports, as iftop has it.
const REPORTS: Duration = Duration::from_secs(2);
/// How long the report that ends the run waits for host names that were asked for in time; iftop does not wait at all. Others never do: a name
/// is in the next one.
const RESOLVE_LAST: Duration = Duration::from_millis(100);
/// Half an interval: a report is due when it is closer to the end of this interval than to the next.
const SLACK: Duration = Duration::from_millis(500);

/// Prints reports until the user or a limit ends it.
pub(super) async fn text(mut options: IftopOptions, mut plan: Plan) -> anyhow::Result<()> {
    stdout::check()?;
    let resolver = resolver(options.dns);
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    // Text is iftop's, and that knows no owners.
    plan.owners = false;
    let mut meter = Meter::start(plan, &mut shutdown).await?;
    describe(&meter).await?;
    let mut printer = TextPrinter {
        names: Names { services: services(), ..Names::default() },
        resolver,
        loopback: meter.loopbacks()?,
        broadcast: meter.broadcasts().clone(),
        order: Vec::new(),
    };
    print(&text::listening_on(&interface_list(&meter.interfaces())))?;
    let started = meter.started();
    let limit = options.timed_output.map(Duration::from_secs);
    let end = async {
        match limit {
            Some(limit) => tokio::time::sleep_until((started + limit).into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    let (keyboard, mut pressed) = if limit.is_none() { Keyboard::listen() } else { Keyboard::none() };
    let mut due = REPORTS;
    loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            () = &mut end => break,
            Some(key) = pressed.recv() => {
                let (changed, effect) = keys::press(options, key);
                options = changed;
                match effect {
                    KeyEffect::Quit => return meter.finish().await.map(drop),
                    KeyEffect::Nothing => {}
                    KeyEffect::Message(text) => print(text)?,
                    KeyEffect::Report(text) => {
                        print(text)?;
                        printer.print(&meter.snapshot()?, &options)?;
                    }
                }
            }
            happened = meter.wait() => {
                if !meter.is_tick(happened).await? {
                    continue;
                }
                meter.close(false).await?;
                if limit.is_some() {
                    if options.dns {
                        printer.ask(&meter.snapshot()?, &options);
                    }
                    continue;
                }
                let elapsed = started.elapsed();
                if elapsed + SLACK >= due {
                    due = elapsed + REPORTS;
                    printer.loopback = meter.loopbacks()?;
                    printer.broadcast.clone_from(meter.broadcasts());
                    if !options.paused {
                        printer.print(&meter.snapshot()?, &options)?;
                    }
                }
            }
        }
    }
    // Before a signal may end the process.
    drop(keyboard);
    shutdown.next_is_final();
    let snapshot = meter.finish().await?;
    if limit.is_some() {
        printer.print_last(&snapshot, &options).await?;
    }
    Ok(())
}

fn print(text: &str) -> io::Result<()> {
    let mut out = Guard::new(stdout::open()?);
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What a report needs besides the snapshot, kept from one to the next.
struct TextPrinter {
    names: Names,
    resolver: Resolver,
    loopback: HashSet<InterfaceId>,
    broadcast: HashSet<Ipv4Addr>,
    order: Vec<PairKey>,
}

impl TextPrinter {
    /// Prints a report with the names that are known, and asks for the others.
    fn print(&mut self, snapshot: &Snapshot, options: &IftopOptions) -> anyhow::Result<()> {
        let pairs = self.pairs(snapshot, options);
        if options.dns {
            self.resolver.update(&mut self.names, addresses(&pairs, options));
        }
        self.write(snapshot, options, &pairs)
    }

    /// Asks for the names in a report that will be printed later.
    fn ask(&mut self, snapshot: &Snapshot, options: &IftopOptions) {
        let pairs = self.pairs(snapshot, options);
        self.resolver.update(&mut self.names, addresses(&pairs, options));
    }

    /// Prints the report that ends the run, and waits for names a little.
    async fn print_last(&mut self, snapshot: &Snapshot, options: &IftopOptions) -> anyhow::Result<()> {
        let pairs = self.pairs(snapshot, options);
        if options.dns {
            self.resolver.complete(&mut self.names, addresses(&pairs, options), RESOLVE_LAST).await;
        }
        self.write(snapshot, options, &pairs)
    }

    fn pairs(&self, snapshot: &Snapshot, options: &IftopOptions) -> Vec<ListedPair> {
        view::pairs(snapshot, options, &self.around(), &self.order)
    }

    fn write(
        &mut self,
        snapshot: &Snapshot,
        options: &IftopOptions,
        pairs: &[ListedPair],
    ) -> anyhow::Result<()> {
        print(&text::report(snapshot, pairs, options, &self.around()))?;
        self.order = pairs.iter().map(|pair| pair.key).collect();
        Ok(())
    }

    const fn around(&self) -> Surroundings<'_> {
        Surroundings { names: &self.names, loopback: &self.loopback, broadcast: &self.broadcast }
    }
}

/// The addresses that a report lists.
fn addresses(pairs: &[ListedPair], options: &IftopOptions) -> HashSet<IpAddr> {
    let listed = &pairs[..pairs.len().min(options.num_lines)];
    let ends = listed.iter().flat_map(|pair| [pair.key.left.address, pair.key.right.address]);
    ends.filter_map(|address| match address {
        PairAddress::Shown(address) => Some(address),
        PairAddress::HiddenV4 | PairAddress::HiddenV6 => None,
    })
    .collect()
}

/// A terminal that hands over every key as it is pressed; it is as before when this is dropped.
struct Keyboard {
    before: Option<Termios>,
}

impl Keyboard {
    /// Keys from standard input, be it a terminal or not. At its end there are no more.
    fn listen() -> (Self, mpsc::Receiver<char>) {
        let before = if io::stdin().is_terminal() { tcgetattr(io::stdin()).ok() } else { None };
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        }
        let (sender, receiver) = mpsc::channel(16);
        std::thread::spawn(move || {
            for byte in io::stdin().lock().bytes() {
                let Ok(byte) = byte else { break };
                if sender.blocking_send(char::from(byte)).is_err() {
                    break;
                }
            }
        });
        (Self { before }, receiver)
    }

    /// No keys.
    fn none() -> (Self, mpsc::Receiver<char>) {
        (Self { before: None }, mpsc::channel(1).1)
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
