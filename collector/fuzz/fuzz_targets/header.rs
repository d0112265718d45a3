#![no_main]

use libfuzzer_sys::fuzz_target;
use logboom_syslog::{header, pri};

fuzz_target!(|message: &[u8]| {
    let parsed = header::parse(message);
    assert_eq!(parsed.pri, pri(message));
    assert!(message.ends_with(parsed.message));
    let limited = [
        (parsed.host, header::HOST_BYTES_MAX),
        (parsed.proc_id, header::PROC_ID_BYTES_MAX),
        (parsed.structured_data, message.len()),
        (parsed.timestamp, message.len()),
        (parsed.app, message.len()),
        (parsed.msg_id, message.len()),
    ];
    let in_message = message.as_ptr_range();
    for (field, bytes_max) in limited {
        let Some(field) = field else { continue };
        assert!(!field.is_empty() && field.len() <= bytes_max);
        let field = field.as_ptr_range();
        assert!(in_message.start <= field.start && field.end <= in_message.end);
    }
});
