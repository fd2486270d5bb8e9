//! `dynamo-cache download`: the Job that fills the model claim.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use dynamo_cache::yaml;
use serde_json::{Value, json};

use crate::harness::ROOT;
use crate::harness::download_job::{COMMIT, MODEL, container, variable};
use crate::harness::program::run;

fn documents(text: &str) -> Vec<Value> {
    yaml::documents(text).unwrap().into_iter().map(|document| document.value).collect()
}

fn printed(arguments: &[&str]) -> Vec<Value> {
    let said = run(&[&["download", MODEL, "--offline", "--revision", COMMIT], arguments].concat(), "");
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{arguments:?}");
    documents(&said.output)
}

/// The container that installs the client.
fn installer(job: &Value) -> &Value {
    &job["spec"]["template"]["spec"]["initContainers"][0]
}

#[test]
fn the_job_that_is_printed_is_the_one_of_the_examples() {
    let example = fs::read_to_string(format!("{ROOT}/manifests/examples/download-job.yaml")).unwrap();
    assert_eq!(printed(&[]), documents(&example));
}

#[test]
fn every_option_shows_in_what_is_printed() {
    let claims = ["--create-claim", "10Gi", "--storage-class", "shared", "--compile-size", "2Gi", "-n", "team"];
    let objects = printed(&claims);
    let [model, compile, job] = objects.as_slice() else { panic!("{objects:#?}") };
    for (claim, name, size) in [(model, "model-cache", "10Gi"), (compile, "compilation-cache", "2Gi")] {
        assert_eq!(claim["metadata"], json!({"name": name, "namespace": "team"}));
        assert_eq!(claim["spec"]["storageClassName"], "shared");
        assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteMany"]));
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], size);
    }
    assert_eq!(job["metadata"]["namespace"], "team");

    let more = ["--endpoint", "https://hub:8080", "--image", "hub:1", "--token-secret", "mine", "--include", "*.json"];
    let job = &printed(&[&more, ["--include", "*.safetensors", "--exclude", "original/*"].as_slice()].concat())[0];
    assert_eq!(variable(job, "HF_ENDPOINT")["value"], "https://hub:8080");
    assert_eq!(container(job)["image"], "hub:1");
    assert_eq!(installer(job)["image"], "hub:1");
    let token = &variable(job, "HF_TOKEN")["valueFrom"]["secretKeyRef"];
    assert_eq!(*token, json!({"name": "mine", "key": "HF_TOKEN", "optional": false}));
    let patterns = json!(["--include", "*.json", "--include", "*.safetensors", "--exclude", "original/*"]);
    assert_eq!(json!(container(job)["args"].as_array().unwrap()[2..]), patterns);

    let resources = |arguments: &[&str]| container(&printed(arguments)[0])["resources"].clone();
    let amounts = |cpu: &str, memory: &str| {
        let amounts = json!({"cpu": cpu, "memory": memory});
        json!({"requests": amounts, "limits": amounts})
    };
    assert_eq!(resources(&[]), amounts("2", "8Gi"));
    assert_eq!(resources(&["--fast"]), amounts("8", "64Gi"));
    assert_eq!(resources(&["--fast", "--cpu", "500m", "--memory", "16Gi"]), amounts("500m", "16Gi"));
    let value = |arguments: &[&str], name: &str| variable(&printed(arguments)[0], name)["value"].clone();
    assert_eq!(value(&[], "HF_XET_HIGH_PERFORMANCE"), Value::Null);
    assert_eq!(value(&["--fast"], "HF_XET_HIGH_PERFORMANCE"), "1");
    assert_eq!(
        (value(&[], "HF_HUB_DISABLE_XET"), value(&["--no-xet"], "HF_HUB_DISABLE_XET")),
        (Value::Null, json!("1"))
    );
    assert_eq!((value(&[], "RETRY_FOR"), value(&["--retry-for", "90s"], "RETRY_FOR")), (json!("1800"), json!("90")));

    let job = &printed(&["--fs-group", "none", "--user", "none"])[0];
    let security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(job["spec"]["template"]["spec"]["securityContext"], security);
}

#[test]
fn the_token_is_with_the_download_alone_and_what_is_installed_is_known_by_its_hash() {
    let job = &printed(&[])[0];
    let (first, second) = (installer(job), container(job));
    assert_eq!(first["env"], json!([{"name": "HOME", "value": "/tmp"}]), "no token while packages are installed");
    assert_eq!(variable(job, "HF_TOKEN")["valueFrom"]["secretKeyRef"]["name"], "hf-token-secret");
    let mounts = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().unwrap().iter();
        mounts.map(|mount| mount["mountPath"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(mounts(first), ["/compilation-cache", "/client", "/tmp"]);
    assert_eq!(
        mounts(second),
        ["/model-cache", "/client", "/tmp"],
        "no link on the model claim leads to another claim"
    );
    assert_eq!(second["volumeMounts"][1]["readOnly"], true);
    for container in [first, second] {
        let image = container["image"].as_str().unwrap();
        assert!(image.split_once("@sha256:").is_some_and(|(_, digest)| digest.len() == 64), "{image}");
    }

    let (install, fill) = (first["args"][0].as_str().unwrap(), second["args"][0].as_str().unwrap());
    assert!(!fill.contains("pip install"), "{fill}");
    assert!(install.contains("--only-binary :all: --require-hashes"), "{install}");
    let packages: Vec<_> = install.lines().filter(|line| line.contains("==")).collect();
    assert!(packages.len() >= 15 && packages.iter().any(|line| line.starts_with("huggingface-hub==")), "{packages:?}");
    for package in packages {
        let hashes: Vec<_> = package.split(" --hash=sha256:").skip(1).collect();
        let is_hash = |hash: &&str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(!hashes.is_empty() && hashes.iter().all(is_hash), "{package}");
    }

    let pod = &job["spec"]["template"]["metadata"];
    assert_eq!(pod["labels"]["sidecar.istio.io/inject"], "false", "a proxy never ends, and so would the Job not");
    assert_eq!(pod["annotations"]["sidecar.istio.io/inject"], "false", "the name of the label in older meshes");
    assert_eq!(pod["annotations"]["linkerd.io/inject"], "disabled");
}

#[test]
fn a_hub_without_tls_is_warned_of_before_a_token_goes_there() {
    let said = |arguments: &[&str]| {
        let said = run(&[&["download", MODEL, "--offline", "--revision", COMMIT], arguments].concat(), "");
        assert_eq!(said.code, Some(0), "{}", said.errors);
        said.errors
    };
    let warned = said(&["--endpoint", "HTTP://hub:8080"]);
    let token = "HTTP://hub:8080 is not encrypted: the token in Secret hf-token-secret, if it exists, can be read";
    assert!(warned.starts_with(&format!("warning: {token}")) && warned.lines().count() == 1, "{warned}");
    let warned = said(&["--endpoint", "http://hub", "--token-secret", "mine"]);
    assert!(warned.contains("the token in Secret mine can be read on the way"), "{warned}");
    assert_eq!(said(&["--endpoint", "https://hub"]), "");
}

/// Runs a script of a Job where a folder takes the place of the claim's mount; whether it succeeds, and what it says.
fn script(text: &str, variables: &[(&str, String)]) -> (bool, String) {
    let mut command = Command::new("bash");
    command.args(["-c", text]).env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().cloned());
    let ended = command.output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn a_link_that_leads_out_of_the_claim_is_followed_by_no_job() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("links");
    let _ = fs::remove_dir_all(&folder);
    let (claim, elsewhere) = (folder.join("model-cache"), folder.join("elsewhere"));
    fs::create_dir_all(&claim).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    let (mount, hub) = (claim.display().to_string(), claim.join("hub"));
    let write = fs::read_to_string(format!("{ROOT}/src/command/check/write_probe/write.sh")).unwrap();
    let user = user();
    let probe = || script(&write, &[("DIRECTORY", format!("{mount}/hub/models")), ("MOUNT", mount.clone())]);
    let fill = printed(&[])[0]["spec"]["template"]["spec"]["containers"][0]["args"][0].as_str().unwrap().to_owned();
    let fill = fill.replace("/model-cache", &mount);

    symlink(&elsewhere, &hub).unwrap();
    let leads = format!("{} is a link that leads out of the claim, to {}\n", hub.display(), elsewhere.display());
    assert_eq!(probe(), (false, format!("{user}{leads}")));
    let variables = [("HF_HUB_CACHE", hub.display().to_string()), ("MODEL", MODEL.to_owned())];
    let (succeeds, said) = script(&fill, &variables);
    assert!(!succeeds && said.ends_with(&format!("Error: {leads}")), "{said}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "nothing was written there");

    // One that stays on the claim is the tenant's own matter.
    fs::remove_file(&hub).unwrap();
    fs::create_dir(claim.join("other")).unwrap();
    symlink("other", &hub).unwrap();
    assert_eq!(probe(), (true, user));
}

/// The line in which a script reports its user.
fn user() -> String {
    let (_, uid) = script("id -u", &[]);
    format!("uid {uid}")
}

#[test]
fn a_script_that_succeeds_leaves_the_result_of_its_write_as_its_message() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("proofs");
    let _ = fs::remove_dir_all(&folder);
    let path = |name: &str| folder.join(name).display().to_string();
    fs::create_dir_all(folder.join("claim")).unwrap();
    fs::create_dir(folder.join("client")).unwrap();
    let (message, user) = (path("message"), user());
    let read = || fs::read_to_string(&message).unwrap();
    let empty = || fs::write(&message, "").unwrap();
    // No user may create files there.
    let refused = "/sys/kernel";

    let write = fs::read_to_string(format!("{ROOT}/src/command/check/write_probe/write.sh")).unwrap();
    let write = write.replace("/dev/termination-log", &message);
    let probe = |mount: &str| script(&write, &[("DIRECTORY", format!("{mount}/a/b")), ("MOUNT", mount.to_owned())]);
    empty();
    assert_eq!(probe(&path("claim")), (true, user.clone()));
    assert_eq!(read(), format!("{user}wrote\n"));
    empty();
    let (succeeds, said) = probe(refused);
    assert!(!succeeds && said.starts_with(&user) && said.contains("mktemp: "), "{said}");
    assert_eq!(read(), "", "the kubelet then takes the end of the log");

    // An image that has the client installs none.
    fs::write(folder.join("hf"), "").unwrap();
    script(&format!("chmod +x '{}'", path("hf")), &[]);
    let install = installer(&printed(&[])[0])["args"][0].as_str().unwrap().to_owned();
    let install = install.replace("/dev/termination-log", &message).replace("/client", &path("client"));
    let client = |claim: &str| {
        empty();
        let install = install.replace("/compilation-cache", claim).replace("command -v hf", &path("hf"));
        script(&install, &[])
    };
    assert_eq!(client(&path("claim")), (true, String::new()));
    assert_eq!(read(), format!("{user}wrote\n"));
    let (succeeds, said) = client(refused);
    assert!(succeeds && said.starts_with(&format!("warning: the workers cannot write to {refused}: d")), "{said}");
    assert!(read().starts_with(&format!("{user}mktemp: ")) && read().lines().count() == 2, "{}", read());
    assert_eq!(fs::read_to_string(folder.join("client/warnings")).unwrap(), said, "the download repeats it");
    assert_eq!(fs::read_dir(folder.join("claim")).unwrap().count(), 0, "nothing stays on the claim");
}

#[test]
fn the_folder_that_workers_stream_into_exists_even_if_the_download_fails() {
    let claim = Path::new(env!("CARGO_TARGET_TMPDIR")).join("folder/model-cache");
    let _ = fs::remove_dir_all(&claim);
    fs::create_dir_all(&claim).unwrap();
    let mount = claim.display().to_string();
    let fill = container(&printed(&[])[0])["args"][0].as_str().unwrap().replace("/model-cache", &mount);
    // The client is not there, so nothing is downloaded, and another pod would not have it either.
    for (hub, folders) in [(mount.clone(), 0), (format!("{mount}/hub"), 1)] {
        let variables = [("HF_HUB_CACHE", hub), ("MODEL", MODEL.to_owned()), ("REVISION", COMMIT.to_owned())];
        let (succeeds, said) = script(&fill, &variables);
        assert!(!succeeds && said.contains("\nError: the image has no Hugging Face client: "), "{said}");
        assert_eq!(fs::read_dir(&claim).unwrap().count(), folders, "{said}");
    }
    assert!(claim.join("hub").is_dir());
}

#[test]
fn the_hub_is_proven_and_the_root_only_where_the_compile_cache_shares_the_claim() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("model-cache")).unwrap();
    let (mount, config) = (folder.join("model-cache").display().to_string(), folder.join("config.yaml"));
    let settings = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\ncompileCache:\n  claim: model-cache\n";
    fs::write(&config, settings).unwrap();
    let (own, shared) = (&printed(&[])[0], &printed(&["--config", &config.display().to_string()])[0]);
    let variables = container(own)["env"].as_array().unwrap();
    assert!(variables.iter().all(|variable| variable["name"] != "COMPILE_CACHE"), "{variables:#?}");
    assert_eq!(variable(shared, "COMPILE_CACHE")["value"], "/model-cache");

    // No user may create files there, not even root.
    let refused = "/sys/kernel";
    let fill = container(own)["args"][0].as_str().unwrap().replace("/model-cache", &mount);
    let variables =
        [("HF_HUB_CACHE", format!("{mount}/hub")), ("MODEL", MODEL.to_owned()), ("REVISION", COMMIT.to_owned())];
    let (_, said) = script(&fill, &variables);
    assert!(!said.contains("warning: "), "{said}");
    let root = [variables.as_slice(), &[("COMPILE_CACHE", refused.to_owned())]].concat();
    let (_, said) = script(&fill, &root);
    assert!(said.starts_with(&format!("warning: the workers cannot write to {refused}: d")), "{said}");
}

#[test]
fn a_branch_is_allowed_with_a_warning_and_wrong_usage_is_two() {
    let said = run(&["download", MODEL, "--offline"], "");
    assert_eq!(said.code, Some(0));
    assert!(said.errors.contains("a commit cannot"), "{}", said.errors);
    assert_eq!(variable(&documents(&said.output)[0], "REVISION")["value"], "main");
    for arguments in [
        &[][..],
        &["a/b/c"],
        &[MODEL, "--wait"],
        &[MODEL, "--replace"],
        &[MODEL, "--storage-class", "x"],
        &[MODEL, "--fs-group", "root"],
        &[MODEL, "--apply", "--offline"],
        &[MODEL, "--from"],
        &["--from", "--offline"],
        &["--from", "--revision", "x"],
        &["--for", "worker"],
        &["--for", "deployment/a", "--name", "x"],
        &[MODEL, "--fast", "--no-xet"],
        &[MODEL, "--cpu", "many"],
    ] {
        assert_eq!(run(&[&["download"], arguments].concat(), "").code, Some(2), "{arguments:?}");
    }
}

fn worker(name: &str, args: &Value) -> Value {
    let main = json!({"name": "main", "image": "i", "command": ["python3", "-m", "dynamo.vllm"], "args": args,
        "env": [{"name": "SPEC", "valueFrom": {"configMapKeyRef": {"name": "llm-config", "key": "spec"}}}]});
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [main]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, "template": template}})
}

#[test]
fn files_name_the_namespace_unless_they_name_several() {
    let of = |namespace: &str| {
        let mut worker = worker("a", &json!(["--model", MODEL]));
        worker["metadata"]["namespace"] = namespace.into();
        worker.to_string()
    };
    let said = run(&["download", "-f", "-", "--offline"], &of("team"));
    assert_eq!(documents(&said.output)[0]["metadata"]["namespace"], "team", "{}", said.errors);
    let both = format!("{}\n---\n{}", of("team"), of("other"));
    let said = run(&["download", "-f", "-", "--offline"], &both);
    assert_eq!((said.code, said.output.as_str()), (Some(1), ""));
    assert!(said.errors.contains("several namespaces (other, team)"), "{}", said.errors);
    let said = run(&["download", "-f", "-", "--offline", "-n", "other"], &both);
    assert_eq!(documents(&said.output)[0]["metadata"]["namespace"], "other", "{}", said.errors);
}

#[test]
fn files_name_models_and_each_revision_of_one_is_a_job() {
    let speculator = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "llm-config"},
        "data": {"spec": "{\"model\": \"team/draft\", \"num_speculative_tokens\": 3}"}});
    let objects = [
        worker("a", &json!(["--model", MODEL, "--revision", COMMIT, "--speculative-config=$(SPEC)"])),
        worker("b", &json!(["--model", MODEL, "--tokenizer", "team/tokenizer"])),
        worker("c", &json!(["--model", MODEL, "--revision", COMMIT])),
        worker("d", &json!(["--model", "/models/flat"])),
        speculator,
    ];
    let input = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    let said = run(&["download", "-f", "-", "--offline"], &input);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    let jobs = documents(&said.output);
    let found: Vec<_> = jobs
        .iter()
        .map(|job| {
            let value = |name: &str| variable(job, name)["value"].as_str().unwrap().to_owned();
            (value("MODEL"), value("REVISION"), container(job)["args"].as_array().unwrap().len() > 1)
        })
        .collect();
    let expected = [
        (MODEL, COMMIT, false),
        ("team/draft", "main", false),
        (MODEL, "main", false),
        ("team/tokenizer", "main", true),
    ];
    assert_eq!(found, expected.map(|(model, revision, part)| (model.to_owned(), revision.to_owned(), part)));
    let names: std::collections::BTreeSet<_> =
        jobs.iter().map(|job| job["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), jobs.len(), "{names:?}");
    assert_eq!(run(&["download", "-f", "-", "--offline"], &input).output, said.output, "the same names again");

    let said = run(&["download", "-f", "-", "--offline"], &objects[3].to_string());
    assert_eq!((said.code, said.errors.as_str()), (Some(1), "nothing in it names a model\n"));
    let unclear = worker("e", &json!(["--model", "$(SPEC)"])).to_string();
    let said = run(&["download", "-f", "-", "--offline"], &unclear);
    assert_eq!(said.code, Some(1));
    let note = "Deployment/e, main: --model names a model that is not known from here: ${SPEC}\n";
    assert!(said.errors.contains(note), "{}", said.errors);
}
