//! What the compile helper may still do: compute, take memory, and use the three pipes that it was given.
//!
//! The limits are the kernel's own, so they hold whatever the compiler does. The system calls are a list of what is
//! allowed; everything else fails with EPERM. So code that an attacker got to run in the compiler could open no file and no
//! socket, start nothing and trace nothing.

use std::io;

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit},
};

/// Descriptors that it may have: the three pipes, and one while the folder of descriptors is read.
const DESCRIPTORS_MAX: u64 = 4;

/// Takes from this process what it does not need for compiling. Cannot be undone.
pub fn enter(memory_bytes_max: u64, cpu_s: u64) -> io::Result<()> {
    // The host may be killed, and then nobody is left to kill this one.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    close_inherited()?;
    limit(Resource::As, memory_bytes_max, memory_bytes_max)?;
    limit(Resource::Data, memory_bytes_max, memory_bytes_max)?;
    // At the first the kernel sends SIGXCPU, which tells; at the second SIGKILL.
    limit(Resource::Cpu, cpu_s, cpu_s + 1)?;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, DESCRIPTORS_MAX, DESCRIPTORS_MAX)?;
    nice(19)?;
    filter_system_calls()
}

fn limit(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(current), maximum: Some(maximum) };
    match setrlimit(resource, limit) {
        // The host was started under a tighter one, which then holds.
        Err(Errno::PERM | Errno::INVAL) => Ok(()),
        other => Ok(other?),
    }
}

/// Closes what the host was itself given open by whoever started it, which its children get too.
fn close_inherited() -> io::Result<()> {
    let open = std::fs::read_dir("/proc/self/fd")?;
    let open: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: this process has opened nothing yet but the folder that was read, and that is closed by now; so nothing
        // here owns the descriptor, and nobody will use it.
        unsafe { rustix::io::close(descriptor) };
    }
    Ok(())
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn filter_system_calls() -> io::Result<()> {
    use std::collections::BTreeMap;

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    /// Memory, the pipes, and what it takes to end, or to panic.
    const ALLOWED: [i64; 25] = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_mmap,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_sched_yield,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let rules: BTreeMap<i64, Vec<_>> = ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// Elsewhere the limits have to do.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn filter_system_calls() -> io::Result<()> {
    Ok(())
}

/// Whether system calls are filtered on this machine, as the host says once when it is not so.
pub const FILTERS_SYSTEM_CALLS: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));
