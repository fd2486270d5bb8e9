//! Creations by turns: without anything, with the webhook, and with each policy; one at a time and ten at once.

use futures::future::join_all;
use kube::Client;
use serde_json::{Value, json};

use crate::create::{create, worker};
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::pods::{claims, container, environment, mounts, status};
use crate::harness::wait_for;
use crate::policy::{self, Way};

/// Rounds of each number in flight, and creations in a row in each of them.
const ROUNDS: usize = 40;
const IN_A_ROW: usize = 20;

/// Prints a table.
pub(crate) async fn run(plane: &'static ControlPlane, client: &Client, hooked: &Namespace<'_>) {
    let pod = worker(0);
    let [plain, applying, patching, completing] = [(); 4].map(|()| Namespace::plain(plane));
    let wanted = create(client, &hooked.name, &pod).await.0;
    assert!(status(&wanted)["skipped"].as_array().is_some_and(Vec::is_empty), "{}", status(&wanted));
    policy::install(plane, &applying, Way::ApplyConfiguration, &pod, &wanted);
    policy::install(plane, &patching, Way::JsonPatch, &pod, &wanted);
    policy::install(plane, &completing, Way::JsonPatchOfWhatIsMissing, &pod, &wanted);
    for namespace in [&applying, &patching, &completing] {
        wait_until_same(namespace, &pod, &wanted);
    }
    leaves_what_is_there(&completing, &pod, &wanted);
    let subjects = [
        ("nothing", &plain),
        ("dynamo-cache", hooked),
        ("MutatingAdmissionPolicy, ApplyConfiguration", &applying),
        ("MutatingAdmissionPolicy, JSONPatch", &patching),
        ("MutatingAdmissionPolicy, JSONPatch of what is missing", &completing),
    ];
    println!("| in flight | with | p50 of a creation | added | p99 |\n|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for in_flight in [1, 10] {
        let mut times: [Vec<f64>; 5] = Default::default();
        for round in 0..=ROUNDS {
            // Each webhook runs after each other one, since a run finds what the one before left behind.
            for turn in 0..subjects.len() {
                let index = (turn + round) % subjects.len();
                let ((name, namespace), times) = (&subjects[index], &mut times[index]);
                let (made, took) = one_round(client, &namespace.name, &pod, in_flight).await;
                // A failure policy that lets a pod pass would let us count what was not done.
                let all = made.iter().all(|pod| status(pod).is_null() == (*name == "nothing"));
                assert!(all, "{name}: a creation went by without it");
                // The first round warms up.
                if round > 0 {
                    times.extend(took);
                }
            }
        }
        for times in &mut times {
            times.sort_by(f64::total_cmp);
        }
        let middles = times.each_ref().map(|of| percentile(of, 50));
        let added = middles.map(|middle| middle - middles[0]);
        for (((name, _), times), added) in subjects.iter().zip(&times).zip(added) {
            let (middle, late) = (percentile(times, 50), percentile(times, 99));
            println!("| {in_flight} | {name} | {middle:.2} ms | {added:.2} ms | {late:.2} ms |");
        }
        let [_, ours, .., completing] = middles;
        let whole = ours / completing;
        let [_, ours, applying, patching, completing] = added;
        ratios.push((in_flight, whole, ours / completing, ours / applying.min(patching)));
    }
    for (in_flight, whole, completing, plain) in ratios {
        println!(
            "\n{in_flight} in flight: a creation with the webhook takes {whole:.2} × one with the policy that adds what is \
             missing. The webhook adds {completing:.2} × what that policy does, {plain:.2} × the cheaper of the plain ones"
        );
    }
    println!();
}

/// The pods as they would be stored, and how many milliseconds each took.
async fn one_round(client: &Client, namespace: &str, pod: &Value, in_flight: usize) -> (Vec<Value>, Vec<f64>) {
    let mut created = Vec::new();
    for _ in 0..IN_A_ROW / in_flight.min(IN_A_ROW) {
        created.extend(join_all((0..in_flight).map(|_| create(client, namespace, pod))).await);
    }
    created.into_iter().map(|(pod, took)| (pod, took.as_secs_f64() * 1e3)).unzip()
}

/// The value below which so many of a hundred are; 100 is the last.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// A policy applies a moment after it was created; then the pod is the webhook's.
fn wait_until_same(namespace: &Namespace<'_>, pod: &Value, wanted: &Value) {
    wait_for("the policy to make the pod of the webhook", || {
        let made = namespace.dry_run(&pod.to_string());
        let (made, wanted) = (parts(&made), parts(wanted));
        if made == wanted { Ok(()) } else { Err(format!("{made} instead of {wanted}")) }
    });
}

/// A second pass changes nothing, and what a user wrote stays.
fn leaves_what_is_there(namespace: &Namespace<'_>, pod: &Value, wanted: &Value) {
    let mut again = pod.clone();
    for list in ["volumes", "containers"] {
        again["spec"][list] = wanted["spec"][list].clone();
    }
    again["metadata"]["annotations"] = wanted["metadata"]["annotations"].clone();
    assert_eq!(parts(&namespace.dry_run(&again.to_string())), parts(wanted));
    let mut own = pod.clone();
    let home = json!({"name": "HF_HOME", "value": "/own"});
    own["spec"]["containers"][0]["env"].as_array_mut().unwrap().push(home);
    assert_eq!(environment(container(&namespace.dry_run(&own.to_string()), "main"))["HF_HOME"], "/own");
}

/// What the webhook has to do with.
fn parts(pod: &Value) -> Value {
    let main = container(pod, "main");
    let mut mounts = mounts(main);
    mounts.retain(|_, volume| !volume.starts_with("kube-api-access"));
    json!([claims(pod), mounts, environment(main), status(pod)])
}
