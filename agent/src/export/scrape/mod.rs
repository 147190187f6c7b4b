//! Whoever asks for metrics gets them over HTTP: Prometheus scrapes.
//!
//! A thread of its own answers, with what was handed to it last. Whoever hands over only exchanges a pointer, and never waits for a text
//! to be made or taken; whoever asks takes no more than a connection's place and time.

mod access;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{runtime, sync::Semaphore, time};

pub use self::access::{AccessError, ScrapeAccess};
use crate::metrics::{MetricsFormat, MetricsPage, encode};

/// Who is answered at one time; others wait to be accepted.
const AT_ONCE: usize = 16;
/// How long the head of a request may take to come.
const HEAD: Duration = Duration::from_secs(5);
/// How long all of a connection may last.
const CONNECTION: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// How long nothing may be handed over before something is wrong: as long as systemd waits.
const SILENCE: Duration = Duration::from_secs(30);

/// Why nobody is answered.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// Somebody listens there.
    #[error(
        "{0}, where Prometheus is to be answered, is in use by another program (ss -ltnp says which): stop it, or use another --metrics"
    )]
    Taken(SocketAddr),
    /// It is of no interface.
    #[error(
        "{0}, where Prometheus is to be answered, is an address of no interface here: use one of `ip address`, 127.0.0.1 or 0.0.0.0"
    )]
    Foreign(SocketAddr),
    /// It is not allowed at all.
    #[error(
        "Prometheus cannot be answered at {address}: {error}; a service needs a line RestrictAddressFamilies= for it (docs/metrics.md), and a port below 1024 CAP_NET_BIND_SERVICE"
    )]
    Refused {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// It fails for another reason.
    #[error("answering Prometheus at {address}: {error}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// Listens, and answers nobody yet.
#[derive(Debug)]
pub struct ScrapeListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl ScrapeListener {
    /// Listens at an address.
    ///
    /// # Errors
    /// When that cannot be done, with what to do.
    pub fn bind(address: SocketAddr) -> Result<Self, ScrapeError> {
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        listen().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ScrapeError::Taken(address),
            io::ErrorKind::AddrNotAvailable => ScrapeError::Foreign(address),
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
                ScrapeError::Refused { address, error }
            }
            _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => ScrapeError::Refused { address, error },
            _ => ScrapeError::Other { address, error },
        })
    }

    /// Where.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to answer, on a thread of its own, for as long as the process lives.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn serve(self, access: ScrapeAccess) -> io::Result<ScrapeServer> {
        let Self { listener, address } = self;
        let shared = Arc::new(ScrapeShared {
            state: Mutex::new(ScrapeState { access: Arc::new(access), page: None, handed: Instant::now() }),
            texts: Mutex::default(),
            status: Mutex::default(),
        });
        let answering = Arc::clone(&shared);
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let work = move || runtime.block_on(accept(listener, answering));
        thread::Builder::new().name("metrics".to_owned()).spawn(work)?;
        Ok(ScrapeServer { shared, address })
    }
}

/// Those who ask are answered with what it was handed last.
#[derive(Debug)]
pub struct ScrapeServer {
    shared: Arc<ScrapeShared>,
    address: SocketAddr,
}

impl ScrapeServer {
    /// Where.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is what there is to tell.
    pub fn hand_over(&self, page: MetricsPage) {
        let page = Arc::new(page);
        let mut state = held(&self.shared.state);
        state.handed = Instant::now();
        let former = state.page.replace(page);
        drop(state);
        drop(former);
    }

    /// From now on these may ask.
    pub fn set_access(&self, access: ScrapeAccess) {
        held(&self.shared.state).access = Arc::new(access);
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> ScrapeStatus {
        held(&self.shared.status).clone()
    }
}

/// How it is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeStatus {
    /// How often metrics were asked for and handed out.
    pub scrapes: u64,
    /// How often somebody asked who may not.
    pub refused: u64,
    /// How often something went wrong: nobody could be accepted, or a connection took too long or broke.
    pub failures: u64,
    /// When metrics were last handed out.
    pub last_scrape: Option<SystemTime>,
    /// What went wrong the last time.
    pub last_error: Option<String>,
    /// When that was.
    pub last_failure: Option<SystemTime>,
}

#[derive(Debug)]
struct ScrapeShared {
    state: Mutex<ScrapeState>,
    /// Texts of the last page that was asked for, as long as there is no other.
    texts: Mutex<Vec<(Arc<MetricsPage>, MetricsFormat, Bytes)>>,
    status: Mutex<ScrapeStatus>,
}

#[derive(Debug)]
struct ScrapeState {
    access: Arc<ScrapeAccess>,
    page: Option<Arc<MetricsPage>>,
    /// When a page was last handed over; at first, when it began.
    handed: Instant,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScrapeShared {
    fn failed(&self, error: impl fmt::Display) {
        let mut status = held(&self.status);
        status.failures += 1;
        status.last_error = Some(error.to_string());
        status.last_failure = Some(SystemTime::now());
    }

    /// The text of a page, made once.
    fn text(&self, page: Arc<MetricsPage>, format: MetricsFormat) -> Result<Bytes, fmt::Error> {
        let mut texts = held(&self.texts);
        texts.retain(|(of, ..)| Arc::ptr_eq(of, &page));
        if let Some((.., text)) = texts.iter().find(|(_, in_format, _)| *in_format == format) {
            return Ok(text.clone());
        }
        let text = Bytes::from(encode(&page, format)?);
        texts.push((page, format, text.clone()));
        Ok(text)
    }
}

async fn accept(listener: TcpListener, shared: Arc<ScrapeShared>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return shared.failed(error),
    };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(Arc::clone(&shared));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                shared.failed(format_args!("accepting a connection: {error}"));
                // Out of descriptors, for example: not for ever.
                time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let mut server = http1::Builder::new();
        // One request for each connection, so that its time is that of a request.
        server
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .keep_alive(false)
            .max_buf_size(LONGEST_HEAD);
        let connection =
            server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            match time::timeout(CONNECTION, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => shared.failed(format_args!("answering {peer}: {error}")),
                Err(_) => shared
                    .failed(format_args!("answering {peer}: it took longer than {} s", CONNECTION.as_secs())),
            }
            drop(place);
        });
    }
}

async fn metrics(State(shared): State<Arc<ScrapeShared>>, headers: HeaderMap) -> Response {
    let (access, page) = {
        let state = held(&shared.state);
        (Arc::clone(&state.access), state.page.clone())
    };
    if !access.allows(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)) {
        held(&shared.status).refused += 1;
        let challenge = [(WWW_AUTHENTICATE, access.challenge())];
        return (StatusCode::UNAUTHORIZED, challenge, "the token or the password is missing or wrong\n")
            .into_response();
    }
    let Some(page) = page else { return unready() };
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = MetricsFormat::accepted(&accept.collect::<Vec<_>>().join(","));
    match shared.text(page, format) {
        Ok(text) => {
            let mut status = held(&shared.status);
            status.scrapes += 1;
            status.last_scrape = Some(SystemTime::now());
            ([(CONTENT_TYPE, format.content_type())], text).into_response()
        }
        Err(error) => {
            shared.failed(format_args!("writing the metrics: {error}"));
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Whether the loop that counts goes on.
async fn health(State(shared): State<Arc<ScrapeShared>>) -> Response {
    let silence = held(&shared.state).handed.elapsed();
    if silence > SILENCE {
        let text = format!("nothing was counted for {} s\n", silence.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "counting\n".into_response()
}

/// Whether there is anything to tell.
async fn readiness(State(shared): State<Arc<ScrapeShared>>) -> Response {
    if held(&shared.state).page.is_some() { "ready\n".into_response() } else { unready() }
}

fn unready() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the first second is not over yet\n").into_response()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };

    use super::*;
    use crate::{
        flow::services::Services,
        metrics::{MetricsBooks, MetricsHealth, MetricsSettings, tick_times},
    };

    fn page(version: &str) -> MetricsPage {
        let health = MetricsHealth {
            version: version.to_owned(),
            started: SystemTime::UNIX_EPOCH,
            ticks: tick_times(),
            late_ticks: 0,
            tables: Vec::new(),
            log: None,
            degraded: Vec::new(),
            screens: 0,
            memory_bytes: 0,
            processor_seconds: 0.0,
        };
        MetricsBooks::new(MetricsSettings::default(), Services::default()).page(health)
    }

    fn asked(server: &ScrapeServer, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn there_is_nothing_to_tell_before_the_first_second_is_over() {
        let listener = ScrapeListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = ScrapeListener::bind(listener.address()).unwrap_err();
        assert!(matches!(taken, ScrapeError::Taken(_)), "{taken}");
        let server = listener.serve(ScrapeAccess::everybody()).unwrap();
        for path in ["/metrics", "/readyz"] {
            assert!(asked(&server, &format!("GET {path}")).starts_with("HTTP/1.1 503 "), "{path}");
        }
        assert!(asked(&server, "GET /healthz").starts_with("HTTP/1.1 200 "));
        assert_eq!(server.status().scrapes, 0);

        for version in ["1.0", "2.0"] {
            server.hand_over(page(version));
            assert!(asked(&server, "GET /readyz").starts_with("HTTP/1.1 200 "));
            for _ in 0..2 {
                let answer = asked(&server, "GET /metrics");
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                assert!(answer.contains(&format!("flowtally_build_info{{version=\"{version}\"}} 1\n")));
            }
        }
        let head = asked(&server, "HEAD /metrics");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        let status = server.status();
        assert_eq!((status.scrapes, status.refused, status.failures), (5, 0, 0));
        assert!(status.last_scrape.is_some());
    }

    #[test]
    fn what_is_no_request_is_a_failure_of_whoever_asks() {
        let listener = ScrapeListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = listener.serve(ScrapeAccess::everybody()).unwrap();
        let answer = asked(&server, "\x16\x03\x01");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(asked(&server, "GET /healthz").starts_with("HTTP/1.1 200 "));
        let status = server.status();
        assert_eq!(status.failures, 1);
        assert!(status.last_error.is_some_and(|error| error.starts_with("answering 127.0.0.1:")));
    }
}
