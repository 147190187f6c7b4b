//! `flowtally`: the live screen. It is drawn after each interval and after each key, and at no other time.

use std::{
    collections::HashSet,
    fs::OpenOptions,
    future::poll_fn,
    io::BufWriter,
    task::Poll,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use rustix::process::{Signal, kill_current_process_group};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    describe, files,
    meter::{Meter, Plan},
    settings::{dictionary, services},
    shutdown::Shutdown,
    terminal::{self, Screen},
};
use crate::{
    filter::Filter,
    flow::{names::Names, row::InterfaceId, snapshot::InterfaceView},
    host::{interfaces::Interface, names::Resolver},
    iftop::options::Options,
    tui::{Candidate, Display, Format, Wish},
};

/// Intervals between two readings of the interfaces' own counters.
const COMPARE: u64 = 10;
/// How long a stopped process may take to notice it: other threads may run on for a moment.
const STOPPING: Duration = Duration::from_millis(200);

/// Shows the screen until the user or a signal ends it.
pub(super) async fn top(options: IftopOptions, mut plan: Plan) -> anyhow::Result<()> {
    terminal::check()?;
    if plan.verbose {
        say!(
            "flowtally: what the kernel programs log (-v) cannot be printed beside the screen; -t and 'report' print it"
        );
        plan.verbose = false;
    }
    let resolver = Resolver::from_system();
    if let Some(reason) = resolver.unavailable().filter(|_| options.dns) {
        say!("host names are those of /etc/hosts alone: {reason}");
    }
    let shutdown = Shutdown::listen().context("listening for signals")?;
    let meter = Meter::start(plan).await?;
    describe(&meter).await?;
    // Nothing has touched the terminal so far: what is wrong has been printed like everywhere else.
    let names = Names { services: services(), ..Names::default() };
    let mut display = Display::new(options, terminal::theme(), names);
    display.say(format!("Listening on {}", meter.interfaces().join(", ")), Duration::ZERO);
    let continued = signal(SignalKind::from_raw(Signal::CONT.as_raw())).context("listening for SIGCONT")?;
    let mut top = Top { meter, display, screen: Screen::take()?, resolver, continued };
    let ended = top.run(shutdown).await;
    let Top { meter, screen, .. } = top;
    drop(screen);
    // Also when something failed the programs are let go in good order.
    let finished = meter.finish().await.map(drop);
    match ended {
        Err(error) if terminal::is_gone(&error) => finished,
        Err(error) => Err(error),
        Ok(()) => finished,
    }
}

/// Everything that a key or an interval acts on.
struct Top {
    meter: Meter,
    display: Display,
    screen: TerminalScreen,
    resolver: Resolver,
    /// SIGCONT: whoever had the terminal meanwhile left it in another state.
    continued: tokio::signal::unix::Signal,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Top {
    async fn run(&mut self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        let mut events = EventStream::new();
        self.tick()?;
        loop {
            self.draw()?;
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                _ = self.continued.recv() => self.screen.retake()?,
                event = events.next() => {
                    let mut event = event;
                    // Keys that are waiting already are taken together: they cost one frame.
                    loop {
                        let Some(happened) = event else { return Ok(()) };
                        let happened = happened.context("reading from the terminal")?;
                        if let Some(key) = terminal::key(&happened) {
                            let now = self.meter.started().elapsed();
                            let wish = self.display.press(key, self.meter.ledger()?, now);
                            if self.fulfil(wish).await? == Next::End {
                                return Ok(());
                            }
                            self.look().await?;
                        }
                        // Not `now_or_never`: the stream would remember to wake nobody.
                        match poll_fn(|context| Poll::Ready(events.poll_next_unpin(context))).await {
                            Poll::Ready(next) => event = next,
                            Poll::Pending => break,
                        }
                    }
                }
                // What has been found out is taken up where the screen is drawn.
                () = self.resolver.answered() => {}
                tick = self.meter.tick() => {
                    tick?;
                    let compare = self.meter.ledger()?.closed() % COMPARE == COMPARE - 1;
                    if compare {
                        self.meter.close_and_compare().await?;
                    } else {
                        self.meter.close().await?;
                    }
                    self.tick()?;
                    if compare {
                        self.display.counters_read();
                    }
                }
            }
        }
        shutdown.next_is_final();
        Ok(())
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        self.display.set_broadcasts(self.meter.broadcasts());
        if self.meter.looks() {
            self.display.set_owners_degraded(self.meter.owners_degraded()?);
        }
        self.display.tick(self.meter.ledger()?);
        Ok(())
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let now = self.meter.started().elapsed();
        self.screen.draw(&mut self.display, now)?;
        let wanted = self.display.hosts();
        if self.resolver.update(self.display.names_mut(), wanted) {
            self.screen.draw(&mut self.display, now)?;
        }
        Ok(())
    }

    /// Looks for owners from when they are shown until they are not.
    async fn look(&mut self) -> anyhow::Result<()> {
        let looks = self.display.looks();
        if looks != self.meter.looks() {
            self.meter.look(looks).await?;
            self.display.set_owners_degraded(self.meter.owners_degraded()?);
            self.display.owners_found(self.meter.ledger()?);
        }
        Ok(())
    }

    /// Shows what files the owners of the opened row have open.
    async fn show_files(&mut self) -> anyhow::Result<()> {
        self.look().await?;
        let owners = self.display.owners();
        if owners.is_empty() {
            self.say("No owner is known whose files could be shown");
            return Ok(());
        }
        let lines = spawn_blocking(move || files::of(&owners)).await.context("reading open files")?;
        self.display.show_files(lines);
        Ok(())
    }

    fn say(&mut self, text: impl Into<String>) {
        self.display.say(text, self.meter.started().elapsed());
    }

    async fn fulfil(&mut self, wish: Wish) -> anyhow::Result<Next> {
        match wish {
            Wish::Nothing => {}
            Wish::Quit => return Ok(Next::End),
            Wish::Suspend => self.suspend().await?,
            Wish::Repaint => self.screen.repaint()?,
            Wish::NetFilter(text) => match Filter::parse(&text, &dictionary()) {
                Ok(filter) => {
                    self.meter.ledger()?.set_filter(filter);
                    let now = self.meter.started().elapsed();
                    self.display.filter_installed(&text, now);
                }
                Err(error) => self.say(error.to_string()),
            },
            Wish::Export(name, format) => match self.export(&name, format) {
                Ok(count) => self.say(format!("Wrote {count} rows to {}", Safe::new(&name))),
                Err(error) => self.say(format!("Not written: {error:#}")),
            },
            Wish::ListInterfaces => self.list_interfaces().await?,
            Wish::Show(names) => self.show(&names).await?,
            Wish::Files => self.show_files().await?,
        }
        Ok(Next::GoOn)
    }

    /// Gives the terminal back and stops, with everything in the foreground, until it is continued.
    async fn suspend(&mut self) -> anyhow::Result<()> {
        self.screen.give_back();
        // Where nobody could continue it the kernel does not stop it.
        kill_current_process_group(Signal::TSTP).context("stopping")?;
        let _ = timeout(STOPPING, self.continued.recv()).await;
        self.screen.retake()
    }

    /// Writes the list to a new file.
    fn export(&mut self, name: &str, format: Format) -> anyhow::Result<usize> {
        let file =
            OpenOptions::new().write(true).create_new(true).open(name).with_context(|| name.to_owned())?;
        let written = self.display.write(BufWriter::new(file), format, SystemTime::now());
        written.with_context(|| name.to_owned())
    }

    async fn list_interfaces(&mut self) -> anyhow::Result<()> {
        let known = self.meter.ledger()?.overview(|_| true).interfaces;
        let host = self.meter.host_interfaces().await?;
        let candidates = host.iter().map(|interface| {
            let counted =
                known.iter().find(|counted| counted.name == interface.name && counted.hook != "none");
            Candidate {
                name: interface.name.clone(),
                about: about(interface, counted),
                chosen: counted.is_some_and(|counted| self.display.shows(counted.id)),
            }
        });
        let candidates = candidates.collect();
        self.display.choose(candidates);
        Ok(())
    }

    /// Shows some interfaces; those that are not counted on yet are from now on.
    async fn show(&mut self, names: &[String]) -> anyhow::Result<()> {
        let mut failed = None;
        for name in names {
            if let Err(error) = self.meter.add(name).await {
                failed = Some(format!("{error:#}"));
            }
        }
        let ledger = self.meter.ledger()?;
        let known = ledger.overview(|_| true).interfaces;
        let chosen: HashSet<InterfaceId> = known
            .iter()
            .filter(|interface| names.contains(&interface.name))
            .map(|interface| interface.id)
            .collect();
        let all = chosen.len() == known.len();
        self.display.show((!all).then_some(chosen), ledger);
        match failed {
            Some(failed) => self.say(failed),
            None => self.say(format!("Listening on {}", names.join(", "))),
        }
        Ok(())
    }
}

/// What is known of an interface, in words.
fn about(interface: &Interface, counted: Option<&InterfaceView>) -> String {
    let state = if interface.up { "up" } else { "down" };
    match counted {
        None => format!("{state}, not counted so far"),
        Some(counted) if counted.degraded.is_empty() => format!("{state}, {}", counted.hook),
        Some(counted) => format!("{state}, {}: {}", counted.hook, counted.degraded.join("; ")),
    }
}
