//! The one configuration: keys, defaults and limits. `config/logboom.toml` explains each key; a test holds it equal to
//! the defaults here.

mod listen;
mod load;
mod units;

use std::fmt::Display;
use std::path::PathBuf;

use logboom_segment::limits::LISTENERS_MAX;
use serde::{Deserialize, Serialize};

use crate::network::Network;

pub use listen::{Listen, ListenUrl, Mode, Place, Transport};
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
    pub listen: Vec<Listen>,
    /// Longest message kept whole.
    pub max_message: Size,
    /// How long a shutdown may take before it is given up.
    pub shutdown_timeout: Time,
    /// Whom a collector that is started by root becomes; empty to stay.
    pub user: String,
    /// Least severe log lines of our own that are shown.
    pub log: LogLevel,
    /// The admin listener.
    pub admin: Admin,
    /// How datagrams are received.
    pub receive: Receive,
    /// How streams are received.
    pub stream: Stream,
    /// How streams are encrypted.
    pub tls: Tls,
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
    /// Who may send; empty for everybody.
    pub allow: Vec<Network>,
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
    /// Most connections at a time from one address.
    pub max_per_source: usize,
    /// Silence after which a connection is closed; 0 for never.
    pub idle_timeout: Time,
    /// Time after which a message that was begun must have ended.
    pub message_timeout: Time,
    /// Memory for messages that have not ended yet, of all connections together.
    pub memory: Size,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// File with our certificate and those that lead to its authority, PEM.
    pub cert: PathBuf,
    /// File with its private key, PEM.
    pub key: PathBuf,
    /// File with the authorities of clients, PEM; empty for none.
    pub client_ca: PathBuf,
    /// Whether clients must show a certificate.
    pub client: ClientCertificate,
    /// Names and fingerprints of certificates that may send; empty for all that `client_ca` vouches for.
    pub allow: Vec<String>,
    /// Time after which a handshake must have ended.
    pub handshake_timeout: Time,
    /// Most handshakes begun a second; more wait.
    pub handshakes_per_second: u32,
}

/// `tls.client`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// None is asked for.
    None,
    /// One that is shown must be right.
    Optional,
    /// Without one nobody sends.
    Required,
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
                Listen::at(Transport::Udp, ([127, 0, 0, 1], 5514).into()),
                Listen::at(Transport::Tcp, ([127, 0, 0, 1], 5514).into()),
            ],
            max_message: Size::kib(64),
            shutdown_timeout: Time::secs(30),
            user: String::new(),
            log: LogLevel::Info,
            admin: Admin::default(),
            receive: Receive::default(),
            stream: Stream::default(),
            tls: Tls::default(),
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
            allow: Vec::new(),
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_per_source: 1_000,
            idle_timeout: Time::secs(0),
            message_timeout: Time::secs(60),
            memory: Size::mib(64),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: PathBuf::new(),
            client: ClientCertificate::None,
            allow: Vec::new(),
            handshake_timeout: Time::secs(10),
            handshakes_per_second: 200,
        }
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
    /// Every listener, with the entry that it comes from; a range of ports is a listener for each.
    pub fn listeners(&self) -> impl Iterator<Item = (ListenUrl, &Listen)> {
        self.listen.iter().flat_map(|listen| listen.urls().map(move |url| (url, listen)))
    }

    /// Whether there is a listener of this kind.
    #[must_use]
    pub fn listens(&self, transport: Transport) -> bool {
        self.listen.iter().any(|listen| listen.transport() == transport)
    }

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
        self.stream.check(&mut check);
        self.store.check(&mut check);
        self.check_keeping(&mut check);
        if self.listens(Transport::Tls) {
            problems.extend(self.tls.problems());
        } else if self.tls != Tls::default() {
            problems.push("[tls] is set, but `listen` has no tls:// listener: nothing would be encrypted".to_owned());
        }
        problems
    }

    fn check_receiving(&self, check: &mut impl FnMut(bool, &str, &dyn Display, &str)) {
        let (receive, queue) = (&self.receive, &self.queue);
        let listeners = self.listeners().count();
        check(
            (1..=LISTENERS_MAX).contains(&listeners),
            "listen",
            &format!("{listeners} listeners"),
            "1 to 256 listeners",
        );
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
        // Each writer has one open, which is never deleted.
        let open_bytes = self.store.segment_size.get().saturating_mul(self.store.writers.max(1) as u64);
        check(
            retention.max_bytes.get() == 0 || retention.max_bytes.get() >= open_bytes,
            "retention.max_bytes",
            &retention.max_bytes,
            "0B, for no limit, or at least store.segment_size for each of store.writers",
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

impl Stream {
    fn check(&self, check: &mut impl FnMut(bool, &str, &dyn Display, &str)) {
        let connections =
            [("stream.max_connections", self.max_connections), ("stream.max_per_source", self.max_per_source)];
        for (key, value) in connections {
            check((1..=100_000).contains(&value), key, &value, "1 to 100000");
        }
        check(
            self.idle_timeout.get().is_zero() || lasts(self.idle_timeout, Time::secs(1), Time::secs(30 * 86_400)),
            "stream.idle_timeout",
            &self.idle_timeout,
            "0s, for never, or 1s to 30d",
        );
        check(
            lasts(self.message_timeout, Time::secs(1), Time::secs(3600)),
            "stream.message_timeout",
            &self.message_timeout,
            "1s to 1h",
        );
        check(within(self.memory, Size::mib(1), Size::mib(1 << 20)), "stream.memory", &self.memory, "1MiB to 1TiB");
    }
}

impl Tls {
    /// What keeps a TLS listener from working, as far as that is seen without its files.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let asks = self.client != ClientCertificate::None;
        check(is_set(&self.cert), "there is a tls:// listener: tls.cert must name the file with our certificate");
        check(
            is_set(&self.key),
            "there is a tls:// listener: tls.key must name the file with the private key of tls.cert",
        );
        check(
            !asks || is_set(&self.client_ca) || !self.allow.is_empty(),
            "tls.client asks for certificates: tls.client_ca must name the file with their authorities, or tls.allow their fingerprints",
        );
        check(
            asks || (!is_set(&self.client_ca) && self.allow.is_empty()),
            "tls.client is none, so that tls.client_ca and tls.allow mean nothing: set it to optional or required",
        );
        check(
            lasts(self.handshake_timeout, Time::secs(1), Time::secs(600)),
            &format!("tls.handshake_timeout is {}, but must be 1s to 10m", self.handshake_timeout),
        );
        check(
            (1..=1_000_000).contains(&self.handshakes_per_second),
            &format!("tls.handshakes_per_second is {}, but must be 1 to 1000000", self.handshakes_per_second),
        );
        problems
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
