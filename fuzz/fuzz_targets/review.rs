//! A review as bytes, through the routes of the webhook: the first byte chooses the facts (`dynamo_cache_fuzz::body`).
#![no_main]

use std::cell::LazyCell;

use dynamo_cache_fuzz::surroundings::Surroundings;
use dynamo_cache_fuzz::{ask_twice, body};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static ROOMS: LazyCell<Vec<Surroundings>> = LazyCell::new(Surroundings::all);
}

fuzz_target!(|bytes: &[u8]| {
    ROOMS.with(|rooms| {
        if let Some((surroundings, body)) = body(rooms, bytes) {
            ask_twice(surroundings, &body);
        }
    });
});
