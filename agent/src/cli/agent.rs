//! Parts of the command line of `flowtally agent`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    agent::settings::{AgentKey, AgentWords},
    files,
};

/// What an agent that runs can be asked for.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Show how the running agent is doing: interfaces, tables, log, memory, what is degraded
    Status(StatusArgs),
}

/// `flowtally agent status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: files::PageFormat,
    /// Where the agent can be asked [default: as the configuration says, else /run/flowtally/agent.sock, or agent.sock in `$RUNTIME_DIRECTORY`]
    #[arg(long, value_name = "PATH", value_parser = |text: &str| checked(AgentKey::Socket, text))]
    pub socket: Option<String>,
    /// The configuration that says where, in place of ~/.config/flowtally/config.toml and /etc/flowtally/config.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A value of a key of the agent, which is read where all of them are.
pub(super) fn checked(key: AgentKey, text: &str) -> Result<String, String> {
    AgentWords::default().set(key, text)?;
    Ok(text.to_owned())
}

/// What Prometheus is told.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Answer Prometheus at this address, such as 127.0.0.1:9925 [default: none, which is nowhere]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = |text: &str| checked(AgentKey::Metrics, text))]
    pub metrics: Option<String>,
    /// Metrics of process, remote, port, container, user, with commas; none: of interfaces alone [default: process]
    #[arg(long, value_name = "LIST", value_parser = |text: &str| checked(AgentKey::MetricsBy, text))]
    pub metrics_by: Option<String>,
    /// Metrics of at most N of each kind by name, and of the others in one [default: 100]
    #[arg(long, value_name = "N", value_parser = |text: &str| checked(AgentKey::MetricsTop, text))]
    pub metrics_top: Option<String>,
    /// How long one keeps its metrics that is not among the largest any more, 1m to 30d [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| checked(AgentKey::MetricsRetention, text))]
    pub metrics_retention: Option<String>,
    /// File with the token (or USER:PASSWORD) that whoever asks for metrics has to have; none: nobody has to have any [default: none]
    #[arg(long, value_name = "FILE", value_parser = |text: &str| checked(AgentKey::MetricsTokenFile, text))]
    pub metrics_token_file: Option<String>,
}

impl MetricsArgs {
    pub(super) fn values(&self) -> [(AgentKey, &Option<String>); 5] {
        [
            (AgentKey::Metrics, &self.metrics),
            (AgentKey::MetricsBy, &self.metrics_by),
            (AgentKey::MetricsTop, &self.metrics_top),
            (AgentKey::MetricsRetention, &self.metrics_retention),
            (AgentKey::MetricsTokenFile, &self.metrics_token_file),
        ]
    }
}
