//! Threads: `-K`.

use std::{fs, path::Path};

use crate::compare::{compare, exact, fails, fields, lab_of, listed, rows, text};

#[test]
fn tasks() {
    let lab = lab_of(&["threads", "files", "net"]);
    compare(
        &lab,
        &[
            exact("-p {threads.pid}"),
            exact("-K -p {threads.pid}"),
            exact("-a -K -p {threads.pid}"),
            exact("-a -p {threads.pid} -K"),
            exact("-K"),
            exact("-Ki -p {threads.pid}"),
            exact("-K i -p {threads.pid}"),
            rows("-K i"),
            exact("-a -K -p {threads.pid} -d cwd"),
            exact("-a -K -p {threads.pid} -d {threads.file}"),
            exact("-a -K -c fx-th"),
            exact("-K -R -g -p {threads.pid}"),
            exact("-a -K -p {threads.pid} -d cwd +c0"),
            exact("-a -K -p {threads.pid} -d cwd +c7"),
            exact("-a -K -p {threads.pid} -d cwd +c12"),
            rows("-K -t -p {threads.pid}"),
            rows("-K -w {dir}/threads.txt"),
            rows("{dir}/threads.txt"),
            rows("-K -a {dir}/threads.txt"),
            fails("-a -K {dir}/threads.txt"),
            rows("-c kfx").maybe_empty(),
            rows("-K -c kfx").maybe_empty(),
            rows("-p {threads.worker}").maybe_empty(),
            rows("-K -p {threads.worker}").maybe_empty(),
            rows("-a -K -p {threads.worker}").maybe_empty(),
            rows("-a -K -p {files.pid}").maybe_empty(),
            text("-a -K -p {files.pid} -V").maybe_empty(),
            rows("-u root -c ^lsof"),
            rows("-d cwd"),
            rows("-K -d cwd"),
            fields("-F -K -p {threads.pid}"),
            rows("-a -K -nP -i").maybe_empty(),
            fails("-K x").maybe_empty(),
        ],
    );
}

/// The first thread has ended, or a thread has a table of its own: with `-K`, and where everything is listed, as the original.
#[test]
fn tables_that_are_not_the_first_threads() {
    let lab = lab_of(&["apart", "headless", "threads", "zombie"]);
    let mut cases = vec![
        rows("-nP"),
        rows("-nP -K"),
        rows("-nP -K +L1"),
        exact("-nP -K -a +L1 -d ^txt"),
        exact("-nP -K -a -iTCP -sTCP:LISTEN"),
        rows("-nP -K -iTCP -sTCP:LISTEN"),
        rows("-nP -K -a -u root -d 0-99"),
        rows("-K i -nP"),
        rows("-K i -nP -i").maybe_empty(),
        rows("-nP -p {zombie.child}").maybe_empty(),
        text("-V -K -a -p {zombie.child}").maybe_empty(),
    ];
    // Of a table beside a living first thread's, the original's -t says nothing.
    cases.push(rows("-t -K -a -i :{headless.port}"));
    for kind in ["apart", "headless"] {
        let of = |line: &str| line.replace("KIND", kind);
        cases.extend([
            exact(&of("-nP -K -p {KIND.pid}")),
            exact(&of("-nP -K -a -p {KIND.pid}")),
            exact(&of("-nP -K -a -c fx-KIND -i :{KIND.port}")),
            rows(&of("-nP -K -i :{KIND.port}")),
            fields(&of("-F -nP -K -a -i :{KIND.port}")),
            exact(&of("-nP -K -a -p {KIND.pid} -d {KIND.file}")),
            exact(&of("-nP -K -a -p {KIND.pid} -d cwd,rtd,txt")),
            rows(&of("-p {KIND.thread}")).maybe_empty(),
            text(&of("-V -K -a -p {KIND.pid} -d 9999")).maybe_empty(),
        ]);
    }
    compare(&lab, &cases);
}

/// Without `-K` the original passes over a table that no first thread has, and says that nobody has what is in it.
#[test]
fn a_threads_own_table_is_listed_without_being_asked_for() {
    let lab = lab_of(&["apart", "headless", "threads"]);
    for kind in ["apart", "headless"] {
        let fact = |name: &str| lab.fact(&format!("{kind}.{name}")).to_owned();
        let (pid, thread, file) = (fact("pid"), fact("thread"), fact("file"));
        let listener = listed(&lab, &format!("-nP -iTCP:{{{kind}.port}} -sTCP:LISTEN -FpKfn"));
        let expected = |fd: &str, name: &str| {
            [format!("p{pid}"), format!("K{thread}"), format!("f{fd}"), name.to_owned()]
        };
        let first = &listener[..4];
        assert_eq!(first, expected(&fact("listener"), &format!("n*:{}", fact("port"))), "{listener:?}");
        assert_eq!(listed(&lab, &format!("-t -i :{{{kind}.port}}")), [pid.as_str()]);
        let gone = listed(&lab, &format!("-a +L1 -p {{{kind}.pid}} -d {{{kind}.file}} -FpKfn"));
        assert_eq!(gone, expected(&file, &format!("n{} (deleted)", fact("gone"))));
        let all = listed(&lab, &format!("-p {{{kind}.pid}} -FKf"));
        let of_thread =
            all.iter().position(|line| *line == format!("K{thread}")).expect("a row of the thread");
        assert!(all[of_thread..].contains(&format!("f{file}")), "{all:?}");
        assert_eq!(all[of_thread..].contains(&"fcwd".to_owned()), kind == "headless", "{all:?}");
        assert_eq!(all.iter().filter(|line| line.starts_with('K')).count(), 1, "each table once: {all:?}");
        assert!(listed(&lab, &format!("-K i -i :{{{kind}.port}}")).is_empty());
    }
    let plain = listed(&lab, "-p {threads.pid} -FK");
    assert!(plain.iter().all(|line| !line.starts_with('K')), "threads that share a table: {plain:?}");
    let ends = listed(&lab, "-a -E -p {apart.pid} -d {apart.pipe-write} -Fn");
    let end = lab.fill("{apart.pid},fx-apart,{apart.pipe-read}r").concat();
    assert!(ends.iter().any(|line| line.contains(&end)), "{end} in {ends:?}");
    assert!(fs::exists(Path::new(lab.fact("apart.gone"))).is_ok_and(|there| !there));
}
