//! Helm templates, which are no YAML before Helm has rendered them.

use crate::yaml::{Error, Position};

/// What to do with a template.
const HINT: &str = "render it first (helm template … | dynamo-cache inject -f -)";

/// The message about a mistake in a file, with its position: that of an action if the mistake follows from it.
pub(super) fn explain(text: &str, error: &Error) -> String {
    if error.is_duplicate() {
        return error.to_string();
    }
    let actions = || find_actions(text).take_while(|action| action.at.line <= error.at.line);
    // An action that ends a line may be a mistake in the line behind it. In quotes, only quotes of its own are a mistake.
    let follows = |action: &Action| error.at.line - action.at.line <= usize::from(!action.is_quoted);
    if let Some(Action { at, .. }) = actions().find(follows) {
        return format!("{at}: this is a Helm template: {HINT}");
    }
    match actions().find(|action| !action.is_quoted) {
        Some(_) => format!("{error}; if this is a Helm template, {HINT}"),
        None => error.to_string(),
    }
}

/// An action of a template, such as `{{- if .Values.worker }}`.
struct Action {
    at: Position,
    is_quoted: bool,
}

/// The actions in a text, without those in comments.
fn find_actions(text: &str) -> impl Iterator<Item = Action> {
    text.lines().enumerate().flat_map(|(index, line)| {
        let starts = line
            .match_indices("{{")
            .filter(|(at, braces)| is_action(line.get(at + braces.len()..).unwrap_or_default()));
        starts.filter_map(move |(at, _)| {
            let before = line.get(..at).unwrap_or_default();
            let is_quoted = match state(before) {
                State::Comment => return None,
                State::Quotes(quote) => line.get(at..).is_some_and(|rest| rest.contains(quote)),
                State::Plain => false,
            };
            Some(Action { at: Position { line: index + 1, column: before.chars().count() + 1 }, is_quoted })
        })
    })
}

/// What a part of a line is in the middle of.
enum State {
    Plain,
    Comment,
    Quotes(char),
}

/// The state at the end of the beginning of a line.
fn state(before: &str) -> State {
    let (mut state, mut last) = (State::Plain, ' ');
    for character in before.chars() {
        state = match (state, character) {
            (State::Comment, _) => State::Comment,
            (State::Quotes(quote), _) if quote == character && last != '\\' => State::Plain,
            (State::Plain, '#') if last == ' ' => State::Comment,
            // Inside of a word, it is an apostrophe.
            (State::Plain, '"' | '\'') if " :[{,-".contains(last) => State::Quotes(character),
            (state, _) => state,
        };
        last = character;
    }
    state
}

/// Whether text begins an action: a field, a variable, a comment, a function or a block. `{{a: b}: c}` is YAML.
fn is_action(text: &str) -> bool {
    let trimmed = text.strip_prefix('-').unwrap_or(text).trim_start();
    let word: String = trimmed.chars().take_while(char::is_ascii_alphanumeric).collect();
    let rest = trimmed.get(word.len()..).unwrap_or_default();
    trimmed.starts_with(['.', '$', '(', '"', '`'])
        || trimmed.starts_with("/*")
        || !word.is_empty() && (rest.is_empty() || rest.starts_with([' ', '\t', '-', '}', '(', '.']))
}

#[cfg(test)]
mod tests {
    use super::explain;
    use crate::yaml::documents;

    fn message(text: &str) -> String {
        explain(text, &documents(text).expect_err(text))
    }

    #[test]
    fn a_template_is_distinguished_from_yaml_in_braces() {
        for (text, at) in [
            ("{{- if .Values.worker }}\na: 1\n{{- end }}\n", "1:1"),
            ("a: 1\nb: {{ .Release.Name }}\n", "2:4"),
            ("ä: {{include \"x\" .}}", "1:4"),
            ("a: 1\n{{/* note */}}\n", "2:1"),
            ("a: 1\n{{- with\n", "2:1"),
            ("a:\n  {{$x := 1}}\n", "2:3"),
            ("a: \"{{ .Values.a | default \"b\" }}\"\n", "1:5"),
            ("a: it's\nb: {{ .Values.b }}\n", "2:4"),
        ] {
            assert_eq!(message(text), format!("{at}: this is a Helm template: {}", super::HINT), "{text}");
        }
    }

    #[test]
    fn a_mistake_beside_quoted_actions_and_comments_is_the_parsers() {
        for (text, message) in [
            ("a: \"{{ $labels.pod }}\"\nb: 1\nc: [\n", "3:4: "),
            ("a: \"{{ $labels.pod }}\"\na: 1\n", "2:1: duplicate key \"a\""),
            ("# {{ .Values }}\na: 1\n  b: 2\n", "3:"),
            ("a: 1 # {{ .Values }}\na: 2\n", "2:1: duplicate key \"a\""),
            ("{{a: b}: c}", "1:"),
        ] {
            let found = self::message(text);
            assert!(found.starts_with(message) && !found.contains("Helm"), "{text}: {found}");
        }
        let text = "a: |\n  {{ .Values }}\nb: 1\nc: 1\nd: [\n";
        let found = message(text);
        assert!(
            found.starts_with("5:4: ") && found.ends_with(&format!("; if this is a Helm template, {}", super::HINT)),
            "{found}"
        );
    }
}
