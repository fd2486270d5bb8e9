//! What the kubelet does to the files of a claim when a pod with an fsGroup starts.

use serde_json::json;

use super::namespace::Namespace;
use super::pod;
use super::release;
use super::volume::{Kind, Volume};

/// How many files of the claim belong to the pod's group, of how many.
const COUNT: &str = r#"
cd "${HF_HOME:-/models}"
echo "of the group: $(find . -mindepth 1 -group 1000 | wc -l) of $(find . -mindepth 1 -type f | wc -l)"
"#;

#[test]
fn a_pod_with_an_fs_group_starts_without_a_walk_through_its_models() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[]);
    namespace.claims(&[Volume { kind: Kind::Local, ..Volume::prepared("model-cache") }]);
    // The root is as the kubelet would make it, and what is below is not: so a walk shows.
    let root = format!("/volumes/{}/model-cache", namespace.name);
    let fill = format!(
        "cd {root}; mkdir many; cd many; seq 20000 | xargs touch; chgrp 1000 {root}; chmod 2775 {root}; ls | wc -l"
    );
    namespace.on_host("fill", &fill);

    let mut with = pod::engine("with", COUNT);
    with["spec"]["securityContext"]["fsGroup"] = json!(1000);
    let ended = namespace.run(&with);
    ended.assert_said(&["of the group: 0 of 20000"]);
    assert_eq!(ended.pod["spec"]["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch");

    // The same claim as a person mounts it.
    let mut by_hand = pod::engine("by-hand", COUNT);
    by_hand["metadata"]["annotations"] = json!({"dynamo-cache.io/inject": "false"});
    by_hand["spec"]["securityContext"]["fsGroup"] = json!(1000);
    by_hand["spec"]["volumes"] = json!([{"name": "m", "persistentVolumeClaim": {"claimName": "model-cache"}}]);
    by_hand["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "m", "mountPath": "/models"}]);
    namespace.run(&by_hand).assert_said(&["of the group: 20001 of 20000"]);
}
