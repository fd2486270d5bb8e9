//! Changes as RFC 6902 operations, each of which applies to the pod as received.
//!
//! All are `add`: a patch that decodes and does not apply makes the API server refuse the pod, whatever the failure
//! policy says, and an `add` whose parent exists always applies.

use std::rc::Rc;

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
pub struct Operation<'c> {
    op: Add,
    /// Where, as a JSON Pointer. What is appended to one list has one.
    #[serde(serialize_with = "text")]
    pub path: Rc<str>,
    /// What.
    pub value: Value<'c>,
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
pub enum Value<'c> {
    /// A group id.
    Group(i64),
    /// An init container.
    InitContainer(InitContainer<'c>),
    /// A list that was not there.
    List(Vec<Value<'c>>),
    /// A mount.
    #[serde(rename_all = "camelCase")]
    Mount {
        /// The volume.
        name: &'c str,
        /// Where.
        mount_path: &'c str,
        /// Whether it can only be read.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        read_only: bool,
        /// The part of the volume.
        #[serde(skip_serializing_if = "Option::is_none")]
        sub_path: Option<&'c str>,
    },
    /// An object of one key that was not there.
    #[serde(serialize_with = "object")]
    Object(&'static str, Box<Value<'c>>),
    /// The pod's security context.
    #[serde(rename_all = "camelCase")]
    SecurityContext {
        /// The group.
        fs_group: i64,
        /// When ownership is changed.
        fs_group_change_policy: &'static str,
    },
    /// Text.
    Text(&'c str),
    /// A variable.
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: &'c str,
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
        persistent_volume_claim: Source<'c>,
    },
}

/// The settings of a volume on the node's disk: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EmptyDir {}

/// The claim behind a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source<'c> {
    claim_name: &'c str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
}

fn object<S: Serializer>(key: &&'static str, value: &Value<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

fn text<S: Serializer>(text: &Rc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// The changes as operations, in an order that applies.
pub(super) fn operations<'c>(pod: &Pod<'_>, changes: &'c [Change<'_>]) -> Vec<Operation<'c>> {
    let mut operations = Vec::with_capacity(changes.len());
    let volumes = changes.iter().filter_map(volume).collect();
    let has_volumes = pod.spec.as_ref().is_some_and(|spec| spec.volumes.is_some());
    append(&mut operations, "/spec/volumes", has_volumes, volumes);
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
            init_containers(&mut operations, pod, *position, &**containers);
        }
    }
    for change in changes {
        if let Change::Status(text) = change {
            operations.push(status(pod, text));
        }
    }
    operations
}

fn volume<'c>(change: &'c Change<'_>) -> Option<Value<'c>> {
    match change {
        Change::EmptyDir { name } => Some(Value::EmptyDir { name, empty_dir: EmptyDir {} }),
        Change::Volume { name, claim, read_only } => {
            let source = Source { claim_name: claim, read_only: *read_only };
            Some(Value::Volume { name, persistent_volume_claim: source })
        }
        _ => None,
    }
}

fn fs_group(pod: &Pod<'_>, group: Option<i64>) -> Vec<Operation<'static>> {
    const POLICY: &str = "OnRootMismatch";
    let path = "/spec/securityContext";
    let is_present = pod.spec.as_ref().is_some_and(|spec| spec.security_context.is_some());
    match group {
        Some(group) if !is_present => {
            let context = Value::SecurityContext { fs_group: group, fs_group_change_policy: POLICY };
            vec![add(path, context)]
        }
        group => {
            let group = group.map(|group| add(&[path, "/fsGroup"].concat(), Value::Group(group)));
            let policy = add(&[path, "/fsGroupChangePolicy"].concat(), Value::Text(POLICY));
            group.into_iter().chain([policy]).collect()
        }
    }
}

fn container<'c>(operations: &mut Vec<Operation<'c>>, pod: &Pod<'_>, index: ContainerIndex, changes: &'c [Change<'_>]) {
    let (list, containers) =
        if index.init { ("initContainers", pod.init_containers()) } else { ("containers", pod.containers()) };
    let Some(container) = containers.get(index.position) else { return };
    let path = format!("/spec/{list}/{}", index.position);
    let (mut mounts, mut variables, mut args) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let Change::Container { added, .. } = change else { continue };
        match added {
            Added::Args(words) => args.extend(words.iter().map(|word| Value::Text(word))),
            Added::Mount { volume, path, read_only, sub_path } => mounts.push(Value::Mount {
                name: volume,
                mount_path: path.as_str(),
                read_only: *read_only,
                sub_path: sub_path.as_deref(),
            }),
            Added::Variable { name, value } => variables.push(Value::Variable { name, value }),
        }
    }
    let Container { volume_mounts, env, args: has_args, .. } = container;
    append(operations, &[&path, "/volumeMounts"].concat(), volume_mounts.is_some(), mounts);
    append(operations, &[&path, "/env"].concat(), env.is_some(), variables);
    append(operations, &[&path, "/args"].concat(), has_args.is_some(), args);
}

fn init_containers<'c>(
    operations: &mut Vec<Operation<'c>>,
    pod: &Pod<'_>,
    position: usize,
    containers: &'c [plan::InitContainer<'_>],
) {
    const LIST: &str = "/spec/initContainers";
    let values = containers.iter().map(|container| Value::InitContainer(InitContainer(container)));
    if position == pod.init_containers().len() {
        let is_present = pod.spec.as_ref().is_some_and(|spec| spec.init_containers.is_some());
        return append(operations, LIST, is_present, values.collect());
    }
    operations.extend(values.enumerate().map(|(index, value)| add(&format!("{LIST}/{}", position + index), value)));
}

/// Appends to a list, or makes the list where there is none.
fn append<'c>(operations: &mut Vec<Operation<'c>>, list: &str, is_present: bool, values: Vec<Value<'c>>) {
    if values.is_empty() {
        return;
    }
    if is_present {
        let end: Rc<str> = [list, "/-"].concat().into();
        operations.extend(values.into_iter().map(|value| Operation { op: Add::Add, path: Rc::clone(&end), value }));
    } else {
        operations.push(add(list, Value::List(values)));
    }
}

fn status<'c>(pod: &Pod<'_>, text: &'c str) -> Operation<'c> {
    let text = Value::Text(text);
    if pod.annotations().is_some() {
        return add(&format!("/metadata/annotations/{}", STATUS.replace('/', "~1")), text);
    }
    let annotations = Value::Object(STATUS, Box::new(text));
    if pod.metadata.is_some() {
        return add("/metadata/annotations", annotations);
    }
    add("/metadata", Value::Object("annotations", Box::new(annotations)))
}

fn add<'c>(path: &str, value: Value<'c>) -> Operation<'c> {
    Operation { op: Add::Add, path: path.into(), value }
}
