//! Files that are open or mapped.

use aya_ebpf::helpers::generated::{bpf_d_path, bpf_sock_from_file};
use flowtally_common::walk::{
    LONGEST_PATH, SocketRecord, UNKNOWN, WalkRecord, WalkSelection, fact, link, want,
};

use crate::{
    memory::{
        Address, Scratch, argument, at, field, is_in_set, read, scratch, selection, wants, write_scratch,
    },
    sockets, tasks,
};

/// `linux/stat.h`
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
const S_IFSOCK: u16 = 0o140_000;
const S_IFIFO: u16 = 0o010_000;
/// `linux/magic.h`: file systems whose own `getattr` says of device, number, links and size what the inode has.
const EXT: u64 = 0xef53;
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;
const F2FS: u64 = 0xf2f5_2010;
/// As these, but for directories.
const XFS: u64 = 0x5846_5342;
const PIPEFS: u64 = 0x5049_5045;
const ANONYMOUS: u64 = 0x0904_1934;
/// `linux/fs.h`: the file is that of a lower file system, and has the upper one's path elsewhere (Linux 6.5).
const FMODE_BACKING: u32 = 1 << 25;

/// Bytes of the record in front of what follows it.
const HEAD: u32 = size_of::<WalkRecord>() as u32;

#[unsafe(link_section = "iter/task_file")]
#[unsafe(no_mangle)]
extern "C" fn flowtally_files(ctx: *const u64) -> i32 {
    let (meta, task, file) = (argument(ctx, 0), argument(ctx, 1), argument(ctx, 3));
    // SAFETY: the third argument is a number of four bytes.
    let fd = unsafe { ctx.add(2).cast::<u32>().read_volatile() };
    if !task.is_null() && !file.is_null() {
        open(meta, task, fd, file);
    }
    0
}

#[unsafe(link_section = "iter/task_vma")]
#[unsafe(no_mangle)]
extern "C" fn flowtally_mappings(ctx: *const u64) -> i32 {
    let (meta, task, vma) = (argument(ctx, 0), argument(ctx, 1), argument(ctx, 2));
    if !task.is_null() && !vma.is_null() {
        mapped(meta, task, vma);
    }
    0
}

/// A descriptor. What is not wanted is left as early as can be: each part of the kernel's memory that is looked at may have to be fetched.
#[inline(always)]
fn open(meta: Address, task: Address, fd: u32, file: Address) -> Option<()> {
    let selection = selection()?;
    // SAFETY: an element of the map, which only user space writes there, and not during a walk.
    let [first, last] = unsafe { (*selection).descriptors };
    if fd < first || fd > last {
        return None;
    }
    let mut socket = core::ptr::null();
    if !wants(want::FILES) || mode_of(file) & S_IFMT == S_IFSOCK {
        // SAFETY: the helper takes a file, and returns the socket that it is, if it is one.
        socket = unsafe { bpf_sock_from_file(file.cast_mut().cast()) }.cast::<u8>().cast_const();
    }
    let mut sk: Address = core::ptr::null();
    if socket.is_null() {
        if !wants(want::FILES) {
            return None;
        }
    } else {
        if !wants(want::SOCKETS) {
            return None;
        }
        sk = field(socket, at!(socket_sk));
        if sk.is_null() || !sockets::is_wanted(sk) {
            return None;
        }
    }
    let (pid, tid) = tasks::numbers(task, selection);
    // SAFETY: as above.
    let process = unsafe { (*selection).process };
    if process != 0 && process != pid {
        return None;
    }
    let scratch = scratch()?;
    // SAFETY: an element of the map, of which a walk is the only user.
    let record = unsafe { &mut (*scratch).record };
    record.text = 0;
    record.facts = 0;
    record.end = 0;
    let inode: Address = field(file, at!(file_inode));
    inode_facts(record, inode, file);
    let length = if sk.is_null() {
        if !is_wanted(selection, record) {
            return None;
        }
        if wants(want::LOCKS) && has_no_lock(inode) {
            record.facts |= fact::UNLOCKED;
        }
        path(scratch, file)
    } else {
        record.link = link::SOCKET;
        if wants(want::SOCKET) {
            record.facts |= fact::SOCKET;
            // SAFETY: the text of the scratch is longer than a socket's record, and as aligned.
            let place = unsafe { (&raw mut (*scratch).text).cast::<SocketRecord>() };
            HEAD + sockets::describe(sk, place)
        } else {
            HEAD
        }
    };
    let files: Address = field(task, at!(task_files));
    record.table = files as u64;
    record.pid = pid;
    record.tid = tid;
    record.fd = fd;
    record.flags = field(file, at!(file_flags));
    record.open_mode = field(file, at!(file_mode));
    record.position = field(file, at!(file_pos));
    if wants(want::CLOSE_ON_EXEC) && at!(files_fdt) != UNKNOWN && at!(fdt_close_on_exec) != UNKNOWN {
        let table: Address = read(files, at!(files_fdt));
        let bits: Address = read(table, at!(fdt_close_on_exec));
        let word: u32 = read(bits, fd >> 5 << 2);
        record.facts |= fact::CLOSING_KNOWN;
        if word >> (fd & 31) & 1 == 1 {
            record.facts |= fact::CLOSES;
        }
    }
    write_scratch(meta, scratch, length);
    Some(())
}

/// A mapping of a file.
#[inline(always)]
fn mapped(meta: Address, task: Address, vma: Address) -> Option<()> {
    let selection = selection()?;
    let file: Address = field(vma, at!(vma_file));
    if file.is_null() {
        return None;
    }
    let (pid, tid) = tasks::numbers(task, selection);
    // SAFETY: an element of the map, which only user space writes there, and not during a walk.
    let process = unsafe { (*selection).process };
    if process != 0 && process != pid {
        return None;
    }
    let inode: Address = field(file, at!(file_inode));
    let scratch = scratch()?;
    // SAFETY: an element of the map, of which a walk is the only user.
    let record = unsafe { &mut (*scratch).record };
    record.text = 0;
    record.facts = 0;
    inode_facts(record, inode, file);
    if wants(want::DISTINCT) && tasks::maps_the_same(task, record.device, record.inode, selection) {
        return None;
    }
    let open_mode: u32 = field(file, at!(file_mode));
    // It has a name of its own, or the file is a lower one: /proc shows another text.
    let is_plain = open_mode & FMODE_BACKING == 0 && !is_named(vma);
    if !is_plain {
        record.facts = 0;
    }
    if !is_wanted(selection, record) {
        return None;
    }
    let length = if is_plain {
        path(scratch, file)
    } else {
        record.link = link::UNKNOWN;
        HEAD
    };
    if at!(mm_exe_file) != UNKNOWN {
        let memory: Address = field(task, at!(task_mm));
        let executable: Address = read(memory, at!(mm_exe_file));
        if executable == file {
            record.facts |= fact::EXECUTABLE;
        }
    }
    let (start, end): (u64, u64) = (field(vma, at!(vma_start)), field(vma, at!(vma_end)));
    let (flags, pages): (u64, u64) = (field(vma, at!(vma_flags)), field(vma, at!(vma_pgoff)));
    record.table = start;
    record.end = end;
    record.pid = pid;
    record.tid = tid;
    record.fd = flags as u32;
    record.flags = 0;
    record.open_mode = open_mode;
    record.position = pages;
    let (device, inode) = (record.device, record.inode);
    if write_scratch(meta, scratch, length) && wants(want::DISTINCT) {
        tasks::note_mapped(task, device, inode, selection);
    }
    Some(())
}

/// Type and permissions of a file.
#[inline(always)]
fn mode_of(file: Address) -> u16 {
    let inode: Address = field(file, at!(file_inode));
    field(inode, at!(inode_mode))
}

/// Whether a mapping has a name of its own.
#[inline(always)]
fn is_named(vma: Address) -> bool {
    if at!(vma_name) == UNKNOWN || at!(vma_name) == at!(vma_shared) {
        return false;
    }
    let name: Address = field(vma, at!(vma_name));
    !name.is_null()
}

/// Whether it is certain that nobody has a lock on a file.
#[inline(always)]
fn has_no_lock(inode: Address) -> bool {
    if at!(inode_locks) == UNKNOWN {
        return false;
    }
    let locks: Address = field(inode, at!(inode_locks));
    locks.is_null()
        || is_empty(locks, at!(locks_flock))
            && is_empty(locks, at!(locks_posix))
            && is_empty(locks, at!(locks_lease))
}

/// Whether there is nothing in a list (`struct list_head`).
#[inline(always)]
fn is_empty(base: Address, offset: u32) -> bool {
    offset != UNKNOWN && read::<u64>(base, offset) == base as u64 + u64::from(offset)
}

/// What the inode says.
#[inline(always)]
fn inode_facts(record: &mut WalkRecord, inode: Address, file: Address) {
    let sb: Address = field(inode, at!(inode_sb));
    let operations: Address = field(inode, at!(inode_op));
    let getattr: Address = field(operations, at!(op_getattr));
    let mode: u16 = field(inode, at!(inode_mode));
    let magic: u64 = field(sb, at!(sb_magic));
    record.inode = field(inode, at!(inode_ino));
    record.size = field(inode, at!(inode_size));
    record.magic = magic;
    record.device = field(sb, at!(sb_dev));
    record.rdev = field(inode, at!(inode_rdev));
    record.links = field(inode, at!(inode_nlink));
    record.mode = mode;
    let answers_from_inode = getattr.is_null()
        || magic == EXT
        || magic == TMPFS
        || magic == RAMFS
        || magic == F2FS
        || magic == XFS && mode & S_IFMT == S_IFREG;
    // stat(2) asks the inode of the path, which need not be the one that is read and written: a file of a stacked file system.
    let dentry: Address = field(file, at!(file_path) + at!(path_dentry));
    let named: Address = field(dentry, at!(dentry_inode));
    if answers_from_inode && named == inode {
        record.facts |= fact::EXACT;
    }
}

/// Whether a file, or one of which not enough is known, is wanted.
#[inline(always)]
fn is_wanted(selection: *mut WalkSelection, record: &WalkRecord) -> bool {
    if record.facts & fact::EXACT == 0 {
        return true;
    }
    // SAFETY: an element of the map, which only user space writes there, and not during a walk.
    let device = unsafe { (*selection).device };
    !(wants(want::UNLINKED) && record.links != 0
        || device != 0 && device != record.device
        || wants(want::INODES) && !is_in_set(record.inode))
}

/// Writes what the link in /proc says, and returns the length of the record.
#[inline(always)]
fn path(scratch: *mut Scratch, file: Address) -> u32 {
    // SAFETY: an element of the map, of which a walk is the only user.
    let record = unsafe { &mut (*scratch).record };
    if record.mode & S_IFMT == S_IFIFO && record.magic == PIPEFS {
        record.link = link::PIPE;
        return HEAD;
    }
    if !wants(want::PATH) {
        record.link = link::NOT_ASKED;
        return HEAD;
    }
    // SAFETY: as above; the helper writes so many bytes at most.
    let written = unsafe {
        let text = (&raw mut (*scratch).text).cast::<i8>();
        bpf_d_path(file.wrapping_add(at!(file_path) as usize).cast_mut().cast(), text, LONGEST_PATH as u32)
    };
    // With the zero at the end, a path has two bytes at least.
    if !(2..=LONGEST_PATH as i64).contains(&written) {
        record.link = link::UNKNOWN;
        return HEAD;
    }
    record.link = link::PATH;
    record.text = written as u16 - 1;
    if record.magic == ANONYMOUS {
        // SAFETY: as above.
        let text = unsafe { (&raw const (*scratch).text).cast::<[u64; 3]>().read() };
        let private: Address = field(file, at!(file_private));
        if at!(eventfd_id) != UNKNOWN && begins_with(&text, EVENTFD) {
            record.event = read(private, at!(eventfd_id));
            record.facts |= fact::EVENT;
        } else if at!(eventpoll_root) != UNKNOWN && begins_with(&text, EVENTPOLL) {
            let watched: Address = read(private, at!(eventpoll_root));
            if watched.is_null() {
                record.facts |= fact::IDLE;
            }
        }
    }
    HEAD + written as u32
}

/// The texts of links, with the zero at their end, and how many bits of the last word they have.
const EVENTFD: (&[u8; 24], u32) = (b"anon_inode:[eventfd]\0\0\0\0", 5 * 8);
const EVENTPOLL: (&[u8; 24], u32) = (b"anon_inode:[eventpoll]\0\0", 7 * 8);

/// Whether a text is one of those above.
#[inline(always)]
fn begins_with(text: &[u64; 3], (name, bits): (&[u8; 24], u32)) -> bool {
    const fn word(name: &[u8; 24], at: usize) -> u64 {
        let mut word = [0; 8];
        let mut index = 0;
        while index < 8 {
            word[index] = name[at * 8 + index];
            index += 1;
        }
        u64::from_le_bytes(word)
    }
    let rest = (text[2] ^ word(name, 2)) << (64 - bits);
    text[0] == word(name, 0) && text[1] == word(name, 1) && rest == 0
}
