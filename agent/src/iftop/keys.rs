//! The keys of text mode.

use super::options::{IftopOptions, PairOrder, PortDisplay};

/// What follows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEffect {
    /// The program ends.
    Quit,
    /// This text is printed, complete with its line ends, then a report at once. The text may be empty.
    Report(&'static str),
    /// This text is printed, and no report: the display is paused.
    Message(&'static str),
    /// Nothing.
    Nothing,
}

/// What a key does. While the display is paused keys take effect, and what they did is told, but no report is printed.
#[must_use]
pub fn press(mut options: IftopOptions, key: char) -> (IftopOptions, KeyEffect) {
    let on_or_off = |state: bool, on: &'static str, off: &'static str| if state { on } else { off };
    let message = match key {
        'q' => return (options, KeyEffect::Quit),
        'u' => "",
        'n' => {
            options.dns = !options.dns;
            on_or_off(options.dns, "DNS resolution is ON.\n\n", "DNS resolution is OFF.\n\n")
        }
        'N' => {
            options.port_resolution = !options.port_resolution;
            on_or_off(options.port_resolution, "Port resolution is ON.\n\n", "Port resolution is OFF.\n\n")
        }
        's' => {
            options.hide_source = !options.hide_source;
            on_or_off(options.hide_source, "Hide source host\n\n", "Show source host\n\n")
        }
        'd' => {
            options.hide_destination = !options.hide_destination;
            on_or_off(options.hide_destination, "Hide destination host\n\n", "Show destination host\n\n")
        }
        'S' => show_ports(&mut options, PortDisplay::toggle_source),
        'D' => show_ports(&mut options, PortDisplay::toggle_destination),
        'p' => show_ports(&mut options, PortDisplay::toggle),
        'P' => {
            options.paused = !options.paused;
            on_or_off(options.paused, "Pausing... press 'P' again to continue.\n", "Continuing.\n\n")
        }
        'o' => {
            options.frozen = !options.frozen;
            on_or_off(options.frozen, "Order frozen.\n\n", "Order unfrozen.\n\n")
        }
        '1' => sort(&mut options, PairOrder::TwoSeconds),
        '2' => sort(&mut options, PairOrder::TenSeconds),
        '3' => sort(&mut options, PairOrder::FortySeconds),
        '<' => sort(&mut options, PairOrder::Source),
        '>' => sort(&mut options, PairOrder::Destination),
        _ => return (options, KeyEffect::Nothing),
    };
    let effect = match (options.paused, message) {
        (false, message) => KeyEffect::Report(message),
        (true, "") => KeyEffect::Nothing,
        (true, message) => KeyEffect::Message(message),
    };
    (options, effect)
}

fn show_ports(options: &mut IftopOptions, toggle: impl FnOnce(PortDisplay) -> PortDisplay) -> &'static str {
    options.port_display = toggle(options.port_display);
    match options.port_display {
        PortDisplay::Off => "Showing ports: none.\n\n",
        PortDisplay::Source => "Showing ports: src.\n\n",
        PortDisplay::Destination => "Showing ports: dest.\n\n",
        PortDisplay::On => "Showing ports: both.\n\n",
    }
}

fn sort(options: &mut IftopOptions, sort: PairOrder) -> &'static str {
    options.sort = sort;
    match sort {
        PairOrder::TwoSeconds => "Sorting by column 1.\n\n",
        PairOrder::TenSeconds => "Sorting by column 2.\n\n",
        PairOrder::FortySeconds => "Sorting by column 3.\n\n",
        PairOrder::Source => "Sorting by column source.\n\n",
        PairOrder::Destination => "Sorting by column destination.\n\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Presses keys one after the other; the messages, without their line ends.
    fn messages(keys: &str) -> (IftopOptions, Vec<&'static str>) {
        let mut options = IftopOptions::default();
        let mut messages = Vec::new();
        for key in keys.chars() {
            let (after, effect) = press(options, key);
            options = after;
            match effect {
                KeyEffect::Report(text) | KeyEffect::Message(text) => messages.push(text.trim_end()),
                KeyEffect::Quit | KeyEffect::Nothing => messages.push("-"),
            }
        }
        (options, messages)
    }

    /// A toggle pressed once and twice.
    fn check(key: char, changed: &IftopOptions, once: &str, twice: &str) {
        assert_eq!(messages(&key.to_string()).0, *changed, "{key}");
        let (options, messages) = messages(&[key, key].iter().collect::<String>());
        assert_eq!(messages, [once, twice]);
        assert_eq!(options, IftopOptions::default(), "{key}");
    }

    #[test]
    fn toggles() {
        let default = IftopOptions::default;
        check(
            'n',
            &IftopOptions { dns: false, ..default() },
            "DNS resolution is OFF.",
            "DNS resolution is ON.",
        );
        let numbers = IftopOptions { port_resolution: false, ..default() };
        check('N', &numbers, "Port resolution is OFF.", "Port resolution is ON.");
        check('s', &IftopOptions { hide_source: true, ..default() }, "Hide source host", "Show source host");
        let hidden = IftopOptions { hide_destination: true, ..default() };
        check('d', &hidden, "Hide destination host", "Show destination host");
        check('o', &IftopOptions { frozen: true, ..default() }, "Order frozen.", "Order unfrozen.");
        let ports = |port_display| IftopOptions { port_display, ..default() };
        check('S', &ports(PortDisplay::Source), "Showing ports: src.", "Showing ports: none.");
        check('D', &ports(PortDisplay::Destination), "Showing ports: dest.", "Showing ports: none.");
        check('p', &ports(PortDisplay::On), "Showing ports: both.", "Showing ports: none.");
    }

    #[test]
    fn port_keys_work_together() {
        let ports = ["src.", "both.", "dest.", "none."].map(|ports| format!("Showing ports: {ports}"));
        assert_eq!(messages("SDSD").1, ports);
        assert_eq!(messages("Sp").0.port_display, PortDisplay::Off);
    }

    #[test]
    fn orders() {
        let sort = |key: &str| (messages(key).0.sort, messages(key).1[0]);
        assert_eq!(sort("1"), (PairOrder::TwoSeconds, "Sorting by column 1."));
        assert_eq!(sort("2"), (PairOrder::TenSeconds, "Sorting by column 2."));
        assert_eq!(sort("3"), (PairOrder::FortySeconds, "Sorting by column 3."));
        assert_eq!(sort("<"), (PairOrder::Source, "Sorting by column source."));
        assert_eq!(sort(">"), (PairOrder::Destination, "Sorting by column destination."));
    }

    #[test]
    fn a_message_an_empty_line_and_a_report() {
        assert_eq!(press(IftopOptions::default(), '1').1, KeyEffect::Report("Sorting by column 1.\n\n"));
        assert_eq!(press(IftopOptions::default(), 'u').1, KeyEffect::Report(""));
    }

    #[test]
    fn nothing_is_reported_during_a_pause() {
        let (paused, effect) = press(IftopOptions::default(), 'P');
        assert_eq!(effect, KeyEffect::Message("Pausing... press 'P' again to continue.\n"));
        assert_eq!(press(paused.clone(), 'u').1, KeyEffect::Nothing);
        let (hidden, effect) = press(paused.clone(), 's');
        assert_eq!(effect, KeyEffect::Message("Hide source host\n\n"));
        assert!(hidden.hide_source);
        assert_eq!(press(paused, 'P'), (IftopOptions::default(), KeyEffect::Report("Continuing.\n\n")));
    }

    #[test]
    fn quit_and_keys_of_the_screen() {
        assert_eq!(press(IftopOptions::default(), 'q'), (IftopOptions::default(), KeyEffect::Quit));
        for key in "bBtTLlfjkhx?!Q \n".chars() {
            assert_eq!(
                press(IftopOptions::default(), key),
                (IftopOptions::default(), KeyEffect::Nothing),
                "{key:?}"
            );
        }
    }
}
