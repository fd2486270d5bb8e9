//! The change of a document as a unified diff of its YAML.

use diffy::{DiffOptions, PatchFormatter};
use serde_json::Value;

use crate::terminal::visible::visible;
use crate::yaml;

/// A unified diff with three lines of context; empty if nothing differs. It may contain colours, so print it with
/// [`print_exact`](crate::terminal::print_exact): control characters in the documents are already escaped.
pub(crate) fn unified(name: &str, before: &Value, after: &Value, coloured: bool) -> String {
    if before == after {
        return String::new();
    }
    let (before, after) = (yaml::write(before), yaml::write(after));
    let (name, before, after) = (visible(name), visible(&before), visible(&after));
    let mut options = DiffOptions::new();
    options.set_original_filename(name.clone().into_owned()).set_modified_filename(name.into_owned());
    let formatter = if coloured { PatchFormatter::new().with_color() } else { PatchFormatter::new() };
    formatter.fmt_patch(&options.create_patch(&before, &after)).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::unified;

    #[test]
    fn a_difference_has_the_lines_around_it() {
        let (before, after) = (json!({"a": 1, "b": [1]}), json!({"a": 1, "b": [1, 2]}));
        let expected = "--- Pod/x\n+++ Pod/x\n@@ -1,3 +1,4 @@\n a: 1\n b:\n - 1\n+- 2\n";
        assert_eq!(unified("Pod/x", &before, &after, false), expected);
        assert!(unified("Pod/x", &before, &after, true).contains("\u{1b}[32m+- 2\n\u{1b}[0m"));
        assert_eq!(unified("Pod/x", &before, &before, true), "");
        let hostile = unified("Pod/x", &json!({}), &json!({"a": "\u{1b}[2J\u{202e}"}), false);
        assert!(!hostile.contains(['\u{1b}', '\u{202e}']), "{hostile}");
    }
}
