//! Upgrades that change what certificates depend on: the webhook entries, the ServiceAccount, and the owner of the Secret.

use std::fs;

use serde_json::json;

use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, alone};
use crate::harness::pods::worker;
use crate::harness::{ROOT, wait_for};

#[test]
fn an_upgrade_with_one_entry_more_is_trusted_soon_and_its_rollback_at_once() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    let replica = installation.ready("one");
    let ours = installation.secret()[0].clone();

    let chart = plane.folder("chart-with-one-entry-more").display().to_string();
    plane.bash(&format!("cp -R manifests/chart '{chart}'")).unwrap();
    let file = format!("{chart}/templates/mutatingwebhookconfiguration.yaml");
    let template = fs::read_to_string(&file).unwrap();
    let first =
        template.split_once("webhooks:\n").unwrap().1.split_once("  # Only for `dynamo-cache check`").unwrap().0;
    let entry = first.replacen("pods.dynamo-cache.io", "more.dynamo-cache.io", 1);
    fs::write(&file, template.trim_end().to_owned() + "\n" + &entry).unwrap();

    installation.helm(&["upgrade", "dynamo-cache", &chart, "--reuse-values"], "");
    wait_for("our CA in all entries", || {
        let bundles = installation.bundles();
        if bundles == [ours.clone(), ours.clone(), ours.clone()] { Ok(()) } else { Err(format!("{bundles:?}")) }
    });
    wait_for("a pod to be created", || namespace.create(&worker("upgraded").to_string()).map(drop));

    plane.helm(&["rollback", "dynamo-cache", "1", "--namespace=dynamo-cache"]).unwrap();
    let kept = [ours.clone(), ours];
    assert_eq!(installation.bundles(), kept, "no stub of the other entry, and the first two kept their CA");
    installation.balancer.cut();
    namespace.create(&worker("rolled-back").to_string()).unwrap();
    replica.wait_for("/readyz?verbose", "[+]self-call: ok");
    assert!(replica.page("/metrics").unwrap().contains("dynamo_cache_bundle_conflicts_total 0\n"));
}

#[test]
fn an_upgrade_that_renames_the_service_account_keeps_the_ca_and_refuses_no_pod() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    let old = installation.ready("old");
    let first = installation.secret();
    let mut created = (0..).map(|number| namespace.create(&worker(&format!("worker-{number}")).to_string()));
    let mut create = || created.next().unwrap().unwrap();
    wait_for("the API server to call", || namespace.create(&worker("canary").to_string()).map(drop));

    let chart = format!("{ROOT}/manifests/chart");
    installation.helm(&["upgrade", "dynamo-cache", &chart, "--reuse-values"], "serviceAccount.name=renamed");
    create();
    installation.act_as("renamed");
    let new = installation.start("new");
    wait_for("a replica of the new name", || {
        create();
        let answer = new.page("/readyz?verbose")?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("{answer}\n{}", new.log())) }
    });
    assert_eq!(installation.secret(), first, "the Secret is the release's, not the account's");
    create();
    drop(old);
    installation.balancer.cut();
    create();
    assert!(new.page("/metrics").unwrap().contains("dynamo_cache_bundle_conflicts_total 0\n"));
}

/// What a replica made before the chart did: its ServiceAccount owns it, and Helm does not.
#[test]
fn a_secret_that_a_replica_created_is_taken_over_by_the_commands_of_upgrade_md() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let replica = installation.ready("one");
    let before = installation.secret();
    let mut secret = plane.read(&["secret", "dynamo-cache-ca", "--namespace=dynamo-cache"]);
    // A release that does not have the Secret.
    let chart = format!("{ROOT}/manifests/chart");
    installation.helm(&["upgrade", "dynamo-cache", &chart, "--reuse-values"], "certificate.mode=secret");
    let account = plane.read(&["serviceaccount", "dynamo-cache", "--namespace=dynamo-cache"]);
    let (name, uid) = (&account["metadata"]["name"], &account["metadata"]["uid"]);
    let owner = json!([{"apiVersion": "v1", "kind": "ServiceAccount", "name": name, "uid": uid}]);
    secret["metadata"] = json!({"name": "dynamo-cache-ca", "namespace": "dynamo-cache", "ownerReferences": owner});
    plane.kubectl(&["create", "-f", &plane.file(&secret.to_string())]).unwrap();

    let page = fs::read_to_string(format!("{ROOT}/docs/upgrade.md")).unwrap();
    let commands = page.split("```sh\n").find(|block| block.contains("--take-ownership")).unwrap();
    let commands = commands.split("```").next().unwrap();
    let commands = commands.replace("helm upgrade", "helm upgrade --set certificate.mode=self-managed");
    let refused = plane.bash(&commands.replace("--take-ownership", ""));
    assert!(refused.is_err_and(|why| why.contains("dynamo-cache-ca")), "Helm takes over nothing unasked");
    plane.bash(&commands).unwrap();
    let secret = plane.read(&["secret", "dynamo-cache-ca", "--namespace=dynamo-cache"]);
    assert_eq!(secret["metadata"].get("ownerReferences"), None);
    assert_eq!(secret["metadata"]["annotations"]["meta.helm.sh/release-name"], "dynamo-cache");
    assert_eq!(installation.secret(), before);
    replica.wait_for("/readyz?verbose", "[+]certificate: ok");
}
