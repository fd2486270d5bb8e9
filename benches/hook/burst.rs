//! Creations by many clients at once, with two replicas: whether each pod was reviewed, and how long its creator waited.

use futures::future::join_all;
use kube::Client;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::create::{store, worker};
use crate::harness::control_plane::ControlPlane;
use crate::harness::control_plane::namespace::Namespace;
use crate::harness::control_plane::replicas::Installation;
use crate::harness::pods::status;
use crate::harness::wait_for;
use crate::rounds::percentile;

/// Clients at once, each with its own connection, and what they create together in a burst.
const CLIENTS: u32 = 50;
const CREATIONS: u32 = 2_000;

/// Bursts of each kind; an odd number, so that one is in the middle.
const ROUNDS: usize = 3;

/// Prints a table, and fails where a pod was refused or was not reviewed.
pub(crate) fn run(plane: &'static ControlPlane, runtime: &Runtime) {
    let clients = runtime.block_on(join_all((0..CLIENTS).map(|_| plane.client())));
    println!("{CREATIONS} creations by {CLIENTS} clients at once, two replicas; medians of {ROUNDS} bursts.\n");
    println!("| failurePolicy | with | p50 of a creation | p99 | slowest | creations/s | refused | not reviewed |");
    println!("|---|---|---|---|---|---|---|---|");
    for policy in ["Fail", "Ignore"] {
        let installation = Installation::new(plane, &format!("webhook.failurePolicy={policy}"), &[]);
        // What is measured is the webhook. Its guard is a policy beside it, and would be counted with it.
        plane.kubectl(&["delete", "validatingadmissionpolicybinding", "dynamo-cache-guard"]).unwrap();
        let _replicas = ["one", "two"].map(|name| installation.ready(name));
        let (plain, hooked) = (Namespace::plain(plane), Namespace::opted_in(plane, &[]));
        hooked.claims(&["model-cache", "compilation-cache"]);
        wait_for("the API server to call the replicas", || {
            let made = hooked.dry_run(&worker(0).to_string());
            if status(&made).is_null() { Err(made.to_string()) } else { Ok(()) }
        });
        let subjects = [("nothing", &plain), ("dynamo-cache", &hooked)];
        let mut bursts: [Vec<Burst>; 2] = Default::default();
        for round in 0..=ROUNDS {
            for ((name, namespace), bursts) in subjects.iter().zip(&mut bursts) {
                let burst = runtime.block_on(Burst::new(&clients, &namespace.name));
                // At once: kubectl itself would ask for one after another, for minutes.
                let pods = format!("/api/v1/namespaces/{}/pods?gracePeriodSeconds=0", namespace.name);
                plane.kubectl(&["delete", "--raw", &pods]).unwrap();
                assert!(burst.refused.is_empty(), "{name}, {policy}: {:?}", burst.refused);
                assert!(*name == "nothing" || burst.unreviewed == 0, "{policy}: {} not reviewed", burst.unreviewed);
                // The first round warms up.
                bursts.extend((round > 0).then_some(burst));
            }
        }
        for ((name, _), bursts) in subjects.iter().zip(&bursts) {
            let median = |value: fn(&Burst) -> f64| {
                let mut values: Vec<_> = bursts.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let [refused, unreviewed] = [|burst: &Burst| burst.refused.len(), |burst: &Burst| burst.unreviewed]
                .map(|count| bursts.iter().map(count).sum::<usize>());
            println!(
                "| {policy} | {name} | {:.1} ms | {:.1} ms | {:.1} ms | {:.0} | {refused} | {unreviewed} |",
                median(|burst| percentile(&burst.times, 50)),
                median(|burst| percentile(&burst.times, 99)),
                median(|burst| percentile(&burst.times, 100)),
                median(|burst| f64::from(CREATIONS) / burst.seconds),
            );
        }
    }
    println!();
}

/// What became of all creations.
struct Burst {
    /// Milliseconds of each creation, the shortest first.
    times: Vec<f64>,
    /// From the first to the last.
    seconds: f64,
    refused: Vec<String>,
    unreviewed: usize,
}

impl Burst {
    async fn new(clients: &[Client], namespace: &str) -> Self {
        let mut pod = worker(0);
        let metadata = pod["metadata"].as_object_mut().unwrap();
        metadata.remove("name");
        metadata.insert("generateName".to_owned(), "worker-".into());
        let text = serde_json::to_vec(&pod).unwrap();
        let begun = std::time::Instant::now();
        let each = clients.iter().map(async |client| {
            let mut made = Vec::new();
            for _ in 0..CREATIONS / CLIENTS {
                made.push(store(client, namespace, &text).await);
            }
            made
        });
        let made: Vec<_> = join_all(each).await.into_iter().flatten().collect();
        let seconds = begun.elapsed().as_secs_f64();
        let mut burst = Burst { times: Vec::new(), seconds, refused: Vec::new(), unreviewed: 0 };
        for result in made {
            match result {
                Ok((stored, took)) => {
                    let stored: Value = serde_json::from_str(&stored).unwrap();
                    burst.unreviewed += usize::from(status(&stored).is_null());
                    burst.times.push(took.as_secs_f64() * 1e3);
                }
                Err(why) => burst.refused.push(why.to_string()),
            }
        }
        burst.times.sort_by(f64::total_cmp);
        burst
    }
}
