//! Rules in words.

use crate::admission::component::{Mark, Passed, Row, Rule, Runs};

/// What makes the pod a component.
pub(super) fn mark(mark: Mark<'_>) -> String {
    match mark {
        Mark::Annotation => "by its annotation dynamo-cache.io/inject: \"true\"".to_owned(),
        Mark::Label(label) => format!("by its label {label}"),
        Mark::Module(container) => format!("by the command of container {container}, which runs a dynamo.* module"),
    }
}

/// Why a container was chosen.
pub(super) fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Default => "chosen as kubectl's default container: no command shows an engine",
        Rule::Earlier => "chosen because an earlier status of dynamo-cache names it",
        Rule::First => "chosen as the first container: no command shows an engine",
        Rule::Main => "chosen for its name, main: no command shows an engine",
        Rule::Named => "chosen by annotation dynamo-cache.io/containers",
        Rule::Numbered => "chosen for its name, engine-N: no command shows an engine, and there is no main",
        Rule::Shows => "chosen by its command, which shows an engine or a dynamo.* module",
    }
}

/// Why a container was not chosen.
pub(super) fn not_chosen(passed: Passed) -> &'static str {
    match passed {
        Passed::NamesOthers => "not chosen: annotation dynamo-cache.io/containers names others",
        Passed::NeverGetsCaches => "not chosen: GPU Memory Service and waits for a leader never get caches",
        Passed::RunsBefore => {
            "not chosen: it ends before the containers begin; dynamo-cache.io/containers could name it all the same"
        }
        Passed::ShowsNothing => {
            "not chosen: its command shows no engine and no dynamo.* module; dynamo-cache.io/containers could name it"
        }
    }
}

/// The container's engine, and what that makes its own.
pub(super) fn engine(row: Row, runs: Runs) -> String {
    match (row, runs) {
        (Row::Planner, _) => "planner: the address of Model Express alone".to_owned(),
        (Row::Frontend, _) => "no engine: model cache and address, no compile cache".to_owned(),
        (Row::Engine, Runs::Engine(engine)) => format!("engine {}", engine.name()),
        (Row::Engine, Runs::None) => "no engine, as annotation dynamo-cache.io/engine says".to_owned(),
        (Row::Engine, Runs::Unknown) => "an engine that is not known".to_owned(),
    }
}
