//! Files that are open or mapped.

use aya_ebpf::helpers::generated::{bpf_d_path, bpf_sock_from_file};
use flowtally_common::walk::{
    LONGEST_PATH, SocketRecord, UNKNOWN, WalkRecord, WalkSelection, fact, link, want,
};

use crate::{
    memory::{Address, Scratch, argument, at, field, is_in_set, read, scratch, selection, write_scratch},
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

/// A descriptor.
#[inline(always)]
fn open(meta: Address, task: Address, fd: u32, file: Address) -> Option<()> {
    let selection = selection()?;
    let wanted = wanted(selection);
    if fd < wanted.descriptors[0] || fd > wanted.descriptors[1] {
        return None;
    }
    let level = tasks::level(selection);
    let pid = tasks::process(task, level);
    if wanted.process != 0 && wanted.process != pid {
        return None;
    }
    let inode: Address = field(file, at!(file_inode));
    let mode: u16 = field(inode, at!(inode_mode));
    let mut socket = core::ptr::null();
    if mode & S_IFMT == S_IFSOCK {
        // SAFETY: the helper takes a file, and returns the socket that it is, if it is one.
        socket = unsafe { bpf_sock_from_file(file.cast_mut().cast()) }.cast::<u8>().cast_const();
    }
    let scratch = scratch()?;
    // SAFETY: an element of the map, of which a walk is the only user.
    let record = unsafe { &mut (*scratch).record };
    record.text = 0;
    record.facts = 0;
    record.end = 0;
    let length = if socket.is_null() {
        if wanted.want & want::FILES == 0 {
            return None;
        }
        inode_facts(record, inode, file);
        if !is_wanted(&wanted, record) {
            return None;
        }
        path(&wanted, scratch, file)
    } else {
        if wanted.want & want::SOCKETS == 0 {
            return None;
        }
        let sk: Address = field(socket, at!(socket_sk));
        if sk.is_null() || wanted.want & want::PORTS != 0 && !sockets::has_port(sk) {
            return None;
        }
        inode_facts(record, inode, file);
        record.link = link::SOCKET;
        if wanted.want & want::SOCKET == 0 {
            HEAD
        } else {
            record.facts |= fact::SOCKET;
            // SAFETY: the text of the scratch is longer than a socket's record, and as aligned.
            let place = unsafe { (&raw mut (*scratch).text).cast::<SocketRecord>() };
            HEAD + sockets::describe(sk, wanted.want, place)
        }
    };
    let files: Address = field(task, at!(task_files));
    record.table = files as u64;
    record.pid = pid;
    record.tid = tasks::number(task, level);
    record.fd = fd;
    record.flags = field(file, at!(file_flags));
    record.open_mode = field(file, at!(file_mode));
    record.position = field(file, at!(file_pos));
    if wanted.want & want::CLOSE_ON_EXEC != 0
        && at!(files_fdt) != UNKNOWN
        && at!(fdt_close_on_exec) != UNKNOWN
    {
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
    let wanted = wanted(selection);
    let file: Address = field(vma, at!(vma_file));
    if file.is_null() {
        return None;
    }
    let level = tasks::level(selection);
    let pid = tasks::process(task, level);
    if wanted.process != 0 && wanted.process != pid {
        return None;
    }
    let inode: Address = field(file, at!(file_inode));
    let scratch = scratch()?;
    // SAFETY: an element of the map, of which a walk is the only user.
    let record = unsafe { &mut (*scratch).record };
    record.text = 0;
    record.facts = 0;
    inode_facts(record, inode, file);
    let open_mode: u32 = field(file, at!(file_mode));
    if open_mode & FMODE_BACKING != 0 {
        record.facts = 0;
    }
    if !is_wanted(&wanted, record) {
        return None;
    }
    let length = if open_mode & FMODE_BACKING == 0 {
        path(&wanted, scratch, file)
    } else {
        record.link = link::UNKNOWN;
        HEAD
    };
    let (start, end): (u64, u64) = (field(vma, at!(vma_start)), field(vma, at!(vma_end)));
    let (flags, pages): (u64, u64) = (field(vma, at!(vma_flags)), field(vma, at!(vma_pgoff)));
    record.table = start;
    record.end = end;
    record.pid = pid;
    record.tid = tasks::number(task, level);
    record.fd = flags as u32;
    record.flags = 0;
    record.open_mode = open_mode;
    record.position = pages;
    write_scratch(meta, scratch, length);
    Some(())
}

/// A copy of what is wanted, so that the verifier knows that it does not change meanwhile.
#[inline(always)]
fn wanted(selection: *mut WalkSelection) -> WalkSelection {
    // SAFETY: an element of the map, which only user space writes, and not during a walk.
    unsafe { *selection }
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
fn is_wanted(wanted: &WalkSelection, record: &WalkRecord) -> bool {
    if record.facts & fact::EXACT == 0 {
        return true;
    }
    !(wanted.want & want::UNLINKED != 0 && record.links != 0
        || wanted.device != 0 && wanted.device != record.device
        || wanted.want & want::INODES != 0 && !is_in_set(record.inode))
}

/// Writes what the link in /proc says, and returns the length of the record.
#[inline(always)]
fn path(wanted: &WalkSelection, scratch: *mut Scratch, file: Address) -> u32 {
    // SAFETY: an element of the map, of which a walk is the only user.
    let record = unsafe { &mut (*scratch).record };
    if record.mode & S_IFMT == S_IFIFO && record.magic == PIPEFS {
        record.link = link::PIPE;
        return HEAD;
    }
    if wanted.want & want::PATH == 0 {
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
    if record.magic == ANONYMOUS && at!(eventfd_id) != UNKNOWN {
        // SAFETY: as above.
        let text = unsafe { (&raw const (*scratch).text).cast::<[u64; 3]>().read() };
        if is_eventfd(&text) {
            let context: Address = field(file, at!(file_private));
            record.event = read(context, at!(eventfd_id));
            record.facts |= fact::EVENT;
        }
    }
    HEAD + written as u32
}

/// Whether a text is `anon_inode:[eventfd]`.
#[inline(always)]
fn is_eventfd(text: &[u64; 3]) -> bool {
    const NAME: [u8; 24] = *b"anon_inode:[eventfd]\0\0\0\0";
    const fn word(at: usize) -> u64 {
        let mut word = [0; 8];
        let mut index = 0;
        while index < 8 {
            word[index] = NAME[at * 8 + index];
            index += 1;
        }
        u64::from_le_bytes(word)
    }
    text[0] == word(0) && text[1] == word(1) && text[2] & 0xff_ffff_ffff == word(2)
}
