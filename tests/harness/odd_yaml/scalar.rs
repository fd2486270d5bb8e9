//! Text and numbers in every way that YAML has for them.

use std::fmt::Write as _;

use super::Writer;

impl Writer {
    /// Writes text as a block, if it can be one and is to be one.
    pub(super) fn block_text(&mut self, text: &str, column: usize) -> bool {
        let is_visible = |character: char| "\n\tä".contains(character) || (' '..='~').contains(&character);
        let begins_well = !text.starts_with([' ', '\t', '\n']) && !text.trim().is_empty();
        if !text.chars().all(is_visible) || !begins_well || !(text.contains('\n') || self.one_of(4)) {
            return false;
        }
        let behind = text.len() - text.trim_end_matches('\n').len();
        let chomping = match behind {
            0 => "-",
            1 => "",
            _ => "+",
        };
        let is_folded = self.one_of(3);
        let style = if is_folded { '>' } else { '|' };
        let indent = 1 + self.below(4);
        let indicator = if self.one_of(4) { indent.to_string() } else { String::new() };
        let spaces = self.spaces();
        let _ = write!(self.text, "{spaces}{style}{indicator}{chomping}");
        self.text.push('\n');
        let lines = text.trim_end_matches('\n');
        let lines = if is_folded { self.folded(lines) } else { lines.to_owned() };
        // The indicator counts from the column of the key or dash.
        for line in lines.split('\n') {
            let line = if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(column + indent)) };
            self.text += &line;
            self.text.push('\n');
        }
        self.text += &"\n".repeat(behind.saturating_sub(1));
        true
    }

    /// The lines of a folded block: one line feed is a space there, unless a line begins with one.
    fn folded(&mut self, text: &str) -> String {
        let begins_with_space = |line: &str| line.starts_with([' ', '\t']);
        let (mut folded, mut last) = (String::new(), "");
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                // The first line feed between two lines of text is one more; empty lines are what they are.
                let is_first = !last.is_empty() && !begins_with_space(last);
                let next = text.split('\n').skip(index).find(|line| !line.is_empty()).unwrap_or_default();
                folded += if is_first && !begins_with_space(next) { "\n\n" } else { "\n" };
            }
            let can_break = !begins_with_space(line) && line.split(' ').all(|word| !word.is_empty());
            folded += &if can_break && self.one_of(3) { line.replacen(' ', "\n", 1) } else { line.to_owned() };
            last = line;
        }
        folded
    }

    /// Writes text in several lines, plain or in quotes, if it can be and is to be.
    pub(super) fn many_lines(&mut self, text: &str, column: usize) -> bool {
        let words: Vec<_> = text.split(' ').collect();
        if words.len() < 2 || !words.iter().all(|word| is_plain(word)) || self.one_of(2) {
            return false;
        }
        let indent = " ".repeat(column + 1 + self.below(4));
        let quote = ["", "'", "\""][self.below(3)];
        let empty = if self.one_of(3) { "  " } else { "" };
        let (first, rest) = (words[0], words[1..].join(" "));
        let _ = write!(self.text, " {quote}{first}{empty}\n{indent}{rest}{quote}");
        true
    }

    pub(super) fn number(&mut self, number: &serde_json::Number) -> String {
        let Some(whole) = number.as_i64().filter(|whole| *whole > 7) else { return number.to_string() };
        match self.below(7) {
            0 => format!("0x{whole:X}"),
            1 => format!("0{whole:o}"),
            2 => format!("0b{whole:b}"),
            3 => format!("0o{whole:o}"),
            4 => format!("+{whole}"),
            5 => format!("!!int '{whole}'"),
            _ => whole.to_string(),
        }
    }

    pub(super) fn text_in_a_line(&mut self, text: &str) -> String {
        match self.below(6) {
            0 if is_plain(text) => format!("!!str {text}"),
            1 if text.is_ascii() && !text.is_empty() => format!("!!binary {}", base64(text)),
            2 | 3 if is_plain(text) => text.to_owned(),
            4 if !text
                .chars()
                .any(|character| character.is_control() || "\u{85}\u{2028}\u{2029}\u{feff}".contains(character)) =>
            {
                format!("'{}'", text.replace('\'', "''"))
            }
            _ => quoted(text),
        }
    }
}

/// Whether text stands for itself without quotes, in brackets too.
pub(super) fn is_plain(text: &str) -> bool {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && !words.contains(&text.to_lowercase().as_str())
}

pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted += "\\n",
            ' '..='~' => quoted.push(character),
            'ä' => quoted += "\\xe4",
            other if u32::from(other) > 0xffff => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(other));
            }
            other => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(other));
            }
        }
    }
    quoted + "\""
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
