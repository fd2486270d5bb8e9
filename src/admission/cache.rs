//! The caches that a container may have, and one that it was not given.

use std::fmt;

use serde::{Serialize, Serializer};

use super::reason::Reason;

/// What is cached, or how it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// What the engine compiles.
    Compile,
    /// Loading weights through Model Express.
    LoadFormat,
    /// The models.
    Model,
    /// The address of Model Express.
    ModelExpress,
}

/// A cache of a container's role that is not in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped<'p> {
    /// The container.
    pub container: &'p str,
    /// The cache.
    pub cache: Cache,
    /// Why.
    pub reason: Reason,
    /// The claim that the reason is about, where it is about one.
    pub claim: Option<String>,
    /// What helps this pod; none: what the reason says in general.
    pub own_fix: Option<String>,
}

impl Skipped<'_> {
    /// What to do about it, as an imperative sentence.
    pub fn fix(&self) -> &str {
        self.own_fix.as_deref().unwrap_or_else(|| self.reason.fix())
    }
}

impl Cache {
    /// The word for it in the status annotation.
    pub fn word(self) -> &'static str {
        match self {
            Cache::Compile => "compile",
            Cache::LoadFormat => "load-format",
            Cache::Model => "model",
            Cache::ModelExpress => "model-express",
        }
    }
}

impl Serialize for Cache {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
