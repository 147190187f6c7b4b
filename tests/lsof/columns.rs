//! Columns: what is in them, and how wide they are.

use crate::compare::{compare, exact, fails, fields, lab_of, nothing, rows};

#[test]
fn each_row_of_a_process_with_files_of_every_type() {
    let lab = lab_of(&["files"]);
    compare(
        &lab,
        &[
            exact("-p {files.pid}"),
            exact("-nP -p {files.pid}"),
            exact("-a -p {files.pid} -d 0-5"),
            exact("-a -p {files.pid} -d cwd,rtd,txt"),
            exact("-a -p {files.pid} -d mem"),
            exact("-a -p {files.pid} -d 0"),
            exact("-a -p {files.pid} -d {files.plain}"),
            exact("-a -p {files.pid} -d {files.high}"),
            exact("-a -p {files.pid} -d {files.plain},{files.high}"),
            exact("-a -p {files.pid} -d {files.out},{files.append},{files.rw},{files.path}"),
            exact("-a -p {files.pid} -d {files.folder},{files.entry},{files.deep}"),
            exact("-a -p {files.pid} -d {files.link}"),
            exact("-a -p {files.pid} -d {files.block}"),
            exact("-a -p {files.pid} -d {files.fifo},{files.read},{files.write}"),
            exact("-a -p {files.pid} -d {files.named},{files.socket-path}"),
            exact("-a -p {files.pid} -d {files.null},{files.zero},{files.full}"),
            exact("-a -p {files.pid} -d {files.gone}"),
            exact("-a -p {files.pid} -d {files.proc}"),
            exact("-a -p {files.pid} -d {files.memfd}"),
            exact("-a -p {files.pid} -d {files.epoll},{files.epoll-empty}"),
            exact("-a -p {files.pid} -d {files.eventfd},{files.seven}"),
            exact("-a -p {files.pid} -d {files.timerfd},{files.signalfd}"),
            exact("-a -p {files.pid} -d {files.inotify}"),
            exact("-a -p {files.pid} -d {files.pidfd}"),
            exact("-a -p {files.pid} -d {files.namespace}"),
            exact("-a -p {files.pid} -d {files.queue}"),
            exact("-a -p {files.pid} -d {files.ptmx},{files.pts}"),
            exact("-a -p {files.pid} -d {files.huge}"),
        ],
    );
}

#[test]
fn everything_in_the_lab() {
    // Tasks are listed without a selection: with those of a fixture, both programs have their columns.
    let lab = lab_of(&["files", "threads", "long", "lock", "net"]);
    compare(&lab, &[rows(""), rows("-nP"), rows("-n -P -l"), rows("-w"), rows("-nPRg"), rows("-K i")]);
}

#[test]
fn sizes_and_offsets() {
    let lab = lab_of(&["files", "net"]);
    compare(
        &lab,
        &[
            exact("-p {files.pid} -s"),
            exact("-p {files.pid} -o"),
            exact("-nP -p {net.pid} -s"),
            exact("-nP -p {net.pid} -o"),
            exact("-a -p {files.pid} -d {files.plain} -o"),
            exact("-a -p {files.pid} -d {files.rw} -o"),
            exact("-a -p {files.pid} -d {files.far} -o"),
            exact("-a -p {files.pid} -d {files.eight},{files.nine} -o"),
            exact("-a -p {files.pid} -d {files.rw},{files.far},{files.plain} -o0"),
            exact("-a -p {files.pid} -d {files.rw},{files.far},{files.plain} -o 0"),
            exact("-a -p {files.pid} -d {files.rw},{files.far},{files.plain} -o10"),
            exact("-a -p {files.pid} -d {files.rw},{files.far},{files.plain} -oo10"),
            exact("-a -p {files.pid} -d {files.rw},{files.far},{files.plain} -o -o10"),
            exact("-a -p {files.pid} -d {files.rw},{files.far},{files.plain} -o 4"),
            exact("-a -p {files.pid} -d {files.rw},{files.far},{files.plain} -oo 4"),
            exact("-a -p {files.pid} -d {files.rw},{files.far},{files.plain} -o2o"),
            exact("-a -p {files.pid} -d {files.rw},{files.null} -s -n"),
            fails("-o -s -p {files.pid}"),
            fails("-s -o -p {files.pid}"),
        ],
    );
}

#[test]
fn width_of_the_command() {
    let lab = lab_of(&["long", "files"]);
    compare(
        &lab,
        &[
            exact("-a -d cwd -p {long.pid}"),
            exact("-a -d cwd -p {long.pid} +c0"),
            exact("-a -d cwd -p {long.pid} +c 0"),
            exact("-a -d cwd -p {long.pid} +c1"),
            exact("-a -d cwd -p {long.pid} +c6"),
            exact("-a -d cwd -p {long.pid} +c7"),
            exact("-a -d cwd -p {long.pid} +c8"),
            exact("-a -d cwd -p {long.pid} +c9"),
            exact("-a -d cwd -p {long.pid} +c10"),
            exact("-a -d cwd -p {long.pid} +c12"),
            exact("-a -d cwd -p {long.pid} +c15"),
            exact("-a -d cwd -p {long.pid},{files.pid} +c11"),
            exact("-a -d cwd -c kfx"),
            fails("+c 16 -p {long.pid}"),
            fails("+c16"),
            fails("+c x"),
            fails("+c"),
        ],
    );
}

#[test]
fn process_ids_of_groups_and_parents() {
    let lab = lab_of(&["family"]);
    compare(
        &lab,
        &[
            exact("-R -p {family.pid}"),
            exact("-g -p {family.pid}"),
            exact("-R -g -p {family.pid}"),
            fails("-gR -p {family.pid}"),
            rows("-R -a -c fx -d cwd"),
            rows("-Rg -a -c fx -d cwd"),
            exact("-R -p {family.child1},{family.child2}"),
            exact("-l -p {family.pid}"),
            exact("-lRg -p {family.pid}"),
        ],
    );
}

#[test]
fn flags_of_files() {
    let lab = lab_of(&["files", "net", "odd"]);
    compare(
        &lab,
        &[
            exact("+fg -p {files.pid}"),
            exact("+fG -p {files.pid}"),
            exact("+f g -p {files.pid}"),
            rows("-nP +fg -p {net.pid}"),
            rows("-nP +fG -p {net.pid}"),
            exact("-a +fg -p {files.pid} -d {files.plain}"),
            exact("-a +fg -p {files.pid} -d {files.flags},{files.dsync},{files.direct}"),
            exact("-a +fG -p {files.pid} -d {files.flags},{files.dsync},{files.direct}"),
            exact("-a +fg -p {files.pid} -d {files.path},{files.folder},{files.append}"),
            rows("-a -fg -p {files.pid} -d {files.append}"),
            rows("-a -fG -p {files.pid} -d {files.append}"),
            rows("-f -a -p {files.pid} -d {files.append}"),
            fails("+fc -p {files.pid}"),
            fails("+fn -p {files.pid}"),
            fails("+fx -p {files.pid}"),
            fails("+fgx -p {files.pid}"),
        ],
    );
}

#[test]
fn counts_of_links() {
    let lab = lab_of(&["files", "net"]);
    compare(
        &lab,
        &[
            exact("+L -p {files.pid}"),
            rows("-nP +L -p {net.pid}"),
            rows("-L -p {files.pid}"),
            rows("+L1"),
            rows("+L 1"),
            rows("+L1 -a -p {files.pid}"),
            rows("-a +L2 -p {files.pid}"),
            rows("-a +L3 -p {files.pid}"),
            rows("-a +L1 -p {files.pid} -d {files.gone}"),
            rows("+L0 -p {files.pid}"),
            nothing("-a +L0 -p {files.pid}"),
            rows("+L1 -t -c fx -a"),
            fields("-a +L1 -p {files.pid} -Fpfnk"),
            fails("-L5 -p {files.pid}"),
        ],
    );
}

#[test]
fn names_with_every_byte() {
    let lab = lab_of(&["odd"]);
    compare(
        &lab,
        &[
            exact("-p {odd.pid}"),
            exact("-p {odd.pid}").utf8(),
            fields("-F -p {odd.pid}"),
            fields("-F0 -p {odd.pid}"),
            fields("-Fn -p {odd.pid}").utf8(),
            rows("{dir}/odd/1a"),
        ],
    );
    let path = |name: &str| lab.folder().join("odd").join(name).into_os_string();
    let word = |name: &str| rows("").words([path(name)]);
    compare(
        &lab,
        &[
            word("two  blanks"),
            word("tab\there"),
            word("line\nfeed"),
            word("back\\slash"),
            word("looks gone (deleted)"),
            word("uni-é文"),
            word("uni-é文").utf8(),
            word("combi\u{301}ning").utf8(),
            word("wide-\u{1f980}").utf8(),
            word("zero\u{200b}width").utf8(),
            word("control\u{85}").utf8(),
            word("trailing "),
            word(" leading"),
            rows("").words([std::ffi::OsString::from("+D"), lab.folder().join("odd").into()]),
            rows("").words([std::ffi::OsString::from("+D"), lab.folder().join("odd").into()]).utf8(),
        ],
    );
}
