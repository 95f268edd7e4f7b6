//! How often a call made the system look for memory.

/// Page faults of this thread so far, minor and major; `None` where the system does not tell.
pub fn so_far() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    // The name of the thread is in brackets, and may hold anything. Minor faults are the eighth field after it, major
    // ones the tenth.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(field(7)? + field(9)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_that_is_touched_for_the_first_time_is_counted() {
        let before = super::so_far().expect("Linux tells");
        // Larger than what allocators keep.
        let memory = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(super::so_far().is_some_and(|after| after > before), "{} bytes", memory.len());
    }
}
