//! Every test in its own network namespaces. Needs root: `cargo xtask test` runs it.
//!
//! Tests without a comment are named after what they send or do; [`harness::check()`] says what is checked.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

/// Tests that are one call of [`harness::check()`]: a frame, both ways, and the row it must become.
macro_rules! cases {
    ($($name:ident: $frame:expr => $flow:expr;)+) => {
        $(
            #[test]
            fn $name() {
                harness::check($frame, &$flow);
            }
        )+
    };
}

mod broken;
mod crossings;
mod doctor;
mod ends;
mod environment;
mod errors;
mod extensions;
mod filters;
mod hooks;
mod lifecycle;
mod link;
mod load;
mod names;
mod options;
mod outputs;
mod raw_ip;
mod start;
mod streams;
mod super_packets;
mod text_mode;
mod transport;
