use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use logboom_segment::{FileState, list_segments};
use logboom_udp::clock::realtime_ns;

use super::support::{Collector, LIMIT, udp_sender};

const RUN: &str = "0badcafe";

/// A body in chunks (RFC 9112 section 7.1); an error where it breaks off before the last.
struct Chunks {
    stream: BufReader<TcpStream>,
    left_bytes: u64,
}

impl Chunks {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left_bytes == 0 {
            self.left_bytes = u64::from_str_radix(&self.line()?, 16).unwrap();
        }
        let bytes = (&mut self.stream).take(self.left_bytes).read(buffer)?;
        self.left_bytes -= bytes as u64;
        if self.left_bytes == 0 {
            assert_eq!(self.line()?, "", "behind a chunk");
        }
        Ok(bytes)
    }
}

/// A message as it was shown.
struct Shown {
    received_ns: u64,
    transport: String,
    text: String,
}

/// A check, and what it has shown so far.
struct Check {
    body: BufReader<Chunks>,
    messages: Vec<Shown>,
    /// Receive times of those not said to be synced.
    unsynced_ns: Vec<u64>,
    synced_lines: usize,
    breaks_off: bool,
}

impl Check {
    /// The status if there is no check.
    fn try_begin(collector: &Collector, run: &str) -> Result<Self, u16> {
        let mut stream = TcpStream::connect(collector.admin).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET /loadgen/{run} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut chunks = Chunks { stream: BufReader::new(stream), left_bytes: 0 };
        let status = chunks.line().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = std::iter::repeat_with(|| chunks.line().unwrap().to_lowercase())
            .take_while(|line| !line.is_empty())
            .collect();
        if status != 200 {
            return Err(status);
        }
        for header in ["content-type: application/octet-stream", "transfer-encoding: chunked", "connection: close"] {
            assert!(headers.iter().any(|line| line == header), "{headers:?}");
        }
        let body = BufReader::new(chunks);
        Ok(Self { body, messages: Vec::new(), unsynced_ns: Vec::new(), synced_lines: 0, breaks_off: false })
    }

    /// One that shows what is written from now on.
    fn begin(collector: &Collector) -> Self {
        let mut check = Self::try_begin(collector, RUN).unwrap();
        check.read_until(|check| check.synced_lines > 0);
        check
    }

    fn read_until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            assert!(self.read_record(), "the end, after {} messages", self.messages.len());
        }
    }

    fn read_to_end(&mut self) {
        while self.read_record() {}
    }

    /// False at the end.
    fn read_record(&mut self) -> bool {
        let mut line = String::new();
        self.breaks_off = self.body.read_line(&mut line).is_err();
        if line.is_empty() || self.breaks_off {
            return false;
        }
        let fields: Vec<&str> = line.trim_end_matches('\n').split(' ').collect();
        match fields[..] {
            ["m", received_ns, transport, length] => {
                let (received_ns, length) = (received_ns.parse().unwrap(), length.parse::<usize>().unwrap());
                let mut text = vec![0; length + 1];
                self.breaks_off = self.body.read_exact(&mut text).is_err();
                if self.breaks_off {
                    return false;
                }
                assert_eq!(text.pop(), Some(b'\n'));
                let (transport, text) = (transport.to_owned(), String::from_utf8(text).unwrap());
                self.unsynced_ns.push(received_ns);
                self.messages.push(Shown { received_ns, transport, text });
            }
            ["s", through_ns, at_ns] => {
                let (through_ns, at_ns) = (through_ns.parse::<u64>().unwrap(), at_ns.parse::<u64>().unwrap());
                assert!(at_ns <= realtime_ns());
                self.unsynced_ns.retain(|received_ns| *received_ns >= through_ns);
                self.synced_lines += 1;
            }
            _ => panic!("{line:?}"),
        }
        true
    }
}

/// A message as loadgen sends it, with text that does not compress to nothing.
fn tagged(run: &str, number: usize, text_bytes: usize) -> String {
    let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(text_bytes).collect();
    format!("<13>host test: lg1 {run} 00000 {number:010} {text}")
}

#[test]
fn every_message_of_a_run_is_shown_once_and_said_to_be_synced_whatever_segment_it_is_in() {
    const ROUNDS: usize = 30;
    const EACH: usize = 50;
    let settings = ["store.segment_size=1MiB", "store.block_size=64KiB", "store.block_age=10ms"];
    let mut collector = Collector::start(&settings);
    let mut stream = TcpStream::connect(collector.tcp).unwrap();
    let sender = udp_sender();
    writeln!(stream, "{}", tagged(RUN, 0, 10)).unwrap();
    collector.wait_for("stored", 1);
    let begun_ns = realtime_ns();
    let mut check = Check::begin(&collector);
    let mut sent = Vec::new();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            check.read_until(|check| check.messages.len() == 2 * ROUNDS * EACH && check.unsynced_ns.is_empty());
        });
        for round in 1..=ROUNDS {
            for _ in 0..EACH {
                let [by_udp, by_tcp] = [(); 2].map(|()| tagged(RUN, sent.len(), 1300));
                sender.send_to(by_udp.as_bytes(), collector.udp).unwrap();
                writeln!(stream, "{by_tcp}").unwrap();
                sent.extend([("udp", by_udp), ("tcp", by_tcp)]);
                for other in [tagged("0badcaff", 1, 10), tagged("0badcafe1", 1, 10), "<13>lg1 0badcafe".into()] {
                    writeln!(stream, "{other}").unwrap();
                }
            }
            // Not more at a time than any socket's buffer holds.
            collector.wait_for("received", 1 + (round * EACH * 5) as u64);
        }
        reading.join().unwrap();
    });
    let (read_ns, data) = (realtime_ns(), collector.data());
    let sealed = list_segments(&data).unwrap().iter().filter(|segment| segment.state == FileState::Sealed).count();
    assert!(sealed >= 2, "{sealed} segments were completed meanwhile");
    collector.stop();
    check.read_to_end();
    let mut shown: Vec<_> = check.messages.iter().map(|shown| (&shown.transport[..], shown.text.clone())).collect();
    shown.sort();
    sent.sort();
    assert!(shown == sent, "{} shown, {} sent", shown.len(), sent.len());
    assert!(check.messages.iter().all(|shown| (begun_ns..read_ns).contains(&shown.received_ns)));
}

#[test]
fn a_check_ends_with_the_collector_and_has_all_of_it_by_then() {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let mut collector = Collector::start(&["store.block_age=60s", "store.sync=60s"]);
        let mut check = Check::begin(&collector);
        let mut stream = TcpStream::connect(collector.tcp).unwrap();
        (0..1000).for_each(|number| writeln!(stream, "{}", tagged(RUN, number, 100)).unwrap());
        collector.wait_for("received", 1000);
        collector.stop();
        check.read_to_end();
        if !check.breaks_off {
            assert_eq!((check.messages.len(), &check.unsynced_ns), (1000, &vec![]));
            return;
        }
        // On a machine whose processors all others want. It does not pretend to have shown everything.
        collector.wait_for_line("before it has shown the last messages");
    }
    panic!("{TRIES} of {TRIES} broke off");
}

#[test]
fn what_is_written_is_not_said_to_be_synced_before_it_is() {
    let mut collector = Collector::start(&["store.block_age=10ms", "store.sync=60s"]);
    let mut check = Check::begin(&collector);
    udp_sender().send_to(tagged(RUN, 0, 10).as_bytes(), collector.udp).unwrap();
    check.read_until(|check| check.messages.len() == 1);
    let lines = check.synced_lines;
    check.read_until(|check| check.synced_lines >= lines + 5);
    assert_eq!(check.unsynced_ns.len(), 1);
    collector.stop();
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    const MESSAGES: usize = 1200;
    let mut collector = Collector::start(&["store.block_age=10ms", "store.block_size=64KiB"]);
    let mut slow = Check::begin(&collector);
    let mut quick = Check::begin(&collector);
    let mut stream = TcpStream::connect(collector.tcp).unwrap();
    let read_all = |check: &mut Check| check.read_until(|check| check.messages.len() == MESSAGES);
    std::thread::scope(|scope| {
        scope.spawn(|| read_all(&mut quick));
        // More than all buffers on the way to it hold.
        (0..MESSAGES).for_each(|number| writeln!(stream, "{}", tagged(RUN, number, 8000)).unwrap());
        collector.wait_for("stored", MESSAGES as u64);
    });
    read_all(&mut slow);
    collector.stop();
}

#[test]
fn what_is_no_run_and_one_check_too_many_are_refused_until_a_place_is_free() {
    let mut collector = Collector::start(&[]);
    for run in ["", "0badcaf", "0badcafe1", "0BADCAFE", "0badcafg", "0badcafe/"] {
        let (status, body) = collector.get(&format!("/loadgen/{run}"));
        assert!(status == 400 && body.contains(&format!("`{run}` is no run: that is eight lower-case hex")), "{body}");
    }
    let mut checks: Vec<_> = (0..4).map(|_| Check::begin(&collector)).collect();
    let (status, body) = collector.get("/loadgen/0badcafe");
    assert!(status == 503 && body.contains("4 checks are running"), "{status} {body}");
    checks.pop();
    collector.wait_until("the place of a client that went away is free", |_| {
        Check::try_begin(&collector, RUN).inspect_err(|status| assert_eq!(*status, 503)).is_ok()
    });
    collector.stop();
}
