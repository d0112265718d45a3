//! How hard the next block is compressed. Compression yields before messages are lost: while blocks pile up, DATA is
//! stored as it is, as long as the disk takes the larger blocks faster than they could be compressed.

use std::time::Duration;

use logboom_segment::Compression;

/// What blocks have cost lately; durations on the wall, so that a processor shared with receivers counts as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs {
    /// Blocks that were compressed: time for a byte of content, ns.
    compress_ns: Recent,
    /// Bytes in the file for a byte of content of these.
    compressed_share: Recent,
    /// Blocks written: time for a byte in the file, ns.
    write_ns: Recent,
}

/// A mean in which each value weighs an eighth of all up to it: one block that lost the processor is not the rule.
#[derive(Clone, Copy, Debug, Default)]
struct Recent(Option<f64>);

impl Recent {
    fn note(&mut self, amount: f64, each: usize) {
        if each > 0 {
            let value = amount / each as f64;
            self.0 = Some(self.0.map_or(value, |mean| mean + (value - mean) / 8.0));
        }
    }
}

impl Costs {
    /// Notes a block of `content_bytes` that took `took` to encode to `encoded_bytes`.
    pub(crate) fn note_compressed(&mut self, content_bytes: usize, encoded_bytes: usize, took: Duration) {
        self.compress_ns.note(took.as_nanos() as f64, content_bytes);
        self.compressed_share.note(encoded_bytes as f64, content_bytes);
    }

    /// Notes that `encoded_bytes` took `took` to write.
    pub(crate) fn note_written(&mut self, encoded_bytes: usize, took: Duration) {
        self.write_ns.note(took.as_nanos() as f64, encoded_bytes);
    }

    /// Whether blocks leave faster when they are not compressed.
    fn plain_is_faster(&self) -> bool {
        match (self.compress_ns.0, self.compressed_share.0, self.write_ns.0) {
            (Some(compress_ns), Some(share), Some(write_ns)) => write_ns < compress_ns + write_ns * share,
            _ => false,
        }
    }
}

/// The memory that blocks wait in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    /// Blocks of the pool that are free, and in all.
    pub(crate) free_blocks: usize,
    pub(crate) blocks: usize,
    /// Bytes that are written and not synced, and how many may be.
    pub(crate) unsynced_bytes: usize,
    pub(crate) unsynced_bytes_max: usize,
}

/// Full effort unless more than half of the pool waits, the disk keeps up with syncing, and plain blocks leave faster.
pub(crate) fn compression(pressure: Pressure, costs: Costs) -> Compression {
    let waits = pressure.free_blocks < pressure.blocks / 2;
    let disk_keeps_up = pressure.unsynced_bytes <= pressure.unsynced_bytes_max / 4 * 3;
    if waits && disk_keeps_up && costs.plain_is_faster() { Compression::None } else { Compression::Level }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING: Pressure = Pressure { free_blocks: 49, blocks: 100, unsynced_bytes: 10, unsynced_bytes_max: 100 };

    fn costs(compress_us: u64, write_us: u64) -> Costs {
        let mut costs = Costs::default();
        costs.note_compressed(1_000_000, 200_000, Duration::from_micros(compress_us));
        costs.note_written(200_000, Duration::from_micros(write_us));
        costs
    }

    #[test]
    fn compression_yields_only_while_blocks_wait() {
        let fast_disk = costs(3000, 50);
        assert_eq!(compression(WAITING, fast_disk), Compression::None);
        assert_eq!(compression(Pressure { free_blocks: 50, ..WAITING }, fast_disk), Compression::Level);
    }

    #[test]
    fn a_slow_disk_gets_compressed_blocks() {
        // 5 us a byte in the file, 1 us saved by not compressing: plain blocks would take longer.
        assert_eq!(compression(WAITING, costs(3000, 1000)), Compression::Level);
        assert_eq!(compression(Pressure { unsynced_bytes: 80, ..WAITING }, costs(3000, 50)), Compression::Level);
    }

    #[test]
    fn nothing_known_yet_is_full_effort() {
        assert_eq!(compression(WAITING, Costs::default()), Compression::Level);
    }
}
