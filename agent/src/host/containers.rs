//! Pure: which container or systemd unit a process is in, from the paths of its cgroups.
//!
//! The path is all that container runtimes, Kubernetes and systemd have in common, and it can be read without asking any of
//! them. Paths: cgroups(7), <https://systemd.io/CGROUP_DELEGATION/>, and what each runtime makes.

use crate::{
    format::Name,
    model::owner::{Container, Runtime},
};

/// Digits of an id that runtimes show.
const SHOWN: usize = 12;
/// Digits of a whole id.
const ID: usize = 64;

/// From what /proc/PID/cgroup says: a line for each hierarchy, of which the most telling one counts, before others the one of
/// version 2 and the one of systemd. `None` for a process in no cgroup but the root.
#[must_use]
pub fn of_process(text: &[u8]) -> Option<Container> {
    let text = text_of(text);
    let lines = text.split('\n').filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let place = match (number, controllers) {
            ("0", "") => 0,
            (_, "name=systemd") => 1,
            _ => 2,
        };
        let (rank, container) = ranked(path)?;
        Some(((rank, place), container))
    });
    // The first of several equals, which `min_by_key` takes.
    lines.min_by_key(|(order, _)| *order).map(|(_, container)| container)
}

/// From the path of one cgroup. `None` for the root.
#[must_use]
pub fn of_path(path: &[u8]) -> Option<Container> {
    ranked(&text_of(path)).map(|(_, container)| container)
}

/// Bytes as text in which each is a character of its own, for a path may hold any, and what is looked for is ASCII.
fn text_of(path: &[u8]) -> String {
    path.iter().copied().map(char::from).collect()
}

/// The bytes again.
fn name_of(text: &str) -> Name {
    text.chars().filter_map(|char| u8::try_from(char).ok()).collect::<Vec<_>>().into()
}

/// The container with how much it tells: less is more.
fn ranked(path: &str) -> Option<(u8, Container)> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let segments: Vec<&str> =
        path.split('/').filter(|segment| !matches!(*segment, "" | "." | "..")).collect();
    // The innermost container, for containers run others; then the innermost unit.
    let container =
        (0..segments.len()).rev().find_map(|at| container(segments.get(..at)?, segments.get(at)?));
    if let Some((runtime, name)) = container {
        return Some((0, Container { runtime, name }));
    }
    let unit = |rank: u8, suffixes: &[&str]| {
        let is_one = |segment: &&&str| suffixes.iter().any(|suffix| segment.ends_with(suffix));
        let segment = segments.iter().rev().find(is_one)?;
        Some((rank, Container { runtime: Runtime::Systemd, name: unescape(segment) }))
    };
    unit(1, &[".service", ".scope", ".socket", ".mount", ".swap"]).or_else(|| unit(2, &[".slice"])).or_else(
        || {
            let name = name_of(&format!("/{}", segments.join("/")));
            (!segments.is_empty()).then_some((3, Container { runtime: Runtime::Cgroup, name }))
        },
    )
}

/// The container whose own cgroup this segment is, below these others.
fn container(above: &[&str], segment: &str) -> Option<(Runtime, Name)> {
    const PREFIXES: [(&str, Runtime); 5] = [
        ("docker-", Runtime::Docker),
        ("libpod-", Runtime::Podman),
        ("cri-containerd-", Runtime::Containerd),
        ("nerdctl-", Runtime::Containerd),
        ("crio-", Runtime::CriO),
    ];
    let scope = segment.strip_suffix(".scope");
    let bare = scope.unwrap_or(segment);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = bare.strip_prefix(prefix).and_then(short_id) {
            return Some((runtime, id));
        }
    }
    // containerd with paths meant for systemd, but without it: `kubepods-pod1.slice:cri-containerd:ID`.
    if let Some((_, id)) = segment.split_once(":cri-containerd:").or_else(|| segment.split_once(":nerdctl:"))
    {
        return Some((Runtime::Containerd, short_id(id).unwrap_or_else(|| name_of(id))));
    }
    if let Some((_, id)) = segment.split_once(":docker:")
        && let Some(id) = short_id(id)
    {
        return Some((Runtime::Docker, id));
    }
    if let Some(name) = machine(segment, scope) {
        return Some((Runtime::Machine, name));
    }
    if let Some(name) = segment.strip_prefix("lxc.payload.").or_else(|| segment.strip_prefix("lxc.monitor."))
    {
        return Some((Runtime::Lxc, name_of(name)));
    }
    let parent = *above.last()?;
    match parent {
        "lxc" | "lxc.payload" => return Some((Runtime::Lxc, name_of(segment))),
        // containerd's own namespaces, `ctr` and `nerdctl` without systemd; the names need not be ids.
        "default" | "moby" | "k8s.io" if above.len() == 1 => {
            return Some((Runtime::Containerd, short_id(segment).unwrap_or_else(|| name_of(segment))));
        }
        _ => {}
    }
    let id = short_id(segment)?;
    // Kubernetes before Docker: its pods may be Docker's containers too, but their paths do not say so.
    if above.iter().any(|segment| segment.starts_with("kubepods")) {
        Some((Runtime::Kubernetes, id))
    } else if above.iter().any(|segment| matches!(*segment, "docker" | "ecs" | "actions_job" | "garden")) {
        Some((Runtime::Docker, id))
    } else {
        None
    }
}

/// The machine of a scope that systemd-machined made, or of a service that runs one.
fn machine(segment: &str, scope: Option<&str>) -> Option<Name> {
    let name = match scope {
        Some(scope) => scope.strip_prefix("machine-")?,
        None => segment.strip_prefix("systemd-nspawn@")?.strip_suffix(".service")?,
    };
    Some(unescape(name))
}

/// The digits shown of a whole id.
fn short_id(text: &str) -> Option<Name> {
    // Podman's and Docker's are 64 digits; the id of a task of ECS follows a dash.
    let id = text.split_once('-').map_or(text, |(id, _)| id);
    let is_id = id.len() == ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.get(..SHOWN).map(Name::from)).flatten()
}

/// A unit's name as people know it: `\x2d` is a dash (systemd-escape(1)).
fn unescape(name: &str) -> Name {
    let mut plain = Vec::with_capacity(name.len());
    let name = name_of(name);
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = rest.strip_prefix(b"\\x").and_then(|rest| {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, rest.get(2..)?))
        });
        let (byte, next) = escaped.unwrap_or((*first, tail));
        plain.push(byte);
        rest = next;
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    /// `A` and `B` stand for ids.
    fn shown(path: &str) -> String {
        let path = path.replace("{A}", A).replace("{B}", B);
        let title = of_path(path.as_bytes()).map(|container| container.title());
        title.map_or_else(|| "-".to_owned(), |title| String::from_utf8(title.as_bytes().into()).unwrap())
    }

    #[test]
    fn paths_of_every_runtime() {
        for (path, expected) in [
            // Docker with the cgroup drivers `cgroupfs` and `systemd`, rootless, and one in another.
            ("/docker/{A}", "docker:0123456789ab"),
            ("/system.slice/docker-{A}.scope", "docker:0123456789ab"),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope",
                "docker:0123456789ab",
            ),
            ("/docker/{A}/docker/{B}", "docker:fedcba987654"),
            ("/system.slice/docker-{A}.scope/docker/{B}", "docker:fedcba987654"),
            ("/docker/buildkit/{A}", "docker:0123456789ab"),
            ("/ecs/0fa1c3/{A}", "docker:0123456789ab"),
            ("/system.slice:docker:{A}", "docker:0123456789ab"),
            // systemd in a container: the container counts, not its unit.
            ("/system.slice/docker-{A}.scope/system.slice/nginx.service", "docker:0123456789ab"),
            ("/docker/{A}/init.scope", "docker:0123456789ab"),
            // Podman as root, rootless, in a pod, and without systemd.
            ("/machine.slice/libpod-{A}.scope/container", "podman:0123456789ab"),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container",
                "podman:0123456789ab",
            ),
            ("/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", "podman:0123456789ab"),
            ("/libpod_parent/libpod-{A}", "podman:0123456789ab"),
            ("/system.slice/web.service/libpod-payload-{A}", "web.service"),
            // containerd, on its own and below Kubernetes.
            ("/default/{A}", "containerd:0123456789ab"),
            ("/default/redis", "containerd:redis"),
            ("/system.slice/nerdctl-{A}.scope", "containerd:0123456789ab"),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f_2.slice/cri-containerd-{A}.scope",
                "containerd:0123456789ab",
            ),
            (
                "/system.slice/containerd.service/kubepods-besteffort-pod1f_2.slice:cri-containerd:{A}",
                "containerd:0123456789ab",
            ),
            ("/kubepods/besteffort/pod1f-2/{A}", "kubernetes:0123456789ab"),
            ("/kubepods/pod1f-2/{A}", "kubernetes:0123456789ab"),
            ("/docker/{B}/kubepods/burstable/pod1f-2/{A}", "kubernetes:0123456789ab"),
            ("/kubepods.slice/kubepods-pod1f.slice/docker-{A}.scope", "docker:0123456789ab"),
            // CRI-O with both drivers, and its monitor, which is no container.
            ("/kubepods.slice/kubepods-pod1f.slice/crio-{A}.scope", "cri-o:0123456789ab"),
            ("/kubepods/burstable/pod1f-2/crio-{A}", "cri-o:0123456789ab"),
            ("/kubepods.slice/kubepods-pod1f.slice/crio-{A}.scope/container", "cri-o:0123456789ab"),
            // Machines.
            ("/machine.slice/machine-web\\x2d1.scope", "machine:web-1"),
            ("/machine.slice/machine-qemu\\x2d2\\x2dwin.scope/libvirt/emulator", "machine:qemu-2-win"),
            (
                "/machine.slice/systemd-nspawn@debian.service/payload/system.slice/ssh.service",
                "machine:debian",
            ),
            // LXC and LXD.
            ("/lxc/web/system.slice/ssh.service", "lxc:web"),
            ("/lxc.payload.web", "lxc:web"),
            ("/lxc.payload/web/init.scope", "lxc:web"),
            // Units.
            ("/system.slice/ssh.service", "ssh.service"),
            ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
            ("/system.slice/system-serial\\x2dgetty.slice", "system-serial-getty.slice"),
            ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox\\x2desr-4711.scope",
                "app-gnome-firefox-esr-4711.scope",
            ),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope"),
            ("/system.slice/postgresql.service/worker", "postgresql.service"),
            ("/init.scope", "init.scope"),
            ("/kubepods.slice", "kubepods.slice"),
            // None of these.
            ("/build/{A}", &format!("/build/{A}")),
            ("/batch/7", "/batch/7"),
            ("/../../batch/7", "/batch/7"),
            ("/batch/7 (deleted)", "/batch/7"),
            ("/docker/short", "/docker/short"),
            ("/", "-"),
            ("", "-"),
            ("/..", "-"),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
    }

    #[test]
    fn the_most_telling_hierarchy_counts() {
        let container = |text: &str| of_process(text.replace("{A}", A).as_bytes()).map(|c| c.to_string());
        assert_eq!(container("0::/system.slice/ssh.service\n").as_deref(), Some("ssh.service"));
        // Version 1 alone, and both: only some hierarchies know the container.
        let old = "12:pids:/docker/{A}\n11:memory:/docker/{A}\n1:name=systemd:/docker/{A}\n";
        assert_eq!(container(old).as_deref(), Some("docker:0123456789ab"));
        let hybrid = "4:memory:/user.slice\n1:name=systemd:/system.slice/ssh.service\n0::/\n";
        assert_eq!(container(hybrid).as_deref(), Some("ssh.service"));
        let hybrid = "4:memory:/docker/{A}\n1:name=systemd:/system.slice/docker.service\n0::/system.slice/docker.service\n";
        assert_eq!(container(hybrid).as_deref(), Some("docker:0123456789ab"));
        let equals = "3:cpu:/a\n1:name=systemd:/b\n0::/c\n";
        assert_eq!(container(equals).as_deref(), Some("/c"));
        assert_eq!(container("9:name=systemd:/\n0::/\n"), None);
        assert_eq!(container("nonsense\n0:\n\n"), None);
    }

    #[test]
    fn names_are_unescaped() {
        assert_eq!(unescape("a\\x2db"), "a-b");
        assert_eq!(unescape("\\x"), "\\x");
        assert_eq!(unescape("\\xzz\\x2"), "\\xzz\\x2");
        assert_eq!(unescape("\\xc3\\xa9"), "\u{e9}");
        assert_eq!(unescape("\\xff"), Name::from(&b"\xff"[..]));
    }

    #[test]
    fn names_are_kept_to_the_byte() {
        let name = |path: &[u8]| of_path(path).unwrap().title();
        assert_eq!(name(b"/lxc/\xff\x1b"), Name::from(&b"lxc:\xff\x1b"[..]));
        assert_eq!(name("/a/\u{202e}\u{85}".as_bytes()), "/a/\u{202e}\u{85}");
        let text = "0::/system.slice/\u{e9}\r.service\n";
        assert_eq!(of_process(text.as_bytes()).unwrap().name, "\u{e9}\r.service");
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), path in "(/[a-z0-9:.@\\\\x-]{0,20}){0,6}") {
            let _ = of_process(&bytes);
            if let Some(container) = of_path(path.as_bytes()) {
                prop_assert!(!container.name.is_empty() || path.contains("machine-.scope") || path.contains("lxc."));
            }
        }
    }
}
