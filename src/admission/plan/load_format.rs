//! Loading weights through Model Express or by a faster loader, for those who ask for it: the contract's section 7.

use super::super::classification::{ContainerRole, DetectedEngine};
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

/// Adds the engine's flag or variable where the format is asked for, and what it loads from is in place: the address of Model
/// Express, or the model cache.
pub(super) fn plan(
    context: &PlanContext<'_>,
    planned: &mut ContainerPlan<'_, '_>,
    has_address: bool,
    has_model_cache: bool,
) -> Load {
    let DetectedEngine::Engine(engine) = planned.selected.engine else { return Load::DONE };
    if planned.selected.role != ContainerRole::Engine || planned.selected.command_line.flags.load_format {
        return Load::DONE;
    }
    let (format, warning) = match planned.variable(ASKS) {
        None => (context.settings.load_format, None),
        Some(value) => asked_by(&value),
    };
    // Where no format could apply, the variable is a matter of the user's alone.
    let is_asked = has_address || context.settings.load_format.is_some();
    let mut warnings: Vec<_> = warning.into_iter().filter(|_| is_asked).collect();
    let is_possible = |format: &LoadFormat| match (format.asks_model_express(), engine) {
        (true, _) => has_address,
        (false, Engine::Sglang | Engine::Vllm) => has_model_cache,
        (false, Engine::Trtllm) => false,
    };
    let Some(format) = format.filter(is_possible) else { return Load { result: Ok(()), warnings } };
    let words = match engine {
        Engine::Sglang if format.asks_model_express() => {
            "--load-format remote_instance --remote-instance-weight-loader-backend modelexpress".to_owned()
        }
        Engine::Trtllm => {
            planned.set(Cache::LoadFormat, "DYN_TRTLLM_LOAD_FORMAT", format.word());
            return Load { result: Ok(()), warnings };
        }
        Engine::Sglang | Engine::Vllm => format!("--load-format {}", format.word()),
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
