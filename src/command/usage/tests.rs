use std::time::Duration;

use serde_json::{Map, Value};

use super::{json, tables};
use crate::inspect::claim_job::Template;
use crate::inspect::demand::Demand;
use crate::inspect::survey::{MeasuredClaim, Survey};
use crate::usage::contents::{Archives, Contents, Folder, Generation, Model, Revision, Size};

const SIZE: Size = Size { bytes: 1_500_000_000, files: 3, last_use: 1_796_000_000, is_whole: true };

fn survey() -> Survey {
    let revision = |digit: &str, refs: &[&str]| Revision {
        revision: digit.repeat(40),
        refs: refs.iter().map(|name| (*name).to_owned()).collect(),
        size: SIZE,
    };
    let model = |name: &str, revisions: Vec<Revision>| Model {
        model: name.to_owned(),
        hub: "hub".to_owned(),
        size: Size { bytes: 3_000_000_000, is_whole: false, ..SIZE },
        revisions,
    };
    let generation = |digit: &str, strikes| Generation {
        digest: digit.repeat(64),
        bytes: Some(42),
        created: Some("2026-11-29T10:00:00Z".to_owned()),
        strikes,
    };
    let contents = Contents {
        now: 1_796_000_000,
        free_bytes: 12_000_000_000,
        capacity_bytes: 500_000_000_000,
        models: vec![
            model("Qwen/Qwen3-0.6B", vec![revision("a", &["main", "pr/1"]), revision("b", &[])]),
            model("a/a", vec![revision("c", &["main"])]),
        ],
        folders: vec![Folder { path: "0123456789ab-any-ba9876543210".to_owned(), user: 1000, size: SIZE }],
        archives: vec![Archives {
            path: "staged-v1/key".to_owned(),
            node: "00112233".to_owned(),
            user: 1000,
            size: SIZE,
            generations: vec![generation("d", 0), generation("e", 2)],
        }],
        unfinished: vec![Folder { path: ".dynamo-cache-removed-1".to_owned(), user: 1000, size: SIZE }],
        omitted: 7,
    };
    let claim = |name: &str, contents| MeasuredClaim {
        name: name.to_owned(),
        shared_with: ["theirs/models".to_owned()].into(),
        contents,
    };
    Survey {
        demand: Demand::default(),
        claims: vec![
            claim("model-cache", Ok(contents)),
            claim("hangs", Err("no end".to_owned())),
            claim("empty", Ok(Contents::default())),
        ],
        template: Template { image: String::new(), security: Map::new(), timeout: Duration::ZERO },
    }
}

#[test]
fn the_table_has_a_row_for_each_revision_and_each_compile_cache() {
    let text = tables(&survey());
    let row = |cells: &[&str]| {
        let is_row =
            |line: &&str| cells == line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
        assert!(text.lines().any(|line| is_row(&line)), "{cells:?} in\n{text}");
    };
    assert!(text.starts_with("Claim model-cache: 12 GB of 500 GB free\n"), "{text}");
    row(&["Qwen/Qwen3-0.6B", "2 revisions", "over 3.0 GB", "2026-11-30", "–", "–"]);
    row(&["Qwen/Qwen3-0.6B", "aaaaaaaaaaaa", "1.5 GB", "2026-11-30", "main, pr/1", "–"]);
    row(&["a/a", "cccccccccccc", "1.5 GB", "2026-11-30", "main", "–"]);
    row(&["0123456789ab-any-ba9876543210", "–", "–", "1.5 GB", "2026-11-30", "–"]);
    row(&["staged-v1/key", "00112233", "2 (strikes: 2 against eeeeeeeeeeee)", "1.5 GB", "2026-11-30", "–"]);
    assert!(text.contains("An interrupted prune has left .dynamo-cache-removed-1"), "{text}");
    assert!(text.contains("The same storage is behind theirs/models, whose"), "{text}");
    assert!(text.contains("7 more are not listed"), "{text}");
    assert!(
        text.contains("\nClaim hangs: not measured\n") && text.ends_with("No model and no compile cache is on it.\n")
    );
}

#[test]
fn the_json_has_the_same_for_programs() {
    let claims: Value = serde_json::from_str(&json(&survey())).unwrap();
    let at = |pointer: &str| claims.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {claims:#}"));
    assert_eq!(at("/0/models/0/revisions/0/refs/1"), "pr/1");
    assert_eq!((at("/0/models/0/isWhole"), at("/0/models/0/lastUse")), (&false.into(), &"2026-11-30T00:53:20Z".into()));
    assert_eq!(at("/0/sharedWith/0"), "theirs/models");
    assert_eq!((at("/0/compileCaches/0/mode"), at("/0/compileCaches/1/mode")), (&"direct".into(), &"staged".into()));
    assert_eq!((at("/0/compileCaches/1/generations/1/strikes"), at("/0/omitted")), (&2.into(), &7.into()));
    assert_eq!(at("/1"), &serde_json::json!({"claim": "hangs", "error": "no end"}));
}
