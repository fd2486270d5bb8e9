//! All that decisions depend on beside the pods: the settings, and what a cluster knows or would know.

use std::path::Path;

use serde_json::Value;

use crate::admission::settings::{ALL, Settings};
use crate::cli::Known;
use crate::config::Config;
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

    /// The settings that a text says.
    ///
    /// # Errors
    /// Every mistake of the text.
    pub(crate) fn of(input: &Input) -> anyhow::Result<Base> {
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
