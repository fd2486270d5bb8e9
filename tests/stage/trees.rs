//! Random trees, packed and unpacked: equal but for what the rules skip.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dynamo_cache::stage::archive::{Error, Inventory, Limits, Progress, inventory, pack, unpack};
use dynamo_cache::stage::folder::Folder;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::program::cases;

/// Names that are kept.
const KEPT: [&[u8]; 14] = [
    b"a",
    b"b",
    b".hidden",
    b"a b",
    b"\xff\xfe",
    b"line\nbreak",
    b"x.so",
    b"x.o",
    b"clock",
    b"lock.py",
    b"nvidia",
    b"tmpl",
    b"unlocked",
    "größe".as_bytes(),
];

/// Names that are skipped, as files and as folders.
const SKIPPED: [&[u8]; 12] = [
    b"lock",
    b".lock",
    b"a.lock",
    b"lockfile-1",
    b"a_lock",
    b"a.tmp",
    b".a.tmp",
    b"tmp.pid_1",
    b".staging1",
    b"a.incomplete",
    b"a.partial",
    b".nfs1",
];

/// Names of folders that are skipped with all that is in them; files of these names are kept.
const SKIPPED_FOLDERS: [&[u8]; 6] = [b"locks", b"tmp", b"nv", b"ple", b"dummy_cache", b"model_streamer"];

#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>),
    Link,
    Folder,
}

#[derive(Clone, Debug)]
struct Entry {
    path: Vec<Vec<u8>>,
    node: Node,
    seconds: i64,
    nanoseconds: u32,
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let long = vec(select(b"abc".to_vec()), 90..120);
    let listed = |names: &[&[u8]]| select(names.iter().map(|name| name.to_vec()).collect::<Vec<_>>());
    let name = prop_oneof![6 => listed(&KEPT), 1 => listed(&SKIPPED), 1 => listed(&SKIPPED_FOLDERS), 1 => long];
    let content = prop_oneof![1 => Just(Vec::new()), 4 => vec(any::<u8>(), 1..300), 1 => vec(any::<u8>(), 2000..3000)];
    let node = prop_oneof![6 => content.prop_map(Node::File), 1 => Just(Node::Link), 2 => Just(Node::Folder)];
    let entry = (vec(name, 1..5), node, -1_000_000_000_i64..4_000_000_000, 0..1_000_000_000_u32);
    let entry = entry.prop_map(|(path, node, seconds, nanoseconds)| Entry { path, node, seconds, nanoseconds });
    vec(entry, 0..25)
}

/// Makes the tree. Where one path is both a file and a folder, the first wins.
fn make(root: &Path, entries: &[Entry]) {
    for entry in entries {
        let path = entry.path.iter().fold(root.to_owned(), |path, name| path.join(OsStr::from_bytes(name)));
        if fs::create_dir_all(path.parent().unwrap()).is_err() || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match &entry.node {
            Node::File(content) => fs::write(&path, content).unwrap(),
            Node::Link => symlink("/etc", &path).unwrap(),
            Node::Folder => fs::create_dir(&path).unwrap(),
        }
    }
    // The times of folders last, since what is made in them changes them.
    for entry in entries {
        let path = entry.path.iter().fold(root.to_owned(), |path, name| path.join(OsStr::from_bytes(name)));
        let offset = Duration::from_secs(entry.seconds.unsigned_abs());
        let second = if entry.seconds < 0 { SystemTime::UNIX_EPOCH - offset } else { SystemTime::UNIX_EPOCH + offset };
        let time = FileTimes::new().set_modified(second + Duration::from_nanos(entry.nanoseconds.into()));
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_symlink()) {
            File::open(path).unwrap().set_times(time).unwrap();
        }
    }
}

type Tree = BTreeMap<PathBuf, (Option<Vec<u8>>, i64, i64)>;

/// The tree, without what the rules skip if `by_the_rules`.
fn read(root: &Path, below: &Path, by_the_rules: bool, tree: &mut Tree) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let name = entry.unwrap().file_name();
        let path = below.join(&name);
        let found = fs::symlink_metadata(root.join(&path)).unwrap();
        let name = name.as_bytes();
        let is_empty_object = found.is_file() && found.len() == 0 && (name.ends_with(b".so") || name.ends_with(b".o"));
        let is_skipped = SKIPPED.contains(&name)
            || (found.is_dir() && SKIPPED_FOLDERS.contains(&name))
            || is_empty_object
            || found.is_symlink();
        if by_the_rules && is_skipped {
            continue;
        }
        let content = found.is_file().then(|| fs::read(root.join(&path)).unwrap());
        tree.insert(path.clone(), (content, found.mtime(), found.mtime_nsec()));
        if found.is_dir() {
            read(root, &path, by_the_rules, tree);
        }
    }
}

#[test]
fn any_tree_that_is_packed_and_unpacked_is_equal_but_for_what_the_rules_skip() {
    // In memory, since each archive is written to the disk before it counts as packed.
    let base = Path::new("/dev/shm").join(format!("dynamo-cache-stage-trees-{}", std::process::id()));
    let mut runner = TestRunner::new(Config { cases: cases(200), failure_persistence: None, ..Config::default() });
    let result = runner.run(&entries(), |entries| {
        drop(fs::remove_dir_all(&base));
        let (from, to) = (base.join("from"), base.join("to"));
        fs::create_dir_all(&from).unwrap();
        fs::create_dir_all(&to).unwrap();
        make(&from, &entries);
        let archive = base.join("archive");
        let packed = pack(&Folder::open(&from).unwrap(), &File::create(&archive).unwrap()).unwrap();
        let limits = Limits { files: packed.inventory.files, bytes: packed.inventory.bytes };
        let into = Folder::open(&to).unwrap();
        let unpacked = unpack(&File::open(&archive).unwrap(), &into, limits, &Progress::default()).unwrap();
        let (mut expected, mut found) = (Tree::new(), Tree::new());
        read(&from, Path::new(""), true, &mut expected);
        read(&to, Path::new(""), false, &mut found);
        assert_eq!(found, expected);
        assert_eq!((unpacked.digest, unpacked.archive_bytes), (packed.digest, packed.archive_bytes));
        assert_eq!((unpacked.files, unpacked.bytes), (packed.inventory.files, packed.inventory.bytes));
        assert_eq!(inventory(&into).unwrap(), Inventory { in_progress: None, ..packed.inventory });
        Ok(())
    });
    result.unwrap();
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn a_tree_is_packed_with_a_hundred_levels_and_too_large_with_more() {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stage-deep");
    drop(fs::remove_dir_all(&base));
    let innermost = base.join(["d"; 99].join("/"));
    fs::create_dir_all(&innermost).unwrap();
    fs::write(innermost.join("file"), "1").unwrap();
    let root = Folder::open(&base).unwrap();
    assert_eq!(inventory(&root).unwrap().files, 1);
    fs::create_dir(innermost.join("d")).unwrap();
    assert_eq!(inventory(&root).unwrap().folders, 100);
    fs::write(innermost.join("d/file"), "1").unwrap();
    assert!(matches!(inventory(&root), Err(Error::TooLarge)));
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn gnu_tar_and_zstd_read_what_the_stage_packs() {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stage-gnu-tar");
    drop(fs::remove_dir_all(&base));
    let (from, to) = (base.join("from"), base.join("to"));
    let long = format!("{}/{}/file", "a".repeat(120), "b".repeat(120));
    fs::create_dir_all(from.join(&long).parent().unwrap()).unwrap();
    fs::create_dir_all(&to).unwrap();
    fs::write(from.join(&long), "content").unwrap();
    let archive = base.join("archive.tar.zst");
    pack(&Folder::open(&from).unwrap(), &File::create(&archive).unwrap()).unwrap();
    let tar = fs::read(&archive).unwrap();
    fs::write(base.join("archive.tar"), zstd::stream::decode_all(tar.as_slice()).unwrap()).unwrap();
    let said =
        std::process::Command::new("tar").arg("-xf").arg(base.join("archive.tar")).arg("-C").arg(&to).output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    let (mut expected, mut found) = (Tree::new(), Tree::new());
    read(&from, Path::new(""), false, &mut expected);
    read(&to, Path::new(""), false, &mut found);
    assert_eq!(found, expected);
    fs::remove_dir_all(base).unwrap();
}
