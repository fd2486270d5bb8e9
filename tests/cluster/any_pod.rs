//! Pods with every field that the API server knows, generated from its own `OpenAPI` document: a pod that it accepts without
//! the webhook is accepted with it, unchanged but for what the contract adds, and a second pass changes nothing.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use serde_json::{Value, json};

use self::dry_run::DryRun;
use self::schema::{Field, Schema};
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::{ControlPlane, shared, webhook};
use crate::harness::program::cases;

mod comparison;
mod dry_run;
mod schema;
mod field_values;

/// Fields that this API server stores of no pod: their feature gates are off, or admission has its own mind.
const NEVER_STORED: [(&str, &str); 22] = [
    ("ClusterTrustBundleProjection", "user"),
    ("ConfigMapVolumeSource", "defaultUser"),
    ("DownwardAPIVolumeFile", "user"),
    ("DownwardAPIVolumeSource", "defaultUser"),
    ("EmptyDirVolumeSource", "mode"),
    ("EvictionResponder", "name"),
    ("EvictionResponder", "priority"),
    ("GRPCAction", "mode"),
    ("HTTPGetAction", "protocol"),
    ("KeyToPath", "user"),
    ("Lifecycle", "stopSignal"),
    ("PodCertificateProjection", "user"),
    ("PodCertificateProjection", "userAnnotations"),
    ("PodSchedulingGroup", "podGroupName"),
    ("PodSpec", "evictionResponders"),
    ("PodSpec", "overhead"),
    ("PodSpec", "schedulingGroup"),
    ("ProjectedVolumeSource", "defaultUser"),
    ("SecretVolumeSource", "defaultUser"),
    ("ServiceAccountTokenProjection", "user"),
    ("TypedObjectReference", "namespace"),
    ("VolumeMount", "bindMountOptions"),
];

/// How many pods are tried in a row for a field, until one is stored with it, and how often one whose review is given up.
const MOST_TRIES: usize = 8;

#[test]
#[allow(clippy::print_stdout, reason = "the numbers are what a person runs it for")]
fn a_pod_with_any_field_is_accepted_as_without_the_webhook_and_keeps_all_it_had() {
    let (plane, _webhook) = (shared(), webhook::running());
    create_classes(plane);
    let document = plane.kubectl(&["get", "--raw=/openapi/v3/api/v1"]).unwrap().out;
    let schema = Schema::read(&serde_json::from_str(&document).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(plane.client());
    let dry_run = |namespace: Namespace<'_>| DryRun::new(&runtime, &client, namespace.name);
    let (without_webhook, with_webhook) = (dry_run(Namespace::plain(plane)), opted_in(plane).map(dry_run));

    let given_up = Cell::new(count_given_up(plane));
    let (taken, refused, had) = (Cell::new(0), Cell::new(0), RefCell::new(BTreeSet::new()));
    let mut about: VecDeque<_> = schema.fields().into_iter().map(|field| (field, 0)).collect();
    let fields = about.len();
    for (number, namespace) in (0..cases(1_250)).zip(with_webhook.iter().cycle()) {
        let (field, tries) = about.pop_front().expect("a field is put back, or comes again");
        try_one(number, &field, &schema, |pod| {
            let Ok((pod, without)) = without_webhook.accepted_part(pod) else {
                refused.set(refused.get() + 1);
                return Ok(());
            };
            taken.set(taken.get() + 1);
            schema.count("PodSpec", &without["spec"], &mut had.borrow_mut());
            for _ in 0..MOST_TRIES {
                let held = holds(&pod, &without, namespace, &without_webhook);
                if held.is_ok() {
                    return held;
                }
                // With failurePolicy Ignore, a pod whose review takes too long, on a busy machine, is created without it.
                let now = count_given_up(plane);
                if given_up.replace(now) == now {
                    return held;
                }
            }
            Err(TestCaseError::fail("each of its reviews is given up"))
        });
        // A field that was not stored yet is tried again soon, the others once more after all have had a turn.
        let soon = tries + 1 < MOST_TRIES && !had.borrow().contains(&field) && !is_never_stored(&field);
        about.push_back((field, if soon { tries + 1 } else { 0 }));
        if soon {
            about.rotate_right(1);
        }
    }
    let had = had.into_inner();
    println!(
        "{} pods accepted with and without the webhook, {} more that are refused without it; {} of {fields} fields stored",
        taken.get(),
        refused.get(),
        had.len()
    );
    let missing = about.iter().map(|(field, _)| field).filter(|field| !had.contains(*field) && !is_never_stored(field));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&Field>::new(), "no pod was stored with these");
}

/// How many reviews the API server has given up so far.
fn count_given_up(plane: &ControlPlane) -> u64 {
    let metrics = plane.kubectl(&["get", "--raw=/metrics"]).unwrap().out;
    let counts = metrics.lines().filter(|line| line.starts_with("apiserver_admission_webhook_fail_open_count{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn is_never_stored((name, key): &Field) -> bool {
    NEVER_STORED.contains(&(name, key))
}

/// Makes a pod, by a seed of its own, and sees whether something holds of it; else shrinks it and shows it.
fn try_one(number: u32, field: &Field, schema: &Schema, holds: impl Fn(Value) -> Result<(), TestCaseError>) {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    let config = Config { failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let pod = schema.pods(field).new_tree(&mut runner).unwrap();
    match runner.run_one(pod, holds) {
        Ok(_) => {}
        Err(TestError::Fail(why, pod)) => {
            panic!("pod {number}, about {field:?}: {why}\n{}", serde_saphyr::to_string(&pod).unwrap_or_default())
        }
        Err(why @ TestError::Abort(_)) => panic!("pod {number}, about {field:?}: {why}"),
    }
}

/// What is promised of a pod that is accepted without the webhook.
fn holds(
    pod: &Value,
    without: &Value,
    namespace: &DryRun<'_>,
    without_webhook: &DryRun<'_>,
) -> Result<(), TestCaseError> {
    let refused = |why| TestCaseError::fail(format!("refused with the webhook: {why}"));
    let with = namespace.create(pod).map_err(|refusal| refused(refusal.message))?;
    comparison::all_but_what_is_ours(without, &with).map_err(TestCaseError::fail)?;
    // What the API server stores it does not always take again: then there is no second pass.
    if let Ok(expected) = without_webhook.create(&with) {
        let again = namespace.create(&with).map_err(|refusal| refused(refusal.message))?;
        prop_assert_eq!(comparison::difference(&expected, &again), None, "a second pass changes it");
    }
    Ok(())
}

/// Creates the classes that pods may name.
fn create_classes(plane: &ControlPlane) {
    let name = json!({"name": "any-pod"});
    let runtime = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": name, "handler": "x"});
    let priority = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": name, "value": 0});
    plane.kubectl(&["create", "-f", &plane.file(&format!("{runtime}\n---\n{priority}"))]).unwrap();
}

/// Namespaces whose settings lead to different decisions.
fn opted_in(plane: &'static ControlPlane) -> [Namespace<'static>; 5] {
    let usual = Namespace::opted_in(plane, &[]);
    usual.claims(&["model-cache", "compilation-cache"]);
    let express = Namespace::opted_in(plane, &[("model-express-url", "mx:8001"), ("load-format", "mx")]);
    express.claims(&["model-cache"]);
    let unasked = Namespace::opted_in(plane, &[("missing-claim", "inject"), ("model-claim", "other")]);
    let staged = Namespace::opted_in(plane, &[("compile-mode", "staged")]);
    staged.claims(&["model-cache", "compilation-cache"]);
    [usual, express, staged, unasked, Namespace::opted_in(plane, &[])]
}
