//! What was sent and what is on the screen, over more than a minute.

use std::time::{Duration, Instant};

use harness::{
    NetPair, Screen, Sender, Way,
    frames::{FAR_V4, FAR_V6, IPV4, NEAR_V4, NEAR_V6, ethernet, ipv4, protocol::UDP},
    screen::{Row, Totals, amount, is_near},
};

use crate::{
    cast::Part,
    session::{Program, Session, USUAL, both},
};

/// I59: numbers at the borders of their units, to the byte.
#[test]
fn amounts_change_units_where_the_original_does() {
    /// A protocol without a name or ports (RFC 3692), so that a packet may have any length.
    const EXPERIMENT: u8 = 253;
    const HEADER: usize = 20;
    const LARGEST: usize = 1500;
    // Bytes in all, and how they are printed.
    const AMOUNTS: [(usize, &str); 7] = [
        (0, "0B"),
        (999, "999B"),
        (1023, "1.00KB"),
        (9_999, "9.76KB"),
        (10_240, "10.0KB"),
        (102_400, "100KB"),
        (1_048_576, "1.00MB"),
    ];
    // Rounding may add a digit.
    const OTHERS: [(usize, &str); 7] = [
        (0, "0B"),
        (1000, "0.98KB"),
        (1024, "1.00KB"),
        (10_000, "9.77KB"),
        (10_239, "10.00KB"),
        (102_399, "100.0KB"),
        (1_023_000, "999KB"),
    ];
    both(|program| {
        let pair = NetPair::new();
        let session = Session::start(&pair, program, "-n", USUAL);
        let packets = |way, bytes: usize| {
            let count = bytes.div_ceil(LARGEST);
            let lengths = (0..count).map(|n| bytes * (n + 1) / count - bytes * n / count);
            lengths
                .map(|length| ethernet(way, IPV4, &ipv4(way, EXPERIMENT, &vec![0; length - HEADER])))
                .collect::<Vec<_>>()
        };
        for (sent, received) in AMOUNTS.windows(2).zip(OTHERS.windows(2)) {
            pair.near.send(&packets(Way::Sent, sent[1].0 - sent[0].0));
            pair.far.send(&packets(Way::Received, received[1].0 - received[0].0));
            session.wait(&format!("{} and {}", sent[1].1, received[1].1), |screen| {
                let [tx, rx, _] = screen.totals()?.cumulative;
                (tx == sent[1].1 && rx == received[1].1).then_some(())
            });
        }
    });
}

/// I47: bytes are those of IP packets, in both families.
#[test]
fn bytes_are_those_of_ip_packets() {
    const PAYLOAD: usize = 1000;
    let part = |near, far, length| Part { way: Way::Sent, protocol: UDP, near, far, length, per_second: 100 };
    let parts = [
        part((NEAR_V4.into(), 1), (FAR_V4.into(), 4), PAYLOAD + 28),
        part((NEAR_V6.into(), 1), (FAR_V6.into(), 6), PAYLOAD + 48),
    ];
    both(|program| {
        let pair = NetPair::new();
        let session = Session::start(&pair, program, "-n -N -P -B", USUAL);
        let sender = Sender::start(&pair, parts.iter().map(Part::stream).collect());
        session.wait_for_rows("both rates", |rows| {
            let [v6, _, v4, _] = rows else { return None };
            let tolerance = if program == Program::Flowtally { 0.01 } else { 0.1 };
            (is_near(&v6.rates[0], 104_800.0, tolerance) && is_near(&v4.rates[0], 102_800.0, tolerance))
                .then_some(())
        });
        let sent = sender.stop();
        let bytes: f64 =
            sent.iter().zip(&parts).map(|(packets, part)| *packets as f64 * part.length as f64).sum();
        session.wait("everything in the total", |screen| {
            is_near(&screen.totals()?.cumulative[0], bytes, 0.006).then_some(())
        });
    });
}

/// I43, I45, I46: a burst, then silence. Averages over 10 and 40 s are the same while the program is young; they decay; the
/// peak falls and the row goes when the last 40 s know nothing of it.
#[test]
fn a_burst_decays_and_goes() {
    const BYTES_A_SECOND: f64 = 100_000.0;
    both(|program| {
        let pair = NetPair::new();
        let session = Session::start(&pair, program, "-n -N -P", USUAL);
        let burst = Part {
            way: Way::Sent,
            protocol: UDP,
            near: (NEAR_V4.into(), 40_001),
            far: (FAR_V4.into(), 5001),
            length: 1000,
            per_second: 100,
        };
        let row = |screen: &Screen| -> Option<Row> { screen.rows().into_iter().next() };
        let sender = Sender::start(&pair, vec![burst.stream()]);
        session.wait("the rate of the burst", |screen| {
            let row = row(screen)?;
            assert_eq!(row.rates[1], row.rates[2], "within ten seconds of the start\n{screen}");
            is_near(&row.rates[0], BYTES_A_SECOND * 8.0, program.tolerance()).then_some(())
        });
        session.wait("some of the burst", |screen| {
            (amount(&screen.totals()?.cumulative[0]) > 4.0 * BYTES_A_SECOND).then_some(())
        });
        let packets = sender.stop()[0];
        let bytes = packets as f64 * 1000.0;
        let stopped = Instant::now();
        let peak_of = |totals: &Totals| [0, 2].map(|line| amount(&totals.peak[line]));
        session.wait("nothing over 2 s, everything in all, and the peak", |screen| {
            let totals = screen.totals()?;
            let quiet = row(screen)?.rates[0] == "0b" && is_near(&totals.cumulative[0], bytes, 0.006);
            let peaks = peak_of(&totals).iter().all(|peak| (peak / 8.0 / BYTES_A_SECOND - 1.0).abs() <= 0.25);
            (quiet && peaks && totals.peak[1] == "0b").then_some(())
        });
        // From ten seconds of age on, the longer average is over more silence than the shorter, or the other way round.
        session.wait("a 40 s average of its own", |screen| {
            let row = row(screen)?;
            (row.rates[1] == "0b" && amount(&row.rates[2]) > 0.0).then_some(())
        });
        let seconds = stopped.elapsed().as_secs_f64();
        assert!((9.0..15.0).contains(&seconds), "{program:?}: after {seconds} s");
        // Once it is 40 s old, the program's average is the burst over 40 s: near the end of the row's life.
        let mut average = 0.0;
        session.wait("no row", |screen| match row(screen) {
            Some(row) => {
                let [two, ten, forty] = row.rates;
                assert_eq!([two.as_str(), ten.as_str()], ["0b", "0b"], "{screen}");
                if stopped.elapsed() > Duration::from_secs(36) && stopped.elapsed() < Duration::from_secs(38)
                {
                    average = amount(&forty);
                }
                None
            }
            None => Some(()),
        });
        let seconds = stopped.elapsed().as_secs_f64();
        assert!((39.0..44.0).contains(&seconds), "{program:?}: gone after {seconds} s");
        // Some of the burst has left the window by then.
        assert!(
            average > 0.0 && average <= bytes * 8.0 / 40.0 * 1.02,
            "{program:?}: {average} of {bytes} bytes"
        );
        let totals = session.wait("no peak", |screen| {
            let totals = screen.totals()?;
            (peak_of(&totals) == [0.0, 0.0]).then_some(totals)
        });
        assert!(is_near(&totals.cumulative[0], bytes, 0.006), "{totals:?}");
    });
}

/// I44: averages are over the program's time, not over a flow's.
#[test]
fn a_late_flow_is_averaged_over_all_of_the_window() {
    /// Older than the longest window.
    const AGE: Duration = Duration::from_secs(42);
    both(|program| {
        let pair = NetPair::new();
        let session = Session::start(&pair, program, "-n -N -P", USUAL);
        let started = Instant::now();
        session.wait("a screen of some age", |_| (started.elapsed() > AGE).then_some(()));
        let part = crate::order::flow(1, 200);
        let begun = Instant::now();
        let _sender = Sender::start(&pair, vec![part.stream()]);
        let bits = part.rates()[0] * 8.0;
        session.wait_for_rows("a rate over 2 s", |rows| {
            is_near(&rows.first()?.rates[0], bits, program.tolerance()).then_some(())
        });
        session.wait_for_rows("averages over all of their windows", |rows| {
            let seconds = begun.elapsed().as_secs_f64();
            let row = rows.first()?;
            // What has come by the last tick, one or two seconds ago.
            let within = |rate: &str, window: f64| {
                let average = amount(rate);
                average <= bits * seconds / window * 1.02 && average >= bits * (seconds - 3.0) / window
            };
            (seconds > 4.0 && within(&row.rates[1], 10.0) && within(&row.rates[2], 40.0)).then_some(())
        });
        assert!(begun.elapsed() < Duration::from_secs(9), "{program:?}: {:?}", begun.elapsed());
    });
}

/// I61: fifty thousand flows, of which ten are large.
#[test]
fn the_largest_of_very_many_flows_are_on_top() {
    const FLOWS: u16 = 50_000;
    const LARGE: u16 = 10;
    let pair = NetPair::new();
    let session = Session::start(&pair, Program::Flowtally, "-n -N -P", (100, 30));
    let part = |port: u16, length| Part {
        way: Way::Sent,
        protocol: UDP,
        near: (NEAR_V4.into(), 7),
        far: (FAR_V4.into(), port),
        length,
        per_second: 0,
    };
    let mut frames: Vec<Vec<u8>> = (1..=FLOWS).map(|port| part(port, 60).frame()).collect();
    let mut bytes = usize::from(FLOWS) * 60;
    for n in 1..=LARGE {
        let packets = 100 * usize::from(n);
        frames.extend(vec![part(n * 1000, 1400).frame(); packets]);
        bytes += packets * 1400;
    }
    pair.near.send(&frames);
    let expected: Vec<String> =
        (1..=LARGE).rev().map(|n| format!("10.77.0.2:{}", u32::from(n) * 1000)).collect();
    session.wait("the large ones in order, and all in all", |screen| {
        let rows = screen.rows();
        let on_top: Vec<_> = rows.iter().step_by(2).take(LARGE.into()).map(|row| row.right.clone()).collect();
        (on_top == expected && is_near(&screen.totals()?.cumulative[0], bytes as f64, 0.006)).then_some(())
    });
    // It still answers.
    session.press_and_hear("T", "Show cumulative totals");
    session.press(">");
    session.wait("another order", |screen| screen.rows_with_totals().first().map(|_| ()));
    session.press("q");
    session
        .wait("a prompt", |screen| (!session.state().alternate && screen.totals().is_none()).then_some(()));
}
