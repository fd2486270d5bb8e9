//! Changes as RFC 6902 operations, each of which applies to the pod as received.
//!
//! All are `add`: a patch that decodes and does not apply makes the API server refuse the pod, whatever the failure
//! policy says, and an `add` whose parent exists always applies.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::annotation::STATUS;
use super::classification::ContainerIndex;
use super::plan::{self, Added, Change};
use super::pod::{Container, Pod};

mod init_container;

pub use init_container::InitContainer;

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operation<'p> {
    op: Add,
    /// Where, as a JSON Pointer.
    pub path: String,
    /// What.
    pub value: Value<'p>,
}

/// The only operation that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Add {
    Add,
}

/// What an operation adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value<'p> {
    /// A group id.
    Group(i64),
    /// An init container.
    InitContainer(InitContainer<'p>),
    /// A list that was not there.
    List(Vec<Value<'p>>),
    /// A mount.
    #[serde(rename_all = "camelCase")]
    Mount {
        /// The volume.
        name: Cow<'p, str>,
        /// Where.
        mount_path: String,
        /// Whether it can only be read.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        read_only: bool,
        /// The part of the volume.
        #[serde(skip_serializing_if = "Option::is_none")]
        sub_path: Option<Cow<'p, str>>,
    },
    /// An object of one key that was not there.
    #[serde(serialize_with = "object")]
    Object(&'static str, Box<Value<'p>>),
    /// The pod's security context.
    #[serde(rename_all = "camelCase")]
    SecurityContext {
        /// The group.
        fs_group: i64,
        /// When ownership is changed.
        fs_group_change_policy: &'static str,
    },
    /// Text.
    Text(Cow<'p, str>),
    /// A variable.
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: Cow<'p, str>,
    },
    /// A volume on the node's disk.
    #[serde(rename_all = "camelCase")]
    EmptyDir {
        /// Its name.
        name: &'static str,
        /// Its source, with nothing in it.
        empty_dir: EmptyDir,
    },
    /// A volume.
    #[serde(rename_all = "camelCase")]
    Volume {
        /// Its name.
        name: &'static str,
        /// Its source.
        persistent_volume_claim: Source,
    },
}

/// The settings of a volume on the node's disk: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EmptyDir {}

/// The claim behind a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    claim_name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
}

fn object<S: Serializer>(key: &&'static str, value: &Value<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

/// The changes as operations, in an order that applies.
pub fn operations<'p>(pod: &Pod<'_>, changes: &[Change<'p>]) -> Vec<Operation<'p>> {
    let mut operations = Vec::with_capacity(changes.len());
    let volumes = changes.iter().filter_map(volume).collect();
    append(&mut operations, "/spec/volumes", pod.spec.as_ref().is_some_and(|spec| spec.volumes.is_some()), volumes);
    for change in changes {
        if let Change::FsGroup(group) = change {
            operations.extend(fs_group(pod, *group));
        }
    }
    // A plan goes from one container to the next, so the changes of each stand together.
    for changes in changes.chunk_by(|one, next| one.index() == next.index()) {
        if let Some(index) = changes.first().and_then(Change::index) {
            container(&mut operations, pod, index, changes);
        }
    }
    // They move the containers behind them, which the operations before this mean by their places in the pod as received.
    for change in changes {
        if let Change::InitContainers { position, containers, .. } = change {
            init_containers(&mut operations, pod, *position, containers);
        }
    }
    for change in changes {
        if let Change::Status(text) = change {
            operations.push(status(pod, text));
        }
    }
    operations
}

fn volume<'p>(change: &Change<'p>) -> Option<Value<'p>> {
    match change {
        Change::EmptyDir { name } => Some(Value::EmptyDir { name, empty_dir: EmptyDir {} }),
        Change::Volume { name, claim, read_only } => {
            let source = Source { claim_name: claim.clone(), read_only: *read_only };
            Some(Value::Volume { name, persistent_volume_claim: source })
        }
        _ => None,
    }
}

fn fs_group<'p>(pod: &Pod<'_>, group: Option<i64>) -> Vec<Operation<'p>> {
    const POLICY: &str = "OnRootMismatch";
    let path = "/spec/securityContext";
    let is_present = pod.spec.as_ref().is_some_and(|spec| spec.security_context.is_some());
    match group {
        Some(group) if !is_present => {
            vec![add(path.to_owned(), Value::SecurityContext { fs_group: group, fs_group_change_policy: POLICY })]
        }
        group => {
            let group = group.map(|group| add(format!("{path}/fsGroup"), Value::Group(group)));
            let policy = add(format!("{path}/fsGroupChangePolicy"), Value::Text(Cow::Borrowed(POLICY)));
            group.into_iter().chain([policy]).collect()
        }
    }
}

fn container<'p>(operations: &mut Vec<Operation<'p>>, pod: &Pod<'_>, index: ContainerIndex, changes: &[Change<'p>]) {
    let (list, containers) =
        if index.init { ("initContainers", pod.init_containers()) } else { ("containers", pod.containers()) };
    let Some(container) = containers.get(index.position) else { return };
    let path = format!("/spec/{list}/{}", index.position);
    let (mut mounts, mut variables, mut args) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let Change::Container { added, .. } = change else { continue };
        match added {
            Added::Args(words) => args.extend(words.iter().map(|word| Value::Text(Cow::Owned(word.clone())))),
            Added::Mount { volume, path, read_only, sub_path } => mounts.push(Value::Mount {
                name: volume.clone(),
                mount_path: path.to_string(),
                read_only: *read_only,
                sub_path: sub_path.clone(),
            }),
            Added::Variable { name, value } => variables.push(Value::Variable { name, value: value.clone() }),
        }
    }
    let Container { volume_mounts, env, args: has_args, .. } = container;
    append(operations, &[&path, "/volumeMounts"].concat(), volume_mounts.is_some(), mounts);
    append(operations, &[&path, "/env"].concat(), env.is_some(), variables);
    append(operations, &[&path, "/args"].concat(), has_args.is_some(), args);
}

fn init_containers<'p>(
    operations: &mut Vec<Operation<'p>>,
    pod: &Pod<'_>,
    position: usize,
    containers: &[Arc<plan::InitContainer<'p>>],
) {
    const LIST: &str = "/spec/initContainers";
    let values = containers.iter().map(|container| Value::InitContainer(InitContainer(Arc::clone(container))));
    if position == pod.init_containers().len() {
        let is_present = pod.spec.as_ref().is_some_and(|spec| spec.init_containers.is_some());
        return append(operations, LIST, is_present, values.collect());
    }
    operations.extend(values.enumerate().map(|(index, value)| add(format!("{LIST}/{}", position + index), value)));
}

/// Appends to a list, or makes the list where there is none.
fn append<'p>(operations: &mut Vec<Operation<'p>>, list: &str, present: bool, values: Vec<Value<'p>>) {
    if values.is_empty() {
        return;
    }
    if present {
        operations.extend(values.into_iter().map(|value| add([list, "/-"].concat(), value)));
    } else {
        operations.push(add(list.to_owned(), Value::List(values)));
    }
}

fn status<'p>(pod: &Pod<'_>, text: &str) -> Operation<'p> {
    let text = Value::Text(Cow::Owned(text.to_owned()));
    if pod.annotations().is_some() {
        return add(format!("/metadata/annotations/{}", STATUS.replace('/', "~1")), text);
    }
    let annotations = Value::Object(STATUS, Box::new(text));
    if pod.metadata.is_some() {
        return add("/metadata/annotations".to_owned(), annotations);
    }
    add("/metadata".to_owned(), Value::Object("annotations", Box::new(annotations)))
}

fn add(path: String, value: Value<'_>) -> Operation<'_> {
    Operation { op: Add::Add, path, value }
}
