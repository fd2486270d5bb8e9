//! Certificates recover from every breakage in the cluster without a person.

use super::from_files::commands_of_the_readme;
use crate::harness::certificates::ca;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::{Installation, Replica, alone};
use crate::harness::pods::worker;
use crate::harness::wait_for;

const KEY: &str = "-----BEGIN PRIVATE KEY-----";

/// Waits until a pod gets through, by a fresh connection.
fn wait_for_a_pod(installation: &Installation<'_>, namespace: &Namespace) {
    installation.balancer.cut();
    wait_for("a pod to be created", || namespace.create(&pod()).map(drop));
}

fn pod() -> String {
    let mut pod = worker("");
    pod["metadata"] = serde_json::json!({"generateName": "worker-"});
    pod.to_string()
}

fn counted(replica: &Replica<'_>, line: &str) -> bool {
    replica.page("/metrics").unwrap().contains(&format!("{line}\n"))
}

#[test]
fn a_secret_that_is_emptied_or_filled_with_garbage_is_restored_and_nothing_rotates() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    // Both at once, so that one of them finds the Secret filled by the other.
    let mut both = ["one", "two"].map(|name| installation.start(name));
    for replica in &mut both {
        replica.wait_until_ready();
    }
    let before = installation.secret();
    assert_eq!(before[1].matches(KEY).count(), 1, "the two share one CA");
    assert_eq!(installation.bundles(), [before[0].clone(), before[0].clone()]);
    wait_for_a_pod(&installation, &namespace);

    let restored = || if installation.secret() == before { Ok(()) } else { Err("it is not what it was".to_owned()) };
    for patch in
        [r#"{"data":null}"#, r#"{"stringData":{"ca.crt":"garbage","ca.key":"-----BEGIN PRIVATE KEY-----\n!\n"}}"#]
    {
        let change = ["patch", "secret", "dynamo-cache-ca", "--namespace=dynamo-cache", "--type=merge", "-p", patch];
        plane.kubectl(&change).unwrap();
        wait_for("the Secret to be restored", restored);
    }
    for replica in &both {
        assert!(
            counted(replica, "dynamo_cache_certificate_renewals_total{certificate=\"leaf\"} 1"),
            "{}",
            replica.log()
        );
        replica.wait_for("/readyz", "200 OK");
    }
    assert_eq!(installation.bundles(), [before[0].clone(), before[0].clone()]);
    wait_for_a_pod(&installation, &namespace);
}

#[test]
fn a_ca_that_is_lost_with_every_replica_is_made_again() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    drop(installation.ready("one"));
    let before = installation.secret();
    installation.empty_secret();
    let _two = installation.ready("two");
    assert!(!installation.secret()[1].contains(&before[1]));
    wait_for_a_pod(&installation, &namespace);
    assert!(installation.bundles()[0].contains(&before[0]), "a replica that still served under it would be trusted");
    wait_for("the lost CA in the Secret, for the record", || {
        let [certificates, keys] = installation.secret();
        if certificates.contains(&before[0]) && keys.matches(KEY).count() == 1 { Ok(()) } else { Err(certificates) }
    });
}

/// Leaves of three seconds, so that a CA leaves after fifteen.
#[test]
fn cas_that_were_lost_leave_the_bundle_and_one_that_a_person_put_there_stays() {
    let (plane, _one) = alone();
    let times = ["--shutdown-delay=0s", "--propagation-delay=1s", "--leaf-lifetime=3s"];
    let installation = Installation::new(plane, "", &times);
    let namespace = Namespace::opted_in(plane, &[]);
    let theirs = rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).unwrap().cert.pem();
    let mut lost = Vec::new();
    for round in 0..5 {
        drop(installation.ready(&format!("round-{round}")));
        lost.push(installation.secret()[0].lines().nth(1).unwrap().to_owned());
        installation.empty_secret();
    }
    installation.publish(&format!("{}{theirs}", installation.bundles()[0]));
    let replica = installation.ready("last");
    wait_for_a_pod(&installation, &namespace);
    wait_for("the lost CAs to leave the bundle and the Secret", || {
        namespace.create(&pod())?;
        let (bundles, secret) = (installation.bundles(), installation.secret());
        let certificates = bundles.iter().map(|bundle| bundle.matches("BEGIN CERTIFICATE").count()).max();
        if certificates == Some(2) && secret[0].matches("BEGIN CERTIFICATE").count() == 1 {
            return Ok(());
        }
        Err(format!("{certificates:?} in the bundle: {}", replica.log()))
    });
    for bundle in installation.bundles() {
        assert!(bundle.contains(&theirs) && bundle.contains(&installation.secret()[0]), "{bundle}");
        assert!(lost.iter().all(|lost| !bundle.contains(lost)), "{bundle}");
    }
    assert!(counted(&replica, "dynamo_cache_bundle_conflicts_total 0"), "{}", replica.log());
    wait_for_a_pod(&installation, &namespace);
}

#[test]
fn a_ca_that_is_thrown_away_as_the_readme_says_is_trusted_no_more() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    drop(installation.ready("one"));
    let before = installation.secret();
    plane.bash(&commands_of_the_readme("kubectl scale")).unwrap();
    assert_eq!(installation.bundles(), ["", ""]);
    let _two = installation.ready("two");
    let after = installation.secret();
    assert_ne!(after, before);
    assert_eq!(installation.bundles(), [after[0].clone(), after[0].clone()]);
    wait_for_a_pod(&installation, &namespace);
}

#[test]
fn an_overwritten_ca_bundle_is_restored_until_another_writer_insists() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    let replica = installation.ready("one");
    let ours = installation.secret()[0].clone();
    let theirs = rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).unwrap().cert.pem();
    installation.overwrite_bundle(&theirs);
    let is_restored = || match &installation.bundles()[..] {
        [pods, canary] if pods.contains(&ours) && canary.contains(&ours) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    wait_for("our CA in the caBundle", is_restored);
    wait_for_a_pod(&installation, &namespace);
    replica.wait_for("/readyz?verbose", "[+]bundle: ok");

    for times in 2..=5 {
        wait_for("our CA in the caBundle", is_restored);
        replica.wait_for("/readyz?verbose", "[+]bundle: ok");
        installation.overwrite_bundle(&theirs);
        replica.wait_for("/metrics", &format!("dynamo_cache_bundle_conflicts_total {times}\n"));
    }
    replica.wait_for("/readyz?verbose", "paused, because ");
    let page = replica.page("/readyz?verbose").unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("stranger"), "it was good, so it stays ready: {page}");
    assert!(counted(&replica, "dynamo_cache_trusted 0"));
    assert!(replica.log().contains("not publishing it again for an hour"), "{}", replica.log());
}

#[test]
fn a_new_ca_that_is_removed_repeatedly_is_reported_while_the_old_one_is_trusted() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s", "--propagation-delay=600s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    let replica = installation.ready("one");
    let old = installation.secret()[0].clone();
    // As another replica does that has made a new one.
    let key = rcgen::KeyPair::generate().unwrap();
    let new = ca("new").self_signed(&key).unwrap().pem();
    let keys = format!("{}{}", key.serialize_pem(), installation.secret()[1]);
    let patch = serde_json::json!({"stringData": {"ca.crt": format!("{new}{old}"), "ca.key": keys}}).to_string();
    plane.kubectl(&["patch", "secret", "dynamo-cache-ca", "--namespace=dynamo-cache", "-p", &patch]).unwrap();
    for times in 1..=5 {
        let both = || installation.bundles().iter().all(|bundle| bundle.contains(&new) && bundle.contains(&old));
        wait_for("both CAs in the caBundle", || both().then_some(()).ok_or_else(|| replica.log()));
        installation.overwrite_bundle(&old);
        replica.wait_for("/metrics", &format!("dynamo_cache_bundle_conflicts_total {times}\n"));
    }
    replica.wait_for("/readyz?verbose", "[-]bundle: paused, because stranger keeps removing our CA");
    replica.wait_for("/metrics", "dynamo_cache_trusted 1\n");
    wait_for_a_pod(&installation, &namespace);
}

#[test]
fn replicas_outlive_the_api_server_and_start_while_it_is_away() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let namespace = Namespace::opted_in(plane, &[]);
    let one = installation.ready("one");
    wait_for_a_pod(&installation, &namespace);
    plane.api_server(false);
    let mut two = installation.start("two");
    two.wait_for("/readyz", "[-]certificate: CA Secret: the watch fails: ");
    two.wait_for("/readyz", "[-]bundle: ");
    assert!(two.page("/readyz").unwrap().starts_with("HTTP/1.1 503"), "it knows no claim, and has no CA");
    assert!(two.page("/livez").unwrap().starts_with("HTTP/1.1 200"), "a restart would mend nothing");
    one.wait_for("/metrics", "dynamo_cache_watch_errors_total{kind=\"secret\"} ");
    one.wait_for("/readyz?verbose", "[-]claims: the watch fails: ");
    assert!(one.page("/readyz").unwrap().starts_with("HTTP/1.1 200"), "it was ready, so it stays");
    plane.api_server(true);
    two.wait_until_ready();
    for good in ["certificate", "bundle", "claims", "namespaces"] {
        one.wait_for("/readyz?verbose", &format!("[+]{good}: ok"));
    }
    drop(one);
    wait_for_a_pod(&installation, &namespace);
}

#[test]
fn without_a_configuration_a_replica_is_ready_and_says_so() {
    let (plane, _one) = alone();
    let installation = Installation::new(plane, "", &["--shutdown-delay=0s"]);
    let stored = plane.read(&["mutatingwebhookconfiguration", "dynamo-cache"]);
    plane.kubectl(&["delete", "mutatingwebhookconfiguration", "dynamo-cache"]).unwrap();
    let replica = installation.ready("one");
    replica.wait_for("/readyz?verbose", "[+]bundle: not needed: no MutatingWebhookConfiguration dynamo-cache");
    plane.kubectl(&["create", "-f", &plane.file(&without_server_fields(stored).to_string())]).unwrap();
    replica.wait_for("/readyz?verbose", "[+]self-call: ok");
    let namespace = Namespace::opted_in(plane, &[]);
    wait_for_a_pod(&installation, &namespace);
}

/// An object as it can be created again.
fn without_server_fields(mut object: serde_json::Value) -> serde_json::Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| matches!(key.as_str(), "name" | "labels" | "annotations"));
    object
}
