//! How often something may happen: token buckets, one for all or one for each namespace.
//!
//! Why not `governor`: its buckets by key are a map that grows with its keys, and it does not count what it refused.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Most namespaces with a bucket of their own; more share one. Each takes a hundred bytes.
const MOST_NAMESPACES: usize = 1024;

/// How often.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// Then one more after each such time.
    pub every: Duration,
}

/// Tokens, which are taken at once and come back one after another.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// When the bucket is full again. A bucket is described by that alone.
    full_at: Instant,
    refused: u64,
}

impl Bucket {
    /// A full bucket.
    pub fn full(now: Instant) -> Self {
        Bucket { full_at: now, refused: 0 }
    }

    /// Takes a token where there is one; how many takers were refused since the last one got his.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Option<u64> {
        let full_at = self.full_at.max(now) + rate.every;
        if full_at > now + rate.every * rate.burst {
            self.refused += 1;
            return None;
        }
        self.full_at = full_at;
        Some(std::mem::take(&mut self.refused))
    }
}

/// A bucket for each namespace.
#[derive(Debug)]
pub struct ByNamespace {
    rate: Rate,
    buckets: HashMap<Box<str>, Bucket>,
    shared: Bucket,
}

impl ByNamespace {
    /// Full buckets.
    pub fn new(rate: Rate) -> Self {
        ByNamespace { rate, buckets: HashMap::new(), shared: Bucket::full(Instant::now()) }
    }

    /// Takes a token of a namespace; none: of the bucket that is for all that have none of their own.
    pub fn take(&mut self, namespace: Option<&str>, now: Instant) -> Option<u64> {
        let Some(namespace) = namespace else { return self.shared.take(self.rate, now) };
        if let Some(bucket) = self.buckets.get_mut(namespace) {
            return bucket.take(self.rate, now);
        }
        if self.buckets.len() >= MOST_NAMESPACES {
            // One that is full again is as good as a new one.
            self.buckets.retain(|_, bucket| bucket.full_at > now);
            if self.buckets.len() >= MOST_NAMESPACES {
                return self.shared.take(self.rate, now);
            }
        }
        self.buckets.entry(namespace.into()).or_insert_with(|| Bucket::full(now)).take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Bucket, ByNamespace, MOST_NAMESPACES, Rate};

    const RATE: Rate = Rate { burst: 3, every: Duration::from_secs(1) };

    #[test]
    fn a_bucket_gives_a_burst_and_then_one_after_another_and_counts_the_refused() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let taken: Vec<_> = (0..5).map(|_| bucket.take(RATE, start)).collect();
        assert_eq!(taken, [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(bucket.take(RATE, start + RATE.every), Some(2));
        assert_eq!(bucket.take(RATE, start + RATE.every), None);
        let later = start + RATE.every * 100;
        let taken = (0..100).filter_map(|_| bucket.take(RATE, later)).count();
        assert_eq!(taken, 3, "no more is saved than a burst");
    }

    #[test]
    fn a_namespace_takes_no_token_of_another_and_no_more_are_kept_than_fit() {
        let now = Instant::now();
        let mut buckets = ByNamespace::new(RATE);
        let taken = (0..100).filter_map(|_| buckets.take(Some("a"), now)).count();
        assert_eq!((taken, buckets.take(Some("b"), now)), (3, Some(0)));
        let made_up = (0..10 * MOST_NAMESPACES).filter_map(|number| buckets.take(Some(&number.to_string()), now));
        assert!(made_up.count() < MOST_NAMESPACES + 3);
        assert_eq!(buckets.buckets.len(), MOST_NAMESPACES);
        assert_eq!(buckets.take(Some("b"), now), Some(0), "who has a bucket keeps it");
        assert_eq!(buckets.take(Some("c"), now + RATE.every * 3), Some(0), "full ones make room");
    }
}
