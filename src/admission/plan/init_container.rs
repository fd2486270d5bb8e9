//! An init container that is added to a pod, as data.

use std::borrow::Cow;

use super::super::path::Path;
use super::super::quantity::Quantity;

/// An init container of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitContainer<'p> {
    /// Its name.
    pub name: &'static str,
    /// Its image.
    pub image: Cow<'p, str>,
    /// When the image is pulled; none: as Kubernetes decides by the tag.
    pub image_pull_policy: Option<&'p str>,
    /// The program and its command.
    pub command: Vec<Cow<'static, str>>,
    /// Arguments, as Kubernetes expands them.
    pub args: Vec<String>,
    /// Its variables.
    pub variables: Vec<InitVariable<'p>>,
    /// Its mounts.
    pub mounts: Vec<InitMount<'p>>,
    /// What it asks for; none: the pod as a whole has bounds.
    pub resources: Option<InitResources>,
    /// Whose processes it has.
    pub identity: Identity,
    /// Whether it runs beside the containers.
    pub is_sidecar: bool,
}

/// A variable of an init container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitVariable<'p> {
    /// Its name.
    pub name: &'static str,
    /// Where its value comes from.
    pub value: Source<'p>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<'p> {
    /// A field of the pod.
    Field(&'static str),
    /// The limit of a resource that a container has.
    Limit {
        /// The container.
        container: &'p str,
        /// The resource.
        resource: &'static str,
    },
    /// This text.
    Text(&'static str),
}

/// A whole mount of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitMount<'p> {
    /// The volume.
    pub volume: Cow<'p, str>,
    /// Where.
    pub path: Path<'static>,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// What a container asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitResources {
    /// Processors.
    pub cpu: Bounds,
    /// Memory.
    pub memory: Bounds,
}

/// What is requested of a resource, and the most that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least this much.
    pub request: Quantity,
    /// At most this much.
    pub limit: Quantity,
}

/// What the security context of a container says of its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user id.
    pub user: Option<i64>,
    /// The group id.
    pub group: Option<i64>,
    /// Whether the user must not be root.
    pub non_root: Option<bool>,
}
