//! What a growing file holds so far, and the bytes that seal it.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use crate::column::put_varint;
use crate::index::{BlockEntry, Index, IndexSources, sources_fit};
use crate::limits::{BLOCKS_MAX, LISTENERS_MAX};
use crate::meta::{Loss, LossPlace};
use crate::rows::Source;

/// Collects the index of a segment while its blocks are written.
///
/// Holds at most [`BLOCKS_MAX`] entries of 96 B, and the sources up to
/// [`INDEX_SOURCES_MAX`](crate::limits::INDEX_SOURCES_MAX).
#[derive(Clone, Debug)]
pub struct SegmentBuilder {
    blocks: Vec<BlockEntry>,
    bytes: u64,
    messages: u64,
    sources: Option<IndexSources>,
    source_refs: usize,
    ids_by_source: HashMap<Source, u32, RandomState>,
    listeners: Vec<String>,
    losses: BTreeMap<(LossPlace, u8), u64>,
    rewritten: Option<i8>,
    recovered: bool,
}

impl Default for SegmentBuilder {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            bytes: 0,
            messages: 0,
            sources: Some(IndexSources::default()),
            source_refs: 0,
            ids_by_source: HashMap::default(),
            listeners: Vec::new(),
            losses: BTreeMap::new(),
            rewritten: None,
            recovered: false,
        }
    }
}

impl SegmentBuilder {
    /// An empty segment.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a block that was written at [`SegmentBuilder::bytes`]: its entry (the offset is set here), and the
    /// sources, listeners and losses that its META holds.
    pub fn add(&mut self, entry: BlockEntry, sources: &[Source], listeners: &[String], losses: &[Loss]) {
        self.blocks.push(BlockEntry { offset: self.bytes, ..entry });
        self.bytes += entry.block_bytes() as u64;
        self.messages += u64::from(entry.messages);
        self.source_refs += sources.len();
        let ids = self.listener_ids(listeners);
        for loss in losses {
            let known = ids.as_ref().filter(|_| loss.place == LossPlace::SocketBuffer);
            let detail = known.and_then(|ids| ids.get(usize::from(loss.detail))).unwrap_or(&loss.detail);
            let sum = self.losses.entry((loss.place, *detail)).or_default();
            *sum = sum.saturating_add(loss.messages);
        }
        match ids {
            Some(ids) => self.add_sources(sources, &ids),
            None => self.sources = None,
        }
    }

    /// Numbers of the block's listeners among the segment's; `None` when these would be too many.
    fn listener_ids(&mut self, listeners: &[String]) -> Option<Vec<u8>> {
        let mut ids = Vec::with_capacity(listeners.len());
        for url in listeners {
            let known = self.listeners.iter().position(|known| known == url);
            if known.is_none() {
                self.listeners.push(url.clone());
            }
            let id = known.unwrap_or(self.listeners.len() - 1);
            if id >= LISTENERS_MAX {
                self.listeners.truncate(LISTENERS_MAX);
                return None;
            }
            ids.push(id as u8);
        }
        Some(ids)
    }

    fn add_sources(&mut self, sources: &[Source], listener_ids: &[u8]) {
        let Some(index) = &mut self.sources else { return };
        put_varint(&mut index.by_block, sources.len() as u64);
        for source in sources {
            let listener = listener_ids.get(usize::from(source.listener)).copied().unwrap_or_default();
            let source = Source { listener, ..*source };
            let id = *self.ids_by_source.entry(source).or_insert_with(|| {
                index.all.push(source);
                index.all.len() as u32 - 1
            });
            put_varint(&mut index.by_block, u64::from(id));
        }
        if !sources_fit(index.all.len(), self.source_refs) {
            self.sources = None;
            self.ids_by_source = HashMap::default();
        }
    }

    /// A segment that is written anew from another at `level` of zstd; `recovered` as that is.
    pub(crate) fn rewritten(level: i8, recovered: bool) -> Self {
        Self { rewritten: Some(level), recovered, ..Self::default() }
    }

    /// Notes that it is sealed by a later run: its blocks may stand in another file as well.
    pub(crate) fn set_recovered(&mut self) {
        self.recovered = true;
    }

    /// Passes over damaged bytes, behind which the next block stands.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Where the next block goes, bytes from the start of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The blocks so far, in file order.
    #[must_use]
    pub fn blocks(&self) -> &[BlockEntry] {
        &self.blocks
    }

    /// Messages in all blocks.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether the segment holds as many blocks as the format allows.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.blocks.len() >= BLOCKS_MAX
    }

    /// The index and seek table to write at [`SegmentBuilder::bytes`].
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn seal(self) -> std::io::Result<Vec<u8>> {
        let (mut out, offset) = (Vec::new(), self.bytes);
        self.into_index().put(offset, &mut out)?;
        Ok(out)
    }

    pub(crate) fn into_index(self) -> Index {
        let losses = self.losses.into_iter().map(|((place, detail), messages)| Loss { place, detail, messages });
        Index {
            blocks: self.blocks,
            sources: self.sources,
            listeners: self.listeners,
            losses: losses.collect(),
            rewritten: self.rewritten,
            recovered: self.recovered,
        }
    }
}
