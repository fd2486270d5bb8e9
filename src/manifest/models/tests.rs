//! What containers and objects name, and what they do not.

use serde_json::{Value, json};

use super::{ConfigMaps, Purpose, of_object, of_pod};

const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";

fn pod(container: &Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})
}

/// The models of a command line: name, revision, purpose, and who names them; and what is unclear.
fn named_with(command: &[&str], env: &Value) -> (Vec<String>, Vec<String>) {
    let pod = pod(&json!({"name": "main", "command": command, "env": env}));
    let containers = of_pod(&pod, &ConfigMaps::default());
    let models = containers.iter().flat_map(|container| &container.models).map(|model| {
        let revision = model.revision.as_ref().map(|revision| format!("@{revision}")).unwrap_or_default();
        let purpose = match model.purpose {
            Purpose::Weights => "",
            Purpose::Speculator => " draft",
            Purpose::Lora => " lora",
            Purpose::Tokenizer => " tokenizer",
        };
        format!("{}{revision}{purpose} by {}", model.name, model.by)
    });
    let unclear = containers.iter().flat_map(|container| &container.unclear);
    (models.collect(), unclear.map(|unclear| format!("{} {}", unclear.by, unclear.text)).collect())
}

fn named(command: &[&str]) -> Vec<String> {
    named_with(command, &json!([])).0
}

#[test]
fn flags_of_each_engine_name_models() {
    let vllm = ["python3", "-m", "dynamo.vllm"];
    let sglang = ["python3", "-m", "dynamo.sglang"];
    let with = |begin: &[&str], rest: &[&str]| named(&[begin, rest].concat());
    assert_eq!(with(&vllm, &["--model", "a/b", "--served-model-name", "c/d"]), ["a/b by --model"]);
    assert_eq!(with(&vllm, &["--model=a/b", "--revision", COMMIT]), [format!("a/b@{COMMIT} by --model")]);
    let tokenizer = ["--model", "a/b", "--tokenizer", "c/d", "--tokenizer-revision=v1", "--tokenizer-mode", "auto"];
    assert_eq!(with(&vllm, &tokenizer), ["a/b by --model", "c/d@v1 tokenizer by --tokenizer"]);
    assert_eq!(with(&vllm, &["--model", "a/b", "--tokenizer", "a/b"]), ["a/b by --model"]);
    for speculative in [
        &["--speculative-config", r#"{"model": "c/d", "revision": "v1"}"#][..],
        &[r#"--speculative_config={"model":"c/d","revision":"v1"}"#],
        &["--speculative-config.model", "c/d", "--speculative-config.revision", "v1"],
        &["--speculative-draft-model-path", "c/d", "--speculative-draft-model-revision", "v1"],
        &["--spec-model", "c/d", "--speculative-draft-model-revision", "v1"],
        &["-sc", r#"{"model": "c/d", "revision": "v1"}"#],
    ] {
        let all = with(&vllm, &[&["--model", "a/b"], speculative].concat());
        let is_named = |by: &str| all.get(1).is_some_and(|named| named.starts_with(&format!("c/d@v1 draft by {by}")));
        assert!(all.len() == 2 && (is_named("--spec") || is_named("-sc")), "{all:?}");
    }
    let none = ["--model", "a/b", "--speculative-config", r#"{"method": "ngram", "model": "[ngram]"}"#];
    assert_eq!(with(&vllm, &none), ["a/b by --model"]);
    let json = r#"{"name": "s", "path": "g/h", "base_model_name": "a/b"}"#;
    let adapters = ["--model", "a/b", "--lora-modules", "s=c/d", "e/f", json, "--port", "1/2"];
    assert_eq!(with(&vllm, &adapters)[1..], ["c/d", "e/f", "g/h"].map(|name| format!("{name} lora by --lora-modules")));
    assert_eq!(with(&sglang, &["--model-path", "a/b", "--lora-paths", "x=/p", "c/d"]).len(), 2);
    let trtllm = ["python3", "-m", "dynamo.trtllm", "--model-path", "a/b", "--override-engine-args"];
    let speculator = r#"{"speculative_config": {"speculative_model_dir": "c/d"}}"#;
    assert_eq!(with(&trtllm, &[speculator])[1], "c/d draft by --override-engine-args");
    let profiler = ["python", "-m", "dynamo.profiler", "--config", r#"{"model": "a/b"}"#];
    assert_eq!(named(&profiler), ["a/b tokenizer by --config"]);
}

#[test]
fn servers_take_the_model_without_a_flag() {
    assert_eq!(named(&["vllm", "serve", "a/b", "--port", "1"]), ["a/b by vllm serve"]);
    assert_eq!(named(&["vllm", "serve", "--model", "a/b"]), ["a/b by --model"]);
    assert_eq!(named(&["trtllm-serve", "a/b"]), ["a/b by trtllm-serve"]);
    assert_eq!(named(&["trtllm-serve", "serve", "gpt2", "--tokenizer", "c/d"])[1], "gpt2 by trtllm-serve");
    assert_eq!(named(&["sh", "-c", "exec /opt/vllm serve \"a/b\" --port 1"]), ["a/b by vllm serve"]);
    assert_eq!(named(&["vllm", "serve", "/models/a"]), [""; 0]);
}

#[test]
fn scripts_and_variables_name_models_as_a_shell_reads_them() {
    let env = json!([
        {"name": "MODEL_PATH", "value": "a/b"}, {"name": "SERVED_MODEL_NAME", "value": "s/t"},
        {"name": "SPEC", "value": r#"{"model": "c/d", "n": 3}"#}, {"name": "SECRET", "valueFrom": {"secretKeyRef": {}}},
    ]);
    for script in [
        "python3 -m dynamo.vllm --model $MODEL_PATH --served-model-name $SERVED_MODEL_NAME --speculative-config \"$SPEC\"",
        "set -e\nexport M=\"${MODEL_PATH}\"\nexec python3 -m dynamo.vllm \\\n  --model \"${M:-x/y}\" \\\n  --speculative-config='{\"model\": \"c/d\"}'",
        "ARGS=(--model \"$MODEL_PATH\" --speculative-config '{\"model\":\"c/d\"}')\npython3 -m dynamo.vllm \"${ARGS[@]}\"",
        "RUN=\"python3 -m dynamo.vllm --model a/b --speculative-draft-model c/d\"; exec $RUN",
        "ssh h \"mpirun bash -c 'python3 -m dynamo.trtllm --model-path a/b --draft-model c/d'\"",
        "python3 -m dynamo.vllm --model $(MODEL_PATH) --speculative-config '$(SPEC)' # --model x/y",
        "if [ -n \"$X\" ]; then echo --model x/y; fi; python3 -m dynamo.vllm --model ${NONE:-a/b} --speculative-model c/d",
    ] {
        let (models, unclear) = named_with(&["/bin/bash", "-lc", script], &env);
        assert!(models.len() == 2 && models[0].starts_with("a/b by --model"), "{script}: {models:?}");
        assert!(models[1].starts_with("c/d draft by --"), "{script}: {models:?}");
        assert_eq!(unclear, [""; 0], "{script}");
    }
    let run = |rest: &str| named_with(&["sh", "-c", &format!("python3 -m dynamo.vllm {rest}")], &env);
    assert_eq!(run("--model $(cat /m)"), (vec![], vec!["--model $()".to_owned()]));
    assert_eq!(run("--model $(SECRET)"), (vec![], vec!["--model ${SECRET}".to_owned()]));
    assert_eq!(run("--model=$UNKNOWN"), (vec![], vec!["--model $UNKNOWN".to_owned()]));
    assert_eq!(run(""), (vec!["a/b by MODEL_PATH".to_owned()], vec![]));
    assert_eq!(run("--model /models/x"), (vec![], vec![]), "a flag counts before a variable");
    assert_eq!(
        run("--config /etc/vllm.yaml"),
        (vec!["a/b by MODEL_PATH".to_owned()], vec!["--config /etc/vllm.yaml".to_owned()])
    );
    let serve = |rest: &[&str]| named_with(&[&["vllm", "serve"], rest].concat(), &json!([]));
    assert_eq!(serve(&["--port", "1", "a/b"]), (vec![], vec!["vllm serve and flags".to_owned()]));
    assert_eq!(serve(&["--port", "1", "--model", "a/b"]), (vec!["a/b by --model".to_owned()], vec![]));
    let secret = json!([{"name": "MODEL_PATH", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    let unclear = vec!["MODEL_PATH ${MODEL_PATH}".to_owned()];
    assert_eq!(named_with(&["python3", "-m", "dynamo.vllm"], &secret), (vec![], unclear));
    let own = json!([{"name": "MODEL_NAME", "value": "gpt2"}]);
    assert_eq!(named_with(&["python3", "-m", "dynamo.vllm"], &own).0, [""; 0], "a name for callers");
}

#[test]
fn values_of_config_maps_count_where_they_are_known() {
    let from = json!({"configMapKeyRef": {"name": "llm-config", "key": "speculative"}});
    let container = json!({
        "name": "main", "command": ["python3", "-m", "dynamo.vllm", "--model=a/b", "--speculative-config=$(SPEC)"],
        "env": [{"name": "SPEC", "valueFrom": from}],
    });
    let pod = pod(&container);
    let unknown = of_pod(&pod, &ConfigMaps::default());
    assert_eq!(unknown[0].unclear[0].text, "${SPEC}");
    assert_eq!(ConfigMaps::referenced_by(&pod), ["llm-config".to_owned()].into());
    let mut maps = ConfigMaps::default();
    let data = json!({"speculative": r#"{"model": "c/d"}"#});
    maps.insert(&json!({"metadata": {"name": "llm-config"}, "data": data}));
    let known = of_pod(&pod, &maps);
    assert_eq!((known[0].models[1].name.as_str(), known[0].unclear.len()), ("c/d", 0));
}

#[test]
fn a_whole_config_map_or_secret_may_name_the_model_where_nothing_else_does() {
    let from = |command: &[&str]| {
        let from = json!([{"configMapRef": {"name": "llm"}}]);
        pod(&json!({"name": "main", "command": command, "envFrom": from}))
    };
    let alone = from(&["python3", "-m", "dynamo.vllm"]);
    let unknown = of_pod(&alone, &ConfigMaps::default());
    assert_eq!((unknown[0].models.len(), unknown[0].unclear[0].text.as_str()), (0, "all of ConfigMap llm"));
    let named = of_pod(&from(&["python3", "-m", "dynamo.vllm", "--model", "a/b"]), &ConfigMaps::default());
    assert_eq!(named[0].unclear, []);
    let mut maps = ConfigMaps::default();
    maps.insert_missing("llm");
    assert_eq!(of_pod(&alone, &maps), []);
    maps.insert(&json!({"metadata": {"name": "llm"}, "data": {"MODEL_PATH": "c/d"}}));
    assert_eq!(of_pod(&alone, &maps)[0].models[0].name, "c/d");
    let secret = json!([{"secretRef": {"name": "llm"}}]);
    let secret = pod(&json!({"name": "main", "command": ["python3", "-m", "dynamo.vllm"], "envFrom": secret}));
    assert_eq!(of_pod(&secret, &maps)[0].unclear[0].text, "all of Secret llm");
}

#[test]
fn what_depends_on_branches_arguments_and_later_sources_is_unclear() {
    for (script, models, unclear) in [
        (
            "if [ \"$SIZE\" = big ]; then M=a/large; else M=a/small; fi; exec python3 -m dynamo.vllm --model $M",
            "a/small by --model",
            "--model M=a/large",
        ),
        ("M=a/b; M=a/b; python3 -m dynamo.vllm --model $M", "a/b by --model", ""),
        ("run() { python3 -m dynamo.vllm --model \"$1\"; }; run a/b", "", "--model $1"),
    ] {
        let (named, unclear_named) = named_with(&["bash", "-c", script], &json!([]));
        assert_eq!((named.join(" ").as_str(), unclear_named.join(" ").as_str()), (models, unclear), "{script}");
    }
    let labels = json!({"nvidia.com/dynamo-component-type": "worker"});
    let main = json!({"name": "main", "command": ["/scripts/start.sh", "--fast"]});
    let labelled = json!({"metadata": {"labels": labels}, "spec": {"containers": [main]}});
    let found = of_pod(&labelled, &ConfigMaps::default());
    assert_eq!(found[0].unclear[0].text, "/scripts/start.sh --fast");
    let mut maps = ConfigMaps::default();
    maps.insert(&json!({"metadata": {"name": "m"}, "data": {"MODEL": "a/b"}}));
    let (map, secret) = (json!({"configMapRef": {"name": "m"}}), json!({"secretRef": {"name": "s"}}));
    for (sources, unclear) in [([&map, &secret], 1), ([&secret, &map], 0)] {
        let container = json!({"name": "main", "command": ["python3", "-m", "dynamo.vllm"], "envFrom": sources});
        let found = of_pod(&pod(&container), &maps);
        assert_eq!((found[0].models[0].name.as_str(), found[0].unclear.len()), ("a/b", unclear), "{sources:?}");
    }
}

#[test]
fn containers_that_serve_nothing_name_nothing() {
    for command in [
        &["aiperf", "profile", "--model", "a/b"][..],
        &["sh", "-c", "hf download a/b"],
        &["python3", "train.py", "--model", "a/b"],
        &["vllm", "bench", "serve", "--model", "a/b"],
        &["python3", "-m", "dynamo.planner", "--model", "a/b"],
        &["sh", "-c", "python3 -m dynamo.vllm --model /m & vllm bench serve --model a/b; curl --model a/b"],
    ] {
        assert_eq!(named(command), [""; 0], "{command:?}");
    }
    let epp = json!({"metadata": {"labels": {"nvidia.com/dynamo-component-type": "epp"}}, "spec": {"containers": [
        {"name": "main", "args": ["-v", "4"], "env": [{"name": "DYN_MODEL_NAME", "value": "a/b"}]},
        {"name": "proxy", "env": [{"name": "MODEL_PATH", "value": "c/d"}]},
    ]}});
    let found = of_pod(&epp, &ConfigMaps::default());
    assert_eq!((found.len(), found[0].models[0].purpose), (1, Purpose::Tokenizer), "{found:?}");
    assert!(of_pod(&json!({"spec": {"containers": "x"}}), &ConfigMaps::default()).is_empty());
}

#[test]
fn objects_of_each_kind_name_models() {
    let main = json!({"image": "i", "command": ["python3", "-m", "dynamo.vllm"], "args": ["--model", "a/b"]});
    let mut named_main = main.clone();
    named_main["name"] = "main".into();
    let template = json!({"spec": {"containers": [named_main]}});
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "n", "namespace": "t"}, "spec": spec});
    let alpha = json!({"services": {"Worker": {"componentType": "worker", "extraPodSpec": {"mainContainer": main}}}});
    let beta = json!({"components": [{"name": "Worker", "type": "worker", "podTemplate": template}]});
    for (version, kind, spec, name) in [
        ("apps/v1", "Deployment", json!({"template": template}), "Deployment/n"),
        ("nvidia.com/v1alpha1", "DynamoGraphDeployment", alpha, "DynamoGraphDeployment/n Worker"),
        ("nvidia.com/v1beta1", "DynamoGraphDeployment", beta, "DynamoGraphDeployment/n Worker"),
        (
            "nvidia.com/v1alpha1",
            "DynamoGraphDeploymentRequest",
            json!({"model": "a/b", "modelCache": {"pvcName": "c"}}),
            "DynamoGraphDeploymentRequest/n",
        ),
        (
            "nvidia.com/v1beta1",
            "DynamoGraphDeploymentRequest",
            json!({"model": "a/b"}),
            "DynamoGraphDeploymentRequest/n",
        ),
        ("nvidia.com/v1alpha1", "DynamoModel", json!({"source": {"uri": "hf://a/b@v1"}}), "DynamoModel/n"),
    ] {
        let found = of_object(&object(version, kind, spec), &ConfigMaps::default());
        assert_eq!(found.len(), 1, "{kind}: {found:?}");
        assert_eq!((found[0].name.as_str(), found[0].namespace.as_deref()), (name, Some("t")));
        assert_eq!(found[0].containers[0].models[0].name, "a/b", "{kind}");
    }
    let lora = object("nvidia.com/v1alpha1", "DynamoModel", json!({"source": {"uri": "s3://b/c"}, "modelName": "x/y"}));
    assert!(of_object(&lora, &ConfigMaps::default()).is_empty());
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [lora, object("apps/v1", "Deployment", json!({"template": template}))]});
    assert_eq!(of_object(&list, &ConfigMaps::default()).len(), 1);
}
