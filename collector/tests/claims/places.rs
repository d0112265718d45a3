use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use std::io::Write;

use super::support::{Collector, udp_sender};

#[test]
fn a_range_of_ports_is_a_listener_for_each() {
    // Ports that were free a moment ago; another program may have taken one since, so that a few ranges are tried.
    let first = (0..50).find_map(|_| {
        let free = udp_sender().local_addr().unwrap().port();
        let is_free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
        (free < 65_000 && (free..free + 3).all(is_free)).then_some(free)
    });
    let first = first.expect("three free ports in a row");
    let range = format!("listen=[\"udp://127.0.0.1:{first}-{}\",\"tcp://127.0.0.1:0\"]", first + 2);
    let mut collector = Collector::start(&[&range]);
    assert_eq!(collector.urls("udp").len(), 3, "{}", collector.listening);
    for port in first..first + 3 {
        udp_sender().send_to(format!("to {port}").as_bytes(), ("127.0.0.1", port)).unwrap();
    }
    collector.wait_for("stored", 3);
    collector.stop();
    for message in collector.messages() {
        let port = message.listener.rsplit(':').next().unwrap();
        assert_eq!(message.payload, format!("to {port}").into_bytes(), "each knows its listener");
    }
}

#[test]
fn a_multicast_group_is_joined_once_and_its_datagrams_are_stored_once() {
    let listen = "listen=[{url=\"udp://239.255.77.1:0\",interface=\"lo\"},\"udp://127.0.0.1:0\"]";
    let mut collector = Collector::start(&[listen]);
    let group: SocketAddr = collector.address("udp");
    let sender = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    sender.set_multicast_if_v4(&[127, 0, 0, 1].into()).unwrap();
    let sent: usize =
        (0..100).map(|number| sender.send_to(format!("{number:03}").as_bytes(), &group.into()).unwrap()).sum();
    assert_eq!(sent, 300);
    collector.wait_for("stored", 100);
    collector.stop();
    let messages = collector.messages();
    assert_eq!(messages.len(), 100, "once each, though there are two receivers");
    assert!(messages.iter().all(|message| message.listener.starts_with("udp://239.255.77.1:")));
    assert!(messages.iter().all(|message| message.address == Some([127, 0, 0, 1].into())));
}

#[test]
fn local_streams_and_datagrams_come_back_whole_and_their_names_go_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let (stream, datagrams) = (directory.path().join("stream"), directory.path().join("log"));
    let listen = [format!("unix://{}", stream.display()), format!("unixgram://{}", datagrams.display())];
    let mut collector = Collector::start_with(&["--listen", &listen[0], "--listen", &listen[1]], &["max_message=1KiB"]);
    let mut lines = UnixStream::connect(&stream).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    // Many more than the kernel queues (net.unix.max_dgram_qlen): the sender waits, and none is lost.
    for number in 0..2_000 {
        writeln!(lines, "<13>line {number}").unwrap();
        sender.send_to(format!("<13>datagram\n{number}").as_bytes(), &datagrams).unwrap();
    }
    sender.send_to(&[b'x'; 3_000], &datagrams).unwrap();
    drop(lines);
    collector.wait_for("received", 4_001);
    collector.stop();
    let messages = collector.messages();
    let (lines, datagrams_stored): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.listener == listen[0]);
    for (number, message) in lines.iter().enumerate() {
        assert_eq!((message.payload.clone(), message.address), (format!("<13>line {number}").into_bytes(), None));
    }
    for (number, message) in datagrams_stored[..2_000].iter().enumerate() {
        assert_eq!(message.payload, format!("<13>datagram\n{number}").into_bytes(), "in order");
    }
    let long = &datagrams_stored[2_000];
    assert_eq!((long.payload.len(), long.original_length, long.listener == listen[1]), (1_024, 3_000, true));
    assert!(!stream.exists() && !datagrams.exists());
}

/// Runs a collector to which a UDP socket is passed as systemd does (sd_listen_fds(3)), until it listens.
fn start_activated(socket: &UdpSocket, directory: &std::path::Path) -> (std::process::Child, String) {
    let program = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", program, "sh", env!("CARGO_BIN_EXE_logboom"), "run", "--admin", "127.0.0.1:0"])
        .args(["--set", "receive.threads=2", "--listen", &format!("udp://{}", socket.local_addr().unwrap())])
        .arg("--data-dir")
        .arg(directory)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(socket.try_clone().unwrap())))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let listening = lines.find_map(|line| line.ok().filter(|line| line.contains("listening on ")));
    std::thread::spawn(move || lines.for_each(drop));
    (child, listening.unwrap())
}

#[test]
fn a_socket_of_systemd_goes_from_run_to_run_and_what_comes_between_waits() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    for run in 0..2 {
        let (mut child, listening) = start_activated(&socket, directory.path());
        assert!(listening.contains(&format!("udp://{address}")), "{listening}");
        udp_sender().send_to(format!("in run {run}").as_bytes(), address).unwrap();
        super::support::signal(child.id(), "TERM");
        assert!(super::support::wait_for_exit(&mut child).success());
        udp_sender().send_to(format!("after run {run}").as_bytes(), address).unwrap();
    }
    let (mut child, _) = start_activated(&socket, directory.path());
    super::support::signal(child.id(), "TERM");
    assert!(super::support::wait_for_exit(&mut child).success());
    let stored = super::support::read_messages(directory.path());
    let texts: Vec<_> = stored.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect();
    assert_eq!(texts, ["in run 0", "after run 0", "in run 1", "after run 1"]);
}

/// A directory that anybody may write to.
fn open_directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

#[test]
fn started_by_root_it_binds_and_then_becomes_another_user_for_good() {
    let is_root = std::fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t0\t0\t0\n");
    if !is_root {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let directory = open_directory();
    let port = (500..1_000u16).find(|port| UdpSocket::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let data = directory.path().join("data");
    let mut collector = Collector::start_at(&data, &["--listen", &format!("udp://127.0.0.1:{port}")], &["user=nobody"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", collector.child.id())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert!(!field("Uid:").split('\t').any(|id| id == "0"), "{}", field("Uid:"));
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    udp_sender().send_to(b"to a privileged port", ("127.0.0.1", port)).unwrap();
    collector.wait_for("stored", 1);
    collector.stop();
    assert_eq!(super::support::read_messages(&data)[0].payload, b"to a privileged port");
}
