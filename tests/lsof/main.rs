//! `flowtally lsof` beside the original.
//!
//! Both programs get the same arguments, one after the other, in a [`harness::Lab`], where nothing changes in between but what they
//! are themselves: output, the first message and the exit status must be the same. What the original does differently from version to
//! version, and where either is right, is made equal first (`normal.rs`); what it cannot do is compared with what is written down here.
#![forbid(unsafe_code)]

mod compare;
mod normal;

mod columns;
mod elsewhere;
mod errors;
mod fields;
mod host;
mod internet;
mod json;
mod locks;
mod names;
mod peers;
mod permissions;
mod repeat;
mod robust;
mod selection;
mod sockets;
mod tasks;
mod trees;
mod ways;
mod written;
