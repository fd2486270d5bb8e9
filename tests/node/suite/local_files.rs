//! What belongs to one container stays off the claims: modules, chunks, and the token.

use serde_json::json;

use super::hub::Hub;
use super::namespace::Namespace;
use super::pod;
use super::release;
use super::volume::Volume;

#[test]
fn a_container_with_a_read_only_root_and_no_tmp_writes_its_modules_and_chunks() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume::prepared("model-cache")]);
    let script = r#"
touch /outside 2>&1 || true
for place in "$HF_MODULES_CACHE" "$HF_XET_CACHE" "${HF_TOKEN_PATH%/*}"; do
    mkdir -p "$place" && touch "$place/written-$(id -u)" && echo "wrote to $place"
done
awk '$2 == "/tmp/huggingface" { print "mount", $2, substr($4, 1, 2) }' /proc/mounts
echo "here: $(ls /tmp/huggingface)"
"#;
    let mut pod = pod::engine("hardened", script);
    let mut other = pod["spec"]["containers"][0].clone();
    other["name"] = json!("other");
    other["securityContext"] = json!({"runAsUser": 2000, "readOnlyRootFilesystem": true});
    pod["spec"]["containers"][0]["securityContext"] = json!({"readOnlyRootFilesystem": true});
    pod["spec"]["containers"].as_array_mut().unwrap().push(other);
    pod["metadata"]["annotations"]["dynamo-cache.io/containers"] = json!("main,other");
    namespace.create(&pod);
    let wait = "--for=jsonpath={.status.phase}=Succeeded";
    let waited = namespace.kubectl(&["wait", wait, "pod/hardened", "--timeout=2m"]);
    for (container, user) in [("main", 1000), ("other", 2000)] {
        let log = namespace.kubectl(&["logs", "hardened", "-c", container]).unwrap();
        println!("---- {container}\n{log}----");
        for line in [
            "touch: cannot touch '/outside': Read-only file system",
            "wrote to /tmp/huggingface/modules",
            "wrote to /tmp/huggingface/xet",
            "wrote to /tmp/huggingface",
            "mount /tmp/huggingface rw",
        ] {
            assert!(log.lines().any(|said| said == line), "{container} did not say '{line}':\n{log}");
        }
        // Each has a part of the volume to itself.
        assert!(log.contains(&format!("written-{user}")), "{log}");
        assert_eq!(log.matches("written-").count(), 1, "{log}");
    }
    waited.unwrap();
}

/// What the real client finds as its token.
const TOKEN: &str = "python3 -c 'import huggingface_hub; print(\"token\", huggingface_hub.get_token())'";

#[test]
fn a_token_that_is_mounted_at_its_default_path_is_found() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume::prepared("model-cache")]);
    let data = json!({"token": "hf_mounted"});
    namespace.create(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, "stringData": data}));
    let pod = |name: &str, mount_path: &str| {
        let mut pod = pod::engine(name, &format!("echo \"home $HF_HOME\"; {TOKEN}"));
        let path = "/home/dynamo/.cache/huggingface/token";
        let mount = json!({"name": "hub", "mountPath": path, "subPath": "token", "readOnly": true});
        pod["spec"]["containers"][0]["volumeMounts"] = json!([mount]);
        pod["spec"]["containers"][0]["env"] = json!([{"name": "HOME", "value": "/home/dynamo"}]);
        pod["spec"]["volumes"] = json!([{"name": "hub", "secret": {"secretName": "hub"}}]);
        pod["metadata"]["annotations"]["dynamo-cache.io/model-mount-path"] = json!(mount_path);
        pod
    };
    // The claim beside it.
    let ended = namespace.run(&pod("beside", "/models"));
    ended.assert_said(&["home /models", "token hf_mounted"]);
    assert_eq!(ended.status()["containers"]["main"], json!(["model"]));
    // The claim would have to be above it: then there is none, and the client's own defaults hold.
    let ended = namespace.run(&pod("below", "/home/dynamo/.cache/huggingface"));
    ended.assert_said(&["home ", "token hf_mounted"]);
    assert_eq!(ended.status()["skipped"][0]["reason"], "path-taken");
}

#[test]
fn a_login_leaves_nothing_on_the_claim_and_its_root_as_it_was() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume::prepared("model-cache")]);
    let hub = Hub::serve(&namespace);
    let script = format!(
        r#"
stat -c 'before %a %u:%g' "$HF_HOME"
hf auth login --token hf_secret
{TOKEN}
stat -c 'after %a %u:%g' "$HF_HOME"
# The program notes there when it last looked for updates.
echo "left: $(ls -A "$HF_HOME" | grep -v -e '^hub$' -e '^\.check_for_' | tr '\n' ' ')"
echo "with the token: $(grep -rl hf_secret "$HF_HOME" | wc -l)"
stat -c 'token %a' "$HF_TOKEN_PATH"
"#
    );
    let mut pod = pod::engine("login", &script);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "HF_ENDPOINT", "value": hub.endpoint}]);
    let ended = namespace.run(&pod);
    ended.assert_said(&[
        "before 775 0:0",
        "token hf_secret",
        "after 775 0:0",
        "left: ",
        "Login successful.",
        "with the token: 0",
        "token 600",
    ]);
}
