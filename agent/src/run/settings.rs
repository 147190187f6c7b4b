//! What the live commands are told: the command line first, then the configuration file.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{Usage, meter::Plan, plan, services};
use crate::{
    cli::TextArgs,
    flow::ledger::{Measure, Retention},
    iftop::{
        config,
        directive::{Directive, Directives},
        options::Options,
        resolve::resolve,
    },
};

/// What the command line and the configuration file say.
pub(super) fn settings(args: &TextArgs) -> anyhow::Result<(Options, Plan)> {
    let mut typed = Directives::default();
    let mut set = |given: bool, directive: Directive, value: &str| {
        if given {
            typed.set(directive, value);
        }
    };
    set(args.text, Directive::NoCurses, "yes");
    set(args.no_dns, Directive::DnsResolution, "no");
    set(args.no_services, Directive::PortResolution, "no");
    set(args.ports, Directive::PortDisplay, "on");
    set(args.bytes, Directive::UseBytes, "yes");
    set(args.link_local, Directive::LinkLocal, "yes");
    set(args.promiscuous, Directive::Promiscuous, "yes");
    set(args.no_bars, Directive::ShowBars, "no");
    for (directive, value) in [
        (Directive::MaxBandwidth, args.max_bandwidth.clone()),
        (Directive::Sort, args.sort.clone()),
        (Directive::FilterCode, args.filter.clone()),
        (Directive::TimedOutput, args.seconds.map(|seconds| seconds.to_string())),
        (Directive::NumLines, args.lines.map(|lines| lines.to_string())),
    ] {
        if let Some(value) = value {
            typed.set(directive, value);
        }
    }
    // What was typed wrong ends the program; what a file has wrong is said, and the default holds.
    if let Some(error) = resolve(&typed).1.first() {
        return Err(Usage(error.to_string()).into());
    }
    let (options, errors) = resolve(&typed.or(config_file(args.config.as_deref())));
    for error in errors {
        say!("flowtally: {error}");
    }
    if let Some(filter) = &options.filter_code {
        return Err(Usage(format!(
            "capture filters are not there yet (-f '{filter}'): choose interfaces with -i, or a network's boundary with -F \
             and -G"
        ))
        .into());
    }
    let mut capture = args.capture.clone();
    capture.net_filter = capture.net_filter.or(options.net_filter);
    capture.net_filter6 = capture.net_filter6.or(options.net_filter6);
    let measure = Measure::IpPackets { link_local: options.link_local };
    let mut plan = plan(&capture, measure, Retention::Live, Vec::new(), services());
    if plan.interfaces.is_empty() {
        plan.interfaces.extend(options.interface.clone());
    }
    let options = Options { net_filter: capture.net_filter, net_filter6: capture.net_filter6, ..options };
    Ok((options, plan))
}

/// The directives of the file named, or of ~/.iftoprc. One that was named and cannot be read is complained about; the run
/// goes on, as iftop does.
fn config_file(named: Option<&Path>) -> Directives {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match env::var_os("HOME") {
            Some(home) => PathBuf::from(home).join(".iftoprc"),
            None => PathBuf::from("iftoprc"),
        },
    };
    let name = path.display().to_string();
    match fs::read(&path) {
        Ok(text) => {
            let (directives, warnings) = config::parse(&String::from_utf8_lossy(&text), &name);
            for warning in warnings {
                say!("{warning}");
            }
            directives
        }
        Err(error) => {
            if named.is_some() {
                say!("flowtally: reading the configuration file {name}: {error}; going on without");
            }
            Directives::default()
        }
    }
}
