//! Which receiver gets a datagram, and when that changes.
//!
//! The kernel's hash keeps a sender at one receiver, and its order with it. Scattering (`spread`, `cpu`) uses every
//! receiver for one heavy sender; its messages are then put in order by the time at which the kernel took each
//! ([`Flags::KERNEL_TIME`](logboom_segment::Flags::KERNEL_TIME)).
//!
//! `auto` begins with the hash. Before it scatters, every receiver must take the kernel's times: first all sockets are
//! told to stamp; then each receiver drains what came before that, hands it over under the old times, and says so; the
//! last one attaches the program. So no message is stored with an earlier time than one that its sender sent before it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use logboom_udp::{ReceiveSocket, Steering, stamp_arrivals};

use crate::config;
use crate::ledger::Ledger;

/// Datagrams between two looks at one socket of which the others get next to nothing: worth scattering even while none is
/// lost. Below it the stamps would cost more than an idle receiver saves.
const HEAVY_DATAGRAMS: u64 = 100_000;

/// What steers now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The kernel's hash of addresses and ports.
    Hash,
    /// A random receiver for each datagram.
    Spread,
    /// The receiver of the processor that took the datagram.
    Cpu,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Hash, Self::Spread, Self::Cpu];

    /// Label of the metric, and the word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Spread => "spread",
            Self::Cpu => "cpu",
        }
    }
}

/// Puts a program into the group of a socket: [`Steering::attach`], or in tests what a kernel without it answers.
type Attach = fn(&Steering, &ReceiveSocket) -> io::Result<()>;

/// The groups of sockets, and how they are steered; shared by all receivers.
pub struct Steerer {
    /// For each UDP listener its number, and a socket for each receiver, or for the first alone.
    groups: Vec<(u8, Vec<Arc<ReceiveSocket>>)>,
    receivers: usize,
    /// What to scatter by; `None` where there is nothing to scatter over, or it is not wanted.
    program: Option<(Mode, Steering)>,
    attach: Attach,
    /// Whether to scatter as soon as every receiver stores the kernel's times.
    wanted: AtomicBool,
    kernel_times: AtomicBool,
    /// Receivers that store them.
    stamping: AtomicUsize,
    /// `None` once doors are about to be closed: nothing may be attached any more.
    mode: Mutex<Option<Mode>>,
}

impl Steerer {
    /// Steers `groups` as configured, once every receiver has begun; receiver `n` runs on processor `cpus[n]`. Where the
    /// kernel cannot, the hash stays, with a warning.
    ///
    /// # Errors
    /// When a socket cannot stamp arrivals.
    pub fn new(
        groups: Vec<(u8, Vec<Arc<ReceiveSocket>>)>,
        receive: &config::Receive,
        cpus: &[usize],
    ) -> io::Result<Self> {
        Self::with(groups, receive, cpus, Steering::attach)
    }

    fn with(
        groups: Vec<(u8, Vec<Arc<ReceiveSocket>>)>,
        receive: &config::Receive,
        cpus: &[usize],
        attach: Attach,
    ) -> io::Result<Self> {
        use config::Steering::{Auto, Cpu, Hash, Spread};
        let program = match receive.steering {
            Auto | Spread => Some((Mode::Spread, Steering::spread(cpus.len()))),
            Cpu => Some((Mode::Cpu, Steering::cpu(cpus))),
            Hash => None,
        };
        let program = program.filter(|_| groups.iter().any(|(_, group)| is_scattered(group, cpus.len())));
        let wanted = program.is_some() && receive.steering != Auto;
        let steerer = Self {
            groups,
            receivers: cpus.len(),
            program,
            attach,
            wanted: AtomicBool::new(wanted),
            kernel_times: AtomicBool::new(false),
            stamping: AtomicUsize::new(0),
            mode: Mutex::new(Some(Mode::Hash)),
        };
        if wanted || receive.timestamp == config::Timestamp::Kernel {
            steerer.take_kernel_times()?;
        }
        Ok(steerer)
    }

    /// What steers now.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.lock_mode().unwrap_or(Mode::Hash)
    }

    fn lock_mode(&self) -> MutexGuard<'_, Option<Mode>> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether receivers are to store the kernel's times.
    #[inline]
    #[must_use]
    pub fn wants_kernel_times(&self) -> bool {
        self.kernel_times.load(Ordering::Acquire)
    }

    fn take_kernel_times(&self) -> io::Result<()> {
        if self.wants_kernel_times() {
            return Ok(());
        }
        stamp_arrivals(self.groups.iter().flat_map(|(_, group)| group).map(|socket| &**socket))?;
        self.kernel_times.store(true, Ordering::Release);
        Ok(())
    }

    /// A receiver has handed over everything with other times; from here on it stores the kernel's.
    pub fn note_stamping(&self) {
        self.stamping.fetch_add(1, Ordering::AcqRel);
        self.scatter_if_ready();
    }

    /// The first socket of each group over which datagrams can be scattered.
    fn scattered(&self) -> impl Iterator<Item = &ReceiveSocket> {
        let groups = self.groups.iter().filter(|(_, group)| is_scattered(group, self.receivers));
        groups.map(|(_, group)| &*group[0])
    }

    fn all_are_stamping(&self) -> bool {
        self.stamping.load(Ordering::Acquire) >= self.receivers
    }

    fn scatter_if_ready(&self) {
        let Some((mode, program)) = &self.program else { return };
        let mut now = self.lock_mode();
        if now.is_none() || !self.all_are_stamping() || !self.wanted.swap(false, Ordering::AcqRel) {
            return;
        }
        for socket in self.scattered() {
            if let Err(error) = (self.attach)(program, socket) {
                tracing::warn!(
                    "this kernel cannot steer datagrams ({error}): each sender stays with one receiver (receive.steering)"
                );
                self.detach();
                return;
            }
        }
        *now = Some(*mode);
        tracing::info!("steering datagrams by {} (receive.steering)", mode.name());
    }

    fn detach(&self) {
        for socket in self.scattered() {
            // Without a program there is nothing to detach.
            let _ = Steering::detach(socket);
        }
    }

    /// Makes ready for doors to be closed, one after the other: the kernel moves a sender whose socket is closed to
    /// another, and without the kernel's times what it sends there could be read before what it sent earlier. A program
    /// would choose a closed door, so groups go back to the hash. `wake` wakes all receivers.
    pub fn prepare_to_close(&self, wake: impl Fn()) {
        const CHANGE_OVER_MAX: Duration = Duration::from_secs(2);
        const LOOK_INTERVAL: Duration = Duration::from_millis(1);
        if self.receivers > 1 && self.take_kernel_times().is_ok() {
            let since = Instant::now();
            wake();
            while !self.all_are_stamping() && since.elapsed() < CHANGE_OVER_MAX {
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
        self.lock_mode().take();
        self.detach();
    }

    /// What each socket got so far, by group and receiver.
    fn loads(&self, ledger: &Ledger) -> Vec<Vec<Load>> {
        let load = |listener: u8, socket: &ReceiveSocket, receiver: usize| Load {
            received: ledger.receivers[receiver].listeners[usize::from(listener)].messages.get(),
            dropped: socket.dropped().unwrap_or_default(),
        };
        let group = |(listener, group): &(u8, Vec<Arc<ReceiveSocket>>)| {
            group.iter().enumerate().map(|(receiver, socket)| load(*listener, socket, receiver)).collect()
        };
        self.groups.iter().map(group).collect()
    }
}

/// Whether datagrams can be scattered over a group: not where the first receiver alone has a socket, as of a multicast group.
fn is_scattered(group: &[Arc<ReceiveSocket>], receivers: usize) -> bool {
    group.len() > 1 && group.len() == receivers
}

/// Looks now and then whether the hash will do. One receiver has it.
pub struct LoadWatch {
    steerer: Arc<Steerer>,
    ledger: Arc<Ledger>,
    /// As of the last look.
    loads: Vec<Vec<Load>>,
    decided: bool,
}

impl LoadWatch {
    /// For `auto`; `None` where there is nothing to decide.
    #[must_use]
    pub fn new(steerer: &Arc<Steerer>, ledger: &Arc<Ledger>) -> Option<Self> {
        let undecided = steerer.program.is_some() && !steerer.wanted.load(Ordering::Acquire);
        let loads = steerer.loads(ledger);
        undecided.then(|| Self { steerer: Arc::clone(steerer), ledger: Arc::clone(ledger), loads, decided: false })
    }

    /// Looks, and scatters where one sender is too much for one receiver.
    pub fn look(&mut self) {
        if self.decided {
            return;
        }
        let now = self.steerer.loads(&self.ledger);
        let lopsided = now.iter().zip(&self.loads).any(|(now, before)| is_lopsided(now, before));
        self.loads = now;
        if !lopsided {
            return;
        }
        self.decided = true;
        tracing::info!("one receiver has most of the load: datagrams are now spread over all (receive.steering)");
        if let Err(error) = self.steerer.take_kernel_times() {
            tracing::warn!("the kernel does not stamp arrivals ({error}): each sender stays with one receiver");
            return;
        }
        self.steerer.wanted.store(true, Ordering::Release);
        self.steerer.scatter_if_ready();
    }
}

/// What one socket got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    received: u64,
    dropped: u64,
}

/// Whether, between two looks, one socket of a group had too much while another had next to nothing.
fn is_lopsided(now: &[Load], before: &[Load]) -> bool {
    let since = |(now, before): (&Load, &Load)| (now.received - before.received, now.dropped - before.dropped);
    let since: Vec<(u64, u64)> = now.iter().zip(before).map(since).collect();
    let offered = |(received, dropped): &(u64, u64)| received + dropped;
    let Some(busiest) = since.iter().max_by_key(|load| offered(load)) else { return false };
    let idlest = since.iter().map(offered).min().unwrap_or_default();
    idlest < offered(busiest) / 4 && (busiest.1 > 0 || busiest.0 >= HEAVY_DATAGRAMS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Receive};

    fn loads(loads: &[(u64, u64)]) -> Vec<Load> {
        loads.iter().map(|(received, dropped)| Load { received: *received, dropped: *dropped }).collect()
    }

    #[test]
    fn one_heavy_or_dropping_socket_beside_an_idle_one_is_lopsided() {
        let begun = loads(&[(7, 0), (3, 2)]);
        let now =
            |first: (u64, u64), second: (u64, u64)| loads(&[(7 + first.0, first.1), (3 + second.0, 2 + second.1)]);
        assert!(is_lopsided(&now((0, 0), (HEAVY_DATAGRAMS, 0)), &begun));
        assert!(is_lopsided(&now((1_000, 5), (10, 0)), &begun));
        assert!(!is_lopsided(&now((0, 0), (1_000, 0)), &begun), "light");
        assert!(!is_lopsided(&now((500_000, 100), (400_000, 90)), &begun), "all have much");
        assert!(!is_lopsided(&loads(&[(1_000_000, 9)]), &loads(&[(0, 0)])), "nobody to share with");
    }

    fn group(receivers: usize) -> Vec<(u8, Vec<Arc<ReceiveSocket>>)> {
        let sockets = logboom_udp::bind_group("127.0.0.1:0".parse().unwrap(), receivers, 1 << 16, false).unwrap();
        vec![(0, sockets.into_iter().map(Arc::new).collect())]
    }

    fn steerer(steering: config::Steering, receivers: usize, attach: Attach) -> Steerer {
        let receive = Receive { steering, ..Config::default().receive };
        Steerer::with(group(receivers), &receive, &vec![0; receivers], attach).unwrap()
    }

    #[test]
    fn nothing_is_scattered_before_every_receiver_stores_the_kernels_times() {
        let steerer = steerer(config::Steering::Spread, 2, Steering::attach);
        assert!(steerer.wants_kernel_times());
        steerer.note_stamping();
        assert_eq!(steerer.mode(), Mode::Hash);
        steerer.note_stamping();
        assert_eq!(steerer.mode(), Mode::Spread);
    }

    #[test]
    fn a_kernel_without_programs_keeps_the_hash() {
        let refuse: Attach = |_, _| Err(io::Error::from_raw_os_error(92)); // ENOPROTOOPT
        for steering in [config::Steering::Spread, config::Steering::Cpu] {
            let steerer = steerer(steering, 2, refuse);
            (0..2).for_each(|_| steerer.note_stamping());
            assert_eq!(steerer.mode(), Mode::Hash);
        }
    }

    #[test]
    fn a_single_receiver_or_socket_has_nothing_to_steer() {
        for receivers in [1, 2] {
            let receive = Receive { steering: config::Steering::Spread, ..Config::default().receive };
            let steerer = Steerer::with(group(1), &receive, &vec![0; receivers], Steering::attach).unwrap();
            (0..receivers).for_each(|_| steerer.note_stamping());
            assert_eq!((steerer.mode(), steerer.wants_kernel_times()), (Mode::Hash, false));
        }
    }
}
