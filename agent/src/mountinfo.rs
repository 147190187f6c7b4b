//! The lines of /proc/PID/mountinfo, and how the kernel writes paths in them and in other tables. Pure.

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device's numbers, major and minor.
    pub device: (u64, u64),
    /// What of the file system is mounted.
    pub root: Vec<u8>,
    /// Where.
    pub path: Vec<u8>,
    /// The type of the file system.
    pub kind: String,
    /// What it was mounted from: a device, a server.
    pub source: Vec<u8>,
}

impl Mount {
    /// Reads a line (`proc_pid_mountinfo(5)`).
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let numbers = std::str::from_utf8(words.get(2)?).ok()?;
        let (major, minor) = numbers.split_once(':')?;
        let dash = words.iter().skip(6).position(|word| *word == b"-")? + 6;
        Some(Self {
            device: (major.parse().ok()?, minor.parse().ok()?),
            root: unescape(words.get(3)?),
            path: unescape(words.get(4)?),
            kind: String::from_utf8_lossy(words.get(dash + 1)?).into_owned(),
            source: unescape(words.get(dash + 2)?),
        })
    }

    /// All lines that are understood.
    #[must_use]
    pub fn parse_all(text: &[u8]) -> Vec<Self> {
        text.split(|byte| *byte == b'\n').filter_map(Self::parse).collect()
    }

    /// Whether its server may be out of reach, so that a question about a file may never be answered.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        let kind = self.kind.as_str();
        matches!(
            kind,
            "nfs"
                | "nfs4"
                | "cifs"
                | "smb3"
                | "smbfs"
                | "ncpfs"
                | "9p"
                | "afs"
                | "ceph"
                | "gfs"
                | "gfs2"
                | "ocfs2"
                | "lustre"
                | "glusterfs"
                | "coda"
                | "autofs"
                | "virtiofs"
                | "fuse"
                | "fuseblk"
                | "orangefs"
                | "pvfs2"
        ) || kind.starts_with("fuse.")
    }

    /// Whether it is of NFS.
    #[must_use]
    pub fn is_nfs(&self) -> bool {
        self.kind == "nfs" || self.kind == "nfs4"
    }
}

/// A path as it is, from one in which the kernel wrote bytes (blanks, tabs, newlines, backslashes) as `\ooo`.
#[must_use]
pub fn unescape(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = b"36 35 254:0 / /mnt\\0402 rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n\
                     40 35 0:45 /export /net rw - nfs4 server:/export rw,vers=4.2\nbroken\n";
        let mounts = Mount::parse_all(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].device, (254, 0));
        assert_eq!(mounts[0].path, b"/mnt 2");
        assert_eq!((mounts[0].kind.as_str(), mounts[0].source.as_slice()), ("ext4", &b"/dev/vda"[..]));
        assert!(!mounts[0].is_remote() && mounts[1].is_remote() && mounts[1].is_nfs());
        assert_eq!(mounts[1].root, b"/export");
    }

    #[test]
    fn three_octal_digits_are_a_byte() {
        assert_eq!(unescape(b"/a\\012b\\040\\"), b"/a\nb \\");
        assert_eq!(unescape(b"\\134040\\377"), b"\\040\xff");
        for other in [&b"/a\\99z"[..], b"\\400", b"\\+12", b"\\12"] {
            assert_eq!(unescape(other), other);
        }
    }
}
