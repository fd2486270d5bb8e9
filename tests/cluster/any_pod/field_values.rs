//! Values of fields that the API server's validation restricts further than the `OpenAPI` document says.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Types of which the words below are all that there is to say.
pub(super) const LEAVES: [&str; 4] = ["FieldsV1", "IntOrString", "ObjectMeta", "Quantity"];

/// What cannot be set when a pod is created.
pub(super) const NEVER: [(&str, &str); 1] = [("PodSpec", "ephemeralContainers")];

/// Of these fields an object has exactly one.
pub(super) fn union(name: &str, properties: &Map<String, Value>) -> Vec<String> {
    let these = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    match name {
        "Volume" => properties.keys().filter(|key| *key != "name").cloned().collect(),
        "EnvFromSource" => these(&["configMapRef", "secretRef"]),
        "EnvVarSource" | "LifecycleHandler" | "VolumeProjection" => properties.keys().cloned().collect(),
        "ClusterTrustBundleProjection" => these(&["name", "signerName"]),
        "EnvVar" => these(&["value", "valueFrom"]),
        "DownwardAPIVolumeFile" => these(&["fieldRef", "resourceFieldRef"]),
        "FCVolumeSource" => these(&["targetWWNs", "wwids"]),
        "FlockerVolumeSource" => these(&["datasetName", "datasetUUID"]),
        "PodCertificateProjection" => these(&["credentialBundlePath", "keyPath"]),
        "PodResourceClaim" => these(&["resourceClaimName", "resourceClaimTemplateName"]),
        "Probe" => these(&["exec", "grpc", "httpGet", "tcpSocket"]),
        _ => Vec::new(),
    }
}

/// Fields that have to be there, although the document does not say so.
const NEEDS: &[(&str, &[&str])] = &[
    ("AzureDiskVolumeSource", &["kind"]),
    ("ConfigMapEnvSource", &["name"]),
    ("ConfigMapKeySelector", &["name"]),
    ("ConfigMapProjection", &["name"]),
    ("ConfigMapVolumeSource", &["name"]),
    ("Container", &["command", "image"]),
    ("ContainerRestartRule", &["exitCodes"]),
    ("EphemeralVolumeSource", &["volumeClaimTemplate"]),
    ("ExecAction", &["command"]),
    ("FCVolumeSource", &["lun"]),
    ("ImageVolumeSource", &["reference"]),
    ("LocalObjectReference", &["name"]),
    ("NodeSelectorRequirement", &["values"]),
    ("NodeSelectorTerm", &["matchExpressions"]),
    ("PersistentVolumeClaimSpec", &["accessModes", "resources"]),
    ("PersistentVolumeClaimTemplate", &["spec"]),
    ("PodDNSConfigOption", &["name"]),
    ("PodSpec", &["volumes"]),
    ("ProjectedVolumeSource", &["sources"]),
    ("ScaleIOVolumeSource", &["volumeName"]),
    ("SecretEnvSource", &["name"]),
    ("SecretKeySelector", &["name"]),
    ("SecretProjection", &["name"]),
    ("SecretVolumeSource", &["secretName"]),
    ("StorageOSVolumeSource", &["volumeName", "volumeNamespace"]),
    ("Toleration", &["effect", "key"]),
    ("VolumeResourceRequirements", &["requests"]),
];

/// Whether a field has to be there, although the document does not say so.
pub(super) fn needs(name: &str, key: &str) -> bool {
    NEEDS.iter().any(|(needs, keys)| *needs == name && keys.contains(&key))
}

/// Adds volumes and claims, so that other fields of the spec have something to name.
pub(super) fn add_named(spec: &mut Value) {
    let claim = json!({"name": "block", "persistentVolumeClaim": {"claimName": "other"}});
    let volumes = [claim, json!({"name": "scratch", "emptyDir": {}})];
    spec["volumes"].as_array_mut().into_iter().for_each(|own| own.extend(volumes.clone()));
    if spec["os"].is_null() && spec.to_string().contains("stopSignal") {
        spec["os"] = json!({"name": "linux"});
    }
    if spec["resourceClaims"].is_null() {
        spec["resourceClaims"] = json!([{"name": "a", "resourceClaimName": "a"}]);
    }
}

/// Labels and annotations: of a Dynamo component as a rule, and others in every alphabet.
pub(super) fn metadata() -> impl Strategy<Value = Value> {
    let labels = select(vec![
        json!({"nvidia.com/dynamo-component-type": "worker"}),
        json!({"nvidia.com/dynamo-component-type": "frontend", "a": "b"}),
        json!({"a": "b"}),
    ]);
    let ours = select(vec![
        json!({}),
        json!({}),
        json!({"dynamo-cache.io/load-format": "mx"}),
        json!({"dynamo-cache.io/model-layout": "hub", "dynamo-cache.io/compile-key": "none"}),
        json!({"dynamo-cache.io/model-read-only": "true", "dynamo-cache.io/model-offline": "true"}),
        json!({"dynamo-cache.io/engine": "trtllm"}),
    ]);
    let others = btree_map("[a-z]{1,8}(\\.[a-z]{1,8}/[A-Za-z0-9]{1,8})?", "\\PC{0,40}", 0..4);
    let large = option::weighted(0.02, select(vec![100_000, 240_000]));
    (labels, ours, others, large).prop_map(|(labels, ours, others, large)| {
        let mut annotations = ours.as_object().cloned().unwrap_or_default();
        annotations.extend(others.into_iter().map(|(key, value)| (key, json!(value))));
        annotations.extend(large.map(|length| ("large".to_owned(), json!("\u{e9}".repeat(length / 2)))));
        json!({"name": "pod", "labels": labels, "annotations": annotations})
    })
}

/// A map that the document says nothing more of.
pub(super) fn map(name: &str, key: &str) -> BoxedStrategy<Value> {
    let keys = match (name, key) {
        ("ResourceRequirements", _) => select(vec!["cpu", "memory", "nvidia.com/gpu", "ephemeral-storage"]),
        ("PodSpec", "overhead") => select(vec!["cpu", "memory"]),
        _ => select(vec!["a", "b.c/d"]),
    };
    let value = if matches!((name, key), ("ResourceRequirements", _) | ("PodSpec", "overhead")) { "1" } else { "x" };
    vec(keys, 1..3).prop_map(move |keys| keys.into_iter().map(|key| (key.to_owned(), json!(value))).collect()).boxed()
}

/// What a field may say, where not everything of its type will do.
#[allow(clippy::match_same_arms, reason = "a line a field, in the order of their types")]
pub(super) fn words(name: &str, key: &str) -> Option<BoxedStrategy<Value>> {
    if key == "args" {
        let words =
            select(vec!["--model", "Qwen/Qwen3-0.6B", "--load-format", "auto", "", "$(HOME)", "'", "{\"a\": 1}"]);
        return Some(vec(prop_oneof![words.prop_map(str::to_owned), "\\PC{0,12}"], 0..5).prop_map(Value::from).boxed());
    }
    if (name, key) == ("EnvVar", "value") {
        let words = select(vec!["/model-cache", "/home/dynamo/.cache/huggingface", "$(HF_HOME)/x", "$$", "", "true"]);
        return Some(prop_oneof![words.prop_map(str::to_owned), "\\PC{0,20}"].prop_map(Value::from).boxed());
    }
    let words = match (name, key) {
        ("Container", "command") => json!([
            ["python3", "-m", "dynamo.vllm"],
            ["python3", "-m", "dynamo.sglang"],
            ["python3", "-m", "dynamo.trtllm"],
            ["python3", "-m", "dynamo.frontend"],
            ["sh", "-c", "exec python3 -m dynamo.vllm"],
            ["sleep", "infinity"],
        ]),
        ("Container" | "EphemeralContainer", "image") => {
            json!(["nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1", "busybox:1.36", "sglang@sha256:x"])
        }
        ("Container" | "EphemeralContainer", "name") => json!(["main", "engine-0", "sidecar", "profiler", "init-1"]),
        ("Container", "restartPolicy") => json!(["Always", "Never", "OnFailure"]),
        ("Container", "terminationMessagePath" | "workingDir") => json!(["/workspace", "/model-cache"]),
        ("ContainerPort", "containerPort" | "hostPort") | ("GRPCAction", "port") => json!([80, 8000]),
        (_, "hostIP" | "ip") => json!(["10.0.0.10"]),
        ("PodDNSConfig", "nameservers") => json!([["10.0.0.10"]]),
        ("EnvVar", "name") => json!(["HF_HOME", "HF_HUB_CACHE", "VLLM_CACHE_ROOT", "MODEL_EXPRESS_URL", "A", "b.c-d"]),
        ("ObjectFieldSelector", "apiVersion") => json!(["v1"]),
        ("ObjectFieldSelector", "fieldPath") => json!(["metadata.name", "metadata.namespace"]),
        ("ResourceFieldSelector", "resource") => json!(["limits.cpu", "requests.cpu"]),
        ("ResourceFieldSelector", "containerName") => json!(["main", "engine-0", "sidecar"]),
        ("ResourceFieldSelector", "divisor") => json!(["1", "1m"]),
        ("Volume", "name") => json!(["data", "model-cache", "shm", "dynamo-cache-model"]),
        ("VolumeMount", "name") => json!(["data", "model-cache", "dynamo-cache-model", "scratch"]),
        ("VolumeDevice", "name") => json!(["block"]),
        ("FileKeySelector", "volumeName") => json!(["scratch"]),
        ("FileKeySelector", "path") => json!(["a.env"]),
        ("VolumeMount", "mountPath") | ("VolumeDevice", "devicePath") => json!([
            "/home/dynamo/.cache/huggingface",
            "/model-cache",
            "/home/dynamo/.cache/vllm",
            "/opt/models/",
            "/dev/shm",
            "/data/\u{e9}",
        ]),
        ("VolumeMount", "recursiveReadOnly") => json!(["Disabled"]),
        ("PersistentVolumeClaimVolumeSource", "claimName") => json!(["model-cache", "compilation-cache", "other"]),
        (_, "defaultMode" | "mode") if name != "GRPCAction" => json!([0o640, 0o400]),
        ("AzureDiskVolumeSource", "kind") => json!(["Managed"]),
        ("AzureDiskVolumeSource", "diskURI") => json!(["/subscriptions/a"]),
        ("ISCSIVolumeSource", "iqn" | "initiatorName") => json!(["iqn.2001-04.com.example:a"]),
        ("NFSVolumeSource" | "HostPathVolumeSource", "path") => json!(["/srv/models", "/"]),
        ("QuobyteVolumeSource", "registry") => json!(["a:80"]),
        ("PersistentVolumeClaimSpec", "accessModes") => json!([["ReadWriteOnce"], ["ReadWriteMany"]]),
        ("PersistentVolumeClaimTemplate", "metadata") => json!([{"labels": {"a": "b"}}]),
        ("VolumeResourceRequirements", _) => json!([{"storage": "1Gi"}]),
        ("Lifecycle", "stopSignal") => json!(["SIGTERM"]),
        ("TypedLocalObjectReference" | "TypedObjectReference", "kind") => json!(["VolumeSnapshot"]),
        ("TypedLocalObjectReference" | "TypedObjectReference", "apiGroup") => json!(["snapshot.storage.k8s.io"]),
        ("ServiceAccountTokenProjection", "expirationSeconds") => json!([3600]),
        ("PodCertificateProjection", "keyType") => json!(["ED25519"]),
        ("PodCertificateProjection", "maxExpirationSeconds") => json!([86400]),
        (_, "signerName") => json!(["example.com/a"]),
        ("PodSpec", "dnsPolicy") => json!(["ClusterFirst", "ClusterFirst", "Default"]),
        ("PodSpec", "priority") => json!([0]),
        ("PodSpec", "preemptionPolicy") => json!(["PreemptLowerPriority"]),
        ("PodSpec", "priorityClassName") => json!(["any-pod"]),
        ("PodSpec", "runtimeClassName") => json!(["any-pod"]),
        ("PodSpec", "serviceAccount" | "serviceAccountName") => json!(["default"]),
        ("PodOS", "name") => json!(["linux", "linux", "windows"]),
        ("PodReadinessGate", "conditionType") | ("PodSchedulingGate" | "EvictionResponder", "name") => {
            json!(["example.com/a"])
        }
        ("ContainerResizePolicy", "resourceName") => json!(["cpu", "memory"]),
        ("ContainerResizePolicy", "restartPolicy") => json!(["NotRequired", "RestartContainer"]),
        ("ContainerRestartRule", "action") => json!(["Restart"]),
        ("ContainerRestartRuleOnExitCodes", "operator") => json!(["In", "NotIn"]),
        ("Capabilities", _) => json!([["NET_ADMIN"], ["ALL"]]),
        (_, "runAsUser" | "runAsGroup" | "fsGroup") => json!([1, 1000]),
        ("PodSecurityContext", "seLinuxChangePolicy") => json!(["MountOption", "Recursive"]),
        ("Sysctl", "name") => json!(["kernel.shm_rmid_forced"]),
        ("LabelSelectorRequirement", "operator") => json!(["In", "NotIn"]),
        ("NodeSelectorRequirement", "operator") => json!(["In", "NotIn"]),
        ("NodeSelectorRequirement", "values") => json!([["a"]]),
        ("NodeSelectorTerm", "matchFields") => json!([[{"key": "metadata.name", "operator": "In", "values": ["a"]}]]),
        ("Toleration", "operator") => json!(["Equal"]),
        ("Toleration", "effect") => json!(["NoExecute"]),
        ("TopologySpreadConstraint", "whenUnsatisfiable") => json!(["DoNotSchedule"]),
        ("Probe", "successThreshold") => json!([1]),
        ("HTTPHeader", "name") => json!(["X-A"]),
        ("FlexVolumeSource", "driver") => json!(["a/b"]),
        ("WindowsSecurityContextOptions", "hostProcess") => json!([false]),
        ("WindowsSecurityContextOptions", "runAsUserName") => json!(["ContainerUser"]),
        _ => return None,
    };
    Some(select(words.as_array().cloned().unwrap_or_default()).boxed())
}
