use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::support::{assert_all_came, loadgen, messages, read_report, run_over_streams, text};

/// What fills a queue and is no message.
const PROBE: &[u8] = b"probe";

#[test]
fn unix_streams_carry_the_same_messages_in_either_framing() {
    for framing in ["lf", "octet"] {
        let directory = tempfile::tempdir().unwrap();
        let (run, socket) = (directory.path().join("run.json"), directory.path().join("socket"));
        let listener = UnixListener::bind(&socket).unwrap();
        let target = format!("unix://{}", socket.to_str().unwrap());
        let arguments =
            ["--rate", "max", "--count", "2000", "--flows", "3", "--framing", framing, "-o", run.to_str().unwrap()];
        let (output, streams) = run_over_streams(&target, 3, &arguments, || listener.accept().unwrap().0);
        assert!(output.status.success(), "{output:?}");
        let came: Vec<_> = streams.iter().flat_map(|stream| messages(stream, framing)).collect();
        assert_all_came(&run, &came, 2000);
        let report = read_report(&run);
        assert_eq!((&report["target"], &report["plan"]["framing"]), (&target.into(), &framing.into()));
    }
}

#[test]
fn a_full_queue_makes_the_sender_wait_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (run, socket) = (directory.path().join("run.json"), directory.path().join("socket"));
    let arguments = ["--rate", "max", "--count", "5000", "--flows", "3", "-o", run.to_str().unwrap()];
    let (output, received) = run_over_unixgram(&socket, &arguments);
    assert!(output.status.success(), "{output:?}");
    let came: Vec<_> = received.iter().map(Vec::as_slice).collect();
    assert_all_came(&run, &came, 5000);
    let report = read_report(&run);
    assert_eq!((&report["sent_bytes"], &report["plan"]["framing"]), (&1_000_000.into(), &().into()));
}

/// Sends to a receiver of ours that lets its queue fill up after the first message, and returns what it got.
fn run_over_unixgram(path: &Path, arguments: &[&str]) -> (Output, Vec<Vec<u8>>) {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let target = format!("unixgram://{}", path.to_str().unwrap());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut received = Vec::new();
            let mut buffer = vec![0; 65_536];
            loop {
                // Read before the socket: what was sent before the end is found.
                let last = done.load(Ordering::Acquire);
                match socket.recv(&mut buffer) {
                    Ok(bytes) if buffer[..bytes] == *PROBE => {}
                    Ok(bytes) => {
                        received.push(buffer[..bytes].to_vec());
                        if received.len() == 1 {
                            fill_up(path);
                        }
                    }
                    Err(_) if last => return received,
                    Err(_) => {}
                }
            }
        });
        let output = loadgen(&[&["run", &target], arguments].concat());
        done.store(true, Ordering::Release);
        (output, receiver.join().unwrap())
    })
}

/// Probes the queue until the kernel takes no more.
fn fill_up(path: &Path) {
    let prober = UnixDatagram::unbound().unwrap();
    prober.set_nonblocking(true).unwrap();
    prober.connect(path).unwrap();
    while prober.send(PROBE).is_ok() {}
}

#[test]
fn a_collector_that_dies_makes_the_run_invalid_on_local_sockets_too() {
    let directory = tempfile::tempdir().unwrap();
    let dying = |scheme: &str, name: &str, die: &(dyn Fn() + Sync)| {
        let target = format!("{scheme}://{}", directory.path().join(name).to_str().unwrap());
        let output = std::thread::scope(|scope| {
            scope.spawn(die);
            loadgen(&["run", &target, "--rate", "50k", "--count", "500k"])
        });
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert!(text(&output.stdout).contains("sending on flow 0:"), "{output:?}");
    };
    let listener = UnixListener::bind(directory.path().join("stream")).unwrap();
    dying("unix", "stream", &|| drop(listener.accept().unwrap()));
    let socket = std::sync::Mutex::new(Some(UnixDatagram::bind(directory.path().join("datagram")).unwrap()));
    dying("unixgram", "datagram", &|| {
        let socket = socket.lock().unwrap().take().unwrap();
        socket.recv(&mut [0; 1024]).unwrap();
    });
}
