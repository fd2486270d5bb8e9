//! Checks that claims have space left, by what the kubelets of the pods that mount them have measured.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::admission::cache::Cache;
use crate::admission::pod::{Pod, Text};
use crate::command::check::catalog::CheckId;
use crate::command::check::report::Report;
use crate::command::check::volumes::MountedClaim;
use crate::inspect::api::{Api, Item};
use crate::terminal::amount::bytes;

/// How many kubelets are asked about a claim: each that mounts it has measured it.
const MOST_NODES: usize = 3;

/// A claim with less than one part in so many left is nearly full, as for the alert `DynamoCacheClaimFull`.
const PARTS: u64 = 20;

/// What a kubelet has measured of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Space {
    free_bytes: u64,
    bytes: u64,
    free_files: u64,
    files: u64,
}

/// The nodes where the running pods of a namespace mount claims.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// By the claim's name; as many as are asked.
    of_claims: BTreeMap<String, BTreeSet<String>>,
}

/// The node of a pod.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OnNode<'t> {
    #[serde(borrow)]
    spec: Spec<'t>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'t> {
    #[serde(borrow)]
    node_name: Option<Text<'t>>,
}

impl Nodes {
    /// Adds the node of a running pod.
    pub(super) fn add(&mut self, item: Item<'_>, pod: &Pod<'_>) {
        if let Some(node) = item.view::<OnNode<'_>>().and_then(|pod| pod.spec.node_name) {
            self.add_claims(&node, pod.volumes().iter().filter_map(|volume| volume.claim.as_deref()));
        }
    }

    fn add_claims<'c>(&mut self, node: &str, claims: impl Iterator<Item = &'c str>) {
        for claim in claims {
            let nodes = self.of_claims.entry(claim.to_owned()).or_default();
            if nodes.len() < MOST_NODES {
                nodes.insert(node.to_owned());
            }
        }
    }
}

/// Checks the space of each claim that a running pod mounts.
pub(super) async fn check(api: &Api, namespace: &str, claims: &[MountedClaim<'_>], nodes: &Nodes, report: &mut Report) {
    for MountedClaim { cache, object, .. } in claims {
        let check = if *cache == Cache::Model { CheckId::ModelSpace } else { CheckId::CompileSpace };
        let claim = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let Some(nodes) = nodes.of_claims.get(claim) else { continue };
        let first = nodes.first().map(String::as_str).unwrap_or_default();
        let mut why = format!("the kubelet of node {first} has not measured claim {claim}");
        let mut space = None;
        for node in nodes {
            match api.get(&format!("/api/v1/nodes/{node}/proxy/stats/summary")).await {
                Ok(summary) => space = summary.as_ref().and_then(|summary| find(summary, namespace, claim)),
                // The kubelet, which the API server asks, may be away or hang.
                Err(error) => why = error.to_string(),
            }
            if space.is_some() {
                break;
            }
        }
        match space {
            Some(space) => report_space(check, *cache, claim, namespace, space, report),
            None => report.not_checked(check, format!("{why}; dynamo-cache usage -n {namespace} measures it")),
        }
    }
}

/// Finds a claim in a kubelet's summary. The kubelet has no figures of volumes that are folders of its node.
fn find(summary: &Value, namespace: &str, claim: &str) -> Option<Space> {
    let pods = summary.get("pods")?.as_array()?.iter();
    let mut volumes = pods.filter_map(|pod| pod.get("volume")?.as_array()).flatten();
    let volume = volumes.find(|volume| {
        let text = |pointer: &str| volume.pointer(pointer).and_then(Value::as_str);
        text("/pvcRef/name") == Some(claim) && text("/pvcRef/namespace") == Some(namespace)
    })?;
    let number = |key: &str| volume.get(key).and_then(Value::as_u64);
    Some(Space {
        free_bytes: number("availableBytes")?,
        bytes: number("capacityBytes")?,
        free_files: number("inodesFree").unwrap_or_default(),
        files: number("inodes").unwrap_or_default(),
    })
}

fn report_space(check: CheckId, cache: Cache, claim: &str, namespace: &str, space: Space, report: &mut Report) {
    let is_low = |free: u64, all: u64| all > 0 && free < all / PARTS;
    let what = format!("{cache} cache, claim {claim}:");
    let free = format!("{} of {} free", bytes(space.free_bytes), bytes(space.bytes));
    let hint = || {
        format!("dynamo-cache usage -n {namespace} shows what is on it, and prune removes what is not used any more")
    };
    if is_low(space.free_bytes, space.bytes) {
        report.warning(check, format!("{what} nearly full, {free}"), hint());
    } else if is_low(space.free_files, space.files) {
        let files = format!("{} of {} files left", space.free_files, space.files);
        report.warning(check, format!("{what} nearly full, {files} ({free})"), hint());
    } else {
        report.ok(check, format!("{what} {free}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Nodes, Space, find, report_space};
    use crate::admission::cache::Cache;
    use crate::command::check::catalog::CheckId;
    use crate::command::check::report::Report;

    #[test]
    fn a_claim_is_found_by_its_name_and_namespace_in_what_a_kubelet_says() {
        let volume = |namespace: &str, free: u64| {
            json!({
                "name": "v", "pvcRef": {"name": "models", "namespace": namespace},
                "availableBytes": free, "capacityBytes": 100, "inodesFree": 5, "inodes": 10, "usedBytes": 1,
            })
        };
        let pod = |volumes: Value| json!({"podRef": {"name": "p"}, "volume": volumes});
        let of_pods =
            vec![pod(Value::Null), pod(json!([{"name": "token"}])), pod(json!([volume("a", 1), volume("b", 2)]))];
        let summary = json!({"node": {}, "pods": of_pods});
        let space = Space { free_bytes: 2, bytes: 100, free_files: 5, files: 10 };
        assert_eq!(find(&summary, "b", "models"), Some(space));
        assert_eq!((find(&summary, "c", "models"), find(&summary, "a", "other")), (None, None));
        for broken in [json!({}), json!({"pods": 7}), json!({"pods": [{"volume": [{"pvcRef": 7}]}]})] {
            assert_eq!(find(&broken, "a", "models"), None, "{broken}");
        }
    }

    #[test]
    fn less_than_a_twentieth_of_bytes_or_files_is_a_warning() {
        let said = |free_bytes, free_files, files| {
            let mut report = Report::default();
            let space = Space { free_bytes, bytes: 100_000_000_000, free_files, files };
            report_space(CheckId::ModelSpace, Cache::Model, "models", "n", space, &mut report);
            let lines: Value = serde_json::from_str(&report.json()).unwrap();
            format!("{}: {}", lines[0]["state"].as_str().unwrap(), lines[0]["text"].as_str().unwrap())
        };
        assert_eq!(said(5_000_000_000, 1, 0), "ok: model cache, claim models: 5.0 GB of 100 GB free");
        assert_eq!(
            said(4_900_000_000, 9, 10),
            "warning: model cache, claim models: nearly full, 4.9 GB of 100 GB free"
        );
        let files = "warning: model cache, claim models: nearly full, 4 of 100 files left (90 GB of 100 GB free)";
        assert_eq!(said(90_000_000_000, 4, 100), files);
    }

    #[test]
    fn few_nodes_are_asked_about_a_claim_however_many_mount_it() {
        let mut nodes = Nodes::default();
        for node in ["d", "b", "b", "c", "a"] {
            nodes.add_claims(node, ["models", "compiled"].into_iter());
        }
        nodes.add_claims("e", std::iter::once("other"));
        let of = |claim: &str| nodes.of_claims[claim].iter().cloned().collect::<Vec<_>>();
        assert_eq!((of("models"), of("other")), (["b", "c", "d"].map(str::to_owned).to_vec(), vec!["e".to_owned()]));
    }
}
