//! Upgrades that change what the certificates hang on: the entries, and the ServiceAccount that owns the CA.

use std::fs;

use crate::control_plane::namespace::Namespace;
use crate::control_plane::replicas::{Installation, alone};
use crate::control_plane::{ROOT, wait_for};
use crate::stored::worker;

#[test]
fn an_upgrade_with_one_entry_more_is_trusted_soon_and_its_rollback_at_once() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--drain=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    let replica = installation.ready("one");
    let ours = installation.secret()[0].clone();

    let chart = plane.folder("chart-with-one-entry-more").display().to_string();
    plane.bash(&format!("cp -R manifests/chart '{chart}'")).unwrap();
    let file = format!("{chart}/templates/mutatingwebhookconfiguration.yaml");
    let template = fs::read_to_string(&file).unwrap();
    let first =
        template.split_once("webhooks:\n").unwrap().1.split_once("  # For `dynamo-cache check` alone").unwrap().0;
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
    replica.wait_for("/readyz?verbose", "[+]probe: ok");
    assert!(replica.page("/metrics").unwrap().contains("dynamo_cache_bundle_conflicts_total 0\n"));
}

#[test]
fn an_upgrade_that_renames_the_service_account_makes_another_ca_and_refuses_no_pod() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--drain=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    let old = installation.ready("old");
    let first = installation.secret()[0].clone();
    let mut created = (0..).map(|number| namespace.create(&worker(&format!("worker-{number}")).to_string()));
    let mut create = || created.next().unwrap().unwrap();

    let chart = format!("{ROOT}/manifests/chart");
    installation.helm(&["upgrade", "dynamo-cache", &chart, "--reuse-values"], "serviceAccount.name=renamed");
    wait_for("the Secret to go with its owner", || {
        create();
        if installation.secret()[0].is_empty() { Ok(()) } else { Err("it is there".to_owned()) }
    });

    installation.act_as("renamed");
    let new = installation.start("new");
    wait_for("a replica under the new CA", || {
        create();
        let answer = new.page("/readyz?verbose")?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("{answer}\n{}", new.log())) }
    });
    let second = installation.secret()[0].clone();
    assert!(!second.is_empty() && !second.contains(&first), "another CA: {second}");
    for bundle in installation.bundles() {
        assert!(bundle.contains(&first) && bundle.contains(&second), "{bundle}");
    }
    let owner = plane.read(&["secret", "dynamo-cache-ca", "--namespace=dynamo-cache"]);
    assert_eq!(owner["metadata"]["ownerReferences"][0]["name"], "renamed");
    create();
    drop(old);
    installation.balancer.cut();
    create();
    assert!(new.page("/metrics").unwrap().contains("dynamo_cache_bundle_conflicts_total 0\n"));
}
