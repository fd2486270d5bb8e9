use std::fs::{self, File};
use std::path::PathBuf;

use super::{Handover, LOCK, Phase, Restored, Start, State};
use crate::stage::digest::Digest;
use crate::stage::record::Reason;

/// A local cache of a test's own, removed with it.
struct Cache(PathBuf);

impl Cache {
    fn new(name: &str) -> (Self, Handover) {
        let path = std::env::temp_dir().join(format!("dynamo-cache-handover-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path).unwrap();
        let handover = Handover::open(&path).unwrap();
        (Cache(path), handover)
    }

    /// The engine's files.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with(".dynamo-cache")).collect()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn restored() -> Restored {
    Restored { generation: Digest::new(&[7; 32]), files: 3 }
}

#[test]
fn a_cache_is_in_place_or_given_up_and_never_both() {
    let (cache, handover) = Cache::new("once");
    assert_eq!(handover.start().unwrap(), Start::First);
    assert_eq!(handover.note_progress(1, 2).unwrap(), Phase::Restoring);
    assert!(handover.place(&restored(), || fs::write(cache.0.join("a"), "1")).unwrap());
    assert!(!handover.give_up(Reason::TooLate).unwrap(), "it is in place");
    assert_eq!(handover.note_progress(2, 2).unwrap(), Phase::Done);
    assert_eq!(handover.start().unwrap(), Start::Again(Some(restored())));
    assert_eq!(handover.release().unwrap().map(|state| state.restored), Some(Some(restored())));
    assert_eq!(cache.names(), ["a"]);

    let (cache, handover) = Cache::new("given-up");
    assert_eq!(handover.start().unwrap(), Start::First);
    assert!(handover.give_up(Reason::NoProgress).unwrap());
    assert!(!handover.place(&restored(), || fs::write(cache.0.join("a"), "1")).unwrap());
    assert_eq!((handover.state().reason, cache.names()), (Some(Reason::NoProgress), vec![]));
}

#[test]
fn nothing_is_put_in_place_below_an_engine_that_was_let_go() {
    let (cache, handover) = Cache::new("released");
    assert_eq!(handover.start().unwrap(), Start::First);
    assert_eq!(handover.release().unwrap().map(|state| state.phase), Some(Phase::Restoring));
    assert!(!handover.place(&restored(), || fs::write(cache.0.join("a"), "1")).unwrap());
    assert_eq!(handover.start().unwrap(), Start::Again(None));
    assert!(cache.names().is_empty());
}

#[test]
fn a_cache_that_cannot_be_put_in_place_is_removed() {
    let (cache, handover) = Cache::new("failed");
    assert_eq!(handover.start().unwrap(), Start::First);
    let rename = || fs::write(cache.0.join("a"), "1").and(Err(std::io::Error::other("the disk failed")));
    assert_eq!(handover.place(&restored(), rename).unwrap_err().to_string(), "the disk failed");
    assert!(cache.names().is_empty());
    assert!(handover.give_up(Reason::DiskFailed).unwrap());
    assert_eq!(handover.state().phase, Phase::Done);
}

#[test]
fn what_a_stage_put_in_place_before_it_was_killed_is_removed_by_gate_or_stage() {
    for gate_is_first in [true, false] {
        let (cache, handover) = Cache::new("killed");
        handover.write(&State { phase: Phase::Placing, ..State::default() }).unwrap();
        fs::create_dir_all(cache.0.join("folder/half")).unwrap();
        if gate_is_first {
            assert_eq!(handover.release().unwrap().map(|state| state.phase), Some(Phase::Placing));
        } else {
            assert_eq!(handover.start().unwrap(), Start::Again(None));
        }
        assert!(cache.names().is_empty());
    }
}

#[test]
fn the_gate_does_not_wait_for_a_lock() {
    let (cache, handover) = Cache::new("locked");
    let stage = File::open(cache.0.join(LOCK)).unwrap();
    stage.lock().unwrap();
    assert!(!handover.note_gate().unwrap());
    assert_eq!(handover.release().unwrap(), None);
    stage.unlock().unwrap();
    assert!(handover.note_gate().unwrap());
    assert!(handover.state().has_gate);
}

#[test]
fn a_state_that_is_none_is_that_before_any_stage() {
    let (cache, handover) = Cache::new("garbage");
    for content in ["", "{", "[]", r#"{"phase":"of another version"}"#] {
        fs::write(cache.0.join(super::STATE), content).unwrap();
        assert_eq!(handover.state(), State::default(), "{content}");
    }
}
