//! META: the frame behind each block's DATA that says what DATA holds, and proves that both are whole.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic 0x184D2A5B |
//! | 4 | 4 | bytes that follow |
//! | 8 | 4 | tag `LBBM` |
//! | 12 | 2 | version |
//! | 14 | 2 | zero |
//! | 16 | 8 | run id |
//! | 24 | 4 | receiver |
//! | 28 | 4 | messages |
//! | 32 | 8 | first sequence number |
//! | 40 | 8 | last sequence number |
//! | 48 | 8 | earliest receive time, ns since the Unix epoch |
//! | 56 | 8 | latest receive time |
//! | 64 | 8 | boot-time clock when the block was begun, ns |
//! | 72 | 4 | DATA content, bytes |
//! | 76 | 25 | PRI set: bit n for PRI n, bit 192 for none |
//! | 101 | 3 | zero |
//! | 104 | | columns |
//! | end - 16 | 16 | trailer |
//!
//! The trailer: DATA bytes u32, META bytes u32 (from magic to the end), `LBTR`, CRC32C of everything from the first byte
//! of DATA up to the CRC itself.

use std::net::IpAddr;

use crate::column::{Column, Columns, Fields, put_varint, unzigzag, zigzag};
use crate::decode::Decoder;
use crate::error::FormatError;
use crate::frame::META_MAGIC;
use crate::limits::{
    CONTENT_BYTES_MAX, DATA_BYTES_MAX, FORMAT_VERSION, LISTENERS_MAX, PARTS_MAX, ROWS_MAX, SOURCES_MAX,
};
use crate::name::RunId;
use crate::rows::{PriSet, Source};

pub(crate) const BLOCK_TAG: [u8; 4] = *b"LBBM";
const TRAILER_TAG: [u8; 4] = *b"LBTR";

pub(crate) const TRAILER_BYTES: usize = 16;
const CRC_BYTES: usize = 4;

/// Which block this is, and when it was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// The run of the collector that received it.
    pub run_id: RunId,
    /// The receiver that filled it.
    pub receiver: u32,
    /// Its number among the receiver's blocks, or the first where a rewrite joined several.
    pub sequence_first: u64,
    /// The last such number.
    pub sequence_last: u64,
    /// CLOCK_BOOTTIME when it was begun, ns: tells true intervals where the wall clock was stepped.
    pub boot_ns: u64,
    /// Receive time to state where it holds no message (but losses), ns since the Unix epoch.
    pub noted_ns: u64,
}

/// Where messages were lost; the numbers stand in files and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum LossPlace {
    /// Dropped on purpose under overload; detail is the severity.
    Shed = 1,
    /// Not allowed to send.
    Refused = 2,
    /// Stream framing broken beyond resync.
    Malformed = 3,
    /// The disk would not take it and memory ran out.
    WriteFailed = 4,
    /// Dropped by the kernel at our sockets; detail is the listener.
    SocketBuffer = 5,
}

impl LossPlace {
    /// Every place.
    pub const ALL: [Self; 5] = [Self::Shed, Self::Refused, Self::Malformed, Self::WriteFailed, Self::SocketBuffer];

    /// The name that the ledger, the metrics and every output use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shed => "shed",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::WriteFailed => "write_failed",
            Self::SocketBuffer => "socket_buffer",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|place| *place as u8 == code)
    }
}

/// Messages lost since the previous block of the same receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where.
    pub place: LossPlace,
    /// Which severity or listener, see [`LossPlace`].
    pub detail: u8,
    /// How many.
    pub messages: u64,
}

impl Loss {
    /// Adds it to `losses`, which hold each place and detail once: so they are few, however long they gather.
    pub fn add_to(self, losses: &mut Vec<Self>) {
        match losses.iter_mut().find(|known| (known.place, known.detail) == (self.place, self.detail)) {
            Some(known) => known.messages += self.messages,
            None => losses.push(self),
        }
    }
}

/// What was a block of its own before a rewrite joined it with those behind it. Its sequence number follows from its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Messages in it.
    pub messages: u32,
    /// CLOCK_BOOTTIME when it was begun, ns.
    pub boot_ns: u64,
}

/// The META frame of one block, decoded but for its columns.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// Which block it is; `noted_ns` is the earliest receive time.
    pub header: BlockHeader,
    /// Messages in it.
    pub messages: u32,
    /// DATA when decompressed, bytes.
    pub content_bytes: u32,
    /// Earliest receive time, ns since the Unix epoch.
    pub received_min_ns: u64,
    /// Latest receive time.
    pub received_max_ns: u64,
    /// PRI values that occur.
    pub pris: PriSet,
    /// Compressed size of the DATA before it, bytes.
    pub data_bytes: u32,
    pub(crate) columns: Columns<'a>,
}

/// The trailer that ends META and index frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) data_bytes: u32,
    pub(crate) meta_bytes: u32,
    pub(crate) crc: u32,
}

impl Trailer {
    /// Reads the last [`TRAILER_BYTES`] of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes.last_chunk::<TRAILER_BYTES>()?);
        let (data_bytes, meta_bytes, tag, crc) = (fields.u32()?, fields.u32()?, fields.array()?, fields.u32()?);
        (tag == TRAILER_TAG).then_some(Self { data_bytes, meta_bytes, crc })
    }
}

/// Ends the frame that begins at `meta_start` of `out`: states its size and writes the trailer with the checksum of
/// `out` from `data_start`.
pub(crate) fn finish_frame(out: &mut Vec<u8>, data_start: usize, meta_start: usize) {
    let meta_bytes = out.len() - meta_start + TRAILER_BYTES;
    out[meta_start + 4..meta_start + 8].copy_from_slice(&(meta_bytes as u32 - 8).to_le_bytes());
    out.extend_from_slice(&((meta_start - data_start) as u32).to_le_bytes());
    out.extend_from_slice(&(meta_bytes as u32).to_le_bytes());
    out.extend_from_slice(&TRAILER_TAG);
    let crc = crc32c::crc32c(&out[data_start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Checks that `bytes`, from the first of DATA to the last of META, are what the trailer says.
pub(crate) fn check_crc(bytes: &[u8]) -> Result<Trailer, FormatError> {
    let trailer = Trailer::parse(bytes).ok_or(FormatError::Frame("META has no trailer"))?;
    if trailer.data_bytes as usize + trailer.meta_bytes as usize != bytes.len() {
        return Err(FormatError::Frame("the trailer states other sizes than the frames have"));
    }
    let found = crc32c::crc32c(&bytes[..bytes.len() - CRC_BYTES]);
    if found == trailer.crc { Ok(trailer) } else { Err(FormatError::Checksum { found, stated: trailer.crc }) }
}

/// The fields before the columns, in the order of the table above.
pub(crate) fn put_fixed(out: &mut Vec<u8>, meta: &Meta<'_>) {
    let header = &meta.header;
    out.extend_from_slice(&META_MAGIC.to_le_bytes());
    out.extend_from_slice(&[0; 4]); // Stated by `finish_frame`.
    out.extend_from_slice(&BLOCK_TAG);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&header.run_id.0.to_le_bytes());
    out.extend_from_slice(&header.receiver.to_le_bytes());
    out.extend_from_slice(&meta.messages.to_le_bytes());
    out.extend_from_slice(&header.sequence_first.to_le_bytes());
    out.extend_from_slice(&header.sequence_last.to_le_bytes());
    out.extend_from_slice(&meta.received_min_ns.to_le_bytes());
    out.extend_from_slice(&meta.received_max_ns.to_le_bytes());
    out.extend_from_slice(&header.boot_ns.to_le_bytes());
    out.extend_from_slice(&meta.content_bytes.to_le_bytes());
    out.extend_from_slice(&meta.pris.0);
    out.extend_from_slice(&[0; 3]);
}

impl<'a> Meta<'a> {
    /// Decodes a whole META frame whose checksum was verified.
    pub(crate) fn parse(frame: &'a [u8]) -> Result<Self, FormatError> {
        let trailer = Trailer::parse(frame).ok_or(FormatError::Frame("META has no trailer"))?;
        let body = &frame[..frame.len() - TRAILER_BYTES];
        let mut fields = Fields::new(body);
        let meta = Self::parse_fixed(&mut fields, trailer)?;
        let meta = meta.ok_or(FormatError::Frame("META is cut short"))?;
        let limits = [
            ("messages", u64::from(meta.messages), ROWS_MAX),
            ("DATA content", u64::from(meta.content_bytes), CONTENT_BYTES_MAX),
            ("DATA frame", u64::from(meta.data_bytes), DATA_BYTES_MAX),
        ];
        if meta.header.sequence_first > meta.header.sequence_last {
            return Err(FormatError::Frame("the last sequence number is before the first"));
        }
        for (what, bytes, limit) in limits {
            if bytes > limit as u64 {
                return Err(FormatError::TooLarge { what, bytes, limit: limit as u64 });
            }
        }
        Ok(meta)
    }

    fn parse_fixed(fields: &mut Fields<'a>, trailer: Trailer) -> Result<Option<Self>, FormatError> {
        let (Some(_magic), Some(_bytes), Some(tag), Some(version), Some(_zero)) =
            (fields.u32(), fields.u32(), fields.array(), fields.u16(), fields.u16())
        else {
            return Ok(None);
        };
        check_tag(tag, BLOCK_TAG, version)?;
        let mut read = || {
            let run_id = RunId(fields.u64()?);
            let (receiver, messages) = (fields.u32()?, fields.u32()?);
            let (sequence_first, sequence_last) = (fields.u64()?, fields.u64()?);
            let (received_min_ns, received_max_ns) = (fields.u64()?, fields.u64()?);
            let (boot_ns, content_bytes) = (fields.u64()?, fields.u32()?);
            let pris = PriSet(fields.array()?);
            fields.bytes(3)?;
            let noted_ns = received_min_ns;
            let header = BlockHeader { run_id, receiver, sequence_first, sequence_last, boot_ns, noted_ns };
            Some((header, messages, content_bytes, received_min_ns, received_max_ns, pris))
        };
        let Some((header, messages, content_bytes, received_min_ns, received_max_ns, pris)) = read() else {
            return Ok(None);
        };
        let columns = Columns::parse(fields.rest())?;
        let data_bytes = trailer.data_bytes;
        Ok(Some(Self { header, messages, content_bytes, received_min_ns, received_max_ns, pris, data_bytes, columns }))
    }

    /// Who sent the messages, in the order of their ids.
    ///
    /// # Errors
    /// When the dictionary is not what the format says.
    pub fn sources(&self, reader: &mut Decoder) -> Result<Vec<Source>, FormatError> {
        parse_sources(reader.expand(self.columns, Column::Sources)?, SOURCES_MAX)
    }

    /// URLs of the listeners, in the order of their ids.
    ///
    /// # Errors
    /// When the dictionary is not what the format says.
    pub fn listeners(&self, reader: &mut Decoder) -> Result<Vec<String>, FormatError> {
        parse_listeners(reader.expand(self.columns, Column::Listeners)?)
    }

    /// The blocks that it was joined from, one for each sequence number; itself where it was not.
    ///
    /// # Errors
    /// When the column is not what the format says.
    pub fn parts(&self, reader: &mut Decoder) -> Result<Vec<Part>, FormatError> {
        let sequences = self.header.sequence_last.checked_sub(self.header.sequence_first);
        let most = sequences.map_or(0, |last| usize::try_from(last).unwrap_or(usize::MAX).saturating_add(1));
        let parts = reader.expand(self.columns, Column::Parts)?;
        let parts = parse_parts(parts, self.header.boot_ns, most.min(PARTS_MAX))?;
        if parts.is_empty() && sequences == Some(0) {
            return Ok(vec![Part { messages: self.messages, boot_ns: self.header.boot_ns }]);
        }
        let messages: u64 = parts.iter().map(|part| u64::from(part.messages)).sum();
        if sequences != (parts.len() as u64).checked_sub(1) || messages != u64::from(self.messages) {
            return Err(FormatError::Columns("the parts of a joined block are not those that META says"));
        }
        Ok(parts)
    }

    /// What was lost since the previous block of the same receiver.
    ///
    /// # Errors
    /// When the column is not what the format says.
    pub fn losses(&self, reader: &mut Decoder) -> Result<Vec<Loss>, FormatError> {
        parse_losses(reader.expand(self.columns, Column::Losses)?)
    }
}

pub(crate) fn check_tag(found: [u8; 4], wanted: [u8; 4], version: u16) -> Result<(), FormatError> {
    if found != wanted {
        return Err(FormatError::Frame("the skippable frame is not one of this format"));
    }
    if version == 0 || version > FORMAT_VERSION {
        return Err(FormatError::Version { found: version, known: FORMAT_VERSION });
    }
    Ok(())
}

pub(crate) fn put_sources<'a>(out: &mut Vec<u8>, sources: impl IntoIterator<Item = &'a Source>) {
    for source in sources {
        match source.address {
            None => out.push(0),
            Some(IpAddr::V4(address)) => {
                out.push(4);
                out.extend_from_slice(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                out.push(6);
                out.extend_from_slice(&address.octets());
            }
        }
        out.extend_from_slice(&source.port.to_le_bytes());
        out.push(source.listener);
    }
}

pub(crate) fn parse_sources(bytes: &[u8], limit: usize) -> Result<Vec<Source>, FormatError> {
    let mut fields = Fields::new(bytes);
    let mut sources = Vec::new();
    while !fields.is_empty() {
        if sources.len() == limit {
            return Err(FormatError::Columns("more sources than the format allows"));
        }
        sources.push(
            parse_source(&mut fields).ok_or(FormatError::Columns("a source is cut short or of no known family"))?,
        );
    }
    Ok(sources)
}

fn parse_source(fields: &mut Fields<'_>) -> Option<Source> {
    let address = match fields.u8()? {
        0 => None,
        4 => Some(IpAddr::from(fields.array::<4>()?)),
        6 => Some(IpAddr::from(fields.array::<16>()?)),
        _ => return None,
    };
    Some(Source { address, port: fields.u16()?, listener: fields.u8()? })
}

pub(crate) fn put_listeners<'a>(out: &mut Vec<u8>, listeners: impl IntoIterator<Item = &'a String>) {
    for url in listeners {
        out.extend_from_slice(&(url.len() as u16).to_le_bytes());
        out.extend_from_slice(url.as_bytes());
    }
}

pub(crate) fn parse_listeners(bytes: &[u8]) -> Result<Vec<String>, FormatError> {
    let mut fields = Fields::new(bytes);
    let mut listeners = Vec::new();
    while !fields.is_empty() {
        if listeners.len() == LISTENERS_MAX {
            return Err(FormatError::Columns("more listeners than the format allows"));
        }
        let url = fields.u16().and_then(|bytes| fields.bytes(usize::from(bytes)));
        let url = url.ok_or(FormatError::Columns("a listener is cut short"))?;
        let url = str::from_utf8(url).map_err(|_| FormatError::Columns("a listener is not UTF-8"))?;
        listeners.push(url.to_owned());
    }
    Ok(listeners)
}

pub(crate) fn put_parts(out: &mut Vec<u8>, boot_ns: u64, parts: &[Part]) {
    let mut previous_ns = boot_ns;
    for part in parts {
        put_varint(out, u64::from(part.messages));
        put_varint(out, zigzag(std::mem::replace(&mut previous_ns, part.boot_ns), part.boot_ns));
    }
}

fn parse_parts(bytes: &[u8], mut boot_ns: u64, most: usize) -> Result<Vec<Part>, FormatError> {
    let mut fields = Fields::new(bytes);
    let mut parts = Vec::new();
    while !fields.is_empty() {
        let part = (|| Some((u32::try_from(fields.varint()?).ok()?, fields.varint()?)))();
        let (messages, code) = part.ok_or(FormatError::Columns("a part is cut short or out of range"))?;
        boot_ns = unzigzag(boot_ns, code);
        if parts.len() == most {
            return Err(FormatError::Columns("a joined block has more parts than sequence numbers"));
        }
        parts.push(Part { messages, boot_ns });
    }
    Ok(parts)
}

pub(crate) fn put_losses(out: &mut Vec<u8>, losses: &[Loss]) {
    for loss in losses {
        out.extend_from_slice(&[loss.place as u8, loss.detail]);
        out.extend_from_slice(&loss.messages.to_le_bytes());
    }
}

pub(crate) fn parse_losses(bytes: &[u8]) -> Result<Vec<Loss>, FormatError> {
    let mut fields = Fields::new(bytes);
    let mut losses = Vec::new();
    while !fields.is_empty() {
        let (Some(code), Some(detail), Some(messages)) = (fields.u8(), fields.u8(), fields.u64()) else {
            return Err(FormatError::Columns("a loss is cut short"));
        };
        let place = LossPlace::from_code(code).ok_or(FormatError::Columns("a loss has no known place"))?;
        losses.push(Loss { place, detail, messages });
    }
    Ok(losses)
}
