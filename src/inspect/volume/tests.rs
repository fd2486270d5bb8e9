//! Volumes, pods and nodes, and what is found.

use serde_json::{Value, json};

use super::{Findings, Mounts, Volume};
use crate::inspect::node_selector::Node;

/// A volume of claim `models`, of this source.
fn volume(source: (&str, Value), modes: &[&str]) -> Volume {
    let mut object = json!({"metadata": {"name": "pv"}, "spec": {"accessModes": modes}});
    object["spec"][source.0] = source.1;
    Volume { claim: "models".to_owned(), object, driver: Ok(None), nodes: Ok(Vec::new()) }
}

fn csi(driver: &str) -> Volume {
    volume(("csi", json!({"driver": driver, "volumeHandle": "fs-1"})), &["ReadWriteMany"])
}

/// A volume on the node `gpu-a` of the nodes `gpu-a` and `gpu-b`.
fn on_one_node() -> Volume {
    let mut volume = volume(("local", json!({"path": "/models"})), &["ReadWriteMany"]);
    let one = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["gpu-a"]});
    volume.object["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [one]}]}});
    volume.nodes = Ok(nodes(&["gpu-a", "gpu-b"]));
    volume
}

fn nodes(names: &[&str]) -> Vec<Node> {
    let node = |name: &&str| json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
    names.iter().filter_map(|name| Node::from_object(&node(name))).collect()
}

/// A pod that mounts the claim.
fn pod() -> Value {
    json!({"metadata": {}, "spec": {
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "models"}}],
        "containers": [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/m"}]}],
    }})
}

fn mounts(pods: &[Value]) -> Mounts {
    let mut mounts = Mounts::default();
    for text in pods.iter().map(Value::to_string) {
        mounts.add(&serde_json::from_str(&text).unwrap());
    }
    mounts
}

/// The one finding, with its fix; empty if there is none.
#[track_caller]
fn only(findings: &Findings) -> String {
    assert!(findings.unknown.is_empty() && findings.found.len() < 2, "{findings:?}");
    findings.found.first().map(|finding| format!("{}. {}", finding.text, finding.fix)).unwrap_or_default()
}

#[test]
fn a_bucket_needs_the_annotation_and_no_other_volume_does() {
    let bucket = csi("gcsfuse.csi.storage.gke.io");
    let found = only(&bucket.for_pod("n", &pod()));
    let begin = "the pod lacks the annotation gke-gcsfuse/volumes: \"true\", without which gcsfuse.csi.storage.gke.io does not mount volume pv. Set";
    assert!(found.starts_with(begin), "{found}");
    let annotated = |value: &str| {
        let mut pod = pod();
        pod["metadata"]["annotations"] = json!({"gke-gcsfuse/volumes": value});
        pod
    };
    let mut with_sidecar = pod();
    with_sidecar["spec"]["initContainers"] = json!([{"name": "gke-gcsfuse-sidecar"}]);
    for suits in [annotated("true"), annotated("True"), with_sidecar] {
        assert_eq!(only(&bucket.for_pod("n", &suits)), "", "{suits}");
    }
    assert!(!only(&bucket.for_pod("n", &annotated("false"))).is_empty());
    assert_eq!(only(&csi("filestore.csi.storage.gke.io").for_pod("n", &pod())), "");

    // Pods with other claims do not count.
    let other = json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "other"}}]}});
    for (pods, begin) in [
        (vec![], "pods need the annotation gke-gcsfuse/volumes: \"true\""),
        (vec![other.clone()], "pods need the annotation"),
        (vec![pod(), annotated("true"), other], "1 of 2 pods with this claim lack the annotation"),
        (vec![annotated("true")], ""),
    ] {
        let found = only(&bucket.for_namespace("n", &mounts(&pods), true));
        assert!(found.starts_with(begin) && found.is_empty() == begin.is_empty(), "{found}");
    }
    assert_eq!(only(&csi("file.csi.azure.com").for_namespace("n", &mounts(&[pod()]), true)), "");
}

#[test]
fn a_pod_is_warned_only_where_all_its_nodes_are_others_than_the_volumes() {
    let volume = on_one_node();
    let at = |node: &str| {
        let mut pod = pod();
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        pod
    };
    let found = only(&volume.for_pod("n", &at("gpu-b")));
    let text = "volume pv is tied to nodes with kubernetes.io/hostname In gpu-a, and the pod's node selector and affinity admit only others: gpu-b. Let";
    assert!(found.starts_with(text), "{found}");
    // A node that does not exist yet may match.
    for suits in [at("gpu-a"), pod(), at("gpu-z")] {
        assert_eq!(only(&volume.for_pod("n", &suits)), "", "{suits}");
    }
    let hidden = Volume { nodes: Err("nodes is forbidden".to_owned()), ..on_one_node() };
    for findings in [hidden.for_pod("n", &at("gpu-b")), hidden.for_namespace("n", &Mounts::default(), false)] {
        let says = "volume pv is tied to nodes with kubernetes.io/hostname In gpu-a; which ones is unknown: nodes is forbidden";
        assert_eq!((findings.found.len(), findings.unknown.as_slice()), (0, [says.to_owned()].as_slice()));
    }
}

#[test]
fn a_namespace_is_warned_of_a_volume_that_some_nodes_cannot_mount() {
    let found = |names: &[&str]| {
        only(&Volume { nodes: Ok(nodes(names)), ..on_one_node() }.for_namespace("n", &Mounts::default(), true))
    };
    let text = "volume pv is tied to nodes with kubernetes.io/hostname In gpu-a; 1 of 2 nodes match: gpu-a. Let";
    assert!(found(&["gpu-a", "gpu-b"]).starts_with(text), "{}", found(&["gpu-a", "gpu-b"]));
    assert!(found(&["gpu-b"]).contains("In gpu-a; no node matches. "));
    assert_eq!(found(&["gpu-a"]), "", "every node can mount it");
    let mut anywhere = on_one_node();
    anywhere.object["spec"]["nodeAffinity"] = Value::Null;
    assert_eq!(only(&anywhere.for_namespace("n", &Mounts::default(), true)), "");
    let mut many = on_one_node();
    many.object["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] =
        json!(["a", "b", "c", "d", "e"]);
    many.nodes = Ok(nodes(&["a", "b", "c", "d", "e", "f"]));
    let found = only(&many.for_namespace("n", &Mounts::default(), true));
    assert!(found.contains("5 of 6 nodes match: a, b, c and 2 more. "), "{found}");
}

#[test]
fn fs_group_is_ignored_by_policy_by_type_and_by_name_if_the_policy_is_hidden() {
    let policy = |policy: &str| Ok(Some(json!({"spec": {"fsGroupPolicy": policy}})));
    let hidden = || Err("csidrivers is forbidden".to_owned());
    let default = "ReadWriteOnceWithFSType";
    let single = || volume(("csi", json!({"driver": "d", "fsType": "ext4"})), &["ReadWriteOnce", "ReadWriteMany"]);
    let untyped = || volume(("csi", json!({"driver": "d"})), &["ReadWriteOnce"]);
    let access_point = || {
        let source = json!({"driver": "efs.csi.aws.com", "volumeHandle": "fs-1::fsap-2"});
        volume(("csi", source), &["ReadWriteMany"])
    };
    let of_type = |kind| volume((kind, json!({})), &[]);
    for (volume, driver, why) in [
        (csi("d"), policy("None"), "CSIDriver d has fsGroupPolicy None"),
        (csi("d"), policy(default), "under the fsGroupPolicy of d, the kubelet changes owners only on ReadWriteOnce"),
        (csi("d"), Ok(None), "under the fsGroupPolicy of d"),
        (csi("d"), policy("File"), ""),
        (single(), policy(default), ""),
        (single(), policy("None"), "CSIDriver d has"),
        (untyped(), policy(default), "under the fsGroupPolicy of d"),
        (csi("nfs.csi.k8s.io"), policy("File"), ""),
        (csi("efs.csi.aws.com"), policy(default), "under the fsGroupPolicy of efs.csi.aws.com"),
        (csi("efs.csi.aws.com"), policy("File"), ""),
        (csi("efs.csi.aws.com"), hidden(), "efs.csi.aws.com is known to ignore it"),
        (access_point(), policy(default), ""),
        (access_point(), hidden(), ""),
        (csi("gcsfuse.csi.storage.gke.io"), policy("None"), ""),
        (csi("file.csi.azure.com"), hidden(), ""),
        (of_type("nfs"), Ok(None), "the kubelet changes no owners on nfs"),
        (of_type("hostPath"), Ok(None), "the kubelet changes no owners on hostP"),
        (of_type("local"), Ok(None), ""),
    ] {
        let volume = Volume { driver, ..volume };
        let found = only(&volume.for_namespace("team", &mounts(&[pod()]), true));
        let found = found.strip_prefix("pods need").map_or(found.as_str(), |_| "");
        let (begin, end) = ("fsGroup does nothing on volume pv: ", "check -n team --write-probe");
        let says = found.strip_prefix(begin).is_some_and(|rest| rest.starts_with(why) && rest.contains(end));
        assert!(if why.is_empty() { !found.contains("fsGroup") } else { says }, "{volume:?}: {found}");
    }
    let unknown = Volume { driver: hidden(), ..csi("d") }.for_namespace("n", &Mounts::default(), true);
    let says = "whether fsGroup does anything on volume pv: csidrivers is forbidden";
    assert_eq!((unknown.found.len(), unknown.unknown.as_slice()), (0, [says.to_owned()].as_slice()));
}

#[test]
fn a_pod_is_warned_of_its_own_fs_group_if_it_writes_to_the_claim() {
    let ignored = csi("d");
    let grouped = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod();
        pod["spec"]["securityContext"] = json!({"fsGroup": 1000});
        change(&mut pod);
        only(&ignored.for_pod("n", &pod))
    };
    let found = grouped(&|_| ());
    assert!(found.starts_with("the pod's fsGroup 1000 does nothing on volume pv: "), "{found}");
    assert_eq!(grouped(&|pod| pod["spec"]["securityContext"] = json!({})), "");
    assert_eq!(grouped(&|pod| pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] = json!(true)), "");
    assert_eq!(grouped(&|pod| pod["spec"]["volumes"][0]["persistentVolumeClaim"]["readOnly"] = json!(true)), "");
    assert_eq!(only(&ignored.for_namespace("n", &Mounts::default(), false)), "", "workers only read");
}

#[test]
fn a_volume_is_described_by_its_driver_or_type() {
    assert_eq!(csi("d").description(), "volume pv (d)");
    assert_eq!(volume(("nfs", json!({})), &[]).description(), "volume pv (nfs)");
    assert_eq!(volume(("iscsi", json!({})), &[]).description(), "volume pv");
}
