//! The data path put together: threads started against it, and stopped along it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use logboom_segment::{RowLimits, Rows, RunId};
use logboom_udp::{ReceiveSocket, thread};
use tokio::sync::watch;

use crate::bind::{BindError, Bound};
use crate::block::{BlockPool, ROWS_PER_BLOCK_MAX, SOURCES_PER_BLOCK_MAX};
use crate::config::{Config, Size};
use crate::ledger::{Books, Connections, Ledger};
use crate::queue::{BlockReceiver, BlockSender, block_queue};
use crate::receive::Feed;
use crate::receive::steering::{LoadWatch, Steerer};
use crate::receive::stream::StreamReceiver;
use crate::receive::udp::{Stopper, UdpReceiver};
use crate::store::directory::{DataDirectory, DirectoryError};
use crate::store::sync::Syncer;
use crate::store::writer::{Writer, WriterContext};
use crate::telemetry::{Telemetry, Watched};

/// Niceness of writers where receivers may not be real-time threads: at equal priority on one processor, writers cost
/// 2.7 % of the datagrams at 870,000 a second (`docs/decisions/0001`).
const WRITER_NICE: i32 = 10;

/// Why a collector did not start; nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
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
    writers: Vec<JoinHandle<()>>,
    syncer: JoinHandle<()>,
    ledger: Arc<Ledger>,
    ready: Arc<AtomicBool>,
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
        use crate::config::Transport::{Tcp, Udp};
        let cpus = thread::allowed_cpus().map_err(system("reading the processors this process may use"))?;
        let or_each_cpu = |configured: usize| if configured == 0 { cpus.len() } else { configured };
        let if_listening = |transport, receivers| {
            let listening = config.listen.iter().any(|url| url.transport == transport);
            if listening { receivers } else { 0 }
        };
        let receivers = or_each_cpu(config.receive.threads);
        let (udp_receivers, stream_receivers) = (if_listening(Udp, receivers), if_listening(Tcp, receivers));
        let writers = or_each_cpu(config.store.writers);
        let limits = row_limits(config);
        let pool = BlockPool::new(config.queue.memory.as_usize(), config.queue.reserve, limits);
        // Each receiver fills one while the next waits, each writer empties one, above a reserve of half at most.
        let threads = udp_receivers + stream_receivers + writers;
        let needed = 4 * threads;
        if pool.blocks() < needed {
            let enough = Size::mib((needed * Rows::memory_bytes_max(limits)).div_ceil(1 << 20) as u64);
            let (memory, blocks) = (config.queue.memory, pool.blocks());
            return Err(StartError::PoolTooSmall { memory, blocks, threads, needed, enough });
        }
        Ok(Self { cpus, udp_receivers, stream_receivers, writers, pool: Arc::new(pool) })
    }

    /// The processor of each receiver of datagrams.
    fn receiver_cpus(&self) -> Vec<usize> {
        self.cpus.iter().copied().cycle().take(self.udp_receivers).collect()
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
        let bound = Bound::bind(config, plan.udp_receivers)?;
        if let Some(warning) = bound.receive_buffer_warning(config.receive.buffer) {
            tracing::warn!("{warning}");
        }
        let directory = Arc::new(DataDirectory::open(&config.data_dir, config.store.block_size.as_usize())?);
        let run_id = getrandom::u64().map(RunId).map_err(|error| system("a random run id")(error.into()))?;

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

        let (syncer, sync) = Syncer::new(Arc::clone(&directory), config.store.sync.get(), telemetry.store_times());
        let context = WriterContext {
            directory,
            run_id,
            listeners: bound.listeners.iter().map(ToString::to_string).collect(),
            ledger: Arc::clone(&ledger),
            sync,
            times: telemetry.store_times(),
        };
        let writers = start_writers(config, queue_ends, &context)?;
        drop(context); // Its sender keeps the sync thread alive.
        let syncer = spawn("sync", || syncer.run())?;

        let connections = Arc::new(Connections::new(config.stream.max_connections));
        let (stop_streams, stopped) = watch::channel(false);
        let feeds = Feeds { config, ledger: &ledger, queue: &queue };
        let steerer = Steerer::new(bound.udp.clone(), &config.receive, &plan.receiver_cpus());
        let steerer = Arc::new(steerer.map_err(system("time stamps of datagrams (SO_TIMESTAMPNS)"))?);
        let (mut threads, stoppers) = start_udp(&plan, &bound, &feeds, &steerer)?;
        threads.extend(start_streams(&plan, &bound, &feeds, &connections, &stopped)?);

        let ready = Arc::new(AtomicBool::new(true));
        let watched = Watched {
            ledger: Arc::clone(&ledger),
            steerer: Arc::clone(&steerer),
            listeners: bound.listeners,
            queue: queue.clone(),
            connections,
            data_dir: config.data_dir.clone(),
            ready: Arc::clone(&ready),
        };
        let pipeline = Self {
            sockets: all_sockets,
            steerer,
            stoppers,
            stop_streams,
            receivers: threads,
            queue,
            writers,
            syncer,
            ledger,
            ready,
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
        join_all(self.writers);
        join_all(vec![self.syncer]);
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
    fn feed(&self, receiver: usize) -> Feed {
        Feed::new(receiver as u32, self.config.store.block_age.get(), Arc::clone(self.ledger), self.queue.clone())
    }
}

fn start_writers(
    config: &Config,
    queue_ends: Vec<BlockReceiver>,
    context: &WriterContext,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let steps_back = !may_outrank();
    let mut writers = Vec::new();
    for (number, end) in queue_ends.into_iter().enumerate() {
        let writer = Writer::new(number, end, &config.store, context.clone()).map_err(system("a zstd encoder"))?;
        writers.push(spawn(&format!("wr-{number}"), move || {
            if steps_back {
                warn_if(thread::set_nice(WRITER_NICE), "lowering the priority of a writer");
            }
            writer.run();
        })?);
    }
    Ok(writers)
}

fn start_udp(
    plan: &Plan,
    bound: &Bound,
    feeds: &Feeds<'_>,
    steerer: &Arc<Steerer>,
) -> Result<(Vec<JoinHandle<()>>, Vec<Stopper>), StartError> {
    let (mut threads, mut stoppers) = (Vec::new(), Vec::new());
    let mut load_watch = LoadWatch::new(steerer, feeds.ledger);
    for (number, cpu) in plan.receiver_cpus().into_iter().enumerate() {
        let sockets = bound.udp.iter().map(|(listener, group)| (*listener, Arc::clone(&group[number]))).collect();
        let feed = feeds.feed(number);
        let receiver = UdpReceiver::new(sockets, feeds.config, Arc::clone(steerer), load_watch.take(), feed);
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
    bound: &Bound,
    feeds: &Feeds<'_>,
    connections: &Arc<Connections>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut threads = Vec::new();
    for number in 0..plan.stream_receivers {
        let mut listeners = Vec::new();
        for (listener, socket) in &bound.tcp {
            listeners.push((*listener, socket.try_clone().map_err(system("another handle of a listener"))?));
        }
        let receiver = StreamReceiver::new(
            listeners,
            feeds.config.max_message.as_usize(),
            Arc::clone(connections),
            feeds.feed(plan.udp_receivers + number),
            stopped.clone(),
        );
        threads.push(spawn(&format!("stream-{number}"), move || {
            if let Err(error) = receiver.run() {
                panic!("a receiver of streams cannot run: {error}");
            }
        })?);
    }
    Ok(threads)
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
