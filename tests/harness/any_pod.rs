//! Pods and claims made of few names and paths, so that they collide often.

use std::collections::BTreeSet;

use dynamo_cache::admission::annotation::PREFIX;
use dynamo_cache::admission::claim::{Access, Binding, Claim, Claims, Writable};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Names of volumes, of claims and of containers meet on purpose.
const VOLUMES: [&str; 8] = [
    "dynamo-cache-model",
    "dynamo-cache-compile",
    "dynamo-cache-scratch",
    "dynamo-cache-local",
    "dynamo-cache-tool",
    "model-cache",
    "data",
    "shm",
];
const CLAIMS: [&str; 3] = ["model-cache", "compilation-cache", "other"];
const CONTAINERS: [&str; 8] =
    ["main", "engine-0", "engine-1", "gms-server", "sidecar-frontend", "sglang", "profiler", "dynamo-cache-stage"];
const IMAGES: [&str; 6] = [
    "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.1",
    "nvcr.io/nvidia/ai-dynamo/tensorrtllm-runtime:latest",
    "registry.local:5000/sglang@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "vllm/vllm-openai",
    "busybox:1.36",
    "",
];
const PATHS: [&str; 25] = [
    "/home/dynamo/.cache/huggingface",
    "/home/dynamo/.cache/huggingface/token",
    "/home/dynamo/.cache/dynamo-cache",
    "/home/dynamo/.cache/huggingface/",
    "/home/dynamo/.cache//huggingface/hub",
    "/home/dynamo/.cache/vllm",
    "/home/dynamo/.cache/sglang",
    "/home/dynamo/.cache",
    "/home/dynamo",
    "/home/dynamo/.model-express/cache",
    "/root/.cache/huggingface",
    "/root",
    "/model-cache",
    "/model-cache/hub",
    "/model-cache/hub/deeper",
    "/opt/models",
    "/workspace",
    "/workspace/examples",
    "/tmp",
    "/tmp/huggingface",
    "/",
    "relative",
    "/a:b",
    "/a/../b",
    "/dev/shm",
];
const VARIABLES: [&str; 29] = [
    "FLASHINFER_WORKSPACE_BASE",
    "SGLANG_CACHE_DIR",
    "TILELANG_CACHE_DIR",
    "MX_ARTIFACT_DIR",
    "DYN_SYSTEM_PORT",
    "HF_TOKEN_PATH",
    "HF_ENDPOINT",
    "VLLM_USE_MODELSCOPE",
    "MODELSCOPE_CACHE",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "XDG_CACHE_HOME",
    "HOME",
    "VLLM_CACHE_ROOT",
    "TRITON_CACHE_DIR",
    "SGLANG_JIT_CACHE_DIR",
    "TLLM_AUTOTUNER_CACHE_PATH",
    "MODEL_EXPRESS_URL",
    "MX_SERVER_ADDRESS",
    "MODEL_EXPRESS_NO_SHARED_STORAGE",
    "VLLM_LOAD_FORMAT",
    "DYN_TRTLLM_LOAD_FORMAT",
    "DYN_LORA_ENABLED",
    "DYN_LORA_PATH",
    "HF_XET_CACHE",
    "HF_HUB_OFFLINE",
    "PATH",
    "",
];
const VALUES: [&str; 10] =
    ["9090", "$(HOME)/x", "$$", "true", "1", "", "http://mx:8001", "modelexpress", "mx-source", "runai_streamer"];
const COMMANDS: [&[&str]; 21] = [
    &["sh", "-c", "export TRITON_CACHE_DIR=/x MX_ARTIFACT_DIR=/y; exec python3 -m dynamo.sglang"],
    &["python3", "-m", "dynamo.vllm", "--served-model-name", "a", "b", "--config", "/home/dynamo/x", "$(HF_HOME)"],
    &["sh", "-c", "export HF_HOME=/opt/models; exec python3 -m dynamo.vllm"],
    &["sh", "-c", "VLLM_CACHE_ROOT=${VLLM_CACHE_ROOT:=/x} python3 -m dynamo.vllm --x=$HOME"],
    &["python3", "-m", "dynamo.vllm", "--download-dir", "/model-cache/hub"],
    &["python3", "-m", "dynamo.sglang", "--nnodes=1", "--node-rank", "0"],
    &["env", "MX_SERVER_ADDRESS=mx:1", "python3", "-m", "dynamo.trtllm"],
    &["python3", "-m", "dynamo.vllm"],
    &["python3", "-m", "dynamo.sglang"],
    &["python3", "-m", "dynamo.trtllm", "--nnodes", "2"],
    &["python3", "-m dynamo.frontend"],
    &["python3", "-m", "dynamo.planner"],
    &["python3", "-m", "gpu_memory_service"],
    &["sh", "-c", "exec python3 -m dynamo.vllm"],
    &["bash", "-lc", "# python3 -m dynamo.vllm\necho \"a 'b"],
    &["vllm", "serve"],
    &["trtllm-serve", "--load-format", "auto"],
    &["model-express-server"],
    &["sh", "-c"],
    &["--model", "x"],
    &[],
];
const ANNOTATIONS: [(&str, &[&str]); 26] = [
    ("model-endpoint", &["http://hub:80", "none", "hub"]),
    ("compile-mode", &["direct", "staged"]),
    ("unproven-claim", &["inject", "skip"]),
    ("inject", &["true", "false", "yes"]),
    ("containers", &["main", "main,sglang", "gone", "", ","]),
    ("engine", &["vllm", "none", "trtllm", "x"]),
    ("model-claim", &["model-cache", "other", "No"]),
    ("model-mount-path", &["/model-cache", "/home/dynamo/.cache", "/root/x", "/etc"]),
    ("model-layout", &["home", "hub", "flat"]),
    ("model-read-only", &["true", "false", "1"]),
    ("model-offline", &["true"]),
    ("compile-claim", &["model-cache", "compilation-cache", "other"]),
    ("compile-mount-path", &["/model-cache/compile", "/compile", "/home/dynamo/.cache/huggingface", "/x/.cache/vllm"]),
    ("compile-key", &["none", "gpu", "args,image", ""]),
    ("compile-multi-node", &["true"]),
    ("model-express-url", &["mx:8001", "none", "https://x"]),
    ("model-express-shared-storage", &["false", "true"]),
    ("model-express-home", &["/root", "/home/dynamo", "/"]),
    ("load-format", &["mx", "mx-target", "none", "auto", "runai_streamer", "fastsafetensors"]),
    ("missing-claim", &["inject", "skip"]),
    ("single-node-claim", &["inject"]),
    ("user-namespace", &["inject", "skip"]),
    ("skip", &["model", "compile,model-express", ""]),
    ("nonsense", &["x"]),
    ("status", &["{}", "not json", "{\"containers\":{\"sglang\":[]}}", LISTS_ALL]),
    ("", &[""]),
];

/// A status that lists every cache.
const LISTS_ALL: &str =
    r#"{"containers":{"main":["model","compile","model-express"],"sglang":["model","compile",7],"engine-0":{}}}"#;

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(words).prop_map(str::to_owned)
}

/// An object with those of the members that are there.
fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn volume() -> impl Strategy<Value = Value> {
    (one_of(&VOLUMES), one_of(&CLAIMS), 0..5, any::<bool>()).prop_map(|(name, claim, kind, read_only)| match kind {
        0 | 1 => json!({"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}}),
        2 => json!({"name": name, "emptyDir": {}, "unknownToUs": [1, {"a": null}]}),
        3 => json!({"name": name, "configMap": {"name": "x", "items": []}}),
        _ => json!({"name": name, "nfs": {"server": "s", "path": "/", "readOnly": read_only}}),
    })
}

fn mount() -> impl Strategy<Value = Value> {
    let sub_path = option::weighted(0.2, select(vec!["hub", "", "x"]));
    (one_of(&VOLUMES), one_of(&PATHS), option::of(any::<bool>()), sub_path).prop_map(|(name, path, read_only, sub)| {
        object(vec![
            ("name", Some(json!(name))),
            ("mountPath", Some(json!(path))),
            ("readOnly", read_only.map(|read_only| json!(read_only))),
            ("subPath", sub.map(|sub| json!(sub))),
            ("recursiveReadOnly", None),
        ])
    })
}

fn variable() -> impl Strategy<Value = Value> {
    let value = prop_oneof![one_of(&PATHS), one_of(&VALUES), "\\PC{0,8}"];
    (one_of(&VARIABLES), option::weighted(0.9, value), any::<bool>()).prop_map(|(name, value, from)| match value {
        Some(value) => json!({"name": name, "value": value}),
        None if from => json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        None => json!({"name": name}),
    })
}

fn container() -> impl Strategy<Value = Value> {
    let command = option::of(select(&COMMANDS[..]));
    let lists = (
        option::of(vec(mount(), 0..4)),
        option::of(vec(variable(), 0..6)),
        option::weighted(0.1, vec(one_of(&PATHS), 1..3)),
    );
    let security = option::weighted(0.3, select(vec![0, 1000]));
    let rest = (option::weighted(0.2, one_of(&PATHS)), security, any::<[bool; 3]>());
    (one_of(&CONTAINERS), one_of(&IMAGES), command.clone(), command, lists, rest).prop_map(
        |(name, image, command, args, (mounts, env, devices), (working_dir, user, [always, mig, read_only]))| {
            let devices = devices
                .map(|paths| paths.iter().map(|path| json!({"name": "data", "devicePath": path})).collect::<Vec<_>>());
            object(vec![
                ("name", Some(json!(name))),
                ("image", Some(json!(image))),
                ("command", command.map(|command| json!(command))),
                ("args", args.map(|args| json!(args))),
                ("volumeMounts", mounts.map(|mounts| json!(mounts))),
                ("env", env.map(|env| json!(env))),
                ("volumeDevices", devices.map(|devices| json!(devices))),
                ("workingDir", working_dir.map(|dir| json!(dir))),
                (
                    "securityContext",
                    user.map(|user| json!({"runAsUser": user, "readOnlyRootFilesystem": read_only, "unknown": {}})),
                ),
                ("restartPolicy", always.then(|| json!("Always"))),
                ("resources", mig.then(|| resources(user))),
                ("readinessProbe", always.then(|| json!({"httpGet": {"port": "http", "path": "$(HOME)"}}))),
                ("livenessProbe", mig.then(|| json!({"httpGet": {"port": 8000}}))),
                ("ports", read_only.then(|| json!([{"name": "http", "containerPort": 80}]))),
            ])
        },
    )
}

/// Limits, and requests beside them in some.
fn resources(user: Option<i32>) -> Value {
    let limits = json!({"nvidia.com/mig-1g.10gb": 1, "cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"});
    match user {
        None => json!({"limits": {"nvidia.com/mig-1g.10gb": 1, "cpu": "1"}}),
        Some(0) => json!({"limits": limits}),
        Some(_) => json!({"limits": limits, "requests": {"cpu": "10m", "memory": "16Mi"}}),
    }
}

fn annotations() -> impl Strategy<Value = Map<String, Value>> {
    let annotation = select(&ANNOTATIONS[..]).prop_flat_map(|(name, values)| (Just(name), one_of(values)));
    vec(annotation, 0..5).prop_map(|annotations| {
        let entry = |(name, value): (&str, String)| (format!("{PREFIX}{name}"), json!(value));
        annotations.into_iter().map(entry).collect()
    })
}

pub(crate) fn pod() -> impl Strategy<Value = Value> {
    let label = select(vec![
        ("nvidia.com/dynamo-component-type", "worker"),
        ("nvidia.com/dynamo-component-type", "frontend"),
        ("nvidia.com/dynamo-component-type", "planner"),
        ("nvidia.com/dynamo-component", "x"),
        ("leaderworkerset.sigs.k8s.io/name", "x"),
        ("dynamo-cache.io/inject", "true"),
        ("nvidia.com/snapshot-owner", "x"),
        ("app", "x"),
    ]);
    let metadata = option::weighted(0.9, (option::of(vec(label, 0..3)), option::weighted(0.8, annotations())));
    let context = option::weighted(0.3, select(vec![json!({}), json!({"fsGroup": 7}), json!({"runAsUser": 0})]));
    let selector = option::weighted(0.3, select(vec!["NVIDIA-B200", "not a label!", ""]));
    let host_users = option::weighted(0.2, any::<bool>());
    let lists = (
        vec(container(), 0..4),
        option::weighted(0.4, vec(container(), 0..3)),
        option::weighted(0.7, vec(volume(), 0..4)),
    );
    (metadata, lists, context, selector, host_users).prop_map(
        |(metadata, (containers, init, volumes), context, gpu, host_users)| {
            let metadata = metadata.map(|(labels, annotations)| {
                let labels = labels.map(|labels| {
                    labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<Map<_, _>>()
                });
                object(vec![
                    ("name", Some(json!("p"))),
                    ("labels", labels.map(Value::Object)),
                    ("annotations", annotations.map(Value::Object)),
                    ("unknownToUs", Some(json!([null, 1.5e300, {"<&>": "\u{1F980}"}]))),
                ])
            });
            let mut names = BTreeSet::new();
            let containers = unique(containers, &mut names);
            let spec = object(vec![
                ("volumes", volumes.map(|volumes| json!(unique(volumes, &mut BTreeSet::new())))),
                ("initContainers", init.map(|init| json!(unique(init, &mut names)))),
                ("containers", Some(json!(containers))),
                ("securityContext", context),
                ("nodeSelector", gpu.map(|gpu| json!({"nvidia.com/gpu.product": gpu}))),
                ("hostUsers", host_users.map(|host_users| json!(host_users))),
            ]);
            object(vec![("kind", Some(json!("Pod"))), ("metadata", metadata), ("spec", Some(spec))])
        },
    )
}

/// The API server refuses two volumes of one name, and two containers of any kind; so there are none.
fn unique(list: Vec<Value>, seen: &mut BTreeSet<String>) -> Vec<Value> {
    list.into_iter().filter(|item| seen.insert(item["name"].to_string())).collect()
}

pub(crate) fn claims() -> impl Strategy<Value = Claims> {
    let access = select(vec![
        Access::ReadWriteMany,
        Access::ReadWriteMany,
        Access::ReadWriteOnce,
        Access::ReadOnlyMany,
        Access::ReadWriteOncePod,
    ]);
    let flag = || prop::bool::weighted(0.1);
    let binding = prop_oneof![8 => Just(Binding::Usable), 1 => Just(Binding::Lost), 1 => Just(Binding::Unbindable)];
    let writable = prop_oneof![
        4 => Just(Writable::Everybody),
        1 => Just(Writable::No),
        1 => Just(Writable::Unproven),
        1 => Just(Writable::Users([1000].into())),
    ];
    let claim =
        (flag(), flag(), access, binding, writable).prop_map(|(terminating, block, access, binding, writable)| Claim {
            terminating,
            block,
            access,
            binding,
            writable,
        });
    proptest::collection::btree_map(one_of(&CLAIMS), claim, 0..4)
}
