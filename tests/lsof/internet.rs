//! `-i` and `-s`: addresses, ports, protocols and states.

use harness::Lab;

use crate::compare::{compare, exact, fails, lab, lab_of, nothing, rows, text};

#[test]
fn families_and_protocols() {
    let lab = lab_of(&["net", "files"]);
    compare(
        &lab,
        &[
            rows("-i"),
            exact("-nP -i"),
            rows("-n -i"),
            rows("-P -i"),
            exact("-nP -i4"),
            exact("-nP -i6"),
            rows("-nPi 4"),
            rows("-nP -i 6"),
            rows("-nP -i4 -i6"),
            rows("-nP -i -i4"),
            rows("-nP -i tcp"),
            rows("-nP -iTCP"),
            rows("-nP -iTcp"),
            rows("-nP -i udp"),
            rows("-nP -iUDP"),
            rows("-nP -i4tcp"),
            rows("-nP -i4TCP"),
            rows("-nP -i6tcp"),
            rows("-nP -i4udp"),
            rows("-nP -i6UDP"),
            rows("-nP -i UDPLITE").maybe_empty(),
            rows("-nP -i udplite").maybe_empty(),
            rows("-nP -i tcp -i udp"),
            rows("-nP -i 4tcp -i 6udp"),
            rows("-nP -a -i tcp -p {net.pid}"),
            rows("-nP -i tcp -d 0"),
            rows("-nP -a -i -d {net.tcp4},{net.udp4},{net.unix-pair-one}"),
        ],
    );
}

#[test]
fn addresses_and_ports() {
    let lab = lab_of(&["net"]);
    compare(
        &lab,
        &[
            exact("-nP -i :{net.tcp4-port}"),
            rows("-nP -i:{net.tcp4-port}"),
            rows("-i :{net.tcp4-port}"),
            rows("-nP -i :{net.pair4-port}"),
            rows("-nP -i :{net.udp4-port}"),
            rows("-nP -i :{net.udp6-port}"),
            rows("-nP -i tcp:{net.tcp4-port}"),
            rows("-nP -i TCP:{net.tcp6-port}"),
            rows("-nP -i 4:{net.tcp4-port}"),
            rows("-nP -i 4tcp:{net.tcp4-port}"),
            rows("-nP -i :{net.tcp4-port},{net.udp4-port}"),
            rows("-nP -i :{net.tcp4-port},{net.tcp6-port},8080"),
            rows("-nP -i :8000-9000"),
            rows("-nP -i :1-65535"),
            rows("-nP -i tcp:1-65535"),
            rows("-nP -i :8080"),
            rows("-i :8080"),
            rows("-n -i :8080"),
            rows("-P -i :8080"),
            rows("-i :http-alt"),
            rows("-i tcp:http-alt"),
            rows("-nP -i :http-alt"),
            rows("-nP -i :8000-http-alt"),
            rows("-nP -i :ssh,http-alt"),
            rows("-nP -i @127.0.0.1"),
            rows("-nP -i @localhost"),
            rows("-i @localhost"),
            rows("-nP -i 4@localhost"),
            rows("-nP -i 6@localhost").maybe_empty(),
            rows("-nP -i tcp@127.0.0.1"),
            rows("-nP -i TCP@127.0.0.1:{net.tcp4-port}"),
            rows("-nP -i tcp@localhost:{net.tcp4-port}"),
            rows("-nP -i @127.0.0.1:{net.tcp4-port}"),
            rows("-nP -i@127.0.0.1:{net.tcp4-port}"),
            rows("-nP -i UDP@127.0.0.1:{net.udp4-port}"),
            rows("-nP -i @127.0.0.1:1-65535"),
            rows("-nP -i @[::1]"),
            rows("-nP -i 6@[::1]"),
            rows("-nP -i tcp@[::1]"),
            rows("-nP -i tcp@[::1]:{net.tcp6-port}"),
            rows("-nP -i 6tcp@[::1]:{net.tcp6-port}"),
            rows("-nP -i @[0::1]:{net.tcp6-port}"),
            rows("-nP -i @[::ffff:127.0.0.1]").maybe_empty(),
            fails("-nP -i 6@[::ffff:127.0.0.1]"),
            fails("-nP -i @[::1]x"),
            rows("-nP -i @127.1"),
            rows("-nP -i @0.0.0.0").maybe_empty(),
            rows("-nP -i @[::]").maybe_empty(),
            rows("-nP -i :{net.mapped-port}"),
            rows("-nP -i 6:{net.mapped-port}").maybe_empty(),
            rows("-nP -i 4:{net.mapped-port}").maybe_empty(),
            rows("-nP -i @127.0.0.1 -i @[::1]"),
            rows("-nP -i :8080 -i :{net.tcp4-port}"),
            rows("-nP -i :8080 -i :65000"),
            rows("-nP -i :8080,65000"),
            rows("-nP -i :8080 -i :65000 -Q"),
            nothing("-nP -i udp:8080"),
            nothing("-nP -i :65000"),
            nothing("-nP -i 6:{net.tcp4-port}"),
            nothing("-nP -i @127.0.0.9"),
            nothing("-nP -i tcp@[::1]:8080"),
            text("-i :65000 -V"),
            text("-i tcp@127.0.0.9:65000-65002 -V"),
            text("-i UDP@[::1]:65000 -V"),
            text("-i :8080 -i :65000 -V"),
            text("-i 4udp@localhost:http-alt -V").maybe_empty(),
        ],
    );
}

#[test]
fn wrong_addresses() {
    let lab = lab_of(&["net", "files"]);
    compare(
        &lab,
        &[
            fails("-i icmp"),
            fails("-i sctp"),
            fails("-i @nosuchhost.invalid"),
            fails("-i @nosuchhost.invalid:80"),
            fails("-i :nosuchservice"),
            fails("-i tcp:nosuchservice"),
            fails("-i tcp:"),
            fails("-i :"),
            fails("-i @"),
            fails("-i tcp@"),
            fails("-i @:80"),
            fails("-i 6@127.0.0.1"),
            fails("-i 4@[::1]"),
            fails("-i @[::1"),
            fails("-i @[nosuch]"),
            fails("-i :80-"),
            fails("-i :90-80"),
            fails("-i :80,"),
            fails("-i :,80"),
            fails("-i :80-http-alt-90"),
            fails("-i :http-alt-9000"),
            fails("-i :99999999"),
            fails("-i :70000"),
            fails("-i :-1"),
            fails("-i 5"),
            fails("-i 46"),
            fails("-i tcp4"),
            fails("-i {dir}/plain.txt"),
            fails("-i @256.1.1.1"),
            fails("-i @127.0.0.1:x"),
            fails("-i tcp:80:81"),
            fails("-i :80@127.0.0.1"),
        ],
    );
}

/// A lab with a socket in every state that a file can be in.
fn lab_of_states() -> Lab {
    let mut lab = lab();
    lab.run("ip link add swallow type veth peer name hole");
    lab.run("ip addr add 198.51.100.2/24 dev swallow");
    lab.run("ip link set swallow arp off up");
    lab.run("ip link set hole arp off up");
    lab.start("states");
    lab
}

#[test]
fn states() {
    let mut lab = lab_of_states();
    compare(&lab, &[exact("-nP -p {states.pid}"), exact("-nP -i")]);
    for state in
        ["ESTABLISHED", "SYN_SENT", "FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"]
    {
        lab.note("state", state);
        let line = |line: &str| lab.fill(line).join(" ");
        compare(
            &lab,
            &[
                rows(&line("-nP -i -s TCP:{state}")),
                rows(&line("-nP -i -sTCP:^{state}")),
                rows(&line("-nP -a -p {states.pid} -i tcp -s TCP:{state}")),
                rows(&line("-nP -p {states.pid} -s TCP:{state}")),
            ],
        );
    }
    for state in ["SYN_RECV", "TIME_WAIT", "CLOSE", "CLOSED"] {
        lab.note("state", state);
        let line = |line: &str| lab.fill(line).join(" ");
        compare(
            &lab,
            &[
                nothing(&line("-nP -i -s TCP:{state}")).maybe_empty(),
                text(&line("-nP -i -s TCP:{state} -V")).maybe_empty(),
                rows(&line("-nP -i -s TCP:^{state}")),
            ],
        );
    }
}

#[test]
fn filter_by_state() {
    let lab = lab_of(&["net"]);
    compare(
        &lab,
        &[
            rows("-nP -i -s TCP:LISTEN"),
            rows("-nP -i -sTCP:LISTEN"),
            rows("-nP -iTCP -sTCP:LISTEN"),
            rows("-nP -iTCP -sTCP:listen"),
            rows("-nP -iTCP -stcp:Listen"),
            rows("-nP -iTCP -sTCP:LISTEN,ESTABLISHED"),
            rows("-nP -iTCP -sTCP:^LISTEN"),
            rows("-nP -iTCP -sTCP:^LISTEN,^CLOSE_WAIT"),
            rows("-nP -iTCP -sTCP:LISTEN -sTCP:CLOSE_WAIT"),
            rows("-nP -iTCP -sTCP:^ESTABLISHED -sTCP:^LISTEN"),
            rows("-nP -iTCP -sTCP:LISTEN,SYN_SENT"),
            rows("-nP -i -sTCP:^LISTEN"),
            rows("-nP -iUDP -sTCP:^LISTEN"),
            rows("-nP -p {net.pid} -sTCP:LISTEN"),
            rows("-nP -p {net.pid} -sTCP:^LISTEN"),
            rows("-nP -sTCP:LISTEN"),
            rows("-nP -i :{net.tcp4-port} -sTCP:LISTEN"),
            rows("-nP -i :{net.tcp4-port} -sTCP:^LISTEN"),
            rows("-nP -i4TCP -sTCP:LISTEN -t"),
            nothing("-nP -iUDP -sTCP:LISTEN"),
            nothing("-nP -iTCP -sTCP:SYN_SENT"),
            text("-nP -iTCP -sTCP:SYN_SENT -V"),
            text("-nP -iTCP -sTCP:LISTEN,SYN_SENT -V").maybe_empty(),
            fails("-i -s TCP:NOPE"),
            fails("-i -s TCP:LISTEN,NOPE"),
            fails("-i -s TCP:"),
            fails("-i -s TCP"),
            fails("-i -s SCTP:LISTEN"),
            fails("-i -s UDP:Idle"),
            fails("-i -s TCP:LISTEN,^LISTEN"),
            fails("-i -s TCP:^LISTEN,LISTEN"),
            fails("-i -s :LISTEN"),
        ],
    );
}

#[test]
fn details_of_tcp() {
    let lab = lab_of(&["net"]);
    compare(
        &lab,
        &[
            exact("-nP -i -T"),
            exact("-nP -i -Tq"),
            exact("-nP -i -Ts"),
            exact("-nP -i -Tqs"),
            exact("-nP -i -Tsq"),
            exact("-nP -i -Tf"),
            exact("-nP -i -Tqsf"),
            exact("-nP -i -T q"),
            exact("-nP -i -T qs"),
            rows("-nP -i +T"),
            rows("-nP -i -Tqs -s TCP:LISTEN"),
            rows("-nP -i -T -s TCP:LISTEN"),
            rows("-nP -U -Tqs"),
            exact("-nP -U -Tq"),
            exact("-nP -U -Tf"),
            rows("-nP -a -p {net.pid} -d {net.unread-client},{net.unread-server} -Tqs"),
            rows("-nP -a -p {net.pid} -d {net.backlog} -Tqs"),
            rows("-nP -a -p {net.pid} -d {net.half-client},{net.half-server} -Tqs"),
            rows("-nP -i -Tw").maybe_empty(),
            fails("-nP -i -Tx"),
            fails("-nP -i -Tqx"),
        ],
    );
}
