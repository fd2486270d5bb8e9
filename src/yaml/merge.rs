//! Merges the entries of other mappings where `<<` is.

use std::collections::HashMap;

use super::Error;
use super::located::{Located, Part, Parts};

/// One line of a mapping.
pub(super) enum Written {
    /// A key and its value.
    Entry(Part),
    /// `<<` and what it merges.
    Merge(Located),
}

/// The entries of a mapping. As in kubectl, what stands later wins; of a list of mappings, what stands earlier.
///
/// # Errors
/// `<<` has another value than a mapping or a list of mappings.
pub(super) fn merge(written: Vec<Written>) -> Result<Vec<Part>, Error> {
    let mut all: Vec<Part> = Vec::with_capacity(written.len());
    let has_merges = written.iter().any(|line| matches!(line, Written::Merge(_)));
    let mut places = HashMap::new();
    for line in written {
        let node = match line {
            Written::Entry(part) if !has_merges => {
                all.push(part);
                continue;
            }
            Written::Entry(part) => {
                let place = *places.entry(part.key.clone()).or_insert(all.len());
                match all.get_mut(place) {
                    Some(known) if known.is_merged && !known.hides_own => *known = part,
                    // A key that is there twice is a mistake, which is found later.
                    _ => all.push(part),
                }
                continue;
            }
            Written::Merge(node) => node,
        };
        let maps = match node.content {
            Parts::List(nodes) => nodes,
            content => vec![Located { content, ..node }],
        };
        for map in maps.into_iter().rev() {
            let Parts::Map(entries) = map.content else {
                return Err(Error { at: map.at, message: "<< merges mappings only".to_owned() });
            };
            for part in entries {
                let place = *places.entry(part.key.clone()).or_insert(all.len());
                let known = all.get_mut(place);
                let hides_own = known.as_ref().is_some_and(|known| !known.is_merged || known.hides_own);
                let part = Part { is_merged: true, hides_own, ..part };
                match known {
                    Some(known) => *known = part,
                    None => all.push(part),
                }
            }
        }
    }
    Ok(all)
}
