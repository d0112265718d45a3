//! What logboom says of itself: `GET /ledger` and `GET /status` of its admin listener (docs/ledger.md).

use std::io::Read;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest wait for each of the two answers.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer that is read, bytes: `/status` has about 200 B a socket, and of 100 senders with gaps each as much.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What asking a collector came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It has no admin listener, as far as is known.
    #[default]
    Unasked,
    /// It did not answer, or with something else: why.
    Silent(String),
    /// Its books.
    Told(Box<Collector>),
}

/// A collector at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Collector {
    /// Its run, hex: another one after each start.
    pub run_id: String,
    /// Its process, on its own machine.
    pub pid: u32,
    /// Where the messages are that it was sent, by whomever.
    pub books: Books,
    /// Processor time of all its threads, seconds, if it tells.
    pub cpu_seconds: Option<f64>,
    /// Memory that it occupies, bytes, if it tells.
    pub resident_bytes: Option<u64>,
    /// Age of the oldest message that is not yet synced.
    pub unsynced_seconds: f64,
    /// Receive buffer of the smallest of its UDP sockets, on the scale of `net.core.rmem_max`; absent without any.
    pub receive_buffer_bytes: Option<u64>,
}

/// The places of docs/ledger.md, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Taken from its sockets.
    pub received: u64,
    /// In a block on disk.
    pub stored: u64,
    /// In memory.
    pub in_flight: u64,
    /// Dropped on purpose under overload.
    pub shed: u64,
    /// Not allowed to send.
    pub refused: u64,
    /// Stream framing broken beyond resync.
    pub malformed: u64,
    /// The disk would not take them.
    pub write_failed: u64,
    /// Dropped by the kernel at its sockets.
    pub socket_buffer: u64,
    /// Whether `socket_buffer` is exact, and not a lower bound.
    pub exact: bool,
}

/// What is wanted of `/status`.
#[derive(Deserialize)]
struct Status {
    run_id: String,
    pid: u32,
    sockets: Vec<StatusSocket>,
    cpu_seconds: Option<f64>,
    rss_bytes: Option<u64>,
    unsynced_seconds: f64,
}

#[derive(Deserialize)]
struct StatusSocket {
    receive_buffer_bytes: u64,
}

impl Answer {
    /// Asks the collector whose admin listener is at `admin`, `http://HOST:PORT` or `HOST:PORT`.
    #[must_use]
    pub fn of(admin: &str) -> Self {
        Self::within(admin, TIMEOUT)
    }

    fn within(admin: &str, timeout: Duration) -> Self {
        match ask(admin, timeout) {
            Ok(collector) => Self::Told(Box::new(collector)),
            Err(why) => Self::Silent(why),
        }
    }

    /// The books, if there are any.
    #[must_use]
    pub fn told(&self) -> Option<&Collector> {
        match self {
            Self::Told(collector) => Some(collector),
            Self::Unasked | Self::Silent(_) => None,
        }
    }
}

/// What the collector streams of a test run from now on (docs/admin.md): `GET /loadgen/RUN`.
///
/// # Errors
/// Why it does not, in words.
pub fn stream(admin: &str, run: u32) -> Result<impl Read + Send + 'static, String> {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(TIMEOUT))
        .proxy(None)
        .max_redirects(0);
    let agent = config.http_status_as_error(false).build().new_agent();
    let url = format!("{}/loadgen/{run:08x}", base(admin));
    let mut response = agent.get(&url).call().map_err(|error| format!("{url}: {error}"))?;
    if response.status() == 200 {
        return Ok(response.into_body().into_reader());
    }
    let told = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().unwrap_or_default();
    Err(format!("{url}: {} {}", response.status(), told.trim_end()))
}

/// The address as the beginning of a URL.
fn base(admin: &str) -> String {
    let base = admin.trim_end_matches('/');
    if base.contains("://") { base.to_owned() } else { format!("http://{base}") }
}

fn ask(admin: &str, timeout: Duration) -> Result<Collector, String> {
    // A proxy from the environment would be asked for the books of another machine.
    let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).proxy(None).max_redirects(0);
    let agent = config.build().new_agent();
    let base = base(admin);
    let books = get(&agent, &format!("{base}/ledger"))?;
    let status: Status = get(&agent, &format!("{base}/status"))?;
    Ok(Collector {
        run_id: status.run_id,
        pid: status.pid,
        books,
        cpu_seconds: status.cpu_seconds,
        resident_bytes: status.rss_bytes,
        unsynced_seconds: status.unsynced_seconds,
        receive_buffer_bytes: status.sockets.iter().map(|socket| socket.receive_buffer_bytes).min(),
    })
}

fn get<T: DeserializeOwned>(agent: &ureq::Agent, url: &str) -> Result<T, String> {
    let failed = |error: ureq::Error| format!("{url}: {error}");
    let mut response = agent.get(url).call().map_err(failed)?;
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| format!("{url}: not an answer of logboom: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    const LEDGER: &str = r#"{"received": 10, "stored": 4, "in_flight": 1, "shed": 2, "shed_by_severity": {"info": 2},
        "refused": 0, "malformed": 0, "write_failed": 3, "socket_buffer": 5, "exact": true, "delivered": 15, "lost": 10,
        "difference": 0}"#;
    const STATUS: &str = r#"{"version": "0.1.0", "run_id": "00c0ffee", "pid": 42, "ready": true, "cpu_seconds": 1.5, "rss_bytes": 4096,
        "sockets": [{"listener": "udp://0.0.0.0:5514", "receive_buffer_bytes": 8192, "used_bytes": 0, "dropped": 5},
        {"listener": "udp://0.0.0.0:5514", "receive_buffer_bytes": 4096, "used_bytes": 0, "dropped": 0}],
        "unsynced_seconds": 0.25}"#;

    /// A server that gives `body` to every request on a page of its name.
    fn serve(bodies: impl Fn(&str) -> String + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                let _ = lines.take_while(|line| !line.is_empty()).count();
                let body = bodies(request.split(' ').nth(1).unwrap_or_default());
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes());
            }
        });
        address
    }

    fn silence(admin: &str) -> String {
        match Answer::within(admin, Duration::from_millis(200)) {
            Answer::Silent(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_books_are_read() {
        let admin = serve(|page| if page == "/ledger" { LEDGER.into() } else { STATUS.into() });
        for admin in [format!("http://{admin}/"), admin] {
            let answer = Answer::of(&admin);
            let told = answer.told().unwrap_or_else(|| panic!("{answer:?}"));
            assert_eq!((told.run_id.as_str(), told.pid, told.cpu_seconds), ("00c0ffee", 42, Some(1.5)));
            assert_eq!((told.books.received, told.books.socket_buffer, told.books.exact), (10, 5, true));
            assert_eq!((told.unsynced_seconds, told.receive_buffer_bytes), (0.25, Some(4096)));
            assert_eq!(told.resident_bytes, Some(4096));
        }
    }

    #[test]
    fn a_collector_may_not_know_what_it_costs() {
        let admin = serve(|page| match page {
            "/ledger" => LEDGER.into(),
            _ => STATUS.replace(r#""cpu_seconds": 1.5, "rss_bytes": 4096"#, r#""rss_bytes": null"#),
        });
        let answer = Answer::of(&admin);
        let told = answer.told().unwrap_or_else(|| panic!("{answer:?}"));
        assert_eq!((told.cpu_seconds, told.resident_bytes), (None, None));
    }

    #[test]
    fn what_is_no_answer_is_silence_with_a_reason() {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert!(silence(&unused).starts_with(&format!("http://{unused}/ledger: ")));
        let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(silence(&hangs.local_addr().unwrap().to_string()).contains("timeout"));
        assert!(silence(&serve(|_| "<html>".into())).contains("not an answer of logboom"));
        assert!(silence(&serve(|_| " ".repeat(ANSWER_BYTES_MAX as usize + 1))).contains("limit"));
        assert!(!silence("https://127.0.0.1:1").is_empty());
        assert!(!silence("no such host, nor a URL").is_empty());
    }
}
