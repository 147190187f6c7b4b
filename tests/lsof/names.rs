//! Files by name: what a name stands for, and under which name the file is shown.

use crate::compare::{compare, exact, fails, fields, lab_of, nothing, rows, text};

#[test]
fn files_by_name() {
    let lab = lab_of(&["files", "lock", "family"]);
    compare(
        &lab,
        &[
            exact("{dir}/plain.txt"),
            rows("{dir}/plain.txt {dir}/out.log"),
            rows("{dir}/plain.txt {dir}/plain.txt"),
            rows("{dir}/hard.txt"),
            rows("{dir}/soft.txt"),
            rows("{dir}/hard.txt {dir}/plain.txt"),
            rows("{dir}/./plain.txt"),
            rows("{dir}//plain.txt"),
            rows("{dir}/folder/../plain.txt"),
            rows("plain.txt"),
            rows("./plain.txt"),
            rows("soft.txt"),
            rows("folder"),
            rows("{dir}/folder"),
            rows("{dir}/folder/"),
            rows("{dir}/folder//"),
            rows("."),
            rows("{dir}"),
            exact("{dir}/fifo"),
            rows("{dir}/fifo {dir}/plain.txt"),
            rows("{dir}/named.sock"),
            rows("named.sock").maybe_empty(),
            rows("/dev/null"),
            rows("/dev/zero"),
            rows("/dev/null /dev/zero /dev/full"),
            rows("{files.terminal}"),
            rows("/dev/ptmx").maybe_empty(),
            rows("{dir}/block").maybe_empty(),
            rows("/proc/{files.pid}/status"),
            exact("{dir}/family.txt"),
            rows("-- {dir}/plain.txt"),
            rows("-w -- {dir}/plain.txt"),
            rows("-t {dir}/plain.txt"),
            rows("-R {dir}/plain.txt"),
            rows("-l +fg {dir}/plain.txt"),
            rows("-o {dir}/plain.txt").maybe_empty(),
            rows("-a -p {files.pid} {dir}/plain.txt"),
            rows("-a -c fx-files -d {files.high} {dir}/plain.txt"),
            fields("-F -w {dir}/plain.txt"),
            fields("-Fpn {dir}/hard.txt"),
            rows("-p {lock.pid} {dir}/hard.txt"),
            nothing("{dir}/unused.txt"),
            nothing("{dir}/folder/below"),
            rows("{dir}/unused.txt {dir}/plain.txt"),
            text("-V {dir}/unused.txt {dir}/plain.txt"),
            text("-V {dir}/soft.txt {dir}/unused.txt"),
            fails("{dir}/missing.txt"),
            fails("{dir}/gone.log"),
            fails("{dir}/plain.txt/x"),
            fails("{dir}/missing.txt {dir}/plain.txt").maybe_empty(),
            fails("{dir}/plain.txt {dir}/missing.txt {dir}/other.txt").maybe_empty(),
            fails("-w {dir}/missing.txt"),
            fails("-V {dir}/missing.txt").maybe_empty(),
            rows("-Q {dir}/missing.txt {dir}/plain.txt"),
            rows("-Q {dir}/unused.txt {dir}/plain.txt"),
            rows("-Q -V {dir}/missing.txt {dir}/unused.txt {dir}/plain.txt").maybe_empty(),
        ],
    );
}

#[test]
fn programs_and_libraries() {
    let mut lab = lab_of(&["files"]);
    let copy = lab.copy_of_program("program");
    lab.spawn(&copy, "long", "copy", |_| {});
    compare(
        &lab,
        &[
            exact("{dir}/program"),
            rows("-t {dir}/program"),
            fields("-Fpftn {dir}/program"),
            rows("-a -d txt {dir}/program"),
            rows("-a -c kfx -d mem"),
        ],
    );
    std::fs::remove_file(&copy).expect("remove a program that runs");
    compare(
        &lab,
        &[exact("-p {copy.pid}"), fields("-F -p {copy.pid}"), rows("+L1 -a -c kfx"), fails("{dir}/program")],
    );
}

/// Libraries that are still what they were, that are gone, and that have another file in their place.
#[test]
fn mappings() {
    let mut lab = lab_of(&[]);
    let library = mapped_library();
    let mut preload = Vec::new();
    for name in ["kept.so", "gone.so", "replaced.so", "moved.so", "covered/hidden.so"] {
        std::fs::create_dir_all(lab.folder().join("covered")).expect("make a folder");
        let copy = lab.public_copy(&library, name);
        preload.push(copy.to_string_lossy().into_owned());
    }
    let preload = preload.join(":");
    lab.start_as("long", "mapped", |command| {
        command.env("LD_PRELOAD", &preload);
    });
    let file = |name: &str| lab.folder().join(name);
    std::fs::remove_file(file("gone.so")).expect("remove a library");
    std::fs::write(file("new.so"), "another").expect("write a file");
    std::fs::rename(file("new.so"), file("replaced.so")).expect("replace a library");
    std::fs::rename(file("moved.so"), file("elsewhere.so")).expect("move a library");
    compare(
        &lab,
        &[
            exact("-p {mapped.pid}"),
            exact("-a -p {mapped.pid} -d mem"),
            exact("-a -p {mapped.pid} -d DEL"),
            exact("-a -p {mapped.pid} -d mem,DEL"),
            rows("-a -p {mapped.pid} -d ^mem"),
            rows("-a -p {mapped.pid} -d ^DEL"),
            fields("-F -p {mapped.pid}"),
            exact("-p {mapped.pid} -s"),
            exact("-p {mapped.pid} -o"),
            exact("-p {mapped.pid} +L"),
            exact("-p {mapped.pid} +fg"),
            rows("+L1").maybe_empty(),
            rows("{dir}/kept.so"),
            rows("{dir}/elsewhere.so"),
            nothing("{dir}/replaced.so"),
            fails("{dir}/gone.so"),
            rows("+d {dir}"),
            rows("+D {dir}"),
        ],
    );
    lab.run("mount -t tmpfs cover {dir}/covered");
    let copy = library.to_string_lossy().into_owned();
    compare(&lab, &[exact("-a -p {mapped.pid} -d mem,DEL"), fields("-F -p {mapped.pid}")]);
    lab.run(&format!("cp {copy} {{dir}}/covered/hidden.so"));
    compare(
        &lab,
        &[
            exact("-a -p {mapped.pid} -d mem,DEL"),
            fields("-F -p {mapped.pid}"),
            rows("{dir}/covered/hidden.so").maybe_empty(),
        ],
    );
}

/// A library that every program of this test runs with can be loaded twice without harm.
fn mapped_library() -> std::path::PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("read what is mapped here");
    let path = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| path.contains("/libgcc_s"));
    path.expect("libgcc is mapped").into()
}

#[test]
fn mount_points() {
    let mut lab = lab_of(&[]);
    for name in ["mounted", "again", "other"] {
        std::fs::create_dir(lab.folder().join(name)).expect("make a folder");
    }
    lab.run("mount -t tmpfs kfx-store {dir}/mounted");
    lab.run("mount -t tmpfs kfx-other {dir}/other");
    let mounted = lab.folder().join("mounted");
    lab.run("mkdir {dir}/mounted/sub");
    lab.run("mount --bind {dir}/mounted {dir}/again");
    lab.start_in("files", "inside", &mounted);
    compare(
        &lab,
        &[
            rows("{dir}/mounted"),
            rows("{dir}/mounted/"),
            nothing("mounted"),
            fails("+f -- mounted"),
            rows("-- {dir}/mounted"),
            rows("-f -- {dir}/mounted").maybe_empty(),
            rows("+f -- {dir}/mounted"),
            rows("{dir}/again").maybe_empty(),
            rows("{dir}/mounted {dir}/again").maybe_empty(),
            nothing("{dir}/other"),
            text("-V {dir}/other"),
            rows("{dir}/mounted/plain.txt"),
            rows("{dir}/again/plain.txt").maybe_empty(),
            rows("{dir}/mounted/folder"),
            rows("-t {dir}/mounted"),
            rows("-a -p {inside.pid} {dir}/mounted"),
            rows("-a -p {inside.pid} -d 0-10 {dir}/mounted"),
            rows("+d {dir}/mounted"),
            rows("+D {dir}/mounted"),
            rows("+d {dir}"),
            rows("+D {dir}").maybe_empty(),
            fails("+f -- {dir}/mounted/plain.txt"),
            fails("+f -- {dir}/mounted/sub"),
            rows("-f -- {dir}/mounted/plain.txt"),
            // The original shows other files with offsets that they don't have.
            rows("-a -p {inside.pid} -d {inside.plain},{inside.folder},{inside.out} -e {dir}/mounted"),
            rows("-a -p {inside.pid} -d {inside.plain},{inside.folder},{inside.out} +e {dir}/mounted"),
            rows("-p {inside.pid} -e {dir}/other"),
            fails("-p {inside.pid} -e {dir}/mounted/sub"),
            fails("-p {inside.pid} -e /nosuch"),
            rows("-p {inside.pid}"),
        ],
    );
    // One way only leads there: which one is shown would depend on the order of a folder.
    lab.run("umount {dir}/again");
    compare(&lab, &[rows("-x f +D {dir}"), rows("-x f +d {dir}"), rows("-x +D {dir}")]);
}
