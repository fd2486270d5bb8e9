//! Pods with a user namespace of their own.

use serde_json::json;

use super::namespace::Namespace;
use super::pod;
use super::release;
use super::volume::Volume;

#[test]
fn a_pod_with_its_own_user_namespace_starts() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume::prepared("model-cache"), Volume::proven("compilation-cache")]);
    let script = r#"
echo "user $(id -u) of $(awk '{ print $2 == 0 ? "the node" : "a namespace of its own" }' /proc/self/uid_map)"
echo "claims: $(grep -c /home/dynamo /proc/mounts || true)"
"#;
    let mut pod = pod::engine("own", script);
    pod["spec"]["hostUsers"] = json!(false);
    let ended = namespace.run(&pod);
    ended.assert_said(&["user 1000 of a namespace of its own", "claims: 0"]);
    let skipped =
        ["model", "compile"].map(|cache| json!({"cache": cache, "container": "main", "reason": "user-namespace"}));
    assert_eq!(ended.status()["skipped"], json!(skipped));
}
