//! What was told a short while ago, and need not be told again; bounded in time and in number.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// How long nothing is told a second time.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How much is remembered at once; a hundred kilobytes. Of more the oldest is forgotten: what is told a second time then, the API
/// server refuses by its name.
const MOST_REMEMBERED: usize = 2048;

/// What is told, in short; the same in every replica and after every start.
pub(super) type Key = [u8; 16];

/// What was told, and until when that counts.
#[derive(Debug, Default)]
pub(super) struct Recent(HashMap<Key, Instant>);

impl Recent {
    /// Whether something was told a short while ago.
    pub(super) fn has(&self, key: &Key, now: Instant) -> bool {
        self.0.get(key).is_some_and(|until| now < *until)
    }

    /// It is told, and counts as told from now on.
    pub(super) fn remember(&mut self, key: Key, now: Instant) {
        if self.0.len() >= MOST_REMEMBERED {
            self.0.retain(|_, until| now < *until);
        }
        if self.0.len() >= MOST_REMEMBERED {
            let oldest = self.0.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(key, now + REMEMBERED);
    }

    /// It was not told after all.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

/// What is told, in short.
pub(super) fn key(parts: [&str; 4]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, so that no two lists of parts run into one another.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
    key
}

/// A key as a part of a name.
pub(super) fn written(key: &Key) -> String {
    key.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Key, MOST_REMEMBERED, REMEMBERED, Recent, key, written};

    #[test]
    fn the_same_is_told_once_in_a_while() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let (one, other) = (key(["team", "uid", "code", "a"]), key(["team", "uid", "code", "b"]));
        assert!(!recent.has(&one, now));
        recent.remember(one, now);
        assert!(recent.has(&one, now + REMEMBERED - Duration::from_millis(1)));
        assert!(!recent.has(&other, now) && !recent.has(&one, now + REMEMBERED));
        recent.forget(&one);
        assert!(!recent.has(&one, now), "it was not told after all");
    }

    #[test]
    fn no_more_is_remembered_than_fits_and_the_oldest_makes_room() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let numbered = |number: u32| -> Key { key(["team", "uid", "code", &number.to_string()]) };
        let most = u32::try_from(MOST_REMEMBERED).unwrap();
        for number in 0..=most {
            recent.remember(numbered(number), now + Duration::from_millis(1) * number);
        }
        let later = now + Duration::from_millis(1) * most;
        assert_eq!(recent.0.len(), MOST_REMEMBERED);
        assert!(!recent.has(&numbered(0), later) && recent.has(&numbered(1), later));
        recent.remember(numbered(0), later + REMEMBERED);
        assert_eq!(recent.0.len(), 1, "what is old makes room");
    }

    #[test]
    fn a_key_is_the_same_everywhere_and_of_its_parts_alone() {
        assert_eq!(written(&key(["team", "uid", "claim-not-found", "text"])), "baf00affb295aa75855ec54ffd08a13c");
        assert_ne!(key(["ab", "c", "", ""]), key(["a", "bc", "", ""]));
    }
}
