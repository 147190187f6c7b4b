//! The other end of `attach`: the connection to an agent, as frames that have been checked.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    sync::mpsc,
    time::timeout,
};

use super::control::ControlError;
use crate::{
    attach::{
        ATTACH_QUESTION, AttachError, AttachHeader, FRAME_END, FRAME_HEAD, FrameKind, content_length, opened,
    },
    flow::wire::PROTOCOL,
};

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest first line.
const LONGEST: u64 = 4096;
/// Frames that are read before anybody takes them.
const AHEAD: usize = 2;

/// A connection to an agent that runs.
#[derive(Debug)]
pub struct AgentConnection {
    /// Who answered.
    pub header: AttachHeader,
    frames: mpsc::Receiver<Result<AgentFrame, String>>,
}

/// A frame whose checksum is right.
#[derive(Debug)]
pub struct AgentFrame {
    /// What is in it.
    pub kind: FrameKind,
    head: [u8; FRAME_HEAD],
    rest: Vec<u8>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The answer is not what was asked for.
    #[error("attaching to the agent at {path}: {error}", path = path.display())]
    Attach {
        /// Where.
        path: PathBuf,
        /// Why.
        error: AttachError,
    },
}

impl AgentFrame {
    /// Its content.
    ///
    /// # Errors
    /// None any more; the frame has been checked.
    pub fn content(&self) -> Result<&[u8], AttachError> {
        opened(self.head, &self.rest).map(|(_, content)| content)
    }
}

impl AgentConnection {
    /// Attaches to the agent at `path`.
    ///
    /// # Errors
    /// When nobody answers there, or not as an agent that can be read.
    pub async fn open(path: &Path) -> Result<Self, ConnectError> {
        let nobody = |error| ControlError::nobody(path, error);
        let asked = async {
            let mut stream = BufReader::new(UnixStream::connect(path).await?);
            stream.get_mut().write_all(format!("{ATTACH_QUESTION} {PROTOCOL}\n").as_bytes()).await?;
            let mut line = String::new();
            (&mut stream).take(LONGEST).read_line(&mut line).await?;
            if line.is_empty() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok((stream, line)) }
        };
        let (stream, line) = timeout(PATIENCE, asked)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(nobody)?;
        let header = AttachHeader::read(&line)
            .map_err(|error| ConnectError::Attach { path: path.to_owned(), error })?;
        let (sender, frames) = mpsc::channel(AHEAD);
        tokio::spawn(read_all(stream, sender));
        Ok(Self { header, frames })
    }

    /// The next frame, or why there is none any more. May be dropped while it waits.
    ///
    /// # Errors
    /// In words, when the connection is over.
    pub async fn next(&mut self) -> Result<AgentFrame, String> {
        self.frames.recv().await.unwrap_or_else(|| Err("the connection is over".to_owned()))
    }
}

async fn read_all(mut stream: BufReader<UnixStream>, frames: mpsc::Sender<Result<AgentFrame, String>>) {
    loop {
        let read = read_frame(&mut stream).await;
        let is_over = read.is_err();
        if frames.send(read).await.is_err() || is_over {
            return;
        }
    }
}

async fn read_frame(stream: &mut BufReader<UnixStream>) -> Result<AgentFrame, String> {
    let mut head = [0; FRAME_HEAD];
    stream.read_exact(&mut head).await.map_err(over)?;
    let length = u64::from(content_length(head)) + FRAME_END as u64;
    let mut rest = Vec::new();
    stream.take(length).read_to_end(&mut rest).await.map_err(over)?;
    if (rest.len() as u64) < length {
        return Err(over(io::ErrorKind::UnexpectedEof.into()));
    }
    let (kind, _) = opened(head, &rest).map_err(|error| error.to_string())?;
    Ok(AgentFrame { kind, head, rest })
}

#[expect(clippy::needless_pass_by_value, reason = "what a failed call gives")]
fn over(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "it has ended".to_owned(),
        _ => error.to_string(),
    }
}
