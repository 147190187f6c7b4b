//! What it is started in: streams that are closed or full, small stacks, user namespaces.

use std::process::Command;

use harness::{NetPair, Outcome, PATIENCE, agent::program, lab::outcome};

/// Commands that print, and end by themselves.
const COMMANDS: [&str; 8] = [
    "report -i lo --seconds 1",
    "-t -i lo -s 1",
    "inspect --seconds 0 1",
    "deleted",
    "lsof -nP -p 1",
    "--help",
    "--version",
    "report --help",
];

/// All commands that end by themselves, with what they print when all is well.
const ALL: [&str; 6] = [
    "doctor",
    "agent --check",
    "history /nonexistent",
    "agent status --socket /nonexistent",
    "recover --pid $$ --fd 0 --output -",
    "agent -i lo --no-log --socket /dev/null/socket",
];

/// Runs a line of a shell in which `$PROGRAM` is the program under test.
fn shell(line: &str) -> Outcome {
    let pair = NetPair::new();
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .env("PROGRAM", program())
        .env("HOME", "/nonexistent")
        .env_remove("XDG_CONFIG_HOME");
    pair.near.namespace.enter(|| outcome(command, PATIENCE))
}

#[test]
fn what_cannot_be_printed_is_an_error_in_words() {
    for command in COMMANDS {
        for (to, why) in [
            (">&-", "standard output is closed"),
            ("1</dev/null", "standard output is not open for writing"),
            (">/dev/full", "No space left on device"),
        ] {
            let ended = shell(&format!("\"$PROGRAM\" {command} {to}"));
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status, Some(1), "{command} {to}: {said}");
            assert!(said.contains(why), "{command} {to}: {said}");
        }
        // As a daemon has it; and std would put the same in the place of what is closed.
        for to in ["1<>/dev/null", ">/dev/null 2>&- <&-"] {
            let ended = shell(&format!("\"$PROGRAM\" {command} {to}"));
            assert_eq!(ended.status, Some(0), "{command} {to}: {}", String::from_utf8_lossy(&ended.stderr));
        }
    }
}

#[test]
fn what_cannot_be_printed_is_found_before_it_measures() {
    let ended = shell("\"$PROGRAM\" report -i lo --seconds 3600 >&-");
    assert_eq!(ended.status, Some(1));
}

#[test]
fn a_small_stack_is_enough() {
    // The environment lies there too: of 16 KB a large one leaves the dynamic linker too little.
    for limit in ["32", "64", "unlimited"] {
        for command in COMMANDS {
            let ended = shell(&format!("ulimit -s {limit} && exec \"$PROGRAM\" {command} >/dev/null"));
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status, Some(0), "ulimit -s {limit}: {command}: {said}");
        }
    }
}

/// However few descriptors there are, it ends with words, and where it goes on, with what it was asked for.
#[test]
fn few_descriptors_are_an_error_in_words() {
    // doctor's page says how the host is.
    let silent = |command: &str| command == "doctor";
    // With fewer than four the dynamic linker opens no library.
    for limit in (4..12).chain([14, 20, 32, 64]) {
        for command in COMMANDS.iter().chain(&ALL) {
            let ended = shell(&format!("ulimit -n {limit} && exec \"$PROGRAM\" {command}"));
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(
                matches!(ended.status, Some(0..=2)),
                "ulimit -n {limit}: {command}: {:?}: {said}",
                ended.status
            );
            assert!(!said.contains("panicked"), "ulimit -n {limit}: {command}: {said}");
            assert!(
                ended.status == Some(0) || !said.is_empty() || silent(command),
                "ulimit -n {limit}: {command}"
            );
            // What is left out for that is told.
            assert!(
                limit > 6 || !command.starts_with("lsof") || said.contains("ulimit -n"),
                "ulimit -n {limit}: {command}: {said}"
            );
            if command.starts_with("report -i") && said.contains("Too many open files") {
                assert!(said.contains("ulimit -n"), "ulimit -n {limit}: {command}: {said}");
            }
        }
    }
}

/// The kernel ends a process that writes beyond this limit, unless it asks to be told.
#[test]
fn the_limit_on_files_is_an_error_in_words() {
    let ended = shell(
        // What is printed goes to a pipe, for which there is no such limit.
        r#"folder=$(mktemp -d) && cd $folder && echo FORMER >former
           said() { echo "ended with $?"; }
           { (
               ulimit -f 0
               "$PROGRAM" report -i lo --seconds 1 --output former; said
               "$PROGRAM" recover --pid $$ --fd txt --output copy; said
               "$PROGRAM" --help >help; said
               "$PROGRAM" lsof -nP -p 1 >lsof; said
           ) 2>&1; cat former; } | cat
           rm -r $folder"#,
    );
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(said.matches("ended with 1\n").count(), 4, "{said}");
    assert_eq!(said.matches("ulimit -f").count(), 4, "{said}");
    assert!(said.ends_with("\nFORMER\n"), "{said}");
}

/// An empty folder has no processes in it, which is not the same as that nothing is open.
#[test]
fn without_proc_nothing_is_said_of_processes() {
    for command in
        ["lsof", "lsof -nP -p 1", "deleted", "inspect --seconds 0 1", "recover --pid 1 --fd 0 --output -"]
    {
        let ended =
            shell(&format!("unshare -m sh -c 'mount -t tmpfs none /proc && exec \"$PROGRAM\" {command}'"));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status, Some(1), "{command}: {said}");
        assert!(
            said.contains("/proc is not mounted") && said.contains("mount -t proc proc /proc"),
            "{command}: {said}"
        );
        assert!(ended.stdout.is_empty(), "{command}: {}", String::from_utf8_lossy(&ended.stdout));
    }
}

/// A reader that has enough is no failure, and does not hide how a host is.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for command in COMMANDS.iter().chain(&["recover --pid $$ --fd txt --output -"]) {
        let ended = shell(&format!("{{ \"$PROGRAM\" {command}; echo \"ended with $?\" >&2; }} | :"));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("ended with 0\n") && !said.contains("roken pipe"), "{command}: {said}");
    }
    let status = |to: &str| {
        let ended = shell(&format!("{{ \"$PROGRAM\" doctor; echo \"ended with $?\" >&2; }} {to}"));
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    assert_eq!(status("| :"), status(">/dev/null"));
}

#[test]
fn the_root_of_a_user_namespace_is_told_so() {
    for options in ["-Ur", "-U"] {
        let ended = shell(&format!("unshare {options} \"$PROGRAM\" report -i lo --seconds 1"));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status, Some(1), "{said}");
        assert!(said.starts_with("flowtally: ") && said.contains("/proc/self/uid_map: "), "{said}");
        assert!(said.contains("as root of the host") && !said.contains("has the rights"), "{said}");
    }
}

/// What iftop prints about interfaces is as iftop prints it.
#[test]
fn every_message_begins_with_the_name_of_the_program() {
    const IFTOPS: [&str; 4] = ["interface: ", "IP address is: ", "IPv6 address is: ", "MAC address is: "];
    for (name, arguments, message) in [
        ("flowtally", "-t -i lo -s 1", "host names are those of /etc/hosts alone"),
        ("iftop", "-t -i lo -s 1", "host names are those of /etc/hosts alone"),
        ("flowtally", "report -i lo --seconds 1 --resolve", "host names are those of /etc/hosts alone"),
        ("flowtally", "report -i nosuch", "no interface is called 'nosuch'"),
        ("flowtally", "report --nosuch", "unexpected argument '--nosuch'"),
        ("flowtally", "report -f nosuch", "-f: "),
        ("iftop", "-t -i lo -f nosuch", "set_filter_code: "),
    ] {
        // A resolver that has nobody to ask, for this process alone.
        let ended = shell(&format!(
            "folder=$(mktemp -d) && ln -s \"$PROGRAM\" $folder/{name} && echo nameserver none >$folder/resolv &&
             unshare -m sh -c \"mount --bind $folder/resolv /etc/resolv.conf && exec $folder/{name} {arguments} >/dev/null\"
             rm -r $folder"
        ));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains(&format!("{name}: {message}")), "{name} {arguments}: {said}");
        // A usage is the rest of one message.
        for line in said.lines().take_while(|line| !line.is_empty()) {
            let own = line.starts_with(&format!("{name}: ")) || line.starts_with(' ');
            assert!(
                own || IFTOPS.iter().any(|start| line.starts_with(start)),
                "{name} {arguments}: {line:?}"
            );
        }
    }
}

/// What the kernel shows of itself may be missing, as in a chroot: the remedy is named.
#[test]
fn without_proc_or_sys_the_remedy_is_named() {
    let without = |what: &str, command: &str| {
        let ended =
            shell(&format!("unshare --mount sh -c 'umount -l /{what} && exec \"$PROGRAM\" {command}'"));
        let all = [ended.stdout, ended.stderr].concat();
        (ended.status, String::from_utf8_lossy(&all).into_owned())
    };
    let (status, said) = without("proc", "doctor");
    assert!(status != Some(0) && said.contains("-> mount -t proc proc /proc"), "{said}");
    for command in ["doctor", "report --seconds 1", "agent --check"] {
        let (status, said) = without("sys", command);
        assert!(status != Some(0) && said.contains("mount -t sysfs sysfs /sys"), "{command}: {said}");
    }
}
