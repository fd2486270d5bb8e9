use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Map;

use super::{check_alone, find, words};
use crate::inspect::claim_job::Template;
use crate::inspect::demand::Demand;
use crate::inspect::survey::{MeasuredClaim, Survey};
use crate::usage::contents::{Contents, Model, Revision, Size};

fn model(name: &str, commits: &[char]) -> Model {
    let size = Size { bytes: 1_500_000_000, files: 3, last_use: 1_796_000_000, is_whole: true };
    let revision = |digit: &char| Revision { revision: digit.to_string().repeat(40), refs: Vec::new(), size };
    Model { model: name.to_owned(), hub: "hub".to_owned(), size, revisions: commits.iter().map(revision).collect() }
}

fn survey(models: Vec<Model>) -> Survey {
    let contents = Ok(Contents { models, ..Contents::default() });
    Survey {
        demand: Demand::default(),
        claims: vec![
            MeasuredClaim { name: "model-cache".to_owned(), shared_with: BTreeSet::new(), contents },
            MeasuredClaim {
                name: "broken".to_owned(),
                shared_with: BTreeSet::new(),
                contents: Err("it hangs".to_owned()),
            },
        ],
        template: Template { image: "tool:1".to_owned(), security: Map::new(), timeout: Duration::from_secs(60) },
    }
}

#[test]
fn a_model_is_found_by_its_whole_name_and_a_revision_by_its_commit() {
    let survey = survey(vec![model("Qwen/Qwen3-0.6B", &['a', 'b']), model("Qwen/Qwen3", &['c'])]);
    let found = |name: &str, commit: Option<char>| {
        let commit = commit.map(|digit| digit.to_string().repeat(40));
        find(&survey, name, commit.as_deref()).len()
    };
    assert_eq!((found("Qwen/Qwen3-0.6B", None), found("Qwen/Qwen3-0.6B", Some('b'))), (1, 1));
    assert_eq!((found("Qwen/Qwen3-0.6B", Some('c')), found("Qwen", None), found("qwen/qwen3", None)), (0, 0, 0));
    let text = words(&find(&survey, "Qwen/Qwen3", None), &[], false);
    let commit = "c".repeat(40);
    let first =
        format!("Would remove model Qwen/Qwen3 from claim model-cache ({commit}): 1.5 GB, last used on 2026-11-30\n");
    assert_eq!(text, format!("{first}Nothing was removed; --yes removes it.\n"));
}

#[test]
fn the_job_names_a_model_or_a_revision_as_the_client_does() {
    let survey = survey(vec![model("Qwen/Qwen3-0.6B", &['a', 'b'])]);
    let commit = "b".repeat(40);
    let folder = "models--Qwen--Qwen3-0.6B";
    for (revision, target, folder) in [
        (None, "model/Qwen/Qwen3-0.6B", folder.to_owned()),
        (Some(commit.as_str()), commit.as_str(), format!("{folder}/snapshots/{commit}")),
    ] {
        let job = find(&survey, "Qwen/Qwen3-0.6B", revision)[0].job(&survey.template, "python:1").job;
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        let value = |name: &str| {
            let variables = container["env"].as_array().unwrap();
            variables.iter().find(|variable| variable["name"] == name).unwrap()["value"].as_str().unwrap()
        };
        assert_eq!((value("TARGET"), value("FOLDER")), (target, folder.as_str()));
        assert_eq!((value("HF_HUB_CACHE"), &container["image"]), ("/claim/hub", &"python:1".into()));
        let installs = job["spec"]["template"]["spec"]["initContainers"][0]["command"][2].as_str().unwrap();
        assert!(installs.contains("huggingface-hub==") && !installs.contains('@'), "{installs}");
    }
}

#[test]
fn a_commit_of_two_models_is_removed_from_neither() {
    let survey = survey(vec![model("a/a", &['a', 'b']), model("a/fork", &['b']), model("a/other", &['c'])]);
    let is_refused = |name: &str, commit: Option<&str>| check_alone(&find(&survey, name, commit)[0], &survey).is_err();
    let (first, second) = ("a".repeat(40), "b".repeat(40));
    assert!(is_refused("a/a", None) && is_refused("a/fork", None) && is_refused("a/a", Some(&second)));
    assert!(!is_refused("a/a", Some(&first)) && !is_refused("a/other", None));
}
