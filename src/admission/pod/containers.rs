//! A list of containers, of which no more are kept than show that there are too many.
//!
//! A container takes 320 bytes of memory and three on the wire (`{},`), several times an element of any other list. So the list is
//! bounded while it is read, not after.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::Container;

/// Most containers of a pod, init containers included. What we answer grows with them; a kubelet runs some hundred pods.
pub(in super::super) const MOST: usize = 1_000;

/// Reads a list, or `null`. Of a list with more than [`MOST`] containers, one more than these are kept.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Container<'de>>>, D::Error> {
    deserializer.deserialize_option(List)
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Option<Vec<Container<'de>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut containers = Vec::new();
        while containers.len() <= MOST {
            match list.next_element()? {
                Some(container) => containers.push(container),
                None => return Ok(Some(containers)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(containers))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pod;
    use super::MOST;

    #[test]
    fn of_too_many_containers_one_too_many_is_kept() {
        for (there, kept) in [(0, 0), (MOST, MOST), (MOST + 1, MOST + 1), (5 * MOST, MOST + 1)] {
            let json = format!(r#"{{"spec":{{"containers":[{}]}}}}"#, vec!["{}"; there].join(","));
            let pod: Pod<'_> = serde_json::from_str(&json).unwrap();
            assert_eq!(pod.containers().len(), kept);
        }
        for nothing in [r#"{"spec":{}}"#, r#"{"spec":{"containers":null}}"#] {
            let pod: Pod<'_> = serde_json::from_str(nothing).unwrap();
            assert!(pod.spec.unwrap().containers.is_none(), "{nothing}");
        }
    }
}
