//! Pod templates that an option names, by JSON Pointer.

use serde_json::Value;

use super::name;
use super::object::Type;
use super::pointer::expand;
use super::search::Search;
use super::{Pod, Templates, WrongPointer, graph};

/// Adds what the pointers lead to in an object: pod templates, or specs of pods.
pub(super) fn add(search: &mut Search<'_>, kind: Type<'_>, pointers: &[String], templates: &mut Templates) {
    for given in pointers {
        for pointer in expand(search.object, given) {
            let value = search.object.pointer(&pointer);
            let has = |key: &str| value.is_some_and(|value| value.get(key).is_some());
            let place = format!("{}{pointer}", search.at);
            let spec = if has("spec") { format!("{place}/spec") } else { place.clone() };
            let is_found = search.found.iter().any(|found| found.pointer == place || found.has_spec_at(&spec));
            match (has("spec"), has("containers")) {
                (false, false) => {
                    let (given, object) = (given.clone(), name(search.object));
                    templates.wrong_pointers.push(WrongPointer { given, object, pointer: place });
                    continue;
                }
                _ if is_found => {}
                (true, _) => search.template(&pointer),
                (false, true) => {
                    let template = search.new_template(place, Pod::Parts { metadata: None, spec });
                    search.found.push(template);
                }
            }
            templates.used_pointers.insert(given.clone());
            let label = component_type(search.object, kind, &pointer).filter(|_| !is_found);
            if let (Some(label), Some(template)) = (label, search.found.last_mut()) {
                template.labels.push(("nvidia.com/dynamo-component-type".to_owned(), label));
            }
        }
    }
}

/// The type with which the Dynamo operator labels the pods of a component, if the pointer leads into a graph.
fn component_type(object: &Value, kind: Type<'_>, pointer: &str) -> Option<String> {
    if !graph::is_operator_managed(kind) {
        return None;
    }
    let (component, _) = pointer.rsplit_once('/')?;
    let component = object.pointer(component)?;
    let text = ["type", "componentType"].iter().find_map(|key| component.get(*key)?.as_str());
    text.map(str::to_owned)
}
