//! Sockets of each kind alone, and those that are not of the Internet.

use harness::Namespace;

use crate::compare::{compare, exact, fails, fields, lab, lab_of, nothing, rows, text};

#[test]
fn each_kind_alone() {
    let lab = lab_of(&["net"]);
    let cases: Vec<_> = lab
        .facts("net.")
        .filter(|(name, _)| !name.ends_with("-port") && !["pid", "ppid", "pgid"].contains(name))
        .map(|(_, number)| exact(&format!("-nP -a -p {} -d {number}", lab.fact("net.pid"))))
        .collect();
    assert!(cases.len() > 60, "this kernel has few kinds of sockets: {}", cases.len());
    compare(&lab, &cases);
}

#[test]
fn all_of_them() {
    let lab = lab_of(&["net", "files"]);
    compare(
        &lab,
        &[
            exact("-nP -p {net.pid}"),
            rows("-p {net.pid}"),
            exact("-U"),
            exact("-nPU"),
            rows("-a -U -p {net.pid}"),
            rows("-U -p {files.pid}"),
            rows("-a -U -c fx-files"),
            fields("-U -F"),
            rows("-U -t"),
            rows("-nP -i -U"),
            rows("{dir}/stream.sock"),
            exact("{dir}/dgram.sock"),
            rows("{dir}/seq.sock"),
            rows("{dir}/named.sock"),
            rows("-U {dir}/dgram.sock"),
            rows("-a -U {dir}/dgram.sock"),
            rows("{dir}/stream.sock {dir}/dgram.sock -t"),
            nothing("-a -i {dir}/stream.sock").maybe_empty(),
        ],
    );
}

#[test]
fn without_identification() {
    let lab = lab_of(&["net", "files"]);
    compare(
        &lab,
        &[
            exact("-X -p {net.pid}"),
            rows("-X -a -p {net.pid} -d {net.tcp4},{net.udp4},{net.unix-pair-one},{net.raw-icmp}"),
            rows("-X -U"),
            rows("-X -p {files.pid}"),
            fields("-X -F -p {net.pid}"),
            fails("-X -i"),
            fails("-X -i :80"),
            fails("-i -X"),
        ],
    );
}

/// Sockets are looked up in the network namespace of who asks.
#[test]
fn in_another_network_namespace() {
    let mut lab = lab();
    lab.start("net");
    let network = Namespace::new();
    lab.elsewhere(&network, |lab| lab.start_as("family", "elsewhere", |_| {}));
    compare(
        &lab,
        &[
            rows("-nP -p {elsewhere.pid}"),
            rows("-nP -a -p {elsewhere.pid} -d {elsewhere.listener}"),
            rows("-nP -i"),
            nothing("-nP -i :{elsewhere.port}"),
            nothing("-nP -a -i -p {elsewhere.pid}"),
            text("-nP -i :{elsewhere.port} -V"),
        ],
    );
    lab.elsewhere(&network, |lab| {
        compare(
            lab,
            &[
                exact("-nP -p {elsewhere.pid}"),
                exact("-nP -i :{elsewhere.port}"),
                exact("-nP -i"),
                rows("-nP -p {net.pid}"),
                rows("-nP -iTCP -sTCP:LISTEN"),
                nothing("-nP -i :{net.tcp4-port}"),
            ],
        );
    });
}
