//! The admin listener: `/metrics`, `/healthz`, `/readyz`, `/status`, `/ledger` and `/loadgen/RUN`, GET only.
//!
//! Bounded: [`CONNECTIONS_MAX`] at a time (more wait in the listen queue), each with [`HEADER_TIMEOUT`] to send a
//! request and `ANSWER_TIMEOUT` to read the answer, and no request body is read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use logboom_udp::clock::process_cpu_ns;
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::check::{Arrivals, Checks, Place, Refused};
use crate::bind::ACCEPT_SLEEP;
use crate::ledger::Books;
use crate::telemetry::{Telemetry, Watched};

/// Connections served at a time.
pub const CONNECTIONS_MAX: usize = 64;

/// Time a client has to send its request, and an idle connection to send the next.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection without a new request for so long, and up to twice that, is closed: an idle one is by then, and this one does
/// not read its answer. That of a check has so long once its thread has ended.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What the routes answer from.
pub struct Admin {
    /// The metrics.
    pub telemetry: Telemetry,
    /// What they are made from.
    pub watched: Watched,
    /// The checks of test runs.
    pub checks: Checks,
    /// This run, in hex.
    pub run_id: String,
    /// When it began.
    pub started: jiff::Timestamp,
    /// Where this listener itself is.
    pub address: SocketAddr,
}

/// Serves until the runtime ends.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let admin = Arc::clone(&admin);
                tokio::spawn(async move {
                    serve_connection(stream, admin).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("accepting an admin connection: {error}");
                tokio::time::sleep(ACCEPT_SLEEP).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, admin: Arc<Admin>) {
    // Of a check: given back when the connection is closed, and all is sent.
    let place = OnceLock::new();
    let requests = AtomicU64::new(0);
    let answer = service_fn(|request: Request<Incoming>| {
        requests.fetch_add(1, Ordering::Relaxed);
        let response = admin.answer(request.method(), request.uri().path(), &place);
        async { Ok::<_, Infallible>(response) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!("an admin connection: {error}");
        },
        () = until_stalled(&requests, &place) => tracing::debug!("an admin connection does not read its answer: closed"),
    }
}

/// Returns when an answer is not read: hyper waits for that without end, and asks its body for nothing meanwhile.
async fn until_stalled(requests: &AtomicU64, place: &OnceLock<Place>) {
    loop {
        let before = requests.load(Ordering::Relaxed);
        let is_checking = place.get().is_some_and(|place| place.has_thread());
        tokio::time::sleep(ANSWER_TIMEOUT).await;
        if !is_checking && requests.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// Where the messages of a test run are, before the run.
const CHECK_PATH: &str = "/loadgen/";

type Answer = Response<Either<Full<Bytes>, Arrivals>>;

impl Admin {
    fn answer(&self, method: &Method, path: &str, place: &OnceLock<Place>) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is answered here\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/metrics" => response(StatusCode::OK, METRICS_TEXT, self.telemetry.render(&self.watched)),
            "/healthz" => response(StatusCode::OK, TEXT, "ok\n".into()),
            "/readyz" => self.ready(),
            "/status" => response(StatusCode::OK, JSON, self.status()),
            "/ledger" => response(StatusCode::OK, JSON, ledger_json(&self.watched.ledger.read())),
            _ => match path.strip_prefix(CHECK_PATH) {
                Some(run) => self.check(run, place),
                None => {
                    let routes = "no such page; there are /metrics /healthz /readyz /status /ledger /loadgen/RUN\n";
                    response(StatusCode::NOT_FOUND, TEXT, routes.into())
                }
            },
        }
    }

    fn check(&self, run: &str, place: &OnceLock<Place>) -> Answer {
        let (arrivals, begun) = match self.checks.begin(run) {
            Ok(begun) => begun,
            Err(why) => {
                let status = match why {
                    Refused::Run(_) => StatusCode::BAD_REQUEST,
                    Refused::TooMany => StatusCode::SERVICE_UNAVAILABLE,
                    Refused::Thread(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                return response(status, TEXT, format!("{why}\n"));
            }
        };
        // The last answer on its connection, and so the only one of its kind.
        let _ = place.set(begun);
        let mut response = Response::new(Either::Right(arrivals));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(BYTES));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    fn ready(&self) -> Answer {
        if self.watched.ready.load(Ordering::Acquire) {
            response(StatusCode::OK, TEXT, "ready\n".into())
        } else {
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "shutting down\n".into())
        }
    }

    fn status(&self) -> String {
        let Watched { ledger, listeners, steerer, queue, connections, sequences, tls: _, ready, store } = &self.watched;
        let sockets = ledger.sockets.iter().map(|(listener, socket)| {
            json!({
                "listener": listeners.get(usize::from(*listener)).map(ToString::to_string),
                "receive_buffer_bytes": socket.receive_buffer_bytes().unwrap_or_default(),
                "used_bytes": socket.buffer_use().map_or(0, |buffer| buffer.used_bytes),
                "dropped": socket.dropped().unwrap_or_default(),
            })
        });
        let status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "run_id": self.run_id,
            "pid": std::process::id(),
            "cpu_seconds": process_cpu_ns() as f64 / 1e9,
            "rss_bytes": resident_bytes(),
            "started": self.started.to_string(),
            "ready": ready.load(Ordering::Acquire),
            "listeners": listeners.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "admin": format!("http://{}", self.address),
            "data_dirs": store.volumes.all().map(|storage| storage.path().display().to_string()).collect::<Vec<_>>(),
            "data_dirs_failing": store.volumes.failing(),
            "steering": steerer.mode().name(),
            "receivers": ledger.receivers.len(),
            "writers": ledger.writers.len(),
            "sockets": sockets.collect::<Vec<_>>(),
            "connections": connections.open(),
            "upstream_gaps": sequences.gaps(),
            "pool": { "blocks": ledger.pool.blocks(), "free": ledger.pool.free() },
            "queue_blocks": queue.len(),
            "unsynced_bytes": store.unsynced.bytes(),
            "unsynced_seconds": store.unsynced.age().as_secs_f64(),
        });
        format!("{status:#}\n")
    }
}

/// The ledger with its identity worked out; `docs/ledger.md` describes the fields.
#[derive(Serialize)]
struct LedgerAnswer<'a> {
    #[serde(flatten)]
    books: &'a Books,
    delivered: u64,
    lost: u64,
    difference: i64,
}

fn ledger_json(books: &Books) -> String {
    let (delivered, lost, difference) = (books.delivered(), books.lost(), books.difference());
    let answer = LedgerAnswer { books, delivered, lost, difference };
    serde_json::to_string_pretty(&answer).unwrap_or_default() + "\n"
}

/// Memory of this process that is in RAM (VmRSS, proc_pid_status(5)).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))?;
    Some(kib.parse::<u64>().ok()? << 10)
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_answer_is_not_read_is_given_up_but_not_one_that_asks_or_is_shown_messages() {
        let (requests, begun) = (AtomicU64::new(1), Instant::now());
        until_stalled(&requests, &OnceLock::new()).await;
        assert_eq!(begun.elapsed().as_secs(), ANSWER_TIMEOUT.as_secs(), "one that has asked, and nothing more");

        let (place, thread) = Place::pair();
        let (place, begun) = (OnceLock::from(place), Instant::now());
        let (asks, ends) = (HEADER_TIMEOUT, ANSWER_TIMEOUT * 5);
        let others = async {
            for _ in 0..4 {
                tokio::time::sleep(asks).await;
                requests.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep_until(begun + ends).await;
            drop(thread);
        };
        tokio::join!(until_stalled(&requests, &place), others);
        assert!(
            (ends + ANSWER_TIMEOUT..=ends + 2 * ANSWER_TIMEOUT).contains(&begun.elapsed()),
            "time for the last parts"
        );
    }
}
