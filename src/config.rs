//! The settings file: parsed as a whole into a valid `Config`, or refused with every mistake.

mod example;
pub mod file;
mod read;
mod schema;

use std::fmt;

use crate::admission::settings::Settings;
use crate::yaml::Position;

pub use example::default_file;
pub use schema::schema;

/// The only supported `apiVersion`.
const API_VERSION: &str = "dynamo-cache.io/v1alpha1";

/// The only supported `kind`.
const KIND: &str = "CacheConfig";

/// The key of the only setting that concerns the webhook itself, not pods.
const EVENTS: &str = "events";

/// The description of that setting.
const EVENTS_MEANING: &str = "whether the webhook writes an event on the pod's owner when it skips a cache";

/// The content of a settings file, with defaults for missing settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The settings that apply unless an annotation overrides them.
    pub settings: Settings,
    /// Whether the webhook writes an event on the pod's owner when it skips a cache.
    pub events: bool,
    /// Values that are accepted but deprecated.
    pub warnings: Vec<Mistake>,
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its line and column.
    pub at: Position,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Every mistake of a refused file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Error {
    /// The mistakes; at least one.
    pub mistakes: Vec<Mistake>,
}

impl Config {
    /// Parses the text of a settings file.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub fn read(text: &str) -> Result<Config, Error> {
        read::read(text)
    }
}

#[cfg(test)]
mod tests;
