//! What keys say, and what they do to the list.

use harness::screen::{Row, is_near};

use crate::{
    cast::{self, PARTS},
    session::{Program, Session, USUAL, both, each},
};

/// Section 4: the message of each key in each of its states.
#[test]
fn each_key_says_what_it_does() {
    const MESSAGES: [(&str, &str); 40] = [
        ("n", "DNS resolution on"),
        ("n", "DNS resolution off"),
        ("N", "Port resolution off"),
        ("N", "Port resolution on"),
        ("s", "Hide source host"),
        ("s", "Show source host"),
        ("d", "Hide dest host"),
        ("d", "Show dest host"),
        // From each of the four states with each of the three keys.
        ("S", "Port display SOURCE"),
        ("S", "Port display OFF"),
        ("D", "Port display DEST"),
        ("D", "Port display OFF"),
        ("p", "Port display ON"),
        ("S", "Port display DEST"),
        ("S", "Port display ON"),
        ("D", "Port display SOURCE"),
        ("D", "Port display ON"),
        ("p", "Port display OFF"),
        ("S", "Port display SOURCE"),
        ("p", "Port display OFF"),
        ("D", "Port display DEST"),
        ("p", "Port display OFF"),
        ("t", "One line per host"),
        ("t", "Received traffic only"),
        ("t", "Sent traffic only"),
        ("t", "Two lines per host"),
        ("B", "Bars show 40s average"),
        ("B", "Bars show 2s average"),
        ("B", "Bars show 10s average"),
        ("T", "Show cumulative totals"),
        ("T", "Hide cumulative totals"),
        ("L", "Logarithmic scale"),
        ("L", "Linear scale"),
        ("1", "Sort by col 1"),
        ("2", "Sort by col 2"),
        ("3", "Sort by col 3"),
        ("<", "Sort by source"),
        (">", "Sort by dest"),
        ("!", "Sorry, subshells have been disabled."),
        ("x", "Press H or ? for help"),
    ];
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n", USUAL);
        for (key, message) in MESSAGES {
            session.press_and_hear(key, message);
        }
        // A message goes by itself.
        session.wait_for_silence();
    });
}

/// A row's two labels, as they must be for each state of the ports; no port is there for ICMP.
#[test]
fn ports_are_shown_as_each_state_has_them() {
    // The key that leads there from the state before, and which ports are there then.
    const STATES: [(&str, [bool; 2]); 8] = [
        ("p", [true, true]),
        ("S", [false, true]),
        ("D", [false, false]),
        ("S", [true, false]),
        ("D", [true, true]),
        ("D", [true, false]),
        ("p", [false, false]),
        ("D", [false, true]),
    ];
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -N", USUAL);
        session.wait_for_rows("no ports", |rows| shows_ports(rows, [false, false]).then_some(()));
        for (key, ports) in STATES {
            session.press(key);
            session.wait_for_rows(&format!("ports {ports:?} after {key}"), |rows| {
                shows_ports(rows, ports).then_some(())
            });
        }
    });
}

fn shows_ports(rows: &[Row], ports: [bool; 2]) -> bool {
    PARTS.iter().all(|part| {
        let with = part.labels();
        let without = [part.near.0, part.far.0].map(|address| address.to_string());
        let [left, right] = [0, 1].map(|end| if ports[end] { &with[end] } else { &without[end] });
        rows.iter().any(|row| row.left == *left && row.right == *right)
    }) && (ports == [true, true] || rows.iter().all(|row| !both_have_ports(row)))
}

/// IPv6 addresses with ports are in brackets.
fn both_have_ports(row: &Row) -> bool {
    let has_port = |label: &str| label.starts_with('[') || label.matches(':').count() == 1;
    has_port(&row.left) && has_port(&row.right)
}

/// I30: without ports, everything between two hosts is one row, whatever its protocol.
#[test]
fn without_ports_protocols_are_one_row() {
    let of_pair = PARTS.iter().filter(|part| part.far.0 == PARTS[0].far.0);
    let [sent, received] = of_pair.fold([0.0; 2], |[sent, received], part| {
        let [more_sent, more_received] = part.rates();
        [sent + more_sent, received + more_received]
    });
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n", USUAL);
        session.wait_for_rows("one row with the sums", |rows| {
            let near = |row: &Row, bytes: f64| is_near(&row.rates[1], bytes * 8.0, program.tolerance());
            let of_pair: Vec<_> = rows.chunks(2).filter(|pair| pair[0].right == "10.77.0.2").collect();
            (of_pair.len() == 1 && near(&of_pair[0][0], sent) && near(&of_pair[0][1], received)).then_some(())
        });
    });
}

/// I27: services by name or by number.
#[test]
fn services_have_names_or_numbers() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -P", USUAL);
        let wait = |labels: [&str; 2]| {
            session.wait_for_rows(&format!("{labels:?}"), |rows| {
                labels.iter().all(|label| rows.iter().any(|row| row.right == *label)).then_some(())
            });
        };
        wait(["10.77.0.2:domain", "10.77.0.2:ssh"]);
        session.press_and_hear("N", "Port resolution off");
        wait(["10.77.0.2:53", "10.77.0.2:22"]);
        session.press_and_hear("N", "Port resolution on");
        wait(["10.77.0.2:domain", "10.77.0.2:ssh"]);
    });
}

/// I28: rows of hidden hosts, and their sums.
#[test]
fn hidden_hosts_are_stars_and_their_rows_sums() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -N -P", USUAL);
        session.press_and_hear("s", "Hide source host");
        session.wait_for_rows("hidden sources", |rows| {
            let has = |left: &str| rows.iter().any(|row| row.left == left);
            (has("* :40001") && has("[ * ]:40003") && has("*")).then_some(())
        });
        session.press_and_hear("d", "Hide dest host");
        session.press_and_hear("p", "Port display OFF");
        // One row for each family is left.
        let [sent, received] = cast::total();
        let v6 = PARTS.iter().find(|part| part.near.0.is_ipv6()).unwrap().rates()[0];
        session.wait_for_rows("two rows of stars", |rows| {
            let [v4_sent, v4_received, v6_sent, _] = rows else { return None };
            let near = |row: &Row, bytes: f64| is_near(&row.rates[1], bytes * 8.0, program.tolerance());
            let stars = rows.chunks(2).all(|pair| pair[0].left == "*" && pair[0].right == "*");
            (stars && near(v4_sent, sent - v6) && near(v4_received, received) && near(v6_sent, v6))
                .then_some(())
        });
        session.press_and_hear("s", "Show source host");
        session.press_and_hear("d", "Show dest host");
        session.press_and_hear("p", "Port display ON");
        session.wait_for_rows("everything again", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
    });
}

/// I37: the help page is in the place of the rows, and nothing else goes.
#[test]
fn help_takes_the_place_of_the_rows() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -P", USUAL);
        session.wait_for_rows("rows", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
        for key in ["h", "?"] {
            session.press(key);
            let screen = session.wait("help", |screen| {
                let text = screen.text().to_lowercase();
                let helps = ["freeze", "scale", "port"].iter().all(|word| text.contains(word));
                (helps && screen.rows().len() < 2).then(|| screen.clone())
            });
            assert!(screen.is_rule(1) && screen.totals().is_some(), "{screen}");
            let before = screen.totals().unwrap().cumulative;
            session.wait("totals that go on", |screen| (screen.totals()?.cumulative != before).then_some(()));
            session.press(key);
            session.wait_for_rows("rows again", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
        }
    });
}

/// Every key of the help page of the program under test is on it, those that iftop does not have too.
#[test]
fn help_has_every_key() {
    const SIZES: [(u16, u16); 3] = [(80, 24), (60, 40), (200, 24)];
    each(&SIZES, |size| {
        let session = Session::start(cast::pair(), Program::Flowtally, "-n", *size);
        session.press("h");
        for key in [
            "n", "N", "s", "d", "S", "D", "p", "t", "b", "B", "T", "L", "j", "k", "1", "2", "3", "<", ">",
            "o", "l", "f", "P", "h", "?", "q", "g", "Enter", "i", "/", "e", "r",
        ] {
            session.wait(&format!("{key} on the help page"), |screen| {
                let text = screen.text();
                text.split_whitespace().any(|word| word == key).then_some(())
            });
        }
    });
}
