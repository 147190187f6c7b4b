//! The socket at which a running agent can be asked: one question in a line, one answer, the end.
//!
//! Only root and the agent's own user get an answer: the socket's mode says so, and so do the credentials of whoever connects
//! (unix(7), `SO_PEERCRED`).

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream as BlockingStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

/// Who is connected at one time; others wait to be accepted.
const AT_ONCE: usize = 16;
/// How long a question or the taking of an answer may last.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer is waited for: an agent on a loaded host answers between two ticks.
const ANSWER: Duration = Duration::from_secs(20);
/// Longest question.
const LONGEST: u64 = 4096;

/// Why there is no socket, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Somebody listens there.
    #[error("another agent answers at {0}: stop it (systemctl stop flowtally), or use another --socket")]
    Taken(PathBuf),
    /// There is something that is no socket.
    #[error("{0} is there and is no socket: remove it, or use another --socket")]
    NoSocket(PathBuf),
    /// The socket cannot be made.
    #[error("making the socket {path} at which the agent is asked: {error}; --socket names another place")]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Nobody answers.
    #[error(
        "no agent answers at {path}: {error}; is one running (systemctl status flowtally)? --socket names another place"
    )]
    Nobody {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A question, and where its answer goes. Who drops it without an answer ends the connection.
#[derive(Debug)]
pub struct Question {
    /// What is asked, a line.
    pub line: String,
    /// Takes the answer.
    pub answer: oneshot::Sender<Reply>,
}

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// All of it.
    Text(String),
    /// Its first line. What comes from the other end of the feed follows, for as long as that takes.
    Feed(String, FeedReceiver),
}

/// A new feed: one end for whoever has something to send, the other for [`Reply::Feed`].
#[must_use]
pub fn feed() -> (Feed, FeedReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Feed { sender, waiting: Arc::clone(&waiting) }, FeedReceiver { receiver, waiting })
}

/// Sends to one connection, and never waits for it.
#[derive(Debug)]
pub struct Feed {
    sender: mpsc::UnboundedSender<Bytes>,
    /// Bytes that are not written yet.
    waiting: Arc<AtomicUsize>,
}

/// What a connection writes.
#[derive(Debug)]
pub struct FeedReceiver {
    receiver: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Feed {
    /// Sends, and may go beyond `most` bytes that wait if none do. Whether there was room.
    #[must_use]
    pub fn send(&self, bytes: Bytes, most: usize) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(bytes.len()) > most {
            return false;
        }
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        // Who is gone is found out by `is_gone`.
        drop(self.sender.send(bytes));
        true
    }

    /// Whether everything has been written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Whether nobody takes it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }

    /// Ends the connection when all of it has been written, and waits for that.
    pub async fn end(self) {
        // Nothing to write is the end.
        drop(self.sender.send(Bytes::new()));
        self.sender.closed().await;
    }
}

impl FeedReceiver {
    async fn write_to(mut self, stream: &mut UnixStream) -> io::Result<()> {
        while let Some(bytes) = self.receiver.recv().await {
            if bytes.is_empty() {
                break;
            }
            stream.write_all(&bytes).await?;
            self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The listening socket.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Listens at `path`, for this user and root. A socket that nobody listens at any more is replaced; the folder is made.
    ///
    /// # Errors
    /// When somebody else listens there, or it cannot be made.
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        let failed = |error| ControlError::Bind { path: path.to_owned(), error };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(found) if !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
                return Err(ControlError::NoSocket(path.to_owned()));
            }
            Ok(_) => match BlockingStream::connect(path) {
                Ok(_) => return Err(ControlError::Taken(path.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            },
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands out questions, until the receiver is dropped.
    pub async fn serve(self, questions: mpsc::Sender<Question>) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) if is_allowed(&stream) => {
                    let questions = questions.clone();
                    tokio::spawn(async move {
                        // Whoever asks sees that the connection ends.
                        drop(answer(stream, questions).await);
                        drop(place);
                    });
                }
                // Turned away: the connection ends without a word.
                Ok(_) => {}
                // Out of descriptors, for example: not for ever.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
            if questions.is_closed() {
                return;
            }
        }
    }
}

/// Root and this user may ask.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

async fn answer(stream: UnixStream, questions: mpsc::Sender<Question>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    timeout(PATIENCE, (&mut stream).take(LONGEST).read_line(&mut line)).await??;
    let (sender, receiver) = oneshot::channel();
    let question = Question { line: line.trim_end().to_owned(), answer: sender };
    questions.send(question).await.map_err(io::Error::other)?;
    let reply = receiver.await.map_err(io::Error::other)?;
    let (text, feed) = match reply {
        Reply::Text(text) => (text, None),
        Reply::Feed(line, feed) => (line, Some(feed)),
    };
    timeout(PATIENCE, stream.get_mut().write_all(text.as_bytes())).await??;
    match feed {
        Some(feed) => feed.write_to(stream.get_mut()).await,
        None => Ok(()),
    }
}

/// Asks the agent at `path`, and waits for the whole answer.
///
/// # Errors
/// When nobody answers there, or not in time, or this user may not ask.
pub fn ask(path: &Path, question: &str) -> Result<String, ControlError> {
    let asked = || {
        let mut stream = BlockingStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        writeln!(stream, "{question}")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if text.is_empty() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(text) }
    };
    asked().map_err(|error| ControlError::nobody(path, error))
}

impl ControlError {
    /// Nobody answers at `path`, or whoever asks was turned away.
    pub(super) fn nobody(path: &Path, error: io::Error) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let why = match error.kind() {
            // Root is turned away by nobody.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe if is_root => {
                "the connection was ended without an answer: the agent was ending, or could not start"
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "the connection was ended without an answer: only root and the agent's user may ask"
            }
            io::ErrorKind::PermissionDenied => "only root and the agent's user may ask",
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "something listens there, and has not answered in time: an agent that is starting, or stopped"
            }
            _ => return Self::Nobody { path: path.to_owned(), error },
        };
        let error = io::Error::new(error.kind(), why);
        Self::Nobody { path: path.to_owned(), error }
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("flowtally-control-{}-{name}", process::id())).join("agent.sock")
    }

    async fn asked(path: &Path, question: &'static str) -> Result<String, ControlError> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || ask(&path, question)).await.unwrap()
    }

    #[tokio::test]
    async fn a_question_has_its_answer() {
        let path = place("answer");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (sender, mut questions) = mpsc::channel(1);
        tokio::spawn(socket.serve(sender));
        let replies = tokio::spawn(async move {
            while let Some(Question { line, answer }) = questions.recv().await {
                if line != "nothing" {
                    answer.send(Reply::Text(format!("you asked: {line}"))).unwrap();
                }
            }
        });
        assert_eq!(asked(&path, "status").await.unwrap(), "you asked: status");
        assert!(matches!(asked(&path, "nothing").await, Err(ControlError::Nobody { .. })));
        assert!(matches!(ControlSocket::bind(&path), Err(ControlError::Taken(_))));
        replies.abort();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn who_is_slow_misses_what_finds_no_room_and_nobody_waits() {
        let (feed, receiver) = feed();
        let (mut near, far) = UnixStream::pair().unwrap();
        let large = Bytes::from(vec![1; 1 << 20]);
        assert!(feed.send(large.clone(), 100), "nothing waits so far");
        assert!(!feed.send(Bytes::from_static(b"x"), 100));
        let writing = tokio::spawn(async move { receiver.write_to(&mut { far }).await });
        let mut taken = vec![0; large.len()];
        near.read_exact(&mut taken).await.unwrap();
        while !feed.is_idle() {
            tokio::task::yield_now().await;
        }
        assert!(feed.send(Bytes::from_static(b"then"), 100));
        feed.end().await;
        writing.await.unwrap().unwrap();
        taken.clear();
        near.read_to_end(&mut taken).await.unwrap();
        assert_eq!(taken, b"then");
    }

    #[tokio::test]
    async fn what_a_killed_agent_left_is_replaced_and_nothing_else() {
        let path = place("stale");
        drop(ControlSocket::bind(&path).unwrap());
        assert!(matches!(ask(&path, "status"), Err(ControlError::Nobody { .. })));
        drop(ControlSocket::bind(&path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(ControlError::NoSocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
