//! The kinds that have pods, as data: where in each of them its pod templates are.

use Shape::{Cliques, RayNode, Roles, Set, Spec, Template};

/// A kind with pods.
pub(super) struct Kind {
    /// The API group, without a version.
    pub(super) group: &'static str,
    /// The kind.
    pub(super) name: &'static str,
    /// Where its pods are described.
    pub(super) pods: &'static [Pods],
    /// What the object may have without describing its pods, so that only its controller knows them.
    pub(super) elsewhere: &'static [Elsewhere],
}

/// A place in an object that describes pods: a JSON Pointer, in which `*` stands for each part of a list or mapping.
pub(super) struct Pods(pub(super) &'static str, pub(super) Shape);

/// A part of an object that stands for pods: its JSON Pointer, and that of their containers. Without those, only the controller
/// knows the pods.
pub(super) struct Elsewhere(pub(super) &'static str, pub(super) &'static str);

/// What is at such a place.
pub(super) enum Shape {
    /// A pod template: `metadata` and `spec`.
    Template,
    /// A pod template of a set with claim templates; their pointer.
    WithClaims(&'static str),
    /// The spec of a pod, which has no metadata beside it.
    Spec(Metadata),
    /// The `leaderWorkerTemplate` of a LeaderWorkerSet.
    Set,
    /// The spec of a RoleBasedGroup.
    Roles,
    /// The template of a `PodCliqueSet`.
    Cliques,
    /// The template of a pod that `KubeRay` makes a node of a Ray cluster.
    RayNode,
}

/// Where the labels and annotations of pods are whose spec stands alone.
#[derive(Clone, Copy)]
pub(super) enum Metadata {
    /// In the metadata of the object.
    OfTheObject,
    /// Beside the fields of the spec: `labels` and `annotations`.
    InTheSpec,
    /// In what contains the spec: `labels` and `annotations`, which count for other pods too.
    Around,
    /// Nowhere.
    Nowhere,
}

/// Each kind once. The name alone decides if an object has no `apiVersion`, so kinds of Kubernetes come first.
pub(super) const KINDS: &[Kind] = &[
    kind("", "Pod", &[Pods("", Template)]),
    kind("", "PodTemplate", &[Pods("/template", Template)]),
    kind("", "ReplicationController", &[Pods("/spec/template", Template)]),
    kind("apps", "DaemonSet", &[Pods("/spec/template", Template)]),
    kind("apps", "Deployment", &[Pods("/spec/template", Template)]),
    kind("apps", "ReplicaSet", &[Pods("/spec/template", Template)]),
    kind("apps", "StatefulSet", &[Pods("/spec/template", Shape::WithClaims("/spec/volumeClaimTemplates"))]),
    kind("batch", "CronJob", &[Pods("/spec/jobTemplate/spec/template", Template)]),
    kind("batch", "Job", &[Pods("/spec/template", Template)]),
    // Grove
    kind("grove.io", "PodClique", &[Pods("/spec/podSpec", Spec(Metadata::OfTheObject))]),
    kind("grove.io", "PodCliqueSet", &[Pods("/spec/template", Cliques)]),
    // LeaderWorkerSet
    kind("leaderworkerset.x-k8s.io", "LeaderWorkerSet", &[Pods("/spec/leaderWorkerTemplate", Set)]),
    kind("disaggregatedset.x-k8s.io", "DisaggregatedSet", &[Pods("/spec/roles/*/spec/leaderWorkerTemplate", Set)]),
    // RoleBasedGroup
    kind("workloads.x-k8s.io", "RoleBasedGroup", &[Pods("/spec", Roles)]),
    kind(
        "workloads.x-k8s.io",
        "RoleBasedGroupSet",
        &[Pods("/spec/groupTemplate/spec", Roles), Pods("/spec/template", Roles)],
    ),
    kind("workloads.x-k8s.io", "Instance", &[Pods("/spec/components/*/template", Template)]),
    kind("workloads.x-k8s.io", "InstanceSet", &[Pods("/spec/instanceTemplate/components/*/template", Template)]),
    kind("workloads.x-k8s.io", "RoleInstance", &[Pods("/spec/components/*/template", Template)]),
    kind(
        "workloads.x-k8s.io",
        "RoleInstanceSet",
        &[Pods("/spec/roleInstanceTemplate/components/*/template", Template)],
    ),
    // Argo Rollouts
    Kind {
        elsewhere: &[Elsewhere("/spec/workloadRef", "/spec/template")],
        ..kind("argoproj.io", "Rollout", &[Pods("/spec/template", Template)])
    },
    // JobSet
    kind("jobset.x-k8s.io", "JobSet", &[Pods("/spec/replicatedJobs/*/template/spec/template", Template)]),
    // Knative
    kind("serving.knative.dev", "Configuration", &[Pods("/spec/template", Template)]),
    kind("serving.knative.dev", "Service", &[Pods("/spec/template", Template)]),
    // KServe
    Kind {
        elsewhere: &[
            Elsewhere("/spec/predictor", "/spec/predictor/containers"),
            Elsewhere("/spec/predictor/workerSpec", "/spec/predictor/workerSpec/containers"),
            Elsewhere("/spec/transformer", "/spec/transformer/containers"),
            Elsewhere("/spec/explainer", "/spec/explainer/containers"),
        ],
        ..kind(
            "serving.kserve.io",
            "InferenceService",
            &[
                Pods("/spec/predictor", Spec(Metadata::InTheSpec)),
                Pods("/spec/predictor/workerSpec", Spec(Metadata::Around)),
                Pods("/spec/transformer", Spec(Metadata::InTheSpec)),
                Pods("/spec/explainer", Spec(Metadata::InTheSpec)),
            ],
        )
    },
    Kind {
        elsewhere: &[
            Elsewhere("/spec", "/spec/template/containers"),
            Elsewhere("/spec/worker", "/spec/worker/containers"),
            Elsewhere("/spec/prefill", "/spec/prefill/template/containers"),
            Elsewhere("/spec/prefill/worker", "/spec/prefill/worker/containers"),
            Elsewhere("/spec/router/scheduler", "/spec/router/scheduler/template/containers"),
        ],
        ..kind(
            "serving.kserve.io",
            "LLMInferenceService",
            &[
                Pods("/spec/template", Spec(Metadata::Around)),
                Pods("/spec/worker", Spec(Metadata::Around)),
                Pods("/spec/prefill/template", Spec(Metadata::Around)),
                Pods("/spec/prefill/worker", Spec(Metadata::Around)),
                Pods("/spec/router/scheduler/template", Spec(Metadata::Nowhere)),
            ],
        )
    },
    // Ray
    kind(
        "ray.io",
        "RayCluster",
        &[Pods("/spec/headGroupSpec/template", RayNode), Pods("/spec/workerGroupSpecs/*/template", RayNode)],
    ),
    kind(
        "ray.io",
        "RayJob",
        &[
            Pods("/spec/rayClusterSpec/headGroupSpec/template", RayNode),
            Pods("/spec/rayClusterSpec/workerGroupSpecs/*/template", RayNode),
            Pods("/spec/submitterPodTemplate", Template),
        ],
    ),
    kind(
        "ray.io",
        "RayService",
        &[
            Pods("/spec/rayClusterConfig/headGroupSpec/template", RayNode),
            Pods("/spec/rayClusterConfig/workerGroupSpecs/*/template", RayNode),
        ],
    ),
    // Volcano
    kind("batch.volcano.sh", "Job", &[Pods("/spec/tasks/*/template", Template)]),
    // Kubeflow
    kind("kubeflow.org", "MPIJob", &[Pods("/spec/mpiReplicaSpecs/*/template", Template)]),
    kind("kubeflow.org", "PyTorchJob", &[Pods("/spec/pytorchReplicaSpecs/*/template", Template)]),
    kind("trainer.kubeflow.org", "ClusterTrainingRuntime", &[Pods(RUNTIME, Template)]),
    kind("trainer.kubeflow.org", "TrainingRuntime", &[Pods(RUNTIME, Template)]),
    // Its pods are those of its runtime, with what the job overrides.
    Kind { elsewhere: &[Elsewhere("/spec", "/spec/template")], ..kind("trainer.kubeflow.org", "TrainJob", &[]) },
];

/// The pod templates of a training runtime, which contains a `JobSet`.
const RUNTIME: &str = "/spec/template/spec/replicatedJobs/*/template/spec/template";

const fn kind(group: &'static str, name: &'static str, pods: &'static [Pods]) -> Kind {
    Kind { group, name, pods, elsewhere: &[] }
}

#[cfg(test)]
mod tests {
    use super::KINDS;

    #[test]
    fn every_kind_is_in_the_documents_and_only_once_in_the_table() {
        let page = include_str!("../../../docs/manifests.md");
        for (index, kind) in KINDS.iter().enumerate() {
            let group = if kind.group.is_empty() { "core" } else { kind.group };
            let line = page.lines().find(|line| line.starts_with(&format!("| {group} |")));
            let kinds = line.and_then(|line| line.split(" | ").nth(1)).unwrap_or_default();
            assert!(
                kinds.split(", ").any(|name| name == kind.name),
                "{group} {} is not in docs/manifests.md",
                kind.name
            );
            let is_same = |other: &super::Kind| (other.group, other.name) == (kind.group, kind.name);
            assert_eq!(KINDS.iter().position(is_same), Some(index), "{group} {}", kind.name);
        }
    }
}
