//! The edge: /proc, /proc/net and stat(2). What no class and no column needs is not read, and what is read is compact.

mod avoided;
mod directory;
mod endpoints;
mod held;
mod maps;
mod mounts;
mod net;
mod paths;
mod patience;
mod process;
mod processes;
mod read;
mod remote;
mod rows;
mod search;
mod shared;
mod sockets;
mod special;
mod stat;
mod supplement;
mod unix_peers;

pub use endpoints::name_endpoints;
pub use mounts::mounts;
pub use processes::gather;
pub use search::{Search, SearchError, resolve_exempt};
pub use shared::Shared;
