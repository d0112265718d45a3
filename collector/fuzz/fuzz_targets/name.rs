#![no_main]

use libfuzzer_sys::fuzz_target;
use logboom_segment::SegmentName;

fuzz_target!(|name: &[u8]| {
    let Ok(name) = str::from_utf8(name) else { return };
    if let Some((parsed, state)) = SegmentName::parse_file_name(name) {
        assert_eq!(parsed.file_name(state), name);
    }
});
