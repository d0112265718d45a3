use super::support::{Collector, request, udp_sender};

#[test]
fn health_readiness_status_and_ledger_are_served() {
    let mut collector = Collector::start(&[]);
    assert_eq!(collector.get("/healthz"), (200, "ok\n".into()));
    assert_eq!(collector.get("/readyz"), (200, "ready\n".into()));
    let status: serde_json::Value = serde_json::from_str(&collector.get("/status").1).unwrap();
    let listeners = [format!("udp://{}", collector.udp), format!("tcp://{}", collector.tcp)];
    assert_eq!(status["listeners"], serde_json::json!(listeners));
    assert_eq!(status["admin"], format!("http://{}", collector.admin));
    assert_eq!(status["pid"], collector.child.id());
    assert!(status["cpu_seconds"].as_f64() > Some(0.0) && status["rss_bytes"].as_u64() > Some(1 << 20), "{status:#}");
    assert_eq!(collector.ledger()["received"], 0);
    collector.stop();
}

#[test]
fn metrics_are_the_ledgers_numbers_and_there_from_the_start() {
    let mut collector = Collector::start(&[]);
    let value = |metrics: &str, series: &str| {
        let line =
            metrics.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}: {metrics}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let metrics = collector.get("/metrics").1;
    for place in ["shed", "refused", "malformed", "write_failed", "socket_buffer"] {
        assert_eq!(value(&metrics, &format!("logboom_lost_messages_total{{place=\"{place}\"}}")), 0.0);
    }
    assert_eq!(value(&metrics, "logboom_stored_messages_total"), 0.0);
    assert_eq!(value(&metrics, "logboom_write_seconds_count"), 0.0);
    udp_sender().send_to(b"<13>one", collector.udp).unwrap();
    collector.wait_for("stored", 1);
    let metrics = collector.get("/metrics").1;
    assert_eq!(value(&metrics, "logboom_stored_messages_total"), 1.0);
    assert_eq!(
        value(&metrics, &format!("logboom_received_datagrams_total{{listener=\"udp://{}\"}}", collector.udp)),
        1.0
    );
    assert_eq!(value(&metrics, "logboom_received_bytes_total{listener=\"udp"), 7.0);
    collector.stop();
}

#[test]
fn other_pages_and_methods_are_refused() {
    let mut collector = Collector::start(&[]);
    let (status, body) = collector.get("/nothing");
    assert!(status == 404 && body.contains("/metrics"), "{status} {body}");
    assert_eq!(request(collector.admin, "POST", "/ledger").0, 405);
    assert_eq!(request(collector.admin, "DELETE", "/metrics").0, 405);
    collector.stop();
}
