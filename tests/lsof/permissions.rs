//! What those may see who are not root.

use harness::NOBODY;

use crate::compare::{Case, compare, exact, fails, fields, lab_of, nothing, rows, text};

#[test]
fn as_nobody() {
    let mut lab = lab_of(&["files", "net", "lock", "threads"]);
    lab.start_user("long", "own", NOBODY);
    lab.start_user("hidden", "hidden", NOBODY);
    let cases = [
        exact("-p {files.pid}"),
        exact("-p {own.pid}"),
        exact("-p {hidden.pid}"),
        exact("-p {own.pid},{files.pid}"),
        rows("-w -p {own.pid},{files.pid}"),
        fields("-F -p {own.pid},{files.pid}"),
        rows("-c fx"),
        rows("-c kfx"),
        rows("-c kfx -c fx -w"),
        rows("-u nobody"),
        rows("-u nobody -w"),
        rows("-u root"),
        rows(""),
        rows("-w"),
        rows("-nP"),
        rows("-a -u nobody -d cwd"),
        rows("-a -p {files.pid} -d cwd"),
        rows("-a -p {files.pid} -d 0").maybe_empty(),
        rows("-a -p {files.pid} -d txt,rtd"),
        rows("-a -p {files.pid} -d NOFD").maybe_empty(),
        rows("-d 0"),
        rows("-R -g -p {files.pid}"),
        rows("+L -p {files.pid}"),
        rows("+fg -p {files.pid}"),
        rows("-s -p {files.pid}"),
        rows("-o -p {files.pid}"),
        rows("-l -p {files.pid},{own.pid}"),
        rows("-K -p {threads.pid}"),
        rows("-a -K -p {threads.pid}"),
        rows("-t -u nobody -c ^lsof"),
        rows("-t -p {files.pid}").maybe_empty(),
        rows("-t -c fx").maybe_empty(),
        nothing("-w -p {files.pid}"),
        nothing("-w -p {hidden.pid}"),
        nothing("-t -w -p {files.pid}"),
        nothing("-i"),
        nothing("-nP -i :{net.tcp4-port}"),
        nothing("-U"),
        nothing("-iTCP -sTCP:LISTEN"),
        text("-V -i :{net.tcp4-port}"),
        rows("{dir}/plain.txt").maybe_empty(),
        rows("/dev/null"),
        rows("-w /dev/null"),
        rows("+d {dir}").maybe_empty(),
        rows("+D {dir}").maybe_empty(),
        rows("+D {dir} -w").maybe_empty(),
        rows("-b -p {own.pid}").maybe_empty(),
        rows("-E -p {own.pid}"),
        fails("/root/nosuch"),
        fails("+d /nosuch"),
    ];
    compare(&lab, &cases.map(Case::by_nobody));
}

#[test]
fn sockets_of_ones_own() {
    let mut lab = lab_of(&["files"]);
    let folder = lab.folder().join("own");
    std::fs::create_dir(&folder).expect("make a folder");
    std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).expect("give a folder away");
    lab.start_user_in("family", "family", NOBODY, &folder);
    lab.start_user_in("peer", "peer", NOBODY, &folder);
    let cases = [
        exact("-nP -i"),
        exact("-nP -p {family.pid}"),
        rows("-nP -U"),
        rows("-nP -E -p {peer.pid}"),
        rows("-nP +E -p {peer.pid}"),
        rows("-nP -i :{family.port}"),
        rows("-t -i :{family.port}"),
        rows("{dir}/own/family.txt"),
        rows("+D {dir}/own"),
        fields("-F -nP -p {peer.pid}"),
    ];
    compare(&lab, &cases.clone().map(Case::by_nobody));
    compare(&lab, &cases);
}

/// The files below `/proc/PID` are root's then.
#[test]
fn hidden_from_its_own_user() {
    let mut lab = lab_of(&[]);
    lab.start_user("hidden", "hidden", NOBODY);
    compare(
        &lab,
        &[
            exact("-p {hidden.pid}"),
            exact("-u nobody"),
            rows("-u root -c ^lsof"),
            fields("-F -p {hidden.pid}"),
        ],
    );
}

#[test]
fn folders_that_are_gone_or_elsewhere() {
    let lab = lab_of(&["gone", "chroot"]);
    compare(
        &lab,
        &[
            exact("-p {gone.pid}"),
            exact("-p {chroot.pid}"),
            exact("-a -d cwd,rtd -p {gone.pid},{chroot.pid}"),
            exact("-a -d cwd,rtd -c fx"),
            fields("-F -p {gone.pid},{chroot.pid}"),
            rows("{dir}/root"),
            rows("{dir}/root/inner"),
            rows("{dir}/root/inner/file"),
            rows("+D {dir}/root"),
            rows("+L1"),
        ],
    );
}

#[test]
fn the_dead_and_the_stopped() {
    let mut lab = lab_of(&["zombie", "long"]);
    lab.start_as("idle", "stopped", |_| {});
    lab.run("kill -STOP {stopped.pid}");
    compare(
        &lab,
        &[
            rows("-p {stopped.pid}"),
            rows("-c fx -c kfx"),
            rows(""),
            rows("-p {zombie.pid}"),
            nothing("-p {zombie.child}"),
            text("-p {zombie.child} -V"),
            rows("-p {zombie.child},{stopped.pid}"),
        ],
    );
}
