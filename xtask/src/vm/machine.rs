//! One run of the virtual machine: what it prints, how it ends, and that it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Several times what a run takes, for emulation slows down with all else that the host does: only a machine that hangs
/// comes to this.
const LIMIT: Duration = Duration::from_mins(30);

/// What `init.sh` prints around what the tests print, and before each test program.
const BEGIN: &str = "flowtally-vm: begin";
const PROGRAM: &str = "flowtally-vm: program ";
const END: &str = "flowtally-vm: end ";

/// What a kernel says that had no room for all files; then it goes on without the rest.
const INCOMPLETE: &str = "Initramfs unpacking failed";

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
    /// The test programs that were started, and how many tests of each passed.
    passed: Vec<(String, u32)>,
    /// Status of the tests.
    ended: Option<String>,
}

impl Machine<'_> {
    /// Hands `arguments` to every test program; returns how many tests were run. Fails unless each of `programs` has run one or more.
    pub(super) fn run(&self, arguments: &[&str], programs: &[&str]) -> Result<u32> {
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
        if !in_time {
            bail!("{}still running after {} s: killed", said.boot(), LIMIT.as_secs());
        }
        let passed = said.check(programs)?;
        println!("{} s", start.elapsed().as_secs());
        Ok(passed)
    }
}

impl Said {
    fn boot(&self) -> String {
        if self.began { String::new() } else { self.boot.join("\n") + "\n" }
    }

    /// Whether all went well, and how many tests that was.
    fn check(&self, programs: &[&str]) -> Result<u32> {
        if let Some(line) = self.boot.iter().find(|line| line.contains(INCOMPLETE)) {
            bail!("the machine's memory has no room for all of its files: {line}");
        }
        match self.ended.as_deref() {
            Some("0") => {}
            Some(status) => bail!("tests failed in the virtual machine (status {status})"),
            None => bail!("{}the virtual machine ended before the tests did", self.boot()),
        }
        let passed = |program: &&str| self.passed.iter().any(|(name, passed)| name == program && *passed > 0);
        let silent: Vec<_> = programs.iter().copied().filter(|program| !passed(program)).collect();
        if !silent.is_empty() {
            bail!("no test was run of the test programs: {}", silent.join(", "));
        }
        Ok(self.passed.iter().map(|(_, passed)| passed).sum())
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
        } else if let Some(program) = line.strip_prefix(PROGRAM) {
            said.passed.push((program.to_owned(), 0));
            println!("{program}:");
        } else if said.began {
            let result = line.strip_prefix("test result: ok. ").and_then(|rest| rest.split(' ').next());
            if let Some((_, passed)) = said.passed.last_mut() {
                *passed += result.and_then(|passed| passed.parse::<u32>().ok()).unwrap_or(0);
            }
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

    /// What two test programs print of which only the first has a test to run.
    const TWO: &str = "BIOS\r\n\x1b[cflowtally-vm: begin\r\nflowtally-vm: program notes\r\ntest a ... ok\r\n\
                       test result: ok. 12 passed; 0 failed\r\nflowtally-vm: program vm\r\n\
                       test result: ok. 0 passed; 0 failed\r\nflowtally-vm: end 0\r\n[ 9.9] reboot: Power down\r\n";

    #[test]
    fn the_outcome_is_found_in_what_the_console_says() {
        let said = listen(TWO.as_bytes());
        assert!(said.began);
        assert_eq!(said.boot, ["BIOS"]);
        assert_eq!(said.passed, [("notes".to_owned(), 12), ("vm".to_owned(), 0)]);
        assert_eq!(said.ended.as_deref(), Some("0"));
        let failed = listen(TWO.replace("end 0", "end 101").as_bytes());
        let error = failed.check(&["notes"]).unwrap_err().to_string();
        assert!(error.contains("101"), "{error}");
    }

    #[test]
    fn each_test_program_must_have_run_a_test() {
        let said = listen(TWO.as_bytes());
        assert_eq!(said.check(&["notes"]).unwrap(), 12);
        assert_eq!(said.check(&[]).unwrap(), 12);
        for (programs, silent) in [(["notes", "vm"], "vm"), (["notes", "testrun"], "testrun")] {
            let error = said.check(&programs).unwrap_err().to_string();
            assert!(error.ends_with(&format!(": {silent}")), "{error}");
        }
    }

    #[test]
    fn files_that_found_no_room_are_told() {
        let line = "[    1.9] Initramfs unpacking failed: write error\r\n";
        let error = listen(format!("{line}{TWO}").as_bytes()).check(&["notes"]).unwrap_err().to_string();
        assert!(error.contains("no room") && error.contains("write error"), "{error}");
    }

    #[test]
    fn a_machine_that_does_not_come_up_shows_why() {
        let said = listen(&b"Kernel panic\nflowtally-vm"[..]);
        assert_eq!((said.began, said.boot().as_str()), (false, "Kernel panic\nflowtally-vm\n"));
        assert_eq!(said.ended, None);
    }
}
