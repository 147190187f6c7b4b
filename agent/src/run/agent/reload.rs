//! SIGHUP: the configuration is read again, and what can change changes.

use super::{
    Agent,
    log::filter_text,
    orders::{AgentOrders, agent_orders},
};
use crate::{agent::settings::AgentKey, format::Safe};

/// Says it where a filter is applied to flows, which reads some expressions otherwise than libpcap does, and why.
pub(super) fn tell_what_is_judged(orders: &AgentOrders) {
    if let Some(filter) = &orders.plan.terms.filter
        && let Some(why) = filter.why_by_flows()
    {
        let text = Safe::new(filter.text());
        tell!("the capture filter '{text}' is applied to flows, after counting, and not to packets: {why}");
    }
}

impl Agent {
    /// Reads the configuration again. Nothing is lost meanwhile; what is wrong in it is said, and everything stays as it was.
    pub(super) async fn reload(&mut self) {
        self.manager.reloading();
        match agent_orders(&self.args) {
            Ok(orders) => self.change(orders).await,
            Err(error) => tell!("the configuration is left as it was: {error:#}"),
        }
        self.manager.ready("counting");
    }

    async fn change(&mut self, new: AgentOrders) {
        let (settings, mut left) = self.orders.settings.changed_to(&new.settings);
        let mut names: Vec<_> = left.drain(..).map(AgentKey::name).collect();
        names.extend(self.orders.fixed_but(&new));
        let mut changed = AgentOrders { settings, files: new.files.clone(), ..self.orders.clone() };
        if filter_text(&new) != filter_text(&self.orders) {
            // From the next interval on, as far as it has not been closed.
            if let Err(error) = self.meter.set_filter(new.plan.terms.filter.clone()) {
                tell!("the capture filter is left as it was: {error:#}");
            } else {
                changed.plan.terms.filter.clone_from(&new.plan.terms.filter);
                tell_what_is_judged(&changed);
            }
        }
        if new.plan.interfaces != self.orders.plan.interfaces {
            match self.meter.select(&new.plan.interfaces).await {
                Ok(()) => changed.plan.interfaces = new.plan.interfaces,
                Err(error) => tell!("the interfaces are left as they were: {error:#}"),
            }
        }
        if let Some(log) = &mut self.log {
            let is_same = changed.settings.log == self.orders.settings.log;
            if is_same && filter_text(&changed) == filter_text(&self.orders) {
                log.reopen();
            } else {
                log.set(&changed.settings, filter_text(&changed));
            }
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.set(&changed.settings);
        }
        self.facts.set_files(&changed.files);
        self.orders = changed;
        if names.is_empty() {
            tell!("the configuration was read again");
        } else {
            tell!("the configuration was read again; these take a restart: {}", names.join(", "));
        }
    }
}
