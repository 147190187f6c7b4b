//! Goes into the agent's sandbox, then tries things, and says of each whether it worked: `NAME: ok` or `NAME: ERROR`.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "what is no attempt must work")]

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use flowtally::{
    host::{
        netns::Namespaces,
        owners::Owners,
        sandbox::{Confined, FileWriter, Sandbox, SandboxPlan},
    },
    kernel::{AttachTarget, Capacity, Kernel},
    model::hook::HookChoice,
};
use flowtally_common::settings::Layer;
use nix::{
    errno::Errno,
    kmod,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::{ptrace, signal},
    unistd::{Pid, gethostname, setgroups, sethostname},
};
use rustix::{
    net::{AddressFamily, SocketType, socket},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities},
};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["refused", on, folder, other, pid] => {
            refused(&enter(on, folder), Path::new(other), pid.parse().unwrap());
        }
        ["written", on, folder, other] => written(&enter(on, folder), folder.into(), other.into()),
        ["works", on, folder, pid, namespace] => works(&enter(on, folder), folder.into(), pid, namespace),
        ["counts", on, folder] => counts(&enter(on, folder)),
        ["late", folder] => late(folder),
        ["foreign", folder] => foreign(folder),
        _ => panic!("usage: see the tests"),
    }
}

fn plan(on: &str, folder: &str) -> SandboxPlan {
    SandboxPlan { on: on == "on", folders: vec![folder.into()], gives_group: false }
}

fn enter(on: &str, folder: &str) -> Confined {
    let confined = Sandbox::prepare(plan(on, folder)).enter();
    println!("state: {}", serde_json::to_string(confined.state()).unwrap());
    confined
}

/// Says how an attempt ended.
fn say(name: &str, result: io::Result<()>) {
    let words = match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => {
            error.raw_os_error().map_or(error.to_string(), |code| format!("{:?}", Errno::from_raw(code)))
        }
    };
    println!("{name}: {words}");
}

fn say_errno(name: &str, result: nix::Result<()>) {
    say(name, result.map_err(io::Error::from));
}

/// `AF_ALG`: the kernel's ciphers.
const ALG: u16 = 38;

/// Everything that counting never does.
fn refused(_confined: &Confined, other: &Path, pid: i32) {
    let there = other.join("there");
    let append = || OpenOptions::new().append(true).open(&there);
    say("create", File::create(other.join("new")).map(drop));
    say("append", append().map(drop));
    say("truncate", OpenOptions::new().read(true).write(true).truncate(true).open(&there).map(drop));
    say("mkdir", fs::create_dir(other.join("folder")));
    say("rename", fs::rename(&there, other.join("renamed")));
    say("link", fs::hard_link(&there, other.join("linked")));
    say("symlink", symlink(&there, other.join("symbolic")));
    say("chmod", fs::set_permissions(&there, Permissions::from_mode(0o777)));
    say("chown", chown(&there, Some(1), None));
    say("unlink", fs::remove_file(&there));
    // A thread that is started later has no more rights.
    say(
        "create in a thread",
        thread::spawn({
            let new = other.join("thread");
            move || File::create(new).map(drop)
        })
        .join()
        .unwrap(),
    );

    say("process", Command::new("/bin/true").status().map(drop));
    say_errno("ptrace", ptrace::attach(Pid::from_raw(pid)));
    let none: Option<&str> = None;
    say_errno("mount", mount(Some("none"), other, Some("tmpfs"), MsFlags::empty(), none));
    say_errno("umount", umount2(other, MntFlags::MNT_DETACH));
    say_errno("unshare", unshare(CloneFlags::CLONE_NEWUTS));
    let uts = File::open("/proc/self/ns/uts").unwrap();
    say_errno("setns uts", setns(&uts, CloneFlags::CLONE_NEWUTS));
    say_errno("module", kmod::init_module(b"", c""));
    say_errno("hostname", gethostname().and_then(sethostname));
    say_errno("groups", setgroups(&[]));
    say_errno("signal", signal::kill(Pid::this(), None));
    for (name, family) in [
        ("vsock", AddressFamily::VSOCK),
        ("alg", AddressFamily::from_raw(ALG)),
        ("packet", AddressFamily::PACKET),
    ] {
        say(name, socket(family, SocketType::STREAM, None).map(drop).map_err(io::Error::from));
    }
    let time = CapabilitySet::SYS_TIME | CapabilitySet::CHOWN;
    for (name, raise) in [("raise", CapabilitySet::SYS_TIME), ("raise again", time)] {
        let own = capabilities(None).unwrap();
        let more =
            CapabilitySets { effective: own.effective | raise, permitted: own.permitted | raise, ..own };
        say(name, set_capabilities(None, more).map_err(io::Error::from));
    }
    for line in fs::read_to_string("/proc/thread-self/status").unwrap().lines() {
        if line.starts_with("Cap") || line.starts_with("NoNewPrivs") || line.starts_with("Seccomp:") {
            println!("{}", line.replace('\t', " "));
        }
    }
    // Last: where it works, nothing comes after it.
    say("execute", Err(Command::new("/bin/true").exec()));
}

/// What writes files, does so below its folder alone.
fn written(confined: &Confined, folder: PathBuf, other: PathBuf) {
    let work = move |writer: &FileWriter| {
        // Only here, where no work is done, and where nothing else is: the folder itself.
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("file");
        let mut open = None;
        let mut results = BTreeMap::new();
        let tried = writer.below(&[&folder], || {
            let mut created = File::create(&file).unwrap();
            created.write_all(b"one").unwrap();
            open = Some(created);
            results.insert("append", OpenOptions::new().append(true).open(&file).map(drop));
            results.insert("rename", fs::rename(&file, folder.join("renamed")));
            results.insert("rename back", fs::rename(folder.join("renamed"), &file));
            results.insert("mkdir", fs::create_dir(folder.join("inner")));
            results.insert("remove", fs::remove_dir(folder.join("inner")));
            results.insert("chmod", fs::set_permissions(&file, Permissions::from_mode(0o600)));
            results.insert("read elsewhere", fs::read_to_string("/proc/self/status").map(drop));
            results.insert("list elsewhere", fs::read_dir("/etc").map(drop));
            results.insert("create elsewhere", File::create(other.join("new")).map(drop));
            results.insert(
                "append elsewhere",
                OpenOptions::new().append(true).open(other.join("there")).map(drop),
            );
            results.insert("remove elsewhere", fs::remove_file(other.join("there")));
            results.insert("rename elsewhere", fs::rename(&file, other.join("file")));
            results.insert("climb", File::create(folder.join("../climbed")).map(drop));
            results.insert("chown", chown(&file, Some(1), None));
            results.insert("connect", TcpListener::bind("127.0.0.1:0").map(drop));
            results.insert("process", Command::new("/bin/true").status().map(drop));
        });
        say("below", tried);
        for (name, result) in results {
            say(name, result);
        }
        // What was opened stays open to write.
        say("write later", open.unwrap().write_all(b" two"));
        // The folder goes, and another one comes in its place.
        fs::rename(&folder, folder.with_extension("old")).unwrap();
        fs::create_dir(&folder).unwrap();
        let again = writer.below(&[&folder], || File::create(folder.join("again")).map(drop));
        say("again", again.and_then(|result| result));
    };
    confined.spawn_writer("test", work).unwrap().join().unwrap();
    // Started from a thread that is sealed itself.
    let (say_folder, hear) = std::sync::mpsc::channel();
    let later = confined.spawn_writer("later", move |writer| {
        let folder: PathBuf = hear.recv().unwrap();
        writer.below(&[&folder], || File::create(folder.join("later")).map(drop))
    });
    say_folder.send(env::args().nth(3).unwrap().into()).unwrap();
    say("later", later.unwrap().join().unwrap().and_then(|result| result));
}

/// What finds owners, and what the C library does beside.
fn works(confined: &Confined, folder: PathBuf, pid: &str, namespace: &str) {
    say("links", fs::read_link(format!("/proc/{pid}/fd/0")).map(drop));
    say("exe", fs::read_link(format!("/proc/{pid}/exe")).map(drop));
    let opened = |namespace: &str| {
        let file = File::open(namespace)?;
        let enter = move || setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        thread::spawn(enter).join().unwrap()
    };
    say("namespace", opened(namespace));
    let mut namespaces = Namespaces::find(&BTreeMap::new());
    say("peers", namespaces.peers().map(drop).map_err(io::Error::from));
    namespaces.names.clear();
    let mut owners = Owners::new();
    owners.try_out(std::time::Instant::now());
    println!("owners: {:?}", owners.degraded());
    say("user", nix::unistd::User::from_uid(0.into()).map(drop).map_err(io::Error::from));
    say("threads", threads());
    say("listen", TcpListener::bind("127.0.0.1:0").map(drop));
    let writer = confined.spawn_writer("log", move |writer| {
        writer.below(&[&folder], || fs::write(folder.join("log"), "counts"))
    });
    say("log", writer.unwrap().join().unwrap().and_then(|result| result));
}

/// Threads that wait, sleep and end.
fn threads() -> io::Result<()> {
    let (say, hear) = std::sync::mpsc::channel();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let say = say.clone();
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                thread::sleep(Duration::from_millis(1));
                say.send(number).unwrap();
            })
        })
        .collect::<io::Result<_>>()?;
    drop(say);
    assert_eq!(hear.iter().sum::<i32>(), 28);
    for thread in threads {
        thread.join().unwrap();
    }
    Ok(())
}

/// Loads the programs, attaches, and attaches to what comes later; says what was counted at the end.
fn counts(_confined: &Confined) {
    let capacity = Capacity { slots: 1024, flows: 16_384, notes: 65_536 };
    let mut kernel = Kernel::load(capacity, false).unwrap();
    println!("hooks: {}", kernel.owner_notes().hooks().len());
    let mut stdin = io::stdin().lines();
    // Names of interfaces, each attached to when it is read; an empty line is the end.
    while let Some(line) = stdin.next().map(Result::unwrap).filter(|line| !line.is_empty()) {
        let (name, hook) = line.split_once(' ').unwrap();
        let index = nix::net::if_::if_nametoindex(name).unwrap();
        let target = AttachTarget { index, name: name.to_owned(), layer: Layer::Ethernet, loopback: false };
        let served = kernel.attach(&target, hook.parse::<HookChoice>().unwrap(), 0x1234_5678).unwrap();
        println!("attached: {name} {}", served.hook);
    }
    let retired = kernel.flip();
    let mut packets = BTreeMap::<u32, u64>::new();
    kernel
        .drain(&retired, |drained| {
            if let flowtally::kernel::Drained::Flow(key, count, _) = drained {
                *packets.entry(key.ifindex).or_default() += count.packets;
            }
        })
        .unwrap();
    println!("packets: {packets:?}");
}

/// Threads that were there before.
fn late(folder: &str) {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _ = wait.recv();
        say("process in a thread that was there", Command::new("/bin/true").status().map(drop));
    });
    let confined = enter("on", folder);
    println!("degraded: {}", confined.state().degraded().len());
    drop(end);
    thread.join().unwrap();
}

/// A folder of another user, to which root writes.
fn foreign(folder: &str) {
    let confined = enter("on", folder);
    let path = PathBuf::from(folder);
    let writer = confined
        .spawn_writer("log", move |writer| writer.below(&[&path], || fs::write(path.join("log"), "counts")));
    say("log", writer.unwrap().join().unwrap().and_then(|result| result));
    let own = capabilities(None).unwrap().permitted;
    println!("main thread may override: {}", own.contains(CapabilitySet::DAC_OVERRIDE));
}
