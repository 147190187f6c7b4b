//! Two network namespaces and the cable between them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::End;
use super::script::Talk;

/// The interface at both ends. The name is no other namespace's business.
pub(crate) const INTERFACE: &str = "eth0";

/// Lays a cable from here to the namespace of another process.
pub(super) fn join(process: u32) -> Result<()> {
    ip(&[format!("link add {INTERFACE} type veth peer name {INTERFACE} netns {process}")])
}

/// Gives this end the addresses that are talked from and to. Everything else is directly at the other end; there is no
/// way out of the two namespaces.
pub(super) fn configure(end: End, talks: &[Talk]) -> Result<()> {
    let addresses: BTreeSet<IpAddr> = talks.iter().map(|talk| talk.address_at(end)).collect();
    let mut lines = vec!["link set lo up".to_owned(), format!("link set {INTERFACE} up")];
    lines.extend(addresses.into_iter().map(|address| {
        // Detecting duplicates would take a second during which the address is of no use.
        let (length, flags) = if address.is_ipv4() { (32, "") } else { (128, " nodad") };
        format!("address add {address}/{length} dev {INTERFACE}{flags}")
    }));
    lines.extend(["0.0.0.0/0", "::/0"].map(|all| format!("route add {all} dev {INTERFACE}")));
    ip(&lines)?;
    // Who may send ICMP echoes without a raw socket (icmp(7)): the group of root.
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").context("cannot allow ICMP echoes")
}

/// Lets ip(8) do one thing a line. It says itself which line it does not like.
fn ip(lines: &[String]) -> Result<()> {
    let batch = lines.join("\n") + "\n";
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start ip (iproute2)")?;
    let mut input = ip.stdin.take().context("no standard input")?;
    input.write_all(batch.as_bytes()).context("cannot tell ip what to do")?;
    drop(input);
    let status = ip.wait().context("cannot wait for ip")?;
    ensure!(status.success(), "ip failed ({status}); it was told\n{batch}");
    Ok(())
}
