//! What Prometheus is told is what was sent, whoever else asks, and however slowly.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use harness::{
    Agent, Ended, Namespace, PATIENCE, Way, eventually,
    frames::{
        FAR_V4, IPV4, IPV6, ethernet, ipv4, ipv6,
        protocol::{TCP, UDP},
        tcp, udp,
    },
};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::Service;

/// In the test's own namespace nobody else has it.
const ADDRESS: &str = "127.0.0.1:9925";
const KINDS: [&str; 5] = ["process", "remote", "port", "container", "user"];
const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn connect(namespace: &Namespace, address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let stream = namespace.enter(|| TcpStream::connect(address)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks for a path.
fn ask(namespace: &Namespace, path: &str, headers: &str) -> Answer {
    answer(connect(namespace, ADDRESS), &format!("GET {path} HTTP/1.1\r\nHost: agent\r\n{headers}\r\n"))
}

fn answer(mut stream: TcpStream, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("{head}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Samples, by name and labels as they are written.
#[derive(Debug)]
struct Samples(BTreeMap<String, String>);

impl Samples {
    fn scrape(namespace: &Namespace, headers: &str) -> Self {
        let Answer { status, head, body } = ask(namespace, "/metrics", &format!("{OPEN_METRICS}{headers}"));
        assert_eq!(status, 200, "{body}");
        assert!(head.to_lowercase().contains("application/openmetrics-text; version=1.0.0; charset=utf-8"));
        assert!(body.ends_with("# EOF\n"));
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(of, is)| (of.into(), is.into())).collect(),
        )
    }

    fn of(&self, series: &str) -> i64 {
        self.0.get(series).map_or(0, |value| value.parse().unwrap())
    }

    /// The sum of a metric's samples of `near`.
    fn sum(&self, name: &str) -> i64 {
        let start = format!("{name}{{interface=\"near\"");
        self.0.iter().filter(|(of, _)| of.starts_with(&start)).map(|(_, is)| is.parse::<i64>().unwrap()).sum()
    }

    /// Whether there are metrics of this kind.
    fn has(&self, kind: &str) -> bool {
        let start = format!("flowtally_{kind}_retired_");
        self.0.keys().any(|series| series.starts_with(&start))
    }

    /// Whether every kind comes to what was counted; and what that is, in bytes and packets.
    fn add_up(&self, kinds: &[&str]) -> [i64; 2] {
        ["bytes", "packets"].map(|unit| {
            let counted = self.sum(&format!("flowtally_interface_{unit}_total"));
            let rest: i64 = ["untracked", "unparsed", "left_out"]
                .map(|what| self.sum(&format!("flowtally_interface_{what}_{unit}_total")))
                .into_iter()
                .sum();
            let rest = rest + self.sum(&format!("flowtally_interface_repeated_{unit}"));
            for kind in kinds {
                let named = self.sum(&format!("flowtally_{kind}_{unit}_total"))
                    + self.sum(&format!("flowtally_{kind}_retired_{unit}_total"));
                assert_eq!(named + rest, counted, "{kind} in {unit}: {self:?}");
            }
            counted
        })
    }
}

/// Frames of two flows.
fn frames(way: Way, count: usize) -> Vec<Vec<u8>> {
    let v4 = ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 100)));
    let v6 = ethernet(way, IPV6, &ipv6(way, TCP, &tcp(way, 1000)));
    [vec![v4; count], vec![v6; count]].concat()
}

fn sum<'a>(frames: impl IntoIterator<Item = &'a Vec<u8>>) -> [i64; 2] {
    frames
        .into_iter()
        .fold([0, 0], |[bytes, packets], frame| [bytes + i64::try_from(frame.len()).unwrap(), packets + 1])
}

/// Waits until so much was counted on `near`.
fn counted(service: &Service, kinds: &[&str], expected: [i64; 2]) -> Samples {
    eventually("all of it was counted", || {
        let samples = Samples::scrape(&service.pair.near.namespace, "");
        // What the settings say is so from the next second on.
        let are_there = KINDS.iter().all(|kind| samples.has(kind) == kinds.contains(kind));
        (are_there && samples.add_up(kinds) == expected).then_some(samples)
    })
}

fn ready(service: &Service) {
    eventually("there are metrics", || {
        let status = ask(&service.pair.near.namespace, "/readyz", "").status;
        assert!(matches!(status, 200 | 503), "{status}");
        (status == 200).then_some(())
    });
}

fn start(service: &Service, arguments: &str) -> Agent {
    let agent = service.start(&format!("-i near --interval 1s --metrics {ADDRESS} {arguments}"));
    ready(service);
    agent
}

#[test]
fn a_scrape_has_what_was_sent_to_the_byte() {
    let service = Service::new();
    let agent = start(&service, "--metrics-by process,remote,port,container,user --metrics-top 1");
    let (sent, received) = (frames(Way::Sent, 7), frames(Way::Received, 3));
    service.pair.near.send(&sent);
    service.pair.far.send(&received);
    let samples = counted(&service, &KINDS, sum(sent.iter().chain(&received)));
    for (direction, of) in [("egress", &sent), ("ingress", &received)] {
        let labels = format!("{{interface=\"near\",direction=\"{direction}\"}}");
        let [bytes, packets] = sum(of);
        assert_eq!(samples.of(&format!("flowtally_interface_bytes_total{labels}")), bytes);
        assert_eq!(samples.of(&format!("flowtally_interface_packets_total{labels}")), packets);
    }
    // One remote has a name, the larger one of the first second with any; the other is among the others.
    let remote: i64 = ["sent", "received"]
        .map(|way| {
            samples.of(&format!(
                "flowtally_remote_bytes_total{{interface=\"near\",direction=\"{way}\",address=\"other\"}}"
            ))
        })
        .into_iter()
        .sum();
    assert!(remote > 0 && remote < sum(sent.iter().chain(&received))[0], "{samples:?}");
    // What the kernel counted is read every ten seconds.
    eventually("the kernel's counters are read", || {
        let samples = Samples::scrape(&service.pair.near.namespace, "");
        let kernel =
            ["bytes", "packets"].map(|unit| samples.sum(&format!("flowtally_interface_kernel_{unit}_total")));
        (kernel == sum(sent.iter().chain(&received))).then_some(())
    });

    let health = ask(&service.pair.near.namespace, "/healthz", "");
    assert_eq!((health.status, &*health.body), (200, "counting\n"));
    assert_eq!(ask(&service.pair.near.namespace, "/", "").status, 404);
    let posted = connect(&service.pair.near.namespace, ADDRESS);
    assert_eq!(
        answer(posted, "POST /metrics HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\n\r\n").status,
        405
    );
    let status = service.status();
    assert_eq!(status["metrics"]["address"], ADDRESS);
    assert!(status["metrics"]["scrapes"].as_u64() > Some(1), "{status}");
    assert!(status["sandbox"].as_array().unwrap().iter().all(|part| part[1] == "on"), "{status}");
    drop(service.stop(agent));
}

#[test]
fn counters_go_on_where_the_settings_change() {
    let service = Service::new();
    let file = service.path("config.toml");
    let write = |text: &str| fs::write(&file, format!("[agent]\ninterval = \"1s\"\n{text}")).unwrap();
    write("metrics = \"127.0.0.1:9925\"\nmetrics-by = [\"remote\"]\n");
    let mut command = service.command("-i near");
    command.arg("--config").arg(&file);
    let mut agent = Agent::start_command(&service.pair.near.namespace, command);
    agent.wait_for("flowtally: measuring on near");
    ready(&service);
    let sent = frames(Way::Sent, 5);
    service.pair.near.send(&sent);
    let before = counted(&service, &["remote"], sum(&sent));
    let v4 =
        format!("flowtally_remote_bytes_total{{interface=\"near\",direction=\"sent\",address=\"{FAR_V4}\"}}");
    assert_eq!(before.of(&v4), sum(&sent[..5])[0]);

    write("metrics = \"127.0.0.1:9926\"\nmetrics-by = [\"remote\", \"port\"]\nmetrics-top = 50\n");
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the configuration was read again; these take a restart: metrics");
    service.pair.near.send(&sent);
    let all = [2 * sum(&sent)[0], 2 * sum(&sent)[1]];
    let after = counted(&service, &["remote", "port"], all);
    assert_eq!(after.of(&v4), 2 * before.of(&v4));
    // What came before there were ports is in none.
    assert_eq!(after.sum("flowtally_port_retired_bytes_total"), sum(&sent)[0]);

    write("metrics = \"127.0.0.1:9925\"\nmetrics-by = []\n");
    agent.signal(Signal::SIGHUP);
    service.pair.near.send(&sent);
    drop(counted(&service, &[], [3 * sum(&sent)[0], 3 * sum(&sent)[1]]));
    drop(service.stop(agent));
}

#[test]
fn who_does_not_know_the_token_gets_nothing() {
    let service = Service::new();
    let token = service.path("token");
    let write = |text: &str| {
        fs::write(&token, text).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("s3cret-Token\n");
    let agent = start(&service, &format!("--metrics-token-file {}", token.display()));
    let namespace = &service.pair.near.namespace;
    let asked = |header: &str| ask(namespace, "/metrics", header);
    for wrong in ["", "Authorization: Bearer other\r\n", "Authorization: Basic czNjcmV0\r\n"] {
        let Answer { status, head, body } = asked(wrong);
        assert_eq!(status, 401, "{wrong}");
        assert!(head.to_lowercase().contains("www-authenticate: bearer realm=\"flowtally\""), "{head}");
        assert!(!body.contains("flowtally_"), "{body}");
    }
    assert_eq!(asked("Authorization: Bearer s3cret-Token\r\n").status, 200);

    // Another one, and who knows the former one gets nothing any more.
    write("prometheus:pa55word\n");
    agent.signal(Signal::SIGHUP);
    let basic = "Authorization: Basic cHJvbWV0aGV1czpwYTU1d29yZA==\r\n";
    eventually("the file is read again", || (asked(basic).status == 200).then_some(()));
    assert_eq!(asked("Authorization: Bearer s3cret-Token\r\n").status, 401);
    // One that cannot be used leaves everything as it was.
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    agent.signal(Signal::SIGHUP);
    eventually("it is said", || agent.said().contains("is left as it was").then_some(()));
    assert_eq!(asked(basic).status, 200);

    let status = service.status();
    assert!(status["metrics"]["refused"].as_u64() >= Some(4), "{status}");
    let said = agent.said();
    assert!(said.contains("chmod o="), "{said}");
    for text in [status.to_string(), said] {
        assert!(
            !text.contains("s3cret") && !text.contains("pa55word") && !text.contains("cHJvbWV0"),
            "{text}"
        );
    }
    drop(service.stop(agent));
}

#[test]
fn those_who_ask_slowly_hold_nothing_up() {
    let service = Service::new();
    let agent = start(&service, "");
    let namespace = &service.pair.near.namespace;
    // More than are answered at a time, of whom some say nothing, some say half, and some take nothing.
    let mut slow: Vec<_> = (0..24).map(|_| connect(namespace, ADDRESS)).collect();
    for stream in slow.iter_mut().step_by(3) {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ag").unwrap();
    }
    for stream in slow.iter_mut().skip(1).step_by(3) {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: agent\r\n\r\n").unwrap();
    }
    let sent = frames(Way::Sent, 20);
    service.pair.near.send(&sent);
    let ticks = service.status()["ticks"].as_u64();
    service.status_when("the agent counts on", |status| {
        status["ticks"].as_u64() >= ticks.map(|ticks| ticks + 2)
            && status["interfaces"][0]["counted_packets"] == 40
    });
    // Their time is over, and somebody else's turn.
    counted(&service, &["process"], sum(&sent));
    let status = service.status();
    assert!(status["metrics"]["failures"].as_u64() > Some(0), "{status}");
    assert!(
        status["metrics"]["last_error"].as_str().is_some_and(|error| error.contains("answering 127.0.0.1:"))
    );
    // A request without end.
    let mut long = connect(namespace, ADDRESS);
    let line = format!("X-Long: {}\r\n", "x".repeat(1000));
    let ended = long
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: agent\r\n")
        .and_then(|()| (0..10_000).try_for_each(|_| long.write_all(line.as_bytes())));
    assert!(ended.is_err(), "ten megabytes of a head were taken");
    drop(slow);
    drop(service.stop(agent));
}

#[test]
fn an_address_that_is_taken_is_said_before_anything_is_measured() {
    let service = Service::new();
    let namespace = &service.pair.near.namespace;
    let other = namespace.enter(|| TcpListener::bind(ADDRESS)).unwrap();
    let token = service.path("token");
    fs::write(&token, "").unwrap();
    for (arguments, said) in [
        (format!("--metrics {ADDRESS}"), "is in use by another program"),
        ("--metrics 192.0.2.1:9925".to_owned(), "is an address of no interface here"),
        (format!("--metrics 127.0.0.1:9926 --metrics-token-file {}", token.display()), "every user"),
        ("--metrics 127.0.0.1:9926 --metrics-token-file /none".to_owned(), "reading /none"),
    ] {
        let Ended { status, stderr, .. } =
            Agent::start_command(namespace, service.command(&format!("-i near {arguments}"))).wait();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(said) && !stderr.contains("measuring"), "{stderr}");
        assert!(!service.log().exists() && !service.socket().exists());
    }
    drop(other);
}

/// Ends with the value.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What a query comes to.
fn query(namespace: &Namespace, query: &str) -> Option<f64> {
    let encoded = query.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
    let address: SocketAddr = "127.0.0.1:9090".parse().unwrap();
    let stream = namespace.enter(|| TcpStream::connect(address)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // HTTP/1.0 has no chunks.
    let body = answer(stream, &format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n")).body;
    let body: Value = serde_json::from_str(&body).ok()?;
    let result = body["data"]["result"].as_array()?;
    assert!(result.len() < 2, "{query}: {body}");
    result.first()?["value"][1].as_str()?.parse().ok()
}

fn start_program(program: &str) -> Command {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "{program} is missing: apt-get install --no-install-recommends prometheus"
    );
    Command::new(program)
}

#[test]
fn prometheus_comes_to_the_same_sums() {
    let service = Service::new();
    let token = service.path("token");
    fs::write(&token, "s3cret-Token\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let arguments =
        "--metrics-by process,remote,port,container,user --metrics-top 1 --metrics-token-file ".to_owned();
    let agent = start(&service, &(arguments + &token.display().to_string()));
    let namespace = &service.pair.near.namespace;
    let bearer = "Authorization: Bearer s3cret-Token\r\n";
    let plain = ask(namespace, "/metrics", bearer);
    assert!(plain.head.to_lowercase().contains("text/plain; version=0.0.4"), "{}", plain.head);
    let mut lint = start_program("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin.take().unwrap().write_all(plain.body.as_bytes()).unwrap();
    let lint = lint.wait_with_output().unwrap();
    let complaints = [&*lint.stdout, &*lint.stderr].map(String::from_utf8_lossy).concat();
    assert!(lint.status.success() && complaints.is_empty(), "{complaints}");

    let config = service.path("prometheus.yml");
    let text = format!(
        "scrape_configs:\n- job_name: flowtally\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  authorization:\n    credentials_file: {}\n  static_configs:\n  - targets: [\"{ADDRESS}\"]\n",
        token.display()
    );
    fs::write(&config, text).unwrap();
    let mut command = start_program("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", service.path("tsdb").display()))
        .arg("--web.listen-address=127.0.0.1:9090")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let prometheus = Prometheus(namespace.enter(|| command.spawn()).unwrap());
    eventually("it scrapes", || query(namespace, "up").filter(|up| *up > 0.0));

    let mut all = Vec::new();
    for round in 1..=3 {
        let (sent, received) = (frames(Way::Sent, round), frames(Way::Received, 2 * round));
        service.pair.near.send(&sent);
        service.pair.far.send(&received);
        all.extend([sent, received].concat());
        let [_, packets] = sum(&all);
        eventually("they were counted", || {
            let counted = query(namespace, "sum(flowtally_interface_packets_total{interface=\"near\"})")?;
            #[expect(clippy::float_cmp, reason = "a whole number")]
            (counted == packets as f64).then_some(())
        });
    }
    let [bytes, packets] = sum(&all).map(|amount| amount as f64);
    for (unit, amount) in [("bytes", bytes), ("packets", packets)] {
        for kind in KINDS {
            let total = query(
                namespace,
                &format!(
                    "sum({{__name__=~\"flowtally_{kind}_(retired_)?{unit}_total\",interface=\"near\"}})"
                ),
            );
            assert_eq!(total, Some(amount), "{kind} in {unit}");
        }
        // The expression of docs/metrics.md.
        let holds = query(
            namespace,
            &format!(
                "count(sum by (interface) ({{__name__=~\"flowtally_(process|process_retired|interface_untracked|interface_unparsed|interface_left_out)_{unit}_total|flowtally_interface_repeated_{unit}\"}})
                 == sum by (interface) (flowtally_interface_{unit}_total))"
            ),
        );
        assert_eq!(holds, Some(1.0), "one interface, which adds up");
    }
    assert_eq!(query(namespace, "flowtally_degraded{feature=\"log\"}"), Some(0.0));
    drop(prometheus);
    drop(service.stop(agent));
}
