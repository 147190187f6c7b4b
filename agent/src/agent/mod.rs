//! The always-on agent, but for its wiring: what it is told to do ([`settings`]), what it says before it starts ([`check`]) and how it is
//! doing ([`status`]). Pure: the files, the socket and the measurement are the business of `run`.

pub mod check;
pub mod settings;
pub mod status;
