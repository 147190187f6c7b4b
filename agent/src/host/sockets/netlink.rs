//! A netlink socket that asks for dumps, and what comes back, taken apart in place: tens of thousands of answers are read
//! each time, of which a few fields count.

use std::time::Duration;

use rustix::{
    fd::OwnedFd,
    io::{Errno, Result},
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

/// The kernel fills at most this much for one read of a dump (`net/netlink/af_netlink.c`, `netlink_recvmsg`).
const BUFFER: usize = 32 * 1024;

/// How long the kernel may take for an answer. It answers while it is asked; this only keeps a defect from hanging the program.
const PATIENCE: Duration = Duration::from_secs(10);

/// Length of `struct nlmsghdr` (`linux/netlink.h`).
const HEADER: usize = 16;
/// Length of `struct nlattr`.
const ATTRIBUTE_HEADER: usize = 4;

/// The message that asks for sockets of a family (`linux/sock_diag.h`).
pub(crate) const SOCK_DIAG_BY_FAMILY: u16 = 20;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A netlink socket of the network namespace that the thread was in when it was made.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Connection {
    /// Opens a socket of a netlink family; `None` is rtnetlink(7).
    pub(crate) fn open(protocol: Option<Protocol>) -> Result<Self> {
        let family = AddressFamily::NETLINK;
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, buffer: vec![0; BUFFER], sequence: 0 })
    }

    /// The socket, for its options.
    pub(crate) const fn as_socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Asks for everything, and hands each answer's payload to `each`.
    pub(crate) fn dump(&mut self, kind: u16, request: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.ask(kind, NLM_F_DUMP, request)?;
        loop {
            let (length, _) = recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())?;
            for message in DiagMessages(self.buffer.get(..length).unwrap_or_default()) {
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => return status(message.payload),
                    _ => each(message.payload),
                }
            }
        }
    }

    /// Asks `sock_diag(7)` for everything, and hands each answer that `parse` understands to `each`.
    pub(crate) fn dump_sockets<T>(
        &mut self,
        kind: u16,
        request: &[u8],
        parse: impl Fn(&[u8]) -> Option<T>,
        each: &mut impl FnMut(T),
    ) -> Result<()> {
        self.dump(kind, request, &mut |message| {
            if let Some(socket) = parse(message) {
                each(socket);
            }
        })
    }

    /// Asks for one thing, and hands the answer's payload to `each`.
    pub(crate) fn get(&mut self, kind: u16, request: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.ask(kind, 0, request)?;
        loop {
            let (length, _) = recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())?;
            for message in DiagMessages(self.buffer.get(..length).unwrap_or_default()) {
                if message.sequence != self.sequence {
                    continue;
                }
                if message.kind == NLMSG_ERROR {
                    return status(message.payload);
                }
                each(message.payload);
                return Ok(());
            }
        }
    }

    fn ask(&mut self, kind: u16, flags: u16, request: &[u8]) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER + request.len()).map_err(|_| Errno::MSGSIZE)?;
        let mut message = Vec::with_capacity(HEADER + request.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(request);
        send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }
}

/// What an error, or the end of a dump, says: 0 or a negative error number. The end of a dump said nothing before Linux 2.6.
fn status(payload: &[u8]) -> Result<()> {
    match u32_at(payload, 0).map_or(0, u32::cast_signed) {
        0.. => Ok(()),
        negative => Err(Errno::from_raw_os_error(negative.wrapping_neg())),
    }
}

/// One netlink message.
#[derive(Debug)]
struct DiagMessage<'a> {
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// The messages in what one read returned. What is cut off, or says lengths that cannot be, ends them.
#[derive(Debug)]
struct DiagMessages<'a>(&'a [u8]);

impl<'a> Iterator for DiagMessages<'a> {
    type Item = DiagMessage<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let payload = self.0.get(HEADER..length)?;
        let message = DiagMessage { kind: u16_at(self.0, 4)?, sequence: u32_at(self.0, 8)?, payload };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// The attributes at the end of a message: kind and content. What is cut off ends them.
#[derive(Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        /// Flags in the kind: nested, and in network order.
        const FLAGS: u16 = 0xc000;
        let length = usize::from(u16_at(self.0, 0)?);
        let content = self.0.get(ATTRIBUTE_HEADER..length)?;
        let kind = u16_at(self.0, 2)? & !FLAGS;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    }
}

/// What `unix_diag` and `packet_diag` say of a socket: the same for both up to the attributes (`struct unix_diag_msg`,
/// `struct packet_diag_msg`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiagAnswer<'a>(pub(crate) &'a [u8]);

impl<'a> DiagAnswer<'a> {
    const LENGTH: usize = 16;

    /// The socket's type, as socket(2) has it.
    pub(crate) fn kind(self) -> Option<u8> {
        self.0.get(1).copied()
    }

    /// The number of its inode.
    pub(crate) fn inode(self) -> Option<u64> {
        u32_at(self.0, 4).map(u64::from)
    }

    /// Its cookie.
    pub(crate) fn cookie(self) -> Option<u64> {
        cookie_at(self.0, 8)
    }

    /// Hands each attribute to `take`; `None` as soon as that understands one not.
    pub(crate) fn attributes(self, mut take: impl FnMut(u16, &'a [u8]) -> Option<()>) -> Option<()> {
        let mut attributes = Attributes(self.0.get(Self::LENGTH..).unwrap_or_default());
        attributes.try_for_each(|(kind, content)| take(kind, content))
    }
}

/// A request for all sockets of a family: the family, then numbers.
pub(crate) fn request_for(family: u8, numbers: &[u32]) -> Vec<u8> {
    let mut request = vec![family, 0, 0, 0];
    request.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
    request
}

/// The 16-bit number at a place, in this machine's order.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 32-bit number at a place, in this machine's order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A socket's cookie at a place: two 32-bit halves, the lower one first (`include/linux/sock_diag.h`, `sock_diag_save_cookie`).
pub(crate) fn cookie_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32_at(bytes, at)?) | u64::from(u32_at(bytes, at + 4)?) << 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_follow_each_other_on_multiples_of_four() {
        let mut bytes = Vec::new();
        for (kind, payload) in [(20_u16, &b"abcde"[..]), (3, &[0; 4])] {
            bytes.extend_from_slice(&(16 + u32::try_from(payload.len()).unwrap()).to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&[0; 2]);
            bytes.extend_from_slice(&7_u32.to_ne_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(payload);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let read: Vec<_> = DiagMessages(&bytes).map(|message| (message.kind, message.payload)).collect();
        assert_eq!(read, [(20, &b"abcde"[..]), (3, &[0; 4])]);
        assert!(DiagMessages(&bytes).all(|message| message.sequence == 7));
        assert_eq!(DiagMessages(&bytes[..20]).count(), 0);
    }

    #[test]
    fn the_end_of_a_dump_may_say_why_there_was_none() {
        assert_eq!(status(&0_i32.to_ne_bytes()), Ok(()));
        assert_eq!(status(&(-2_i32).to_ne_bytes()), Err(Errno::NOENT));
        assert_eq!(status(&[]), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(DiagMessages(&bytes).count() <= bytes.len());
            prop_assert!(Attributes(&bytes).count() <= bytes.len());
        }
    }
}
