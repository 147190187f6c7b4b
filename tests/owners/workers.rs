//! Workers, and what they say.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use harness::Namespace;

/// A worker. It ends when its steps do, or when the value goes.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    began: Instant,
}

/// A line that a worker has said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    pub(crate) word: String,
    pub(crate) pid: u32,
    /// In clock ticks since boot.
    pub(crate) start: u64,
    pub(crate) protocol: String,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) name: String,
}

/// What is left of a worker.
#[derive(Debug)]
pub(crate) struct Done {
    /// How long it lived, and a little longer: from before it was made until its end was known.
    pub(crate) life: Duration,
    /// Its conversations, and what else it has said.
    pub(crate) said: Vec<Said>,
}

impl Worker {
    /// Starts one in a namespace, with steps that blanks are between.
    pub(crate) fn start(namespace: &Namespace, steps: &str) -> Self {
        Self::start_steps(namespace, &words(steps))
    }

    /// The same with steps that have blanks in them.
    pub(crate) fn start_steps(namespace: &Namespace, steps: &[&str]) -> Self {
        namespace.enter(|| Self::start_here(steps))
    }

    /// Starts one where the thread is.
    pub(crate) fn start_here(steps: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.args(steps);
        Self::start_command(command)
    }

    /// Starts one by way of another program.
    pub(crate) fn start_command(mut command: Command) -> Self {
        let began = Instant::now();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, orders, output: BufReader::new(output), began }
    }

    /// Its PID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says something.
    pub(crate) fn hear(&mut self) -> Said {
        self.next().expect("a worker says something before it ends")
    }

    /// Tells it to go on from where it waits.
    pub(crate) fn go(&mut self) {
        self.orders.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Waits until it is gone.
    pub(crate) fn end(mut self) -> Done {
        let mut said = Vec::new();
        while let Some(line) = self.next() {
            said.push(line);
        }
        let status = self.child.wait().unwrap();
        let life = self.began.elapsed();
        assert!(status.success(), "a worker has failed: {status}");
        Done { life, said }
    }

    /// Ends it where it waits.
    pub(crate) fn dismiss(mut self) {
        self.orders = None;
        let mut rest = String::new();
        while self.output.read_line(&mut rest).unwrap() > 0 {}
        self.child.wait().unwrap();
    }

    fn next(&mut self) -> Option<Said> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| Said::parse(line.trim_end_matches('\n')))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Said {
    fn parse(line: &str) -> Self {
        let said = || {
            let mut words = line.splitn(7, ' ');
            Some(Self {
                word: words.next()?.to_owned(),
                pid: words.next()?.parse().ok()?,
                start: words.next()?.parse().ok()?,
                protocol: words.next()?.to_owned(),
                local: words.next()?.parse().ok()?,
                remote: words.next()?.parse().ok()?,
                name: words.next()?.to_owned(),
            })
        };
        said().unwrap_or_else(|| panic!("a worker says: {line}"))
    }
}

/// The words of a text.
pub(crate) fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
