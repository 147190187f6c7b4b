//! What is said about the options. All of it goes to standard error, as lsof does it.

/// The version of lsof whose ways these are.
const COMPATIBLE: &str = "4.95.0";

/// The short usage, after wrong options.
#[must_use]
pub fn short_usage(program: &str) -> String {
    format!(
        "{program} {COMPATIBLE} (flowtally {})
{SUMMARY}Use the ``-h'' option to get more help information.
",
        env!("CARGO_PKG_VERSION")
    )
}

const SUMMARY: &str = " usage: [-?abhHjJKlnNoOPQRtUvVX] [+|-c c] [+|-d s] [+D D] [+|-E] [+|-e s] [+|-f[gG]]
 [-F [f]] [-g [s]] [-i [i]] [+|-L [l]] [+m [m]] [+|-M] [-o [o]] [-p s]
 [+|-r [t]] [-s [p:s]] [-S [t]] [-T [t]] [-u s] [+|-w] [-x [fl]] [--] [names]
";

/// The long usage.
#[must_use]
pub fn long_usage(program: &str) -> String {
    format!(
        "{program} {COMPATIBLE} (flowtally {}): which process has which file open
{SUMMARY}{DETAILS}",
        env!("CARGO_PKG_VERSION")
    )
}

const DETAILS: &str = "\
Without a selection everything is listed. Selections are ORed, with -a they are ANDed; ^ before an item leaves it out.

Select:
  names        files, or all on the file system of a mount point or block device
  -c s         commands that begin with s; ^s not these; /RE/[bix] by a regular expression (basic, ignore case, extended)
  -d s         descriptors: 3,7-9,cwd,rtd,txt,mem,DEL,fd (all with a number)
  +d D, +D D   D and what is in it; +D all that is below it
  -g [s]       process groups s; always the PGID column
  -i [i]       Internet sockets: [46][tcp|udp|udplite][@host|@[ipv6]][:ports]
  -K [i]       threads; i: never list threads
  +L[n]        NLINK column; files with fewer than n links (+L1: deleted files)
  -N           files on NFS
  -p s         process IDs
  -s p:s       states of protocol p (TCP), as TCP:LISTEN,^CLOSE_WAIT
  -u s         login names or user IDs
  -U           UNIX sockets
  -Z [c]       SELinux contexts
Print:
  +c w         w characters of COMMAND (9); 0: all
  -E, +E       who holds the other end of pipes, sockets and terminals; + lists those files too
  +fg, +fG     open flags, as names or in hexadecimal
  -F[f]        fields f for programs (-F? lists them); 0: ended by NUL
  -H           sizes for people
  -J, -j       JSON: one object, or an object a line
  -l           user IDs in place of login names
  -n, -P       numbers in place of host names, of service names; +n, +P names
  -o, -o n     offsets in place of sizes; n digits before they turn hexadecimal (8)
  -R           PPID column
  -s           sizes in place of offsets
  -t           process IDs alone
  -T[qsf]      of TCP print queues, state, flags; -T alone prints none
  +m           print the mounts and their devices; +m m reads them from file m
Behave:
  -a           AND selections
  -b           avoid what may block: no stat(2), no readlink(2) of mount points and names
  -e s, +e s   never touch file system s
  -f --, +f -- names are files, are file systems
  +M, -M       (no port mapper is asked)
  -O           no helpers around what may block
  -Q           a search that finds nothing is no failure
  -r[t][c<n>][m<fmt>]  again every t seconds (15), n times, with a line of strftime(3) format fmt after each; + until nothing is listed
  -S [t]       seconds to wait for a file system that does not answer (15)
  -V           say what was not found
  -w, +w       without, with warnings
  -x[fl]       +d and +D go over to other file systems, follow symbolic links
  -X           leave out what /proc/net says of TCP and UDP
  -h, -?       this; -v the version
  --           end of options
";

/// What `-v` says.
#[must_use]
pub fn version(program: &str) -> String {
    format!(
        "{program} version information:
    revision: {COMPATIBLE}
    implementation: flowtally {}
    Anyone can list all files.
    /dev warnings are disabled.
    Kernel ID check is disabled.
",
        env!("CARGO_PKG_VERSION")
    )
}

/// What `-F?` says, without the program's name before it.
pub const FIELD_HELP: &str = "\
\tID    field description
\t a    access: r = read; w = write; u = read and write
\t c    command
\t d    device, of what has no device number
\t D    device number as 0x<hex>
\t f    file descriptor
\t G    open flags
\t i    inode
\t k    links
\t K    thread (TID)
\t l    lock: r/R = read; w/W = write; capitals for the whole file
\t L    login name
\t m    marker between listings
\t M    thread's command
\t n    name, comment, Internet addresses
\t o    offset as 0t<dec> or 0x<hex>
\t p    process (PID)
\t g    process group (PGID)
\t P    protocol
\t r    device number of a device as 0x<hex>
\t R    parent (PPID)
\t s    size
\t S    (not on Linux)
\t t    file type
\t T    TCP/TPI: ST=<state>, QR=<read queue>, QS=<send queue>
\t u    user ID
\t 0    (zero) fields end with NUL, not newline
";
