//! What the command line and the configuration files say, put together: the command line first, then flowtally's own files,
//! then iftop's.
//!
//! What was typed wrong, and what flowtally's own file has wrong, ends the program. What iftop's file has wrong is said, and the
//! default holds, as iftop does; called as iftop, that goes for its command line too. A capture filter that is not understood
//! always ends the program.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::ZonedDateTime;

use super::Usage;
use crate::{
    agent::settings::{AgentEnvironment, AgentKey, AgentWords},
    cli::{CaptureArgs, TopArgs},
    config::{self, Config},
    filter::{self, Dictionary, Filter, MarkedError},
    flow::{
        group::GroupBy,
        ledger::{Measure, Retention, Terms},
        orient::Orientation,
        row::Counting,
        services::Services,
    },
    format::Safe,
    history::moment::Period,
    host::rights::{self, Distrust},
    iftop::{
        arguments::Arguments,
        config as iftoprc,
        directive::{Directive, Directives},
        options::IftopOptions,
        resolve::resolve,
    },
    kernel::{CompileError, Libpcap},
    meter::{MAX_ROWS, Plan},
};

/// The configuration for everybody on this host.
pub(super) const HOST_CONFIG: &str = "/etc/flowtally/config.toml";

/// For `flowtally` and `flowtally top`.
pub(super) fn settings(args: &TopArgs) -> anyhow::Result<(IftopOptions, Plan)> {
    let typed = directives(args);
    // Before any file: whoever typed something wrong should not read about files first.
    if let Some(error) = resolve(&typed).1.first() {
        return Err(Usage(error.to_string()).into());
    }
    let filter = args.capture.filter.as_deref().map(typed_filter).transpose()?.flatten();
    let own = own_config(args.capture.config.as_deref())?;
    let own_filter =
        own.directives.get(Directive::FilterCode).map(|text| filter_of(text, &own)).transpose()?;
    let (rc, rc_name) = iftop_config(args.iftoprc.as_deref(), "flowtally: ");
    let directives = typed.or(own.directives.clone()).or(rc);
    let (options, errors) = resolve(&directives);
    for error in errors {
        tell!("{rc_name}: {error}");
    }
    let filter = match (&args.capture.filter, own_filter, &options.filter_code) {
        (Some(_), ..) => filter,
        (None, Some(own), _) => own,
        (None, None, Some(text)) => {
            parse_filter(text).map_err(|error| Usage(format!("{rc_name}: filter-code: {error}")))?
        }
        (None, None, None) => None,
    };
    if !options.text_mode && (args.seconds.is_some() || args.lines.is_some()) {
        return Err(Usage("-s and -L are for text output: add -t".to_owned()).into());
    }
    let mut capture = capture(&args.capture, &own, &options);
    if capture.interfaces.is_empty() {
        capture.interfaces.extend(options.interface.clone());
    }
    Ok(live(options, &capture, filter))
}

/// What `--attach` was told.
pub(super) struct AttachOrders {
    /// Where the agent answers.
    pub(super) socket: PathBuf,
    /// Which interfaces count a frame that crosses several, at the start.
    pub(super) counting: Counting,
}

/// Of the options that were given, those that say what is to be measured.
fn measuring(args: &TopArgs) -> Vec<&'static str> {
    let CaptureArgs { interfaces, net_filter, net_filter6, hook, slots, max_flows, filter, verbose, .. } =
        &args.capture;
    let measuring = [
        ("-i", !interfaces.is_empty()),
        ("-f", filter.is_some()),
        ("-F", net_filter.is_some()),
        ("-G", net_filter6.is_some()),
        ("--hook", hook.is_some()),
        ("--slots", slots.is_some()),
        ("--max-flows", max_flows.is_some()),
        ("-v", *verbose),
        ("-l", args.link_local),
        ("-p", args.promiscuous),
    ];
    measuring.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect()
}

/// How to show what somebody else has measured, and the configuration that it was read from.
fn shown(args: &TopArgs) -> anyhow::Result<(IftopOptions, Config)> {
    let typed = directives(args);
    if let Some(error) = resolve(&typed).1.first() {
        return Err(Usage(error.to_string()).into());
    }
    let own = own_config(args.capture.config.as_deref())?;
    let (rc, rc_name) = iftop_config(args.iftoprc.as_deref(), "flowtally: ");
    let (options, errors) = resolve(&typed.or(own.directives.clone()).or(rc));
    for error in errors {
        tell!("{rc_name}: {error}");
    }
    let options = IftopOptions {
        interface: None,
        filter_code: None,
        net_filter: None,
        net_filter6: None,
        link_local: true,
        text_mode: false,
        ..options
    };
    Ok((options, own))
}

/// For `flowtally --attach`: how to show it. What the agent measures is not for the screen to say.
pub(super) fn attach_settings(args: &TopArgs) -> anyhow::Result<(IftopOptions, AttachOrders)> {
    let given = measuring(args);
    if !given.is_empty() {
        return Err(Usage(format!(
            "{} and --attach do not go together: the agent measures, as its configuration says; the keys i and l show less of it",
            given.join(", ")
        ))
        .into());
    }
    if args.text || args.seconds.is_some() || args.lines.is_some() {
        return Err(Usage("--attach is for the screen: -t, -s and -L measure on their own".to_owned()).into());
    }
    let (options, own) = shown(args)?;
    let mut words = AgentWords::default();
    if let Some(socket) = &args.socket {
        words.set(AgentKey::Socket, socket).map_err(Usage)?;
    }
    let socket =
        words.or(own.agent).settings(&environment()).map_err(|error| Usage(error.to_string()))?.socket;
    let counting = if args.capture.per_interface { Counting::PerInterface } else { Counting::Once };
    Ok((options, AttachOrders { socket, counting }))
}

/// What `--replay` was told.
pub(super) struct ReplayOrders {
    /// Files and folders.
    pub(super) paths: Vec<PathBuf>,
    /// The time of the log that is shown.
    pub(super) period: Period,
}

/// For `flowtally --replay`: how to show it. What was measured is in the log.
pub(super) fn replay_settings(args: &TopArgs) -> anyhow::Result<(IftopOptions, ReplayOrders)> {
    let mut given = measuring(args);
    if args.capture.per_interface {
        given.push("--per-interface");
    }
    if !given.is_empty() {
        return Err(Usage(format!(
            "{} and --replay do not go together: the log has what was measured; the keys i and l show less of it, \
             and `flowtally history -f` asks it",
            given.join(", ")
        ))
        .into());
    }
    if args.text || args.seconds.is_some() || args.lines.is_some() {
        return Err(Usage(
            "--replay is for the screen: -t, -s and -L measure; `flowtally history` prints what a log has"
                .to_owned(),
        )
        .into());
    }
    let period = Period::parse(args.from.as_deref(), args.to.as_deref(), &ZonedDateTime::now())
        .map_err(|error| Usage(error.to_string()))?;
    let (options, own) = shown(args)?;
    let mut paths = args.replay.clone().unwrap_or_default();
    if paths.is_empty() {
        let agent = own.agent.settings(&environment()).map_err(|error| Usage(error.to_string()))?;
        paths.push(agent.log.folder);
    }
    Ok((options, ReplayOrders { paths, period }))
}

/// For a link named iftop: its own configuration file alone, and no error but that of the capture filter.
pub(super) fn iftop_settings(arguments: Arguments) -> anyhow::Result<(IftopOptions, Plan)> {
    let (rc, _) = iftop_config(arguments.config.as_deref(), "");
    let (options, errors) = resolve(&arguments.directives.or(rc));
    for error in errors {
        say!("{error}");
    }
    let options = IftopOptions { cut_ends: true, ..options };
    let filter = match &options.filter_code {
        Some(text) => parse_filter(text).map_err(|error| Usage(format!("set_filter_code: {error}")))?,
        None => None,
    };
    let capture = CaptureArgs {
        interfaces: options.interface.iter().cloned().collect(),
        net_filter: options.net_filter,
        net_filter6: options.net_filter6,
        ..CaptureArgs::default()
    };
    Ok(live(options, &capture, filter))
}

/// For `flowtally report`: of the configuration, what is to be measured.
pub(super) fn report_plan(args: &CaptureArgs, groups: Vec<GroupBy>) -> anyhow::Result<Plan> {
    let typed = args.filter.as_deref().map(typed_filter).transpose()?;
    let own = own_config(args.config.as_deref())?;
    let own_filter =
        own.directives.get(Directive::FilterCode).map(|text| filter_of(text, &own)).transpose()?;
    let (options, _) = resolve(&own.directives);
    let filter = typed.or(own_filter).flatten();
    Ok(plan(&capture(args, &own, &options), filter, Measure::Frames, Retention::Run, groups))
}

/// What systemd says of a unit's folders: the first of each list (systemd.exec(5)).
pub(super) fn environment() -> AgentEnvironment {
    let folder = |name| {
        let list = env::var(name).ok()?;
        let first = list.split(':').next().filter(|first| first.starts_with('/'))?;
        Some(PathBuf::from(first))
    };
    AgentEnvironment { logs: folder("LOGS_DIRECTORY"), runtime: folder("RUNTIME_DIRECTORY") }
}

/// The names that a capture filter may use.
pub(super) fn dictionary() -> Dictionary {
    let [hosts, services, protocols] = ["/etc/hosts", "/etc/services", "/etc/protocols"].map(table);
    Dictionary::from_tables(&hosts, &services, &protocols)
}

/// Names of services; a host without the file has none.
pub(super) fn services() -> Services {
    Services::parse(&fs::read("/etc/services").unwrap_or_default())
}

fn table(path: &str) -> String {
    // A file may have comments in any encoding; names that a filter can have are text.
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// A filter on packets, compiled by libpcap; where that cannot be had, one on flows, if they can answer it.
///
/// # Errors
/// What neither takes.
pub(super) fn parse_filter(text: &str) -> Result<Option<Filter>, MarkedError> {
    let marked = |message, column| MarkedError { message, text: text.to_owned(), column };
    let refusal = match Libpcap::get() {
        Ok(pcap) => match pcap.judge(text) {
            Ok(judge) => return Ok(judge.map(|judge| Filter::by_packets(text, Some(judge)))),
            Err(CompileError::Refused(error)) => {
                let refusal = |text: &str| pcap.judge(text).err().map(|error| error.to_string());
                let column = filter::column_of(text, &error, refusal);
                return Err(marked(error, column));
            }
            Err(error @ CompileError::NoCapture(_)) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    match Filter::parse(text, &dictionary()) {
        Ok(filter) => Ok(filter.map(|filter| filter.because(refusal))),
        // What libpcap would have taken.
        Err(error) if error.is_beyond_flows() => Err(marked(refusal, Some(error.column))),
        Err(error) => Err(error.marked(text)),
    }
}

pub(super) fn typed_filter(text: &str) -> Result<Option<Filter>, Usage> {
    parse_filter(text).map_err(|error| Usage(format!("-f: {error}")))
}

/// The filter of flowtally's own configuration.
pub(super) fn filter_of(text: &str, own: &Config) -> Result<Option<Filter>, Usage> {
    parse_filter(text).map_err(|error| {
        let place = own.place(Directive::FilterCode).map(ToString::to_string).unwrap_or_default();
        Usage(format!("{place}: {error}"))
    })
}

/// What `flowtally top` was told, as directives. Values that clap has parsed are not among them.
fn directives(args: &TopArgs) -> Directives {
    let mut typed = Directives::default();
    for (given, directive, value) in [
        (args.no_dns, Directive::DnsResolution, "no"),
        (args.no_services, Directive::PortResolution, "no"),
        (args.ports, Directive::PortDisplay, "on"),
        (args.bytes, Directive::UseBytes, "yes"),
        (args.link_local, Directive::LinkLocal, "yes"),
        (args.promiscuous, Directive::Promiscuous, "yes"),
        (args.no_bars, Directive::ShowBars, "no"),
        (args.text, Directive::NoCurses, "yes"),
    ] {
        if given {
            typed.set(directive, value);
        }
    }
    for (directive, value) in [
        (Directive::MaxBandwidth, args.max_bandwidth.clone()),
        (Directive::Sort, args.sort.clone()),
        (Directive::FilterCode, args.capture.filter.clone()),
        (Directive::TimedOutput, args.seconds.map(|seconds| seconds.to_string())),
        (Directive::NumLines, args.lines.map(|lines| lines.to_string())),
    ] {
        if let Some(value) = value {
            typed.set(directive, value);
        }
    }
    typed
}

/// What to measure: what was typed, then the configuration. The filter is not part of it, for it has been parsed.
pub(super) fn capture(typed: &CaptureArgs, own: &Config, options: &IftopOptions) -> CaptureArgs {
    let interfaces = if typed.interfaces.is_empty() { own.interfaces.clone() } else { None };
    CaptureArgs {
        interfaces: interfaces.unwrap_or_else(|| typed.interfaces.clone()),
        net_filter: typed.net_filter.or(options.net_filter),
        net_filter6: typed.net_filter6.or(options.net_filter6),
        hook: typed.hook.or(own.hook),
        slots: typed.slots.or(own.slots),
        max_flows: typed.max_flows.or(own.max_flows),
        ..typed.clone()
    }
}

/// Options and plan of a live view.
fn live(options: IftopOptions, capture: &CaptureArgs, filter: Option<Filter>) -> (IftopOptions, Plan) {
    let measure = Measure::IpPackets { link_local: options.link_local };
    let options = IftopOptions {
        filter_code: filter.as_ref().map(|filter| filter.text().to_owned()),
        net_filter: capture.net_filter,
        net_filter6: capture.net_filter6,
        ..options
    };
    (options, plan(capture, filter, measure, Retention::Live, Vec::new()))
}

pub(super) fn plan(
    capture: &CaptureArgs,
    filter: Option<Filter>,
    measure: Measure,
    retention: Retention,
    groups: Vec<GroupBy>,
) -> Plan {
    Plan {
        interfaces: capture.interfaces.clone(),
        hook: capture.hook.unwrap_or_default(),
        slots: capture.slots,
        max_flows: capture.max_flows,
        verbose: capture.verbose,
        owners: true,
        loopbacks: false,
        aligned: false,
        terms: Terms {
            measure,
            counting: if capture.per_interface { Counting::PerInterface } else { Counting::Once },
            retention,
            groups,
            intervals: false,
            max_rows: MAX_ROWS,
            orientation: Orientation::with_boundary(capture.net_filter, capture.net_filter6),
            filter,
            services: services(),
            tick: Duration::from_millis(capture.tick_ms),
        },
    }
}

/// flowtally's own configuration: the file named, or the user's and then the host's.
pub(super) fn own_config(named: Option<&Path>) -> anyhow::Result<Config> {
    let paths = match named {
        Some(path) => vec![path.to_owned()],
        None => user_config().into_iter().chain([PathBuf::from(HOST_CONFIG)]).collect(),
    };
    let mut all = Config::default();
    let mut problems = Vec::new();
    for path in paths {
        let name = Safe::os(&path).to_string();
        let text = match rights::read_config(&path).and_then(text_of) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => continue,
            // Another user's home, or another user's file in it, as sudo(8) and setpriv(1) leave it in the environment.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && named.is_none() => {
                tell!("the configuration file {name} is left out: {}", reason(&error));
                continue;
            }
            Err(error) => {
                return Err(Usage(format!("reading the configuration file {name}: {error}")).into());
            }
        };
        let (mut config, wrong) = config::parse(&text, &name);
        if let (Some((_, place)), false) = (&config.show_other_users, path == Path::new(HOST_CONFIG)) {
            problems.push(format!("{place}: only {HOST_CONFIG} can say this"));
        }
        config.files.push(name.clone());
        all = all.or(config);
        problems.extend(wrong.iter().map(ToString::to_string));
    }
    if problems.is_empty() { Ok(all) } else { Err(Usage(problems.join("\n")).into()) }
}

fn is_distrust(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Distrust>)
}

/// A file's text, which is UTF-8.
fn text_of(bytes: Vec<u8>) -> std::io::Result<String> {
    String::from_utf8(bytes).map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error.utf8_error()))
}

/// Where the user's configuration is, as the XDG Base Directory Specification has it: a relative path counts as none.
fn user_config() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(folder.join("flowtally/config.toml"))
}

/// The directives of the file named, or of ~/.iftoprc, and its name. One that was named and cannot be read is complained
/// about, after `prefix`; the run goes on, as iftop does.
fn iftop_config(named: Option<&Path>, prefix: &str) -> (Directives, String) {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match env::var_os("HOME") {
            Some(home) => PathBuf::from(home).join(".iftoprc"),
            None => PathBuf::from("iftoprc"),
        },
    };
    let name = Safe::os(&path).to_string();
    let directives = match rights::read_config(&path) {
        Ok(text) => {
            let (directives, warnings) = iftoprc::parse(&String::from_utf8_lossy(&text), &name);
            for warning in warnings {
                say!("{prefix}{warning}");
            }
            directives
        }
        Err(error) => {
            // What is not there, or may not be read, in a home is no matter; what somebody else may have written is.
            if named.is_some() || is_distrust(&error) {
                say!("{prefix}{name}: {}", reason(&error));
            }
            Directives::default()
        }
    };
    (directives, name)
}

/// The system's words for an error, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        iftop::options::PairOrder,
        model::hook::HookChoice,
        run::agent::orders::{AgentOrders, agent_orders},
    };

    /// Files that a command line names.
    struct Files(TempDir);

    impl Files {
        fn new(own: &str, iftoprc: &str) -> Self {
            let files = Self(TempDir::new().unwrap());
            fs::write(files.path("config.toml"), own).unwrap();
            fs::write(files.path("iftoprc"), iftoprc).unwrap();
            files
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// A command line with these files in it.
        fn line(&self, line: &str) -> Cli {
            let config = self.path("config.toml").display().to_string();
            let words = ["flowtally"].into_iter().chain(line.split_whitespace());
            Cli::try_parse_from(words.chain(["--config", &config])).unwrap()
        }

        fn top(&self, line: &str) -> anyhow::Result<(IftopOptions, Plan)> {
            let args = self.line(line).top;
            settings(&TopArgs { iftoprc: Some(self.path("iftoprc")), ..args })
        }

        fn agent(&self, line: &str) -> anyhow::Result<AgentOrders> {
            match self.line(&format!("agent {line}")).command {
                Some(Command::Agent(args)) => agent_orders(&args),
                other => panic!("{other:?}"),
            }
        }

        fn report(&self, line: &str) -> anyhow::Result<Plan> {
            match self.line(&format!("report {line}")).command {
                Some(Command::Report(args)) => report_plan(&args.capture, args.by),
                other => panic!("{other:?}"),
            }
        }
    }

    fn error<T>(result: anyhow::Result<T>) -> String {
        let Err(error) = result else { panic!("no error") };
        assert!(error.is::<Usage>(), "{error:?} is not of the usage");
        error.to_string()
    }

    #[test]
    fn the_command_line_comes_before_the_own_file_and_that_before_iftops() {
        let files = Files::new(
            "[capture]\ninterfaces = [\"eth1\"]\nhook = \"clsact\"\nslots = 2048\n[screen]\nsort = \"40s\"\nuse-bytes = true\n",
            "sort: source\nmax-bandwidth: 10M\ninterface: eth2\n",
        );
        let (options, plan) = files.top("").unwrap();
        assert_eq!(
            (plan.interfaces, plan.hook, plan.slots),
            (vec!["eth1".to_owned()], HookChoice::Clsact, Some(2048))
        );
        assert_eq!(
            (options.sort, options.use_bytes, options.max_bandwidth),
            (PairOrder::FortySeconds, true, Some(10 << 20))
        );
        let (options, plan) = files.top("-i eth0 -o 2s --slots 4096").unwrap();
        assert_eq!(
            (plan.interfaces, plan.slots, options.sort),
            (vec!["eth0".to_owned()], Some(4096), PairOrder::TwoSeconds)
        );
        // Iftop's file names an interface where nobody else does.
        let (_, plan) = Files::new("", "interface: eth2\n").top("").unwrap();
        assert_eq!(plan.interfaces, ["eth2"]);
        let plan = files.report("--slots 8192").unwrap();
        assert_eq!((plan.interfaces, plan.slots), (vec!["eth1".to_owned()], Some(8192)));
    }

    #[test]
    fn the_nearest_filter_holds() {
        let files = Files::new("[capture]\nfilter-code = \"udp\"\n", "filter-code: icmp\n");
        let text = |plan: Plan| plan.terms.filter.map(|filter| filter.text().to_owned());
        assert_eq!(text(files.top("-f tcp").unwrap().1).as_deref(), Some("tcp"));
        assert_eq!(text(files.top("").unwrap().1).as_deref(), Some("udp"));
        assert_eq!(text(Files::new("", "filter-code: icmp\n").top("").unwrap().1).as_deref(), Some("icmp"));
        assert_eq!(text(files.report("").unwrap()).as_deref(), Some("udp"));
        assert_eq!(text(files.agent("-f arp").unwrap().plan).as_deref(), Some("arp"));
        assert_eq!(text(files.agent("").unwrap().plan).as_deref(), Some("udp"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let good = Files::new("", "");
        assert!(error(good.top("-f nonsense(")).starts_with("-f: "));
        assert_eq!(error(good.top("-s 3")), "-s and -L are for text output: add -t");
        let filter = Files::new("[capture]\nfilter-code = \"nonsense(\"\n", "");
        let place = filter.path("config.toml").display().to_string();
        for message in [error(filter.top("")), error(filter.report("")), error(filter.agent(""))] {
            assert!(message.starts_with(&place), "{message}");
        }
        // A filter that was typed does not make a wrong one right.
        assert!(error(filter.top("-f tcp")).starts_with(&place));
        let key = Files::new("[screen]\nsort = \"sideways\"\nbars = 1\n", "");
        let message = error(key.top(""));
        assert!(
            message.lines().count() == 2 && message.contains("sideways") && message.contains("bars"),
            "{message}"
        );
        let wrong_filter = error(Files::new("", "filter-code: nonsense(\n").top(""));
        assert!(wrong_filter.contains("iftoprc: filter-code: "), "{wrong_filter}");
        let gone = Files::new("", "");
        fs::remove_file(gone.path("config.toml")).unwrap();
        assert!(error(gone.report("")).contains("reading the configuration file"));
        let binary = Files::new("", "");
        fs::write(binary.path("config.toml"), [0xff, 0xfe]).unwrap();
        assert!(error(binary.report("")).contains("invalid utf-8"));
        let other = Files::new("[security]\nshow-other-users = true\n", "");
        assert!(error(other.report("")).contains(&format!("only {HOST_CONFIG} can say this")));
    }

    #[test]
    fn what_iftops_file_has_wrong_leaves_the_default() {
        let (options, _) = Files::new("", "sort: sideways\nuse-bytes: yes\n").top("").unwrap();
        assert_eq!((options.sort, options.use_bytes), (IftopOptions::default().sort, true));
    }

    #[test]
    fn the_agents_flags_come_before_its_file() {
        let files = Files::new(
            "[agent]\ninterval = \"30s\"\ntop = 5\nowners = false\nfile-group = \"root\"\n[capture]\nhook = \"clsact\"\n",
            "",
        );
        let orders = files.agent("--interval 1m --log /tmp/elsewhere -i lo").unwrap();
        let log = &orders.settings.log;
        assert_eq!((log.interval, log.top, log.group), (Duration::from_mins(1), Some(5), Some(0)));
        assert_eq!(log.folder, Path::new("/tmp/elsewhere"));
        assert!(orders.plan.aligned && orders.plan.terms.intervals && !orders.plan.owners);
        assert_eq!(orders.plan.terms.retention, Retention::Live);
        assert_eq!(orders.files, [files.path("config.toml").display().to_string()]);
        let again = files.agent("--interval 1m --hook xdp -F 10.0.0.0/8").unwrap();
        assert_eq!(orders.fixed_but(&again), ["hook", "net-filter"]);
        assert!(orders.fixed_but(&orders).is_empty());
        let group = Files::new("[agent]\nfile-group = \"no such group\"\n", "");
        let place = format!("{}:2:14", group.path("config.toml").display());
        assert_eq!(
            error(group.agent("")),
            format!("{place}: agent.file-group: no group is called 'no such group'")
        );
    }

    #[test]
    fn a_report_counts_frames_and_a_screen_packets_of_ip() {
        let files = Files::new("[capture]\nlink-local = true\n", "");
        let (_, plan) = files.top("").unwrap();
        assert_eq!(plan.terms.measure, Measure::IpPackets { link_local: true });
        assert_eq!(plan.terms.retention, Retention::Live);
        let plan = files.report("--by port --per-interface").unwrap();
        assert_eq!((plan.terms.measure, plan.terms.retention), (Measure::Frames, Retention::Run));
        assert_eq!((plan.terms.counting, plan.terms.groups), (Counting::PerInterface, vec![GroupBy::Port]));
    }

    #[test]
    fn an_attached_screen_measures_nothing() {
        let files = Files::new("[agent]\nsocket = \"/run/one.sock\"\n[screen]\nsort = \"2s\"\n", "");
        let attach = |line: &str| attach_settings(&files.line(&format!("--attach {line}")).top);
        let (options, orders) = attach("").unwrap();
        assert_eq!((options.sort, orders.socket), (PairOrder::TwoSeconds, PathBuf::from("/run/one.sock")));
        assert_eq!((options.filter_code, orders.counting), (None, Counting::Once));
        let (_, orders) = attach("--socket /run/other.sock --per-interface").unwrap();
        assert_eq!(
            (orders.socket, orders.counting),
            (PathBuf::from("/run/other.sock"), Counting::PerInterface)
        );
        let message = error(attach("-i eth0 -f tcp --slots 4096"));
        assert!(message.starts_with("-i, -f, --slots and --attach do not go together"), "{message}");
        assert!(error(attach("-t")).starts_with("--attach is for the screen"));
    }
}
