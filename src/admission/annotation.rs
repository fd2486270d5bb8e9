//! The names of all annotations and labels that decide: ours, the Dynamo operator's and Kubernetes' own.
//!
//! The names after the prefix of those that are settings stand in `settings::table`.

/// What every annotation of ours begins with.
pub const PREFIX: &str = "dynamo-cache.io/";

/// Our own annotation on a pod: what was done.
pub const STATUS: &str = "dynamo-cache.io/status";

/// Whether a pod is a component, whatever it looks like: `true` or `false`. Only on pods, and without the prefix.
pub const INJECT: &str = "inject";

/// Which containers of a pod get caches, by name. Only on pods, and without the prefix.
pub const CONTAINERS: &str = "containers";

/// Which engine the selected containers of a pod run. Only on pods, and without the prefix.
pub const ENGINE: &str = "engine";

/// The kind of a component, which the Dynamo operator writes.
pub const COMPONENT_TYPE: &str = "nvidia.com/dynamo-component-type";

/// The labels any of which makes a pod a Dynamo component.
pub const COMPONENT_LABELS: [&str; 3] =
    [COMPONENT_TYPE, "nvidia.com/dynamo-component", "nvidia.com/dynamo-graph-deployment-name"];

/// A pod that Dynamo Snapshot restores.
pub const RESTORE_FROM: &str = "nvidia.com/restore-from";

/// What the other annotations of a pod that Dynamo Snapshot restores begin with.
pub const RESTORE_PREFIX: &str = "nvidia.com/dynamo-restore-";

/// A pod that Dynamo Snapshot may restore, where the value is `true`.
pub const RESTORE_CANDIDATE: &str = "nvidia.com/dynamo-checkpoint-restore-candidate";

/// What the labels of a pod that Dynamo Snapshot captures begin with.
pub const SNAPSHOT_PREFIX: &str = "nvidia.com/snapshot-";

/// The copy of a static pod, which the kubelet creates.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// The container that kubectl means where none is named.
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The operating system of a node.
pub const NODE_OS: &str = "kubernetes.io/os";

/// The processor of a node.
pub const NODE_ARCH: &str = "kubernetes.io/arch";

/// The labels of a node that say which GPU it has, the most exact first: NVIDIA's feature discovery, those of GKE, Karpenter and
/// EKS, Azure, `CoreWeave`, the cluster autoscaler, and last the machine, which has one kind of GPU.
pub const GPU_LABELS: [&str; 8] = [
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "eks.amazonaws.com/instance-gpu-name",
    "karpenter.azure.com/sku-gpu-name",
    "gpu.nvidia.com/model",
    "k8s.amazonaws.com/accelerator",
    "node.kubernetes.io/instance-type",
];
