//! Names of hosts.

use std::fs;

use harness::Terminal;

use crate::{
    cast,
    session::{Session, USUAL, both},
};

/// I26: names replace numbers when they are known, and go again.
#[test]
fn hosts_have_names_or_numbers() {
    both(|program| {
        let pair = cast::pair();
        let terminal = Terminal::open(&pair.near.namespace, USUAL);
        // The file is another one for what runs in this terminal.
        let hosts = terminal.home().join("hosts");
        fs::write(&hosts, "10.77.0.2 two.test\n10.77.0.20 twenty.test\nfd77::2 six.test\n").unwrap();
        terminal.enter("exec unshare --mount sh");
        terminal.enter(&format!("mount --bind {} /etc/hosts && echo mounted $?", hosts.display()));
        terminal.wait_for("mounted 0");
        let session = Session::start_in(terminal, pair, program, "-N -P");
        let wait = |labels: &[&str]| {
            session.wait_for_rows(&format!("{labels:?}"), |rows| {
                labels.iter().all(|label| rows.iter().any(|row| row.right == *label)).then_some(())
            });
        };
        let names = ["two.test:5001", "twenty.test:5002", "[six.test]:5003", "10.77.0.10:5006"];
        let numbers = ["10.77.0.2:5001", "10.77.0.20:5002", "[fd77::2]:5003", "10.77.0.10:5006"];
        wait(&names);
        session.press_and_hear("n", "DNS resolution off");
        wait(&numbers);
        session.press_and_hear("n", "DNS resolution on");
        wait(&names);
    });
}
