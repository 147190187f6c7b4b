//! The letter behind the descriptor of a locked file.

use crate::compare::{compare, exact, fields, lab_of, rows};

#[test]
fn every_kind_of_lock() {
    let mut lab = lab_of(&["lock", "waiter", "files"]);
    compare(
        &lab,
        &[
            exact("-p {lock.pid}"),
            exact("-p {waiter.pid}"),
            fields("-F -p {lock.pid}"),
            fields("-Ffl -p {lock.pid}"),
            fields("-Fl -p {lock.pid},{waiter.pid}"),
            rows("{dir}/write-all"),
            rows("-a -c fx {dir}/write-all"),
            rows("-K -p {lock.pid}"),
            rows("-o -p {lock.pid}"),
            rows("-p {lock.pid} +fg"),
        ],
    );
    for name in [
        "write-all",
        "read-all",
        "write-part",
        "read-part",
        "write-rest",
        "open-write",
        "open-read",
        "flock-exclusive",
        "flock-shared",
        "again",
        "free",
    ] {
        lab.note("which", lab.fact(&format!("lock.{name}")).to_owned());
        compare(&lab, &[exact(&lab.fill("-a -p {lock.pid} -d {which}").join(" "))]);
    }
}
