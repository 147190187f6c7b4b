//! The command line, as it is typed. No logic: what the words mean is decided where they are used.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    files,
    flow::{
        boundary::{Ipv4Boundary, Ipv6Boundary},
        group::GroupBy,
    },
    inspect::Target,
    kernel::HookChoice,
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
pub enum Command {
    /// Show who uses the network, live (the same as without a command)
    ///
    /// The options are iftop's, and so are the keys. With -t: iftop's text reports.
    Top(TopArgs),
    /// Measure for a while, then print the top talkers
    ///
    /// Tables of who used the network, then how the counts compare with the interfaces' own counters. Ctrl-C ends the
    /// measurement early, and still prints.
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

const INSPECT_EXAMPLES: &str = "Examples:
  flowtally inspect :443                    sockets with this port at either end
  flowtally inspect 812                     the process
  flowtally inspect nginx                   every process of this name
  flowtally inspect '[2001:db8::7]:443'     sockets with this end
  flowtally inspect 10.0.0.5 --seconds 0    sockets and files alone: measures nothing, and needs no root";

const DELETED_EXAMPLES: &str = "Columns:
  HELD     what is free when nobody holds the file any more; SIZE is its length, holes included
  FD       as --fd of `flowtally recover` takes it: a descriptor, txt (it is run), mem:ADDRESS (mapped), cwd, rtd

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
  flowtally history --timeline --by remote --resolve --format svg --output ticket.svg
  flowtally history backup/*.zst -f 'net 10.0.0.0/8 and not port 22'";

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
    /// Count only what matches, in the language of pcap-filter(7): 'host 10.0.0.1 and not port 22'
    #[arg(short, long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// flowtally's configuration, in place of ~/.config/flowtally/config.toml and /etc/flowtally/config.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what the kernel programs log: intervals in which a frame was untracked or could not be parsed
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
    pub units: report::Units,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: report::Format,
    /// Print to a file in place of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Look up host names (reverse DNS, /etc/hosts) when measuring is over
    #[arg(long)]
    pub resolve: bool,
    /// What to measure.
    #[command(flatten)]
    pub capture: CaptureArgs,
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
    pub format: files::Format,
}

/// `flowtally recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The process that holds the file
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// Which of its files: a descriptor's number, txt (what it runs), or mem:ADDRESS (what is mapped there, as in
    /// /proc/PID/maps; mem alone where only one deleted file is mapped)
    #[arg(long, value_name = "FD")]
    pub fd: files::Handle,
    /// The new file; there must be none of this name
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
