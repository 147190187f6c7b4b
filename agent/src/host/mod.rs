//! What is read from the host: interfaces and their coming and going, clsact filters that stayed behind, names,
//! processes.

pub mod agent;
pub mod checkup;
pub mod clsact;
mod conntrack;
pub mod containers;
pub mod control;
pub mod held;
pub mod holders;
pub mod interfaces;
pub mod links;
pub mod logs;
pub mod name_service;
pub mod names;
pub mod netns;
pub mod opened;
pub mod output;
pub mod owners;
pub mod painter;
pub mod portrait;
pub mod proc;
pub mod recover;
pub mod rights;
pub mod sandbox;
pub mod service;
pub mod shutdown;
pub mod sockets;
pub mod users;
