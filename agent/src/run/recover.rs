//! `flowtally recover`.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    task::spawn_blocking,
    time::{interval, timeout},
};

use super::{progress::ProgressLine, security, stdout, target};
use crate::{
    cli::RecoverArgs,
    format::{Safe, numbers::Size},
    host::{
        output::OutputTarget,
        proc,
        recover::{Copied, CopyProgress, RecoverError, RecoverSource},
        shutdown::Shutdown,
    },
};

/// Between two looks at how far the copy is.
const LOOK: Duration = Duration::from_millis(100);

/// How long a copy may take to stop.
const STOPPING: Duration = Duration::from_secs(1);

/// Most writers that a warning names.
const NAMED: usize = 3;

/// Copies, and says how far it is.
pub(super) async fn recover(args: RecoverArgs) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    security::confine()?;
    proc::check()?;
    let source = Arc::new(RecoverSource::find(args.pid, args.fd).inspect_err(say_hint)?);
    let target = if target::is_standard(&args.output) {
        stdout::check()?;
        OutputTarget::standard_output()?
    } else {
        RecoverSource::target(&args.output)?
    };
    let target = target::with_reader(target, &args.output, &mut shutdown).await?;
    let is_stream = target.is_stream();
    warn_of_writers(&source);
    let progress = Arc::new(CopyProgress::default());
    let mut copy = spawn_blocking({
        let (source, progress) = (Arc::clone(&source), Arc::clone(&progress));
        move || source.copy_to(target, &progress)
    });
    let bar = Bar { line: ProgressLine::new(), started: Instant::now() };
    let mut looks = interval(LOOK);
    let copied = loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => {
                progress.stop();
                // What takes too long to stop ends with the next signal.
                shutdown.next_is_final();
                // A pipe that is full, or a server that does not answer, may keep it for ever. A file without a name goes with the
                // process.
                let Ok(copied) = timeout(STOPPING, &mut copy).await else { bail!("interrupted") };
                break copied;
            }
            copied = &mut copy => break copied,
            _ = looks.tick() => bar.show(progress.state()),
        }
    };
    bar.line.clear();
    let copied = copied.context("copying")?;
    if copied.as_ref().is_err_and(RecoverError::is_broken_pipe) {
        if target::is_standard(&args.output) {
            // Whoever read it has enough: for a program in a pipe that is success.
            return Ok(());
        }
        bail!("writing {}: {}", Safe::os(&args.output), target::READER_GONE);
    }
    let Copied { size, data, shared, warnings } = copied.inspect_err(say_hint)?;
    for warning in warnings {
        tell!("warning: {warning}");
    }
    let from = source.title();
    let name = Safe::new(source.link());
    let how = if shared { "shared with the source" } else { "copied" };
    let (size, data) = (Size(size), Size(data));
    if is_stream {
        // Standard output may be where the copy went.
        tell!("{size} ({data} of data) from {from}, {name}");
        return Ok(());
    }
    writeln!(
        stdout::open()?,
        "{}: {size} ({data} of data, {how}) from {from}, {name}",
        Safe::os(&args.output)
    )
    .context("saying what was done")
}

/// Says whose rights count, where that is why something is refused.
fn say_hint(error: &RecoverError) {
    if let (RecoverError::NotPermitted(..), Some(hint)) = (error, security::hint()) {
        tell!("{hint}");
    }
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
    tell!(
        "warning: the file may still be written to, by {}{more}: what is written from now on may be missing",
        named.join(", ")
    );
}

/// The line on a terminal that says how far the copy is.
struct Bar {
    line: ProgressLine,
    started: Instant,
}

impl Bar {
    fn show(&self, (done, total): (u64, u64)) {
        if total > 0 {
            self.line.show(format_args!("{}", bar(done, total, self.started.elapsed())));
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
