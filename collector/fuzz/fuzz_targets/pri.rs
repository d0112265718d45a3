#![no_main]

use libfuzzer_sys::fuzz_target;
use logboom_syslog::{Severity, facility_keyword, pri};

fuzz_target!(|message: &[u8]| {
    if let Some(pri) = pri(message) {
        assert!(pri <= 191);
        assert!(message.starts_with(format!("<{pri}>").as_bytes()));
        assert_ne!(facility_keyword(pri), "unknown");
        assert_eq!(Severity::of_pri(pri) as u8, pri % 8);
    }
});
