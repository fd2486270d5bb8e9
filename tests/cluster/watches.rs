//! Watches: no object of a tenant stops the webhook's watches, hides other objects from them or fills its memory.

use std::fs;
use std::time::Duration;

use futures::StreamExt as _;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use kube::core::params::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::cluster::failures::{wait_for_model, wait_for_page};
use crate::harness::certificates::{self, CertificateFiles};
use crate::harness::control_plane::faulty_api_server::{FaultyApiServer, WatchFault};
use crate::harness::control_plane::namespace::{Namespace, claim};
use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::pods::worker;
use crate::harness::program::file;
use crate::harness::webhook::Webhook;
use crate::harness::{wait_for, wait_within};

/// What a webhook watches that was given its certificate: claims, namespaces, StorageClasses, its configuration.
const WATCHES: usize = 4;

/// The chart's limit of memory (`resources.limits.memory`).
const LIMIT: u64 = 256 << 20;

/// What a replica may hold beyond what it holds when it is ready in an empty cluster, in kB.
const BEYOND_IDLE: u64 = 64 * 1024;

/// For a list of all of them, by a program and an API server on a busy machine: an idle one takes a tenth.
const HALF_A_GIGABYTE: Duration = Duration::from_secs(600);

/// Objects of a tenant in the tests of memory: four times what was too many.
const OBJECTS: usize = 200;

/// A client of the API server that does not parse its answers into types.
struct Tenant(Client);

impl Tenant {
    async fn new(kubeconfig: &str) -> Self {
        let config = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        Tenant(Client::try_from(config).unwrap())
    }

    async fn create(&self, path: &str, object: &Value) -> Value {
        let request = Request::new(path).create(&PostParams::default(), object.to_string().into_bytes()).unwrap();
        serde_json::from_str(&self.0.request_text(request).await.unwrap()).unwrap()
    }

    /// The object as it is stored afterwards; no deeper than `serde_json` reads it is text.
    async fn patch(&self, collection: &str, name: &str, patch: &Value) -> String {
        let request = Request::new(collection).patch(name, &PatchParams::default(), &Patch::Merge(patch)).unwrap();
        self.0.request_text(request).await.unwrap()
    }
}

/// A time that the API server stores and that our timestamp type cannot represent.
const FAR: &str = "9999-12-31T23:59:59Z";

/// Fields that nest deeper than `serde_json` follows.
fn deep() -> Value {
    (0..150).fold(json!({}), |inner, _| json!({"f:x": inner}))
}

/// A patch of `managedFields`.
fn managed(time: &str, fields: &Value) -> Value {
    let entry = json!({"manager": "tenant", "operation": "Update", "apiVersion": "v1", "time": time,
        "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": fields}}});
    json!({"metadata": {"managedFields": [entry]}})
}

/// Gives an object a time and another fields that cannot be read by a type, and holds that the API server keeps them.
async fn spoil(tenant: &Tenant, path: &str, [far, nested]: [&str; 2]) {
    let stored = tenant.patch(path, far, &managed(FAR, &json!({"f:x": {}}))).await;
    assert!(stored.contains(FAR), "{stored}");
    let stored = tenant.patch(path, nested, &managed("2026-01-01T00:00:00Z", &deep())).await;
    assert!(stored.matches("f:x").count() >= 150, "{stored}");
}

fn metric(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

#[test]
fn objects_of_a_tenant_that_no_type_holds_blind_no_replica() {
    let plane = ControlPlane::start().unwrap();
    let pair = certificates::ecdsa("spoiled");
    let running = counting(&pair, &plane);
    wait_for_page(&running, "[+]claims: ok");
    let honest = Namespace::opted_in(&plane, &[]);
    honest.claims(&["model-cache"]);
    wait_for_model(&running, &honest.name, true);

    // A tenant who may create and patch claims in a namespace that did not opt in, and nothing else.
    let plain = Namespace::plain(&plane);
    tenant_in(&plain, "create,patch", "persistentvolumeclaims");
    // A tenant who may do so with pods, in a namespace that did, and patch that namespace itself.
    let own = Namespace::opted_in(&plane, &[]);
    tenant_in(&own, "create,patch", "pods");
    let on_it = format!("--resource-name={}", own.name);
    plane.kubectl(&["create", "clusterrole", "own", "--verb=patch", "--resource=namespaces", &on_it]).unwrap();
    let account = format!("--serviceaccount={}:tenant", own.name);
    plane.kubectl(&["create", "clusterrolebinding", "own", "--clusterrole=own", &account]).unwrap();
    let other = Namespace::opted_in(&plane, &[]);
    Runtime::new().unwrap().block_on(async {
        let tenant = Tenant::new(&plane.kubeconfig_of("tenant", &plain.name)).await;
        let claims = format!("/api/v1/namespaces/{}/persistentvolumeclaims", plain.name);
        for name in ["far", "nested"] {
            tenant.create(&claims, &claim(name)).await;
        }
        spoil(&tenant, &claims, ["far", "nested"]).await;
        let tenant = Tenant::new(&plane.kubeconfig_of("tenant", &own.name)).await;
        let pods = format!("/api/v1/namespaces/{}/pods", own.name);
        for name in ["far", "nested"] {
            tenant.create(&pods, &component(name)).await;
        }
        spoil(&tenant, &pods, ["far", "nested"]).await;
        // Its own namespace has both in turn, and another person's has the other.
        let stored = tenant.patch("/api/v1/namespaces", &own.name, &managed(FAR, &json!({"f:x": {}}))).await;
        assert!(stored.contains(FAR), "{stored}");
        let all = Tenant::new(&plane.kubeconfig()).await;
        all.patch("/api/v1/namespaces", &other.name, &managed("2026-01-01T00:00:00Z", &deep())).await;
    });

    // A running replica sees objects go and come.
    honest.kubectl(&["delete", "persistentvolumeclaim", "model-cache"]).unwrap();
    wait_for_model(&running, &honest.name, false);
    honest.claims(&["model-cache"]);
    wait_for_model(&running, &honest.name, true);
    // A replica that starts becomes ready, and counts.
    let started = counting(&pair, &plane);
    for condition in ["claims", "namespaces", "storage-classes"] {
        wait_for_page(&started, &format!("[+]{condition}: ok"));
    }
    for replica in [&running, &started] {
        wait_for("a count of the two pods", || {
            let page = replica.page("/metrics").body;
            if page.contains("\ndynamo_cache_pods_without_status 2\n") { Ok(()) } else { Err(page) }
        });
        let page = replica.page("/metrics").body;
        for kind in ["claim", "namespace"] {
            let errors = metric(&page, &format!("dynamo_cache_watch_errors_total{{kind=\"{kind}\"}}"));
            assert_eq!(errors, 0, "{page}");
        }
        assert_eq!(metric(&page, "dynamo_cache_pod_counts_total{result=\"failed\"}"), 0, "{page}");
        wait_for_model(replica, &honest.name, true);
    }
    honest.kubectl(&["delete", "persistentvolumeclaim", "model-cache"]).unwrap();
    wait_for_model(&started, &honest.name, false);
}

#[test]
fn annotations_of_excessive_size_make_one_namespace_unknown_and_no_other() {
    let plane = shared();
    let webhook = counting(&certificates::ecdsa("measure"), plane);
    wait_for_page(&webhook, "[+]namespaces: ok");
    let (large, other) = (Namespace::opted_in(plane, &[("skip", "model")]), Namespace::opted_in(plane, &[]));
    for namespace in [&large, &other] {
        namespace.claims(&["model-cache"]);
    }
    wait_for_model(&webhook, &other.name, true);
    wait_for_model(&webhook, &large.name, false);
    let large_value = format!("dynamo-cache.io/later={}", "x".repeat(100_000));
    let said = large.kubectl(&["annotate", "namespace", &large.name, &large_value]);
    said.unwrap();
    let name = "dynamo_cache_objects_skipped_total{kind=\"namespace\",reason=\"unreadable\"}";
    wait_for("the namespace to be skipped", || {
        let page = webhook.page("/metrics").body;
        if metric(&page, name) > 0 { Ok(()) } else { Err(page) }
    });
    // What it said before is not what it says: the settings of all apply.
    wait_for_model(&webhook, &large.name, true);
    large.kubectl(&["annotate", "namespace", &large.name, "dynamo-cache.io/later-"]).unwrap();
    wait_for_model(&webhook, &large.name, false);
    let line = webhook.line("skipped an object");
    assert_eq!((&line["name"], &line["not_logged"]), (&json!(large.name), &json!(0)), "{line}");
}

#[test]
fn watches_that_end_at_once_are_opened_ever_less_often() {
    are_opened_ever_less_often("ending", WatchFault::EndsAtOnce);
}

#[test]
fn watches_that_are_always_gone_410_are_listed_ever_less_often() {
    are_opened_ever_less_often("gone", WatchFault::IsGone);
}

/// With the watches of claims, namespaces, StorageClasses and the configuration: after each has been opened some times, there is a pause
/// between two looks, which lie a tenth of a second apart.
fn are_opened_ever_less_often(name: &str, how: WatchFault) {
    let installed = webhook::running();
    let faulty = FaultyApiServer::to(&fs::read_to_string(installed.kubeconfig()).unwrap());
    let kubeconfig = file(&format!("{name}.kubeconfig"), &faulty.kubeconfig());
    let webhook = called(&certificates::ecdsa(name), &kubeconfig);
    for condition in ["claims", "namespaces", "storage-classes"] {
        wait_for_page(&webhook, &format!("[+]{condition}: ok"));
    }
    let namespace = Namespace::opted_in(shared(), &[]);
    namespace.claims(&["model-cache"]);
    wait_for_model(&webhook, &namespace.name, true);
    let before = faulty.watches();
    faulty.set_watch_fault(how);
    faulty.cut();
    // The first pause of each is none.
    let enough = before + WATCHES * 4;
    let opened = wait_for("each watch to begin four times", || {
        let opened = faulty.watches();
        if opened >= enough { Ok(opened) } else { Err(format!("{opened} of {enough}")) }
    });
    assert!(opened < enough + WATCHES, "{opened} in place of {enough}");
    namespace.kubectl(&["delete", "persistentvolumeclaim", "model-cache", "--wait=false"]).unwrap();
    faulty.set_watch_fault(WatchFault::Passes);
    wait_for_model(&webhook, &namespace.name, false);
    // Until then each has waited for seconds, and has not been opened more than once in each.
    let opened = faulty.watches();
    assert!(opened < enough + WATCHES * 4, "{opened} in place of {enough}");
}

#[test]
#[allow(clippy::print_stdout, reason = "the numbers are what a person runs it for")]
fn objects_of_megabytes_stay_within_the_memory_of_a_replica() {
    let plane = ControlPlane::start().unwrap();
    let pair = certificates::ecdsa("large");
    let idle = measured(&pair, &plane).peak_memory_kib();
    let (plain, labelled) = (Namespace::plain(&plane), Namespace::opted_in(&plane, &[]));
    let size = Runtime::new().unwrap().block_on(async {
        let tenant = Tenant::new(&plane.kubeconfig()).await;
        let claims = format!("/api/v1/namespaces/{}/persistentvolumeclaims", plain.name);
        let pods = format!("/api/v1/namespaces/{}/pods", labelled.name);
        let made = futures::stream::iter(0..OBJECTS).map(|number| {
            let (tenant, claims, pods) = (&tenant, &claims, &pods);
            async move {
                let name = format!("large-{number}");
                let (mut claim, mut pod) = (claim(&name), component(&name));
                enlarge(&mut claim);
                enlarge(&mut pod);
                let stored = tenant.create(claims, &claim).await;
                tenant.create(pods, &pod).await;
                stored.to_string().replace('<', r"\u003c").len()
            }
        });
        made.buffer_unordered(2).collect::<Vec<_>>().await
    });
    assert!(size.iter().all(|size| *size > 2_700_000), "{size:?}");
    let replica = measured(&pair, &plane);
    let claims = std::iter::repeat_with(|| replica.line("watching")).find(|line| line["kind"] == "Claim").unwrap();
    assert_eq!(claims["objects"], OBJECTS, "it knows all claims");
    // None of them has room for a status, so none counts; that they were looked at is what it says.
    wait_within(HALF_A_GIGABYTE, "a count", || {
        let page = replica.page("/metrics").body;
        let counts = metric(&page, "dynamo_cache_pod_counts_total{result=\"completed\"}");
        if counts >= 1 { Ok(()) } else { Err(page) }
    });
    let page = replica.page("/metrics").body;
    assert_eq!(metric(&page, "dynamo_cache_pod_counts_total{result=\"failed\"}"), 0, "{page}");
    let (most, (_, kills)) = (replica.peak_memory_kib(), replica.socket_memory_and_oom_kills());
    assert_eq!(kills, 0, "it was killed for its memory");
    assert!(most < idle + BEYOND_IDLE, "{most} kB at the most, {idle} kB idle");
    println!("{most} kB at the most, {idle} kB idle");
}

/// As many labels as etcd takes, each of them in `managedFields` again, and as many annotations as the API server takes, each
/// of whose characters is written as six.
fn enlarge(object: &mut Value) {
    let labels =
        (0..5_000).map(|number| (format!("label-{number:05}.example/{}", "x".repeat(63)), json!("x".repeat(63))));
    let metadata = &mut object["metadata"];
    if !metadata["labels"].is_object() {
        metadata["labels"] = json!({});
    }
    metadata["labels"].as_object_mut().unwrap().extend(labels);
    metadata["annotations"] = json!({"large": "<".repeat(256 * 1024 - 5)});
}

/// A worker by its label.
fn component(name: &str) -> Value {
    let mut pod = worker(name);
    pod["metadata"]["labels"] = json!({"nvidia.com/dynamo-component-type": "worker"});
    pod
}

/// A tenant with these permissions in a namespace: its ServiceAccount `tenant`.
fn tenant_in(namespace: &Namespace<'_>, verbs: &str, resources: &str) {
    let account = format!("--serviceaccount={}:tenant", namespace.name);
    let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
    namespace.kubectl(&["create", "serviceaccount", "tenant"]).unwrap();
    namespace.kubectl(&["create", "role", "tenant", &verbs, &resources]).unwrap();
    namespace.kubectl(&["create", "rolebinding", "tenant", "--role=tenant", &account]).unwrap();
}

/// A webhook that counts pods all the time.
fn counting(pair: &CertificateFiles, plane: &ControlPlane) -> Webhook {
    let kubeconfig = plane.kubeconfig();
    let files = ["--kubeconfig", &kubeconfig, "--cert-file", &pair.certificate, "--key-file", &pair.key];
    Webhook::start(&[files.as_slice(), &["--pod-count-interval", "500ms"]].concat(), || pair.ca.clone())
}

/// A webhook that knows by which configuration it is called, and watches it.
fn called(pair: &CertificateFiles, kubeconfig: &str) -> Webhook {
    let files = ["--kubeconfig", kubeconfig, "--cert-file", &pair.certificate, "--key-file", &pair.key];
    let service = ["--service", "dynamo-cache", "--namespace", "dynamo-cache"];
    Webhook::start(&[files.as_slice(), &service].concat(), || pair.ca.clone())
}

/// A replica in the chart's memory, where this machine has cgroups that we may make, once it is ready.
fn measured(pair: &CertificateFiles, plane: &ControlPlane) -> Webhook {
    let kubeconfig = plane.kubeconfig();
    let files = ["--kubeconfig", &kubeconfig, "--cert-file", &pair.certificate, "--key-file", &pair.key];
    let arguments = [files.as_slice(), &["--pod-count-interval", "200ms", "--shutdown-delay", "0s"]].concat();
    let replica = Webhook::within(LIMIT, &arguments, || pair.ca.clone());
    wait_within(HALF_A_GIGABYTE, "the replica to be ready", || {
        let answer = replica.page("/readyz?verbose");
        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
    });
    replica
}
