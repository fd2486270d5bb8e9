//! What changed in a document, as a unified diff of its YAML.

use std::io::IsTerminal;

use diffy::DiffOptions;
use serde_json::Value;

use crate::terminal::screen::visible;
use crate::yaml;

const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const CYAN: &str = "\u{1b}[36m";
const BOLD: &str = "\u{1b}[1m";
const RESET: &str = "\u{1b}[0m";

/// Whether standard output is for eyes that want colour: a terminal, and no `NO_COLOR`.
#[expect(clippy::disallowed_methods, reason = "how every terminal program is told")]
pub(crate) fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    std::io::stdout().is_terminal() && !refused && !dumb
}

/// The difference for eyes, with three lines around it; empty where there is none. Print it as it is: colour is in it.
pub(crate) fn unified(name: &str, before: &Value, after: &Value, coloured: bool) -> String {
    if before == after {
        return String::new();
    }
    let (before, after) = (yaml::write(before), yaml::write(after));
    let mut options = DiffOptions::new();
    options.set_original_filename(name.to_owned()).set_modified_filename(name.to_owned());
    let diff = options.create_patch(&before, &after).to_string();
    let diff = visible(&diff);
    if coloured { diff.lines().enumerate().map(paint).collect() } else { diff.into_owned() }
}

fn paint((number, line): (usize, &str)) -> String {
    let colour = match line.bytes().next() {
        // The two lines of the header.
        _ if number < 2 => BOLD,
        Some(b'@') => CYAN,
        Some(b'+') => GREEN,
        Some(b'-') => RED,
        _ => return format!("{line}\n"),
    };
    format!("{colour}{line}{RESET}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::unified;

    #[test]
    fn a_difference_is_shown_with_what_is_around_it() {
        let (before, after) = (json!({"a": 1, "b": [1]}), json!({"a": 1, "b": [1, 2]}));
        let expected = "--- Pod/x\n+++ Pod/x\n@@ -1,3 +1,4 @@\n a: 1\n b:\n - 1\n+- 2\n";
        assert_eq!(unified("Pod/x", &before, &after, false), expected);
        assert!(unified("Pod/x", &before, &after, true).contains("\u{1b}[32m+- 2\u{1b}[0m\n"));
        assert_eq!(unified("Pod/x", &before, &before, true), "");
    }
}
