//! `dynamo-cache check` without all permissions: a line names the missing permission, and the other lines are checked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::volumes::anywhere;
use super::write_probe::{end_pod, line, nothing_is_left, writable};
use super::{CACHES, service, states};
use crate::harness::control_plane::namespace::{Namespace, csi};
use crate::harness::control_plane::{shared, webhook};
use crate::harness::pods::worker;
use crate::harness::program::{end, file};
use crate::harness::wait_for;

/// The permissions that a full check needs: verb, group and resource.
const RIGHTS: [(&str, &str, &str); 15] = [
    ("list", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("get", "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("get", "admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("get", "", "services"),
    ("get", "apps", "deployments"),
    ("create", "", "pods"),
    ("get", "", "namespaces"),
    ("list", "", "persistentvolumeclaims"),
    ("list", "", "pods"),
    ("list", "discovery.k8s.io", "endpointslices"),
    ("get", "", "configmaps"),
    ("get", "", "persistentvolumes"),
    ("get", "storage.k8s.io", "csidrivers"),
    ("list", "", "nodes"),
    ("list", "batch", "jobs"),
];

/// The lines that a missing right leaves unchecked; the first of them names it.
fn unchecked(resource: &str, verb: &str) -> &'static [&'static str] {
    match (verb, resource) {
        (_, "mutatingwebhookconfigurations") => &[
            "installation",
            "configuration",
            "service",
            "certificate",
            "guard",
            "other-webhooks",
            "canary",
            "version",
            "settings",
            "model-claim",
            "compile-claim",
            "model-express",
        ],
        (_, "validatingadmissionpolicies" | "validatingadmissionpolicybindings") => &["guard"],
        (_, "services") => &["model-express", "service"],
        (_, "deployments") => &["certificate"],
        ("create", _) => &["canary", "version"],
        (_, "namespaces") => &["label", "annotations", "model-claim", "compile-claim", "model-express"],
        (_, "persistentvolumeclaims") => &["model-claim", "compile-claim"],
        (_, "pods") => &["pods"],
        (_, "jobs") => &["model-offline"],
        (_, "endpointslices") => &["model-express"],
        (_, "persistentvolumes" | "csidrivers" | "nodes") => &["model-volume"],
        (_, "configmaps") => &["settings", "model-claim", "compile-claim", "model-express"],
        _ => &[],
    }
}

#[test]
fn a_right_that_is_missing_is_named_by_its_line_and_the_others_go_on() {
    let _webhook = webhook::running();
    let plane = shared();
    let namespace = Namespace::opted_in(plane, &[("model-express-url", "model-express:8001")]);
    // The CSIDriver says that it applies fsGroup, and every node can mount the volume.
    let driver = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "rights.csi.test"},
        "spec": {"attachRequired": false, "fsGroupPolicy": "File"},
    });
    namespace.create(&driver.to_string()).unwrap();
    let mut volume = csi("rights.csi.test");
    volume["nodeAffinity"] = anywhere();
    namespace.bound_claim(CACHES[0], &volume);
    namespace.claims(&CACHES[1..]);
    namespace.create(&service("model-express")).unwrap();
    namespace.create(&worker("worker").to_string()).unwrap();
    let name = &namespace.name;
    let kubeconfig = plane.kubeconfig_of("default", name);
    let check = |arguments: &[&str]| {
        let check = ["check", "-o", "json", "--kubeconfig", &kubeconfig];
        let said = plane.dynamo_cache(&[&check, arguments].concat());
        assert_eq!(said.code, Some(0), "what may not be seen has not failed: {}{}", said.output, said.errors);
        states(&said)
    };
    let sentence = |lines: &Value, check: &str| {
        let line = lines.as_array().unwrap().iter().find(|line| line["check"] == check).unwrap();
        line["text"].as_str().unwrap().to_owned()
    };

    // A person without any permission.
    let (found, lines) = check(&["-n", name]);
    assert_eq!(found["api-server"], "ok");
    for (check, resource) in
        [("installation", "mutatingwebhookconfigurations"), ("model-claim", "persistentvolumeclaims"), ("pods", "pods")]
    {
        let text = sentence(&lines, check);
        assert!(text.contains(&format!("{check}: not checked: ")) && text.contains("cannot list resource"), "{text}");
        assert!(text.contains(resource), "{text}");
    }
    let (found, lines) = check(&[]);
    assert_eq!(found["namespaces"], "not-checked");
    let text = sentence(&lines, "namespaces");
    assert!(text.contains("cannot list resource \"namespaces\"") && text.ends_with("; name one with -n"), "{text}");

    let said = plane.dynamo_cache(&["check", "--kubeconfig", &kubeconfig]);
    let (above, summary) = said.output.rsplit_once("\n\n").unwrap();
    let (not_checked, all) = (above.matches("\n  – ").count(), above.matches("\n  ").count());
    assert!(not_checked > 8 && summary == format!("{not_checked} of {all} not checked\n"), "{}", said.output);

    let role = |missing: Option<usize>| {
        let rights = RIGHTS.iter().enumerate().filter(|(index, _)| Some(*index) != missing);
        let rules: Vec<_> = rights
            .map(|(_, (verb, group, resource))| json!({"verbs": [verb], "apiGroups": [group], "resources": [resource]}))
            .collect();
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
        });
        namespace.apply(&role.to_string()).unwrap();
    };
    role(None);
    let account = format!("--serviceaccount={name}:default");
    plane.kubectl(&["create", "clusterrolebinding", name, &format!("--clusterrole={name}"), &account]).unwrap();
    let wait_until = |expected: &BTreeMap<String, String>| {
        wait_for("the rights to be known", || {
            let (mut found, lines) = check(&["-n", name]);
            // Of the models, those are named that may be seen: that is no check which is made or not.
            found.remove("models");
            if found == *expected { Ok(lines) } else { Err(format!("{found:?} instead of {expected:?}: {lines:#}")) }
        })
    };
    let all = [
        "api-server",
        "installation",
        "configuration",
        "service",
        "certificate",
        "guard",
        "other-webhooks",
        "canary",
        "version",
    ];
    let of_namespace =
        ["label", "annotations", "model-claim", "compile-claim", "model-volume", "pods", "model-express"];
    let all = all.into_iter().chain(["settings"]).chain(of_namespace);
    // The tests' Service leads to a loopback address.
    let state = |check: &str| if check == "service" { "not-checked" } else { "ok" };
    let everything: BTreeMap<_, _> = all.map(|check| (check.to_owned(), state(check).to_owned())).collect();
    wait_until(&everything);

    for (index, (verb, group, resource)) in RIGHTS.iter().enumerate() {
        role(Some(index));
        let unchecked = unchecked(resource, verb);
        let mut expected = everything.clone();
        if unchecked.contains(&"model-claim") {
            // It is not known whether the claim is bound.
            expected.remove("model-volume");
        }
        expected.extend(unchecked.iter().map(|check| ((*check).to_owned(), "not-checked".to_owned())));
        let lines = wait_until(&expected);
        for first in unchecked.iter().take(1) {
            let text = sentence(&lines, first);
            let right = format!("cannot {verb} resource \"{resource}\" in API group \"{group}\"");
            assert!(text.contains(&right), "{text}");
        }
    }
    plane.kubectl(&["delete", "clusterrole,clusterrolebinding", name]).unwrap();
    plane.kubectl(&["delete", "csidriver", "rights.csi.test"]).unwrap();
}

#[test]
fn a_person_who_may_not_patch_claims_gets_the_command_for_someone_who_may() {
    let _webhook = webhook::running();
    let plane = shared();
    let namespace = Namespace::opted_in(plane, &[]);
    namespace.unproven_claims(&CACHES);
    let name = &namespace.name;
    let account = format!("--serviceaccount={name}:default");
    namespace.kubectl(&["create", "role", "jobs", "--verb=create,delete", "--resource=jobs.batch"]).unwrap();
    namespace.kubectl(&["create", "rolebinding", "jobs", "--role=jobs", &account]).unwrap();
    namespace.kubectl(&["create", "rolebinding", "views", "--clusterrole=view", &account]).unwrap();
    let kubeconfig = plane.kubeconfig_of("default", name);
    let config = file("patch-settings.yaml", "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\n");
    let check = ["check", "--write-probe", "-o", "json", "-n", name, "--kubeconfig", &kubeconfig, "--config", &config];

    let running = plane.start_dynamo_cache(&check);
    end_pod(&namespace, "model", 0, "uid 1000\nwrote\n");
    end_pod(&namespace, "compile", 0, "uid 1000\nwrote\n");
    let said = end(running);
    assert_eq!(said.code, Some(1), "{}{}", said.output, said.errors);
    // Workers get the model cache without a proof.
    for (check, claim, state_of) in [("model-proof", CACHES[0], "warning"), ("compile-proof", CACHES[1], "failed")] {
        let (state, text, hint) = line(&said, check).unwrap();
        assert_eq!(state, state_of, "{text}");
        let right = "cannot patch resource \"persistentvolumeclaims\" in API group \"\"";
        assert!(text.starts_with(&format!("claim {claim} is not marked: ")) && text.contains(right), "{text}");
        let command = format!("kubectl annotate pvc {claim} -n {name} --overwrite dynamo-cache.io/writable=1000");
        assert_eq!(hint, command);
        assert_eq!(writable(&namespace, claim), "");
        plane.bash(&hint).unwrap();
        assert_eq!(writable(&namespace, claim), "1000");
    }
    nothing_is_left(&namespace);
}
