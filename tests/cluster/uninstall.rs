//! `dynamo-cache uninstall`.

use serde_json::json;

use crate::harness::control_plane::ControlPlane;
use crate::harness::pods::worker;

#[test]
fn uninstall_deletes_the_webhook_configuration_and_lists_what_is_left() {
    let plane = ControlPlane::start().unwrap();
    plane.bash("kubectl apply -f manifests/install.yaml").unwrap();
    let configuration = ["mutatingwebhookconfiguration", "dynamo-cache", "--ignore-not-found", "--output=name"];
    let is_there = || !plane.kubectl(&[&["get"], configuration.as_slice()].concat()).unwrap().out.is_empty();
    let wait = ["wait", "--for=create", "serviceaccount/default", "--timeout=60s"];
    plane.kubectl(&wait).unwrap();
    plane.kubectl(&["label", "namespace", "default", "dynamo-cache.io/inject=enabled"]).unwrap();
    plane.kubectl(&["create", "-f", &plane.file(&worker("unreviewed").to_string())]).unwrap();
    // No node runs the replicas here.
    let said = plane.dynamo_cache(&["explain", "unreviewed", "-n", "default"]);
    let expected = "Do not set it by hand: the replicas publish it; check that they are ready: kubectl get deployment dynamo-cache -n dynamo-cache; ";
    assert!(said.output.contains("has no caBundle") && said.output.contains(expected), "{}", said.output);

    let said = plane.dynamo_cache(&["uninstall"]);
    let all = "would delete ValidatingAdmissionPolicyBinding/dynamo-cache-guard\nwould delete \
               MutatingWebhookConfiguration/dynamo-cache\nwould delete ValidatingAdmissionPolicy/dynamo-cache-guard\n";
    assert!(said.output.starts_with(all), "{}", said.output);
    assert!(is_there(), "nothing is deleted without --yes");

    let said = plane.dynamo_cache(&["uninstall", "--yes"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    assert!(said.output.contains("deleted MutatingWebhookConfiguration/dynamo-cache\n"), "{}", said.output);
    assert!(!is_there());
    let rest = "kubectl delete -f manifests/install.yaml --ignore-not-found";
    assert!(said.output.contains(rest), "{}", said.output);
    plane.bash(rest).unwrap();
    let said = plane.dynamo_cache(&["uninstall", "--yes"]);
    assert!(said.code == Some(0) && said.output.starts_with("Nothing to do: "), "{}", said.output);
    assert!(said.output.contains("there is no guard") && said.output.contains(rest), "{}", said.output);

    // A pod that is created afterwards gets this as its reason.
    plane.kubectl(&["create", "-f", &plane.file(&worker("alone").to_string())]).unwrap();
    let said = plane.dynamo_cache(&["explain", "alone", "-n", "default"]);
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert!(said.output.contains("the webhook is not installed"), "{}", said.output);
    assert!(said.errors.contains("using the built-in settings"), "{}", said.errors);
    let mut out = worker("out");
    out["metadata"]["annotations"] = json!({"dynamo-cache.io/inject": "false"});
    plane.kubectl(&["create", "-f", &plane.file(&out.to_string())]).unwrap();
    let said = plane.dynamo_cache(&["explain", "out", "-n", "default"]).output;
    assert!(said.contains("no webhook is installed, and a match condition would exclude the pod."), "{said}");
}

#[test]
fn a_second_dynamo_cache_gets_a_warning_and_uninstall_removes_both() {
    let plane = ControlPlane::start().unwrap();
    for name in ["dynamo-cache", "second"] {
        plane.bash(&format!("helm install {name} manifests/chart --namespace {name} --create-namespace")).unwrap();
    }
    let said = plane.dynamo_cache(&["check", "-n", "kube-system"]).output;
    let expected = "  ! a second dynamo-cache is installed, and both may change the same pods: configuration second-dynamo-cache\n      Keep one of them; to remove the second: helm uninstall second --namespace second\n";
    assert!(said.contains(expected) && said.contains("  ✓ no other webhook changes pods\n"), "{said}");
    // What is never touched needs no claim.
    assert!(said.contains("the webhook never touches this one") && !said.contains("--create-claim"), "{said}");
    assert!(
        said.contains("  – model-claim: not checked: the webhook never touches pods of this namespace\n"),
        "{said}"
    );

    let said = plane.dynamo_cache(&["uninstall"]).output;
    for name in ["dynamo-cache", "second-dynamo-cache"] {
        assert!(said.contains(&format!("would delete MutatingWebhookConfiguration/{name}\n")), "{said}");
    }
    let said = plane.dynamo_cache(&["uninstall", "--yes"]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
    for (release, name) in [("dynamo-cache", "dynamo-cache"), ("second", "second-dynamo-cache")] {
        for line in [
            format!("deleted MutatingWebhookConfiguration/{name}\n"),
            format!("deleted ValidatingAdmissionPolicy/{name}-guard\n"),
            format!("  helm uninstall {release} --namespace {release}\n"),
        ] {
            assert!(said.output.contains(&line), "{line} is not in {}", said.output);
        }
    }
    assert_eq!(said.output.matches("kubectl label namespaces").count(), 1, "{}", said.output);
}

#[test]
fn uninstall_finds_a_guard_that_is_left_after_its_webhook_was_deleted_by_hand() {
    let plane = ControlPlane::start().unwrap();
    let policies = "validatingadmissionpolicies,validatingadmissionpolicybindings";
    let guards = || plane.kubectl(&["get", policies, "--output=name"]).unwrap().out;
    let usual = "kubectl delete -f manifests/install.yaml --ignore-not-found";
    let install = "kubectl apply -f manifests/install.yaml";
    let release = "helm install mine manifests/chart --namespace caches --create-namespace --set guard.mode=Deny";
    for (install, name, remove) in
        [(install, "dynamo-cache", usual), (release, "mine-dynamo-cache", "helm uninstall mine --namespace caches")]
    {
        plane.bash(install).unwrap();
        plane.kubectl(&["delete", "mutatingwebhookconfiguration", name]).unwrap();
        let binding = format!("ValidatingAdmissionPolicyBinding/{name}-guard");
        let policy = format!("ValidatingAdmissionPolicy/{name}-guard");
        let said = plane.dynamo_cache(&["uninstall"]);
        let all = format!("would delete {binding}\nwould delete {policy}\n\nNothing was deleted");
        assert!(said.code == Some(0) && said.output.starts_with(&all), "{}{}", said.output, said.errors);
        assert_eq!(guards().matches("-guard\n").count(), 2, "nothing is deleted without --yes");

        let said = plane.dynamo_cache(&["uninstall", "--yes"]);
        assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.output);
        assert!(said.output.starts_with(&format!("deleted {binding}\ndeleted {policy}\n")), "{}", said.output);
        assert!(!guards().contains("-guard"), "{}", guards());
        assert!(said.output.contains(&format!("Still to be removed:\n  {remove}\n")), "{}", said.output);
        assert!(!said.output.contains("secret"), "it belongs to what is removed: {}", said.output);
        plane.bash(remove).unwrap();
        assert!(plane.dynamo_cache(&["uninstall"]).output.starts_with("Nothing to do: "));
    }
}
