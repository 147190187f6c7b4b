//! packaging/flowtally.service, as systemd itself reads and rates it.

use std::{fs, process::Command};

use harness::{agent::program, namespace::require};
use tempfile::TempDir;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/flowtally.service");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/service.md");

fn analyze(arguments: &[&str]) -> (bool, String) {
    require("systemd-analyze", "systemd");
    let output = Command::new("systemd-analyze").args(arguments).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

/// With the program where it is here: a unit whose program is missing is refused.
#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = TempDir::with_prefix("flowtally-unit-").unwrap();
    let path = folder.path().join("flowtally.service");
    let text = fs::read_to_string(UNIT).unwrap();
    assert!(text.contains("\nExecStart=/usr/bin/flowtally agent\n"));
    let text = text.replace("/usr/bin/flowtally", program().to_str().unwrap());
    fs::write(&path, text).unwrap();
    let (success, printed) = analyze(&["verify", "--man=no", path.to_str().unwrap()]);
    assert!(success, "{printed}");
    // Of what it does not know it warns, and goes on.
    assert!(!printed.contains("flowtally.service:"), "{printed}");
}

/// Other versions of systemd ask for more or less: the page names the one that it was rated by.
#[test]
fn systemd_rates_the_unit_as_the_page_says() {
    let (_, version) = analyze(&["--version"]);
    let version = version.split_whitespace().nth(1).unwrap().to_owned();
    let (success, printed) = analyze(&["security", "--offline=true", "--no-pager", UNIT]);
    assert!(success, "{printed}");
    let words = printed.split("flowtally.service: ").nth(1).unwrap_or_else(|| panic!("{printed}"));
    let mut words = words.split_whitespace();
    let (level, word) = (words.next().unwrap(), words.next().unwrap());
    let page = fs::read_to_string(PAGE).unwrap();
    if page.contains(&format!("with systemd {version}.")) {
        assert!(page.contains(&format!("**{level} {word}** with systemd {version}.")), "{level} {word}");
    }
    assert!(level.parse::<f64>().unwrap() < 4.0, "{level}: {printed}");
}
