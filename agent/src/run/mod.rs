//! The wiring: the only place that knows kernel, host, ledger and outputs at once.

pub mod meter;
pub mod shutdown;
