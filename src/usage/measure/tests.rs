use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::measure;
use crate::usage::contents::Contents;

/// The claim of a test, empty.
fn claim(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("dynamo-cache-measure-{}-{name}", std::process::id()));
    drop(fs::remove_dir_all(&path));
    fs::create_dir(&path).unwrap();
    path
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn contents(claim: &Path) -> Contents {
    let contents = measure(claim, &["by-hand".to_owned(), "a/b".to_owned()], Duration::from_secs(60)).unwrap();
    // The Job prints it, and the command reads it.
    assert_eq!(Contents::parse(&serde_json::to_string(&contents).unwrap()), Some(contents.clone()));
    contents
}

const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";
const FOLDER: &str = "0123456789ab-any-ba9876543210-u1000";

#[test]
fn a_model_has_its_files_once_and_each_revision_what_it_links_to() {
    let claim = claim("model");
    let model = claim.join("hub/models--Qwen--Qwen3-0.6B");
    write(&model.join("blobs/one"), "12345");
    write(&model.join("blobs/both"), "1234567");
    write(&model.join("blobs/half.incomplete"), "123");
    write(&claim.join("hub/blobs/ab/abcd"), "12345678901");
    symlink("../../blobs/ab/abcd", model.join("blobs/shared")).unwrap();
    symlink("/etc/passwd", model.join("blobs/outside")).unwrap();
    let other = "a".repeat(40);
    for (commit, file, blob) in
        [(COMMIT, "model.bin", "one"), (COMMIT, "config.json", "both"), (&other, "config.json", "both")]
    {
        fs::create_dir_all(model.join("snapshots").join(commit).join("deep")).unwrap();
        symlink(format!("../../blobs/{blob}"), model.join("snapshots").join(commit).join(file)).unwrap();
    }
    symlink("../../../blobs/shared", model.join("snapshots").join(COMMIT).join("deep/weights")).unwrap();
    symlink("../../../../../../etc/passwd", model.join("snapshots").join(COMMIT).join("hostile")).unwrap();
    write(&model.join("snapshots").join(&other).join("copied"), "12");
    write(&model.join("refs/main"), COMMIT);
    write(&model.join("refs/pr/1"), &format!("{other}\n"));
    write(&model.join("refs/.main-x"), COMMIT);
    symlink("/etc/hostname", model.join("refs/link")).unwrap();
    // In the root, as in the layout `hub`.
    write(&claim.join("models--gpt2/blobs/x"), "1");
    fs::create_dir_all(claim.join("hub/models--bad name")).unwrap();
    symlink("models--gpt2", claim.join("models--link")).unwrap();

    let found = contents(&claim);
    let [qwen, gpt2] = found.models.as_slice() else { panic!("{:#?}", found.models) };
    assert_eq!((qwen.model.as_str(), qwen.hub.as_str()), ("Qwen/Qwen3-0.6B", "hub"));
    assert_eq!((qwen.size.bytes, qwen.size.files, qwen.size.is_whole), (5 + 7 + 3 + 11 + 2, 5, true));
    assert_eq!((gpt2.model.as_str(), gpt2.hub.as_str(), gpt2.size.bytes), ("gpt2", "", 1));
    let revision = |commit: &str| qwen.revisions.iter().find(|revision| revision.revision == commit).unwrap();
    assert_eq!((revision(COMMIT).size.bytes, revision(&other).size.bytes), (5 + 7 + 11, 7 + 2));
    assert_eq!(
        (&*revision(COMMIT).refs, &*revision(&other).refs),
        (&["main".to_owned()][..], &["pr/1".to_owned()][..])
    );
    assert!(found.capacity_bytes >= found.free_bytes && found.capacity_bytes > 0);
    fs::remove_dir_all(claim).unwrap();
}

#[test]
fn compile_caches_are_known_by_their_names_or_are_named() {
    let claim = claim("compiled");
    write(&claim.join(FOLDER).join("a/b/kernel"), "12345");
    symlink("/", claim.join(FOLDER).join("root")).unwrap();
    let hour = SystemTime::now() - Duration::from_secs(3600);
    let times = fs::FileTimes::new().set_accessed(hour).set_modified(hour - Duration::from_secs(3600));
    fs::File::options().write(true).open(claim.join(FOLDER).join("a/b/kernel")).unwrap().set_times(times).unwrap();
    write(&claim.join("by-hand/x"), "1");
    write(&claim.join("a/b/x"), "12");
    write(&claim.join("of-others/x"), "1234");
    write(&claim.join(".dynamo-cache-removed-1/x"), "1");
    write(&claim.join("staged-v1/.dynamo-cache-removed-2/x"), "1");
    symlink(FOLDER, claim.join("0123456789ab-any-000000000000")).unwrap();
    write(&claim.join("0123456789ab-any-111111111111"), "a file");
    fs::create_dir(claim.join("0123456789ab-any-222222222222")).unwrap();

    let found = contents(&claim);
    let folders: Vec<_> = found.folders.iter().map(|folder| (folder.path.as_str(), folder.size.bytes)).collect();
    assert_eq!(folders, [(FOLDER, 5), ("a/b", 2), ("by-hand", 1), ("0123456789ab-any-222222222222", 0)]);
    let age = |index: usize| found.now - found.folders[index].size.last_use;
    assert!((3600..3700).contains(&age(0)), "the later of reading and writing: {}", age(0));
    assert!(age(3) < 100, "without files, the time of the folder: {}", age(3));
    let mut unfinished: Vec<_> = found.unfinished.iter().map(|folder| folder.path.as_str()).collect();
    unfinished.sort_unstable();
    assert_eq!(unfinished, [".dynamo-cache-removed-1", "staged-v1/.dynamo-cache-removed-2"]);
    fs::remove_dir_all(claim).unwrap();
}

#[test]
fn archives_have_their_generations_and_the_strikes_against_each() {
    let claim = claim("staged");
    let (digest, pod) = ("d".repeat(64), "0".repeat(8));
    let node = claim.join("staged-v1/key/0011");
    write(&node.join("current.json"), &format!(r#"{{"generations":["{digest}"]}}"#));
    write(&node.join(format!("generations/{digest}.tar.zst")), "archive");
    write(&node.join(format!("strikes/{digest}-{pod}")), "{}");
    write(&claim.join("staged-v1/damaged/0011/current.json"), "{");
    fs::create_dir(claim.join("staged-v1/damaged/0011/generations")).unwrap();
    symlink("key", claim.join("staged-v1/link")).unwrap();

    let found = contents(&claim);
    let paths: Vec<_> = found.archives.iter().map(|archives| archives.path.as_str()).collect();
    assert_eq!(paths, ["staged-v1/key", "staged-v1/damaged"]);
    let [generation] = found.archives[0].generations.as_slice() else { panic!("{:#?}", found.archives) };
    assert_eq!((generation.digest.as_str(), generation.strikes, generation.bytes), (digest.as_str(), 1, None));
    assert!(found.archives[1].generations.is_empty());
    fs::remove_dir_all(claim).unwrap();
}

#[test]
fn what_is_listed_is_bounded_and_a_count_that_ends_early_says_so() {
    let claim = claim("bounds");
    for number in 0..503_u32 {
        write(&claim.join(format!("0123456789ab-any-{number:012x}/x")), "1");
    }
    let found = contents(&claim);
    assert_eq!((found.folders.len(), found.omitted), (500, 3));
    assert!(serde_json::to_string(&found).unwrap().len() < 1 << 20);
    let late = measure(&claim, &[], Duration::ZERO).unwrap();
    assert!(late.folders.iter().any(|folder| !folder.size.is_whole), "its time is over");
    assert!(measure(&claim.join("none"), &[], Duration::ZERO).is_err());
    fs::remove_dir_all(claim).unwrap();
}

#[test]
fn a_folder_that_is_nested_without_end_is_not_counted_to_its_end() {
    let claim = claim("deep");
    let mut path = claim.join(FOLDER);
    for _ in 0..300 {
        path.push("x");
    }
    fs::create_dir_all(&path).unwrap();
    let found = contents(&claim);
    assert!(!found.folders[0].size.is_whole);
    fs::remove_dir_all(claim).unwrap();
}
