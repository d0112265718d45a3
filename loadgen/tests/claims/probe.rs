use std::net::{TcpListener, UdpSocket};

use serde_json::Value;

use super::support::{loadgen, text};

/// What a probe finds, and its exit code.
fn probe(arguments: &[&str]) -> (Value, Option<i32>) {
    let output = loadgen(&[&["probe", "--json", "--count", "1"], arguments].concat());
    let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (found, output.status.code())
}

fn states(found: &Value) -> Vec<(&str, &str, bool)> {
    let ports = found["ports"].as_array().unwrap().iter();
    ports
        .map(|port| {
            let [transport, state] = ["transport", "state"].map(|field| port[field].as_str().unwrap());
            (transport, state, port["certain"].as_bool().unwrap())
        })
        .collect()
}

/// Whether this process is told to hold the port. A child that another test starts holds it too, until it becomes another
/// program (execve(2)), and is then told in our place: so it is asked again.
fn is_held_by_this_process(arguments: &[&str]) -> bool {
    (0..100).any(|_| probe(arguments).0["ports"][0]["holder"]["pid"] == std::process::id())
}

#[test]
fn an_open_udp_port_of_this_machine_is_known_by_its_holder_and_gets_two_messages_that_say_what_they_are() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let collector = UdpSocket::bind(address).unwrap();
        let url = format!("udp://{}", collector.local_addr().unwrap());
        let (found, code) = probe(&[&url, "--timeout", "100ms"]);
        assert_eq!((states(&found), code), (vec![("udp", "open", true)], Some(0)));
        assert!(is_held_by_this_process(&[&url, "--no-send"]));
        collector.set_nonblocking(true).unwrap();
        let mut buffer = [0; 1000];
        let mut received = Vec::new();
        while let Ok(bytes) = collector.recv(&mut buffer) {
            received.push(text(&buffer[..bytes]));
        }
        assert_eq!(received.len(), 2);
        assert!(received.iter().all(|message| message.starts_with("<15>1 ") && message.contains("loadgen probe")));
    }
}

#[test]
fn only_the_port_itself_answers_for_it() {
    for (is_port, state) in [(true, ("udp", "open", true)), (false, ("udp", "closed", true))] {
        let asked = UdpSocket::bind("127.0.0.1:0").unwrap();
        let url = format!("udp://{}", asked.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let (_, from) = asked.recv_from(&mut [0; 1000]).unwrap();
            let answer_from = if is_port { asked } else { UdpSocket::bind("127.0.0.1:0").unwrap() };
            answer_from.send_to(b"here", from).unwrap();
        });
        // The thread's port is closed when it ends: then the second datagram is refused.
        assert_eq!(states(&probe(&[&url, "--hops", "0"]).0), [state]);
        answering.join().unwrap();
    }
}

#[test]
fn nothing_is_sent_to_the_port_if_nothing_shall_be() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (found, code) = probe(&[&format!("udp://{}", collector.local_addr().unwrap()), "--no-send"]);
    assert_eq!((&found["ports"][0]["sent"], code), (&0.into(), Some(0)));
    collector.set_nonblocking(true).unwrap();
    assert_eq!(collector.recv(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn an_open_tcp_port_accepts() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", collector.local_addr().unwrap());
    let (found, code) = probe(&[&url]);
    assert_eq!((states(&found), code), (vec![("tcp", "open", true)], Some(0)));
    assert!(is_held_by_this_process(&[&url]));
}

#[test]
fn closed_ports_are_certain_and_the_machine_is_there_all_the_same() {
    // Port 1 of the loopback interface: nobody listens there.
    for (target, address, payload_max_bytes) in [("127.0.0.1:1", "127.0.0.1", 65_507), ("[::1]:1", "::1", 65_488)] {
        let (found, code) = probe(&[target]);
        assert_eq!((states(&found), code), (vec![("udp", "closed", true), ("tcp", "closed", true)], Some(3)));
        assert_eq!((&found["schema"], &found["usable"]), (&"loadgen.probe/1".into(), &false.into()));
        assert_eq!((&found["host"]["state"], &found["name"]["used"]), (&"up".into(), &address.into()));
        assert_eq!(found["echo"]["received"], 1);
        let source = &found["source"];
        assert_eq!((&source["interface"], &source["address"]), (&"lo".into(), &address.into()));
        assert_eq!((&found["path"]["end"], &found["path"]["hops"][0]["address"]), (&"reached".into(), &address.into()));
        let mtu = &found["mtu"];
        assert_eq!((&mtu["payload_max_bytes"], &mtu["confirmed"]), (&payload_max_bytes.into(), &true.into()));
    }
}

#[test]
fn a_name_that_nobody_knows_and_an_address_of_the_other_kind_are_told_with_exit_code_3() {
    for (arguments, told) in
        [(&["no-such-host.invalid"][..], "no-such-host.invalid cannot be probed"), (&["::1", "-4"], "no IPv4 address")]
    {
        let (found, code) = probe(arguments);
        assert_eq!((code, &found["usable"], &found["source"]), (Some(3), &false.into(), &Value::Null));
        assert!(found["sentence"].as_str().unwrap().contains(told), "{found}");
    }
}

#[test]
fn it_is_told_in_lines_of_at_most_100_columns_and_explained_if_that_is_asked_for() {
    let output = loadgen(&["probe", "127.0.0.1:1", "--count", "1", "--explain"]);
    let explained = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3));
    let longest = explained.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(longest.chars().count() <= 100, "{longest}");
    let words = explained.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for told in ["NOT USABLE", "udp 1 closed", "source port", "Only a closed port speaks", "TTL", "fragments"] {
        assert!(words.contains(told), "{told}: {words}");
    }
    let plain = text(&loadgen(&["probe", "127.0.0.1:1", "--count", "1"]).stdout);
    assert!(plain.contains("NOT USABLE") && !plain.contains("Only a closed port speaks"), "{plain}");
}

#[test]
fn bad_usage_is_told_with_exit_code_2() {
    for (arguments, told) in [
        (&["unix:///dev/log"][..], "has no network before it"),
        (&["http://x"], "the transport must be udp, tcp or tls"),
        (&["x:0"], "the port must be 1 to 65535"),
        (&["x", "--count", "101"], "101 is not in 1..=100"),
        (&["x", "--hops", "65"], "65 is not in 0..=64"),
        (&["x", "--timeout", "11s"], "at most 10 s, not 11s"),
        (&["x", "-4", "-6"], "cannot be used with"),
        (&["x", "--no-send", "--admin", "y:1"], "cannot be used with"),
        (&["tcp://x", "--admin", "y:1"], "TARGET names none"),
        (&["tls://x", "--admin", "y:1"], "TARGET names none"),
    ] {
        let output = loadgen(&[&["probe"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {output:?}");
    }
}
