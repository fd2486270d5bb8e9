//! The few fields of a Pod that we read, borrowed from the bytes they came in.

use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::value::RawValue;

use super::quantity::Quantity;

mod containers;
mod owner;
mod probe;
mod struct_as_map;
mod text;
mod volume;

pub(super) use containers::MOST as MOST_CONTAINERS;
pub use owner::{Controller, Owner};
pub use probe::HttpGet;
pub(super) use struct_as_map::StructAsMap;
pub use text::{Entries, Text};
pub use volume::Volume;

/// What the names of resources begin with that are parts of a GPU; the profile follows.
pub(super) const MIG_PREFIX: &str = "nvidia.com/mig-";

/// Labels or annotations.
pub type Strings<'a> = Entries<'a, Text<'a>>;

/// A pod, or a pod template: they have the same shape.
///
/// An absent list and a list that is `null` are both `None`: neither can be appended to.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub struct Pod<'a> {
    /// Name, labels, annotations and controller.
    #[serde(borrow)]
    pub metadata: Option<Metadata<'a>>,
    /// What runs.
    #[serde(borrow)]
    pub spec: Option<Spec<'a>>,
    /// Volumes that a controller will add to the pod: those of a StatefulSet's `volumeClaimTemplates`.
    #[serde(skip)]
    pub templates: Vec<String>,
}

/// A pod's metadata.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// The name, empty where the API server will generate it.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// What a generated name begins with.
    #[serde(borrow)]
    pub generate_name: Option<Text<'a>>,
    /// The labels.
    #[serde(borrow)]
    pub labels: Option<Strings<'a>>,
    /// The annotations.
    #[serde(borrow)]
    pub annotations: Option<Strings<'a>>,
    /// Who made the pod, and makes another when it is gone.
    #[serde(borrow, rename = "ownerReferences")]
    pub controller: Option<Controller<'a>>,
}

/// A pod's spec.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// Init containers; the restartable ones run beside the containers.
    #[serde(borrow, default, deserialize_with = "containers::read")]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// The containers.
    #[serde(borrow, default, deserialize_with = "containers::read")]
    pub containers: Option<Vec<Container<'a>>>,
    /// The volumes.
    #[serde(borrow)]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// Labels that a node must have.
    #[serde(borrow)]
    pub node_selector: Option<Strings<'a>>,
    /// Where the pod may run.
    #[serde(borrow)]
    pub affinity: Option<Affinity<'a>>,
    /// The pod's user and groups.
    pub security_context: Option<SecurityContext<'a>>,
    /// The pod's operating system.
    #[serde(borrow)]
    pub os: Option<Os<'a>>,
    /// `false`: the pod has a user namespace of its own.
    pub host_users: Option<bool>,
    /// Whether the pod has the node's network.
    pub host_network: Option<bool>,
    /// What the pod asks for as a whole.
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
}

/// A container or an init container.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container<'a> {
    /// The name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// The image reference.
    #[serde(borrow)]
    pub image: Option<Text<'a>>,
    /// The entry point.
    #[serde(borrow)]
    pub command: Option<Vec<Text<'a>>>,
    /// The arguments.
    #[serde(borrow)]
    pub args: Option<Vec<Text<'a>>>,
    /// The variables.
    #[serde(borrow)]
    pub env: Option<Vec<Variable<'a>>>,
    /// The mounts.
    #[serde(borrow)]
    pub volume_mounts: Option<Vec<Mount<'a>>>,
    /// The block devices.
    #[serde(borrow)]
    pub volume_devices: Option<Vec<Device<'a>>>,
    /// The working directory.
    #[serde(borrow)]
    pub working_dir: Option<Text<'a>>,
    /// `Always` makes an init container restartable.
    #[serde(borrow)]
    pub restart_policy: Option<Text<'a>>,
    /// The container's user.
    #[serde(borrow)]
    pub security_context: Option<SecurityContext<'a>>,
    /// What the container asks for.
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
    /// When the image is pulled.
    #[serde(borrow)]
    pub image_pull_policy: Option<Text<'a>>,
    /// The ports, which are read where a probe is.
    #[serde(borrow)]
    pub ports: Option<&'a RawValue>,
    /// The readiness probe, which is read where a container asks whether this one is ready. So are the other two.
    #[serde(borrow)]
    pub readiness_probe: Option<&'a RawValue>,
    /// The startup probe.
    #[serde(borrow)]
    pub startup_probe: Option<&'a RawValue>,
    /// The liveness probe.
    #[serde(borrow)]
    pub liveness_probe: Option<&'a RawValue>,
}

/// A variable of a container.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable<'a> {
    /// The name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// The value; absent means empty.
    #[serde(borrow)]
    pub value: Option<Text<'a>>,
    /// Where the value comes from otherwise, which is read where a key needs it.
    #[serde(borrow)]
    pub value_from: Option<&'a RawValue>,
}

/// A mount of a container.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// The volume's name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Where it is mounted.
    #[serde(borrow)]
    pub mount_path: Option<Text<'a>>,
    /// The part of the volume that is mounted.
    #[serde(borrow)]
    pub sub_path: Option<Text<'a>>,
    /// The same, with variables.
    #[serde(borrow)]
    pub sub_path_expr: Option<Text<'a>>,
    /// Whether the mount can only be read.
    pub read_only: Option<bool>,
}

/// A block device of a container.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device<'a> {
    /// The volume's name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Where the device appears.
    #[serde(borrow)]
    pub device_path: Option<Text<'a>>,
}

/// Users, groups and what else we look at in a security context.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityContext<'a> {
    /// The user id.
    pub run_as_user: Option<i64>,
    /// The group id.
    pub run_as_group: Option<i64>,
    /// Whether the user must not be root.
    pub run_as_non_root: Option<bool>,
    /// The group that owns the volumes.
    pub fs_group: Option<i64>,
    /// When ownership is changed.
    #[serde(borrow)]
    pub fs_group_change_policy: Option<Text<'a>>,
    /// Whether the root file system can only be read; on a container alone.
    pub read_only_root_filesystem: Option<bool>,
}

/// What a container requests. An amount is read where it counts.
#[derive(Debug, serde::Deserialize)]
pub struct Resources<'a> {
    /// At most this much.
    #[serde(borrow)]
    pub limits: Option<Entries<'a, &'a RawValue>>,
    /// At least this much.
    #[serde(borrow)]
    pub requests: Option<Entries<'a, &'a RawValue>>,
    /// Claims of dynamic resource allocation.
    pub claims: Option<Vec<IgnoredAny>>,
}

/// The pod's operating system.
#[derive(Debug, serde::Deserialize)]
pub struct Os<'a> {
    /// `linux` or `windows`.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
}

/// Affinity, as far as it names the GPU product of the node.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affinity<'a> {
    /// To nodes.
    #[serde(borrow)]
    pub node_affinity: Option<NodeAffinity<'a>>,
}

/// Affinity to nodes.
#[derive(Debug, serde::Deserialize)]
pub struct NodeAffinity<'a> {
    /// The required part.
    #[serde(borrow, rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector<'a>>,
}

/// Terms of which one must hold.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector<'a> {
    /// The terms.
    #[serde(borrow)]
    pub node_selector_terms: Option<Vec<NodeSelectorTerm<'a>>>,
}

/// Expressions that must all hold.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorTerm<'a> {
    /// The expressions.
    #[serde(borrow)]
    pub match_expressions: Option<Vec<MatchExpression<'a>>>,
}

/// One expression over a node's label.
#[derive(Debug, serde::Deserialize)]
pub struct MatchExpression<'a> {
    /// The label.
    #[serde(borrow)]
    pub key: Option<Text<'a>>,
    /// `In` and others.
    #[serde(borrow)]
    pub operator: Option<Text<'a>>,
    /// The values.
    #[serde(borrow)]
    pub values: Option<Vec<Text<'a>>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Pod<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The one that is derived.
        Pod::deserialize(StructAsMap(deserializer))
    }
}

impl Container<'_> {
    /// The name, empty where there is none.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Command then args, as received.
    pub fn command_line(&self) -> impl Iterator<Item = &str> {
        let command = self.command.iter().flatten();
        command.chain(self.args.iter().flatten()).map(|element| &**element)
    }

    /// Whether it is an init container that runs beside the containers, where it is an init container.
    pub fn is_restartable(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// Whether it asks for a GPU, or for a part of one.
    pub fn asks_for_gpu(&self) -> bool {
        let amounts = self.resources.iter().flat_map(|resources| resources.limits.iter().chain(&resources.requests));
        amounts.flat_map(|amounts| &amounts.0).any(|(name, amount)| {
            let is_gpu = &**name == "nvidia.com/gpu" || name.starts_with(MIG_PREFIX);
            is_gpu && amount.get().trim_matches('"') != "0"
        })
    }

    /// Whether it has claims of dynamic resource allocation, by which GPUs are had, too.
    pub fn claims_resources(&self) -> bool {
        let claims = self.resources.as_ref().and_then(|resources| resources.claims.as_ref());
        claims.is_some_and(|claims| !claims.is_empty())
    }

    /// The image reference's last name: no registry, no folders, no tag, no digest.
    pub fn image_name(&self) -> &str {
        let image = self.image.as_deref().unwrap_or_default();
        let image = image.split_once('@').map_or(image, |(before, _)| before);
        let last = image.rsplit('/').next().unwrap_or_default();
        last.split_once(':').map_or(last, |(name, _)| name)
    }
}

impl Resources<'_> {
    /// The limit of a resource, as far as it can be read.
    pub fn limit(&self, name: &str) -> Option<Quantity> {
        amount(self.limits.as_ref(), name)
    }

    /// The request of a resource: where there is none, the limit is the request.
    pub fn request(&self, name: &str) -> Option<Quantity> {
        amount(self.requests.as_ref(), name).or_else(|| self.limit(name))
    }
}

fn amount(amounts: Option<&Entries<'_, &RawValue>>, name: &str) -> Option<Quantity> {
    amounts?.value(name).and_then(|amount| Quantity::read(amount.get().trim_matches('"')))
}

impl<'a> Pod<'a> {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.as_ref()?.labels.as_ref()?.value(key).map(|text| &**text)
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations()?.value(key).map(|text| &**text)
    }

    /// Who made the pod; none for a bare one.
    pub fn controller(&self) -> Option<&Owner<'a>> {
        self.metadata.as_ref()?.controller.as_ref()?.0.as_ref()
    }

    /// The annotations, where there are any.
    pub fn annotations(&self) -> Option<&Strings<'a>> {
        self.metadata.as_ref()?.annotations.as_ref()
    }

    /// The containers.
    pub fn containers(&self) -> &[Container<'a>] {
        self.spec.as_ref().and_then(|spec| spec.containers.as_deref()).unwrap_or_default()
    }

    /// The init containers.
    pub fn init_containers(&self) -> &[Container<'a>] {
        self.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default()
    }

    /// The volumes.
    pub fn volumes(&self) -> &[Volume<'a>] {
        self.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default()
    }
}
