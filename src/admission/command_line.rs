//! What a container's command line shows: engines, Python modules, programs and flags.
//!
//! A command line is command then args. An element with white space in it, or one that follows a shell's `-c`,
//! is read as a script: its words count, its comment lines do not.

use super::engine::Engine;
use super::pod::Container;

/// What one command line shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub struct CommandLine {
    /// The first engine, and whether it shows in elements of its own rather than inside a script.
    pub engine: Option<(Engine, Form)>,
    /// The first `dynamo.*` module that is no engine.
    pub component: Option<Component>,
    /// Whether any `dynamo.*` module is run, an engine or not.
    pub dynamo_module: bool,
    /// Whether any Python module is run by `-m`.
    pub python_module: bool,
    /// Whether the Python module `gpu_memory_service` is run.
    pub gpu_memory_service: bool,
    /// Whether an element is a shell.
    pub shell: bool,
    /// Whether a flag says that the engine spans nodes.
    pub spans_nodes: bool,
    /// Whether a flag already chooses how weights are loaded.
    pub load_format: bool,
    /// Whether a program is a Model Express server.
    pub model_express_server: bool,
}

/// Whether something shows in whole elements of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Inside a script.
    No,
    /// As elements.
    Yes,
}

/// A Dynamo component that is no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// `dynamo.frontend`, `dynamo.mocker` and others.
    Other,
    /// `dynamo.planner`.
    Planner,
}

/// Names of a Model Express server's program and image.
pub(super) fn is_model_express_server(name: &str) -> bool {
    matches!(name, "modelexpress-server" | "model-express-server")
}

impl CommandLine {
    /// Reads the command line of a container.
    pub fn parse(container: &Container<'_>) -> CommandLine {
        let mut parsed = CommandLine::default();
        let mut last = None;
        // One word after another: a script may have millions of them.
        each_word(container.command_line(), &mut |word| {
            if let Some(last) = last.replace(word) {
                parsed.read(&last, Some(&word));
            }
        });
        if let Some(last) = last {
            parsed.read(&last, None);
        }
        parsed
    }

    /// Reads a word, with the one that follows it.
    fn read(&mut self, word: &Word<'_>, next: Option<&Word<'_>>) {
        self.read_program(word);
        self.read_flag(word.text);
        if word.text == "-m" {
            if let Some(module) = next {
                self.read_module(module.text, word.whole.and(module.whole));
            }
        } else if let Some(module) = word.text.strip_prefix("-m") {
            // Python also takes the module in the same element; other programs have flags such as -max.
            if is_known_module(module) {
                self.read_module(module, word.whole);
            }
        }
        let program = last_name(word.text);
        if program == "trtllm-serve" {
            self.show_engine(Engine::Trtllm, word.whole);
        } else if let ("vllm", Some(next)) = (program, next)
            && next.text == "serve"
        {
            self.show_engine(Engine::Vllm, word.whole.and(next.whole));
        }
    }

    fn read_program(&mut self, word: &Word<'_>) {
        let name = last_name(word.text);
        self.model_express_server |= word.program && is_model_express_server(name);
        self.shell |= word.whole == Form::Yes && matches!(name, "ash" | "bash" | "dash" | "ksh" | "sh" | "zsh");
    }

    fn read_flag(&mut self, word: &str) {
        let Some(flag) = word.strip_prefix("--") else { return };
        let flag = flag.split_once('=').map_or(flag, |(name, _)| name);
        match flag {
            "headless" | "nnodes" | "node-rank" | "node_rank" => self.spans_nodes = true,
            "load-format"
            | "load_format"
            | "remote-instance-weight-loader-backend"
            | "remote_instance_weight_loader_backend" => self.load_format = true,
            _ => {}
        }
    }

    fn read_module(&mut self, module: &str, whole: Form) {
        self.python_module = true;
        let mut parts = module.split('.');
        match (parts.next(), parts.next()) {
            (Some("dynamo"), Some(name)) if !name.is_empty() => {
                self.dynamo_module = true;
                match (Engine::named(name), name) {
                    (Some(engine), _) => self.show_engine(engine, whole),
                    (None, "planner") => self.show_component(Component::Planner),
                    (None, _) => self.show_component(Component::Other),
                }
            }
            (Some("gpu_memory_service"), _) => self.gpu_memory_service = true,
            (Some("sglang"), Some("launch_server")) => self.show_engine(Engine::Sglang, whole),
            (Some("vllm"), Some("entrypoints")) => self.show_engine(Engine::Vllm, whole),
            _ => {}
        }
    }

    fn show_engine(&mut self, engine: Engine, whole: Form) {
        self.engine.get_or_insert((engine, whole));
    }

    fn show_component(&mut self, component: Component) {
        self.component.get_or_insert(component);
    }
}

impl Form {
    fn and(self, other: Form) -> Form {
        if self == Form::Yes { other } else { Form::No }
    }
}

/// One word of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word<'a> {
    text: &'a str,
    whole: Form,
    /// Whether this word names the program that a command runs.
    program: bool,
}

fn is_known_module(module: &str) -> bool {
    ["dynamo.", "gpu_memory_service", "sglang.launch_server", "vllm.entrypoints."]
        .iter()
        .any(|known| module.starts_with(known))
}

/// What follows the last slash.
fn last_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

fn each_word<'a>(elements: impl Iterator<Item = &'a str>, then: &mut impl FnMut(Word<'a>)) {
    let mut after_c = false;
    for (index, element) in elements.enumerate() {
        if after_c || element.contains(char::is_whitespace) {
            read_script(element, then);
        } else {
            then(Word { text: element, whole: Form::Yes, program: index == 0 });
        }
        after_c = is_script_flag(element);
    }
}

/// `-c`, `-lc`, `-euxc` and the like: the next element is a script.
fn is_script_flag(element: &str) -> bool {
    element
        .strip_prefix('-')
        .and_then(|flags| flags.strip_suffix('c'))
        .is_some_and(|flags| flags.bytes().all(|flag| flag.is_ascii_alphabetic()))
}

fn read_script<'a>(script: &'a str, then: &mut impl FnMut(Word<'a>)) {
    let mut continued = false;
    let mut expects_program = true;
    for line in script.lines() {
        if !continued {
            if line.trim_start().starts_with('#') {
                continue;
            }
            expects_program = true;
        }
        continued = line.ends_with('\\');
        read_line(line, &mut expects_program, then);
    }
}

fn read_line<'a>(line: &'a str, expects_program: &mut bool, then: &mut impl FnMut(Word<'a>)) {
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| !ends_word(c)) {
        *expects_program |= rest[..start].contains(ends_command);
        rest = &rest[start..];
        let end = rest.find(ends_word).unwrap_or(rest.len());
        if let Some((_, value)) = split_assignment(&rest[..end]) {
            // What a variable holds may be run later, so it counts; the program is still to come.
            let quoted = quoted(&rest[end..]).filter(|_| value.is_empty());
            let value = quoted.map_or(value, |quoted| quoted.trim_matches(['"', '\'']));
            let parts = value.split(ends_word).filter(|part| !part.is_empty());
            parts.for_each(|text| then(Word { text, whole: Form::No, program: false }));
            rest = &rest[end + quoted.map_or(0, str::len)..];
            continue;
        }
        let text = &rest[..end];
        let program = *expects_program && text != "exec";
        *expects_program &= !program;
        then(Word { text, whole: Form::No, program });
        rest = &rest[end..];
    }
    *expects_program |= rest.contains(ends_command);
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::engine::Engine;
    use super::super::pod::{Container, Text};
    use super::{CommandLine, Component, Form};

    fn parsed(elements: &[&str]) -> CommandLine {
        let args = elements.iter().map(|element| Text(Cow::Borrowed(*element))).collect();
        CommandLine::parse(&Container { args: Some(args), ..Container::default() })
    }

    #[test]
    fn an_engine_shows_in_each_way_of_starting_it() {
        let whole = |engine| Some((engine, Form::Yes));
        let script = |engine| Some((engine, Form::No));
        for (elements, engine) in [
            (&["python3", "-m", "dynamo.vllm"][..], whole(Engine::Vllm)),
            (&["python3", "-mdynamo.sglang"], whole(Engine::Sglang)),
            (&["python3", "-m dynamo.trtllm"], script(Engine::Trtllm)),
            (&["sh", "-c", "exec python3 -m dynamo.vllm --model x"], script(Engine::Vllm)),
            (
                &["bash", "-lc", "set -e\n# python3 -m dynamo.sglang\npython3 -m \\\n  dynamo.vllm"],
                script(Engine::Vllm),
            ),
            (&["bash", "-c", "ssh host \"mpirun bash -c 'python3 -m dynamo.trtllm'\""], script(Engine::Trtllm)),
            (&["/opt/venv/bin/vllm", "serve", "x"], whole(Engine::Vllm)),
            (&["python", "-m", "vllm.entrypoints.openai.api_server"], whole(Engine::Vllm)),
            (&["python", "-m", "sglang.launch_server"], whole(Engine::Sglang)),
            (&["trtllm-serve", "x"], whole(Engine::Trtllm)),
            (&["python3", "-m", "dynamo.frontend"], None),
            (&["vllm", "bench"], None),
            (&["python3", "-m", "dynamo_other.vllm"], None),
            (&["sh", "-c", "# python3 -m dynamo.vllm"], None),
            (&["sh", "-c", "RUN='python3 -m dynamo.vllm'; exec $RUN"], script(Engine::Vllm)),
        ] {
            assert_eq!(parsed(elements).engine, engine, "{elements:?}");
        }
    }

    #[test]
    fn other_modules_show_too() {
        assert_eq!(parsed(&["python3", "-m", "dynamo.planner.x"]).component, Some(Component::Planner));
        assert_eq!(parsed(&["python3", "-m", "dynamo.mocker"]).component, Some(Component::Other));
        assert!(parsed(&["bash", "-c", "python3 -m gpu_memory_service"]).gpu_memory_service);
        assert!(parsed(&["python3", "-m", "http.server"]).python_module);
        assert!(!parsed(&["tool", "-max", "3"]).python_module);
    }

    #[test]
    fn a_program_is_the_first_word_of_a_command() {
        for (elements, server) in [
            (&["/usr/local/bin/model-express-server"][..], true),
            (&["sh", "-c", "modelexpress-server"], true),
            (&["sh", "-c", "export A=1; B='x y' exec ./modelexpress-server --port 1"], true),
            (&["sh", "-c", "echo model-express-server"], false),
            (&["tool", "model-express-server"], false),
            (&["sh", "-c", "wait-for \\\nmodel-express-server"], false),
        ] {
            assert_eq!(parsed(elements).model_express_server, server, "{elements:?}");
        }
    }

    #[test]
    fn flags_and_shells_show() {
        assert!(parsed(&["x", "--nnodes=2"]).spans_nodes && parsed(&["sh", "-c", "x --headless"]).spans_nodes);
        assert!(parsed(&["sh", "-c", "ARGS=\"--nnodes 2\" python3 $ARGS"]).spans_nodes);
        assert!(parsed(&["sh", "-c", "A=--headless; x $A"]).spans_nodes);
        assert!(parsed(&["x", "--load_format", "auto"]).load_format && !parsed(&["x", "--load-formats"]).load_format);
        assert!(parsed(&["/bin/bash", "-c", "x"]).shell && !parsed(&["x", "sh y"]).shell);
    }
}
