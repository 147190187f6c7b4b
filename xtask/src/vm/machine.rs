//! One run of the virtual machine: what it prints, how it ends, and that it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Several times what a run takes, for emulation slows down with all else that the host does: only a machine that hangs
/// comes to this.
const LIMIT: Duration = Duration::from_mins(8);

/// What `init.sh` prints around what the tests print.
const BEGIN: &str = "flowtally-vm: begin";
const END: &str = "flowtally-vm: end ";

/// A machine that runs the tests and turns itself off.
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    pub(super) cpus: u32,
}

/// What the console said.
#[derive(Default)]
struct Said {
    /// Before the tests began: the firmware and the kernel. Shown when they never do.
    boot: Vec<String>,
    began: bool,
    /// How many tests passed.
    passed: u32,
    /// Status of the tests.
    ended: Option<String>,
}

impl Machine<'_> {
    /// Hands `arguments` to every test program.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<()> {
        // The kernel hands what follows the dashes to process 1; a panic ends the machine at once.
        let command_line = format!("console=ttyS0 quiet panic=-1 -- {}", arguments.join(" "));
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-cpu", "max", "-m", "1G", "-smp", &self.cpus.to_string()]);
        qemu.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
        qemu.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.initramfs);
        qemu.args(["-append", &command_line]).stdin(Stdio::null()).stdout(Stdio::piped());
        let start = Instant::now();
        let mut child = qemu.spawn().context("cannot start qemu-system-x86_64")?;
        let console = child.stdout.take().context("qemu has no output")?;
        let listener = thread::spawn(|| listen(console));
        let in_time = wait(&mut child, start + LIMIT)?;
        let said = listener.join().unwrap_or_default();
        match said.ended.as_deref() {
            _ if !in_time => bail!("{}still running after {} s: killed", said.boot(), LIMIT.as_secs()),
            Some("0") if said.passed == 0 => bail!("no test was run: is there one of this name?"),
            Some("0") => {
                println!("{} s", start.elapsed().as_secs());
                Ok(())
            }
            Some(status) => bail!("tests failed in the virtual machine (status {status})"),
            None => bail!("{}the virtual machine ended before the tests did", said.boot()),
        }
    }
}

impl Said {
    fn boot(&self) -> String {
        if self.began { String::new() } else { self.boot.join("\n") + "\n" }
    }
}

/// Reads the console to its end, and shows what the tests print.
fn listen(console: impl Read) -> Said {
    let mut said = Said::default();
    for line in BufReader::new(console).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.ends_with(BEGIN) {
            said.began = true;
        } else if let Some(status) = line.strip_prefix(END) {
            said.ended = Some(status.to_owned());
        } else if said.ended.is_some() {
            // The kernel says that it turns the machine off.
        } else if said.began {
            let result = line.strip_prefix("test result: ok. ").and_then(|rest| rest.split(' ').next());
            said.passed += result.and_then(|passed| passed.parse::<u32>().ok()).unwrap_or(0);
            println!("{line}");
        } else {
            said.boot.push(line.to_owned());
        }
    }
    said
}

/// Waits until it ends by itself; kills it at the deadline.
fn wait(child: &mut Child, deadline: Instant) -> Result<bool> {
    const PAUSE: Duration = Duration::from_millis(50);
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_hangs_is_ended() {
        let mut child = Command::new("sleep").arg("3600").spawn().unwrap();
        assert!(!wait(&mut child, Instant::now()).unwrap());
        assert!(child.try_wait().unwrap().is_some_and(|status| !status.success()));
    }

    #[test]
    fn the_outcome_is_found_in_what_the_console_says() {
        let said = listen(
            &b"BIOS\r\n\x1b[cflowtally-vm: begin\r\ntest a ... ok\r\n\
              test result: ok. 12 passed; 0 failed\r\nflowtally-vm: end 101\r\n[ 9.9] reboot: Power down\r\n"
                [..],
        );
        assert!(said.began);
        assert_eq!(said.boot, ["BIOS"]);
        assert_eq!(said.passed, 12);
        assert_eq!(said.ended.as_deref(), Some("101"));
    }

    #[test]
    fn a_machine_that_does_not_come_up_shows_why() {
        let said = listen(&b"Kernel panic\nflowtally-vm"[..]);
        assert_eq!((said.began, said.boot().as_str()), (false, "Kernel panic\nflowtally-vm\n"));
        assert_eq!(said.ended, None);
    }
}
