//! Threads: `-K`.

use crate::compare::{compare, exact, fails, fields, lab_of, rows, text};

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
