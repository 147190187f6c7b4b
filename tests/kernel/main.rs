//! Every test in its own network namespaces. Needs root: `cargo xtask test` runs it.

