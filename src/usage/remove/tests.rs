use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::remove;
use crate::usage::contents::{Removal, Removed};

const FOLDER: &str = "0123456789ab-any-ba9876543210-u1000";

fn claim(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("dynamo-cache-remove-{}-{name}", std::process::id()));
    drop(fs::remove_dir_all(&path));
    fs::create_dir(&path).unwrap();
    path
}

fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "content").unwrap();
}

/// Removes one path whose files may have been used until an hour from now.
fn removed(claim: &Path, path: &str) -> Removal {
    removed_unless_used(claim, path, 3600)
}

fn removed_unless_used(claim: &Path, path: &str, seconds: i64) -> Removal {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (mut all, paths) = (Vec::new(), [path.to_owned()]);
    remove(claim, &paths, i64::try_from(now).unwrap() + seconds, Duration::from_secs(60), |removal| {
        all.push(Removal::parse(&serde_json::to_string(removal)?).unwrap());
        Ok(())
    })
    .unwrap();
    assert_eq!((all.len(), all[0].path.as_str()), (1, path));
    all.remove(0)
}

fn names(claim: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(claim).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_goes_with_all_that_is_in_it_and_no_link_leads_out() {
    let claim = claim("links");
    write(&claim.join("kept/file"));
    for number in 0..2_500 {
        write(&claim.join(FOLDER).join(format!("{}/{number}", number % 7)));
    }
    symlink("../kept", claim.join(FOLDER).join("folder")).unwrap();
    symlink("../kept/file", claim.join(FOLDER).join("0/file")).unwrap();
    symlink("/", claim.join(FOLDER).join("root")).unwrap();
    let pipe = claim.join(FOLDER).join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    fs::write(claim.join(FOLDER).join("hostile\n\u{1b}[2J"), "x").unwrap();
    assert_eq!(removed(&claim, FOLDER).result, Removed::Removed);
    assert_eq!(names(&claim), ["kept"]);
    assert!(claim.join("kept/file").exists());
    assert_eq!(removed(&claim, FOLDER).result, Removed::Gone);
    fs::remove_dir_all(claim).unwrap();
}

#[test]
fn what_is_no_compile_cache_stays() {
    let claim = claim("foreign");
    write(&claim.join("hub/models--a--b/blobs/x"));
    write(&claim.join("staged-v1/key/node/current.json"));
    write(&claim.join("0123456789ab-any-000000000000"));
    symlink("hub", claim.join(FOLDER)).unwrap();
    for path in ["hub", "hub/models--a--b", "staged-v1", "staged-v1/../hub", "..", "/", ""] {
        let removal = removed(&claim, path);
        assert_eq!(
            (removal.result, &*removal.why),
            (Removed::Failed, "it is no compile cache of dynamo-cache"),
            "{path}"
        );
    }
    for path in [FOLDER, "0123456789ab-any-000000000000"] {
        assert_eq!(removed(&claim, path).result, Removed::Failed, "{path}");
    }
    assert_eq!(names(&claim), ["0123456789ab-any-000000000000", FOLDER, "hub", "staged-v1"]);
    assert!(claim.join("hub/models--a--b/blobs/x").exists());
    fs::remove_dir_all(claim).unwrap();
}

#[test]
fn archives_go_by_their_key_and_what_was_used_meanwhile_stays() {
    let claim = claim("staged");
    write(&claim.join("staged-v1/key/node/generations/x"));
    write(&claim.join("staged-v1/other/node/generations/x"));
    assert_eq!(removed_unless_used(&claim, "staged-v1/key", -3600).result, Removed::Used);
    assert_eq!(names(&claim.join("staged-v1")), ["key", "other"]);
    assert_eq!(removed(&claim, "staged-v1/key").result, Removed::Removed);
    assert_eq!(names(&claim.join("staged-v1")), ["other"]);
    fs::remove_dir_all(claim).unwrap();
}

#[test]
fn what_an_interrupted_removal_has_left_is_removed_whenever_it_was_used() {
    let claim = claim("unfinished");
    write(&claim.join(".dynamo-cache-removed-1f/x"));
    write(&claim.join("staged-v1/.dynamo-cache-removed-2f/x"));
    for path in [".dynamo-cache-removed-1f", "staged-v1/.dynamo-cache-removed-2f"] {
        assert_eq!(removed_unless_used(&claim, path, -3600).result, Removed::Removed, "{path}");
    }
    assert_eq!((names(&claim), names(&claim.join("staged-v1"))), (vec!["staged-v1".to_owned()], Vec::new()));
    fs::remove_dir_all(claim).unwrap();
}

#[test]
fn a_folder_that_is_nested_too_deep_stays_in_place() {
    let claim = claim("deep");
    let mut path = claim.join(FOLDER);
    for _ in 0..300 {
        path.push("x");
    }
    fs::create_dir_all(&path).unwrap();
    let removal = removed(&claim, FOLDER);
    assert!(removal.result == Removed::Failed && removal.why.contains("levels"), "{removal:?}");
    assert_eq!(names(&claim), [FOLDER]);
    fs::remove_dir_all(claim).unwrap();
}
