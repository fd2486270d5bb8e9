//! Local disks that fail for a while: the engine waits, and nothing is put in place below it once it runs.

use std::fs;
use std::io::Error;
use std::path::Path;

use dynamo_cache::stage::digest::Digest;
use dynamo_cache::stage::handover::{Handover, Phase, Restored, Start};
use dynamo_cache::stage::record::Reason;

use crate::harness::wait_for;

use super::claim::Claim;
use super::mount::Mount;
use super::pod::Pod;

fn restored() -> Restored {
    Restored { generation: Digest::new(&[7; 32]), files: 1 }
}

/// Waits until a process has a file of the handover open.
fn wait_until_open(process: u32) {
    wait_for("the gate to open the handover", || {
        let files = fs::read_dir(format!("/proc/{process}/fd")).map_err(|error| error.to_string())?;
        let files: Vec<_> = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).collect();
        let is_open = files.iter().any(|file| file.ends_with(Path::new(".dynamo-cache-lock")));
        if is_open { Ok(()) } else { Err(format!("{files:?}")) }
    });
}

#[test]
fn a_gate_whose_disk_fails_while_the_stage_restores_waits_and_ends_the_restore() {
    let claim = Claim::new("gate-disk");
    let disk = Mount::tmpfs(&claim.folder.join("pod"), "size=64k");
    let pod = Pod::in_folder(&claim, "pod", claim.folder.join("pod"));
    let stage = Handover::open(&pod.local).unwrap();
    assert_eq!(stage.start().unwrap(), Start::First);
    let fill = pod.local.join("fill");
    fs::write(&fill, vec![0; 1 << 20]).unwrap_err();
    let gate = pod.start_gate(&["--progress-timeout=2s"]);
    wait_until_open(gate.id());
    fs::remove_file(fill).unwrap();
    assert_eq!(Pod::end_of_gate(gate).reason, Some(Reason::NoProgress));
    let after = stage.state();
    assert_eq!((after.phase, after.has_gate), (Phase::Released, true));
    assert!(!stage.place(&restored(), || fs::write(pod.local.join("a"), "1")).unwrap());
    assert!(pod.tree().is_empty());
    drop(disk);
}

#[test]
fn an_engine_starts_though_the_disk_of_its_gate_never_recovers() {
    let claim = Claim::new("gate-disk-for-ever");
    let disk = Mount::tmpfs(&claim.folder.join("pod"), "size=64k");
    let pod = Pod::in_folder(&claim, "pod", claim.folder.join("pod"));
    assert_eq!(Handover::open(&pod.local).unwrap().start().unwrap(), Start::First);
    fs::write(pod.local.join("fill"), vec![0; 1 << 20]).unwrap_err();
    assert_eq!(pod.gate(&["--progress-timeout=300ms"]).reason, Some(Reason::DiskFailed));
    drop(disk);
}

#[test]
fn a_half_placed_cache_that_cannot_be_removed_is_handed_over_to_no_engine() {
    let claim = Claim::new("half-placed");
    let pod = Pod::new(&claim, "pod");
    let stage = Handover::open(&pod.local).unwrap();
    assert_eq!(stage.start().unwrap(), Start::First);
    // The folder of a mount cannot be removed.
    let stuck = Mount::tmpfs(&pod.local.join("stuck"), "size=64k");
    stage.place(&restored(), || Err(Error::other("the disk failed"))).unwrap_err();
    stage.give_up(Reason::DiskFailed).unwrap_err();
    assert_eq!(stage.state().phase, Phase::Placing, "the gate waits on");
    let gate = pod.start_gate(&["--progress-timeout=300ms"]);
    wait_until_open(gate.id());
    drop(stuck);
    assert_eq!(Pod::end_of_gate(gate).reason, Some(Reason::NoProgress));
    assert!(pod.tree().is_empty(), "{:?}", pod.tree());
}
