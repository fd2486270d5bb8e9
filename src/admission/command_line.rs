//! What a container's command line shows: engines, Python modules, programs and flags.
//!
//! A command line is command then args. An element with white space in it, or one that follows a shell's `-c`,
//! is read as a script: its words count, its comment lines do not.

use super::engine::Engine;
use super::pod::Container;

mod assignments;
mod commands;
mod flags;
mod shell;
mod words;

use assignments::Assigned;
use flags::Flags;
use words::{Word, each_word, is_shell};

pub use commands::{Step, steps};

pub(super) use flags::is_flag;
pub(super) use words::{each_script_word, is_script, is_script_flag};

/// What one command line shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub struct CommandLine<'a> {
    /// The first engine, and whether it shows in elements of its own rather than inside a script.
    pub engine: Option<(Engine, Form)>,
    /// The first `dynamo.*` module or sidecar program that is no engine; a module that we do not know counts before the others.
    pub component: Option<Component>,
    /// Whether any `dynamo.*` module is run, an engine or not, or a sidecar of Dynamo.
    pub runs_dynamo: bool,
    /// Whether any Python module is run by `-m`.
    pub python_module: bool,
    /// Whether a Python file is run.
    pub python_file: bool,
    /// Whether the Python module `gpu_memory_service` is run.
    pub gpu_memory_service: bool,
    /// Whether an element is a shell.
    pub shell: bool,
    /// What its flags say.
    pub flags: Flags<'a>,
    /// The variables that its scripts assign, of those that decide.
    pub assigned: Assigned,
    /// Whether a program is a Model Express server.
    pub model_express_server: bool,
    /// Whether `--sidecar` names a module of Dynamo, with which an engine is a component.
    names_sidecar: bool,
    /// Whether a word began with `--`: what follows is an argument of something.
    has_flag: bool,
}

/// Whether something shows in whole elements of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Inside a script.
    No,
    /// As elements.
    Yes,
}

/// A Dynamo component that is no engine, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// `dynamo.frontend`, `dynamo.router` and others that read a tokenizer at most.
    Frontend,
    /// `dynamo.planner`, `dynamo.global_planner`.
    Planner,
    /// A sidecar beside an engine of another container: `dynamo-vllm-sidecar`, `dynamo.vllm.sidecar`.
    Sidecar,
    /// A module that we do not know. With a GPU it is an engine.
    Unknown,
}

/// The modules below `dynamo` that are no engines and need no GPU.
const WITHOUT_ENGINE: [&str; 5] = ["frontend", "global_router", "mocker", "profiler", "router"];

/// The programs of Dynamo that stand beside an engine in another container.
const SIDECARS: [&str; 3] = ["dynamo-sglang-sidecar", "dynamo-trtllm-sidecar", "dynamo-vllm-sidecar"];

/// vLLM's server in Rust, which Dynamo 1.5 and later runs with a sidecar.
const VLLM_RS: &str = "vllm-rs";

/// Names of a Model Express server's program and image.
pub(super) fn is_model_express_server(name: &str) -> bool {
    matches!(name, "modelexpress-server" | "model-express-server")
}

impl<'a> CommandLine<'a> {
    /// Reads the command line of a container.
    pub fn parse(container: &'a Container<'_>) -> CommandLine<'a> {
        let assigned = assignments::assigned(container.command_line());
        let mut parsed = CommandLine { assigned, ..CommandLine::default() };
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
        parsed.runs_dynamo |= parsed.names_sidecar && parsed.engine.is_some();
        parsed
    }

    /// Reads a word, with the one that follows it.
    fn read(&mut self, word: &Word<'a>, next: Option<&Word<'a>>) {
        self.read_program(word);
        self.flags.read(word, next);
        if word.program && last_name(word.text) == "ray" && next.is_some_and(|next| next.text == "start") {
            self.flags.show_ray();
        }
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
        if word.text.strip_prefix("--sidecar=").is_some_and(is_dynamo_module)
            // In a script a value in quotes is a word of its own.
            || (matches!(word.text, "--sidecar" | "--sidecar=") && next.is_some_and(|next| is_dynamo_module(next.text)))
        {
            self.names_sidecar = true;
        }
        let is_serve = |word: &Word<'_>| word.text == "serve";
        let serves = next.filter(|next| is_serve(next) && !next.program).map(|next| word.whole.and(next.whole));
        match (last_name(word.text), serves) {
            ("trtllm-serve", _) => self.show_engine(Engine::Trtllm, word.whole),
            ("vllm" | VLLM_RS, Some(whole)) => self.show_engine(Engine::Vllm, whole),
            ("sglang", Some(whole)) => self.show_engine(Engine::Sglang, whole),
            _ if word.follows_vllm_rs && is_serve(word) => self.show_engine(Engine::Vllm, Form::No),
            _ => {}
        }
    }

    fn read_program(&mut self, word: &Word<'_>) {
        let name = last_name(word.text);
        self.has_flag |= word.text.starts_with("--");
        // Behind a flag it is the value of something: a chat template, a configuration. Python's own names are in lower case.
        self.python_file |= !self.has_flag && word.text.strip_suffix(".py").is_some();
        if word.program && SIDECARS.contains(&name) {
            self.runs_dynamo = true;
            self.show_component(Component::Sidecar);
        }
        self.model_express_server |= word.program && is_model_express_server(name);
        self.shell |= word.whole == Form::Yes && is_shell(name);
    }

    fn read_module(&mut self, module: &str, whole: Form) {
        self.python_module = true;
        let mut parts = module.split('.');
        match (parts.next(), parts.next()) {
            (Some("dynamo"), Some(name)) if !name.is_empty() => {
                self.runs_dynamo = true;
                match (Engine::named(name), name) {
                    (Some(_), _) if parts.next() == Some("sidecar") => self.show_component(Component::Sidecar),
                    (Some(engine), _) => self.show_engine(engine, whole),
                    (None, "global_planner" | "planner") => self.show_component(Component::Planner),
                    (None, name) if WITHOUT_ENGINE.contains(&name) => self.show_component(Component::Frontend),
                    (None, _) => self.show_component(Component::Unknown),
                }
            }
            (Some("gpu_memory_service"), _) => self.gpu_memory_service = true,
            (Some("sglang"), Some("launch_server")) => self.show_engine(Engine::Sglang, whole),
            (Some("tensorrt_llm"), Some("commands")) if parts.next() == Some("serve") => {
                self.show_engine(Engine::Trtllm, whole);
            }
            (Some("vllm"), Some("entrypoints")) => self.show_engine(Engine::Vllm, whole),
            _ => {}
        }
    }

    fn show_engine(&mut self, engine: Engine, whole: Form) {
        self.engine.get_or_insert((engine, whole));
    }

    /// The first counts, but for a module that we do not know: with a GPU it is an engine, whatever runs beside it.
    fn show_component(&mut self, component: Component) {
        let counts = match self.component {
            None => true,
            Some(Component::Frontend | Component::Sidecar) => component == Component::Unknown,
            Some(Component::Planner | Component::Unknown) => false,
        };
        if counts {
            self.component = Some(component);
        }
    }
}

impl Form {
    fn and(self, other: Form) -> Form {
        if self == Form::Yes { other } else { Form::No }
    }
}

fn is_known_module(module: &str) -> bool {
    ["dynamo.", "gpu_memory_service", "sglang.launch_server", "tensorrt_llm.commands.", "vllm.entrypoints."]
        .iter()
        .any(|known| module.starts_with(known))
}

fn is_dynamo_module(text: &str) -> bool {
    text.starts_with("dynamo.")
}

/// What follows the last slash.
fn last_name(word: &str) -> &str {
    word.bytes().rposition(|byte| byte == b'/').map_or(word, |slash| &word[slash + 1..])
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::engine::Engine;
    use super::super::pod::{Container, Text};
    use super::{CommandLine, Component, Form};

    fn container<'e>(elements: &[&'e str]) -> Container<'e> {
        let args = elements.iter().map(|element| Text(Cow::Borrowed(*element))).collect();
        Container { args: Some(args), ..Container::default() }
    }

    fn engine_of(elements: &[&str]) -> Option<(Engine, Form)> {
        CommandLine::parse(&container(elements)).engine
    }

    fn shows(elements: &[&str], what: impl Fn(&CommandLine<'_>) -> bool) -> bool {
        what(&CommandLine::parse(&container(elements)))
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
            assert_eq!(engine_of(elements), engine, "{elements:?}");
        }
    }

    #[test]
    fn other_modules_show_too() {
        for (module, component) in [("dynamo.planner.x", Component::Planner), ("dynamo.mocker", Component::Frontend)] {
            assert!(shows(&["python3", "-m", module], |line| line.component == Some(component)), "{module}");
        }
        assert!(shows(&["bash", "-c", "python3 -m gpu_memory_service"], |line| line.gpu_memory_service));
        assert!(shows(&["python3", "-m", "http.server"], |line| line.python_module));
        assert!(!shows(&["tool", "-max", "3"], |line| line.python_module));
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
            assert_eq!(shows(elements, |line| line.model_express_server), server, "{elements:?}");
        }
    }

    #[test]
    fn flags_and_shells_show() {
        assert!(shows(&["x", "--load_format", "auto"], |line| line.flags.load_format));
        assert!(!shows(&["x", "--load-formats"], |line| line.flags.load_format));
        for (elements, directory) in [
            (&["x", "--download-dir", "/a", "--download_dir=/b"][..], Some("/b")),
            (&["sh", "-c", "x --download-dir=\"$DIR/a\""], Some("$DIR/a")),
            (&["x", "--download-dir"], None),
            (&["sh", "-c", "x # --download-dir /a\n# --download-dir /b"], None),
            (&["sh", "-c", "x \"# \" --download-dir /a#b"], Some("/a#b")),
        ] {
            assert!(shows(elements, |line| line.flags.download_dir == directory), "{elements:?}");
        }
        assert!(shows(&["/bin/bash", "-c", "x"], |line| line.shell) && !shows(&["x", "sh y"], |line| line.shell));
    }
}
