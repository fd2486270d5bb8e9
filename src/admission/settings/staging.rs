//! What mode `staged` adds to a pod of its own: the image of its program, and what its containers ask for.

use super::super::quantity::Quantity;

/// The image of this release, which has the program.
pub const RELEASE_IMAGE: &str = concat!("ghcr.io/dynamo-cache/dynamo-cache:", env!("CARGO_PKG_VERSION"));

/// Settings of mode `staged`. Only an administrator has them: they are no annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staging {
    /// The image that has the program; none: the one of this release.
    pub image: Option<String>,
    /// What the container asks for that restores and publishes.
    pub resources: Resources,
}

/// Processor and memory of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// At least this much.
    pub requests: Amounts,
    /// At most this much.
    pub limits: Amounts,
}

/// An amount of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Processors.
    pub cpu: Quantity,
    /// Bytes of memory.
    pub memory: Quantity,
}

/// What is set below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
}

impl Default for Resources {
    fn default() -> Self {
        Resources {
            requests: Amounts { cpu: Quantity::millis(100), memory: Quantity::mebibytes(64) },
            limits: Amounts { cpu: Quantity::millis(1000), memory: Quantity::mebibytes(256) },
        }
    }
}

impl Staging {
    /// The image that has the program.
    pub fn image(&self) -> &str {
        self.image.as_deref().unwrap_or(RELEASE_IMAGE)
    }
}

impl Resources {
    /// The resource of which more is requested than allowed, by its name in Kubernetes: no API server takes such a container.
    pub fn inverted(&self) -> Option<&'static str> {
        if self.requests.cpu > self.limits.cpu {
            return Some("cpu");
        }
        (self.requests.memory > self.limits.memory).then_some("memory")
    }
}

impl Resource {
    /// The least that a container of ours works with: below it, it would be killed, and the pod would wait.
    pub fn least(self) -> Quantity {
        match self {
            Resource::Cpu => Quantity::millis(10),
            Resource::Memory => Quantity::mebibytes(32),
        }
    }
}
