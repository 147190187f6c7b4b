//! What a second of the screen costs: the tick, bringing rows together, and drawing.
//!
//! Every size has a process of its own, as for the tick.

use std::{env, io, process::Command, time::Duration};

use flowtally::{
    flow::{
        ledger::{Ledger, Measure, Retention},
        names::Names,
    },
    iftop::options::{IftopOptions, PortDisplay},
    kernel::Drained,
    tui::{Display, PressedKey, Theme},
};
use harness::NetPair;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};

use crate::{
    programs::flowtally,
    table::{Table, median, verdict},
    tick::{SLOTS, WARM_UP, books_with, drain, fill, imagine, timed},
};

/// Flows, and the target: milliseconds for everything together.
const SIZES: [(u32, Option<f64>); 3] = [(10_000, Some(10.0)), (100_000, None), (1_000_000, None)];
/// A terminal of people who look at many flows.
const SIZE: Rect = Rect { x: 0, y: 0, width: 160, height: 50 };

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let program = env::current_exe().expect("the path of this program");
    let mut table = Table::new(["flows", "tick", "list", "frame", "all", "target", "by host", "by subnet"]);
    for (flows, target) in SIZES {
        let mut child = Command::new(&program);
        child.args(["--screen-child", &flows.to_string()]).args(quick.then_some("--quick"));
        let output = child.output().expect("start a process to measure in");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<f64> = text.split_whitespace().map(|word| word.parse().expect("a figure")).collect();
        let [tick, list, frame, by_host, by_subnet] = figures[..] else { panic!("not five figures: {text}") };
        let all = tick + list + frame;
        let verdict = target.map_or("-".to_owned(), |target| verdict(all, target, ""));
        let ms = |value: f64| format!("{value:.2}");
        table.row([
            flows.to_string(),
            ms(tick),
            ms(list),
            ms(frame),
            ms(all),
            verdict,
            ms(by_host),
            ms(by_subnet),
        ]);
    }
    table.print(
        "Screen: ms of processor time a second on 160 x 50, every flow active; list and frame also in other orders",
    );
}

/// Measures one size, and prints the figures for [`run`].
pub(crate) fn child(flows: u32, quick: bool) {
    let rounds = if quick { 2 } else { 9 };
    let pair = NetPair::new();
    let figures = pair.near.namespace.enter(|| {
        let (mut kernel, program) = flowtally(&pair.near, SLOTS);
        let mut ledger = books_with(Measure::IpPackets { link_local: false }, Retention::Live, Vec::new());
        let mut screen = Screen::new();
        let mut figures: [Vec<f64>; 5] = Default::default();
        for second in 1..=WARM_UP + rounds {
            let now = Duration::from_secs(second);
            if second <= WARM_UP {
                imagine(&mut ledger, flows, second);
                ledger.close(now);
                continue;
            }
            fill(&program, flows);
            let (_, drained) = drain(&mut kernel, |drained| match drained {
                Drained::Flow(key, count, hint) => ledger.record(key, count, hint),
                Drained::Health(key, health) => ledger.record_health(key, health),
            });
            let (close, ()) = timed(|| ledger.close(now));
            let (list, frame) = screen.show(&ledger, now);
            screen.press(">", &mut ledger, now);
            let (by_host, drawn_by_host) = screen.show(&ledger, now);
            screen.press("2gggggg", &mut ledger, now);
            let (by_subnet, drawn_by_subnet) = screen.show(&ledger, now);
            screen.press("ggg", &mut ledger, now);
            let round = [drained + close, list, frame, by_host + drawn_by_host, by_subnet + drawn_by_subnet];
            for (figures, figure) in figures.iter_mut().zip(round) {
                figures.push(figure);
            }
        }
        figures.map(|values| median(&values).to_string())
    });
    println!("{}", figures.join(" "));
}

/// The screen, on a terminal that nobody looks at.
struct Screen {
    display: Display,
    terminal: Terminal<CrosstermBackend<io::Sink>>,
}

impl Screen {
    fn new() -> Self {
        let options = IftopOptions { dns: false, port_display: PortDisplay::On, ..IftopOptions::default() };
        let viewport = TerminalOptions { viewport: Viewport::Fixed(SIZE) };
        Self {
            display: Display::new(options, Theme { colour: true, ascii: false }, Names::default()),
            terminal: Terminal::with_options(CrosstermBackend::new(io::sink()), viewport)
                .expect("a terminal that nobody looks at"),
        }
    }

    fn press(&mut self, keys: &str, ledger: &mut Ledger, now: Duration) {
        for key in keys.chars() {
            self.display.press(PressedKey::Char(key), ledger, now);
        }
    }

    /// Takes up an interval and draws. Returns how long each took.
    fn show(&mut self, ledger: &Ledger, now: Duration) -> (f64, f64) {
        let Self { display, terminal } = self;
        let (list, ()) = timed(|| display.tick(ledger));
        let draw = |frame: &mut Frame<'_>| {
            display.draw(frame.buffer_mut(), now);
        };
        let (frame, ()) = timed(|| {
            terminal.draw(draw).expect("draw on nothing");
        });
        (list, frame)
    }
}
