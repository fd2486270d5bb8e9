//! From a model on a hub to an answered chat, by the steps of the README.

use serde_json::json;

use crate::deployment::{IMAGE, MODEL, discovers_by, frontend, worker};
use crate::harness::cluster::wait_at_most;
use crate::harness::namespace::Namespace;
use crate::harness::pod::PYTHON;
use crate::harness::release;
use crate::harness::volume::Volume;
use crate::model;
use crate::start::DEADLINE;

/// Waits until the frontend knows the model, and asks it for a chat completion.
const CHAT: &str = r#"
until curl -s --fail "$FRONTEND/v1/models" | grep -q "$MODEL"; do sleep 0.2; done
curl -s --fail "$FRONTEND/v1/chat/completions" --header 'Content-Type: application/json' --data "{
    \"model\": \"$MODEL\", \"max_tokens\": 8, \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]
}"
"#;

#[test]
fn a_downloaded_model_answers_a_chat_once_offline_is_set_and_the_next_is_warm() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    let discovery = Volume { mode: "0777", ..Volume::prepared("discovery") };
    namespace.volumes(&[Volume::prepared("model-cache"), Volume::prepared("compilation-cache")]);
    namespace.claims(&[discovery]);
    let hub = model::hub(&namespace);

    let download = [
        "download",
        MODEL,
        "-n",
        &namespace.name,
        "--endpoint",
        &hub,
        "--image",
        PYTHON,
        "--create-claim",
        "1Gi",
        "--apply",
        "--wait",
        "--timeout",
        "5m",
    ];
    let said = namespace.cluster.dynamo_cache(&download);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    // From here on only the claim has the model.
    namespace.kubectl(&["delete", "service/hub", "pod/hub", "--now"]).unwrap();

    let mut worker = worker("worker", &[]);
    discovers_by("discovery", &mut worker);
    let [mut frontend, service] = frontend();
    discovers_by("discovery", &mut frontend);
    for object in [&worker, &frontend, &service] {
        namespace.create(object);
    }
    // The claim has all that the worker needs, and it asks the hub all the same: without us, it would end in the same way.
    wait_at_most(DEADLINE, "the worker to end without its hub", || {
        let pods = namespace.read(&["pods", "--selector=app=worker"]);
        let ended = &pods["items"][0]["status"]["containerStatuses"][0]["restartCount"];
        if ended.as_u64().is_some_and(|ended| ended > 0) { Ok(()) } else { Err(format!("{:#}", pods["items"][0])) }
    });
    let said = namespace.cluster.dynamo_cache(&["check", "-n", &namespace.name]);
    let offline = format!("annotate namespace {} dynamo-cache.io/model-offline=true", namespace.name);
    let says = "workers still ask the hub, and fail while it cannot be reached";
    assert!(said.output.contains(says) && said.output.contains(&format!("kubectl {offline}\n")), "{}", said.output);
    namespace.kubectl(&offline.split(' ').collect::<Vec<_>>()).unwrap();
    namespace.kubectl(&["rollout", "restart", "deployment/worker"]).unwrap();
    let first = namespace.one_ready("worker", "cold");
    assert_eq!(first.caches(), ["model", "compile"]);
    assert_eq!(first.variable("HF_HUB_OFFLINE"), Some("1"));
    assert_eq!(first.restarts(), 0);
    first.assert_cold();

    let service = namespace.read(&["service", "frontend"]);
    let address = format!("http://{}:8000", service["spec"]["clusterIP"].as_str().unwrap());
    let variables = json!([{"name": "FRONTEND", "value": address}, {"name": "MODEL", "value": MODEL}]);
    let main = json!({"name": "main", "image": IMAGE, "command": ["bash", "-euc", CHAT], "env": variables});
    let spec = json!({"restartPolicy": "Never", "activeDeadlineSeconds": 240, "containers": [main]});
    let client = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec});
    let answered = namespace.run(&client);
    assert!(answered.succeeded, "{}", answered.log);
    let answer: serde_json::Value = serde_json::from_str(answered.log.trim()).unwrap();
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant", "{answer:#}");
    assert!(answer["usage"]["completion_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{answer:#}");

    namespace.kubectl(&["scale", "deployment/worker", "--replicas=2"]).unwrap();
    let both = namespace.ready("worker", 2, "a second worker beside it");
    let second = both.iter().find(|start| start.pod["metadata"]["name"] != first.pod["metadata"]["name"]).unwrap();
    assert_eq!(second.folder(), first.folder());
    second.assert_hit();
    for deployment in ["worker", "frontend"] {
        namespace.stop(deployment);
    }
}
