//! The rules of classification and selection in words.

use crate::admission::classification::{ContainerRole, DetectedEngine, Evidence, NotSelected, SelectionRule};

/// What makes the pod a component; continues "a Dynamo component, ".
pub(super) fn evidence(evidence: Evidence<'_>) -> String {
    match evidence {
        Evidence::Annotation => "by its annotation dynamo-cache.io/inject: \"true\"".to_owned(),
        Evidence::Label(label) => format!("by its label {label}"),
        Evidence::Module(container) => {
            format!("by the command of container {container}, which runs a dynamo.* module or a sidecar of Dynamo")
        }
    }
}

/// Why a container was selected.
pub(super) fn rule(rule: SelectionRule) -> &'static str {
    match rule {
        SelectionRule::Default => "selected as kubectl's default container: no command shows an engine",
        SelectionRule::Earlier => "selected because an earlier status of dynamo-cache names it",
        SelectionRule::First => "selected as the first container: no command shows an engine",
        SelectionRule::Gpu => "selected because it asks for a GPU, and the commands show only sidecars",
        SelectionRule::Main => "selected for its name, main: no command shows an engine",
        SelectionRule::Named => "selected by annotation dynamo-cache.io/containers",
        SelectionRule::Numbered => {
            "selected for its name, engine-N: no command shows an engine, and no container is named main"
        }
        SelectionRule::CommandLine => {
            "selected by its command, which shows an engine, a dynamo.* module or a sidecar of Dynamo"
        }
    }
}

/// Why a container was not selected.
pub(super) fn not_selected(why: NotSelected) -> &'static str {
    match why {
        NotSelected::NamesOthers => "not selected: annotation dynamo-cache.io/containers names other containers",
        NotSelected::NeverGetsCaches => {
            "not selected: GPU Memory Service and containers that wait for a leader never get caches"
        }
        NotSelected::OfModeStaged => "not selected: it is dynamo-cache's own, for the engine's compile cache",
        NotSelected::RunsBefore => {
            "not selected: it ends before the main containers start; dynamo-cache.io/containers can still name it"
        }
        NotSelected::ShowsNothing => {
            "not selected: its command shows no engine and no part of Dynamo; dynamo-cache.io/containers can name it"
        }
    }
}

/// The container's engine, and which caches follow from its role.
pub(super) fn engine(role: ContainerRole, engine: DetectedEngine) -> String {
    match (role, engine) {
        (ContainerRole::Planner, _) => "planner: only the Model Express address".to_owned(),
        (ContainerRole::Frontend, _) => "no engine: model cache and Model Express address, no compile cache".to_owned(),
        (ContainerRole::Engine, DetectedEngine::Engine(engine)) => format!("engine {}", engine.name()),
        (ContainerRole::Engine, DetectedEngine::None) => {
            "no engine, as annotation dynamo-cache.io/engine says".to_owned()
        }
        (ContainerRole::Engine, DetectedEngine::Unknown) => "engine unknown".to_owned(),
    }
}
