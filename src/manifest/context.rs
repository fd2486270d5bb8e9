//! The context of a decision about a pod: the settings, and the facts of its namespace.

use std::path::Path;

use serde_json::Value;

use crate::admission::settings::{ALL, Settings};
use crate::cli::OfflineFacts;
use crate::config::Config;
use crate::manifest::facts::declared::Declared;
use crate::manifest::facts::{Facts, PodFacts};
use crate::manifest::input::Input;

/// The settings before any annotation, and the facts of the pods' namespace.
#[derive(Clone)]
pub(crate) struct DecisionContext {
    /// The settings before any annotation.
    pub(crate) settings: Settings,
    /// The values that the settings file sets, as text by key.
    pub(crate) file: Vec<(&'static str, String)>,
    /// The namespace's annotations and claims.
    pub(crate) facts: Facts,
    /// The Namespaces and claims of the same input.
    pub(crate) declared: Declared,
    /// The namespace of objects that name none.
    pub(crate) namespace: Option<String>,
}

/// The settings before any annotation, and how they were obtained.
#[derive(Clone, Default)]
pub(crate) struct BaseSettings {
    /// The settings.
    pub(crate) settings: Settings,
    /// The values that the settings file sets, as text by key.
    pub(crate) file: Vec<(&'static str, String)>,
    /// Deprecated values, and files that could not be read, one line each.
    pub(crate) notes: Vec<String>,
    /// The file or ConfigMap that was read; empty for the built-in settings.
    pub(crate) source: String,
    /// Why these may not be the webhook's settings; `None` if they are, or if a file was given.
    pub(crate) unknown: Option<String>,
    /// The mistakes in the webhook's own settings, one per line, if they are the reason.
    pub(crate) mistakes: Option<String>,
}

impl BaseSettings {
    /// Reads a settings file; `None` stands for the built-in settings.
    ///
    /// # Errors
    /// Every mistake in the file, or why it cannot be read.
    pub(crate) fn read(config: Option<&Path>) -> anyhow::Result<BaseSettings> {
        config.map_or_else(|| Ok(BaseSettings::default()), |file| BaseSettings::from_input(&Input::read(file)?))
    }

    /// Parses the text of a settings file.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub(crate) fn from_input(input: &Input) -> anyhow::Result<BaseSettings> {
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
        Ok(BaseSettings { settings, file, notes, source: input.name.clone(), ..BaseSettings::default() })
    }

    /// Combines these settings with the facts of one namespace.
    pub(crate) fn with(&self, facts: Facts) -> DecisionContext {
        DecisionContext {
            settings: self.settings.clone(),
            file: self.file.clone(),
            facts,
            declared: Declared::default(),
            namespace: None,
        }
    }
}

impl DecisionContext {
    /// What counts for the pods of an object in a namespace.
    pub(crate) fn facts_of(&self, namespace: Option<&str>) -> PodFacts<'_> {
        self.declared.facts_of(&self.facts, self.namespace_of(namespace))
    }

    /// The namespace of an object.
    pub(crate) fn namespace_of<'n>(&'n self, namespace: Option<&'n str>) -> Option<&'n str> {
        namespace.or(self.namespace.as_deref())
    }

    /// Builds the context from files and options, and returns it with the notes about the settings, one line each.
    ///
    /// # Errors
    /// Which file cannot be read, and where in it.
    pub(crate) fn from_options(
        config: Option<&Path>,
        facts: &OfflineFacts,
    ) -> anyhow::Result<(DecisionContext, Vec<String>)> {
        let base = BaseSettings::read(config)?;
        Ok((base.with(Facts::from_options(facts)?), base.notes))
    }
}
