//! `dynamo-cache usage` and `prune` where pods run: what is on the claims of a namespace, who uses it, and what goes.

use dynamo_cache::usage::contents::Removed;
use serde_json::{Value, json};

use super::cluster::{shared, wait_for};
use super::hub::{COMMIT, Hub, MODEL};
use super::namespace::Namespace;
use super::pod::{self, PYTHON};
use super::release;
use super::volume::Volume;

/// An engine that uses its compile cache again and again.
const SERVES: &str = r#"
mkdir -p "$VLLM_CACHE_ROOT"
echo compiled >"$VLLM_CACHE_ROOT/kernel"
while sleep 0.2; do
	[[ $(<"$VLLM_CACHE_ROOT/kernel") == compiled ]]
	echo "serves $((++served))"
done
"#;

/// Compile caches that no workload has, used long ago: of Dynamo's user, of root, and archives. Beside them a folder of
/// somebody else, and a link that leads out.
const OLD: [(&str, &str); 3] = [
    ("0123456789ab-NVIDIA-H100-ba9876543210-u1000", "1000:0"),
    ("0123456789ab-NVIDIA-H100-ba9876543210-u0", "0:0"),
    ("staged-v1/0123456789ab-any-ba9876543210", "1000:0"),
];

fn furnish(namespace: &Namespace) {
    let root = format!("/volumes/{}/compilation-cache", namespace.name);
    let folders = OLD.map(|(folder, owner)| {
        format!(
            "mkdir -p {folder}/node; echo kernel >{folder}/node/kernel; ln -s ../../../notes {folder}/node/link\n\
             chown -Rh {owner} {folder}; touch -d '60 days ago' {folder}/node/kernel\n"
        )
    });
    let begin = format!("umask 022; cd {root}; mkdir notes; echo mine >notes/file; install -d -m 0777 staged-v1\n");
    namespace.on_host("furnish", &(begin + &folders.concat()));
}

/// What is on the compile claim, by path.
fn left(namespace: &Namespace, name: &str) -> String {
    let root = format!("/volumes/{}/compilation-cache", namespace.name);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/hostname": namespace.cluster.host()},
            "containers": [{
                "name": "main", "image": PYTHON,
                "command": ["bash", "-ec", format!("cd {root}; find . -mindepth 1 | LC_ALL=C sort")],
                "volumeMounts": [{"name": "volumes", "mountPath": "/volumes"}],
            }],
            "volumes": [{"name": "volumes", "hostPath": {"path": namespace.cluster.volumes()}}],
        },
    });
    namespace.run(&pod).log
}

/// What `usage -o json` or `prune -o json` prints.
fn json_of(namespace: &Namespace, arguments: &[&str]) -> Vec<Value> {
    let said = namespace.cluster.dynamo_cache(&[arguments, &["-o", "json", "-n", &namespace.name]].concat());
    serde_json::from_str(&said.output).unwrap_or_else(|_| panic!("{}{}", said.output, said.errors))
}

/// Fails unless the worker runs on, and serves still.
fn assert_serves(namespace: &Namespace) {
    let served = |log: String| log.lines().filter(|line| line.starts_with("serves ")).count();
    let before = served(namespace.kubectl(&["logs", "worker"]).unwrap());
    wait_for("the worker to serve on", || {
        let log = namespace.kubectl(&["logs", "worker"])?;
        if served(log.clone()) > before { Ok(()) } else { Err(log) }
    });
    let worker = namespace.read(&["pod", "worker"]);
    assert_eq!(worker["status"]["phase"], "Running", "{:#}", worker["status"]);
    assert_eq!(worker["status"]["containerStatuses"][0]["restartCount"], 0);
}

#[test]
fn usage_shows_what_workers_use_and_prune_removes_what_none_of_them_would_get() {
    let _running = release::running();
    let cluster = shared();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume::proven("model-cache"), Volume::proven("compilation-cache")]);
    furnish(&namespace);
    let hub = Hub::serve(&namespace);
    let download = [
        "download",
        MODEL,
        "--revision",
        COMMIT,
        "--endpoint",
        &hub.endpoint,
        "--image",
        PYTHON,
        "--apply",
        "--wait",
        "-n",
        &namespace.name,
    ];
    assert_eq!(cluster.dynamo_cache(&download).code, Some(0));
    let mut worker = pod::engine("worker", SERVES);
    worker["spec"]["containers"][0]["env"] = json!([{"name": "MODEL_PATH", "value": MODEL}]);
    worker["spec"]["terminationGracePeriodSeconds"] = json!(1);
    namespace.create(&worker);
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/worker", "--timeout=3m"]).unwrap();
    let stored = namespace.read(&["pod", "worker"]);
    let variables = stored["spec"]["containers"][0]["env"].as_array().unwrap().iter();
    let root =
        variables.filter(|variable| variable["name"] == "VLLM_CACHE_ROOT").find_map(|found| found["value"].as_str());
    let own = root.unwrap().rsplit('/').next().unwrap().to_owned();

    // From here on, only what is `restricted` and says what it takes is admitted.
    let level = "pod-security.kubernetes.io/enforce=restricted";
    namespace.kubectl(&["label", "namespace", &namespace.name, level]).unwrap();
    let hard = json!({"pods": "9", "requests.cpu": "4", "limits.memory": "8Gi", "count/jobs.batch": "5"});
    let limits = json!([{"type": "Container", "min": {"cpu": "10m"}, "max": {"memory": "2Gi"}}]);
    for (kind, spec) in [("ResourceQuota", json!({"hard": hard})), ("LimitRange", json!({"limits": limits}))] {
        namespace.create(&json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "limits"}, "spec": spec}));
    }

    let said = cluster.dynamo_cache(&["usage", "-n", &namespace.name]);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    let row = |begin: &str| {
        let row = said.output.lines().find(|line| line.trim_start().starts_with(begin));
        row.unwrap_or_else(|| panic!("no {begin} in\n{}", said.output)).to_owned()
    };
    assert!(row(MODEL).contains(&COMMIT[..12]) && row(MODEL).ends_with("pod/worker"), "{}", said.output);
    assert!(row(&own).ends_with("pod/worker"), "{}", said.output);
    assert!(OLD.iter().all(|(old, _)| row(old).ends_with('–')), "{}", said.output);
    let claims = json_of(&namespace, &["usage"]);
    let models = claims.iter().find(|claim| claim["claim"] == "model-cache").unwrap();
    assert_eq!(models["models"][0]["revisions"][0]["namedBy"], json!(["pod/worker"]), "{models:#}");
    assert_eq!(models["models"][0]["revisions"][0]["revision"], COMMIT);

    // Without --yes nothing goes.
    let all = |namespace: &Namespace| {
        let caches = json_of(namespace, &["prune"]);
        let removed = caches.iter().filter(|cache| cache["remove"] == true);
        let mut folders: Vec<_> = removed.map(|cache| cache["folder"].as_str().unwrap().to_owned()).collect();
        folders.sort();
        folders
    };
    let mut expected = OLD.map(|(old, _)| old.to_owned());
    expected.sort();
    assert_eq!(all(&namespace), expected);
    assert_eq!(all(&namespace), expected, "nothing has gone");

    let results = json_of(&namespace, &["prune", "--yes"]);
    let result = |folder: &str| {
        let cache = results.iter().find(|cache| cache["folder"] == folder);
        cache.unwrap_or_else(|| panic!("no {folder} in {results:#?}")).clone()
    };
    for (old, owner) in OLD {
        let wanted = if owner == "0:0" { Removed::Failed } else { Removed::Removed };
        assert_eq!(result(old)["result"], json!(wanted), "{:#}", result(old));
    }
    assert!(result(OLD[1].0)["error"].as_str().unwrap().ends_with("(--user 0)"), "{:#}", result(OLD[1].0));
    assert_serves(&namespace);

    // A Job of root needs a namespace that admits one.
    namespace.kubectl(&["label", "namespace", &namespace.name, "pod-security.kubernetes.io/enforce-"]).unwrap();
    namespace.kubectl(&["delete", "resourcequota,limitrange", "limits"]).unwrap();
    let said = cluster.dynamo_cache(&["prune", "--yes", "--user", "0", "-n", &namespace.name]);
    let removed = said.code == Some(0) && said.output.contains("Removed 1 compile cache, ");
    assert!(removed, "{}{}", said.output, said.errors);
    assert_serves(&namespace);
    let expected = format!("./{own}\n./{own}/kernel\n./notes\n./notes/file\n./staged-v1\n");
    assert_eq!(left(&namespace, "look"), expected);

    // A model in use stays.
    let prune = ["prune", "--model", MODEL, "--client-image", PYTHON, "-n", &namespace.name];
    let said = cluster.dynamo_cache(&[&prune, ["--yes"].as_slice()].concat());
    assert_eq!(said.code, Some(1));
    let stays = format!("model {MODEL} stays, because pod/worker names it; --force removes it all the same\n");
    assert!(said.errors.ends_with(&stays), "{}", said.errors);
    namespace.kubectl(&["delete", "pod", "worker"]).unwrap();
    namespace.kubectl(&["label", "namespace", &namespace.name, level]).unwrap();
    let said = cluster.dynamo_cache(&prune);
    assert!(said.code == Some(0) && said.output.contains("Nothing was removed"), "{}{}", said.output, said.errors);
    let said = cluster.dynamo_cache(&[&prune, ["--yes"].as_slice()].concat());
    assert!(said.code == Some(0) && said.output.starts_with("Removed model "), "{}{}", said.output, said.errors);
    assert!(said.errors.contains("before the next download, kubectl delete job download-"), "{}", said.errors);
    let claims = json_of(&namespace, &["usage"]);
    assert!(claims.iter().all(|claim| claim["models"] == json!([])), "{claims:#?}");
    let jobs = namespace.kubectl(&["get", "jobs", "--selector=dynamo-cache.io/claim-job", "--output=name"]).unwrap();
    assert_eq!(jobs, "", "the Jobs are gone");
}
