//! Says where the kernel object is that gets embedded: the committed one, or another for testing a fresh build.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=FLOWTALLY_OBJECT");
    let object = env::var_os("FLOWTALLY_OBJECT").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("object/flowtally.bpf.o"),
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    println!("cargo::rustc-env=FLOWTALLY_OBJECT_PATH={}", object.display());
}
