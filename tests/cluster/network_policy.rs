//! The chart's `NetworkPolicy`, as the API server stores it. There is no network here that would enforce it.

use serde_json::{Value, json};

use crate::harness::ROOT;
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::replicas::alone;

/// What the API server would store of the chart's `NetworkPolicy`; none where there is none. And its Deployment.
fn rendered(plane: &ControlPlane, values: &str) -> (Option<Value>, Value) {
    let chart = format!("{ROOT}/manifests/chart");
    let said = plane.helm(&["template", "dynamo-cache", &chart, "--namespace=default", "--set-json", values]).unwrap();
    let parts: Vec<_> = said.out.split("\n---\n").collect();
    let of = |kind: &str| {
        let part = parts.iter().find(|part| part.contains(&format!("\nkind: {kind}\n")))?;
        let apply = ["create", "--dry-run=server", "--validate=strict", "--output=json", "-f", &plane.file(part)];
        Some(serde_json::from_str(&plane.kubectl(&apply).unwrap().out).unwrap())
    };
    (of("NetworkPolicy"), of("Deployment").unwrap())
}

#[test]
fn a_network_policy_lets_in_and_out_what_its_values_say_and_nothing_else() {
    let (plane, _one) = alone();
    let addresses =
        json!([{"ipBlock": {"cidr": "10.0.0.0/28", "except": ["10.0.0.8/32"]}}, {"ipBlock": {"cidr": "fd00::/64"}}]);
    let pods = json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
        "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["prometheus"]}]}}]);
    let none = json!([]);
    for webhook in [&none, &addresses, &pods] {
        for admin in [&none, &addresses, &pods] {
            for ports in [json!([443, 6443]), json!([16443])] {
                let ours = json!({"webhook": 20250, "admin": 20080});
                let policy =
                    json!({"enabled": true, "webhookFrom": webhook, "adminFrom": admin, "apiServerPorts": ports});
                let (stored, deployment) = rendered(plane, &format!("networkPolicy={policy},ports={ours}"));
                let spec = &stored.unwrap()["spec"];
                let labels = deployment["spec"]["template"]["metadata"]["labels"].as_object().unwrap();
                let selected = spec["podSelector"]["matchLabels"].as_object().unwrap();
                assert!(selected.iter().all(|(label, value)| labels.get(label) == Some(value)), "{spec:#}");
                assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));

                let rules = spec["ingress"].as_array().unwrap();
                assert_eq!(rules.len(), 2, "{spec:#}");
                for (port, peers) in [("webhook", webhook), ("admin", admin)] {
                    let ports = json!([{"port": port, "protocol": "TCP"}]);
                    let rule = rules.iter().find(|rule| rule["ports"] == ports);
                    let rule = rule.unwrap_or_else(|| panic!("no rule for {port}: {spec:#}"));
                    // A rule without `from` admits every source.
                    let from = rule.get("from").unwrap_or(&none);
                    assert_eq!(from, peers, "{port}: {spec:#}");
                    let containers = &deployment["spec"]["template"]["spec"]["containers"];
                    let named = containers[0]["ports"].as_array().unwrap().iter().find(|named| named["name"] == port);
                    assert_eq!(named.unwrap()["containerPort"], ours[port], "the name is that of the pod's port");
                }
                let out: Vec<_> =
                    ports.as_array().unwrap().iter().map(|port| json!({"port": port, "protocol": "TCP"})).collect();
                assert_eq!(spec["egress"], json!([{"ports": out}]), "the API server, at any address");
            }
        }
    }
    let refused = plane.helm(&[
        "template",
        "x",
        &format!("{ROOT}/manifests/chart"),
        "--set-json=networkPolicy.apiServerPorts=[]",
    ]);
    assert!(refused.is_err_and(|why| why.contains("apiServerPorts")), "no port would mean every port");
    let (none, _) = rendered(plane, "networkPolicy.enabled=false");
    assert_eq!(none, None);
}
