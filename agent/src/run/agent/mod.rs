//! `flowtally agent`: counts for as long as the host runs.
//!
//! Threads: this one measures, waits for signals and answers questions; one drains and asks for owners; two write the log and look after
//! its files, behind a queue that nobody waits for; one answers Prometheus, with what it was handed last.

mod log;
mod metrics;
pub(super) mod orders;
mod own;
mod reload;
mod screens;
mod status;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{signal::unix::Signal, sync::mpsc, time::timeout};

use self::{
    log::LogReader,
    metrics::{MetricsDoor, MetricsReader},
    orders::{AgentOrders, agent_orders, host_agent},
    screens::AttachedScreens,
    status::AgentFacts,
};
use super::{announce, stdout};
use crate::{
    agent::{
        check::{CheckFacts, page},
        status::AgentStatus,
    },
    attach::ATTACH_QUESTION,
    cli::{AgentArgs, AgentCommand, StatusArgs},
    files,
    format::Safe,
    host::{
        control::{self, ControlSocket, Question, Reply},
        sandbox::{Confined, Sandbox, SandboxPlan},
        service::ServiceManager,
        shutdown::{Shutdown, Stopped},
    },
    kernel::{self, Capacity},
    meter::{Meter, Reader, memory},
};

/// How long the log may take to write its last intervals.
const LAST_WRITE: Duration = Duration::from_secs(20);
/// How long the attached screens may take to read it.
const LAST_FRAME: Duration = Duration::from_millis(500);
/// Longest time between two lines about the same fault on standard error.
const REPEAT: Duration = Duration::from_hours(1);

/// Runs the agent, or asks the one that runs.
pub(super) fn agent(args: AgentArgs) -> anyhow::Result<()> {
    match &args.command {
        Some(AgentCommand::Status(status)) => ask_status(status, args.capture.config.as_deref()),
        None if args.check => check(&args),
        None => super::in_runtime(run(args)),
    }
}

fn check(args: &AgentArgs) -> anyhow::Result<()> {
    let AgentOrders { settings, plan, files } = agent_orders(args)?;
    let cpus = kernel::possible_cpus()?;
    let capacity = Capacity::for_host(cpus, memory());
    let capacity = Capacity {
        slots: plan.slots.unwrap_or(capacity.slots),
        flows: plan.max_flows.unwrap_or(capacity.flows),
        notes: if plan.owners { capacity.notes } else { 0 },
    };
    let interfaces = if plan.interfaces.is_empty() {
        "those with a default route".to_owned()
    } else {
        plan.interfaces.join(", ")
    };
    let filter = plan.terms.filter.as_ref().map_or_else(String::new, |filter| filter.text().to_owned());
    let taken = capacity.memory(cpus);
    let facts = CheckFacts {
        measured: vec![
            ("configuration", if files.is_empty() { "none".to_owned() } else { files.join(", ") }),
            ("interfaces", interfaces),
            ("hook", plan.hook.to_string()),
            ("slots", capacity.slots.to_string()),
            ("max-flows", capacity.flows.to_string()),
            ("filter-code", filter),
        ],
        memory: vec![("from the start", taken.at_start), ("when all of it is needed", taken.at_most)],
    };
    stdout::print(&page(&settings, &facts)?).context("printing the settings")
}

fn ask_status(args: &StatusArgs, config: Option<&Path>) -> anyhow::Result<()> {
    let socket = match &args.socket {
        Some(socket) => PathBuf::from(socket),
        None => host_agent(args.config.as_deref().or(config))?.socket,
    };
    let text = control::ask(&socket, "status")?;
    let text = match args.format {
        files::PageFormat::Json => text,
        files::PageFormat::Text => {
            let status: AgentStatus = serde_json::from_str(&text)
                .with_context(|| format!("reading what the agent at {} said", Safe::os(&socket)))?;
            status.page()?
        }
    };
    stdout::print(&text).context("printing the agent's status")
}

/// The agent while it runs.
struct Agent {
    args: AgentArgs,
    orders: AgentOrders,
    meter: Meter,
    log: Option<LogReader>,
    metrics: Option<MetricsReader>,
    facts: AgentFacts,
    manager: ServiceManager,
    screens: AttachedScreens,
    /// When which fault was last said.
    said: Option<(String, Instant)>,
}

async fn run(args: AgentArgs) -> anyhow::Result<()> {
    kernel::process::share_heaps();
    let orders = agent_orders(&args)?;
    let (mut shutdown, hangup) = Shutdown::listen_but_for_hangup().context("listening for signals")?;
    let socket = ControlSocket::bind(&orders.settings.socket)?;
    let door = MetricsDoor::open(&orders.settings).inspect_err(|_| {
        // Where it stays, the next agent finds that nobody listens.
        drop(std::fs::remove_file(socket.path()));
    })?;
    let confined = confine(&orders);
    for reason in confined.state().degraded() {
        tell!("{reason}");
    }
    match start(args, orders, door, &confined, &mut shutdown).await {
        Ok(agent) => {
            let (sender, questions) = mpsc::channel(1);
            let path = socket.path().to_owned();
            tokio::spawn(socket.serve(sender));
            let ended = agent.run(shutdown, hangup, questions).await;
            remove(&confined, path);
            ended
        }
        Err(error) => {
            remove(&confined, socket.path().to_owned());
            // It was told to end, and there is nothing to write yet: that is no failure.
            if error.is::<Stopped>() { Ok(()) } else { Err(error) }
        }
    }
}

fn confine(orders: &AgentOrders) -> Confined {
    let AgentOrders { settings, .. } = orders;
    let mut folders = Vec::new();
    if settings.has_log {
        folders.push(settings.log.folder.clone());
    }
    folders.extend(settings.socket.parent().map(Path::to_owned));
    let gives_group = settings.log.group.is_some();
    Sandbox::prepare(SandboxPlan { on: settings.sandbox, folders, gives_group }).enter()
}

/// The socket goes with the agent. Where it stays, the next agent finds that nobody listens.
fn remove(confined: &Confined, path: PathBuf) {
    let removed = confined.spawn_writer("agent-end", move |writer| {
        let folder = path.parent().unwrap_or(&path).to_owned();
        drop(writer.below(&[&folder], || std::fs::remove_file(&path)));
    });
    if let Ok(thread) = removed {
        drop(thread.join());
    }
}

async fn start(
    args: AgentArgs,
    orders: AgentOrders,
    door: Option<MetricsDoor>,
    confined: &Confined,
    shutdown: &mut Shutdown,
) -> anyhow::Result<Agent> {
    let mut facts = AgentFacts::new(confined.state().clone())?;
    facts.set_files(&orders.files);
    let metrics = door.map(|door| MetricsReader::start(door, &orders.settings)).transpose()?;
    let mut meter = Meter::start(orders.plan.clone(), shutdown).await?;
    facts.began(meter.started().elapsed());
    let log = if orders.settings.has_log {
        match LogReader::start(&orders, &facts.identity, confined) {
            Ok(log) => Some(log),
            Err(error) => {
                meter.abandon().await;
                return Err(error);
            }
        }
    } else {
        None
    };
    if orders.settings.owners {
        meter.look(true).await?;
    }
    announce(&meter);
    reload::tell_what_is_judged(&orders);
    if orders.settings.has_log {
        tell!("the log is written to {}", Safe::os(&orders.settings.log.folder));
    }
    let (manager, screens) = (ServiceManager::from_environment(), AttachedScreens::default());
    Ok(Agent { args, orders, meter, log, metrics, facts, manager, screens, said: None })
}

impl Agent {
    async fn run(
        mut self,
        mut shutdown: Shutdown,
        mut hangup: Signal,
        mut questions: mpsc::Receiver<Question>,
    ) -> anyhow::Result<()> {
        self.manager.ready("counting");
        let ended = loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => break Ok(()),
                _ = hangup.recv() => self.reload().await,
                Some(Question { line, answer }) = questions.recv() => {
                    // Who went away does not want it any more.
                    match self.reply(&line).await {
                        Ok(Some(reply)) => drop(answer.send(reply)),
                        Ok(None) => {}
                        Err(error) => break Err(error),
                    }
                }
                happened = self.meter.wait() => match self.meter.is_tick(happened).await {
                    Ok(false) => {}
                    Ok(true) => {
                        if let Err(error) = self.close().await {
                            break Err(error);
                        }
                    }
                    Err(error) => self.say(&format!("following the interfaces: {error:#}")),
                }
            }
        };
        self.manager.stopping();
        shutdown.next_is_final();
        let Self { meter, mut log, screens, .. } = self;
        let mut readers: Vec<&mut dyn Reader> = Vec::new();
        readers.extend(log.as_mut().map(|log| log as &mut dyn Reader));
        let finished = match meter.finish_for(&mut readers).await {
            Ok(recorded) => {
                // One that has been stopped is not waited for.
                drop(timeout(LAST_FRAME, screens.end(recorded)).await);
                Ok(())
            }
            Err(error) => Err(error),
        };
        let written = match log {
            Some(log) => log.stop(LAST_WRITE),
            None => Ok(()),
        };
        ended.and(finished).and(written)
    }

    /// The answer to a question; none where it is none.
    async fn reply(&mut self, line: &str) -> anyhow::Result<Option<Reply>> {
        Ok(match line.split(' ').next() {
            Some("status") => Some(Reply::Text(self.status_text()?)),
            Some(ATTACH_QUESTION) => Some(self.attach(line).await?),
            _ => None,
        })
    }

    async fn close(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut readers: Vec<&mut dyn Reader> = Vec::new();
        if let Some(log) = &mut self.log {
            if log.asks_what_is_degraded() {
                log.set_degraded(self.meter.owners_degraded()?);
            }
            readers.push(log);
        }
        if let Some(metrics) = &mut self.metrics {
            if metrics.asks_what_is_degraded() {
                metrics.set_owners_degraded(!self.meter.owners_degraded()?.is_empty());
            }
            readers.push(metrics);
        }
        self.meter.close_for(&mut readers).await?;
        self.screens.closed(&mut self.meter).await?;
        let took = began.elapsed();
        self.facts.closed(took);
        self.tell_metrics(took)?;
        // A tick is what must not stand still: an agent without any is one to be started again.
        self.manager.alive(Instant::now());
        Ok(())
    }

    /// Says what goes wrong, and not the same again every second.
    fn say(&mut self, fault: &str) {
        let again = self.said.as_ref().is_some_and(|(said, when)| said == fault && when.elapsed() < REPEAT);
        if !again {
            tell!("{fault}");
            self.said = Some((fault.to_owned(), Instant::now()));
        }
    }
}
