//! Which files are listed: classes, AND and OR, exclusion; and the exit status.

use harness::NOBODY;

use crate::compare::{compare, exact, fails, fields, lab_of, nothing, rows, text};

#[test]
fn commands() {
    let lab = lab_of(&["files", "net", "lock", "long"]);
    compare(
        &lab,
        &[
            rows("-nP -c fx"),
            rows("-nP -c fx-n"),
            rows("-cfx-files"),
            rows("-c fx-lock -c fx-files"),
            rows("-c fx-lock,fx-files -c fx-net").maybe_empty(),
            rows("-nP -c fx -c ^fx-files"),
            rows("-nP -c ^fx-files"),
            rows("-c ^fx-files -c ^fx-net"),
            rows("-a -d cwd -c /fx/"),
            rows("-a -d cwd -c /^fx-(net|lock)$/"),
            rows("-a -d cwd -c /^fx-[nl]/x"),
            rows("-a -d cwd -c /FX-NET/i"),
            rows("-a -d cwd -c /fx-(net|lock)/ix"),
            rows("-a -d cwd -c /fx-.*t/b"),
            rows("-a -d cwd -c /.../"),
            rows("-a -d cwd -c /long/"),
            rows("-a -d cwd -c /e.?t/ -c fx-lock"),
            rows("-a -d cwd -c kfx"),
            nothing("-c FX"),
            nothing("-c nosuchcommand"),
            nothing("-c /nosuch[0-9]/"),
            nothing("-a -c fx-net -d cwd -c ^fx"),
            nothing("-c /fx-(net|lock)/b"),
            rows("-c fx-files -c nosuch"),
            fails("-c /fx"),
            fails("-c /fx/q"),
            fails("-c /fx/bx"),
            fails("-c /fx/bb"),
            fails("-c /[/"),
            fails("-c /(/x"),
            fails("-c ^fx-net -c fx-net"),
            fails("-c fx-net -c ^fx-net"),
            rows("-c ^/fx/"),
            fails("-c a-name-that-is-longer-than-15"),
            fails("-c ^a-name-that-is-longer-than-15"),
            fails("-c"),
        ],
    );
}

#[test]
fn a_command_and_a_process_id_in_one_word() {
    let lab = lab_of(&["files"]);
    compare(
        &lab,
        &[
            fails("-cp {files.pid}"),
            fails("-cp 1234"),
            fails("-cfx-files 123456789").maybe_empty(),
            rows("-anPp {files.pid} -d cwd"),
            rows("-anP -p{files.pid} -dcwd"),
            rows("+n +P -p {files.pid}"),
            rows("-wp {files.pid} --"),
            rows("-p {files.pid} ++"),
        ],
    );
}

#[test]
fn process_ids() {
    let lab = lab_of(&["files", "net", "lock"]);
    compare(
        &lab,
        &[
            exact("-p {lock.pid}"),
            rows("-p {lock.pid},{files.pid}"),
            rows("-p {files.pid},{lock.pid}"),
            rows("-p {lock.pid},{lock.pid}"),
            rows("-p {lock.pid} -p {files.pid}"),
            rows("-p {lock.pid},"),
            rows("-p {lock.pid},999999"),
            rows("-p 999999,{lock.pid} -V"),
            rows("-nP -p ^{lock.pid}"),
            rows("-nP -p ^{lock.pid},^{net.pid}"),
            rows("-p ^{lock.pid},{files.pid}"),
            rows("-a -c fx -p ^{net.pid}"),
            nothing("-p 999999"),
            nothing("-a -p 999999 -c fx"),
            nothing("-p 999999 -Q"),
            text("-p 999999 -V"),
            text("-p 999999,999998 -V"),
            fails("-p 12x"),
            fails("-p x"),
            fails("-p ,"),
            fails("-p {lock.pid},^{lock.pid}"),
            fails("-p {lock.pid} -p ^{lock.pid}"),
            fails("-p"),
            rows("-p {lock.pid},,{files.pid}"),
            fails("-p -1"),
        ],
    );
}

#[test]
fn process_groups() {
    let lab = lab_of(&["files", "family", "lock"]);
    compare(
        &lab,
        &[
            exact("-g {family.pgid}"),
            exact("-g{family.pgid}"),
            rows("-g {family.pgid},{lock.pgid}"),
            rows("-g ^{family.pgid}"),
            rows("-a -g {family.pgid} -d cwd"),
            rows("-a -g {family.pgid} -p {family.child1}"),
            rows("-a -c fx -g -d cwd"),
            rows("-g -p {files.pid}"),
            nothing("-g 999999"),
            text("-g 999999 -V"),
            fails("-g 12x"),
            fails("-g {lock.pgid},^{lock.pgid}"),
        ],
    );
}

#[test]
fn users() {
    let mut lab = lab_of(&["files", "lock"]);
    lab.start_user("long", "nobody", NOBODY);
    lab.start_user("long", "nameless", 54_321);
    compare(
        &lab,
        &[
            exact("-u nobody"),
            rows("-unobody"),
            rows("-u 65534"),
            rows("-u65534"),
            rows("-u 54321"),
            exact("-u 54321,nobody"),
            rows("-u root -c ^lsof"),
            rows("-u ^root"),
            rows("-u ^nobody -u ^54321"),
            rows("-u ^nobody,^54321"),
            rows("-u nobody,root"),
            rows("-c kfx -u ^nobody"),
            rows("-c kfx -u ^54321,^root"),
            exact("-l -u nobody"),
            fields("-l -u nobody -FuLn"),
            fields("-u nobody -FuLn"),
            fields("-u 54321 -FuLn"),
            rows("-a -u nobody -c fx -d cwd -V").maybe_empty(),
            rows("-a -u nobody,root -c fx -d cwd"),
            text("-u 12321 -V"),
            nothing("-u 12321"),
            nothing("-c kfx -u ^nobody,^54321").maybe_empty(),
            fails("-u nosuchuser"),
            fails("-u ^nosuchuser"),
            fails("-u root,^root"),
            fails("-u root -u ^0"),
            fails("-u"),
            fails("-u a-login-name-that-is-longer-than-any-login-name-could-ever-be"),
        ],
    );
}

#[test]
fn descriptors() {
    let lab = lab_of(&["files", "lock", "net"]);
    compare(
        &lab,
        &[
            rows("-d 0"),
            rows("-d0"),
            rows("-d 0,1,2"),
            rows("-d 0-2"),
            rows("-nP -d 3-6"),
            rows("-d 0-2,{files.high}"),
            rows("-d cwd"),
            rows("-d cwd,rtd"),
            rows("-d txt"),
            rows("-d mem"),
            rows("-a -p {files.pid} -d ^mem"),
            rows("-a -p {files.pid} -d ^mem,^cwd,^rtd,^txt"),
            rows("-a -p {files.pid} -d ^0-5"),
            rows("-nP -d ^0,^1"),
            rows("-nP -a -d ^cwd -p {lock.pid},{net.pid}"),
            rows("-d ^cwd -p {lock.pid}"),
            rows("-nP -d {files.plain} -p {lock.pid}"),
            fails("-d 1-1").maybe_empty(),
            nothing("-d 999999"),
            nothing("-a -d 19999 -p {files.pid}"),
            nothing("-d DEL -a -p {files.pid}"),
            nothing("-d err -a -p {files.pid}"),
            text("-d 999999 -V").maybe_empty(),
            fails("-d 2,^2"),
            fails("-d ^2,2"),
            fails("-d ^2,3"),
            fails("-d 2,^3"),
            fails("-d 5-2"),
            fails("-d 1-"),
            fails("-d -1"),
            fails("-d 1-x"),
            fails("-d"),
        ],
    );
}

#[test]
fn and_or() {
    let lab = lab_of(&["files", "lock", "net"]);
    compare(
        &lab,
        &[
            rows("-p {lock.pid} -d cwd"),
            rows("-a -p {lock.pid} -d cwd"),
            rows("-p {lock.pid} -a -d cwd"),
            rows("-p {lock.pid} -d cwd -a"),
            rows("-nP -p {lock.pid} -i"),
            rows("-nP -a -p {net.pid} -i"),
            nothing("-nP -a -p {lock.pid} -i"),
            rows("-nP -i -U"),
            nothing("-i -U -a"),
            rows("-nP -p {lock.pid} -i :{net.tcp4-port}"),
            rows("-nP -a -p {net.pid} -i :{net.tcp4-port}"),
            rows("-nP -a -i -i :{net.tcp4-port}"),
            rows("-nP -i -i :{net.tcp4-port}"),
            rows("-nP -a -i4 -i :{net.tcp4-port}"),
            nothing("-nP -a -i6 -i :{net.tcp4-port}"),
            rows("-a -c fx-lock -d cwd,txt"),
            rows("-a -c fx-files -p {files.pid} -d 0-3 -u root"),
            nothing("-a -c fx-files -p {lock.pid}"),
            rows("-a -p {files.pid} {dir}/plain.txt"),
            rows("-p {lock.pid} {dir}/plain.txt"),
            nothing("-a -p {lock.pid} {dir}/plain.txt"),
            rows("-c fx-lock {dir}/plain.txt -d cwd"),
            nothing("-a -u ^root -p {lock.pid}"),
            nothing("-a -c ^fx -p {lock.pid}"),
            nothing("-a -p {lock.pid} -d 4444"),
            nothing("-a -p {lock.pid},{files.pid} -d 4444"),
            rows("-a -p {lock.pid},{files.pid} -d {files.high}"),
            rows("-a -p {lock.pid},999999 -d cwd"),
            text("-a -p {lock.pid},999999 -d 4444 -V"),
            fails("-a"),
            fails("-a -n"),
            fails("-a -p ^{lock.pid}").maybe_empty(),
        ],
    );
}

#[test]
fn nothing_is_found() {
    let lab = lab_of(&["files"]);
    compare(
        &lab,
        &[
            text("-V -c nosuch"),
            text("-V -c /nosuch/"),
            text("-V -p 999999 -c nosuch"),
            text("-V -i"),
            text("-V -i4"),
            text("-V -i6"),
            text("-V -i tcp"),
            text("-V -i :65000"),
            text("-V -i tcp@127.0.0.1:65000"),
            text("-V -i UDP@[::1]:65000"),
            text("-V -N"),
            text("-V -g 999999"),
            text("-V {dir}/unused.txt"),
            text("-V {dir}/unused.txt {dir}/append.log").maybe_empty(),
            text("-V +d {dir}/folder/below/deep").maybe_empty(),
            text("-V -p 999999 -t"),
            text("-V -K"),
            text("-V -s TCP:LISTEN -i TCP"),
            nothing("-i"),
            nothing("-N"),
            nothing("-i :65000"),
            nothing("-N -Q"),
            nothing("-i -Q"),
            nothing("-c nosuch -Q"),
            nothing("-p 999999 -Q"),
            nothing("-g 999999 -Q"),
            nothing("-Q {dir}/unused.txt"),
            nothing("-Q {dir}/missing.txt"),
            nothing("-Q -V {dir}/missing.txt").maybe_empty(),
        ],
    );
}

#[test]
fn process_ids_only() {
    let lab = lab_of(&["files", "lock", "net", "family"]);
    compare(
        &lab,
        &[
            exact("-t -p {lock.pid}"),
            exact("-t -c fx"),
            exact("-tc fx"),
            exact("-t -c fx-f"),
            exact("-t {dir}/plain.txt"),
            exact("-t {dir}/family.txt"),
            exact("-t -i"),
            exact("-t -i :{net.tcp4-port}"),
            exact("-t -nPi :{family.port}"),
            exact("-t -g {family.pgid}"),
            exact("-t +D {dir}/folder"),
            exact("-t -d {files.high}"),
            exact("-t -a -c fx -d {files.high}"),
            exact("-t -p {lock.pid},999999"),
            exact("-t -U"),
            nothing("-t -p 999999"),
            nothing("-t -i :65000"),
            fails("-t -F"),
            fails("-t -Fn"),
            fails("-F -t -p {lock.pid}"),
        ],
    );
}
