//! A program with capabilities of its own, or set-user-id, run by a user who has none: it counts for him, and opens nothing for him
//! that he could not open himself.

use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::holders::{Holder, NOBODY, Place, copy, find, said};

/// What is recommended, and what would be enough to write anywhere.
const RECOMMENDED: &str = "cap_bpf,cap_net_admin,cap_perfmon,cap_sys_ptrace,cap_dac_read_search";
const MORE: &str = "cap_dac_override,cap_chown,cap_fowner,cap_checkpoint_restore,cap_sys_admin";
const SECRET: &str = "topsecret: of root\n";

/// Copies of the program that have more rights than who runs them.
struct Lent {
    place: Place,
    programs: Vec<PathBuf>,
}

impl Lent {
    fn new() -> Self {
        let place = Place::new();
        let [some, more, set_user_id] = ["some", "more", "set-user-id"].map(|name| place.path(name));
        for program in [&some, &more, &set_user_id] {
            copy(&place.path("flowtally"), program);
            fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
        }
        for (program, capabilities) in
            [(&some, format!("{RECOMMENDED}+ep")), (&more, format!("{RECOMMENDED},{MORE}+ep"))]
        {
            let status = Command::new("setcap").arg(capabilities).arg(program).status();
            assert!(status.expect("setcap is installed (libcap2-bin)").success(), "{}", program.display());
        }
        fs::set_permissions(&set_user_id, Permissions::from_mode(0o4755)).unwrap();
        let open = place.path("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        Self { place, programs: vec![some, more, set_user_id] }
    }

    /// A file that only root may read, or a folder that only root may write to.
    fn secret(&self) -> PathBuf {
        let path = self.place.path("secret");
        fs::write(&path, SECRET).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn plain(&self) -> PathBuf {
        self.place.path("flowtally")
    }

    fn run(&self, program: &Path, user: u32, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        if user != 0 {
            command.uid(user).gid(user);
        }
        command.args(arguments).stdin(Stdio::null()).env("HOME", self.place.path("open")).output().unwrap()
    }

    /// As `nobody`, where /etc is a folder of the test's own with this configuration of flowtally's.
    fn with_host_config(&self, text: &str, mode: &str, program: &Path, arguments: &str) -> Output {
        fs::write(self.place.path("host.toml"), text).unwrap();
        let script = format!(
            "set -e; mount -t tmpfs none /etc; mkdir /etc/flowtally; cp {} /etc/flowtally/config.toml
             chmod {mode} /etc/flowtally/config.toml
             exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {} {arguments}",
            self.place.path("host.toml").display(),
            program.display()
        );
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .stdin(Stdio::null())
            .env("HOME", self.place.path("open"))
            .output()
            .unwrap()
    }

    /// What a user may do, in a folder where everybody may make files.
    fn output(&self, name: &str) -> PathBuf {
        self.place.path("open").join(name)
    }
}

/// A deleted file of root's, and who holds it.
fn held(place: &Place) -> (Holder, PathBuf) {
    let path = place.path("roots.log");
    let mut file = File::create(&path).unwrap();
    file.write_all(SECRET.as_bytes()).unwrap();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(&path).unwrap();
    (Holder::of(&file, 0), path)
}

fn refused(output: &Output, words: &[&str]) {
    let (printed, message) = (String::from_utf8_lossy(&output.stdout), said(output));
    assert!(!output.status.success(), "{printed}{message}");
    assert!(!printed.contains("topsecret") && !message.contains("topsecret"), "{printed}{message}");
    for word in words {
        assert!(message.contains(word), "no {word} in: {message}");
    }
}

#[test]
fn what_root_holds_is_not_copied() {
    let lent = Lent::new();
    let (holder, _) = held(&lent.place);
    let (pid, output) = (holder.pid().to_string(), lent.output("copy"));
    for program in &lent.programs {
        let recover = ["recover", "--pid", &pid, "--fd", "0", "--output", output.to_str().unwrap()];
        let ended = lent.run(program, NOBODY, &recover);
        refused(&ended, &["CAP_SYS_PTRACE", "show-other-users"]);
        assert!(!output.exists());
        // For root it is as ever.
        let ended = lent.run(program, 0, &recover);
        assert!(ended.status.success(), "{}", said(&ended));
        fs::remove_file(&output).unwrap();
    }
}

/// A process of the user's own may hold a file that he may not read any more.
#[test]
fn what_the_user_holds_and_may_not_read_is_not_copied() {
    let lent = Lent::new();
    let file = File::open(lent.secret()).unwrap();
    let holder = Holder::of(&file, NOBODY);
    let (pid, output) = (holder.pid().to_string(), lent.output("copy"));
    for program in &lent.programs {
        let recover = ["recover", "--pid", &pid, "--fd", "0", "--output", output.to_str().unwrap()];
        refused(&lent.run(program, NOBODY, &recover), &["CAP_DAC_READ_SEARCH"]);
        assert!(!output.exists());
        file.set_permissions(Permissions::from_mode(0o644)).unwrap();
        let ended = lent.run(program, NOBODY, &recover);
        assert!(ended.status.success(), "{}", said(&ended));
        assert_eq!(fs::read_to_string(&output).unwrap(), SECRET);
        fs::remove_file(&output).unwrap();
        file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_file_that_the_user_may_not_read_is_no_configuration() {
    let lent = Lent::new();
    let secret = lent.secret();
    let secret = secret.to_str().unwrap();
    for program in &lent.programs {
        for arguments in [
            &["-t", "-i", "nosuch", "-c", secret][..],
            &["-t", "-i", "nosuch", "--config", secret],
            &["report", "-i", "nosuch", "--config", secret],
        ] {
            refused(&lent.run(program, NOBODY, arguments), &[secret, "Permission denied"]);
        }
    }
}

#[test]
fn nothing_is_written_where_the_user_may_not_write() {
    let lent = Lent::new();
    let secret = lent.secret();
    let new = lent.place.path("new");
    for program in &lent.programs {
        for output in [&secret, &new] {
            let output = output.to_str().unwrap();
            refused(
                &lent.run(program, NOBODY, &["report", "-i", "lo", "--seconds", "1", "--output", output]),
                &[output, "Permission denied"],
            );
        }
        assert!(!new.exists());
        assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET);
    }
}

/// What the capabilities are for is there still, and what it is written to is the user's.
#[test]
fn a_report_is_written_to_a_file_of_the_users_own() {
    let lent = Lent::new();
    for program in &lent.programs {
        let output = lent.output("report.json");
        // A file in a folder in which he may make none keeps its place.
        let kept = lent.place.path("kept.json");
        fs::write(&kept, "former").unwrap();
        chown(&kept, Some(NOBODY), Some(NOBODY)).unwrap();
        for path in [&output, &kept] {
            let arguments = [
                "report",
                "-i",
                "lo",
                "--seconds",
                "1",
                "--format",
                "json",
                "--output",
                path.to_str().unwrap(),
            ];
            let ended = lent.run(program, NOBODY, &arguments);
            assert!(ended.status.success(), "{}", said(&ended));
            let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            assert!(document["total"].is_object());
            let about = fs::metadata(path).unwrap();
            assert_eq!((about.uid(), about.gid()), (NOBODY, NOBODY));
        }
        fs::remove_file(output).unwrap();
        fs::remove_file(kept).unwrap();
    }
}

#[test]
fn other_users_processes_show_what_they_show_without_capabilities() {
    let lent = Lent::new();
    let (holder, path) = held(&lent.place);
    let own_file = lent.place.path("own.log");
    let own = File::create(&own_file).unwrap();
    fs::remove_file(&own_file).unwrap();
    let own = Holder::of(&own, NOBODY);
    let pids = format!("{},{}", holder.pid(), own.pid());
    let pid = holder.pid().to_string();
    for program in &lent.programs {
        for arguments in [
            &["lsof", "-nP", "-p", &pids][..],
            &["lsof", "-nP", "-F", "pcfn", "-p", &pids],
            &["inspect", &pid, "--seconds", "0", "--format", "json"],
        ] {
            let [with, without] =
                [program, &lent.plain()].map(|program| lent.run(program, NOBODY, arguments));
            let text = |output: &Output| {
                // When it was read is in it.
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                serde_json::from_str::<Value>(&text).map_or(text, |mut document| {
                    document["started"].take();
                    document["notes"].take();
                    document.to_string()
                })
            };
            assert_eq!(text(&with), text(&without), "{arguments:?}: {}", said(&with));
            assert_eq!(with.status, without.status);
            assert!(!text(&with).contains("roots.log"), "{}", text(&with));
        }
        let ended = lent.run(program, NOBODY, &["deleted", "--format", "json"]);
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert!(find(&document, &path).is_none(), "{document:#}");
        assert!(find(&document, &own_file).is_some(), "{document:#}");
    }
}

/// The kernel's own tables would show what /proc does not.
#[test]
fn the_kernels_tables_are_not_walked_with_lent_rights() {
    let lent = Lent::new();
    for program in &lent.programs {
        for arguments in [&["lsof", "-nP"][..], &["deleted"]] {
            let mut command = Command::new(program);
            command.uid(NOBODY).gid(NOBODY).args(arguments).env("FLOWTALLY_TEST_FILES", "iterators");
            let ended = command.stdin(Stdio::null()).output().unwrap();
            refused(&ended, &["the program's rights are not its user's"]);
            assert!(ended.stdout.is_empty());
        }
    }
}

#[test]
fn the_administrator_may_lend_them_for_that_too() {
    let lent = Lent::new();
    let (holder, path) = held(&lent.place);
    let output = lent.output("copy");
    let recover = format!("recover --pid {} --fd 0 --output {}", holder.pid(), output.display());
    let shown = |program: &Path, value: &str, mode: &str| {
        let text = format!("[security]\nshow-other-users = {value}\n");
        let ended = lent.with_host_config(&text, mode, program, "deleted --format json");
        let document: Value =
            serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{}", said(&ended)));
        let copied = lent.with_host_config(&text, mode, program, &recover);
        let is_shown = find(&document, &path).is_some();
        assert_eq!(copied.status.success(), is_shown, "{value} {mode}: {}", said(&copied));
        if is_shown {
            assert_eq!(fs::read_to_string(&output).unwrap(), SECRET);
            let about = fs::metadata(&output).unwrap();
            assert_eq!(about.uid(), NOBODY, "what is written is the user's");
            fs::remove_file(&output).unwrap();
        }
        is_shown
    };
    for program in &lent.programs {
        for (value, mode, expected) in [
            ("true", "644", true),
            ("false", "644", false),
            // Groups by number: there are no names in this /etc.
            (&format!("'{NOBODY}'"), "644", true),
            ("'4'", "644", false),
            ("'nosuch'", "644", false),
            ("true", "664", false),
            ("true", "646", false),
        ] {
            assert_eq!(shown(program, value, mode), expected, "{} {value} {mode}", program.display());
        }
    }
    // Nobody lends himself anything.
    let own = lent.output("own.toml");
    fs::write(&own, "[security]\nshow-other-users = true\n").unwrap();
    let ended =
        lent.run(&lent.programs[0], 0, &["report", "-i", "nosuch", "--config", own.to_str().unwrap()]);
    refused(&ended, &["security.show-other-users: only /etc/flowtally/config.toml"]);
}

/// Any program of the user's has them.
#[test]
fn ambient_capabilities_are_the_users_own() {
    let lent = Lent::new();
    let (_holder, path) = held(&lent.place);
    let ids = NOBODY.to_string();
    let set = "+sys_ptrace,+dac_read_search,+checkpoint_restore";
    let ended = Command::new("setpriv")
        .args(["--reuid", &ids, "--regid", &ids, "--clear-groups", "--inh-caps", set, "--ambient-caps", set])
        .arg(lent.plain())
        .args(["deleted", "--format", "json"])
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(find(&document, &path).is_some(), "{document:#}");
}

#[test]
fn a_configuration_that_another_user_may_have_written_is_not_read() {
    let lent = Lent::new();
    let config = lent.output("config.toml");
    let program = lent.plain();
    for (owner, mode, user, message) in [
        (NOBODY, 0o644, 0, Some("belongs to user 65534")),
        (1000, 0o644, NOBODY, Some("belongs to user 1000")),
        (0, 0o666, 0, Some("everybody may write to it")),
        (0, 0o644, NOBODY, None),
        (NOBODY, 0o664, NOBODY, None),
    ] {
        fs::write(&config, "interface: nosuch-a\n").unwrap();
        chown(&config, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&config, Permissions::from_mode(mode)).unwrap();
        let path = config.to_str().unwrap();
        let ended = lent.run(&program, user, &["-t", "-i", "nosuch-b", "-c", path]);
        refused(&ended, message.as_slice());
        fs::write(&config, "[capture]\ninterfaces = 'nosuch-a'\n").unwrap();
        let ended = lent.run(&program, user, &["report", "--config", path]);
        refused(&ended, message.as_slice());
        assert_eq!(ended.status.code(), Some(if message.is_some() { 2 } else { 1 }), "{}", said(&ended));
        // In a home it is said, and left out.
        let home = lent.place.path("open/.config/flowtally");
        fs::create_dir_all(&home).unwrap();
        fs::rename(&config, home.join("config.toml")).unwrap();
        let ended = lent.run(&program, user, &["report", "-i", "nosuch-b"]);
        refused(&ended, message.as_slice());
        fs::remove_file(home.join("config.toml")).unwrap();
        let rc = lent.output(".iftoprc");
        fs::write(&rc, "interface: nosuch-a\n").unwrap();
        chown(&rc, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&rc, Permissions::from_mode(mode)).unwrap();
        let arguments = if message.is_some() { &["-t", "-i", "nosuch-b"][..] } else { &["-t"] };
        let ended = lent.run(&program, user, arguments);
        refused(&ended, &[message.unwrap_or("nosuch-a")]);
        fs::remove_file(rc).unwrap();
    }
    let ended = lent.run(&program, 0, &["report", "-i", "nosuch", "--config", "/dev/null"]);
    refused(&ended, &["nosuch"]);
}
