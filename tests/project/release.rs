//! Versions and notes by `.ci/release`; `.ci/run release` tries what it builds.

use std::process::{Command, Output};

use crate::harness::ROOT;
use crate::harness::program::file;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn release(arguments: &[&str], owner: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(format!("{ROOT}/.ci/release"));
    let Output { status, stdout, stderr } =
        command.args(arguments).env("GITHUB_REPOSITORY_OWNER", owner).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_release_has_one_version_which_is_that_of_its_tag() {
    let tag = format!("v{VERSION}");
    assert_eq!(release(&["check", &tag], ""), (Some(0), format!("{VERSION}\n"), String::new()));
    assert_eq!(release(&["check"], "Dynamo-Cache").0, Some(0), "names of images are in lower case");

    let (code, _, said) = release(&["check", "v9.9.9"], "");
    assert_eq!(code, Some(1));
    assert!(said.contains("the tag is v9.9.9") && said.contains(&format!("tag {tag}")), "{said}");

    let (code, _, said) = release(&["check"], "somebody");
    assert_eq!(code, Some(1), "the chart would name an image that is not published");
    assert!(said.contains("change image.repository"), "{said}");
}

#[test]
fn the_notes_of_a_release_are_its_section_of_the_changelog() {
    let text =
        "# Changelog\n\n## Unreleased\n\n- three\n\n## 0.2.0 - 2026-01-02\n\n- two\n- `more`\n\n## 0.1.0\n\n- one\n";
    let log = file("changelog.md", text);
    let notes = |tag: &str| release(&["notes", tag, &log], "");
    assert_eq!(notes("v0.2.0").1, "- two\n- `more`\n");
    assert_eq!(notes("v0.1.0").1, "- one\n");
    assert_eq!(notes("").1, "- three\n");
    let (code, out, said) = notes("v0.2");
    assert_eq!((code, out.as_str()), (Some(1), ""), "a part of a version is none");
    assert!(said.contains("has nothing under '## 0.2'"), "{said}");
    assert_eq!(release(&["notes"], "").0, Some(0), "our own has something to say");
}
