//! Which models the pods of an object name, and who names them: flags, variables, scripts.
//!
//! A model is what the hub knows by this name. A path is none, unless it leads to a snapshot in the hub's layout
//! (`…/models--OWNER--NAME/snapshots/COMMIT`). A name that only the running container knows, such as a variable of a Secret, is
//! unclear, and reported as that.
//!
//! Of a pod, those containers are read that are Dynamo's or run an engine: a client that measures also has `--model`, with the name
//! under which the model is served.

mod environment;
mod flags;
mod hub_name;
mod objects;

use serde_json::{Value, json};

use crate::admission::classification::{self, Classification, ContainerRole};
use crate::admission::command_line::CommandLine;
use crate::admission::pod::{Container, Pod};

pub(crate) use environment::ConfigMaps;
pub(crate) use hub_name::is_model_name;
pub(crate) use objects::{ObjectModels, of_object, referenced_config_maps};

use environment::Environment;

/// The models that one container names, or one field of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerModels {
    /// The container; empty for a field of an object that has no pods.
    pub(crate) container: String,
    /// The models, each revision once, in the order in which they are named.
    pub(crate) models: Vec<NamedModel>,
    /// Names that only the running container knows.
    pub(crate) unclear: Vec<Unclear>,
}

/// A model, named by one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedModel {
    /// The name on the hub: `owner/name`, or a name alone.
    pub(crate) name: String,
    /// The revision that is named with it: a commit, a branch or a tag. Without one, clients take `main`.
    pub(crate) revision: Option<String>,
    /// What the container does with it.
    pub(crate) purpose: Purpose,
    /// Who names it: `--model`, `MODEL_PATH`, `vllm serve`.
    pub(crate) by: String,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Only the files of the tokenizer and the configuration are read.
    Tokenizer,
    /// An adapter.
    Lora,
    /// The smaller model of speculative decoding.
    Speculator,
    /// The model that is served.
    Weights,
}

/// A model that cannot be read from the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unclear {
    /// Who names it.
    pub(crate) by: String,
    /// What stands there: `${MODEL}`.
    pub(crate) text: String,
}

/// The models that a pod or a pod template names; `pod` has `metadata` and `spec`. Containers that name none are omitted.
///
/// `config_maps` are those whose values variables take; [`ConfigMaps::referenced_by`] says which that may be.
pub(crate) fn of_pod(pod: &Value, config_maps: &ConfigMaps) -> Vec<ContainerModels> {
    let narrow = json!({"metadata": pod.get("metadata"), "spec": pod.get("spec")}).to_string();
    // What is no pod names no models; `inject` reports the mistake.
    let Ok(narrow) = serde_json::from_str::<Pod<'_>>(&narrow) else { return Vec::new() };
    let (classification, _) = classification::classify(&narrow);
    let both = [("initContainers", narrow.init_containers()), ("containers", narrow.containers())];
    let mut all = Vec::new();
    for (list, containers) in both {
        let values = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        for (container, value) in containers.iter().zip(values.into_iter().flatten()) {
            let Some(reads) = reads(&classification, container) else { continue };
            let mut environment = Environment::new(value, config_maps);
            let mut found = flags::read(container, &mut environment);
            if !found.has_main {
                found.add_variables(&environment);
            }
            found.add_alternatives(&environment);
            if reads == Reads::Everything && found.is_empty() && CommandLine::parse(container).engine.is_none() {
                // A label says that it is an engine. One whose command shows that has a default of its own.
                let command = container.command_line().collect::<Vec<_>>().join(" ");
                let text = if command.is_empty() { "that of the image".to_owned() } else { command };
                found.unclear.push(Unclear { by: "the command".to_owned(), text });
            }
            if reads == Reads::Tokenizer {
                found.models.iter_mut().for_each(|model| model.purpose = Purpose::Tokenizer);
            }
            let models = ContainerModels {
                container: container.name().to_owned(),
                models: each_once(found.models),
                unclear: found.unclear,
            };
            if !models.models.is_empty() || !models.unclear.is_empty() {
                all.push(models);
            }
        }
    }
    all
}

/// What a container reads of the models that it names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Everything,
    Tokenizer,
}

/// What a container reads of its models; `None` if its models are not looked for.
fn reads(classification: &Classification<'_>, container: &Container<'_>) -> Option<Reads> {
    if let Classification::Component(_, selected, _) = classification
        && let Some(selected) = selected.iter().find(|selected| selected.container.name() == container.name())
    {
        return match selected.role {
            ContainerRole::Engine => Some(Reads::Everything),
            ContainerRole::Frontend => Some(Reads::Tokenizer),
            ContainerRole::Planner => None,
        };
    }
    // A pod that gets no caches may run an engine all the same.
    CommandLine::parse(container).engine.map(|_| Reads::Everything)
}

/// Each model and revision once, for the purpose that needs the most of its files.
fn each_once(models: Vec<NamedModel>) -> Vec<NamedModel> {
    let mut once: Vec<NamedModel> = Vec::new();
    for model in models {
        match once.iter_mut().find(|known| known.name == model.name && known.revision == model.revision) {
            Some(known) if known.purpose < model.purpose => *known = model,
            Some(_) => {}
            None => once.push(model),
        }
    }
    once
}

/// The revision that clients take where none is named.
pub(crate) const MAIN: &str = "main";

/// The files of a model that a tokenizer needs, and its configuration.
pub(crate) const TOKENIZER_FILES: [&str; 6] = ["*.jinja", "*.json", "*.model", "*.py", "*.tiktoken", "*.txt"];

#[cfg(test)]
mod tests;
