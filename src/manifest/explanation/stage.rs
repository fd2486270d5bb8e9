//! The init containers that restore and publish the local disk of an engine.

use crate::admission::names::{CONTAINERS, STAGE_CONTAINER};
use crate::admission::plan::{InitContainer, LOCAL_VOLUME};
use crate::admission::pod::{Container, Pod};
use crate::stage::layout::VERSION;

/// The init containers of mode `staged`, with a line about each.
pub(super) struct Stage {
    /// The claim on which the archives lie.
    pub(super) claim: Option<String>,
    /// The folder of the archives, from the root of the claim.
    pub(super) folder: Option<String>,
    /// A line about each container.
    pub(super) lines: Vec<String>,
}

impl Stage {
    /// The init containers that a pod already has for an engine; `None` if the engine has no local disk.
    pub(super) fn of_pod(pod: &Pod<'_>, engine: &Container<'_>, volumes: &[(String, String)]) -> Option<Stage> {
        let has_disk = engine.volume_mounts.iter().flatten().any(|mount| mount.name.as_deref() == Some(LOCAL_VOLUME));
        let ours = pod.init_containers().iter().filter(|container| CONTAINERS.contains(&container.name()));
        let about = |container: &Container<'_>| {
            let mounts = container.volume_mounts.iter().flatten().filter_map(|mount| mount.name.as_deref());
            let image = container.image.as_deref().unwrap_or_default();
            let args = container.args.iter().flatten().map(|argument| &**argument);
            (container.name().to_owned(), image.to_owned(), claim(container.name(), mounts, volumes), key(args))
        };
        has_disk.then(|| Stage::new(ours.map(about)))
    }

    /// The init containers that the patch adds.
    pub(super) fn added(containers: &[InitContainer<'_>], volumes: &[(String, String)]) -> Stage {
        Stage::new(containers.iter().map(|container| {
            let mounts = container.mounts.iter().map(|mount| &*mount.volume);
            let key = key(container.args.iter().map(|argument| &**argument));
            (container.name.to_owned(), container.image.to_string(), claim(container.name, mounts, volumes), key)
        }))
    }

    fn new(containers: impl Iterator<Item = (String, String, Option<String>, Option<String>)>) -> Stage {
        let mut stage = Stage { claim: None, folder: None, lines: Vec::new() };
        for (name, image, claim, key) in containers {
            let with = claim.as_ref().map(|claim| format!(", with claim {claim}")).unwrap_or_default();
            let folder = key.map(|key| format!("{VERSION}/{key}"));
            let about = folder.as_ref().map(|folder| format!(", folder {folder}")).unwrap_or_default();
            stage.lines.push(format!("init container {name}, image {image}{with}{about}"));
            stage.claim = stage.claim.or(claim);
            stage.folder = stage.folder.or(folder);
        }
        stage
    }
}

/// The key of the archives, as the arguments of a container name it.
fn key<'a>(mut args: impl Iterator<Item = &'a str>) -> Option<String> {
    args.find_map(|argument| argument.strip_prefix("--key=")).map(str::to_owned)
}

/// The claim that the container mounts which reads and writes the archives.
fn claim<'m>(name: &str, mut mounts: impl Iterator<Item = &'m str>, volumes: &[(String, String)]) -> Option<String> {
    if name != STAGE_CONTAINER {
        return None;
    }
    mounts.find_map(|mount| volumes.iter().find(|(volume, _)| volume == mount)).map(|(_, claim)| claim.clone())
}
