//! Disks that fill up: nothing half restored, nothing half published.

use std::fs;
use std::process::Command;

use dynamo_cache::stage::record::{Event, Reason};

use super::claim::{Claim, many_files};
use super::engine::Engine;
use super::mount::Mount;
use super::pod::Pod;

/// Content that does not compress.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let digit = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from((*state >> 33) % 90).unwrap())
    };
    (0..bytes).map(|_| digit(&mut state)).collect()
}

#[test]
fn a_disk_without_room_is_a_cold_start() {
    let claim = Claim::new("no-room");
    claim.add(&many_files(200), 200, 200, &serde_json::json!({}));
    for (uid, options) in [("small", "size=10M"), ("few-inodes", "size=3G,nr_inodes=60")] {
        let disk = Mount::tmpfs(&claim.folder.join(uid), options);
        let pod = Pod::in_folder(&claim, uid, claim.folder.join(uid));
        let stage = pod.stage(&[]);
        assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored));
        let record = stage.wait_for(Event::NotRestored);
        assert_eq!(record.reason, Some(Reason::NoSpace), "{record:?}");
        assert!(pod.tree().is_empty());
        drop((stage.stop(), disk));
    }
    let pod = Pod::new(&claim, "limited");
    let stage = pod.stage(&["--ephemeral-storage-limit=399"]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored));
    assert_eq!(stage.wait_for(Event::NotRestored).reason, Some(Reason::NoSpace));
    drop(stage.stop());
}

#[test]
fn a_claim_that_fills_up_keeps_what_it_had_and_no_rest_of_what_did_not_fit() {
    let (claim, engine) = (Claim::new("claim-full"), Engine::start());
    let disk = Mount::tmpfs(&claim.path, "size=1M");
    engine.become_ready();
    let first = Pod::new(&claim, "first");
    let stage = first.stage(&[&engine.option()]);
    drop(first.gate(&[]));
    first.write(&[("a", "1")]);
    stage.wait_for(Event::Published);
    drop(stage.stop());
    let before = claim.published();

    let second = Pod::new(&claim, "second");
    let stage = second.stage(&[&engine.option()]);
    assert_eq!(second.gate(&[]).reason, Some(Reason::Restored));
    second.write(&[("b", &noise(4 << 20))]);
    let failed = stage.wait_for_nth(Event::NotPublished, 0);
    let failed =
        if failed.reason == Some(Reason::NothingAdded) { stage.wait_for_nth(Event::NotPublished, 1) } else { failed };
    assert_eq!(failed.reason, Some(Reason::ClaimFull), "{failed:?}");
    assert!(claim.published() == before);
    let left = fs::read_dir(claim.store().join("generations")).unwrap().count();
    assert_eq!(left, 2, "an archive and its manifest");
    drop((stage.stop(), disk));
}

#[test]
fn a_read_only_claim_restores_and_publishes_nothing() {
    let (claim, engine) = (Claim::new("read-only"), Engine::start());
    engine.become_ready();
    let disk = Mount::tmpfs(&claim.path, "size=10M");
    let first = Pod::new(&claim, "first");
    let stage = first.stage(&[&engine.option()]);
    drop(first.gate(&[]));
    first.write(&[("a", "1")]);
    stage.wait_for(Event::Published);
    drop(stage.stop());
    let said = Command::new("mount").args(["-o", "remount,ro"]).arg(&claim.path).output().unwrap();
    assert!(said.status.success(), "{said:?}");

    let second = Pod::new(&claim, "second");
    let stage = second.stage(&[&engine.option(), "--second-look=500ms"]);
    assert_eq!(second.gate(&[]).reason, Some(Reason::Restored));
    second.write(&[("b", "2")]);
    let failed = stage.wait_for_nth(Event::NotPublished, 1);
    assert_eq!(failed.reason, Some(Reason::ClaimNotWritable), "{failed:?}");
    drop((stage.stop(), disk));
}
