//! Folders: `+d`, `+D` and `-x`.

use std::{fs, os::unix::fs::symlink};

use crate::compare::{compare, exact, fails, fields, lab_of, nothing, rows, text};

#[test]
fn folders() {
    let lab = lab_of(&["files", "odd"]);
    compare(
        &lab,
        &[
            exact("+d {dir}/folder"),
            exact("+D {dir}/folder"),
            rows("+d{dir}/folder"),
            rows("+D{dir}/folder"),
            rows("+d {dir}/folder/"),
            rows("+D {dir}/folder/"),
            rows("+d {dir}"),
            rows("+D {dir}"),
            rows("+d ."),
            rows("+D ."),
            rows("+d folder"),
            rows("+d folder -b"),
            rows("+D {dir}/folder -b"),
            fails("-b +d folder"),
            rows("+D folder"),
            rows("+d {dir}/folder +d {dir}/folder/below"),
            rows("+D {dir}/folder +D {dir}/folder/below"),
            rows("+D {dir}/folder {dir}/plain.txt"),
            rows("+d {dir}/folder/below"),
            rows("+D {dir}/folder/below"),
            rows("-t +D {dir}/folder"),
            rows("-t -a -c fx +d {dir}"),
            rows("-a -p {files.pid} +D {dir}"),
            rows("-a -c fx-odd +D {dir}"),
            rows("-a -p {files.pid} -d 0-9 +D {dir}"),
            fields("-Fpn +D {dir}/folder"),
            rows("+D {dir}/folder -Q"),
            rows("+D {dir} -Q"),
            text("+D {dir}/folder -V"),
            text("+d {dir}/folder -V"),
            rows("+D /dev/shm -p {files.pid}"),
            rows("+d /dev"),
            fails("+d {dir}/plain.txt"),
            fails("+D {dir}/plain.txt"),
            fails("+d {dir}/missing"),
            fails("+D {dir}/missing"),
            fails("+d {dir}/missing -Q").maybe_empty(),
            fails("+d"),
            fails("+D"),
            fails("-D /tmp"),
            fails("-D {dir}"),
            fails("-D"),
        ],
    );
}

#[test]
fn links() {
    let mut lab = lab_of(&["files"]);
    let at = |name: &str| lab.folder().join(name);
    fs::create_dir_all(at("tree/inner")).expect("make folders");
    fs::create_dir(at("outside")).expect("make a folder");
    fs::write(at("outside/file"), "1").expect("write a file");
    symlink("../plain.txt", at("tree/to-file")).expect("make a link");
    symlink("../outside", at("tree/to-folder")).expect("make a link");
    symlink("nowhere", at("tree/broken")).expect("make a link");
    symlink("folder", at("folder-link")).expect("make a link");
    fs::hard_link(at("plain.txt"), at("tree/inner/hard")).expect("make a link");
    let (outside, tree) = (at("outside"), at("tree"));
    lab.start_as("long", "outside", |command| {
        command.current_dir(outside);
    });
    lab.start_as("long", "inside", |command| {
        command.current_dir(tree);
    });
    compare(
        &lab,
        &[
            rows("+d {dir}/tree"),
            rows("+D {dir}/tree"),
            rows("-x l +D {dir}/tree"),
            rows("-xl +D {dir}/tree"),
            rows("-xl +d {dir}/tree"),
            rows("-x +D {dir}/tree"),
            rows("-x -w +D {dir}/tree"),
            rows("-x fl +D {dir}/tree"),
            rows("-x f +D {dir}/tree"),
            rows("+D {dir}/tree -x l"),
            rows("+d {dir}/folder-link"),
            rows("+D {dir}/folder-link"),
            rows("+D {dir}/folder-link -xl"),
            rows("{dir}/tree/to-file"),
            nothing("{dir}/tree/to-folder/file"),
            rows("{dir}/tree/to-folder"),
            fails("{dir}/tree/broken"),
            fails("-x"),
            fails("-x f"),
            fails("-x l -p {files.pid}"),
            fails("-x q +D {dir}/tree"),
        ],
    );
}
