//! The compile cache in mode staged, where a kubelet starts the containers that it adds.

use dynamo_cache::stage::record::{Event, Reason, Record};
use serde_json::{Value, json};

use super::cluster::wait_for;
use super::namespace::Namespace;
use super::pod::{self, PYTHON, status};
use super::release;
use super::volume::{Kind, Volume};

/// What an engine compiles: a project of ninja, hidden files, and a file for each user.
const ENGINE: &str = r#"
mkdir -p "$VLLM_CACHE_ROOT"
cd "$VLLM_CACHE_ROOT"
if [ -e project ]; then
	echo found
	ninja -C project
else
	mkdir -p .hidden/empty project
	printf 'rule copy\n  command = cp $in $out\nbuild out: copy in\n' >project/build.ninja
	echo source >project/in
	ninja -C project
	echo kept >.hidden/.file
	touch -d '2026-11-29 12:00:00.123456789' .hidden/.file
	echo made
fi
echo compiled >"by-$(id -u)"
exec python3 -m http.server 9090 >/dev/null 2>&1
"#;

/// What it has compiled, but for the files of users, with kinds, modes, sizes and times.
const TREE: &str =
    r"cd $VLLM_CACHE_ROOT; find . -mindepth 1 ! -name 'by-*' -printf '%y %m %s %T@ %P\n' | LC_ALL=C sort -k 5";

/// A Deployment with one staged worker, whose requests equal its limits.
fn worker(name: &str, user: u32, annotations: &[(&str, &str)]) -> Value {
    let mut pod = pod::engine(name, ENGINE);
    pod["spec"]["restartPolicy"] = json!("Always");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(5);
    pod["spec"]["securityContext"]["runAsUser"] = json!(user);
    let main = &mut pod["spec"]["containers"][0];
    let amounts = json!({"cpu": "100m", "memory": "128Mi"});
    main["resources"] = json!({"requests": amounts, "limits": amounts});
    main["readinessProbe"] = json!({"httpGet": {"path": "/", "port": 9090}, "periodSeconds": 1});
    for (annotation, value) in annotations {
        pod["metadata"]["annotations"][format!("dynamo-cache.io/{annotation}")] = json!(value);
    }
    let labels = json!({"app": name});
    let metadata = json!({"labels": labels, "annotations": pod["metadata"]["annotations"]});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": metadata, "spec": pod["spec"]}},
    })
}

/// The annotations of a namespace whose workers are staged.
const STAGED: &[(&str, &str)] = &[("compile-mode", "staged"), ("skip", "model")];

/// A namespace whose workers are staged.
fn staged(volumes: &[Volume<'_>]) -> Namespace {
    let namespace = Namespace::opted_in(STAGED);
    namespace.claims(volumes);
    namespace
}

impl Namespace {
    /// The one pod of a Deployment, once it is ready.
    fn worker(&self, name: &str) -> Value {
        self.kubectl(&["wait", "--for=condition=Available", &format!("deployment/{name}"), "--timeout=4m"])
            .unwrap_or_else(|why| {
                let described = self.kubectl(&["describe", "pods", "--selector", &format!("app={name}")]);
                panic!("{why}\n{}", described.unwrap_or_default())
            });
        self.read(&["pods", "--selector", &format!("app={name}")])["items"][0].take()
    }

    /// What a container of the pod of a Deployment has logged.
    fn log_of(&self, name: &str, container: &str) -> Result<String, String> {
        self.kubectl(&["logs", &format!("deployment/{name}"), "--container", container])
    }

    /// The first record of an event that the stage of a Deployment's pod has logged, once it has.
    fn record(&self, name: &str, event: Event) -> Record {
        wait_for(&format!("the stage of {name} to log {event:?}"), || {
            let log = self.log_of(name, "dynamo-cache-stage")?;
            log.lines().filter_map(Record::parse).find(|record| record.event == event).ok_or(log)
        })
    }

    /// What the engine of a Deployment has compiled.
    fn tree(&self, name: &str) -> String {
        self.kubectl(&["exec", &format!("deployment/{name}"), "--", "bash", "-ec", TREE]).unwrap()
    }

    /// The cells of the report about a Deployment, from what its pods found.
    fn reported(&self, name: &str) -> Vec<String> {
        let report = self.cluster.dynamo_cache(&["report", "-n", &self.name]).output;
        let owner = format!("deployment/{name}");
        let row = report.lines().find(|line| line.contains(&owner)).unwrap_or_else(|| panic!("{report}"));
        row.split_whitespace().skip(2).map(str::to_owned).collect()
    }
}

#[test]
fn workers_of_other_users_start_from_an_archive_on_a_claim_that_is_only_read_too() {
    let _running = release::running();
    let namespace = staged(&[
        Volume { kind: Kind::Local, ..Volume::prepared("compilation-cache") },
        Volume { access: "ReadOnlyMany", mode: "0755", ..Volume::prepared("read-only") },
    ]);
    namespace.create(&worker("first", 1000, &[]));
    let first = namespace.worker("first");
    assert_eq!(status(&first)["containers"]["main"], json!(["compile"]));
    assert_eq!(first["status"]["qosClass"], "Guaranteed", "{:#}", first["spec"]["initContainers"]);
    assert_eq!(namespace.record("first", Event::NotRestored).reason, Some(Reason::NoneUsable));
    let published = namespace.record("first", Event::Published);

    namespace.create(&worker("second", 2000, &[]));
    let second = namespace.worker("second");
    assert_eq!(second["status"]["containerStatuses"][0]["restartCount"], 0);
    let restored = namespace.record("second", Event::Restored);
    assert_eq!((&restored.generation, restored.files), (&published.generation, published.files));
    let log = namespace.log_of("second", "main").unwrap();
    assert!(log.contains("found") && log.contains("ninja: no work to do."), "{log}");
    let (first, second) = (namespace.tree("first"), namespace.tree("second"));
    let of = |tree: &str| {
        let line = |line: &str| {
            let (kind, rest) = line.split_once(' ').unwrap();
            let (mode, rest) = rest.split_once(' ').unwrap();
            (mode.to_owned(), format!("{kind} {rest}"))
        };
        tree.lines().map(line).unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let ((_, first), (modes, second)) = (of(&first), of(&second));
    assert_eq!(first, second, "names, kinds, sizes, and times to the nanosecond");
    assert!(second.iter().any(|line| line.ends_with(".1234567890 .hidden/.file")), "{second:?}");
    assert!(modes.iter().zip(&second).all(|(mode, line)| mode == if line.starts_with('d') { "777" } else { "666" }));

    // The same archives on a claim that can only be read.
    let folder = format!("/volumes/{}", namespace.name);
    namespace.on_host("copy", &format!("cp -a {folder}/compilation-cache/staged-v1 {folder}/read-only/"));
    namespace.create(&worker("reader", 2000, &[("compile-claim", "read-only")]));
    namespace.worker("reader");
    assert_eq!(namespace.record("reader", Event::Restored).generation, published.generation);
    let reason = namespace.record("reader", Event::NotPublished).reason;
    assert_eq!(reason, Some(Reason::ClaimNotWritable));
    assert_eq!(namespace.reported("first")[..2], ["cold", "1"]);
    assert_eq!(namespace.reported("second")[..2], ["with", "1"]);
}

#[test]
fn an_engine_starts_though_the_claim_stops_answering_and_its_pod_can_be_deleted() {
    let _running = release::running();
    let namespace = Namespace::opted_in(STAGED);
    let claim = Volume::prepared("compilation-cache");
    namespace.volumes(&[claim]);
    namespace.config_map("hanging", "hanging.py", include_str!("hanging.py"));
    let place = format!("/volumes/{}/compilation-cache", namespace.name);
    let script = format!(
        "python3 /hanging/hanging.py {place} & server=$!
echo $server >/tmp/server
trap 'umount --lazy {place}; kill -KILL $server' TERM
wait $server"
    );
    let main = json!({
        "name": "main", "image": PYTHON, "command": ["bash", "-c", script],
        "securityContext": {"privileged": true},
        "volumeMounts": [
            {"name": "volumes", "mountPath": "/volumes", "mountPropagation": "Bidirectional"},
            {"name": "hanging", "mountPath": "/hanging"},
            {"name": "fuse", "mountPath": "/dev/fuse"},
        ],
        "readinessProbe": {"exec": {"command": ["mountpoint", "-q", &place]}, "periodSeconds": 1},
    });
    let volumes = json!([
        {"name": "volumes", "hostPath": {"path": namespace.cluster.volumes()}},
        {"name": "hanging", "configMap": {"name": "hanging"}},
        {"name": "fuse", "hostPath": {"path": "/dev/fuse", "type": "CharDevice"}},
    ]);
    let metadata = json!({"name": "server"});
    let spec = json!({"containers": [main], "volumes": volumes, "terminationGracePeriodSeconds": 10});
    namespace.create(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/server", "--timeout=2m"]).unwrap();
    namespace.create(&Volume::prepared("compilation-cache").claim());
    namespace.wait_until_bound();

    // A request that it has not read yet can be given up; one that it has read could not, by the kernel's rules.
    namespace.kubectl(&["exec", "server", "--", "bash", "-ec", "kill -STOP $(cat /tmp/server)"]).unwrap();
    namespace.create(&worker("worker", 1000, &[]));
    let pod = namespace.worker("worker");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    let gate = namespace.log_of("worker", "dynamo-cache-gate").unwrap();
    let released = gate.lines().find_map(Record::parse).unwrap_or_else(|| panic!("{gate}"));
    assert_eq!(released.event, Event::Released);
    // Stage and gate have the same deadline, and either may be the first to see it.
    assert_eq!(namespace.record("worker", Event::NotRestored).reason, Some(Reason::NoProgress));
    assert!(namespace.log_of("worker", "main").unwrap().contains("made"), "it compiled");
    namespace.kubectl(&["delete", "deployment/worker", "--cascade=foreground", "--timeout=2m"]).unwrap();
    namespace.kubectl(&["delete", "pod/server", "--timeout=1m"]).unwrap();
}

#[test]
fn an_engine_starts_though_another_webhook_makes_an_ordinary_container_of_its_stage() {
    let _running = release::running();
    let namespace = staged(&[Volume::prepared("compilation-cache")]);
    let deployment = worker("stripped", 1000, &[]);
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("stripped");
    let mut stored = namespace.dry_run(&pod).unwrap();
    // What came back from the API server, but for what belongs to that one pod.
    stored["metadata"] = pod["metadata"].clone();
    stored["metadata"]["annotations"]["dynamo-cache.io/inject"] = json!("false");
    stored.as_object_mut().unwrap().remove("status");
    let containers = stored["spec"]["initContainers"].as_array_mut().unwrap();
    let stage = containers.iter_mut().find(|container| container["name"] == "dynamo-cache-stage").unwrap();
    assert_eq!(stage.as_object_mut().unwrap().remove("restartPolicy"), Some(json!("Always")));
    // It waits for five minutes otherwise.
    stage["args"].as_array_mut().unwrap().push(json!("--gate-timeout=10s"));
    namespace.create(&stored);
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/stripped", "--timeout=3m"]).unwrap();
    let log = namespace.kubectl(&["logs", "stripped", "--container=dynamo-cache-stage"]).unwrap();
    let last = log.lines().filter_map(Record::parse).next_back().unwrap();
    assert_eq!((last.event, last.reason), (Event::Stopped, Some(Reason::NoGate)), "{log}");
}

#[test]
fn a_pod_waits_for_a_tool_that_cannot_be_pulled_and_check_and_explain_say_so() {
    let alone = release::alone();
    // Refused at once, where a name would be looked up for long.
    let missing = "127.0.0.1:1/dynamo-cache-tool:1";
    let namespace = staged(&[Volume::prepared("compilation-cache")]);
    release::install(namespace.cluster, &["--set", &format!("config.staging.image={missing}")]);
    let probe = ["check", "-n", &namespace.name, "--write-probe", "--probe-image", PYTHON, "--probe-timeout", "20s"];
    let said = namespace.cluster.dynamo_cache(&probe);
    assert_eq!(said.code, Some(1), "{}{}", said.output, said.errors);
    assert!(said.output.contains(missing) && said.output.contains("staging.image"), "{}", said.output);

    let mut pod = worker("waiting", 1000, &[])["spec"]["template"].take();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("waiting");
    namespace.create(&pod);
    let explain = ["explain", "waiting", "-n", &namespace.name];
    wait_for("explain to name the image", || {
        let said = namespace.cluster.dynamo_cache(&explain);
        let names = said.output.contains(&format!("waits for the container dynamo-cache-tool, image {missing}"));
        if names { Ok(()) } else { Err(said.output) }
    });
    namespace.kubectl(&["delete", "pod/waiting", "--now"]).unwrap();
    release::uninstall(namespace.cluster);
    drop(alone);
}
