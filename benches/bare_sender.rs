//! The least that a sender of datagrams can do: the same group of messages again and again, nothing written into them, no
//! clock but each thousandth group. What loadgen's senders are compared with (`benches/senders`).
//!
//! `bare_sender ADDRESS SECONDS BYTES GSO` prints messages a second. With `RATE` behind it, it sends so many a second, each as
//! soon as it is due, and prints the share that the kernel had within 200 us: the most punctual that this machine lets a program
//! be.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use logboom_udp::SendBatch;

/// Messages in a group, as in loadgen.
const GROUP: usize = 64;

/// Groups between two looks at the clock.
const GROUPS: usize = 1000;

/// What loadgen calls punctual.
const PUNCTUAL: Duration = Duration::from_micros(200);

fn main() {
    let usage = "bare_sender ADDRESS SECONDS BYTES GSO [RATE]";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (rate, fixed) = match arguments.as_slice() {
        [fixed @ .., rate] if fixed.len() == 4 => (Some(rate.parse::<u32>().expect(usage)), fixed),
        fixed => (None, fixed),
    };
    let [address, seconds, bytes, gso] = fixed else { panic!("{usage}") };
    let address: SocketAddr = address.parse().expect(usage);
    let time = Duration::from_secs(seconds.parse().expect(usage));
    let (bytes, gso): (usize, usize) = (bytes.parse().expect(usage), gso.parse().expect(usage));
    let mut sender = Bare {
        socket: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket"),
        batch: SendBatch::new(address, gso),
        bytes,
    };
    match rate {
        None => println!("{:.0}", sender.full_speed(time)),
        Some(rate) => println!("{:.6}", sender.punctual(rate, time)),
    }
}

struct Bare {
    socket: UdpSocket,
    batch: SendBatch,
    bytes: usize,
}

impl Bare {
    /// The batch holds `messages`.
    fn fill(&mut self, messages: usize) {
        self.batch.clear();
        for _ in 0..messages {
            self.batch.push_with(|out| out.resize(out.len() + self.bytes, b'x'));
        }
    }

    fn send(&mut self) {
        let mut done = 0;
        while done < self.batch.len() {
            done += self.batch.send(&self.socket, done).unwrap_or(0);
        }
    }

    /// Messages a second.
    fn full_speed(&mut self, time: Duration) -> f64 {
        self.fill(GROUP);
        let (start, mut sent) = (Instant::now(), 0u64);
        while start.elapsed() < time {
            for _ in 0..GROUPS {
                self.send();
                sent += GROUP as u64;
            }
        }
        sent as f64 / start.elapsed().as_secs_f64()
    }

    /// The share of messages that the kernel had in time.
    fn punctual(&mut self, rate: u32, time: Duration) -> f64 {
        let count = u64::from(rate) * time.as_secs();
        let due = |number: u64| Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
        let (start, mut sent, mut punctual) = (Instant::now(), 0, 0);
        while sent < count {
            let elapsed = start.elapsed();
            let mut group = (sent..count).take(GROUP).take_while(|number| due(*number) <= elapsed);
            let Some(last) = group.by_ref().last() else { continue };
            self.fill((last + 1 - sent) as usize);
            self.send();
            let now = start.elapsed();
            punctual += (sent..=last).filter(|number| now < due(*number) + PUNCTUAL).count();
            sent = last + 1;
        }
        punctual as f64 / count as f64
    }
}
