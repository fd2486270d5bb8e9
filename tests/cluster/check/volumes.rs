//! `dynamo-cache check` reads the volumes of bound claims, and says what they ask of pods.

use serde_json::{Value, json};

use super::{CACHES, lines, only, service};
use crate::harness::control_plane::namespace::{Namespace, csi, node, tied_to};
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::worker;

/// The driver of buckets.
const BUCKETS: &str = "gcsfuse.csi.storage.gke.io";

#[test]
fn a_claim_of_a_bucket_asks_for_an_annotation_and_other_claims_for_nothing() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    let bucket = namespace.bound_claim(CACHES[0], &csi(BUCKETS));
    namespace.claims(&CACHES[1..]);
    assert!(lines(&namespace, "compile-volume").is_empty(), "the claim is not bound");
    let model = |begin: &str, hint: &str| only(&namespace, "model-volume", begin, hint);
    let fix = "Set the annotation gke-gcsfuse/volumes: \"true\" on the pod template";
    model("warning: model cache, claim model-cache: pods need the annotation gke-gcsfuse/volumes: \"true\"", fix);
    namespace.create(&worker("plain").to_string()).unwrap();
    model("warning: model cache, claim model-cache: 1 of 1 pods with this claim lack the annotation", fix);
    let mut annotated = worker("annotated");
    annotated["metadata"]["annotations"] = json!({"gke-gcsfuse/volumes": "true"});
    namespace.create(&annotated.to_string()).unwrap();
    model("warning: model cache, claim model-cache: 1 of 2 pods", fix);
    namespace.kubectl(&["delete", "pod", "plain", "--now"]).unwrap();
    model(&format!("ok: model cache, claim model-cache: volume {bucket} ({BUCKETS}) needs nothing else"), "");

    let elsewhere = Namespace::opted_in(shared(), &[("compile-claim", CACHES[0])]);
    let plain = elsewhere.bound_claim(CACHES[0], &json!({"local": {"path": "/models"}, "nodeAffinity": anywhere()}));
    let ok = format!("ok: model cache, claim model-cache: volume {plain} (local) needs nothing else of pods");
    only(&elsewhere, "model-volume", &ok, "");
    assert!(lines(&elsewhere, "compile-volume").is_empty(), "it is the same claim");
}

/// A node affinity that every node meets.
pub(super) fn anywhere() -> Value {
    let absent = json!({"key": "dynamo-cache.test/absent", "operator": "DoesNotExist"});
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [absent]}]}})
}

#[test]
fn a_volume_that_only_some_nodes_can_mount_is_named_with_its_nodes() {
    let _webhook = webhook::running();
    let namespace = Namespace::opted_in(shared(), &[]);
    let pool = "dynamo-cache.test/check";
    for name in ["check-a", "check-b"] {
        namespace.create(&node(name, (pool, name)).to_string()).unwrap();
    }
    let source = || json!({"hostPath": {"path": "/models"}});
    let tied = namespace.bound_claim(CACHES[0], &tied_to((pool, "check-a"), source()));
    let free = namespace.bound_claim(CACHES[1], &source());
    let found = lines(&namespace, "model-volume");
    let [tied_line, group] = found.as_slice() else { panic!("{found:#?}") };
    let begin = format!(
        "warning: model cache, claim model-cache: volume {tied} is tied to nodes with {pool} In check-a; 1 of "
    );
    assert!(tied_line.starts_with(&begin) && tied_line.contains(" nodes match: check-a. "), "{tied_line}");
    assert!(group.contains("the kubelet changes no owners on hostPath volumes"), "{group}");
    let begin = format!("warning: compile cache, claim compilation-cache: fsGroup does nothing on volume {free}: ");
    only(&namespace, "compile-volume", &begin, &format!("dynamo-cache check -n {} --write-probe", namespace.name));
    // Where a user has written, the root is prepared.
    namespace.kubectl(&["annotate", "pvc", CACHES[1], "dynamo-cache.io/writable=1000"]).unwrap();
    let ok = format!("ok: compile cache, claim compilation-cache: volume {free}");
    only(&namespace, "compile-volume", &ok, "");
    namespace.kubectl(&["delete", "node", "check-a", "check-b"]).unwrap();
}

#[test]
fn the_csi_driver_says_whether_fs_group_does_anything() {
    let _webhook = webhook::running();
    let plane = shared();
    let driver = |name: &str, policy: Option<&str>| {
        let spec = json!({"attachRequired": false, "fsGroupPolicy": policy});
        let object =
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name}, "spec": spec});
        plane.kubectl(&["create", "-f", &plane.file(&object.to_string())]).unwrap();
    };
    driver("none.csi.test", Some("None"));
    driver("file.csi.test", Some("File"));
    driver("default.csi.test", None);
    let namespace = Namespace::opted_in(plane, &[]);
    namespace.bound_claim(CACHES[0], &csi("none.csi.test"));
    namespace.bound_claim(CACHES[1], &csi("file.csi.test"));
    only(&namespace, "model-volume", "warning: ", "CSIDriver none.csi.test has fsGroupPolicy None. Prepare the root");
    only(&namespace, "compile-volume", "ok: ", "(file.csi.test) needs nothing else of pods");

    // The API server writes the default into the object; a driver without an object is treated alike.
    let namespace = Namespace::opted_in(plane, &[("model-read-only", "true")]);
    namespace.bound_claim(CACHES[0], &csi("default.csi.test"));
    namespace.bound_claim(CACHES[1], &csi("absent.csi.test"));
    only(&namespace, "model-volume", "ok: ", "(default.csi.test) needs nothing else of pods");
    only(
        &namespace,
        "compile-volume",
        "warning: ",
        "under the fsGroupPolicy of absent.csi.test, the kubelet changes owners only",
    );
    namespace.kubectl(&["annotate", "namespace", &namespace.name, "dynamo-cache.io/model-read-only-"]).unwrap();
    only(&namespace, "model-volume", "warning: ", "under the fsGroupPolicy of default.csi.test");
    plane.kubectl(&["delete", "csidriver", "none.csi.test", "file.csi.test", "default.csi.test"]).unwrap();
}

#[test]
fn the_folder_that_workers_stream_into_has_to_exist_in_the_layout_home_alone() {
    let _webhook = webhook::running();
    let annotations = |layout: &'static str, shared: &'static str| {
        let express = ("model-express-shared-storage", shared);
        [("model-express-url", "model-express:8001"), ("model-layout", layout), express]
    };
    for (layout, is_shared, warns) in [("home", "false", true), ("hub", "false", false), ("home", "true", false)] {
        let namespace = Namespace::opted_in(shared(), &annotations(layout, is_shared));
        namespace.claims(&CACHES);
        namespace.create(&service("model-express")).unwrap();
        let found = lines(&namespace, "model-express");
        assert!(found[0].starts_with("ok: http://model-express:8001 has ready endpoints"), "{found:?}");
        assert_eq!(found.len(), if warns { 2 } else { 1 }, "{found:?}");
        for line in &found[1..] {
            let begin = "warning: workers stream into the folder hub of claim model-cache, which has to exist";
            assert!(
                line.starts_with(begin) && line.contains(&format!("-n {} --apply makes it", namespace.name)),
                "{line}"
            );
        }
    }
}
