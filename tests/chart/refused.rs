//! Values that the chart refuses: each refusal names the value, or what to set instead.

use std::collections::BTreeSet;

use serde_json::Value;

use super::values::{POD, at, template, template_as};

#[test]
fn an_argument_that_the_chart_sets_is_refused_in_extra_args() {
    let mut options = BTreeSet::new();
    for values in [
        "{logFormat: json, metrics: {podsWithoutStatus: false}, webhook: {namespaceSelector: {matchLabels: {team: serving}}}}",
        "{certificate: {dnsNames: [other.example]}}",
        "{certificate: {mode: secret, publish: true, clientCAConfigMap: clients}}",
    ] {
        let arguments = at(&template(values).unwrap(), "Deployment", &format!("{POD}/containers/0/args"));
        let arguments = arguments.as_array().unwrap().iter().filter_map(Value::as_str);
        options.extend(arguments.filter(|argument| *argument != "serve").map(|argument| {
            let name = argument.split('=').next().unwrap();
            assert!(name.starts_with("--"), "{values}: {argument}");
            name.to_owned()
        }));
    }
    assert!(options.len() > 12, "{options:?}");
    for option in options {
        let refused = template(&format!("{{extraArgs: ['{option}=mine']}}")).expect_err(&option);
        assert!(refused.contains(&format!("extraArgs: the chart sets {option} itself, by ")), "{option}: {refused}");
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_reaches_the_cluster() {
    for (values, words) in [
        ("{hostNetwork: true}", "the kubelet has port 10250 of every node; set ports.webhook to another one"),
        ("{hostNetwork: true, ports: {webhook: 10260, admin: 10250}}", "set ports.admin to another one"),
        ("{ports: {admin: 10250}}", "ports.webhook and ports.admin are the same"),
        ("{ports: {webhook: 443}}", "/ports/webhook"),
        ("{dnsPolicy: None}", "dnsConfig.nameservers"),
        ("{dnsPolicy: None, dnsConfig: {searches: [example]}}", "dnsConfig.nameservers"),
        ("{dnsPolicy: Sometimes}", "dnsPolicy"),
        ("{replica: 3}", "replica"),
        ("{logLevel: loud}", "/logLevel"),
        ("{webhook: {namespaceSelector: {team: serving}}}", "namespaceSelector"),
        ("{webhook: {namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}}", "values"),
        ("{webhook: {namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}}", "values"),
        ("{certificate: {publish: true}}", "--set certificate.mode=secret"),
        ("{certificate: {secretName: mine}}", "certificate.secretName is for modes cert-manager and secret"),
        ("{certificate: {mode: secret, dnsNames: [other.example]}}", "certificate.dnsNames"),
        ("{certificate: {issuerRef: {name: ca}}}", "--set certificate.mode=cert-manager"),
        ("{certificate: {mode: cert-manager, issuerRef: {kind: ClusterIssuer}}}", "set certificate.issuerRef.name too"),
        ("{image: {repository: 'mine:v2'}}", "/image/repository"),
        ("{image: {repository: 'registry.example:5000/mine:v2'}}", "/image/repository"),
        ("{image: {repository: 'mine@sha256:0'}}", "/image/repository"),
        ("{networkPolicy: {webhookFrom: [{}]}}", "/networkPolicy/webhookFrom/0"),
        ("{networkPolicy: {webhookFrom: [{ipBlock: {cidr: 192.0.2.1}}]}}", "/networkPolicy/webhookFrom/0/ipBlock/cidr"),
        (
            "{networkPolicy: {adminFrom: [{ipBlock: {cidr: 192.0.2.0/28}, podSelector: {}}]}}",
            "/networkPolicy/adminFrom/0",
        ),
        (
            "{hostNetwork: true, ports: {webhook: 10260}, networkPolicy: {enabled: true, adminFrom: [{podSelector: {}}]}}",
            "with hostNetwork",
        ),
        ("{serviceAccount: {name: a..b}}", "/serviceAccount/name"),
        ("{podLabels: {team: two words}}", "/podLabels/team"),
        ("{webhook: {namespaceSelector: {matchLabels: {team: two words}}}}", "/namespaceSelector/matchLabels/team"),
        ("{listenAddress: 999.1.1.1}", "/listenAddress"),
        ("{listenAddress: '[1.1.1.1]'}", "/listenAddress"),
        ("{fullnameOverride: 0ours}", "0ours is no name for a Service"),
        ("{guard: {mode: On}}", "/guard/mode"),
        ("{podLabels: {app.kubernetes.io/name: x}}", "podLabels: the chart sets app.kubernetes.io/name itself"),
        ("{podAnnotations: {prometheus.io/port: '1'}}", "podAnnotations: the chart sets prometheus.io/port itself"),
        ("{metrics: {alertLabels: {app.kubernetes.io/instance: x}}}", "metrics.alertLabels: the chart sets"),
    ] {
        let refused = template(values).expect_err(values);
        assert!(refused.contains(words), "{values}: {refused}");
    }
}

#[test]
fn a_release_whose_name_no_service_can_have_is_refused_and_another_name_mends_it() {
    for release in ["a.b", "0ours"] {
        let refused = template_as(release, "{}").expect_err(release);
        let words = format!("{release}-dynamo-cache is no name for a Service");
        assert!(refused.contains(&words) && refused.contains("--set fullnameOverride="), "{release}: {refused}");
        let mended = template_as(release, "{fullnameOverride: dynamo-cache}").unwrap();
        assert_eq!(at(&mended, "Service", "/metadata/name"), "dynamo-cache", "{release}");
    }
}
