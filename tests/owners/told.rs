//! What a report says about owners, and whether that is so.

use std::time::{Duration, SystemTime};

use harness::{Owner, Report, report::Row};
use rustix::time::{ClockId, clock_gettime};

use crate::workers::Said;

/// Clocks that are set while the test runs may be so far apart.
const SKEW: Duration = Duration::from_secs(1);
/// Clock ticks of /proc (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Whether an owner is the process that has said something, by that name.
pub(crate) fn is_of(owner: &Owner, said: &Said) -> bool {
    owner.command.as_deref() == Some(&said.name) && is_process(owner, said)
}

/// Whether an owner is the process that has said something.
pub(crate) fn is_process(owner: &Owner, said: &Said) -> bool {
    let Some(started) = owner.start_time.as_deref().and_then(|text| humantime::parse_rfc3339(text).ok())
    else {
        return false;
    };
    let expected = start_time(said.start);
    let apart = started.duration_since(expected).or_else(|_| expected.duration_since(started)).unwrap();
    owner.pid == Some(said.pid) && apart < SKEW
}

/// When it was so many ticks after the machine was started.
fn start_time(ticks: u64) -> SystemTime {
    let up = clock_gettime(ClockId::Boottime);
    let up = Duration::new(up.tv_sec.try_into().unwrap(), up.tv_nsec.try_into().unwrap());
    SystemTime::now() - up + TICK * u32::try_from(ticks).unwrap()
}

/// The only row of a protocol that has these ports; that of the remote end 0 for any.
pub(crate) fn row<'a>(report: &'a Report, protocol: &str, local_port: u16, remote_port: u16) -> &'a Row {
    let fits = |row: &&Row| {
        row.flow.protocol == protocol
            && row.flow.local_port == local_port
            && (remote_port == 0 || row.flow.remote_port == remote_port)
    };
    let mut rows = report.flows.iter().filter(fits);
    let Some(row) = rows.next() else {
        panic!("no {protocol} {local_port} {remote_port} in {:#?}", report.flows)
    };
    assert!(rows.next().is_none(), "{protocol} {local_port} {remote_port} is there twice");
    row
}

/// Fails unless every row says whose it is, or why it is nobody's.
pub(crate) fn nothing_is_unknown(report: &Report) {
    for row in &report.flows {
        assert!(row.owner.owner_reason.is_some(), "no reason: {row:#?}");
    }
}
