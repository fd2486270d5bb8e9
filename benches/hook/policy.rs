//! Policies (`MutatingAdmissionPolicy`) that do for the worker what the webhook does: the API server evaluates them by itself.
//!
//! They know no settings, no claims and no other pod; the values are those that the webhook found for this one. Nor are
//! they asked again after another webhook, as ours is: the least that such a policy can cost. One of them, like the
//! webhook, adds only what the pod does not have, so that what a user wrote stays and a second pass changes nothing.

use serde_json::{Value, json};

use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;

/// In what way a policy says what it changes.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Merged as server-side apply does it.
    ApplyConfiguration,
    /// Operations of RFC 6902.
    JsonPatch,
    /// The same, each only where the pod has nothing of that name.
    JsonPatchOfWhatIsMissing,
}

/// Has the API server change the pods of a namespace to what `wanted` has more than `pod`.
pub(crate) fn install(plane: &ControlPlane, namespace: &Namespace, way: Way, pod: &Value, wanted: &Value) {
    let (name, added) = (format!("policy-{}", namespace.name), Added::between(pod, wanted));
    let mutation = match way {
        Way::ApplyConfiguration => {
            json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": added.applied()}})
        }
        Way::JsonPatch | Way::JsonPatchOfWhatIsMissing => {
            json!({"patchType": "JSONPatch", "jsonPatch": {"expression": added.operations(way)}})
        }
    };
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let condition = |name, expression| json!({"name": name, "expression": expression});
    let version = "admissionregistration.k8s.io/v1";
    let policy = json!({"apiVersion": version, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [
            condition("mirror", "!object.metadata.?annotations[?'kubernetes.io/config.mirror'].hasValue()"),
            condition("out", "object.metadata.?annotations[?'dynamo-cache.io/inject'].orValue('').trim() != 'false'"),
        ],
        "failurePolicy": "Fail", "reinvocationPolicy": "Never", "mutations": [mutation]}});
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name}});
    let binding = json!({"apiVersion": version, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "matchResources": {"namespaceSelector": here}}});
    for manifest in [policy, binding] {
        plane.kubectl(&["create", "-f", &plane.file(&manifest.to_string())]).unwrap();
    }
}

/// What one pod has more than another.
struct Added {
    volumes: Vec<Entry>,
    mounts: Vec<Entry>,
    variables: Vec<Entry>,
    status: String,
}

/// An entry of a list.
struct Entry {
    /// As an expression of CEL.
    value: String,
    /// Whether another one is the same entry to the API server, as an expression about `e`.
    is: String,
}

impl Added {
    fn between(pod: &Value, wanted: &Value) -> Self {
        let new = |list: &str, key: &str, expression: &dyn Fn(&Value) -> String| {
            let entries = |pod: &Value| pod.pointer(list).and_then(Value::as_array).cloned().unwrap_or_default();
            let old = entries(pod);
            let new = entries(wanted).into_iter().filter(|entry| old.iter().all(|known| known[key] != entry[key]));
            let ours = new.filter(|entry| !entry["name"].as_str().unwrap_or_default().starts_with("kube-api-access"));
            ours.map(|entry| Entry { value: expression(&entry), is: format!("e.{key} == {}", entry[key]) }).collect()
        };
        let volume = |entry: &Value| {
            let claim = format!("{{claimName: {}}}", entry["persistentVolumeClaim"]["claimName"]);
            let claim = format!("Object.spec.volumes.persistentVolumeClaim{claim}");
            format!("Object.spec.volumes{{name: {}, persistentVolumeClaim: {claim}}}", entry["name"])
        };
        let mount = |entry: &Value| {
            let fields = format!("name: {}, mountPath: {}", entry["name"], entry["mountPath"]);
            format!("Object.spec.containers.volumeMounts{{{fields}}}")
        };
        let variable =
            |entry: &Value| format!("Object.spec.containers.env{{name: {}, value: {}}}", entry["name"], entry["value"]);
        Added {
            volumes: new("/spec/volumes", "name", &volume),
            mounts: new("/spec/containers/0/volumeMounts", "mountPath", &mount),
            variables: new("/spec/containers/0/env", "name", &variable),
            status: wanted["metadata"]["annotations"]["dynamo-cache.io/status"].to_string(),
        }
    }

    fn applied(&self) -> String {
        let [volumes, mounts, variables] = [&self.volumes, &self.mounts, &self.variables]
            .map(|list| list.iter().map(|entry| &*entry.value).collect::<Vec<_>>().join(", "));
        let container =
            format!("Object.spec.containers{{name: \"main\", volumeMounts: [{mounts}], env: [{variables}]}}");
        let annotations = format!("{{\"dynamo-cache.io/status\": {}}}", self.status);
        format!(
            "Object{{metadata: Object.metadata{{annotations: {annotations}}}, \
             spec: Object.spec{{volumes: [{volumes}], containers: [{container}]}}}}"
        )
    }

    fn operations(&self, way: Way) -> String {
        let add = |path: &str, value: &str| format!("[JSONPatch{{op: \"add\", path: \"{path}\", value: {value}}}]");
        let unless = |there: &str, added: String| match way {
            Way::JsonPatchOfWhatIsMissing => format!("({there} ? [] : {added})"),
            Way::ApplyConfiguration | Way::JsonPatch => added,
        };
        let all = |path: &str, list: &str, entries: &[Entry]| -> Vec<_> {
            let one =
                |Entry { value, is }: &Entry| unless(&format!("{list}.orValue([]).exists(e, {is})"), add(path, value));
            entries.iter().map(one).collect()
        };
        let mut operations = all("/spec/volumes/-", "object.spec.?volumes", &self.volumes);
        let container = "object.spec.containers[0]";
        operations.extend(all(
            "/spec/containers/0/volumeMounts/-",
            &format!("{container}.?volumeMounts"),
            &self.mounts,
        ));
        operations.extend(all("/spec/containers/0/env/-", &format!("{container}.?env"), &self.variables));
        let said = format!("object.metadata.annotations[?'dynamo-cache.io/status'].orValue('') == {}", self.status);
        operations.push(unless(&said, add("/metadata/annotations/dynamo-cache.io~1status", &self.status)));
        operations.join(" + ")
    }
}
