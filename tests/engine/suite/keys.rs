//! What shares a compile cache, and what does not.

use serde_json::json;

use crate::deployment::{NEXT_IMAGE, run_as, worker};
use crate::harness::namespace::Namespace;
use crate::harness::release;
use crate::harness::volume::Volume;
use crate::model;

#[test]
fn names_and_seeds_share_what_was_compiled_and_lengths_users_and_images_do_not() {
    let _running = release::running();
    let namespace = Namespace::opted_in(&[("model-offline", "true")]);
    namespace.claims(&[
        Volume::proven("model-cache"),
        Volume { writable: "1000,2000", ..Volume::prepared("compilation-cache") },
    ]);
    model::bring(&namespace, "model-cache");
    namespace.create(&worker("first", &[]));
    let first = namespace.one_ready("first", "cold");
    first.assert_cold();
    namespace.stop("first");

    // Side by side, so that they also show that none disturbs another.
    let renamed = worker("renamed", &["--served-model-name", "another", "--seed", "7"]);
    let longer = worker("longer", &["--max-model-len", "1024"]);
    let mut other_user = worker("other-user", &[]);
    run_as(&mut other_user, 2000);
    let mut upgraded = worker("upgraded", &[]);
    upgraded["spec"]["template"]["spec"]["containers"][0]["image"] = json!(NEXT_IMAGE);
    for deployment in [&renamed, &longer, &other_user, &upgraded] {
        namespace.create(deployment);
    }
    let renamed = namespace.one_ready("renamed", "with another served name and seed");
    assert_eq!(renamed.folder(), first.folder());
    renamed.assert_hit();
    namespace.stop("renamed");
    let mut folders = vec![first.folder().to_owned()];
    for (deployment, what) in [
        ("longer", "with another --max-model-len"),
        ("other-user", "as another user"),
        ("upgraded", "of another image"),
    ] {
        let start = namespace.one_ready(deployment, what);
        assert_eq!((start.caches(), start.restarts()), (vec!["model".to_owned(), "compile".to_owned()], 0), "{what}");
        start.assert_cold();
        folders.push(start.folder().to_owned());
    }
    for deployment in ["longer", "other-user", "upgraded"] {
        namespace.stop(deployment);
    }
    let number = folders.len();
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), number, "each has a folder of its own: {folders:?}");

    // Both lengths find theirs still.
    namespace.create(&worker("first", &[]));
    namespace.create(&worker("longer", &["--max-model-len", "1024"]));
    namespace.one_ready("first", "the first again").assert_hit();
    namespace.one_ready("longer", "the other length again").assert_hit();
    for deployment in ["first", "longer"] {
        namespace.stop(deployment);
    }
}
