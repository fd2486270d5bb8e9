//! A review as bytes, through the routes of the webhook: the first byte chooses the facts (`dynamo_cache_fuzz::body`).
#![no_main]

use std::cell::LazyCell;

use dynamo_cache_fuzz::room::Room;
use dynamo_cache_fuzz::{ask_twice, body};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static ROOMS: LazyCell<Vec<Room>> = LazyCell::new(Room::all);
}

fuzz_target!(|bytes: &[u8]| {
    ROOMS.with(|rooms| {
        if let Some((room, body)) = body(rooms, bytes) {
            ask_twice(room, &body);
        }
    });
});
