//! What a pod records: its status annotation, and whether it has ended.

use serde::Deserialize;
use serde_json::Value;

use crate::admission::annotation::STATUS;
use crate::admission::cache::Cache;
use crate::admission::pod::{Controller, Text};
use crate::admission::reason::Reason;
use crate::admission::status::Status;
use crate::inspect::owner;

/// Parses a pod's status annotation; `None` if there is none, or if the webhook did not write it.
pub(crate) fn status(pod: &Value) -> Option<Status<'_>> {
    Status::read(pod.pointer("/metadata/annotations")?.get(STATUS)?.as_str()?)
}

/// What the core's view of a pod does not have: which object it is, and how far it has come. Other objects have these fields too,
/// but for the phase.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Head<'t> {
    #[serde(borrow)]
    metadata: Option<HeadMetadata<'t>>,
    #[serde(borrow)]
    status: Option<HeadStatus<'t>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadMetadata<'t> {
    #[serde(borrow)]
    namespace: Option<Text<'t>>,
    #[serde(borrow)]
    name: Option<Text<'t>>,
    #[serde(borrow)]
    owner_references: Option<Controller<'t>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeadStatus<'t> {
    #[serde(borrow)]
    phase: Option<Text<'t>>,
}

impl Head<'_> {
    /// Its namespace; empty without one.
    pub(crate) fn namespace(&self) -> &str {
        self.metadata.as_ref().and_then(|metadata| metadata.namespace.as_deref()).unwrap_or_default()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()).unwrap_or_default()
    }

    /// The owner that is marked as its controller.
    pub(crate) fn controller(&self) -> Option<owner::Controller<'_>> {
        let owner = self.metadata.as_ref()?.owner_references.as_ref()?.0.as_ref()?;
        let [kind, name, uid] = [&owner.kind, &owner.name, &owner.uid].map(|text| text.as_deref().unwrap_or_default());
        Some(owner::Controller { kind, name, uid })
    }

    /// Whether a pod's phase is `Failed` or `Succeeded`, so that nothing changes for it any more.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase(), Some("Failed" | "Succeeded"))
    }

    /// Whether a pod's phase is `Running`: all its containers have started.
    pub(crate) fn is_running(&self) -> bool {
        self.phase() == Some("Running")
    }

    fn phase(&self) -> Option<&str> {
        self.status.as_ref()?.phase.as_deref()
    }
}

/// A directory of a container on a volume.
pub(crate) struct OnVolume<'p> {
    /// The directory.
    pub(crate) directory: &'p str,
    /// The container's mount that covers it.
    pub(crate) mount: &'p Value,
    /// The pod's volume of that mount.
    pub(crate) volume: &'p Value,
}

impl<'p> OnVolume<'p> {
    /// The directory that a variable of a container names; `None` if the variable has no value or no mount covers it.
    pub(crate) fn of_variable(pod: &'p Value, container: &'p Value, variable: &str) -> Option<OnVolume<'p>> {
        let found = list(container, "env").find(|found| found["name"] == variable)?;
        let directory = found.get("value")?.as_str()?;
        let is_below =
            |path: &str| directory.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let mounts = list(container, "volumeMounts").filter(|mount| is_below(mount_path(mount)));
        let mount = mounts.max_by_key(|mount| mount_path(mount).len())?;
        Some(OnVolume { directory, mount, volume: volume(pod, mount)? })
    }

    /// Where a container mounts its first volume of a claim; `None` if it mounts none.
    pub(crate) fn of_claim(pod: &'p Value, container: &'p Value) -> Option<OnVolume<'p>> {
        let mut mounted = list(container, "volumeMounts").filter_map(|mount| {
            let volume = volume(pod, mount)?;
            Some(OnVolume { directory: mount_path(mount), mount, volume })
        });
        mounted.find(|mounted| mounted.claim().is_some())
    }

    /// The name of the volume's claim, if it has one.
    pub(crate) fn claim(&self) -> Option<&'p str> {
        self.volume.pointer("/persistentVolumeClaim/claimName")?.as_str()
    }
}

fn list<'p>(of: &'p Value, key: &str) -> impl Iterator<Item = &'p Value> {
    of.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn mount_path(mount: &Value) -> &str {
    mount.get("mountPath").and_then(Value::as_str).unwrap_or_default()
}

/// The volume of a mount.
fn volume<'p>(pod: &'p Value, mount: &Value) -> Option<&'p Value> {
    list(pod.get("spec")?, "volumes").find(|volume| volume["name"] == mount["name"])
}

/// An init container of a pod, by its name.
pub(crate) fn init_container<'p>(pod: &'p Value, name: &str) -> Option<&'p Value> {
    list(pod.get("spec")?, "initContainers").find(|container| container["name"] == name)
}

/// What a status annotation records about one cache of a container.
pub(crate) struct Recorded {
    /// Whether the cache was in place.
    pub(crate) in_place: bool,
    /// Whether it is a compile cache on local disk.
    is_staged: bool,
    /// Why the cache or a part of it was skipped.
    pub(crate) reasons: Vec<Reason>,
}

impl Recorded {
    /// Looks up a cache of a container.
    pub(crate) fn new(status: &Status<'_>, container: &str, cache: Cache) -> Self {
        let in_place = status.has(container, cache);
        let is_staged = in_place && cache == Cache::Compile && status.is_staged();
        Recorded { in_place, is_staged, reasons: status.reasons(container, cache).collect() }
    }

    /// A table cell: `✓`, the codes of the reasons, or both. A compile cache on local disk is `✓ staged`.
    pub(crate) fn summary(&self) -> String {
        let codes: Vec<_> = self.reasons.iter().map(|reason| reason.code()).collect();
        let mark = if self.is_staged { "✓ staged" } else { "✓" };
        match (self.in_place, codes.is_empty()) {
            (true, true) => mark.to_owned(),
            (true, false) => format!("{mark} {}", codes.join(", ")),
            (false, true) => "not decided".to_owned(),
            (false, false) => codes.join(", "),
        }
    }
}
