//! Adds to a document by changing its text, so that comments, order and style of everything else stay.
//!
//! No lossless crate does this. `yaml-edit` 0.3 parses by rules of its own, not by those of kubectl, and what it adds to an
//! anchored mapping silently reaches its aliases; `yamlpatch` 1.32 needs a newer Rust than we do, and a third parser. So this module
//! uses the spans that the reader knows anyway. The result is read again where the text is such that it could have another
//! value: with anchors, tags, brackets and other line ends, and where lines are added behind a block scalar or before a list's first
//! item.

mod additions;
mod insertion;
mod text;
mod tree;

use std::ops::Range;

use serde_json::Value;

use super::located::Located;
use super::reader::{self, Style};

use additions::Additions;
use tree::Tree;

/// The text of a document with additions, and how it came about.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The text of the document.
    pub text: String,
    /// The changes in order: a range of the file, and what stands in its place. All other bytes are the same.
    pub changes: Vec<(Range<usize>, String)>,
}

/// Adds to the document whose text is in a range of the file, as [`super::Source::edit`] describes.
pub(super) fn edit(
    file: &str,
    range: Range<usize>,
    (document, style): (&Located, &Style),
    operations: &[Value],
    after: &Value,
) -> Option<Edited> {
    let mut tree = Tree::Kept(document);
    for operation in operations {
        let (path, value) = (operation.get("path")?.as_str()?, operation.get("value")?);
        if operation.get("op")? != "add" {
            return None;
        }
        let keys: Vec<_> = path.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
        tree.add(&keys, value)?;
    }
    let additions = Additions::new(file, document, &tree)?;
    let is_sure = !style.has_properties
        && additions.are_lines
        && !additions.follow_any(&style.blocks)
        && !file.get(range.clone())?.contains('\r');
    let edited = additions.apply(range);
    let is_right = is_sure || only(&edited.text)?.into_value().ok()? == *after;
    is_right.then_some(edited)
}

/// The only document that is not empty.
fn only(text: &str) -> Option<Located> {
    let mut only = None;
    for document in reader::located(text) {
        let node = document.ok()?.node;
        if !node.is_null() {
            if only.is_some() {
                return None;
            }
            only = Some(node);
        }
    }
    only
}

#[cfg(test)]
mod tests;
