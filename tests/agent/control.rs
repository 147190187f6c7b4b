//! What it is asked, it answers; what makes no sense is refused before anything is done.

use std::{fs, os::unix::fs::PermissionsExt as _, os::unix::process::CommandExt as _, process::Command};

use harness::{Agent, NOBODY, agent::program};
use nix::sys::signal::Signal;

use super::{Service, names};

#[test]
fn the_status_is_about_this_agent() {
    let service = Service::new();
    let agent = service.start("-i near --interval 1s");
    let status =
        service.status_when("an interval is written", |status| status["exporters"][0]["intervals"] != 0);
    assert_eq!(status["schema"], "flowtally.status/1");
    assert_eq!(status["pid"], agent.pid());
    assert_eq!(status["interfaces"][0]["name"], "near");
    assert!(status["interfaces"][0]["hook"].as_str().is_some_and(|hook| hook != "none"), "{status}");
    let tables = status["tables"].as_array().unwrap();
    assert!(tables.iter().all(|table| table["capacity"].as_u64() > table["used"].as_u64()), "{status}");
    assert!(status["memory_bytes"].as_u64() > Some(1 << 20));
    let text =
        Command::new(program()).args(["agent", "status", "--socket"]).arg(service.socket()).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for word in ["counting for", "near (", "tables", "log: ", "sandbox: "] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
    let log = service.stop(agent);
    assert_eq!(log.of("start").next().unwrap()["run"], status["run"]);
    assert!(!service.socket().exists(), "the socket goes with the agent");
}

#[test]
fn others_are_not_answered() {
    let service = Service::new();
    fs::set_permissions(service.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let agent = service.start("-i near --interval 1s");
    // Were the socket open to all, whoever connects would be looked at.
    fs::set_permissions(service.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let copy = service.path("flowtally");
    fs::copy(program(), &copy).unwrap();
    let output = Command::new(&copy)
        .args(["agent", "status", "--socket"])
        .arg(service.socket())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("only root and the agent's user may ask"), "{said}");
    drop(service.stop(agent));
}

#[test]
fn there_is_one_agent_at_a_socket_and_a_killed_one_is_none() {
    let service = Service::new();
    let first = service.start("-i near --interval 1s");
    let second = Agent::start_command(&service.pair.near.namespace, service.command("-i near")).wait();
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stderr.contains("another agent answers at"), "{}", second.stderr);
    service.status_when("an interval is written", |status| status["exporters"][0]["intervals"] != 0);
    first.signal(Signal::SIGKILL);
    drop(first.wait());
    assert!(service.socket().exists());
    let third = service.start("-i near --interval 1s");
    let log = service.stop(third);
    assert_eq!(log.of("start").count(), 2);
    let reasons: Vec<_> = log.of("end").map(|end| end["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["recovered", "stopped"]);
    let _ = log.add_up("near");
}

#[test]
fn nobody_there_is_said() {
    let service = Service::new();
    let output =
        Command::new(program()).args(["agent", "status", "--socket"]).arg(service.socket()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no agent answers at") && said.contains("systemctl status"), "{said}");
}

#[test]
fn a_check_says_what_would_be_done_and_does_nothing() {
    let service = Service::new();
    let file = service.path("config.toml");
    fs::write(&file, "[agent]\ninterval = \"1m\"\nrows = [\"remote\"]\ntop = 10\n").unwrap();
    let mut command = service.command("--check --top 20");
    command.arg("--config").arg(&file);
    let ended = Agent::start_command(&service.pair.near.namespace, command).wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    let text = String::from_utf8(ended.stdout).unwrap();
    for line in ["interval = 1m", "rows = remote", "top = 20", "keep-size = 5GB"] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    assert!(text.contains("memory of the kernel's tables") && text.contains("disk a day"), "{text}");
    assert!(!service.log().exists() && !service.socket().exists());
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let service = Service::new();
    let file = service.path("config.toml");
    fs::write(&file, "[agent]\ninterval = \"2 weeks\"\nrow = 1\n").unwrap();
    for check in ["", "--check"] {
        let mut command = service.command(check);
        command.arg("--config").arg(&file);
        let ended = Agent::start_command(&service.pair.near.namespace, command).wait();
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        for place in ["config.toml:2:12: agent.interval: ", "config.toml:3:1: agent.row: unknown"] {
            assert!(ended.stderr.contains(place), "{place} is missing in {}", ended.stderr);
        }
    }
    let typed = Agent::start_command(&service.pair.near.namespace, service.command("--rows flows")).wait();
    assert_eq!(typed.status.code(), Some(2));
    assert!(typed.stderr.contains("--rows") && typed.stderr.contains("process"), "{}", typed.stderr);
    assert_eq!(names(service.folder.path()), ["config.toml"]);
}
