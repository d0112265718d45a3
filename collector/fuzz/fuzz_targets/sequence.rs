//! Lines are messages: each alone, and the numbers of all as those of one sender.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logboom_syslog::{Sequence, header, sequence_id};

fuzz_target!(|lines: &[u8]| {
    let mut sequence: Option<Sequence> = None;
    let mut numbered = 0;
    for message in lines.split(|byte| *byte == b'\n') {
        let Some(id) = sequence_id(message) else { continue };
        assert!((1..=2_147_483_647).contains(&id));
        let elements = header::parse(message).structured_data.unwrap();
        assert!(elements.windows(11).any(|window| window == b"sequenceId="));
        numbered += 1;
        match &mut sequence {
            Some(sequence) => sequence.note(id),
            None => sequence = Some(Sequence::new(id)),
        }
    }
    if let Some(sequence) = sequence {
        assert_eq!(sequence.received, numbered);
        assert!(sequence.repeated + sequence.restarts < numbered);
    }
});
