//! The command line, as it is typed. No logic: what the words mean is decided where they are used.

mod agent;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use self::agent::checked;
pub use self::agent::{AgentCommand, MetricsArgs, StatusArgs};
use crate::{
    agent::settings::AgentKey,
    files,
    flow::{
        boundary::{Ipv4Boundary, Ipv6Boundary},
        group::GroupBy,
    },
    format::numbers::Units,
    history,
    inspect::InspectTarget,
    model::{handle::Handle, hook::HookChoice},
    report,
};

/// Counts every byte of a busy Linux host in the kernel, per flow, and names the process that owns it.
///
/// `flowtally` shows who uses the network, live, with iftop's options and keys; `flowtally -t` prints iftop's text reports.
/// `flowtally report` measures for ten seconds and prints who used the network. `flowtally lsof` lists open files.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// What to do; without it, as `top`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `top`.
    #[command(flatten)]
    pub top: TopArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, and it is read once")]
pub enum Command {
    /// Show who uses the network, live (the same as without a command)
    ///
    /// The options are iftop's, and so are the keys. With -t: iftop's text reports.
    Top(TopArgs),
    /// Measure for a while, then print the top talkers
    ///
    /// Tables of who used the network, then how the counts compare with the interfaces' own counters. Ctrl-C ends the
    /// measurement early, and still prints.
    ///
    /// Addresses and ports are never cut. On a narrow terminal the columns peak, packets, 40s, 10s, 2s and share go, in this order
    /// (what is sorted by stays), and then rows take two lines. Into a file or a pipe nothing is cut at all.
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// List files that are deleted but still open, with the space they hold
    ///
    /// Files without a name whose space is taken for as long as a process has them open, mapped, or runs them. Each counts
    /// once in the sums, however many hold it. What takes memory (memfd, shared memory, tmpfs) is listed apart from what takes
    /// a disk. As root all processes are read, else the user's own.
    #[command(after_help = DELETED_EXAMPLES)]
    Deleted(DeletedArgs),
    /// Copy a file that a process holds, a deleted one too, to a new file
    ///
    /// Holes stay holes; mode and times are kept, and the owner as root. An existing file is never overwritten, and a copy that
    /// fails or is interrupted leaves nothing behind.
    #[command(after_help = RECOVER_EXAMPLES)]
    Recover(RecoverArgs),
    /// Show on one page: sockets, their traffic, their owners, and what those have open
    ///
    /// Sockets of every network namespace that match, each with the traffic that it has while it is measured; then for each process
    /// that has them open its command line, user, container, start and parents, and its files in short: logs, and what is deleted
    /// but still held. Exit status 1 when nothing matches.
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Count for as long as the host runs, and write what every interval brought to log files
    ///
    /// Everything has a default: the interfaces with a default route, flows and processes every 10 seconds, files below
    /// /var/log/flowtally for 7 days or 5 GB. Each option is also a key of [agent] in the configuration. SIGHUP reads that again;
    /// SIGTERM and SIGINT end the agent with status 0 and the last interval written.
    #[command(after_help = AGENT_EXAMPLES, args_conflicts_with_subcommands = true)]
    Agent(AgentArgs),
    /// Say whether this host can be counted on, and what would make it better
    ///
    /// Kernel, rights, hooks of each interface and who else is there, owners, sandbox, limits, tables, log and agent; for whatever works
    /// less well than it could, the command that mends it. Hooks are tried for a moment, as a measurement uses them, and nothing stays.
    /// Exit status 0: fine, 1: degraded, 2: nothing can be counted.
    Doctor(DoctorArgs),
    /// Read the agent's log back: who used the network at a time
    ///
    /// The tables of `report` from the log, or rates over time (--timeline). Files that are compressed or rotated are read alike;
    /// those outside of the time are not opened.
    ///
    /// T is 03:00 (the last one before now; of --to the first one after --from), 'yesterday 14:10', 'monday 9:00', -2h, a date with or
    /// without a time of day, or RFC 3339. Without an offset it is local time. Intervals of the log count as a whole: what reaches beyond
    /// the time is said.
    #[command(after_help = HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// List open files, with lsof's options (also through a link named lsof); -h lists them
    #[command(disable_help_flag = true)]
    Lsof(LsofArgs),
}

/// `flowtally lsof`: its grammar is lsof's own, so that nothing of it is read here.
#[derive(Debug, Args)]
pub struct LsofArgs {
    /// lsof's options and names
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub words: Vec<OsString>,
}

const AGENT_EXAMPLES: &str = "Examples:
  flowtally agent --check                                what it would do, and what that takes
  flowtally agent -i eth0 --rows process,remote --top 50
  flowtally agent --metrics 127.0.0.1:9925               answer Prometheus too
  flowtally agent status                                 how the running agent is doing
  flowtally agent status --format json | jq .tables";

/// `flowtally agent`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct AgentArgs {
    /// What to do with an agent that runs.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// Print all settings and what they will take, and end
    #[arg(long)]
    pub check: bool,
    /// Folder of the log files [default: /var/log/flowtally, or `$LOGS_DIRECTORY`]
    #[arg(long, value_name = "DIR", value_parser = |text: &str| checked(AgentKey::Log, text))]
    pub log: Option<String>,
    /// Write no log
    #[arg(long, conflicts_with = "log")]
    pub no_log: bool,
    /// Length of an interval of the log, 1s to 1h; it ends at multiples of this on the clock [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| checked(AgentKey::Interval, text))]
    pub interval: Option<String>,
    /// Rows of the log: flow, process, remote, port, container, user, interface, with commas [default: flow,process]
    #[arg(long, value_name = "LIST", value_parser = |text: &str| checked(AgentKey::Rows, text))]
    pub rows: Option<String>,
    /// Write the N largest rows of each kind and the sum of the others; 0: all [default: 0]
    #[arg(long, value_name = "N", value_parser = |text: &str| checked(AgentKey::Top, text))]
    pub top: Option<String>,
    /// jsonl or csv [default: jsonl]
    #[arg(long, value_name = "FORMAT", value_parser = |text: &str| checked(AgentKey::LogFormat, text))]
    pub log_format: Option<String>,
    /// What becomes of a closed file: zstd, gzip or none, with a level if you like (zstd:9) [default: zstd]
    #[arg(long, value_name = "HOW", value_parser = |text: &str| checked(AgentKey::Compress, text))]
    pub compress: Option<String>,
    /// Close a file when it has this size; none: never [default: 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| checked(AgentKey::RotateSize, text))]
    pub rotate_size: Option<String>,
    /// Close a file at multiples of this time; none: never [default: 1day]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| checked(AgentKey::RotateTime, text))]
    pub rotate_time: Option<String>,
    /// Keep so many files [default: none, which is no limit]
    #[arg(long, value_name = "N", value_parser = |text: &str| checked(AgentKey::KeepFiles, text))]
    pub keep_files: Option<String>,
    /// Keep a file for so long [default: 7days]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| checked(AgentKey::KeepAge, text))]
    pub keep_age: Option<String>,
    /// Keep so much in all [default: 5GB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| checked(AgentKey::KeepSize, text))]
    pub keep_size: Option<String>,
    /// Permissions of a file, in octal [default: 0640]
    #[arg(long, value_name = "MODE", value_parser = |text: &str| checked(AgentKey::FileMode, text))]
    pub file_mode: Option<String>,
    /// Group of a file, a name or a number [default: the agent's]
    #[arg(long, value_name = "GROUP", value_parser = |text: &str| checked(AgentKey::FileGroup, text))]
    pub file_group: Option<String>,
    /// When the disk must have what was written: never, interval, close [default: close]
    #[arg(long, value_name = "WHEN", value_parser = |text: &str| checked(AgentKey::Sync, text))]
    pub sync: Option<String>,
    /// Flows of an interval that are kept apart; the others are one row [default: 524288]
    #[arg(long, value_name = "N", value_parser = |text: &str| checked(AgentKey::MaxLogFlows, text))]
    pub max_log_flows: Option<String>,
    /// Do not find out whose traffic it is
    #[arg(long)]
    pub no_owners: bool,
    /// Keep all rights: no capabilities dropped, no Landlock, no seccomp
    #[arg(long)]
    pub no_sandbox: bool,
    /// Where the agent can be asked [default: /run/flowtally/agent.sock, or agent.sock in `$RUNTIME_DIRECTORY`]
    #[arg(long, value_name = "PATH", value_parser = |text: &str| checked(AgentKey::Socket, text))]
    pub socket: Option<String>,
    /// What Prometheus is told.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// What to measure.
    #[command(flatten)]
    pub capture: CaptureArgs,
}

impl AgentArgs {
    /// What was typed.
    #[must_use]
    pub fn words(&self) -> Vec<(AgentKey, &str)> {
        let flag = |given: bool, key, text| given.then_some((key, text));
        let flags = [
            flag(self.no_log, AgentKey::NoLog, "true"),
            flag(self.no_owners, AgentKey::Owners, "false"),
            flag(self.no_sandbox, AgentKey::Sandbox, "false"),
        ];
        let values = [
            (AgentKey::Log, &self.log),
            (AgentKey::Interval, &self.interval),
            (AgentKey::Rows, &self.rows),
            (AgentKey::Top, &self.top),
            (AgentKey::LogFormat, &self.log_format),
            (AgentKey::Compress, &self.compress),
            (AgentKey::RotateSize, &self.rotate_size),
            (AgentKey::RotateTime, &self.rotate_time),
            (AgentKey::KeepFiles, &self.keep_files),
            (AgentKey::KeepAge, &self.keep_age),
            (AgentKey::KeepSize, &self.keep_size),
            (AgentKey::FileMode, &self.file_mode),
            (AgentKey::FileGroup, &self.file_group),
            (AgentKey::Sync, &self.sync),
            (AgentKey::MaxLogFlows, &self.max_log_flows),
            (AgentKey::Socket, &self.socket),
        ];
        let values = values.into_iter().chain(self.metrics.values());
        let typed = values.filter_map(|(key, text)| Some((key, text.as_deref()?)));
        typed.chain(flags.into_iter().flatten()).collect()
    }
}

const INSPECT_EXAMPLES: &str = "Examples:
  flowtally inspect :443                    sockets with this port at either end
  flowtally inspect 812                     the process
  flowtally inspect nginx                   every process of this name
  flowtally inspect '[2001:db8::7]:443'     sockets with this end
  flowtally inspect 10.0.0.5 --seconds 0    sockets and files alone: no measurement, no root";

const DELETED_EXAMPLES: &str = "Columns:
  HELD     space that is free again when no process holds the file; SIZE is its length, with holes
  FD       for `recover --fd`: a descriptor, txt (what it runs), mem:ADDRESS (mapped), cwd, rtd;
           NUMBER@TID is a descriptor in a table that is not the first thread's

Examples:
  flowtally deleted --min-size 100M
  flowtally deleted --by process
  flowtally deleted --format json | jq '.files[] | select(.storage == \"disk\")'";

const RECOVER_EXAMPLES: &str = "Examples:
  flowtally recover --pid 812 --fd 9 --output /mnt/access.log
  flowtally recover --pid 812 --fd txt --output nginx         what the process runs
  flowtally recover --pid 812 --fd mem:7f26b0a00000 --output library.so";

const HISTORY_EXAMPLES: &str = "Examples:
  flowtally history --from 03:00 --to 03:10
  flowtally history --from -2h --by process --by remote --top 10
  flowtally history --from yesterday --to today --port 443 --by remote --format csv
  flowtally history --from 02:00 --to 04:00 --timeline --by port --step 1m
  flowtally history backup/*.zst --timeline --by remote --resolve --format svg --output ticket.svg";

const REPORT_EXAMPLES: &str = "Examples:
  flowtally report --seconds 5
  flowtally report -i 'eth*' --by service --by subnet --top 10
  flowtally report --seconds 60 --format json --output counts.json";

/// What every measuring command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Measuring")]
pub struct CaptureArgs {
    /// Interface to count on, or a pattern such as 'eth*', or 'any'; may be repeated [default: those with a default
    /// route, else the first that is up]
    #[arg(short, long = "interface", value_name = "NAME")]
    pub interfaces: Vec<String>,
    /// IPv4 net that is inside: only packets that cross its boundary count (10.0.0.0/8 or 10.0.0.0/255.0.0.0)
    #[arg(short = 'F', value_name = "NET/MASK", value_parser = Ipv4Boundary::parse)]
    pub net_filter: Option<Ipv4Boundary>,
    /// IPv6 net that is inside
    #[arg(short = 'G', value_name = "NET6/PREFIX", value_parser = Ipv6Boundary::parse)]
    pub net_filter6: Option<Ipv6Boundary>,
    /// Where in the kernel to count: auto (tcx, else clsact), tcx, clsact, xdp (ingress only; egress as auto)
    /// [default: auto]
    #[arg(long, value_name = "HOOK")]
    pub hook: Option<HookChoice>,
    /// Size of each CPU's fast flow table, in flows: a power of two from 1024 to 1048576
    /// [default: 32768, fewer on machines with very many CPUs]
    #[arg(long, value_name = "N", value_parser = slots)]
    pub slots: Option<u32>,
    /// Flows of one second that are kept apart beyond the fast tables; the bytes of more are counted, as untracked
    /// [default: by the host's memory, 16384 to 1048576]
    #[arg(long, value_name = "N", value_parser = max_flows)]
    pub max_flows: Option<u32>,
    /// Count only what matches, in the language of pcap-filter(7): 'host 10.0.0.1 and not port 22', 'src net 10.0.0.0/8
    /// and tcp port 443', 'tcp[tcpflags] & tcp-syn != 0'; docs/filters.md has more
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Count a frame on each interface that it crosses (bridge and port, bond and slave, in and out), not once
    #[arg(long)]
    pub per_interface: bool,
    /// flowtally's configuration, in place of ~/.config/flowtally/config.toml and /etc/flowtally/config.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what the kernel programs log: intervals in which a frame was untracked or could not be parsed; and where open files were
    /// read from
    #[arg(long, short)]
    pub verbose: bool,
    /// Length of an interval, for tests
    #[arg(long, value_name = "MS", default_value_t = TICK_MS, hide = true, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub tick_ms: u64,
}

/// Length of an interval, in milliseconds.
const TICK_MS: u64 = 1000;

/// As if nothing was typed.
impl Default for CaptureArgs {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            net_filter: None,
            net_filter6: None,
            hook: None,
            slots: None,
            max_flows: None,
            filter: None,
            per_interface: false,
            config: None,
            verbose: false,
            tick_ms: TICK_MS,
        }
    }
}

/// A number of flows for the second level.
pub(crate) fn max_flows(text: &str) -> Result<u32, String> {
    const MOST: u32 = 1 << 24;
    text.parse()
        .ok()
        .filter(|flows| (1..=MOST).contains(flows))
        .ok_or_else(|| format!("use a number from 1 to {MOST}"))
}

/// A number of slots for the first level.
pub(crate) fn slots(text: &str) -> Result<u32, String> {
    use flowtally_common::settings::{MAX_SLOTS, MIN_SLOTS};
    text.parse()
        .ok()
        .filter(|slots: &u32| slots.is_power_of_two() && (MIN_SLOTS..=MAX_SLOTS).contains(slots))
        .ok_or_else(|| format!("use a power of two from {MIN_SLOTS} to {MAX_SLOTS}"))
}

/// `flowtally report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// How long to measure
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub seconds: u64,
    /// A table of flow, local, remote, host, port, service, protocol, interface, process, command, user, container, netns or
    /// subnet[/PREFIX]; may be repeated
    /// [default: remote, port and flow]
    #[arg(long, value_name = "GROUPING")]
    pub by: Vec<GroupBy>,
    /// Rows of each table [default: 20 as text, all as JSON and CSV]
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    pub sort: report::ReportSort,
    /// Which way traffic must go to count for order and shares
    #[arg(long, value_enum, default_value_t)]
    pub direction: report::ReportDirection,
    /// Rates in bits or bytes per second (text only; other formats have the unit in the name)
    #[arg(long, value_enum, default_value_t)]
    pub units: Units,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: report::ReportFormat,
    /// Print to a file in place of standard output; what is there is replaced when the report is complete, and a failed run leaves it
    /// as it was (`-`: standard output)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Look up host names (reverse DNS, /etc/hosts) when measuring is over
    #[arg(long)]
    pub resolve: bool,
    /// What to measure.
    #[command(flatten)]
    pub capture: CaptureArgs,
}

/// `flowtally history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Files of a log, or folders [default: the agent's, as the configuration says, else /var/log/flowtally]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// When the time begins [default: with the log]
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// When it ends [default: with the log]
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// A table of flow, local, remote, host, port, service, protocol, interface, process, command, user, container, netns or
    /// subnet[/PREFIX]; may be repeated
    /// [default: process, remote, port and flow, as far as the log has them]
    #[arg(long, value_name = "GROUPING")]
    pub by: Vec<GroupBy>,
    /// Rows of each table [default: 20 as text, all as JSON and CSV]; of a timeline its groups [default: 10]
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    pub sort: history::HistorySort,
    /// Which way traffic must go to count for order and shares
    #[arg(long, value_enum, default_value_t)]
    pub direction: report::ReportDirection,
    /// Rates in bits or bytes per second (text and pictures only; other formats have the unit in the name)
    #[arg(long, value_enum, default_value_t)]
    pub units: Units,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: history::HistoryFormat,
    /// Print to a file in place of standard output; what is there is replaced when the answer is complete, and a failed run leaves it
    /// as it was (`-`: standard output)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Look up host names (reverse DNS, /etc/hosts) when the log is read: they are those of now
    #[arg(long)]
    pub resolve: bool,
    /// Rates over time in place of tables, of everything or (--by, once) of the largest groups
    #[arg(long)]
    pub timeline: bool,
    /// Length of a step of the timeline: 10s, 1m, 1h [default: about 80 steps]
    #[arg(long, value_name = "LENGTH", requires = "timeline", value_parser = history::moment::parse_step)]
    pub step: Option<Duration>,
    /// Which rows count.
    #[command(flatten)]
    pub rows: HistoryRowsArgs,
}

/// Which rows of the log count.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rows")]
pub struct HistoryRowsArgs {
    /// Of this process: a PID or a command, with * and ? for anything; may be repeated, as all of these
    #[arg(long, value_name = "PROCESS")]
    pub process: Vec<String>,
    /// Of this user: a name or a number
    #[arg(long, value_name = "USER")]
    pub user: Vec<String>,
    /// Of this container or systemd unit
    #[arg(long, value_name = "NAME")]
    pub container: Vec<String>,
    /// With this port at either end: 443, https, 53/udp
    #[arg(long, value_name = "PORT")]
    pub port: Vec<String>,
    /// With this address or network at the remote end
    #[arg(long, value_name = "ADDRESS")]
    pub remote: Vec<String>,
    /// On this interface
    #[arg(short, long, value_name = "NAME")]
    pub interface: Vec<String>,
    /// That match, in what pcap-filter(7) has of flows: 'net 10.0.0.0/8 and not port 22', 'outbound and tcp dst port 443'
    /// (outbound was sent, inbound received), 'udp and portrange 5000-5100'; docs/filters.md has more
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Option<String>,
}

/// `flowtally deleted`.
#[derive(Debug, Args)]
pub struct DeletedArgs {
    /// Only files that hold at least this much: bytes, or such as 10K, 1.5M, 2G
    #[arg(long, value_name = "SIZE", default_value = "0", hide_default_value = true, value_parser = files::parse_size)]
    pub min_size: u64,
    /// List what each process holds, in place of files
    #[arg(long, value_enum)]
    pub by: Option<files::DeletedBy>,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    pub sort: files::DeletedSort,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: files::PageFormat,
    /// Say where open files were read from: the kernel's own tables or /proc, and why
    #[arg(long, short)]
    pub verbose: bool,
}

/// `flowtally doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: files::PageFormat,
}

/// `flowtally recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The process that holds the file, or one of its threads
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// Which of its files: a descriptor's number (NUMBER@TID in the table of a thread that has its own), txt (what it runs), or
    /// mem:ADDRESS (what is mapped there, as in /proc/PID/maps; mem alone where only one deleted file is mapped)
    #[arg(long, value_name = "FD")]
    pub fd: Handle,
    /// The new file; there must be none of this name (`-`: standard output)
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// `flowtally inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// :PORT, a PID, a command's name as the kernel has it (else what it begins with), or ADDRESS[:PORT]
    #[arg(value_name = "TARGET")]
    pub target: InspectTarget,
    /// How long to measure; 0 for sockets and files without traffic
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub seconds: u64,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: files::PageFormat,
    /// What to measure; by default loopback too.
    #[command(flatten)]
    pub capture: CaptureArgs,
}

/// iftop's options (iftop(8)).
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct TopArgs {
    /// Text output without a screen
    #[arg(short = 't')]
    pub text: bool,
    /// With -t: print one report after NUM seconds and end
    #[arg(short = 's', value_name = "NUM", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub seconds: Option<u64>,
    /// With -t: pairs of lines to print
    #[arg(short = 'L', value_name = "NUM")]
    pub lines: Option<usize>,
    /// Do not look up host names
    #[arg(short = 'n')]
    pub no_dns: bool,
    /// Ports as numbers, not names
    #[arg(short = 'N')]
    pub no_services: bool,
    /// Show ports
    #[arg(short = 'P')]
    pub ports: bool,
    /// Rates in bytes per second
    #[arg(short = 'B')]
    pub bytes: bool,
    /// Count IPv6 packets from or to link-local addresses too
    #[arg(short = 'l')]
    pub link_local: bool,
    /// Switch the interface to promiscuous mode (accepted; frames that arrive are counted either way)
    #[arg(short = 'p')]
    pub promiscuous: bool,
    /// No bars (without effect with -t)
    #[arg(short = 'b')]
    pub no_bars: bool,
    /// Right end of the bars' scale, such as 100M (without effect with -t)
    #[arg(short = 'm', value_name = "LIMIT")]
    pub max_bandwidth: Option<String>,
    /// Order: 2s, 10s, 40s, source or destination
    #[arg(short = 'o', value_name = "KEY")]
    pub sort: Option<String>,
    /// iftop's configuration file, in place of ~/.iftoprc
    #[arg(short = 'c', value_name = "FILE")]
    pub iftoprc: Option<PathBuf>,
    /// Show what the running `flowtally agent` counts, since it began; nothing is measured for it
    #[arg(long)]
    pub attach: bool,
    /// Show what a log of `flowtally agent` has, from its beginning on: files or folders, compressed and rotated ones alike
    /// [default: the agent's]. Space stops the time, Left and Right step, 0 to 9 jump, + and - change the pace
    #[arg(long, value_name = "FILE", num_args = 0.., conflicts_with = "attach")]
    pub replay: Option<Vec<PathBuf>>,
    /// With --replay: when it begins, as `flowtally history` has it [default: with the log]
    #[arg(long, value_name = "T", requires = "replay", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// With --replay: when it ends [default: with the log]
    #[arg(long, value_name = "T", requires = "replay", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// With --attach: where the agent answers [default: where `flowtally agent status` asks]
    #[arg(long, value_name = "PATH", requires = "attach", value_parser = |text: &str| checked(AgentKey::Socket, text))]
    pub socket: Option<String>,
    /// What to measure.
    #[command(flatten)]
    pub capture: CaptureArgs,
}
