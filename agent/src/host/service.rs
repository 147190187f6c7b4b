//! What a service manager is told: systemd's protocol, `sd_notify(3)`. Without one (`NOTIFY_SOCKET` is not set) nothing is sent.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::{Duration, Instant},
};

use sd_notify::NotifyState;

/// How long a manager whose queue is full (ten messages unless `net.unix.max_dgram_qlen` says otherwise) is waited for with a change of state.
///
/// One that is lost would have the service restarted. A sign of life is followed by the next, and waits for nobody.
const STATE: Option<Duration> = Some(Duration::from_secs(1));

/// The service manager, if there is one.
///
/// That it does not take what it is told is no reason to stop counting; [`error`](Self::error) has the reason.
#[derive(Debug)]
pub struct ServiceManager {
    address: Option<OsString>,
    /// How long it waits for a sign of life, where it does.
    watchdog: Option<Duration>,
    /// When it was given the last one.
    last: Option<Instant>,
    error: Option<String>,
}

impl ServiceManager {
    /// As the environment says (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    #[must_use]
    pub fn from_environment() -> Self {
        Self::new(env::var_os("NOTIFY_SOCKET"), sd_notify::watchdog_enabled())
    }

    /// One that listens at `address` (a path, or `@` and an abstract name), and waits so long for a sign of life.
    #[must_use]
    pub fn new(address: Option<OsString>, watchdog: Option<Duration>) -> Self {
        let address = address.filter(|address| !address.is_empty());
        let watchdog = watchdog.filter(|_| address.is_some());
        Self { address, watchdog, last: None, error: None }
    }

    /// How often [`alive`](Self::alive) is to be called at least; `None` where nobody watches.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    /// Why what was told last did not arrive.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The start, or reading the settings again, is complete.
    pub fn ready(&mut self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))], STATE);
    }

    /// What goes on, in a line for `systemctl status`.
    pub fn status(&mut self, status: &str) {
        self.tell(&[NotifyState::Status(&one_line(status))], None);
    }

    /// The settings are read again; [`ready`](Self::ready) ends it.
    pub fn reloading(&mut self) {
        // `Type=notify-reload` needs the time at which it began.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now], STATE),
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    /// The end has begun.
    pub fn stopping(&mut self) {
        self.tell(&[NotifyState::Stopping], STATE);
    }

    /// What must not stand still was seen to move, at `now`; to be called there and nowhere else. The manager is told of the first time,
    /// and then at most once in a quarter of the time that it waits.
    pub fn alive(&mut self, now: Instant) {
        let Some(watchdog) = self.watchdog else { return };
        if self.last.is_none_or(|last| now.saturating_duration_since(last) >= watchdog / 4) {
            self.last = Some(now);
            self.tell(&[NotifyState::Watchdog], None);
        }
    }

    fn tell(&mut self, states: &[NotifyState<'_>], patience: Option<Duration>) {
        let Some(address) = &self.address else { return };
        let assignments: Vec<_> = states.iter().map(ToString::to_string).collect();
        let message = assignments.join("\n");
        self.error = send(address, message.as_bytes(), patience).err().map(|error| error.to_string());
    }
}

fn send(address: &OsStr, message: &[u8], patience: Option<Duration>) -> io::Result<()> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    match patience {
        Some(patience) => socket.set_write_timeout(Some(patience))?,
        None => socket.set_nonblocking(true)?,
    }
    socket.send_to_addr(message, &address).map(drop)
}

/// A line feed would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let mut heard = Vec::new();
        while let Ok(length) = socket.recv(&mut buffer) {
            heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        heard
    }

    #[test]
    fn a_manager_is_told_of_each_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("flowtally/test/{}", std::process::id());
        let of_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, address) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&of_name).unwrap(), format!("@{name}").into()),
        ] {
            let mut manager = ServiceManager::new(Some(address), None);
            manager.ready("counting on eth0\nREADY=0");
            manager.status("2 interfaces");
            manager.reloading();
            manager.stopping();
            manager.alive(Instant::now());
            assert_eq!(manager.error(), None);
            let mut heard = hear(&socket);
            let reloading = heard.remove(2);
            let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(time.parse::<u64>().unwrap() > 0);
            let expected = ["READY=1\nSTATUS=counting on eth0 READY=0", "STATUS=2 interfaces", "STOPPING=1"];
            assert_eq!(heard, expected);
        }
    }

    #[test]
    fn a_sign_of_life_is_given_four_times_while_it_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut manager = ServiceManager::new(Some(path.into()), Some(Duration::from_secs(4)));
        assert_eq!(manager.patience(), Some(Duration::from_secs(2)));
        let begin = Instant::now();
        for (milliseconds, told) in [(0, 1), (900, 0), (1000, 1), (1999, 0), (2500, 1), (60_000, 1)] {
            manager.alive(begin + Duration::from_millis(milliseconds));
            assert_eq!(hear(&socket), vec!["WATCHDOG=1"; told], "{milliseconds}");
        }
    }

    #[test]
    fn without_a_manager_nothing_is_sent() {
        for address in [None, Some(OsString::new())] {
            let mut manager = ServiceManager::new(address, Some(Duration::from_secs(4)));
            assert_eq!(manager.patience(), None);
            manager.ready("counting");
            manager.alive(Instant::now());
            manager.stopping();
            assert_eq!(manager.error(), None);
        }
    }

    #[test]
    fn a_manager_that_is_gone_or_does_not_read_is_an_error_and_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let mut manager = ServiceManager::new(Some(path.clone().into()), None);
        manager.ready("counting");
        assert!(manager.error().unwrap().contains("No such file"), "{:?}", manager.error());
        let socket = UnixDatagram::bind(&path).unwrap();
        // Until its queue is full.
        while manager.error().is_none_or(|error| error.contains("No such file")) {
            manager.status("counting");
        }
        assert!(manager.error().unwrap().contains("unavailable"), "{:?}", manager.error());
        hear(&socket);
        manager.stopping();
        assert_eq!(manager.error(), None);
    }

    #[test]
    fn a_change_of_state_waits_for_a_manager_that_is_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut manager = ServiceManager::new(Some(path.into()), None);
        while manager.error().is_none() {
            manager.status("counting");
        }
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let length = socket.recv(&mut buffer).unwrap();
                if &buffer[..length] == b"STOPPING=1" {
                    return;
                }
            }
        });
        manager.stopping();
        assert_eq!(manager.error(), None);
        reader.join().unwrap();
    }
}
