//! Claims of the socket layer, on real sockets of the loopback interface, by counters and never by time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use logboom_udp::{
    Origin, ReceiveRing, ReceiveSocket, SendBatch, SendError, Steering, bind_group, clock, hear_echo_replies_alone,
    queue_send_errors, stamp_arrivals, take_send_error, thread,
};
use socket2::{Domain, Protocol, Socket, Type};

const BUFFER_BYTES: usize = 1 << 20;

fn bind(address: &str, count: usize) -> io::Result<Vec<ReceiveSocket>> {
    bind_group(address.parse().unwrap(), count, BUFFER_BYTES, false)
}

fn sender(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    UdpSocket::bind((any, 0)).unwrap()
}

/// Datagrams queued on a socket of the loopback interface are there when send returns.
fn drain(socket: &ReceiveSocket, ring: &mut ReceiveRing) -> Vec<(Vec<u8>, u32, SocketAddr)> {
    let mut all = Vec::new();
    loop {
        let received = ring.receive(socket).unwrap();
        for slot in (0..received).map(|index| ring.slot(index)) {
            let source = SocketAddr::new(slot.address, slot.port);
            all.extend(slot.datagrams().map(|(payload, length)| (payload.to_vec(), length, source)));
        }
        if received < ring.batch() {
            return all;
        }
    }
}

#[test]
fn payload_and_sender_come_as_sent() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let socket = bind(address, 1).unwrap().remove(0);
        let from = sender(socket.address());
        let longest = vec![b'x'; 65_507];
        for payload in [&b"one"[..], b"", b"two\0\n", &longest] {
            from.send_to(payload, socket.address()).unwrap();
        }
        let received = drain(&socket, &mut ReceiveRing::new(2, 65_535));
        let payloads: Vec<_> = received.iter().map(|(payload, _, _)| payload.as_slice()).collect();
        assert_eq!(payloads, [&b"one"[..], b"", b"two\0\n", &longest]);
        assert!(received.iter().all(|(payload, length, _)| payload.len() == *length as usize));
        assert!(received.iter().all(|(_, _, source)| *source == from.local_addr().unwrap()));
    }
}

#[test]
fn a_dual_stack_socket_gives_ipv4_senders_as_ipv4() {
    let socket = bind("[::]:0", 1).unwrap().remove(0);
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    from.send_to(b"four", (Ipv4Addr::LOCALHOST, socket.address().port())).unwrap();
    let received = drain(&socket, &mut ReceiveRing::new(4, 100));
    assert_eq!(received, [(b"four".to_vec(), 4, from.local_addr().unwrap())]);
}

#[test]
fn a_v6_only_socket_leaves_ipv4_to_another() {
    let six = bind_group("[::]:0".parse().unwrap(), 2, BUFFER_BYTES, true).unwrap();
    let port = six[0].address().port();
    bind(&format!("0.0.0.0:{port}"), 2).unwrap();
}

#[test]
fn a_cut_datagram_tells_its_length() {
    let socket = bind("127.0.0.1:0", 1).unwrap().remove(0);
    let from = sender(socket.address());
    from.send_to(&[b'x'; 3000], socket.address()).unwrap();
    from.send_to(b"next", socket.address()).unwrap();
    let mut ring = ReceiveRing::new(4, 100);
    assert_eq!(ring.receive(&socket).unwrap(), 2);
    let received: Vec<_> = (0..2).flat_map(|index| ring.slot(index).datagrams()).collect();
    assert_eq!(received, [(&[b'x'; 100][..], 3000), (&b"next"[..], 4)]);
}

#[test]
fn a_group_shares_one_port_chosen_by_the_kernel_and_all_arrives_once() {
    let sockets = bind("127.0.0.1:0", 4).unwrap();
    let to = sockets[0].address();
    assert!(to.port() != 0 && sockets.iter().all(|socket| socket.address() == to));
    for flow in 0..64u8 {
        sender(to).send_to(&[flow], to).unwrap();
    }
    let mut ring = ReceiveRing::new(16, 100);
    let mut all: Vec<_> = sockets.iter().flat_map(|socket| drain(socket, &mut ring)).collect();
    all.sort_unstable();
    let flows: Vec<u8> = all.iter().map(|(payload, _, _)| payload[0]).collect();
    assert_eq!(flows, (0..64).collect::<Vec<_>>());
}

#[test]
fn a_second_group_on_the_port_is_refused() {
    let first = bind("127.0.0.1:0", 2).unwrap();
    let address = first[0].address().to_string();
    for count in [1, 2] {
        assert_eq!(bind(&address, count).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
    drop(first);
    bind(&address, 2).unwrap();
}

#[test]
fn every_datagram_that_found_no_room_is_counted() {
    let socket = bind_group("127.0.0.1:0".parse().unwrap(), 1, 20_000, false).unwrap().remove(0);
    assert!(socket.receive_buffer_bytes().unwrap() >= 20_000);
    let from = sender(socket.address());
    for _ in 0..1000 {
        from.send_to(&[b'x'; 200], socket.address()).unwrap();
    }
    // Before a single one is read: the control message that tells drops would miss all of them.
    let dropped = socket.dropped().unwrap();
    let full = socket.buffer_use().unwrap();
    assert!(full.used_bytes > 0 && full.limit_bytes >= 40_000);
    let received = drain(&socket, &mut ReceiveRing::new(64, 200)).len() as u64;
    assert!(dropped > 0 && received > 0);
    assert_eq!(received + dropped, 1000);
    assert_eq!(socket.dropped().unwrap(), dropped);
}

#[test]
fn behind_a_closed_door_the_queue_stays_and_nothing_arrives() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0", "[::1]:0"] {
        let socket = bind(address, 1).unwrap().remove(0);
        let loopback: IpAddr = if address.contains(':') && address.starts_with('[') {
            std::net::Ipv6Addr::LOCALHOST.into()
        } else {
            Ipv4Addr::LOCALHOST.into()
        };
        let to = SocketAddr::new(loopback, socket.address().port());
        let from = sender(to);
        for number in 0..10u8 {
            from.send_to(&[number], to).unwrap();
        }
        socket.close_door().unwrap();
        for number in 10..20u8 {
            // An ICMP answer to an earlier one may be reported here; unconnected sockets are not told.
            from.send_to(&[number], to).unwrap();
        }
        let received = drain(&socket, &mut ReceiveRing::new(64, 100));
        let numbers: Vec<u8> = received.iter().map(|(payload, _, _)| payload[0]).collect();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>(), "{address}");
        assert_eq!(socket.dropped().unwrap(), 0);
    }
}

#[test]
fn a_batch_is_sent_whole_and_in_order() {
    let socket = bind("127.0.0.1:0", 1).unwrap().remove(0);
    let from = sender(socket.address());
    let mut batch = SendBatch::new(socket.address(), 1);
    for number in 0..100u8 {
        batch.push_with(|bytes| bytes.extend_from_slice(&vec![number; usize::from(number)]));
    }
    let mut sent = 0;
    while sent < batch.len() {
        sent += batch.send(&from, sent).unwrap();
    }
    let received = drain(&socket, &mut ReceiveRing::new(64, 200));
    let lengths: Vec<usize> = received.iter().map(|(payload, _, _)| payload.len()).collect();
    assert_eq!(lengths, (0..100).collect::<Vec<_>>());
    batch.clear();
    assert!(batch.is_empty());
}

#[test]
fn a_thread_can_be_pinned_to_each_processor_it_may_use() {
    let cpus = thread::allowed_cpus().unwrap();
    assert!(!cpus.is_empty());
    std::thread::spawn(move || {
        for cpu in cpus {
            thread::pin_to_cpu(cpu).unwrap();
            assert_eq!(thread::allowed_cpus().unwrap(), [cpu]);
        }
        thread::set_nice(10).unwrap();
        thread::set_timer_slack(1).unwrap();
    })
    .join()
    .unwrap();
}

#[test]
fn both_clocks_go_forward() {
    let (wall, boot) = (clock::realtime_ns(), clock::boot_ns());
    assert!(wall > 1_700_000_000_000_000_000, "after 2023");
    assert!(boot > 0 && clock::boot_ns() >= boot);
}

#[test]
fn a_train_arrives_as_the_datagrams_it_was_made_from_joined_or_not() {
    for joined in [false, true] {
        let socket = bind("127.0.0.1:0", 1).unwrap().remove(0);
        if joined {
            socket.join_segments().unwrap();
        }
        let mut batch = SendBatch::new(socket.address(), 64);
        let sent: Vec<Vec<u8>> = (0..100u8).map(|number| vec![number; if number == 70 { 30 } else { 50 }]).collect();
        sent.iter().for_each(|payload| batch.push_with(|out| out.extend_from_slice(payload)));
        let from = sender(socket.address());
        let mut done = 0;
        while done < batch.len() {
            done += batch.send(&from, done).unwrap();
        }
        let mut ring = ReceiveRing::new(64, 65_535);
        let slots = ring.receive(&socket).unwrap();
        assert_eq!(slots < 10, joined, "{slots} slots");
        let mut received: Vec<_> = (0..slots)
            .flat_map(|index| ring.slot(index).datagrams())
            .map(|(payload, length)| (payload.to_vec(), length))
            .collect();
        received.extend(drain(&socket, &mut ring).into_iter().map(|(payload, length, _)| (payload, length)));
        assert!(received.iter().all(|(payload, length)| payload.len() == *length as usize));
        assert_eq!(received.into_iter().map(|(payload, _)| payload).collect::<Vec<_>>(), sent);
    }
}

#[test]
fn the_kernel_tells_when_a_datagram_arrived_and_not_when_it_was_read() {
    let socket = bind("127.0.0.1:0", 1).unwrap().remove(0);
    stamp_arrivals([&socket]).unwrap();
    let from = sender(socket.address());
    let before = clock::realtime_ns();
    from.send_to(b"first", socket.address()).unwrap();
    from.send_to(b"second", socket.address()).unwrap();
    let after = clock::realtime_ns();
    let mut ring = ReceiveRing::new(4, 100);
    assert_eq!(ring.receive(&socket).unwrap(), 2);
    let arrived: Vec<u64> = (0..2).map(|index| ring.slot(index).arrived_ns.unwrap()).collect();
    assert!(before <= arrived[0] && arrived[0] <= arrived[1] && arrived[1] <= after, "{before} {arrived:?} {after}");
}

#[test]
fn one_sender_uses_one_socket_by_hash_and_all_when_spread() {
    const DATAGRAMS: usize = 2_000;
    let sockets = bind("127.0.0.1:0", 4).unwrap();
    let from = sender(sockets[0].address());
    let mut ring = ReceiveRing::new(64, 100);
    let mut counts = |sockets: &[ReceiveSocket]| -> Vec<usize> {
        for _ in 0..DATAGRAMS {
            from.send_to(b"x", sockets[0].address()).unwrap();
        }
        sockets.iter().map(|socket| drain(socket, &mut ring).len()).collect()
    };
    assert_eq!(counts(&sockets).iter().filter(|count| **count > 0).count(), 1);
    Steering::spread(4).attach(&sockets[0]).unwrap();
    let spread = counts(&sockets);
    assert_eq!(spread.iter().sum::<usize>(), DATAGRAMS);
    // 500 each; 100 away from it is five standard deviations.
    assert!(spread.iter().all(|count| (400..600).contains(count)), "{spread:?}");
    Steering::detach(&sockets[0]).unwrap();
    assert_eq!(counts(&sockets).iter().filter(|count| **count > 0).count(), 1);
}

#[test]
fn steering_by_processor_gives_a_datagram_to_the_receiver_there() {
    let cpus = thread::allowed_cpus().unwrap();
    // In reverse, so that neither the hash nor the processor's own number would do.
    let reversed: Vec<usize> = cpus.iter().rev().copied().collect();
    let sockets = bind("127.0.0.1:0", reversed.len()).unwrap();
    Steering::cpu(&reversed).attach(&sockets[0]).unwrap();
    for (number, cpu) in reversed.iter().enumerate() {
        let to = sockets[0].address();
        let cpu = *cpu;
        // On the loopback interface the sender's processor takes the datagram.
        std::thread::spawn(move || {
            thread::pin_to_cpu(cpu).unwrap();
            sender(to).send_to(b"x", to).unwrap();
        })
        .join()
        .unwrap();
        let mut ring = ReceiveRing::new(4, 100);
        assert_eq!(drain(&sockets[number], &mut ring).len(), 1, "processor {cpu}");
    }
}

#[test]
fn a_program_is_refused_for_a_socket_outside_a_group() {
    let alone = bind("127.0.0.1:0", 1).unwrap().remove(0);
    assert!(Steering::spread(2).attach(&alone).is_err());
}

#[test]
fn a_port_where_nobody_listens_is_told_for_each_datagram_and_swallows_none() {
    for (host, told) in [("127.0.0.1", Origin::Icmp(3, 3)), ("[::1]", Origin::Icmp6(1, 4))] {
        let closed = UdpSocket::bind(format!("{host}:0")).unwrap().local_addr().unwrap();
        let from = sender(closed);
        queue_send_errors(&from).unwrap();
        assert_eq!(take_send_error(&from).unwrap(), None);
        let mut batch = SendBatch::new(closed, 1);
        for number in 0..5 {
            batch.push_with(|out| out.extend([number; 9]));
        }
        let (mut sent, mut errors) = (0, Vec::new());
        while sent < batch.len() {
            sent += batch.send(&from, sent).unwrap_or(0);
            errors.extend(std::iter::from_fn(|| take_send_error(&from).unwrap()));
        }
        let refused = |number| {
            let (errno, offender) = (111, Some(closed.ip())); // ECONNREFUSED
            SendError { errno, origin: told, mtu_bytes: 0, offender, sent: Some([number; 8]) }
        };
        assert_eq!(errors, (0..5).map(refused).collect::<Vec<_>>());
    }
}

#[test]
fn a_raw_socket_hears_the_reply_and_not_the_request() {
    // On the loopback interface it would get its own request first. An IPv4 header of 20 B comes with the reply (raw(7)).
    let requests: [(IpAddr, Protocol, [u8; 8], usize, u8); 2] = [
        ([127, 0, 0, 1].into(), Protocol::ICMPV4, [8, 0, 0xf7, 0xff, 0, 0, 0, 0], 20, 0),
        (std::net::Ipv6Addr::LOCALHOST.into(), Protocol::ICMPV6, [128, 0, 0, 0, 0, 0, 0, 0], 0, 129),
    ];
    for (host, protocol, request, header_bytes, reply) in requests {
        let to = SocketAddr::new(host, 0);
        let Ok(socket) = Socket::new(Domain::for_address(to), Type::RAW, Some(protocol)) else {
            println!("skipped: raw sockets (they take CAP_NET_RAW)");
            return;
        };
        hear_echo_replies_alone(&socket).unwrap();
        socket.connect(&to.into()).unwrap();
        let mut packet = [0; 100];
        // What came before the filter was set.
        socket.set_nonblocking(true).unwrap();
        while (&socket).read(&mut packet).is_ok() {}
        socket.set_nonblocking(false).unwrap();
        socket.send(&request).unwrap();
        loop {
            let bytes = (&socket).read(&mut packet).unwrap();
            assert_eq!(packet[header_bytes], reply);
            if bytes == header_bytes + request.len() {
                break; // Others ask with more text.
            }
        }
    }
}

#[test]
fn a_datagram_that_is_too_long_is_told_at_once_and_the_next_can_be_sent() {
    let socket = bind("127.0.0.1:0", 1).unwrap().remove(0);
    let from = sender(socket.address());
    let mut batch = SendBatch::new(socket.address(), 1);
    batch.push_with(|out| out.resize(65_508, b'x'));
    batch.push_with(|out| out.extend_from_slice(b"short"));
    assert_eq!(batch.send(&from, 0).unwrap_err().raw_os_error(), Some(90), "EMSGSIZE");
    assert_eq!(batch.train_datagrams(), 1);
    assert_eq!(batch.send(&from, 1).unwrap(), 1);
    assert_eq!(drain(&socket, &mut ReceiveRing::new(4, 100)).len(), 1);
}
