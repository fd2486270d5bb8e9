//! An archive on which engines die is put aside, and comes back when one starts well on it.

use std::fs;

use dynamo_cache::stage::record::{Event, Reason};
use rustix::process::Signal;

use crate::harness::wait_for;

use super::claim::{Claim, Tar};
use super::engine::Engine;
use super::pod::{Pod, Stage};

fn spoilt(name: &str) -> (Claim, String) {
    let claim = Claim::new(name);
    let archive = Tar::default().file("a", b"1").file("vllm/b", b"2").compressed();
    let digest = claim.add(&archive, 2, 2, &serde_json::json!({}));
    (claim, digest)
}

/// Starts a pod whose engine listens, and is not ready.
fn start(claim: &Claim, uid: &str, engine: &Engine) -> (Pod, Stage) {
    let pod = Pod::new(claim, uid);
    let stage = pod.stage(&[&engine.option()]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::Restored));
    (pod, stage)
}

/// Lets the engine die on the restored cache twice.
fn die_twice(claim: &Claim, uid: &str) -> (Pod, Stage, Engine) {
    let engine = Engine::start();
    let address = engine.address();
    let (pod, stage) = start(claim, uid, &engine);
    drop(see(&stage, engine));
    stage.wait_for_nth(Event::Died, 0);
    assert_eq!(fs::read(pod.local.join("a")).unwrap(), b"1", "once may have been something else");
    drop(see(&stage, Engine::listen(address)));
    stage.wait_for_nth(Event::Died, 1);
    let emptied = stage.wait_for(Event::Emptied);
    assert_eq!((emptied.deaths, emptied.detail), (Some(2), None));
    // The engine may have a folder mounted by itself.
    assert_eq!(pod.tree().keys().collect::<Vec<_>>(), ["vllm"]);
    (pod, stage, Engine::listen(address))
}

/// Waits until the stage has asked an engine that listens: it has seen its socket with the next look.
fn see(stage: &Stage, engine: Engine) -> Engine {
    let asked = engine.asked();
    wait_for("two questions of the stage", || {
        if engine.asked() >= asked + 2 { Ok(()) } else { Err(format!("{:#?}", stage.records())) }
    });
    engine
}

fn strikes(claim: &Claim) -> usize {
    fs::read_dir(claim.store().join("strikes")).map_or(0, Iterator::count)
}

#[test]
fn an_engine_that_dies_twice_on_an_archive_starts_cold_and_replaces_it() {
    let (claim, spoilt) = spoilt("dies-twice");
    let (pod, stage, engine) = die_twice(&claim, "pod");
    wait_for("the strike", || if strikes(&claim) == 1 { Ok(()) } else { Err(String::new()) });
    // No more files than the spoilt generation has, which for this pod does not exist.
    pod.write(&[("a", "good")]);
    engine.become_ready();
    let published = stage.wait_for(Event::Published);
    assert_ne!(published.generation.as_ref(), Some(&spoilt));
    drop(stage.stop());
    assert_eq!(claim.generations(), [published.generation.unwrap(), spoilt]);
}

#[test]
fn a_stage_that_starts_again_knows_what_its_pod_has_put_aside() {
    let (claim, spoilt) = spoilt("starts-again");
    let (pod, mut stage, engine) = die_twice(&claim, "pod");
    stage.signal(Signal::KILL);
    stage.child.wait().unwrap();
    replaces(&claim, &pod, &engine, &spoilt);

    let claim = Claim::new("starts-again-damaged");
    let spoilt = claim.add(b"no archive", 2, 2, &serde_json::json!({}));
    let (pod, engine) = (Pod::new(&claim, "pod"), Engine::start());
    let mut stage = pod.stage(&[&engine.option()]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored));
    assert_eq!(stage.wait_for(Event::NotRestored).reason, Some(Reason::Damaged));
    stage.signal(Signal::KILL);
    stage.child.wait().unwrap();
    replaces(&claim, &pod, &engine, &spoilt);
}

/// Starts the stage of a pod again, and fails unless it publishes what has no more files than the spoilt generation.
#[track_caller]
fn replaces(claim: &Claim, pod: &Pod, engine: &Engine, spoilt: &str) {
    let stage = pod.stage(&[&engine.option()]);
    pod.write(&[("a", "good")]);
    engine.become_ready();
    let end = wait_for("an end of the publication", || {
        let records = stage.records();
        let mut ends = records.iter().filter(|record| matches!(record.event, Event::Published | Event::NotPublished));
        ends.next().cloned().ok_or_else(|| format!("{records:#?}"))
    });
    assert_eq!((end.event, end.reason), (Event::Published, None));
    drop(stage.stop());
    assert_eq!(claim.generations(), [end.generation.unwrap(), spoilt.to_owned()]);
}

#[test]
fn a_generation_on_which_engines_of_two_pods_died_is_taken_by_no_pod() {
    let (claim, _) = spoilt("two-pods");
    for uid in ["first", "second"] {
        let (_, stage, _engine) = die_twice(&claim, uid);
        drop(stage.stop());
    }
    assert_eq!(strikes(&claim), 2);
    let (third, engine) = (Pod::new(&claim, "third"), Engine::start());
    let stage = third.stage(&[&engine.option()]);
    assert_eq!(third.gate(&[]).reason, Some(Reason::NotRestored));
    assert_eq!(stage.wait_for(Event::NotRestored).reason, Some(Reason::NoneUsable));
    third.write(&[("a", "good")]);
    engine.become_ready();
    let published = stage.wait_for(Event::Published);
    assert_eq!(claim.generations(), [published.generation.unwrap()], "the spoilt one is gone");
    drop(stage.stop());
    assert_eq!(strikes(&claim), 0);
}

#[test]
fn a_start_that_becomes_ready_clears_the_strikes() {
    let (claim, _) = spoilt("good-start");
    let (_, stage, _engine) = die_twice(&claim, "first");
    drop(stage.stop());
    assert_eq!(strikes(&claim), 1);
    let engine = Engine::start();
    let (_, stage) = start(&claim, "second", &engine);
    engine.become_ready();
    stage.wait_for(Event::Ready);
    drop(stage.stop());
    assert_eq!(strikes(&claim), 0);
}

#[test]
fn on_the_nodes_network_only_an_engine_that_was_never_ready_is_a_strike() {
    let (claim, _) = spoilt("host-network");
    for (uid, long, expected) in [("early", "600s", 0), ("late", "0s", 1)] {
        let engine = Engine::start();
        let pod = Pod::new(&claim, uid);
        let stage = pod.stage(&[&engine.option(), "--host-network", &format!("--long-quiet-for={long}")]);
        assert_eq!(pod.gate(&[]).reason, Some(Reason::Restored));
        drop(see(&stage, engine));
        let records = stage.stop();
        assert!(!records.iter().any(|record| record.event == Event::Died), "{records:#?}");
        assert_eq!(strikes(&claim), expected, "{uid}");
    }
}
