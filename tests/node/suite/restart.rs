//! Pods that are created while the webhook restarts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use super::cluster::{shared, wait_for};
use super::namespace::Namespace;
use super::pod;
use super::release::{self, NAME};

#[test]
fn pods_are_created_while_every_replica_is_replaced() {
    let (cluster, _alone) = (shared(), release::alone());
    release::install(cluster, &["--set", "webhook.failurePolicy=Fail"]);
    let namespace = Namespace::opted_in(&[]);
    let before = release::pods(cluster);

    let over = AtomicBool::new(false);
    let counts = scope(|scope| {
        let creations = scope.spawn(|| {
            let mut counts = BTreeMap::<String, usize>::new();
            while !over.load(Ordering::Relaxed) {
                let what = match namespace.dry_run(&pod::worker(&[])) {
                    Ok(pod) if pod::status(&pod).is_null() => "created without a word".to_owned(),
                    Ok(_) => "created with caches in mind".to_owned(),
                    Err(why) => why.lines().find(|line| line.starts_with("Error")).unwrap_or(&why).to_owned(),
                };
                *counts.entry(what).or_default() += 1;
            }
            counts
        });
        let deployment = format!("deployment/{NAME}");
        let restarted = [["rollout", "restart", &deployment], ["rollout", "status", &deployment]]
            .map(|what| cluster.kubectl(&[what.as_slice(), &["--namespace", NAME]].concat()));
        // Until the last of the old ones has answered what it still had to, and is gone.
        let gone = std::panic::catch_unwind(|| {
            wait_for("the old replicas to be gone", || {
                let pods = cluster.kubectl(&["get", "pods", "--namespace", NAME, "--output=name"])?;
                let old = before.iter().filter(|(name, _)| pods.contains(name.as_str())).count();
                if old == 0 { Ok(()) } else { Err(pods) }
            });
        });
        over.store(true, Ordering::Relaxed);
        for ended in restarted {
            ended.unwrap();
        }
        gone.unwrap();
        creations.join().expect("it does not panic")
    });
    release::uninstall(cluster);

    let all: usize = counts.values().sum();
    let lines: Vec<_> = counts.iter().map(|(what, number)| format!("{number} of {all}: {what}")).collect();
    println!("while every replica was replaced, with failurePolicy Fail:\n{}", lines.join("\n"));
    let outcomes: Vec<_> = counts.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["created with caches in mind"], "{counts:?}");
}
