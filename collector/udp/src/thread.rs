//! Processors and priorities of the calling thread.

use std::io;

/// Processors that this thread may run on (sched_getaffinity(2)), ascending.
///
/// # Errors
/// What sched_getaffinity(2) says; also on machines with more processors than a `cpu_set_t` holds (1,024).
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: all-zero bytes are a valid, empty cpu_set_t.
    let mut set = unsafe { std::mem::zeroed::<libc::cpu_set_t>() };
    // SAFETY: the kernel writes at most the stated size to `set`.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    check(result)?;
    // SAFETY: CPU_ISSET reads one bit of `set`, and the index is below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Keeps this thread on one processor.
///
/// # Errors
/// What sched_setaffinity(2) says: the processor may be offline, or outside the process's cpuset.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: all-zero bytes are a valid, empty cpu_set_t.
    let mut set = unsafe { std::mem::zeroed::<libc::cpu_set_t>() };
    // SAFETY: CPU_SET writes one bit of `set`; the index was checked.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel reads the stated size from `set`.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
}

/// Puts this thread before all that are not real-time: SCHED_FIFO, lowest priority (sched(7)).
///
/// # Errors
/// What sched_setscheduler(2) says: EPERM without CAP_SYS_NICE or RLIMIT_RTPRIO.
pub fn outrank_others() -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sched_param.
    let mut parameters = unsafe { std::mem::zeroed::<libc::sched_param>() };
    parameters.sched_priority = 1;
    // SAFETY: the kernel reads `parameters`, which lives through the call; 0 names the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })
}

/// Puts this thread behind others of its process: its nice value (sched(7): on Linux each thread has its own).
///
/// # Errors
/// What setpriority(2) says.
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: no pointers; 0 names the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })
}

/// Puts this thread behind every other of the machine: it runs when nothing else wants the processor (SCHED_IDLE, sched(7)),
/// and reads and writes when nothing else wants the disk (ioprio_set(2); only some I/O schedulers heed that).
///
/// # Errors
/// What sched_setscheduler(2) says.
pub fn yield_to_all() -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_long = 1;
    const IOPRIO_CLASS_IDLE: libc::c_long = 3;
    const IOPRIO_CLASS_SHIFT: u32 = 13;
    // SAFETY: no pointers; 0 names the calling thread. A scheduler without priorities refuses, which changes nothing.
    unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT) };
    // SAFETY: all-zero bytes are a valid sched_param.
    let parameters = unsafe { std::mem::zeroed::<libc::sched_param>() };
    // SAFETY: the kernel reads `parameters`, which lives through the call; 0 names the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) })
}

/// Lets sleeps of this thread end up to `ns` late, so that the kernel may join timers (prctl(2), PR_SET_TIMERSLACK;
/// 50,000 unless changed).
///
/// # Errors
/// What prctl(2) says.
pub fn set_timer_slack(ns: u32) -> io::Result<()> {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, libc::c_ulong::from(ns), 0, 0, 0) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
