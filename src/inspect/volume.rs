//! What the volume of a bound claim asks of the pods that mount it: an annotation, certain nodes, or more than an fsGroup.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::admission::pod::Pod;
use crate::inspect::node_selector;
use crate::inspect::node_selector::Node;

/// The CSI driver that mounts buckets of Google Cloud Storage.
const GCSFUSE: &str = "gcsfuse.csi.storage.gke.io";

/// A pod with this annotation, `true`, gets the sidecar that the driver of buckets needs.
const GCSFUSE_ANNOTATION: &str = "gke-gcsfuse/volumes";

/// The sidecar's name.
const GCSFUSE_SIDECAR: &str = "gke-gcsfuse-sidecar";

/// The CSI driver of Amazon EFS.
const EFS: &str = "efs.csi.aws.com";

/// Drivers with the capability `VOLUME_MOUNT_GROUP`: the kubelet hands them the fsGroup, whatever their `fsGroupPolicy` is.
const APPLY_FS_GROUP: [&str; 3] = [GCSFUSE, "file.csi.azure.com", "smb.csi.k8s.io"];

/// Drivers with whose manifests the kubelet ignores fsGroup on shared volumes. Used only if the `CSIDriver` cannot be read.
const IGNORE_FS_GROUP: [&str; 2] = [EFS, "beegfs.csi.netapp.com"];

/// How many nodes a finding names.
const NAMED_NODES: usize = 3;

/// The volume of a bound claim, and what was read about it.
#[derive(Debug)]
pub(crate) struct Volume {
    /// The claim's name.
    pub(crate) claim: String,
    /// The PersistentVolume.
    pub(crate) object: Value,
    /// The `CSIDriver`, `None` if there is none; or why it could not be read.
    pub(crate) driver: Result<Option<Value>, String>,
    /// The nodes, empty if the volume has no node affinity; or why they could not be read.
    pub(crate) nodes: Result<Vec<Node>, String>,
}

/// Something that keeps pods from using a volume.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What it is.
    pub(crate) text: String,
    /// What to do.
    pub(crate) fix: String,
}

/// What was found out about a volume, and what was not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// What keeps pods from using it.
    pub(crate) found: Vec<Finding>,
    /// What could not be found out and why, one line each.
    pub(crate) unknown: Vec<String>,
}

/// The claims that the pods of a namespace mount.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    /// By the claim's name: how many pods mount it, and how many of these do not get the sidecar that a bucket needs.
    of_claims: BTreeMap<String, (usize, usize)>,
}

impl Mounts {
    /// Adds those of a pod.
    pub(crate) fn add(&mut self, pod: &Pod<'_>) {
        let claims: BTreeSet<&str> = pod.volumes().iter().filter_map(|volume| volume.claim.as_deref()).collect();
        let mut containers = pod.init_containers().iter().chain(pod.containers());
        let has_sidecar = asks_for_bucket_sidecar(pod.annotation(GCSFUSE_ANNOTATION))
            || containers.any(|container| container.name() == GCSFUSE_SIDECAR);
        for claim in claims {
            let (all, without_sidecar) = match self.of_claims.get_mut(claim) {
                Some(known) => known,
                None => self.of_claims.entry(claim.to_owned()).or_default(),
            };
            *all += 1;
            *without_sidecar += usize::from(!has_sidecar);
        }
    }
}

impl Volume {
    /// What keeps one pod from using the volume. The pod mounts the claim.
    pub(crate) fn for_pod(&self, namespace: &str, pod: &Value) -> Findings {
        let mut findings = Findings::default();
        if self.is_bucket() && !has_bucket_sidecar(pod) {
            findings.add(format!("the pod lacks the annotation {}", self.bucket_annotation()), bucket_fix());
        }
        self.check_nodes_of(pod, &mut findings);
        let group = pod.pointer("/spec/securityContext/fsGroup").and_then(Value::as_i64);
        if let Some(group) = group.filter(|_| is_written_by(pod, &self.claim)) {
            self.check_fs_group(&format!("the pod's fsGroup {group}"), namespace, &mut findings);
        }
        findings
    }

    /// What keeps pods of a namespace from using the volume. `mounts` are those of its pods; `is_written` is whether workers
    /// write to the claim.
    pub(crate) fn for_namespace(&self, namespace: &str, mounts: &Mounts, is_written: bool) -> Findings {
        let mut findings = Findings::default();
        self.check_annotation_of(mounts, &mut findings);
        self.check_nodes(&mut findings);
        if is_written {
            self.check_fs_group("fsGroup", namespace, &mut findings);
        }
        findings
    }

    /// The volume's name, with its driver or type.
    pub(crate) fn description(&self) -> String {
        let kind = self.driver_name().or_else(|| ["nfs", "hostPath", "local"].into_iter().find(|kind| self.has(kind)));
        kind.map_or_else(|| self.name(), |kind| format!("{} ({kind})", self.name()))
    }

    /// Whether enough of the pods that mount the claim have the annotation that a bucket needs.
    fn check_annotation_of(&self, mounts: &Mounts, findings: &mut Findings) {
        if !self.is_bucket() {
            return;
        }
        let annotation = self.bucket_annotation();
        let (all, without_sidecar) = mounts.of_claims.get(&self.claim).copied().unwrap_or_default();
        match (without_sidecar, all) {
            (0, 0) => findings.add(format!("pods need the annotation {annotation}"), bucket_fix()),
            (0, _) => {}
            (lacking, all) => {
                let text = format!("{lacking} of {all} pods with this claim lack the annotation {annotation}");
                findings.add(text, bucket_fix());
            }
        }
    }

    /// Whether a node that the pod's node selector and affinity admit can mount the volume.
    fn check_nodes_of(&self, pod: &Value, findings: &mut Findings) {
        let Some((affinity, nodes)) = self.tied_to(findings) else { return };
        let admitted: Vec<_> = nodes.iter().filter(|node| node_selector::admits(pod, node)).collect();
        // A pod that no node admits waits for nodes, which an autoscaler may add.
        if admitted.is_empty() || admitted.iter().any(|node| node_selector::matches(affinity, node)) {
            return;
        }
        findings.add(
            format!(
                "{} is tied to nodes with {}, and the pod's node selector and affinity admit only others: {}",
                self.name(),
                node_selector::words(affinity),
                named(&admitted)
            ),
            "Let the pod run where the volume is, or use a claim whose storage those nodes can mount; the scheduler does \
             not place it otherwise",
        );
    }

    /// Whether every node can mount the volume.
    fn check_nodes(&self, findings: &mut Findings) {
        let Some((affinity, nodes)) = self.tied_to(findings) else { return };
        let able: Vec<_> = nodes.iter().filter(|node| node_selector::matches(affinity, node)).collect();
        if able.len() == nodes.len() {
            return;
        }
        let (name, words, all) = (self.name(), node_selector::words(affinity), nodes.len());
        let which = match able.len() {
            0 => "no node matches".to_owned(),
            some => format!("{some} of {all} nodes match: {}", named(&able)),
        };
        findings.add(
            format!("{name} is tied to nodes with {words}; {which}"),
            "Let the workers run on those nodes, or use a claim whose storage every node can mount; the scheduler does not \
             place a worker elsewhere",
        );
    }

    /// The node selector of the volume, and the nodes; `None` if it has no selector, or if the nodes are unknown.
    fn tied_to(&self, findings: &mut Findings) -> Option<(&Value, &[Node])> {
        let affinity = node_affinity(&self.object)?;
        match &self.nodes {
            Ok(nodes) => Some((affinity, nodes)),
            Err(why) => {
                let (name, words) = (self.name(), node_selector::words(affinity));
                findings.unknown.push(format!("{name} is tied to nodes with {words}; which ones is unknown: {why}"));
                None
            }
        }
    }

    fn check_fs_group(&self, group: &str, namespace: &str, findings: &mut Findings) {
        match self.why_fs_group_is_ignored() {
            Ok(None) => {}
            Ok(Some(why)) => findings.add(
                format!("{group} does nothing on {}: {why}", self.name()),
                format!(
                    "Prepare the root of the volume once, as docs/storage.md says; dynamo-cache check -n {namespace} \
                     --write-probe shows whether workers can write to it"
                ),
            ),
            Err(why) => findings.unknown.push(format!("whether {group} does anything on {}: {why}", self.name())),
        }
    }

    /// Why a pod's fsGroup does not make the volume writable; `None` if it does, or if nothing suggests otherwise.
    ///
    /// # Errors
    /// Why the `CSIDriver` could not be read, if it decides.
    fn why_fs_group_is_ignored(&self) -> Result<Option<String>, &str> {
        let Some(driver) = self.driver_name() else {
            let kind = ["nfs", "hostPath"].into_iter().find(|kind| self.has(kind));
            return Ok(kind.map(|kind| format!("the kubelet changes no owners on {kind} volumes")));
        };
        if APPLY_FS_GROUP.contains(&driver) || self.is_access_point() {
            return Ok(None);
        }
        let object = match &self.driver {
            Ok(object) => object.as_ref(),
            Err(_) if IGNORE_FS_GROUP.contains(&driver) => return Ok(Some(format!("{driver} is known to ignore it"))),
            Err(why) => return Err(why),
        };
        // The kubelet treats a driver without an object as one with the default policy.
        let policy = object.and_then(|object| object.pointer("/spec/fsGroupPolicy")?.as_str());
        Ok(match policy.unwrap_or("ReadWriteOnceWithFSType") {
            "None" => Some(format!("CSIDriver {driver} has fsGroupPolicy None")),
            "ReadWriteOnceWithFSType" if !self.is_read_write_once() => Some(format!(
                "under the fsGroupPolicy of {driver}, the kubelet changes owners only on ReadWriteOnce volumes"
            )),
            _ => None,
        })
    }

    /// Whether the volume is an access point of EFS, which maps every client to one user.
    fn is_access_point(&self) -> bool {
        let handle = self.text("/spec/csi/volumeHandle").unwrap_or_default();
        self.driver_name() == Some(EFS) && handle.split(':').any(|part| part.starts_with("fsap-"))
    }

    /// Whether the kubelet changes owners under the default policy: it wants the file system's type too.
    fn is_read_write_once(&self) -> bool {
        let modes = self.object.pointer("/spec/accessModes").and_then(Value::as_array);
        self.text("/spec/csi/fsType").is_some_and(|kind| !kind.is_empty())
            && modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOnce"))
    }

    fn is_bucket(&self) -> bool {
        self.driver_name() == Some(GCSFUSE)
    }

    fn bucket_annotation(&self) -> String {
        format!("{GCSFUSE_ANNOTATION}: \"true\", without which {GCSFUSE} does not mount {}", self.name())
    }

    fn name(&self) -> String {
        format!("volume {}", self.text("/metadata/name").unwrap_or_default())
    }

    fn driver_name(&self) -> Option<&str> {
        driver_name(&self.object)
    }

    fn has(&self, kind: &str) -> bool {
        self.object.get("spec").and_then(|spec| spec.get(kind)).is_some_and(Value::is_object)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.object.pointer(pointer)?.as_str()
    }
}

impl Findings {
    fn add(&mut self, text: impl Into<String>, fix: impl Into<String>) {
        self.found.push(Finding { text: text.into(), fix: fix.into() });
    }
}

/// The name of the CSI driver of a PersistentVolume; `None` if another kind of plugin mounts it.
pub(crate) fn driver_name(volume: &Value) -> Option<&str> {
    volume.pointer("/spec/csi/driver")?.as_str()
}

/// The node selector that a node must match to mount a PersistentVolume, if it has one.
pub(crate) fn node_affinity(volume: &Value) -> Option<&Value> {
    volume.pointer("/spec/nodeAffinity/required").filter(|selector| selector.is_object())
}

fn bucket_fix() -> String {
    format!("Set the annotation {GCSFUSE_ANNOTATION}: \"true\" on the pod template, and recreate the pods")
}

fn has_bucket_sidecar(pod: &Value) -> bool {
    let annotation = pod.pointer("/metadata/annotations").and_then(|all| all.get(GCSFUSE_ANNOTATION)?.as_str());
    asks_for_bucket_sidecar(annotation)
        || containers(pod).any(|container| container.get("name").is_some_and(|name| name == GCSFUSE_SIDECAR))
}

fn asks_for_bucket_sidecar(annotation: Option<&str>) -> bool {
    annotation.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Whether a container of the pod can write to the claim.
fn is_written_by(pod: &Value, claim: &str) -> bool {
    let is_read_only = |object: &Value| object.get("readOnly").is_some_and(|value| value == true);
    let mounts = |pod| containers(pod).flat_map(|container: &Value| array(container.get("volumeMounts")));
    volumes_of(pod, claim).any(|volume| {
        let is_source_read_only = volume.get("persistentVolumeClaim").is_some_and(is_read_only);
        let mut own = mounts(pod).filter(|mount| mount.get("name") == volume.get("name"));
        !is_source_read_only && own.any(|mount| !is_read_only(mount))
    })
}

/// The volumes of a pod that are of a claim.
fn volumes_of<'p>(pod: &'p Value, claim: &str) -> impl Iterator<Item = &'p Value> {
    array(pod.pointer("/spec/volumes"))
        .filter(move |volume| volume.pointer("/persistentVolumeClaim/claimName").is_some_and(|name| name == claim))
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    array(pod.pointer("/spec/initContainers")).chain(array(pod.pointer("/spec/containers")))
}

fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// The names of the first nodes, and how many more there are.
fn named(nodes: &[&Node]) -> String {
    let names: Vec<_> = nodes.iter().take(NAMED_NODES).map(|node| node.name.as_str()).collect();
    let names = names.join(", ");
    match nodes.len().saturating_sub(NAMED_NODES) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}
