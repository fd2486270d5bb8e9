//! Promises about the chart's modes: each renders the arguments and rights that it needs, and no more.

use crate::harness::ROOT;
use crate::harness::control_plane::shared;

/// What the chart renders to.
fn render(values: &str) -> String {
    let (chart, values) = (format!("{ROOT}/manifests/chart"), format!("--set={values}"));
    let template = ["template", "dynamo-cache", &chart, "--namespace=dynamo-cache", &values];
    shared().helm(&template).unwrap().out
}

#[test]
fn events_and_the_count_of_pods_get_what_they_need_and_no_more() {
    let [default, events, uncounted, nothing] =
        ["replicas=2", "config.events=true", "metrics.podsWithoutStatus=false", "config=null"].map(render);
    for (words, expected) in [
        ("    resources: [pods]\n    verbs: [list]\n", [1, 1, 0, 1]),
        ("            - --no-pod-count\n", [0, 0, 1, 0]),
        ("  - apiGroups: [events.k8s.io]\n    resources: [events]\n    verbs: [create]\n", [0, 1, 0, 0]),
        ("    sideEffects: None\n", [2, 0, 2, 2]),
        ("    sideEffects: NoneOnDryRun\n", [0, 2, 0, 0]),
        ("    events: true\n", [0, 1, 0, 0]),
    ] {
        let found = [&default, &events, &uncounted, &nothing].map(|rendered| rendered.matches(words).count());
        assert_eq!(found, expected, "{words}");
    }
}

#[test]
fn each_mode_of_certificates_gets_what_it_needs_and_no_more() {
    let [own, manager, provided, published] = [
        "certificate.mode=self-managed,certificate.dnsNames={other.example}",
        "certificate.mode=cert-manager,certificate.dnsNames={other.example}",
        "certificate.mode=secret",
        "certificate.mode=secret,certificate.publish=true,certificate.clientCAConfigMap=clients",
    ]
    .map(render);
    for (words, expected) in [
        ("--service=dynamo-cache\n", [true, true, true, true]),
        ("--secret=dynamo-cache-ca\n", [true, false, false, false]),
        ("--dns-name=other.example\n", [true, false, false, false]),
        ("--cert-file=/etc/dynamo-cache/tls/tls.crt\n", [false, true, true, true]),
        ("--ca-file=/etc/dynamo-cache/tls/ca.crt\n", [false, false, false, true]),
        ("--client-ca-file=/etc/dynamo-cache/client-ca/ca.crt\n", [false, false, false, true]),
        ("secretName: dynamo-cache-tls\n", [false, true, true, true]),
        ("kind: Role\n", [true, false, false, false]),
        ("verbs: [get, list, watch, patch]\n", [true, false, false, true]),
        ("cert-manager.io/inject-ca-from: dynamo-cache/dynamo-cache\n", [false, true, false, false]),
        ("kind: Issuer\n", [false, true, false, false]),
        ("    - other.example\n", [false, true, false, false]),
        ("caBundle:", [false, false, false, false]),
    ] {
        let found = [&own, &manager, &provided, &published].map(|rendered| rendered.contains(words));
        assert_eq!(found, expected, "{words}");
    }
    let elsewhere =
        render("certificate.mode=cert-manager,certificate.issuerRef.name=ca,certificate.issuerRef.kind=ClusterIssuer");
    assert!(elsewhere.contains("kind: ClusterIssuer\n") && !elsewhere.contains("kind: Issuer\n"), "{elsewhere}");
}
