//! Graphs before they run: each component is decided as the pod that the operator makes of it.
//!
//! Each document of `graphs/*.yaml` is a graph; `made` lists pods that the operator makes of its components, as the API server gets
//! them. What the operator adds and no decision depends on is left away.

use std::fs;
use std::path::Path;

use dynamo_cache::yaml;
use serde_json::{Value, json};

use crate::harness::program::run;

/// The graphs, each with its pods by component.
fn graphs() -> Vec<(Value, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/graphs");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.into_iter().map(|file| fs::read_to_string(file).unwrap());
    let documents = texts.flat_map(|text| yaml::documents(&text).unwrap()).map(|document| {
        let mut graph = document.value;
        let made = graph.as_object_mut().unwrap().remove("made").expect("every graph lists pods");
        (graph, made)
    });
    documents.collect()
}

/// The lines about containers in the explanation with a title.
fn containers(output: &str, title: &str) -> String {
    let begin = output.find(&format!("{title}\n")).unwrap_or_else(|| panic!("no {title} in:\n{output}"));
    let page = &output[begin + title.len()..];
    let untouched = page.lines().find(|line| line.starts_with("  untouched: "));
    let Some((_, containers)) = page.split_once("\nContainers\n").filter(|_| untouched.is_none()) else {
        return untouched.unwrap().to_owned();
    };
    containers.split("\n\n").next().unwrap().trim_end().to_owned()
}

#[test]
fn a_component_of_a_graph_is_decided_as_the_pod_of_the_operator() {
    let graphs = graphs();
    assert!(graphs.len() > 8, "only {} graphs", graphs.len());
    for (graph, made) in &graphs {
        let name = format!("{}/{}", graph["kind"].as_str().unwrap(), graph["metadata"]["name"].as_str().unwrap());
        let facts = ["--namespace-annotation", "dynamo-cache.io/unproven-claim=inject"];
        let said = run(&[["explain", "-f", "-"].as_slice(), &facts].concat(), &graph.to_string());
        // The claims that the operator creates are facts.
        let is_note = |line: &str| line.starts_with("facts from the input itself: PersistentVolumeClaim/");
        assert!(said.code == Some(0) && said.errors.lines().all(is_note), "{name}: {}", said.errors);
        for (component, pod) in made.as_object().unwrap() {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "spec": pod["spec"],
                "metadata": {"name": "made", "labels": pod["labels"], "annotations": pod["annotations"]},
            });
            let real = run(&[["explain", "-f", "-"].as_slice(), &facts].concat(), &pod.to_string());
            let title = format!("{name} {component}");
            assert_eq!(containers(&said.output, &title), containers(&real.output, "Pod/made"), "{title}");
        }
        assert!(
            said.output.contains("This is the pod as far as the graph describes it. Its operator completes it"),
            "{name}"
        );
        // What a graph has is the operator's to change.
        let text = yaml::write(graph);
        let injected = run(&["inject", "-f", "-"], &text);
        assert_eq!((injected.code, injected.output.as_str()), (Some(0), text.as_str()), "{name}");
        assert!(
            injected.errors.contains("`dynamo-cache explain -f FILE` shows what its pods would get"),
            "{}",
            injected.errors
        );
    }
}

#[test]
fn what_the_operator_decides_alone_is_said() {
    let graph = |service: &str| {
        format!(
            "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {{name: g, annotations: \
             {{dynamo-cache.io/skip: model}}}}\nspec: {{services: {{W: {{componentType: worker, {service}, extraPodSpec: \
             {{mainContainer: {{image: x, command: [python3, -m, dynamo.vllm]}}}}}}}}}}\n"
        )
    };
    for (service, line) in [
        ("multinode: {nodeCount: 2}", "  the command lines of the leader and of the workers, "),
        ("gpuMemoryService: {enabled: true, mode: interPod}", "  another pod of the component, "),
        ("checkpoint: {enabled: true}", "  whether the operator restores the pod from a checkpoint: "),
        ("replicas: 1", "  the operator's own Model Express address, "),
    ] {
        let said = run(&["explain", "-f", "-"], &graph(service));
        assert!(said.output.lines().any(|found| found.starts_with(line)), "no {line:?} in:\n{}", said.output);
        let belongs = "DynamoGraphDeployment/g: dynamo-cache.io/skip has no effect here, ";
        assert!(
            said.errors.contains(belongs) && said.errors.ends_with(" It belongs into /spec/annotations.\n"),
            "{}",
            said.errors
        );
    }
    for kind in ["DynamoGraphDeploymentRequest", "DynamoCheckpoint"] {
        let request = format!("apiVersion: nvidia.com/v1beta1\nkind: {kind}\nmetadata: {{name: r}}\n");
        let said = run(&["explain", "-f", "-"], &request);
        assert!(
            said.errors.contains("its operator creates the pods") && !said.errors.contains("explain -f"),
            "{}",
            said.errors
        );
    }
}

#[test]
fn graphs_of_one_name_in_two_namespaces_have_their_own_lines() {
    let graph = |namespace: &str, service: &str| {
        format!(
            "---\napiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {{name: g, namespace: {namespace}}}\nspec: \
             {{services: {{W: {{componentType: worker, {service}}}}}}}\n"
        )
    };
    let line = "  the arguments that the operator adds for failover, ";
    let (with, without) = (graph("a", "failover: {enabled: true}"), graph("b", "replicas: 1"));
    let list = |graphs: &[&String]| {
        let items: Vec<_> = graphs.iter().map(|graph| yaml::documents(graph).unwrap().remove(0).value).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
    };
    for text in [format!("{with}{without}"), list(&[&with, &without])] {
        let said = run(&["explain", "-f", "-"], &text);
        let (_, second) = said.output.rsplit_once("DynamoGraphDeployment/g W\n").unwrap();
        assert!(said.output.contains(line) && !second.contains(line), "{}", said.output);
    }
}

#[test]
fn a_mistake_in_a_graph_stops_explain_and_not_inject() {
    for (services, at, message) in [
        (
            "{W: {componentType: worker, envs: [{name: PORT, value: 8000}]}, F: {componentType: frontend}}",
            "4:22",
            "W: spec.containers.0.env.0.value: invalid type: integer `8000`, expected a string",
        ),
        ("{W: 5, F: {componentType: frontend}}", "4:22", "W: expected a component, not a number"),
    ] {
        let text = format!(
            "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {{name: g}}\nspec: {{services: {services}}}\n"
        );
        let said = run(&["inject", "-f", "-"], &text);
        assert_eq!((said.code, said.output.as_str()), (Some(0), text.as_str()), "{}", said.errors);
        let said = run(&["explain", "-f", "-"], &text);
        assert_eq!((said.code, said.errors), (Some(1), format!("<stdin>:{at}: DynamoGraphDeployment/g {message}\n")));
        assert!(said.output.starts_with("DynamoGraphDeployment/g F\n"), "the other one is explained: {}", said.output);
    }
}

#[test]
fn a_mistake_in_a_shared_template_is_named_where_it_is() {
    let text = "\
apiVersion: workloads.x-k8s.io/v1alpha1
kind: RoleBasedGroup
metadata: {name: g}
spec:
  roleTemplates:
  - name: base
    template:
      spec:
        containers:
        - name: first
        - name: main
          command: [python3, -m, dynamo.vllm]
          env: [{name: A, value: 5}]
  roles:
  - name: r
    templateRef: {name: base}
    templatePatch:
      spec:
        containers:
        - name: main
          env: [{name: B, value: 'yes'}]
";
    for (text, at, path) in [
        (text.to_owned(), "13:34", "spec.roleTemplates.0.template.spec.containers.1.env.0.value"),
        (
            text.replace("value: 5", "value: five").replace("'yes'", "yes"),
            "21:34",
            "spec.roles.0.templatePatch.spec.containers.0.env.0.value",
        ),
    ] {
        let said = run(&["inject", "-f", "-"], &text);
        assert_eq!(said.code, Some(1), "{}", said.output);
        assert!(said.errors.starts_with(&format!("<stdin>:{at}: RoleBasedGroup/g: {path}: ")), "{}", said.errors);
    }
}

#[test]
fn a_claim_that_the_operator_creates_for_a_graph_counts_as_a_fact() {
    let graph = |claim: &str| {
        format!(
            "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {{name: g}}\nspec: {{pvcs: [{claim}], services: {{W: \
             {{componentType: worker, extraPodSpec: {{mainContainer: {{image: x, command: [python3, -m, dynamo.vllm]}}}}}}}}}}\n"
        )
    };
    for (claim, counts) in [
        ("{name: model-cache, create: true, size: 1Gi, volumeAccessMode: ReadWriteOnce}", true),
        ("{name: model-cache, create: true, size: 1Gi, volumeAccessMode: ReadWriteMany}", false),
        ("{name: model-cache, create: false, volumeAccessMode: ReadWriteOnce}", false),
    ] {
        let said = run(&["explain", "-f", "-"], &graph(claim));
        assert_eq!(said.output.contains("[claim-single-node]"), counts, "{claim}: {}", said.output);
    }
}
