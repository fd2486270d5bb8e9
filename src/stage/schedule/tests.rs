use std::time::Duration;

use clap::Parser;

use super::{Attempt, Quiet, Schedule};
use crate::cli::StageTiming;
use crate::stage::archive::Inventory;

const POD: &str = "3a5e0e0c-7b0a-4a59-9a53-1f3a1f2b7c11";

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    timing: StageTiming,
}

fn timing() -> StageTiming {
    Options::parse_from(["test", "--jitter=0s"]).timing
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn files(files: u64) -> Inventory {
    Inventory { files, ..Inventory::default() }
}

#[test]
fn a_cache_is_quiet_when_it_has_not_changed_for_30_s() {
    let (mut quiet, is_quiet) = (Quiet::default(), |quiet: &Quiet, now| quiet.is_quiet(at(now), at(30), at(600)));
    assert!(!is_quiet(&quiet, 1000), "it was never counted");
    quiet.observe(at(0), files(1));
    quiet.observe(at(20), files(2));
    assert!(!is_quiet(&quiet, 49));
    quiet.observe(at(49), files(2));
    assert!(is_quiet(&quiet, 50));
    quiet.observe(at(50), files(1));
    assert!(!is_quiet(&quiet, 79) && is_quiet(&quiet, 80));
}

#[test]
fn a_name_in_progress_holds_back_until_it_has_not_changed_for_ten_minutes() {
    let writing = |hash| Inventory { in_progress: Some(hash), ..files(1) };
    let (mut quiet, is_quiet) = (Quiet::default(), |quiet: &Quiet, now| quiet.is_quiet(at(now), at(30), at(600)));
    quiet.observe(at(0), files(1));
    quiet.observe(at(100), writing(1));
    quiet.observe(at(500), writing(2));
    assert!(!is_quiet(&quiet, 1099) && is_quiet(&quiet, 1100), "a killed process has left it");
    quiet.observe(at(700), files(1));
    assert!(is_quiet(&quiet, 700), "nothing else has changed");
}

#[test]
fn there_are_three_looks_now_after_15_and_after_60_minutes() {
    let mut schedule = Schedule::new(at(100), POD, &timing());
    for look in [100, 1000, 3700] {
        assert_eq!(schedule.due(), Some(at(look)));
        schedule.finish(at(look + 40), Attempt::Complete);
    }
    assert_eq!(schedule.due(), None);
}

#[test]
fn a_disturbed_attempt_is_repeated_after_1_2_4_minutes_until_the_next_look() {
    let mut schedule = Schedule::new(at(0), POD, &timing());
    for (now, next) in [(0, 60), (60, 180), (180, 420), (420, 900)] {
        schedule.finish(at(now), Attempt::Changed);
        assert_eq!(schedule.due(), Some(at(next)), "after {now}");
    }
    schedule.finish(at(900), Attempt::Changed);
    assert_eq!(schedule.due(), Some(at(960)), "the pauses of another look begin with a minute");
    schedule.finish(at(960), Attempt::Complete);
    assert_eq!(schedule.due(), Some(at(3600)));
    for _ in 0..100 {
        schedule.finish(at(7200), Attempt::Changed);
    }
    assert_eq!(schedule.due(), None, "the last look ends as well");
}

#[test]
fn pods_publish_at_different_times() {
    let timing = Options::parse_from(["test"]).timing;
    let first = |pod: &str| Schedule::new(at(0), pod, &timing).due().unwrap();
    let mut times: Vec<_> = (0..100).map(|pod| first(&format!("{pod}{POD}"))).collect();
    assert!(times.iter().all(|time| *time <= at(60)));
    times.sort();
    times.dedup();
    assert!(times.len() > 90, "{}", times.len());
    assert!(times.last().unwrap().abs_diff(*times.first().unwrap()) > at(50));
}
