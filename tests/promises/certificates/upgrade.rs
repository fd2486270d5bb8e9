//! An upgrade that brings one more entry, and the way back.

use std::fs;

use crate::control_plane::namespace::Namespace;
use crate::control_plane::replicas::{Installation, alone};
use crate::control_plane::wait_for;
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
