//! The settings of the installed webhook.

use std::path::Path;

use serde_json::Value;

use crate::inspect::api::Api;
use crate::inspect::installation::Webhook;
use crate::manifest::context::BaseSettings;
use crate::manifest::input::Input;

/// Reads the settings of the installed webhook from its ConfigMap, or the given file instead. If the ConfigMap cannot be
/// read, the answer is the built-in settings with a note.
///
/// # Errors
/// The given file cannot be read.
pub(crate) async fn in_force(api: &Api, webhook: &Webhook, config: Option<&Path>) -> anyhow::Result<BaseSettings> {
    if config.is_some() {
        return BaseSettings::read(config);
    }
    let service = match webhook {
        Webhook::Absent => return Ok(unknown("no dynamo-cache webhook is installed, so its settings are unknown")),
        Webhook::Hidden(message) => {
            return Ok(unknown(&format!(
                "the webhook's settings are unknown, because its configuration is: {message}"
            )));
        }
        Webhook::Installed(installed) => match &installed.service {
            Some(service) => service,
            None => {
                return Ok(unknown(&format!(
                    "the webhook's settings are unknown, because configuration {} calls a URL, not a Service",
                    installed.name
                )));
            }
        },
    };
    let path = format!("/api/v1/namespaces/{}/configmaps/{}", service.namespace, service.name);
    let name = format!("ConfigMap {}/{}", service.namespace, service.name);
    match api.get(&path).await {
        Ok(Some(map)) => match map.pointer("/data/config.yaml").and_then(Value::as_str) {
            Some(text) => {
                let read = BaseSettings::from_input(&Input { name: name.clone(), text: text.to_owned() });
                Ok(read.unwrap_or_else(|error| with_mistakes(&name, &format!("{error:#}"))))
            }
            None => Ok(unknown(&format!("{name} has no config.yaml"))),
        },
        Ok(None) => Ok(unknown(&format!("the webhook's {name} does not exist"))),
        Err(error) => Ok(unknown(&format!("failed to read the webhook's {name}: {error}"))),
    }
}

/// The built-in settings, with a note why the webhook's own are unknown.
fn unknown(why: &str) -> BaseSettings {
    BaseSettings {
        notes: vec![format!("{why}; using the built-in settings")],
        unknown: Some(why.to_owned()),
        ..BaseSettings::default()
    }
}

/// The built-in settings in place of settings with mistakes. Running replicas use the last settings without mistakes, which
/// the cluster does not record.
fn with_mistakes(name: &str, mistakes: &str) -> BaseSettings {
    let note = format!(
        "the webhook's {name} has mistakes; running replicas keep the last settings without mistakes, which are unknown \
         here; using the built-in settings (pass others with --config FILE)"
    );
    BaseSettings {
        notes: mistakes.lines().map(str::to_owned).chain([note]).collect(),
        unknown: Some("the settings have mistakes".to_owned()),
        mistakes: Some(mistakes.to_owned()),
        ..BaseSettings::default()
    }
}
