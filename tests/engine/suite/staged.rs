//! The compile cache in mode staged: the engine works on local disk, and an archive on the claim brings it what others compiled.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use dynamo_cache::stage::archive::{Progress, pack, unpack};
use dynamo_cache::stage::digest::Digest;
use dynamo_cache::stage::folder::Folder;
use dynamo_cache::stage::generation::{Manifest, Strikes};
use dynamo_cache::stage::layout::{Location, Store};
use dynamo_cache::stage::record::{Event, Reason, Record};

use crate::FOLDER;
use crate::deployment::{annotate, run_as, worker};
use crate::harness::cluster::wait_at_most;
use crate::harness::namespace::Namespace;
use crate::harness::release;
use crate::harness::volume::Volume;
use crate::model;
use crate::start::{DEADLINE, Start};

/// A namespace whose workers are staged, with a model on its claim.
fn furnished(volumes: &[Volume<'_>]) -> Namespace {
    let namespace = Namespace::opted_in(&[("model-offline", "true"), ("compile-mode", "staged")]);
    namespace.claims(&[&[Volume::proven("model-cache")], volumes].concat());
    model::bring(&namespace, "model-cache");
    namespace
}

#[test]
fn any_user_starts_warm_from_an_archive_and_cold_once_it_has_killed_an_engine_twice() {
    let _running = release::running();
    let namespace = furnished(&[Volume::prepared("compilation-cache")]);
    namespace.create(&worker("first", &[]));
    let first = namespace.one_ready("first", "staged: cold");
    assert_eq!(first.caches(), ["model", "compile"]);
    first.assert_cold();
    let skipped = namespace.staged(&first, Event::NotRestored);
    assert_eq!(skipped.reason, Some(Reason::NoneUsable), "{skipped:?}");
    let published = namespace.staged(&first, Event::Published);
    namespace.stop("first");

    let mut others = worker("others", &[]);
    run_as(&mut others, 2000);
    others["spec"]["replicas"] = 3.into();
    namespace.create(&others);
    for start in namespace.ready("others", 3, "staged: three of another user at once, restored") {
        start.assert_hit();
        assert_eq!(start.restarts(), 0, "{:#}", start.pod);
        let restored = namespace.staged(&start, Event::Restored);
        assert_eq!((&restored.generation, restored.files), (&published.generation, published.files));
    }
    let report = namespace.cluster.dynamo_cache(&["report", "-n", &namespace.name]);
    println!("{}", report.output);
    let row = report.output.lines().find(|line| line.contains("deployment/others")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().skip(2).collect();
    let ["with", "3", figures @ .., "s"] = cells.as_slice() else { panic!("{row}") };
    let [ready, "s", size, "MB", "in", restored] = figures else { panic!("{row}") };
    assert!([ready, size, restored].iter().all(|figure| figure.parse::<f64>().is_ok()), "{row}");
    namespace.stop("others");

    let spoilt = spoil(&store(&namespace, "compilation-cache"));
    namespace.create(&worker("killed", &[]));
    let start = namespace.one_ready("killed", "staged: cold, after two deaths on a spoilt archive");
    assert_eq!(start.restarts(), 2, "{:#}", start.pod);
    start.assert_cold();
    let emptied = namespace.staged(&start, Event::Emptied);
    assert_eq!((emptied.generation, emptied.deaths), (Some(spoilt.to_string()), Some(2)));
    namespace.stop("killed");
}

#[test]
fn a_staged_worker_starts_beside_claims_that_it_cannot_write_to_or_read() {
    let _running = release::running();
    let namespace = furnished(&[
        Volume { mode: "0755", ..Volume::prepared("of-root") },
        Volume { mode: "0700", ..Volume::prepared("unreadable") },
        Volume { access: "ReadOnlyMany", ..Volume::prepared("read-only") },
    ]);
    namespace.small_claim(&Volume::prepared("full"), "1m");
    namespace.fill("full", 0);
    let claims = [
        ("of-root", Some(Reason::NoneUsable), Reason::ClaimNotWritable),
        ("unreadable", Some(Reason::ClaimFailed), Reason::ClaimNotWritable),
        ("read-only", Some(Reason::NoneUsable), Reason::ClaimNotWritable),
        ("full", Some(Reason::NoneUsable), Reason::ClaimFull),
    ];
    for (claim, ..) in claims {
        let mut worker = worker(claim, &[]);
        annotate(&mut worker, &[("compile-claim", claim)]);
        namespace.create(&worker);
    }
    let starts = claims.map(|(claim, ..)| namespace.one_ready(claim, &format!("staged: cold, beside a claim {claim}")));
    for (start, (claim, not_restored, not_published)) in starts.iter().zip(claims) {
        assert_eq!((start.caches(), start.restarts()), (vec!["model".to_owned(), "compile".to_owned()], 0), "{claim}");
        start.assert_cold();
        assert_eq!(namespace.staged(start, Event::NotRestored).reason, not_restored, "{claim}");
        assert_eq!(namespace.staged(start, Event::NotPublished).reason, Some(not_published), "{claim}");
    }
    for (claim, ..) in claims {
        namespace.stop(claim);
    }
}

impl Namespace {
    /// The first record of an event that the stage of a worker has logged, once it has.
    fn staged(&self, start: &Start, event: Event) -> Record {
        let pod = start.pod["metadata"]["name"].as_str().unwrap();
        wait_at_most(DEADLINE, &format!("the stage of {pod} to log {event:?}"), || {
            let log = self.kubectl(&["logs", pod, "--container=dynamo-cache-stage"])?;
            log.lines().filter_map(Record::parse).find(|record| record.event == event).ok_or(log)
        })
    }
}

/// The archives of the one key and kind of node that a claim has.
fn store(namespace: &Namespace, claim: &str) -> Store {
    let claim: PathBuf = format!("{}/{}/{claim}", namespace.cluster.volumes(), namespace.name).into();
    let only = |folder: &Path| {
        let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1, "{}: {names:?}", folder.display());
        names[0].to_str().unwrap().to_owned()
    };
    let layout = claim.join("staged-v1");
    let key = only(&layout);
    let node = only(&layout.join(&key));
    Store::open(&Location { claim, key, node, pod_uid: "suite".to_owned() }).unwrap()
}

/// Publishes the newest generation once more, with its shared libraries cut.
fn spoil(store: &Store) -> Digest {
    let pointer = store.pointer().unwrap();
    let whole = store.manifest(&pointer.generations[0]).unwrap();
    let tree = Path::new(FOLDER).join("spoilt");
    fs::create_dir(&tree).unwrap();
    let folder = Folder::open(&tree).unwrap();
    unpack(&store.archive(&whole.digest).unwrap(), &folder, whole.limits().unwrap(), &Progress::default()).unwrap();
    let cut = cut_libraries(&tree);
    assert!(cut > 0, "the archive has no shared library");
    let packed = pack(&folder, &store.begin().unwrap()).unwrap();
    let digest = packed.digest;
    let (archive_bytes, bytes) = (packed.archive_bytes, packed.inventory.bytes);
    store.keep(&Manifest { digest: digest.clone(), archive_bytes, bytes, ..whole }).unwrap();
    store.point(&pointer.with(&digest, &Strikes::new()).0).unwrap();
    digest
}

/// Cuts each shared library below a folder, and says how many there are. A quarter is code, the rest is for debuggers: an
/// engine does not miss half of the file.
fn cut_libraries(folder: &Path) -> usize {
    let cut = fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return cut_libraries(&path);
        }
        if path.extension() != Some(OsStr::new("so")) {
            return 0;
        }
        let end = fs::metadata(&path).unwrap().len() / 8;
        fs::File::options().write(true).open(&path).unwrap().set_len(end).unwrap();
        1
    });
    cut.sum()
}
