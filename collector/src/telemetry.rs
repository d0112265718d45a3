//! The closed list of metrics. Counters are the ledger's own, copied when somebody asks, so that a metric and the ledger
//! never disagree and receiving costs nothing more; only durations are recorded as they happen.
//!
//! Every metric is there from the start, at zero: a first drop that appears out of nothing is one that `increase()` in
//! Prometheus does not see.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logboom_segment::LossPlace;
use logboom_syslog::Severity;
use metrics::{Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::config::{ListenUrl, Transport};
use crate::ledger::{Ledger, ListenerCounts, WriterCounts};
use crate::queue::BlockSender;
use crate::receive::connections::{Closed, Connections};
use crate::receive::sequence::Sequences;
use crate::receive::steering::{Mode, Steerer};
use crate::receive::tls::TlsSettings;
use crate::store::StoreState;
use crate::store::retention::Reason;

/// Name and meaning of every metric, in the order of the data path.
pub const METRICS: [(&str, &str); 48] = [
    ("logboom_build_info", "Always 1; the label tells the version."),
    ("logboom_received_datagrams_total", "Datagrams taken from the sockets of a listener."),
    ("logboom_received_messages_total", "Messages taken from a listener, whatever became of them."),
    ("logboom_received_bytes_total", "Bytes of these messages, as kept."),
    ("logboom_truncated_messages_total", "Messages longer than max_message, of which only the first bytes are kept."),
    ("logboom_receive_steering", "1 for what decides which receiver gets a datagram."),
    ("logboom_receive_calls_total", "Receive system calls that brought something."),
    ("logboom_socket_dropped_datagrams_total", "Datagrams that the kernel dropped at one socket, whatever the cause."),
    ("logboom_socket_buffer_bytes", "Receive buffer of one socket, in the kernel's own count (twice what was asked)."),
    ("logboom_socket_buffer_used_bytes", "Part of it that is in use."),
    ("logboom_ledger_exact", "1 where the kernel counts every datagram that it drops, 0 with receive.gro."),
    ("logboom_lost_messages_total", "Messages lost at each place of the ledger."),
    ("logboom_shed_messages_total", "Messages dropped on purpose under overload, by severity."),
    ("logboom_in_flight_messages", "Messages received and not yet on disk."),
    ("logboom_tcp_connections", "Stream connections open now."),
    ("logboom_tcp_accepted_connections_total", "Stream connections accepted."),
    ("logboom_tcp_closed_connections_total", "Stream connections that were turned away or closed, by reason."),
    (
        "logboom_tls_waiting_handshakes",
        "Connections that wait for their turn to begin TLS (tls.handshakes_per_second).",
    ),
    (
        "logboom_upstream_missing_messages",
        "Messages that senders have numbered and that never came (RFC 5424 sequenceId).",
    ),
    ("logboom_config_reloads_total", "Times at which the files of [tls] were read again, by result."),
    ("logboom_backpressure_seconds_total", "Time in which streams were not read because the pool was used up."),
    ("logboom_queue_blocks", "Blocks that wait for a writer."),
    ("logboom_pool_blocks", "Blocks of the pool in all."),
    ("logboom_pool_free_blocks", "Blocks of the pool that nobody holds."),
    ("logboom_stored_messages_total", "Messages in blocks on disk."),
    ("logboom_stored_blocks_total", "Blocks on disk."),
    ("logboom_stored_plain_blocks_total", "Of these, blocks not compressed because too many others waited."),
    ("logboom_raw_bytes_total", "Text of these messages, line ends included."),
    ("logboom_stored_bytes_total", "Bytes written for them."),
    ("logboom_write_seconds", "Time that the write of one block took."),
    ("logboom_sync_seconds", "Time that one sync to disk took."),
    ("logboom_unsynced_seconds", "Age of the oldest message that is written but not synced."),
    ("logboom_unsynced_bytes", "Written blocks that are kept in memory until they are synced."),
    ("logboom_segments", "Segment files in each data directory."),
    ("logboom_data_dir_used_bytes", "Bytes of these files."),
    ("logboom_data_dir_free_bytes", "Bytes free for us in the data directory's file system."),
    ("logboom_data_dirs_failing", "Data directories that failed when they were last written to."),
    ("logboom_recovered_segments_total", "Segments sealed at start that a dead collector had left open."),
    ("logboom_recovered_torn_bytes_total", "Bytes at their ends that were no whole block; kept in .torn files."),
    ("logboom_recovered_damaged_ranges_total", "Damaged ranges in the middle of them."),
    ("logboom_retention_deleted_segments_total", "Segments deleted, by reason."),
    ("logboom_rewrite_waiting_segments", "Sealed segments that wait to be written anew."),
    ("logboom_rewrite_waiting_bytes", "Bytes of these."),
    ("logboom_rewritten_segments_total", "Segments written anew."),
    ("logboom_rewrite_skipped_segments_total", "Segments left as they are because too many waited."),
    ("logboom_rewrite_saved_bytes_total", "Bytes that segments became smaller."),
    ("logboom_worker_cpu_seconds_total", "Processor time of each of our threads."),
    ("logboom_ready", "1 while messages are taken."),
];

/// Bounds of the histograms' buckets: from a warm write of one block to a stall that receivers would notice.
const BUCKETS_SECONDS: [f64; 12] = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

/// What the store records as it happens.
#[derive(Clone)]
pub struct StoreTimes {
    /// Time that the write of one block took.
    pub write_seconds: Histogram,
    /// Time that one sync took.
    pub sync_seconds: Histogram,
}

/// What the metrics are made from.
pub struct Watched {
    /// The counts.
    pub ledger: Arc<Ledger>,
    /// Where messages go.
    pub store: StoreState,
    /// What decides which receiver gets a datagram.
    pub steerer: Arc<Steerer>,
    /// The listeners, by number.
    pub listeners: Vec<ListenUrl>,
    /// The queue between receivers and writers.
    pub queue: BlockSender,
    /// The stream connections.
    pub connections: Arc<Connections>,
    /// The numbers that senders give their messages.
    pub sequences: Arc<Sequences>,
    /// What TLS handshakes are made with.
    pub tls: Option<Arc<TlsSettings>>,
    /// Whether messages are taken.
    pub ready: Arc<std::sync::atomic::AtomicBool>,
}

/// Records and renders the metrics.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    store_times: StoreTimes,
}

impl Telemetry {
    /// A recorder of its own, apart from any other in the process.
    #[must_use]
    pub fn start() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_SECONDS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let store_times = metrics::with_local_recorder(&recorder, || {
            describe();
            StoreTimes {
                write_seconds: histogram!("logboom_write_seconds"),
                sync_seconds: histogram!("logboom_sync_seconds"),
            }
        });
        Self { recorder, handle, store_times }
    }

    /// What the store records to.
    #[must_use]
    pub fn store_times(&self) -> StoreTimes {
        self.store_times.clone()
    }

    /// Lets the recorder tidy up its histograms; to be called every few seconds.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The metrics as they stand now, in Prometheus' text format.
    #[must_use]
    pub fn render(&self, watched: &Watched) -> String {
        metrics::with_local_recorder(&self.recorder, || self.copy(watched));
        let mut text = self.handle.render();
        put_seconds_counters(&mut text, watched);
        text
    }

    fn copy(&self, watched: &Watched) {
        gauge!("logboom_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("logboom_ready").set(f64::from(u8::from(watched.ready.load(Ordering::Acquire))));
        copy_receiving(watched);
        for mode in Mode::ALL {
            set(&gauge!("logboom_receive_steering", "mode" => mode.name()), u64::from(mode == watched.steerer.mode()));
        }
        copy_sockets(&watched.ledger);
        copy_losses(&watched.ledger);
        counter!("logboom_tcp_accepted_connections_total").absolute(watched.connections.accepted());
        for reason in Closed::ALL {
            let closed = counter!("logboom_tcp_closed_connections_total", "reason" => reason.name());
            closed.absolute(watched.connections.closed(reason));
        }
        set(&gauge!("logboom_tls_waiting_handshakes"), watched.connections.waiting_handshakes() as u64);
        set(&gauge!("logboom_upstream_missing_messages"), watched.sequences.missing());
        let reloads = watched.tls.as_ref().map_or((0, 0), |tls| (tls.reloaded.get(), tls.reload_failed.get()));
        counter!("logboom_config_reloads_total", "result" => "ok").absolute(reloads.0);
        counter!("logboom_config_reloads_total", "result" => "failed").absolute(reloads.1);
        set(&gauge!("logboom_tcp_connections"), watched.connections.open() as u64);
        set(&gauge!("logboom_queue_blocks"), watched.queue.len() as u64);
        let pool = &watched.ledger.pool;
        set(&gauge!("logboom_pool_blocks"), pool.blocks() as u64);
        set(&gauge!("logboom_pool_free_blocks"), pool.free() as u64);
        copy_storing(&watched.ledger);
        copy_store_state(&watched.store);
        for directory in watched.store.uses.get() {
            let labels = [("data_dir", directory.path)];
            set(&gauge!("logboom_segments", &labels), directory.segments);
            set(&gauge!("logboom_data_dir_used_bytes", &labels), directory.used_bytes);
            set(&gauge!("logboom_data_dir_free_bytes", &labels), directory.free_bytes);
        }
    }
}

fn copy_store_state(store: &StoreState) {
    set(&gauge!("logboom_unsynced_bytes"), store.unsynced.bytes() as u64);
    gauge!("logboom_unsynced_seconds").set(store.unsynced.age().as_secs_f64());
    set(&gauge!("logboom_data_dirs_failing"), store.volumes.failing() as u64);
    let recovered = store.recovered();
    counter!("logboom_recovered_segments_total").absolute(recovered.segments);
    counter!("logboom_recovered_torn_bytes_total").absolute(recovered.torn_bytes);
    counter!("logboom_recovered_damaged_ranges_total").absolute(recovered.damaged);
    for reason in Reason::ALL {
        let deleted = counter!("logboom_retention_deleted_segments_total", "reason" => reason.name());
        deleted.absolute(store.retention.get(reason));
    }
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    set(&gauge!("logboom_rewrite_waiting_segments"), count(&store.rewrite.waiting));
    set(&gauge!("logboom_rewrite_waiting_bytes"), count(&store.rewrite.waiting_bytes));
    counter!("logboom_rewritten_segments_total").absolute(count(&store.rewrite.rewritten));
    counter!("logboom_rewrite_skipped_segments_total").absolute(count(&store.rewrite.skipped));
    counter!("logboom_rewrite_saved_bytes_total").absolute(count(&store.rewrite.saved_bytes));
}

fn copy_receiving(watched: &Watched) {
    let receivers = &watched.ledger.receivers;
    for (number, listener) in watched.listeners.iter().enumerate() {
        let sum = |count: &dyn Fn(&ListenerCounts) -> u64| receivers.iter().map(|r| count(&r.listeners[number])).sum();
        let messages: u64 = sum(&|counts| counts.messages.get());
        let url = listener.to_string();
        let transport = listener.transport.name();
        if listener.transport == Transport::Udp {
            counter!("logboom_received_datagrams_total", "listener" => url.clone()).absolute(messages);
        }
        let labels = [("listener", url.clone()), ("transport", transport.to_owned())];
        counter!("logboom_received_messages_total", &labels).absolute(messages);
        counter!("logboom_received_bytes_total", &labels).absolute(sum(&|counts| counts.bytes.get()));
        counter!("logboom_truncated_messages_total", &labels).absolute(sum(&|counts| counts.truncated.get()));
    }
    counter!("logboom_receive_calls_total").absolute(receivers.iter().map(|r| r.calls.get()).sum());
}

fn copy_sockets(ledger: &Ledger) {
    for (number, (_, socket)) in ledger.sockets.iter().enumerate() {
        let labels = [("listener", format!("udp://{}", socket.address())), ("socket", number.to_string())];
        counter!("logboom_socket_dropped_datagrams_total", &labels).absolute(socket.dropped().unwrap_or_default());
        if let Ok(buffer) = socket.buffer_use() {
            set(&gauge!("logboom_socket_buffer_bytes", &labels), u64::from(buffer.limit_bytes));
            set(&gauge!("logboom_socket_buffer_used_bytes", &labels), u64::from(buffer.used_bytes));
        }
    }
}

fn copy_losses(ledger: &Ledger) {
    let books = ledger.read();
    for place in LossPlace::ALL {
        counter!("logboom_lost_messages_total", "place" => place.name()).absolute(books.lost_at(place));
    }
    for severity in Severity::ALL {
        let shed = books.shed_by_severity[severity as usize];
        counter!("logboom_shed_messages_total", "severity" => severity.keyword()).absolute(shed);
    }
    set(&gauge!("logboom_in_flight_messages"), books.in_flight);
    set(&gauge!("logboom_ledger_exact"), u64::from(books.exact));
}

fn copy_storing(ledger: &Ledger) {
    let sum = |count: &dyn Fn(&WriterCounts) -> u64| ledger.writers.iter().map(|writer| count(writer)).sum();
    counter!("logboom_stored_messages_total").absolute(sum(&|counts| counts.stored.get()));
    counter!("logboom_stored_blocks_total").absolute(sum(&|counts| counts.blocks.get()));
    counter!("logboom_stored_plain_blocks_total").absolute(sum(&|counts| counts.plain_blocks.get()));
    counter!("logboom_raw_bytes_total").absolute(sum(&|counts| counts.raw_bytes.get()));
    counter!("logboom_stored_bytes_total").absolute(sum(&|counts| counts.stored_bytes.get()));
}

fn set(gauge: &Gauge, value: u64) {
    gauge.set(value as f64);
}

fn describe() {
    for (name, meaning) in METRICS {
        match name {
            _ if name.ends_with("_total") => metrics::describe_counter!(name, meaning),
            "logboom_write_seconds" | "logboom_sync_seconds" => metrics::describe_histogram!(name, meaning),
            _ => metrics::describe_gauge!(name, meaning),
        }
    }
}

/// Counters of seconds: the exporter's are whole numbers.
fn put_seconds_counters(text: &mut String, watched: &Watched) {
    let waited_ns: u64 = watched.ledger.receivers.iter().map(|receiver| receiver.backpressure_ns.get()).sum();
    let mut put = |name: &str, samples: &[(String, f64)]| {
        let meaning = METRICS.iter().find(|(known, _)| *known == name).map_or("", |(_, meaning)| meaning);
        let _ = write!(text, "# HELP {name} {meaning}\n# TYPE {name} counter\n");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
        text.push('\n');
    };
    put("logboom_backpressure_seconds_total", &[(String::new(), waited_ns as f64 / 1e9)]);
    put("logboom_worker_cpu_seconds_total", &thread_cpu_seconds());
}

/// Processor time of our named threads, by label: schedstat's first field (Documentation/scheduler/sched-stats.rst), ns.
fn thread_cpu_seconds() -> Vec<(String, f64)> {
    const OURS: [&str; 6] = ["rx-", "stream-", "wr-", "sync", "retention", "rewrite"];
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut threads = Vec::new();
    for task in tasks.flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let name = read("comm").trim().to_owned();
        let on_cpu_ns = read("schedstat").split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        if let Some(on_cpu_ns) = on_cpu_ns.filter(|_| OURS.iter().any(|ours| name.starts_with(ours))) {
            threads.push((format!("{{thread=\"{name}\"}}"), on_cpu_ns as f64 / 1e9));
        }
    }
    threads.sort_by(|a, b| a.0.cmp(&b.0));
    threads
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::block::BlockPool;
    use crate::config::{Config, Receive};
    use crate::queue::block_queue;
    use crate::store::directory::DataDirectory;
    use crate::store::storage::Storage;
    use crate::store::volumes::Volumes;
    use logboom_segment::{RowLimits, Rows, RunId};

    #[test]
    fn every_metric_of_the_list_is_there_from_the_start_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(DataDirectory::open(directory.path(), RunId(1), 0).unwrap());
        let limits = RowLimits { content_bytes: 100, rows: 10, sources: 4 };
        let pool = Arc::new(BlockPool::new(4 * Rows::memory_bytes_max(limits), 0.0, limits));
        let socket = logboom_udp::bind_group("127.0.0.1:0".parse().unwrap(), 1, 65_536, false).unwrap().remove(0);
        let socket = Arc::new(socket);
        let group = vec![(0, vec![Arc::clone(&socket)])];
        let watched = Watched {
            ledger: Arc::new(Ledger::new(1, 1, 1, vec![(0, socket)], pool, true)),
            store: StoreState::new(Volumes::new(vec![storage]), 1 << 20),
            steerer: Arc::new(Steerer::new(group, &Receive::default(), &[0]).unwrap()),
            listeners: Config::default().listeners().map(|(url, _)| url).take(1).collect(),
            queue: block_queue(4, 1).0,
            connections: Arc::new(Connections::new(1, 1)),
            sequences: Arc::default(),
            tls: None,
            ready: Arc::new(AtomicBool::new(true)),
        };
        let telemetry = Telemetry::start();
        let times = telemetry.store_times();
        times.write_seconds.record(0.001);
        times.sync_seconds.record(0.001);
        let text = telemetry.render(&watched);
        let typed: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(typed, METRICS.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), "{text}");
        assert!(text.contains("logboom_lost_messages_total{place=\"socket_buffer\"} 0"), "{text}");
        assert!(text.contains("logboom_shed_messages_total{severity=\"debug\"} 0"), "{text}");
        assert!(text.lines().filter(|line| line.starts_with("# HELP ")).count() == METRICS.len(), "{text}");
    }
}
