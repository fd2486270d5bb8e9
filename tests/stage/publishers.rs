//! Pods that publish at the same time.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use dynamo_cache::stage::record::{Event, Reason};

use crate::harness::wait_for;

use super::claim::Claim;
use super::engine::Engine;
use super::pod::{Pod, Stage};

#[test]
fn of_pods_that_publish_at_once_none_is_lost_by_halves_and_the_next_pod_starts_warm() {
    let engine = Engine::start();
    engine.become_ready();
    for round in 0..5 {
        let claim = Claim::new(&format!("at-once-{round}"));
        let pods: Vec<_> = (0..4).map(|number| Pod::new(&claim, &format!("pod-{number}"))).collect();
        for (number, pod) in pods.iter().enumerate() {
            pod.write(&[("a", "1"), (&format!("own-{number}"), "2")]);
        }
        let stages: Vec<_> = pods.iter().map(|pod| pod.stage(&[&engine.option()])).collect();
        for pod in &pods {
            drop(pod.gate(&[]));
        }
        let ends: Vec<_> = stages.iter().map(end).collect();
        assert!(ends.contains(&None), "at least one is published: {ends:?}");
        assert!(ends.iter().all(|end| matches!(end, None | Some(Reason::AlreadyPublished))), "{ends:?}");
        for stage in stages {
            drop(stage.stop());
        }
        claim.assert_whole();
        let next = Pod::new(&claim, "next");
        let stage = next.stage(&[]);
        assert_eq!(next.gate(&[]).reason, Some(Reason::Restored));
        assert_eq!(stage.wait_for(Event::Restored).files, Some(2));
        drop(stage.stop());
    }
}

/// Why a pod did not publish; nothing if it did.
fn end(stage: &Stage) -> Option<Reason> {
    wait_for("an end of the publication", || {
        let records = stage.records();
        let is_end = |event| matches!(event, Event::Published | Event::NotPublished);
        let end = records.iter().find(|record| is_end(record.event)).map(|record| record.reason);
        end.ok_or_else(|| format!("{records:#?}"))
    })
}

#[test]
fn an_engine_that_writes_while_its_cache_is_packed_publishes_later() {
    let (claim, engine) = (Claim::new("changed"), Engine::start());
    engine.become_ready();
    let pod = Pod::new(&claim, "pod");
    for number in 0..3000 {
        pod.write(&[(&format!("{}/{number}", number % 7), "content")]);
    }
    let is_over = AtomicBool::new(false);
    let stage = thread::scope(|scope| {
        let write = || {
            let (begun, mut content) = (Instant::now(), "more ".to_owned());
            // A test that fails does not hang.
            while !is_over.load(Ordering::Acquire) && begun.elapsed().as_secs() < 100 {
                content.push('.');
                pod.write(&[("changes", &content)]);
            }
        };
        scope.spawn(write);
        // With no time between two looks, what is written falls into the packing.
        let stage = pod.stage(&[&engine.option(), "--quiet-for=0s", "--second-look=600s"]);
        drop(pod.gate(&[]));
        let changed = stage.wait_for(Event::NotPublished);
        is_over.store(true, Ordering::Release);
        assert_eq!(changed.reason, Some(Reason::Changed));
        stage
    });
    assert_eq!(stage.wait_for(Event::Published).files, Some(3001));
    drop(stage.stop());
    claim.assert_whole();
    let next = Pod::new(&claim, "next");
    let stage = next.stage(&[]);
    assert_eq!(next.gate(&[]).reason, Some(Reason::Restored));
    drop(stage.stop());
    assert!(next.tree() == pod.tree(), "the archive has what the engine wrote last");
}

#[test]
fn what_an_interrupted_pod_left_is_removed_once_three_pointers_saw_it() {
    let (claim, engine) = (Claim::new("leftovers"), Engine::start());
    engine.become_ready();
    let generations = claim.store().join("generations");
    fs::create_dir_all(&generations).unwrap();
    for name in [".partial-dead", ".partial-slow"] {
        fs::write(generations.join(name), "1").unwrap();
    }
    for (uid, left) in [("first", true), ("second", true), ("third", true), ("fourth", false)] {
        let pod = Pod::new(&claim, uid);
        let stage = pod.stage(&[&engine.option()]);
        drop(pod.gate(&[]));
        pod.write(&[(uid, "1")]);
        stage.wait_for(Event::Published);
        drop(stage.stop());
        assert_eq!(generations.join(".partial-dead").exists(), left, "{uid}");
        assert!(generations.join(".partial-slow").exists(), "{uid}");
        fs::write(generations.join(".partial-slow"), uid).unwrap();
    }
    claim.assert_whole();
}
