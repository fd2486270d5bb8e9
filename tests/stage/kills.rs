//! A stage that is killed between any two system calls: the engine starts with all of its cache or with nothing, and the claim
//! has the generations that it had, each of them whole.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use dynamo_cache::stage::record::{Event, Reason, Record};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::wait_for;

use super::claim::Claim;
use super::engine::Engine;
use super::pod::Pod;

/// The calls that change a file system, of which one is the last.
const CALLS: &str =
    "openat,mkdirat,write,?rename,renameat,?renameat2,unlinkat,fchmod,utimensat,fsync,ftruncate,?unlink,?rmdir";

/// More calls than any thread makes, and the most that strace takes.
const NEVER: u64 = 65_535;

/// How often a stage is killed.
const POINTS: u64 = 20;

/// The command that runs a program, and kills it at a system call of one of its threads.
fn killing(at: u64, trace: &str) -> Vec<String> {
    let trace = ["--output", trace, "--trace", CALLS].map(str::to_owned);
    let inject = format!("--inject={CALLS}:signal=KILL:when={at}");
    [vec!["strace".to_owned(), "--follow-forks".to_owned()], trace.to_vec(), vec![inject]].concat()
}

/// The most calls of one thread in a trace.
fn calls(trace: &Path) -> u64 {
    let text = fs::read_to_string(trace).unwrap();
    let mut threads = std::collections::BTreeMap::new();
    for line in text.lines().filter(|line| line.contains(" = ") || line.contains("<unfinished")) {
        *threads.entry(line.split_whitespace().next().unwrap()).or_insert(0) += 1;
    }
    threads.values().copied().max().unwrap()
}

/// Starts a stage under `strace`, which is killed at a call; returns whether it came so far.
fn start(pod: &Pod, at: u64, options: &[&str], until: Event) -> bool {
    let trace = pod.local.with_extension("trace");
    let killing = killing(at, trace.to_str().unwrap());
    let words: Vec<_> = killing.iter().map(String::as_str).collect();
    let mut command = pod.command(&words, options);
    let mut stage = command.spawn().unwrap_or_else(|error| panic!("strace: {error}; apt-get install strace"));
    let log = pod.local.with_extension("log");
    let status = wait_for("the end of the stage", || {
        if let Some(status) = stage.try_wait().unwrap() {
            return Ok(Some(status));
        }
        let text = fs::read_to_string(&log).unwrap();
        let records = text.lines().filter_map(Record::parse);
        if records.into_iter().any(|record| record.event == until) { Ok(None) } else { Err(text) }
    });
    if status.is_none() {
        // strace itself would wait for the stage's next call before it ends.
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children", pid = stage.id())).unwrap();
        let pid = children.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().unwrap()));
        // Without one, the stage has just ended by itself.
        pid.map(|pid| kill_process(pid, Signal::TERM));
        stage.wait().unwrap();
    }
    status.is_none_or(|status| status.signal().is_none() && status.success())
}

#[test]
fn a_stage_killed_at_twenty_points_of_a_restore_leaves_all_of_the_cache_or_nothing() {
    let claim = Claim::new("kill-restore");
    let engine = Engine::start();
    engine.become_ready();
    let first = Pod::new(&claim, "first");
    let stage = first.stage(&[&engine.option()]);
    drop(first.gate(&[]));
    fill(&first, 12);
    stage.wait_for(Event::Published);
    drop(stage.stop());
    let (before, whole) = (claim.published(), first.tree());

    let probe = Pod::new(&claim, "probe");
    assert!(start(&probe, NEVER, &["--gate-timeout=0s"], Event::Stopped));
    assert_eq!(probe.tree(), whole);
    let total = calls(&probe.local.with_extension("trace"));
    let mut killed = 0;
    for point in 1..=POINTS {
        let pod = Pod::new(&claim, &format!("pod-{point}"));
        let survived = start(&pod, (point * total).div_ceil(POINTS), &["--gate-timeout=0s"], Event::Stopped);
        killed += u64::from(!survived);
        let reason = pod.gate(&["--progress-timeout=200ms"]).reason;
        let tree = pod.tree();
        if reason == Some(Reason::Restored) {
            assert_eq!(tree, whole, "point {point}");
        } else {
            let is_restore = |path: &std::ffi::OsString| path.to_string_lossy().starts_with(".restore-");
            assert!(tree.keys().all(is_restore), "point {point}: {tree:?}");
        }
        assert!(claim.published() == before, "point {point}");
        // The kubelet starts it again.
        let stage = pod.stage(&[]);
        let is_restored = reason == Some(Reason::Restored);
        let said = stage.wait_for(if is_restored { Event::Restored } else { Event::NotRestored });
        assert_eq!(said.reason, Some(Reason::SecondStart), "point {point}");
        let names = pod.tree();
        assert!(names == tree || names.is_empty(), "point {point}: {names:?}");
        drop(stage.stop());
    }
    assert!(killed >= POINTS / 2, "only {killed} of {POINTS} were killed");
}

#[test]
fn a_stage_killed_at_twenty_points_of_a_publication_leaves_whole_generations() {
    let claim = Claim::new("kill-publish");
    let engine = Engine::start();
    engine.become_ready();
    // How many calls a publication takes.
    let probe = Pod::new(&claim, "probe");
    fill(&probe, 2);
    assert!(publish(&probe, NEVER, &engine));
    let total = calls(&probe.local.with_extension("trace"));
    let mut killed = 0;
    for point in 1..=POINTS {
        let before = claim.generations();
        let pod = Pod::new(&claim, &format!("pod-{point}"));
        // Each has one file more than all before it.
        fill(&pod, point + 2);
        let survived = publish(&pod, (point * total).div_ceil(POINTS), &engine);
        killed += u64::from(!survived);
        claim.assert_whole();
        let after = claim.generations();
        let is_kept = |newest: &String| after.contains(newest);
        assert!(before.first().is_none_or(is_kept), "point {point}: {before:?} {after:?}");
    }
    assert!(killed >= POINTS / 2, "only {killed} of {POINTS} were killed");
    let last = Pod::new(&claim, "last");
    fill(&last, POINTS + 9);
    assert!(publish(&last, NEVER, &engine), "what the killed ones left stops no other");
    let next = Pod::new(&claim, "next");
    let stage = next.stage(&[]);
    assert_eq!(next.gate(&[]).reason, Some(Reason::Restored));
    drop(stage.stop());
}

/// Writes files as an engine does.
fn fill(pod: &Pod, files: u64) {
    for number in 0..files {
        pod.write(&[(&format!("{}/{number}", number % 4), "content")]);
    }
}

/// Publishes the cache of a pod, unless its stage is killed at a call.
fn publish(pod: &Pod, at: u64, engine: &Engine) -> bool {
    // The gate has passed, as in a pod whose engine runs.
    drop(pod.gate(&["--restore-timeout=0s"]));
    start(pod, at, &[&engine.option()], Event::Published)
}
