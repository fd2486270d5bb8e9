//! The first of many items in an order, kept in bounded memory.

use std::cmp::Reverse;

/// The largest items by their bytes; among equals, the first by name.
pub(super) type Largest<T> = First<T, (Reverse<u64>, String)>;

/// Keeps the first items in the order of a key, and counts the others.
#[derive(Debug)]
pub(super) struct First<T, K> {
    items: Vec<T>,
    most: usize,
    key: fn(&T) -> K,
    omitted: u64,
}

impl<T, K: Ord> First<T, K> {
    /// An empty list of at most `most` items.
    pub(super) fn new(most: usize, key: fn(&T) -> K) -> Self {
        First { items: Vec::new(), most, key, omitted: 0 }
    }

    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
        if self.items.len() >= 2 * self.most {
            self.cut();
        }
    }

    pub(super) fn extend(&mut self, items: impl IntoIterator<Item = T>) {
        items.into_iter().for_each(|item| self.push(item));
    }

    /// Counts items that are not kept, of a part of one that is.
    pub(super) fn omit(&mut self, items: u64) {
        self.omitted += items;
    }

    /// The items in their order, and how many others there were.
    pub(super) fn into_parts(mut self) -> (Vec<T>, u64) {
        self.cut();
        (self.items, self.omitted)
    }

    fn cut(&mut self) {
        self.items.sort_by_cached_key(self.key);
        self.omitted += self.items.len().saturating_sub(self.most) as u64;
        self.items.truncate(self.most);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::First;

    #[test]
    fn the_first_are_kept_in_their_order_and_the_others_are_counted() {
        let mut first = First::new(3, |number: &u32| Reverse(*number));
        first.extend([5, 1, 9, 3, 7, 2, 8]);
        assert!(first.items.len() < 6, "{first:?}");
        assert_eq!(first.into_parts(), (vec![9, 8, 7], 4));
        let mut first = First::new(3, |number: &u32| *number);
        first.push(1);
        assert_eq!(first.into_parts(), (vec![1], 0));
    }
}
