//! The bare sink's file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::{Take, Taken};

/// Text that is compressed at a time, as in the collector.
const BUFFER_BYTES: usize = 1 << 20;

pub(super) struct Bare {
    file: File,
    buffer: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
    bytes: u64,
}

impl Bare {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let mut compressor = zstd::bulk::Compressor::new(1)?;
        compressor.include_contentsize(true)?;
        compressor.include_checksum(true)?;
        let compressed = Vec::with_capacity(zstd::zstd_safe::compress_bound(BUFFER_BYTES));
        Ok(Self { file, buffer: Vec::with_capacity(BUFFER_BYTES), compressor, compressed, bytes: 0 })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.compressed.clear();
        self.compressor.compress_to_buffer(&self.buffer, &mut self.compressed)?;
        self.file.write_all(&self.compressed)?;
        self.bytes += self.compressed.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Take for Bare {
    #[inline]
    fn take(&mut self, message: &[u8]) -> io::Result<()> {
        if self.buffer.len() + message.len() + 1 > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(message);
        self.buffer.push(b'\n');
        Ok(())
    }

    fn finish(mut self, taken: &mut Taken) -> io::Result<()> {
        self.flush()?;
        taken.stored_bytes = self.bytes;
        Ok(())
    }
}
