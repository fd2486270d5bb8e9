//! Claims of which something is missing, broken or not what it should be: the engine starts, and publishing repairs them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dynamo_cache::stage::record::{Event, Reason};

use super::claim::{Claim, Tar};
use super::engine::Engine;
use super::pod::Pod;

/// Starts a pod cold for the reason, lets it publish, and restores that in another pod.
#[track_caller]
fn is_repaired(claim: &Claim, reason: Reason) {
    let engine = Engine::start();
    engine.become_ready();
    let pod = Pod::new(claim, "cold");
    let stage = pod.stage(&[&engine.option()]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored));
    let record = stage.wait_for(Event::NotRestored);
    assert_eq!(record.reason, Some(reason), "{record:?}");
    pod.write(&[("a", "good")]);
    let published = stage.wait_for(Event::Published);
    drop(stage.stop());
    claim.assert_whole();
    let pod = Pod::new(claim, "warm");
    let stage = pod.stage(&[]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::Restored));
    assert_eq!(stage.wait_for(Event::Restored).generation, published.generation);
    assert_eq!(fs::read(pod.local.join("a")).unwrap(), b"good");
    drop(stage.stop());
}

/// A claim with a good generation.
fn good(name: &str) -> (Claim, String) {
    let claim = Claim::new(name);
    let digest = claim.add(&Tar::default().file("a", b"1").compressed(), 1, 1, &serde_json::json!({}));
    (claim, digest)
}

#[test]
fn the_generation_before_a_damaged_one_is_restored_and_the_damaged_one_replaced() {
    let (claim, older) = good("before");
    let archive = Tar::default().file("a", b"1").file("b", b"2").compressed();
    let newer = claim.add(&archive, 2, 2, &serde_json::json!({}));
    claim.point_to(&[&newer, &older]);
    fs::write(claim.store().join(format!("generations/{newer}.tar.zst")), "no archive").unwrap();
    let engine = Engine::start();
    let pod = Pod::new(&claim, "pod");
    let stage = pod.stage(&[&engine.option()]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::Restored));
    let restored = stage.wait_for(Event::Restored);
    assert_eq!(restored.generation, Some(older.clone()));
    assert!(restored.detail.is_some_and(|detail| detail.starts_with("a newer generation is not taken: ")));
    // As many files as the damaged generation has, which for this pod does not exist.
    pod.write(&[("b", "2")]);
    engine.become_ready();
    let published = stage.wait_for(Event::Published);
    drop(stage.stop());
    assert_eq!(claim.generations()[0], published.generation.unwrap());
    claim.assert_whole();
}

#[test]
fn a_pointer_to_nothing_is_a_cold_start_and_is_replaced() {
    let claim = Claim::new("to-nothing");
    claim.point(&"0".repeat(64));
    is_repaired(&claim, Reason::Damaged);
}

#[test]
fn a_generation_without_archive_or_manifest_is_replaced() {
    for ending in ["tar.zst", "json"] {
        let (claim, digest) = good(&format!("without-{ending}"));
        fs::remove_file(claim.store().join("generations").join(format!("{digest}.{ending}"))).unwrap();
        is_repaired(&claim, Reason::Damaged);
    }
}

#[test]
fn a_pointer_that_is_none_is_replaced() {
    let outside = r#"{"generations":["../../../../etc/passwd"]}"#;
    for (name, content) in
        [("cut", "{\"generations\": ["), ("empty", ""), ("outside", outside), ("large", &" ".repeat(300_000))]
    {
        let (claim, _) = good(&format!("pointer-{name}"));
        fs::write(claim.store().join("current.json"), content).unwrap();
        is_repaired(&claim, Reason::Damaged);
    }
}

#[test]
fn a_link_in_the_place_of_a_file_or_folder_of_the_claim_is_not_followed() {
    let (claim, digest) = good("link-archive");
    let archive = claim.store().join("generations").join(format!("{digest}.tar.zst"));
    fs::rename(&archive, claim.folder.join("elsewhere")).unwrap();
    symlink(claim.folder.join("elsewhere"), &archive).unwrap();
    is_repaired(&claim, Reason::Damaged);

    let (claim, _) = good("link-folder");
    fs::rename(claim.store(), claim.folder.join("elsewhere")).unwrap();
    symlink(claim.folder.join("elsewhere"), claim.store()).unwrap();
    let pod = Pod::new(&claim, "pod");
    let stage = pod.stage(&[]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored));
    assert_eq!(stage.wait_for(Event::NotRestored).reason, Some(Reason::ClaimFailed));
    drop(stage.stop());
}

#[test]
fn a_claim_that_is_not_mounted_is_a_cold_start() {
    let claim = Claim::new("not-mounted");
    fs::remove_dir(&claim.path).unwrap();
    let (pod, engine) = (Pod::new(&claim, "pod"), Engine::start());
    engine.become_ready();
    let stage = pod.stage(&[&engine.option()]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored));
    pod.write(&[("a", "1")]);
    assert_eq!(stage.wait_for(Event::NotPublished).reason, Some(Reason::ClaimFailed));
    drop(stage.stop());
    assert!(!Path::new(&claim.path).exists());
}

#[test]
fn links_of_the_engine_are_neither_published_nor_a_way_out_of_the_cache() {
    let (claim, engine) = (Claim::new("engine-links"), Engine::start());
    engine.become_ready();
    let pod = Pod::new(&claim, "pod");
    let stage = pod.stage(&[&engine.option()]);
    drop(pod.gate(&[]));
    pod.write(&[("a/b", "1")]);
    symlink("/etc/passwd", pod.local.join("a/file")).unwrap();
    symlink("/etc", pod.local.join("a/folder")).unwrap();
    assert_eq!(stage.wait_for(Event::Published).files, Some(1));
    drop(stage.stop());
}
