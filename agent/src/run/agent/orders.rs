//! What the agent is told: the command line first, then the configuration.

use std::path::Path;

use crate::{
    agent::settings::{AgentKey, AgentSettings, AgentWords},
    cli::AgentArgs,
    flow::ledger::{Measure, Retention},
    format::Safe,
    host::users,
    iftop::{directive::Directive, resolve::resolve},
    meter::Plan,
    run::{
        Usage,
        settings::{capture, environment, filter_of, own_config, plan, typed_filter},
    },
};

/// What the agent is told to do, by the command line and the configuration.
#[derive(Clone)]
pub(in crate::run) struct AgentOrders {
    /// What it does with what is counted.
    pub(in crate::run) settings: AgentSettings,
    /// What it counts.
    pub(in crate::run) plan: Plan,
    /// The files of the configuration.
    pub(in crate::run) files: Vec<String>,
}

impl AgentOrders {
    /// What of a plan differs from this one and cannot change while it is carried out.
    pub(in crate::run) fn fixed_but(&self, new: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.plan, &new.plan);
        let differ = [
            ("hook", old.hook != new.hook),
            ("slots", old.slots != new.slots),
            ("max-flows", old.max_flows != new.max_flows),
            ("net-filter", old.terms.orientation.boundaries() != new.terms.orientation.boundaries()),
        ];
        differ.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }
}

/// For `flowtally agent`.
pub(in crate::run) fn agent_orders(args: &AgentArgs) -> anyhow::Result<AgentOrders> {
    let typed = args.capture.filter.as_deref().map(typed_filter).transpose()?;
    let own = own_config(args.capture.config.as_deref())?;
    let own_filter =
        own.directives.get(Directive::FilterCode).map(|text| filter_of(text, &own)).transpose()?;
    let (options, _) = resolve(&own.directives);
    let mut words = AgentWords::default();
    for (key, text) in args.words() {
        words.set(key, text).map_err(|error| Usage(format!("--{}: {error}", key.name())))?;
    }
    // What is typed goes first, and has no place.
    let typed_keys: Vec<_> = args.words().into_iter().map(|(key, _)| key).collect();
    let wrong = |key: AgentKey, message: &str| match own.agent_place(key) {
        Some(place) if !typed_keys.contains(&key) => Usage(format!("{place}: {message}")),
        _ => Usage(format!("--{}: {message}", key.name())),
    };
    let settings = words.or(own.agent.clone()).settings(&environment());
    let mut settings = settings.map_err(|conflict| wrong(conflict.key, &conflict.message))?;
    if let Some(name) = &settings.group {
        let no_group = || wrong(AgentKey::FileGroup, &format!("no group is called '{}'", Safe::new(name)));
        settings.log.group = Some(users::group(name).ok_or_else(no_group)?);
    }
    let capture = capture(&args.capture, &own, &options);
    let filter = typed.or(own_filter).flatten();
    let mut plan = plan(&capture, filter, Measure::Frames, Retention::Live, Vec::new());
    plan.aligned = true;
    plan.owners = settings.owners;
    plan.terms.intervals = true;
    Ok(AgentOrders { settings, plan, files: own.files })
}

/// What the agent of this host is told to do, as far as a configuration file says it: the one that is named, else the host's and the user's.
pub(in crate::run) fn host_agent(config: Option<&Path>) -> anyhow::Result<AgentSettings> {
    let own = own_config(config)?;
    Ok(own.agent.settings(&environment()).map_err(|error| Usage(error.to_string()))?)
}
