//! The settings of the webhook that is installed.

use std::path::Path;

use serde_json::Value;

use crate::inspect::api::Api;
use crate::inspect::installation::Webhook;
use crate::manifest::context::Base;
use crate::manifest::input::Input;

/// The settings of the webhook that is installed, unless a file is given.
///
/// # Errors
/// The file that was given cannot be read.
pub(crate) async fn in_force(api: &Api, webhook: &Webhook, config: Option<&Path>) -> anyhow::Result<Base> {
    let told = |note: &str| Base {
        notes: vec![format!("{note}; the built-in settings are taken")],
        unknown: Some(note.to_owned()),
        ..Base::default()
    };
    if config.is_some() {
        return Base::read(config);
    }
    let installed = match webhook {
        Webhook::Absent => return Ok(told("no webhook of dynamo-cache was found to ask for its settings")),
        Webhook::Hidden(sentence) => {
            return Ok(told(&format!(
                "whether a webhook is there to ask for its settings may not be seen: {sentence}"
            )));
        }
        Webhook::Installed(installed) => installed,
    };
    let path = format!("/api/v1/namespaces/{}/configmaps/{}", installed.namespace, installed.service);
    let name = format!("ConfigMap {}/{}", installed.namespace, installed.service);
    match api.get(&path).await {
        Ok(Some(map)) => match map.pointer("/data/config.yaml").and_then(Value::as_str) {
            Some(text) => {
                let read = Base::of(&Input { name: name.clone(), text: text.to_owned() });
                Ok(read.unwrap_or_else(|error| mistaken(&name, &format!("{error:#}"))))
            }
            None => Ok(told(&format!("{name} has no config.yaml"))),
        },
        Ok(None) => Ok(told(&format!("the webhook's {name} is not there"))),
        Err(error) => Ok(told(&format!("failed to read the webhook's {name}: {error}"))),
    }
}

/// The built-in settings in place of those that cannot be understood: a replica that runs decides by its last good ones.
fn mistaken(name: &str, mistakes: &str) -> Base {
    let note = format!(
        "the webhook's {name} has mistakes, and replicas that run keep the last settings without; which those are is not \
         known here: the built-in settings are taken (--config FILE tells others)"
    );
    Base {
        notes: mistakes.lines().map(str::to_owned).chain([note]).collect(),
        unknown: Some("they have mistakes".to_owned()),
        mistakes: Some(mistakes.to_owned()),
        ..Base::default()
    }
}
