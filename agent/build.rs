//! Says where the kernel objects are that get embedded: the committed ones, or others for testing a fresh build.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=FLOWTALLY_OBJECT");
    let object = env::var_os("FLOWTALLY_OBJECT").map_or_else(
        || {
            // Asked for when this runs: a build directory may be used from another checkout.
            let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
            PathBuf::from(folder).join("object/flowtally.bpf.o")
        },
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    // Beside it, whichever it is.
    let iterators = object.with_file_name("iterators.bpf.o");
    println!("cargo::rerun-if-changed={}", iterators.display());
    println!("cargo::rustc-env=FLOWTALLY_ITERATORS_PATH={}", iterators.display());
    println!("cargo::rustc-env=FLOWTALLY_OBJECT_PATH={}", object.display());
}
