//! Uploads as large as may be: whatever they are full of, the checks that come before compiling are soon done with them.

use std::fs;

use hookbox::{
    module::check::{bounds, recognition, world},
    settings::Settings,
};
use hookbox_tests::bombs::full::Full;

/// What the checks may take, of one thread's CPU time.
const CPU_MS_MAX: u64 = 2000;

/// CPU time is told in hundredths of a second, and does not depend on what else the machine does.
#[test]
fn what_is_as_large_as_may_be_is_checked_soon_whatever_it_is_full_of() {
    let settings = Settings::default().modules;
    let size = usize::try_from(settings.component_bytes_max).unwrap();
    let mut slow = Vec::new();
    for full in Full::ALL {
        let component = full.of(size);
        assert!(component.len() <= size && component.len() > size / 10 * 5, "{full:?}: {} bytes", component.len());
        let before = cpu_ms();
        let judged = recognition::recognise(&component, size)
            .map_err(|(_, error)| error.to_string())
            .and_then(|()| bounds::measure(&component, &settings).map_err(|unfit| format!("{unfit:?}")));
        let measured = cpu_ms() - before;
        let fit = judged.and_then(|_| world::fit(&component).map_err(|(step, error)| format!("{step}: {error}")));
        let took = cpu_ms() - before;
        let told = fit.map_or_else(|refused| refused, |(kind, _)| format!("passed, {kind:?}"));
        println!("{full:?}: {} bytes, {measured} + {} ms of CPU: {told}", component.len(), took - measured);
        if took > CPU_MS_MAX {
            slow.push(format!("{full:?} took {took} ms"));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join(", "));
}

/// Of this thread so far.
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}
