//! Every kind that has pods: its template gets what the pod of its controller would get.

use dynamo_cache::yaml;

use crate::harness::kinds::{Made, documents, inject, objects, settings};
use crate::harness::program::run;

#[test]
fn every_kind_gets_what_the_pod_of_its_controller_would_get() {
    let objects = objects();
    assert!(objects.len() > 25, "only {} objects", objects.len());
    for (options, (object, pods)) in settings().iter().flat_map(|options| objects.iter().map(move |one| (options, one)))
    {
        let name = format!("{} {} {options:?}", object["apiVersion"], object["kind"]);
        assert!(!pods.is_empty(), "{name} has no pods");
        let run = inject(&yaml::write(object), options);
        let after = documents(&run.output).remove(0);
        for Made { at, pod, place, is_shared, has_metadata } in pods {
            let expected = documents(&inject(&pod.to_string(), options).output).remove(0);
            let status = &expected["metadata"]["annotations"]["dynamo-cache.io/status"];
            assert!(status.as_str().is_some_and(|status| status.contains("model")), "{name} {at}: {expected}");
            let part = after.pointer(place).unwrap_or_else(|| panic!("{name} {place}: {after}"));
            let found = ["/metadata/annotations", "/annotations"]
                .iter()
                .find_map(|annotations| part.pointer(annotations)?.get("dynamo-cache.io/status"));
            assert_eq!(found, Some(status).filter(|_| *has_metadata), "{name} {place}");
            // What the patch of a shared template makes, a test with kubectl shows.
            if !is_shared {
                let part = after.pointer(at).unwrap();
                let mut spec = part.get("spec").unwrap_or(part).clone();
                // KServe has the labels and annotations of the pods in their spec.
                let mut expected = expected["spec"].clone();
                for part in [&mut spec, &mut expected] {
                    part.as_object_mut()
                        .unwrap()
                        .retain(|key, _| !["labels", "annotations", "workerSpec"].contains(&key.as_str()));
                }
                assert_eq!(spec, expected, "{name} {at}");
            }
        }
        let second = inject(&run.output, options);
        assert_eq!(second.output, run.output, "{name}: a second pass");
    }
}

#[test]
fn a_node_of_ray_gets_what_it_gets_once_its_command_starts_ray() {
    let template = |annotations: &str| {
        format!(
            "{{metadata: {{annotations: {{{annotations}}}}}, spec: {{containers: [{{name: h, image: x, command: [python3, -m, dynamo.vllm]}}]}}}}"
        )
    };
    // As KubeRay writes it.
    let made = "apiVersion: v1\nkind: Pod\nmetadata: {name: h}\nspec: {containers: [{name: h, image: x, command: [/bin/bash, -c, --], args: ['ulimit -n 65536; ray start --head --block && python3 -m dynamo.vllm']}]}\n";
    let status = |value: &serde_json::Value, pointer: &str| {
        value.pointer(&format!("{pointer}/metadata/annotations/dynamo-cache.io~1status")).cloned()
    };
    let pod = documents(&inject(made, &[]).output).remove(0);
    assert!(status(&pod, "").unwrap().to_string().contains("multi-node"), "{pod}");
    for (annotations, is_same) in [("", true), ("ray.io/overwrite-container-cmd: 'true'", false)] {
        let cluster = format!(
            "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {{name: r}}\nspec: {{headGroupSpec: {{template: {}}}}}\n",
            template(annotations)
        );
        let cluster = documents(&inject(&cluster, &[]).output).remove(0);
        let status = (status(&cluster, "/spec/headGroupSpec/template"), status(&pod, ""));
        assert_eq!(status.0 == status.1, is_same, "{status:?}");
    }
}

#[test]
fn pods_that_only_a_controller_knows_are_never_called_no_component() {
    for (text, name) in [
        (
            "apiVersion: trainer.kubeflow.org/v1alpha1\nkind: TrainJob\nmetadata: {name: t}\nspec: {runtimeRef: {name: x}}\n",
            "TrainJob/t",
        ),
        (
            "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec: {workloadRef: {kind: Deployment, name: d}}\n",
            "Rollout/r",
        ),
        (
            "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: i}\nspec: {predictor: {model: {}}}\n",
            "InferenceService/i",
        ),
        (
            "apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\nmetadata: {name: l}\nspec: {model: {uri: hf://a/b}}\n",
            "LLMInferenceService/l",
        ),
        (
            "apiVersion: workloads.x-k8s.io/v1alpha2\nkind: RoleBasedGroup\nmetadata: {name: g}\nspec: {roles: [{name: a, standalonePattern: {templateRef: {name: nowhere}}}]}\n",
            "RoleBasedGroup/g /spec/roles/0/standalonePattern/templateRef/patch",
        ),
        (
            "apiVersion: workloads.x-k8s.io/v1alpha2\nkind: RoleBasedGroup\nmetadata: {name: h}\nspec: {roleTemplates: [{name: a, template: {}}], roles: [{name: a, standalonePattern: {templateRef: {name: a, patch: {spec: {$retainKeys: [x]}}}}}]}\n",
            "RoleBasedGroup/h /spec/roles/0/standalonePattern/templateRef/patch",
        ),
    ] {
        let line = format!(
            "{name}: only its controller knows the pods, and the webhook changes them when they are created; nothing to do here\n"
        );
        for command in ["inject", "explain"] {
            let said = run(&[command, "-f", "-"], text);
            assert_eq!(said.code, Some(0), "{}", said.errors);
            assert!(said.errors.ends_with(&line) && said.errors.lines().count() == 1, "{}", said.errors);
        }
        assert_eq!(inject(text, &[]).output, text);
    }
}

#[test]
fn pods_that_only_a_controller_knows_are_named_beside_others() {
    let containers = "containers: [{name: c, image: x, command: [python3, -m, dynamo.frontend]}]";
    for (spec, name, hidden) in [
        (
            format!(
                "serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {{name: i}}\nspec: {{predictor: {{model: {{}}}}, transformer: {{{containers}}}}}\n"
            ),
            "InferenceService/i",
            &["/spec/predictor"][..],
        ),
        (
            format!(
                "serving.kserve.io/v1alpha1\nkind: LLMInferenceService\nmetadata: {{name: l}}\nspec: {{model: {{uri: hf://a/b}}, prefill: {{replicas: 1}}, router: {{scheduler: {{template: {{{containers}}}}}}}}}\n"
            ),
            "LLMInferenceService/l",
            &["/spec", "/spec/prefill"],
        ),
    ] {
        let text = format!("apiVersion: {spec}");
        for command in ["inject", "explain"] {
            let said = run(&[command, "-f", "-"], &text);
            let lines: Vec<_> =
                said.errors.lines().filter(|line| line.contains("only its controller knows the pods")).collect();
            assert_eq!(lines.len(), hidden.len(), "{}", said.errors);
            for (line, hidden) in lines.iter().zip(hidden) {
                assert!(line.contains(&format!("{name} {hidden}: ")), "{line}");
            }
            assert!(
                said.output.contains(if command == "inject" { "dynamo-cache-model" } else { name }),
                "{}",
                said.output
            );
        }
    }
}
