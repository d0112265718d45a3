//! Which socket of a group a datagram goes to.
//!
//! Without a program the kernel hashes addresses and ports: a sender keeps its socket, and one heavy sender has only one.
//! A classic BPF program in its place needs no privilege (SO_ATTACH_REUSEPORT_CBPF, socket(7)). Sockets are numbered in the
//! order in which they were bound; a number that does not exist falls back to the hash.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::ReceiveSocket;
use crate::sockopt::set_int;

/// A program for a group of sockets.
#[derive(Clone)]
pub struct Steering(Vec<libc::sock_filter>);

/// Loads and jumps of classic BPF (include/uapi/linux/bpf_common.h).
const LOAD_ABSOLUTE: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const MODULO: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN_ACCUMULATOR: u32 = libc::BPF_RET | BPF_A;
const RETURN_CONSTANT: u32 = libc::BPF_RET | libc::BPF_K;
/// In include/uapi/linux/filter.h, but not in libc.
const BPF_A: u32 = 0x10;

/// Most sockets of a group under [`Steering::cpu`]: two instructions each, of BPF_MAXINSNS 4,096.
const CPU_SOCKETS_MAX: usize = 2_000;

impl Steering {
    /// Every datagram to a random one of `sockets`: one heavy sender uses all, and loses its order.
    #[must_use]
    pub fn spread(sockets: usize) -> Self {
        Self(vec![
            step(LOAD_ABSOLUTE, extension(libc::SKF_AD_RANDOM)),
            step(MODULO, sockets.max(1) as u32),
            step(RETURN_ACCUMULATOR, 0),
        ])
    }

    /// To the socket whose receiver runs where the kernel took the datagram: socket `n` belongs to processor `cpus[n]`. On
    /// other processors by their number.
    #[must_use]
    pub fn cpu(cpus: &[usize]) -> Self {
        let mut program = vec![step(LOAD_ABSOLUTE, extension(libc::SKF_AD_CPU))];
        for (socket, cpu) in cpus.iter().enumerate().take(CPU_SOCKETS_MAX) {
            program.push(libc::sock_filter { jf: 1, ..step(JUMP_IF_EQUAL, *cpu as u32) });
            program.push(step(RETURN_CONSTANT, socket as u32));
        }
        program.push(step(MODULO, cpus.len().max(1) as u32));
        program.push(step(RETURN_ACCUMULATOR, 0));
        Self(program)
    }

    /// Steers the group that `socket` belongs to.
    ///
    /// # Errors
    /// What setsockopt(2) says: kernels before 4.5 have it not.
    pub fn attach(&self, socket: &ReceiveSocket) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: self.0.len() as libc::c_ushort,
            // The kernel copies the program and does not write to it.
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the pointer and length describe `program`, which points to that many instructions; both live through
        // the call; the descriptor is borrowed.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_REUSEPORT_CBPF,
                (&raw const program).cast(),
                size_of_val(&program) as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Gives the group that `socket` belongs to back to the hash; also needed before a door is closed, because a program
    /// does not look whether its socket still takes from anybody.
    ///
    /// # Errors
    /// What setsockopt(2) says: kernels before 5.4 cannot; ENOENT when there is no program.
    pub fn detach(socket: &ReceiveSocket) -> io::Result<()> {
        set_int(socket.as_fd(), libc::SOL_SOCKET, libc::SO_DETACH_REUSEPORT_BPF, 0)
    }
}

fn step(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Where a program reads what the kernel knows beside the datagram's bytes.
fn extension(offset: libc::c_int) -> u32 {
    (libc::SKF_AD_OFF + offset) as u32
}
