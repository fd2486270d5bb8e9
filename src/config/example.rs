//! The default settings file, with comments.

use std::fmt::Write;

use super::{API_VERSION, EVENTS, EVENTS_MEANING, KIND};
use crate::admission::annotation::PREFIX;
use crate::admission::settings::{ALL, Setting, ValueType};

/// What a level of nesting adds before a line.
const INDENT: &str = "  ";

/// The longest line of a comment, in characters.
const WIDTH: usize = 100;

/// A settings file with every setting at its default; settings without a default are commented out.
pub fn default_file() -> String {
    let mut file = String::new();
    comment(
        &mut file,
        "",
        "Settings of dynamo-cache. Each value below is the default. If a setting has an annotation, a namespace's annotation \
         overrides this file, and a pod's annotation overrides both.",
    );
    line(&mut file, &format!("apiVersion: {API_VERSION}\nkind: {KIND}"));
    let mut open: Vec<&str> = Vec::new();
    for setting in ALL {
        let Some(key) = setting.key else { continue };
        let mut sections: Vec<_> = key.split('.').collect();
        let Some(key) = sections.pop() else { continue };
        line(&mut file, "");
        let same = open.iter().zip(&sections).take_while(|(open, section)| open == section).count();
        for (depth, section) in sections.iter().enumerate().skip(same) {
            line(&mut file, &format!("{}{section}:", INDENT.repeat(depth)));
        }
        entry(&mut file, &INDENT.repeat(sections.len()), key, setting);
        open = sections;
    }
    line(&mut file, "");
    comment(&mut file, "", &sentence(EVENTS_MEANING));
    line(&mut file, &format!("{EVENTS}: false"));
    file
}

fn entry(file: &mut String, indent: &str, key: &str, setting: &Setting) {
    let takes = setting.takes.describe();
    let annotation = setting.annotation.map(|name| format!(" Annotation {PREFIX}{name}.")).unwrap_or_default();
    comment(file, indent, &format!("{} Takes {takes}.{annotation}", sentence(setting.meaning)));
    if setting.default.is_empty() {
        line(file, &format!("{indent}# {key}: {}", example(setting.takes)));
    } else {
        line(file, &format!("{indent}{key}: {}", setting.default));
    }
}

/// An example value for settings without a default.
fn example(takes: ValueType) -> String {
    match takes {
        ValueType::Amount(_) => "64Mi".to_owned(),
        ValueType::Bool => "false".to_owned(),
        ValueType::Claim => "a-claim".to_owned(),
        ValueType::Endpoint => "https://huggingface.example.com".to_owned(),
        ValueType::HostPort => "http://model-express-server:8001".to_owned(),
        ValueType::Image => "registry.example.com/dynamo-cache:0.1.0".to_owned(),
        ValueType::List(words) | ValueType::OneOf(words) => words.iter().take(1).map(ToString::to_string).collect(),
        ValueType::MountPath | ValueType::Path => "/home/dynamo/.cache/compile".to_owned(),
        ValueType::Number => "1000".to_owned(),
    }
}

fn sentence(text: &str) -> String {
    if text.split(' ').next().is_some_and(|word| word.ends_with(':')) {
        // A text that begins with a literal value keeps its case.
        return format!("{text}.");
    }
    let mut characters = text.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", characters.as_str())
}

fn comment(file: &mut String, indent: &str, text: &str) {
    let mut words = text.split(' ').peekable();
    while words.peek().is_some() {
        let mut next = format!("{indent}#");
        while let Some(word) = words.next_if(|word| next.chars().count() + 1 + word.chars().count() <= WIDTH) {
            let _ = write!(next, " {word}");
        }
        // A word longer than a line gets its own line.
        if next.ends_with('#') {
            next.extend([" ", words.next().unwrap_or_default()]);
        }
        line(file, &next);
    }
}

fn line(file: &mut String, text: &str) {
    file.push_str(text);
    file.push('\n');
}
