//! JSON lines: each frame as an object.

use std::io;

use serde::Serialize;

use super::Frame;

/// The only schema there is.
const SCHEMA: &str = "loadgen.frame/1";

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    /// Whether it is the last.
    finished: bool,
    #[serde(flatten)]
    frame: &'a Frame,
}

/// `frame` and a line feed. A figure that is no number becomes null.
///
/// # Errors
/// None with the types of [`Frame`].
pub(super) fn text(frame: &Frame, finished: bool) -> io::Result<String> {
    Ok(serde_json::to_string(&Line { schema: SCHEMA, finished, frame })? + "\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lossy, unchecked};
    use super::*;

    #[test]
    fn a_frame_is_one_line_with_every_field() {
        let expected = concat!(
            r#"{"schema":"loadgen.frame/1","finished":false,"run":"7f3a9c01","target":"udp://10.0.0.5:514","#,
            r#""plan":"16 flows, rfc5424, 300 B","elapsed_seconds":18.0,"planned_seconds":30.0,"offered":6000000,"#,
            r#""offered_rate":200000.0,"sent":3600000,"sent_rate":199980.0,"#,
            r#""pacing":{"lag_us":{"p50":11.8,"p99":41.2,"p999":280.0,"max":1310.0,"within_200us":0.998},"#,
            r#""group":{"p50":10,"p99":12,"max":20}},"generator_fault":null,"#,
            r#""received":3548178,"received_rate":197100.0,"lost":51822,"loss_ratio":0.014395,"#,
            r#""duplicates":0,"reordered":12001,"corrupted":0,"#,
            r#""latency_ms":{"p50":0.314,"p90":0.92,"p99":7.81,"p999":41.2,"max":88.0},"#,
            r#""sender_cpu_ns_per_message":310.4,"receiver_cpu_ns_per_message":540.0,"#,
            r#""places":{"queue":12,"host":0,"socket_buffer":51810},"icmp":0,"#,
            r#""hint":"the receive buffer holds 166 messages, 0.8 ms of this load; "#,
            r#"set receive.buffer to 32 MiB, and net.core.rmem_max too"}"#,
            "\n"
        );
        assert_eq!(text(&lossy(), false).unwrap(), expected);
    }

    #[test]
    fn what_is_not_known_is_null_and_a_hostile_name_stays_on_its_line() {
        let frame = Frame { target: "unix:///a\nb\u{1b}".into(), sent_rate: f64::NAN, ..unchecked() };
        let text = text(&frame, true).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["target"], "unix:///a\nb\u{1b}");
        assert_eq!(object["finished"], true);
        for field in ["received", "received_rate", "lost", "loss_ratio", "duplicates", "latency_ms", "sent_rate"] {
            assert!(object[field].is_null(), "{field}");
        }
    }

    #[test]
    fn every_field_is_documented() {
        let documentation = include_str!("../../../docs/loadgen.md");
        let (_, rest) = documentation.split_once(SCHEMA).unwrap();
        let (section, _) = rest.split_once("\n## ").unwrap();
        let object: serde_json::Value = serde_json::from_str(&text(&lossy(), false).unwrap()).unwrap();
        let fields = object.as_object().unwrap().keys().filter(|field| *field != "schema");
        for field in fields {
            assert!(section.contains(&format!("`{field}`")), "{field} is not in docs/loadgen.md");
        }
    }
}
