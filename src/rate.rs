//! Token buckets, one for all callers or one for each namespace.
//!
//! Why not `governor`: its keyed buckets are a map that grows with the keys, and it does not count rejections.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The most namespaces with a bucket of their own; further ones share a bucket. Each takes 100 bytes.
const MAX_NAMESPACES: usize = 1024;

/// A rate.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The size of the bucket.
    pub burst: u32,
    /// The time after which a token returns.
    pub every: Duration,
}

/// A token bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// When the bucket will be full again, which is all of its state.
    full_at: Instant,
    rejected: u64,
}

impl Bucket {
    /// A full bucket.
    pub fn full(now: Instant) -> Self {
        Bucket { full_at: now, rejected: 0 }
    }

    /// Takes a token. Returns `None` if there is none, else how many calls were rejected since the last token.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Option<u64> {
        let full_at = self.full_at.max(now) + rate.every;
        if full_at > now + rate.every * rate.burst {
            self.rejected += 1;
            return None;
        }
        self.full_at = full_at;
        Some(std::mem::take(&mut self.rejected))
    }
}

/// A token bucket for each namespace.
#[derive(Debug)]
pub struct ByNamespace {
    rate: Rate,
    buckets: HashMap<Box<str>, Bucket>,
    /// No bucket is full before this. One may be full later, since it was used meanwhile.
    next_full: Instant,
    shared: Bucket,
}

impl ByNamespace {
    /// Full buckets.
    pub fn new(rate: Rate) -> Self {
        let now = Instant::now();
        ByNamespace { rate, buckets: HashMap::new(), next_full: now, shared: Bucket::full(now) }
    }

    /// Takes a token of a namespace. `None` uses the shared bucket.
    pub fn take(&mut self, namespace: Option<&str>, now: Instant) -> Option<u64> {
        let Some(namespace) = namespace else { return self.shared.take(self.rate, now) };
        if let Some(bucket) = self.buckets.get_mut(namespace) {
            return bucket.take(self.rate, now);
        }
        if self.buckets.len() >= MAX_NAMESPACES {
            self.remove_full(now);
        }
        if self.buckets.len() >= MAX_NAMESPACES {
            return self.shared.take(self.rate, now);
        }
        let mut bucket = Bucket::full(now);
        let taken = bucket.take(self.rate, now);
        self.next_full = self.next_full.min(bucket.full_at);
        self.buckets.insert(namespace.into(), bucket);
        taken
    }

    /// Removes the buckets that are full again: each allows what a new one does.
    fn remove_full(&mut self, now: Instant) {
        if now >= self.next_full {
            self.buckets.retain(|_, bucket| bucket.full_at > now);
            self.next_full = self.buckets.values().map(|bucket| bucket.full_at).min().unwrap_or(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Bucket, ByNamespace, MAX_NAMESPACES, Rate};

    const RATE: Rate = Rate { burst: 3, every: Duration::from_secs(1) };

    #[test]
    fn a_bucket_allows_a_burst_then_a_rate_and_counts_rejections() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let taken: Vec<_> = (0..5).map(|_| bucket.take(RATE, start)).collect();
        assert_eq!(taken, [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(bucket.take(RATE, start + RATE.every), Some(2));
        assert_eq!(bucket.take(RATE, start + RATE.every), None);
        let later = start + RATE.every * 100;
        let taken = (0..100).filter_map(|_| bucket.take(RATE, later)).count();
        assert_eq!(taken, 3, "tokens beyond a burst are not saved");
    }

    #[test]
    fn namespaces_have_separate_buckets_up_to_a_limit() {
        let mut buckets = ByNamespace::new(RATE);
        let now = Instant::now();
        let taken = (0..100).filter_map(|_| buckets.take(Some("a"), now)).count();
        assert_eq!((taken, buckets.take(Some("b"), now)), (3, Some(0)));
        let made_up = (0..10 * MAX_NAMESPACES).filter_map(|number| buckets.take(Some(&number.to_string()), now));
        assert!(made_up.count() < MAX_NAMESPACES + 3);
        assert_eq!(buckets.buckets.len(), MAX_NAMESPACES);
        let taken = (0..2).filter_map(|_| buckets.take(Some("b"), now)).count();
        assert_eq!(taken, 2, "an existing bucket stays");
        let first_full = now + RATE.every;
        assert_eq!(buckets.take(Some("c"), first_full - Duration::from_nanos(1)), None, "no bucket is full yet");
        assert_eq!(buckets.take(Some("c"), first_full), Some(0), "full ones make room");
        assert_eq!(buckets.take(Some("d"), first_full), Some(0));
        for number in 0..MAX_NAMESPACES {
            buckets.take(Some(&number.to_string()), first_full);
        }
        assert_eq!(buckets.take(Some("e"), first_full), None, "they are in use again");
        assert_eq!(buckets.take(Some("e"), first_full + RATE.every), Some(0), "those that came last are full first");
    }
}
