//! Shared templates of a RoleBasedGroup: the patch that `inject` writes makes, by Kubernetes' own rules, the pod that the webhook makes.

use dynamo_cache::yaml;
use serde_json::{Value, json};

use crate::harness::control_plane::{ControlPlane, shared};
use crate::harness::kinds::{documents, inject, objects, settings};

/// What kubectl makes of a pod with a strategic merge patch.
fn patched(plane: &ControlPlane, pod: &Value, patch: &Value) -> Value {
    let (pod, patch) = (plane.file(&pod.to_string()), plane.file(&patch.to_string()));
    let patch = ["patch", "--local", "--type=strategic", "--output=json", "-f", &pod, "--patch-file", &patch];
    serde_json::from_str(&plane.kubectl(&patch).unwrap().out).unwrap()
}

#[test]
fn the_patch_of_a_shared_template_makes_the_pod_that_the_webhook_makes() {
    let plane = shared();
    let mut compared = 0;
    for (options, (object, pods)) in
        settings().iter().flat_map(|options| objects().into_iter().map(move |one| (options, one)))
    {
        let shared: Vec<_> = pods.iter().filter(|pod| pod.is_shared).collect();
        if shared.is_empty() {
            continue;
        }
        let after = documents(&inject(&yaml::write(&object), options).output).remove(0);
        for made in shared {
            let template = &object.pointer(&made.at).unwrap();
            let metadata = template.get("metadata").cloned().unwrap_or_else(|| json!({}));
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
            let mut found = patched(plane, &pod, after.pointer(&made.place).unwrap());
            let mut expected = documents(&inject(&made.pod.to_string(), options).output).remove(0);
            expected["metadata"].as_object_mut().unwrap().remove("name");
            // The same reader and writer for both.
            let mut expected = patched(plane, &expected, &json!({}));
            for object in [&mut found, &mut expected] {
                object.as_object_mut().unwrap().remove("status");
            }
            assert_eq!(found, expected, "{options:?} {}:\n{}", made.place, yaml::write(&after));
            compared += 1;
        }
    }
    assert!(compared > 15, "only {compared} pods");
}
