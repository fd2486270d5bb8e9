//! Remembers the events of the last minutes, bounded in time and number.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// How long an event is not written a second time.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// The most events that are remembered, about 100 kB. Beyond that the oldest is forgotten; the API server then rejects
/// the duplicate by its name.
const MAX_REMEMBERED: usize = 2048;

/// A hash of the content of an event, the same in every replica and after every restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 16]);

/// The events written recently, each with the time until which it counts.
#[derive(Debug, Default)]
pub(super) struct Deduplicator(HashMap<Key, Instant>);

impl Deduplicator {
    /// Whether an event was written recently.
    pub(super) fn contains(&self, key: &Key, now: Instant) -> bool {
        self.0.get(key).is_some_and(|until| now < *until)
    }

    /// Records that an event is being written.
    pub(super) fn insert(&mut self, key: Key, now: Instant) {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, until| now < *until);
        }
        if self.0.len() >= MAX_REMEMBERED {
            let oldest = self.0.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(key, now + REMEMBERED_FOR);
    }

    /// Forgets an event that was not written.
    pub(super) fn remove(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

/// Hashes the parts of an event.
pub(super) fn key(parts: [&str; 4]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps different lists of parts from having the same hash.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.0.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
    key
}

impl Key {
    /// The key as part of an object name.
    pub(super) fn to_hex(self) -> String {
        self.0.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Deduplicator, Key, MAX_REMEMBERED, REMEMBERED_FOR, key};

    #[test]
    fn an_event_is_written_once_in_ten_minutes() {
        let (mut events, now) = (Deduplicator::default(), Instant::now());
        let (one, other) = (key(["team", "uid", "code", "a"]), key(["team", "uid", "code", "b"]));
        assert!(!events.contains(&one, now));
        events.insert(one, now);
        assert!(events.contains(&one, now + REMEMBERED_FOR - Duration::from_millis(1)));
        assert!(!events.contains(&other, now) && !events.contains(&one, now + REMEMBERED_FOR));
        events.remove(&one);
        assert!(!events.contains(&one, now), "it was not written after all");
    }

    #[test]
    fn the_oldest_event_is_forgotten_at_the_limit() {
        let (mut events, now) = (Deduplicator::default(), Instant::now());
        let numbered = |number: u32| -> Key { key(["team", "uid", "code", &number.to_string()]) };
        let most = u32::try_from(MAX_REMEMBERED).unwrap();
        for number in 0..=most {
            events.insert(numbered(number), now + Duration::from_millis(1) * number);
        }
        let later = now + Duration::from_millis(1) * most;
        assert_eq!(events.0.len(), MAX_REMEMBERED);
        assert!(!events.contains(&numbered(0), later) && events.contains(&numbered(1), later));
        events.insert(numbered(0), later + REMEMBERED_FOR);
        assert_eq!(events.0.len(), 1, "expired events make room");
    }

    #[test]
    fn a_key_depends_on_its_parts_alone() {
        assert_eq!(key(["team", "uid", "claim-not-found", "text"]).to_hex(), "baf00affb295aa75855ec54ffd08a13c");
        assert_ne!(key(["ab", "c", "", ""]), key(["a", "bc", "", ""]));
    }
}
