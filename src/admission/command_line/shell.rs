//! The commands of a command line and of the scripts in it, as a shell reads them: their words, and the variables they assign.
//!
//! No more of the shell's language is read than it takes to distinguish a command from data: quotes, comments, substitutions, here
//! documents and what separates commands. A script that is none, or is cut short, yields what shows in it until then.

use std::iter::Peekable;
use std::str::CharIndices;

use super::words::is_script_flag;

mod command;

use command::{At, Command, Redirection};

/// Who listens while a command line is read.
pub(super) trait Listener {
    /// Whether the words of commands are kept for [`Listener::command`].
    const KEEPS_WORDS: bool;

    /// Whether an element is read as a script; `before` is the element before it, and `after_c` whether that announces a script.
    fn is_script(element: &str, before: &str, after_c: bool) -> bool;

    /// Whether a script may have something to say. One that has not is not read.
    fn wants(&self, script: &str) -> bool;

    /// A variable is assigned.
    fn assign(&mut self, assignment: Assignment<'_>);

    /// A command has ended, with these words. Assignments before it and what it only prints are no words of it. What a substitution
    /// yields stands in a word as [`SUBSTITUTED`].
    fn command(&mut self, words: Vec<String>);
}

/// `NAME=VALUE`.
pub(super) struct Assignment<'w> {
    pub(super) name: &'w str,
    /// The value; `None` if it is a default, in `${NAME:=VALUE}`, which the word has that stands around it.
    pub(super) value: Option<&'w str>,
    /// Whether it is `NAME+=VALUE`.
    pub(super) appends: bool,
}

/// What stands in a word for the output of a command.
pub(super) const SUBSTITUTED: &str = "$()";

/// Reads the elements of a command line.
pub(super) fn listen<'a, L: Listener>(elements: impl Iterator<Item = &'a str>, to: &mut L) {
    let mut command = Command { at: At::Argument, ..Command::default() };
    let (mut before, mut after_c) = ("", false);
    for element in elements {
        if L::is_script(element, before, after_c) {
            command.script_is_next = false;
            // What Python runs is no script of a shell.
            if !(after_c && command.has_python) {
                read(element, 0, to);
            }
        } else {
            command.take(element, 0, to);
        }
        (before, after_c) = (element, is_script_flag(element));
    }
    command.end(to);
}

/// How deep scripts inside of scripts are followed: no real one nests more.
const DEEPEST_SCRIPT: usize = 8;

/// How deep quotes and substitutions are followed.
const DEEPEST_FRAME: usize = 64;

/// Quotes and substitutions that are open.
enum Frame {
    /// What is between backticks or in `$(…)`, with the command in which it stands.
    Substitution {
        closes: char,
        outer: Command,
    },
    DoubleQuotes,
    Subshell,
}

/// A script while it is read.
struct Script<'s, 'l, L> {
    text: &'s str,
    rest: Peekable<CharIndices<'s>>,
    depth: usize,
    command: Command,
    frames: Vec<Frame>,
    /// The here documents that begin with the next line: where they end.
    here_documents: Vec<HereDocument>,
    /// Whether one of them does not end, so that no further one is looked for.
    is_endless: bool,
    to: &'l mut L,
}

struct HereDocument {
    end: String,
    strips_tabs: bool,
    /// Whether Python reads it.
    is_python: bool,
}

fn read<L: Listener>(script: &str, depth: usize, to: &mut L) {
    if depth > DEEPEST_SCRIPT || !to.wants(script) {
        return;
    }
    let rest = script.char_indices().peekable();
    let (command, frames, here_documents) = (Command::default(), Vec::new(), Vec::new());
    Script { text: script, rest, depth, command, frames, here_documents, is_endless: false, to }.read();
}

impl<L: Listener> Script<'_, '_, L> {
    fn read(mut self) {
        while let Some((_, c)) = self.rest.next() {
            if self.frames.len() > DEEPEST_FRAME {
                return;
            }
            if matches!(self.frames.last(), Some(Frame::DoubleQuotes)) {
                self.read_quoted(c);
            } else {
                self.read_plain(c);
            }
        }
        self.end_command();
    }

    fn read_quoted(&mut self, c: char) {
        match c {
            '"' => {
                self.frames.pop();
            }
            '\\' => self.read_escaped(),
            '$' => self.read_dollar(),
            '`' => self.substitute('`'),
            c => self.push(c),
        }
    }

    fn read_plain(&mut self, c: char) {
        match c {
            '\n' => {
                self.end_command();
                self.read_here_documents();
            }
            c if c.is_whitespace() => self.end_word(),
            '\\' => self.read_escaped(),
            '\'' => self.read_single_quotes(false),
            '"' => {
                self.begin_word();
                self.frames.push(Frame::DoubleQuotes);
            }
            '$' => self.read_dollar(),
            '`' if !self.close('`') => self.substitute('`'),
            '`' => {}
            '#' if self.command.word.is_none() => while self.rest.next_if(|(_, c)| *c != '\n').is_some() {},
            '(' => {
                self.end_command();
                self.frames.push(Frame::Subshell);
            }
            ')' if self.close(')') => {}
            '&' if self.next_is('>') => self.end_word(),
            ')' | ';' | '&' | '|' => self.end_command(),
            '<' | '>' => self.read_redirection(c),
            c => self.push(c),
        }
    }

    /// What follows a backslash stands for itself; a line that ends with one goes on in the next.
    fn read_escaped(&mut self) {
        if let Some((_, c)) = self.rest.next()
            && c != '\n'
        {
            self.push(c);
        }
    }

    fn read_single_quotes(&mut self, escapes: bool) {
        self.begin_word();
        while let Some((_, c)) = self.rest.next() {
            match c {
                '\'' => return,
                '\\' if escapes => self.read_escaped(),
                c => self.push(c),
            }
        }
    }

    fn read_dollar(&mut self) {
        let in_quotes = matches!(self.frames.last(), Some(Frame::DoubleQuotes));
        match self.rest.peek() {
            Some((_, '(')) => {
                self.rest.next();
                self.substitute(')');
            }
            Some((at, '{')) => {
                // The rest of it is read as what stands around it: quotes and substitutions may follow.
                let parameter = &self.text[at + 1..];
                let end = parameter.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(parameter.len());
                let (name, operator) = parameter.split_at(end);
                if operator.starts_with(":=") || operator.starts_with('=') {
                    self.to.assign(Assignment { name, value: None, appends: false });
                }
                self.push('$');
            }
            Some((_, '\'')) if !in_quotes => {
                self.rest.next();
                self.read_single_quotes(true);
            }
            _ => self.push('$'),
        }
    }

    fn read_redirection(&mut self, c: char) {
        // A number before it is no word.
        self.command.word.take_if(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        self.end_word();
        if self.rest.next_if(|(_, next)| *next == '(').is_some() {
            return self.substitute(')');
        }
        let is_here = c == '<' && self.rest.next_if(|(_, next)| *next == '<').is_some();
        let redirection = if !is_here {
            while self.rest.next_if(|(_, next)| matches!(next, '>' | '&' | '|')).is_some() {}
            Redirection::File
        } else if self.rest.next_if(|(_, next)| *next == '<').is_some() {
            // A here string is a word like any other, and may be a script.
            self.command.script_is_next = self.command.has_shell;
            return;
        } else {
            let strips_tabs = self.rest.next_if(|(_, next)| *next == '-').is_some();
            Redirection::HereDocument { strips_tabs }
        };
        self.command.redirection = Some(redirection);
    }

    /// Reads the here documents that begin here, each as a script of its own: what is written to a file is run later as a rule.
    fn read_here_documents(&mut self) {
        for HereDocument { end, strips_tabs, is_python } in std::mem::take(&mut self.here_documents) {
            if self.is_endless {
                return;
            }
            let Some((begin, _)) = self.rest.peek().copied() else { return };
            let mut length = 0;
            let ends = self.text[begin..].split_inclusive('\n').find_map(|line| {
                let bare = line.trim_end_matches(['\n', '\r']);
                let bare = if strips_tabs { bare.trim_start_matches('\t') } else { bare };
                let before = length;
                length += line.len();
                (bare == end).then_some(before)
            });
            // Without its end it is none: two of these characters also shift a number.
            let Some(ends) = ends else {
                self.is_endless = true;
                return;
            };
            if !is_python {
                read(&self.text[begin..begin + ends], self.depth + 1, self.to);
            }
            while self.rest.next_if(|(at, _)| *at < begin + length).is_some() {}
        }
    }

    fn substitute(&mut self, closes: char) {
        self.command.word.get_or_insert_default().push_str(SUBSTITUTED);
        let outer = std::mem::take(&mut self.command);
        self.frames.push(Frame::Substitution { closes, outer });
    }

    /// Closes the innermost substitution or subshell, if this character does.
    fn close(&mut self, closer: char) -> bool {
        match self.frames.pop() {
            Some(Frame::Substitution { closes, outer }) if closes == closer => {
                self.end_command();
                self.command = outer;
                true
            }
            Some(Frame::Subshell) if closer == ')' => {
                self.end_command();
                true
            }
            other => {
                self.frames.extend(other);
                false
            }
        }
    }

    fn begin_word(&mut self) {
        self.command.word.get_or_insert_default();
    }

    fn push(&mut self, c: char) {
        self.command.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) {
        let Some(word) = self.command.word.take() else { return };
        match self.command.redirection.take() {
            Some(Redirection::File) => {}
            Some(Redirection::HereDocument { strips_tabs }) => {
                let is_python = self.command.has_python;
                self.here_documents.push(HereDocument { end: word, strips_tabs, is_python });
            }
            None => self.command.take(&word, self.depth, self.to),
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        std::mem::take(&mut self.command).end(self.to);
    }

    fn next_is(&mut self, wanted: char) -> bool {
        self.rest.peek().is_some_and(|(_, next)| *next == wanted)
    }
}
