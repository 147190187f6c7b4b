//! The pure core: rows, windows, groups, snapshots. No input or output, no clock (`now` is an argument), and
//! nothing in it can fail while it runs.

mod accounts;
pub mod attached;
mod attributions;
pub mod boundary;
mod conversation;
mod crossing;
mod crossings;
pub mod event;
pub mod group;
pub mod interval;
mod journal;
pub mod ledger;
pub mod logged;
pub mod names;
pub mod orient;
mod owner_groups;
mod ownership;
pub mod question;
mod reconcile;
pub mod row;
mod rows;
pub mod services;
pub mod snapshot;
mod table;
pub mod topology;
mod window;
pub mod wire;
