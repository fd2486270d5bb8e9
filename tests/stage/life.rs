//! The life of a staged cache: cold, published, restored elsewhere, published again when there is more.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use dynamo_cache::stage::record::{Event, Reason, Record};
use rustix::process::Signal;

use crate::harness::program::run;
use crate::harness::wait_for;

use super::claim::Claim;
use super::engine::Engine;
use super::pod::Pod;

#[test]
fn a_cache_is_published_when_ready_and_quiet_and_the_next_pod_starts_with_it() {
    let (claim, engine) = (Claim::new("life"), Engine::start());
    let first = Pod::new(&claim, "first");
    let stage = first.stage(&[&engine.option()]);
    assert_eq!(first.gate(&[]).reason, Some(Reason::NotRestored));
    assert_eq!(stage.wait_for(Event::NotRestored).reason, Some(Reason::NoneUsable));
    first.write(&[("vllm/a/.hidden", "1"), ("vllm/b", "22"), ("vllm/a/lock", ""), ("triton/x.so", "")]);
    engine.become_ready();
    let published = stage.wait_for(Event::Published);
    assert_eq!((published.files, published.bytes, published.added), (Some(2), Some(3), Some(2)));
    drop(stage.stop());

    let second = Pod::new(&claim, "second");
    let stage = second.stage(&[&engine.option()]);
    assert_eq!(second.gate(&[]).reason, Some(Reason::Restored));
    let restored = stage.wait_for(Event::Restored);
    assert_eq!((restored.generation, restored.files), (published.generation.clone(), Some(2)));
    let mut expected = first.tree();
    expected.retain(|path, _| path != "vllm/a/lock" && path != "triton/x.so");
    assert_eq!(second.tree(), expected, "content, dotfiles and times to the nanosecond");
    assert_eq!(stage.wait_for(Event::NotPublished).reason, Some(Reason::NothingAdded));

    second.write(&[("vllm/c", "333")]);
    let again = stage.wait_for(Event::Published);
    assert_eq!((again.files, again.added), (Some(3), Some(1)));
    drop(stage.stop());
    assert_eq!(claim.generations(), [again.generation.unwrap(), published.generation.unwrap()]);
    claim.assert_whole();
}

#[test]
fn what_an_engine_leaves_that_is_no_longer_ready_is_not_published() {
    let (claim, engine) = (Claim::new("gone"), Engine::start());
    let address = engine.address();
    let pod = Pod::new(&claim, "pod");
    // Until it is removed, the cache is not quiet.
    pod.write(&[("a.so", "half"), ("a.tmp", "")]);
    let stage = pod.stage(&[&engine.option(), "--leftover-age=3600s"]);
    drop(pod.gate(&[]));
    engine.become_ready();
    stage.wait_for(Event::Ready);
    drop(engine);
    let engine = Engine::listen(address);
    let is_asked = |times: u64| {
        wait_for("questions of the stage", || if engine.asked() >= times { Ok(()) } else { Err(String::new()) });
    };
    is_asked(2);
    fs::remove_file(pod.local.join("a.tmp")).unwrap();
    is_asked(7);
    assert!(stage.records().iter().all(|record| record.event != Event::Published), "{:#?}", stage.records());
    pod.write(&[("a.so", "whole")]);
    engine.become_ready();
    stage.wait_for(Event::Published);
    drop(stage.stop());
    claim.assert_whole();
}

#[test]
fn what_a_pod_publishes_and_restores_is_open_to_all_users_and_has_no_setuid() {
    let (claim, engine) = (Claim::new("modes"), Engine::start());
    engine.become_ready();
    let first = Pod::new(&claim, "first");
    first.write(&[("folder/file", "1")]);
    fs::set_permissions(first.local.join("folder/file"), fs::Permissions::from_mode(0o4700)).unwrap();
    let stage = first.stage(&[&engine.option()]);
    drop(first.gate(&[]));
    stage.wait_for(Event::Published);
    drop(stage.stop());
    let second = Pod::new(&claim, "second");
    let stage = second.stage(&[&engine.option()]);
    assert_eq!(second.gate(&[]).reason, Some(Reason::Restored));
    let mode = |path: &str| fs::metadata(second.local.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("folder"), mode("folder/file")), (0o777, 0o666));
    drop(stage.stop());
    let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().mode() & 0o7777;
    for folder in ["generations", "starts"].map(|name| claim.store().join(name)) {
        assert_eq!(mode(folder.clone()), 0o777);
        for file in fs::read_dir(folder).unwrap() {
            assert_eq!(mode(file.unwrap().path()), 0o644);
        }
    }
}

#[test]
fn a_second_stage_in_the_same_pod_restores_nothing_and_goes_on() {
    let (claim, engine) = (Claim::new("again"), Engine::start());
    let publisher = Pod::new(&claim, "publisher");
    engine.become_ready();
    let stage = publisher.stage(&[&engine.option()]);
    drop(publisher.gate(&[]));
    publisher.write(&[("a", "1")]);
    stage.wait_for(Event::Published);
    drop(stage.stop());

    let pod = Pod::new(&claim, "pod");
    let mut stage = pod.stage(&[&engine.option()]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::Restored));
    stage.signal(Signal::KILL);
    stage.child.wait().unwrap();
    pod.write(&[("a", "engine"), ("b", "2")]);
    let stage = pod.stage(&[&engine.option()]);
    assert_eq!(stage.wait_for(Event::Restored).reason, Some(Reason::SecondStart));
    assert_eq!(pod.gate(&[]).reason, Some(Reason::Restored));
    assert_eq!(fs::read_to_string(pod.local.join("a")).unwrap(), "engine");
    assert_eq!(stage.wait_for(Event::Published).added, Some(1));
    drop(stage.stop());
}

#[test]
fn a_stage_that_is_no_sidecar_restores_and_ends_well_when_no_gate_appears() {
    let claim = Claim::new("no-gate");
    let pod = Pod::new(&claim, "pod");
    let mut stage = pod.stage(&["--gate-timeout=500ms"]);
    assert_eq!(stage.child.wait().unwrap().code(), Some(0));
    assert_eq!(stage.wait_for(Event::Stopped).reason, Some(Reason::NoGate));
    assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored), "the gate comes after it, and does not wait");
}

#[test]
fn an_engine_whose_endpoint_cannot_be_asked_is_published_after_a_long_quiet() {
    let claim = Claim::new("no-endpoint");
    let pod = Pod::new(&claim, "pod");
    let stage = pod.stage(&["--long-quiet-for=600ms", "--ready=https://localhost/", "--of-a-newer-webhook=1"]);
    drop(pod.gate(&[]));
    let ignored = stage.wait_for(Event::Started).detail;
    assert_eq!(ignored.as_deref(), Some(r#"ignored: ["https://localhost/", "--of-a-newer-webhook=1"]"#));
    pod.write(&[("a", "1")]);
    assert_eq!(stage.wait_for(Event::Published).files, Some(1));
    drop(stage.stop());
}

#[test]
fn an_engine_without_an_endpoint_that_writes_nothing_has_added_nothing() {
    let claim = Claim::new("writes-nothing");
    let pod = Pod::new(&claim, "pod");
    let stage = pod.stage(&["--long-quiet-for=100ms", "--second-look=700ms"]);
    drop(pod.gate(&[]));
    assert_eq!(stage.wait_for(Event::NotPublished).reason, Some(Reason::NothingAdded));
    drop(stage.stop());
}

#[test]
fn the_gate_lets_the_engine_start_without_a_stage_or_a_folder() {
    let claim = Claim::new("no-stage");
    let pod = Pod::new(&claim, "pod");
    assert_eq!(pod.gate(&["--progress-timeout=300ms"]).reason, Some(Reason::NoProgress));
    assert_eq!(pod.gate(&["--restore-timeout=0s"]).reason, Some(Reason::NotRestored), "it is released for ever");
    let stage = pod.stage(&[]);
    assert_eq!(stage.wait_for(Event::NotRestored).reason, Some(Reason::SecondStart));
    drop(stage.stop());
    let nowhere = Pod::in_folder(&claim, "nowhere", claim.folder.join("nowhere"));
    assert_eq!(nowhere.gate(&["--progress-timeout=300ms"]).reason, Some(Reason::DiskFailed));
    let options = ["gate", "--local=/nowhere", "--progress-timeout=0s", "--of-a-newer-webhook=1", "more"];
    assert_eq!(run(&options, "").code, Some(0));
}

#[test]
fn the_program_copies_itself_into_a_folder() {
    let claim = Claim::new("copy");
    let copied = run(&["copy-program", &claim.path.display().to_string()], "");
    assert_eq!((copied.code, copied.errors.as_str()), (Some(0), ""));
    let program = claim.path.join("dynamo-cache");
    assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_dir(&claim.path).unwrap().count(), 1);
    let said = Command::new(program).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("dynamo-cache "));
    let failed = run(&["copy-program", "/nowhere"], "");
    assert_eq!(failed.code, Some(1));
    assert!(failed.errors.contains("/nowhere/dynamo-cache"), "{}", failed.errors);
}

#[test]
fn times_a_year_off_on_the_claim_or_in_the_cache_change_nothing() {
    let (claim, engine) = (Claim::new("clock"), Engine::start());
    engine.become_ready();
    let mut last = None;
    for (uid, year) in [("past", "1999-01-01"), ("future", "2199-01-01"), ("now", "2026-11-29")] {
        let pod = Pod::new(&claim, uid);
        let stage = pod.stage(&[&engine.option()]);
        let expected = if last.is_some() { Reason::Restored } else { Reason::NotRestored };
        assert_eq!(pod.gate(&[]).reason, Some(expected));
        pod.write(&[(uid, "1")]);
        touch(year, &pod.local);
        let published = stage.wait_for(Event::Published);
        assert!(published.generation != last);
        last = published.generation;
        drop(stage.stop());
        touch(year, &claim.path);
    }
    assert_eq!(claim.generations().len(), 2);
    claim.assert_whole();
}

/// Sets the time of everything below a folder.
fn touch(date: &str, folder: &std::path::Path) {
    let said = Command::new("find").arg(folder).args(["-exec", "touch", "-d", date, "{}", "+"]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
}

#[test]
fn the_claim_keeps_the_records_of_the_last_50_starts() {
    let claim = Claim::new("starts");
    let starts = claim.store().join("starts");
    fs::create_dir_all(&starts).unwrap();
    for number in 1..=60 {
        fs::write(starts.join(format!("{number:08}-before.jsonl")), "").unwrap();
    }
    let pod = Pod::new(&claim, "pod");
    let stage = pod.stage(&[]);
    drop(pod.gate(&[]));
    stage.wait_for(Event::NotRestored);
    let records = stage.stop();
    let names: Vec<_> = fs::read_dir(&starts).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 50);
    assert!(names.contains(&"00000012-before.jsonl".into()));
    let written = fs::read_to_string(starts.join("00000061-pod.jsonl")).unwrap();
    let written: Vec<_> = written.lines().filter_map(Record::parse).collect();
    assert_eq!(written, records, "the lines of the log");
}
