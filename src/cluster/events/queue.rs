//! A queue of events with a lane per namespace. The events of one namespace take neither space nor turns from another.

use std::collections::{HashMap, VecDeque};

/// The most items in one lane: a namespace gets an event for this many owners at once.
const MAX_IN_LANE: usize = 64;

/// The most items in all lanes. Each takes 2 kB at most.
const MAX: usize = 512;

/// Items by namespace.
#[derive(Debug)]
pub(super) struct Queue<T> {
    lanes: HashMap<Box<str>, VecDeque<T>>,
    /// The lanes in the order of their turns. Each lane is listed once and is not empty.
    turns: VecDeque<Box<str>>,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { lanes: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<T> Queue<T> {
    /// Adds an item. Returns the item that was dropped for it, if any: the new item if its lane is full, or the last
    /// item of the longest lane if the queue is full.
    pub(super) fn push(&mut self, namespace: &str, item: T) -> Option<T> {
        let waiting = self.lanes.get(namespace).map_or(0, VecDeque::len);
        if waiting >= MAX_IN_LANE {
            return Some(item);
        }
        let dropped = if self.len >= MAX {
            let longest = self.lanes.values_mut().max_by_key(|lane| lane.len()).filter(|lane| lane.len() > waiting + 1);
            let Some(longest) = longest else { return Some(item) };
            self.len -= 1;
            longest.pop_back()
        } else {
            None
        };
        if waiting == 0 {
            self.turns.push_back(namespace.into());
        }
        self.lanes.entry(namespace.into()).or_default().push_back(item);
        self.len += 1;
        dropped
    }

    /// Takes the oldest item of the lane whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let namespace = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&namespace)?;
        let item = lane.pop_front();
        if lane.is_empty() {
            self.lanes.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        self.len -= usize::from(item.is_some());
        item
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX, MAX_IN_LANE, Queue};

    #[test]
    fn lanes_take_turns_and_each_keeps_its_order() {
        let mut queue = Queue::default();
        for item in ["a1", "a2", "a3", "b1", "c1", "b2"] {
            assert_eq!(queue.push(&item[..1], item), None);
        }
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(popped, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(queue.lanes.is_empty() && queue.turns.is_empty() && queue.len == 0);
    }

    #[test]
    fn a_full_lane_leaves_space_for_others() {
        let mut queue = Queue::default();
        let refused = (0..1000).filter_map(|number| queue.push("flooded", number)).count();
        assert_eq!(refused, 1000 - MAX_IN_LANE);
        assert_eq!(queue.push("other", 7), None);
        assert_eq!((queue.pop(), queue.pop()), (Some(0), Some(7)), "its turn is next");
    }

    #[test]
    fn the_longest_lane_makes_room_when_the_queue_is_full() {
        let mut queue = Queue::default();
        for lane in 0..MAX / MAX_IN_LANE {
            for number in 0..MAX_IN_LANE {
                assert_eq!(queue.push(&lane.to_string(), number), None);
            }
        }
        assert_eq!(queue.push("other", 7), Some(MAX_IN_LANE - 1), "the last of one of them");
        assert_eq!(queue.len, MAX);
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).take(MAX / MAX_IN_LANE + 1).collect();
        assert!(popped.contains(&7), "{popped:?}");
    }
}
