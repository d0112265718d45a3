//! The one configuration: keys, defaults and limits. `config/logboom.toml` explains each key; a test holds it equal to
//! the defaults here.

mod listen;
mod load;
mod units;

use std::fmt::Display;
use std::path::PathBuf;

use logboom_segment::limits::LISTENERS_MAX;
use serde::{Deserialize, Serialize};

pub use listen::{ListenUrl, Transport};
pub use load::{ConfigError, Overrides, load};
pub use units::{Size, Time};

/// Most data directories.
const DATA_DIRS_MAX: usize = 64;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where segments are written.
    pub data_dir: DataDirs,
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
    /// How long.
    pub retention: Retention,
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
    /// When what was written is made to last.
    pub sync: Sync,
    /// Written blocks that are kept in memory until they are synced.
    pub unsynced: Size,
    /// What is lost when the disk is full.
    pub on_full: OnFull,
    /// Age from which sealed segments are compressed harder; 0 for never.
    pub recompress_after: Time,
}

/// `store.sync`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sync {
    /// When the segment is sealed; before that the kernel decides.
    None,
    /// After each block.
    Block,
    /// So often.
    Every(Time),
}

impl Sync {
    /// Time between looks what is to be synced.
    #[must_use]
    pub fn interval(self) -> std::time::Duration {
        match self {
            Self::None | Self::Block => std::time::Duration::from_secs(1),
            Self::Every(time) => time.get(),
        }
    }
}

impl TryFrom<String> for Sync {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "none" => Ok(Self::None),
            "block" => Ok(Self::Block),
            time => time.parse().map(Self::Every).map_err(|_| {
                format!("`{text}` says not when to sync: write \"none\", \"block\", or a time such as \"1s\"")
            }),
        }
    }
}

impl From<Sync> for String {
    fn from(sync: Sync) -> Self {
        match sync {
            Sync::None => "none".into(),
            Sync::Block => "block".into(),
            Sync::Every(time) => time.to_string(),
        }
    }
}

/// `store.on_full`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// The oldest sealed segments.
    EvictOldest,
    /// What comes while memory is full, too.
    DropNewest,
}

/// `[retention]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Time for which a sealed segment is kept; 0 for ever.
    pub max_age: Time,
    /// What all segments of a data directory may take; 0 for no limit.
    pub max_bytes: Size,
    /// What is to stay free in its file system; 0 for no limit.
    pub min_free: Size,
}

/// `data_dir`: one directory or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DataDirs {
    /// One.
    One(PathBuf),
    /// Several.
    Several(Vec<PathBuf>),
}

impl DataDirs {
    /// Every one.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
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
            data_dir: DataDirs::One("./logboom-data".into()),
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
            retention: Retention::default(),
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
            sync: Sync::Every(Time::secs(1)),
            unsynced: Size::mib(64),
            on_full: OnFull::DropNewest,
            recompress_after: Time::secs(0),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_age: Time::secs(0), max_bytes: Size::bytes(0), min_free: Size::bytes(0) }
    }
}

impl Config {
    /// Everything that is out of range, each as `key: value, but the limit`.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, key: &str, value: &dyn Display, limit: &str| {
            if !holds {
                problems.push(format!("{key} is {value}, but must be {limit}"));
            }
        };
        self.check_receiving(&mut check);
        self.store.check(&mut check);
        self.check_keeping(&mut check);
        problems
    }

    fn check_receiving(&self, check: &mut impl FnMut(bool, &str, &dyn Display, &str)) {
        let (receive, queue) = (&self.receive, &self.queue);
        let listeners = self.listen.len();
        check((1..=LISTENERS_MAX).contains(&listeners), "listen", &format!("{listeners} URLs"), "1 to 256 URLs");
        check(
            within(self.max_message, Size::bytes(480), Size::mib(1)),
            "max_message",
            &self.max_message,
            "480B to 1MiB (RFC 5426 section 3.2: every receiver takes 480 B)",
        );
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
    }

    fn check_keeping(&self, check: &mut impl FnMut(bool, &str, &dyn Display, &str)) {
        let retention = &self.retention;
        check(
            retention.max_age.get().is_zero() || retention.max_age >= Time::secs(60),
            "retention.max_age",
            &retention.max_age,
            "0s, for ever, or 1m and longer",
        );
        check(
            retention.max_bytes.get() == 0 || retention.max_bytes >= self.store.segment_size,
            "retention.max_bytes",
            &retention.max_bytes,
            "0B, for no limit, or at least store.segment_size",
        );
        let dirs = self.data_dir.paths();
        let distinct: std::collections::BTreeSet<_> = dirs.iter().collect();
        check(
            (1..=DATA_DIRS_MAX).contains(&dirs.len()) && distinct.len() == dirs.len(),
            "data_dir",
            &format!("{} directories, {} of them distinct", dirs.len(), distinct.len()),
            "1 to 64 directories, each once",
        );
    }
}

impl Store {
    fn check(&self, check: &mut impl FnMut(bool, &str, &dyn Display, &str)) {
        check(self.writers <= 1024, "store.writers", &self.writers, "0 to 1024");
        check(
            within(self.block_size, Size::kib(64), Size::mib(2)),
            "store.block_size",
            &self.block_size,
            "64KiB to 2MiB",
        );
        check(
            lasts(self.block_age, Time::millis(10), Time::secs(60)),
            "store.block_age",
            &self.block_age,
            "10ms to 1m",
        );
        check((-7..=19).contains(&self.level), "store.level", &self.level, "-7 to 19");
        check(
            within(self.segment_size, Size::mib(1), Size::mib(4096)),
            "store.segment_size",
            &self.segment_size,
            "1MiB to 4GiB",
        );
        check(
            lasts(self.segment_age, Time::secs(1), Time::secs(7 * 86_400)),
            "store.segment_age",
            &self.segment_age,
            "1s to 7d",
        );
        if let Sync::Every(time) = self.sync {
            check(lasts(time, Time::millis(10), Time::secs(60)), "store.sync", &time, "10ms to 1m, none, or block");
        }
        check(within(self.unsynced, Size::mib(4), Size::mib(4096)), "store.unsynced", &self.unsynced, "4MiB to 4GiB");
        check(
            self.recompress_after.get().is_zero() || self.recompress_after >= Time::secs(60),
            "store.recompress_after",
            &self.recompress_after,
            "0s, for never, or 1m and longer",
        );
    }
}

fn within(size: Size, min: Size, max: Size) -> bool {
    (min..=max).contains(&size)
}

fn lasts(time: Time, min: Time, max: Time) -> bool {
    (min..=max).contains(&time)
}
