//! The data path put together: threads started against it, and stopped along it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use logboom_segment::{RowLimits, Rows, RunId};
use logboom_udp::{ReceiveSocket, thread};
use tokio::sync::watch;

use crate::bind::activated::Activated;
use crate::bind::local::LocalSocket;
use crate::bind::{BindError, Bound, StreamDoor};
use crate::block::{BlockPool, ROWS_PER_BLOCK_MAX, SOURCES_PER_BLOCK_MAX};
use crate::config::{Config, OnFull, Size, Sync, Transport};
use crate::ledger::{Books, Ledger};
use crate::queue::{BlockSender, block_queue};
use crate::receive::allow::AllowList;
use crate::receive::connections::{CLOSING_MAX, Connections};
use crate::receive::sequence::Sequences;
use crate::receive::steering::{LoadWatch, Steerer};
use crate::receive::stream::{StreamContext, StreamListener, StreamReceiver};
use crate::receive::tls::{TlsError, TlsSettings};
use crate::receive::udp::{Stopper, UdpReceiver, UdpSocketOf};
use crate::receive::{Feed, StreamLimits};
use crate::store::directory::{DataDirectory, DirectoryError};
use crate::store::storage::Storage;
use crate::store::volumes::Volumes;
use crate::store::{Store, StoreContext, StoreState};
use crate::telemetry::{Telemetry, Watched};

/// File descriptors beside those of sockets, segments and stream connections: admin connections, polls, the log.
const DESCRIPTORS_BESIDE: usize = 128;

/// Why a collector did not start; nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Streams cannot be encrypted.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The process cannot become who it is to be.
    #[error("user is `{user}`, but {why}")]
    User {
        /// As configured.
        user: String,
        /// Why not.
        why: String,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The pool is too small for the threads.
    #[error(
        "queue.memory is {memory}, which holds {blocks} blocks, but {threads} receivers and writers need at least {needed}: \
         raise queue.memory to {enough}, or lower store.block_size"
    )]
    PoolTooSmall {
        /// As configured.
        memory: Size,
        /// Blocks that it holds.
        blocks: usize,
        /// Threads that hold blocks.
        threads: usize,
        /// Blocks that these need.
        needed: usize,
        /// Memory that would do.
        enough: Size,
    },
    /// The operating system refused something else.
    #[error("{what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The answer.
        error: io::Error,
    },
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

/// A running collector.
pub struct Pipeline {
    sockets: Vec<Arc<ReceiveSocket>>,
    steerer: Arc<Steerer>,
    stoppers: Vec<Stopper>,
    stop_streams: watch::Sender<bool>,
    receivers: Vec<JoinHandle<()>>,
    queue: BlockSender,
    store: Store,
    ledger: Arc<Ledger>,
    ready: Arc<AtomicBool>,
    /// Names in the file system that go when this does.
    _local: Vec<LocalSocket>,
}

/// What is started, and what serves it.
pub struct Started {
    /// The collector.
    pub pipeline: Pipeline,
    /// Its admin listener, not served yet.
    pub admin: std::net::TcpListener,
    /// Its metrics.
    pub telemetry: Telemetry,
    /// What these are made from.
    pub watched: Watched,
    /// This run.
    pub run_id: RunId,
}

/// Sizes worked out from configuration and machine.
struct Plan {
    cpus: Vec<usize>,
    udp_receivers: usize,
    stream_receivers: usize,
    writers: usize,
    pool: Arc<BlockPool>,
}

impl Plan {
    fn new(config: &Config) -> Result<Self, StartError> {
        let cpus = thread::allowed_cpus().map_err(system("reading the processors this process may use"))?;
        let limits = row_limits(config);
        let pool = BlockPool::new(config.queue.memory.as_usize(), config.queue.reserve, limits);
        let has_streams = config.listen.iter().any(|listen| listen.transport() != Transport::Udp);
        let threads = Threads::new(config, cpus.len(), pool.blocks(), config.listens(Transport::Udp), has_streams);
        let needed = threads.blocks_needed();
        if pool.blocks() < needed {
            let enough = Size::mib((needed * Rows::memory_bytes_max(limits)).div_ceil(1 << 20) as u64);
            let (memory, blocks, threads) = (config.queue.memory, pool.blocks(), threads.total());
            return Err(StartError::PoolTooSmall { memory, blocks, threads, needed, enough });
        }
        let Threads { udp_receivers, stream_receivers, writers } = threads;
        if config.receive.threads == 0 && udp_receivers.max(stream_receivers) < cpus.len() {
            tracing::info!(
                "queue.memory ({}) has blocks for receivers on {} of {} processors",
                config.queue.memory,
                udp_receivers.max(stream_receivers),
                cpus.len()
            );
        }
        Ok(Self { cpus, udp_receivers, stream_receivers, writers, pool: Arc::new(pool) })
    }

    /// The processor of each receiver of datagrams.
    fn receiver_cpus(&self) -> Vec<usize> {
        self.cpus.iter().copied().cycle().take(self.udp_receivers).collect()
    }
}

/// How many threads hold blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Threads {
    udp_receivers: usize,
    stream_receivers: usize,
    writers: usize,
}

impl Threads {
    /// Blocks for each thread: a receiver fills one while the next waits, a writer empties one, and the reserve may be half
    /// of all.
    const BLOCKS_EACH: usize = 4;

    /// As configured; what is left to us is one for each processor, as far as there are blocks.
    fn new(config: &Config, cpus: usize, blocks: usize, udp: bool, streams: bool) -> Self {
        let kinds = usize::from(udp) + usize::from(streams) + 1;
        let automatic = cpus.min(blocks / (Self::BLOCKS_EACH * kinds)).max(1);
        let or_automatic = |configured: usize| if configured == 0 { automatic } else { configured };
        let receivers = or_automatic(config.receive.threads);
        Self {
            udp_receivers: if udp { receivers } else { 0 },
            stream_receivers: if streams { receivers } else { 0 },
            writers: or_automatic(config.store.writers),
        }
    }

    fn total(self) -> usize {
        self.udp_receivers + self.stream_receivers + self.writers
    }

    fn blocks_needed(self) -> usize {
        Self::BLOCKS_EACH * self.total()
    }
}

/// A block takes the longest message even where it is set smaller.
fn row_limits(config: &Config) -> RowLimits {
    RowLimits {
        content_bytes: config.store.block_size.as_usize().max(config.max_message.as_usize() + 1),
        rows: ROWS_PER_BLOCK_MAX,
        sources: SOURCES_PER_BLOCK_MAX,
    }
}

impl Pipeline {
    /// Binds every socket, takes the data directory, and starts every thread, in this order: what is refused is refused
    /// before anything is left behind.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: &Config) -> Result<Started, StartError> {
        let plan = Plan::new(config)?;
        let tls = config.listens(Transport::Tls).then(|| TlsSettings::load(&config.tls).map(Arc::new)).transpose()?;
        let mut bound = Bound::bind(config, plan.udp_receivers, Activated::from_environment())?;
        become_user(&config.user)?;
        if let Some(warning) = bound.receive_buffer_warning(config.receive.buffer) {
            tracing::warn!("{warning}");
        }
        let run_id = getrandom::u64().map(RunId).map_err(|error| system("a random run id")(error.into()))?;
        let store_state = StoreState::new(open_volumes(config, run_id)?, unsynced_bytes(config));

        let sockets: Vec<_> =
            bound.udp.iter().flat_map(|(listener, group)| group.iter().map(|s| (*listener, Arc::clone(s)))).collect();
        let all_sockets = sockets.iter().map(|(_, socket)| Arc::clone(socket)).collect();
        let receivers = plan.udp_receivers + plan.stream_receivers;
        let ledger = Arc::new(Ledger::new(
            receivers,
            bound.listeners.len(),
            plan.writers,
            sockets,
            Arc::clone(&plan.pool),
            !config.receive.gro,
        ));
        let telemetry = Telemetry::start();
        let (queue, queue_ends) = block_queue(plan.pool.blocks(), plan.writers);

        let context = StoreContext {
            config,
            run_id,
            listeners: bound.listeners.iter().map(ToString::to_string).collect(),
            state: &store_state,
            ledger: &ledger,
            times: telemetry.store_times(),
            writers_step_back: !may_outrank(),
        };
        let store = Store::start(context, queue_ends).map_err(system("the store's threads"))?;

        let (streams, stop_streams) = stream_context(config, &plan, &bound);
        let feeds = Feeds { config, ledger: &ledger, queue: &queue };
        let steerer = Steerer::new(bound.udp.clone(), &config.receive, &plan.receiver_cpus());
        let steerer = Arc::new(steerer.map_err(system("time stamps of datagrams (SO_TIMESTAMPNS)"))?);
        let (mut threads, stoppers) = start_udp(&plan, &bound, &feeds, &steerer, &streams.sequences)?;
        let doors = std::mem::take(&mut bound.streams);
        threads.extend(start_streams(&plan, doors, &feeds, &streams, tls.as_ref())?);

        let ready = Arc::new(AtomicBool::new(true));
        let watched = Watched {
            ledger: Arc::clone(&ledger),
            steerer: Arc::clone(&steerer),
            store: store_state,
            listeners: bound.listeners,
            queue: queue.clone(),
            connections: streams.connections,
            sequences: streams.sequences,
            tls,
            ready: Arc::clone(&ready),
        };
        let pipeline = Self {
            sockets: all_sockets,
            steerer,
            stoppers,
            stop_streams,
            receivers: threads,
            queue,
            store,
            ledger,
            ready,
            _local: bound.local,
        };
        Ok(Started { pipeline, admin: bound.admin, telemetry, watched, run_id })
    }

    /// The books as they stand now.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Stops along the data path: doors, receivers, queue, writers, disk. Returns the final books.
    ///
    /// # Panics
    /// When a thread has panicked.
    #[must_use]
    pub fn stop(self) -> Books {
        self.ready.store(false, Ordering::Release);
        self.steerer.prepare_to_close(|| {
            for stopper in &self.stoppers {
                warn_if(stopper.wake(), "waking a receiver");
            }
        });
        // All doors before any receiver drains: a sender whose socket is gone would otherwise be moved to another.
        for socket in &self.sockets {
            warn_if(socket.close_door(), "closing the door of a socket");
        }
        for stopper in &self.stoppers {
            warn_if(stopper.stop(), "stopping a receiver");
        }
        self.stop_streams.send_replace(true);
        join_all(self.receivers);
        self.queue.close();
        self.store.join();
        self.ledger.read()
    }
}

/// What each receiver's feed is made from.
struct Feeds<'a> {
    config: &'a Config,
    ledger: &'a Arc<Ledger>,
    queue: &'a BlockSender,
}

impl Feeds<'_> {
    /// Who may send to each listener.
    fn allow_lists(&self) -> Vec<AllowList> {
        let for_all = &self.config.receive.allow;
        self.config.listeners().map(|(_, listen)| AllowList::new(listen.allow.as_deref(), for_all)).collect()
    }

    fn feed(&self, receiver: usize) -> Feed {
        Feed::new(receiver as u32, self.config.store.block_age.get(), Arc::clone(self.ledger), self.queue.clone())
    }
}

/// Every data directory, made and locked.
fn open_volumes(config: &Config, run_id: RunId) -> Result<Volumes, StartError> {
    // Where a full one is left for another, or the oldest segments make room, that is no reason not to start.
    let may_be_full = config.data_dir.paths().len() > 1 || config.store.on_full == OnFull::EvictOldest;
    let probe_bytes = if may_be_full { 0 } else { config.store.block_size.as_usize() };
    let open = |path: &PathBuf| -> Result<Arc<dyn Storage>, StartError> {
        Ok(Arc::new(DataDirectory::open(path, run_id, probe_bytes)?))
    };
    Ok(Volumes::new(config.data_dir.paths().iter().map(open).collect::<Result<_, _>>()?))
}

/// With a sync after each block, the next waits for it.
fn unsynced_bytes(config: &Config) -> usize {
    if config.store.sync == Sync::Block { 1 } else { config.store.unsynced.as_usize() }
}

fn start_udp(
    plan: &Plan,
    bound: &Bound,
    feeds: &Feeds<'_>,
    steerer: &Arc<Steerer>,
    sequences: &Arc<Sequences>,
) -> Result<(Vec<JoinHandle<()>>, Vec<Stopper>), StartError> {
    let (mut threads, mut stoppers) = (Vec::new(), Vec::new());
    let mut load_watch = LoadWatch::new(steerer, feeds.ledger);
    let allow = feeds.allow_lists();
    for (number, cpu) in plan.receiver_cpus().into_iter().enumerate() {
        // The first alone has the one socket of a multicast group.
        let socket_of = |(listener, group): &(u8, Vec<Arc<ReceiveSocket>>)| {
            let (socket, allow) = (Arc::clone(group.get(number)?), allow[usize::from(*listener)].clone());
            Some(UdpSocketOf { listener: *listener, socket, allow })
        };
        let sockets = bound.udp.iter().filter_map(socket_of).collect();
        let (steerer, sequences, feed) = (Arc::clone(steerer), Arc::clone(sequences), feeds.feed(number));
        let receiver = UdpReceiver::new(sockets, feeds.config, sequences, steerer, load_watch.take(), feed);
        let (receiver, stopper) = receiver.map_err(system("a receiver's poll"))?;
        stoppers.push(stopper);
        threads.push(spawn(&format!("rx-{number}"), move || {
            warn_if(thread::pin_to_cpu(cpu), "pinning a receiver to its processor");
            // Where it is not permitted, the writers have stepped back instead.
            let _ = thread::outrank_others();
            receiver.run();
        })?);
    }
    Ok((threads, stoppers))
}

fn start_streams(
    plan: &Plan,
    doors: Vec<(u8, StreamDoor)>,
    feeds: &Feeds<'_>,
    context: &StreamContext,
    tls: Option<&Arc<TlsSettings>>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let allow = feeds.allow_lists();
    let transports: Vec<Transport> = feeds.config.listeners().map(|(url, _)| url.transport).collect();
    let mut listeners: Vec<Vec<StreamListener>> = (0..plan.stream_receivers).map(|_| Vec::new()).collect();
    for (number, door) in doors {
        let at = usize::from(number);
        // One receiver is enough for a machine's own datagrams, and keeps their order.
        let receivers = if matches!(door, StreamDoor::Unixgram(..)) { 1 } else { plan.stream_receivers };
        let tls = tls.filter(|_| transports[at] == Transport::Tls).cloned();
        let listener = StreamListener { number, door, allow: allow[at].clone(), tls };
        for listeners in listeners.iter_mut().take(receivers) {
            listeners.push(listener.try_clone().map_err(system("another handle of a listener"))?);
        }
    }
    let mut threads = Vec::new();
    for (number, listeners) in listeners.into_iter().enumerate() {
        let receiver = StreamReceiver::new(listeners, context.clone(), feeds.feed(plan.udp_receivers + number));
        threads.push(spawn(&format!("stream-{number}"), move || {
            if let Err(error) = receiver.run() {
                panic!("a receiver of streams cannot run: {error}");
            }
        })?);
    }
    Ok(threads)
}

/// What receivers of streams share, and what stops them.
fn stream_context(config: &Config, plan: &Plan, bound: &Bound) -> (StreamContext, watch::Sender<bool>) {
    let sockets: usize = bound.udp.iter().map(|(_, group)| group.len()).sum();
    let threads = plan.udp_receivers + plan.stream_receivers;
    // Each UDP socket has a peer when its door is closed; each thread polls.
    let own_descriptors = 2 * sockets
        + bound.streams.len() * plan.stream_receivers
        + 4 * threads
        + 2 * plan.writers
        + CLOSING_MAX
        + DESCRIPTORS_BESIDE;
    let max = connection_limit(config.stream.max_connections, own_descriptors);
    let (stop_streams, stop) = watch::channel(false);
    let context = StreamContext {
        limits: stream_limits(config, plan.stream_receivers),
        connections: Arc::new(Connections::new(max, config.stream.max_per_source)),
        sequences: Arc::default(),
        receivers: plan.stream_receivers,
        tick: config.receive.tick.get(),
        stop,
    };
    (context, stop_streams)
}

fn stream_limits(config: &Config, receivers: usize) -> StreamLimits {
    let stream = &config.stream;
    StreamLimits {
        message_bytes_max: config.max_message.as_usize(),
        held_bytes_max: stream.memory.as_usize() / receivers.max(1),
        idle_timeout: Some(stream.idle_timeout.get()).filter(|timeout| !timeout.is_zero()),
        message_timeout: stream.message_timeout.get(),
    }
}

/// Drops the privilege to bind, for good, where that is asked for. Before that takes leave for what the receivers' threads need
/// later: real-time priority (getrlimit(2), RLIMIT_RTPRIO).
fn become_user(user: &str) -> Result<(), StartError> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    const RECEIVER_PRIORITY: u64 = 1;
    let refused = |why: String| StartError::User { user: user.to_owned(), why };
    if user.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(refused(
            "only root can become somebody else: start it as root, or as that user without `user`".into(),
        ));
    }
    // Without it receivers cannot outrank writers, which then step back instead.
    let _ = setrlimit(Resource::Rtprio, Rlimit { current: Some(RECEIVER_PRIORITY), maximum: Some(RECEIVER_PRIORITY) });
    logboom_udp::become_user(user).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refused("there is no such user".into()),
        _ => refused(format!("becoming that user failed: {error}")),
    })
}

/// As many connections as configured, or as the process may have files open beside its own: connections must not use up what
/// the next segment needs. Raises the soft limit to the hard one first (getrlimit(2)).
fn connection_limit(configured: usize, own_descriptors: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let Some(files) = getrlimit(Resource::Nofile).current else { return configured };
    let left = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(own_descriptors).max(1);
    if left < configured {
        tracing::warn!(
            "stream.max_connections is {configured}, but the process may open {files} files, {own_descriptors} of which it \
             needs itself: at most {left} connections are taken; raise LimitNOFILE (systemd) or ulimit -n"
        );
    }
    configured.min(left)
}

/// Whether receivers may be real-time threads; tried in a thread that ends at once.
fn may_outrank() -> bool {
    std::thread::spawn(|| thread::outrank_others().is_ok()).join().unwrap_or(false)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(system("starting a thread"))
}

fn join_all(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        let name = thread.thread().name().unwrap_or("unnamed").to_owned();
        assert!(thread.join().is_ok(), "thread {name} has panicked");
    }
}

fn warn_if(result: io::Result<()>, what: &str) {
    if let Err(error) = result {
        tracing::warn!("{what}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_start_on_any_machine() {
        let config = Config::default();
        let blocks = config.queue.memory.as_usize() / Rows::memory_bytes_max(row_limits(&config));
        for cpus in 1..=1024 {
            let threads = Threads::new(&config, cpus, blocks, true, true);
            assert!(threads.blocks_needed() <= blocks, "{cpus} processors: {threads:?}");
            assert!(threads.udp_receivers == cpus.min(blocks / 12) && threads.stream_receivers == threads.writers);
        }
    }

    #[test]
    fn what_is_configured_is_kept() {
        let mut config = Config::default();
        (config.receive.threads, config.store.writers) = (7, 3);
        let threads = Threads::new(&config, 2, 10, true, false);
        assert_eq!(threads, Threads { udp_receivers: 7, stream_receivers: 0, writers: 3 });
    }
}
