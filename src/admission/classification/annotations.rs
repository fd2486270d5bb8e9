//! What a pod says of its containers in annotations that no other level has.

use super::super::annotation::{CONTAINERS, PREFIX};
use super::super::pod::Pod;
use super::super::reason::Reason;
use super::super::warning::Warning;

/// The annotations that only a pod can have.
pub(super) struct Annotations<'p, 'w> {
    pod: &'p Pod<'p>,
    warnings: &'w mut Vec<Warning>,
}

impl<'p, 'w> Annotations<'p, 'w> {
    pub(super) fn new(pod: &'p Pod<'p>, warnings: &'w mut Vec<Warning>) -> Self {
        Annotations { pod, warnings }
    }

    fn value(&self, short: &str) -> Option<&'p str> {
        let annotations = &self.pod.annotations()?.0;
        let found = annotations.iter().find(|(name, _)| name.strip_prefix(PREFIX) == Some(short));
        found.map(|(_, value)| value.trim())
    }

    /// One of these words; anything else is a warning.
    pub(super) fn word(&mut self, short: &str, words: &[&str]) -> Option<&'p str> {
        let value = self.value(short)?;
        if words.contains(&value) {
            return Some(value);
        }
        let takes = format!("one of {}", words.join(", "));
        self.warnings.push(Warning::setting(Reason::AnnotationInvalid, short, value, &takes));
        None
    }

    /// A list of names of containers; an empty one, or an empty name in it, is a warning.
    pub(super) fn names(&mut self) -> Option<&'p str> {
        let value = self.value(CONTAINERS)?;
        if split_names(value).all(|name| !name.is_empty()) {
            return Some(value);
        }
        let takes = "a list of names of containers";
        self.warnings.push(Warning::setting(Reason::AnnotationInvalid, CONTAINERS, value, takes));
        None
    }
}

/// The names in a list.
pub(super) fn split_names(names: &str) -> impl Iterator<Item = &str> {
    names.split(',').map(str::trim)
}
