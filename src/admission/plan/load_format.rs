//! Loading weights through Model Express, for those who ask for it: the contract's section 7.

use super::super::classification::DetectedEngine;
use super::super::command_line::Form;
use super::super::engine::Engine;
use super::super::reason::Reason;
use super::super::settings::LoadFormat;
use super::super::warning::Warning;
use super::container::{ContainerPlan, Value};
use super::{Cache, PlanContext};

/// The variable with which a container asks for a format; no engine reads it.
const ASKS: &str = "VLLM_LOAD_FORMAT";

/// What came of it.
pub(super) struct Load {
    /// Why the engine does not load this way although it was asked for.
    pub result: Result<(), Reason>,
    pub warnings: Vec<Warning>,
}

impl Load {
    const DONE: Load = Load { result: Ok(()), warnings: Vec::new() };
}

/// Adds the engine's flag or variable where the format is asked for and an address is in place.
pub(super) fn plan(context: &PlanContext<'_>, planned: &mut ContainerPlan<'_, '_>) -> Load {
    let DetectedEngine::Engine(engine) = planned.selected.engine else { return Load::DONE };
    if planned.selected.command_line.load_format {
        return Load::DONE;
    }
    let (format, warning) = match planned.variable(ASKS) {
        None => (context.settings.express.load_format, None),
        Some(value) => asked_by(&value),
    };
    let mut warnings: Vec<_> = warning.into_iter().collect();
    let Some(format) = format else { return Load { result: Ok(()), warnings } };
    let words = match engine {
        Engine::Sglang => {
            "--load-format remote_instance --remote-instance-weight-loader-backend modelexpress".to_owned()
        }
        Engine::Trtllm => {
            planned.set(Cache::LoadFormat, "DYN_TRTLLM_LOAD_FORMAT", format.word());
            return Load { result: Ok(()), warnings };
        }
        Engine::Vllm => format!("--load-format {}", format.word()),
    };
    let command_line = planned.selected.command_line;
    if command_line.shell || command_line.engine != Some((engine, Form::Yes)) {
        warnings.push(Warning::shell_wrapped(&words));
        return Load { result: Err(Reason::ShellWrapped), warnings };
    }
    planned.append_args(Cache::LoadFormat, words.split(' ').map(str::to_owned).collect());
    Load { result: Ok(()), warnings }
}

fn asked_by(value: &Value<'_>) -> (Option<LoadFormat>, Option<Warning>) {
    let Value::Literal(text) = value else {
        return (None, Some(Warning::variable(Reason::LoadFormatInvalid, ASKS, "a reference")));
    };
    match LoadFormat::read(text) {
        Ok(format) => (Some(format), None),
        Err((reason, format)) => (format, Some(Warning::variable(reason, ASKS, text))),
    }
}
