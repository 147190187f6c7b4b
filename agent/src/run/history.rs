//! `flowtally history`.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use jiff::{ZonedDateTime, tz::TimeZone};
use tokio::task::spawn_blocking;

use super::{
    Usage,
    agent::orders::host_agent,
    report::{look_up, resolver},
    settings::{dictionary, services},
    target,
};
use crate::{
    cli::{HistoryArgs, HistoryRowsArgs},
    filter::{Dictionary, Filter},
    flow::{group::GroupBy, names::Names},
    format::Safe,
    history::{
        self, HistoryFormat, HistorySort,
        answer::LogAnswer,
        moment::Period,
        place::{Chosen, choose},
        question::{ChoiceError, LogQuestion, NamePattern, RowSelection, parse_port, parse_remote},
        reading::granularities,
        timeline::{TimelineOptions, reading_step, write_timeline},
    },
    host::{logs, rights, shutdown::Shutdown},
    log::Granularity,
    report::{self, ReportContext, ReportRequest, ReportSort},
};

/// The tables when none is asked for, as far as the log has them.
const TABLES: [GroupBy; 4] = [GroupBy::Process, GroupBy::Remote, GroupBy::Port, GroupBy::Flow];
/// The same of CSV, which has one.
const CSV: [GroupBy; 7] = [
    GroupBy::Flow,
    GroupBy::Process,
    GroupBy::Remote,
    GroupBy::Port,
    GroupBy::Container,
    GroupBy::User,
    GroupBy::Interface,
];

/// Reads, then prints.
pub(super) async fn history(args: HistoryArgs) -> anyhow::Result<()> {
    // Files are opened as their user may, whatever rights the program has for measuring.
    rights::give_up().context("giving up the rights of the program's file")?;
    let now = ZonedDateTime::now();
    let question = question(&args, &now)?;
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    // What cannot be written must be found before a log of gigabytes is read, not after.
    let target = target::of_report(args.output.as_deref(), &mut shutdown).await?;
    let resolver = args.resolve.then(|| resolver(true));
    let width = target::width(target.as_ref());
    // On a thread of its own, for a request to stop ends it wherever it is.
    let read = spawn_blocking(move || read(&args, question, &now, width));
    let mut answered = shutdown.unless_requested(read).await?.context("reading the log")??;
    if let Some(mut resolver) = resolver {
        look_up(&mut resolver, &mut answered.names, &answered.answer.snapshot, &answered.request).await;
    }
    if target.is_some() {
        return target::write("the answer", target, |out| answered.write(out));
    }
    let print = spawn_blocking(move || target::write("the answer", None, |out| answered.write(out)));
    shutdown.unless_requested(print).await?.context("writing the answer")?
}

/// The answer, and how it is to be printed.
struct Answered {
    answer: LogAnswer,
    request: ReportRequest,
    names: Names,
    timeline: Option<TimelineOptions>,
    format: HistoryFormat,
    resolve: bool,
    width: usize,
    zone: TimeZone,
}

impl Answered {
    fn write(&self, out: impl Write) -> io::Result<()> {
        let Self { answer, request, names, timeline, format, resolve, width, zone } = self;
        let context =
            ReportContext { started: SystemTime::UNIX_EPOCH, names, resolve: *resolve, width: *width };
        match timeline {
            Some(options) => write_timeline(out, *format, answer, options, request, &context, zone),
            None => history::write_tables(out, *format, answer, request, &context, zone),
        }
    }
}

/// Reads the files that are worth it.
fn read(
    args: &HistoryArgs,
    question: LogQuestion,
    now: &ZonedDateTime,
    width: usize,
) -> anyhow::Result<Answered> {
    let (chosen, question) = choose_files(args, question, now)?;
    for path in &chosen.twice {
        tell!("{} is left out: it is there without compression as well", Safe::os(path));
    }
    let tally = logs::read(&chosen, &question)?;
    let answer = LogAnswer::new(tally, &question, chosen.outside, now.time_zone())?;
    let timeline = question.step.map(|step| TimelineOptions {
        step,
        fit: args.step.is_none(),
        offset: question.step_offset,
        by: args.by.first().copied(),
    });
    Ok(Answered {
        answer,
        request: request(args, &question.by),
        names: Names { services: question.services, ..Names::default() },
        timeline,
        format: args.format,
        resolve: args.resolve,
        width,
        zone: now.time_zone().clone(),
    })
}

/// The files that are worth opening, and the question with the tables that they can answer.
fn choose_files(
    args: &HistoryArgs,
    mut question: LogQuestion,
    now: &ZonedDateTime,
) -> anyhow::Result<(Chosen, LogQuestion)> {
    let paths = if args.files.is_empty() { vec![host_agent(None)?.log.folder] } else { args.files.clone() };
    let chosen = choose(logs::list(&paths)?, &question.period);
    if args.timeline {
        let step = args.step.unwrap_or_else(|| reading_step(time(&question.period, &chosen, now)));
        question.step = Some(i64::try_from(step.as_millis()).unwrap_or(i64::MAX));
        question.step_offset = i64::from(now.offset().seconds()) * 1000;
        if question.by.is_empty() {
            // Whatever rows there are say of which interface they are.
            question.by = vec![GroupBy::Interface];
        }
    }
    if question.by.is_empty() {
        let has = match chosen.files.last() {
            Some(file) => granularities(&logs::beginning(file)?),
            None => Vec::new(),
        };
        question.by = tables(args.format, &question, &has);
    }
    Ok((chosen, question))
}

/// How long the time is that was asked about, as far as that is known before anything is read.
fn time(period: &Period, chosen: &Chosen, now: &ZonedDateTime) -> Duration {
    let begun = || chosen.files.iter().filter_map(|file| Some(file.place.as_ref()?.begun)).min();
    let from = period.from.or_else(begun).unwrap_or(now.timestamp());
    let to = period.to.unwrap_or(now.timestamp()).min(now.timestamp());
    to.duration_since(from).try_into().unwrap_or_default()
}

/// The tables when none is asked for.
fn tables(format: HistoryFormat, question: &LogQuestion, has: &[Granularity]) -> Vec<GroupBy> {
    let (wanted, most) =
        if format == HistoryFormat::Csv { (&CSV[..], 1) } else { (&TABLES[..], TABLES.len()) };
    let answered = |wanted: &[GroupBy], most| {
        wanted.iter().copied().filter(|by| question.source(*by, has).is_ok()).take(most).collect::<Vec<_>>()
    };
    let tables = answered(wanted, most);
    // A log of users alone has a table too; of one that has none the error says it.
    let any = if tables.is_empty() { answered(&CSV, 1) } else { tables };
    if any.is_empty() { vec![GroupBy::Flow] } else { any }
}

fn question(args: &HistoryArgs, now: &ZonedDateTime) -> anyhow::Result<LogQuestion> {
    let usage = |error: &dyn std::error::Error| Usage(error.to_string());
    let period =
        Period::parse(args.from.as_deref(), args.to.as_deref(), now).map_err(|error| usage(&error))?;
    let select = selection(&args.rows, &dictionary()).map_err(|error| usage(&error))?;
    if args.timeline && args.by.len() > 1 {
        return Err(Usage("--timeline is by one thing: use --by once".to_owned()).into());
    }
    if args.format == HistoryFormat::Svg && !args.timeline {
        return Err(
            Usage("--format svg is a picture of rates over time: use it with --timeline".to_owned()).into()
        );
    }
    Ok(LogQuestion { period, by: args.by.clone(), select, services: services(), ..LogQuestion::default() })
}

fn selection(args: &HistoryRowsArgs, names: &Dictionary) -> Result<RowSelection, ChoiceError> {
    let patterns = |option, texts: &[String]| -> Result<Vec<NamePattern>, ChoiceError> {
        texts.iter().map(|text| NamePattern::parse(option, text)).collect()
    };
    let filter = args
        .filter
        .as_ref()
        .map(|text| Filter::parse(text, names).map_err(|error| ChoiceError::Filter(error.marked(text))));
    Ok(RowSelection {
        processes: patterns("--process", &args.process)?,
        users: patterns("--user", &args.user)?,
        containers: patterns("--container", &args.container)?,
        interfaces: patterns("--interface", &args.interface)?,
        ports: args.port.iter().map(|text| parse_port(text, names)).collect::<Result<_, _>>()?,
        remotes: args.remote.iter().map(|text| parse_remote(text, names)).collect::<Result<_, _>>()?,
        filter: filter.transpose()?.flatten(),
    })
}

fn request(args: &HistoryArgs, by: &[GroupBy]) -> ReportRequest {
    ReportRequest {
        by: by.to_vec(),
        top: args.top,
        sort: match args.sort {
            HistorySort::Bytes => ReportSort::Bytes,
            HistorySort::Packets => ReportSort::Packets,
            HistorySort::Peak => ReportSort::Peak,
        },
        direction: args.direction,
        units: args.units,
        format: match args.format {
            HistoryFormat::Json => report::ReportFormat::Json,
            HistoryFormat::Csv => report::ReportFormat::Csv,
            HistoryFormat::Text | HistoryFormat::Svg => report::ReportFormat::Text,
        },
    }
}
