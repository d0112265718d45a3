//! Finding the end of a frame without decoding it, and reading at a position.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::column::Fields;
use crate::error::FormatError;
use crate::limits::{CONTENT_BYTES_MAX, DATA_BYTES_MAX, META_BYTES_MAX};

/// Magic of a zstd frame (RFC 8878 section 3.1.1).
pub(crate) const ZSTD_MAGIC: u32 = 0xFD2F_B528;

/// Magic of META and index frames: one of the sixteen skippable ones (RFC 8878 section 3.1.2). Not 0x184D2A50, which
/// pzstd takes for its own size hint, nor ..5E, which marks a seek table.
pub(crate) const META_MAGIC: u32 = 0x184D_2A5B;

/// Magic of the seekable format's table (zstd's `contrib/seekable_format/zstd_seekable_compression_format.md`).
pub(crate) const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;

/// Longest frame header (RFC 8878 section 3.1.1.1): magic 4, descriptor 1, window 1, dictionary 4, content size 8.
const HEADER_BYTES_MAX: usize = 18;

/// Bytes that can be read at a position: a file, or memory.
pub trait ReadAt {
    /// Reads into `buffer` from `offset`; 0 at the end, fewer than asked for where the kernel gives fewer.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Bytes there are now; a growing file may have more at the next call.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// What of a file was there at one moment: a file that grows meanwhile must not be read with an old size and new bytes.
pub(crate) struct Snapshot<'a, F: ?Sized> {
    file: &'a F,
    bytes: u64,
}

impl<'a, F: ReadAt + ?Sized> Snapshot<'a, F> {
    pub(crate) fn take(file: &'a F) -> io::Result<Self> {
        Ok(Self { file, bytes: file.size()? })
    }
}

impl<F: ReadAt + ?Sized> ReadAt for Snapshot<'_, F> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = rest.min(buffer.len());
        self.file.read_at(&mut buffer[..wanted], offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// Fills as much of `buffer` as there is; returns how much.
pub(crate) fn read_up_to(file: &(impl ReadAt + ?Sized), buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads exactly `bytes`, or `None` where the file ends before.
pub(crate) fn read_exact(
    file: &(impl ReadAt + ?Sized),
    offset: u64,
    bytes: usize,
    out: &mut Vec<u8>,
) -> io::Result<Option<()>> {
    out.clear();
    out.resize(bytes, 0);
    let filled = read_up_to(file, out, offset)?;
    Ok((filled == bytes).then_some(()))
}

/// What stands at a place in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A DATA frame and its sizes, bytes.
    Data { frame_bytes: usize, content_bytes: usize },
    /// A META or index frame of this size, bytes.
    Meta { frame_bytes: usize },
    /// A seek table.
    SeekTable,
    /// The file ends before the frame does.
    Unfinished,
}

/// Finds out which frame begins at `offset` and how long it is, from headers alone.
///
/// # Errors
/// [`FormatError::Frame`] when no frame of this format begins there.
pub(crate) fn frame_at(file: &(impl ReadAt + ?Sized), offset: u64) -> Result<Frame, FormatError> {
    let mut head = [0u8; HEADER_BYTES_MAX];
    let filled = read_up_to(file, &mut head, offset)?;
    let mut fields = Fields::new(&head[..filled]);
    let Some(magic) = fields.u32() else { return Ok(Frame::Unfinished) };
    match magic {
        ZSTD_MAGIC => data_frame(file, offset, &head[..filled]),
        META_MAGIC => match fields.u32() {
            Some(bytes) if bytes as usize + 8 > META_BYTES_MAX => Err(FormatError::TooLarge {
                what: "META frame",
                bytes: u64::from(bytes) + 8,
                limit: META_BYTES_MAX as u64,
            }),
            Some(bytes) => Ok(Frame::Meta { frame_bytes: bytes as usize + 8 }),
            None => Ok(Frame::Unfinished),
        },
        SEEK_TABLE_MAGIC => Ok(Frame::SeekTable),
        _ => Err(FormatError::Frame("neither a block nor an index begins here")),
    }
}

/// Walks the block headers of a zstd frame (RFC 8878 section 3.1.1.2): 3 bytes in each 128 KiB at most.
fn data_frame(file: &(impl ReadAt + ?Sized), offset: u64, head: &[u8]) -> Result<Frame, FormatError> {
    let Some((header_bytes, content_bytes)) = data_frame_header(head)? else { return Ok(Frame::Unfinished) };
    let mut frame_bytes = header_bytes;
    loop {
        let mut block = [0u8; 4];
        if read_up_to(file, &mut block[..3], offset + frame_bytes as u64)? < 3 {
            return Ok(Frame::Unfinished);
        }
        let block = u32::from_le_bytes(block);
        let (last, kind, size) = (block & 1 == 1, (block >> 1) & 3, (block >> 3) as usize);
        frame_bytes += 3 + match kind {
            0 | 2 => size,
            1 => 1,
            _ => return Err(FormatError::Frame("DATA has a block of the reserved type")),
        };
        if frame_bytes > DATA_BYTES_MAX {
            return Err(FormatError::TooLarge {
                what: "DATA frame",
                bytes: frame_bytes as u64,
                limit: DATA_BYTES_MAX as u64,
            });
        }
        if last {
            const CHECKSUM_BYTES: usize = 4;
            return Ok(Frame::Data { frame_bytes: frame_bytes + CHECKSUM_BYTES, content_bytes });
        }
    }
}

/// Header length and content size of a zstd frame; `None` when `head` is cut short.
///
/// # Errors
/// When it lacks what the format demands of DATA: content size, checksum, no dictionary.
fn data_frame_header(head: &[u8]) -> Result<Option<(usize, usize)>, FormatError> {
    let mut fields = Fields::new(head);
    let (Some(_magic), Some(descriptor)) = (fields.u32(), fields.u8()) else { return Ok(None) };
    let single_segment = descriptor & 0x20 != 0;
    if descriptor & 0x08 != 0 {
        return Err(FormatError::Frame("DATA has a reserved bit set"));
    }
    if descriptor & 0x04 == 0 {
        return Err(FormatError::Frame("DATA has no checksum"));
    }
    if descriptor & 0x03 != 0 {
        return Err(FormatError::Frame("DATA needs a dictionary"));
    }
    if !single_segment && fields.u8().is_none() {
        return Ok(None);
    }
    let content_bytes = match (descriptor >> 6, single_segment) {
        (0, false) => return Err(FormatError::Frame("DATA does not state its content size")),
        (0, true) => fields.u8().map(u64::from),
        (1, _) => fields.u16().map(|size| u64::from(size) + 256),
        (2, _) => fields.u32().map(u64::from),
        _ => fields.u64(),
    };
    let Some(content_bytes) = content_bytes else { return Ok(None) };
    if content_bytes > CONTENT_BYTES_MAX as u64 {
        return Err(FormatError::TooLarge {
            what: "DATA content",
            bytes: content_bytes,
            limit: CONTENT_BYTES_MAX as u64,
        });
    }
    Ok(Some((head.len() - fields.rest().len(), content_bytes as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compress(content: &[u8]) -> Vec<u8> {
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        compressor.include_checksum(true).unwrap();
        compressor.compress(content).unwrap()
    }

    #[test]
    fn a_frame_without_a_checksum_is_not_data() {
        let frame = zstd::bulk::compress(b"hello", 1).unwrap();
        assert!(matches!(frame_at(&frame, 0), Err(FormatError::Frame("DATA has no checksum"))));
    }

    #[test]
    fn a_meta_frame_beyond_the_limit_is_refused() {
        let mut frame = META_MAGIC.to_le_bytes().to_vec();
        frame.extend_from_slice(&(META_BYTES_MAX as u32).to_le_bytes());
        assert!(matches!(frame_at(&frame, 0), Err(FormatError::TooLarge { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_headers_tell_the_size_that_zstd_tells(
            // Up to 5 MB: frames of many 128 KiB blocks, raw, run-length and compressed.
            piece in proptest::collection::vec(any::<u8>(), 0..5_000), repeats in 1usize..1_000,
            cut in any::<proptest::sample::Index>(),
        ) {
            let content = piece.repeat(repeats);
            let mut file = compress(&content);
            let frame_bytes = file.len();
            prop_assert_eq!(zstd::zstd_safe::find_frame_compressed_size(&file).unwrap(), frame_bytes);
            file.extend_from_slice(b"next");
            prop_assert_eq!(
                frame_at(&file, 0).unwrap(),
                Frame::Data { frame_bytes, content_bytes: content.len() }
            );
            // Cut anywhere: the walk notices, or, cut inside the last block, says a size that is not there.
            file.truncate(cut.index(frame_bytes));
            match frame_at(&file, 0).unwrap() {
                Frame::Unfinished => {}
                told => prop_assert_eq!(told, Frame::Data { frame_bytes, content_bytes: content.len() }),
            }
        }
    }
}
