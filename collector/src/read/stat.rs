//! What is stored, in numbers, from indexes alone.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use logboom_segment::{BlockRef, Decoder, Direction, LossPlace, Rows, Segment, in_order, read_block};
use serde::Serialize;

use super::ReadError;
use super::find::{Found, run_of};
use super::print::timestamp;

/// The numbers.
#[derive(Debug, Default, Serialize)]
pub struct Stat {
    /// Segment files.
    pub segments: u64,
    /// Blocks in them.
    pub blocks: u64,
    /// Messages in these.
    pub messages: u64,
    /// Text of the messages, bytes, line ends included.
    pub raw_bytes: u64,
    /// Files, bytes.
    pub stored_bytes: u64,
    /// Text by file bytes.
    pub ratio: f64,
    /// Earliest receive time.
    pub first_received: Option<String>,
    /// Latest receive time.
    pub last_received: Option<String>,
    /// Distinct addresses of senders.
    pub sources: u64,
    /// Messages lost while these segments were written, by place.
    pub lost: BTreeMap<&'static str, u64>,
}

/// Sums up segments.
///
/// # Errors
/// Want of memory.
pub fn stat(found: &mut [Found]) -> Result<Stat, ReadError> {
    let mut stat = Stat { lost: LossPlace::ALL.map(|place| (place.name(), 0)).into(), ..Stat::default() };
    let (mut first_ns, mut last_ns) = (u64::MAX, 0);
    let mut addresses = HashSet::new();
    let blocks =
        found.iter().flat_map(|found| &found.segment.blocks).map(|entry| BlockRef { segment: 0, entry: *entry });
    for BlockRef { entry, .. } in in_order(blocks.collect(), Direction::Forward) {
        stat.messages += u64::from(entry.messages);
        stat.raw_bytes += u64::from(entry.content_bytes);
        if entry.messages == 0 {
            continue;
        }
        first_ns = first_ns.min(entry.received_min_ns);
        last_ns = last_ns.max(entry.received_max_ns);
    }
    for found in found {
        let segment = &found.segment;
        stat.segments += 1;
        stat.stored_bytes += found.bytes;
        stat.blocks += segment.blocks.len() as u64;
        for loss in &segment.losses {
            let lost = stat.lost.entry(loss.place.name()).or_default();
            *lost = lost.saturating_add(loss.messages);
        }
        match &segment.sources {
            Some(sources) => addresses.extend(sources.iter().filter_map(|source| source.address)),
            None => add_addresses_of_blocks(found, &mut addresses)?,
        }
    }
    stat.sources = addresses.len() as u64;
    stat.ratio = if stat.stored_bytes == 0 { 0.0 } else { stat.raw_bytes as f64 / stat.stored_bytes as f64 };
    if stat.messages > 0 {
        stat.first_received = Some(timestamp(first_ns).to_string());
        stat.last_received = Some(timestamp(last_ns).to_string());
    }
    Ok(stat)
}

/// The index left the sources out; each block still names its own.
fn add_addresses_of_blocks(found: &mut Found, addresses: &mut HashSet<IpAddr>) -> Result<(), ReadError> {
    let Ok(file) = found.reopen() else { return Ok(()) };
    let mut decoder = Decoder::new().map_err(ReadError::Zstd)?;
    let (mut bytes, mut rows) = (Vec::new(), Rows::for_decoding());
    // The file may have been written anew since it was found.
    let Ok(segment) = Segment::open_of(&file, run_of(&found.path), &mut decoder) else { return Ok(()) };
    for block in &segment.blocks {
        let decoded = read_block(&file, block, &mut bytes).and_then(|()| decoder.decode(&bytes, &mut rows));
        if decoded.is_ok() {
            addresses.extend(rows.sources().iter().filter_map(|source| source.address));
        }
    }
    Ok(())
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".into());
        writeln!(f, "segments        {}", self.segments)?;
        writeln!(f, "blocks          {}", self.blocks)?;
        writeln!(f, "messages        {}", self.messages)?;
        writeln!(f, "raw bytes       {}", self.raw_bytes)?;
        writeln!(f, "stored bytes    {}", self.stored_bytes)?;
        writeln!(f, "ratio           {:.2}", self.ratio)?;
        writeln!(f, "first received  {}", received(&self.first_received))?;
        writeln!(f, "last received   {}", received(&self.last_received))?;
        writeln!(f, "sources         {}", self.sources)?;
        let lost: u64 = self.lost.values().sum();
        write!(f, "lost            {lost}")?;
        for (place, messages) in self.lost.iter().filter(|(_, messages)| **messages > 0) {
            write!(f, "  {place} {messages}")?;
        }
        Ok(())
    }
}
