//! `flowtally -t`.
use crate::cli::TextArgs;
pub(super) async fn text(_args: TextArgs) -> anyhow::Result<()> { anyhow::bail!("soon") }
