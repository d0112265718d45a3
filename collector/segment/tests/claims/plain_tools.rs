use std::io::Read;

use logboom_segment::{Compression, Message};

use super::sample::{START_NS, Writer, header, message, three_blocks};

fn zstdcat(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap();
    out
}

#[test]
fn lines_equal_messages_for_a_decoder_that_knows_nothing_of_us() {
    let mut writer = Writer::new();
    for payload in [&b"one"[..], b"two\nwith a line feed", b"", b"three\n", b"four\0", b"\n\n\n"] {
        writer.rows.append(&message(payload, START_NS)).unwrap();
    }
    writer.block(&header(0, 0), &[]);
    writer.block(&header(0, 1), &[]);
    writer.rows.append(&message(b"five", START_NS)).unwrap();
    writer.block(&header(0, 2), &[]);
    let expected = b"one\ntwo\x1Ewith a line feed\n\nthree\nfour\n\x1E\x1E\nfive\n";
    assert_eq!(zstdcat(&writer.bytes), expected, "growing");
    assert_eq!(zstdcat(&writer.seal()), expected, "sealed");
}

#[test]
fn blocks_that_were_not_compressed_read_as_any_other() {
    let text = "<34>Oct 11 22:14:15 host su: attempt for lonvick on /dev/pts/8 ".repeat(10);
    let mut writer = Writer::new();
    let mut sizes = Vec::new();
    for compression in [Compression::Level, Compression::None, Compression::Level] {
        writer.encoder.set_compression(compression).unwrap();
        (0..100).for_each(|_| writer.rows.append(&message(text.as_bytes(), START_NS)).unwrap());
        sizes.push(writer.block(&header(0, sizes.len() as u64), &[]).data_bytes as usize);
    }
    let content_bytes = 100 * (text.len() + 1);
    assert!(sizes[0] < content_bytes / 10 && sizes[1] > content_bytes && sizes[2] == sizes[0], "{sizes:?}");
    assert_eq!(zstdcat(&writer.seal()), format!("{text}\n").repeat(300).as_bytes());
}

#[test]
fn the_first_frame_holds_data() {
    // Some readers stop at a leading skippable frame.
    assert_eq!(three_blocks().seal()[..4], [0x28, 0xB5, 0x2F, 0xFD]);
}

#[test]
fn the_seek_table_names_every_frame() {
    // As zstd's contrib/seekable_format says: from the end, magic, descriptor, number of frames, then the entries.
    let sealed = three_blocks().seal();
    let u32_at = |offset: usize| u32::from_le_bytes(sealed[offset..offset + 4].try_into().unwrap());
    let footer = sealed.len() - 9;
    assert_eq!((u32_at(footer + 5), sealed[footer + 4]), (0x8F92_EAB1, 0));
    let frames = u32_at(footer) as usize;
    assert_eq!(frames, 3 * 2 + 1, "DATA and META of each block, and the index");
    let table = footer - frames * 8 - 8;
    assert_eq!((u32_at(table), u32_at(table + 4) as usize), (0x184D_2A5E, frames * 8 + 9));
    let mut offset = 0;
    for frame in 0..frames {
        let entry = table + 8 + frame * 8;
        let (stored, content) = (u32_at(entry) as usize, u32_at(entry + 4) as usize);
        assert_eq!(zstdcat(&sealed[offset..offset + stored]).len(), content, "frame {frame}");
        offset += stored;
    }
    assert_eq!(offset, table);
}

#[test]
fn full_blocks_cost_at_most_six_bytes_of_meta_a_message() {
    // Made lines of many lengths, hosts and severities; a clock reading each 32 messages, as the receivers take it.
    let mut writer = Writer::new();
    let mut random = 7u64;
    for row in 0..5_000u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let text = format!("<{}>host app[{random}]: {}", random >> 57, "x".repeat((random >> 56) as usize));
        let at = START_NS + row / 32 * 31_000 + (row / 32) % 7;
        let pri = (random >> 57) as u8;
        writer.rows.append(&Message { pri, ..message(text.as_bytes(), at) }).unwrap();
    }
    let entry = writer.block(&header(0, 0), &[]);
    let bytes_per_message = f64::from(entry.meta_bytes) / f64::from(entry.messages);
    assert!(bytes_per_message <= 6.0, "{bytes_per_message} B of META a message");
}
