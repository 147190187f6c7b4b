//! The other ends: `-E` and `+E`. And processes that share what they have.

use crate::compare::{compare, exact, fields, lab_of, rows};

#[test]
fn ends_of_pipes_and_sockets() {
    let lab = lab_of(&["peer", "files", "net"]);
    compare(
        &lab,
        &[
            rows("-E -p {peer.pid}"),
            rows("+E -p {peer.pid}"),
            rows("-E -p {peer.peer}"),
            rows("+E -p {peer.peer}"),
            rows("-E -nP -p {peer.pid}"),
            rows("-E -a -p {peer.pid} -d {peer.event},{peer.queue},{peer.controller}"),
            rows("+E -a -p {peer.pid} -d {peer.event}"),
            rows("+E -a -p {peer.pid} -d {peer.queue}"),
            rows("+E -nP -a -p {peer.pid} -d {peer.pipe}"),
            rows("+E -nP -a -p {peer.pid} -d {peer.unix}"),
            rows("+E -nP -a -p {peer.pid} -d {peer.tcp}"),
            rows("-E -nP -a -p {peer.pid} -d {peer.tcp}"),
            rows("-E -a -p {peer.pid} -d {peer.own-read},{peer.own-write}"),
            rows("+E -a -p {peer.pid} -d {peer.own-read}"),
            rows("-E -p {files.pid}"),
            rows("+E -p {files.pid}"),
            rows("-E -a -p {files.pid} -d {files.ptmx},{files.pts}"),
            rows("+E -a -p {files.pid} -d {files.ptmx}"),
            rows("-E -a -p {files.pid} -d {files.fifo}"),
            rows("-E -a -p {files.pid} -d {files.eventfd}"),
            rows("-E -a -p {files.pid} -d {files.queue}"),
            rows("-E -nP -p {net.pid}"),
            rows("+E -nP -p {net.pid}"),
            rows("-E -nP -i"),
            rows("+E -nP -i :{peer.port}"),
            rows("-E -U"),
            rows("+E -U"),
            rows("-E -nP"),
            fields("-E -F -nP -p {peer.pid}"),
            fields("-E -Fn -nP -p {net.pid}"),
            fields("+E -Fpcfn -p {peer.pid}"),
            rows("-E -t -p {peer.pid}"),
            rows("+E -t -a -p {peer.pid} -d {peer.pipe},{peer.unix},{peer.tcp}"),
        ],
    );
}

#[test]
fn holders_are_called_as_long_as_commands() {
    let lab = lab_of(&["hostile"]);
    compare(
        &lab,
        &[
            fields("-E -Fcn -a -p {hostile.pid} -d {hostile.read}"),
            fields("-E -Fcn +c7 -a -p {hostile.pid} -d {hostile.read}"),
            fields("-E -Fcn +c12 -a -p {hostile.pid} -d {hostile.write}"),
            fields("+E -Fcn +c15 -a -p {hostile.pid} -d {hostile.read}"),
            rows("-E +c15 -a -p {hostile.pid} -d {hostile.read}"),
        ],
    );
}

#[test]
fn shared_files() {
    let lab = lab_of(&["family"]);
    compare(
        &lab,
        &[
            exact("-nP -i :{family.port}"),
            exact("-nP -i"),
            exact("{dir}/family.txt"),
            rows("-nP -p {family.child1}"),
            rows("-nP -a -p {family.child1},{family.child2} -i"),
            rows("-E -nP -p {family.pid}"),
            rows("+E -nP -p {family.child1}"),
            rows("-t -i"),
            fields("-Fpf -i"),
        ],
    );
}
