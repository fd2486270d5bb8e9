//! All that decisions depend on beside the pods: the settings, and what a cluster knows or would know.

use std::path::Path;

use serde_json::Value;

use crate::admission::settings::{ALL, Settings};
use crate::cli::Known;
use crate::config::Config;
use crate::inspect::api::Api;
use crate::inspect::installation::Webhook;
use crate::manifest::facts::Facts;
use crate::manifest::input::Input;

/// All that decisions depend on beside the pods.
pub(crate) struct World {
    /// The settings without any annotation.
    pub(crate) settings: Settings,
    /// What the settings file says, as text by its keys.
    pub(crate) file: Vec<(&'static str, String)>,
    /// What a cluster knows or would know.
    pub(crate) facts: Facts,
}

/// The settings without any annotation, and what there is to tell of them, a line each.
#[derive(Clone, Default)]
pub(crate) struct Base {
    /// The settings.
    pub(crate) settings: Settings,
    /// What the settings file says, as text by its keys.
    pub(crate) file: Vec<(&'static str, String)>,
    /// What should be written differently, or could not be read.
    pub(crate) notes: Vec<String>,
    /// Where they were read; empty: they are the built-in ones.
    pub(crate) source: String,
    /// Why these are not known to be the webhook's; none: they are, or a file was given.
    pub(crate) unknown: Option<String>,
    /// The mistakes of the webhook's own settings, a line each, where they are why.
    pub(crate) mistakes: Option<String>,
}

impl Base {
    /// Reads a settings file; none: the built-in settings.
    ///
    /// # Errors
    /// Every mistake of the file, or why it cannot be read.
    pub(crate) fn read(config: Option<&Path>) -> anyhow::Result<Base> {
        config.map_or_else(|| Ok(Base::default()), |file| Base::of(&Input::read(file)?))
    }

    /// The settings of the webhook that is installed, unless a file is given.
    ///
    /// # Errors
    /// The file that was given cannot be read.
    pub(crate) async fn of_cluster(api: &Api, webhook: &Webhook, config: Option<&Path>) -> anyhow::Result<Base> {
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

    fn of(input: &Input) -> anyhow::Result<Base> {
        let Config { settings, warnings, .. } = input.config()?;
        let notes = warnings.iter().map(|warning| input.at(warning)).collect();
        let document = input.documents()?.into_iter().next().map(|document| document.value).unwrap_or_default();
        let written = |key: &'static str| {
            let value = document.pointer(&format!("/{}", key.replace('.', "/")))?;
            match value {
                Value::Null => None,
                Value::String(text) => Some((key, text.clone())),
                other => Some((key, other.to_string())),
            }
        };
        let file = ALL.iter().filter_map(|setting| setting.key).filter_map(written).collect();
        Ok(Base { settings, file, notes, source: input.name.clone(), ..Base::default() })
    }

    /// The world of a namespace about which this is known.
    pub(crate) fn with(&self, facts: Facts) -> World {
        World { settings: self.settings.clone(), file: self.file.clone(), facts }
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

impl World {
    /// The world as files and options tell it, and what there is to tell of the settings, a line each.
    ///
    /// # Errors
    /// Which file cannot be read, and where in it.
    pub(crate) fn told(config: Option<&Path>, known: &Known) -> anyhow::Result<(World, Vec<String>)> {
        let base = Base::read(config)?;
        Ok((base.with(Facts::gather(known)?), base.notes))
    }
}
