//! How often a call made the system look for memory.

/// Minor page faults of this thread so far; `None` where the system does not tell.
pub(super) fn so_far() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    // The name of the thread is in brackets, and may hold anything; what is counted stands after it.
    stat.rsplit(')').next()?.split_whitespace().nth(7)?.parse().ok()
}
