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
    let probe = || script(&write, &[("DIRECTORY", format!("{mount}/hub/models")), ("MOUNT", mount.clone())]);
    let fill = printed(&[])[0]["spec"]["template"]["spec"]["containers"][0]["args"][0].as_str().unwrap().to_owned();
    let fill = fill.replace("/model-cache", &mount);

    symlink(&elsewhere, &hub).unwrap();
    let leads = format!("{} is a link that leads out of the claim, to {}\n", hub.display(), elsewhere.display());
    assert_eq!(probe(), (false, leads.clone()));
    let variables = [("HF_HUB_CACHE", hub.display().to_string()), ("MODEL", MODEL.to_owned())];
    let (succeeds, said) = script(&fill, &variables);
    assert!(!succeeds && said.ends_with(&format!("Error: {leads}")), "{said}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "nothing was written there");

    // One that stays on the claim is the tenant's own matter.
    fs::remove_file(&hub).unwrap();
    fs::create_dir(claim.join("other")).unwrap();
    symlink("other", &hub).unwrap();
    assert_eq!(probe(), (true, String::new()));
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
    ] {
        assert_eq!(run(&[&["download"], arguments].concat(), "").code, Some(2), "{arguments:?}");
    }
}
