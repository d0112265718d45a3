//! The one configuration: keys, defaults and limits. `config/logboom.toml` explains each key; a test holds it equal to
//! the defaults here.

mod listen;
mod load;
mod units;

use std::path::PathBuf;

use logboom_segment::limits::LISTENERS_MAX;
use serde::{Deserialize, Serialize};

pub use listen::{ListenUrl, Transport};
pub use load::{ConfigError, Overrides, load};
pub use units::{Size, Time};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where segments are written.
    pub data_dir: PathBuf,
    /// Where messages are taken.
    pub listen: Vec<ListenUrl>,
    /// Longest message kept whole.
    pub max_message: Size,
    /// How long a shutdown may take before it is given up.
    pub shutdown_timeout: Time,
    /// Least severe log lines of our own that are shown.
    pub log: LogLevel,
    /// The admin listener.
    pub admin: Admin,
    /// How datagrams are received.
    pub receive: Receive,
    /// How streams are received.
    pub stream: Stream,
    /// The memory between receivers and writers.
    pub queue: Queue,
    /// How messages are stored.
    pub store: Store,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where metrics, health, status and ledger are served.
    pub listen: std::net::SocketAddr,
}

/// `[receive]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Receive {
    /// Receivers, each a thread with a socket of its own; 0 for one per processor.
    pub threads: usize,
    /// Kernel receive buffer of each socket.
    pub buffer: Size,
    /// Sleep after a partial batch.
    pub tick: Time,
    /// Which receiver gets a datagram.
    pub steering: Steering,
    /// Whose receive time is stored.
    pub timestamp: Timestamp,
    /// Let the kernel join datagrams.
    pub gro: bool,
}

/// `receive.steering`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Steering {
    /// By hash, until one receiver has too much while another is idle; then at random.
    Auto,
    /// By a hash of addresses and ports.
    Hash,
    /// At random.
    Spread,
    /// By the processor that took it.
    Cpu,
}

/// `receive.timestamp`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timestamp {
    /// One reading of the clock for each batch.
    Batch,
    /// The kernel's, of each datagram.
    Kernel,
}

/// `[stream]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// Most connections at a time, of all listeners together.
    pub max_connections: usize,
}

/// `[queue]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Memory of the block pool.
    pub memory: Size,
    /// Share of it kept for messages of severity notice and worse.
    pub reserve: f64,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Writers, each a thread with a segment of its own; 0 for one per processor.
    pub writers: usize,
    /// Text of one block.
    pub block_size: Size,
    /// Longest time that a message waits in an unfilled block.
    pub block_age: Time,
    /// zstd level of messages.
    pub level: i32,
    /// Whether compression yields while blocks pile up.
    pub hurry: bool,
    /// Size at which a segment is sealed.
    pub segment_size: Size,
    /// Age at which a segment is sealed.
    pub segment_age: Time,
    /// Time between syncs to disk.
    pub sync: Time,
    /// Written blocks that are kept in memory until they are synced.
    pub unsynced: Size,
}

/// `log`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What costs messages or ends the program.
    Error,
    /// And what may soon.
    Warn,
    /// And what happens once in a while.
    Info,
    /// And what happens often.
    Debug,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./logboom-data".into(),
            listen: vec![
                ListenUrl { transport: Transport::Udp, address: ([127, 0, 0, 1], 5514).into() },
                ListenUrl { transport: Transport::Tcp, address: ([127, 0, 0, 1], 5514).into() },
            ],
            max_message: Size::kib(64),
            shutdown_timeout: Time::secs(30),
            log: LogLevel::Info,
            admin: Admin::default(),
            receive: Receive::default(),
            stream: Stream::default(),
            queue: Queue::default(),
            store: Store::default(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: ([127, 0, 0, 1], 9514).into() }
    }
}

impl Default for Receive {
    fn default() -> Self {
        Self {
            threads: 0,
            buffer: Size::mib(64),
            tick: Time::millis(1),
            steering: Steering::Auto,
            timestamp: Timestamp::Batch,
            gro: false,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self { max_connections: 10_000 }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { memory: Size::mib(256), reserve: 0.125 }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            writers: 0,
            block_size: Size::mib(1),
            block_age: Time::secs(1),
            level: 1,
            hurry: true,
            segment_size: Size::mib(256),
            segment_age: Time::secs(3600),
            sync: Time::secs(1),
            unsynced: Size::mib(64),
        }
    }
}

impl Config {
    /// Everything that is out of range, each as `key: value, but the limit`.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, key: &str, value: &dyn std::fmt::Display, limit: &str| {
            if !holds {
                problems.push(format!("{key} is {value}, but must be {limit}"));
            }
        };
        let (receive, store, queue) = (&self.receive, &self.store, &self.queue);
        let listeners = self.listen.len();
        check((1..=LISTENERS_MAX).contains(&listeners), "listen", &format!("{listeners} URLs"), "1 to 256 URLs");
        let within = |size: Size, min: Size, max: Size| (min..=max).contains(&size);
        check(
            within(self.max_message, Size::bytes(480), Size::mib(1)),
            "max_message",
            &self.max_message,
            "480B to 1MiB (RFC 5426 section 3.2: every receiver takes 480 B)",
        );
        let lasts = |time: Time, min: Time, max: Time| (min..=max).contains(&time);
        check(
            lasts(self.shutdown_timeout, Time::secs(1), Time::secs(600)),
            "shutdown_timeout",
            &self.shutdown_timeout,
            "1s to 10m",
        );
        check(receive.threads <= 1024, "receive.threads", &receive.threads, "0 to 1024");
        check(
            within(receive.buffer, Size::kib(64), Size::mib(1024)),
            "receive.buffer",
            &receive.buffer,
            "64KiB to 1GiB",
        );
        check(receive.tick <= Time::millis(100), "receive.tick", &receive.tick, "0s to 100ms");
        check(
            (1..=100_000).contains(&self.stream.max_connections),
            "stream.max_connections",
            &self.stream.max_connections,
            "1 to 100000",
        );
        check(within(queue.memory, Size::mib(8), Size::mib(1 << 20)), "queue.memory", &queue.memory, "8MiB to 1TiB");
        check((0.0..=0.5).contains(&queue.reserve), "queue.reserve", &queue.reserve, "0 to 0.5");
        check(store.writers <= 1024, "store.writers", &store.writers, "0 to 1024");
        check(
            within(store.block_size, Size::kib(64), Size::mib(2)),
            "store.block_size",
            &store.block_size,
            "64KiB to 2MiB",
        );
        check(
            lasts(store.block_age, Time::millis(10), Time::secs(60)),
            "store.block_age",
            &store.block_age,
            "10ms to 1m",
        );
        check((-7..=19).contains(&store.level), "store.level", &store.level, "-7 to 19");
        check(
            within(store.segment_size, Size::mib(1), Size::mib(4096)),
            "store.segment_size",
            &store.segment_size,
            "1MiB to 4GiB",
        );
        check(
            lasts(store.segment_age, Time::secs(1), Time::secs(7 * 86_400)),
            "store.segment_age",
            &store.segment_age,
            "1s to 7d",
        );
        check(lasts(store.sync, Time::millis(10), Time::secs(60)), "store.sync", &store.sync, "10ms to 1m");
        check(within(store.unsynced, Size::mib(4), Size::mib(4096)), "store.unsynced", &store.unsynced, "4MiB to 4GiB");
        problems
    }
}
