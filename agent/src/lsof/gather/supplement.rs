//! `+m FILE`: the devices of mounts, for those that must not be examined.

use rustix::{
    fd::OwnedFd,
    fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, openat},
    io::Result,
};

use super::read::text;
use crate::lsof::print::escape::{self, Charset};

/// Mounts with their devices, as a file has them: what `+m` prints.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Supplement(Vec<(Vec<u8>, u64)>);

impl Supplement {
    /// Reads a file; one that is wrong anywhere says nothing. Also what is wrong with it, a message each.
    pub(super) fn read(file: &[u8], charset: Charset) -> (Self, Vec<String>) {
        let name = escape::text(file, charset);
        if let Err(error) = accessat(CWD, file, Access::READ_OK, AtFlags::empty()) {
            return (Self::default(), vec![format!("WARNING: access {name}: {}", text(error))]);
        }
        match read(file) {
            Ok(content) => Self::parse(&content, &name),
            Err(_) => (Self::default(), vec![format!("error reading {name}")]),
        }
    }

    fn parse(content: &[u8], name: &str) -> (Self, Vec<String>) {
        let mut mounts = Vec::new();
        let mut wrong = Vec::new();
        for (at, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            match mount(line) {
                Ok(mount) => mounts.push(mount),
                Err(what) => {
                    wrong.push(format!(
                        "{name} line {}: {what}: \"{}\"",
                        at + 1,
                        String::from_utf8_lossy(line)
                    ));
                }
            }
        }
        if !wrong.is_empty() {
            mounts.clear();
        }
        (Self(mounts), wrong)
    }

    /// The device of what is mounted there: of several lines the last counts.
    pub(super) fn device(&self, path: &[u8]) -> Option<u64> {
        self.0.iter().rev().find(|(of, _)| of == path).map(|(_, device)| *device)
    }
}

fn read(file: &[u8]) -> Result<Vec<u8>> {
    let file: OwnedFd = openat(CWD, file, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?;
    let mut content = Vec::new();
    loop {
        content.reserve(4096);
        if rustix::io::read(&file, rustix::buffer::spare_capacity(&mut content))? == 0 {
            return Ok(content);
        }
    }
}

/// A path, a blank, `0x` and digits; or what is missing.
fn mount(line: &[u8]) -> std::result::Result<(Vec<u8>, u64), &'static str> {
    if line.first() != Some(&b'/') {
        return Err("no path");
    }
    let blank = line.iter().position(|byte| *byte == b' ').ok_or("no device")?;
    let (path, rest) = line.split_at(blank);
    let digits = rest.strip_prefix(b" 0x").ok_or("no device")?;
    let mut device = 0_u64;
    for digit in digits {
        let digit = char::from(*digit).to_digit(16).ok_or("illegal device")?;
        // What is too long keeps its end.
        device = device << 4 | u64::from(digit);
    }
    Ok((path.to_vec(), device))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Supplement, Vec<String>) {
        Supplement::parse(text.as_bytes(), "m")
    }

    #[test]
    fn a_line_is_a_path_and_a_device() {
        let (supplement, wrong) =
            parse("/ 0xfe00\n/sys 0xFE0\n/ 0xfe01\n/none 0x\n/long 0x123456789abcdef01");
        assert_eq!(wrong, [""; 0]);
        for (path, device) in [("/", 0xfe01), ("/sys", 0xfe0), ("/none", 0), ("/long", 0x2345_6789_abcd_ef01)]
        {
            assert_eq!(supplement.device(path.as_bytes()), Some(device), "{path}");
        }
        assert_eq!(supplement.device(b"/dev"), None);
    }

    #[test]
    fn one_wrong_line_is_enough() {
        let (supplement, wrong) =
            parse("/ 0xfe00\nx\n\n/a b 0x5\n/  0x5\n/dev 0x6 \n/dev 0xg\n/sys\n/ fe00\n");
        let expected = [
            "m line 2: no path: \"x\"",
            "m line 3: no path: \"\"",
            "m line 4: no device: \"/a b 0x5\"",
            "m line 5: no device: \"/  0x5\"",
            "m line 6: illegal device: \"/dev 0x6 \"",
            "m line 7: illegal device: \"/dev 0xg\"",
            "m line 8: no device: \"/sys\"",
            "m line 9: no device: \"/ fe00\"",
        ];
        assert_eq!(wrong, expected);
        assert_eq!(supplement, Supplement::default());
    }
}
