//! One command of a shell, word by word.

use super::super::last_name;
use super::super::words::{is_script_flag, is_shell};
use super::{Assignment, Listener, read};

/// The words of a shell behind which a command begins.
const BEFORE_COMMAND: [&str; 16] = [
    "!", "{", "}", "builtin", "command", "do", "elif", "else", "exec", "fi", "if", "nohup", "then", "time", "until",
    "while",
];

/// The commands whose arguments may be assignments.
const DECLARATIONS: [&str; 5] = ["declare", "export", "local", "readonly", "typeset"];

/// What the next word of a command may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum At {
    Argument,
    /// The command itself, or an assignment before it.
    #[default]
    Command,
    Declaration,
    /// An argument of a command that only prints it.
    Data,
    /// An option or an assignment of `env`, or the command that it runs.
    Env,
    /// The value of an option of `env`, or the name of a function.
    EnvValue,
    Eval,
}

/// A command, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) at: At,
    /// The word that is being read, without its quotes; none between words.
    pub(super) word: Option<String>,
    /// Whether a word of it is Python.
    pub(super) has_python: bool,
    /// Whether a word of it is a shell, or hands `-c` to one.
    pub(super) has_shell: bool,
    /// Whether the next word is a script for that shell.
    pub(super) script_is_next: bool,
    /// Whether the next word names a file, or where a here document ends.
    pub(super) redirection: Option<Redirection>,
    /// The words before it, if somebody listens to them.
    pub(super) words: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Redirection {
    File,
    HereDocument { strips_tabs: bool },
}

impl Command {
    /// Takes a word that is complete.
    pub(super) fn take<L: Listener>(&mut self, word: &str, depth: usize, to: &mut L) {
        // More options may stand before the script.
        if self.script_is_next && !word.starts_with(['-', '+']) {
            self.script_is_next = false;
            read(word, depth + 1, to);
            return;
        }
        let assignment = assignment(word).filter(|_| matches!(self.at, At::Command | At::Declaration | At::Env));
        if let Some(assignment) = assignment {
            to.assign(assignment);
            return;
        }
        if L::KEEPS_WORDS && !matches!(self.at, At::Data | At::Declaration | At::Eval) {
            self.words.push(word.to_owned());
        }
        let program = last_name(word);
        self.has_python |= program.starts_with("python");
        self.has_shell |= is_shell(program) || matches!(program, "runuser" | "su");
        self.script_is_next |= self.has_shell && is_script_flag(word);
        self.at = match self.at {
            At::Eval => {
                read(word, depth + 1, to);
                At::Eval
            }
            At::Data | At::Declaration => self.at,
            At::EnvValue => At::Env,
            At::Env if matches!(word, "-C" | "-u" | "--chdir" | "--unset") => At::EnvValue,
            At::Env if word.starts_with('-') => At::Env,
            _ if program == "env" => At::Env,
            At::Command | At::Env if BEFORE_COMMAND.contains(&word) => At::Command,
            At::Command | At::Env if DECLARATIONS.contains(&word) => At::Declaration,
            At::Command | At::Env if word == "eval" => At::Eval,
            At::Command | At::Env if word == "function" => At::EnvValue,
            At::Command | At::Env if matches!(program, "echo" | "printf") => At::Data,
            At::Argument | At::Command | At::Env => At::Argument,
        };
    }

    /// Ends the command.
    pub(super) fn end<L: Listener>(self, to: &mut L) {
        if L::KEEPS_WORDS && !self.words.is_empty() {
            to.command(self.words);
        }
    }
}

/// What a word assigns, as in `NAME=VALUE` and `NAME+=VALUE`.
fn assignment(word: &str) -> Option<Assignment<'_>> {
    let (name, value) = word.split_once('=')?;
    let appended = name.strip_suffix('+');
    Some(Assignment { name: appended.unwrap_or(name), value: Some(value), appends: appended.is_some() })
}
