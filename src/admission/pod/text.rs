//! Text and objects that borrow from the bytes they are read from.

use std::borrow::{Borrow, Cow};
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Text that borrows from the input unless the input had to be unescaped.
///
/// serde borrows a bare `Cow` only where it is a field by itself, not inside a list; this type always borrows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsText;
        impl<'de> Visitor<'de> for AsText {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(value.to_owned())))
            }

            // Go reads null as the empty string.
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed("")))
            }
        }
        deserializer.deserialize_any(AsText)
    }
}

/// The entries of a JSON object, in their order. Of those with one name the last is there, as for the API server.
#[derive(Clone, Debug)]
pub struct Entries<'a, V>(pub Vec<(Text<'a>, V)>);

impl<V> Default for Entries<'_, V> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<V> Entries<'_, V> {
    /// The value of the entry `key`.
    pub fn value(&self, key: &str) -> Option<&V> {
        self.0.iter().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Entries<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsEntries<'a, V>(PhantomData<(&'a (), V)>);
        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for AsEntries<'a, V> {
            type Value = Entries<'a, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                keep_last(&mut entries);
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(AsEntries(PhantomData))
    }
}

/// Leaves of entries with one name the last, as the API server reads them.
pub(super) fn keep_last<V>(entries: &mut Vec<(Text<'_>, V)>) {
    // As the API server writes them, so that as a rule this is all.
    if entries.is_sorted_by(|(name, _), (next, _)| **name < **next) {
        return;
    }
    let mut seen = HashSet::new();
    let mut are_last: Vec<_> = entries.iter().rev().map(|(name, _)| seen.insert(&**name)).collect();
    entries.retain(|_| are_last.pop().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::{Entries, Text};

    #[test]
    fn of_entries_with_one_name_the_last_is_there() {
        let entries: Entries<'_, Text<'_>> =
            serde_json::from_str(r#"{"a":"1","b":"2","a":"3","c":"4","a":"5"}"#).unwrap();
        let entries: Vec<_> = entries.0.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(entries, [("b", "2"), ("c", "4"), ("a", "5")]);
    }
}
