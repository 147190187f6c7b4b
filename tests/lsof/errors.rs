//! Wrong options, and options that do little: messages, exit status, and what is listed all the same.

use std::{fs, os::unix::fs::symlink};

use crate::compare::{self, Case, compare, fails, fields, lab_of, nothing, rows, text};

#[test]
fn wrong_options() {
    let lab = lab_of(&["files"]);
    compare(
        &lab,
        &[
            fails("-y"),
            fails("-A x").maybe_empty(),
            fails("-B"),
            fails("-G"),
            fails("-I"),
            fails("-k x").maybe_empty(),
            fails("-m x").maybe_empty(),
            fails("-Y"),
            fails("-q"),
            fails("-1"),
            fails("--help"),
            fails("--nosuch"),
            fails("-yz"),
            fails("-y -z"),
            fails("-Z"),
            fails("-Z x"),
            fails("-S x"),
            fails("-o x"),
            fails("-p {files.pid} -y"),
            fails("-e nosuch"),
            fails("-e {dir}"),
            fails("-r x"),
            fails("-r1x"),
            fails("-s x"),
            fails("-T x"),
            fails("-S 1 -p 12x"),
            fails("-p 12x -S 1"),
            fails("-g x"),
            fails("-F x -q"),
            fails("-L x"),
            fails("+L x"),
            fails("-x x"),
            fails("-E x").maybe_empty(),
            fails("+c"),
            fails("-D ?"),
            fails("-D b"),
            fails("-D r"),
            fails("-D i"),
        ],
    );
}

#[test]
fn options_that_do_little() {
    let lab = lab_of(&["files", "net"]);
    compare(
        &lab,
        &[
            nothing("-h"),
            nothing("-?"),
            nothing("-hp {files.pid}"),
            nothing("-v").maybe_empty(),
            nothing("-p {files.pid} -v").maybe_empty(),
            nothing("-v -y"),
            nothing("-h -y"),
            rows("-b -p {files.pid}"),
            rows("-bw -p {files.pid}"),
            rows("-b -w -a -p {files.pid} -d 0-9"),
            fields("-b -F -p {files.pid}"),
            rows("-b -nP -i"),
            rows("-b {dir}/plain.txt").maybe_empty(),
            rows("-b -w {dir}/plain.txt").maybe_empty(),
            rows("-S -p {files.pid}"),
            rows("-S 2 -p {files.pid}"),
            rows("-S2 -p {files.pid}"),
            rows("-S 5 -p {files.pid}"),
            rows("-S 1 -p {files.pid}"),
            rows("-S1 -w -p {files.pid}"),
            rows("-O -p {files.pid}"),
            rows("-O -S 3 -p {files.pid}"),
            rows("-C -p {files.pid}").maybe_empty(),
            rows("-M -nP -i"),
            rows("+M -nP -i"),
            rows("-w -p {files.pid}"),
            rows("+w -p {files.pid}"),
            rows("-w +w -p {files.pid}"),
            rows("-n -p {net.pid}"),
            rows("-P -p {net.pid}"),
            rows("+n -p {net.pid}"),
            rows("+P -p {net.pid}"),
            rows("-n +n -P +P -p {net.pid}"),
            rows("-l -p {files.pid}"),
            rows("+l -p {files.pid}").maybe_empty(),
            rows("-V -p {files.pid}"),
            rows("-VQ -p {files.pid}"),
            rows("-N -p {files.pid}"),
            rows("-p {files.pid} -N -a").maybe_empty(),
            rows("-e / -a -p {files.pid} -d cwd,rtd,txt,mem,{files.plain},{files.folder}"),
            rows("+e / -a -p {files.pid} -d cwd,rtd,txt,mem,{files.plain},{files.folder}"),
            fields("-e / -a -p {files.pid} -d {files.plain} -F"),
            rows("-e / -o -a -p {files.pid} -d {files.plain},{files.far},{files.folder}"),
            fields("-e / -a -p {files.pid} -d {files.plain},{files.far} -Ffos"),
            rows("-e /nosuch -p {files.pid}").maybe_empty(),
            rows("-e {dir} -p {files.pid}").maybe_empty(),
            rows("-e /proc -a -p {files.pid} -d cwd,{files.proc},{files.plain}"),
            text("+m"),
            rows("+m {dir}/nosuch -p {files.pid}").maybe_empty(),
            rows("-m {dir}/nosuch -p {files.pid}").maybe_empty(),
            rows("-k {dir}/plain.txt -p {files.pid}").maybe_empty(),
            rows("-A x -p {files.pid}").maybe_empty(),
            rows("-f -p {files.pid}").maybe_empty(),
            rows("+f -p {files.pid}").maybe_empty(),
            rows("-Z -p {files.pid}").maybe_empty(),
        ],
    );
}

/// What must not be touched, and what is said of that: names in their order, directories, mounts, file systems that are exempt.
#[test]
fn nothing_that_may_block() {
    let lab = lab_of(&["files"]);
    symlink("/dev", lab.folder().join("devices")).expect("make a link");
    let cases = [
        rows("-b -p {files.pid}"),
        fails("-b {dir}/plain.txt {dir}/nosuch /"),
        nothing("-b -Q {dir}/plain.txt/ {dir}/nosuch"),
        rows("-b -p {files.pid} {dir}/plain.txt").maybe_empty(),
        fails("-b +d {dir} +D /usr -p {files.pid}"),
        rows("+d {dir} -b -p {files.pid}"),
        rows("+d {dir} -b -p {files.pid} {dir}/plain.txt /dev").maybe_empty(),
        fails("-w -b +d {dir}"),
        fails("-w +d {dir}/nosuch +d {dir}/plain.txt"),
        rows("-b -e / -a -p {files.pid} -d cwd,{files.plain},{files.folder}"),
        rows("-b +e / -a -p {files.pid} -d cwd,{files.plain},{files.folder}"),
        rows("-b -e /dev/ -a -p {files.pid} -d cwd,{files.plain}"),
        rows("-b -e /nosuch -p {files.pid}"),
        fails("-b -e /nosuch -e /dev -e /none {dir}/plain.txt"),
        fails("-e /nosuch -e /none {dir}/nosuch"),
        fails("-b -e /dev +d {dir} -e /proc"),
        fails("-b +d {dir} -e /dev +d /usr -e /proc"),
        nothing("-b -e / /"),
        nothing("-b +e / / {dir}").maybe_empty(),
        nothing("-e /dev /dev"),
        fails("-b +f /dev"),
        fails("-b -f /dev"),
        rows("-e {dir}/devices -a -p {files.pid} -d cwd,0,1,{files.plain}"),
        fails("+e {dir}/devices -p {files.pid}"),
        rows("-e {dir}/devices -b -a -p {files.pid} -d cwd,{files.plain}"),
        rows("-b -e {dir}/devices -a -p {files.pid} -d cwd,{files.plain}"),
    ];
    compare(&lab, &cases.map(Case::every_message));
}

#[test]
fn devices_of_mounts_from_a_file() {
    let lab = lab_of(&["files"]);
    let all =
        compare::command(&lab, &compare::reference(), None).arg("+m").output().expect("run lsof").stdout;
    let text = String::from_utf8(all).expect("text");
    let some = text.split_inclusive('\n').filter(|line| line.starts_with("/ ")).collect::<String>();
    for (name, content) in [
        ("all", text.as_str()),
        ("some", &some),
        ("unterminated", some.trim_end()),
        ("other", "/ 0x1\n/a 0x5\n"),
        ("zero", "/dev 0x0\n/ 0x\n"),
        ("long", "/dev 0x123456789abcdef01\n/ 0xFE00\n"),
        ("pathless", "/dev 0x6\nx 0x5\n\n   \n"),
        ("deviceless", "/dev 0x6\n/ 65024\n/  0xfe00\n/proc\n/a b 0x5\n"),
        ("illegal", "/dev 0x6\n/ 0xfe00 \n/proc 0xg\n"),
    ] {
        fs::write(lab.folder().join(format!("m-{name}")), content).expect("write a file");
        let line = |line: &str| line.replace("FILE", &format!("{{dir}}/m-{name}"));
        let cases = [
            rows(&line("+m FILE -p {files.pid}")),
            rows(&line("-b +m FILE -p {files.pid}")),
            rows(&line("-w -b +m FILE -p {files.pid}")),
            rows(&line("-b +m FILE / /dev {dir}/plain.txt")).maybe_empty(),
            rows(&line("-b -Q +m FILE /dev /nosuch")).maybe_empty(),
            rows(&line("-b +m FILE -e /dev -a -p {files.pid} -d cwd,0,1,{files.plain}")),
            rows(&line("-e /dev +m FILE -a -p {files.pid} -d cwd,0,1,{files.plain}")),
            fields(&line("-e /dev +m FILE -a -p {files.pid} -d 0,1,{files.plain} -F ftDn")),
            rows(&line("+m FILE -e /dev /dev")).maybe_empty(),
            nothing(&line("-b +m FILE -i")).maybe_empty(),
        ];
        compare(&lab, &cases.map(Case::every_message));
    }
    let cases = [
        rows("+m {dir}/nosuch -p {files.pid}"),
        rows("-b +m {dir}/nosuch -p {files.pid}"),
        rows("-b -w +m {dir} -p {files.pid}"),
        rows("-b +m {dir} -p {files.pid}"),
        rows("-b +m {dir}/m-other +m {dir}/m-all -p {files.pid}"),
    ];
    compare(&lab, &cases.map(Case::every_message));
}
