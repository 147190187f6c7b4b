//! What is listed, and in which order.

use std::{
    fs,
    time::{Duration, Instant},
};

use harness::{
    NetPair, Sender, Terminal, Way,
    frames::{FAR_V4, NEAR_V4, protocol::UDP},
    screen::{Row, amount, is_near},
};

use crate::{
    cast::{self, PARTS, Part},
    session::{Program, Session, USUAL, both},
};

/// A flow to a port, with so many packets of 500 bytes a second.
pub(crate) fn flow(port: u16, per_second: u32) -> Part {
    let [near, far] = [(NEAR_V4.into(), 40_000), (FAR_V4.into(), port)];
    Part { way: Way::Sent, protocol: UDP, near, far, length: 500, per_second }
}

/// The right labels, from the top; each pair once.
fn right(rows: &[Row]) -> Vec<&str> {
    rows.iter().filter(|row| !row.right.is_empty()).map(|row| row.right.as_str()).collect()
}

fn wait_for_order(session: &Session, what: &str, order: &[&str]) {
    session.wait_for_rows(what, |rows| (right(rows) == order).then_some(()));
}

/// I31: a flow that has stopped, and a slow steady one.
#[test]
fn rows_are_sorted_by_the_chosen_average() {
    const STEADY: &str = "10.77.0.2:1";
    const STOPPED: &str = "10.77.0.2:2";
    both(|program| {
        let pair = NetPair::new();
        let session = Session::start(&pair, program, "-n -N -P", USUAL);
        let _steady = Sender::start(&pair, vec![flow(1, 10).stream()]);
        let burst = Sender::start(&pair, vec![flow(2, 400).stream()]);
        session.wait_for_rows("two rows with the burst on top", |rows| {
            let big = right(rows) == [STOPPED, STEADY] && amount(&rows[0].rates[0]) > 1_000_000.0;
            big.then_some(())
        });
        drop(burst);
        session.press_and_hear("1", "Sort by col 1");
        wait_for_order(&session, "the steady one is faster over 2 s", &[STEADY, STOPPED]);
        session.press_and_hear("2", "Sort by col 2");
        wait_for_order(&session, "the burst is part of the last 10 s", &[STOPPED, STEADY]);
        session.wait_for_rows("the burst is over for 10 s", |rows| {
            (right(rows) == [STEADY, STOPPED] && rows[2].rates[1] == "0b").then_some(())
        });
        session.press_and_hear("3", "Sort by col 3");
        wait_for_order(&session, "the burst is part of the last 40 s", &[STOPPED, STEADY]);
    });
}

/// I32: hosts are compared as text.
#[test]
fn rows_are_sorted_by_host() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n", USUAL);
        session.press_and_hear(">", "Sort by dest");
        wait_for_order(&session, "destinations", &["10.77.0.10", "10.77.0.2", "10.77.0.20", "fd77::2"]);
        session.press_and_hear("<", "Sort by source");
        session.wait_for_rows("sources, then traffic", |rows| {
            (right(rows) == ["10.77.0.2", "10.77.0.20", "10.77.0.10", "fd77::2"]).then_some(())
        });
    });
}

/// I33: what is listed keeps its place, and what comes is in the totals only.
#[test]
fn a_frozen_order_stays() {
    both(|program| {
        let pair = NetPair::new();
        let session = Session::start(&pair, program, "-n -N -P", USUAL);
        let first = Sender::start(&pair, vec![flow(1, 40).stream(), flow(2, 20).stream()]);
        wait_for_order(&session, "two rows", &["10.77.0.2:1", "10.77.0.2:2"]);
        session.press_and_hear("o", "Order frozen");
        let _bigger = Sender::start(&pair, vec![flow(3, 200).stream(), flow(2, 100).stream()]);
        session.wait("the bigger flow in the totals, and nowhere else", |screen| {
            let rows = screen.rows();
            assert_eq!(right(&rows), ["10.77.0.2:1", "10.77.0.2:2"], "{screen}");
            // The message stays until there is another.
            assert_eq!(screen.message().as_deref(), Some("Order frozen"), "{screen}");
            let all = f64::from(360 * 500 * 8);
            let of_second = f64::from(120 * 500 * 8);
            let tolerance = program.tolerance();
            let is_in_totals = is_near(&screen.totals()?.rates[0][0], all, tolerance);
            (is_in_totals && is_near(&rows[2].rates[0], of_second, tolerance)).then_some(())
        });
        drop(first);
        session.press_and_hear("o", "Order unfrozen");
        wait_for_order(&session, "all, in order", &["10.77.0.2:3", "10.77.0.2:2", "10.77.0.2:1"]);
    });
}

/// I35: the screen filter.
#[test]
fn the_screen_filter_acts_on_the_list_alone() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -P", USUAL);
        let all = || {
            session.wait_for_rows("all rows", |rows| (right(rows).len() == PARTS.len()).then_some(()));
        };
        let filter = |text: &str| {
            session.press("l");
            session.wait_for("Screen filter>");
            session.key("C-u");
            session.enter(text);
        };
        all();
        filter(r"0\.20:");
        wait_for_order(&session, "one row", &["10.77.0.20:5002"]);
        let [sent, received] = cast::total();
        session.wait("totals of all", |screen| {
            let rates = screen.totals()?.rates;
            let tolerance = program.tolerance();
            (is_near(&rates[0][1], sent * 8.0, tolerance) && is_near(&rates[1][1], received * 8.0, tolerance))
                .then_some(())
        });
        // Cancelled: it is as before, whatever was typed.
        session.press("l");
        session.wait_for(r"Screen filter> 0\.20:");
        session.press("xyz");
        session.wait_for(r"Screen filter> 0\.20:xyz");
        session.key("Escape");
        session.wait("the scale again", |screen| (!screen.line(0).contains("filter>")).then_some(()));
        wait_for_order(&session, "one row still", &["10.77.0.20:5002"]);
        // In the name of the service, in the other case.
        filter("DOMAIN");
        wait_for_order(&session, "one row by its service", &["10.77.0.2:domain"]);
        // A bad one removes the one before.
        filter("((");
        session.wait("what is wrong", |screen| {
            screen.message().filter(|message| message.to_lowercase().contains("invalid reg")).map(|_| ())
        });
        all();
        filter("ssh|6001");
        wait_for_order(&session, "either end", &["10.77.0.2:5004", "10.77.0.2:ssh"]);
        filter("");
        all();
    });
}

/// I39: the capture filter acts on what comes, for all that is shown.
#[test]
fn the_capture_filter_acts_on_what_is_counted() {
    both(|program| {
        let pair = NetPair::new();
        let _sender = Sender::start(&pair, vec![flow(1, 100).stream(), flow(2, 50).stream()]);
        let session = Session::start(&pair, program, "-n -N -P", USUAL);
        let filter = |text: &str, message: &str| {
            session.press("f");
            session.wait_for("Net filter>");
            session.key("C-u");
            session.enter(text);
            session
                .wait(message, |screen| screen.message().filter(|said| said.contains(message)).map(|_| ()));
        };
        let wait_for_rate = |what: &str, packets: u32| {
            session.wait(what, |screen| {
                let bits = f64::from(packets) * 500.0 * 8.0;
                is_near(&screen.totals()?.rates[0][0], bits, program.tolerance()).then_some(())
            });
        };
        wait_for_rate("both flows", 150);
        filter("udp port 2", "Installed new filter");
        wait_for_rate("the second alone", 50);
        // A bad one leaves the one before, which the next prompt begins with.
        filter("port (", "can't parse filter expression");
        session.press("f");
        session.wait_for("Net filter> udp port 2");
        session.key("Escape");
        wait_for_rate("still the second alone", 50);
        if program == Program::Flowtally {
            filter(&chains(), "the filter is too complex");
            wait_for_rate("the second alone, whatever the kernel refuses", 50);
        }
        filter("", "Installed new filter");
        wait_for_rate("both flows again", 150);
    });
}

/// A filter that libpcap takes, and that is too long when it is written out: each part is a loop.
fn chains() -> String {
    (1..=12).map(|number| format!("ip6 protochain {number}")).collect::<Vec<_>>().join(" or ")
}

/// A name server that does not answer holds up no key: what is pressed meanwhile happens before the filter is refused.
#[test]
fn a_filter_whose_names_are_looked_up_holds_up_nothing() {
    let pair = NetPair::new();
    pair.near.namespace.ip("route add default via 10.77.0.2");
    let terminal = Terminal::open(&pair.near.namespace, USUAL);
    // Behind the other host, which forwards nothing and says nothing.
    let servers = "nameserver 192.0.2.53\noptions timeout:2 attempts:1\n";
    fs::write(terminal.home().join("resolv.conf"), servers).unwrap();
    fs::write(terminal.home().join("nsswitch.conf"), "hosts: files dns\n").unwrap();
    terminal.enter(&format!(
        "unshare --mount sh -c 'for name in resolv.conf nsswitch.conf; do mount --bind $HOME/$name /etc/$name; done; \
         exec flowtally -i {} -n -N -P'; echo ended $?",
        pair.near.interface
    ));
    terminal.wait("the screen", |screen| screen.totals().map(drop));
    let said = |message: &str| {
        terminal.wait(message, |screen| screen.message().filter(|said| said.contains(message)).map(|_| ()));
    };
    let filter = || {
        terminal.press("f");
        terminal.wait_for("Net filter>");
        terminal.enter("host nowhere.example");
    };
    filter();
    terminal.press("P");
    said("Display paused");
    terminal.press("P");
    said("Display unpaused");
    said("unknown host");
    // Nor does it hold up the end.
    filter();
    said("is being compiled");
    terminal.press("q");
    terminal.wait_for("ended 0");
}

/// The keys that a prompt is edited with.
#[test]
fn a_prompt_is_edited() {
    const EDITS: [(&str, &str); 8] = [
        ("C-a", "one two three"),
        ("Delete", "ne two three"),
        ("End", "ne two three"),
        ("BSpace", "ne two thre"),
        // Whether the blank before the word goes too cannot be seen; in the original it does.
        ("C-w", "ne two"),
        ("Home", "ne two"),
        ("Right", "ne two"),
        ("BSpace", "e two"),
    ];
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -P", USUAL);
        session.press("l");
        session.wait_for("Screen filter>");
        // The original shows none.
        assert_eq!(session.state().cursor, program == Program::Flowtally, "{program:?}");
        session.press("one two three");
        session.wait_for("Screen filter> one two three");
        for (key, text) in EDITS {
            session.key(key);
            session.wait(&format!("'{text}' after {key}"), |screen| {
                (screen.line(0) == format!("Screen filter> {text}").trim_end()).then_some(())
            });
        }
        session.key("C-u");
        session.wait("nothing", |screen| (screen.line(0) == "Screen filter>").then_some(()));
        session.key("C-g");
        session.wait("the scale", |screen| (!screen.line(0).contains('>')).then_some(()));
        assert!(!session.state().cursor, "{program:?}: the cursor is hidden again");
    });
}

/// I36: in a pause everything stands still but the totals.
#[test]
fn a_pause_holds_rows_and_rates_but_not_totals() {
    /// A few redraws of either program.
    const PAUSED: Duration = Duration::from_secs(6);
    both(|program| {
        let pair = NetPair::new();
        let slow = Sender::start(&pair, vec![flow(1, 40).stream()]);
        let session = Session::start(&pair, program, "-n -N -P", USUAL);
        session.wait_for_rows("a row", |rows| {
            (right(rows) == ["10.77.0.2:1"] && is_near(&rows[0].rates[0], 160_000.0, 0.25)).then_some(())
        });
        session.press_and_hear("P", "Display paused");
        let before = session.screen();
        let begun = Instant::now();
        let fast = Sender::start(&pair, vec![flow(2, 400).stream()]);
        session.wait("six seconds of a pause", |screen| {
            assert_eq!(screen.rows(), before.rows(), "{screen}");
            let (now, then) = (screen.totals()?, before.totals()?);
            assert_eq!((now.rates, now.peak), (then.rates, then.peak), "{screen}");
            assert_eq!(screen.message().as_deref(), Some("Display paused"), "{screen}");
            (begun.elapsed() > PAUSED && amount(&now.cumulative[0]) > 1_000_000.0).then_some(())
        });
        session.press_and_hear("P", "Display unpaused");
        session.wait("the rates of now, and averages of what was", |screen| {
            let rows = screen.rows();
            let came = right(&rows) == ["10.77.0.2:2", "10.77.0.2:1"]
                && is_near(&rows[0].rates[0], 1_600_000.0, program.tolerance());
            came.then_some(())
        });
        drop((slow, fast));
    });
}

/// I34: the list moves by pairs. At its end it stops, where the original goes on to nothing.
#[test]
fn the_list_scrolls() {
    let labels: Vec<String> = PARTS.iter().map(|part| part.labels()[1].clone()).collect();
    both(|program| {
        // Room for one pair.
        let session = Session::start(cast::pair(), program, "-n -N -P", (100, 8));
        let wait = |what: &str, place: usize| wait_for_order(&session, what, &[&labels[place]]);
        wait("the first", 0);
        session.press("jjj");
        wait("the fourth", 3);
        session.press("k");
        wait("the third", 2);
        session.press(&"j".repeat(2 * PARTS.len()));
        if program == Program::Original {
            session.wait_for_rows("nothing", |rows| rows.is_empty().then_some(()));
            return;
        }
        wait("the last", PARTS.len() - 1);
        session.press("k");
        wait("the last but one", PARTS.len() - 2);
        session.press(&"k".repeat(2 * PARTS.len()));
        wait("the first again", 0);
    });
}
