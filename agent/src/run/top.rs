//! `flowtally`: the live screen. It is drawn after each interval and after each key, and at no other time.

use std::{
    collections::HashSet,
    future::{pending, poll_fn},
    io::BufWriter,
    path::Path,
    task::Poll,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use rustix::process::{Signal, kill_current_process_group};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinError, JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    describe, files, interface_list,
    replay::ReplaySource,
    report::resolver,
    settings::{AttachOrders, ReplayOrders, parse_filter, services},
    source::{AttachedSource, ScreenSource, SourceNews},
    terminal::{self, TerminalScreen},
};
use crate::{
    filter::{Filter, MarkedError},
    flow::{
        names::Names,
        row::{Counting, InterfaceId},
        snapshot::InterfaceView,
    },
    format::Safe,
    host::shutdown::Shutdown,
    host::{
        interfaces::Interface,
        names::Resolver,
        output::{Existing, OutputTarget, PUBLIC},
        rights,
    },
    iftop::options::IftopOptions,
    meter::{Meter, Plan},
    tui::{Candidate, Display, ExportFormat, Wish},
};

/// How long a stopped process may take to notice it: other threads may run on for a moment.
const STOPPING: Duration = Duration::from_millis(200);

/// How long a filter may take to compile before that is said: nobody notices it at a key.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Shows the screen until the user or a signal ends it.
pub(super) async fn top(options: IftopOptions, mut plan: Plan) -> anyhow::Result<()> {
    terminal::check()?;
    if plan.verbose {
        tell!(
            "what the kernel programs log (-v) cannot be printed beside the screen; -t and 'report' print it"
        );
        plan.verbose = false;
    }
    let resolver = resolver(options.dns);
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    // A key changes it.
    let counting = std::mem::take(&mut plan.terms.counting);
    let meter = Meter::start(plan, &mut shutdown).await?;
    describe(&meter).await?;
    let said = format!("Listening on {}", interface_list(&meter.interfaces()));
    show(ScreenSource::Measured(Box::new(meter)), options, counting, said, resolver, shutdown).await
}

/// Shows the screen on what an agent counts.
pub(super) async fn attached(options: IftopOptions, orders: AttachOrders) -> anyhow::Result<()> {
    terminal::check()?;
    let resolver = resolver(options.dns);
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    let source = shutdown.unless_requested(AttachedSource::open(&orders.socket)).await??;
    let source = ScreenSource::Attached(Box::new(source));
    let said = source.message().unwrap_or_default();
    show(source, options, orders.counting, said, resolver, shutdown).await
}

/// Shows the screen on a log.
pub(super) async fn replayed(options: IftopOptions, orders: ReplayOrders) -> anyhow::Result<()> {
    terminal::check()?;
    // Files are opened as their user may, whatever rights the program has for measuring.
    rights::give_up().context("giving up the rights of the program's file")?;
    let resolver = resolver(options.dns);
    // Until there is a screen a signal ends the program by itself.
    let source = ReplaySource::open(&orders)?;
    let shutdown = Shutdown::listen().context("listening for signals")?;
    let source = ScreenSource::Replayed(Box::new(source));
    let said = source.message().unwrap_or_default();
    show(source, options, Counting::Once, said, resolver, shutdown).await
}

/// Nothing has touched the terminal so far: what is wrong has been printed like everywhere else.
async fn show(
    source: ScreenSource,
    options: IftopOptions,
    counting: Counting,
    said: String,
    resolver: Resolver,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let names = Names { services: services(), ..Names::default() };
    let mut display = Display::new(options, terminal::theme(), names);
    display.count(counting);
    display.say(said, source.elapsed());
    source.prepare(&mut display);
    let continued = signal(SignalKind::from_raw(Signal::CONT.as_raw())).context("listening for SIGCONT")?;
    let mut top =
        Top { source, display, screen: TerminalScreen::take()?, resolver, continued, compiling: None };
    let ended = top.run(shutdown).await;
    let Top { source, screen, .. } = top;
    drop(screen);
    // Also when something failed the programs are let go in good order.
    let finished = source.finish().await;
    match ended {
        Err(error) if terminal::is_gone(&error) => finished,
        Err(error) => Err(error),
        Ok(()) => finished,
    }
}

/// Everything that a key or an interval acts on.
struct Top {
    source: ScreenSource,
    display: Display,
    screen: TerminalScreen,
    resolver: Resolver,
    /// SIGCONT: whoever had the terminal meanwhile left it in another state.
    continued: tokio::signal::unix::Signal,
    /// The capture filter that was typed last, while it is being compiled.
    compiling: Option<JoinHandle<CompiledFilter>>,
}

/// A filter as it was typed, and what became of it.
type CompiledFilter = (String, Result<Option<Filter>, MarkedError>);

/// Waits for a filter that is being compiled; for ever where none is.
async fn compiled(compiling: &mut Option<JoinHandle<CompiledFilter>>) -> Result<CompiledFilter, JoinError> {
    let Some(handle) = compiling else { return pending().await };
    let filter = handle.await;
    *compiling = None;
    filter
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
                        // A frame that was drawn while the size changed may have met either.
                        if matches!(happened, Event::Resize(..)) {
                            self.screen.repaint()?;
                        }
                        if let Some(key) = terminal::key(&happened) {
                            let now = self.source.elapsed();
                            let wish = self.display.press(key, self.source.ledger()?, now);
                            if self.fulfil(wish).await? == Next::End {
                                return Ok(());
                            }
                            if self.source.regroup(&mut self.display) {
                                self.display.arrive(self.source.ledger()?, false);
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
                filter = compiled(&mut self.compiling) => self.install(filter)?,
                event = self.source.wait() => match self.source.take(event, &mut self.display).await? {
                    SourceNews::Nothing => {}
                    SourceNews::Closed { compared } => {
                        self.tick()?;
                        if compared {
                            self.display.counters_read();
                        }
                    }
                    SourceNews::CaughtUp => {
                        self.tick()?;
                        self.say("This screen was too slow; what the agent has counted has been read again, totals since it began");
                    }
                    SourceNews::Ended => {
                        self.display.set_notes(self.source.notes());
                        self.say(self.source.message().unwrap_or_default());
                    }
                    SourceNews::Moving => self.display.set_notes(self.source.notes()),
                    SourceNews::Moved { is_next } => {
                        self.display.set_owners_degraded(self.source.owners_degraded()?);
                        self.display.set_notes(self.source.notes());
                        self.display.arrive(self.source.ledger()?, is_next);
                        self.display.counters_read();
                    }
                }
            }
        }
        shutdown.next_is_final();
        Ok(())
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        self.display.set_broadcasts(self.source.broadcasts());
        if self.source.looks() {
            self.display.set_owners_degraded(self.source.owners_degraded()?);
        }
        self.display.set_notes(self.source.notes());
        self.display.tick(self.source.ledger()?);
        Ok(())
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let now = self.source.elapsed();
        self.screen.draw(&mut self.display, now)?;
        let wanted = self.display.hosts();
        if self.resolver.update(self.display.names_mut(), wanted) {
            self.screen.draw(&mut self.display, now)?;
        }
        Ok(())
    }

    /// Looks for owners from when they are shown until they are not.
    async fn look(&mut self) -> anyhow::Result<()> {
        if self.source.look(self.display.looks()).await? {
            self.display.set_owners_degraded(self.source.owners_degraded()?);
            self.display.owners_found(self.source.ledger()?);
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
        self.display.say(text, self.source.elapsed());
    }

    async fn fulfil(&mut self, wish: Wish) -> anyhow::Result<Next> {
        match wish {
            Wish::Nothing => {}
            Wish::Quit => return Ok(Next::End),
            Wish::Suspend => self.suspend().await?,
            Wish::Repaint => self.screen.repaint()?,
            Wish::NetFilter(text) => self.compile(text).await?,
            Wish::Export(name, format) => match self.export(&name, format) {
                Ok(count) => self.say(format!("Wrote {count} rows to {}", Safe::new(&name))),
                Err(error) => self.say(format!("Not written: {error:#}")),
            },
            Wish::ListInterfaces => self.list_interfaces().await?,
            Wish::Show(names) => self.show(&names).await?,
            Wish::Files => self.show_files().await?,
            Wish::Time(key) => {
                self.source.press(key);
                self.display.set_notes(self.source.notes());
            }
        }
        Ok(Next::GoOn)
    }

    /// Has a filter compiled, and goes on meanwhile: names in it are asked of name servers, which may not answer. One that is not ready
    /// yet is given up.
    async fn compile(&mut self, text: String) -> anyhow::Result<()> {
        self.compiling = Some(spawn_blocking(move || {
            let parsed = parse_filter(&text);
            (text, parsed)
        }));
        match timeout(AT_ONCE, compiled(&mut self.compiling)).await {
            Ok(filter) => self.install(filter)?,
            Err(_) => self.say("The new filter is being compiled; until it is there, the one before counts"),
        }
        Ok(())
    }

    fn install(&mut self, filter: Result<CompiledFilter, JoinError>) -> anyhow::Result<()> {
        let (text, parsed) = filter.context("compiling the filter")?;
        match parsed {
            Ok(filter) => match self.source.set_filter(filter) {
                Ok(()) => self.display.filter_installed(&text, self.source.elapsed()),
                Err(error) => self.say(format!("{error:#}")),
            },
            Err(error) => self.say(error.line()),
        }
        Ok(())
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
    fn export(&mut self, name: &str, format: ExportFormat) -> anyhow::Result<usize> {
        let mut output = OutputTarget::prepare(Path::new(name), Existing::Keep, PUBLIC)?.begin()?;
        let written = self.display.write(BufWriter::new(&mut output), format, SystemTime::now());
        let count = written.with_context(|| format!("writing {}", Safe::new(name)))?;
        output.finish()?;
        Ok(count)
    }

    async fn list_interfaces(&mut self) -> anyhow::Result<()> {
        let known = self.source.ledger()?.overview(|_| true, Counting::PerInterface).interfaces;
        let candidates: Vec<_> = match self.source.host_interfaces().await? {
            Some(host) => host
                .iter()
                .map(|interface| {
                    let is_counted =
                        |counted: &&InterfaceView| counted.name == interface.name && counted.hook != "none";
                    let counted = known.iter().find(is_counted);
                    Candidate {
                        name: interface.name.clone(),
                        about: about(interface, counted),
                        chosen: counted.is_some_and(|counted| self.display.shows(counted.id)),
                    }
                })
                .collect(),
            // Others cannot be added from here.
            None => known
                .iter()
                .map(|counted| Candidate {
                    name: counted.name.clone(),
                    about: served(counted),
                    chosen: self.display.shows(counted.id),
                })
                .collect(),
        };
        self.display.choose(candidates);
        Ok(())
    }

    /// Shows some interfaces; those that are not counted on yet are from now on.
    async fn show(&mut self, names: &[String]) -> anyhow::Result<()> {
        let mut failed = None;
        for name in names {
            if let Err(error) = self.source.add(name).await {
                failed = Some(format!("{error:#}"));
            }
        }
        let ledger = self.source.ledger()?;
        let known = ledger.overview(|_| true, Counting::PerInterface).interfaces;
        let chosen: HashSet<InterfaceId> = known
            .iter()
            .filter(|interface| names.contains(&interface.name))
            .map(|interface| interface.id)
            .collect();
        let all = chosen.len() == known.len();
        self.display.show((!all).then_some(chosen), ledger);
        match failed {
            Some(failed) => self.say(failed),
            None => self.say(format!("Listening on {}", interface_list(names))),
        }
        Ok(())
    }
}

/// What is known of an interface, in words.
fn about(interface: &Interface, counted: Option<&InterfaceView>) -> String {
    let state = if interface.up { "up" } else { "down" };
    match counted {
        None => format!("{state}, not counted so far"),
        Some(counted) => format!("{state}, {}", served(counted)),
    }
}

/// How an interface is served.
fn served(counted: &InterfaceView) -> String {
    if counted.degraded.is_empty() {
        counted.hook.clone()
    } else {
        format!("{}: {}", counted.hook, counted.degraded.join("; "))
    }
}
