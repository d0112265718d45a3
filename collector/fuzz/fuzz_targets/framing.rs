//! The first byte sets the limit, the next four how the stream is cut into reads.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logboom_syslog::Framer;

/// Below a count's longest form a limit makes no sense; the configuration allows none below 480.
const MESSAGE_BYTES_MIN: usize = 9;
/// What a connection with short messages may keep.
const PENDING_BYTES_KEPT: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[limit, ref reads @ ..], stream)) = bytes.split_first_chunk::<5>() else { return };
    let message_bytes_max = MESSAGE_BYTES_MIN + usize::from(limit);
    let whole = frames_of([stream], message_bytes_max);
    let bytewise = frames_of(stream.chunks(1), message_bytes_max);
    assert_eq!(bytewise, whole);
    let mut rest = stream;
    let reads = reads.iter().cycle().map_while(|read| {
        let (read, behind) = rest.split_at(usize::from(*read).min(rest.len()));
        let is_end = rest.is_empty();
        rest = behind;
        (!is_end).then_some(read)
    });
    // Reads of nothing only would never end.
    if bytes[1..5] != [0; 4] {
        assert_eq!(frames_of(reads, message_bytes_max), whole);
    }
});

/// What came out: bytes and original length of each message, and of what the end cut off.
type Framed = (Vec<(Vec<u8>, u32)>, Option<(Vec<u8>, u32)>);

fn frames_of<'a>(reads: impl IntoIterator<Item = &'a [u8]>, message_bytes_max: usize) -> Framed {
    let mut framer = Framer::new(message_bytes_max);
    let (mut frames, mut bytes_in, mut bytes_out) = (Vec::new(), 0, 0);
    for mut read in reads {
        bytes_in += read.len();
        while let Some(frame) = framer.next(&mut read) {
            assert_eq!(frame.bytes.len(), message_bytes_max.min(frame.original_length as usize));
            bytes_out += frame.original_length as usize;
            frames.push((frame.bytes.to_vec(), frame.original_length));
        }
        assert!(read.is_empty(), "input left behind");
        assert!(framer.memory_bytes() <= 2 * message_bytes_max.max(PENDING_BYTES_KEPT));
    }
    let rest = framer.finish().map(|frame| (frame.bytes.to_vec(), frame.original_length));
    bytes_out += rest.as_ref().map_or(0, |(_, original_length)| *original_length as usize);
    assert!(bytes_out <= bytes_in);
    (frames, rest)
}
