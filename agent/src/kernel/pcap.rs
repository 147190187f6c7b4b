//! libpcap's compiler of filter expressions. The library is looked for when a filter is first wanted: flowtally is built without
//! it, and runs without it as long as no filter needs it.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint},
    ptr::{self, NonNull},
    sync::{Mutex, OnceLock, PoisonError},
};

use flowtally_common::settings::Layer;
use libloading::Library;
use thiserror::Error;

use crate::translate::{ClassicInstruction, ClassicProgram, FrameJudge};

/// Names of the library: its own, and Debian's.
const NAMES: [&str; 2] = ["libpcap.so.1", "libpcap.so.0.8"];
/// `DLT_EN10MB` and `DLT_RAW` as `pcap_open_dead` takes it on Linux (`pcap/dlt.h`).
const DLT_ETHERNET: c_int = 1;
const DLT_RAW: c_int = 12;
/// What a match returns, and nothing here looks at: the longest that libpcap knows.
const SNAPSHOT: c_int = 262_144;
/// `PCAP_ERRBUF_SIZE`.
const MESSAGE: usize = 256;
/// Of a packet socket's ring that nobody reads, in bytes.
const BUFFER: c_int = 32_768;

/// A capture, which libpcap alone looks into (`pcap_t`).
#[repr(C)]
struct CaptureHandle {
    _opaque: [u8; 0],
}

/// `struct bpf_program`.
#[repr(C)]
struct Compiled {
    length: c_uint,
    instructions: *mut ClassicInstruction,
}

/// `struct pcap_pkthdr`.
#[repr(C)]
struct PacketHeader {
    time: libc::timeval,
    captured: u32,
    length: u32,
}

/// libpcap, loaded.
pub struct Libpcap {
    calls: Calls,
    /// Before 1.8 its compiler keeps what it does in variables of its own.
    one_at_a_time: Mutex<()>,
    /// What was last compiled for a live capture, and of what: in the agent's sandbox none can be begun, and the configuration is read again.
    last_live: Mutex<Option<(String, Vec<ClassicInstruction>)>>,
}

struct Calls {
    open_dead: unsafe extern "C" fn(c_int, c_int) -> *mut CaptureHandle,
    create: unsafe extern "C" fn(*const c_char, *mut c_char) -> *mut CaptureHandle,
    set_snaplen: unsafe extern "C" fn(*mut CaptureHandle, c_int) -> c_int,
    set_buffer_size: unsafe extern "C" fn(*mut CaptureHandle, c_int) -> c_int,
    activate: unsafe extern "C" fn(*mut CaptureHandle) -> c_int,
    datalink: unsafe extern "C" fn(*mut CaptureHandle) -> c_int,
    close: unsafe extern "C" fn(*mut CaptureHandle),
    compile: unsafe extern "C" fn(*mut CaptureHandle, *mut Compiled, *const c_char, c_int, u32) -> c_int,
    message: unsafe extern "C" fn(*mut CaptureHandle) -> *mut c_char,
    free: unsafe extern "C" fn(*mut Compiled),
    version: unsafe extern "C" fn() -> *const c_char,
    offline_filter: unsafe extern "C" fn(*const Compiled, *const PacketHeader, *const u8) -> c_int,
}

/// Why libpcap cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "libpcap, which compiles filters, cannot be loaded: {reason}. Install it (package libpcap0.8 or libpcap0.8t64 on Debian and \
     Ubuntu, libpcap on others)"
)]
pub struct NoLibpcap {
    /// What the loader says of the first name.
    reason: String,
}

/// Why libpcap does not compile an expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompileError {
    /// It does not take the expression; its own words.
    #[error("{0}")]
    Refused(String),
    /// The expression asks for what libpcap compiles for a live capture alone, and none can be begun.
    #[error(
        "'vlan' is compiled for a live capture, and none can be begun: {0}. Run as root, or give the program cap_net_raw \
         (setcap) too; an agent that runs is refused it by its sandbox: restart it, or start it with --no-sandbox"
    )]
    NoCapture(String),
}

impl Libpcap {
    /// The library, loaded at the first call.
    ///
    /// # Errors
    /// When it is not there.
    pub fn get() -> Result<&'static Self, &'static NoLibpcap> {
        static LOADED: OnceLock<Result<Libpcap, NoLibpcap>> = OnceLock::new();
        LOADED.get_or_init(Self::load).as_ref()
    }

    fn load() -> Result<Self, NoLibpcap> {
        let mut refusal = None;
        for name in NAMES {
            // SAFETY: libpcap's and its dependencies' initialisers are run, which ask nothing of the caller.
            match unsafe { Library::new(name) } {
                Ok(library) => {
                    // SAFETY: libpcap's functions have these types (pcap/pcap.h).
                    let calls = unsafe { Calls::of(&library) };
                    // It stays to the end of the process: the functions must.
                    std::mem::forget(library);
                    match calls {
                        Ok(calls) => {
                            return Ok(Self {
                                calls,
                                one_at_a_time: Mutex::default(),
                                last_live: Mutex::default(),
                            });
                        }
                        Err(error) => refusal = refusal.or(Some(error)),
                    }
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        let reason = refusal.map_or_else(String::new, |error| error.to_string());
        Err(NoLibpcap { reason })
    }

    /// What it says of itself, such as `libpcap version 1.10.3 (with TPACKET_V3)`.
    #[must_use]
    pub fn version(&self) -> String {
        // SAFETY: the call has no preconditions and returns a string that stays.
        let version = unsafe { CStr::from_ptr((self.calls.version)()) };
        version.to_string_lossy().into_owned()
    }

    /// Compiles an expression for frames of a link layer, as tcpdump does: without the network of an interface, so that of IPv4 broadcasts
    /// only 255.255.255.255 is known. Names in the expression are looked up, in DNS too, which may take long.
    ///
    /// # Errors
    /// When libpcap does not take it.
    pub fn compile(&self, expression: &str, layer: Layer) -> Result<Vec<ClassicInstruction>, CompileError> {
        let text = CString::new(expression)
            .map_err(|_| CompileError::Refused("the expression has a NUL in it".to_owned()))?;
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let link = match layer {
            Layer::Ethernet => DLT_ETHERNET,
            Layer::Ip => DLT_RAW,
        };
        // SAFETY: the call takes two numbers.
        let dead = Capture::new(&self.calls, unsafe { (self.calls.open_dead)(link, SNAPSHOT) })
            .ok_or_else(|| CompileError::Refused("libpcap has no memory".to_owned()))?;
        let compiled = dead.compile(&text)?;
        // A tag that the kernel keeps beside the frame is looked for in live captures alone.
        if layer == Layer::Ethernet && has_word(expression, "vlan") {
            return self.compile_live(expression, &text);
        }
        Ok(compiled)
    }

    /// The program for a live capture; that of the last time where none can be begun any more.
    fn compile_live(&self, expression: &str, text: &CStr) -> Result<Vec<ClassicInstruction>, CompileError> {
        let mut last = self.last_live.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.live(), &*last) {
            (Ok(capture), _) => {
                let program = capture.compile(text)?;
                *last = Some((expression.to_owned(), program.clone()));
                Ok(program)
            }
            (Err(_), Some((same, program))) if same == expression => Ok(program.clone()),
            (Err(error), _) => Err(error),
        }
    }

    /// Compiles an expression for both kinds of devices; `None` for a blank one.
    ///
    /// # Errors
    /// When libpcap takes it for neither.
    pub fn judge(&self, expression: &str) -> Result<Option<FrameJudge>, CompileError> {
        if expression.trim().is_empty() {
            return Ok(None);
        }
        let checked = |layer| {
            let program = self.compile(expression, layer)?;
            ClassicProgram::check(&program).map_err(|error| CompileError::Refused(error.to_string()))
        };
        let by_layer = match (checked(Layer::Ethernet), checked(Layer::Ip)) {
            (Err(error), Err(_)) | (Err(error @ CompileError::NoCapture(_)), _) => return Err(error),
            (ethernet, ip) => [ethernet, ip].map(|program| program.map_err(|error| error.to_string())),
        };
        Ok(Some(FrameJudge { by_layer }))
    }

    /// A live capture on any Ethernet interface, begun and not read.
    fn live(&self) -> Result<Capture<'_>, CompileError> {
        let mut refusal = "no interface is up".to_owned();
        let interfaces = nix::net::if_::if_nameindex()
            .map_err(|error| CompileError::NoCapture(format!("the interfaces cannot be listed: {error}")))?;
        for interface in &interfaces {
            let mut message = [0; MESSAGE];
            // SAFETY: the name is a string, and the buffer as long as libpcap asks for.
            let handle = unsafe { (self.calls.create)(interface.name().as_ptr(), message.as_mut_ptr()) };
            let Some(capture) = Capture::new(&self.calls, handle) else { continue };
            // SAFETY: the handle is valid, and not activated yet.
            let status = unsafe {
                (self.calls.set_snaplen)(handle, SNAPSHOT);
                (self.calls.set_buffer_size)(handle, BUFFER);
                (self.calls.activate)(handle)
            };
            // SAFETY: the handle is valid, and activated.
            if status >= 0 && unsafe { (self.calls.datalink)(handle) } == DLT_ETHERNET {
                return Ok(capture);
            }
            if status < 0 {
                let name = interface.name().to_string_lossy();
                refusal = format!("{name}: {}", capture.message());
            }
        }
        Err(CompileError::NoCapture(refusal))
    }

    /// What libpcap's own interpreter says of a frame: for tests.
    #[must_use]
    pub fn matches(&self, program: &[ClassicInstruction], frame: &[u8]) -> bool {
        let (Ok(count), Ok(length)) = (c_uint::try_from(program.len()), u32::try_from(frame.len())) else {
            return false;
        };
        let compiled = Compiled { length: count, instructions: program.as_ptr().cast_mut() };
        let header = PacketHeader { time: libc::timeval { tv_sec: 0, tv_usec: 0 }, captured: length, length };
        // SAFETY: the program and the frame are as long as said, and are read alone.
        unsafe { (self.calls.offline_filter)(&raw const compiled, &raw const header, frame.as_ptr()) != 0 }
    }
}

impl Calls {
    /// # Safety
    /// The library must be libpcap, and must never be unloaded.
    unsafe fn of(library: &Library) -> Result<Self, libloading::Error> {
        // SAFETY: the caller's.
        unsafe {
            Ok(Self {
                open_dead: *library.get(b"pcap_open_dead\0")?,
                create: *library.get(b"pcap_create\0")?,
                set_snaplen: *library.get(b"pcap_set_snaplen\0")?,
                set_buffer_size: *library.get(b"pcap_set_buffer_size\0")?,
                activate: *library.get(b"pcap_activate\0")?,
                datalink: *library.get(b"pcap_datalink\0")?,
                close: *library.get(b"pcap_close\0")?,
                compile: *library.get(b"pcap_compile\0")?,
                message: *library.get(b"pcap_geterr\0")?,
                free: *library.get(b"pcap_freecode\0")?,
                version: *library.get(b"pcap_lib_version\0")?,
                offline_filter: *library.get(b"pcap_offline_filter\0")?,
            })
        }
    }
}

/// A handle that is closed in the end.
struct Capture<'a> {
    calls: &'a Calls,
    handle: NonNull<CaptureHandle>,
}

impl<'a> Capture<'a> {
    fn new(calls: &'a Calls, handle: *mut CaptureHandle) -> Option<Self> {
        Some(Self { calls, handle: NonNull::new(handle)? })
    }

    fn compile(&self, text: &CStr) -> Result<Vec<ClassicInstruction>, CompileError> {
        let mut compiled = Compiled { length: 0, instructions: ptr::null_mut() };
        // SAFETY: the handle is valid, the text a string, and the program is written by the call.
        let status =
            unsafe { (self.calls.compile)(self.handle.as_ptr(), &raw mut compiled, text.as_ptr(), 1, 0) };
        if status != 0 {
            return Err(CompileError::Refused(self.message()));
        }
        let program = if compiled.instructions.is_null() {
            Vec::new()
        } else {
            // SAFETY: libpcap has made an array of that many instructions, of this layout.
            unsafe { std::slice::from_raw_parts(compiled.instructions, compiled.length as usize) }.to_vec()
        };
        // SAFETY: the program is libpcap's, and nothing refers to it any more.
        unsafe { (self.calls.free)(&raw mut compiled) };
        Ok(program)
    }

    /// The last error, in libpcap's words.
    fn message(&self) -> String {
        // SAFETY: the handle is valid; the string is its own, and copied at once.
        let message = unsafe { CStr::from_ptr((self.calls.message)(self.handle.as_ptr())) };
        message.to_string_lossy().into_owned()
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and nobody has it after this.
        unsafe { (self.calls.close)(self.handle.as_ptr()) }
    }
}

/// Whether a word stands in an expression; it may be a name too.
fn has_word(expression: &str, word: &str) -> bool {
    expression.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word)
}
