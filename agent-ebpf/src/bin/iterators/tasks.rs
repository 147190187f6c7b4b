//! Processes and threads: their numbers, and a record of each.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use flowtally_common::walk::{TaskRecord, UNKNOWN, WalkSelection, want};

use crate::memory::{Address, argument, at, field, read, read_known, selection, wants, write};

/// Which number the reader's PID namespace has for a task: how deep that namespace is. The walk is of tasks in it alone.
#[inline(always)]
pub(crate) fn level(selection: *mut WalkSelection) -> u32 {
    // SAFETY: an element of the map.
    let known = unsafe { (*selection).level };
    if known != 0 {
        return known - 1;
    }
    // SAFETY: the helper takes nothing. The running task is the reader.
    let current = unsafe { bpf_get_current_task() } as usize as Address;
    let pid: Address = read(current, at!(task_thread_pid));
    let level: u32 = read(pid, at!(pid_level));
    // SAFETY: as above.
    unsafe { (*selection).level = level + 1 };
    level
}

/// A `struct pid` as a number in the namespace at that level; 0 where it has none there.
#[inline(always)]
fn number_of(pid: Address, level: u32) -> u32 {
    let depth: u32 = read(pid, at!(pid_level));
    if pid.is_null() || depth < level {
        return 0;
    }
    read(pid, at!(pid_numbers) + at!(upid_size) * (level & 0xff) + at!(upid_nr))
}

/// Number of a task.
#[inline(always)]
pub(crate) fn number(task: Address, level: u32) -> u32 {
    if level == 0 { field(task, at!(task_pid)) } else { number_of(field(task, at!(task_thread_pid)), level) }
}

/// Number of a task's process.
#[inline(always)]
pub(crate) fn process(task: Address, level: u32) -> u32 {
    if level == 0 {
        return field(task, at!(task_tgid));
    }
    let leader: Address = field(task, at!(task_leader));
    number_of(field(leader, at!(task_thread_pid)), level)
}

/// The numbers of a task's process and of the task. What is walked comes task by task, so those of the last one are kept.
#[inline(always)]
pub(crate) fn numbers(task: Address, selection: *mut WalkSelection) -> (u32, u32) {
    let level = level(selection);
    if level == 0 {
        return (process(task, 0), number(task, 0));
    }
    let start: u64 = field(task, at!(task_start));
    if is_last(task, start, selection) {
        // SAFETY: an element of the map.
        return unsafe { ((*selection).pid, (*selection).tid) };
    }
    let (pid, tid) = (process(task, level), number(task, level));
    note(task, start, selection);
    // SAFETY: as above.
    unsafe { ((*selection).pid, (*selection).tid) = (pid, tid) };
    (pid, tid)
}

/// Whether a task is the one that was noted last.
#[inline(always)]
fn is_last(task: Address, start: u64, selection: *mut WalkSelection) -> bool {
    // SAFETY: an element of the map.
    unsafe { (*selection).task == task as u64 && (*selection).start == start }
}

/// Notes a task, which has mapped no file yet.
#[inline(always)]
fn note(task: Address, start: u64, selection: *mut WalkSelection) {
    // SAFETY: an element of the map.
    unsafe {
        ((*selection).task, (*selection).start) = (task as u64, start);
        (*selection).mapped_device = u64::MAX;
    }
}

/// Whether a task maps the file that it was met with last.
#[inline(always)]
pub(crate) fn maps_the_same(task: Address, device: u32, inode: u64, selection: *mut WalkSelection) -> bool {
    is_last(task, field(task, at!(task_start)), selection)
        // SAFETY: an element of the map.
        && unsafe { (*selection).mapped_device == u64::from(device) && (*selection).mapped_inode == inode }
}

/// Notes the file that a task was met with.
#[inline(always)]
pub(crate) fn note_mapped(task: Address, device: u32, inode: u64, selection: *mut WalkSelection) {
    note(task, field(task, at!(task_start)), selection);
    // SAFETY: an element of the map.
    unsafe { ((*selection).mapped_device, (*selection).mapped_inode) = (u64::from(device), inode) };
}

#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn flowtally_tasks(ctx: *const u64) -> i32 {
    let (meta, task) = (argument(ctx, 0), argument(ctx, 1));
    if !task.is_null() {
        record(meta, task);
    }
    0
}

#[inline(always)]
fn record(meta: Address, task: Address) -> Option<()> {
    let selection = selection()?;
    let level = level(selection);
    let (pid, tid) = (process(task, level), number(task, level));
    // SAFETY: an element of the map.
    let wanted = unsafe { (*selection).process };
    if wanted != 0 && wanted != pid || !wants(want::THREADS) && pid != tid {
        return None;
    }
    let parent: Address = field(task, at!(task_parent));
    let signal: Address = field(task, at!(task_signal));
    let group: Address = read(signal, at!(signal_pids) + at!(group_index) * size_of::<Address>() as u32);
    let cred: Address = field(task, at!(task_cred));
    let files: Address = field(task, at!(task_files));
    let memory: Address = field(task, at!(task_mm));
    let namespaces: Address = field(task, at!(task_nsproxy));
    let net: Address = read(namespaces, at!(nsproxy_net));
    let ended: u32 = field(task, at!(task_exit_state));
    let record = TaskRecord {
        length: size_of::<TaskRecord>() as u32,
        pid,
        tid,
        parent: process(parent, level),
        group: number_of(group, level),
        uid: field(cred, at!(cred_euid)),
        threads: read_known(signal, at!(signal_threads)).unwrap_or(UNKNOWN),
        namespace: if namespaces.is_null() { 0 } else { read(net, at!(net_inum)) },
        start: field(task, at!(task_start)),
        table: files as u64,
        memory: memory as u64,
        command: read(task, at!(task_comm)),
        ended,
        padding: 0,
    };
    write(meta, (&raw const record).cast(), size_of::<TaskRecord>() as u32);
    Some(())
}
