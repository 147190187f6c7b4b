//! What is mounted at another place than usual, or in another mount namespace; and what is called otherwise than it was.

use crate::compare::{compare, lab_of, listed, rows};

#[test]
fn message_queues_are_known_wherever_their_file_system_is() {
    let mut lab = lab_of(&[]);
    lab.run("mkdir {dir}/here");
    lab.run("mount -t mqueue none {dir}/here");
    lab.start("peer");
    compare(
        &lab,
        &[
            rows("-a -p {peer.pid} -d {peer.queue}"),
            rows("-E -a -p {peer.pid} -d {peer.queue}"),
            rows("+E -a -p {peer.pid} -d {peer.queue}"),
        ],
    );
    assert!(listed(&lab, "-a -p {peer.pid} -d {peer.queue} -Ft").contains(&"tPSXMQ".to_owned()));
    lab.run("umount {dir}/here");

    lab.start("elsewhere");
    let found = listed(&lab, "-a -p {elsewhere.pid} -d {elsewhere.queue} -Ft");
    assert!(found.contains(&"tPSXMQ".to_owned()), "{found:?}");
    // Those of one IPC namespace are on one file system: by its device it is known of all of them.
    let ends = listed(&lab, "+E -a -p {peer.pid} -d {peer.queue} -Fpftn");
    let own = lab.fill("p{peer.peer} f{peer.queue-other}");
    assert!(own.iter().all(|line| ends.contains(line)), "{own:?} in {ends:?}");
}

#[test]
fn terminals_of_two_file_systems_are_not_each_others_ends() {
    let lab = lab_of(&["elsewhere"]);
    for (name, other) in [("first", "second"), ("second", "first")] {
        for (end, far) in [("main", "side"), ("side", "main")] {
            let found =
                listed(&lab, &format!("-E -a -p {{elsewhere.pid}} -d {{elsewhere.{name}-{end}}} -Fn"));
            let named = |name: &str| {
                lab.fill(&format!("{{elsewhere.pid}},fx-elsewh,{{elsewhere.{name}-{far}}}u")).concat()
            };
            let line = found.last().expect("a name");
            assert!(line.contains(&named(name)) && !line.contains(&named(other)), "{name} {end}: {found:?}");
        }
    }
}

#[test]
fn a_file_that_is_mapped_in_another_mount_namespace_has_its_size() {
    let lab = lab_of(&["elsewhere"]);
    let found = listed(&lab, "-a -p {elsewhere.mapped} -d mem -Fftskn");
    let library = lab.fill("n{elsewhere.library} s{elsewhere.library-length}");
    let name = found.iter().position(|line| *line == library[0]).unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(
        found[name - 4..name],
        ["fmem".to_owned(), "tREG".to_owned(), library[1].clone(), "k1".to_owned()]
    );
}

#[test]
fn a_unix_socket_that_was_bound_to_a_relative_path_is_found_by_its_file() {
    let lab = lab_of(&["relative"]);
    compare(&lab, &[rows("relative.sock"), rows("-a -U -p {relative.pid}")]);
    for (name, fd) in [
        ("relative.sock", "{relative.bound}"),
        ("after.sock", "{relative.moved}"),
        ("link.sock", "{relative.bound}"),
    ] {
        let found = listed(&lab, &format!("-Fpfn {{dir}}/{name}"));
        let expected = lab.fill(&format!("p{{relative.pid}} f{fd}"));
        assert_eq!(found[..2], expected, "{found:?}");
        assert!(found[2].starts_with(&lab.fill(&format!("n{{dir}}/{name}"))[0]), "{found:?}");
        assert_eq!(listed(&lab, &format!("-t {{dir}}/{name}")), lab.fill("{relative.pid}"));
    }
}
