//! Writes the literal frames as the fuzzer's first inputs, into the directory given.

use std::{env, fs, path::PathBuf};

use flowtally_ebpf::{frames, properties::Input};

fn main() -> std::io::Result<()> {
    let directory = PathBuf::from(env::args_os().nth(1).expect("usage: fuzz_corpus DIRECTORY"));
    fs::create_dir_all(&directory)?;
    // Large frames teach the fuzzer nothing and slow it down.
    for case in frames::all().into_iter().filter(|case| case.bytes.len() < 4096) {
        let input = Input { outside: case.outside(), segmentation: case.segmentation, bytes: &case.bytes };
        fs::write(directory.join(case.name.replace([' ', '/', ','], "-")), input.encode())?;
    }
    Ok(())
}
