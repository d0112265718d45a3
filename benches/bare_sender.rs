//! The least that a sender of datagrams can do: the same group of messages again and again, nothing written into them, no
//! clock but each thousandth group. What loadgen's senders are compared with (`benches/senders`).
//!
//! `bare_sender ADDRESS SECONDS BYTES GSO` prints messages a second.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use logboom_udp::SendBatch;

/// Messages in a group, as in loadgen.
const GROUP: usize = 64;

/// Groups between two looks at the clock.
const GROUPS: usize = 1000;

fn main() {
    let usage = "bare_sender ADDRESS SECONDS BYTES GSO";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds, bytes, gso] = arguments.as_slice() else { panic!("{usage}") };
    let address: SocketAddr = address.parse().expect(usage);
    let time = Duration::from_secs(seconds.parse().expect(usage));
    let (bytes, gso): (usize, usize) = (bytes.parse().expect(usage), gso.parse().expect(usage));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    let mut batch = SendBatch::new(address, gso);
    for _ in 0..GROUP {
        batch.push_with(|out| out.resize(out.len() + bytes, b'x'));
    }
    let (start, mut sent) = (Instant::now(), 0u64);
    while start.elapsed() < time {
        for _ in 0..GROUPS {
            let mut done = 0;
            while done < GROUP {
                done += batch.send(&socket, done).unwrap_or(0);
            }
            sent += GROUP as u64;
        }
    }
    println!("{:.0}", sent as f64 / start.elapsed().as_secs_f64());
}
