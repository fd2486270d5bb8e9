//! Archives that no stage has packed: the engine starts cold, with nothing of them, and the claim stays as it was.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

use dynamo_cache::stage::archive::{Error, Limits, Progress, unpack};
use dynamo_cache::stage::folder::Folder;
use dynamo_cache::stage::record::{Event, Reason};
use serde_json::{Value, json};
use tar::EntryType;

use super::claim::{Claim, Tar, compress, header, many_files};
use super::pod::Pod;

const GIB: usize = 1 << 30;

/// Starts a pod on a claim, and fails unless it starts cold for the reason. Returns the reason in words.
#[track_caller]
fn starts_cold(claim: &Claim, uid: &str, reason: Reason) -> String {
    let before = claim.published();
    let pod = Pod::new(claim, uid);
    let stage = pod.stage(&[]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored), "{uid}");
    let record = stage.wait_for(Event::NotRestored);
    assert_eq!(record.reason, Some(reason), "{uid}: {record:?}");
    assert!(pod.tree().is_empty(), "{uid}: {:?}", pod.tree());
    assert!(claim.published() == before, "{uid}: the claim was changed");
    drop(stage.stop());
    record.detail.unwrap_or_default()
}

#[test]
fn an_archive_that_is_cut_or_has_a_flipped_byte_anywhere_is_thrown_away() {
    let claim = Claim::new("flipped");
    let archive = Tar::default().file("a", &[7; 5000]).file("folder/b", b"content").compressed();
    let digest = claim.add(&archive, 2, 5007, &json!({}));
    let path = claim.store().join("generations").join(format!("{digest}.tar.zst"));
    for at in (0..archive.len()).step_by(archive.len() / 8) {
        let mut flipped = archive.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        starts_cold(&claim, &format!("flipped-{at}"), Reason::Damaged);
        fs::write(&path, &archive[..at]).unwrap();
        starts_cold(&claim, &format!("cut-{at}"), Reason::Damaged);
    }
    fs::write(&path, [archive.as_slice(), b"more"].concat()).unwrap();
    starts_cold(&claim, "more", Reason::Damaged);
    fs::write(&path, &archive).unwrap();
    let pod = Pod::new(&claim, "whole");
    let stage = pod.stage(&[]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::Restored), "the archive itself is good");
    drop(stage.stop());
}

#[test]
fn a_path_that_leaves_the_cache_is_refused_and_nothing_of_the_archive_stays() {
    for (name, path) in [
        ("up", "../escaped"),
        ("up-later", "a/../../escaped"),
        ("absolute", "/tmp/dynamo-cache-escaped"),
        ("dot", "./a"),
        ("double", "a//b"),
        ("no-name", ""),
        ("lock", "a/lock"),
        ("ours", ".dynamo-cache-state.json"),
        ("marker", ".restore-other/a"),
        ("zero-length", "a.so"),
        ("as-folder", "a/"),
    ] {
        let claim = Claim::new(&format!("path-{name}"));
        let content: &[u8] = if name == "zero-length" { b"" } else { b"1" };
        let tar = Tar::default().file("good", b"1").entry(EntryType::Regular, path.as_bytes(), 0o644, content);
        claim.add(&tar.compressed(), 2, 1 + content.len() as u64, &json!({}));
        starts_cold(&claim, name, Reason::Damaged);
        assert!(!claim.folder.join("escaped").exists(), "{name}");
        assert!(fs::metadata("/tmp/dynamo-cache-escaped").is_err());
    }
}

#[test]
fn what_is_no_plain_file_or_folder_is_refused() {
    for (name, kind) in [
        ("link", EntryType::Symlink),
        ("hard-link", EntryType::Link),
        ("block-device", EntryType::Block),
        ("device", EntryType::Char),
        ("pipe", EntryType::Fifo),
        ("contiguous", EntryType::Continuous),
        ("sparse", EntryType::GNUSparse),
        ("long-name", EntryType::GNULongName),
        ("long-link", EntryType::GNULongLink),
        ("global-records", EntryType::XGlobalHeader),
        ("unknown", EntryType::new(b'?')),
    ] {
        let claim = Claim::new(&format!("type-{name}"));
        let tar = Tar::default().file("good", b"1").entry(kind, b"bad", 0o644, b"").file("bad/file", b"1");
        claim.add(&tar.compressed(), 3, 2, &json!({}));
        starts_cold(&claim, name, Reason::Damaged);
    }
}

#[test]
fn a_setuid_file_loses_its_bits_and_a_path_twice_is_refused() {
    let claim = Claim::new("setuid");
    let tar = Tar::default().entry(EntryType::Regular, b"a", 0o7777, b"1");
    let tar = tar.entry(EntryType::Directory, b"folder/", 0o7000, b"");
    claim.add(&tar.compressed(), 1, 1, &json!({}));
    let pod = Pod::new(&claim, "pod");
    let stage = pod.stage(&[]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::Restored));
    let mode = |path: &str| fs::metadata(pod.local.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("folder")), (0o666, 0o777));
    drop(stage.stop());
    claim.add(&Tar::default().file("a", b"1").file("a", b"2").compressed(), 2, 2, &json!({}));
    starts_cold(&claim, "twice", Reason::Damaged);
    claim.add(&Tar::default().file("a", b"1").file("a/b", b"2").compressed(), 2, 2, &json!({}));
    starts_cold(&claim, "file-as-folder", Reason::Damaged);
}

#[test]
fn a_small_archive_that_unpacks_to_30_gib_is_refused_before_it_fills_the_disk() {
    let gib = compress(&vec![0; GIB]);
    let zeros: Vec<_> = std::iter::repeat_n(gib, 30).flatten().collect();
    assert!(zeros.len() < 2 << 20, "{}", zeros.len());
    let bytes = 30 * GIB as u64;
    let file = [compress(&header(EntryType::Regular, b"bomb", 0o644, bytes)), zeros.clone()].concat();
    let records = [compress(&header(EntryType::XHeader, b"bomb", 0o644, bytes)), zeros.clone()].concat();
    let folder = [compress(&header(EntryType::Directory, b"bomb/", 0o777, bytes)), zeros.clone()].concat();
    let record = header(EntryType::XHeader, b"bomb", 0o644, 0);
    let headers = compress(&record.repeat(GIB / 512));
    let headers: Vec<_> = std::iter::repeat_n(headers, 30).flatten().collect();
    let rest = [Tar::default().file("a", b"1").compressed(), zeros].concat();
    for (name, archive, bytes, reason, words) in [
        ("honest", &file, bytes, Reason::TooLarge, "1 files with"),
        ("lying", &file, 1, Reason::Damaged, "more than its manifest says"),
        ("records", &records, 1, Reason::Damaged, "oversized pax records"),
        ("headers", &headers, 1, Reason::Damaged, "pax records without an entry"),
        ("folder", &folder, 1, Reason::Damaged, "a folder with a size"),
        ("rest", &rest, 1, Reason::Damaged, "something follows its end"),
    ] {
        let claim = Claim::new(&format!("bomb-{name}"));
        claim.add(archive, 1, bytes, &json!({}));
        let detail = starts_cold(&claim, name, reason);
        assert!(detail.contains(words), "{name}: {detail}");
    }
}

#[test]
fn a_restore_that_is_cancelled_stops_though_its_archive_has_no_entry() {
    let claim = Claim::new("cancelled");
    let (archive, folder) = (claim.folder.join("archive"), claim.folder.join("to"));
    fs::write(&archive, compress(&vec![0; GIB])).unwrap();
    fs::create_dir(&folder).unwrap();
    let progress = Progress::default();
    progress.cancel();
    let limits = Limits { files: 1, bytes: 1 };
    let unpacked = unpack(&File::open(archive).unwrap(), &Folder::open(&folder).unwrap(), limits, &progress);
    assert!(matches!(unpacked, Err(Error::Cancelled)), "{unpacked:?}");
}

#[test]
fn three_hundred_thousand_files_are_refused_even_if_the_manifest_names_fewer() {
    let archive = many_files(300_000);
    for (name, files, reason) in [("honest", 300_000, Reason::TooLarge), ("lying", 200, Reason::Damaged)] {
        let claim = Claim::new(&format!("many-{name}"));
        claim.add(&archive, files, 300_000, &json!({}));
        starts_cold(&claim, name, reason);
    }
}

#[test]
fn an_archive_that_differs_from_its_manifest_is_thrown_away() {
    let archive = Tar::default().file("a", b"1").file("b", b"2").compressed();
    for (name, files, bytes, replaced) in [
        ("files", 3, 2, json!({})),
        ("bytes", 2, 3, json!({})),
        ("archive-bytes", 2, 2, json!({"archiveBytes": 7})),
        ("digest", 2, 2, json!({"digest": "0".repeat(64)})),
        ("type", 2, 2, json!({"files": "two"})),
        ("null", 2, 2, json!({"key": Value::Null})),
    ] {
        let claim = Claim::new(&format!("manifest-{name}"));
        claim.add(&archive, files, bytes, &replaced);
        starts_cold(&claim, name, Reason::Damaged);
    }
}

#[test]
fn a_generation_of_another_format_is_ignored_and_not_blamed() {
    let claim = Claim::new("manifest-format");
    claim.add(&Tar::default().file("a", b"1").compressed(), 1, 1, &json!({"format": 2}));
    let pod = Pod::new(&claim, "pod");
    let stage = pod.stage(&[]);
    assert_eq!(pod.gate(&[]).reason, Some(Reason::NotRestored));
    let record = stage.wait_for(Event::NotRestored);
    assert_eq!((record.reason, record.generation), (Some(Reason::NoneUsable), None));
    drop(stage.stop());
}
