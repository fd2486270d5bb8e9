//! SelectionRules in words.

use crate::admission::component::{ContainerRole, DetectedEngine, Evidence, NotSelected, SelectionRule};

/// What makes the pod a component.
pub(super) fn mark(mark: Evidence<'_>) -> String {
    match mark {
        Evidence::Annotation => "by its annotation dynamo-cache.io/inject: \"true\"".to_owned(),
        Evidence::Label(label) => format!("by its label {label}"),
        Evidence::Module(container) => format!("by the command of container {container}, which runs a dynamo.* module"),
    }
}

/// Why a container was chosen.
pub(super) fn rule(rule: SelectionRule) -> &'static str {
    match rule {
        SelectionRule::Default => "chosen as kubectl's default container: no command shows an engine",
        SelectionRule::Earlier => "chosen because an earlier status of dynamo-cache names it",
        SelectionRule::First => "chosen as the first container: no command shows an engine",
        SelectionRule::Main => "chosen for its name, main: no command shows an engine",
        SelectionRule::Named => "chosen by annotation dynamo-cache.io/containers",
        SelectionRule::Numbered => "chosen for its name, engine-N: no command shows an engine, and there is no main",
        SelectionRule::CommandLine => "chosen by its command, which shows an engine or a dynamo.* module",
    }
}

/// Why a container was not chosen.
pub(super) fn not_chosen(passed: NotSelected) -> &'static str {
    match passed {
        NotSelected::NamesOthers => "not chosen: annotation dynamo-cache.io/containers names others",
        NotSelected::NeverGetsCaches => "not chosen: GPU Memory Service and waits for a leader never get caches",
        NotSelected::RunsBefore => {
            "not chosen: it ends before the containers begin; dynamo-cache.io/containers could name it all the same"
        }
        NotSelected::ShowsNothing => {
            "not chosen: its command shows no engine and no dynamo.* module; dynamo-cache.io/containers could name it"
        }
    }
}

/// The container's engine, and what that makes its own.
pub(super) fn engine(row: ContainerRole, runs: DetectedEngine) -> String {
    match (row, runs) {
        (ContainerRole::Planner, _) => "planner: the address of Model Express alone".to_owned(),
        (ContainerRole::Frontend, _) => "no engine: model cache and address, no compile cache".to_owned(),
        (ContainerRole::Engine, DetectedEngine::Engine(engine)) => format!("engine {}", engine.name()),
        (ContainerRole::Engine, DetectedEngine::None) => {
            "no engine, as annotation dynamo-cache.io/engine says".to_owned()
        }
        (ContainerRole::Engine, DetectedEngine::Unknown) => "an engine that is not known".to_owned(),
    }
}
