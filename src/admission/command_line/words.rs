//! The words of a command line, one after another: its elements, and those of the scripts among them.

use super::{Form, VLLM_RS, last_name};

/// One word of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(in super::super) text: &'a str,
    pub(super) whole: Form,
    /// Whether this word names the program that a command runs.
    pub(super) program: bool,
    /// Whether a command substitution stands before it in whose words `vllm-rs` is.
    pub(super) follows_vllm_rs: bool,
}

impl<'a> Word<'a> {
    fn element(text: &'a str, program: bool) -> Self {
        Word { text, whole: Form::Yes, program, follows_vllm_rs: false }
    }

    fn of_script(text: &'a str, program: bool) -> Self {
        Word { text, whole: Form::No, program, follows_vllm_rs: false }
    }
}

pub(super) fn each_word<'a>(elements: impl Iterator<Item = &'a str>, then: &mut impl FnMut(Word<'a>)) {
    let mut after_c = false;
    for (index, element) in elements.enumerate() {
        if is_script(element, after_c) {
            read_script(element, then);
        } else {
            then(Word::element(element, index == 0));
        }
        after_c = is_script_flag(element);
    }
}

/// Whether an element is read as a script.
pub(in super::super) fn is_script(element: &str, after_c: bool) -> bool {
    // Most elements are, which shows faster than white space of all alphabets.
    let is_plain = || element.bytes().all(|byte| byte.is_ascii_graphic());
    after_c || (!is_plain() && element.contains(char::is_whitespace))
}

/// Whether a program is a shell, by its last name.
pub(super) fn is_shell(program: &str) -> bool {
    matches!(program, "ash" | "bash" | "dash" | "ksh" | "sh" | "zsh")
}

/// `-c`, `-lc`, `-euxc`, `-ce` and the like, in letters that are options of a shell: the next element is a script.
pub(in super::super) fn is_script_flag(element: &str) -> bool {
    element
        .strip_prefix('-')
        .is_some_and(|flags| flags.contains('c') && flags.bytes().all(|flag| b"abcefhiklmnptuvxBCEHPT".contains(&flag)))
}

/// The words of a script, one after another.
pub(in super::super) fn each_script_word<'a>(script: &'a str, then: &mut impl FnMut(&'a str)) {
    read_script(script, &mut |word| then(word.text));
}

fn read_script<'a>(script: &'a str, then: &mut impl FnMut(Word<'a>)) {
    let mut state =
        Script { continued: false, expects_program: true, substitutions: Vec::new(), follows_vllm_rs: false };
    for line in script.lines() {
        if !state.continued {
            if line.trim_start().starts_with('#') {
                continue;
            }
            state.expects_program = true;
            state.follows_vllm_rs = false;
        }
        let line = without_comment(line);
        state.continued = line.ends_with('\\');
        state.read_line(line, then);
    }
}

/// Where in a script the next word stands.
struct Script {
    /// The line before goes on in this one.
    continued: bool,
    expects_program: bool,
    /// The substitutions and subshells that are open.
    substitutions: Vec<Substitution>,
    follows_vllm_rs: bool,
}

/// A command substitution or a subshell.
struct Substitution {
    /// What opened it: a parenthesis or a backtick.
    opener: char,
    /// Whether `vllm-rs` is a word of it.
    has_vllm_rs: bool,
}

/// How deep substitutions are followed: no real script nests more, and little is remembered of any other.
const DEEPEST: usize = 64;

/// The words of a shell behind which a command begins.
const BEFORE_COMMAND: [&str; 12] =
    ["!", "do", "elif", "else", "env", "exec", "if", "nohup", "then", "time", "until", "while"];

impl Script {
    fn read_line<'a>(&mut self, line: &'a str, then: &mut impl FnMut(Word<'a>)) {
        let mut rest = line;
        while let Some(start) = rest.find(|c: char| !ends_word(c)) {
            self.pass(&rest[..start]);
            rest = &rest[start..];
            let end = rest.find(ends_word).unwrap_or(rest.len());
            if let Some((_, value)) = split_assignment(&rest[..end]) {
                // What a variable holds may be run later, so it counts; the program is still to come.
                let quoted = quoted(&rest[end..]).filter(|_| value.is_empty());
                let value = quoted.map_or(value, |quoted| quoted.trim_matches(['"', '\'']));
                let parts = value.split(ends_word).filter(|part| !part.is_empty());
                parts.for_each(|text| then(Word::of_script(text, false)));
                rest = &rest[end + quoted.map_or(0, str::len)..];
                continue;
            }
            let text = &rest[..end];
            let program = self.expects_program && !BEFORE_COMMAND.contains(&text);
            self.expects_program &= !program;
            let follows_vllm_rs = std::mem::take(&mut self.follows_vllm_rs);
            if last_name(text) == VLLM_RS
                && let Some(innermost) = self.substitutions.last_mut()
            {
                innermost.has_vllm_rs = true;
            }
            then(Word { follows_vllm_rs, ..Word::of_script(text, program) });
            rest = &rest[end..];
        }
        self.pass(rest);
    }

    /// Passes what stands between two words.
    fn pass(&mut self, between: &str) {
        self.expects_program |= between.contains(ends_command);
        let mut before = ' ';
        for c in between.chars() {
            let opener = if c == ')' { '(' } else { c };
            let closes = c != '(' && self.substitutions.last().is_some_and(|innermost| innermost.opener == opener);
            if closes {
                let has_vllm_rs = self.substitutions.pop().is_some_and(|closed| closed.has_vllm_rs);
                self.follows_vllm_rs |= has_vllm_rs;
                // What an inner one yields is a word of the outer one.
                if let Some(outer) = self.substitutions.last_mut() {
                    outer.has_vllm_rs |= has_vllm_rs;
                }
            } else if matches!(c, '(' | '`') {
                if self.substitutions.len() < DEEPEST {
                    self.substitutions.push(Substitution { opener: c, has_vllm_rs: false });
                }
            } else if c == ';' || c == '|' || (c == '&' && before != '>') {
                self.follows_vllm_rs = false;
            }
            before = c;
        }
    }
}

/// A line without the comment at its end, as far as the quotes of the line show one.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (c, quote) {
            ('#', None) if before.is_whitespace() => return &line[..at],
            ('"' | '\'', None) if before != '\\' => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '<' | '>') || ends_command(c)
}

fn ends_command(c: char) -> bool {
    matches!(c, ';' | '&' | '|' | '(' | ')' | '{' | '}' | '`')
}

/// `NAME=VALUE`, as it may stand before a program.
fn split_assignment(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// The quoted text that a line begins with, its quotes included.
fn quoted(line: &str) -> Option<&str> {
    let quote = line.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let length = line[1..].find(quote)?;
    Some(&line[..length + 2])
}
