//! A project of ninja, which compares times to the nanosecond: `FlashInfer`, tvm-ffi and torch's extensions always call it.

use std::fs;
use std::path::Path;
use std::process::Command;

use dynamo_cache::stage::record::{Event, Reason};

use super::claim::Claim;
use super::engine::Engine;
use super::pod::Pod;

const PROJECT: &str = "
rule compile
  command = cat $in header > $out && echo '$out: header' > $out.d
  depfile = $out.d
  deps = gcc
build one.o: compile one.cu
build two.o: compile two.cu
rule link
  command = cat $in > $out
build kernel.so: link one.o two.o
";

fn ninja(folder: &Path) -> String {
    let said = Command::new("ninja").current_dir(folder).output();
    let said = said.unwrap_or_else(|error| panic!("ninja: {error}; apt-get install ninja-build"));
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn a_restored_ninja_project_has_no_work_to_do() {
    let (claim, engine) = (Claim::new("ninja"), Engine::start());
    engine.become_ready();
    let path = claim.folder.join("p");
    fs::create_dir(&path).unwrap();
    let first = Pod::in_folder(&claim, "first", path.clone());
    let stage = first.stage(&[&engine.option()]);
    drop(first.gate(&[]));
    let project = path.join("flashinfer");
    first.write(&[
        ("flashinfer/build.ninja", PROJECT),
        ("flashinfer/one.cu", "1"),
        ("flashinfer/two.cu", "2"),
        ("flashinfer/header", "h"),
    ]);
    assert!(ninja(&project).contains("[3/3]"));
    stage.wait_for(Event::Published);
    drop(stage.stop());
    // Every pod has the same path.
    fs::rename(&path, claim.folder.join("gone")).unwrap();
    fs::create_dir(&path).unwrap();
    let second = Pod::in_folder(&claim, "second", path);
    let stage = second.stage(&[&engine.option()]);
    assert_eq!(second.gate(&[]).reason, Some(Reason::Restored));
    assert!(project.join(".ninja_deps").exists());
    assert_eq!(ninja(&project), "ninja: no work to do.\n");
    fs::write(project.join("header"), "changed").unwrap();
    assert!(ninja(&project).contains("[3/3]"), "it still sees what changes");
    drop(stage.stop());
}
