//! `flowtally recover`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{task::spawn_blocking, time::interval};

use super::shutdown::Shutdown;
use crate::{
    cli::RecoverArgs,
    files::Name,
    host::recover::{Copied, Progress, Source},
    report::text::numbers::Size,
};

/// Between two looks at how far the copy is.
const LOOK: Duration = Duration::from_millis(100);

/// Most writers that a warning names.
const NAMED: usize = 3;

/// Copies, and says how far it is.
pub(super) async fn recover(args: RecoverArgs) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    let source = Arc::new(Source::find(args.pid, args.fd)?);
    warn_of_writers(&source);
    let progress = Arc::new(CopyProgress::default());
    let mut copy = spawn_blocking({
        let (source, progress, output) = (Arc::clone(&source), Arc::clone(&progress), args.output.clone());
        move || source.copy_to(&output, &progress)
    });
    let bar = Bar { terminal: io::stderr().is_terminal(), started: Instant::now() };
    let mut looks = interval(LOOK);
    let copied = loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => {
                progress.stop();
                // What takes too long to stop ends with the next signal.
                shutdown.next_is_final();
                break copy.await;
            }
            copied = &mut copy => break copied,
            _ = looks.tick() => bar.show(progress.state()),
        }
    };
    bar.clear();
    let Copied { size, data, shared, warnings } = copied.context("copying")??;
    for warning in warnings {
        say!("flowtally: warning: {warning}");
    }
    let from = source.title();
    let name = Safe::new(source.link());
    let how = if shared { "shared with the source" } else { "copied" };
    let (size, data) = (Size(size), Size(data));
    writeln!(io::stdout(), "{}: {size} ({data} of data, {how}) from {from}, {name}", args.output.display())
        .context("saying what was done")
}

/// Says who may change the file while it is copied.
fn warn_of_writers(source: &RecoverSource) {
    let writers = source.writers();
    if writers.is_empty() {
        return;
    }
    let named: Vec<_> = writers
        .iter()
        .take(NAMED)
        .map(|writer| format!("{} (pid {}, fd {})", writer.command, writer.pid, writer.how))
        .collect();
    let more = match writers.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    say!(
        "flowtally: warning: the file may still be written to, by {}{more}: what is written from now on may be missing",
        named.join(", ")
    );
}

/// The line on a terminal that says how far the copy is.
struct Bar {
    terminal: bool,
    started: Instant,
}

impl Bar {
    fn show(&self, (done, total): (u64, u64)) {
        if self.terminal && total > 0 {
            let line = format!("\r\x1b[Kflowtally: {}", bar(done, total, self.started.elapsed()));
            drop(io::stderr().write_all(line.as_bytes()));
        }
    }

    fn clear(&self) {
        if self.terminal {
            drop(io::stderr().write_all(b"\r\x1b[K"));
        }
    }
}

/// `[#####     ]  50 %, 1.00 of 2.00 GiB, 512 MiB/s, 2 s left; Ctrl-C to stop`
fn bar(done: u64, total: u64, elapsed: Duration) -> String {
    const CELLS: u64 = 20;
    let share = done as f64 / total.max(1) as f64;
    let full = (done.saturating_mul(CELLS) / total.max(1)).min(CELLS);
    let cells: String = (0..CELLS).map(|cell| if cell < full { '#' } else { ' ' }).collect();
    let per_second = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = (total.saturating_sub(done)) as f64 / per_second.max(1.0);
    let end = match done {
        _ if done >= total => "waiting for the disk".to_owned(),
        0 => "Ctrl-C to stop".to_owned(),
        _ => format!("{}/s, {left:.0} s left; Ctrl-C to stop", Size(whole(per_second))),
    };
    format!("[{cells}] {:3.0} %, {} of {}, {end}", share * 100.0, Size(done), Size(total))
}

/// Whole bytes.
fn whole(bytes: f64) -> u64 {
    // `as` saturates, and a rate is never negative.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and is not negative"
    )]
    let whole = bytes as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is() {
        let second = Duration::from_secs(1);
        assert_eq!(
            bar(512 << 20, 1 << 30, second),
            "[##########          ]  50 %, 512 MiB of 1.00 GiB, 512 MiB/s, 1 s left; Ctrl-C to stop"
        );
        assert_eq!(bar(0, 10, second), "[                    ]   0 %, 0 B of 10 B, Ctrl-C to stop");
        assert_eq!(bar(10, 10, second), "[####################] 100 %, 10 B of 10 B, waiting for the disk");
        assert!(bar(u64::MAX, u64::MAX, Duration::ZERO).contains("100 %"));
    }
}
