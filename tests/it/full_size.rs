//! Uploads as large as may be: whatever they are full of, the checks that come before compiling are soon done with them.

use std::fs;

use hookbox::{
    module::check::{
        bounds::{self, Unfit},
        recognition, world,
    },
    settings::{ModuleSettings, Settings},
};
use hookbox_tests::bombs::full::Full;

/// What the checks may take, of one thread's CPU time.
const CPU_MS_MAX: u64 = 2000;

#[test]
fn what_is_as_large_as_may_be_is_checked_soon_whatever_it_is_full_of() {
    let settings = Settings::default().modules;
    let mut wrong = Vec::new();
    for full in Full::ALL {
        let (most, whole) = (full.most(&settings), full.whole(&settings));
        for size in if most == whole { vec![whole] } else { vec![most, whole] } {
            let component = full.of(size);
            assert!(component.len() <= size, "{full:?}: {} of {size} bytes", component.len());
            let before = cpu_ms();
            let judged = judge(&component, &settings);
            let took = cpu_ms() - before;
            println!("{full:?}: {} bytes, {took} ms of CPU: {judged:?}", component.len());
            if took > CPU_MS_MAX {
                wrong.push(format!("{full:?} of {size} bytes took {took} ms"));
            }
            match judged {
                Err(reason) if size == most => wrong.push(format!("{full:?} of {size} bytes is refused: {reason}")),
                Ok(()) if size > most => wrong.push(format!("{full:?} of {size} bytes passes")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All checks that come before compiling.
fn judge(component: &[u8], settings: &ModuleSettings) -> Result<(), String> {
    let bytes_max = usize::try_from(settings.component_bytes_max).unwrap();
    recognition::recognise(component, bytes_max).map_err(|(step, error)| format!("{step}: {error}"))?;
    bounds::measure(component, settings).map_err(|unfit| match unfit {
        Unfit::Excess(reason) => reason,
        Unfit::Invalid(reason) => format!("it is not valid: {reason}"),
    })?;
    world::fit(component).map(drop).map_err(|(step, error)| format!("{step}: {error}"))
}

/// Of this thread so far, as the kernel counts it in hundredths of a second. What else the machine does takes none of it.
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}
