//! Whatever the bytes: the parser does not panic, and what holds for every frame holds. From agent-ebpf:
//!
//! ```text
//! cargo run --features frames --example fuzz_corpus -- fuzz/corpus/parse
//! cargo +nightly fuzz run parse
//! ```
#![no_main]

use flowtally_ebpf::properties::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(input) = Input::decode(bytes) {
        input.check();
    }
});
