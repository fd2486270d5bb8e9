//! A claim that stops answering: a FUSE mount whose daemon is stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use dynamo_cache::stage::record::{Event, Reason};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::wait_for;

use super::claim::{Claim, Tar};
use super::engine::Engine;
use super::pod::Pod;

/// A claim behind a daemon.
struct Behind {
    daemon: Child,
    path: PathBuf,
}

impl Behind {
    fn new(claim: &Claim) -> Self {
        let path = claim.folder.join("behind");
        fs::create_dir(&path).unwrap();
        let daemon = Command::new("bindfs").arg("-f").arg(&claim.path).arg(&path).spawn();
        let daemon = daemon.unwrap_or_else(|error| panic!("bindfs: {error}; apt-get install bindfs"));
        let behind = Behind { daemon, path };
        wait_for("the mount; it takes root and /dev/fuse", || {
            let mounts = fs::read_to_string("/proc/mounts").unwrap();
            if mounts.contains(&behind.path.display().to_string()) { Ok(()) } else { Err(mounts) }
        });
        behind
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.daemon), signal).unwrap();
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        drop(Command::new("umount").arg("--lazy").arg(&self.path).output());
    }
}

fn pod(claim: &Claim, uid: &str, behind: &Path) -> Pod {
    let claim = Claim { folder: claim.folder.clone(), path: behind.to_owned() };
    let pod = Pod::new(&claim, uid);
    std::mem::forget(claim);
    pod
}

#[test]
fn a_claim_that_hangs_holds_up_neither_the_engine_nor_the_end_of_the_pod() {
    let claim = Claim::new("hanging");
    claim.add(&Tar::default().file("a", b"1").compressed(), 1, 1, &serde_json::json!({}));
    let behind = Behind::new(&claim);
    behind.signal(Signal::STOP);
    let pod = pod(&claim, "pod", &behind.path);
    let stage = pod.stage(&["--progress-timeout=500ms"]);
    let released = pod.gate(&["--progress-timeout=500ms"]);
    assert!(matches!(released.reason, Some(Reason::NoProgress | Reason::NotRestored)), "{released:?}");
    stage.wait_for(Event::NotRestored);
    assert!(pod.tree().is_empty());
    drop(stage.stop());
    behind.signal(Signal::CONT);
}

#[test]
fn a_claim_that_answers_too_late_restores_nothing_below_a_running_engine() {
    let claim = Claim::new("late");
    claim.add(&Tar::default().file("a", b"1").compressed(), 1, 1, &serde_json::json!({}));
    let behind = Behind::new(&claim);
    let engine = Engine::start();
    engine.become_ready();
    behind.signal(Signal::STOP);
    let pod = pod(&claim, "pod", &behind.path);
    let stage = pod.stage(&[&engine.option()]);
    assert_eq!(pod.gate(&["--progress-timeout=300ms"]).reason, Some(Reason::NoProgress));
    assert_eq!(stage.wait_for(Event::NotRestored).reason, Some(Reason::TooLate));
    behind.signal(Signal::CONT);
    pod.write(&[("b", "1"), ("c", "1")]);
    let published = stage.wait_for(Event::Published);
    assert_eq!(published.files, Some(2), "{published:?}");
    assert!(!pod.local.join("a").exists());
    drop(stage.stop());
}
