//! Tells the time of both clocks, before and after some work, and a few random numbers.
#![allow(clippy::disallowed_methods, reason = "it shows what a guest gets from its clocks")]

use std::hash::{BuildHasher, RandomState};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hookbox_bad_modules::bindings::hookbox::webhook::types::Message;

hookbox_bad_modules::module!("clock", |message: Message| {
    let (wall, monotonic) = (SystemTime::now(), Instant::now());
    let work = (0..100_000_u64).fold(0, |sum, number| std::hint::black_box(sum ^ number));
    let now_ms = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let wall_moved_ns = SystemTime::now().duration_since(wall).map_or(0, |moved| moved.as_nanos());
    let moved_ns = monotonic.elapsed().as_nanos();
    let (first, second) = (RandomState::new().hash_one(work), RandomState::new().hash_one(work));
    let payload = format!(
        "{{\"now_ms\":{now_ms},\"received_ms\":{},\"wall_moved_ns\":{wall_moved_ns},\"moved_ns\":{moved_ns},\
         \"random\":[\"{first:x}\",\"{second:x}\"]}}",
        message.received_ms
    );
    Ok(hookbox_bad_modules::event("clock", message, payload))
});
