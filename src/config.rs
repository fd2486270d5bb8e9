//! The file a person writes becomes a Config that cannot be wrong.

mod example;
mod read;
mod schema;

use std::fmt;

use crate::admission::settings::Settings;
use crate::yaml::Position;

pub use example::default_file;
pub use schema::schema;

/// The only version there is.
const API_VERSION: &str = "dynamo-cache.io/v1alpha1";

/// The only kind there is.
const KIND: &str = "CacheConfig";

/// The key of the one setting that is the webhook's own, and no pod's.
const EVENTS: &str = "events";

/// What it means.
const EVENTS_MEANING: &str = "events on the pod's owner where something was left out";

/// What a settings file says, defaults where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The settings that apply where no annotation says otherwise.
    pub settings: Settings,
    /// Whether something that was left out is an event on the pod's owner.
    pub events: bool,
    /// What is accepted and should be written differently, each with its line and column.
    pub warnings: Vec<Mistake>,
}

/// Something in a file that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub at: Position,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Why a file is refused: everything that is wrong with it, in its order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Error {
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl Config {
    /// Reads a file, as a whole or not at all.
    ///
    /// # Errors
    /// Every mistake that is in it.
    pub fn read(text: &str) -> Result<Config, Error> {
        read::read(text)
    }
}

#[cfg(test)]
mod tests;
pub mod file;
