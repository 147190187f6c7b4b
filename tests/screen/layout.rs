//! Where things are: the scale, the columns, the bars, at every size.

use harness::{
    NetPair, Screen, Sender, Way,
    frames::{FAR_V4, NEAR_V4, protocol::UDP},
    screen::{Row, amount, is_near},
    terminal::Size,
};

use crate::{
    cast::{self, PARTS, Part},
    session::{Program, Session, USUAL, both, each},
};

/// The lines and columns of the specification, section 5, at each size.
#[test]
fn rows_and_columns_follow_the_size() {
    const SIZES: [Size; 6] = [(80, 24), (100, 24), (60, 24), (200, 50), (100, 8), (40, 24)];
    both(|program| {
        each(&SIZES, |size| {
            // Where ends have no room, they are cut under iftop's name alone.
            let is_narrow = program == Program::Flowtally && size.0 < 60;
            let program = if is_narrow { Program::Iftop } else { program };
            let session = Session::start(cast::pair(), program, "-n -N -P", *size);
            check_size(&session, *size);
        });
    });
}

/// Addresses and ports are whole at every size, beside the amounts that there is room for.
#[test]
fn long_ends_are_whole_at_every_size() {
    const SIZES: [Size; 5] = [(100, 24), (80, 24), (60, 24), (40, 24), (30, 24)];
    let end = |address: &str, port| (address.parse().unwrap(), port);
    let part = Part {
        way: Way::Sent,
        protocol: UDP,
        near: end("2001:db8:1111:2222:3333:4444:5555:6666", 40_123),
        far: end("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 50_443),
        length: 1000,
        per_second: 100,
    };
    let pair = NetPair::new();
    let _sender = Sender::start(&pair, vec![part.stream()]);
    each(&SIZES, |size| {
        let session = Session::start(&pair, Program::Flowtally, "-n -N -P", *size);
        session.wait(&format!("both ends whole on {} columns", size.0), |screen| {
            let lines = (2..screen.height() - 4).map(|line| screen.line(line).trim_end().to_owned());
            let lines: Vec<String> = lines.collect();
            let text = lines.concat();
            let rate = lines.iter().any(|line| {
                line.split_whitespace().last().is_some_and(|word| is_near(word, 800_000.0, 0.05))
            });
            (part.labels().iter().all(|label| text.contains(label)) && rate).then_some(())
        });
    });
}

/// The layout follows a terminal that changes its size while the screen is there.
#[test]
fn the_layout_follows_a_resize() {
    let session = Session::start(cast::pair(), Program::Flowtally, "-n -N -P", USUAL);
    for size in [(80, 20), (60, 8), (200, 50), USUAL] {
        session.resize(size);
        check_size(&session, size);
    }
    // Too small for anything, and back.
    for size in [(12, 3), (4, 2), (1, 1)] {
        session.resize(size);
        session.wait("the small screen", |screen| (screen.height() == usize::from(size.1)).then_some(()));
    }
    session.resize(USUAL);
    check_size(&session, USUAL);
}

fn check_size(session: &Session, (columns, lines): Size) {
    let (columns, lines) = (usize::from(columns), usize::from(lines));
    let fits = (2..lines - 5).step_by(2).len().min(PARTS.len());
    let screen = session.wait(&format!("the list at {columns} x {lines}"), |screen| {
        let rows = screen.rows();
        let is_there = screen.height() == lines
            && screen.width() == columns
            && rows.len() == 2 * fits
            && has_rates(&rows, session.program);
        is_there.then(|| screen.clone())
    });
    assert!(screen.is_rule(1), "no scale at line 1\n{screen}");
    assert!(screen.is_rule(lines - 4), "no rule at line {}\n{screen}", lines - 4);
    let host = (columns - 28) / 2;
    for (pair, part) in screen.rows().chunks(2).zip(&PARTS) {
        let [left, right] = part.labels();
        assert_eq!([pair[0].arrow.as_str(), pair[1].arrow.as_str()], [" => ", " <= "], "{screen}");
        assert_eq!(pair[1].left, "", "{screen}");
        assert_eq!(pair[1].right, "", "{screen}");
        for (shown, label) in [(&pair[0].left, left), (&pair[0].right, right)] {
            assert_eq!(*shown, fitted(&label, host), "{screen}");
        }
    }
    if session.program == Program::Original && columns < 80 {
        // Its totals overlap.
        return;
    }
    let [sent, received] = cast::total();
    let totals = session.wait("the totals", |screen| {
        let totals = screen.totals()?;
        let near = |line: usize, bytes: f64| {
            totals.rates[line].iter().all(|rate| is_near(rate, bytes * 8.0, session.program.tolerance()))
        };
        (near(0, sent) && near(1, received) && near(2, sent + received)).then_some(totals)
    });
    if columns >= 80 {
        let [sent, received, both] = totals.cumulative.map(|bytes| amount(&bytes));
        assert!(sent > received && (sent + received - both).abs() <= both * 0.01, "{screen}");
        assert_eq!(screen.at(lines - 3, 16..22).trim(), "cum:", "{screen}");
        assert_eq!(screen.at(lines - 3, 32..39).trim(), "peak:", "{screen}");
        assert_eq!(screen.at(lines - 3, columns - 32..columns - 24).trim(), "rates:", "{screen}");
    }
}

/// Whether each pair has come to the rates of its part.
fn has_rates(rows: &[Row], program: Program) -> bool {
    rows.chunks(2).zip(&PARTS).all(|(pair, part)| {
        pair.iter()
            .zip(part.rates())
            .all(|(row, bytes)| row.rates.iter().all(|rate| is_near(rate, bytes * 8.0, program.tolerance())))
    })
}

/// A label in so many columns: a host that is too long loses its end to the port.
fn fitted(label: &str, columns: usize) -> String {
    if label.len() <= columns {
        return label.to_owned();
    }
    let (host, port) = match label.rfind(':') {
        Some(at) if label.starts_with('[') || label.matches(':').count() == 1 => label.split_at(at),
        _ => (label, ""),
    };
    let room = columns.saturating_sub(port.len());
    format!("{}{port}", &host[..room.min(host.len())]).chars().take(columns).collect()
}

/// I17 and I18: the labels of `-m`, of both scales.
#[test]
fn the_scale_has_the_labels_and_ticks_of_its_end() {
    const SCALES: [(&str, [&str; 5]); 4] = [
        ("100M", ["20.0Mb", "40.0Mb", "60.0Mb", "80.0Mb", "100Mb"]),
        ("1G", ["205Mb", "410Mb", "614Mb", "819Mb", "1.00Gb"]),
        ("10K", ["2.00Kb", "4.00Kb", "6.00Kb", "8.00Kb", "10.0Kb"]),
        ("500", ["100b", "200b", "300b", "400b", "500b"]),
    ];
    let silent = NetPair::new();
    each(&SCALES, |(end, labels)| {
        let arguments = format!("-n -m {end}");
        let scales = both(|program| {
            let session = Session::start(&silent, program, &arguments, USUAL);
            let linear = session.wait_for_silence();
            assert_eq!(
                linear.line(0).split_whitespace().collect::<Vec<_>>(),
                labels,
                "{program:?}\n{linear}"
            );
            for (label, column) in labels.iter().zip([20, 40, 60, 80, 100]) {
                let begin = column.min(USUAL.0.into()) - if column == 100 { label.len() } else { 0 };
                assert_eq!(linear.at(0, begin..begin + label.len()), *label, "{program:?}\n{linear}");
            }
            session.press_and_hear("L", "Logarithmic scale");
            let logarithmic = session.wait_for_silence();
            session.press_and_hear("L", "Linear scale");
            let again = session.wait_for_silence();
            assert_eq!(scale(&again), scale(&linear));
            [scale(&linear), scale(&logarithmic)]
        });
        assert_eq!(scales[0], scales[1], "-m {end}");
    });
}

/// I19, and the same in bits.
#[test]
fn the_smallest_scale_is_that_of_silence() {
    const SCALES: [(&str, &str); 2] =
        [("-n -B", "1.56KB 3.12KB 4.69KB 6.25KB 7.81KB"), ("-n", "12.5Kb 25.0Kb 37.5Kb 50.0Kb 62.5Kb")];
    let silent = NetPair::new();
    both(|program| {
        each(&SCALES, |(arguments, labels)| {
            let screen = Session::start(&silent, program, arguments, USUAL).wait_for_silence();
            assert_eq!(screen.line(0).split_whitespace().collect::<Vec<_>>().join(" "), *labels, "{screen}");
        });
    });
}

/// The two lines of the scale; lines are letters where they cannot be shown.
fn scale(screen: &Screen) -> [String; 2] {
    let letters = |char| match char {
        '─' => 'q',
        '└' => 'm',
        '┴' => 'v',
        char => char,
    };
    [0, 1].map(|line| screen.line(line).chars().map(letters).collect())
}

/// I20: the smallest step that fits, and never a smaller one again.
#[test]
fn the_automatic_scale_grows_and_never_shrinks() {
    let pair = NetPair::new();
    let session = Session::start(&pair, Program::Flowtally, "-n -P", USUAL);
    // Bits a second, and the right end of the scale that has room for it.
    for (rate, end) in [(50_000, "62.5Kb"), (90_000, "125Kb"), (5_000_000, "9.54Mb")] {
        let sender = Sender::start(&pair, vec![flow(rate).stream()]);
        session.wait(&format!("a scale to {end} for {rate} bit/s"), |screen| {
            let rates = screen.rows().first()?.rates.clone();
            let has_come = is_near(&rates[0], f64::from(rate), 0.1);
            (has_come && screen.line(0).ends_with(end)).then_some(())
        });
        drop(sender);
    }
    session.wait("silence", |screen| (screen.rows().first()?.rates[1] == "0b").then_some(()));
    assert!(session.screen().line(0).ends_with("9.54Mb"), "{}", session.screen());
}

/// A flow with so many bits a second.
fn flow(bits: u32) -> Part {
    const LENGTH: usize = 1000;
    let per_second = bits / 8 / 1000;
    let [near, far] = [(NEAR_V4.into(), 40_001), (FAR_V4.into(), 5001)];
    // Small rates in whole packets a second.
    let (length, per_second) =
        if per_second < 40 { (bits as usize / 8 / 40, 40) } else { (LENGTH, per_second) };
    Part { way: Way::Sent, protocol: UDP, near, far, length, per_second }
}

/// I21: `-b` and the key.
#[test]
fn without_bars_there_is_a_plain_rule_and_a_line_more() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -N -P -b -m 10M", USUAL);
        let check_without = || {
            let screen = session.wait("no bars", |screen| {
                let rows = screen.rows();
                (screen.is_rule(0) && rows.len() == 2 * PARTS.len() && rows[0].line == 1)
                    .then(|| screen.clone())
            });
            assert!((0..screen.height()).all(|line| screen.bar(line) == 0), "{screen}");
            assert!(!screen.is_rule(1), "{screen}");
        };
        check_without();
        session.press_and_hear("b", "Bars on");
        session.wait("bars", |screen| {
            let rows = screen.rows();
            (screen.is_rule(1) && rows.first()?.line == 2 && screen.bar(2) > 0).then_some(())
        });
        session.press_and_hear("b", "Bars off");
        session.wait_for_silence();
        check_without();
    });
}

/// I22 and I23: bars are as long as the rate of the chosen time.
#[test]
fn bars_are_as_long_as_the_average_they_show() {
    const BITS: u32 = 1024 * 1024;
    both(|program| {
        let pair = NetPair::new();
        let sender = Sender::start(&pair, vec![flow(281_000).stream()]);
        let session = Session::start(&pair, program, "-n -P -m 1M", USUAL);
        // Column 27 is the last of 28: 100 x 281 / 1049 is 26.8.
        let bar = |screen: &Screen| screen.bar(2);
        session.wait("a bar of 27 columns, two more or less", |screen| {
            (screen.message().is_none() && (25..=29).contains(&bar(screen))).then_some(())
        });
        let screen = session.screen();
        assert_eq!(screen.bar(3), 0, "nothing is received\n{screen}");
        assert_eq!(screen.bar(21), screen.bar(2), "TX has the bar of its only flow\n{screen}");
        assert_eq!((screen.bar(22), screen.bar(23)), (0, 0), "{screen}");
        // Silence: the averages part.
        drop(sender);
        session.wait("0b over 2 s", |screen| (screen.rows().first()?.rates[0] == "0b").then_some(()));
        for (window, message) in [(2, "40s"), (0, "2s"), (1, "10s")] {
            session.press_and_hear("B", &format!("Bars show {message} average"));
            session.wait(&format!("a bar of the {message} average"), |screen| {
                let rate = amount(&screen.rows().first()?.rates[window]);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a column")]
                let columns = (f64::from(USUAL.0) * rate / f64::from(BITS)) as usize;
                let expected = if columns == 0 { 0 } else { columns + 1 };
                (bar(screen).abs_diff(expected) <= 1).then_some(())
            });
        }
    });
}

/// I24: the column of totals, in bytes whatever the unit of rates is.
#[test]
fn the_column_of_totals() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -N -P", USUAL);
        session.press_and_hear("T", "Show cumulative totals");
        let first = session.wait("totals", |screen| {
            let rows = screen.rows_with_totals();
            let counted = rows.len() == 2 * PARTS.len() && rows.iter().all(|row| row.total.ends_with('B'));
            (counted && amount(&rows[0].total) > 0.0).then_some(rows)
        });
        for (pair, part) in first.chunks(2).zip(&PARTS) {
            assert_eq!([&pair[0].left, &pair[0].right], part.labels().each_ref());
            for (row, rate) in pair.iter().zip(part.rates()) {
                assert_eq!(amount(&row.total) > 0.0, rate > 0.0, "{row:?}");
            }
        }
        session.wait("more in all", |screen| {
            let rows = screen.rows_with_totals();
            (amount(&rows.first()?.total) > amount(&first[0].total)).then_some(())
        });
        session.press_and_hear("T", "Hide cumulative totals");
        session.wait_for_rows("the columns as before", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
    });
}

/// I25: what a line of the list is.
#[test]
fn the_four_displays_of_a_pair() {
    both(|program| {
        let session = Session::start(cast::pair(), program, "-n -N -P", USUAL);
        let wait = |what: &str, arrows: &[&str]| {
            session.wait_for_rows(what, |rows| {
                let all = rows.iter().zip(arrows.iter().cycle()).all(|(row, arrow)| row.arrow == *arrow);
                (all && rows.len() == PARTS.len() * arrows.len()).then(|| rows.to_vec())
            })
        };
        wait("two lines", &[" => ", " <= "]);
        let tolerance = program.tolerance();
        for (message, arrow, rate) in [
            ("One line per host", "<=> ", (|[sent, received]| sent + received) as fn([f64; 2]) -> f64),
            ("Received traffic only", " <= ", |[_, received]| received),
            ("Sent traffic only", " => ", |[sent, _]| sent),
        ] {
            session.press_and_hear("t", message);
            wait(message, &[arrow]);
            session.wait_for_rows(&format!("the rates of '{message}'"), |rows| {
                PARTS
                    .iter()
                    .all(|part| {
                        let [left, right] = part.labels();
                        rows.iter().any(|row| {
                            row.left == left
                                && row.right == right
                                && is_near(&row.rates[1], rate(part.rates()) * 8.0, tolerance)
                        })
                    })
                    .then_some(())
            });
        }
        session.press_and_hear("t", "Two lines per host");
        wait("two lines again", &[" => ", " <= "]);
    });
}
